// Package invoke is AWS Lambda as its callers see it: the functions of a template, each with the code that was given for it, run for other
// services of the same account or by the Invoke API.
//
// Code is anything that takes an event and gives an answer, both as JSON: a Go handler in this process, or a stand-in for one that runs
// elsewhere. It is called from many goroutines at once, where Lambda would start one more sandbox for each. Code in this process cannot be
// stopped: at its Timeout its context ends and its caller is told, as on AWS, but its goroutine lives until it returns.
//
// What somebody invokes from outside is refused once the service is stopped. What the other services of the account need to finish their
// own work still runs, until they are closed themselves.
package invoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Function runs one invocation: payload is the event as JSON, the result is the response as JSON. It is called from many goroutines at
// once. ctx ends with the function's Timeout. A returned error is what the function threw: its text becomes errorMessage, and errorType is
// the name of its type unless it has a method ErrorType() string. A panic counts as an error.
//
// The Handler of github.com/aws/aws-lambda-go/lambda satisfies it.
type Function interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Timekeeper is code that ends its invocations by itself: the start of its environment takes a time of its own, which its Timeout does
// not count. Forever is set while there is no limit at all, since somebody looks at it in a debugger; who waits for it waits too.
type Timekeeper interface {
	Function
	KeepsTime() (forever bool)
}

// Wrapper is code around other code.
type Wrapper interface{ Unwrap() Function }

// timekeeper finds one in its wrappers; nil if there is none.
func timekeeper(code Function) Timekeeper {
	for {
		if t, ok := code.(Timekeeper); ok {
			return t
		}
		w, ok := code.(Wrapper)
		if !ok {
			return nil
		}
		code = w.Unwrap()
	}
}

// Config says what there is to run. Template and Code are required.
type Config struct {
	Template *template.Template
	// Code is by logical id of the template's function or by folder name (the last element of its CodeUri).
	Code   map[string]Function
	Logger *slog.Logger // default discards
	// Observe is told of every invocation by the API, when it is over. It must be quick and safe for concurrent use.
	Observe func(Event)
	Now     func() time.Time // default time.Now
}

// Event is an invocation that somebody asked for.
type Event struct {
	Time     time.Time // when it began
	Duration time.Duration
	Function string // logical id
	Bytes    int    // of the event
	Err      error
}

const (
	maxSyncPayload  = 6 << 20 // "Lambda quotas"
	maxAsyncPayload = 1 << 20
	maxInvocation   = 15 * time.Minute
	maxAsync        = 1000 // asynchronous invocations that wait or run
	maxWarm         = 64   // goroutines that wait for the next call
)

// Service runs the functions of one template. Its methods are safe for concurrent use.
type Service struct {
	cfg     Config
	bound   atomic.Pointer[binding]
	retries []time.Duration

	async   chan struct{} // slots
	warm    chan func()   // to a goroutine that waits for a call
	waiting chan struct{} // places of those

	// base is the parent of every invocation: not of a request or a connection, because on AWS a function outlives both.
	base   context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	stopping bool
	stopped  chan struct{}  // closed by Stop
	closed   chan struct{}  // closed by Close
	calls    sync.WaitGroup // invocations from outside
	work     sync.WaitGroup // functions running
}

// binding is the functions of a template with their code. It is not changed, but replaced.
type binding struct {
	template *template.Template
	targets  map[string]*Target // by every name that a function may be called
}

// New binds the code to the functions. The error names code that the template has no function for; a function without code is an error
// only where something leads to it.
func New(cfg Config) (*Service, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Service{
		cfg: cfg, retries: []time.Duration{time.Minute, 2 * time.Minute},
		async: make(chan struct{}, maxAsync), warm: make(chan func()), waiting: make(chan struct{}, maxWarm),
		stopped: make(chan struct{}), closed: make(chan struct{}),
	}
	s.bound.Store(&binding{})
	if err := s.Reload(cfg.Template, cfg.Code); err != nil {
		return nil, err
	}
	s.base, s.cancel = context.WithCancel(traced(context.Background()))
	return s, nil
}

// Reload binds the functions of a template as it is now, from the next invocation on. Who holds a Target keeps it, with its new code and
// Timeout; one whose function is gone keeps its old. With an error all stays as it was.
func (s *Service) Reload(t *template.Template, code map[string]Function) error {
	next := &binding{template: t, targets: map[string]*Target{}}
	used, folders := map[string]bool{}, map[string]int{}
	for _, f := range t.Functions {
		folders[f.Folder]++
	}
	fresh := map[*Target]*bound{}
	for _, f := range t.Functions {
		name, own := f.ID, code[f.ID]
		if own == nil && f.Folder != "" {
			name, own = f.Folder, code[f.Folder]
		}
		if own == nil {
			continue
		}
		used[name] = true
		target := s.bound.Load().targets[f.ID]
		if target == nil || target.ID != f.ID {
			target = &Target{ID: f.ID}
		}
		fresh[target] = newBound(f.ARN, f.Timeout, own)
		if !f.Recursive {
			fresh[target].guarded()
		}
		next.targets[f.ID], next.targets[f.Name] = target, target
		if f.Folder != "" && folders[f.Folder] == 1 && next.targets[f.Folder] == nil {
			next.targets[f.Folder] = target
		}
	}
	for name := range code {
		if !used[name] {
			return fmt.Errorf("function %s is not in the template", name)
		}
	}
	for target, b := range fresh {
		target.bound.Store(b)
	}
	s.bound.Store(next)
	return nil
}

// Need finds the function of a logical id that a line of the template leads to.
func (s *Service) Need(id string, line int) (*Target, error) {
	now := s.bound.Load()
	if t := now.targets[id]; t != nil {
		return t, nil
	}
	return nil, now.template.Errorf(line, "no code was given for function %s", id)
}

// find knows a function by its logical id, folder, FunctionName or ARN.
func (s *Service) find(name string) (*Target, error) {
	short := name
	if _, after, ok := strings.Cut(name, ":function:"); ok {
		short = after
	}
	short, _, _ = strings.Cut(short, ":") // version or alias
	if t := s.bound.Load().targets[short]; t != nil {
		return t, nil
	}
	return nil, &awserr.Error{Status: http.StatusNotFound, Code: "ResourceNotFoundException", Message: "Function not found: " + name}
}

// enter counts an invocation from outside in, so that Close waits for it.
func (s *Service) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return &awserr.Error{Status: http.StatusServiceUnavailable, Code: "ServiceException", Message: "closing"}
	}
	s.calls.Add(1)
	return nil
}

// Invoke runs a function and waits for its result, as the Invoke API does. function is a logical id, a folder name, a FunctionName or
// an ARN. An error that is an *awserr.Error is Lambda's (unknown function, payload too large); any other is what the function threw.
func (s *Service) Invoke(ctx context.Context, function string, payload []byte) ([]byte, error) {
	t, err := s.find(function)
	if err != nil {
		return nil, err
	}
	if len(payload) > maxSyncPayload {
		return nil, errTooLarge(maxSyncPayload)
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	begin := s.cfg.Now()
	out, failed := s.Await(ctx, t, payload, maxInvocation)
	s.observe(t, payload, begin, failed)
	return out, failed
}

// InvokeAsync hands an event to a function and returns at once; l is how functions have led to it. See [Service.Async].
func (s *Service) InvokeAsync(function string, l Lineage, payload []byte) error {
	t, err := s.find(function)
	if err != nil {
		return err
	}
	if len(payload) > maxAsyncPayload {
		return errTooLarge(maxAsyncPayload)
	}
	return s.Async(t, l, payload, func(begin time.Time, err error) { s.observe(t, payload, begin, err) })
}

// Async runs a function in the background. One that fails is run again after one and after two more minutes, like Lambda's own retries;
// what waits for that when the service stops is dropped. attempted is called after each run. At most 1,000 such events wait or run; then
// it is 429 TooManyRequestsException.
func (s *Service) Async(t *Target, l Lineage, payload []byte, attempted func(begin time.Time, err error)) error {
	if err := s.enter(); err != nil {
		return err
	}
	select {
	case s.async <- struct{}{}:
	default:
		s.calls.Done()
		return &awserr.Error{Status: http.StatusTooManyRequests, Code: "TooManyRequestsException", Message: "Rate Exceeded."}
	}
	go func() {
		defer s.calls.Done()
		defer func() { <-s.async }()
		for attempt := 0; ; attempt++ {
			begin := s.cfg.Now()
			_, err := s.await(s.base, Cause{Lineage: l}, t, payload, maxInvocation)
			attempted(begin, err)
			if err == nil || attempt == len(s.retries) || errors.Is(err, ErrRecursive) {
				return
			}
			s.cfg.Logger.WarnContext(s.base, "asynchronous invocation failed", "function", t.ID, "attempt", attempt+1, "error", err)
			timer := time.NewTimer(s.retries[attempt])
			select {
			case <-timer.C:
			case <-s.stopped:
				timer.Stop()
				return
			}
		}
	}()
	return nil
}

func (s *Service) observe(t *Target, payload []byte, begin time.Time, err error) {
	if s.cfg.Observe != nil {
		s.cfg.Observe(Event{Time: begin, Duration: s.cfg.Now().Sub(begin), Function: t.ID, Bytes: len(payload), Err: err})
	}
}

// Stop refuses what comes from outside from now on, and drops the retries of what has failed.
func (s *Service) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		close(s.stopped)
	}
}

// Close waits for all functions that run. Nobody may start another one.
func (s *Service) Close() {
	s.Stop()
	s.calls.Wait()
	close(s.closed)
	s.work.Wait()
	s.cancel()
}

// Cancel ends the contexts of all that runs: for who cannot wait for Close.
func (s *Service) Cancel() { s.cancel() }

// Context is the parent of every invocation, and of what the other services do without being asked.
func (s *Service) Context() context.Context { return s.base }

// Stats are the totals of one function.
type Stats struct {
	Invocations int64 `json:"invocations"`
	Errors      int64 `json:"errors"` // thrown, timed out or panicked
	Running     int64 `json:"running"`
	DurationMs  int64 `json:"durationMs"` // of all invocations together
}

// Stats are the totals of all functions that have code, by logical id.
func (s *Service) Stats() map[string]Stats {
	out := map[string]Stats{}
	for _, t := range s.bound.Load().targets {
		out[t.ID] = Stats{
			Invocations: t.calls.Load(), Errors: t.failed.Load(), Running: t.running.Load(),
			DurationMs: time.Duration(t.nanos.Load()).Milliseconds(),
		}
	}
	return out
}

// ErrNotInTime is that a caller has waited as long as it would.
var ErrNotInTime = errors.New("endpoint request timed out")
