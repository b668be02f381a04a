// Package trace remembers what became of logged events: when each was received and logged, whom it was pushed to, who was
// gone, what was left to the queue.
//
// A [Recorder] observes a hub. What is pushed goes to many connections and may be several events, so deliveries are noted once and
// shared by the traces of these events.
package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/text"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// The bounds of a recorder's memory. Whatever is oldest goes.
const (
	maxTraces = 2000
	maxBytes  = 16 << 20
	maxListed = 200_000 // deliveries of one event; more are only counted
	maxSteps  = 500     // other steps of one event
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
	Held      Outcome = "held"      // it waits to be pushed with others
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

// Work is what was going on when something was logged.
type Work struct {
	Function   string // empty: unknown
	Connection string // whose frame it was; empty: nobody's
	Began      time.Time
}

// Recorder is a [hub.Observer] that remembers the newest events. Its zero value is ready; it is safe for concurrent use.
type Recorder struct {
	hub.NoObserver

	Now  func() time.Time           // nil: time.Now
	Work func(context.Context) Work // says what a call is part of; nil: nobody knows

	mu    sync.Mutex
	bytes int
	byID  map[string][]*record // of different rooms
	order []*record            // the oldest first
}

var _ hub.Observer = (*Recorder)(nil)

// record is an event that is remembered.
type record struct {
	hub.Entry

	steps    []Step
	blocks   []*block
	listed   int             // deliveries in blocks
	unlisted map[Outcome]int // steps beyond maxSteps, and deliveries beyond maxListed
}

// block is deliveries of the same events.
type block struct {
	holders int // records that have it
	list    []delivery
	details map[int]string // of few deliveries, by index
	first   time.Time
}

// delivery is small: there is one for every member of a large room.
type delivery struct {
	connection string
	micros     uint32 // since the block's first
	outcome    uint8
}

// outcomes are those of a push, by their number in a delivery.
func outcomes() [4]Outcome { return [4]Outcome{Delivered, Gone, Throttled, Failed} }

// outcome is what an error of a push means.
func outcome(err error) (number uint8, detail string) {
	switch {
	case err == nil:
		return 0, ""
	case errors.Is(err, hub.ErrGone):
		return 1, ""
	case errors.Is(err, hub.ErrThrottled):
		return 2, ""
	}
	return 3, err.Error()
}

func (r *Recorder) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func (r *Recorder) Logged(ctx context.Context, e hub.Entry, again bool) {
	now := r.now()
	w := Work{Began: now}
	if r.Work != nil {
		w = r.Work(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log(e, again, w, now)
}

// Held says why an event is not pushed yet, and until when at the latest.
func (r *Recorder) Held(_ context.Context, e hub.Entry, why string, until time.Time) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.find(e.Event)
	if rec == nil {
		return
	}
	reason := "the room is busy"
	if why == "lazy" {
		reason = "the room is large"
	}
	wait := max(0, until.Sub(now)).Round(time.Millisecond)
	rec.step(r, Step{At: now, What: Held, Detail: fmt.Sprintf("%s: with the next event, or in %s (%s of RoomKinds)", reason, wait, why)})
}

// log remembers an event. The lock is held.
func (r *Recorder) log(e hub.Entry, again bool, w Work, now time.Time) {
	rec := r.find(e.Event)
	if rec == nil {
		rec = r.add(e)
	}
	what := Logged
	if again {
		what = Again
	}
	rec.step(r, Step{At: w.Began, What: Received, Connection: w.Connection, Detail: w.Function})
	rec.step(r, Step{At: now, What: what})
}

// find gives the record of an event. The lock is held.
func (r *Recorder) find(e protocol.Event) *record {
	for _, rec := range r.byID[e.ID] {
		if rec.Room == e.Room {
			return rec
		}
	}
	return nil
}

// add begins a record, in the place of the oldest if there are too many. The lock is held.
func (r *Recorder) add(e hub.Entry) *record {
	for len(r.order) > 0 && (len(r.order) >= maxTraces || r.bytes > maxBytes) {
		r.drop(r.order[0])
		r.order[0] = nil
		r.order = r.order[1:]
	}
	if r.byID == nil {
		r.byID = map[string][]*record{}
	}
	e.Data = nil // it may be long
	rec := &record{Entry: e}
	r.byID[e.ID] = append(r.byID[e.ID], rec)
	r.order = append(r.order, rec)
	r.bytes += traceBytes
	return rec
}

func (r *Recorder) drop(rec *record) {
	rest := slices.DeleteFunc(r.byID[rec.ID], func(other *record) bool { return other == rec })
	if len(rest) == 0 {
		delete(r.byID, rec.ID)
	} else {
		r.byID[rec.ID] = rest
	}
	r.bytes -= traceBytes + stepBytes*len(rec.steps)
	for _, b := range rec.blocks {
		if b.holders--; b.holders == 0 {
			r.bytes -= traceBytes + deliveryBytes*len(b.list)
		}
	}
}

// count notes what is not listed.
func (rec *record) count(what Outcome, n int) {
	if rec.unlisted == nil {
		rec.unlisted = map[Outcome]int{}
	}
	rec.unlisted[what] += n
}

func (rec *record) step(r *Recorder, s Step) {
	if len(rec.steps) >= maxSteps {
		rec.count(s.What, 1)
		return
	}
	if rec.steps == nil {
		rec.steps = make([]Step, 0, 2) // most have no more
	}
	rec.steps = append(rec.steps, s)
	r.bytes += stepBytes
}

// Queued notes a job: one that is about an event is a step of it.
func (r *Recorder) Queued(_ context.Context, j hub.Job, delay time.Duration) {
	if j.Event == nil || j.Event.ID == "" {
		return
	}
	s := Step{What: Queued, Detail: string(j.Kind)}
	switch j.Kind {
	case hub.JobRetry:
		s.What = Retried
		s.Detail = fmt.Sprintf("try %d, in %s: %s", j.Attempt+1, delay.Round(10*time.Millisecond), text.Plural(len(j.Targets), "connection"))
	case hub.JobFanOut:
		s.Detail = fmt.Sprintf("shard %d, after %s", j.Shard, text.Plural(j.Passed, "member"))
	default:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.find(*j.Event); rec != nil {
		s.At = r.now()
		rec.step(r, s)
	}
}

func (r *Recorder) Pushed(_ context.Context, d hub.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.push(d)
}

// Heard is Pushed where nobody tells what is logged: events that have an id and a place in a room are remembered from now on.
func (r *Recorder) Heard(d hub.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range d.Events {
		if e.ID != "" && e.Seq > 0 && r.find(e) == nil {
			r.log(hub.Entry{Event: e}, false, Work{Began: d.At}, d.At)
		}
	}
	r.push(d)
}

// push notes deliveries. The lock is held.
func (r *Recorder) push(d hub.Delivery) {
	var about []*record
	for _, e := range d.Events {
		if rec := r.find(e); e.ID != "" && rec != nil {
			about = append(about, rec)
		}
	}
	if len(about) == 0 {
		return
	}
	room := maxListed
	for _, rec := range about {
		room = min(room, maxListed-rec.listed)
	}
	b := r.open(about)
	for i, to := range d.To {
		number, detail := outcome(to.Err)
		if i < room {
			b.add(to, number, detail)
			continue
		}
		for _, rec := range about {
			rec.count(outcomes()[number], 1)
		}
	}
	n := min(len(d.To), room)
	for _, rec := range about {
		rec.listed += n
	}
	r.bytes += deliveryBytes * n
}

// open gives the block that deliveries of events go to: the last one, if it is of the same events.
func (r *Recorder) open(about []*record) *block {
	last := about[0].last()
	same := last != nil && last.holders == len(about)
	for _, rec := range about[1:] {
		same = same && rec.last() == last
	}
	if same {
		return last
	}
	b := &block{holders: len(about)}
	r.bytes += traceBytes
	for _, rec := range about {
		rec.blocks = append(rec.blocks, b)
	}
	return b
}

func (rec *record) last() *block {
	if len(rec.blocks) == 0 {
		return nil
	}
	return rec.blocks[len(rec.blocks)-1]
}

func (b *block) add(to hub.Reached, number uint8, detail string) {
	if b.first.IsZero() {
		b.first = to.At
	}
	if detail != "" {
		if b.details == nil {
			b.details = map[int]string{}
		}
		b.details[len(b.list)] = detail
	}
	after := min(max(0, to.At.Sub(b.first).Microseconds()), math.MaxUint32)
	b.list = append(b.list, delivery{to.Connection, uint32(after), number})
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
		ID: rec.ID, Room: rec.Room, Event: rec.Event.Event, Seq: rec.Seq, Epoch: rec.Epoch,
		Steps: slices.Clone(rec.steps), Counts: map[Outcome]int{},
	}
	if rec.From != nil {
		t.From = rec.From.UserID
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
	for _, b := range rec.blocks {
		for i, d := range b.list {
			what := outcomes()[d.outcome]
			t.Counts[what]++
			t.Steps = append(t.Steps, Step{
				At: b.first.Add(time.Duration(d.micros) * time.Microsecond), What: what, Connection: d.connection, Detail: b.details[i],
			})
		}
	}
	slices.SortStableFunc(t.Steps, func(a, b Step) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	for i := range t.Steps {
		t.Steps[i].AfterMs = float64(t.Steps[i].At.Sub(t.Steps[0].At).Microseconds()) / 1000
	}
	return t
}
