package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// TestReplay: a message that is done again is the connection's own to the function, with what its authorizer said, but its answer goes to
// whoever replays it, and nobody who watches takes it for a message.
func TestReplay(t *testing.T) {
	var (
		mu     sync.Mutex
		seen   []invoke.Cause
		events []json.RawMessage
	)
	told := make(chan string, 10)
	f := serve(t, setup{
		Template: with("auth"), Functions: functions(map[string]invoke.Function{"message": fn(func(ctx context.Context, event []byte) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			seen, events = append(seen, invoke.CauseOf(ctx)), append(events, event)
			if strings.Contains(string(event), "bad") {
				return nil, errors.New("bad")
			}
			return []byte(`{"statusCode":200,"body":"done"}`), nil
		})}),
		Observe: func(e Event) {
			if e.Kind == KindMessage {
				told <- e.Route
			}
		},
	})
	c, _ := f.dial(t, "/dev?token=x", nil)
	id := f.Connections()[0].ID
	replay := func(message string) (string, error) {
		answer, err := f.Replay(t.Context(), id, []byte(message))
		return string(answer), err
	}
	const message = `{"action":"echo","text":"hi"}`
	if got, err := replay(message); err != nil || got != "done" {
		t.Errorf("got %q, %v", got, err)
	}
	c.send(message)
	c.wantText("done")
	c.send(`{"action":"ping"}`)
	c.wantText(`{"event":"pong"}`) // and nothing of the other
	mu.Lock()
	if len(events) != 2 || seen[0] != seen[1] || seen[0] != (invoke.Cause{By: invoke.ByMessage, Connection: id, Route: seen[0].Route, Lineage: seen[0].Lineage}) {
		t.Errorf("it ran for %+v", seen)
	}
	if a, b := timeless(t, events[0]), timeless(t, events[1]); a != b {
		t.Errorf("the function saw\n%s, and of the connection itself\n%s", a, b)
	}
	mu.Unlock()
	routes := []string{receive(t, told), receive(t, told)}
	slices.Sort(routes)
	if !slices.Equal(routes, []string{"echo", "ping"}) || len(told) > 0 {
		t.Errorf("observers were told of messages to %q and %d more", routes, len(told))
	}
	if got, err := replay(`{"action":"echo","text":"bad"}`); err == nil || !strings.Contains(got, frameInternal) {
		t.Errorf("a function that fails: got %q, %v", got, err)
	}
	for want, answer := range map[int]func() ([]byte, error){
		http.StatusGone:                  func() ([]byte, error) { return f.Replay(t.Context(), newID(), []byte(message)) },
		http.StatusRequestEntityTooLarge: func() ([]byte, error) { return f.Replay(t.Context(), id, make([]byte, maxMessage+1)) },
	} {
		got, err := answer()
		if e, is := errors.AsType[*awserr.Error](err); !is || e.Status != want || got != nil {
			t.Errorf("got %s, %v, want %d", got, err, want)
		}
	}
}

// timeless is an event without what differs from one message to the next.
func timeless(t *testing.T, event []byte) string {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(event, &e); err != nil {
		t.Fatal(err)
	}
	of, _ := e["requestContext"].(map[string]any)
	for _, name := range []string{"messageId", "requestId", "extendedRequestId", "requestTime", "requestTimeEpoch"} {
		if of[name] == nil {
			t.Errorf("the event has no %s", name)
		}
		delete(of, name)
	}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
