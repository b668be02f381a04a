package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// RunAway tests what clients and programs are told while a store is away, which open gives a switch for: that it is unavailable, which
// is over some time, and not an internal error. A store that goes on being read meanwhile says so.
func RunAway(t *testing.T, reads bool, open func(tb testing.TB) (store socketio.Store, away func(is bool))) {
	t.Helper()
	store, away := open(t)
	w := hubtest.New(t, func(c *hub.Config) { c.Store, c.Now, c.Sleep = store, time.Now, nil })
	var sockets *socketio.Server
	w.Hub, sockets = socketio.Wire(w.Config, store, socketio.Options{})
	ana := w.Open("ana")
	for _, room := range []string{"channel:1", "community:1"} {
		w.Must(ana, fmt.Sprintf(`{"action":"join","room":%q}`, room))
	}
	const publish = `{"action":"publish","id":"m1","room":"channel:1","event":"e"}`
	w.Must(ana, publish)
	bob := hub.Caller{Connection: "bob-1", User: "bob", Expires: time.Now().Add(time.Hour), Grants: hubtest.Everything()}
	speaks := func(frame string) string { return string(sockets.Receive(t.Context(), bob, []byte(frame))) }

	away(true)
	t.Cleanup(func() { away(false) })
	actions := []string{
		`{"action":"publish","room":"channel:1","event":"e"}`, `{"action":"join","room":"channel:2"}`, `{"action":"leave","room":"channel:1"}`,
		`{"action":"presence","status":"away"}`, `{"action":"pause"}`,
		`{"action":"message:delete","channelId":"1","messageId":"m1"}`, `{"action":"notification:read","notificationId":"n1"}`,
	}
	commands := []hub.Command{
		hub.PublishCommand{Rooms: []string{"channel:1"}, Event: "e", ID: "p1"},
		hub.CloseCommand{Room: "channel:1"},
		hub.JoinCommand{Selection: hub.Selection{User: "ana"}, Room: "channel:3"},
	}
	if !reads {
		actions = append(actions, publish, `{"action":"presence","room":"community:1"}`, `{"action":"history","room":"channel:1"}`)
		commands = append(commands, hub.HistoryCommand{Room: "channel:1"}, hub.PresenceCommand{Room: "community:1"}, hub.MembersCommand{Room: "channel:1"}, hub.StatsCommand{})
	}
	for _, action := range actions {
		if got := w.Ask(ana, action); got.OK || got.Error.Code != protocol.CodeUnavailable {
			t.Errorf("%s: got %t %s, want %s", action, got.OK, got.Error.Code, protocol.CodeUnavailable)
		}
	}
	for _, command := range commands {
		got := w.Emit(t.Context(), command)
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if code := codeOf(got); code != protocol.CodeUnavailable {
			t.Errorf("%#v: got %s, want %s", command, text, protocol.CodeUnavailable)
		}
	}
	if _, err := w.Do(t.Context(), ana, protocol.Action{Op: protocol.OpSignal, Room: "channel:1", Event: "e"}); !reads && (err == nil || err.Code != protocol.CodeUnavailable) {
		t.Errorf("signal: got %v", err)
	}
	if err := w.Connect(t.Context(), "cyd-1", hub.Identity{User: "cyd", Expires: bob.Expires}, protocol.Name); !errors.Is(err, hub.ErrUnavailable) {
		t.Errorf("a connection: got %v, want %v", err, hub.ErrUnavailable)
	}
	if got := speaks("40"); got != "6" {
		t.Errorf("a CONNECT is answered by %s", got)
	}
	away(false)
	w.Must(ana, `{"action":"publish","room":"channel:1","event":"e"}`)
}

// codeOf gives the code of the refusal of a command, or of its first target's.
func codeOf(a hub.Answer) protocol.Code {
	if a.Error != nil {
		return a.Error.Code
	}
	if got, is := a.Data.(hub.EmitResult); is && len(got.Results) > 0 && got.Results[0].Error != nil {
		return got.Results[0].Error.Code
	}
	return ""
}
