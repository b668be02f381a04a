package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/load"
	"github.com/bellhop-rt/bellhop/internal/local/server"
	"github.com/bellhop-rt/bellhop/internal/local/stack"
	"github.com/bellhop-rt/bellhop/internal/local/text"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

type benchCommand struct {
	Endpoint    stack.Endpoint `placeholder:"URL" help:"A bellhop dev on this machine to measure. Default: one in this process, in memory. Give that other one --quiet, --parameter RateLimit=1000000 and --parameter RateBurst=1000000, or it refuses most of the load."`
	Connections int            `placeholder:"N" help:"Connections to hold. Default: 5000, with --quick 1000."`
	Members     int            `default:"1000" help:"Members of the room that is published into."`
	Quick       bool           `help:"Less than 15 seconds instead of a minute."`
	secretFlag
}

// Help is what --help says beneath the usage.
func (benchCommand) Help() string {
	return `It stops by itself. The clients are as light as they can be, but run in this process and share the machine: the
figures are of both ends together.`
}

// Run measures and prints one page.
func (c benchCommand) Run(ctx context.Context) error { return c.measure(ctx, text.Terminal(os.Stdout)) }

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
	if free := load.OpenFiles() - 200; free > 0 && 2*max(count, c.Members) > free {
		return fmt.Errorf("%d connections need %d files at both ends, and this process may open %d: raise ulimit -n", max(count, c.Members), 2*max(count, c.Members), free)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, most, errors.New("the time is over"))
	defer cancel()
	began := time.Now()
	p := &text.Page{W: w}
	l := &load.Load{Phase: phase, Rate: func(r load.Rate) { printRate(p, r) }}
	where, how := string(c.Endpoint), "server at "+string(c.Endpoint)
	if c.Endpoint == "" {
		how = "server and clients in one process, store in memory"
		l.Held = func(n int, before, after load.MemoryUse) { printMemory(p, n, before, after) }
		url, stop, err := c.begin(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		where = url
	}
	u, err := url.Parse(where)
	if err != nil || !console.Loopback(u.Hostname()) {
		return fmt.Errorf("--endpoint must be on this machine, such as http://127.0.0.1:4000, not %q", where)
	}
	l.Dial = func(ctx context.Context, user string) (*load.Client, error) {
		return load.Dial(ctx, u.Host, c.secret(), user)
	}
	p.Sayf("bellhop bench, %s\n%s %s/%s, %s\n\n", how, runtime.Version(), runtime.GOOS, runtime.GOARCH, text.Plural(runtime.NumCPU(), "core"))
	if err := l.Run(ctx, count, c.Members); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	p.Sayf("\ntook %s\n", time.Since(began).Round(100*time.Millisecond))
	return p.Err
}

// begin runs a server in this process, on a free port.
func (c benchCommand) begin(ctx context.Context) (where string, stop func() error, err error) {
	quiet := slog.New(slog.DiscardHandler)
	memoryForTime()
	store, err := bolt.Open("", bolt.Options{Logger: quiet}) //nolint:contextcheck // it is open until it is closed
	if err != nil {
		return "", nil, err
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("listen: %w", err), store.Close())
	}
	s, err := server.Start(ctx, listener, server.Config{
		API: server.Bellhop{Store: store, Origins: []string{"*"}}, Secret: c.secret(), Local: true, Logger: quiet,
		Parameters: map[string]string{"RateLimit": "10000000", "RateBurst": "10000000"},
	})
	if err != nil {
		return "", nil, errors.Join(err, store.Close())
	}
	return s.URL, func() error { return errors.Join(s.Stop(ctx), store.Close()) }, nil
}

// printRate prints one line: how many in a second, and how long each took.
func printRate(p *text.Page, r load.Rate) {
	name, what := string(r.What), ""
	switch r.What {
	case load.Opened:
		what = "50 at a time, authorizer and $connect for each"
	case load.Echoes:
		what = text.Plural(r.Clients, "connection") + ", ping and pong, no function"
	case load.RoundTrips:
		what = text.Plural(r.Clients, "connection") + ", published, logged, pushed, answered; every client in a room of its own"
	case load.Deliveries:
		name = fmt.Sprintf("%s, %d in flight", name, r.InFlight)
		what = fmt.Sprintf("%d members; the latency is until the last member has the last of %s", r.Clients, text.Plural(r.InFlight, "message"))
	}
	at := func(q float64) string {
		return readable(r.Took[min(len(r.Took)-1, int(math.Ceil(q*float64(len(r.Took))))-1)])
	}
	p.Sayf("%-24s %9s/s   p50 %8s  p99 %8s   %s\n", name, thousands(r.PerSecond()), at(0.5), at(0.99), what)
}

func printMemory(p *text.Page, connections int, before, after load.MemoryUse) {
	each := func(now, then uint64) string {
		return fmt.Sprintf("%.1f KiB", (float64(now)-float64(then))/float64(connections)/1024)
	}
	p.Sayf("%-24s %9s heap and stacks, %s resident, for both ends, at %d connections\n", "memory per connection",
		each(after.Live, before.Live), each(after.Resident, before.Resident), connections)
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
