package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sync/errgroup"

	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
	"github.com/bellhop-rt/bellhop/internal/token"
)

type benchCommand struct {
	Endpoint    string `placeholder:"URL" help:"A bellhop dev on this machine to measure. Default: one in this process, in memory. Give that other one --quiet, --parameter RateLimit=1000000 and --parameter RateBurst=1000000, or it refuses most of the load."`
	Connections int    `placeholder:"N" help:"Connections to hold. Default: 5000, with --quick 1000."`
	Members     int    `default:"1000" help:"Members of the room that is published into."`
	Quick       bool   `help:"Less than 15 seconds instead of a minute."`
	secretFlag
}

// Help is what --help says beneath the usage.
func (benchCommand) Help() string {
	return `It stops by itself. The clients are as light as they can be, but run in this process and share the machine: the
figures are of both ends together.`
}

// Run measures and prints one page.
func (c benchCommand) Run(ctx context.Context) error { return c.measure(ctx, os.Stdout) }

// bench is one run.
type bench struct {
	page

	dial   func(ctx context.Context, user string) (*benchClient, error)
	inside bool          // the server is in this process
	phase  time.Duration // how long each measurement takes
}

func (c benchCommand) measure(ctx context.Context, w io.Writer) (err error) {
	most, phase, count := 60*time.Second, 7*time.Second, 5000
	if c.Quick {
		most, phase, count = 15*time.Second, time.Second, 1000
	}
	if c.Connections > 0 {
		count = c.Connections
	}
	if c.Members < 1 {
		return fmt.Errorf("a room cannot have %d members", c.Members)
	}
	if free := openFiles() - 200; free > 0 && 2*max(count, c.Members) > free {
		return fmt.Errorf("%d connections need %d files at both ends, and this process may open %d: raise ulimit -n", max(count, c.Members), 2*max(count, c.Members), free)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, most, errors.New("the time is over"))
	defer cancel()
	began := time.Now()
	b := &bench{page: page{w: w}, phase: phase, inside: c.Endpoint == ""}
	where := c.Endpoint
	if b.inside {
		url, stop, err := c.begin(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		where = url
	}
	u, err := url.Parse(where)
	if err != nil || !loopback(u.Hostname()) {
		return fmt.Errorf("--endpoint must be on this machine, such as http://127.0.0.1:4000, not %q", where)
	}
	b.dial = func(ctx context.Context, user string) (*benchClient, error) {
		return dialBench(ctx, u.Host, c.secret(), user)
	}
	b.sayf("bellhop bench, %s\n%s %s/%s, %s\n\n", map[bool]string{true: "server and clients in one process, store in memory", false: "server at " + where}[b.inside],
		runtime.Version(), runtime.GOOS, runtime.GOARCH, plural(runtime.NumCPU(), "core"))
	if err := b.run(ctx, count, c.Members); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	b.sayf("\ntook %s\n", time.Since(began).Round(100*time.Millisecond))
	return b.err
}

// begin runs a server in this process, on a free port.
func (c benchCommand) begin(ctx context.Context) (where string, stop func() error, err error) {
	quiet := slog.New(slog.DiscardHandler)
	store, err := bolt.Open("", bolt.Options{Logger: quiet}) //nolint:contextcheck // it is open until it is closed
	if err != nil {
		return "", nil, err
	}
	s, err := newServer(ctx, serverConfig{
		Store: store, Secret: c.secret(), Origins: []string{"*"}, Minting: true, Logger: quiet,
		Parameters: map[string]string{"RateLimit": "10000000", "RateBurst": "10000000"},
	})
	if err != nil {
		return "", nil, errors.Join(err, store.Close())
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("listen: %w", err), store.Close())
	}
	if err := s.start(ctx); err != nil {
		return "", nil, errors.Join(err, listener.Close(), store.Close())
	}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- serve(serving, listener, s) }()
	return "http://" + listener.Addr().String(), func() error {
		end()
		return errors.Join(<-done, store.Close())
	}, nil
}

// run measures everything. Each part closes its connections.
func (b *bench) run(ctx context.Context, count, members int) error {
	for _, part := range []func(context.Context) error{
		func(ctx context.Context) error { return b.hold(ctx, count) },
		b.echo,
		b.acked,
		func(ctx context.Context) error { return b.fanOut(ctx, members, 1) },
		func(ctx context.Context) error { return b.fanOut(ctx, members, 16) },
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// benchClient is a socket that looks no closer at frames than it must.
type benchClient struct {
	conn   net.Conn
	reader *bufio.Reader
}

// benchBuffer is the most that the clients hold of a frame: batches are 32 KB at the most.
const benchBuffer = 40 << 10

func dialBench(ctx context.Context, host string, secret []byte, user string) (*benchClient, error) {
	signed, err := token.Sign(secret, token.Claims{User: user, Grants: allGrants(), TTL: time.Hour})
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("%w (is bellhop dev running?)", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	_, err = fmt.Fprintf(conn, "GET /dev HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s, %s%s\r\n\r\n",
		host, protocol.Name, token.Bearer, signed)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("handshake: %w", err), conn.Close())
	}
	c := &benchClient{conn: conn, reader: bufio.NewReaderSize(conn, 1<<10)}
	res, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("handshake: %w", err), conn.Close())
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil, errors.Join(fmt.Errorf("the handshake was answered %s", res.Status), conn.Close())
	}
	return c, nil
}

// large gives the client space for frames of any size.
func (c *benchClient) large() { c.reader = bufio.NewReaderSize(c.reader, benchBuffer) }

func (c *benchClient) send(text string) error {
	b, err := ws.CompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(text))))
	if err != nil {
		return err
	}
	_, err = c.conn.Write(b)
	return err
}

// next reads a frame. It is valid until the next one is read.
func (c *benchClient) next() ([]byte, error) {
	head, err := c.reader.Peek(2)
	if err != nil {
		return nil, err
	}
	if ws.OpCode(head[0]&0xf) == ws.OpClose {
		return nil, io.EOF
	}
	size, skip := int(head[1]), 2
	if size == 126 { // frames of 64 KB and more never come here
		if head, err = c.reader.Peek(4); err != nil {
			return nil, err
		}
		size, skip = int(binary.BigEndian.Uint16(head[2:])), 4
	}
	if _, err := c.reader.Discard(skip); err != nil {
		return nil, err
	}
	frame, err := c.reader.Peek(size)
	if err != nil {
		return nil, err
	}
	_, err = c.reader.Discard(size)
	return frame, err
}

// until reads up to a frame that holds what. A refusal is an error.
func (c *benchClient) until(what string) error {
	for {
		frame, err := c.next()
		if err != nil {
			return err
		}
		if bytes.Contains(frame, []byte(`"ok":false`)) {
			return refusedBench(frame)
		}
		if bytes.Contains(frame, []byte(what)) {
			return nil
		}
	}
}

func refusedBench(frame []byte) error {
	if bytes.Contains(frame, []byte(protocol.CodeRateLimited)) {
		return errors.New("the server limits the rate of actions: start it with --parameter RateLimit=1000000 --parameter RateBurst=1000000")
	}
	return fmt.Errorf("the server refused: %s", frame)
}

func (c *benchClient) join(room string) error {
	if err := c.send(`{"action":"join","id":"j","room":"` + room + `"}`); err != nil {
		return err
	}
	return c.until(`"reply":"j"`)
}

// open opens connections, 50 at a time, with what each does first.
func (b *bench) open(ctx context.Context, count int, first func(i int, c *benchClient) error) ([]*benchClient, []time.Duration, error) {
	clients, took := make([]*benchClient, count), make([]time.Duration, count)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(50)
	for i := range count {
		group.Go(func() error {
			began := time.Now()
			c, err := b.dial(ctx, "bench"+strconv.Itoa(i))
			if err != nil {
				return err
			}
			clients[i], took[i] = c, time.Since(began)
			if deadline, ok := ctx.Deadline(); ok {
				_ = c.conn.SetDeadline(deadline)
			}
			if first != nil {
				return first(i, c)
			}
			return nil
		})
	}
	err := group.Wait()
	if err != nil {
		closeAll(clients)
	}
	return clients, took, err
}

func closeAll(clients []*benchClient) {
	for _, c := range clients {
		if c != nil {
			_ = c.conn.Close()
		}
	}
}

// hold opens many connections and looks at the memory that they take.
func (b *bench) hold(ctx context.Context, count int) error {
	before := memory()
	began := time.Now()
	clients, took, err := b.open(ctx, count, nil)
	if err != nil {
		return fmt.Errorf("open connections: %w", err)
	}
	defer closeAll(clients)
	b.report("connections opened", float64(count), time.Since(began), took, "50 at a time, authorizer and $connect for each")
	if b.inside {
		after := memory()
		each := func(now, then uint64) string {
			return fmt.Sprintf("%.1f KiB", (float64(now)-float64(then))/float64(count)/1024)
		}
		b.sayf("%-24s %9s heap and stacks, %s resident, for both ends, at %d connections\n", "memory per connection",
			each(after.live, before.live), each(after.resident, before.resident), count)
	}
	return nil
}

// memoryUse is what this process uses, after a collection.
type memoryUse struct{ live, resident uint64 }

func memory() memoryUse {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memoryUse{live: m.HeapAlloc + m.StackInuse, resident: resident()}
}

// resident is the VmRSS of this process where there is a /proc, otherwise 0.
func resident() uint64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	var kilobytes uint64
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		return 0
	}
	return kilobytes << 10
}

// openFiles is how many files this process may open, where there is a /proc; otherwise 0.
func openFiles() int {
	b, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "Max open files")
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil {
		return 0
	}
	return n
}

const benchTalkers = 100

// echo asks for pongs, which the API answers without a function.
func (b *bench) echo(ctx context.Context) error {
	clients, _, err := b.open(ctx, benchTalkers, nil)
	if err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	defer closeAll(clients)
	return b.talk(clients, "echo", "ping and pong, no function", func(c *benchClient, _, _ int) error {
		if err := c.send(`{"action":"ping"}`); err != nil {
			return err
		}
		return c.until(`"pong"`)
	})
}

// acked publishes and waits for the reply, each in a room of its own.
func (b *bench) acked(ctx context.Context) error {
	clients, _, err := b.open(ctx, benchTalkers, func(i int, c *benchClient) error { return c.join("channel:bench" + strconv.Itoa(i)) })
	if err != nil {
		return fmt.Errorf("round trips: %w", err)
	}
	defer closeAll(clients)
	return b.talk(clients, "acked round trips", "published, logged, pushed, answered; every client in a room of its own", func(c *benchClient, i, n int) error {
		id := fmt.Sprintf("%d-%d-%d", time.Now().UnixNano(), i, n)
		if err := c.send(fmt.Sprintf(`{"action":"publish","id":%q,"room":"channel:bench%d","event":"message:new","data":1}`, id, i)); err != nil {
			return err
		}
		return c.until(`"reply":"` + id + `"`)
	})
}

// talk lets all clients do something again and again, for the time of a phase.
func (b *bench) talk(clients []*benchClient, name, what string, once func(c *benchClient, i, n int) error) error {
	took := make([][]time.Duration, len(clients))
	var group errgroup.Group
	began := time.Now()
	for i, c := range clients {
		group.Go(func() error {
			for n := 0; time.Since(began) < b.phase; n++ {
				start := time.Now()
				if err := once(c, i, n); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				took[i] = append(took[i], time.Since(start))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	spent, all := time.Since(began), slices.Concat(took...)
	b.report(name, float64(len(all)), spent, all, plural(len(clients), "connection")+", "+what)
	return nil
}

// benchRoom counts the messages that the members of a room get.
type benchRoom struct {
	got     atomic.Int64
	want    atomic.Int64
	reached chan struct{}
	readers sync.WaitGroup
}

// fanOut publishes into a room of many members, with some messages on the way at the same time.
func (b *bench) fanOut(ctx context.Context, members, inFlight int) error {
	room := fmt.Sprintf("channel:bench-fan-out-%d-%d", inFlight, time.Now().UnixNano())
	clients, _, err := b.open(ctx, members, func(_ int, c *benchClient) error { return c.join(room) })
	if err != nil {
		return fmt.Errorf("fan-out: %w", err)
	}
	r := &benchRoom{reached: make(chan struct{}, 1)}
	failed := make(chan error, 1)
	for _, c := range clients {
		c.large()
		r.readers.Go(func() { r.read(c, failed) })
	}
	defer r.readers.Wait()
	defer closeAll(clients)
	var took []time.Duration
	began, sent := time.Now(), 0
	for time.Since(began) < b.phase {
		start := time.Now()
		for range inFlight {
			text := fmt.Sprintf(`{"action":"publish","room":%q,"event":"message:new","data":{"content":"Good morning, everybody"}}`, room)
			if err := clients[sent%members].send(text); err != nil {
				return fmt.Errorf("fan-out: %w", err)
			}
			sent++
		}
		if err := r.wait(ctx, int64(sent)*int64(members), failed); err != nil {
			return fmt.Errorf("fan-out: %w", err)
		}
		took = append(took, time.Since(start))
	}
	b.report(fmt.Sprintf("deliveries, %d in flight", inFlight), float64(sent)*float64(members), time.Since(began), took,
		fmt.Sprintf("%d members; the latency is until the last member has the last of %s", members, plural(inFlight, "message")))
	return nil
}

func (r *benchRoom) read(c *benchClient, failed chan<- error) {
	for {
		frame, err := c.next()
		if err == nil && bytes.Contains(frame, []byte(`"ok":false`)) {
			err = refusedBench(frame)
		}
		if err != nil {
			select {
			case failed <- err:
			default: // somebody else said so
			}
			return
		}
		found := int64(bytes.Count(frame, []byte(`"event":"message:new"`)))
		if found > 0 && r.got.Add(found) >= r.want.Load() {
			select {
			case r.reached <- struct{}{}:
			default: // it is known already
			}
		}
	}
}

func (r *benchRoom) wait(ctx context.Context, total int64, failed <-chan error) error {
	r.want.Store(total)
	for r.got.Load() < total {
		select {
		case <-r.reached:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// report prints one line: how many in a second, and how long each took.
func (b *bench) report(name string, n float64, spent time.Duration, took []time.Duration, what string) {
	slices.Sort(took)
	at := func(q float64) string {
		return readable(took[min(len(took)-1, int(math.Ceil(q*float64(len(took))))-1)])
	}
	b.sayf("%-24s %9s/s   p50 %8s  p99 %8s   %s\n", name, thousands(n/spent.Seconds()), at(0.5), at(0.99), what)
}

func readable(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// thousands is a number with commas.
func thousands(n float64) string {
	digits := strconv.FormatInt(int64(math.Round(n)), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
