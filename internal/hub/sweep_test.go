package hub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/around"
)

func TestSweep(t *testing.T) {
	w := newWorld(t)
	bob, ana, eve := w.Open("bob"), w.Open("ana"), w.Open("eve")
	for _, c := range []hub.Caller{bob, ana, eve} {
		w.Must(c, `{"action":"join","room":"community:1"}`)
	}
	w.Clock.Pass(30 * time.Minute)
	w.Network.Fail(hubtest.Of(hub.ErrGone, ana.Connection))
	got, err := w.Sweep(t.Context())
	if err != nil || got.Connections != 3 || got.Gone != 1 || got.Expired != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	w.Drain()
	if n := count(w.Network.Names(bob.Connection), "user:offline"); n != 1 {
		t.Errorf("bob saw %d departures, want 1", n)
	}
	w.Clock.Pass(31 * time.Minute) // the tokens are over
	got, err = w.Sweep(t.Context())
	if err != nil || got.Expired != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	if n := count(w.Network.Names(bob.Connection), "session:ending"); n != 1 || !w.Network.Closed(bob.Connection) {
		t.Errorf("bob was told %d times, closed: %t", n, w.Network.Closed(bob.Connection))
	}
	if got, err = w.Sweep(t.Context()); err != nil || got.Connections != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestSweepAtTheEndOfALife: API Gateway ends a connection that was busy until then, and says nothing.
func TestSweepAtTheEndOfALife(t *testing.T) {
	w := newWorld(t, func(c *hub.Config) { c.Limits.Lifetime = 30 * time.Minute })
	ana := w.Open("ana")
	w.Clock.Pass(29 * time.Minute)
	w.Must(ana, `{"action":"join","room":"channel:1"}`)
	w.Network.Fail(hubtest.Always(hub.ErrGone))
	w.Clock.Pass(2 * time.Minute)
	if got, err := w.Sweep(t.Context()); err != nil || got.Gone != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// asked counts whether connections are open.
func asked(n *atomic.Int64, next hubtest.Fault) hubtest.Fault {
	return func(c hubtest.Call) error {
		if c.Frame == nil {
			n.Add(1)
		}
		if next == nil {
			return nil
		}
		return next(c)
	}
}

// TestSweepAsksSeldom: who listens is silent, and is asked after 11, 22, 44 and 88 minutes, whenever the sweep comes.
func TestSweepAsksSeldom(t *testing.T) {
	for _, every := range []time.Duration{time.Minute, 5 * time.Minute, 7 * time.Minute} {
		w := newWorld(t)
		w.Open("ana")
		var n atomic.Int64
		w.Network.Fail(asked(&n, nil))
		for at := time.Duration(0); at < 59*time.Minute; at += every { // her token is good for an hour
			w.Clock.Pass(every)
			if got, err := w.Sweep(t.Context()); err != nil || got.Connections != 1 || got.Behind != 0 {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		if n.Load() < 3 || n.Load() > 3+3 && every > time.Minute { // twice where the looks overlap
			t.Errorf("swept every %v, ana was asked for %d times in an hour", every, n.Load())
		}
	}
}

// TestSweepFindsTheDead: whenever a silent connection is cut, it is found when it has been silent for twice as long, and five minutes.
func TestSweepFindsTheDead(t *testing.T) {
	for cut := 1; cut < 55; cut++ {
		w := newWorld(t)
		ana := w.Open("ana")
		if err := w.Connect(t.Context(), ana.Connection, hub.Identity{User: "ana", Expires: w.Clock.Now().Add(3 * time.Hour)}, protocol.Name); err != nil {
			t.Fatal(err)
		}
		for minute := 1; ; minute++ {
			w.Clock.Pass(time.Minute)
			if minute == cut {
				w.Network.Cut(ana.Connection)
			}
			if minute%5 != 0 {
				continue
			}
			if _, err := w.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Store.Connection(t.Context(), ana.Connection); errors.Is(err, hub.ErrNotFound) {
				if minute < cut {
					t.Errorf("found dead after %d minutes, cut after %d", minute, cut)
				}
				break
			}
			if minute > max(2*cut, 11)+5 {
				t.Fatalf("cut after %d minutes, not found after %d", cut, minute)
			}
		}
	}
}

// TestSweepLooksAtWhatChanged: of a connection that is silent no presence is read.
func TestSweepLooksAtWhatChanged(t *testing.T) {
	var reads atomic.Int64
	w := newWorld(t, func(c *hub.Config) {
		c.Store = around.New(c.Store, func(_ context.Context, c *around.Call, do func() error) error {
			if c.Name == "Here" {
				reads.Add(1)
			}
			return do()
		})
	})
	for _, user := range []string{"ana", "bob", "eve"} {
		w.Must(w.Open(user), `{"action":"join","room":"community:1"}`)
	}
	dan := w.Open("dan")
	w.Must(dan, `{"action":"join","room":"community:1"}`)
	sweep := func() int64 {
		reads.Store(0)
		w.Clock.Pass(5 * time.Minute)
		if _, err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		return reads.Load()
	}
	if got := sweep(); got != 4 {
		t.Errorf("the first sweep reads %d presences of 4", got)
	}
	for range 4 {
		if got := sweep(); got != 0 {
			t.Errorf("a sweep reads %d presences of connections that were silent", got)
		}
	}
	w.Must(dan, `{"action":"presence","room":"community:1","status":"away"}`)
	if got := sweep(); got != 1 {
		t.Errorf("a sweep reads %d presences where one has changed", got)
	}
}

// TestSweepHasABound: it asks so often in a second, however many there are, and leaves the others to the next one.
func TestSweepHasABound(t *testing.T) {
	const connections, asks = 600, 50
	w := newWorld(t, func(c *hub.Config) { c.Limits.Asks, c.Limits.Page = asks, 4 })
	for i := range connections {
		w.Open(fmt.Sprint("user", i))
	}
	w.Clock.Pass(20 * time.Minute)
	w.Network.Fail(hubtest.Always(hub.ErrGone))
	gone, sweeps := int64(0), 0
	for ; gone < connections && sweeps < 20; sweeps++ {
		// Whoever sleeps moves the clock of all of them: so 64 at once get less done than they might.
		ctx := deadlined{t.Context(), w.Clock.Now().Add(10 * time.Second)}
		began := w.Clock.Now()
		got, err := w.Sweep(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if most := int64(w.Clock.Now().Sub(began).Seconds()+2) * asks; got.Asked > most {
			t.Errorf("asked %d times in %v", got.Asked, w.Clock.Now().Sub(began))
		}
		if gone += got.Gone; gone < connections && got.Behind == 0 {
			t.Errorf("sweep %d says that nothing is left: %+v", sweeps, got)
		}
	}
	if gone != connections || sweeps < 2 {
		t.Errorf("%d sweeps found %d of %d", sweeps, gone, connections)
	}
}

// deadlined is a context with a deadline of the test's clock, which ends nothing.
type deadlined struct {
	context.Context
	at time.Time
}

func (d deadlined) Deadline() (time.Time, bool) { return d.at, true }

// TestSweepCutOff: sweeps are cut off wherever they are, and between them leave nobody out.
func TestSweepCutOff(t *testing.T) {
	errCut := errors.New("cut off")
	for _, calls := range []int64{70, 150, 400} {
		var left atomic.Int64
		w := newWorld(t, func(c *hub.Config) { c.Limits.Page, c.Limits.Asks = 2, 5 }) // a fifth of a second each, so that it saves at times
		dead := map[string]bool{}
		for i := range 400 {
			c := w.Open(fmt.Sprint("user", i))
			if i%4 == 0 {
				dead[c.Connection] = true
			}
		}
		w.Clock.Pass(20 * time.Minute)
		w.Network.Fail(func(c hubtest.Call) error {
			if dead[c.Connection] {
				return hub.ErrGone
			}
			return nil
		})
		config := w.Config
		config.Store = around.New(w.Store, func(_ context.Context, _ *around.Call, do func() error) error {
			if left.Add(-1) < 0 {
				return errCut
			}
			return do()
		})
		cut := hub.New(config)
		gone := func() (n int) {
			for id := range dead {
				if _, err := w.Store.Connection(t.Context(), id); errors.Is(err, hub.ErrNotFound) {
					n++
				}
			}
			return n
		}
		found := []int{}
		for range 100 {
			left.Store(calls)
			_, err := cut.Sweep(t.Context())
			if found = append(found, gone()); err == nil {
				break
			}
		}
		if last := found[len(found)-1]; last != len(dead) || len(found) < 2 {
			t.Errorf("cut off after %d calls, sweeps had found %v of %d", calls, found, len(dead))
		}
	}
}

// TestSweepThrottled: what API Gateway refuses for its rate the next sweep asks again, and so it does what failed.
func TestSweepThrottled(t *testing.T) {
	for _, fault := range []error{hub.ErrThrottled, errors.New("down")} {
		w := newWorld(t)
		ana := w.Open("ana")
		w.Clock.Pass(12 * time.Minute)
		w.Network.Fail(hubtest.Always(fault))
		for range 3 {
			if got, err := w.Sweep(t.Context()); err != nil || got.Behind != 1 || got.Gone != 0 {
				t.Errorf("%v: %+v, %v", fault, got, err)
			}
			w.Clock.Pass(time.Minute)
		}
		w.Network.Fail(hubtest.Of(hub.ErrGone, ana.Connection))
		if got, err := w.Sweep(t.Context()); err != nil || got.Behind != 0 || got.Gone != 1 {
			t.Errorf("after %v: %+v, %v", fault, got, err)
		}
	}
}

// TestSweepTellsWhenItIsDone: how many connections are open is what the alarm SweepStopped waits for.
func TestSweepTellsWhenItIsDone(t *testing.T) {
	counts := &counted{}
	w := newWorld(t, func(c *hub.Config) { c.Observers = append(c.Observers, counts) })
	w.Open("ana")
	sweep := func() []int {
		counts.open = nil
		w.Clock.Pass(12 * time.Minute)
		if _, err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		return counts.open
	}
	if got := sweep(); !slices.Equal(got, []int{1}) {
		t.Errorf("a sweep tells of %v connections", got)
	}
	w.Network.Fail(hubtest.Always(hub.ErrThrottled))
	sweep() // it is not late yet
	if got := sweep(); len(got) > 0 {
		t.Errorf("a sweep that has not come to all tells of %v connections", got)
	}
}

// counted keeps what is told of open connections.
type counted struct {
	hub.NoObserver

	open []int
}

func (c *counted) Count(m hub.Metric, n int) {
	if m == hub.ConnectionsOpen {
		c.open = append(c.open, n)
	}
}
