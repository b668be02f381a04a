// Package hooks asks the owner's own logic: Go handlers that are compiled in, or application functions of any language
// behind a [Caller]. It bounds the time of each question, stops asking one that keeps failing, and decides what a failure
// means.
package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Caller runs an application function: a [hub.Question] as JSON in, a [hub.Verdict] as JSON out.
type Caller interface {
	// Call waits for the answer until ctx is done. An error means that there was none.
	Call(ctx context.Context, question []byte) (answer []byte, err error)
	// Tell hands over what needs no answer.
	Tell(ctx context.Context, question []byte) error
}

// Handler is a hook in Go. An error that is a protocol.Error goes to the client; for any other the policy decides.
type Handler func(ctx context.Context, q hub.Question) (hub.Verdict, error)

// Handlers are hooks in Go; nil is none.
type Handlers struct {
	Actions    map[string]Handler // by the name of the action; others are refused as unknown
	Join       Handler
	Publish    Handler
	Connect    Handler
	Disconnect func(ctx context.Context, q hub.Question) error
}

// Failure is what a hook that gives no answer means.
type Failure string

// The policies.
const (
	FailDeny  Failure = "deny"  // what was asked about is refused as unavailable, and may be tried again
	FailAllow Failure = "allow" // as if there were no hook
)

// Options are what can be set for one hook; the zero value works.
type Options struct {
	Timeout time.Duration // default: 10 s for actions, 3 s for all others; at most MaxTimeout
	Failure Failure       // default: deny
}

// MaxTimeout is the longest that a hook may take: API Gateway gives up on a message after 29 s
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html),
// and the rest is for what Bellhop does itself.
const MaxTimeout = 25 * time.Second

// maxVerdict is the size of the largest answer, in bytes: what fits into a reply, and some more.
const maxVerdict = protocol.MaxServerFrame + 16<<10

// The circuit breaker of a hook, in each running function by itself.
const (
	breakAfter = 5                // failures one after the other
	breakFor   = 10 * time.Second // nobody asks; then one question tries
)

// Set is a [hub.Hooks]: the hooks that there are, each with its time, its policy and its circuit breaker.
type Set struct {
	hooks map[hub.Hook]*hook
}

var _ hub.Hooks = (*Set)(nil)

type hook struct {
	caller   Caller
	handlers *Handlers // in the place of caller
	options  Options
	breaker  *gobreaker.CircuitBreaker[hub.Verdict]
}

// New makes the set of the application functions and Go handlers that there are. A hook that has both is the Go handler's.
func New(callers map[hub.Hook]Caller, handlers Handlers, options map[hub.Hook]Options) *Set {
	s := &Set{hooks: map[hub.Hook]*hook{}}
	for name, caller := range callers {
		s.hooks[name] = &hook{caller: caller}
	}
	for name, has := range map[hub.Hook]bool{
		hub.HookAction: len(handlers.Actions) > 0, hub.HookJoin: handlers.Join != nil, hub.HookPublish: handlers.Publish != nil,
		hub.HookConnect: handlers.Connect != nil, hub.HookDisconnect: handlers.Disconnect != nil,
	} {
		if has {
			s.hooks[name] = &hook{handlers: &handlers}
		}
	}
	for name, k := range s.hooks {
		k.options = options[name].orDefaults(name)
		k.breaker = gobreaker.NewCircuitBreaker[hub.Verdict](gobreaker.Settings{
			Name: string(name), Timeout: breakFor,
			ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
			IsSuccessful: answered,
		})
	}
	return s
}

func (o Options) orDefaults(name hub.Hook) Options {
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
		if name == hub.HookAction {
			o.Timeout = 10 * time.Second
		}
	}
	if o.Failure == "" {
		o.Failure = FailDeny
	}
	return o
}

// answered reports whether a hook did its work: a refusal is an answer, and so is a client that did not wait for it.
func answered(err error) bool {
	_, refused := errors.AsType[*protocol.Error](err)
	return err == nil || refused || errors.Is(err, context.Canceled)
}

func (s *Set) Has(name hub.Hook) bool { return s.hooks[name] != nil }

func (s *Set) Ask(ctx context.Context, q hub.Question) (hub.Verdict, error) {
	k := s.hooks[q.Hook]
	v, err := k.breaker.Execute(func() (hub.Verdict, error) { return k.ask(ctx, q) })
	if answered(err) || k.options.Failure == FailDeny || q.Hook == hub.HookAction {
		return v, err
	}
	return hub.Verdict{}, fmt.Errorf("%w: %w", hub.ErrLetPass, err)
}

func (k *hook) ask(ctx context.Context, q hub.Question) (v hub.Verdict, err error) {
	ctx, cancel := context.WithTimeout(ctx, k.options.Timeout)
	defer cancel()
	if k.handlers != nil {
		return k.handlers.Answer(ctx, q)
	}
	question, err := json.Marshal(q)
	if err != nil {
		return v, fmt.Errorf("encode question: %w", err)
	}
	if q.Hook == hub.HookDisconnect {
		return v, k.caller.Tell(ctx, question)
	}
	text, err := k.caller.Call(ctx, question)
	if err != nil {
		return v, err
	}
	return decode(text)
}

// Answer calls the handler that a question is for; none is the zero verdict. A panic is no answer, like the crash
// of a function.
func (h Handlers) Answer(ctx context.Context, q hub.Question) (v hub.Verdict, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the handler of hook %s panicked: %v", q.Hook, r)
		}
	}()
	var handler Handler
	switch q.Hook {
	case hub.HookAction:
		if handler = h.Actions[q.Action]; handler == nil {
			return v, protocol.Errorf(protocol.CodeUnknownAction, "there is no action %.40q", q.Action)
		}
	case hub.HookJoin:
		handler = h.Join
	case hub.HookPublish:
		handler = h.Publish
	case hub.HookConnect:
		handler = h.Connect
	case hub.HookDisconnect:
		if h.Disconnect != nil {
			return v, h.Disconnect(ctx, q)
		}
	}
	if handler == nil {
		return v, nil
	}
	return handler(ctx, q)
}

// decode reads an answer. Nothing at all, as from a handler that returns nothing, is the zero value. What it does not
// know is refused: a typing mistake in "deny" must not let everybody in.
func decode(text []byte) (v hub.Verdict, err error) {
	if len(text) > maxVerdict {
		return v, fmt.Errorf("the answer has %d bytes, it may have %d", len(text), maxVerdict)
	}
	if text = bytes.TrimSpace(text); len(text) == 0 || string(text) == "null" {
		return v, nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return v, fmt.Errorf(`the answer must be a JSON object such as {"deny":{"message":"…"}}: %w`, err)
	}
	if dec.More() {
		return v, errors.New("the answer is more than one JSON value")
	}
	return v, nil
}

// ParseOptions reads the parameter HookOptions:
//
//	{"join":{"timeout":"2s","failure":"allow"},"action":{"timeout":"20s"}}
func ParseOptions(text []byte) (map[hub.Hook]Options, error) {
	var raw map[hub.Hook]struct {
		Timeout string  `json:"timeout"`
		Failure Failure `json:"failure"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf(`hook options must be an object such as {"join":{"timeout":"2s","failure":"deny"}}: %w`, err)
	}
	options := make(map[hub.Hook]Options, len(raw))
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		o := raw[name]
		if !slices.Contains(hub.HookNames(), name) {
			return nil, fmt.Errorf("hook options: there is no hook %q; there are %v", name, hub.HookNames())
		}
		var timeout time.Duration
		if o.Timeout != "" {
			var err error
			if timeout, err = time.ParseDuration(o.Timeout); err != nil || timeout <= 0 || timeout > MaxTimeout {
				return nil, fmt.Errorf(`hook options: %q: "timeout" must be a duration of at most %s, such as "2s", not %q`, name, MaxTimeout, o.Timeout)
			}
		}
		if o.Failure != "" && o.Failure != FailDeny && o.Failure != FailAllow {
			return nil, fmt.Errorf(`hook options: %q: "failure" must be "deny" or "allow", not %q`, name, o.Failure)
		}
		if o.Failure == FailAllow && name == hub.HookAction {
			return nil, errors.New(`hook options: "action" cannot have "failure":"allow": nothing else could answer`)
		}
		options[name] = Options{Timeout: timeout, Failure: o.Failure}
	}
	return options, nil
}
