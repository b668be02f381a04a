package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/hubports"
	"github.com/bellhop-rt/bellhop/internal/local/trace"
)

// get asks the console for JSON.
func get[T any](r *running, path string) T {
	r.tb.Helper()
	var v T
	if err := fetch(r.tb.Context(), r.url, "/_bellhop/"+path, &v); err != nil {
		r.tb.Fatalf("%s: %v", path, err)
	}
	return v
}

// does is must of a frame that is written out.
func (c *client) does(frame string) {
	c.tb.Helper()
	var f map[string]any
	if err := json.Unmarshal([]byte(frame), &f); err != nil {
		c.tb.Fatal(err)
	}
	c.must(f)
}

// post gives the status and the body of an answer.
func (r *running) post(path, body string, header ...string) (int, string) {
	r.tb.Helper()
	req, err := http.NewRequestWithContext(r.tb.Context(), http.MethodPost, r.url+path, strings.NewReader(body))
	if err != nil {
		r.tb.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.tb.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.tb.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// eventually waits until something holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	end := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(end) {
			tb.Fatalf("waited in vain: %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestOverview(t *testing.T) {
	s := start(t, openBolt(t))
	ana, bob := s.connect("ana"), s.connect("bob")
	ana.does(`{"action":"join","id":"1","room":"channel:a"}`)
	ana.does(`{"action":"join","id":"2","room":"community:t"}`)
	bob.does(`{"action":"join","id":"1","room":"channel:a"}`)
	o := get[overview](s, "overview")
	if o.Total != 2 || o.Matching != 2 || !o.Bellhop || o.Stage != "dev" || o.RoomTotal != 4 {
		t.Errorf("got %+v", o)
	}
	if first := o.Rooms[0]; first != (roomInfo{Room: "channel:a", Connections: 2, Users: 2}) {
		t.Errorf("got %+v first, want the largest room", first)
	}
	o = get[overview](s, "overview?q=COMMUNITY")
	if o.Total != 2 || len(o.Connections) != 1 || o.Connections[0].User != "ana" || len(o.Rooms) != 1 {
		t.Errorf("filtered: got %+v", o)
	}
	d := get[roomDetail](s, "rooms/community:t")
	if len(d.Members) != 1 || d.Members[0].User != "ana" || len(d.Presence) != 1 || d.Presence[0].Status != "online" || d.Seq != 1 {
		t.Errorf("got %+v", d)
	}
	if err := fetch(t.Context(), s.url, "/_bellhop/rooms/no%20room", &d); err == nil {
		t.Error("a malformed room has details")
	}
}

func TestTraceOfAnEvent(t *testing.T) {
	s := start(t, openBolt(t))
	ana, bob := s.connect("ana"), s.connect("bob")
	for _, c := range []*client{ana, bob} {
		c.does(`{"action":"join","id":"1","room":"channel:a"}`)
	}
	ana.does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":1}`)
	ana.does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":1}`)
	list := get[[]trace.Trace](s, "trace/m1")
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
	var out bytes.Buffer
	if err := (traceCommand{ID: "m1", endpointFlag: endpointFlag{s.url}}).print(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"message:new in channel:a, seq 1 of epoch ", ", from ana", "received", "logged     seq 1", "4 delivered, sent again 1 time"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := (traceCommand{endpointFlag: endpointFlag{s.url}}).print(t.Context(), &out); err != nil || !strings.Contains(out.String(), "m1") {
		t.Errorf("the list: got %v and\n%s", err, out.String())
	}
	err := traceCommand{ID: "unknown", endpointFlag: endpointFlag{s.url}}.print(t.Context(), &out)
	if err == nil || !strings.Contains(err.Error(), "no event with this id") {
		t.Errorf("an unknown id: got %v", err)
	}
}

// TestTraceOfALargeRoom: members beyond the first are served by the queue, and one connection is gone without a goodbye.
func TestTraceOfALargeRoom(t *testing.T) {
	s := start(t, openBolt(t), func(c *serverConfig) { c.Parameters["InlineLimit"] = "2" })
	clients := make([]*client, 0, 5)
	for i := range 5 {
		c := s.connect(fmt.Sprintf("user%d", i))
		c.does(`{"action":"join","id":"1","room":"channel:a"}`)
		clients = append(clients, c)
	}
	clients[0].does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":1}`)
	eventually(t, "all five have it, three by the queue", func() bool {
		got := get[[]trace.Trace](s, "trace/m1")[0].Counts
		return got[trace.Delivered] == 5 && got[trace.Queued] == 1
	})
	r := get[cost.Report](s, "cost")
	if r.Usage.SQSRequests < 1 {
		t.Errorf("got %g requests to queues, want those of the job", r.Usage.SQSRequests)
	}
}

func TestGoneIsTraced(t *testing.T) {
	l := &inspector{meter: &cost.Meter{}, traces: &trace.Recorder{}, stream: newStream()}
	l.traces.Logged(trace.Event{ID: "m1", Room: "channel:a"})
	data := []byte(`{"batch":[{"event":"message:new","room":"channel:a","seq":1,"id":"m1","ts":1,"from":{"userId":"ana"},"data":{"id":"no"}},{"event":"b","room":"channel:a","seq":2,"id":"m2"}]}`)
	f := l.frames.of(t.Context(), l, data)
	if l.frames.of(t.Context(), l, data) != f {
		t.Error("the same frame is read twice")
	}
	f.pushed("c1", nil)
	f.pushed("c2", hubports.AsHub(&emulator.APIError{Status: http.StatusGone}))
	f.pushed("c3", hubports.AsHub(&emulator.APIError{Status: http.StatusTooManyRequests}))
	f.pushed("c4", io.ErrUnexpectedEOF)
	got := l.traces.Traces("m1")[0].Counts
	for _, what := range []trace.Outcome{trace.Delivered, trace.Gone, trace.Throttled, trace.Failed} {
		if got[what] != 1 {
			t.Errorf("%s: got %d, want 1", what, got[what])
		}
	}
	r := l.report()
	if len(r.Users.Top) != 1 || r.Users.Top[0].Name != "ana" || r.Users.Top[0].Usage.MessagesOut != 1 {
		t.Errorf("got %+v, want one message that ana caused", r.Users.Top)
	}
}

func TestEnvelopes(t *testing.T) {
	for data, want := range map[string][]envelope{
		`{"event":"message:new","room":"channel:1","seq":58,"id":"01J","ts":5,"from":{"userId":"ana","name":"\"room\":\"x\""},"data":{"id":"other"}}`: {{event: "message:new", room: "channel:1", id: "01J", user: "ana", seq: 58}},
		`{"event":"user:typing","room":"channel:1","from":{"userId":"bob"}}`:                                                                          {{event: "user:typing", room: "channel:1", user: "bob"}},
		`{"batch":[{"event":"a","room":"r:1","seq":1,"id":"x"},{"event":"b"}]}`:                                                                       {{event: "a", room: "r:1", id: "x", seq: 1}, {event: "b"}},
		`{"reply":"r1","ok":true}`: nil,
		`42["message",{}]`:         nil,
		`{"batch":[`:               nil,
	} {
		if got := envelopes([]byte(data)); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", data, got, want)
		}
	}
}

// TestCostOfAConversation counts by hand what two clients use.
func TestCostOfAConversation(t *testing.T) {
	s := start(t, openBolt(t))
	ana, bob := s.connect("ana"), s.connect("bob")
	for _, c := range []*client{ana, bob} {
		c.does(`{"action":"join","id":"1","room":"channel:a"}`)
	}
	ana.does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":1}`)
	ana.sendText(`{"action":"signal","room":"channel:a","event":"typing:start"}`)
	bob.event("user:typing", "")
	ana.sendText(`{"action":"ping"}`)
	ana.event("pong", "")
	var r cost.Report
	// Sent: 2 joins, publish, signal, ping. To clients: 3 replies, the message twice, typing once, pong.
	eventually(t, "everything is counted", func() bool {
		r = get[cost.Report](s, "cost")
		return r.Usage.MessagesIn == 5 && r.Usage.LambdaRequests == 8
	})
	if r.Usage.MessagesOut != 7 {
		t.Errorf("got %g messages out, want 7", r.Usage.MessagesOut)
	}
	// Two connects of 2, two joins of 2, a publish of 6.
	if r.Usage.WriteUnits != 14 {
		t.Errorf("got %g write units, want 14", r.Usage.WriteUnits)
	}
	if r.Usage.ConnectionMinutes <= 0 || r.Usage.LambdaGBSeconds <= 0 || r.Usage.BytesOut <= 0 || r.DynamoDB != cost.Estimated {
		t.Errorf("got %+v", r)
	}
	named := func(list []cost.Share, name string) cost.Usage {
		for _, share := range list {
			if share.Name == name {
				return share.Usage
			}
		}
		return cost.Usage{}
	}
	room := named(r.Rooms.Top, "channel:a")
	// All but the connects and the ping: 4 in; 3 replies, 3 pushes.
	if room.MessagesIn != 4 || room.MessagesOut != 6 || room.LambdaRequests != 4 || room.WriteUnits != 10 {
		t.Errorf("room: got %+v", room)
	}
	if got := named(r.Users.Top, "ana"); got.MessagesIn != 4 || got.MessagesOut != 2+3+1 {
		t.Errorf("ana, who said everything: got %+v", got)
	}
	if got := named(r.Events.Top, "user:typing"); got.MessagesIn != 1 || got.MessagesOut != 1 || got.WriteUnits != 0 {
		t.Errorf("typing: got %+v", got)
	}
	if got := named(r.Events.Top, "ping"); got.MessagesIn != 1 || got.MessagesOut != 1 || got.LambdaRequests != 0 {
		t.Errorf("ping: got %+v", got)
	}
	if status, body := s.post("/dev/@connections/"+url.PathEscape(get[overview](s, "overview?q=bob").Connections[0].ID), strings.Repeat("x", 40<<10)); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if after := get[cost.Report](s, "cost"); after.Usage.MessagesOut != 9 {
		t.Errorf("after a post of 40 KB: got %g messages out, want two more", after.Usage.MessagesOut)
	}
	get[[]connectionInfo](s, "connections")
	get[overview](s, "overview")
	if after := get[cost.Report](s, "cost"); after.Usage.ReadUnits != r.Usage.ReadUnits {
		t.Error("what developers look up is on the bill")
	}
}

func TestRecording(t *testing.T) {
	s := start(t, openBolt(t))
	ana := s.connect("ana")
	ana.does(`{"action":"join","id":"1","room":"channel:a"}`)
	file := filepath.Join(t.TempDir(), "run.json")
	if err := s.look.record(file); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (costCommand{File: file}).print(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"API Gateway messages", "channel:a", "ana", "join", "A month, if it goes on like this for 24 hours", "estimate", "awsforengineers.com, 2025-05-19"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if err := s.look.record(""); err != nil {
		t.Errorf("no file: %v", err)
	}
	if err := s.look.record(t.TempDir()); err == nil {
		t.Error("a folder was written to")
	}
	if err := os.WriteFile(file, []byte(`{"some":"thing"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (costCommand{File: file}).print(t.Context(), &out); err == nil || !strings.Contains(err.Error(), "no recording") {
		t.Errorf("another file: got %v", err)
	}
}

func TestReplay(t *testing.T) {
	s := start(t, openBolt(t))
	ana := s.connect("ana")
	ana.does(`{"action":"join","id":"1","room":"channel:a"}`)
	id := get[overview](s, "overview").Connections[0].ID
	replay := func(frame string) (int, map[string]any) {
		t.Helper()
		ask, err := json.Marshal(map[string]string{"connection": id, "frame": frame})
		if err != nil {
			t.Fatal(err)
		}
		status, body := s.post("/_bellhop/replay", string(ask))
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
	if e := ana.event("message:new", ""); e["data"] != "again" || e["from"].(map[string]any)["userId"] != "ana" {
		t.Errorf("got %v, want the message as ana's", e)
	}
	if _, reply := replay(`{"action":"join","id":"2","room":"user:bob"}`); reply["ok"] != false {
		t.Errorf("ana joined bob's room: %v", reply)
	}
	if status, body := s.post("/_bellhop/replay", `{"connection":"nobody","frame":"{}"}`); status != http.StatusNotFound {
		t.Errorf("an unknown connection: got %d %s", status, body)
	}
	if status, _ := s.post("/_bellhop/replay", `no json`); status != http.StatusBadRequest {
		t.Errorf("no JSON: got %d", status)
	}
}

func TestExpire(t *testing.T) {
	s := start(t, openBolt(t))
	ana := s.connect("ana")
	id := get[overview](s, "overview").Connections[0].ID
	if status, body := s.post("/_bellhop/expire", `{"connection":"`+id+`"}`); status != http.StatusOK || !strings.Contains(body, `"expired": 1`) {
		t.Fatalf("got %d %s", status, body)
	}
	if e := ana.event("session:ending", ""); e["data"].(map[string]any)["reason"] != "expired" {
		t.Errorf("got %v", e)
	}
	eventually(t, "the connection is closed", func() bool { return get[overview](s, "overview").Total == 0 })
}

// TestConsoleIsForThisMachine: a page of the web that has a name of its own lead here gets nothing.
func TestConsoleIsForThisMachine(t *testing.T) {
	s := start(t, openBolt(t))
	for _, path := range []string{"overview", "events", "cost", "traces", "trace/x", "rooms/channel:a"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/_bellhop/"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "rebound.example.org"
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %s, want 403", path, res.Status)
		}
	}
	for _, path := range []string{"/_bellhop/replay", "/_bellhop/expire"} {
		if status, _ := s.post(path, `{}`, "Origin", "https://example.org"); status != http.StatusForbidden {
			t.Errorf("%s by another site: got %d, want 403", path, status)
		}
	}
}

// watch reads the stream until the test ends.
func watch(t *testing.T, s *running, last string) (items <-chan item, points <-chan point) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/_bellhop/events", http.NoBody)
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
	i, p, done := make(chan item, 5000), make(chan point, 500), make(chan struct{})
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
				var list []item
				if json.Unmarshal([]byte(value), &list) != nil {
					return
				}
				for _, one := range list {
					i <- one
				}
			case name == "data":
				var list []point
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
	timeout := time.After(patience)
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
	s := start(t, openBolt(t))
	ana := s.connect("ana")
	items, points := watch(t, s, "")
	// What happened before somebody looked is there as well.
	next(t, items, "connect", func(i item) bool { return i.Kind == "connect" && i.User == "ana" && i.Status == 101 })
	ana.does(`{"action":"join","id":"1","room":"channel:a"}`)
	next(t, items, "join", func(i item) bool {
		return i.Kind == "message" && i.Route == "join" && i.User == "ana" && strings.Contains(i.Data, `"channel:a"`) && i.Micros > 0
	})
	ana.refused(map[string]any{"action": "publish", "room": "channel:b", "event": "message:new"})
	next(t, items, "refusal", func(i item) bool { return i.Kind == "reply" && strings.Contains(i.Data, "not_in_room") })
	ana.sendText(`{"action":"auth","id":"3","token":"very secret"}`)
	next(t, items, "auth", func(i item) bool {
		if strings.Contains(i.Data, "very secret") {
			t.Error("the stream has a token")
		}
		return i.Kind == "message" && i.Route == "auth" && i.Cut
	})
	if status, body := s.post("/2015-03-31/functions/emit/invocations", `{"command":"publish","rooms":["channel:a"],"event":"x","data":1}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	push := next(t, items, "push", func(i item) bool { return i.Kind == "push" && strings.Contains(i.Data, `"event":"x"`) })
	next(t, items, "invocation", func(i item) bool { return i.Kind == "invoke" && strings.Contains(i.Data, `"publish"`) })
	p := next(t, points, "second with messages", func(p point) bool { return p.In > 0 })
	if p.Invocations == 0 || p.Connections != 1 || p.P50 <= 0 || p.P99 < p.P50 {
		t.Errorf("got %+v", p)
	}
	again, _ := watch(t, s, fmt.Sprint(push.N))
	if first := next(t, again, "item", func(item) bool { return true }); first.N != push.N+1 {
		t.Errorf("resumed after %d with %d", push.N, first.N)
	}
}

// TestStreamIsBounded: a busy server says how much it leaves out, and those who look late get the newest.
func TestStreamIsBounded(t *testing.T) {
	s := newStream()
	for range 1000 {
		s.add(emulator.Event{Kind: emulator.KindPush, Data: bytes.Repeat([]byte("x"), 2*itemData)})
	}
	list, last := s.since(0)
	if len(list) != pushesASecond || last != pushesASecond || len(list[0].Data) != itemData || !list[0].Cut {
		t.Errorf("got %d pushes, the first with %d bytes, cut %v", len(list), len(list[0].Data), list[0].Cut)
	}
	s.add(emulator.Event{Kind: emulator.KindMessage})
	if _, last := s.since(0); last != pushesASecond+1 {
		t.Error("pushes leave no space for messages")
	}
	for i := range 5 {
		s.tick(time.Unix(int64(i), 0), emulator.Stats{}, emulator.Stats{Posts: 1000})
		for range itemsASecond {
			s.add(emulator.Event{Kind: emulator.KindMessage})
		}
	}
	if got := s.pointsSince(-1)[0].Skipped; got != 1000-pushesASecond {
		t.Errorf("got %d left out, want 800", got)
	}
	if list, last = s.since(0); len(list) != keptItems || list[keptItems-1].N != last {
		t.Errorf("got %d items up to %d", len(list), last)
	}
	for i := range 400 {
		s.tick(time.Unix(int64(10+i), 0), emulator.Stats{}, emulator.Stats{})
	}
	if got := len(s.pointsSince(-1)); got != keptPoints {
		t.Errorf("got %d seconds, want %d", got, keptPoints)
	}
}

func TestQuantiles(t *testing.T) {
	var counts [buckets]int64
	for i := range 1000 {
		counts[bucketOf(time.Duration(i+1)*time.Millisecond)]++
	}
	for q, want := range map[float64]float64{0.5: 500, 0.99: 990} {
		if got := quantile(counts[:], q); got < want*0.9 || got > want*1.1 {
			t.Errorf("p%g: got %g ms, want %g within a tenth", 100*q, got, want)
		}
	}
	if quantile(counts[:0], 0.5) != 0 || bucketOf(0) != 0 || bucketOf(time.Hour) != buckets-1 {
		t.Error("the ends are wrong")
	}
}

func TestCostOfALoad(t *testing.T) {
	n := func(v float64) *float64 { return &v }
	var out bytes.Buffer
	c := costCommand{Users: n(1000), Hours: n(8), Rooms: n(60), Joined: n(3), Messages: n(1.25), Typing: n(0)}
	if err := c.print(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"50 members in a room", "19.52 M  $19.52", "14.40 M   $3.60", "$26.47 a month", "Supabase", "$62.50", "Ably, per minute", "$85.00", "2026-08-03", "not confirmed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	out.Reset()
	c.JSON = true
	if err := c.print(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Month cost.Bill
		Peers []cost.Peer
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got.Peers) != 9 || got.Month.Dollars < 26 || got.Month.Dollars > 27 {
		t.Errorf("JSON: got %v, %+v", err, got)
	}
	for name, bad := range map[string]costCommand{
		"both":         {Users: n(1), File: "run.json"},
		"a long day":   {Users: n(1), Hours: n(30)},
		"no such file": {File: filepath.Join(t.TempDir(), "none")},
		"nobody there": {endpointFlag: endpointFlag{"http://127.0.0.1:1"}},
	} {
		if err := bad.print(t.Context(), io.Discard); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// TestBench runs each measurement for a moment.
func TestBench(t *testing.T) {
	s := start(t, openBolt(t), unlimited)
	where, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	b := &bench{page: page{w: &out}, phase: 50 * time.Millisecond, inside: true}
	b.dial = func(ctx context.Context, user string) (*benchClient, error) {
		return dialBench(ctx, where.Host, s.secret, user)
	}
	if err := b.run(t.Context(), 60, 40); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{"connections opened", "memory per connection", "echo", "acked round trips", "deliveries, 1 in flight", "deliveries, 16 in flight"} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) || strings.Contains(lines[i], " 0/s") {
			t.Errorf("line %d: want %s in\n%s", i, want, out.String())
		}
	}
	eventually(t, "all connections are closed", func() bool { return get[overview](s, "overview").Total == 0 })
}

func TestBenchRefuses(t *testing.T) {
	for name, c := range map[string]benchCommand{
		"other machines": {Endpoint: "http://example.org", Members: 10},
		"no members":     {},
		"too many":       {Connections: 100_000_000, Members: 10},
		"nobody there":   {Endpoint: "http://127.0.0.1:1", Members: 10, Connections: 10},
	} {
		if err := c.measure(t.Context(), io.Discard); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	limited := start(t, openBolt(t), func(c *serverConfig) { c.Parameters["RateLimit"], c.Parameters["RateBurst"] = "1", "2" })
	err := benchCommand{Endpoint: limited.url, Members: 5, Connections: 5, Quick: true}.measure(t.Context(), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "RateLimit") {
		t.Errorf("a server that limits: got %v, want what to do", err)
	}
}

// TestFunctionsElsewhere: where the functions run in other processes, what they push over HTTP is all that is seen of an
// event, and the authorizer's answer all that is seen of who it is for.
func TestFunctionsElsewhere(t *testing.T) {
	l := &inspector{meter: &cost.Meter{}, traces: &trace.Recorder{}, stream: newStream(), remote: true}
	l.frames.seed = maphash.MakeSeed()
	f := l.functions(map[string]emulator.Function{"connect": answering(`{"statusCode":200}`)})["connect"]
	if _, err := f.Invoke(t.Context(), []byte(`{"headers":{},"requestContext":{"eventType":"CONNECT","authorizer":{"principalId":"ana"},"connectionId":"c1"}}`)); err != nil {
		t.Fatal(err)
	}
	if got := l.meter.Owner("c1"); got != "ana" {
		t.Errorf("got %q, want ana", got)
	}
	see := l.observe(nil)
	for range 2 { // a copy each time
		see(emulator.Event{Kind: emulator.KindPush, Connection: "c1", Status: http.StatusOK, Data: []byte(`{"event":"message:new","room":"channel:a","seq":7,"id":"m1"}`)})
	}
	see(emulator.Event{Kind: emulator.KindPush, Connection: "c2", Status: http.StatusGone, Err: &emulator.APIError{Status: http.StatusGone}, Data: []byte(`{"event":"message:new","room":"channel:a","seq":7,"id":"m1"}`)})
	got := l.traces.Traces("m1")
	if len(got) != 1 || got[0].Seq != 7 || got[0].Counts[trace.Delivered] != 2 || got[0].Counts[trace.Gone] != 1 {
		t.Errorf("got %+v, want one trace with three pushes", got)
	}
	if r := l.report(); r.Usage.MessagesOut != 2 || len(r.Rooms.Top) != 1 || r.Rooms.Top[0].Usage.MessagesOut != 2 {
		t.Errorf("got %+v, want two messages out", r.Usage)
	}
}

// answering is a function that always says the same.
type answering string

// Invoke is [emulator.Function].Invoke.
func (a answering) Invoke(context.Context, []byte) ([]byte, error) { return []byte(a), nil }
