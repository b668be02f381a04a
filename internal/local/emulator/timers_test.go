package emulator

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// These tests run on a fake clock, with pipes in place of sockets.

// pipeWriter is a ResponseWriter that hands over one end of a pipe.
type pipeWriter struct {
	*httptest.ResponseRecorder
	sock net.Conn
}

// Hijack is http.Hijacker's.
func (w pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.sock, bufio.NewReadWriter(bufio.NewReader(w.sock), bufio.NewWriter(w.sock)), nil
}

// startInBubble is serve without a network. The caller closes the server.
func startInBubble(tb testing.TB, cfg Config) *Server {
	tb.Helper()
	if cfg.Template == nil {
		cfg.Template = with("default")
	}
	if cfg.Functions == nil {
		cfg.Functions = functions(nil)
	}
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	return s
}

func closeNow(tb testing.TB, s *Server) {
	tb.Helper()
	if err := s.Close(context.Background()); err != nil {
		tb.Error(err)
	}
}

// pipe opens a connection over a pipe and reads the 101.
func pipe(tb testing.TB, s *Server) *client {
	tb.Helper()
	near, far := net.Pipe()
	return pipeOver(tb, s, near, far)
}

func pipeOver(tb testing.TB, s *Server, near, far net.Conn) *client {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "/dev", nil)
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	s.Handler().ServeHTTP(pipeWriter{httptest.NewRecorder(), far}, r)
	c := &client{tb: tb, sock: near, in: bufio.NewReader(near)}
	if got := c.answer(); got.status != http.StatusSwitchingProtocols {
		tb.Fatalf("got %d", got.status)
	}
	return c
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disconnect, events := collect(ok)
		s := startInBubble(t, Config{Functions: functions(map[string]Function{"disconnect": disconnect})})
		defer closeNow(t, s)
		begin := time.Now()
		silent, sender, pinger := pipe(t, s), pipe(t, s), pipe(t, s)
		closed := map[*client]chan time.Duration{}
		for _, c := range []*client{silent, sender, pinger} {
			ch := make(chan time.Duration, 1)
			closed[c] = ch
			go func() {
				c.wantClose(1001, "Going away")
				ch <- time.Since(begin)
				c.sock.Close()
			}()
		}
		elapse(9 * time.Minute)
		sender.send(`{"action":"send"}`)
		go pinger.write(ws.MaskFrame(ws.NewPingFrame(nil)))
		synctest.Wait()
		for want, c := range map[time.Duration]*client{10 * time.Minute: silent, 19 * time.Minute: sender} {
			if got := <-closed[c]; got < want || got > want+2*time.Second {
				t.Errorf("closed after %v, want %v", got, want)
			}
		}
		if got := <-closed[pinger]; got > 11*time.Minute {
			t.Errorf("a ping counted as activity: closed after %v", got)
		}
		if got := contextOf(t, <-events); got["disconnectStatusCode"] != 1001.0 || got["disconnectReason"] != "Going away" {
			t.Errorf("got %v", got)
		}
	})
}

func TestPostCountsAsActivityAndNothingLivesBeyondTwoHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startInBubble(t, Config{})
		defer closeNow(t, s)
		c := pipe(t, s)
		id := s.Connections()[0].ID
		begin := time.Now()
		done := make(chan time.Duration, 1)
		go func() {
			c.wantClose(1001, "Going away")
			done <- time.Since(begin)
			c.sock.Close()
		}()
		for range 23 {
			elapse(5 * time.Minute)
			if err := s.Post(t.Context(), id, []byte("still there?")); err != nil {
				t.Fatal(err)
			}
		}
		if got := <-done; got < 2*time.Hour || got > 2*time.Hour+2*time.Second {
			t.Errorf("closed after %v", got)
		}
	})
}

func TestIntegrationTimeoutIs29Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startInBubble(t, Config{Functions: functions(map[string]Function{"message": fn(func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})})})
		defer closeNow(t, s)
		c := pipe(t, s)
		begin := time.Now()
		c.send(`{"action":"echo"}`)
		if got := string(c.frame().Payload); !strings.HasPrefix(got, `{"message": "Endpoint request timed out", "connectionId":"`) {
			t.Errorf("got %s", got)
		}
		if got := time.Since(begin); got != 29*time.Second {
			t.Errorf("after %v", got)
		}
		c.sock.Close()
	})
}

func TestFunctionTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startInBubble(t, Config{
			Template: []byte(strings.Replace(string(with()), "Timeout: 60", "Timeout: 3", 1)),
			Functions: functions(map[string]Function{"job": fn(func(context.Context, []byte) ([]byte, error) {
				elapse(time.Minute) // does not look at its context
				return nil, nil
			})}),
		})
		_, err := s.Invoke(t.Context(), "job", nil)
		if err == nil || err.Error() != "Task timed out after 3.00 seconds" || errorType(err) != "Sandbox.Timedout" {
			t.Errorf("got %v", err)
		}
		closeNow(t, s)
	})
}

func TestReceiverThatIsDeadIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disconnect, events := collect(ok)
		s := startInBubble(t, Config{Functions: functions(map[string]Function{"disconnect": disconnect})})
		defer closeNow(t, s)
		c := pipe(t, s)
		defer c.sock.Close()
		id := s.Connections()[0].ID
		if err := s.Post(t.Context(), id, []byte("nobody reads this")); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if got := contextOf(t, <-events)["disconnectStatusCode"]; got != 1006.0 {
			t.Errorf("got %v", got)
		}
		if got := time.Since(begin); got != writeWait {
			t.Errorf("after %v", got)
		}
	})
}

// deadlineConn keeps the last write deadline.
type deadlineConn struct {
	net.Conn

	last chan time.Time
}

func (c deadlineConn) SetWriteDeadline(t time.Time) error {
	c.last <- t
	return c.Conn.SetWriteDeadline(t)
}

func TestWriteDeadlineDoesNotOutliveItsWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startInBubble(t, Config{})
		near, far := net.Pipe()
		deadlines := make(chan time.Time, 10)
		c := pipeOver(t, s, near, deadlineConn{far, deadlines})
		synctest.Wait()
		if first, second := <-deadlines, <-deadlines; !first.Equal(time.Now().Add(writeWait)) || !second.IsZero() {
			t.Errorf("got %v and then %v", first, second)
		}
		c.sock.Close()
		closeNow(t, s)
	})
}

func TestShuffleReordersMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		s := startInBubble(t, Config{Faults: Faults{Shuffle: time.Second}, Functions: functions(map[string]Function{"message": fn(func(_ context.Context, event []byte) ([]byte, error) {
			var e struct {
				Body string `json:"body"`
			}
			_ = json.Unmarshal(event, &e)
			order = append(order, e.Body) // the fake clock lets one wake at a time
			return []byte(ok), nil
		})})})
		c := pipe(t, s)
		var sent []string
		for i := range 20 {
			sent = append(sent, fmt.Sprintf("%02d", i))
			c.send(sent[i])
		}
		elapse(time.Minute)
		synctest.Wait()
		c.sock.Close()
		closeNow(t, s)
		if len(order) != 20 || fmt.Sprint(order) == fmt.Sprint(sent) {
			t.Errorf("got %v", order)
		}
	})
}

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		job, events := collect(`{}`)
		s := startInBubble(t, Config{Functions: functions(map[string]Function{"job": job})})
		begin := time.Now()
		event := <-events
		if got := time.Since(begin); got != 5*time.Minute {
			t.Errorf("after %v", got)
		}
		want := []string{".version", ".id", ".detail-type", ".source", ".account", ".time", ".region", ".resources", ".detail"}
		if got := keys(t, event); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v", got)
		}
		if !strings.Contains(string(event), `"source":"aws.scheduler"`) {
			t.Errorf("got %s", event)
		}
		<-events
		closeNow(t, s)
	})
	synctest.Test(t, func(t *testing.T) {
		job, events := collect(`{}`)
		s := startInBubble(t, Config{NoSchedules: true, Functions: functions(map[string]Function{"job": job})})
		elapse(time.Hour)
		if len(events) > 0 {
			t.Error("a schedule ran that was off")
		}
		closeNow(t, s)
	})
}

func TestAsynchronousInvocationIsRetriedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := make(chan time.Time, 10)
		s := startInBubble(t, Config{NoSchedules: true, Functions: functions(map[string]Function{"job": fn(func(context.Context, []byte) ([]byte, error) {
			at <- time.Now()
			return nil, errors.New("boom")
		})})})
		begin := time.Now()
		if err := s.InvokeAsync("job", []byte("{}")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []time.Duration{0, time.Minute, 3 * time.Minute} {
			if got := (<-at).Sub(begin); got != want {
				t.Errorf("ran after %v, want %v", got, want)
			}
		}
		elapse(time.Hour)
		if len(at) != 0 {
			t.Error("ran a fourth time")
		}
		closeNow(t, s)
	})
}

// record is what a queue function reads.
type record struct {
	MessageID      string            `json:"messageId"`
	Body           string            `json:"body"`
	Attributes     map[string]string `json:"attributes"`
	MD5            string            `json:"md5OfBody"`
	EventSource    string            `json:"eventSource"`
	EventSourceARN string            `json:"eventSourceARN"`
}

func records(tb testing.TB, event []byte) []record {
	tb.Helper()
	var e struct {
		Records []record `json:"Records"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		tb.Fatal(err)
	}
	return e.Records
}

func TestQueueDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		job, events := collect(`{"batchItemFailures":[]}`)
		s := startInBubble(t, Config{NoSchedules: true, Functions: functions(map[string]Function{"job": job})})
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
		got := records(t, event)[0]
		if got.Body != `now "1"` || got.Attributes["ApproximateReceiveCount"] != "1" || got.EventSource != "aws:sqs" ||
			got.EventSourceARN != "arn:aws:sqs:us-east-1:123456789012:Jobs" || len(got.MD5) != 32 {
			t.Errorf("got %+v", got)
		}
		want := ".Records.messageId .Records.receiptHandle .Records.body .Records.attributes .Records.attributes.ApproximateReceiveCount .Records.attributes.SentTimestamp .Records.attributes.SenderId .Records.attributes.ApproximateFirstReceiveTimestamp .Records.messageAttributes .Records.md5OfBody .Records.eventSource .Records.eventSourceARN .Records.awsRegion"
		if got := strings.Join(keys(t, event)[1:], " "); got != want {
			t.Errorf("got keys %s", got)
		}
		if got := records(t, <-events)[0]; got.Body != "late" || time.Since(begin) != 90*time.Second {
			t.Errorf("got %s after %v", got.Body, time.Since(begin))
		}
		synctest.Wait()
		if st := s.Stats().Queues["Jobs"]; st.Waiting != 0 || st.Sent != 2 || st.Done != 2 {
			t.Errorf("got %+v", st)
		}
		closeNow(t, s)
	})
}

func TestQueueBatchesAndPartialFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int64
		s := startInBubble(t, Config{NoSchedules: true, Functions: functions(map[string]Function{"job": fn(func(_ context.Context, event []byte) ([]byte, error) {
			rs := records(t, event)
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
		})})})
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
		if q := st.Queues["Jobs"]; q.Done != 11 || q.Failed != 3 || q.DeadLetters != 1 || q.Waiting != 0 || st.Queues["DeadJobs"].Waiting != 1 {
			t.Errorf("got %+v", st.Queues)
		}
		closeNow(t, s)
	})
}

func TestQueueRetriesAWholeBatchThatThrows(t *testing.T) {
	for _, out := range []fn{throws(errors.New("boom")), answers(`{"batchItemFailures":[{"itemIdentifier":"unknown"}]}`), answers(`[`)} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			s := startInBubble(t, Config{NoSchedules: true, QueueRetry: time.Second, Functions: functions(map[string]Function{"job": fn(func(ctx context.Context, event []byte) ([]byte, error) {
				if calls.Add(1) == 1 {
					return out(ctx, event)
				}
				if got := records(t, event)[0].Attributes["ApproximateReceiveCount"]; got != "2" {
					t.Errorf("got receive count %s", got)
				}
				return []byte(`{"batchItemFailures":null}`), nil
			})})})
			if err := s.Send(t.Context(), "Jobs", "x", 0); err != nil {
				t.Fatal(err)
			}
			elapse(10 * time.Second)
			synctest.Wait()
			if st := s.Stats().Queues["Jobs"]; calls.Load() != 2 || st.Waiting != 0 {
				t.Errorf("got %d calls, %+v", calls.Load(), st)
			}
			closeNow(t, s)
		})
	}
}

func TestSendErrors(t *testing.T) {
	s := serve(t, Config{})
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
		var api *APIError
		if err := s.Send(t.Context(), tt.queue, tt.body, tt.delay); !errors.As(err, &api) || api.Code != tt.want {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
	if got := s.DeadLetters("None"); got != nil {
		t.Errorf("got %v", got)
	}
}

// elapse lets the fake clock run.
func elapse(d time.Duration) { <-time.After(d) }
