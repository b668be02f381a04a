package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// call is a Caller that answers by a function.
type call func(ctx context.Context, question []byte) ([]byte, error)

func (c call) Call(ctx context.Context, question []byte) ([]byte, error) { return c(ctx, question) }

func (c call) Tell(ctx context.Context, question []byte) error {
	_, err := c(ctx, question)
	return err
}

func says(text string) call {
	return func(context.Context, []byte) ([]byte, error) { return []byte(text), nil }
}

func one(h hub.Hook, c Caller, o Options) *Set {
	return New(map[hub.Hook]Caller{h: c}, Handlers{}, map[hub.Hook]Options{h: o})
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct{ answer, fault string }{
		{`{}`, ""},
		{``, ""},
		{` null `, ""},
		{`{"allow":true,"data":{"a":1}}`, ""},
		{`{"denied":true}`, `unknown field "denied"`},
		{`[1]`, "must be a JSON object"},
		{`{"deny":"no"}`, "must be a JSON object"},
		{`{} {}`, "more than one"},
		{`{"data":"` + strings.Repeat("x", 200<<10) + `"}`, "bytes"},
		{`<html>`, "must be a JSON object"},
	} {
		v, err := one(hub.HookJoin, says(c.answer), Options{}).Ask(t.Context(), hub.Question{Hook: hub.HookJoin})
		if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%.60s gives %v, want %q", c.answer, err, c.fault)
		}
		if strings.Contains(c.answer, "allow") && (!v.Allow || string(v.Data) != `{"a":1}`) {
			t.Errorf("%s is read as %+v", c.answer, v)
		}
	}
}

func TestFailureMeansWhatItsOwnerSays(t *testing.T) {
	down := call(func(context.Context, []byte) ([]byte, error) { return nil, errors.New("down") })
	ask := func(h hub.Hook, o Options) error {
		_, err := one(h, down, o).Ask(t.Context(), hub.Question{Hook: h})
		return err
	}
	if err := ask(hub.HookJoin, Options{}); err == nil || errors.Is(err, hub.ErrLetPass) {
		t.Errorf("by default: %v", err)
	}
	if err := ask(hub.HookJoin, Options{Failure: FailAllow}); !errors.Is(err, hub.ErrLetPass) {
		t.Errorf("allow: %v", err)
	}
	refused := New(nil, Handlers{Join: func(context.Context, hub.Question) (hub.Verdict, error) {
		return hub.Verdict{}, protocol.Refuse(protocol.CodeConflict)
	}}, map[hub.Hook]Options{hub.HookJoin: {Failure: FailAllow}})
	if _, err := refused.Ask(t.Context(), hub.Question{Hook: hub.HookJoin}); !errors.Is(err, protocol.Refuse(protocol.CodeConflict)) {
		t.Errorf("a refusal is no failure: %v", err)
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := call(func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		for h, want := range map[hub.Hook]time.Duration{hub.HookAction: 10 * time.Second, hub.HookJoin: 3 * time.Second} {
			began := time.Now()
			if _, err := one(h, slow, Options{}).Ask(t.Context(), hub.Question{Hook: h}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", h, err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("%s took %s, want %s", h, took, want)
			}
		}
	})
}

// What fails again and again is left alone for a while.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, broken := 0, true
		s := one(hub.HookPublish, call(func(context.Context, []byte) ([]byte, error) {
			calls++
			if broken {
				return nil, errors.New("down")
			}
			return []byte(`{}`), nil
		}), Options{})
		ask := func() error {
			_, err := s.Ask(t.Context(), hub.Question{Hook: hub.HookPublish})
			return err
		}
		for range 20 {
			if ask() == nil {
				t.Fatal("a broken hook answers")
			}
		}
		if calls != breakAfter {
			t.Errorf("asked %d times, want %d", calls, breakAfter)
		}
		time.Sleep(breakFor + time.Second) //nolint:forbidigo // in a bubble
		broken = false
		for range 3 {
			if err := ask(); err != nil {
				t.Errorf("once it is back: %v", err)
			}
		}
	})
}

// A hook that only refuses, or whose clients leave, is not broken.
func TestRefusalsDoNotBreak(t *testing.T) {
	calls := 0
	s := New(nil, Handlers{Join: func(context.Context, hub.Question) (hub.Verdict, error) {
		if calls++; calls%2 == 0 {
			return hub.Verdict{}, context.Canceled
		}
		return hub.Verdict{}, protocol.Refuse(protocol.CodeForbidden)
	}}, nil)
	for range 30 {
		_, _ = s.Ask(t.Context(), hub.Question{Hook: hub.HookJoin})
	}
	if calls != 30 {
		t.Errorf("asked %d times, want 30", calls)
	}
}

func TestHandlers(t *testing.T) {
	told := 0
	s := New(map[hub.Hook]Caller{hub.HookConnect: says(`{"rooms":["channel:1"]}`)}, Handlers{
		Actions: map[string]Handler{
			"a": func(_ context.Context, q hub.Question) (hub.Verdict, error) { return hub.Verdict{Data: q.Data}, nil },
			"b": func(context.Context, hub.Question) (hub.Verdict, error) { panic("oh") },
		},
		Disconnect: func(context.Context, hub.Question) error { told++; return nil },
	}, nil)
	ask := func(q hub.Question) (hub.Verdict, error) { return s.Ask(t.Context(), q) }
	if v, err := ask(hub.Question{Hook: hub.HookAction, Action: "a", Data: json.RawMessage("1")}); err != nil || string(v.Data) != "1" {
		t.Errorf("got %+v, %v", v, err)
	}
	if _, err := ask(hub.Question{Hook: hub.HookAction, Action: "b"}); err == nil || !strings.Contains(err.Error(), "panicked: oh") {
		t.Errorf("a panic gives %v", err)
	}
	if _, err := ask(hub.Question{Hook: hub.HookAction, Action: "c"}); !errors.Is(err, protocol.Refuse(protocol.CodeUnknownAction)) {
		t.Errorf("an unknown action gives %v", err)
	}
	if v, err := ask(hub.Question{Hook: hub.HookConnect}); err != nil || len(v.Rooms) != 1 {
		t.Errorf("an application function beside them gives %+v, %v", v, err)
	}
	if _, err := ask(hub.Question{Hook: hub.HookDisconnect}); err != nil || told != 1 {
		t.Errorf("told %d times, %v", told, err)
	}
	if s.Has(hub.HookJoin) || !s.Has(hub.HookAction) {
		t.Error("Has says something else")
	}
}

func TestParseOptions(t *testing.T) {
	got, err := ParseOptions([]byte(`{"join":{"timeout":"2s","failure":"allow"},"action":{}}`))
	if err != nil || got[hub.HookJoin] != (Options{2 * time.Second, FailAllow}) || got[hub.HookAction] != (Options{}) {
		t.Errorf("got %v, %v", got, err)
	}
	for text, want := range map[string]string{
		`{`:                              "must be an object",
		`{"leave":{}}`:                   `no hook "leave"`,
		`{"join":{"timeout":"2"}}`:       "must be a duration",
		`{"join":{"timeout":"30s"}}`:     "at most 25s",
		`{"join":{"failure":"maybe"}}`:   `"deny" or "allow"`,
		`{"join":{"tries":3}}`:           "unknown field",
		`{"action":{"failure":"allow"}}`: "nothing else could answer",
	} {
		if _, err := ParseOptions([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %q", text, err, want)
		}
	}
}

// server answers requests and remembers the last.
func server(t *testing.T, status int, header, answer string) (url string, last *http.Request, body *string) {
	t.Helper()
	last, body = &http.Request{}, new(string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		*last, *body = *r, string(text)
		if header != "" {
			w.Header().Set("X-Amz-Function-Error", header)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.URL, last, body
}

func TestHTTP(t *testing.T) {
	url, last, body := server(t, http.StatusOK, "", `{"allow":true}`)
	v, err := one(hub.HookJoin, HTTP{URL: url}, Options{}).Ask(t.Context(), hub.Question{Version: 1, Hook: hub.HookJoin, Room: "channel:1"})
	if err != nil || !v.Allow || last.Header.Get("Content-Type") != "application/json" || !strings.Contains(*body, `"version":1,"hook":"join"`) {
		t.Errorf("got %+v, %v; sent %s", v, err, *body)
	}
	url, _, _ = server(t, http.StatusInternalServerError, "", "Traceback")
	if _, err := one(hub.HookJoin, HTTP{URL: url}, Options{}).Ask(t.Context(), hub.Question{Hook: hub.HookJoin}); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("a web server that fails gives %v", err)
	}
	if _, err := one(hub.HookJoin, HTTP{URL: "http://127.0.0.1:1"}, Options{}).Ask(t.Context(), hub.Question{Hook: hub.HookJoin}); err == nil {
		t.Error("nobody answers, and it is no error")
	}
}

func TestLambda(t *testing.T) {
	set := func(h hub.Hook, url string) *Set {
		cfg := aws.Config{Region: "eu-west-1", BaseEndpoint: &url, Credentials: aws.CredentialsProviderFunc(
			func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
			})}
		return one(h, NewLambda(cfg, "arn:aws:lambda:eu-west-1:123456789012:function:rules"), Options{})
	}
	url, last, body := server(t, http.StatusOK, "", `{"allow":true}`)
	v, err := set(hub.HookJoin, url).Ask(t.Context(), hub.Question{Hook: hub.HookJoin})
	if err != nil || !v.Allow || !strings.Contains(last.URL.Path, "function:rules/invocations") || !strings.Contains(*body, `"hook":"join"`) {
		t.Errorf("got %+v, %v; sent %s to %s", v, err, *body, last.URL)
	}
	url, last, _ = server(t, http.StatusAccepted, "", "")
	if _, err := set(hub.HookDisconnect, url).Ask(t.Context(), hub.Question{Hook: hub.HookDisconnect}); err != nil || last.Header.Get("X-Amz-Invocation-Type") != "Event" {
		t.Errorf("telling is an invocation of the type %q, %v", last.Header.Get("X-Amz-Invocation-Type"), err)
	}
	url, _, _ = server(t, http.StatusOK, "Unhandled", `{"errorMessage":"boom"}`)
	if _, err := set(hub.HookJoin, url).Ask(t.Context(), hub.Question{Hook: hub.HookJoin}); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("a function that threw gives %v", err)
	}
	url, _, _ = server(t, http.StatusTooManyRequests, "", `{"Reason":"ConcurrentInvocationLimitExceeded"}`)
	if _, err := set(hub.HookJoin, url).Ask(t.Context(), hub.Question{Hook: hub.HookJoin}); err == nil {
		t.Error("a throttled function is no error")
	}
}
