package gateway

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// benchServer is an emulator whose functions do nothing, and n raw clients.
func benchServer(b *testing.B, replace map[string]invoke.Function) *fixture {
	b.Helper()
	return serve(b, setup{Functions: functions(replace)})
}

// upgrade opens a connection without net/http.
func upgrade(addr string) (net.Conn, error) {
	sock, err := new(net.Dialer).DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(sock, "GET /dev HTTP/1.1\r\nHost: "+addr+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		return nil, err
	}
	var buf [256]byte
	n := 0
	for !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
		m, err := sock.Read(buf[n:])
		if err != nil {
			return nil, err
		}
		n += m
	}
	if !bytes.HasPrefix(buf[:], []byte("HTTP/1.1 101")) {
		return nil, io.ErrUnexpectedEOF
	}
	return sock, nil
}

// tally counts the bytes that arrive at all clients of a benchmark.
type tally struct {
	received, target atomic.Int64
	reached          chan struct{}
}

// waitFor waits until total bytes have arrived. Spinning would keep the scheduler from looking at the network.
func (t *tally) waitFor(total int64) {
	t.target.Store(total)
	for t.received.Load() < total {
		<-t.reached
	}
}

func (t *tally) add(n int) {
	if t.received.Add(int64(n)) >= t.target.Load() {
		select {
		case t.reached <- struct{}{}:
		default:
		}
	}
}

// drain counts what arrives on sock until the benchmark ends.
func (t *tally) drain(b *testing.B, sock net.Conn) {
	b.Helper()
	done := make(chan struct{})
	b.Cleanup(func() { sock.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := sock.Read(buf)
			if err != nil {
				return
			}
			t.add(n)
		}
	}()
}

// drainers open n connections and count the bytes that arrive on them.
func drainers(b *testing.B, f *fixture, n int) *tally {
	b.Helper()
	t := &tally{reached: make(chan struct{}, 1)}
	t.target.Store(1 << 62)
	for range n {
		sock, err := upgrade(strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			b.Fatal(err)
		}
		t.drain(b, sock)
	}
	return t
}

const fanout = 1000

func ids(f *fixture) []string {
	var out []string
	for _, c := range f.Connections() {
		out = append(out, c.ID)
	}
	return out
}

var message = []byte(`{"event":"message:new","room":"channel:42","seq":58,"data":{"content":"hello, this is a message"}}`)

// BenchmarkFanout1000 posts one message to 1,000 sockets and waits for it to arrive everywhere before the next.
func BenchmarkFanout1000(b *testing.B) { benchmarkFanout(b, 1) }

// BenchmarkFanout16InFlight lets 16 messages be under way.
func BenchmarkFanout16InFlight(b *testing.B) { benchmarkFanout(b, 16) }

func benchmarkFanout(b *testing.B, inFlight int) {
	b.Helper()
	f := benchServer(b, nil)
	t := drainers(b, f, fanout)
	targets := ids(f)
	each := int64(len(NewFrame(message).wire)) * fanout
	base := t.received.Load()
	b.ResetTimer()
	for i := range b.N {
		frame := NewFrame(message)
		for _, id := range targets {
			if err := f.PostFrame(id, frame); err != nil {
				b.Fatal(err)
			}
		}
		t.waitFor(base + int64(i+2-inFlight)*each)
	}
	t.waitFor(base + int64(b.N)*each)
	b.ReportMetric(float64(b.N)*fanout/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkFanoutBare is what the machine can do: the same deliveries by nothing but writes, two at a time.
func BenchmarkFanoutBare(b *testing.B) {
	ln, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	t := &tally{reached: make(chan struct{}, 1)}
	socks := make([]net.Conn, fanout)
	for i := range socks {
		sock, err := new(net.Dialer).DialContext(b.Context(), "tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		if socks[i], err = ln.Accept(); err != nil {
			b.Fatal(err)
		}
		t.drain(b, sock)
	}
	wire := NewFrame(message).wire
	b.ResetTimer()
	for i := range b.N {
		var wg sync.WaitGroup
		for first := range 2 {
			wg.Go(func() {
				for k := first; k < fanout; k += 2 {
					_, _ = socks[k].Write(wire)
				}
			})
		}
		wg.Wait()
		t.waitFor(int64(i+1) * fanout * int64(len(wire)))
	}
	b.ReportMetric(float64(b.N)*fanout/b.Elapsed().Seconds(), "deliveries/s")
	b.StopTimer()
	for _, sock := range socks {
		sock.Close()
	}
}

// BenchmarkOpen opens connections, ten at a time and 2,000 in all before it closes them again, and reports what one costs in memory.
func BenchmarkOpen(b *testing.B) {
	f := benchServer(b, nil)
	addr := strings.TrimPrefix(f.url, "http://")
	const round = 2000
	var each int64
	for done := 0; done < b.N; done += round {
		b.StopTimer()
		socks := make([]net.Conn, min(round, b.N-done))
		before := memory()
		b.StartTimer()
		var next atomic.Int64
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				for i := next.Add(1) - 1; i < int64(len(socks)); i = next.Add(1) - 1 {
					var err error
					if socks[i], err = upgrade(addr); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		b.StopTimer()
		if done == 0 { // later rounds reuse what the first one has left
			each = (memory() - before) / int64(len(socks))
		}
		for _, s := range socks {
			if s != nil {
				s.Close()
			}
		}
		for f.Stats().Connections > 0 {
			runtime.Gosched()
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "connections/s")
	b.ReportMetric(float64(each), "B/connection") // includes the client's socket, about 1 KiB
}

func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkRoundTrip sends messages on 100 connections to a function whose answer comes back by the route response.
func BenchmarkRoundTrip(b *testing.B) {
	f := benchServer(b, map[string]invoke.Function{"message": answers(`{"statusCode":200,"body":"{\"reply\":1}"}`)})
	addr := strings.TrimPrefix(f.url, "http://")
	request := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(`{"action":"echo","id":"r1","room":"channel:42"}`))))
	answer := len(NewFrame([]byte(`{"reply":1}`)).wire)
	var next atomic.Int64
	var wg sync.WaitGroup
	socks := make([]net.Conn, 100)
	for i := range socks {
		var err error
		if socks[i], err = upgrade(addr); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for _, sock := range socks {
		wg.Go(func() {
			buf := make([]byte, answer)
			for next.Add(1) <= int64(b.N) {
				if _, err := sock.Write(request); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(sock, buf); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.StopTimer()
	for _, sock := range socks {
		sock.Close()
	}
}

// BenchmarkPostHTTP posts through the management API as a Lambda would.
func BenchmarkPostHTTP(b *testing.B) {
	f := benchServer(b, nil)
	drainers(b, f, 100)
	targets := ids(f)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	b.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	var next atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := targets[int(next.Add(1))%len(targets)]
			req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, f.url+"/dev/@connections/"+id, strings.NewReader("hello"))
			res, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				b.Error(res.Status)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
}

// BenchmarkEvent builds the event of a message.
func BenchmarkEvent(b *testing.B) {
	f := benchServer(b, nil)
	drainers(b, f, 1)
	var c *conn
	for c = range f.conns.all() {
		break
	}
	body := []byte(`{"action":"echo","id":"r1","room":"channel:42","data":{"content":"hello"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if r := f.routeFor(body); r != nil {
			c.appendMessage(nil, r.key, c.id, f.cfg.Now(), body)
		}
	}
}
