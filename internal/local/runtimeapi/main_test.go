//go:build unix

package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"go.uber.org/goleak"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// TestMain makes the test binary a Lambda function when a test starts it as one: with the name of a handler.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "function" {
		function(os.Args[2])
		return
	}
	goleak.VerifyTestMain(m)
}

// function is what a deployed main does.
func function(handler string) {
	switch handler {
	case "stream":
		lambda.Start(stream)
	case "broken":
		fmt.Fprintln(os.Stderr, "no table")
		os.Exit(7)
	case "silent":
		fmt.Fprintln(os.Stdout, "no queue")
		os.Exit(7)
	case "stuck":
		select {}
	case "once": // fails to start until the file is there
		if _, err := os.Stat("ready"); err != nil {
			os.Exit(1)
		}
	}
	lambda.StartWithOptions(handle, lambda.WithEnableSIGTERM())
}

// order is an event of the tests: what the function shall do.
type order struct {
	Do   string `json:"do"`
	Size int    `json:"size,omitempty"`
	Path string `json:"path,omitempty"`
}

type reply struct {
	Pid     int    `json:"pid"`
	Calls   int    `json:"calls"`
	Request string `json:"request,omitempty"`
	ARN     string `json:"arn,omitempty"`
	Left    int64  `json:"left,omitempty"`
	Env     string `json:"env,omitempty"`
	Dir     string `json:"dir,omitempty"`
	Text    string `json:"text,omitempty"`
}

var calls int

// DomainError is a type whose name must reach the caller.
type DomainError struct{}

func (DomainError) Error() string { return "no such room" }

func handle(ctx context.Context, o order) (reply, error) {
	calls++
	r := reply{Pid: os.Getpid(), Calls: calls}
	switch o.Do {
	case "describe":
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		r.Request, r.ARN, r.Left = lc.AwsRequestID, lc.InvokedFunctionArn, time.Until(deadline).Milliseconds()
		r.Env = strings.Join(os.Environ(), "\n")
		r.Dir, _ = os.Getwd()
	case "fail":
		return r, DomainError{}
	case "panic":
		panic(errors.New("out of rooms"))
	case "exit":
		fmt.Fprintln(os.Stderr, "going away")
		os.Exit(3)
	case "hang":
		<-make(chan struct{})
	case "spawn": // a grandchild that outlives its parent if nobody stops it
		cmd := exec.CommandContext(context.WithoutCancel(ctx), "sleep", "100")
		if err := cmd.Start(); err != nil {
			return r, err
		}
		r.Left = int64(cmd.Process.Pid)
	case "meet": // ends when as many as Size are here
		if err := os.WriteFile(filepath.Join(o.Path, fmt.Sprint(os.Getpid())), nil, 0o600); err != nil {
			return r, err
		}
		for {
			if all, err := os.ReadDir(o.Path); err != nil || len(all) >= o.Size {
				return r, err
			}
			select {
			case <-ctx.Done():
				return r, ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
	case "echo":
		r.Text = o.Path
	case "big":
		r.Text = strings.Repeat("x", o.Size)
	case "print":
		fmt.Fprint(os.Stdout, "a line\n"+o.Path)
	case "say":
		fmt.Fprintln(os.Stdout, "to stdout")
		fmt.Fprintln(os.Stderr, "to stderr")
	}
	return r, nil
}

// stream answers bit by bit, and fails in the middle if the event says so.
func stream(_ context.Context, o order) (io.Reader, error) {
	if o.Do == "fail" {
		return io.MultiReader(strings.NewReader(`{"text":`), iotest.ErrReader(DomainError{})), nil
	}
	return io.MultiReader(strings.NewReader(`{"text":`), strings.NewReader(`"stream"}`)), nil
}

// open makes a function that is closed with the test.
func open(tb testing.TB, cfg Config) *Function {
	tb.Helper()
	if cfg.Name == "" {
		cfg.Name = "test"
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = patience
	}
	if cfg.Dir == "" {
		cfg.Dir = tb.TempDir()
	}
	f, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
	return f
}

// golang is a function in Go: this test binary.
func golang(handler string) Config { return Config{Command: []string{os.Args[0], "function", handler}} }

// script is a function in another language, from source.
func script(tb testing.TB, runtime, file, source string) Config {
	tb.Helper()
	program := "node"
	if strings.HasPrefix(runtime, "python") {
		program = "python3"
	}
	if _, err := exec.LookPath(program); err != nil {
		tb.Skip(err)
	}
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(source), 0o600); err != nil {
		tb.Fatal(err)
	}
	stem, _, _ := strings.Cut(file, ".")
	return Config{Runtime: runtime, Handler: stem + ".handler", Dir: dir}
}

// call invokes a function that must succeed.
func call[T any](tb testing.TB, f *Function, event any) T {
	tb.Helper()
	in, err := json.Marshal(event)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := f.Invoke(tb.Context(), in)
	if err != nil {
		tb.Fatalf("%v: %v", event, err)
	}
	var r T
	if err := json.Unmarshal(out, &r); err != nil {
		tb.Fatalf("%s: %v", out, err)
	}
	return r
}

// wantError invokes a function that must fail.
func wantError(tb testing.TB, f *Function, event any, kind, message string) *Error {
	tb.Helper()
	in, err := json.Marshal(event)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := f.Invoke(tb.Context(), in)
	e, ok := errors.AsType[*Error](err)
	if !ok {
		tb.Fatalf("%v: got %s, %v, want an error", event, out, err)
	}
	if e.Type != kind || !strings.Contains(e.Message, message) {
		tb.Fatalf("%v: got %s: %s, want %s: %s", event, e.Type, e.Message, kind, message)
	}
	return e
}

// eventually waits until a condition holds.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			tb.Fatal(what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// seen is a request that reached the local server.
type seen struct {
	Method, Host, Path, Body string
	Header                   http.Header `json:"-"`
}

// local is a server that stands for AWS in tests of redirects. It answers with what it saw.
func local(tb testing.TB) (addr string, requests func() []seen) {
	tb.Helper()
	var mu sync.Mutex
	var all []seen
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		all = append(all, seen{r.Method, r.Host, r.URL.RequestURI(), string(body), r.Header})
		mu.Unlock()
		w.WriteHeader(http.StatusTeapot)
	}))
	tb.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), func() []seen {
		mu.Lock()
		defer mu.Unlock()
		return append([]seen(nil), all...)
	}
}

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
