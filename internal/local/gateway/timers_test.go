package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
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

// start is serve without a network. The caller closes the server.
func start(tb testing.TB, c setup) *Server {
	tb.Helper()
	s, err := c.new()
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	return s
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
	s.ServeHTTP(pipeWriter{httptest.NewRecorder(), far}, r)
	c := &client{tb: tb, sock: near, in: bufio.NewReader(near)}
	if got := c.answer(); got.status != http.StatusSwitchingProtocols {
		tb.Fatalf("got %d", got.status)
	}
	return c
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disconnect, events := collect(ok)
		s := start(t, setup{Functions: functions(map[string]invoke.Function{"disconnect": disconnect})})
		defer closeNow(s)
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
		s := start(t, setup{})
		defer closeNow(s)
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
		s := start(t, setup{Functions: functions(map[string]invoke.Function{"message": fn(func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})})})
		defer closeNow(s)
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

func TestReceiverThatIsDeadIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disconnect, events := collect(ok)
		s := start(t, setup{Functions: functions(map[string]invoke.Function{"disconnect": disconnect})})
		defer closeNow(s)
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
		s := start(t, setup{})
		near, far := net.Pipe()
		deadlines := make(chan time.Time, 10)
		c := pipeOver(t, s, near, deadlineConn{far, deadlines})
		synctest.Wait()
		if first, second := <-deadlines, <-deadlines; !first.Equal(time.Now().Add(writeWait)) || !second.IsZero() {
			t.Errorf("got %v and then %v", first, second)
		}
		c.sock.Close()
		closeNow(s)
	})
}

func TestShuffleReordersMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		s := start(t, setup{Faults: Faults{Shuffle: time.Second}, Functions: functions(map[string]invoke.Function{"message": fn(func(_ context.Context, event []byte) ([]byte, error) {
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
		closeNow(s)
		if len(order) != 20 || fmt.Sprint(order) == fmt.Sprint(sent) {
			t.Errorf("got %v", order)
		}
	})
}

// elapse lets the fake clock run.
func elapse(d time.Duration) { <-time.After(d) }
