package gateway

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// Each choice is tested both ways: as it is by default, and as it can be made.

func TestChoiceConnectTimeoutStatus(t *testing.T) {
	for choice, want := range map[int]int{0: 502, 504: 504} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, setup{
				Choices: Choices{ConnectTimeoutStatus: choice},
				Functions: functions(map[string]invoke.Function{"connect": fn(func(ctx context.Context, _ []byte) ([]byte, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				})}),
			})
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/dev", nil)
			r.Header = http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
				"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			}
			begin := time.Now()
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != want || time.Since(begin) != 29*time.Second {
				t.Errorf("got %d after %v, want %d", w.Code, time.Since(begin), want)
			}
			closeNow(s)
		})
	}
}

func TestChoiceDeleteStatus(t *testing.T) {
	for choice, want := range map[int]int{0: 204, 200: 200} {
		f := serve(t, setup{Choices: Choices{DeleteStatus: choice}})
		_, id := f.openID(t)
		if res, _ := f.request(t, "DELETE", "/dev/@connections/"+id, ""); res.status != want {
			t.Errorf("got %d, want %d", res.status, want)
		}
	}
}

func TestChoiceAdmitWithoutStatus(t *testing.T) {
	for _, out := range []string{`null`, `{}`, `{"statusCode":403}`, `no JSON`} {
		for _, admit := range []bool{false, true} {
			want := 502
			switch {
			case strings.Contains(out, "403"):
				want = 403
			case admit && out != "no JSON":
				want = 101
			}
			f := serve(t, setup{Choices: Choices{AdmitWithoutStatus: admit}, Functions: functions(map[string]invoke.Function{"connect": answers(out)})})
			if _, res := f.dial(t, "/dev", nil); res.status != want {
				t.Errorf("%s, %v: got %d, want %d", out, admit, res.status, want)
			}
		}
	}
}

func TestChoiceTypedAuthorizerContext(t *testing.T) {
	for typed, want := range map[bool]string{
		false: `"authorizer":{"admin":"true","age":"7","name":"Ana",`,
		true:  `"authorizer":{"admin":true,"age":7,"name":"Ana",`,
	} {
		connect, connected := collect(ok)
		f := serve(t, setup{Template: with("default", "auth"), Choices: Choices{TypedAuthorizerContext: typed}, Functions: functions(map[string]invoke.Function{"connect": connect})})
		f.dial(t, "/dev?token=x", nil)
		if event := receive(t, connected); !bytes.Contains(event, []byte(want)) {
			t.Errorf("typed %v: got %s", typed, event)
		}
	}
}

func TestChoiceOneAtATime(t *testing.T) {
	for _, one := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var running, most atomic.Int64
			s := start(t, setup{Choices: Choices{OneAtATime: one}, Functions: functions(map[string]invoke.Function{"message": fn(func(context.Context, []byte) ([]byte, error) {
				most.Store(max(most.Load(), running.Add(1)))
				elapse(time.Second)
				running.Add(-1)
				return []byte(ok), nil
			})})})
			c := pipe(t, s)
			go func() {
				for range 5 {
					c.send(`{"action":"send"}`)
				}
			}()
			elapse(time.Minute)
			if got, want := most.Load(), map[bool]int64{false: 5, true: 1}[one]; got != want {
				t.Errorf("one at a time %v: %d ran at once, want %d", one, got, want)
			}
			c.sock.Close()
			closeNow(s)
		})
	}
}

func TestChoiceStrictRouteResponses(t *testing.T) {
	for strict, want := range map[bool]string{false: "oh", true: `{"message": "Internal server error"`} {
		f := serve(t, setup{Choices: Choices{StrictRouteResponses: strict}, Functions: functions(map[string]invoke.Function{"message": answers(`{"statusCode":500,"body":"oh"}`)})})
		c := f.open(t)
		c.send(`{"action":"echo"}`)
		if got := string(c.frame().Payload); !strings.HasPrefix(got, want) {
			t.Errorf("strict %v: got %s", strict, got)
		}
	}
}

func TestChoiceEmptyFrames(t *testing.T) {
	var done atomic.Int64
	f := serve(t, setup{Choices: Choices{EmptyFrames: true}, Functions: functions(map[string]invoke.Function{"message": fn(func(context.Context, []byte) ([]byte, error) {
		done.Add(1)
		return []byte(ok), nil
	})})})
	c := f.open(t)
	c.send(`{"action":"echo"}`)
	if got := c.frame(); got.Header.OpCode != ws.OpText || len(got.Payload) != 0 || done.Load() != 1 {
		t.Errorf("got %v", got)
	}
}

func TestChoicePingsKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, setup{Choices: Choices{PingsKeepAlive: true}})
		c := pipe(t, s)
		elapse(9 * time.Minute)
		c.write(ws.MaskFrame(ws.NewPingFrame(nil)))
		c.frame()
		elapse(9 * time.Minute)
		if n := len(s.Connections()); n != 1 {
			t.Errorf("%d connections are open after 18 minutes with a ping", n)
		}
		c.sock.Close()
		closeNow(s)
	})
}
