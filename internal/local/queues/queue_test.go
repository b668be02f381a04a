package queues

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
)

func TestQueueDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		job, events := collect(`{"batchItemFailures":[]}`)
		s := start(t, job, Config{})
		begin := time.Now()
		send := func(queue, body string, delay time.Duration) {
			if err := s.Send(t.Context(), queue, body, delay); err != nil {
				t.Fatal(err)
			}
		}
		send("Jobs", "late", 90*time.Second)
		if got := s.Waiting("Jobs"); len(got) != 1 || got[0].Body != "late" {
			t.Errorf("got waiting %+v", got)
		}
		send("arn:aws:sqs:us-east-1:123456789012:Jobs", `now "1"`, 0)
		event := <-events
		got := tasks(t, event)[0]
		if got.Body != `now "1"` || got.Attributes["ApproximateReceiveCount"] != "1" || got.EventSource != "aws:sqs" ||
			got.EventSourceARN != "arn:aws:sqs:us-east-1:123456789012:Jobs" || len(got.MD5) != 32 {
			t.Errorf("got %+v", got)
		}
		if want := regexp.MustCompile(`^{"Records":\[{"messageId":"[-0-9a-f]{36}","receiptHandle":"[^"]+","body":"now \\"1\\"","attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"\d+","SenderId":"123456789012","ApproximateFirstReceiveTimestamp":"\d+"},"messageAttributes":{},"md5OfBody":"[0-9a-f]{32}","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:us-east-1:123456789012:Jobs","awsRegion":"us-east-1"}\]}$`); !want.Match(event) {
			t.Errorf("got %s", event)
		}
		if got := tasks(t, <-events)[0]; got.Body != "late" || time.Since(begin) != 90*time.Second {
			t.Errorf("got %s after %v", got.Body, time.Since(begin))
		}
		synctest.Wait()
		if st := s.Stats()["Jobs"]; st.Waiting != 0 || st.Sent != 2 || st.Done != 2 {
			t.Errorf("got %+v", st)
		}
		closeNow(t, s)
	})
}

func TestQueueBatchesAndPartialFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int64
		s := start(t, fn(func(_ context.Context, event []byte) ([]byte, error) {
			rs := tasks(t, event)
			if len(rs) > 5 {
				t.Errorf("got a batch of %d", len(rs))
			}
			attempts.Add(int64(len(rs)))
			for _, r := range rs {
				if r.Body == "bad" {
					return fmt.Appendf(nil, `{"batchItemFailures":[{"itemIdentifier":%q}]}`, r.MessageID), nil
				}
			}
			return nil, nil
		}), Config{})
		for i := range 12 {
			body := fmt.Sprint(i)
			if i == 7 {
				body = "bad"
			}
			if err := s.Send(t.Context(), "Jobs", body, 0); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		for len(s.DeadLetters("Jobs")) == 0 {
			elapse(time.Second)
		}
		if got := time.Since(begin).Round(time.Minute); got != 3*time.Minute { // three deliveries, one visibility timeout after each
			t.Errorf("dead after %v", got)
		}
		synctest.Wait()
		dead := s.DeadLetters("DeadJobs")
		if len(dead) != 1 || dead[0].Body != "bad" || dead[0].Error == "" {
			t.Errorf("got %+v", dead)
		}
		if got := attempts.Load(); got != 14 {
			t.Errorf("got %d deliveries, want 12 and 2 retries", got)
		}
		st := s.Stats()
		if q := st["Jobs"]; q.Done != 11 || q.Failed != 3 || q.DeadLetters != 1 || q.Waiting != 0 || st["DeadJobs"].Waiting != 1 {
			t.Errorf("got %+v", st)
		}
		closeNow(t, s)
	})
}

func TestQueueRetriesAWholeBatchThatThrows(t *testing.T) {
	for _, out := range []fn{throws(errors.New("boom")), answers(`{"batchItemFailures":[{"itemIdentifier":"unknown"}]}`), answers(`[`)} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			s := start(t, fn(func(ctx context.Context, event []byte) ([]byte, error) {
				if calls.Add(1) == 1 {
					return out(ctx, event)
				}
				if got := tasks(t, event)[0].Attributes["ApproximateReceiveCount"]; got != "2" {
					t.Errorf("got receive count %s", got)
				}
				return []byte(`{"batchItemFailures":null}`), nil
			}), Config{Retry: time.Second})
			if err := s.Send(t.Context(), "Jobs", "x", 0); err != nil {
				t.Fatal(err)
			}
			elapse(10 * time.Second)
			synctest.Wait()
			if st := s.Stats()["Jobs"]; calls.Load() != 2 || st.Waiting != 0 {
				t.Errorf("got %d calls, %+v", calls.Load(), st)
			}
			closeNow(t, s)
		})
	}
}

func TestSendErrors(t *testing.T) {
	s, _ := serve(t, answers(`{}`))
	tests := []struct {
		name  string
		queue string
		body  string
		delay time.Duration
		want  string
	}{
		{"an unknown queue", "None", "x", 0, "QueueDoesNotExist"},
		{"no body", "Jobs", "", 0, "MissingParameter"},
		{"a character that SQS refuses", "Jobs", "a\x00b", 0, "InvalidMessageContents"},
		{"more than 1 MiB", "Jobs", strings.Repeat("x", 1<<20+1), 0, "InvalidParameterValue"},
		{"more than 15 minutes", "Jobs", "x", 15*time.Minute + 1, "InvalidParameterValue"},
	}
	for _, tt := range tests {
		var api *awserr.Error
		if err := s.Send(t.Context(), tt.queue, tt.body, tt.delay); !errors.As(err, &api) || api.Code != tt.want {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
	if got := s.DeadLetters("None"); got != nil {
		t.Errorf("got %v", got)
	}
}
