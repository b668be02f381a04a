package emulator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

var (
	errIntegrationTimeout = errors.New("endpoint request timed out")
	errGone               = errors.New("the connection is gone")
	errSlow               = errors.New("the receiver's queue is full")
	errDropped            = errors.New("$disconnect did not run, a fault: Faults.DropDisconnect")
)

// function is a Lambda function of the template with the code that was given for it.
type function struct {
	id      string // logical id
	arn     string
	timeout time.Duration
	code    Function

	calls, failed, running, nanos atomic.Int64
}

func (f *function) stats() FunctionStats {
	return FunctionStats{
		Invocations: f.calls.Load(), Errors: f.failed.Load(), Running: f.running.Load(),
		DurationMs: time.Duration(f.nanos.Load()).Milliseconds(),
	}
}

func (s *Server) bindFunctions() error {
	s.functions = map[string]*function{}
	used := map[string]bool{}
	folders := map[string]int{}
	for _, spec := range s.model.functions {
		if spec.folder != "" {
			folders[spec.folder]++
		}
	}
	for _, spec := range s.model.functions {
		name, code := spec.ID, s.cfg.Functions[spec.ID]
		if code == nil && spec.folder != "" {
			name, code = spec.folder, s.cfg.Functions[spec.folder]
		}
		if code == nil {
			continue // an error only if something leads to it
		}
		used[name] = true
		f := &function{id: spec.ID, arn: spec.ARN, timeout: spec.Timeout, code: code}
		for _, name := range []string{spec.ID, spec.Name} {
			if name != "" {
				s.functions[name] = f
			}
		}
		if folders[spec.folder] == 1 && s.functions[spec.folder] == nil {
			s.functions[spec.folder] = f
		}
	}
	for name := range s.cfg.Functions {
		if !used[name] {
			return fmt.Errorf("function %s is not in the template", name)
		}
	}
	return nil
}

// need finds the code of a function that something in the template leads to.
func (s *Server) need(id string, line int) (*function, error) {
	if f := s.functions[id]; f != nil {
		return f, nil
	}
	return nil, atLine(line, "no code was given for function %s", id)
}

// call is one invocation to be run in the background.
type call struct {
	fn      *function
	payload []byte
	limit   time.Duration // how long the caller waits; the function has its own Timeout
	delay   time.Duration
	done    func(out []byte, err error) // exactly once: at the end, or when the time is up
	after   func()                      // when the function has really returned
}

// start runs a call. Code in this process cannot be stopped: at its Timeout its context ends and the caller is told, as on AWS, but
// the goroutine lives until the function returns.
func (s *Server) start(c call) {
	s.runWarm(func() {
		if c.after != nil {
			defer c.after()
		}
		s.hold(c.delay)
		ctx, cancel := context.WithTimeout(s.base, c.fn.timeout)
		defer cancel()
		var settled atomic.Bool
		settle := func(out []byte, err error) {
			if settled.CompareAndSwap(false, true) {
				c.done(out, err)
			}
		}
		timer := time.AfterFunc(min(c.limit, c.fn.timeout), func() {
			if c.fn.timeout <= c.limit {
				settle(nil, timeoutError{c.fn.timeout})
			} else {
				settle(nil, errIntegrationTimeout)
			}
		})
		defer timer.Stop()
		settle(c.fn.run(ctx, c.payload))
	})
}

// maxWarm is how many goroutines wait for the next call.
const maxWarm = 64

// runWarm runs a job in a goroutine that has run others, if one waits: a new one would have to grow its stack first, which costs an
// eighth of a small message.
func (s *Server) runWarm(job func()) {
	select {
	case s.warm <- job:
	default:
		s.work.Go(func() { s.keepWarm(job) })
	}
}

func (s *Server) keepWarm(job func()) {
	for job != nil {
		job()
		select {
		case s.waiting <- struct{}{}:
		default: // enough are waiting
			return
		}
		select {
		case job = <-s.warm:
		case <-s.stopPull:
			job = nil
		}
		<-s.waiting
	}
}

func (s *Server) hold(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.quit:
	}
}

// await runs a call and waits for its result.
func (s *Server) await(ctx context.Context, fn *function, payload []byte, limit time.Duration) ([]byte, error) {
	type result struct {
		out []byte
		err error
	}
	ch := make(chan result, 1)
	s.start(call{ //nolint:contextcheck // a function outlives who asked for it, as on AWS
		fn: fn, payload: payload, limit: limit, done: func(out []byte, err error) { ch <- result{out, err} },
	})
	select {
	case r := <-ch:
		return r.out, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run is the invocation itself. A panic of the function is its error.
func (f *function) run(ctx context.Context, payload []byte) (out []byte, err error) {
	begin := time.Now()
	f.calls.Add(1)
	f.running.Add(1)
	defer func() {
		if p := recover(); p != nil {
			err = panicError{p, debug.Stack()}
		}
		if err != nil {
			f.failed.Add(1)
		}
		f.running.Add(-1)
		f.nanos.Add(int64(time.Since(begin)))
	}()
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: newUUID(), InvokedFunctionArn: f.arn})
	return f.code.Invoke(ctx, payload)
}

// timeoutError is what Lambda says of a function that ran longer than its Timeout.
type timeoutError struct{ after time.Duration }

func (e timeoutError) Error() string {
	return fmt.Sprintf("Task timed out after %.2f seconds", e.after.Seconds())
}

// ErrorType is Lambda's name for it.
func (timeoutError) ErrorType() string { return "Sandbox.Timedout" }

// panicError is a function that panicked.
type panicError struct {
	value any
	stack []byte
}

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

// proxyResponse is what a Lambda proxy integration returns.
type proxyResponse struct {
	status   int
	protocol string // the Sec-WebSocket-Protocol header: the only one that reaches a client
	body     []byte
}

// parseProxyResponse refuses what a proxy integration refuses: no object, or no status code. What AWS does for WebSocket APIs in that
// case is UNCONFIRMED; this is the rule of REST APIs.
func parseProxyResponse(out []byte) (proxyResponse, error) {
	var raw struct {
		StatusCode json.Number      `json:"statusCode"`
		Headers    map[string]any   `json:"headers"`
		Multi      map[string][]any `json:"multiValueHeaders"`
		Body       *string          `json:"body"`
		Base64     bool             `json:"isBase64Encoded"`
	}
	if err := json.Unmarshal(out, &raw); err != nil {
		return proxyResponse{}, fmt.Errorf("malformed proxy response: %w", err)
	}
	status, err := raw.StatusCode.Int64()
	if err != nil || status < http.StatusOK || status > 599 {
		return proxyResponse{}, fmt.Errorf("malformed proxy response: statusCode is %q", raw.StatusCode)
	}
	res := proxyResponse{status: int(status)}
	for name, value := range raw.Headers {
		if strings.EqualFold(name, "Sec-WebSocket-Protocol") {
			res.protocol = fmt.Sprint(value)
		}
	}
	for name, values := range raw.Multi {
		if strings.EqualFold(name, "Sec-WebSocket-Protocol") && len(values) > 0 {
			res.protocol = fmt.Sprint(values[len(values)-1])
		}
	}
	if raw.Body == nil {
		return res, nil
	}
	res.body = []byte(*raw.Body)
	if raw.Base64 {
		if res.body, err = base64.StdEncoding.DecodeString(*raw.Body); err != nil {
			return proxyResponse{}, fmt.Errorf("malformed proxy response: body: %w", err)
		}
	}
	return res, nil
}

// statusOf is the status a discarded response had, 0 if none: only for people who watch.
func statusOf(out []byte) int {
	raw, _ := lookup(out, []step{{name: "statusCode", index: -1}})
	var n int
	if json.Unmarshal(raw, &n) != nil {
		return 0
	}
	return n
}
