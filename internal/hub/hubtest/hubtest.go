// Package hubtest is the world around a hub in tests: a [Clock] that stands still until it is moved, a [Network] that
// remembers what each connection got and fails as it is told, and a [Queue] whose jobs run when, how often and in which
// order a test says. [New] puts a hub on the embedded store into it.
//
// A test that needs something stranger overrides one method of these and leaves the others as they are.
package hubtest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

// World is a hub and all that it needs.
type World struct {
	*hub.Hub
	Config  hub.Config // of the hub, to make another that differs in something
	Store   hub.Store
	Notes   socketio.Notes
	TB      testing.TB
	Clock   *Clock
	Network *Network
	Queue   *Queue
	// Worker does the jobs of Drain. Default: the hub.
	Worker func(ctx context.Context, job hub.Job) error

	opened int
	asked  int
}

// New makes a world on 23 November 2024, in which every connection may send a thousand actions at once. change has the last
// word on what the hub is made of.
func New(tb testing.TB, change ...func(*hub.Config)) *World {
	tb.Helper()
	clock := NewClock(time.UnixMilli(1_732_341_000_000))
	w := &World{TB: tb, Clock: clock, Network: NewNetwork(), Queue: &Queue{Clock: clock}}
	w.Config = hub.Config{
		Pusher: w.Network, Queue: w.Queue, Now: clock.Now, Sleep: clock.Sleep, Logger: slog.New(slog.DiscardHandler),
		Limits: hub.Limits{Rate: 1000, Burst: 1000},
	}
	store, err := bolt.Open("", bolt.Options{Now: clock.Now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	w.Config.Store = store
	for _, f := range change {
		f(&w.Config)
	}
	w.Hub, w.Store, w.Notes = hub.New(w.Config), w.Config.Store, store
	return w
}

// Drain does the jobs that wait and those that they leave behind, each when it is due, until there are none. It gives how
// many there were; one that fails ends the test.
func (w *World) Drain() (n int) {
	w.TB.Helper()
	return w.work(func(Queued) bool { return true })
}

// Pass lets time go by, in which the jobs that are due are done. It gives how many there were; one that fails ends the test.
func (w *World) Pass(d time.Duration) (n int) {
	w.TB.Helper()
	end := w.Clock.Now().Add(d)
	n = w.work(func(j Queued) bool { return !j.Due.After(end) })
	w.Clock.To(end)
	return n
}

func (w *World) work(may func(Queued) bool) (n int) {
	w.TB.Helper()
	work := w.Worker
	if work == nil {
		work = w.Work
	}
	for {
		job, ok := w.Queue.next(may)
		if !ok {
			return n
		}
		n++
		w.Clock.To(job.Due)
		if job.Chain > maxChain {
			w.TB.Fatalf("job %s: Lambda stops what has led to itself %d times", job.Job.Kind, maxChain)
		}
		if err := work(job.Chained(w.TB.Context()), job.Job); err != nil {
			w.TB.Fatalf("job %s: %v", job.Job.Kind, err)
		}
	}
}

// Everything is what a token grants that allows all.
func Everything() hub.Grants {
	return hub.Grants{"*": {hub.GrantJoin, hub.GrantPublish, hub.GrantModerate}}
}

// Open connects a user, who may do everything for an hour. The connections are called ana-1, bob-2 and so on.
func (w *World) Open(user string) hub.Caller {
	w.TB.Helper()
	w.opened++
	c := hub.Caller{Connection: fmt.Sprintf("%s-%d", user, w.opened), User: user, Expires: w.Config.Now().Add(time.Hour)}
	who := hub.Identity{User: user, Grants: Everything(), Expires: c.Expires}
	if err := w.Connect(w.TB.Context(), c.Connection, who, protocol.Name); err != nil {
		w.TB.Fatal(err)
	}
	return c
}

// Reply is what an action is answered.
type Reply struct {
	OK    bool            `json:"ok"`
	Data  json.RawMessage `json:"data"`
	Error struct {
		Code protocol.Code `json:"code"`
	} `json:"error"`
}

// Ask sends a frame and gives its reply. A frame without an id gets one, so that there is a reply.
func (w *World) Ask(c hub.Caller, frame string) Reply {
	w.TB.Helper()
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(frame), &fields); err != nil {
		w.TB.Fatalf("%s: %v", frame, err)
	}
	if fields["id"] == nil {
		w.asked++
		fields["id"] = fmt.Appendf(nil, `"asked-%d"`, w.asked)
	}
	whole, err := json.Marshal(fields)
	if err != nil {
		w.TB.Fatal(err)
	}
	var r Reply
	if err := json.Unmarshal(w.Receive(w.TB.Context(), c, whole), &r); err != nil {
		w.TB.Fatalf("%s: %v", frame, err)
	}
	return r
}

// Must is Ask, for the data of an action that has to succeed.
func (w *World) Must(c hub.Caller, frame string) json.RawMessage {
	w.TB.Helper()
	r := w.Ask(c, frame)
	if !r.OK {
		w.TB.Fatalf("%s: %s", frame, r.Error.Code)
	}
	return r.Data
}
