package costs

import (
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

const (
	sweepMinutes = 5
	sweepAsks    = 1000.0   // a second, the default of hub.Limits.Asks
	sweepRows    = 10_000.0 // that it is taken to look through in a second, as in internal/local/cost
)

// listening is what sweeps use in the two hours of connections that listen and say nothing, each in its own room and in a community,
// by the sweep; and how often they ask whether a connection is open.
func listening(t testing.TB, n int) (usage cost.Usage, asks float64) {
	t.Helper()
	a := newAccount(t, socketio.Options{})
	now := a.Clock.Now()
	for i := range n {
		c := hub.Connection{
			ID: fmt.Sprintf("c-%06d=", i), User: fmt.Sprintf("user-%06d", i), Codec: protocol.Name, Rooms: map[string]int{"community:1": 0},
			ConnectedAt: now, LastSeen: now, Expires: now.Add(3 * time.Hour), TTL: now.Add(3 * time.Hour),
		}
		if err := a.Store.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	var asked atomic.Int64
	a.Network.Fail(func(hubtest.Call) error { asked.Add(1); return nil })
	const sweeps = 120 / sweepMinutes
	before := a.meter.Report().Usage
	for range sweeps - 1 { // in the last one the connections are over
		a.Clock.Pass(sweepMinutes * time.Minute)
		if _, err := route.Sweep(a.Hub, a.log).Invoke(t.Context(), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	return a.meter.Report().Usage.Minus(before).Times(1.0 / (sweeps - 1)), float64(asked.Load()) / sweeps
}

// sweepCost is what the sweep uses for connections that listen: of two measured sizes the line through both, and the second exactly.
type sweepCost struct{ reads, writes, asks, seconds, month float64 }

func sweepOf(t testing.TB, connections float64) sweepCost {
	t.Helper()
	const few, many = 1_000, 6_400
	less, lessAsks := listening(t, few)
	if connections > few {
		more, moreAsks := listening(t, many)
		step := (connections - few) / (many - few)
		// The reads of a partition are rounded up once in each, which is past by then: a row is 400 bytes of 8 KB.
		less.ReadUnits = more.ReadUnits + (connections-many)*400/(8<<10)
		lessAsks += (moreAsks - lessAsks) * step
	}
	s := sweepCost{reads: less.ReadUnits, writes: less.WriteUnits, asks: lessAsks}
	s.seconds = cost.DefaultLoad().LambdaMs/1000 + math.Max(s.asks/sweepAsks, connections/sweepRows)
	sweeps := cost.Month.Minutes() / sweepMinutes
	one := cost.Usage{LambdaRequests: 1, LambdaGBSeconds: s.seconds * smallMB / 1024, ReadUnits: s.reads, WriteUnits: s.writes}
	s.month = one.Times(sweeps).Bill().Dollars
	return s
}

// sweepTable is what the sweep costs and how long a dead connection may stay.
func sweepTable(t testing.TB) [][]string {
	rows := [][]string{{
		"connections that listen", "RRU a sweep", "asked for in a sweep", "seconds it takes", "of an account's requests/s, on average", "$ a month", "$ a month if each looked at all anew", "*a dead one is found after at most",
	}}
	for _, n := range []float64{1_000, 100_000, 1_000_000} {
		s := sweepOf(t, n)
		found := "as long again as it was silent, and 5 min"
		if s.seconds > 1 {
			found += fmt.Sprintf(" %.0f s", s.seconds)
		}
		share := s.asks / (sweepMinutes * 60) / accountRate
		rows = append(rows, []string{thousands(n), short(s.reads), thousands(s.asks), short(s.seconds), fmt.Sprintf("%.2g %%", 100*share), dollars(s.month), dollars(askingAll(n)), found})
	}
	return rows
}

// askingAll is what the sweep would cost a month if it asked for every silent connection each time and read its presence, one partition
// after the other, as its first version did: a read unit for each presence and 99 for a thousand rows, which its share of a CPU let it
// do for 221 connections a second. Nothing else is in it: one sweep would take longer than the next lets it.
func askingAll(connections float64) float64 {
	one := cost.Usage{LambdaRequests: 1, LambdaGBSeconds: connections / 221 * smallMB / 1024, ReadUnits: 64 + connections*0.0991 + connections}
	return one.Times(cost.Month.Minutes() / sweepMinutes).Bill().Dollars
}

// TestSweepCosts: it costs a tenth at most of what it would if each sweep asked for all.
func TestSweepCosts(t *testing.T) {
	for _, n := range []float64{1_000, 100_000, 1_000_000} {
		asked := n * (120 - 11) / 120
		before := askingAll(n)
		now := sweepOf(t, n)
		t.Logf("%s connections: $%.2f a month, $%.2f at first (%.1f %%); asks for %.0f instead of %.0f (%.0f %%); takes %.0f s of 240, at first %.0f",
			thousands(n), now.month, before, 100*now.month/before, now.asks, asked, 100*now.asks/asked, now.seconds, n/221)
		if now.month > before/10 {
			t.Errorf("%v connections cost $%.2f a month, $%.2f at first", n, now.month, before)
		}
		if now.seconds > 240 {
			t.Errorf("a sweep of %v connections takes %.0f s", n, now.seconds)
		}
	}
}
