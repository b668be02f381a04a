package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/aws/metrics"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// listener is a Bus and a Meter that remembers.
type listener struct {
	hub.NoObserver

	mu     sync.Mutex
	facts  []hub.Fact
	counts map[hub.Metric]int
	times  map[hub.Metric]int
	fail   error
}

func (l *listener) Tell(_ context.Context, f hub.Fact) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.facts = append(l.facts, f)
	return l.fail
}

func (l *listener) Count(m hub.Metric, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[m] += n
}

func (l *listener) Time(m hub.Metric, _ time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times[m]++
}

// take gives the facts since the last time, each in one line, in any order: some are told at the same time.
func (l *listener) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, f := range l.facts {
		line := []string{string(f.Type)}
		for _, field := range []string{f.Room, f.UserID, f.ConnectionID, f.Event, string(f.Data)} {
			if field != "" {
				line = append(line, field)
			}
		}
		lines = append(lines, strings.Join(line, " "))
	}
	l.facts = nil
	slices.Sort(lines)
	return lines
}

func listening(facts ...hub.FactType) (*listener, func(*hub.Config)) {
	l := &listener{counts: map[hub.Metric]int{}, times: map[hub.Metric]int{}}
	return l, func(c *hub.Config) { c.Bus, c.Observers, c.Facts = l, []hub.Observer{l}, facts }
}

func TestFacts(t *testing.T) {
	l, listen := listening()
	w := newWorld(t, listen)
	told := func(what string, want ...string) {
		t.Helper()
		slices.Sort(want)
		if got := l.take(); !slices.Equal(got, want) {
			t.Errorf("%s tells\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	ana := w.Open("ana")
	told("a connection", "connection.opened ana ana-1", "room.occupied user:ana")
	w.Must(ana, `{"action":"join","room":"community:7"}`)
	told("the first join", "room.occupied community:7", "presence.online community:7 ana")
	second := w.Open("ana")
	told("another tab", "connection.opened ana ana-2")
	w.Must(second, `{"action":"join","room":"community:7"}`)
	told("its join")
	w.Must(ana, `{"action":"publish","room":"community:7","event":"message:new","data":{"content":"hi"}}`)
	told("a message", `message.published community:7 ana message:new {"content":"hi"}`)
	w.Receive(t.Context(), ana, []byte(`{"action":"signal","room":"community:7","event":"typing:start"}`))
	w.Must(ana, `{"action":"presence","room":"community:7","status":"away"}`)
	told("typing and a change of status")
	w.Emit(t.Context(), hub.PublishCommand{Users: []string{"ana"}, Event: "notification:new", ID: "n1"})
	told("a notification", "message.published user:ana notification:new")

	if err := w.Depart(t.Context(), ana.Connection); err != nil {
		t.Fatal(err)
	}
	told("one of two connections closing", "connection.closed ana ana-1")
	if err := w.Depart(t.Context(), second.Connection); err != nil {
		t.Fatal(err)
	}
	told("the last connection closing", "connection.closed ana ana-2", "room.vacated community:7", "room.vacated user:ana")
	w.Drain()
	told("the end of the grace", "presence.offline community:7 ana")

	third := w.Open("ana")
	w.Must(third, `{"action":"join","room":"community:7"}`)
	told("coming back", "connection.opened ana ana-3", "room.occupied user:ana", "room.occupied community:7", "presence.online community:7 ana")
	w.Must(third, `{"action":"leave","room":"community:7"}`)
	told("leaving", "room.vacated community:7")
}

func TestFactsOfSomeTypes(t *testing.T) {
	l, listen := listening(hub.MessagePublished)
	w := newWorld(t, listen)
	ana := w.Open("ana")
	w.Must(ana, `{"action":"join","room":"community:7"}`)
	w.Must(ana, `{"action":"publish","room":"community:7","event":"message:new"}`)
	if got := l.take(); len(got) != 1 {
		t.Errorf("one type was asked for, told are %v", got)
	}
}

// A fact that was told again has the key it had before.
func TestFactKeys(t *testing.T) {
	l, listen := listening(hub.MessagePublished, hub.ConnectionClosed)
	w := newWorld(t, listen)
	ana := w.Open("ana")
	w.Must(ana, `{"action":"join","room":"channel:1"}`)
	for range 2 {
		w.Receive(t.Context(), ana, []byte(`{"action":"publish","id":"m1","room":"channel:1","event":"message:new"}`))
	}
	if len(l.facts) != 2 || l.facts[0].Key != l.facts[1].Key || l.facts[0].Key == "" || l.facts[0].Version != 1 {
		t.Errorf("a retry tells %+v", l.facts)
	}
	text, err := json.Marshal(l.facts[0])
	key := fmt.Sprintf(`"key":"message.published:channel:1:%s:1"`, l.facts[0].Epoch) // ids are their makers' own: two events may have one
	if err != nil || strings.Contains(string(text), "Type") || !strings.Contains(string(text), key) {
		t.Errorf("as JSON it is %s, %v", text, err)
	}
}

func TestBusThatFails(t *testing.T) {
	l, listen := listening()
	l.fail = errors.New("the bus is down")
	w := newWorld(t, listen)
	ana := w.Open("ana")
	w.Must(ana, `{"action":"join","room":"community:7"}`)
	w.Must(ana, `{"action":"publish","room":"community:7","event":"message:new"}`)
	if got := l.counts[hub.FactsLost]; got != 5 {
		t.Errorf("%d facts are counted as lost, want 5", got)
	}
}

// TestMetrics: what CloudWatch is told of some minutes.
func TestMetrics(t *testing.T) {
	var lines bytes.Buffer
	var meter *metrics.Meter
	w := newWorld(t, func(c *hub.Config) {
		meter = metrics.New("test", &lines, c.Now)
		c.Observers = []hub.Observer{meter}
	})
	ana, bob := w.Open("ana"), w.Open("bob")
	w.Must(ana, `{"action":"join","room":"community:7"}`)
	w.Must(bob, `{"action":"join","room":"community:7"}`)
	w.Must(ana, `{"action":"publish","room":"community:7","event":"message:new"}`)
	w.Receive(t.Context(), ana, []byte(`{"action":"signal","room":"community:7","event":"typing:start"}`))
	w.Ask(ana, `{"action":"join","room":"planet:1"}`)
	w.Emit(t.Context(), hub.MembersCommand{Room: "planet:1"})
	w.Must(ana, `{"action":"leave","room":"community:7"}`)
	w.Must(ana, `{"action":"join","room":"community:7"}`)
	w.Drain() // the grace, over which ana is back
	w.Network.Fail(hubtest.Of(hub.ErrThrottled, bob.Connection))
	w.Must(ana, `{"action":"publish","room":"community:7","event":"message:new","data":1}`)
	w.Clock.Pass(time.Minute)
	w.Network.Fail(hubtest.Always(hub.ErrGone))
	w.Clock.Pass(time.Minute)
	w.Must(ana, `{"action":"publish","room":"community:7","event":"message:new","data":22}`)
	if _, err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := meter.Flush(); err != nil {
		t.Fatal(err)
	}
	told := map[string]any{}
	for line := range bytes.Lines(lines.Bytes()) {
		if err := json.Unmarshal(line, &told); err != nil {
			t.Fatal(err)
		}
	}
	for metric, want := range map[hub.Metric]float64{
		hub.Connects: 2, hub.Joins: 3, hub.Leaves: 1, hub.Publishes: 5, hub.Signals: 1, hub.PresenceFlaps: 1,
		hub.Deliveries: 7, hub.Throttled: 3, hub.PushFailures: 1, hub.Retries: 1, hub.Gone: 2, hub.Departures: 2,
	} {
		if told[string(metric)] != want {
			t.Errorf("%s is %v, want %v", metric, told[string(metric)], want)
		}
	}
	if told["Code"] != string(protocol.CodeUnknownRoomKind) || told[metrics.Errors] != 2.0 {
		t.Errorf("refused are %v times %v", told[metrics.Errors], told["Code"])
	}
	if times, _ := told[string(hub.DeliveryLatency)].([]any); len(times) == 0 {
		t.Error("no latency is measured")
	}
}
