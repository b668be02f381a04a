package console

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/local/trace"
)

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
	w := NewWatch(&template.Template{})
	w.Principals()
	w.Overhear()
	f := w.Functions(map[string]invoke.Function{"connect": answering(`{"statusCode":200}`)})["connect"]
	ctx := invoke.For(t.Context(), invoke.Cause{By: invoke.ByConnect, Connection: "c1", Principal: "ana"})
	if _, err := f.Invoke(ctx, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if got := w.meter.Owner("c1"); got != "ana" {
		t.Errorf("got %q, want ana", got)
	}
	see := w.Observe(nil)
	push := func(connection, frame string, err error) {
		see(emulator.Event{Kind: emulator.KindPush, Connection: connection, Bytes: len(frame), Data: []byte(frame), Err: err})
	}
	const v1 = `{"event":"message:new","room":"channel:a","seq":7,"id":"m1","from":{"userId":"ana"},"data":{"id":"no"}}`
	push("c1", v1, nil)
	push("c1", `{"batch":[`+v1+`,{"event":"b","room":"channel:a","seq":8,"id":"m2"}]}`, nil)
	push("c2", `42["message:new",{"id":"no"},{"room":"channel:a","seq":7,"id":"m1","from":{"userId":"ana"}},"o9"]`, nil)
	push("c3", v1, &awserr.Error{Status: http.StatusGone})
	push("c4", v1, &awserr.Error{Status: http.StatusTooManyRequests})
	push("c5", v1, io.ErrUnexpectedEOF)
	push("c1", `{"reply":"r1","ok":true}`, nil)
	push("c2", "2", nil)
	got := w.traces.Traces("m1")
	if len(got) != 1 || got[0].Seq != 7 || got[0].From != "ana" {
		t.Fatalf("got %+v, want one trace", got)
	}
	for what, n := range map[trace.Outcome]int{trace.Logged: 1, trace.Delivered: 3, trace.Gone: 1, trace.Throttled: 1, trace.Failed: 1} {
		if got[0].Counts[what] != n {
			t.Errorf("%s: got %d, want %d", what, got[0].Counts[what], n)
		}
	}
	if got := w.traces.Traces("m2"); len(got) != 1 || got[0].Counts[trace.Delivered] != 1 {
		t.Errorf("the batch's second: got %+v", got)
	}
	r := w.meter.Report()
	if r.Usage.MessagesOut != 5 || r.DynamoDB != cost.NotCounted {
		t.Errorf("got %+v, want five messages out and DynamoDB not counted", r.Usage)
	}
	for what, list := range map[string]cost.Shares{"channel:a": r.Rooms, "ana": r.Users, "message:new": r.Events} {
		if len(list.Top) != 1 || list.Top[0].Name != what || list.Top[0].Usage.MessagesOut != 3 {
			t.Errorf("%s: got %+v, want three messages", what, list.Top)
		}
	}
}

// answering is a function that always says the same.
type answering string

func (a answering) Invoke(context.Context, []byte) ([]byte, error) { return []byte(a), nil }
