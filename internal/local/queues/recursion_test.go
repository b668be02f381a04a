package queues

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// TestRecursion: a function that leaves each message to its own queue again is stopped after 16, and the message is a dead letter that
// says why, unless the template allows it: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html.
func TestRecursion(t *testing.T) {
	for allowed, want := range map[string]int64{"": 16, "RecursiveLoop: Terminate": 16, "RecursiveLoop: Allow": 40} {
		synctest.Test(t, func(t *testing.T) {
			read, err := template.Read([]byte(strings.Replace(jobs, "Timeout: 60", "Timeout: 60\n      "+allowed, 1)), template.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var (
				s    *Service
				runs atomic.Int64
			)
			job := fn(func(ctx context.Context, event []byte) ([]byte, error) {
				if runs.Add(1) < 40 {
					return nil, s.Send(ctx, "Jobs", tasks(t, event)[0].Body, 10*time.Second)
				}
				return nil, nil
			})
			functions, err := invoke.New(invoke.Config{Template: read, Code: map[string]invoke.Function{"job": job}})
			if err != nil {
				t.Fatal(err)
			}
			if s, err = New(Config{Template: read, Functions: functions}); err != nil {
				t.Fatal(err)
			}
			s.Start()
			sendTo(t, s, "Jobs", "again", 0)
			sendTo(t, s, "Jobs", "other", 5*time.Second) // its row is another
			elapse(10 * time.Minute)
			synctest.Wait()
			dead := s.DeadLetters("Jobs")
			if want == 40 {
				if runs.Load() < 40 || len(dead) > 0 {
					t.Errorf("%q: ran %d times, dead letters %+v", allowed, runs.Load(), dead)
				}
			} else if runs.Load() != 2*want || len(dead) != 2 || !strings.Contains(dead[0].Error, "RecursiveLoop is Allow") {
				t.Errorf("%q: ran %d times, want 2 times %d, dead letters %+v", allowed, runs.Load(), want, dead)
			}
			closeNow(t, s)
		})
	}
}

// TestTraceHeader: what functions have led to comes with a message, as the SDKs send it, percent-encoded, and goes with it.
func TestTraceHeader(t *testing.T) {
	job, events := collect("")
	s := start(t, job, Config{})
	web := httptest.NewServer(s)
	defer web.Close()
	defer closeNow(t, s)
	const header = "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a87bd80c:1%7C68fd508a:5"
	send := func(trace, body string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", "AmazonSQS.SendMessage")
		r.Header.Set(invoke.TraceHeader, trace)
		res, err := web.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close() != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
	}
	queue := s.URL(web.URL, "Jobs")
	send(header, `{"QueueUrl":"`+queue+`","MessageBody":"by its header"}`)
	if got := tasks(t, receive(t, events))[0].Attributes["AWSTraceHeader"]; got != header {
		t.Errorf("got %q", got)
	}
	send("", `{"QueueUrl":"`+queue+`","MessageBody":"by its attribute","MessageSystemAttributes":{"AWSTraceHeader":{"DataType":"String","StringValue":"`+header+`"}}}`)
	if got := tasks(t, receive(t, events))[0].Attributes["AWSTraceHeader"]; got != header {
		t.Errorf("got %q", got)
	}
	send(header, `{"QueueUrl":"`+s.URL(web.URL, "DeadJobs")+`","MessageBody":"x"}`)
	_, _, answer := post(t, web, "AmazonSQS.ReceiveMessage", `{"QueueUrl":"`+s.URL(web.URL, "DeadJobs")+`","MessageSystemAttributeNames":["AWSTraceHeader"]}`)
	if !strings.Contains(answer, `"Attributes":{"AWSTraceHeader":"`+header) {
		t.Errorf("got %s", answer)
	}
}
