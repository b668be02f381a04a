// Package trace remembers what became of logged events: when each was received and logged, whom it was pushed to, who was
// gone, what was left to the queue.
//
// A [Recorder] is told by wrappers around the store, the pusher and the queue. One frame goes to many connections and may carry
// several events, so deliveries are noted once for each frame ([Recorder.Frame]) and shared by the traces of its events.
package trace

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of a recorder's memory. Whatever is oldest goes.
const (
	maxTraces = 2000
	maxBytes  = 16 << 20
	maxListed = 2000 // deliveries of one frame that are listed; more are only counted
	maxSteps  = 500  // other steps of one event
	maxFrames = 200  // frames that one event was in: a page of a large room has its own
)

// about what an entry takes in memory.
const (
	traceBytes    = 512
	stepBytes     = 96
	deliveryBytes = 48
)

// Outcome is what became of something.
type Outcome string

// The outcomes of a push, and the other steps of an event.
const (
	Received  Outcome = "received"  // a function began to work on it
	Logged    Outcome = "logged"    // it got its place in the room
	Again     Outcome = "again"     // it was sent again under the same id: nothing was logged, it is delivered again
	Queued    Outcome = "queued"    // a page of members was left to the queue
	Retried   Outcome = "retried"   // those that it did not reach were left to the queue
	Delivered Outcome = "delivered" // the connection took it
	Gone      Outcome = "gone"      // the connection was closed
	Throttled Outcome = "throttled" // the connection takes no more for now; the push is tried again
	Failed    Outcome = "failed"    // any other error
)

// Step is something that happened to an event.
type Step struct {
	At         time.Time `json:"at"`
	AfterMs    float64   `json:"afterMs"` // since the first step
	What       Outcome   `json:"what"`
	Connection string    `json:"connection,omitempty"`
	User       string    `json:"user,omitempty"`
	Detail     string    `json:"detail,omitempty"`
}

// Trace is the history of one event of one room.
type Trace struct {
	ID       string          `json:"id"`
	Room     string          `json:"room"`
	Event    string          `json:"event"`
	Seq      int64           `json:"seq"`
	Epoch    string          `json:"epoch"`
	From     string          `json:"from,omitempty"` // the user
	Steps    []Step          `json:"steps"`
	Counts   map[Outcome]int `json:"counts"`
	Unlisted int             `json:"unlisted,omitempty"` // steps that are counted but not listed
}

// Event is a logged event, as a recorder is told of it.
type Event struct {
	ID, Room, Name, Epoch, From string
	Seq                         int64
	Function, Connection        string // who logged it, and for whom; may be empty
	Received                    time.Time
	Again                       bool // it was in the log already
}

// Ref names an event.
type Ref struct{ Room, ID string }

// Recorder remembers the newest events. Its zero value is ready; it is safe for concurrent use.
type Recorder struct {
	Now func() time.Time // nil: time.Now

	bytes atomic.Int64

	mu    sync.Mutex
	byID  map[string][]*record // of different rooms
	order []*record            // the oldest first
}

// record is an event that is remembered.
type record struct {
	Event

	steps    []Step
	frames   []*Frame
	unlisted map[Outcome]int // steps beyond maxSteps
}

// Frame is a frame that is pushed to many. Its methods may be called on nil, which is a frame of no known event.
type Frame struct {
	recorder *Recorder
	holders  int // records that have it; under the recorder's lock

	mu       sync.Mutex
	list     []delivery
	details  map[int]string // of few deliveries, by index
	counts   [4]int
	unlisted int
	first    time.Time
}

// delivery is small: there is one for every member of a large room.
type delivery struct {
	connection string
	micros     uint32 // since the frame's first
	outcome    uint8
}

// outcomes are those of a push, by their number in a delivery.
func outcomes() [4]Outcome { return [4]Outcome{Delivered, Gone, Throttled, Failed} }

func (r *Recorder) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// Logged notes that an event was logged, or sent again.
func (r *Recorder) Logged(e Event) {
	now := r.now()
	if e.Received.IsZero() {
		e.Received = now
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.find(Ref{e.Room, e.ID})
	if rec == nil {
		rec = r.add(e)
	}
	rec.step(r, Step{At: e.Received, What: Received, Connection: e.Connection, Detail: e.Function})
	what := Logged
	if e.Again {
		what = Again
	}
	rec.step(r, Step{At: now, What: what})
}

// find gives the record of an event. The lock is held.
func (r *Recorder) find(ref Ref) *record {
	for _, rec := range r.byID[ref.ID] {
		if rec.Room == ref.Room {
			return rec
		}
	}
	return nil
}

// add begins a record, in the place of the oldest if there are too many. The lock is held.
func (r *Recorder) add(e Event) *record {
	for len(r.order) > 0 && (len(r.order) >= maxTraces || r.bytes.Load() > maxBytes) {
		r.drop(r.order[0])
		r.order[0] = nil
		r.order = r.order[1:]
	}
	if r.byID == nil {
		r.byID = map[string][]*record{}
	}
	rec := &record{Event: e}
	r.byID[e.ID] = append(r.byID[e.ID], rec)
	r.order = append(r.order, rec)
	r.bytes.Add(traceBytes)
	return rec
}

func (r *Recorder) drop(rec *record) {
	rest := slices.DeleteFunc(r.byID[rec.ID], func(other *record) bool { return other == rec })
	if len(rest) == 0 {
		delete(r.byID, rec.ID)
	} else {
		r.byID[rec.ID] = rest
	}
	r.bytes.Add(-int64(traceBytes + stepBytes*len(rec.steps)))
	for _, f := range rec.frames {
		if f.holders--; f.holders == 0 {
			f.mu.Lock()
			r.bytes.Add(-int64(deliveryBytes * len(f.list)))
			f.mu.Unlock()
		}
	}
}

func (rec *record) step(r *Recorder, s Step) {
	if len(rec.steps) >= maxSteps {
		if rec.unlisted == nil {
			rec.unlisted = map[Outcome]int{}
		}
		rec.unlisted[s.What]++
		return
	}
	if rec.steps == nil {
		rec.steps = make([]Step, 0, 2) // most have no more
	}
	rec.steps = append(rec.steps, s)
	r.bytes.Add(stepBytes)
}

// Note adds a step to an event that is remembered.
func (r *Recorder) Note(ref Ref, what Outcome, detail string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.find(ref); rec != nil {
		rec.step(r, Step{At: r.now(), What: what, Detail: detail})
	}
}

// Frame begins a frame that carries events. It is nil if none of them is remembered.
func (r *Recorder) Frame(refs []Ref) *Frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	var f *Frame
	for _, ref := range refs {
		rec := r.find(ref)
		if rec == nil || len(rec.frames) >= maxFrames {
			continue
		}
		if f == nil {
			f = &Frame{recorder: r}
		}
		f.holders++
		rec.frames = append(rec.frames, f)
	}
	return f
}

// Pushed notes what became of the frame at one connection.
func (f *Frame) Pushed(connection string, what Outcome, detail string) {
	if f == nil {
		return
	}
	now := f.recorder.now()
	outcome := 0
	for i, o := range outcomes() {
		if o == what {
			outcome = i
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first.IsZero() {
		f.first = now
	}
	f.counts[outcome]++
	if len(f.list) >= maxListed {
		f.unlisted++
		return
	}
	if detail != "" {
		if f.details == nil {
			f.details = map[int]string{}
		}
		f.details[len(f.list)] = detail
	}
	after := min(max(0, now.Sub(f.first).Microseconds()), math.MaxUint32)
	f.list = append(f.list, delivery{connection, uint32(after), uint8(outcome)})
	f.recorder.bytes.Add(deliveryBytes)
}

// Traces gives what is remembered of an id, one trace for each room, the oldest first.
func (r *Recorder) Traces(id string) []Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []Trace{}
	for _, rec := range r.byID[id] {
		list = append(list, rec.trace())
	}
	return list
}

// Recent gives the newest events, the newest first, without their steps.
func (r *Recorder) Recent(limit int) []Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []Trace{}
	for _, rec := range slices.Backward(r.order) {
		if len(list) == limit {
			break
		}
		t := rec.trace()
		t.Unlisted += len(t.Steps)
		t.Steps = nil
		list = append(list, t)
	}
	return list
}

func (rec *record) trace() Trace {
	t := Trace{
		ID: rec.ID, Room: rec.Room, Event: rec.Name, Seq: rec.Seq, Epoch: rec.Epoch, From: rec.From,
		Steps: slices.Clone(rec.steps), Counts: map[Outcome]int{},
	}
	for what, n := range rec.unlisted {
		t.Counts[what] += n
		t.Unlisted += n
	}
	for i, s := range t.Steps {
		t.Counts[s.What]++
		switch s.What {
		case Received:
			if s.Detail != "" {
				t.Steps[i].Detail = "function " + s.Detail
			}
		case Logged, Again:
			t.Steps[i].Detail = fmt.Sprintf("seq %d", rec.Seq)
		default:
		}
	}
	for _, f := range rec.frames {
		f.mu.Lock()
		for i, what := range outcomes() {
			if f.counts[i] > 0 {
				t.Counts[what] += f.counts[i]
			}
		}
		t.Unlisted += f.unlisted
		for i, d := range f.list {
			t.Steps = append(t.Steps, Step{
				At: f.first.Add(time.Duration(d.micros) * time.Microsecond), What: outcomes()[d.outcome], Connection: d.connection, Detail: f.details[i],
			})
		}
		f.mu.Unlock()
	}
	slices.SortStableFunc(t.Steps, func(a, b Step) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	for i := range t.Steps {
		t.Steps[i].AfterMs = float64(t.Steps[i].At.Sub(t.Steps[0].At).Microseconds()) / 1000
	}
	return t
}
