package invoke

import (
	"bytes"
	"context"
	"reflect"
	"sync"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/handlertrace"
)

// What lambda.NewHandler makes is for a process that serves one invocation at a time. It encodes an answer into a buffer from a pool, and
// its Invoke gives the buffer back before it returns the bytes in it: the next invocation that encodes may overwrite them, even before the
// caller could copy them. Here many invocations run at once, so one client would hear another's answer.
//
// A buffer is written to only after the handler has returned, and the trace's ResponseEvent comes between the two. So an invocation takes
// its function's lock there and keeps it until it has a copy: whoever would write meanwhile waits. Handlers run side by side as before;
// only encoding is one after the other. Code that does not come from aws-lambda-go has no such event, and needs no lock and no copy.

// traced is a context in which aws-lambda-go's handlers tell an invocation of their events.
func traced(ctx context.Context) context.Context {
	return handlertrace.NewContext(ctx, handlertrace.HandlerTrace{
		RequestEvent: func(ctx context.Context, _ any) {
			if e, ok := ctx.Value(encodingKey{}).(*encoding); ok {
				e.decode()
			}
		},
		ResponseEvent: func(ctx context.Context, _ any) {
			if e, ok := ctx.Value(encodingKey{}).(*encoding); ok {
				e.begin()
			}
		},
	})
}

// answer invokes the code in a traced context and gives bytes that are the caller's own.
func (t *Target) answer(ctx context.Context, b *bound, payload []byte) ([]byte, error) {
	e := &encoding{lock: &t.encode}
	defer e.end()
	out, err := b.code.Invoke(context.WithValue(ctx, encodingKey{}, e), payload)
	begun, decoded := e.seen()
	switch {
	case err != nil:
		return nil, err
	case begun:
		return bytes.Clone(out), nil
	case decoded && b.plain && len(out) == len(null):
		return []byte(null), nil // without an answer there is no event, but a buffer all the same, which always has this in it
	}
	return out, nil
}

const null = "null"

type encodingKey struct{}

// encoding is what one invocation knows of its answer.
type encoding struct {
	lock *sync.Mutex // the function's

	mu      sync.Mutex
	decoded bool // aws-lambda-go has decoded the event, so it encodes the answer too
	begun   bool // the lock is held
	over    bool
}

func (e *encoding) seen() (begun, decoded bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.begun, e.decoded
}

func (e *encoding) decode() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.decoded = true
}

// begin may come several times, from handlers inside handlers, and even too late, from what a handler has left running.
func (e *encoding) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.begun && !e.over {
		e.lock.Lock()
		e.begun = true
	}
}

func (e *encoding) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	if e.begun {
		e.lock.Unlock()
	}
}

// Handler makes a Function of a handler of any shape that lambda.Start of aws-lambda-go takes.
func Handler(h any) Function {
	made := lambda.NewHandler(h)
	if t := reflect.TypeOf(h); t != nil && t.Kind() == reflect.Func && t.NumOut() < 2 {
		if _, own := h.(lambda.Handler); !own {
			return silent{made}
		}
	}
	return made
}

// silent is a handler that returns an error at most: its answer is not looked at.
type silent struct{ lambda.Handler }

func (s silent) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if _, err := s.Handler.Invoke(ctx, payload); err != nil {
		return nil, err
	}
	return []byte(null), nil
}

// isPlain reports whether code is what lambda.NewHandler makes, with nothing around it.
func isPlain(code Function) bool {
	return reflect.TypeOf(code) == reflect.TypeOf(lambda.NewHandler(nil))
}
