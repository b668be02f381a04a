package queues

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestQueryProtocol sends forms to a queue's URL, as API Gateway and old SDKs do.
func TestQueryProtocol(t *testing.T) {
	job, events := collect(`{}`)
	s, web := serve(t, job)
	post := func(path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		res, err := web.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	form := url.Values{
		"Action": {"SendMessage"}, "MessageBody": {"hi <there>"}, "DelaySeconds": {"0"},
		"MessageAttribute.1.Name": {"id"}, "MessageAttribute.1.Value.DataType": {"String"}, "MessageAttribute.1.Value.StringValue": {"c1"},
	}.Encode()
	status, text := post("/123456789012/Jobs", "\n"+form+"\n ")
	var sent struct {
		XMLName xml.Name `xml:"http://queue.amazonaws.com/doc/2012-11-05/ SendMessageResponse"`
		Result  struct {
			MessageID string `xml:"MessageId"`
			MD5       string `xml:"MD5OfMessageBody"`
		} `xml:"SendMessageResult"`
		Metadata struct {
			RequestID string `xml:"RequestId"`
		} `xml:"ResponseMetadata"`
	}
	if err := xml.Unmarshal([]byte(text), &sent); err != nil || status != http.StatusOK || sent.Result.MessageID == "" || sent.Result.MD5 != md5Hex([]byte("hi <there>")) || sent.Metadata.RequestID == "" {
		t.Fatalf("got %d %s, %v", status, text, err)
	}
	event := string(<-events)
	for _, want := range []string{`"body":"hi \u003cthere\u003e"`, `"id":{`, `"stringValue":"c1"`} {
		if !strings.Contains(event, want) && !strings.Contains(strings.ReplaceAll(event, "<", `\u003c`), want) {
			t.Errorf("the event has no %s: %s", want, event)
		}
	}
	if status, text := post("/", "Action=GetQueueUrl&QueueName=DeadJobs"); status != http.StatusOK || !strings.Contains(text, "<GetQueueUrlResult><QueueUrl>"+s.URL(web.URL, "DeadJobs")+"</QueueUrl>") {
		t.Errorf("got %d %s", status, text)
	}
	for body, code := range map[string]string{
		"Action=SendMessage&QueueUrl=nothing&MessageBody=x":  "AWS.SimpleQueueService.NonExistentQueue",
		"Action=SendMessage&MessageBody=x&DelaySeconds=soon": "InvalidParameterValue",
		"Action=ReceiveMessage":                              "InvalidAction",
		"Action=%zz":                                         "MalformedQueryString",
	} {
		if status, text := post("/123456789012/Jobs", body); status != http.StatusBadRequest || !strings.Contains(text, "<Code>"+code+"</Code>") {
			t.Errorf("%s: got %d %s", body, status, text)
		}
	}
	for path, want := range map[string]bool{"/123456789012/Jobs": true, "/123456789012/none": false, "/else/Jobs": false} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if got := s.Owns(r); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}
