package asyncapi

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

func compiled(t *testing.T) *Schemas {
	t.Helper()
	s, err := Compile()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func golden[T any](t *testing.T, file string) []T {
	t.Helper()
	text, err := os.ReadFile("../../protocol/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var list []T
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestNames: the document has every event, action and code of the protocol, and none besides.
func TestNames(t *testing.T) {
	d, err := read()
	if err != nil {
		t.Fatal(err)
	}
	want := protocol.SystemEvents()
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(d.Events)); !slices.Equal(got, want) {
		t.Errorf("events are %v, want %v", got, want)
	}
	for name, e := range d.Events {
		if e.Says == "" {
			t.Errorf("%s says nothing", name)
		}
	}
	for name, a := range d.Actions {
		if got, _ := (protocol.JSON{}).Decode([]byte(`{"action":"` + name + `"}`)); got.Op == protocol.OpOther || got.Op == 0 {
			t.Errorf("the protocol has no action %s", name)
		}
		if a.Does == "" {
			t.Errorf("%s does nothing", name)
		}
	}
	ops := map[protocol.Op]bool{}
	for _, f := range golden[struct {
		Frame  json.RawMessage
		Action *struct{ Op string }
	}](t, "client.json") {
		if f.Action == nil || f.Frame == nil {
			continue
		}
		a, err := protocol.JSON{}.Decode(f.Frame)
		if err != nil {
			continue
		}
		ops[a.Op] = true
		var named struct{ Action string }
		_ = json.Unmarshal(f.Frame, &named)
		if _, has := d.Actions[named.Action]; !has && a.Op != protocol.OpOther {
			t.Errorf("the document has no action %s", named.Action)
		}
	}
	if len(ops) != int(protocol.OpOther) {
		t.Errorf("the golden frames show %d operations, want %d", len(ops), protocol.OpOther)
	}
	text, err := Document("1")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range protocol.Codes() {
		if !bytes.Contains(text, []byte(`"`+code+`"`)) {
			t.Errorf("the document has no code %s", code)
		}
	}
}

// TestClientFrames: what the codec takes fits the document, and what it refuses for its shape does not.
func TestClientFrames(t *testing.T) {
	s := compiled(t)
	d, _ := read()
	taken, refused := 0, 0
	for _, f := range golden[struct {
		Name  string
		Frame json.RawMessage
		Error protocol.Code
	}](t, "client.json") {
		var named struct{ Action any }
		if f.Frame == nil || json.Unmarshal(f.Frame, &named) != nil {
			continue
		}
		action, _ := named.Action.(string)
		key := "action_" + name(action)
		if _, has := d.Actions[action]; !has {
			key = "action_other"
		}
		err := s.Frame(key, f.Frame)
		switch {
		case f.Error == "":
			if taken++; err != nil {
				t.Errorf("%s: %s: %v", f.Name, f.Frame, err)
			}
		case f.Error == protocol.CodeBadRequest && err != nil:
			refused++
		}
	}
	if taken < 20 || refused < 10 {
		t.Errorf("%d frames fit and %d do not", taken, refused)
	}
}

// TestServerFrames: every frame of the golden ones is one of the document's.
func TestServerFrames(t *testing.T) {
	s := compiled(t)
	for _, f := range golden[struct {
		Name  string
		Frame json.RawMessage
	}](t, "server.json") {
		if len(fitting(t, s, f.Frame)) == 0 {
			t.Errorf("%s: no message of the document is like %s", f.Name, f.Frame)
		}
	}
	if got := fitting(t, s, []byte(`{"hello":1}`)); len(got) > 0 {
		t.Errorf("anything is %v", got)
	}
}

// fitting gives the server's messages that a frame is one of.
func fitting(t *testing.T, s *Schemas, frame []byte) []string {
	t.Helper()
	text, err := Document("1")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct{ Messages map[string]any }
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var list []string
	for key := range document.Components.Messages {
		if !strings.HasPrefix(key, "action_") && s.Frame(key, frame) == nil {
			list = append(list, key)
		}
	}
	return list
}

// TestWhatTheHubSends drives the hub through every event and reply, and holds each frame against the document.
func TestWhatTheHubSends(t *testing.T) {
	s, ctx := compiled(t), t.Context()
	var who hub.Identity
	w := hubtest.New(t, func(c *hub.Config) {
		who = hub.Identity{User: "ana", Name: "Ana", Expires: c.Now().Add(time.Hour), Grants: hubtest.Everything()}
		c.Verifier = verifier{who}
	})
	callers := map[string]hub.Caller{}
	for _, user := range []string{"ana", "bob"} {
		who.User = user
		callers[user] = hub.Caller{Connection: user, User: user, Name: user, Expires: who.Expires}
		if err := w.Connect(ctx, user, who, protocol.Name); err != nil {
			t.Fatal(err)
		}
	}
	replies := map[string]bool{}
	ask := func(user, frame string) {
		t.Helper()
		reply := w.Receive(ctx, callers[user], []byte(frame))
		if reply == nil {
			return
		}
		keys := fitting(t, s, reply)
		if len(keys) == 0 {
			t.Errorf("%s is answered by what the document does not have: %s", frame, reply)
		}
		for _, key := range keys {
			replies[key] = true
		}
	}
	for _, frame := range []string{
		`{"action":"join","id":"1","room":"channel:1"}`, `{"action":"join:community","id":"2","communityId":7}`,
		`{"action":"publish","id":"m1","room":"channel:1","event":"message:new","data":{"content":"hi"}}`,
		`{"action":"publish","id":"m2","room":"channel:1","event":"mine","data":[1]}`,
		`{"action":"history","id":"3","room":"channel:1"}`, `{"action":"presence","id":"4","room":"community:7","status":"away","data":{"x":1}}`,
		`{"action":"auth","id":"5","token":"t"}`, `{"action":"dance","id":"6"}`, `{"action":"join","room":"nowhere"}`,
		`{"action":"notification:read","id":"7","notificationId":"n1"}`, `{"action":"typing:start","id":"t","channelId":"1"}`,
	} {
		for _, user := range []string{"bob", "ana"} {
			ask(user, strings.ReplaceAll(frame, `"m`, `"`+user+`m`))
		}
	}
	ask("ana", `{"action":"publish","id":"x","room":"channel:1","event":"message:new","data":{"content":"oops"}}`)
	ask("ana", `{"action":"message:delete","id":"8","channelId":"1","messageId":"x"}`)
	ask("ana", `{"action":"history","id":"9","room":"channel:1"}`)
	ask("ana", `{"action":"typing:stop","channelId":"1"}`)
	for _, c := range []hub.Command{
		hub.PublishCommand{Users: []string{"ana"}, Event: protocol.NotificationNew, Data: json.RawMessage(`{"title":"Hello"}`)},
		hub.PublishCommand{Users: []string{"ana"}, Event: protocol.BuddyGoalCompleted, Data: json.RawMessage(`{"goalId":"g"}`)},
		hub.PublishCommand{Users: []string{"ana"}, Event: protocol.BuddyCheckIn, Data: json.RawMessage(`{}`)},
		hub.PublishCommand{Rooms: []string{"channel:1"}, Event: "flash", Ephemeral: true},
		hub.CloseCommand{Room: "channel:1"},
	} {
		if a := w.Emit(ctx, c); !a.OK {
			t.Fatalf("%+v: %v", c, a.Error)
		}
	}
	if err := w.Depart(ctx, "bob"); err != nil {
		t.Fatal(err)
	}
	w.Drain()
	w.Emit(ctx, hub.DisconnectCommand{Selection: hub.Selection{User: "ana"}})

	seen := map[string]bool{}
	for _, push := range w.Network.Take() {
		var e struct{ Event string }
		if err := json.Unmarshal(push.Frame, &e); err != nil || e.Event == "" {
			continue
		}
		key := "event_" + name(e.Event)
		if !slices.Contains(protocol.SystemEvents(), e.Event) {
			key = "event_other"
		}
		if seen[key] = true; s.Frame(key, push.Frame) != nil {
			t.Errorf("%s is not what the document says: %v", push.Frame, s.Frame(key, push.Frame))
		}
	}
	for _, n := range protocol.SystemEvents() {
		if !seen["event_"+name(n)] {
			t.Errorf("nobody was sent %s", n)
		}
	}
	for _, key := range []string{"reply_joinResult", "reply_publishResult", "reply_historyResult", "reply_presenceResult", "reply_authResult", "refused"} {
		if !replies[key] {
			t.Errorf("nobody was answered by %s", key)
		}
	}
}

type verifier struct{ who hub.Identity }

func (v verifier) Verify(context.Context, string) (hub.Identity, error) { return v.who, nil }

func TestData(t *testing.T) {
	s := compiled(t)
	for _, c := range []struct{ event, data, want string }{
		{"message:new", `{"content":"hi","more":1}`, ""},
		{"message:new", `{}`, "data.content is missing"},
		{"message:new", `"hi"`, "data must be null or object, not string"},
		{"message:new", ``, "data.content is missing"},
		{"message:deleted", `{"messageId":7}`, "data.messageId must be string, not number"},
		{"presence:changed", `{"userId":"ana","status":""}`, "data.status"},
		{"notification:new", `{"title":"Hello","url":"/"}`, ""},
		{"user:stopped-typing", ``, ""},
		{"mine", `[1]`, ""},
	} {
		err := s.Data(c.event, json.RawMessage(c.data))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s %s: got %v, want %q", c.event, c.data, err, c.want)
		}
	}
}
