// Package emitter sends events to the rooms of a Bellhop installation, and looks after its rooms and connections, from any
// program outside a connection: another Lambda function, a server, a script.
//
//	e := emitter.New(vialambda.New(lambda.NewFromConfig(cfg), "bellhop-emit"))
//	res, err := e.NewMessage(ctx, "42", emitter.Message{ID: msg.ID, Content: msg.Text, From: &emitter.From{UserID: "ana"}})
//
// # Transports
//
// Each is a package of its own, so that a program links no more of AWS's SDK than it uses. vialambda.New invokes the emit function and
// waits for its answer. vialambda.NewAsync and viasqs.New hand the command over and do not wait: what happens to it is not known, results
// are empty, and calls that ask something fail with [ErrNoAnswer] before anything is sent. [HTTP] is for `bellhop dev`.
//
// # Events and ids
//
// A logged event has an id, and a room holds an id only once. When a [Publish] has none, one is made, once for the call:
// whatever repeats it afterwards (the SDK, SQS, Lambda's retries) appends nothing twice. To repeat a failed call
// yourself, give it the ID of the result, or use an id of your own from the start, such as the primary key of the row
// that the event tells about. The log remembers an id for at least 10 minutes.
//
// # Errors
//
// An [*Error] is a refusal, by Bellhop or by this package before anything was sent; its Retry says whether the same call
// may work later. Any other error (network, permissions, a function that failed) leaves the outcome unknown, and the
// call may be repeated with the same id.
package emitter

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// ErrNoAnswer is the error of a call that asks something over a transport that brings no answers, as
// vialambda.NewAsync and viasqs.New do.
var ErrNoAnswer = errors.New("emitter: this call needs an answer, and the transport brings none: use vialambda.New or HTTP")

// What [errors.Is] finds in an error by its code:
//
//	if errors.Is(err, emitter.ErrConflict) { … }
var (
	ErrBadRequest      error = &Error{Code: string(protocol.CodeBadRequest)}
	ErrForbidden       error = &Error{Code: string(protocol.CodeForbidden)}
	ErrUnknownRoomKind error = &Error{Code: string(protocol.CodeUnknownRoomKind)}
	ErrTooLarge        error = &Error{Code: string(protocol.CodeTooLarge)}
	ErrConflict        error = &Error{Code: string(protocol.CodeConflict)} // the id belongs to another event
	ErrRateLimited     error = &Error{Code: string(protocol.CodeRateLimited)}
	ErrUnavailable     error = &Error{Code: string(protocol.CodeUnavailable)}
	ErrInternal        error = &Error{Code: string(protocol.CodeInternal)}
)

// Error is a refusal.
type Error struct {
	// Code is one of bad_request, too_large, forbidden, unknown_room_kind, conflict (the id belongs to another event),
	// rate_limited, unavailable, internal, or another code of the protocol.
	Code    string `json:"code"`
	Message string `json:"message"` // a sentence that says what to do
	Retry   bool   `json:"retry"`   // the same call may work later
	// RetryAfterMs is after how many milliseconds it may, where that is known; see RetryAfter.
	RetryAfterMs int64 `json:"retryAfterMs,omitempty"`
}

// RetryAfter is when the same call may work; 0: that is not known.
func (e *Error) RetryAfter() time.Duration { return time.Duration(e.RetryAfterMs) * time.Millisecond }

// Is reports whether target is the error of the same code, such as [ErrConflict].
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && *t == Error{Code: e.Code}
}

// Error gives code and message.
func (e *Error) Error() string { return "emitter: " + e.Code + ": " + e.Message }

func badRequest(format string, args ...any) error {
	return &Error{Code: "bad_request", Message: fmt.Sprintf(format, args...)}
}

// Emitter sends commands over a [Transport]. It is safe for concurrent use.
type Emitter struct {
	// NewID makes the ids of publishes that have none; each must be new, and at most 128 visible characters. It is set by
	// [NewWith], and must not change once the emitter is used.
	NewID func() string

	transport Transport
}

// Options are what an emitter may be told. The zero value is what [New] takes.
type Options struct {
	NewID func() string // makes the ids of publishes that have none, see [Emitter]; nil: 26 random characters of base 32
}

// New gives an emitter over a transport.
func New(t Transport) *Emitter { return NewWith(t, Options{}) }

// NewWith gives an emitter over a transport, with options.
func NewWith(t Transport, o Options) *Emitter {
	e := &Emitter{NewID: rand.Text, transport: t}
	if o.NewID != nil {
		e.NewID = o.NewID
	}
	return e
}

// command is every command; which fields count depends on Command.
type command struct {
	Command     string          `json:"command"`
	Room        string          `json:"room,omitempty"`
	User        string          `json:"user,omitempty"`
	Connection  string          `json:"connection,omitempty"`
	Rooms       []string        `json:"rooms,omitempty"`
	Users       []string        `json:"users,omitempty"`
	Connections []string        `json:"connections,omitempty"`
	Event       string          `json:"event,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	ID          string          `json:"id,omitempty"`
	Ephemeral   bool            `json:"ephemeral,omitempty"`
	All         bool            `json:"all,omitempty"`
	Except      []string        `json:"except,omitempty"`
	From        *From           `json:"from,omitempty"`
	Before      int64           `json:"before,omitempty"`
	Limit       int             `json:"limit,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	After       string          `json:"after,omitempty"`
	TimeoutMs   int64           `json:"timeoutMs,omitempty"`
}

// encode is json.Marshal without its escapes for HTML, which would count against the size limits.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ask sends a command and decodes the data of its answer.
func (e *Emitter) ask(ctx context.Context, c command, into any) error {
	if !e.transport.Answers() {
		return ErrNoAnswer
	}
	return e.tell(ctx, c, into)
}

// tell is ask for commands that also make sense without an answer; into is left alone then.
func (e *Emitter) tell(ctx context.Context, c command, into any) error {
	text, err := encode(c)
	if err != nil {
		return badRequest("the %s command cannot be written as JSON: %v", c.Command, err)
	}
	return e.send(ctx, []json.RawMessage{text})[0].decode(into)
}

// send is Transport.Send that holds the transports of other people to their promises.
func (e *Emitter) send(ctx context.Context, commands []json.RawMessage) []Outcome {
	out := e.transport.Send(ctx, commands)
	if len(out) != len(commands) {
		return failed(len(commands), fmt.Errorf("emitter: the transport gave %d outcomes for %d commands", len(out), len(commands)))
	}
	for i := range out {
		if out[i].Err == nil && out[i].Answer == nil && e.transport.Answers() {
			out[i].Err = errors.New("emitter: the transport gave neither an answer nor an error")
		}
	}
	return out
}

func failed(n int, err error) []Outcome {
	out := make([]Outcome, n)
	for i := range out {
		out[i].Err = err
	}
	return out
}

type answer struct {
	OK    bool            `json:"ok"`
	Error *Error          `json:"error"`
	Data  json.RawMessage `json:"data"`
}

// decode puts the data of an answer into a value, also when the answer is a refusal.
func (o Outcome) decode(into any) error {
	if o.Err != nil || o.Answer == nil {
		return o.Err
	}
	var a answer
	if err := json.Unmarshal(o.Answer, &a); err != nil || !a.OK && a.Error == nil {
		return fmt.Errorf("emitter: the function answered what no emit function does: %.200q", o.Answer)
	}
	if len(a.Data) > 0 {
		if err := json.Unmarshal(a.Data, into); err != nil {
			return fmt.Errorf("emitter: read the answer's data: %w", err)
		}
	}
	if !a.OK {
		return a.Error
	}
	return nil
}
