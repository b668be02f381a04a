package trace_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/trace"
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

func TestTimeline(t *testing.T) {
	now := ticking()
	r := &trace.Recorder{Now: now}
	received := now()
	r.Logged(trace.Event{ID: "m1", Room: "channel:1", Name: "message:new", Seq: 7, Epoch: "k3", From: "ana", Function: "message", Connection: "a", Received: received})
	f := r.Frame([]trace.Ref{{Room: "channel:1", ID: "m1"}, {Room: "channel:1", ID: "unknown"}})
	f.Pushed("a", trace.Delivered, "")
	f.Pushed("b", trace.Gone, "")
	f.Pushed("c", trace.Throttled, "slow")
	r.Note(trace.Ref{Room: "channel:1", ID: "m1"}, trace.Retried, "1 connection")
	r.Note(trace.Ref{Room: "channel:2", ID: "m1"}, trace.Retried, "another room")
	got := r.Traces("m1")
	if len(got) != 1 {
		t.Fatalf("got %d traces, want 1", len(got))
	}
	want := "received(afunction message) logged(seq 7) delivered(a) gone(b) throttled(cslow) retried(1 connection)"
	if words(got[0]) != want {
		t.Errorf("got  %s\nwant %s", words(got[0]), want)
	}
	for i, s := range got[0].Steps {
		if s.AfterMs != float64(i) {
			t.Errorf("step %d: got %g ms, want %d", i, s.AfterMs, i)
		}
	}
	for what, n := range map[trace.Outcome]int{trace.Delivered: 1, trace.Gone: 1, trace.Throttled: 1, trace.Retried: 1, trace.Logged: 1} {
		if got[0].Counts[what] != n {
			t.Errorf("%s: got %d, want %d", what, got[0].Counts[what], n)
		}
	}
}

func TestSentAgain(t *testing.T) {
	r := &trace.Recorder{Now: ticking()}
	e := trace.Event{ID: "m1", Room: "channel:1", Name: "message:new", Seq: 7}
	r.Logged(e)
	e.Again = true
	r.Logged(e)
	got := r.Traces("m1")
	if len(got) != 1 || words(got[0]) != "received() logged(seq 7) received() again(seq 7)" {
		t.Errorf("got %+v", got)
	}
}

func TestSameIDInTwoRooms(t *testing.T) {
	r := &trace.Recorder{}
	for _, room := range []string{"channel:1", "channel:2"} {
		r.Logged(trace.Event{ID: "m1", Room: room})
	}
	r.Frame([]trace.Ref{{Room: "channel:2", ID: "m1"}}).Pushed("b", trace.Delivered, "")
	got := r.Traces("m1")
	if len(got) != 2 || got[0].Counts[trace.Delivered] != 0 || got[1].Counts[trace.Delivered] != 1 {
		t.Errorf("got %+v, want a delivery in channel:2 only", got)
	}
}

func TestFrameOfNothingKnown(t *testing.T) {
	r := &trace.Recorder{}
	f := r.Frame([]trace.Ref{{Room: "channel:1", ID: "m1"}})
	f.Pushed("a", trace.Delivered, "")
	if got := r.Traces("m1"); f != nil || len(got) != 0 {
		t.Errorf("got %v and %+v, want nothing", f, got)
	}
}

// TestBounds: events go when there are too many, or when their deliveries are; one event lists a bounded number.
func TestBounds(t *testing.T) {
	r := &trace.Recorder{}
	log := func(i int) trace.Ref {
		ref := trace.Ref{Room: "channel:1", ID: fmt.Sprint(i)}
		r.Logged(trace.Event{ID: ref.ID, Room: ref.Room})
		return ref
	}
	for i := range 3000 {
		log(i)
	}
	if len(r.Traces("999")) != 0 || len(r.Traces("1000")) != 1 || len(r.Recent(5000)) != 2000 {
		t.Errorf("got %d events, want the newest 2,000", len(r.Recent(5000)))
	}
	// 16 MB are about 350,000 deliveries: 175 frames of 2,000.
	for i := range 300 {
		f := r.Frame([]trace.Ref{log(10_000 + i)})
		for range 2500 {
			f.Pushed("c", trace.Delivered, "")
		}
	}
	left := r.Recent(5000)
	if len(left) < 150 || len(left) > 180 {
		t.Errorf("got %d events after many deliveries, want about 170", len(left))
	}
	last := r.Traces("10299")[0]
	if last.Counts[trace.Delivered] != 2500 || last.Unlisted != 500 || len(last.Steps) != 2002 {
		t.Errorf("got %d delivered, %d unlisted, %d steps; want 2,500, 500 and 2,002", last.Counts[trace.Delivered], last.Unlisted, len(last.Steps))
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
}

func TestManyAtOnce(t *testing.T) {
	r := &trace.Recorder{}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				ref := trace.Ref{Room: "channel:1", ID: fmt.Sprint(i)}
				r.Logged(trace.Event{ID: ref.ID, Room: ref.Room, Again: g > 0})
				f := r.Frame([]trace.Ref{ref})
				f.Pushed(fmt.Sprint(g), trace.Delivered, "")
				r.Traces(ref.ID)
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
