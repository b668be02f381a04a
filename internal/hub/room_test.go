package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// joinsReply is the data of the reply to a join of several rooms, as clients see it.
type joinsReply struct {
	Rooms []struct {
		protocol.JoinResult

		Error *struct {
			Code protocol.Code `json:"code"`
		} `json:"error"`
	} `json:"rooms"`
	More bool `json:"more"`
}

func TestJoinOfSeveral(t *testing.T) {
	w := newWorld(t)
	ana := w.Open("ana")
	w.Must(ana, `{"action":"join","room":"channel:1"}`)
	first := w.publish(ana, "m1")
	w.publish(ana, "m2")
	ask := func(c hub.Caller, frame string) joinsReply {
		t.Helper()
		var got joinsReply
		if err := json.Unmarshal(w.Must(c, frame), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	bob := w.Open("bob")
	got := ask(bob, fmt.Sprintf(
		`{"action":"join","rooms":[{"room":"channel:1","since":{"epoch":%q,"seq":%d}},{"room":"planet:1"},{"room":"community:1"},{"room":"user:ana"}]}`, first.Epoch, first.Seq,
	))
	if len(got.Rooms) != 4 || got.More {
		t.Fatalf("got %+v", got)
	}
	if r := got.Rooms[0]; r.Room != "channel:1" || !r.Recovered || len(r.Events) != 1 || r.Events[0].ID != "m2" {
		t.Errorf("the first room: %+v", r)
	}
	if r := got.Rooms[1]; r.Room != "planet:1" || r.Error == nil || r.Error.Code != protocol.CodeUnknownRoomKind {
		t.Errorf("a room that there is not: %+v", r)
	}
	if r := got.Rooms[2]; r.Error != nil || len(r.Presence) != 1 {
		t.Errorf("a room with presence: %+v", r)
	}
	if r := got.Rooms[3]; r.Error == nil || r.Error.Code != protocol.CodeForbidden {
		t.Errorf("another's room: %+v", r)
	}
	frame := `{"action":"join","rooms":[{"room":"community:1"}`
	for _, room := range []string{"channel:1", "channel:2"} {
		w.Must(ana, `{"action":"join","room":"`+room+`"}`)
		for i := range 5 {
			got := w.Must(ana, fmt.Sprintf(`{"action":"publish","id":"big%d","room":%q,"event":"message:new","data":%q}`, i, room, strings.Repeat("x", 30<<10)))
			if err := json.Unmarshal(got, &first); err != nil {
				t.Fatal(err)
			}
			if i == 2 {
				frame += fmt.Sprintf(`,{"room":%q,"since":{"epoch":%q,"seq":%d}}`, room, first.Epoch, first.Seq-2)
			}
		}
	}
	cyd := w.Open("cyd")
	if got := ask(cyd, frame+"]}"); len(got.Rooms) != 2 || !got.More || got.Rooms[0].Error != nil || !got.Rooms[1].More {
		t.Errorf("a reply without space for a third room has %d rooms, more %v", len(got.Rooms), got.More)
	}
	if got := ask(cyd, `{"action":"join","rooms":[`+frame[strings.LastIndex(frame, `{"room":`):]+"]}"); len(got.Rooms) != 1 || len(got.Rooms[0].Events) != 2 {
		t.Errorf("asked for again, it is %+v", got)
	}
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf(`{"room":"channel:m%d"}`, i)
	}
	dan := w.Open("dan")
	if got := ask(dan, `{"action":"join","rooms":[`+strings.Join(many, ",")+`]}`); len(got.Rooms) != 100 || got.Rooms[98].Error != nil || got.Rooms[99].Error == nil {
		t.Errorf("of 100 rooms, one too many with the user's own: %d, %+v", len(got.Rooms), got.Rooms[len(got.Rooms)-1])
	}
}

// TestJoinWithoutList: who knows who is present, and has missed nothing, is not told again.
func TestJoinWithoutList(t *testing.T) {
	w := newWorld(t)
	ana, bob := w.Open("ana"), w.Open("bob")
	w.Must(ana, `{"action":"join","room":"community:1"}`)
	join := func(with string) (got protocol.JoinResult) {
		t.Helper()
		if err := json.Unmarshal(w.Must(bob, `{"action":"join","room":"community:1"`+with+`}`), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := join(`,"listed":true`)
	if len(first.Presence) != 2 {
		t.Fatalf("without a position the list has %+v", first.Presence)
	}
	w.Must(ana, `{"action":"presence","room":"community:1","status":"away"}`)
	since := fmt.Sprintf(`,"since":{"epoch":%q,"seq":%d}`, first.Epoch, first.Seq)
	if got := join(since + `,"listed":true`); len(got.Presence) != 0 || len(got.Events) == 0 || got.Events[len(got.Events)-1].Event != protocol.PresenceChanged {
		t.Errorf("nothing is missing: got the list %+v and the events %+v", got.Presence, got.Events)
	}
	if got := join(since); len(got.Presence) != 2 {
		t.Errorf("it was asked for: got the list %+v", got.Presence)
	}
	if got := join(`,"since":{"epoch":"gone","seq":1},"listed":true`); got.Recovered || len(got.Presence) != 2 {
		t.Errorf("something is missing: recovered is %v, and the list %+v", got.Recovered, got.Presence)
	}
}

// TestJoinAgain: a join of a room that the connection is in for long leaves its presence as it is, which ends with it all the same.
func TestJoinAgain(t *testing.T) {
	w := newWorld(t)
	ana := w.Open("ana")
	rev := func() string {
		t.Helper()
		here, err := w.Store.Here(t.Context(), "community:1", "ana")
		if err != nil {
			t.Fatal(err)
		}
		return here.Rev
	}
	join := func(after time.Duration) string {
		w.Clock.Pass(after)
		w.Must(ana, `{"action":"join","room":"community:1"}`)
		return rev()
	}
	first := join(0)
	soon := join(time.Minute) // what was left a moment before may be on its way still
	if soon == first {
		t.Error("a minute later its presence is of the first join")
	}
	if late := join(3 * time.Minute); late != soon {
		t.Error("three minutes later its presence was written anew")
	}
	w.Must(ana, `{"action":"leave","room":"community:1"}`)
	w.Pass(time.Second)
	here := func() int {
		return strings.Count(fmt.Sprint(w.Emit(t.Context(), hub.PresenceCommand{Room: "community:1"}).Data), "ana")
	}
	if here() != 0 {
		t.Error("after its leave ana is present")
	}
	again := w.Open("ana")
	w.Must(again, `{"action":"join","room":"community:1"}`)
	w.Must(again, `{"action":"leave","room":"community:1"}`)
	w.Must(again, `{"action":"join","room":"community:1"}`)
	if w.Pass(time.Second); here() == 0 {
		t.Error("after leave and join ana is not present")
	}
}

func TestPause(t *testing.T) {
	w := newWorld(t)
	ana, bob := w.Open("ana"), w.Open("bob")
	for _, c := range []hub.Caller{ana, bob} {
		w.Must(c, `{"action":"join","room":"channel:1"}`)
		w.Must(c, `{"action":"join","room":"community:1"}`)
	}
	before := w.publish(ana, "m1")
	if got := string(w.Must(bob, `{"action":"pause"}`)); got != `{"rooms":["channel:1","community:1"]}` {
		t.Errorf("pause is answered by %s", got)
	}
	w.publish(ana, "m2")
	w.Emit(t.Context(), hub.PublishCommand{Users: []string{"bob"}, Event: protocol.NotificationNew, Data: json.RawMessage(`{"title":"x"}`)})
	heard := w.Network.Names(bob.Connection)
	if count(heard, "message:new") != 1 || count(heard, protocol.NotificationNew) != 1 {
		t.Errorf("paused, bob heard %v", heard)
	}
	if here := fmt.Sprint(w.Emit(t.Context(), hub.PresenceCommand{Room: "community:1"}).Data); !strings.Contains(here, "bob") {
		t.Errorf("present are %s", here)
	}
	w.publish(bob, "m3") // he may still speak
	var got protocol.JoinResult
	frame := fmt.Sprintf(`{"action":"join","room":"channel:1","since":{"epoch":%q,"seq":%d}}`, before.Epoch, before.Seq)
	if err := json.Unmarshal(w.Must(bob, frame), &got); err != nil || !got.Recovered || len(got.Events) != 2 {
		t.Errorf("back, bob gets %+v, %v", got, err)
	}
	w.publish(ana, "m4")
	if n := count(w.Network.Names(bob.Connection), "message:new"); n != 2 {
		t.Errorf("back, bob heard %d messages, want 2", n)
	}
}

func TestGrantSignal(t *testing.T) {
	w := newWorld(t)
	bob := w.Open("bob")
	w.Must(bob, `{"action":"join","room":"channel:1"}`)
	ana := hub.Caller{Connection: "ana", User: "ana", Name: "Ana", Expires: w.Clock.Now().Add(time.Hour)}
	who := hub.Identity{User: "ana", Name: "Ana", Grants: hub.Grants{"channel:*": {hub.GrantJoin, hub.GrantSignal}}, Expires: ana.Expires}
	if err := w.Connect(t.Context(), ana.Connection, who, protocol.Name); err != nil {
		t.Fatal(err)
	}
	w.Must(ana, `{"action":"join","room":"channel:1"}`)
	w.Receive(t.Context(), ana, []byte(`{"action":"typing:start","channelId":"1"}`))
	if n := count(w.Network.Names(bob.Connection), protocol.UserTyping); n != 1 {
		t.Errorf("bob heard that ana types %d times", n)
	}
	if e, want := w.Network.Events(bob.Connection)[0], fmt.Sprintf(`{"until":%d}`, w.Clock.Now().Add(12*time.Second).UnixMilli()); string(e.Data) != want {
		t.Errorf("bob was told %s, want %s", e.Data, want)
	}
	if r := w.Ask(ana, `{"action":"publish","room":"channel:1","event":"message:new","data":1}`); r.OK || r.Error.Code != protocol.CodeForbidden {
		t.Errorf("a publish without its grant: %+v", r)
	}
	// A process that still takes the connection for another user's.
	stale := ana
	stale.User, stale.Name = "eve", "Eve"
	w.Receive(t.Context(), stale, []byte(`{"action":"typing:start","channelId":"1"}`))
	events := w.Network.Events(bob.Connection)
	last := events[len(events)-1]
	if last.From == nil || last.From.UserID != "ana" {
		t.Errorf("bob heard that %+v types", last.From)
	}
}

// TestTokenEnds: whose token has ended hears nothing more and is closed by the first delivery, long before a sweep. Who has renewed it
// hears everything, and is looked at once.
func TestTokenEnds(t *testing.T) {
	w := newWorld(t, func(c *hub.Config) { c.Verifier = renewal{c.Now} })
	ana, bob, eve := w.Open("ana"), w.Open("bob"), w.Open("eve")
	for _, c := range []hub.Caller{ana, bob, eve} {
		w.Must(c, `{"action":"join","room":"channel:1"}`)
	}
	w.Clock.Pass(50 * time.Minute)
	w.Must(bob, `{"action":"auth","token":"bob 2h"}`)
	w.Must(ana, `{"action":"auth","token":"ana 2h"}`)
	w.Clock.Pass(11 * time.Minute)
	for n := range 2 {
		w.Must(ana, `{"action":"publish","room":"channel:1","event":"message:new","data":1}`)
		if got := count(w.Network.Names(bob.Connection), "message:new"); got != n+1 {
			t.Errorf("bob, who renewed his token, heard %d of %d", got, n+1)
		}
	}
	if got := w.Network.Names(eve.Connection); !slices.Equal(got, []string{protocol.SessionEnding}) || !w.Network.Closed(eve.Connection) {
		t.Errorf("eve, whose token ended, heard %v", got)
	}
	if answer := w.Emit(t.Context(), hub.PublishCommand{Connections: []string{eve.Connection}, Event: "x", Ephemeral: true}); !answer.OK || len(w.Network.Names(eve.Connection)) != 1 {
		t.Errorf("an emit to eve alone: %+v, and she heard %v", answer, w.Network.Names(eve.Connection))
	}
	members, err := w.Store.Members(t.Context(), "channel:1", 0, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members.Members {
		if !m.Expires.After(w.Clock.Now()) {
			t.Errorf("%s is still written down with the token of before: %v", m.Connection, m.Expires)
		}
	}
}

// TestSignalPastAShorterToken: what counts is the token that a connection has now, not the one that it came with.
func TestSignalPastAShorterToken(t *testing.T) {
	w := newWorld(t, func(c *hub.Config) { c.Verifier = renewal{c.Now} })
	ana, bob := w.Open("ana"), w.Open("bob")
	for _, c := range []hub.Caller{ana, bob} {
		w.Must(c, `{"action":"join","room":"channel:1"}`)
	}
	w.Clock.Pass(3 * time.Minute) // its membership leaves no mark any more
	w.Must(ana, `{"action":"auth","token":"ana 5m"}`)
	for range 2 {
		w.Receive(t.Context(), ana, []byte(`{"action":"signal","room":"channel:1","event":"typing:start"}`))
		w.Clock.Pass(6 * time.Minute)
	}
	if n := count(w.Network.Names(bob.Connection), protocol.UserTyping); n != 1 {
		t.Errorf("bob heard that ana types %d times", n)
	}
}

// renewal takes "ana 5m" for a token of ana's that ends in five minutes.
type renewal struct{ now func() time.Time }

func (r renewal) Verify(_ context.Context, token string) (hub.Identity, error) {
	user, life, _ := strings.Cut(token, " ")
	d, err := time.ParseDuration(life)
	return hub.Identity{User: user, Grants: hubtest.Everything(), Expires: r.now().Add(d)}, err
}

// TestTypingInLargeRooms: beyond a number of members only those who talk are told who types, if that can be told at once; other signals go
// on.
func TestTypingInLargeRooms(t *testing.T) {
	kinds := hub.DefaultKinds()
	kinds["channel"] = hub.Kind{Keep: time.Hour, Typing: 3}
	kinds["quiet"] = hub.Kind{Keep: time.Hour}
	for _, inline := range []int{2, 200} { // how many members are read at once
		w := newWorld(t, func(c *hub.Config) { c.Kinds, c.Limits.Inline = kinds, inline })
		enter := func(user string) hub.Caller {
			c := w.Open(user)
			w.Must(c, `{"action":"join","room":"channel:1"}`)
			w.Must(c, `{"action":"join","room":"quiet:1"}`)
			return c
		}
		ana, bob := enter("ana"), enter("bob")
		told := func(room, event string) int {
			before := len(w.Network.Names(bob.Connection))
			w.Receive(t.Context(), ana, []byte(`{"action":"signal","room":"`+room+`","event":"`+event+`"}`))
			w.Drain()
			return len(w.Network.Names(bob.Connection)) - before
		}
		for members := 2; members < 6; members++ {
			want := 0
			if members <= 3 {
				want = 1
			}
			if n := told("channel:1", "typing:start"); n != want {
				t.Errorf("%d members, %d at once: bob was told %d times that ana types, want %d", members, inline, n, want)
			}
			if n := told("quiet:1", "typing:start"); n != 0 {
				t.Errorf("%d members: bob was told in a room without typing", members)
			}
			if n := told("channel:1", "cursor:moved"); n != 1 {
				t.Errorf("%d members: bob was told %d times of another signal", members, n)
			}
			enter(fmt.Sprint("user", members))
		}
		say := func(room string) {
			w.Must(bob, `{"action":"publish","room":"`+room+`","event":"message:new","data":{"content":"hi"}}`)
		}
		say("quiet:1")
		if n := told("quiet:1", "typing:start"); n != 0 {
			t.Errorf("bob, who talks, was told in a room without typing")
		}
		if say("channel:1"); inline == 200 {
			for range 2 {
				if n := told("channel:1", "typing:start"); n != 1 {
					t.Errorf("bob, who talks, was told %d times that ana types", n)
				}
				w.Clock.Pass(9 * time.Minute)
			}
		} else if n := told("channel:1", "typing:start"); n != 0 {
			t.Errorf("bob was told %d times that ana types, in a room that is not read at once", n)
		}
		for _, p := range w.Network.Take() {
			if p.Connection == ana.Connection && slices.ContainsFunc(hubtest.Events(p.Frame), func(e protocol.Event) bool { return e.Event == protocol.UserTyping }) {
				t.Error("ana was told that she types herself")
			}
		}
		w.Clock.Pass(2 * time.Minute)
		if n := told("channel:1", "typing:start"); n != 0 {
			t.Errorf("bob, who wrote something 20 minutes ago, was told %d times that ana types", n)
		}
	}
}

// TestRemovedIsTold: who is taken out of a room by a program is told, though pushing is throttled just then.
func TestRemovedIsTold(t *testing.T) {
	w := newWorld(t)
	ana := w.Open("ana")
	w.Must(ana, `{"action":"join","room":"channel:1"}`)
	w.Network.Fail(hubtest.Always(hub.ErrThrottled))
	w.Emit(t.Context(), hub.LeaveCommand{Selection: hub.Selection{User: "ana"}, Room: "channel:1"})
	if r := w.Ask(ana, `{"action":"publish","room":"channel:1","event":"message:new","data":1}`); r.Error.Code != protocol.CodeNotInRoom {
		t.Errorf("out of the room, a publish gives %+v", r)
	}
	w.Network.Fail(nil)
	if slices.Contains(w.Network.Names(ana.Connection), protocol.RoomClosed) {
		t.Fatal("it was told in spite of the fault")
	}
	for range 2 {
		w.Clock.Pass(5 * time.Minute)
		if _, err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(w.Network.Names(ana.Connection), protocol.RoomClosed); n != 1 {
		t.Errorf("ana was told %d times", n)
	}
}

// TestChains: Lambda stops what has invoked itself 16 times in a row, unless it is allowed to:
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html. Here each shard has 20 pages.
func TestChains(t *testing.T) {
	w := newWorld(t, func(c *hub.Config) { c.Limits.Inline, c.Limits.Page = 10, 10 })
	if err := w.Store.Grow(t.Context(), "channel:1", 1); err != nil {
		t.Fatal(err)
	}
	var all []hub.Caller
	for i := range 400 {
		c := w.Open(fmt.Sprintf("user%d", i))
		w.Must(c, `{"action":"join","room":"channel:1"}`)
		all = append(all, c)
	}
	// finish does the jobs that wait, which are of a kind, and wants them to be the last ones.
	finish := func(t *testing.T, kind hub.JobKind, event string) {
		t.Helper()
		jobs := w.Queue.Take()
		for _, j := range jobs {
			if j.Job.Kind != kind {
				t.Errorf("got a %s job", j.Job.Kind)
			}
			if err := w.Work(t.Context(), j.Job); err != nil {
				t.Fatal(err)
			}
		}
		if len(jobs) != 2 {
			t.Errorf("got %d jobs for 2 shards", len(jobs))
		}
		if left := w.Queue.Take(); len(left) > 0 {
			t.Errorf("they left %d jobs behind", len(left))
		}
		for _, c := range all {
			if n := count(w.Network.Names(c.Connection), event); n != 1 {
				t.Errorf("%s was told %s %d times", c.Connection, event, n)
			}
		}
	}
	t.Run("a fan-out is a job for each shard, which leaves none behind", func(t *testing.T) {
		w.publish(all[0], "m1")
		finish(t, hub.JobFanOut, "message:new")
	})
	t.Run("so is the end of a room", func(t *testing.T) {
		if a := w.Emit(t.Context(), hub.CloseCommand{Room: "channel:1"}); !a.OK {
			t.Fatal(a.Error)
		}
		finish(t, hub.JobClose, "room:closed")
	})
}
