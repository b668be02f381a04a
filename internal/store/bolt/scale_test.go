package bolt_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
	"github.com/bellhop-rt/bellhop/internal/store/storetest"
)

// TestLargeRooms publishes into rooms of up to 100,000 members.
func TestLargeRooms(t *testing.T) {
	for _, members := range []int{10, 100, 1000, 10_000, 100_000} {
		store, err := bolt.Open("", bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f := storetest.FanOut(t, store, members, nil)
		t.Logf("%6d members: %4d jobs, %6d posts, %5.1f MB heap, %v", f.Members, f.Jobs, f.Posts, float64(f.PeakHeap)/1e6, f.Wall.Round(time.Millisecond))
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSweepOfManyConnections has two sweeps at once walk 100,000 connections, of which every tenth is gone.
func TestSweepOfManyConnections(t *testing.T) {
	const connections = 100_000
	store, err := bolt.Open("", bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	now := time.Now()
	for i := range connections {
		c := hub.Connection{
			ID: fmt.Sprintf("c%07d=", i), User: fmt.Sprint("user", i%5000), Codec: protocol.Name,
			Rooms:       map[string]int{"user:" + fmt.Sprint("user", i%5000): 0},
			ConnectedAt: now.Add(-time.Hour), LastSeen: now.Add(-30 * time.Minute), Expires: now.Add(time.Hour), TTL: now.Add(time.Hour),
		}
		if i%10 == 0 {
			c.ID = "gone" + c.ID
		}
		if err := store.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	aws := &partlyGone{}
	h := hub.New(hub.Config{Store: store, Pusher: aws, Queue: aws, Limits: hub.Limits{Asks: 1_000_000}})
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		gone int64
	)
	began := time.Now()
	for range 2 {
		wg.Go(func() {
			found, err := h.Sweep(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			gone = max(gone, found.Gone+found.Unfinished)
		})
	}
	wg.Wait()
	t.Logf("two sweeps of %d connections: %v", connections, time.Since(began).Round(time.Millisecond))
	found, err := h.Sweep(t.Context())
	if err != nil || found.Connections != connections-connections/10 || found.Gone != 0 || gone == 0 {
		t.Errorf("afterwards: %+v, %v; a sweep found %d gone", found, err, gone)
	}
}

// partlyGone knows by the id which connections are gone.
type partlyGone struct{ hubtest.Nowhere }

func (partlyGone) Alive(_ context.Context, connection string) (bool, error) {
	return !strings.HasPrefix(connection, "gone"), nil
}
