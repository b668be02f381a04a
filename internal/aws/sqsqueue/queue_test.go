package sqsqueue_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bellhop-rt/bellhop/internal/aws/sqsqueue"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

type message struct {
	QueueURL     string `json:"QueueUrl"`
	MessageBody  string `json:"MessageBody"`
	DelaySeconds int    `json:"DelaySeconds"`
}

// newQueue gives a queue whose messages go to got; it answers with status.
func newQueue(tb testing.TB, got *[]message, status int) *sqsqueue.Queue {
	tb.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			tb.Error(err)
		}
		*got = append(*got, m)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, `{"MessageId":"m1"}`)
	}))
	tb.Cleanup(s.Close)
	client := sqs.New(sqs.Options{
		BaseEndpoint: &s.URL, Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		Retryer: aws.NopRetryer{}, DisableMessageChecksumValidation: true,
	})
	return sqsqueue.New(client, "https://sqs.example/q")
}

func TestEnqueue(t *testing.T) {
	var got []message
	q := newQueue(t, &got, http.StatusOK)
	job := hub.Job{
		Kind: hub.JobRetry, Room: "channel:1", Attempt: 2, Event: &protocol.Event{Event: "e", Seq: 3, Data: json.RawMessage("{\"a\":\"<b>\uFFFE\uFFFF\"}")},
		Targets: []hub.Target{{Connection: "c=", User: "ana", Shard: 4}},
	}
	for delay, want := range map[time.Duration]int{
		0: 0, -time.Second: 0, time.Millisecond: 1, 10 * time.Second: 10, 1500 * time.Millisecond: 2, time.Hour: 900,
	} {
		got = nil
		if err := q.Enqueue(t.Context(), job, delay); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].DelaySeconds != want || got[0].QueueURL != "https://sqs.example/q" {
			t.Errorf("%v: got %+v, want a delay of %d", delay, got, want)
		}
		if strings.ContainsAny(got[0].MessageBody, "\uFFFE\uFFFF") || !strings.Contains(got[0].MessageBody, "<b>") {
			t.Errorf("the body is %s", got[0].MessageBody)
		}
		var back hub.Job
		if err := json.Unmarshal([]byte(got[0].MessageBody), &back); err != nil {
			t.Fatal(err)
		}
		var data map[string]string
		if err := json.Unmarshal(back.Event.Data, &data); err != nil || data["a"] != "<b>\uFFFE\uFFFF" {
			t.Errorf("got data %q back, %v", data, err)
		}
		if back.Event.Data = job.Event.Data; !reflect.DeepEqual(back, job) {
			t.Errorf("got %+v back", back)
		}
	}
}

func TestEnqueueFails(t *testing.T) {
	var got []message
	err := newQueue(t, &got, http.StatusOK).Enqueue(t.Context(), hub.Job{Kind: hub.JobFanOut, Room: strings.Repeat("x", 300<<10)}, 0)
	if err == nil || !strings.Contains(err.Error(), "bytes") || len(got) != 0 {
		t.Errorf("too large: got %v", err)
	}
	err = newQueue(t, &got, http.StatusForbidden).Enqueue(t.Context(), hub.Job{Kind: hub.JobAbsence}, 0)
	if err == nil || !strings.Contains(err.Error(), "enqueue job absence") {
		t.Errorf("refused: got %v", err)
	}
}
