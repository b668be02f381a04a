package invoke

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
)

// ask is what the functions of these tests are asked, and answer.
type ask struct {
	Who string `json:"who"`
}

// middleware is a handler around another one, as tracing and logging libraries make them.
type middleware struct{ next Function }

func (m middleware) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return m.next.Invoke(ctx, payload)
}

// reads answers with what it reads from a reader, which NewHandler passes on.
func reads(a ask) (*strings.Reader, error) { return strings.NewReader(`{"who":"` + a.Who + `"}`), nil }

// TestAnswersAreNotMixed has many callers ask each kind of handler that aws-lambda-go makes, and those made of them, at once: each hears
// its own answer.
func TestAnswersAreNotMixed(t *testing.T) {
	t.Parallel()
	echo := func(_ context.Context, a ask) (ask, error) { return a, nil }
	for name, h := range map[string]Function{
		"a handler":                         lambda.NewHandler(echo),
		"without a context":                 lambda.NewHandler(func(a ask) (ask, error) { return a, nil }),
		"with options":                      lambda.NewHandlerWithOptions(echo, lambda.WithSetIndent("", " ")),
		"a handler in a middleware":         middleware{lambda.NewHandler(echo)},
		"a middleware in a handler":         lambda.NewHandler(middleware{lambda.NewHandler(echo)}),
		"a handler that answers by readers": lambda.NewHandler(reads),
		"Handler":                           Handler(echo),
		"Handler of a handler":              Handler(lambda.NewHandler(echo)),
		"a function of its own":             fn(func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crowd(t, h, func(who, got string) bool {
				var a ask
				return json.Unmarshal([]byte(got), &a) == nil && a.Who == who
			})
		})
	}
}

// TestHandlersWithoutAnAnswer is about those that return an error at most: to all of them the answer is null.
func TestHandlersWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]Function{
		"a handler":                  lambda.NewHandler(func(context.Context, ask) error { return nil }),
		"Handler":                    Handler(func(context.Context, ask) error { return nil }),
		"Handler without an event":   Handler(func(context.Context) error { return nil }),
		"Handler without anything":   Handler(func() {}),
		"a handler of four bytes":    lambda.NewHandler(fn(func(context.Context, []byte) ([]byte, error) { return []byte("null"), nil })),
		"a function that says so":    fn(func(context.Context, []byte) ([]byte, error) { return []byte("null"), nil }),
		"a handler that answers nil": lambda.NewHandler(func(context.Context, ask) (*ask, error) { return nil, nil }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crowd(t, h, func(_, got string) bool { return got == "null" })
		})
	}
}

// crowd invokes a function from many goroutines at once, some of them with long names so that buffers grow and are written anew.
func crowd(t *testing.T, h Function, mine func(who, got string) bool) {
	t.Helper()
	s := start(t, map[string]Function{"message": h})
	defer s.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 250 {
				who := fmt.Sprintf("%d-%d-%s", i, n, strings.Repeat("x", n%7*40))
				got, err := s.Invoke(t.Context(), "message", fmt.Appendf(nil, `{"who":%q}`, who))
				if err != nil || !mine(who, string(got)) {
					t.Errorf("%s got %s, %v", who, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestErrorsAndPanicsLeaveTheNextAnswerAlone(t *testing.T) {
	s := start(t, map[string]Function{"message": lambda.NewHandler(func(a ask) (any, error) {
		switch a.Who {
		case "error":
			return nil, oops{}
		case "unspeakable": // it cannot be encoded
			return func() {}, nil
		case "panic":
			panic("boom")
		}
		return a, nil
	})})
	defer s.Close()
	for _, who := range []string{"error", "unspeakable", "panic"} {
		if out, err := s.Invoke(t.Context(), "message", fmt.Appendf(nil, `{"who":%q}`, who)); err == nil {
			t.Errorf("%s: got %s", who, out)
		}
		if out, err := s.Invoke(t.Context(), "message", []byte(`{"who":"ana"}`)); err != nil || string(out) != `{"who":"ana"}` {
			t.Errorf("after %s: got %s, %v", who, out, err)
		}
	}
}
