// Package load lets many clients at a server at once and measures what comes of it: how fast connections open and what they
// hold, round trips, deliveries to a room.
package load

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Load is clients that do the same things at the same time.
type Load struct {
	Dial  func(ctx context.Context, user string) (*Client, error)
	Phase time.Duration // how long each measurement takes

	Rate func(Rate)                                     // is told of each measurement
	Held func(connections int, before, after MemoryUse) // is told what this process uses for the connections; nil: the server is elsewhere
}

// Rate is how many there were of something in a time, and how long each took.
type Rate struct {
	What     Measured
	Clients  int // how many took part
	InFlight int // of deliveries: messages on the way at the same time
	Count    float64
	Spent    time.Duration
	Took     []time.Duration // in order
}

// Measured is what a Rate is of.
type Measured string

// What is measured.
const (
	Opened     Measured = "connections opened" // 50 at a time, authorizer and $connect for each
	Echoes     Measured = "echo"               // ping and pong, no function
	RoundTrips Measured = "acked round trips"  // published, logged, pushed, answered; every client in a room of its own
	Deliveries Measured = "deliveries"         // into one room; Took is until the last member has the last message in flight
)

// PerSecond is how many there were in a second.
func (r Rate) PerSecond() float64 { return r.Count / r.Spent.Seconds() }

// Run measures everything, with connections to hold and members of a room. Each part closes its connections.
func (l *Load) Run(ctx context.Context, connections, members int) error {
	for _, part := range []func(context.Context) error{
		func(ctx context.Context) error { return l.hold(ctx, connections) },
		l.echo,
		l.acked,
		func(ctx context.Context) error { return l.fanOut(ctx, members, 1) },
		func(ctx context.Context) error { return l.fanOut(ctx, members, 16) },
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// open opens connections, 50 at a time, with what each does first.
func (l *Load) open(ctx context.Context, count int, first func(i int, c *Client) error) ([]*Client, []time.Duration, error) {
	clients, took := make([]*Client, count), make([]time.Duration, count)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(50)
	for i := range count {
		group.Go(func() error {
			began := time.Now()
			c, err := l.Dial(ctx, "bench"+strconv.Itoa(i))
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

func closeAll(clients []*Client) {
	for _, c := range clients {
		if c != nil {
			_ = c.conn.Close()
		}
	}
}

// hold opens many connections and looks at the memory that they take.
func (l *Load) hold(ctx context.Context, count int) error {
	before := memory()
	began := time.Now()
	clients, took, err := l.open(ctx, count, nil)
	if err != nil {
		return fmt.Errorf("open connections: %w", err)
	}
	defer closeAll(clients)
	l.report(Rate{What: Opened, Clients: count, Count: float64(count), Spent: time.Since(began), Took: took})
	if l.Held != nil {
		l.Held(count, before, memory())
	}
	return nil
}

// MemoryUse is what this process uses, in bytes, after a collection.
type MemoryUse struct {
	Live     uint64 // heap and stacks
	Resident uint64 // 0 where there is no /proc
}

func memory() MemoryUse {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return MemoryUse{Live: m.HeapAlloc + m.StackInuse, Resident: resident()}
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

// OpenFiles is how many files this process may open, where there is a /proc; otherwise 0.
func OpenFiles() int {
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

const talkers = 100

// echo asks for pongs, which the API answers without a function.
func (l *Load) echo(ctx context.Context) error {
	clients, _, err := l.open(ctx, talkers, nil)
	if err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	defer closeAll(clients)
	return l.talk(clients, Echoes, func(c *Client, _, _ int) error {
		if err := c.Send(`{"action":"ping"}`); err != nil {
			return err
		}
		return c.Until(`"pong"`)
	})
}

// acked publishes and waits for the reply, each in a room of its own.
func (l *Load) acked(ctx context.Context) error {
	clients, _, err := l.open(ctx, talkers, func(i int, c *Client) error { return c.Join("channel:bench" + strconv.Itoa(i)) })
	if err != nil {
		return fmt.Errorf("round trips: %w", err)
	}
	defer closeAll(clients)
	return l.talk(clients, RoundTrips, func(c *Client, i, n int) error {
		id := fmt.Sprintf("%d-%d-%d", time.Now().UnixNano(), i, n)
		if err := c.Send(fmt.Sprintf(`{"action":"publish","id":%q,"room":"channel:bench%d","event":"message:new","data":1}`, id, i)); err != nil {
			return err
		}
		return c.Until(`"reply":"` + id + `"`)
	})
}

// talk lets all clients do something again and again, for the time of a phase.
func (l *Load) talk(clients []*Client, what Measured, once func(c *Client, i, n int) error) error {
	took := make([][]time.Duration, len(clients))
	var group errgroup.Group
	began := time.Now()
	for i, c := range clients {
		group.Go(func() error {
			for n := 0; time.Since(began) < l.Phase; n++ {
				start := time.Now()
				if err := once(c, i, n); err != nil {
					return fmt.Errorf("%s: %w", what, err)
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
	l.report(Rate{What: what, Clients: len(clients), Count: float64(len(all)), Spent: spent, Took: all})
	return nil
}

// audience counts the messages that the members of a room get.
type audience struct {
	got     atomic.Int64
	want    atomic.Int64
	reached chan struct{}
	readers sync.WaitGroup
}

// fanOut publishes into a room of many members, with some messages on the way at the same time.
func (l *Load) fanOut(ctx context.Context, members, inFlight int) error {
	room := fmt.Sprintf("channel:bench-fan-out-%d-%d", inFlight, time.Now().UnixNano())
	clients, _, err := l.open(ctx, members, func(_ int, c *Client) error { return c.Join(room) })
	if err != nil {
		return fmt.Errorf("fan-out: %w", err)
	}
	r := &audience{reached: make(chan struct{}, 1)}
	failed := make(chan error, 1)
	for _, c := range clients {
		c.Large()
		r.readers.Go(func() { r.read(c, failed) })
	}
	defer r.readers.Wait()
	defer closeAll(clients)
	var took []time.Duration
	began, sent := time.Now(), 0
	for time.Since(began) < l.Phase {
		start := time.Now()
		for range inFlight {
			text := fmt.Sprintf(`{"action":"publish","room":%q,"event":"message:new","data":{"content":"Good morning, everybody"}}`, room)
			if err := clients[sent%members].Send(text); err != nil {
				return fmt.Errorf("fan-out: %w", err)
			}
			sent++
		}
		if err := r.wait(ctx, int64(sent)*int64(members), failed); err != nil {
			return fmt.Errorf("fan-out: %w", err)
		}
		took = append(took, time.Since(start))
	}
	l.report(Rate{
		What: Deliveries, Clients: members, InFlight: inFlight, Count: float64(sent) * float64(members), Spent: time.Since(began), Took: took,
	})
	return nil
}

func (r *audience) read(c *Client, failed chan<- error) {
	for {
		frame, err := c.Next()
		if err == nil && bytes.Contains(frame, []byte(`"ok":false`)) {
			err = refused(frame)
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

func (r *audience) wait(ctx context.Context, total int64, failed <-chan error) error {
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

func (l *Load) report(r Rate) {
	slices.Sort(r.Took)
	l.Rate(r)
}
