//go:build unix

package main

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkHeartbeats holds 2,000 clients of Socket.IO that are pinged every second and answer, 240 times as often as by
// default. An operation is one ping with its pong.
func BenchmarkHeartbeats(b *testing.B) {
	const connections = 2000
	s := start(b, openBolt(b), unlimited, func(c *serverConfig) { c.Parameters["SocketPingInterval"] = "1s" })
	var pongs atomic.Int64
	enough := make(chan struct{})
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
				c.send(b, "3")
				if pongs.Add(1) == int64(b.N) {
					close(enough)
				}
			}
		}()
	}
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	began := time.Now()
	<-enough
	took := time.Since(began)
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	used := time.Duration(after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano())
	b.ReportMetric(float64(b.N)/took.Seconds(), "pings/s")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "CPU-µs/ping")
}
