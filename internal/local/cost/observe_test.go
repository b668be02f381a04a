package cost_test

import (
	"errors"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// used is what names have used, in a report's order.
func used(s cost.Shares) map[string]float64 {
	list := map[string]float64{}
	for _, share := range s.Top {
		list[share.Name] = share.Usage.MessagesOut
	}
	return list
}

func TestPushed(t *testing.T) {
	m := &cost.Meter{}
	one := protocol.Event{Event: "message:new", Room: "channel:1", From: &protocol.From{UserID: "ana"}}
	two := protocol.Event{Event: "news", Room: "channel:1"}
	batch, large := [][]byte{[]byte("both")}, [][]byte{make([]byte, 40<<10), []byte("small")}
	ctx, v := m.Visit(t.Context(), "message")
	m.Pushed(ctx, hub.Delivery{Room: "channel:1", Events: []protocol.Event{one, two}, To: []hub.Reached{
		{Frames: batch}, {Frames: batch}, {Frames: large}, {Frames: batch, Err: hub.ErrGone}, {Frames: large, Err: errors.New("lost")},
	}})
	v.End(cost.Delta{LambdaRequests: 1}, cost.Delta{})
	r := m.Report()
	if got := used(r.Events); got["message:new"] != 4 || got["news"] != 1 {
		t.Errorf("events: got %v, want two batches and a frame of 40 KB for the first, a small one for the second", got)
	}
	if got := used(r.Rooms); got["channel:1"] != 5 {
		t.Errorf("rooms: got %v", got)
	}
	if got := used(r.Users); len(got) != 1 || got["ana"] != 4 {
		t.Errorf("users: got %v", got)
	}
	if r.Usage.MessagesOut != 0 {
		t.Errorf("got %g messages in the total, which the gateway counts", r.Usage.MessagesOut)
	}
	if r.Rooms.Top[0].Usage.LambdaRequests != 1 || r.Users.Top[0].Usage.LambdaRequests != 1 {
		t.Errorf("the invocation is not on the bill of what it pushed: %+v", r)
	}
	m.Pushed(t.Context(), hub.Delivery{Events: []protocol.Event{{Event: "session:ending"}}, To: []hub.Reached{{Frames: batch}}})
	if got := used(m.Report().Events); got["session:ending"] != 1 {
		t.Errorf("to one connection: got %v", got)
	}
}

// TestLevers: what settings have spared, and what their events still cost.
func TestLevers(t *testing.T) {
	m := &cost.Meter{}
	event := func(name string) protocol.Event { return protocol.Event{Event: name, Room: "community:1"} }
	one, two := hub.Reached{Frames: [][]byte{[]byte("one")}}, hub.Reached{Frames: [][]byte{[]byte("one"), []byte("two")}}
	m.Spared(t.Context(), hub.SparedTyping, "community:1", 46)
	m.Spared(t.Context(), hub.SparedPause, "community:1", 7)
	m.Pushed(t.Context(), hub.Delivery{Events: []protocol.Event{event("user:online"), event("user:offline"), event("message:new")}, To: []hub.Reached{one, one, two}})
	m.Pushed(t.Context(), hub.Delivery{Events: []protocol.Event{event("message:new"), event("message:new")}, To: []hub.Reached{one, two, {Err: hub.ErrGone}}})
	m.Pushed(t.Context(), hub.Delivery{Events: []protocol.Event{event("user:typing")}, To: []hub.Reached{one, one}})
	want := map[string]float64{"typing": 46, "lazy": 5, "coalesce": 1, "pause": 7}
	for _, l := range m.Report().Levers {
		if l.Messages != want[l.Name] || l.Spared != l.Messages/1e6 || l.Change == "" {
			t.Errorf("got %+v, want %g messages", l, want[l.Name])
		}
		if l.Name == "typing" && (l.Spent < 2/1e6 || l.Spent > 2.01/1e6) { // with what goes out
			t.Errorf("typing cost $%g, want that of two messages", l.Spent)
		}
		delete(want, l.Name)
	}
	if len(want) > 0 {
		t.Errorf("no lever %v", want)
	}
	m.Start()
	for _, l := range m.Report().Levers {
		if l.Messages != 0 {
			t.Errorf("begun anew: %+v", l)
		}
	}
}

func TestQueued(t *testing.T) {
	m := &cost.Meter{}
	event := protocol.Event{Data: make([]byte, 70<<10)}
	m.Queued(t.Context(), hub.Job{Kind: hub.JobFanOut, Room: "channel:1", Event: &event}, 0)
	m.Queued(t.Context(), hub.Job{Kind: "socket:beat"}, time.Minute)
	r := m.Report()
	if r.Usage.SQSRequests != 3 || r.Rooms.Top[0].Usage.SQSRequests != 2 {
		t.Errorf("got %g requests, %+v; want two for 70 KB and one for a small job", r.Usage.SQSRequests, r.Rooms)
	}
}
