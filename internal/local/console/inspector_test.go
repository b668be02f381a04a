package console

import (
	"bytes"
	"context"
	"hash/maphash"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/hubports"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/trace"
)

func TestGoneIsTraced(t *testing.T) {
	l := &Inspector{meter: &cost.Meter{}, traces: &trace.Recorder{}, stream: newStream()}
	l.traces.Logged(trace.Event{ID: "m1", Room: "channel:a"})
	data := []byte(`{"batch":[{"event":"message:new","room":"channel:a","seq":1,"id":"m1","ts":1,"from":{"userId":"ana"},"data":{"id":"no"}},{"event":"b","room":"channel:a","seq":2,"id":"m2"}]}`)
	f := l.frames.of(t.Context(), l, data)
	if l.frames.of(t.Context(), l, data) != f {
		t.Error("the same frame is read twice")
	}
	f.pushed("c1", nil)
	f.pushed("c2", hubports.AsHub(&awserr.Error{Status: http.StatusGone}))
	f.pushed("c3", hubports.AsHub(&awserr.Error{Status: http.StatusTooManyRequests}))
	f.pushed("c4", io.ErrUnexpectedEOF)
	got := l.traces.Traces("m1")[0].Counts
	for _, what := range []trace.Outcome{trace.Delivered, trace.Gone, trace.Throttled, trace.Failed} {
		if got[what] != 1 {
			t.Errorf("%s: got %d, want 1", what, got[what])
		}
	}
	r := l.report()
	if len(r.Users.Top) != 1 || r.Users.Top[0].Name != "ana" || r.Users.Top[0].Usage.MessagesOut != 1 {
		t.Errorf("got %+v, want one message that ana caused", r.Users.Top)
	}
}

func TestEnvelopes(t *testing.T) {
	for data, want := range map[string][]envelope{
		`{"event":"message:new","room":"channel:1","seq":58,"id":"01J","ts":5,"from":{"userId":"ana","name":"\"room\":\"x\""},"data":{"id":"other"}}`: {{event: "message:new", room: "channel:1", id: "01J", user: "ana", seq: 58}},
		`{"event":"user:typing","room":"channel:1","from":{"userId":"bob"}}`:                                                                          {{event: "user:typing", room: "channel:1", user: "bob"}},
		`{"batch":[{"event":"a","room":"r:1","seq":1,"id":"x"},{"event":"b"}]}`:                                                                       {{event: "a", room: "r:1", id: "x", seq: 1}, {event: "b"}},
		`{"reply":"r1","ok":true}`: nil,
		`42["message",{}]`:         nil,
		`{"batch":[`:               nil,
	} {
		if got := envelopes([]byte(data)); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", data, got, want)
		}
	}
}

// TestStreamIsBounded: a busy server says how much it leaves out, and those who look late get the newest.
func TestStreamIsBounded(t *testing.T) {
	s := newStream()
	for range 1000 {
		s.add(emulator.Event{Kind: emulator.KindPush, Data: bytes.Repeat([]byte("x"), 2*itemData)})
	}
	list, last := s.since(0)
	if len(list) != pushesASecond || last != pushesASecond || len(list[0].Data) != itemData || !list[0].Cut {
		t.Errorf("got %d pushes, the first with %d bytes, cut %v", len(list), len(list[0].Data), list[0].Cut)
	}
	s.add(emulator.Event{Kind: emulator.KindMessage})
	if _, last := s.since(0); last != pushesASecond+1 {
		t.Error("pushes leave no space for messages")
	}
	for i := range 5 {
		s.tick(time.Unix(int64(i), 0), emulator.Stats{}, emulator.Stats{Stats: gateway.Stats{Posts: 1000}})
		for range itemsASecond {
			s.add(emulator.Event{Kind: emulator.KindMessage})
		}
	}
	if got := s.pointsSince(-1)[0].Skipped; got != 1000-pushesASecond {
		t.Errorf("got %d left out, want 800", got)
	}
	if list, last = s.since(0); len(list) != keptItems || list[keptItems-1].N != last {
		t.Errorf("got %d items up to %d", len(list), last)
	}
	for i := range 400 {
		s.tick(time.Unix(int64(10+i), 0), emulator.Stats{}, emulator.Stats{})
	}
	if got := len(s.pointsSince(-1)); got != keptPoints {
		t.Errorf("got %d seconds, want %d", got, keptPoints)
	}
}

func TestQuantiles(t *testing.T) {
	var counts [buckets]int64
	for i := range 1000 {
		counts[bucketOf(time.Duration(i+1)*time.Millisecond)]++
	}
	for q, want := range map[float64]float64{0.5: 500, 0.99: 990} {
		if got := quantile(counts[:], q); got < want*0.9 || got > want*1.1 {
			t.Errorf("p%g: got %g ms, want %g within a tenth", 100*q, got, want)
		}
	}
	if quantile(counts[:0], 0.5) != 0 || bucketOf(0) != 0 || bucketOf(time.Hour) != buckets-1 {
		t.Error("the ends are wrong")
	}
}

// TestFunctionsElsewhere: where the functions run in other processes, what they push over HTTP is all that is seen of an
// event, and the authorizer's answer all that is seen of who it is for.
func TestFunctionsElsewhere(t *testing.T) {
	l := &Inspector{meter: &cost.Meter{}, traces: &trace.Recorder{}, stream: newStream(), remote: true}
	l.frames.seed = maphash.MakeSeed()
	f := l.Functions(map[string]invoke.Function{"connect": answering(`{"statusCode":200}`)})["connect"]
	if _, err := f.Invoke(t.Context(), []byte(`{"headers":{},"requestContext":{"eventType":"CONNECT","authorizer":{"principalId":"ana"},"connectionId":"c1"}}`)); err != nil {
		t.Fatal(err)
	}
	if got := l.meter.Owner("c1"); got != "ana" {
		t.Errorf("got %q, want ana", got)
	}
	see := l.Observe(nil)
	for range 2 { // a copy each time
		see(emulator.Event{Kind: emulator.KindPush, Connection: "c1", Status: http.StatusOK, Data: []byte(`{"event":"message:new","room":"channel:a","seq":7,"id":"m1"}`)})
	}
	see(emulator.Event{Kind: emulator.KindPush, Connection: "c2", Status: http.StatusGone, Err: &awserr.Error{Status: http.StatusGone}, Data: []byte(`{"event":"message:new","room":"channel:a","seq":7,"id":"m1"}`)})
	got := l.traces.Traces("m1")
	if len(got) != 1 || got[0].Seq != 7 || got[0].Counts[trace.Delivered] != 2 || got[0].Counts[trace.Gone] != 1 {
		t.Errorf("got %+v, want one trace with three pushes", got)
	}
	if r := l.report(); r.Usage.MessagesOut != 2 || len(r.Rooms.Top) != 1 || r.Rooms.Top[0].Usage.MessagesOut != 2 {
		t.Errorf("got %+v, want two messages out", r.Usage)
	}
}

// answering is a function that always says the same.
type answering string

func (a answering) Invoke(context.Context, []byte) ([]byte, error) { return []byte(a), nil }
