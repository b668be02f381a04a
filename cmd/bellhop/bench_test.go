package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/bellhop-rt/bellhop/internal/token"
)

// The benchmarks drive everything that bellhop dev runs, authorizer, store and log included, over real sockets on
// loopback. The clients are as light as they can be, but share the machine: the figures are of both together.

// rawClient is a socket that counts frames without looking into them.
type rawClient struct {
	conn   net.Conn
	reader *bufio.Reader
}

func dialRaw(b *testing.B, s *running, user string) *rawClient {
	b.Helper()
	return dialAt(b, s, "/dev", "Sec-WebSocket-Protocol: bellhop.v1, bearer."+s.token(token.Claims{User: user})+"\r\n")
}

// dialSocket connects as a client of Socket.IO does.
func dialSocket(b *testing.B, s *running, user string) *rawClient {
	b.Helper()
	c := dialAt(b, s, "/socket.io/?EIO=4&transport=websocket", "")
	c.until(b, `0{"sid"`)
	c.send(b, `40{"token":"`+s.token(token.Claims{User: user})+`"}`)
	c.until(b, `40{"sid"`)
	return c
}

func dialAt(b *testing.B, s *running, path, header string) *rawClient {
	b.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://")) //nolint:noctx // a benchmark
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", path, header)
	if err != nil {
		b.Fatal(err)
	}
	c := &rawClient{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10)}
	res, err := http.ReadResponse(c.reader, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		b.Fatalf("handshake: %v %v", res, err)
	}
	_ = res.Body.Close()
	return c
}

func (c *rawClient) send(b *testing.B, text string) {
	b.Helper()
	if _, err := c.conn.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(text))))); err != nil {
		b.Error(err)
	}
}

// next reads one frame and gives how often it holds what: a batch has several events.
func (c *rawClient) next(what []byte) (int, error) {
	head, err := c.reader.Peek(2)
	if err != nil {
		return 0, err
	}
	size, skip := int(head[1]), 2
	if size == 126 { // a frame of 64 KB or more never comes here
		if head, err = c.reader.Peek(4); err != nil {
			return 0, err
		}
		size, skip = int(binary.BigEndian.Uint16(head[2:])), 4
	}
	frame, err := c.reader.Peek(size + skip)
	if err != nil {
		return 0, err
	}
	found := bytes.Count(frame[skip:], what)
	_, err = c.reader.Discard(size + skip)
	return found, err
}

// until reads frames up to one that holds what.
func (c *rawClient) until(b *testing.B, what string) {
	b.Helper()
	for {
		found, err := c.next([]byte(what))
		if err != nil {
			b.Error(err)
			return
		}
		if found > 0 {
			return
		}
	}
}

func unlimited(c *serverConfig) {
	c.Parameters["RateLimit"], c.Parameters["RateBurst"] = "10000000", "10000000"
}

// room opens n connections that are all in one channel, and gives a counter of the messages that they get.
func room(b *testing.B, s *running, n int) (clients []*rawClient, got *atomic.Int64, wait func(total int64)) {
	b.Helper()
	got = &atomic.Int64{}
	var want atomic.Int64
	reached := make(chan struct{}, 1)
	for i := range n {
		c := dialRaw(b, s, fmt.Sprintf("user%d", i))
		c.send(b, `{"action":"join","id":"j","room":"channel:1"}`)
		c.until(b, `"reply":"j"`)
		clients = append(clients, c)
	}
	for _, c := range clients {
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
			s := start(b, openBolt(b), unlimited)
			clients, got, wait := room(b, s, members)
			got.Store(0)
			b.ResetTimer()
			sent := 0
			for sent < b.N {
				for range min(inFlight, b.N-sent) {
					clients[sent%members].send(b, message)
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
	for name, dial := range map[string]func(*testing.B, *running, string) *rawClient{"bellhop.v1": dialRaw, "socketio": dialSocket} {
		for _, many := range []int{1, 50} {
			b.Run(fmt.Sprintf("%s/at a time=%d", name, many), func(b *testing.B) { openMany(b, many, dial) })
		}
	}
}

func openMany(b *testing.B, many int, dial func(*testing.B, *running, string) *rawClient) {
	b.Helper()
	s := start(b, openBolt(b), unlimited)
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

// BenchmarkRoundTrip publishes and waits for the reply, on 100 connections at once, each in a room of its own.
func BenchmarkRoundTrip(b *testing.B) {
	const connections = 100
	s := start(b, openBolt(b), unlimited)
	var clients []*rawClient
	for i := range connections {
		c := dialRaw(b, s, fmt.Sprintf("user%d", i))
		c.send(b, fmt.Sprintf(`{"action":"join","id":"j","room":"channel:%d"}`, i))
		c.until(b, `"reply":"j"`)
		clients = append(clients, c)
	}
	var next atomic.Int64
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				c.send(b, fmt.Sprintf(`{"action":"publish","id":"p%d","room":"channel:%d","event":"message:new","data":1}`, n, i))
				c.until(b, fmt.Sprintf(`"reply":"p%d"`, n))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "roundtrips/s")
}

// BenchmarkHook publishes and waits for the reply, one after the other, with the publish hook in different places.
func BenchmarkHook(b *testing.B) {
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	defer application.Close()
	for _, c := range []struct{ name, where string }{
		{"none", ""},
		{"web server in Go", application.URL},
		{"Go function", "../../examples/hooks-go/function"},
		{"Node.js function", "../../examples/hooks-node"},
		{"Python function", "../../examples/hooks-python"},
	} {
		b.Run(c.name, func(b *testing.B) {
			where := map[string]string{}
			if c.where != "" {
				where["publish"] = c.where
			}
			s := hooked(b, openBolt(b), where, unlimited)
			client := dialRaw(b, s, "ana")
			client.send(b, `{"action":"join","id":"j","room":"channel:1"}`)
			client.until(b, `"reply":"j"`)
			publish := func(n int) {
				client.send(b, fmt.Sprintf(`{"action":"publish","id":"p%d","room":"channel:1","event":"news","data":1}`, n))
				client.until(b, fmt.Sprintf(`"reply":"p%d"`, n))
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
