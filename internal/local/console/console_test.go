package console_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/local/trace"
)

func TestMain(m *testing.M) { servertest.Main(m) }

func TestOverview(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	ana, bob := s.Connect("ana"), s.Connect("bob")
	ana.Does(`{"action":"join","id":"1","room":"channel:a"}`)
	ana.Does(`{"action":"join","id":"2","room":"community:t"}`)
	bob.Does(`{"action":"join","id":"1","room":"channel:a"}`)
	o := servertest.Get[console.Overview](s, "overview")
	if o.Total != 2 || o.Matching != 2 || !o.Bellhop || o.Stage != "dev" || o.RoomTotal != 4 {
		t.Errorf("got %+v", o)
	}
	if first := o.Rooms[0]; first != (console.Room{Room: "channel:a", Connections: 2, Users: 2}) {
		t.Errorf("got %+v first, want the largest room", first)
	}
	o = servertest.Get[console.Overview](s, "overview?q=COMMUNITY")
	if o.Total != 2 || len(o.Connections) != 1 || o.Connections[0].User != "ana" || len(o.Rooms) != 1 {
		t.Errorf("filtered: got %+v", o)
	}
	d := servertest.Get[console.RoomDetail](s, "rooms/community:t")
	if len(d.Members) != 1 || d.Members[0].User != "ana" || len(d.Presence) != 1 || d.Presence[0].Status != "online" || d.Seq != 1 {
		t.Errorf("got %+v", d)
	}
	ana.Does(`{"action":"leave","id":"3","room":"community:t"}`)
	servertest.Eventually(t, "ana is not present any more", func() bool {
		d = servertest.Get[console.RoomDetail](s, "rooms/community:t")
		return len(d.Members) == 0 && len(d.Presence) == 0
	})
	if status, _ := s.Ask(http.MethodGet, "/_bellhop/rooms/no%20room", ""); status != http.StatusBadRequest {
		t.Errorf("a malformed room: got %d", status)
	}
}

func TestTraceOfAnEvent(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	ana, bob := s.Connect("ana"), s.Connect("bob")
	for _, c := range []*servertest.Client{ana, bob} {
		c.Does(`{"action":"join","id":"1","room":"channel:a"}`)
	}
	ana.Does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":1}`)
	ana.Does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":1}`)
	list := servertest.Get[[]trace.Trace](s, "trace/m1")
	if len(list) != 1 {
		t.Fatalf("got %+v, want one trace", list)
	}
	got := list[0]
	if got.Room != "channel:a" || got.Event != "message:new" || got.Seq != 1 || got.From != "ana" || got.Epoch == "" {
		t.Errorf("got %+v", got)
	}
	if got.Counts[trace.Delivered] != 4 || got.Counts[trace.Logged] != 1 || got.Counts[trace.Again] != 1 {
		t.Errorf("got %v, want 4 deliveries of one event sent twice", got.Counts)
	}
	if first := got.Steps[0]; first.What != trace.Received || first.User != "ana" || first.Detail != "function message" {
		t.Errorf("got %+v first, want that it was received from ana", first)
	}
	var users []string
	for _, step := range got.Steps {
		if step.What == trace.Delivered {
			users = append(users, step.User)
		}
	}
	slices.Sort(users)
	if !slices.Equal(users, []string{"ana", "ana", "bob", "bob"}) {
		t.Errorf("delivered to %v", users)
	}
	if status, body := s.Ask(http.MethodGet, "/_bellhop/trace/unknown", ""); status != http.StatusNotFound || !strings.Contains(body, "no event with this id") {
		t.Errorf("an unknown id: got %d %s", status, body)
	}
}

// TestTraceOfALargeRoom: members beyond the first are served by the queue, and one connection is gone without a goodbye.
func TestTraceOfALargeRoom(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t), func(c *servertest.Config) { c.Parameters["InlineLimit"] = "2" })
	clients := make([]*servertest.Client, 0, 5)
	for i := range 5 {
		c := s.Connect(fmt.Sprintf("user%d", i))
		c.Does(`{"action":"join","id":"1","room":"channel:a"}`)
		clients = append(clients, c)
	}
	clients[0].Does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":1}`)
	servertest.Eventually(t, "all five have it, three by the queue", func() bool {
		got := servertest.Get[[]trace.Trace](s, "trace/m1")[0].Counts
		return got[trace.Delivered] == 5 && got[trace.Queued] == 1
	})
	r := servertest.Get[cost.Report](s, "cost")
	if r.Usage.SQSRequests < 1 {
		t.Errorf("got %g requests to queues, want those of the job", r.Usage.SQSRequests)
	}
}

// TestCostOfAConversation counts by hand what two clients use.
func TestCostOfAConversation(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	ana, bob := s.Connect("ana"), s.Connect("bob")
	for _, c := range []*servertest.Client{ana, bob} {
		c.Does(`{"action":"join","id":"1","room":"channel:a"}`)
	}
	ana.Does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":1}`)
	ana.SendText(`{"action":"signal","room":"channel:a","event":"typing:start"}`)
	bob.Event("user:typing", "")
	ana.SendText(`{"action":"ping"}`)
	ana.Event("pong", "")
	var r cost.Report
	// Sent: 2 joins, publish, signal, ping. To clients: 3 replies, the message twice, typing once, pong.
	servertest.Eventually(t, "everything is counted", func() bool {
		r = servertest.Get[cost.Report](s, "cost")
		return r.Usage.MessagesIn == 5 && r.Usage.LambdaRequests == 8
	})
	if r.Usage.MessagesOut != 7 {
		t.Errorf("got %g messages out, want 7", r.Usage.MessagesOut)
	}
	// Two connects of 2, two joins of 2, a publish of 4.
	if r.Usage.WriteUnits != 12 {
		t.Errorf("got %g write units, want 12", r.Usage.WriteUnits)
	}
	if r.Usage.ConnectionMinutes <= 0 || r.Usage.LambdaGBSeconds <= 0 || r.Usage.BytesOut <= 0 || r.DynamoDB != cost.Estimated {
		t.Errorf("got %+v", r)
	}
	room := share(r.Rooms.Top, "channel:a")
	// All but the connects and the ping: 4 in; 3 replies, 3 pushes.
	if room.MessagesIn != 4 || room.MessagesOut != 6 || room.LambdaRequests != 4 || room.WriteUnits != 8 {
		t.Errorf("room: got %+v", room)
	}
	if got := share(r.Users.Top, "ana"); got.MessagesIn != 4 || got.MessagesOut != 2+3+1 {
		t.Errorf("ana, who said everything: got %+v", got)
	}
	if got := share(r.Events.Top, "user:typing"); got.MessagesIn != 1 || got.MessagesOut != 1 || got.WriteUnits != 0 {
		t.Errorf("typing: got %+v", got)
	}
	if got := share(r.Events.Top, "ping"); got.MessagesIn != 1 || got.MessagesOut != 1 || got.LambdaRequests != 0 {
		t.Errorf("ping: got %+v", got)
	}
	if status, body := s.Ask(http.MethodPost, "/dev/@connections/"+url.PathEscape(servertest.Get[console.Overview](s, "overview?q=bob").Connections[0].ID), strings.Repeat("x", 40<<10)); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if after := servertest.Get[cost.Report](s, "cost"); after.Usage.MessagesOut != 9 {
		t.Errorf("after a post of 40 KB: got %g messages out, want two more", after.Usage.MessagesOut)
	}
	servertest.Get[[]console.Connection](s, "connections")
	servertest.Get[console.Overview](s, "overview")
	if after := servertest.Get[cost.Report](s, "cost"); after.Usage.ReadUnits != r.Usage.ReadUnits {
		t.Error("what developers look up is on the bill")
	}
}

func TestReplay(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	ana := s.Connect("ana")
	ana.Does(`{"action":"join","id":"1","room":"channel:a"}`)
	id := servertest.Get[console.Overview](s, "overview").Connections[0].ID
	replay := func(frame string) (int, map[string]any) {
		t.Helper()
		ask, err := json.Marshal(map[string]string{"connection": id, "frame": frame})
		if err != nil {
			t.Fatal(err)
		}
		status, body := s.Ask(http.MethodPost, "/_bellhop/replay", string(ask))
		var answer struct{ Reply string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%d %s", status, body)
		}
		var reply map[string]any
		if answer.Reply != "" {
			if err := json.Unmarshal([]byte(answer.Reply), &reply); err != nil {
				t.Fatal(err)
			}
		}
		return status, reply
	}
	status, reply := replay(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":"again"}`)
	if status != http.StatusOK || reply["ok"] != true {
		t.Errorf("got %d %v", status, reply)
	}
	if e := ana.Event("message:new", ""); e["data"] != "again" || e["from"].(map[string]any)["userId"] != "ana" {
		t.Errorf("got %v, want the message as ana's", e)
	}
	if _, reply := replay(`{"action":"join","id":"2","room":"user:bob"}`); reply["ok"] != false {
		t.Errorf("ana joined bob's room: %v", reply)
	}
	if status, body := s.Ask(http.MethodPost, "/_bellhop/replay", `{"connection":"nobody","frame":"{}"}`); status != http.StatusNotFound {
		t.Errorf("an unknown connection: got %d %s", status, body)
	}
	if status, _ := s.Ask(http.MethodPost, "/_bellhop/replay", `no json`); status != http.StatusBadRequest {
		t.Errorf("no JSON: got %d", status)
	}
}

// TestBothDialects: what a client of Socket.IO hears is traced and on the bill as what the others hear is, wherever the functions run.
func TestBothDialects(t *testing.T) {
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place)
		ana, sid := s.Connect("ana"), s.Socket("sid")
		ana.Does(`{"action":"join","id":"1","room":"channel:a"}`)
		sid.Write(`420["join",{"room":"channel:a"}]`)
		sid.Read("430[")
		before := servertest.Get[cost.Report](s, "cost")
		ana.Does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":{"content":"hi"}}`)
		ana.Event("message:new", "channel:a")
		sid.Read(`42["message:new",{"content":"hi",`)
		servertest.Eventually(t, "both have heard it", func() bool {
			list := servertest.Get[[]trace.Trace](s, "trace/m1")
			return len(list) == 1 && list[0].Counts[trace.Delivered] == 2
		})
		after := servertest.Get[cost.Report](s, "cost")
		sent := func(of func(cost.Report) cost.Shares, name string) float64 {
			return share(of(after).Top, name).MessagesOut - share(of(before).Top, name).MessagesOut
		}
		for what, of := range map[string]func(cost.Report) cost.Shares{
			"channel:a":   func(r cost.Report) cost.Shares { return r.Rooms },
			"ana":         func(r cost.Report) cost.Shares { return r.Users },
			"message:new": func(r cost.Report) cost.Shares { return r.Events },
		} {
			// The message twice. Where the functions are in this process, the reply counts as well.
			if got := sent(of, what); got < 2 {
				t.Errorf("%s: got %g messages, want those to both", what, got)
			}
		}
	})
}

// share is what a name has used.
func share(list []cost.Share, name string) cost.Usage {
	for _, s := range list {
		if s.Name == name {
			return s.Usage
		}
	}
	return cost.Usage{}
}

// TestReplayOfAPacket: a frame of a client of Socket.IO is done again as its connection's, in its dialect.
func TestReplayOfAPacket(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	ana, sid := s.Connect("ana"), s.Socket("sid")
	ana.Does(`{"action":"join","id":"1","room":"channel:a"}`)
	id := servertest.Get[console.Overview](s, "overview?q=sid").Connections[0].ID
	replay := func(frame string) string {
		t.Helper()
		ask, err := json.Marshal(map[string]string{"connection": id, "frame": frame})
		if err != nil {
			t.Fatal(err)
		}
		status, body := s.Ask(http.MethodPost, "/_bellhop/replay", string(ask))
		var answer struct{ Reply string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		return answer.Reply
	}
	if got := replay(`421["join",{"room":"channel:a"}]`); !strings.HasPrefix(got, `431[{"ok":true`) {
		t.Errorf("join: got %s", got)
	}
	if got := replay(`422["message:send",{"channelId":"a","content":"again","id":"m1"}]`); !strings.HasPrefix(got, `432[{"ok":true`) {
		t.Errorf("message:send: got %s", got)
	}
	if e := ana.Event("message:new", "channel:a"); servertest.Object(e, "from")["userId"] != "sid" {
		t.Errorf("got %v, want a message of sid's", e)
	}
	sid.Read(`42["message:new",{"content":"again",`)
	if got := replay(`423["join",{"room":"user:ana"}]`); !strings.Contains(got, `"code":"forbidden"`) {
		t.Errorf("another user's room: got %s", got)
	}
}

func TestExpire(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	ana := s.Connect("ana")
	id := servertest.Get[console.Overview](s, "overview").Connections[0].ID
	if status, body := s.Ask(http.MethodPost, "/_bellhop/expire", `{"connection":"`+id+`"}`); status != http.StatusOK || !strings.Contains(body, `"expired": 1`) {
		t.Fatalf("got %d %s", status, body)
	}
	if e := ana.Event("session:ending", ""); e["data"].(map[string]any)["reason"] != "expired" {
		t.Errorf("got %v", e)
	}
	servertest.Eventually(t, "the connection is closed", func() bool { return servertest.Get[console.Overview](s, "overview").Total == 0 })
}

// TestConsoleIsForThisMachine: a page of the web that has a name of its own lead here gets nothing.
func TestConsoleIsForThisMachine(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	for _, path := range []string{"overview", "events", "cost", "traces", "trace/x", "rooms/channel:a"} {
		if status, _ := s.Ask(http.MethodGet, "/_bellhop/"+path, "", "Host", "rebound.example.org"); status != http.StatusForbidden {
			t.Errorf("%s: got %d, want 403", path, status)
		}
	}
	for _, path := range []string{"/_bellhop/replay", "/_bellhop/expire"} {
		if status, _ := s.Ask(http.MethodPost, path, `{}`, "Origin", "https://example.org"); status != http.StatusForbidden {
			t.Errorf("%s by another site: got %d, want 403", path, status)
		}
	}
}

// watch reads the stream until the test ends.
func watch(t *testing.T, s *servertest.Server, last string) (items <-chan console.Item, points <-chan console.Point) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/_bellhop/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", last)
	res, err := http.DefaultClient.Do(req) //nolint:bodyclose // at the end of the test
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("got content type %s", got)
	}
	i, p, done := make(chan console.Item, 5000), make(chan console.Point, 500), make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 8<<20)
		kind := ""
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case name == "event":
				kind = value
			case name == "data" && kind == "items":
				var list []console.Item
				if json.Unmarshal([]byte(value), &list) != nil {
					return
				}
				for _, one := range list {
					i <- one
				}
			case name == "data":
				var list []console.Point
				if json.Unmarshal([]byte(value), &list) != nil {
					return
				}
				for _, one := range list {
					p <- one
				}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		res.Body.Close()
		<-done
	})
	return i, p
}

func next[T any](t *testing.T, c <-chan T, what string, fits func(T) bool) T {
	t.Helper()
	timeout := time.After(servertest.Patience)
	for {
		select {
		case v := <-c:
			if fits(v) {
				return v
			}
		case <-timeout:
			t.Fatalf("no %s came", what)
		}
	}
}

func TestStream(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	ana := s.Connect("ana")
	items, points := watch(t, s, "")
	// What happened before somebody looked is there as well.
	next(t, items, "connect", func(i console.Item) bool { return i.Kind == "connect" && i.User == "ana" && i.Status == 101 })
	ana.Does(`{"action":"join","id":"1","room":"channel:a"}`)
	next(t, items, "join", func(i console.Item) bool {
		return i.Kind == "message" && i.Route == "join" && i.User == "ana" && strings.Contains(i.Data, `"channel:a"`) && i.Micros > 0
	})
	ana.Refused(map[string]any{"action": "publish", "room": "channel:b", "event": "message:new"})
	next(t, items, "refusal", func(i console.Item) bool { return i.Kind == "reply" && strings.Contains(i.Data, "not_in_room") })
	ana.SendText(`{"action":"auth","id":"3","token":"very secret"}`)
	next(t, items, "auth", func(i console.Item) bool {
		if strings.Contains(i.Data, "very secret") {
			t.Error("the stream has a token")
		}
		return i.Kind == "message" && i.Route == "auth" && i.Cut
	})
	if status, body := s.Ask(http.MethodPost, "/2015-03-31/functions/emit/invocations", `{"command":"publish","rooms":["channel:a"],"event":"x","data":1}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	push := next(t, items, "push", func(i console.Item) bool { return i.Kind == "push" && strings.Contains(i.Data, `"event":"x"`) })
	next(t, items, "invocation", func(i console.Item) bool { return i.Kind == "invoke" && strings.Contains(i.Data, `"publish"`) })
	p := next(t, points, "second with messages", func(p console.Point) bool { return p.In > 0 })
	if p.Invocations == 0 || p.Connections != 1 || p.P50 <= 0 || p.P99 < p.P50 {
		t.Errorf("got %+v", p)
	}
	again, _ := watch(t, s, fmt.Sprint(push.N))
	if first := next(t, again, "item", func(console.Item) bool { return true }); first.N != push.N+1 {
		t.Errorf("resumed after %d with %d", push.N, first.N)
	}
}
