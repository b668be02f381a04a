package trace_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/trace"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// ticking is a clock that counts milliseconds by its calls.
func ticking() func() time.Time {
	var mu sync.Mutex
	at := time.Unix(100, 0)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(time.Millisecond)
		return at
	}
}

func words(t trace.Trace) string {
	var b strings.Builder
	for _, s := range t.Steps {
		fmt.Fprintf(&b, "%s(%s) ", s.What, s.Connection+s.Detail)
	}
	return strings.TrimSpace(b.String())
}

func entry(room, id string) hub.Entry {
	return hub.Entry{Event: protocol.Event{Event: "message:new", Room: room, ID: id, Seq: 7, From: &protocol.From{UserID: "ana"}}, Epoch: "k3"}
}

// pushed is what becomes of events at connections, a millisecond after the other; the error of each by its name.
func pushed(at func() time.Time, reached []hub.Reached, events ...hub.Entry) hub.Delivery {
	d := hub.Delivery{Room: events[0].Room, To: reached}
	for _, e := range events {
		d.Events = append(d.Events, e.Event)
	}
	for i := range d.To {
		d.To[i].At = at()
	}
	return d
}

func reached(connection string, err error) hub.Reached {
	return hub.Reached{Target: hub.Target{Connection: connection}, Err: err}
}

func TestTimeline(t *testing.T) {
	now := ticking()
	began := now()
	r := &trace.Recorder{Now: now, Work: func(context.Context) trace.Work {
		return trace.Work{Function: "message", Connection: "a", Began: began}
	}}
	m1 := entry("channel:1", "m1")
	r.Logged(t.Context(), m1, false)
	r.Pushed(t.Context(), pushed(now, []hub.Reached{
		reached("a", nil), reached("b", fmt.Errorf("post: %w", hub.ErrGone)), reached("c", hub.ErrThrottled), reached("d", io.ErrUnexpectedEOF),
	}, m1, entry("channel:1", "unknown")))
	retry := hub.Job{Kind: hub.JobRetry, Event: &m1.Event, Targets: make([]hub.Target, 1)}
	r.Queued(t.Context(), retry, 1230*time.Millisecond)
	other := entry("channel:2", "m1")
	retry.Event = &other.Event
	r.Queued(t.Context(), retry, 0)
	got := r.Traces("m1")
	if len(got) != 1 {
		t.Fatalf("got %d traces, want 1", len(got))
	}
	want := "received(afunction message) logged(seq 7) delivered(a) gone(b) throttled(c) failed(dunexpected EOF) retried(try 1, in 1.23s: 1 connection)"
	if words(got[0]) != want {
		t.Errorf("got  %s\nwant %s", words(got[0]), want)
	}
	for i, s := range got[0].Steps {
		if s.AfterMs != float64(i) {
			t.Errorf("step %d: got %g ms, want %d", i, s.AfterMs, i)
		}
	}
	for _, what := range []trace.Outcome{trace.Delivered, trace.Gone, trace.Throttled, trace.Failed, trace.Retried, trace.Logged} {
		if got[0].Counts[what] != 1 {
			t.Errorf("%s: got %d, want 1", what, got[0].Counts[what])
		}
	}
	if got[0].Event != "message:new" || got[0].From != "ana" || got[0].Epoch != "k3" {
		t.Errorf("got %+v", got[0])
	}
}

func TestSentAgain(t *testing.T) {
	r := &trace.Recorder{Now: ticking()}
	r.Logged(t.Context(), entry("channel:1", "m1"), false)
	r.Logged(t.Context(), entry("channel:1", "m1"), true)
	got := r.Traces("m1")
	if len(got) != 1 || words(got[0]) != "received() logged(seq 7) received() again(seq 7)" {
		t.Errorf("got %+v", got)
	}
}

func TestQueued(t *testing.T) {
	r := &trace.Recorder{Now: ticking()}
	m1 := entry("channel:1", "m1")
	r.Logged(t.Context(), m1, false)
	r.Queued(t.Context(), hub.Job{Kind: hub.JobFanOut, Event: &m1.Event, Shard: 1, Passed: 200}, 0)
	r.Queued(t.Context(), hub.Job{Kind: hub.JobAbsence, Room: "channel:1"}, 0) // about no event
	if got := words(r.Traces("m1")[0]); got != "received() logged(seq 7) queued(shard 1, after 200 members)" {
		t.Errorf("got %s", got)
	}
}

func TestHeld(t *testing.T) {
	r := &trace.Recorder{Now: ticking()}
	m1 := entry("channel:1", "m1")
	r.Logged(t.Context(), m1, false)
	r.Held(t.Context(), m1, "lazy", ticking()().Add(time.Minute))
	r.Held(t.Context(), entry("channel:2", "unknown"), "lazy", time.Now())
	if got := words(r.Traces("m1")[0]); !strings.HasPrefix(got, "received() logged(seq 7) held(the room is large: with the next event, or in 59.9") ||
		!strings.HasSuffix(got, "s (lazy of RoomKinds))") {
		t.Errorf("got %s", got)
	}
}

func TestSameIDInTwoRooms(t *testing.T) {
	r := &trace.Recorder{}
	for _, room := range []string{"channel:1", "channel:2"} {
		r.Logged(t.Context(), entry(room, "m1"), false)
	}
	r.Pushed(t.Context(), pushed(time.Now, []hub.Reached{reached("b", nil)}, entry("channel:2", "m1")))
	got := r.Traces("m1")
	if len(got) != 2 || got[0].Counts[trace.Delivered] != 0 || got[1].Counts[trace.Delivered] != 1 {
		t.Errorf("got %+v, want a delivery in channel:2 only", got)
	}
}

// TestWhatIsNotKnown: a delivery of an event that nobody said was logged is of no interest, unless nobody would say so.
func TestWhatIsNotKnown(t *testing.T) {
	r := &trace.Recorder{}
	d := pushed(time.Now, []hub.Reached{reached("a", nil)}, entry("channel:1", "m1"))
	r.Pushed(t.Context(), d)
	if got := r.Traces("m1"); len(got) != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
	r.Heard(d)
	r.Heard(d)
	if got := r.Traces("m1"); len(got) != 1 || got[0].Counts[trace.Delivered] != 2 || got[0].Counts[trace.Logged] != 1 {
		t.Errorf("got %+v, want one event and two deliveries", got)
	}
	typing := entry("channel:1", "")
	typing.Seq = 0
	r.Heard(pushed(time.Now, []hub.Reached{reached("a", nil)}, typing))
	if got := r.Recent(10); len(got) != 1 {
		t.Errorf("got %+v, want no event without an id", got)
	}
}

// TestBounds: events go when there are too many, or when their deliveries are; one event lists a bounded number.
func TestBounds(t *testing.T) {
	r := &trace.Recorder{}
	log := func(i int) hub.Entry {
		e := entry("channel:1", fmt.Sprint(i))
		r.Logged(t.Context(), e, false)
		return e
	}
	for i := range 3000 {
		log(i)
	}
	if len(r.Traces("999")) != 0 || len(r.Traces("1000")) != 1 || len(r.Recent(5000)) != 2000 {
		t.Errorf("got %d events, want the newest 2,000", len(r.Recent(5000)))
	}
	members := slices.Repeat([]hub.Reached{reached("c", nil)}, 2000)
	// 16 MB are about 350,000 deliveries: 175 rooms of 2,000.
	for i := range 300 {
		r.Pushed(t.Context(), pushed(time.Now, members, log(10_000+i)))
	}
	left := r.Recent(5000)
	if len(left) < 150 || len(left) > 180 {
		t.Errorf("got %d events after many deliveries, want about 170", len(left))
	}
	if newest := r.Recent(1)[0]; newest.ID != "10299" || newest.Steps != nil {
		t.Errorf("got %+v, want the newest without steps", newest)
	}
	// Everything that is forgotten is given back: as many small events as ever fit again.
	for i := range 2000 {
		log(20_000 + i)
	}
	if got := len(r.Recent(5000)); got != 2000 {
		t.Errorf("got %d events, want 2,000 again", got)
	}
	large := log(30_000)
	for range 101 {
		r.Pushed(t.Context(), pushed(time.Now, members, large))
	}
	last := r.Traces("30000")[0]
	if last.Counts[trace.Delivered] != 202_000 || last.Unlisted != 2000 || len(last.Steps) != 200_002 {
		t.Errorf("got %d delivered, %d unlisted, %d steps; want 202,000, 2,000 and 200,002", last.Counts[trace.Delivered], last.Unlisted, len(last.Steps))
	}
}

// TestBatches: what was pushed together is listed with each event, also when others were pushed alone in between.
func TestBatches(t *testing.T) {
	r := &trace.Recorder{}
	one, two := entry("channel:1", "1"), entry("channel:1", "2")
	r.Logged(t.Context(), one, false)
	r.Logged(t.Context(), two, false)
	for _, events := range [][]hub.Entry{{one, two}, {one}, {one, two}, {one, two}} {
		r.Pushed(t.Context(), pushed(time.Now, []hub.Reached{reached("a", nil)}, events...))
	}
	for id, want := range map[string]int{"1": 4, "2": 3} {
		if got := r.Traces(id)[0]; got.Counts[trace.Delivered] != want || len(got.Steps) != want+2 {
			t.Errorf("event %s: got %+v, want %d deliveries", id, got, want)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	r := &trace.Recorder{}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				e := entry("channel:1", fmt.Sprint(i))
				r.Logged(t.Context(), e, g > 0)
				r.Pushed(t.Context(), pushed(time.Now, []hub.Reached{reached(fmt.Sprint(g), nil)}, e))
				r.Traces(e.ID)
			}
		})
	}
	wg.Wait()
	for i := range 200 {
		if got := r.Traces(fmt.Sprint(i)); len(got) != 1 || got[0].Counts[trace.Delivered] != 8 {
			t.Fatalf("event %d: got %+v, want 8 deliveries", i, got)
		}
	}
}
