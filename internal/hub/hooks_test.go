package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// owner is the logic of somebody who runs Bellhop.
type owner struct {
	mu    sync.Mutex
	says  map[hub.Hook]func(q hub.Question) (hub.Verdict, error)
	asked []hub.Question
}

func (o *owner) Has(h hub.Hook) bool { return o.says[h] != nil }

func (o *owner) Ask(_ context.Context, q hub.Question) (hub.Verdict, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, q)
	return o.says[q.Hook](q)
}

func (o *owner) last() hub.Question {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[len(o.asked)-1]
}

// asking is a world whose owner has one hook.
func asking(t *testing.T, h hub.Hook, say func(q hub.Question) (hub.Verdict, error)) (world, *owner, *listener) {
	t.Helper()
	o := &owner{says: map[hub.Hook]func(hub.Question) (hub.Verdict, error){h: say}}
	l, listen := listening(hub.ConnectionOpened)
	return newWorld(t, listen, func(c *hub.Config) { c.Hooks = o }), o, l
}

func refuses(t *testing.T, r hubtest.Reply, code protocol.Code) {
	t.Helper()
	if r.OK || r.Error.Code != code {
		t.Errorf("got %t %s, want %s", r.OK, r.Error.Code, code)
	}
}

func deny(message string) (hub.Verdict, error) {
	return hub.Verdict{Deny: &hub.Denial{Message: message}}, nil
}

func TestActionHook(t *testing.T) {
	w, o, l := asking(t, hub.HookAction, func(q hub.Question) (hub.Verdict, error) {
		switch q.Action {
		case "sum":
			return hub.Verdict{Data: json.RawMessage(`{"sum":3}`)}, nil
		case "deny":
			return hub.Verdict{Deny: &hub.Denial{Code: protocol.CodeConflict, Message: "taken"}}, nil
		case "odd":
			return hub.Verdict{Deny: &hub.Denial{Code: "teapot", Message: "I am one"}}, nil
		case "large":
			return hub.Verdict{Data: json.RawMessage(`"` + strings.Repeat("x", 130<<10) + `"`)}, nil
		case "crash":
			return hub.Verdict{}, errors.New("stack trace of somebody else")
		}
		return hub.Verdict{}, nil
	})
	ana := w.Open("ana")
	w.Must(ana, `{"action":"join","room":"channel:1"}`)
	if got := w.Must(ana, `{"action":"sum","room":"channel:1","data":[1,2]}`); string(got) != `{"sum":3}` {
		t.Errorf("got %s", got)
	}
	q := o.last()
	if q.Version != 1 || q.Hook != hub.HookAction || q.Action != "sum" || q.User.ID != "ana" || q.Connection != ana.Connection || q.ID == "" ||
		string(q.Data) != `[1,2]` || q.Room != "channel:1" || !slices.Equal(q.Rooms, []string{"channel:1", "user:ana"}) || q.Grants["*"] == nil || q.Time == 0 {
		t.Errorf("asked %+v", q)
	}
	w.Must(ana, `{"action":"nothing"}`)
	refuses(t, w.Ask(ana, `{"action":"deny"}`), protocol.CodeConflict)
	refuses(t, w.Ask(ana, `{"action":"odd"}`), protocol.CodeForbidden)
	refuses(t, w.Ask(ana, `{"action":"large"}`), protocol.CodeTooLarge)
	refuses(t, w.Ask(ana, `{"action":"crash"}`), protocol.CodeUnavailable)
	if text := string(w.Receive(t.Context(), ana, []byte(`{"action":"crash","id":"x"}`))); strings.Contains(text, "stack") {
		t.Errorf("a client sees %s", text)
	}
	if l.counts["HookFailuresAction"] != 2 || l.times["HookLatencyAction"] != 7 {
		t.Errorf("metered are %v, %d times", l.counts, l.times["HookLatencyAction"])
	}
	stranger := hub.Caller{Connection: "nobody", User: "eve", Expires: w.Clock.Now().Add(time.Hour)}
	refuses(t, w.Ask(stranger, `{"action":"sum"}`), protocol.CodeUnauthenticated)

	none := newWorld(t)
	refuses(t, none.Ask(none.Open("ana"), `{"action":"sum"}`), protocol.CodeUnknownAction)
}

func TestJoinHook(t *testing.T) {
	w, o, _ := asking(t, hub.HookJoin, func(q hub.Question) (hub.Verdict, error) {
		switch q.Room {
		case "channel:secret":
			return deny("members only")
		case "channel:open":
			return hub.Verdict{Allow: true, Data: json.RawMessage(`{"topic":"tea"}`)}, nil
		case "community:7":
			return hub.Verdict{Allow: true, Status: "busy", StatusData: json.RawMessage(`{"at":"work"}`)}, nil
		case "community:8":
			return hub.Verdict{Allow: true, Status: strings.Repeat("x", 40)}, nil
		case "channel:let":
			return hub.Verdict{}, fmt.Errorf("%w: it was down", hub.ErrLetPass)
		}
		return hub.Verdict{}, nil
	})
	ana := w.Open("ana")
	who := hub.Identity{User: "bob", Expires: ana.Expires} // without a grant
	bob := hub.Caller{Connection: "bob", User: "bob", Expires: ana.Expires}
	if err := w.Connect(t.Context(), "bob", who, protocol.Name); err != nil {
		t.Fatal(err)
	}
	refuses(t, w.Ask(ana, `{"action":"join","room":"channel:secret"}`), protocol.CodeForbidden)
	if !o.last().Granted {
		t.Error("the hook is not told that the token allows it")
	}
	if got := w.Must(bob, `{"action":"join","room":"channel:open"}`); !strings.Contains(string(got), `"state":{"topic":"tea"}`) {
		t.Errorf("the reply has no state: %s", got)
	}
	refuses(t, w.Ask(bob, `{"action":"join","room":"channel:else"}`), protocol.CodeForbidden)
	refuses(t, w.Ask(bob, `{"action":"join","room":"user:ana"}`), protocol.CodeForbidden)
	if o.last().Room == "user:ana" {
		t.Error("the application was asked about somebody else's own room")
	}
	if got := string(w.Must(bob, `{"action":"join","room":"community:7"}`)); !strings.Contains(got, `"status":"busy","data":{"at":"work"}`) {
		t.Errorf("the presence is not the hook's: %s", got)
	}
	refuses(t, w.Ask(bob, `{"action":"join","room":"community:8"}`), protocol.CodeInternal)
	w.Must(ana, `{"action":"join","room":"channel:let"}`)
	refuses(t, w.Ask(bob, `{"action":"join","room":"channel:let"}`), protocol.CodeForbidden)
}

func TestPublishHook(t *testing.T) {
	w, o, _ := asking(t, hub.HookPublish, func(q hub.Question) (hub.Verdict, error) {
		switch string(q.Data) {
		case `"bad"`:
			return deny("not that")
		case `"down"`:
			return hub.Verdict{}, errors.New("down")
		}
		if q.Event == protocol.MessageDeleted {
			return deny("nothing is deleted here")
		}
		return hub.Verdict{Data: json.RawMessage(`"replaced"`)}, nil
	})
	ana := w.Open("ana")
	w.Must(ana, `{"action":"join","room":"channel:1"}`)
	refuses(t, w.Ask(ana, `{"action":"publish","room":"channel:1","event":"message:new","data":"bad"}`), protocol.CodeForbidden)
	refuses(t, w.Ask(ana, `{"action":"publish","room":"channel:1","event":"message:new","data":"down"}`), protocol.CodeUnavailable)
	publish := []byte(`{"action":"publish","id":"m1","room":"channel:1","event":"message:new","data":"good"}`)
	for range 2 {
		w.Receive(t.Context(), ana, publish)
	}
	if q := o.last(); q.ID != "m1" || q.Event != "message:new" || q.Room != "channel:1" {
		t.Errorf("asked %+v", q)
	}
	if n := len(o.asked); n != 4 {
		t.Errorf("asked %d times, want 4: a repetition is asked about too", n)
	}
	refuses(t, w.Ask(ana, `{"action":"message:delete","channelId":"1","messageId":"m1"}`), protocol.CodeForbidden)
	history := string(w.Must(ana, `{"action":"history","room":"channel:1"}`))
	if !strings.Contains(history, `"seq":1`) || !strings.Contains(history, `"data":"replaced"`) || strings.Contains(history, "good") || strings.Contains(history, `"seq":2`) {
		t.Errorf("the log is %s, want one event, replaced, and no trace of the others", history)
	}
	if got := w.Network.Names(ana.Connection); !slices.Equal(got, []string{"message:new", "message:new"}) {
		t.Errorf("delivered are %v", got)
	}
	before := len(o.asked)
	w.Emit(t.Context(), hub.PublishCommand{Rooms: []string{"channel:1"}, Event: "message:new", Data: json.RawMessage(`"bad"`)})
	if len(o.asked) != before {
		t.Error("programs are asked about what they emit")
	}
}

// TestMutedRepetition: who may not say it any more cannot have it delivered again either.
func TestMutedRepetition(t *testing.T) {
	muted := false
	w, _, _ := asking(t, hub.HookPublish, func(hub.Question) (hub.Verdict, error) {
		if muted {
			return deny("you are muted")
		}
		return hub.Verdict{Data: json.RawMessage(`"as the application wants it"`)}, nil
	})
	ana := w.Open("ana")
	w.Must(ana, `{"action":"join","room":"channel:1"}`)
	first := w.publish(ana, "m1")
	if again := w.publish(ana, "m1"); again != first {
		t.Errorf("the repetition gives %+v, want %+v", again, first)
	}
	w.Network.Take()
	muted = true
	if out := w.Receive(t.Context(), ana, []byte(`{"action":"publish","id":"m1","room":"channel:1","event":"message:new","data":1}`)); !bytes.Contains(out, []byte(`"forbidden"`)) {
		t.Errorf("got %s", out)
	}
	if got := w.Network.Names(ana.Connection); len(got) != 0 {
		t.Errorf("delivered again is %v", got)
	}
}

func TestConnectHook(t *testing.T) {
	var rooms []string
	w, o, _ := asking(t, hub.HookConnect, func(q hub.Question) (hub.Verdict, error) {
		if q.User.ID == "eve" {
			return deny("banned")
		}
		return hub.Verdict{Grants: hub.Grants{"channel:extra": {hub.GrantJoin}}, Rooms: rooms}, nil
	})
	expires := w.Clock.Now().Add(time.Hour)
	connect := func(user string) (hub.Caller, error) {
		who := hub.Identity{User: user, Expires: expires, Grants: hub.Grants{"channel:own": {hub.GrantJoin}}}
		return hub.Caller{Connection: user, User: user, Expires: expires}, w.Connect(t.Context(), user, who, protocol.Name)
	}
	if _, err := connect("eve"); !errors.Is(err, protocol.Refuse(protocol.CodeForbidden)) {
		t.Errorf("got %v", err)
	}
	rooms = []string{"channel:lobby", "community:7"}
	ana, err := connect("ana")
	if err != nil {
		t.Fatal(err)
	}
	if q := o.last(); q.Renewal || q.Grants["channel:own"] == nil {
		t.Errorf("asked %+v", q)
	}
	w.Must(ana, `{"action":"join","room":"channel:extra"}`)
	w.Must(ana, `{"action":"join","room":"channel:own"}`)
	w.Drain() // the rooms with presence
	members := func(room string) string {
		return fmt.Sprint(w.Emit(t.Context(), hub.MembersCommand{Room: room}).Data)
	}
	if !strings.Contains(members("channel:lobby"), "ana") || !strings.Contains(members("community:7"), "ana") {
		t.Errorf("automatic rooms have %s and %s", members("channel:lobby"), members("community:7"))
	}
	if here := fmt.Sprint(w.Emit(t.Context(), hub.PresenceCommand{Room: "community:7"}).Data); !strings.Contains(here, "ana  online") {
		t.Errorf("present are %s", here)
	}
	for _, bad := range []string{"user:ana", "planet:1", "nonsense"} {
		rooms = []string{bad}
		if _, err := connect("bob"); err == nil || errors.Is(err, protocol.Refuse(protocol.CodeForbidden)) {
			t.Errorf("an automatic room %s gives %v", bad, err)
		}
	}
	// One that was gone before its job ran is in no room.
	rooms = []string{"community:7"}
	if _, err := connect("cyd"); err != nil {
		t.Fatal(err)
	}
	if err := w.Depart(t.Context(), "cyd"); err != nil {
		t.Fatal(err)
	}
	w.Drain()
	if strings.Contains(members("community:7"), "cyd") {
		t.Error("a connection that is gone was put into a room")
	}
}

func TestDisconnectHook(t *testing.T) {
	w, o, _ := asking(t, hub.HookDisconnect, func(hub.Question) (hub.Verdict, error) { return hub.Verdict{}, errors.New("down") })
	ana := w.Open("ana")
	w.Must(ana, `{"action":"join","room":"channel:1"}`)
	if err := w.Depart(t.Context(), ana.Connection); err != nil {
		t.Errorf("departing fails with the hook: %v", err)
	}
	if q := o.last(); q.User.ID != "ana" || q.Connection != ana.Connection || !slices.Equal(q.Rooms, []string{"channel:1", "user:ana"}) {
		t.Errorf("told %+v", q)
	}
}

// TestDeepAnswers: what an application says goes to clients, too.
func TestDeepAnswers(t *testing.T) {
	deep := json.RawMessage(strings.Repeat("[", protocol.MaxDepth+1) + strings.Repeat("]", protocol.MaxDepth+1))
	for hook, frame := range map[hub.Hook]string{
		hub.HookJoin:    `{"action":"join","room":"community:1"}`,
		hub.HookPublish: `{"action":"publish","room":"community:2","event":"x"}`,
		hub.HookAction:  `{"action":"poll:vote"}`,
	} {
		t.Run(string(hook), func(t *testing.T) {
			w, _, _ := asking(t, hook, func(hub.Question) (hub.Verdict, error) { return hub.Verdict{Data: deep}, nil })
			ana := w.Open("ana")
			if hook == hub.HookPublish {
				w.Must(ana, `{"action":"join","room":"community:2"}`)
			}
			refuses(t, w.Ask(ana, frame), protocol.CodeUnavailable)
		})
	}
}
