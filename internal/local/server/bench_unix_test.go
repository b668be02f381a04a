//go:build unix

package server_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

// used is the CPU time that this process has had.
func used(b *testing.B) time.Duration {
	b.Helper()
	var now syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &now); err != nil {
		b.Fatal(err)
	}
	return time.Duration(now.Utime.Nano() + now.Stime.Nano())
}

// BenchmarkRoundTrip publishes and waits for the reply, on 100 connections at once, each in a room of its own, which is acknowledged from
// memory, from a file, or from its disk. The CPU is that of both ends.
func BenchmarkRoundTrip(b *testing.B) {
	b.Run("memory", func(b *testing.B) { roundTrips(b, servertest.Bolt(b)) })
	for name, sync := range map[string]bool{"file": false, "disk": true} {
		b.Run(name, func(b *testing.B) {
			store, err := bolt.Open(filepath.Join(b.TempDir(), "bellhop.db"), bolt.Options{Sync: sync})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				if err := store.Close(); err != nil {
					b.Error(err)
				}
			})
			roundTrips(b, servertest.On(store))
		})
	}
}

func roundTrips(b *testing.B, place servertest.Place) {
	b.Helper()
	const connections = 100
	s := servertest.Start(b, place, servertest.Unlimited)
	var clients []client
	for i := range connections {
		c := dial(b, s, fmt.Sprintf("user%d", i))
		c.send(fmt.Sprintf(`{"action":"join","id":"j","room":"channel:%d"}`, i))
		c.until(`"reply":"j"`)
		clients = append(clients, c)
	}
	var next atomic.Int64
	began := used(b)
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				c.send(fmt.Sprintf(`{"action":"publish","id":"p%d","room":"channel:%d","event":"message:new","data":1}`, n, i))
				c.until(fmt.Sprintf(`"reply":"p%d"`, n))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "roundtrips/s")
	b.ReportMetric(float64((used(b)-began).Microseconds())/float64(b.N), "CPU-µs/roundtrip")
}

// BenchmarkHeartbeats holds 2,000 clients of Socket.IO that are pinged every second and answer, 240 times as often as by
// default. An operation is one ping with its pong, of whichever client: run it for some seconds.
func BenchmarkHeartbeats(b *testing.B) {
	const connections = 2000
	s := servertest.Start(b, servertest.Bolt(b), servertest.Unlimited, func(c *servertest.Config) { c.Parameters["SocketPingInterval"] = "1s" })
	var pongs atomic.Int64
	for i := range connections {
		c := dialSocket(b, s, fmt.Sprintf("user%d", i))
		go func() {
			for {
				found, err := c.next([]byte("2"))
				if err != nil {
					return
				}
				if found == 0 {
					continue
				}
				if err := c.Send("3"); err != nil { // it is over
					return
				}
				pongs.Add(1)
			}
		}()
	}
	began, first := used(b), pongs.Load()
	b.ResetTimer()
	for tick := time.Tick(10 * time.Millisecond); pongs.Load() < first+int64(b.N); {
		<-tick
	}
	pinged := float64(pongs.Load() - first)
	b.ReportMetric(pinged/b.Elapsed().Seconds(), "pings/s")
	b.ReportMetric(float64((used(b)-began).Microseconds())/pinged, "CPU-µs/ping")
}
