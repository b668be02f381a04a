package storetest

import (
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// FanOutFigures is what one publish into a large room took.
type FanOutFigures struct {
	Members, Jobs, Posts int
	PeakHeap             uint64 // bytes in use above what was before
	Wall                 time.Duration
}

// FanOut fills a room with members, publishes one event through the hub, works off the queue as the deliver function
// does, and fails unless each member got the event exactly once. filled is called between filling and publishing.
func FanOut(tb testing.TB, store hub.Store, members int, filled func()) FanOutFigures {
	tb.Helper()
	const room = "channel:large"
	fill(tb, store, room, members)
	now := time.Now() // and stays so, since what is told late is looked up again, which is more work on a slow machine
	w := hubtest.New(tb, func(c *hub.Config) { c.Store, c.Now, c.Limits = store, func() time.Time { return now }, hub.Limits{} })
	if filled != nil {
		filled()
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan struct{})
	peak := watchHeap(done)

	began := time.Now()
	answer := w.Emit(tb.Context(), hub.PublishCommand{Rooms: []string{room}, Event: protocol.MessageNew, ID: "m1", Data: json.RawMessage(`{"content":"hi"}`)})
	if !answer.OK {
		tb.Fatalf("publish: %v", answer.Error)
	}
	jobs := work(w)
	figures := FanOutFigures{Members: members, Jobs: jobs, Wall: time.Since(began)}
	close(done)
	if heap := <-peak; heap > before.HeapInuse {
		figures.PeakHeap = heap - before.HeapInuse
	}
	got := make(map[string]int, members)
	for _, push := range w.Network.Take() {
		figures.Posts++
		got[push.Connection]++
	}
	if len(got) != members {
		tb.Errorf("%d of %d members got the event", len(got), members)
	}
	for connection, n := range got {
		if n != 1 {
			tb.Errorf("%s got the event %d times", connection, n)
		}
	}
	return figures
}

// fill writes the memberships of a room, and grows it as broadcasts would have.
func fill(tb testing.TB, store hub.Store, room string, members int) {
	tb.Helper()
	const full = 5000
	shards := 1
	for shards*full < members && shards < 64 {
		if err := store.Grow(tb.Context(), room, shards); err != nil {
			tb.Fatal(err)
		}
		shards *= 2
	}
	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	ttl := time.Now().Add(time.Hour)
	for range 32 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < members; i = int(next.Add(1)) - 1 {
				m := hub.Member{Connection: fmt.Sprintf("c%07d=", i), User: fmt.Sprint("user", i), Codec: protocol.Name, Shard: i % shards, TTL: ttl}
				if err := store.AddMember(tb.Context(), room, m); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// watchHeap samples the heap until done is closed, then gives the most it saw.
func watchHeap(done <-chan struct{}) <-chan uint64 {
	peak := make(chan uint64, 1)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var most uint64
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapInuse)
			select {
			case <-done:
				peak <- most
				return
			case <-tick.C:
			}
		}
	}()
	return peak
}

// work does jobs, eight at a time as Lambda would, until there are none.
func work(w *hubtest.World) (n int) {
	w.TB.Helper()
	for jobs := w.Queue.Take(); len(jobs) > 0; jobs = w.Queue.Take() {
		n += len(jobs)
		var wg sync.WaitGroup
		slots := make(chan struct{}, 8)
		for _, j := range jobs {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				if err := w.Work(w.TB.Context(), j.Job); err != nil {
					w.TB.Error(err)
				}
			})
		}
		wg.Wait()
	}
	return n
}
