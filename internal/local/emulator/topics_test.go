package emulator

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// told is a template with a topic that a route publishes to, and whom it tells.
const told = `
Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}
  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Api, StageName: dev, AutoDeploy: true}}
  Publish:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS
      IntegrationUri: !Sub arn:aws:apigateway:${AWS::Region}:sns:action/Publish
      RequestParameters:
        integration.request.querystring.TopicArn: !Sub "'${Orders}'"
        integration.request.querystring.Message: route.request.body.data
  Route: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: order, Target: !Sub "integrations/${Publish}"}}
  Orders:
    Type: AWS::SNS::Topic
    Properties:
      TopicName: orders
      Subscription: [{Protocol: lambda, Endpoint: !GetAtt All.Arn}, {Protocol: email, Endpoint: me@example.org}]
  Copies: {Type: AWS::SQS::Queue}
  ToCopies: {Type: AWS::SNS::Subscription, Properties: {TopicArn: !Ref Orders, Protocol: sqs, Endpoint: !GetAtt Copies.Arn}}
  Bare: {Type: AWS::SQS::Queue}
  ToBare:
    Type: AWS::SNS::Subscription
    Properties:
      TopicArn: !Ref Orders
      Protocol: sqs
      Endpoint: !GetAtt Bare.Arn
      RawMessageDelivery: true
      FilterPolicyScope: MessageBody
      FilterPolicy: {total: [{numeric: [">", 5]}]}
  All: {Type: AWS::Serverless::Function, Properties: {Timeout: 30}}
  Large:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 30
      Events:
        Orders: {Type: SNS, Properties: {Topic: !Ref Orders, FilterPolicy: {kind: [large]}}}
        Odd: {Type: SNS, Properties: {Topic: !Ref Orders, FilterPolicy: {kind: [{cidr: 10.0.0.0/8}]}}}
        Else: {Type: SNS, Properties: {Topic: arn:aws:sns:us-east-1:123456789012:elsewhere}}
`

// topicWorld is that template, with an address and what its functions get.
type topicWorld struct {
	*Emulator

	tpl  *template.Template
	url  string
	all  chan string
	some chan string
}

func openTopics(t *testing.T) topicWorld {
	t.Helper()
	tpl, err := template.Read([]byte(told), template.Options{File: "told.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	w := topicWorld{tpl: tpl, all: make(chan string, 10), some: make(chan string, 10)}
	into := func(c chan string) invoke.Function {
		return fn(func(_ context.Context, event []byte) ([]byte, error) {
			c <- string(event)
			return []byte(`{}`), nil
		})
	}
	if w.Emulator, err = New(Config{Template: tpl, Functions: map[string]invoke.Function{"All": into(w.all), "Large": into(w.some)}}); err != nil {
		t.Fatal(err)
	}
	w.Start()
	web := httptest.NewServer(w.Emulator)
	w.url = web.URL
	t.Cleanup(func() {
		closeNow(t, w.Emulator)
		web.Close()
	})
	return w
}

// publish posts a form as an SDK does.
func (w topicWorld) publish(t *testing.T, form url.Values) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=local/20240101/us-east-1/sns/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(r)
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

func hear(t *testing.T, c chan string) string {
	t.Helper()
	select {
	case event := <-c:
		return event
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		return ""
	}
}

const orders = "arn:aws:sns:us-east-1:123456789012:orders"

// TestTopics publishes as programs do: to functions, whose filter may be against it, and to queues.
func TestTopics(t *testing.T) {
	w := openTopics(t)
	status, text := w.publish(t, url.Values{
		"Action": {"Publish"}, "TopicArn": {orders}, "Message": {`{"total":7}`}, "Subject": {"Order"},
		"MessageAttributes.entry.1.Name": {"kind"}, "MessageAttributes.entry.1.Value.DataType": {"String"}, "MessageAttributes.entry.1.Value.StringValue": {"large"},
	})
	if status != http.StatusOK || !strings.Contains(text, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>`) {
		t.Fatalf("got %d %s", status, text)
	}
	for _, c := range []chan string{w.all, w.some} {
		var event struct {
			Records []struct {
				EventSource string
				Sns         struct {
					Type, MessageID, TopicArn, Subject, Message, Timestamp string
					MessageAttributes                                      map[string]struct{ Type, Value string }
				}
			}
		}
		text := hear(t, c)
		if err := json.Unmarshal([]byte(text), &event); err != nil || len(event.Records) != 1 {
			t.Fatalf("got %s, %v", text, err)
		}
		r := event.Records[0]
		if r.EventSource != "aws:sns" || r.Sns.Type != "Notification" || r.Sns.TopicArn != orders || r.Sns.Subject != "Order" ||
			r.Sns.Message != `{"total":7}` || r.Sns.MessageAttributes["kind"].Value != "large" {
			t.Errorf("got %s", text)
		}
	}
	if got := w.Queues.Waiting("Bare"); len(got) != 1 || got[0].Body != `{"total":7}` || *got[0].Attributes["kind"].String != "large" {
		t.Errorf("the raw message is %+v", got)
	}
	var envelope struct{ Type, Message, TopicArn, UnsubscribeURL string }
	if got := w.Queues.Waiting("Copies"); len(got) != 1 || json.Unmarshal([]byte(got[0].Body), &envelope) != nil || envelope.Message != `{"total":7}` || envelope.UnsubscribeURL == "" {
		t.Errorf("the message is %+v", got)
	}
	status, text = w.publish(t, url.Values{
		"Action": {"PublishBatch"}, "TopicArn": {orders}, "PublishBatchRequestEntries.member.1.Id": {"a"}, "PublishBatchRequestEntries.member.2.Id": {"b"},
		"PublishBatchRequestEntries.member.1.Message": {`{"default":"to all","lambda":"to functions"}`}, "PublishBatchRequestEntries.member.1.MessageStructure": {"json"},
	})
	if status != http.StatusOK || !strings.Contains(text, "<Successful><member><Id>a</Id>") || !strings.Contains(text, "<Failed><member><Id>b</Id><Code>InvalidParameter</Code>") {
		t.Errorf("a batch gives %d %s", status, text)
	}
	if got := hear(t, w.all); !strings.Contains(got, `"Message":"to functions"`) || !strings.Contains(got, `"MessageAttributes":{}`) {
		t.Errorf("got %s", got)
	}
	if n := len(w.Queues.Waiting("Bare")); n != 1 || len(w.some) > 0 {
		t.Errorf("what filters refuse has come: %d messages in the queue, %d events", n, len(w.some))
	}
}

// TestTopicsRefuse: what cannot be published is said, and what does not come is in the template's warnings.
func TestTopicsRefuse(t *testing.T) {
	w := openTopics(t)
	for want, form := range map[string]url.Values{
		"<Code>NotFound</Code><Message>Topic does not exist: the template has no topic arn:aws:sns:us-east-1:123456789012:none": {"Action": {"Publish"}, "TopicArn": {"arn:aws:sns:us-east-1:123456789012:none"}, "Message": {"x"}},
		"Invalid parameter: Empty message":    {"Action": {"Publish"}, "TopicArn": {orders}},
		"Invalid parameter: Message too long": {"Action": {"Publish"}, "TopicArn": {orders}, "Message": {strings.Repeat("x", 256<<10+1)}},
		"No default entry":                    {"Action": {"Publish"}, "TopicArn": {orders}, "Message": {`{"lambda":"x"}`}, "MessageStructure": {"json"}},
		"no value for required parameter":     {"Action": {"Publish"}, "PhoneNumber": {"+491234"}, "Message": {"x"}},
		"Subscribe is not emulated":           {"Action": {"Subscribe"}},
		"EmptyBatchRequest":                   {"Action": {"PublishBatch"}, "TopicArn": {orders}},
	} {
		if status, text := w.publish(t, form); status < http.StatusBadRequest || !strings.Contains(text, want) {
			t.Errorf("%v: got %d %s", form, status, text)
		}
	}
	for _, want := range []string{
		`Orders: of the topic Orders nothing is delivered by email, only to functions and queues`,
		`LargeOdd: FilterPolicy: the event pattern's operator "cidr" of kind is not emulated; its messages do not come`,
		`LargeElse: the topic arn:aws:sns:us-east-1:123456789012:elsewhere is not in this template; its messages do not come`,
	} {
		if !slices.ContainsFunc(w.tpl.Warnings, func(e *template.Error) bool { return e.Text == want }) {
			t.Errorf("no warning %q in %v", want, w.tpl.Warnings)
		}
	}
}

// TestRoutesPublish: a route leads to a topic without a function.
func TestRoutesPublish(t *testing.T) {
	w := openTopics(t)
	//nolint:bodyclose // Dial's own comment: you never need to close it
	conn, _, err := websocket.Dial(t.Context(), w.url+"/dev", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"action":"order","data":"one tea"}`)); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, w.all); !strings.Contains(got, `"Message":"one tea"`) {
		t.Errorf("got %s", got)
	}
}
