package hub

import (
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

// Meter is told what happens. Its methods are called concurrently, and return at once.
type Meter interface {
	Count(m Metric, n int)
	Time(m Metric, d time.Duration)
	// Refused counts an error by its code, as clients and programs got it.
	Refused(code protocol.Code)
}

// noMeter is for those whom nobody watches.
type noMeter struct{}

func (noMeter) Count(Metric, int)          {}
func (noMeter) Time(Metric, time.Duration) {}
func (noMeter) Refused(protocol.Code)      {}
