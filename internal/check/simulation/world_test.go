package simulation

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/rows/rowstest"
)

// world is one run. Everything but the fields under mu belongs to the goroutine that runs the agenda.
type world struct {
	settings
	seed   uint64
	rng    *rand.Rand
	start  time.Time
	agenda agenda
	count  int // events that were ever on the agenda, to keep those of one moment in order
	calm   bool
	rates  faults

	mu     sync.Mutex
	parked []*call       // calls that wait to be admitted
	ended  []*invocation // invocations that returned

	stirred     bool // a coroutine was resumed or started since the last settle
	invocations int
	live        map[int]*invocation

	sandboxes []sandbox
	store     *store
	disk      *rowstest.Disk
	folder    string // of the store's file
	gateway   *gateway
	queue     *queue
	program   *program
	owner     *owner
	devices   []*device
	ledger    *ledger
	taken     map[string]bool // what users have published under: user, room and id

	traced bool
	trace  []string
	stats  stats
}

// stats counts what a run did.
type stats struct {
	steps     int
	acts      int
	recovered int // clients of Socket.IO, after an absence
	answers   int // of clients to programs
	twins     int // second sockets that have left
	aside     int // what second sockets said that was acknowledged
	calls     int // that the application has answered
	faults    map[string]int
}

// event is one entry of the agenda.
type event struct {
	at time.Duration
	n  int
	do func()
}

// agenda is a heap by time.
type agenda []event

func (a *agenda) Len() int { return len(*a) }
func (a *agenda) Less(i, j int) bool {
	return cmp.Or(cmp.Compare((*a)[i].at, (*a)[j].at), cmp.Compare((*a)[i].n, (*a)[j].n)) < 0
}
func (a *agenda) Swap(i, j int) { (*a)[i], (*a)[j] = (*a)[j], (*a)[i] }
func (a *agenda) Push(x any)    { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	(*a)[last] = event{}
	*a = (*a)[:last]
	return e
}

func (w *world) elapsed() time.Duration { return time.Since(w.start) }

// after puts something on the agenda.
func (w *world) after(d time.Duration, do func()) {
	w.count++
	heap.Push(&w.agenda, event{w.elapsed() + max(d, 0), w.count, do})
}

// run works through the agenda until a time.
func (w *world) run(until time.Duration) {
	for len(w.agenda) > 0 && w.agenda[0].at <= until {
		e := heap.Pop(&w.agenda).(event)
		if wait := e.at - w.elapsed(); wait > 0 {
			time.Sleep(wait) //nolint:forbidigo // this moves the clock of the bubble
		}
		w.stats.steps++
		e.do()
		w.settle()
	}
	if wait := until - w.elapsed(); wait > 0 {
		time.Sleep(wait) //nolint:forbidigo // this moves the clock of the bubble
	}
}

// settle waits until every coroutine is parked or has ended, and admits the new calls in an order of their own.
func (w *world) settle() {
	for w.stirred {
		w.stirred = false
		synctest.Wait()
		w.mu.Lock()
		parked, ended := w.parked, w.ended
		w.parked, w.ended = nil, nil
		w.mu.Unlock()
		slices.SortStableFunc(parked, func(a, b *call) int {
			return cmp.Or(
				cmp.Compare(a.inv.id, b.inv.id), cmp.Compare(a.lane, b.lane), cmp.Compare(a.name, b.name), cmp.Compare(a.key, b.key),
			)
		})
		for _, c := range parked {
			w.admit(c)
		}
		slices.SortFunc(ended, func(a, b *invocation) int { return cmp.Compare(a.id, b.id) })
		for _, inv := range ended {
			w.end(inv)
		}
	}
}

// chance is true with a probability.
func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// between is a random time.
func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)+1))
}

// fault is chance, but for faults: none befalls in calm times.
func (w *world) fault(kind string, p float64) bool {
	if w.calm || !w.chance(p) {
		return false
	}
	w.stats.faults[kind]++
	return true
}

func (w *world) logf(format string, args ...any) {
	if w.traced {
		w.trace = append(w.trace, fmt.Sprintf("%11.4fs  ", w.elapsed().Seconds())+w.ledger.plain(fmt.Sprintf(format, args...)))
	}
}

// invocation is one run of a Lambda function.
type invocation struct {
	id      int
	name    string
	began   time.Duration
	charmed bool          // no fault befalls it
	chain   int           // how many jobs there were in a row with those that it does
	thawed  time.Duration // frozen until then
	cancel  context.CancelFunc
	then    func(ok bool)
	calls   []*call // admitted and not answered
	done    bool
	panic   any
	flush   []func() // what a planted bug puts off until the end

	dead bool // cut off; under world.mu
}

type invocationKey struct{}

// laneKey is of what an invocation does beside others: jobs of one batch may make the same calls at the same moment.
type laneKey struct{}

// sandbox is what invocations run in.
type sandbox struct {
	hub     *hub.Hub
	sockets *socketio.Server
}

// Timeouts of the functions, as in the template.
const (
	connectTimeout = 10 * time.Second
	messageTimeout = 29 * time.Second
	emitTimeout    = 60 * time.Second
	sweepTimeout   = 240 * time.Second
)

// invoke starts an invocation. then hears whether it returned, which it does not if it is cut off.
func (w *world) invoke(name string, timeout time.Duration, charmed bool, run func(context.Context, sandbox), then func(ok bool)) {
	w.invokeAfter(0, name, timeout, charmed, run, then)
}

// invokeAfter is invoke of a job that comes after others in a row.
func (w *world) invokeAfter(chain int, name string, timeout time.Duration, charmed bool, run func(context.Context, sandbox), then func(ok bool)) {
	w.invocations++
	inv := &invocation{id: w.invocations, name: name, began: w.elapsed(), charmed: charmed, chain: chain, then: then}
	ctx, cancel := context.WithDeadline(context.WithValue(context.Background(), invocationKey{}, inv), time.Now().Add(timeout))
	inv.cancel = cancel
	w.live[inv.id] = inv
	box := w.sandboxes[w.rng.IntN(len(w.sandboxes))]
	w.logf("invoke %d %s", inv.id, name)
	go func() {
		defer func() {
			inv.panic = recover()
			w.mu.Lock()
			w.ended = append(w.ended, inv)
			w.mu.Unlock()
		}()
		run(ctx, box)
	}()
	w.stirred = true
	w.after(timeout, func() {
		if !inv.done {
			w.stats.faults["timeout"]++
			w.kill(inv, "timed out")
		}
	})
}

func (w *world) end(inv *invocation) {
	inv.done = true
	inv.cancel()
	delete(w.live, inv.id)
	if inv.panic != nil {
		w.violatef("panic", nil, "invocation %d panicked: %v", inv.id, inv.panic)
	}
	for _, do := range inv.flush {
		if !inv.dead {
			do()
		}
	}
	w.logf("return %d %s%s", inv.id, inv.name, map[bool]string{true: ", cut off"}[inv.dead])
	if inv.then != nil {
		inv.then(!inv.dead)
	}
}

// kill cuts an invocation off: nothing that it does after this has any effect.
func (w *world) kill(inv *invocation, why string) {
	w.logf("%s %d %s", why, inv.id, inv.name)
	w.mu.Lock()
	inv.dead = true
	w.mu.Unlock()
	inv.cancel()
	calls := inv.calls
	inv.calls = nil
	for _, c := range calls {
		c.answer <- errCutOff
	}
	w.stirred = true
}

// What the wrapped calls answer when a fault befalls them.
var (
	errCutOff  = errors.New("the invocation is cut off")
	errRefused = errors.New("a fault, without effect")
	errUnknown = errors.New("a fault, after the effect")
)

// call is one call of the hub's, parked.
type call struct {
	inv    *invocation
	lane   int
	name   string
	key    string
	wait   time.Duration // a pause of its own: Sleep
	ctx    context.Context
	do     func() error
	again  bool // it was done, its answer was lost, and the store's client does it again
	answer chan error
}

// call parks the calling coroutine until do has been run, or its fault.
func (w *world) call(ctx context.Context, name, key string, wait time.Duration, do func() error) error {
	inv := ctx.Value(invocationKey{}).(*invocation)
	lane, _ := ctx.Value(laneKey{}).(int)
	c := &call{inv: inv, lane: lane, name: name, key: key, wait: wait, ctx: ctx, do: do, answer: make(chan error, 1)}
	w.mu.Lock()
	if inv.dead {
		w.mu.Unlock()
		return errCutOff
	}
	w.parked = append(w.parked, c)
	w.mu.Unlock()
	return <-c.answer
}

// admit decides when a call takes effect.
func (w *world) admit(c *call) {
	if c.inv.dead {
		c.answer <- errCutOff
		w.stirred = true
		return
	}
	w.ledger.secret(c.key)
	c.inv.calls = append(c.inv.calls, c)
	wait := c.wait + w.between(w.quick, w.usual)
	if c.inv.charmed {
		wait = c.wait + w.between(time.Millisecond, 10*time.Millisecond)
	} else {
		if w.fault("slow call", w.rates.slow) {
			wait += w.between(10*time.Millisecond, time.Second)
		}
		if w.fault("stuck call", w.rates.stuck) {
			wait += w.between(time.Second, 25*time.Second)
		}
		if w.fault("frozen sandbox", w.rates.freeze) {
			c.inv.thawed = w.elapsed() + w.between(time.Second, 25*time.Second)
			w.logf("freeze %d %s for %v", c.inv.id, c.inv.name, c.inv.thawed-w.elapsed())
		}
	}
	w.after(max(wait, c.inv.thawed-w.elapsed()), func() { w.resume(c) })
}

// resume runs a call, and lets its coroutine go on.
func (w *world) resume(c *call) {
	i := slices.Index(c.inv.calls, c)
	if i < 0 { // cut off meanwhile
		return
	}
	if thaw := c.inv.thawed - w.elapsed(); thaw > 0 {
		w.after(thaw+w.between(0, time.Millisecond), func() { w.resume(c) })
		return
	}
	if !c.again && c.repeats() && c.ctx.Err() == nil && !c.inv.charmed && w.fault("answer lost, done again", w.rates.lost) {
		w.logf("%d %s %s %s: its answer is lost", c.inv.id, c.inv.name, c.name, c.key)
		c.again = true
		_ = c.do()
		w.after(w.between(5*time.Millisecond, 300*time.Millisecond), func() { w.resume(c) })
		return
	}
	c.inv.calls = slices.Delete(c.inv.calls, i, i+1)
	err := w.perform(c)
	if w.traced {
		w.logf("%d %s %s %s: %v", c.inv.id, c.inv.name, c.name, c.key, err)
	}
	if errors.Is(err, errCutOff) {
		w.kill(c.inv, "cut off")
	}
	c.answer <- err
	w.stirred = true
}

// repeats reports whether a call is one that DynamoDB's client does again when its answer is lost: those of the log must know what they
// have done.
func (c *call) repeats() bool {
	switch c.name {
	case "Void", "Redact", "Reset", "Head":
		return true
	}
	return strings.HasPrefix(c.name, "Append: ")
}

// outlast is how long after its deadline a call may still take effect: the hub takes a position that was not written at
// for void 5 s after a later one was, and gives an Append 2 s.
const outlast = 3 * time.Second

// perform runs a call with its fault, if there is one.
func (w *world) perform(c *call) error {
	if err := c.ctx.Err(); err != nil {
		// The time of the call is over. It may be that its request was under way, or that its goroutine runs before the
		// timer that should stop it.
		deadline, _ := c.ctx.Deadline()
		switch {
		case w.calm || time.Since(deadline) > outlast || w.chance(0.4):
			return err
		case w.chance(0.5):
			_ = c.do()
			return err
		}
		return c.do()
	}
	if c.inv.charmed || c.wait > 0 {
		if w.disk.Full() {
			w.emptyDisk()
		}
		return c.do()
	}
	switch r := w.rates; {
	case w.fault("cut off before a call", r.crash):
		return errCutOff
	case w.fault("cut off after a call", r.crash):
		_ = c.do()
		return errCutOff
	case w.fault("call fails without effect", r.refuse):
		return errRefused
	case w.fault("call fails after its effect", r.unknown):
		_ = c.do()
		return errUnknown
	}
	return c.do()
}

// stop ends all that still runs.
func (w *world) stop() {
	for len(w.live) > 0 {
		for _, id := range slices.Sorted(func(yield func(int) bool) {
			for id := range w.live {
				if !yield(id) {
					return
				}
			}
		}) {
			w.live[id].then = nil
			w.kill(w.live[id], "stop")
		}
		w.settle()
	}
}

// newSandboxes makes the sandboxes that invocations run in, wired as the functions are.
func (w *world) newSandboxes(n int) {
	w.sandboxes = make([]sandbox, n)
	for i := range w.sandboxes {
		w.deploy(i, w.kinds)
	}
}

// hooks are the owner's; nil: it has none.
func (w *world) hooks() hub.Hooks {
	if !w.hooked {
		return nil
	}
	return w.owner
}

// deploy makes a sandbox anew.
func (w *world) deploy(i int, kinds hub.Kinds) {
	h, sockets := socketio.Wire(hub.Config{
		Store: w.store, Pusher: w.gateway, Queue: w.queue, Verifier: verifier{}, Kinds: kinds, Limits: w.limits,
		Sleep: func(ctx context.Context, d time.Duration) {
			_ = w.call(ctx, "Sleep", d.String(), d, func() error { return nil })
		},
		Jitter: func(limit time.Duration) time.Duration { return limit / 2 },
		Logger: slog.New(slog.DiscardHandler), Hooks: w.hooks(),
	}, w.store, w.sockets)
	w.sandboxes[i] = sandbox{h, sockets}
}
