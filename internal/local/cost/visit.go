package cost

import (
	"context"
	"sync"
	"time"
)

// Visit is one invocation of a function, while it runs: who and what it is for is learned from the calls that it makes.
// Its methods may be called on nil.
type Visit struct {
	Began      time.Time
	Function   string
	Connection string // empty: no client's

	meter *Meter

	mu     sync.Mutex
	room   string
	user   string
	event  string
	weak   bool  // event is an action that a real event name replaces
	spent  Delta // by calls that named no room
	placed Delta // by calls that named one
}

type visitKey struct{}

// Visit begins an invocation. Calls with the context that it gives are counted for it.
func (m *Meter) Visit(ctx context.Context, function string) (context.Context, *Visit) {
	v := &Visit{Began: m.now(), Function: function, meter: m}
	return context.WithValue(ctx, visitKey{}, v), v
}

// VisitOf gives the invocation that a context belongs to, or nil.
func VisitOf(ctx context.Context) *Visit {
	v, _ := ctx.Value(visitKey{}).(*Visit)
	return v
}

// About notes what the invocation is about. The first of each counts; empty says nothing. weak: event is the name of an
// action, and gives way to that of an event.
func (v *Visit) About(room, user, event string, weak bool) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.room == "" {
		v.room = room
	}
	if v.user == "" {
		v.user = user
	}
	if event != "" && (v.event == "" || v.weak && !weak) {
		v.event, v.weak = event, weak
	}
}

// From notes the connection that the invocation acts for.
func (v *Visit) From(connection string) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.Connection == "" {
		v.Connection = connection
	}
}

// Client is the connection that the invocation acts for, as far as it is known.
func (v *Visit) Client() string {
	if v == nil {
		return ""
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.Connection
}

// spend counts a call of the invocation, for a room if it named one.
func (v *Visit) spend(room string, d Delta) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if room == "" {
		v.spent = v.spent.plus(d)
		return
	}
	v.placed = v.placed.plus(d)
}

// End counts the invocation itself and divides what it used. counted is for what is in the total already.
func (v *Visit) End(d, counted Delta) {
	v.meter.Add(d)
	d = d.plus(counted)
	v.mu.Lock()
	room, user, event := v.room, v.user, v.event
	own, placed := v.spent.plus(d), v.placed
	v.mu.Unlock()
	v.meter.Room(room).Add(own)
	all := own.plus(placed)
	v.meter.User(user).Add(all)
	v.meter.Event(event).Add(all)
}

func (d Delta) plus(e Delta) Delta {
	return Delta{
		MessagesIn: d.MessagesIn + e.MessagesIn, MessagesOut: d.MessagesOut + e.MessagesOut, BytesOut: d.BytesOut + e.BytesOut,
		LambdaRequests: d.LambdaRequests + e.LambdaRequests, LambdaMBms: d.LambdaMBms + e.LambdaMBms,
		WriteUnits: d.WriteUnits + e.WriteUnits, ReadHalves: d.ReadHalves + e.ReadHalves,
		SQSRequests: d.SQSRequests + e.SQSRequests, EventBridgeEvents: d.EventBridgeEvents + e.EventBridgeEvents,
		ConnectionMs: d.ConnectionMs + e.ConnectionMs,
	}
}
