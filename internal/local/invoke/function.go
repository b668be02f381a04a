package invoke

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/uuid"
)

// Target is a function with its code.
type Target struct {
	ID string // logical id

	bound  atomic.Pointer[bound]
	encode sync.Mutex // held from when an answer is encoded until it is copied

	calls, failed, running, nanos atomic.Int64
}

// bound is what a function is at the moment.
type bound struct {
	arn       string
	lineage   string // its name in lineages; empty: it may lead to itself
	beginning Lineage
	timeout   time.Duration
	code      Function
	plain     bool       // see answer
	keeper    Timekeeper // nil: its time is kept here
}

func newBound(arn string, timeout time.Duration, code Function) *bound {
	return &bound{arn: arn, timeout: timeout, code: code, plain: isPlain(code), keeper: timekeeper(code)}
}

// guarded has it stopped when it has led to itself too often.
func (b *bound) guarded() *bound {
	b.lineage = inLineage(b.arn)
	b.beginning, _ = Lineage("").and(b.lineage)
	return b
}

// descend gives the lineage of what it leads to. false: it may not run.
func (b *bound) descend(l Lineage) (Lineage, bool) {
	switch {
	case b.lineage == "":
		return l, true
	case l == "":
		return b.beginning, true
	}
	next, n := l.and(b.lineage)
	return next, n <= mostRecursive
}

// NewTarget is for code that is no function of the template.
func NewTarget(id string, timeout time.Duration, code Function) *Target {
	t := &Target{ID: id}
	t.bound.Store(newBound("", timeout, code))
	return t
}

// Timeout is how long the function may run.
func (t *Target) Timeout() time.Duration { return t.bound.Load().timeout }

// Call is one invocation to be run in the background.
type Call struct {
	Target  *Target
	Payload []byte
	Limit   time.Duration // how long the caller waits; the function has its own Timeout
	Cause   Cause
	// Done is called once: at the end, or when the time is up. Its error is what the function threw, or ErrNotInTime.
	Done func(out []byte, err error)
	// After is called when the function has really returned; nil if nobody needs to know.
	After func()
}

// Start runs a call.
func (s *Service) Start(c Call) {
	s.runWarm(func() {
		if c.After != nil {
			defer c.After()
		}
		b := c.Target.bound.Load()
		var may bool
		if c.Cause.Lineage, may = b.descend(c.Cause.Lineage); !may {
			c.Done(nil, ErrRecursive)
			return
		}
		ctx, limit, late := For(s.base, c.Cause), c.Limit, ErrNotInTime
		switch {
		case b.keeper == nil:
			if b.timeout <= limit {
				limit, late = b.timeout, timeoutError{b.timeout}
			}
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, b.timeout)
			defer cancel()
		case b.keeper.KeepsTime():
			limit = forever
		}
		var settled atomic.Bool
		settle := func(out []byte, err error) {
			if settled.CompareAndSwap(false, true) {
				c.Done(out, err)
			}
		}
		timer := time.AfterFunc(limit, func() { settle(nil, late) })
		defer timer.Stop()
		settle(c.Target.run(ctx, b, c.Payload))
	})
}

const forever = 1 << 62 * time.Nanosecond

// runWarm runs a job in a goroutine that has run others, if one waits: a new one would have to grow its stack first, which costs an
// eighth of a small message.
func (s *Service) runWarm(job func()) {
	select {
	case s.warm <- job:
	default:
		s.work.Go(func() { s.keepWarm(job) })
	}
}

func (s *Service) keepWarm(job func()) {
	for job != nil {
		job()
		select {
		case s.waiting <- struct{}{}:
		default: // enough are waiting
			return
		}
		select {
		case job = <-s.warm:
		case <-s.closed:
			job = nil
		}
		<-s.waiting
	}
}

// Await runs a call and waits for its result, or for the end of ctx. See [For].
func (s *Service) Await(ctx context.Context, t *Target, payload []byte, limit time.Duration) ([]byte, error) {
	return s.await(ctx, CauseOf(ctx), t, payload, limit)
}

func (s *Service) await(ctx context.Context, cause Cause, t *Target, payload []byte, limit time.Duration) ([]byte, error) {
	type result struct {
		out []byte
		err error
	}
	ch := make(chan result, 1)
	s.Start(Call{ //nolint:contextcheck // a function outlives who asked for it, as on AWS
		Target: t, Payload: payload, Limit: limit, Cause: cause, Done: func(out []byte, err error) { ch <- result{out, err} },
	})
	select {
	case r := <-ch:
		return r.out, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.base.Done(): // the function may not look at its context
		return nil, s.base.Err()
	}
}

// run is the invocation itself. A panic of the function is its error.
func (t *Target) run(ctx context.Context, b *bound, payload []byte) (out []byte, err error) {
	begin := time.Now()
	t.calls.Add(1)
	t.running.Add(1)
	defer func() {
		if p := recover(); p != nil {
			err = panicError{p}
		}
		if err != nil {
			t.failed.Add(1)
		}
		t.running.Add(-1)
		t.nanos.Add(int64(time.Since(begin)))
	}()
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: uuid.NewString(), InvokedFunctionArn: b.arn})
	return t.answer(ctx, b, payload)
}

// timeoutError is what Lambda says of a function that ran longer than its Timeout.
type timeoutError struct{ after time.Duration }

func (e timeoutError) Error() string {
	return fmt.Sprintf("Task timed out after %.2f seconds", e.after.Seconds())
}

// ErrorType is Lambda's name for it.
func (timeoutError) ErrorType() string { return "Sandbox.Timedout" }

// panicError is a function that panicked.
type panicError struct{ value any }

func (e panicError) Error() string { return fmt.Sprint(e.value) }

// errorType names an error as the Go runtime of Lambda does.
func errorType(err error) string {
	if named, ok := errors.AsType[interface {
		error
		ErrorType() string
	}](err); ok {
		return named.ErrorType()
	}
	if p, ok := errors.AsType[panicError](err); ok {
		return typeName(p.value)
	}
	return typeName(err)
}

func typeName(v any) string {
	t := reflect.TypeOf(v)
	if t == nil {
		return "nil"
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}
