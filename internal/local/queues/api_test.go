package queues

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// sqsClient is the real SDK, which checks every checksum that it gets.
func sqsClient(web *httptest.Server) *sqs.Client {
	return sqs.New(sqs.Options{
		BaseEndpoint: &web.URL, Region: "us-east-1", HTTPClient: web.Client(), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
}

func TestSQSWithTheGoSDK(t *testing.T) {
	ctx := t.Context()
	job, events := collect(`{}`)
	s, web := serve(t, job)
	client := sqsClient(web)
	url := func(name string) *string {
		t.Helper()
		out, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
		if err != nil {
			t.Fatal(err)
		}
		return out.QueueUrl
	}
	jobs, dead := url("Jobs"), url("DeadJobs")
	if want := web.URL + "/123456789012/Jobs"; *jobs != want || s.URL(web.URL+"/", "arn:aws:sqs:us-east-1:123456789012:Jobs") != want {
		t.Errorf("got %s, want %s", *jobs, want)
	}
	attributes := map[string]types.MessageAttributeValue{
		"kind": {DataType: aws.String("String"), StringValue: aws.String("größe")},
		"n":    {DataType: aws.String("Number.int"), StringValue: aws.String("7")},
		"raw":  {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 255}},
	}

	t.Run("what is sent reaches the function with its attributes", func(t *testing.T) {
		sent, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: jobs, MessageBody: aws.String("hello"), MessageAttributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		if *sent.MD5OfMessageBody != "5d41402abc4b2a76b9719d911017c592" || len(*sent.MD5OfMessageAttributes) != 32 {
			t.Errorf("got %s, %s", *sent.MD5OfMessageBody, *sent.MD5OfMessageAttributes)
		}
		var event struct {
			Records []struct {
				MessageID         string `json:"messageId"`
				Body              string
				MessageAttributes map[string]struct{ DataType, StringValue, BinaryValue string }
			}
		}
		if err := json.Unmarshal(receive(t, events), &event); err != nil {
			t.Fatal(err)
		}
		r := event.Records[0]
		if r.Body != "hello" || r.MessageID != *sent.MessageId || r.MessageAttributes["kind"].StringValue != "größe" ||
			r.MessageAttributes["n"].DataType != "Number.int" || r.MessageAttributes["raw"].BinaryValue != "AAH/" {
			t.Errorf("got %+v", r)
		}
	})

	t.Run("a batch is taken in part", func(t *testing.T) {
		out, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: dead, Entries: []types.SendMessageBatchRequestEntry{
			{Id: aws.String("a"), MessageBody: aws.String("1"), MessageAttributes: attributes},
			{Id: aws.String("b"), MessageBody: aws.String("2"), DelaySeconds: 901},
			{Id: aws.String("c"), MessageBody: aws.String("3"), DelaySeconds: 900},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Successful) != 2 || *out.Successful[0].Id != "a" || *out.Successful[1].Id != "c" {
			t.Errorf("got %+v", out.Successful)
		}
		if len(out.Failed) != 1 || *out.Failed[0].Id != "b" || *out.Failed[0].Code != "InvalidParameterValue" || !out.Failed[0].SenderFault {
			t.Errorf("got %+v", out.Failed)
		}
	})

	t.Run("received, hidden, extended, deleted", func(t *testing.T) {
		got, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: dead, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"k*", "kind", "n", "ra.*"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"ApproximateReceiveCount"},
		})
		if err != nil || len(got.Messages) != 1 {
			t.Fatalf("got %+v, %v", got, err)
		}
		m := got.Messages[0]
		if *m.Body != "1" || m.Attributes["ApproximateReceiveCount"] != "1" || len(m.Attributes) != 1 ||
			*m.MessageAttributes["kind"].StringValue != "größe" || m.MessageAttributes["raw"].BinaryValue == nil {
			t.Errorf("got %+v", m)
		}
		count, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: dead, AttributeNames: []types.QueueAttributeName{"All"}})
		if err != nil {
			t.Fatal(err)
		}
		if a := count.Attributes; a["ApproximateNumberOfMessages"] != "0" || a["ApproximateNumberOfMessagesNotVisible"] != "1" || a["ApproximateNumberOfMessagesDelayed"] != "1" {
			t.Errorf("got %v", a)
		}
		change := func(receipt *string) error {
			_, err := client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: dead, ReceiptHandle: receipt, VisibilityTimeout: 0})
			return err
		}
		if err := change(m.ReceiptHandle); err != nil {
			t.Fatal(err)
		}
		again, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: dead, WaitTimeSeconds: 5})
		if err != nil || len(again.Messages) != 1 || *again.Messages[0].MessageId != *m.MessageId {
			t.Fatalf("got %+v, %v", again, err)
		}
		remove := func(receipt *string) {
			if _, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: dead, ReceiptHandle: receipt}); err != nil {
				t.Error(err)
			}
		}
		remove(m.ReceiptHandle)
		if n := len(s.Waiting("DeadJobs")); n != 2 {
			t.Errorf("an old receipt deleted the message: %d are left", n)
		}
		remove(again.Messages[0].ReceiptHandle)
		remove(again.Messages[0].ReceiptHandle)
		if n := len(s.Waiting("DeadJobs")); n != 1 {
			t.Errorf("%d are left", n)
		}
		var invalid *types.ReceiptHandleIsInvalid
		if err := change(aws.String("nonsense")); !errors.As(err, &invalid) {
			t.Errorf("got %v", err)
		}
		if _, err := client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: dead}); err != nil || len(s.Waiting("DeadJobs")) != 0 {
			t.Errorf("after a purge: %v, %d", err, len(s.Waiting("DeadJobs")))
		}
	})

	t.Run("lists", func(t *testing.T) {
		out, err := client.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: aws.String("Dead")})
		if err != nil || !slices.Equal(out.QueueUrls, []string{*dead}) {
			t.Errorf("got %+v, %v", out, err)
		}
	})
}

// TestMD5OfAttributes has sums that SQS itself was seen to answer with.
func TestMD5OfAttributes(t *testing.T) {
	got := md5OfAttributes(map[string]MessageAttribute{"timestamp": {Type: "Number", String: aws.String("1493147359900")}})
	if want := "235c5c510d26fb653d073faed50ae77c"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSQSErrors(t *testing.T) {
	s, web := serve(t, answers(`{}`))
	client, ctx := sqsClient(web), t.Context()
	jobs := aws.String(s.URL(web.URL, "Jobs"))
	entry := func(id, body string) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body}
	}
	batch := func(entries ...types.SendMessageBatchRequestEntry) error {
		_, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: jobs, Entries: entries})
		return err
	}
	send := func(in *sqs.SendMessageInput) error {
		_, err := client.SendMessage(ctx, in)
		return err
	}
	var eleven []types.SendMessageBatchRequestEntry
	for i := range 11 {
		eleven = append(eleven, entry(fmt.Sprint(i), "x"))
	}
	big := strings.Repeat("x", 600<<10)
	tests := []struct {
		name string
		err  error
		want string // a type of the SDK, or a code
	}{
		{"an unknown queue", send(&sqs.SendMessageInput{QueueUrl: aws.String(web.URL + "/123456789012/None"), MessageBody: jobs}), "*types.QueueDoesNotExist"},
		{"11 entries", batch(eleven...), "*types.TooManyEntriesInBatchRequest"},
		{"no entries", batch([]types.SendMessageBatchRequestEntry{}...), "*types.EmptyBatchRequest"},
		{"one id twice", batch(entry("a", "1"), entry("a", "2")), "*types.BatchEntryIdsNotDistinct"},
		{"a bad id", batch(entry("a b", "1")), "*types.InvalidBatchEntryId"},
		{"1.2 MB in a batch", batch(entry("a", big), entry("b", big)), "*types.BatchRequestTooLong"},
		{"1.2 MB in a message", send(&sqs.SendMessageInput{QueueUrl: jobs, MessageBody: aws.String(big + big)}), "InvalidParameterValue"},
		{"a delay of 901 s", send(&sqs.SendMessageInput{QueueUrl: jobs, MessageBody: jobs, DelaySeconds: 901}), "InvalidParameterValue"},
		{"a control character", send(&sqs.SendMessageInput{QueueUrl: jobs, MessageBody: aws.String("\x01")}), "*types.InvalidMessageContents"},
		{"an attribute without a value", send(&sqs.SendMessageInput{QueueUrl: jobs, MessageBody: jobs, MessageAttributes: map[string]types.MessageAttributeValue{"a": {DataType: aws.String("String")}}}), "InvalidParameterValue"},
	}
	_, create := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("Jobs")})
	tests = append(tests, struct {
		name string
		err  error
		want string
	}{"another action", create, "*types.UnsupportedOperation"})
	for _, tt := range tests {
		api, ok := errors.AsType[smithy.APIError](tt.err)
		if !ok {
			t.Errorf("%s: got %v", tt.name, tt.err)
		} else if got := fmt.Sprintf("%T", api); got != tt.want && api.ErrorCode() != tt.want {
			t.Errorf("%s: got %s %s, want %s", tt.name, got, api.ErrorCode(), tt.want)
		}
	}
	if n := s.Stats()["Jobs"].Sent; n != 0 {
		t.Errorf("%d were taken", n)
	}
}

func TestSQSErrorOnTheWire(t *testing.T) {
	_, web := serve(t, answers(`{}`))
	status, header, body := post(t, web, "AmazonSQS.SendMessage", `{"QueueUrl":"none","MessageBody":"x"}`)
	if status != http.StatusBadRequest || header.Get("X-Amzn-Query-Error") != "AWS.SimpleQueueService.NonExistentQueue;Sender" ||
		body != `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist: none"}` {
		t.Errorf("got %d %v %s", status, header, body)
	}
	if status, _, body := post(t, web, "AmazonSQS.SendMessage", `{`); status != http.StatusBadRequest || !strings.Contains(body, "MalformedInput") {
		t.Errorf("got %d %s", status, body)
	}
}

func TestQueueOfNobodyIsReceivedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, answers(`{}`), Config{})
		q := s.find("DeadJobs")
		if err := s.Send(t.Context(), "DeadJobs", "x", 10*time.Second); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if got := q.poll(nil, 1, time.Minute, 5*time.Second); got != nil || time.Since(begin) != 5*time.Second {
			t.Errorf("got %v after %v", got, time.Since(begin))
		}
		if got := q.poll(nil, 1, time.Minute, 20*time.Second); len(got) != 1 || time.Since(begin) > 11*time.Second {
			t.Errorf("got %v after %v", got, time.Since(begin))
		}
		if got := q.poll(nil, 1, time.Minute, 0); got != nil {
			t.Errorf("got %v while it is hidden", got)
		}
		elapse(time.Minute)
		if got := q.poll(nil, 1, time.Minute, 0); len(got) != 1 || got[0].Receives != 2 {
			t.Errorf("got %v after its visibility timeout", got)
		}
		if err := q.changeVisibility("!", aws.Int(60)); err == nil {
			t.Error("nonsense is a receipt")
		}
		if err := q.changeVisibility(newReceipt("x"), aws.Int(13*3600)); err == nil {
			t.Error("13 hours are a visibility timeout")
		}
		closeNow(t, s)
	})
}
