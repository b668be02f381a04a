// Package runtimeapi runs Lambda functions as child processes that speak the Lambda Runtime API (version 2018-06-01): the very
// bootstrap binaries that are deployed, and Node.js and Python handlers by small runtimes of its own. It follows "Using the Lambda
// runtime API for custom runtimes" and "Lambda execution environment lifecycle" of the AWS Lambda developer guide.
//
// How a call goes:
//
//  1. [Function.Invoke] takes the warm process that was used last. If all are busy it starts another, up to [Config].Concurrency, and
//     takes whichever is free first. Calls wait in order, as long as their context allows.
//  2. Each process has an HTTP server of its own on a loopback port, so the port says which process is speaking. The process asks for
//     /invocation/next, which is held until there is a call, and posts to /invocation/{id}/response or /error.
//  3. The caller has its answer when the process asks for the next invocation: only then the process is free again, and the next
//     call of the same caller finds it. A process that is slow to ask delays its caller by 100 ms at most.
//  4. A process that exits fails the call it had and is replaced by the next call. One that is over its time is killed, with all that
//     it started.
//
// What Lambda does and this does not: memory is not limited, nothing is frozen between calls, files are not read-only, layers are where
// they are and not in /opt, there are no external extensions, and the AWS SDKs that Lambda's Node.js and Python runtimes bring along have
// to be installed, or given by [Config].SDK.
package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// Lambda's quotas and defaults.
const (
	defaultTimeout = 3 * time.Second
	defaultMemory  = 128
	initTimeout    = 10 * time.Second
	maxPayload     = 6 << 20 // of a synchronous invocation, in either direction
)

const (
	untimed            = 24 * time.Hour
	defaultConcurrency = 10
	defaultIdle        = 10 * time.Minute
	linger             = 100 * time.Millisecond // for the process to ask for its next invocation
	stopGrace          = 2 * time.Second        // between SIGTERM and SIGKILL
	minBackoff         = 100 * time.Millisecond // after a process that did not start
	maxBackoff         = 2 * time.Second        // short: somebody is mending it and tries again
)

// Config describes one function. Name, and what its Runtime needs, are required; other zero values are Lambda's defaults.
type Config struct {
	Name string
	// Runtime is the template's: "provided.al2023" (also "") runs Dir/bootstrap, "go1.x" runs Dir/Handler, "nodejs22.x" and
	// "python3.13" run Handler in the node and python3 of PATH, whatever their version.
	Runtime string
	// Handler is "file.method" for Node.js and "module.function" for Python.
	Handler string
	// Dir is where bootstrap or the handler's file is: LAMBDA_TASK_ROOT and the working directory.
	Dir string
	// Command is the program and its arguments, instead of what Runtime says.
	Command []string
	// Arguments are those of node or python3, in front of the runtime's script.
	Arguments []string
	// Layers are folders with the content of layers, in the template's order: of several that have a thing, the last is taken.
	Layers []string
	// SDK is a folder that brings along what Lambda's runtime does: node_modules or Python packages in it are found if the function has
	// no own.
	SDK string
	// Env are the function's own variables; they win over all others. Of the environment of this program a function gets PATH, HOME
	// and the few more that programs need to run, and nothing else.
	Env map[string]string
	// Memory is told to the function, in MB; it is not enforced.
	Memory int
	// Timeout is counted from when a process has the event, so it does not include a cold start.
	Timeout time.Duration
	// Untimed is for who looks at the function in a debugger: neither its calls nor its start end for their time.
	Untimed bool
	// Concurrency is how many processes there may be; default 10. Further calls wait.
	Concurrency int
	// IdleTimeout ends a process that had no call for so long; default 10 minutes.
	IdleTimeout time.Duration
	// BodyTime is how long a process may take to send what it has to say; default Timeout and [body.Time], since an answer may be
	// streamed for as long as the function runs.
	BodyTime time.Duration
	// ARN is the function's; by default one is made up.
	ARN string
	// Redirect maps host patterns to base URLs: what a Node.js or Python handler sends to such a host by HTTP or HTTPS goes to the
	// base URL, its path put before the request's own, so that code that builds https://{api}.execute-api.{region}.amazonaws.com
	// talks to a server on this machine. A * stands for any characters. A pattern is compared to "host" and to "host:port"; of several
	// that match, the longest counts. Base URLs are http: only.
	//
	// In Node.js it works for node:http, node:https and the global fetch; in Python for http.client and all that is built on it, as
	// urllib, requests and boto3 are. Other runtimes are to be told by AWS_ENDPOINT_URL in Env.
	Redirect map[string]string
	// Logger gets the lines that the function writes (Info), its failures (Warn) and what Lambda would put into REPORT (Debug).
	Logger *slog.Logger
	// Output is told of every line that the function writes, in the place of Logger; it must be safe for concurrent use.
	Output func(Line)
	// Observe is told of every call, in the caller's goroutine: it must be safe for concurrent use.
	Observe func(Report)
}

// Line is what a function wrote, without its end.
type Line struct {
	Stream    string // stdout or stderr
	RequestID string // of the call that its process had when the line came; empty if it had none
	Text      string
}

// Report is what is known of one call when it is over.
type Report struct {
	RequestID string
	// Cold is set if a process was started and this was its first call; Init is then how long that start took.
	Cold bool
	Init time.Duration
	// Duration is the time the process had the event, 0 if none got it.
	Duration time.Duration
	// MaxMemory is the peak of the process in bytes, 0 where it is not known: away from Linux, or when it is gone.
	MaxMemory int64
	Err       error
}

// Stats are counts for people who watch.
type Stats struct {
	Processes int // running, whatever they do
	Idle      int // of those, without a call
	Waiting   int // calls that wait for a process

	Invocations, Errors, Starts int64 // since New
}

// Error is a call that failed: what the function reported, or what Lambda would say of it.
type Error struct {
	// Type is errorType: the name of what was thrown, or one of Lambda's own as Runtime.ExitError or Sandbox.Timedout.
	Type string
	// Message is errorMessage.
	Message string
	// Payload is the JSON that the function sent, with its stack trace; nil if it sent none.
	Payload []byte

	cause error
}

// Error is the message alone: it becomes errorMessage.
func (e *Error) Error() string { return e.Message }

// ErrorType is Lambda's errorType.
func (e *Error) ErrorType() string { return e.Type }

// Unwrap is the end of the caller's context, if that was the reason.
func (e *Error) Unwrap() error { return e.cause }

// Function is one Lambda function in child processes, which are started on demand, kept warm, and run one call at a time each. Its
// methods are safe for concurrent use.
type Function struct {
	cfg       Config
	log       *slog.Logger
	command   []string
	env       []string
	scripts   func() (string, error) // where the runtimes of this package were written
	initLimit time.Duration
	patience  time.Duration // of a call that no process has

	mu        sync.Mutex
	processes map[*process]struct{}
	idle      []*process    // the last one was used last
	waiting   []*invocation // in order
	starting  int
	failures  int       // starts in a row that failed
	notBefore time.Time // the next start
	stats     Stats
	scriptDir string
	closed    bool

	running sync.WaitGroup
}

// New prepares a function; nothing runs before the first call. The error says what the function needs and this machine has not.
func New(cfg Config) (*Function, error) {
	if err := cfg.defaults(); err != nil {
		return nil, fmt.Errorf("function %s: %w", cfg.Name, err)
	}
	f := &Function{cfg: cfg, log: cfg.Logger.With("function", cfg.Name), processes: map[*process]struct{}{}}
	// Lambda gives up on an init after 10 seconds and repeats it with the function's own Timeout: the longer of the two is what a
	// function can have.
	f.initLimit = max(initTimeout, cfg.Timeout)
	f.patience = f.initLimit + cfg.Timeout
	f.scripts = sync.OnceValues(f.writeScripts)
	var err error
	if f.command, err = f.resolve(); err != nil {
		return nil, fmt.Errorf("function %s: %w", cfg.Name, err)
	}
	if f.env, err = f.environment(os.Environ()); err != nil {
		return nil, fmt.Errorf("function %s: %w", cfg.Name, err)
	}
	return f, nil
}

func (c *Config) defaults() error {
	if c.Name == "" {
		return errors.New("it has no name")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return fmt.Errorf("find %s: %w", c.Dir, err)
	}
	c.Dir = dir
	for pattern, base := range c.Redirect {
		if u, err := url.Parse(base); err != nil || u.Scheme != "http" || u.Host == "" || pattern == "" {
			return fmt.Errorf("redirect of %q: %q is no http: URL", pattern, base)
		}
	}
	if c.Memory <= 0 {
		c.Memory = defaultMemory
	}
	switch {
	case c.Untimed:
		c.Timeout = untimed
	case c.Timeout <= 0:
		c.Timeout = defaultTimeout
	}
	if c.Concurrency <= 0 {
		c.Concurrency = defaultConcurrency
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = defaultIdle
	}
	if c.ARN == "" {
		c.ARN = "arn:aws:lambda:" + defaultRegion + ":123456789012:function:" + c.Name
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// invocation is one call. All but its constants is guarded by Function.mu.
type invocation struct {
	id, arn, trace, client string
	payload                []byte
	called                 time.Time
	limit                  time.Time // the caller's, zero if it has none
	result                 chan result
	done                   chan struct{} // closed when its process is free or gone

	process   *process
	cold      bool
	began     time.Time // when the process got it
	ended     time.Time
	deadline  time.Time
	timer     *time.Timer
	delivered bool
	settled   bool
}

type result struct {
	out []byte
	err error
}

// Invoke runs the function once. If it fails the error is an [*Error]. When ctx ends, or the function's Timeout, its process is killed.
// A request id, ARN and client context are taken from ctx if it has those of lambdacontext.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	inv := newInvocation(ctx, f.cfg.ARN, payload)
	r := f.run(ctx, inv)
	f.report(ctx, inv, r.err)
	return r.out, r.err
}

func (f *Function) run(ctx context.Context, inv *invocation) result {
	f.acquire(inv, ctx.Err()) //nolint:contextcheck // a process outlives the call that it was started for
	patience := time.NewTimer(f.patience)
	defer patience.Stop()
	var r result
	select {
	case r = <-inv.result:
	case <-ctx.Done():
		f.abandon(inv, ctx.Err())
		r = <-inv.result
	case <-patience.C:
		f.giveUp(inv)
		r = <-inv.result
	}
	f.mu.Lock()
	assigned := inv.process != nil
	f.mu.Unlock()
	if assigned {
		timer := time.NewTimer(linger)
		defer timer.Stop()
		select {
		case <-inv.done:
		case <-timer.C:
		}
	}
	return r
}

func newInvocation(ctx context.Context, arn string, payload []byte) *invocation {
	inv := &invocation{
		id: newID(), arn: arn, trace: newTrace() + lineageOf(ctx), payload: payload, called: time.Now(),
		result: make(chan result, 1), done: make(chan struct{}),
	}
	inv.limit, _ = ctx.Deadline()
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		if validID(lc.AwsRequestID) {
			inv.id = lc.AwsRequestID
		}
		if lc.InvokedFunctionArn != "" {
			inv.arn = lc.InvokedFunctionArn
		}
		inv.client = clientContext(lc.ClientContext)
	}
	return inv
}

// acquire gives a call to an idle process or makes it wait for one. gone is set if nobody waits for it any more.
func (f *Function) acquire(inv *invocation, gone error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch n := len(f.idle); {
	case gone != nil:
		f.settle(inv, nil, callerGone(gone))
	case f.closed:
		f.settle(inv, nil, f.closedError())
	case len(inv.payload) > maxPayload:
		f.settle(inv, nil, &Error{
			Type: "RequestEntityTooLarge", Message: fmt.Sprintf("the event has %d bytes, of %d at most", len(inv.payload), maxPayload),
		})
	case n > 0:
		p := f.idle[n-1]
		f.idle = f.idle[:n-1]
		f.assign(p, inv)
	default:
		f.waiting = append(f.waiting, inv)
		f.grow()
	}
}

// grow starts as many processes as calls wait for, within Concurrency.
func (f *Function) grow() {
	for !f.closed && f.starting < len(f.waiting) && len(f.processes) < f.cfg.Concurrency {
		p := f.newProcess()
		f.processes[p] = struct{}{}
		f.starting++
		f.stats.Starts++
		delay := time.Until(f.notBefore)
		f.running.Go(func() { f.supervise(p, delay) })
	}
}

// assign gives a call to a process that is free.
func (f *Function) assign(p *process, inv *invocation) {
	p.state = busy
	p.idleTimer.Stop()
	p.current = inv
	inv.process = p
	inv.cold = p.calls == 0
	p.calls++
	inv.began = time.Now()
	inv.deadline = inv.began.Add(f.cfg.Timeout)
	after, cause := f.cfg.Timeout, error(nil)
	if !inv.limit.IsZero() && inv.limit.Before(inv.deadline) {
		inv.deadline = inv.limit
		after, cause = inv.limit.Sub(inv.called), context.DeadlineExceeded
	}
	inv.timer = time.AfterFunc(time.Until(inv.deadline), func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.expire(inv, timedOut(after, cause))
	})
	p.work <- inv // has room: the process had nothing to do
}

// free takes back a process that asks for its next invocation.
func (f *Function) free(p *process) {
	switch {
	case p.state == starting:
		f.failures, f.notBefore = 0, time.Time{}
	case p.state != busy:
		return
	}
	switch {
	case f.closed || p.stale:
		f.stop(p)
	case len(f.waiting) > 0:
		inv := f.waiting[0]
		f.waiting = slices.Delete(f.waiting, 0, 1)
		f.assign(p, inv)
	default:
		p.state = idle
		p.idleTimer.Reset(f.cfg.IdleTimeout)
		f.idle = append(f.idle, p)
	}
}

// settle ends a call for its caller.
func (f *Function) settle(inv *invocation, out []byte, err *Error) {
	if inv.settled {
		return
	}
	inv.settled = true
	inv.ended = time.Now()
	f.stats.Invocations++
	if err != nil {
		f.stats.Errors++
		inv.result <- result{nil, err}
		return
	}
	inv.result <- result{out, nil}
}

// complete says that a call has no process any more.
func (inv *invocation) complete() {
	inv.timer.Stop()
	close(inv.done)
}

// expire fails a call that is over its time, and kills the process that still has it.
func (f *Function) expire(inv *invocation, err *Error) {
	f.settle(inv, nil, err)
	if p := inv.process; p != nil && p.current == inv {
		f.kill(p)
	}
}

// giveUp ends a call that no process has taken for too long. One that has a process ends by its own time.
func (f *Function) giveUp(inv *invocation) {
	f.mu.Lock()
	taken := inv.process != nil
	f.mu.Unlock()
	if !taken {
		f.abandon(inv, context.DeadlineExceeded)
	}
}

// abandon is for a caller who waits no longer.
func (f *Function) abandon(inv *invocation, cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after := time.Since(inv.called).Round(10 * time.Millisecond)
	if !inv.limit.IsZero() {
		after = inv.limit.Sub(inv.called)
	}
	err := timedOut(after, cause)
	switch {
	case !errors.Is(cause, context.DeadlineExceeded):
		err = callerGone(cause)
	case inv.process == nil && f.starting == 0:
		err = &Error{
			Type:    "TooManyRequestsException",
			Message: fmt.Sprintf("Rate Exceeded: all %d processes were busy for %.2f seconds", f.cfg.Concurrency, after.Seconds()),
			cause:   cause,
		}
	case inv.process == nil:
		err.Message += " while its process was starting"
	}
	if i := slices.Index(f.waiting, inv); i >= 0 {
		f.waiting = slices.Delete(f.waiting, i, i+1)
	}
	f.expire(inv, err)
}

// ended takes a process out that is gone. reason says why.
func (f *Function) ended(p *process, reason *Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.processes, p)
	p.idleTimer.Stop()
	if i := slices.Index(f.idle, p); i >= 0 {
		f.idle = slices.Delete(f.idle, i, i+1)
	}
	if inv := p.current; inv != nil {
		f.settle(inv, nil, reason)
		p.current = nil
		inv.complete()
	}
	if !p.ready {
		f.starting--
	}
	if !p.ready && !f.closed && !p.stale {
		f.failures++
		f.notBefore = time.Now().Add(min(minBackoff<<min(f.failures-1, 10), maxBackoff))
		// One call for one start that failed. When there is no process that works, only as many calls wait on as others start: the
		// rest would wait for the same failure.
		failed := min(1, len(f.waiting))
		if len(f.processes) == f.starting {
			failed = max(0, len(f.waiting)-f.starting)
		}
		for _, inv := range f.waiting[:failed] {
			f.settle(inv, nil, reason)
		}
		f.waiting = slices.Delete(f.waiting, 0, failed)
	}
	f.grow()
}

// Reload ends the processes, each when it has finished its call, so that further calls run the code as it is now.
func (f *Function) Reload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures, f.notBefore = 0, time.Time{}
	for p := range f.processes {
		p.stale = true
	}
	f.stopIdle()
}

func (f *Function) stopIdle() {
	for _, p := range f.idle {
		f.stop(p)
	}
	f.idle = f.idle[:0]
}

// Stats are the counts of this moment.
func (f *Function) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Processes, s.Idle, s.Waiting = len(f.processes), len(f.idle), len(f.waiting)
	return s
}

// Close ends all processes by SIGTERM, and after two seconds by SIGKILL, those with a call when they have finished it. Calls that wait
// for a process fail, as do later ones. If ctx ends first, all are killed at once and its error is returned.
func (f *Function) Close(ctx context.Context) error {
	f.mu.Lock()
	f.closed = true
	for _, inv := range f.waiting {
		f.settle(inv, nil, f.closedError())
	}
	f.waiting = nil
	f.stopIdle()
	for p := range f.processes {
		if p.state == starting {
			f.stop(p)
		}
	}
	f.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.running.Wait()
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("close function %s: %w", f.cfg.Name, ctx.Err())
		f.mu.Lock()
		for p := range f.processes {
			f.kill(p)
		}
		f.mu.Unlock()
		<-done
	}
	return errors.Join(err, f.removeScripts())
}

func (f *Function) closedError() *Error {
	return &Error{Type: typeSandbox, Message: "function " + f.cfg.Name + " is closed"}
}

// report tells of a call that is over.
func (f *Function) report(ctx context.Context, inv *invocation, err error) {
	debug := f.log.Enabled(ctx, slog.LevelDebug)
	if f.cfg.Observe == nil && !debug {
		return
	}
	r := Report{RequestID: inv.id, Err: err}
	pid := 0
	f.mu.Lock()
	if p := inv.process; p != nil {
		r.Cold = inv.cold
		if r.Cold {
			r.Init = p.init
		}
		r.Duration = inv.ended.Sub(inv.began)
		if !p.gone {
			pid = p.pid
		}
	}
	f.mu.Unlock()
	if pid != 0 {
		r.MaxMemory = peakMemory(pid)
	}
	if f.cfg.Observe != nil {
		f.cfg.Observe(r)
	}
	if debug {
		f.log.DebugContext(ctx, "invocation", "requestId", r.RequestID, "durationMs", milliseconds(r.Duration), "cold", r.Cold,
			"initMs", milliseconds(r.Init), "maxMemoryMb", r.MaxMemory>>20, "error", err)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

const typeSandbox = "Sandbox.Failure"

func callerGone(cause error) *Error {
	return &Error{Type: typeSandbox, Message: "the caller is gone: " + cause.Error(), cause: cause}
}

func timedOut(after time.Duration, cause error) *Error {
	return &Error{Type: "Sandbox.Timedout", Message: fmt.Sprintf("Task timed out after %.2f seconds", after.Seconds()), cause: cause}
}
