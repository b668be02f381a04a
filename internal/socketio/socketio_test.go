package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/around"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a hub that speaks both dialects.
type world struct {
	*hubtest.World
	sockets *socketio.Server
	waiting func() // what goes on while somebody sleeps
}

// Verify takes "ana" for a token of ana's.
func (w *world) Verify(_ context.Context, token string) (hub.Identity, error) {
	if token == "bad" {
		return hub.Identity{}, protocol.Refuse(protocol.CodeUnauthenticated)
	}
	return hub.Identity{User: token, Expires: w.Clock.Now().Add(time.Hour), Grants: hub.Grants{"channel:*": {"join", "publish"}, "community:*": {"join"}}}, nil
}

func newWorld(t *testing.T, o socketio.Options) *world {
	t.Helper()
	w := &world{}
	w.World = hubtest.New(t, func(c *hub.Config) {
		sleep := c.Sleep
		c.Verifier, c.Sleep = w, func(ctx context.Context, d time.Duration) {
			if sleep(ctx, d); w.waiting != nil {
				w.waiting()
			}
		}
	})
	w.Hub, w.sockets = socketio.Wire(w.Config, w.Notes, o)
	return w
}

// work runs the jobs of one kind that wait, and gives how many they were and the longest delay.
func (w *world) work(kind hub.JobKind) (n int, delay time.Duration) {
	w.TB.Helper()
	for _, j := range w.Queue.Take(kind) {
		n, delay = n+1, max(delay, j.Delay)
		w.Clock.To(j.Due)
		if err := w.sockets.Work(j.Chained(w.TB.Context()), j.Job); err != nil {
			w.TB.Fatal(err)
		}
	}
	return n, delay
}

func (w *world) send(connection, frame string) string {
	w.TB.Helper()
	return string(w.sockets.Receive(w.TB.Context(), hub.Caller{Connection: connection}, []byte(frame)))
}

// open lets a client in, and gives the answer to its CONNECT.
func (w *world) open(connection, auth string) string {
	w.TB.Helper()
	if err := w.sockets.Open(w.TB.Context(), connection); err != nil {
		w.TB.Fatal(err)
	}
	w.work("socket:open")
	if got := w.Network.TakeFrom(connection); len(got) != 1 || !strings.HasPrefix(got[0], `0{"sid":`) {
		w.TB.Fatalf("the open packet is %q", got)
	}
	return w.send(connection, "40"+auth)
}

func has(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

func TestOpenPacketWaitsForTheConnection(t *testing.T) {
	w := newWorld(t, socketio.Options{PingInterval: time.Minute, PingTimeout: 30 * time.Second})
	w.Network.Fail(hubtest.First(5, hub.ErrGone)) // the connect route has not returned yet
	if err := w.sockets.Open(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	w.work("socket:open")
	if got := w.Network.TakeFrom("c"); len(got) != 1 || got[0] != `0{"sid":"c","upgrades":[],"pingInterval":60000,"pingTimeout":30000,"maxPayload":32768}` {
		t.Errorf("got %q", got)
	}
	// One whose client went is given up, without an error that would bring the job back.
	w.Network.Fail(hubtest.Always(hub.ErrGone))
	if err := w.sockets.Open(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	began := w.Clock.Now()
	w.work("socket:open")
	if tried := w.Clock.Now().Sub(began); tried < 5*time.Second || tried > 10*time.Second {
		t.Errorf("gave up after %s", tried)
	}
	w.Network.Fail(hubtest.Always(errors.New("down")))
	if err := w.sockets.Work(t.Context(), hub.Job{Kind: "socket:open", Targets: []hub.Target{{Connection: "c"}}}); err == nil {
		t.Error("a push that failed is no error")
	}
}

func TestReaper(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	w.open("ana", `{"token":"ana"}`)
	w.open("bad", `{"token":"bad"}`)
	if n, delay := w.work("socket:reap"); n != 2 || delay != 45*time.Second {
		t.Errorf("%d jobs after %s", n, delay)
	}
	if w.Network.Closed("ana") || !w.Network.Closed("bad") {
		t.Errorf("ana closed: %t, and the one that never proved who it is: %t", w.Network.Closed("ana"), w.Network.Closed("bad"))
	}
}

func TestConnect(t *testing.T) {
	w := newWorld(t, socketio.Options{Namespaces: []string{"/chat"}})
	has(t, "no token", w.open("c", ""), `44{"message":"a token is needed`)
	has(t, "a bad token", w.send("c", `40{"token":"bad"}`), `"data":{"code":"unauthenticated"`)
	has(t, "a strange payload", w.send("c", `40{"token":5}`), `"code":"bad_request"`)
	has(t, "an unknown namespace", w.send("c", `40/nowhere,{"token":"ana"}`), `44/nowhere,{"message":"Invalid namespace"}`)
	if w.Network.Closed("c") {
		t.Fatal("a refusal closes the connection")
	}
	answer := w.send("c", `40{"token":"ana"}`)
	has(t, "a good token", answer, `40{"sid":"`)
	has(t, "its private id", answer, `"pid":"`)
	has(t, "another namespace", w.send("c", `40/chat,{"token":"ana"}`), `40/chat,{"sid":"`)
	if row, err := w.Store.Connection(t.Context(), "c"); err != nil || row.User != "ana" || !row.In("user:ana") || row.Codec != "socketio" {
		t.Errorf("the connection is %+v, %v", row, err)
	}
	w.send("c", `40{"token":"ana"}`)
	if !w.Network.Closed("c") {
		t.Error("a second CONNECT is fine")
	}
}

// TestNamespaces: the sockets of one client have a connection in common, and nothing else.
func TestNamespaces(t *testing.T) {
	w := newWorld(t, socketio.Options{Namespaces: []string{"/chat", "/admin"}})
	w.open("c", `{"token":"ana"}`)
	w.send("c", `40/chat,{"token":"bob"}`)
	has(t, "join", w.send("c", `420["join:channel","1"]`), `430[{"ok":true`)
	has(t, "join in a namespace", w.send("c", `42/chat,0["join:channel","2"]`), `43/chat,0[{"ok":true`)
	has(t, "another's room", w.send("c", `421["publish",{"room":"channel:2","event":"x"}]`), `"code":"not_in_room"`)
	say := func(room string) []string {
		t.Helper()
		if answer := w.Emit(t.Context(), hub.PublishCommand{Rooms: []string{room}, Event: "x"}); !answer.OK {
			t.Fatal(answer.Error)
		}
		return w.Network.TakeFrom("c")
	}
	if got := say("channel:1"); len(got) != 1 || !strings.HasPrefix(got[0], `42["x"`) {
		t.Errorf("heard %q of a room of the main namespace", got)
	}
	if got := say("channel:2"); len(got) != 1 || !strings.HasPrefix(got[0], `42/chat,["x"`) {
		t.Errorf("heard %q of a room of a namespace", got)
	}
	if got := say("user:bob"); len(got) != 1 || !strings.HasPrefix(got[0], `42/chat,["x"`) {
		t.Errorf("heard %q of the room of a namespace's user", got)
	}

	// Left alone, and come to again.
	w.send("c", "41/chat,")
	if got := say("channel:2"); len(got) != 0 {
		t.Errorf("heard %q after it left", got)
	}
	if got := say("channel:1"); len(got) != 1 {
		t.Error("the other namespace is left too")
	}
	if again, _ := parts(t, w.send("c", `40/chat,{"token":"bob"}`)); again == "" {
		t.Error("it may not come again")
	}
	w.send("c", "41/chat,")
	w.Clock.Pass(time.Second)
	_, chat := parts(t, w.send("c", `40/chat,{"token":"bob"}`))
	w.send("c", `42/chat,["join:channel","2"]`)

	// Closed, all are gone. Each comes back by itself, to its own rooms.
	_, pid := parts(t, w.send("c", `40/admin,{"token":"ana"}`))
	w.send("c", `42/admin,["join:channel","3"]`)
	if err := w.sockets.Closed(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	for _, id := range w.sockets.Sockets("c") {
		if row, err := w.Store.Connection(t.Context(), id); !errors.Is(err, hub.ErrNotFound) && !row.Closing {
			t.Errorf("%s is still there: %+v, %v", id, row, err)
		}
	}
	w.open("d", `{"token":"ana"}`)
	if _, got := parts(t, w.send("d", fmt.Sprintf(`40/admin,{"token":"ana","pid":%q}`, pid))); got != pid {
		t.Error("the socket of a namespace is not recovered")
	}
	if _, got := parts(t, w.send("d", fmt.Sprintf(`40/chat,{"token":"bob","pid":%q}`, chat))); got != chat {
		t.Error("the socket of a namespace that was left and come to again is not recovered")
	}
	w.Clock.Pass(time.Second)
	w.send("d", "41/chat,")
	if _, got := parts(t, w.send("d", fmt.Sprintf(`40/chat,{"token":"bob","pid":%q}`, chat))); got == chat {
		t.Error("a socket that left is recovered")
	}
	w.send("d", "41/chat,")
	w.Network.TakeFrom("d")
	say("channel:3")
	if got := w.Network.TakeFrom("d"); len(got) != 1 || !strings.HasPrefix(got[0], `42/admin,["x"`) {
		t.Errorf("recovered, it heard %q", got)
	}

	// A user who is disconnected in a namespace is disconnected.
	w.Emit(t.Context(), hub.DisconnectCommand{Selection: hub.Selection{Connection: "d#/admin"}, Reason: "banned"})
	if got := w.Network.TakeFrom("d"); len(got) != 2 || got[1] != "41/admin," || !w.Network.Closed("d") {
		t.Errorf("got %q", got)
	}
}

func TestWhatBreaksTheProtocol(t *testing.T) {
	for _, frame := range []string{"", "x", "42", `42["join"]`, `42{}`, `4`, `9`, `45-["x"]`, `451-["x",{"_placeholder":true,"num":0}]`, `0{}`, `1`, `431["x"]`, `44{}`, "\xff"} {
		w := newWorld(t, socketio.Options{})
		w.open("c", `{"token":"bad"}`)
		w.send("c", frame)
		if !w.Network.Closed("c") {
			t.Errorf("%q is fine", frame)
		}
	}
	w := newWorld(t, socketio.Options{})
	w.open("c", `{"token":"ana"}`)
	has(t, "binary", w.send("c", `451-7["x",{"_placeholder":true,"num":0}]`), `437[{"ok":false,"error":{"code":"bad_request","message":"binary data`)
}

func TestFlood(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	w.open("c", `{"token":"ana"}`)
	for range 1100 {
		w.send("c", `437["x"]`)
	}
	if !w.Network.Closed("c") {
		t.Error("anybody may fill the table with ACKs")
	}
}

func TestActions(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	w.open("ana", `{"token":"ana"}`)
	w.open("bob", `{"token":"bob"}`)
	json1 := hub.Caller{Connection: "json", User: "cyd", Expires: w.Clock.Now().Add(time.Hour)}
	who, _ := w.Verify(t.Context(), "cyd")
	if err := w.Connect(t.Context(), "json", who, protocol.Name); err != nil {
		t.Fatal(err)
	}
	has(t, "join", w.send("ana", `420["join:channel","1"]`), `430[{"ok":true,"data":{"room":"channel:1"`)
	has(t, "join", w.send("bob", `42["join",{"room":"channel:1"}]`), `6`)
	w.Receive(t.Context(), json1, []byte(`{"action":"join","room":"channel:1"}`))
	has(t, "send", w.send("ana", `421["message:send",{"channelId":1,"content":"hi","id":"m1"}]`), `431[{"ok":true,"data":{"room":"channel:1"`)
	const want = `42["message:new",{"content":"hi","id":"m1","userId":"ana","userName":"ana","channelId":"1"},{"room":"channel:1","seq":1,"id":"m1","from":{"userId":"ana"},"ts":1732341000000,`
	for _, c := range []string{"ana", "bob"} {
		if got := w.Network.TakeFrom(c); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s got %q", c, got)
		}
	}
	if got := w.Network.TakeFrom("json"); len(got) != 1 || !strings.HasPrefix(got[0], `{"event":"message:new","room":"channel:1","seq":1`) {
		t.Errorf("the other dialect got %q", got)
	}
	has(t, "typing", w.send("bob", `422["typing:start","1"]`), `432[{"ok":true`)
	if got := w.Network.TakeFrom("ana"); len(got) != 1 || !strings.Contains(got[0], `"user:typing"`) || !strings.Contains(got[0], `"from":{"userId":"bob"`) {
		t.Errorf("ana got %q", got)
	}
	if got := w.Network.TakeFrom("bob"); len(got) != 0 {
		t.Errorf("bob heard himself: %q", got)
	}
	has(t, "refused without an ack", w.send("bob", `42["join:channel","a b"]`), `42["refused",{"code":"bad_request"`)
	has(t, "refused with one", w.send("bob", `425["dance"]`), `435[{"ok":false,"error":{"code":"unknown_action"`)
	has(t, "a reserved name", w.send("ana", `426["publish",{"room":"channel:1","event":"disconnect"}]`), `"code":"bad_request"`)

	// Kicked: told so, told not to come back, closed.
	w.Network.TakeFrom("bob")
	w.Clock.Pass(time.Minute)
	w.Emit(t.Context(), hub.DisconnectCommand{Selection: hub.Selection{User: "bob"}, Reason: "banned"})
	if got := w.Network.TakeFrom("bob"); len(got) != 2 || !strings.HasPrefix(got[0], `42["session:ending",{"reason":"banned"}`) || got[1] != "41" || !w.Network.Closed("bob") {
		t.Errorf("bob got %q", got)
	}
	w.send("ana", "41")
	if row, err := w.Store.Connection(t.Context(), "ana"); err == nil && !row.Closing {
		t.Errorf("who left the namespace is still there: %+v", row)
	}
	has(t, "coming again", w.send("ana", `40{"token":"ana"}`), `40{"sid":"`)
	has(t, "and acting", w.send("ana", `420["join:channel","1"]`), `430[{"ok":true`)
}

// TestAsk: a program waits for what clients of Socket.IO answer.
func TestAsk(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	for _, user := range []string{"ana", "bob", "cyd"} {
		w.open(user, fmt.Sprintf(`{"token":%q}`, user))
		w.send(user, `42["join:channel","1"]`)
	}
	who, _ := w.Verify(t.Context(), "json")
	if err := w.Connect(t.Context(), "json", who, protocol.Name); err != nil {
		t.Fatal(err)
	}
	w.Emit(t.Context(), hub.JoinCommand{Selection: hub.Selection{User: "json"}, Room: "channel:1"})
	w.Network.Fail(hubtest.Of(hub.ErrGone, "cyd"))
	w.waiting = func() { // the client answers while it is waited for
		w.waiting = nil
		for _, f := range w.Network.TakeFrom("ana") {
			if id, args, found := strings.Cut(strings.TrimPrefix(f, "42"), `["colour?"`); found {
				if args != `,{"of":"sky"}]` {
					t.Errorf("the handler gets %s", args)
				}
				w.send("ana", "43"+id+`["red",1]`)
			}
		}
	}
	a := w.Emit(t.Context(), hub.AskCommand{Selection: hub.Selection{Rooms: []string{"channel:1"}}, Event: "colour?", Data: json.RawMessage(`{"of":"sky"}`), TimeoutMs: 2000})
	got, ok := a.Data.(hub.Answers)
	if !a.OK || !ok || len(got.Answers) != 1 || string(got.Answers[0].Args) != `["red",1]` || got.Answers[0].UserID != "ana" {
		t.Fatalf("got %+v, %v", a.Data, a.Error)
	}
	slices.Sort(got.Missing)
	if !slices.Equal(got.Missing, []string{"bob", "cyd", "json"}) {
		t.Errorf("missing are %v", got.Missing)
	}
	for want, c := range map[string]hub.AskCommand{
		`["colour?"]`: {},
		`["colour?",null,{"from":{"userId":"eve"},"ts":`: {From: &protocol.From{UserID: "eve"}},
	} {
		c.Selection, c.Event, c.TimeoutMs = hub.Selection{User: "bob"}, "colour?", 1
		w.Emit(t.Context(), c)
		if frames := w.Network.TakeFrom("bob"); !strings.Contains(frames[len(frames)-1], want) {
			t.Errorf("got %s, want %s", frames, want)
		}
	}
	for _, c := range []hub.AskCommand{
		{Event: "x"}, {Selection: hub.Selection{Rooms: []string{"channel:1"}}}, {Selection: hub.Selection{Rooms: []string{"planet:1"}}, Event: "x"},
	} {
		if a := w.Emit(t.Context(), c); a.OK {
			t.Errorf("%+v is fine", c)
		}
	}
}

func parts(t *testing.T, answer string) (sid, pid string) {
	t.Helper()
	var got struct{ SID, PID string }
	if err := json.Unmarshal([]byte(answer[strings.Index(answer, "{"):]), &got); err != nil || got.SID == "" {
		t.Fatalf("%s: %v", answer, err)
	}
	return got.SID, got.PID
}

// TestTakenOver: a session is where it was asked for last, and the client knows if it is not.
func TestTakenOver(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	_, pid := parts(t, w.open("a1", `{"token":"ana"}`))
	if _, got := parts(t, w.open("a2", fmt.Sprintf(`{"token":"ana","pid":%q}`, pid))); got != pid {
		t.Fatal("not recovered")
	}
	if !w.Network.Closed("a1") || w.Network.Closed("a2") {
		t.Error("the connection before, which hears nothing any more, is open")
	}
}

func TestRecovery(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	sid, pid := parts(t, w.open("a1", `{"token":"ana"}`))
	w.open("bob", `{"token":"bob"}`)
	for _, c := range []string{"a1", "bob"} {
		for _, room := range []string{"channel:1", "channel:2", "community:7"} {
			w.send(c, fmt.Sprintf(`42["join",{"room":%q}]`, room))
		}
	}
	say := func(room, id string) {
		w.Clock.Pass(10 * time.Second)
		has(t, "say "+id, w.send("bob", fmt.Sprintf(`420["publish",{"room":%q,"event":"message:new","data":1,"id":%q}]`, room, id)), `"ok":true`)
	}
	say("channel:1", "seen1")
	say("channel:2", "seen2")
	got := w.Network.TakeFrom("a1")
	last := got[len(got)-1]
	offset := last[strings.LastIndex(last, `,"`)+2 : len(last)-2]
	w.Network.Cut("a1") // the network went, and nobody has noticed yet
	say("channel:2", "missed2")
	say("channel:1", "missed1")
	w.Network.TakeFrom("bob")

	answer := w.open("a2", fmt.Sprintf(`{"token":"ana","pid":%q,"offset":%q}`, pid, offset))
	if gotSID, gotPID := parts(t, answer); gotSID != sid || gotPID != pid {
		t.Fatalf("not recovered: %s", answer)
	}
	var ids []string
	for _, frame := range w.Network.TakeFrom("a2") {
		for _, id := range []string{"seen1", "seen2", "missed1", "missed2"} {
			if strings.Contains(frame, `"id":"`+id+`"`) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	if !slices.Equal(ids, []string{"missed1", "missed2"}) {
		t.Errorf("given again are %v, want what was missed and no more", ids)
	}
	if row, err := w.Store.Connection(t.Context(), "a2"); err != nil || !row.In("channel:1") || !row.In("channel:2") || !row.In("community:7") {
		t.Errorf("the rooms are %v, %v", row.Rooms, err)
	}
	if frames := strings.Join(w.Network.TakeFrom("bob"), ""); strings.Contains(frames, "user:offline") || strings.Contains(frames, "user:online") {
		t.Errorf("bob noticed: %s", frames)
	}
	// Somebody else's private id, one that is too old, a room that has begun anew.
	other, _ := parts(t, w.open("eve", fmt.Sprintf(`{"token":"eve","pid":%q,"offset":%q}`, pid, offset)))
	if other == sid {
		t.Error("eve got the session of ana")
	}
	if row, err := w.Store.Connection(t.Context(), "a2"); err != nil || row.Closing || w.Network.Closed("a2") {
		t.Errorf("eve ended the session of ana: %+v, %v", row, err)
	}
	if err := w.Depart(t.Context(), "a2"); err != nil {
		t.Fatal(err)
	}
	w.Clock.Pass(3 * time.Minute)
	if late, _ := parts(t, w.open("a3", fmt.Sprintf(`{"token":"ana","pid":%q,"offset":%q}`, pid, offset))); late == sid {
		t.Error("recovered after three minutes")
	}
}

// TestWhoWasTakenOut comes back with the private id, and neither hears what was said meanwhile nor is where it was.
func TestWhoWasTakenOut(t *testing.T) {
	for name, c := range map[string]struct {
		command hub.Command
		why     string
	}{
		"disconnected":         {hub.DisconnectCommand{Selection: hub.Selection{User: "ana"}, Reason: "banned"}, "she was disconnected"},
		"taken out of a room":  {hub.LeaveCommand{Selection: hub.Selection{User: "ana"}, Room: "channel:1"}, "she was taken out"},
		"in none of its rooms": {hub.CloseCommand{Room: "channel:1"}, "the room was closed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, socketio.Options{})
			sid, pid := parts(t, w.open("a1", `{"token":"ana"}`))
			w.open("bob", `{"token":"bob"}`)
			for _, one := range []string{"a1", "bob"} {
				has(t, "join", w.send(one, `420["join",{"room":"channel:1"}]`), `"ok":true`)
			}
			w.Clock.Pass(time.Minute)
			has(t, "say", w.send("bob", `420["publish",{"room":"channel:1","event":"message:new","data":1,"id":"seen"}]`), `"ok":true`)
			frames := w.Network.TakeFrom("a1")
			last := frames[len(frames)-1]
			offset := last[strings.LastIndex(last, `,"`)+2 : len(last)-2]
			w.Emit(t.Context(), c.command)
			w.Network.Cut("a1")
			w.send("bob", `420["join",{"room":"channel:1"}]`)
			has(t, "say", w.send("bob", `420["publish",{"room":"channel:1","event":"message:new","data":1,"id":"meanwhile"}]`), `"ok":true`)
			got, _ := parts(t, w.open("a2", fmt.Sprintf(`{"token":"ana","pid":%q,"offset":%q}`, pid, offset)))
			if heard := strings.Join(w.Network.TakeFrom("a2"), " "); strings.Contains(heard, "meanwhile") {
				t.Errorf("%s, and she hears %s", c.why, heard)
			}
			row, err := w.Store.Connection(t.Context(), "a2")
			if err != nil || row.In("channel:1") || got == sid {
				t.Errorf("%s, and her session is %s, which was %s, in %v, %v", c.why, got, sid, row.Rooms, err)
			}
			has(t, "say", w.send("a2", `420["publish",{"room":"channel:1","event":"message:new","data":1}]`), `"code":"not_in_room"`)
		})
	}
}

// TestRecoveryWhileThrottled: a push that is throttled is pushed again, and nothing before it. Each 50th push is the issue of a busy
// account; 20 in a row that of one that is overrun.
func TestRecoveryWhileThrottled(t *testing.T) {
	const missed = 301
	for name, throttled := range map[string]func(push int) bool{
		"each 50th":    func(push int) bool { return push%50 == 0 },
		"20 in a row":  func(push int) bool { return push >= 100 && push < 120 },
		"half of them": func(push int) bool { return push%7 < 3 || push%7 == 5 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, socketio.Options{})
			sid, pid := parts(t, w.open("a1", `{"token":"ana"}`))
			w.send("a1", `42["join",{"room":"channel:1"}]`)
			w.Network.Cut("a1")
			for i := range missed {
				answer := w.Emit(t.Context(), &hub.PublishCommand{Rooms: []string{"channel:1"}, Event: "message:new", Data: []byte("1"), ID: fmt.Sprintf("m%d", i)})
				if answer.Error != nil {
					t.Fatal(answer.Error)
				}
			}
			pushes := 0
			var pauses []time.Duration
			last := w.Clock.Now()
			w.Network.Fail(func(c hubtest.Call) error {
				if c.Connection != "a2" {
					return nil
				}
				if pushes++; !throttled(pushes) {
					return nil
				}
				pauses, last = append(pauses, w.Clock.Now().Sub(last)), w.Clock.Now()
				return hub.ErrThrottled
			})
			answer := w.open("a2", fmt.Sprintf(`{"token":"ana","pid":%q}`, pid))
			if got, _ := parts(t, answer); got != sid {
				t.Fatalf("not recovered: %s", answer)
			}
			heard := map[string]int{}
			for _, frame := range w.Network.TakeFrom("a2") {
				if _, rest, is := strings.Cut(frame, `"id":"m`); is {
					heard[rest[:strings.IndexByte(rest, '"')]]++
				}
			}
			if len(heard) != missed {
				t.Errorf("heard %d of %d", len(heard), missed)
			}
			for id, n := range heard {
				if n != 1 {
					t.Errorf("%s came %d times", id, n)
				}
			}
			if name == "20 in a row" && slices.Max(pauses[10:]) <= slices.Max(pauses[1:5]) {
				t.Errorf("the pauses do not grow: %v", pauses)
			}
		})
	}
}

// TestDeletedIsToldAsDeleted: handlers of message:new rely on its data, which a deleted message has no more.
func TestDeletedIsToldAsDeleted(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	sid, pid := parts(t, w.open("a1", `{"token":"ana"}`))
	w.open("bob", `{"token":"bob"}`)
	for _, c := range []string{"a1", "bob"} {
		w.send(c, `42["join",{"room":"channel:1"}]`)
	}
	w.Clock.Pass(10 * time.Second)
	if err := w.Depart(t.Context(), "a1"); err != nil {
		t.Fatal(err)
	}
	const say = `420["message:send",{"channelId":"1","content":"hi","id":"m1"}]`
	has(t, "say", w.send("bob", say), `"ok":true`)
	has(t, "delete", w.send("bob", `421["message:delete",{"channelId":"1","messageId":"m1"}]`), `"ok":true`)
	w.Network.TakeFrom("bob")
	has(t, "say it again", w.send("bob", say), `"ok":true`)
	if got, _ := parts(t, w.open("a2", fmt.Sprintf(`{"token":"ana","pid":%q}`, pid))); got != sid {
		t.Fatal("not recovered")
	}
	if got := w.Network.TakeFrom("bob"); len(got) != 0 {
		t.Errorf("bob, who heard it before, was told %q", got)
	}
	got := w.Network.TakeFrom("a2")
	if len(got) == 0 {
		t.Error("ana was told nothing")
	}
	for _, frame := range got {
		if !strings.HasPrefix(frame, `42["message:deleted",{"messageId":"m1",`) {
			t.Errorf("ana was told %s", frame)
		}
	}
}

// TestRecoveryIsBounded: an offset is what a client says. However old it is, no more is given again than a client may have missed.
func TestRecoveryIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		events int // in half an hour
		offset string
		given  int
	}{
		"a forged moment":                  {300, "1", 202},
		"a forged moment and place":        {300, "1:1:channel:1", 202},
		"what the server knows":            {300, "", 202},
		"more than is given again":         {3000, "1", 0},
		"more, from the beginning of time": {3000, "1:1:channel:1", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, socketio.Options{})
			sid, pid := parts(t, w.open("a1", `{"token":"ana"}`))
			w.send("a1", `42["join",{"room":"channel:1"}]`)
			for range c.events {
				w.Clock.Pass(30 * time.Minute / time.Duration(c.events))
				if answer := w.Emit(t.Context(), hub.PublishCommand{Rooms: []string{"channel:1"}, Event: "x"}); !answer.OK {
					t.Fatal(answer.Error)
				}
			}
			if err := w.Depart(t.Context(), "a1"); err != nil {
				t.Fatal(err)
			}
			w.Network.TakeFrom("a1")
			got, _ := parts(t, w.open("a2", fmt.Sprintf(`{"token":"ana","pid":%q,"offset":%q}`, pid, c.offset)))
			if given := len(w.Network.TakeFrom("a2")); given != c.given || (got == sid) != (given > 0) {
				t.Errorf("recovered: %v, given again are %d, want %d", got == sid, given, c.given)
			}
		})
	}
}

// TestRecoveryOfWhatWaited: an event that could not be pushed, and waits in the queue when its client is cut, is not lost by what the
// client has seen since in another room.
func TestRecoveryOfWhatWaited(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	sid, pid := parts(t, w.open("a1", `{"token":"ana"}`))
	for _, room := range []string{"channel:1", "channel:2"} {
		w.send("a1", fmt.Sprintf(`42["join",{"room":%q}]`, room))
	}
	say := func(room, id string) {
		t.Helper()
		if answer := w.Emit(t.Context(), hub.PublishCommand{Rooms: []string{room}, Event: "x", ID: id}); !answer.OK {
			t.Fatal(answer.Error)
		}
	}
	say("channel:1", "before")
	w.Clock.Pass(time.Minute)
	w.Network.Fail(hubtest.Of(hub.ErrThrottled, "a1"))
	say("channel:1", "waits")
	w.Network.Fail(nil)
	w.Clock.Pass(time.Minute)
	w.Network.TakeFrom("a1")
	say("channel:2", "seen")
	got := w.Network.TakeFrom("a1")
	last := got[len(got)-1]
	offset := last[strings.LastIndex(last, `,"`)+2 : len(last)-2]
	w.Network.Cut("a1")
	again, _ := parts(t, w.open("a2", fmt.Sprintf(`{"token":"ana","pid":%q,"offset":%q}`, pid, offset)))
	frames := strings.Join(w.Network.TakeFrom("a2"), "\n")
	if again != sid || !strings.Contains(frames, `"id":"waits"`) || strings.Contains(frames, `"id":"before"`) {
		t.Errorf("recovered: %v, it was given %s", again == sid, frames)
	}
}

// TestHeardOnce: a client that repeats a message until it is acknowledged is heard once, whatever has become of its first try. What was
// deleted in between is told as deleted.
func TestHeardOnce(t *testing.T) {
	const say = `420["message:send",{"channelId":"1","content":"hi","id":"m1"}]`
	meet := func(t *testing.T) *world {
		w := newWorld(t, socketio.Options{})
		for _, c := range []string{"ana", "bob"} {
			w.open(c, fmt.Sprintf(`{"token":%q}`, c))
			w.send(c, `42["join",{"room":"channel:1"}]`)
		}
		w.Network.TakeFrom("bob")
		return w
	}
	hears := func(t *testing.T, w *world, want ...string) {
		t.Helper()
		got := w.Network.TakeFrom("bob")
		if len(got) != len(want) {
			t.Fatalf("bob heard %q, want %q", got, want)
		}
		for i := range got {
			has(t, "bob heard", got[i], want[i])
		}
	}
	t.Run("one after the other", func(t *testing.T) {
		w := meet(t)
		for range 3 {
			has(t, "say", w.send("ana", say), `"ok":true`)
		}
		hears(t, w, `"message:new"`)
		for range 2 {
			has(t, "delete", w.send("ana", `421["message:delete",{"channelId":"1","messageId":"m1"}]`), `"ok":true`)
		}
		has(t, "say", w.send("ana", say), `"ok":true`)
		hears(t, w, `"message:deleted"`)
	})
	t.Run("while the first is at work", func(t *testing.T) {
		w := meet(t)
		pushing, release, done := make(chan struct{}), make(chan struct{}), make(chan string)
		w.Network.Fail(func(c hubtest.Call) error {
			if c.Connection == "bob" {
				close(pushing)
				<-release
			}
			return nil
		})
		go func() { done <- w.send("ana", say) }()
		<-pushing
		first := ""
		w.waiting = func() {
			if first == "" {
				close(release)
				first = <-done
			}
		}
		has(t, "the second", w.send("ana", say), `"ok":true`)
		has(t, "the first", first, `"ok":true`)
		hears(t, w, `"message:new"`)
	})
	t.Run("after the first has failed", func(t *testing.T) {
		w := meet(t)
		w.Network.Fail(hubtest.Of(hub.ErrThrottled, "bob"))
		w.Queue.Fail = func(hub.Job) error { return hub.ErrUnavailable }
		has(t, "say", w.send("ana", say), `"code":"unavailable"`)
		w.Network.Fail(nil)
		w.Queue.Fail = nil
		began := w.Clock.Now()
		has(t, "say", w.send("ana", say), `"ok":true`)
		hears(t, w, `"message:new"`)
		if took := w.Clock.Now().Sub(began); took > time.Second {
			t.Errorf("that took %v", took)
		}
	})
	t.Run("after the first was cut off", func(t *testing.T) {
		w := meet(t)
		cut := true
		notes := around.NewNotes(w.Notes, func(_ context.Context, c *around.Call, do func() error) error {
			if cut && strings.HasPrefix(c.Key, "told#") {
				return errors.New("cut off")
			}
			return do()
		})
		w.Hub, w.sockets = socketio.Wire(w.Config, notes, socketio.Options{})
		has(t, "say", w.send("ana", say), `"ok":true`)
		cut = false
		began := w.Clock.Now()
		has(t, "say", w.send("ana", say), `"ok":true`)
		if took := w.Clock.Now().Sub(began); took < 30*time.Second {
			t.Errorf("it waited %v, and the first may be at work", took)
		}
		has(t, "say", w.send("ana", say), `"ok":true`)
		hears(t, w, `"message:new"`, `"message:new"`)
	})
}

// A client that has heard nothing yet has no offset. It is recovered from when it came, also into rooms whose log began then.
func TestRecoveryWithoutOffset(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	sid, pid := parts(t, w.open("a1", `{"token":"ana"}`))
	w.Clock.Pass(time.Second)
	w.send("a1", `42["join",{"room":"channel:new"}]`)
	if err := w.Depart(t.Context(), "a1"); err != nil {
		t.Fatal(err)
	}
	w.Emit(t.Context(), hub.PublishCommand{Rooms: []string{"channel:new"}, Event: "news", ID: "n1"})
	if got, _ := parts(t, w.open("a2", fmt.Sprintf(`{"token":"ana","pid":%q}`, pid))); got != sid {
		t.Error("not recovered")
	}
	if got := w.Network.TakeFrom("a2"); len(got) != 1 || !strings.Contains(got[0], `"id":"n1"`) {
		t.Errorf("given again are %v", got)
	}
}

func TestRecoveryIsHonest(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	sid, pid := parts(t, w.open("a1", `{"token":"ana"}`))
	w.send("a1", `42["join",{"room":"channel:1"}]`)
	w.Clock.Pass(20 * time.Second)
	w.send("a1", `420["publish",{"room":"channel:1","event":"e","id":"1"}]`)
	if err := w.Depart(t.Context(), "a1"); err != nil {
		t.Fatal(err)
	}
	w.Clock.Pass(20 * time.Second)
	w.Emit(t.Context(), hub.CloseCommand{Room: "channel:1"}) // a new log
	w.Clock.Pass(20 * time.Second)
	if got, _ := parts(t, w.open("a2", fmt.Sprintf(`{"token":"ana","pid":%q}`, pid))); got == sid {
		t.Error("recovered over a log that began anew")
	}
	if row, err := w.Store.Connection(t.Context(), "a2"); err != nil || len(row.Rooms) != 1 || !row.In("user:ana") {
		t.Errorf("not recovered, it is in %v, %v", row.Rooms, err)
	}
	for _, offset := range []string{"", "nonsense", "zz:1:channel:1", "::"} {
		if got := w.open("b"+offset, fmt.Sprintf(`{"token":"ana","pid":"unknown","offset":%q}`, offset)); !strings.HasPrefix(got, "40{") {
			t.Errorf("an offset %q gives %s", offset, got)
		}
	}
}

func TestCheck(t *testing.T) {
	for want, o := range map[string]socketio.Options{
		"":                {},
		"heartbeat, noop": {KeepAlive: "often"},
		"at most 9m":      {PingInterval: 8 * time.Minute},
		"begins with /":   {Namespaces: []string{"chat"}},
	} {
		err := o.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v gives %v, want %q", o, err, want)
		}
	}
	for query, want := range map[[2]string]string{{"3", "websocket"}: "Engine.IO 4", {"4", "polling"}: "no polling", {"4", "websocket"}: ""} {
		err := socketio.Handshake(map[string]string{"EIO": query[0], "transport": query[1]})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v gives %v", query, err)
		}
	}
}
