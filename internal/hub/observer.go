package hub

import (
	"context"
	"fmt"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Metric is a number that operators watch.
type Metric string

// The metrics, with what one of each is.
const (
	Connects         Metric = "Connects"        // a connection opened
	Departures       Metric = "Departures"      // a connection taken out of everything
	Joins            Metric = "Joins"           // a connection in a room, also again
	Leaves           Metric = "Leaves"          // a connection taken out of a room by itself or by emit
	Publishes        Metric = "Publishes"       // an event logged
	Signals          Metric = "Signals"         // an event that is not logged, typing mostly
	Deliveries       Metric = "Deliveries"      // an event accepted for one connection
	Gone             Metric = "Gone"            // a push that found its connection closed
	Throttled        Metric = "Throttled"       // a push that API Gateway refused for its rate, each try
	PushFailures     Metric = "PushFailures"    // a push that failed otherwise, or throttled at every try
	Retries          Metric = "Retries"         // a connection that a queued job will push to again
	DeliveryLatency  Metric = "DeliveryLatency" // from publish until a page of members was pushed to, or an inline delivery
	PresenceFlaps    Metric = "PresenceFlaps"   // a user who left and was back within the grace
	FactsLost        Metric = "FactsLost"       // a fact that the bus did not take
	HookLatency      Metric = "HookLatency"     // of a hook, and its name: HookLatencyJoin
	HookFailures     Metric = "HookFailures"    // a hook that gave no answer, and its name: HookFailuresJoin
	ConnectionsOpen  Metric = "ConnectionsOpen" // rows that a sweep walked
	SweepsGone       Metric = "SweptGone"       // connections that only a sweep noticed
	SweepsExpired    Metric = "SweptExpired"    // connections whose token was over
	SweepsUnfinished Metric = "SweptUnfinished" // departures and arrivals that a crash had cut short
)

// Observer is told what the hub does, with the values it does it with: metrics, traces, the cost meter and the console listen.
// Its methods are called concurrently, and return at once. What they are given is shared: it must not be changed.
type Observer interface {
	// Logged is an event that has its place in the room's log. again: it had it before, and is delivered again.
	Logged(ctx context.Context, e Entry, again bool)
	// Held is an event that was logged and waits to be pushed with others, at a time at the latest: "lazy" or "coalesce", the keys of
	// RoomKinds.
	Held(ctx context.Context, e Entry, why string, until time.Time)
	// Pushed is what became of frames that were on their way to some connections, when each of them has been tried.
	Pushed(ctx context.Context, d Delivery)
	// Spared is messages that were not pushed to members of a room.
	Spared(ctx context.Context, why Sparing, room string, messages int)
	// Queued is a job that the queue has taken, for after a delay.
	Queued(ctx context.Context, j Job, delay time.Duration)
	// Refused is an action or a command that was refused, or failed.
	Refused(ctx context.Context, r Refusal)
	// Count is what has no value of its own but a number.
	Count(m Metric, n int)
	// Time is how long something took.
	Time(m Metric, d time.Duration)
}

// Sparing is why something was not pushed.
type Sparing string

// The reasons.
const (
	SparedTyping Sparing = "typing" // the room is large, and they do not talk there
	SparedPause  Sparing = "pause"  // nobody sees their page
)

// Delivery is one attempt to push events to some connections.
type Delivery struct {
	Room    string           // empty: to one connection that was named
	Events  []protocol.Event // what each of the connections was to get
	Attempt int              // 0: the first one; otherwise how often the queue had it tried before
	To      []Reached
	At      time.Time // when all had been tried
}

// Reached is what became of one connection in a Delivery.
type Reached struct {
	Target

	Frames [][]byte // what was sent, the same slices for all who speak one codec
	At     time.Time
	Err    error // nil: accepted; ErrGone; anything else: not reached
}

// Refusal is why an action or a command was not done.
type Refusal struct {
	Caller Caller // empty: a command
	Action string // "join", or the command's name
	Room   string
	ID     string
	Code   protocol.Code
}

// NoObserver observes nothing. Observers embed it for what they do not listen to.
type NoObserver struct{}

var _ Observer = NoObserver{}

// Logged does nothing, and so do the others.
func (NoObserver) Logged(context.Context, Entry, bool)            {}
func (NoObserver) Held(context.Context, Entry, string, time.Time) {}
func (NoObserver) Pushed(context.Context, Delivery)               {}
func (NoObserver) Spared(context.Context, Sparing, string, int)   {}
func (NoObserver) Queued(context.Context, Job, time.Duration)     {}
func (NoObserver) Refused(context.Context, Refusal)               {}
func (NoObserver) Count(Metric, int)                              {}
func (NoObserver) Time(Metric, time.Duration)                     {}

// observers tells each of them.
type observers []Observer

func (o observers) logged(ctx context.Context, e Entry, again bool) {
	for _, one := range o {
		one.Logged(ctx, e, again)
	}
}

func (o observers) held(ctx context.Context, e Entry, why string, until time.Time) {
	for _, one := range o {
		one.Held(ctx, e, why, until)
	}
}

func (o observers) pushed(ctx context.Context, d Delivery) {
	for _, one := range o {
		one.Pushed(ctx, d)
	}
}

func (o observers) spared(ctx context.Context, why Sparing, room string, messages int) {
	if messages <= 0 {
		return
	}
	for _, one := range o {
		one.Spared(ctx, why, room, messages)
	}
}

func (o observers) queued(ctx context.Context, j Job, delay time.Duration) {
	for _, one := range o {
		one.Queued(ctx, j, delay)
	}
}

func (o observers) refused(ctx context.Context, r Refusal) {
	for _, one := range o {
		one.Refused(ctx, r)
	}
}

func (o observers) count(m Metric, n int) {
	for _, one := range o {
		one.Count(m, n)
	}
}

func (o observers) time(m Metric, d time.Duration) {
	for _, one := range o {
		one.Time(m, d)
	}
}

// Enqueue leaves a job for later, and tells of it. Dialects that have jobs of their own use it as their [Queue].
func (h *Hub) Enqueue(ctx context.Context, j Job, delay time.Duration) error {
	if err := h.queue.Enqueue(ctx, j, delay); err != nil {
		return fmt.Errorf("enqueue %s job of %s: %w", j.Kind, j.Room, err)
	}
	h.observe.queued(ctx, j, delay)
	return nil
}
