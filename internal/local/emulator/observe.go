package emulator

import (
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/buses"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/httpapi"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/queues"
	"github.com/bellhop-rt/bellhop/internal/local/streams"
	"github.com/bellhop-rt/bellhop/internal/local/topics"
)

// Kind says what an Event is about.
type Kind string

// The kinds of events: the gateway's, which are explained there, and those of the other products.
const (
	KindAuthorize  = Kind(gateway.KindAuthorize)
	KindConnect    = Kind(gateway.KindConnect)
	KindMessage    = Kind(gateway.KindMessage)
	KindPush       = Kind(gateway.KindPush)
	KindDisconnect = Kind(gateway.KindDisconnect)

	KindRequest  Kind = "request"  // an HTTP or REST API was asked; Reason is the method and the path
	KindInvoke   Kind = "invoke"   // the Invoke API ran a function
	KindQueue    Kind = "queue"    // a batch was delivered; Status is its size, Bytes the number of messages that failed
	KindDead     Kind = "dead"     // a message went to the dead-letter queue; Reason is the last error
	KindStream   Kind = "stream"   // records of a table's stream were delivered; Queue is the table, Status their number
	KindSchedule Kind = "schedule" // a schedule fired
	KindTopic    Kind = "topic"    // a message was published; Queue is the topic, Status how many subscriptions it was for
	KindBus      Kind = "bus"      // an event came onto a bus; Reason is its source and detail-type
)

// Event is something that happened in any of the products, for a log that a person watches. Fields that do not apply are zero.
type Event struct {
	Kind       Kind
	Time       time.Time // when it began
	Duration   time.Duration
	Connection string
	Route      string
	Function   string // logical id
	Queue      string // logical id
	Status     int
	Reason     string
	Bytes      int
	Data       []byte // the message or post; must not be changed
	Err        error
}

// observers are what the products are given: nothing if nobody watches.
func (c *Config) observeGateway() func(gateway.Event) {
	if c.Observe == nil {
		return nil
	}
	return func(e gateway.Event) {
		c.Observe(Event{
			Kind: Kind(e.Kind), Time: e.Time, Duration: e.Duration, Connection: e.Connection, Route: e.Route, Function: e.Function,
			Status: e.Status, Reason: e.Reason, Bytes: e.Bytes, Data: e.Data, Err: e.Err,
		})
	}
}

func (c *Config) observeFunctions() func(invoke.Event) {
	if c.Observe == nil {
		return nil
	}
	return func(e invoke.Event) {
		c.Observe(Event{Kind: KindInvoke, Time: e.Time, Duration: e.Duration, Function: e.Function, Bytes: e.Bytes, Err: e.Err})
	}
}

func (c *Config) observeHTTP() func(httpapi.Event) {
	if c.Observe == nil {
		return nil
	}
	return func(e httpapi.Event) {
		c.Observe(Event{
			Kind: KindRequest, Time: e.Time, Duration: e.Duration, Function: e.Function, Status: e.Status, Reason: e.Method + " " + e.Path, Err: e.Err,
		})
	}
}

func (c *Config) observeQueues() func(queues.Event) {
	if c.Observe == nil {
		return nil
	}
	return func(e queues.Event) {
		out := Event{Kind: KindQueue, Time: e.Time, Duration: e.Duration, Queue: e.Queue, Function: e.Function, Status: e.Messages, Bytes: e.Failed, Err: e.Err}
		if e.Dead {
			out.Kind, out.Bytes, out.Data, out.Reason = KindDead, len(e.Body), e.Body, e.Reason
		}
		c.Observe(out)
	}
}

func (c *Config) observeStreams() func(streams.Batch) {
	if c.Observe == nil {
		return nil
	}
	return func(b streams.Batch) {
		c.Observe(Event{Kind: KindStream, Time: b.Time, Duration: b.Duration, Queue: b.Table, Function: b.Function, Status: b.Records, Err: b.Err})
	}
}

func (c *Config) observeTopics() func(topics.Seen) {
	if c.Observe == nil {
		return nil
	}
	return func(e topics.Seen) {
		c.Observe(Event{Kind: KindTopic, Time: e.Time, Queue: e.Topic, Status: e.Reached, Bytes: len(e.Message), Data: e.Message})
	}
}

func (c *Config) observeBuses() func(buses.Seen) {
	if c.Observe == nil {
		return nil
	}
	return func(e buses.Seen) {
		out := Event{Kind: KindSchedule, Time: e.Time, Duration: e.Duration, Function: e.Function, Bytes: e.Bytes, Err: e.Err}
		if e.Event != nil {
			out.Kind, out.Reason, out.Data = KindBus, e.Event.Source+" "+e.Event.DetailType, e.Envelope
		}
		c.Observe(out)
	}
}

// Stats are the totals of all products, and what is open or waiting now.
type Stats struct {
	gateway.Stats

	Functions map[string]invoke.Stats `json:"functions"` // by logical id
	Queues    map[string]queues.Stats `json:"queues"`    // by logical id
}

// Stats returns the counters. They are read one by one, so sums may be off by what happens meanwhile.
func (e *Emulator) Stats() Stats {
	out := Stats{e.Gateway.Stats(), e.Functions.Stats(), e.Queues.Stats()}
	for _, g := range *e.others.Load() {
		out.Stats = out.Plus(g.Stats())
	}
	return out
}
