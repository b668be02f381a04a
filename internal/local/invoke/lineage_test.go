package invoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

func TestLineage(t *testing.T) {
	for header, want := range map[string]Lineage{
		"": "", "Root=1-a-b;Sampled=0": "", "Root=1-a-b;Lineage=a:1|b:2;Sampled=0": "a:1|b:2", "Lineage=a:1%7Cb:2": "a:1|b:2", "Lineage=%zz": "%zz",
	} {
		if got := LineageOf(header); got != want {
			t.Errorf("%s: got %q, want %q", header, got, want)
		}
	}
	l, n := Lineage("").and("a")
	l, _ = l.and("b")
	l, m := l.and("a")
	if l != "a:2|b:1" || n != 1 || m != 2 {
		t.Errorf("got %q, %d, %d", l, n, m)
	}
	if got := LineageOf(l.Header()); got != l {
		t.Errorf("a header gives %q", got)
	}
	if got, n := Lineage("a:x").and("a"); got != "a:1" || n != 1 {
		t.Errorf("nonsense gives %q, %d", got, n)
	}
}

// TestRecursiveInvocation: functions that invoke each other are stopped, each after 16 runs, one that is allowed to is not.
func TestRecursiveInvocation(t *testing.T) {
	const text = `
Resources:
  A: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/a/}}
  B: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/b/, RecursiveLoop: Allow}}
`
	read, err := template.Read([]byte(text), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var s *Service
	runs := map[string]int{}
	call := func(name string, next func() string) Function {
		return handlerFunc(func(ctx context.Context, _ []byte) ([]byte, error) {
			runs[name]++
			if runs[name] == 30 {
				return []byte(`"enough"`), nil
			}
			return s.Invoke(ctx, next(), []byte("{}"))
		})
	}
	other := "b"
	if s, err = New(Config{Template: read, Code: map[string]Function{
		"a": call("a", func() string { return other }), "b": call("b", func() string { return other }),
	}}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if out, err := s.Invoke(t.Context(), "b", []byte("{}")); err != nil || string(out) != `"enough"` || runs["b"] != 30 {
		t.Errorf("allowed: %s, %v, %d runs", out, err, runs["b"])
	}
	other = "a"
	if _, err := s.Invoke(t.Context(), "a", []byte("{}")); !errors.Is(err, ErrRecursive) || runs["a"] != 16 {
		t.Errorf("not allowed: %v, %d runs", err, runs["a"])
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/2015-03-31/functions/A/invocations", strings.NewReader("{}"))
	r.Header.Set(TraceHeader, "Root=1-x-y;Lineage="+inLineage(read.Functions[0].ARN)+":16%7Cother:3")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || !strings.Contains(fmt.Sprint(w.Header()), "RecursiveInvocationException") {
		t.Errorf("by the API: %d %v %s", w.Code, w.Header(), w.Body)
	}
}

type handlerFunc func(ctx context.Context, payload []byte) ([]byte, error)

func (f handlerFunc) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return f(ctx, payload)
}
