package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/load"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// The benchmarks drive everything that bellhop dev runs, authorizer, store and log included, over real sockets on
// loopback. The clients are as light as they can be, but share the machine: the figures are of both together.

// client is a load.Client that fails the benchmark.
type client struct {
	*load.Client
	b *testing.B
}

func dial(b *testing.B, s *servertest.Server, user string) client {
	b.Helper()
	return dialAt(b, s, "/dev", "Sec-WebSocket-Protocol: bellhop.v1, bearer."+s.Token(token.Claims{User: user})+"\r\n")
}

// dialSocket connects as a client of Socket.IO does.
func dialSocket(b *testing.B, s *servertest.Server, user string) client {
	b.Helper()
	c := dialAt(b, s, "/socket.io/?EIO=4&transport=websocket", "")
	c.until(`0{"sid"`)
	c.send(`40{"token":"` + s.Token(token.Claims{User: user}) + `"}`)
	c.until(`40{"sid"`)
	return c
}

func dialAt(b *testing.B, s *servertest.Server, path, header string) client {
	b.Helper()
	c, err := load.DialAt(b.Context(), strings.TrimPrefix(s.URL, "http://"), path, header)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return client{c, b}
}

func (c client) send(text string) {
	c.b.Helper()
	if err := c.Send(text); err != nil {
		c.b.Error(err)
	}
}

// until reads frames up to one that holds what.
func (c client) until(what string) {
	c.b.Helper()
	if err := c.Until(what); err != nil {
		c.b.Error(err)
	}
}

// next reads one frame and gives how often it holds what: a batch has several events.
func (c client) next(what []byte) (int, error) {
	frame, err := c.Next()
	return bytes.Count(frame, what), err
}

// room opens n connections that are all in one channel, and gives a counter of the messages that they get.
func room(b *testing.B, s *servertest.Server, n int) (clients []client, got *atomic.Int64, wait func(total int64)) {
	b.Helper()
	got = &atomic.Int64{}
	var want atomic.Int64
	reached := make(chan struct{}, 1)
	for i := range n {
		c := dial(b, s, fmt.Sprintf("user%d", i))
		c.send(`{"action":"join","id":"j","room":"channel:1"}`)
		c.until(`"reply":"j"`)
		clients = append(clients, c)
	}
	for _, c := range clients {
		c.Large()
		go func() {
			for {
				found, err := c.next([]byte(`"message:new"`))
				if err != nil {
					return
				}
				if found > 0 && got.Add(int64(found)) >= want.Load() {
					select {
					case reached <- struct{}{}:
					default: // it is known already
					}
				}
			}
		}()
	}
	return clients, got, func(total int64) {
		want.Store(total)
		for got.Load() < total {
			<-reached
		}
	}
}

const message = `{"action":"publish","room":"channel:1","event":"message:new","data":{"content":"Good morning, everybody"}}`

// BenchmarkBroadcast publishes into a room of 1,000 sockets, one message after another or several in flight.
func BenchmarkBroadcast(b *testing.B) {
	for _, inFlight := range []int{1, 16} {
		b.Run(fmt.Sprintf("members=1000/inFlight=%d", inFlight), func(b *testing.B) {
			const members = 1000
			s := servertest.Start(b, servertest.Bolt(b), servertest.Unlimited)
			clients, got, wait := room(b, s, members)
			got.Store(0)
			b.ResetTimer()
			sent := 0
			for sent < b.N {
				for range min(inFlight, b.N-sent) {
					clients[sent%members].send(message)
					sent++
				}
				wait(int64(sent) * members)
			}
			b.ReportMetric(float64(got.Load())/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// BenchmarkOpen opens connections of both dialects, one by one and 50 at a time: until the handshake is answered, and for
// Socket.IO until the CONNECT is.
func BenchmarkOpen(b *testing.B) {
	for name, dial := range map[string]func(*testing.B, *servertest.Server, string) client{"bellhop.v1": dial, "socketio": dialSocket} {
		for _, many := range []int{1, 50} {
			b.Run(fmt.Sprintf("%s/at a time=%d", name, many), func(b *testing.B) { openMany(b, many, dial) })
		}
	}
}

func openMany(b *testing.B, many int, dial func(*testing.B, *servertest.Server, string) client) {
	b.Helper()
	s := servertest.Start(b, servertest.Bolt(b), servertest.Unlimited)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	var wg sync.WaitGroup
	slots := make(chan struct{}, many)
	for i := range b.N {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			dial(b, s, fmt.Sprintf("user%d", i))
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "connections/s")
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/float64(b.N)/1024, "KiB/connection-both-ends")
}

// BenchmarkHook publishes and waits for the reply, one after the other, with the publish hook in different places.
func BenchmarkHook(b *testing.B) {
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	defer application.Close()
	for _, c := range []struct{ name, where string }{
		{"none", ""},
		{"web server in Go", application.URL},
		{"Go function", "../../../examples/hooks-go/function"},
		{"Node.js function", "../../../examples/hooks-node"},
		{"Python function", "../../../examples/hooks-python"},
	} {
		b.Run(c.name, func(b *testing.B) {
			where := map[string]string{}
			if c.where != "" {
				where["publish"] = c.where
			}
			s := hooked(b, servertest.Bolt(b), where, servertest.Unlimited)
			client := dial(b, s, "ana")
			client.send(`{"action":"join","id":"j","room":"channel:1"}`)
			client.until(`"reply":"j"`)
			publish := func(n int) {
				client.send(fmt.Sprintf(`{"action":"publish","id":"p%d","room":"channel:1","event":"news","data":1}`, n))
				client.until(fmt.Sprintf(`"reply":"p%d"`, n))
			}
			publish(-1) // a function starts with its first question
			for n := range b.N {
				if n == 0 {
					b.ResetTimer()
				}
				publish(n)
			}
		})
	}
}
