//go:build unix

package server_test

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
)

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
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	first := pongs.Load()
	b.ResetTimer()
	for tick := time.Tick(10 * time.Millisecond); pongs.Load() < first+int64(b.N); {
		<-tick
	}
	pinged := float64(pongs.Load() - first)
	b.ReportMetric(pinged/b.Elapsed().Seconds(), "pings/s")
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	used := time.Duration(after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano())
	b.ReportMetric(float64(used.Microseconds())/pinged, "CPU-µs/ping")
}
