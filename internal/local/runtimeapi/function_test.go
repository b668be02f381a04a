//go:build unix

package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// alive reports whether a process is there; one that only waits to be reaped is not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	return err != nil || !strings.Contains(string(status), "State:\tZ")
}

func TestInvoke(t *testing.T) {
	f := open(t, golang("handle"))

	var first reply
	t.Run("a call is answered", func(t *testing.T) {
		first = call[reply](t, f, order{})
		if first.Calls != 1 || first.Pid == os.Getpid() {
			t.Errorf("got %+v", first)
		}
	})
	t.Run("the process is kept for the next one", func(t *testing.T) {
		for i := range 50 {
			if got := call[reply](t, f, order{}); got.Pid != first.Pid || got.Calls != i+2 {
				t.Fatalf("got %+v after %+v", got, first)
			}
		}
	})
	t.Run("an error of the function keeps its type, its payload and the process", func(t *testing.T) {
		e := wantError(t, f, order{Do: "fail"}, "DomainError", "no such room")
		if !strings.Contains(string(e.Payload), `"errorMessage":"no such room"`) || e.Error() != "no such room" || e.ErrorType() != "DomainError" {
			t.Errorf("got %+v", e)
		}
		if got := call[reply](t, f, order{}); got.Pid != first.Pid {
			t.Errorf("got %+v after %+v", got, first)
		}
	})
	t.Run("a panic fails the call, the next one has a new process", func(t *testing.T) {
		wantError(t, f, order{Do: "panic"}, "errorString", "out of rooms")
		if got := call[reply](t, f, order{}); got.Calls != 1 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("an exit fails the call with the status and the last words", func(t *testing.T) {
		wantError(t, f, order{Do: "exit"}, "Runtime.ExitError", "exit status 3\ngoing away")
		if got := call[reply](t, f, order{}); got.Calls != 1 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("payloads are large", func(t *testing.T) {
		const size = 5 << 20
		if got := call[reply](t, f, order{Do: "big", Size: size, Path: strings.Repeat("y", size)}); len(got.Text) != size {
			t.Errorf("got %d bytes", len(got.Text))
		}
	})
	t.Run("but not larger than 6 MB", func(t *testing.T) {
		wantError(t, f, order{Do: "big", Size: maxPayload}, "Function.ResponseSizeTooLarge", "maximum allowed payload size")
		wantError(t, f, order{Path: strings.Repeat("y", maxPayload)}, "RequestEntityTooLarge", "at most")
	})
	t.Run("counts", func(t *testing.T) {
		s := f.Stats()
		if s.Errors != 5 || s.Invocations < 50 || s.Starts < 3 || s.Waiting != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestStream(t *testing.T) {
	f := open(t, golang("stream"))
	if got := call[reply](t, f, order{}); got.Text != "stream" {
		t.Errorf("got %+v", got)
	}
	wantError(t, f, order{Do: "fail"}, "DomainError", "no such room")
}

// TestMixture has calls of every sort at once: each must get its own answer.
func TestMixture(t *testing.T) {
	cfg := golang("handle")
	cfg.Concurrency = 4
	cfg.Timeout = 2 * time.Second
	f := open(t, cfg)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for n := range 10 {
				switch (i + n) % 16 {
				case 3:
					wantError(t, f, order{Do: "exit"}, "Runtime.ExitError", "exit status 3")
				case 7:
					wantError(t, f, order{Do: "fail"}, "DomainError", "")
				case 11:
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
					if _, err := f.Invoke(ctx, []byte(`{"do":"hang"}`)); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got %v", err)
					}
					cancel()
				case 15:
					f.Reload()
				default:
					text := fmt.Sprint(i, ".", n)
					if got := call[reply](t, f, order{Do: "echo", Path: text}); got.Text != text {
						t.Errorf("got %s, want %s", got.Text, text)
					}
				}
			}
		})
	}
	all.Wait()
	eventually(t, "a process is lost", func() bool { s := f.Stats(); return s.Idle == s.Processes && s.Waiting == 0 && s.Processes <= 4 })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.starting != 0 {
		t.Errorf("%d are starting", f.starting)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THIS_MACHINE", "1")
	t.Setenv("AWS_PROFILE", "production")
	cfg := golang("handle")
	cfg.Name, cfg.Memory, cfg.Timeout, cfg.Runtime = "orders", 512, 5*time.Second, "provided.al2023"
	cfg.ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
	cfg.Env = map[string]string{"TABLE": "t", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
	f := open(t, cfg)
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "abc-1", InvokedFunctionArn: cfg.ARN + ":live"})
	out, err := f.Invoke(ctx, []byte(`{"do":"describe"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"request":"abc-1"`, cfg.ARN + ":live", `\nTABLE=t\n`, `\nAWS_LAMBDA_FUNCTION_NAME=orders\n`, `AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512\n`,
		`AWS_REGION=eu-west-1\n`, `AWS_DEFAULT_REGION=eu-west-1\n`, `AWS_ACCESS_KEY_ID=local\n`, `AWS_ENDPOINT_URL=http://127.0.0.1:1\n`, `TZ=:UTC\n`,
		`LAMBDA_TASK_ROOT=` + f.cfg.Dir, `AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/orders\n`, `AWS_LAMBDA_FUNCTION_VERSION=$LATEST\n`, `\nPATH=`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s is missing in %s", want, out)
		}
	}
	for _, secret := range []string{"SECRET_OF_THIS_MACHINE", "AWS_PROFILE", "AWS_EXECUTION_ENV"} {
		if strings.Contains(string(out), secret) {
			t.Errorf("the function sees %s", secret)
		}
	}
	if got := call[reply](t, f, order{Do: "describe"}); got.Left <= 4000 || got.Left > 5000 || got.Dir != f.cfg.Dir || len(got.Request) != 36 {
		t.Errorf("got %d ms left in %s for %s", got.Left, got.Dir, got.Request)
	}
}

func TestTimeout(t *testing.T) {
	cfg := golang("handle")
	cfg.Timeout = 150 * time.Millisecond
	f := open(t, cfg)
	pid := call[reply](t, f, order{}).Pid

	t.Run("the function's own", func(t *testing.T) {
		wantError(t, f, order{Do: "hang"}, "Sandbox.Timedout", "Task timed out after 0.15 seconds")
		eventually(t, "the process lives", func() bool { return !alive(pid) })
	})
	t.Run("the caller's", func(t *testing.T) {
		pid = call[reply](t, f, order{}).Pid
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := f.Invoke(ctx, []byte(`{"do":"hang"}`))
		if e, ok := errors.AsType[*Error](err); !ok || e.Type != "Sandbox.Timedout" || e.Message != "Task timed out after 0.05 seconds" {
			t.Errorf("got %v", err)
		}
		eventually(t, "the process lives", func() bool { return !alive(pid) })
	})
	t.Run("a caller who goes away", func(t *testing.T) {
		pid = call[reply](t, f, order{}).Pid
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if _, err := f.Invoke(ctx, []byte(`{"do":"hang"}`)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := f.Invoke(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		eventually(t, "the process lives", func() bool { return !alive(pid) })
	})
	t.Run("afterwards it works", func(t *testing.T) {
		if got := call[reply](t, f, order{}); got.Calls != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestConcurrency(t *testing.T) {
	t.Run("calls at once have a process each, up to the limit", func(t *testing.T) {
		cfg := golang("handle")
		cfg.Concurrency = 3
		f := open(t, cfg)
		dir := t.TempDir()
		pids := sync.Map{}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { pids.Store(call[reply](t, f, order{Do: "meet", Size: 3, Path: dir}).Pid, true) })
		}
		all.Wait()
		for range 12 {
			all.Go(func() { pids.Store(call[reply](t, f, order{}).Pid, true) })
		}
		all.Wait()
		n := 0
		pids.Range(func(any, any) bool { n++; return true })
		if s := f.Stats(); n != 3 || s.Starts != 3 || s.Idle != 3 {
			t.Errorf("got %d processes, %+v", n, s)
		}
		t.Run("and one at a time always have the same", func(t *testing.T) {
			first := call[reply](t, f, order{}).Pid
			for range 20 {
				if got := call[reply](t, f, order{}).Pid; got != first {
					t.Fatalf("got process %d after %d", got, first)
				}
			}
		})
	})
	t.Run("a call that finds no process in its time is told so, and the busy one goes on", func(t *testing.T) {
		cfg := golang("handle")
		cfg.Concurrency = 1
		f := open(t, cfg)
		dir := t.TempDir()
		var wait sync.WaitGroup
		wait.Go(func() { call[reply](t, f, order{Do: "meet", Size: 2, Path: dir}) })
		eventually(t, "it does not run", func() bool { all, _ := os.ReadDir(dir); return len(all) == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		_, err := f.Invoke(ctx, []byte(`{}`))
		if e, ok := errors.AsType[*Error](err); !ok || e.Type != "TooManyRequestsException" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		wait.Wait()
		if s := f.Stats(); s.Waiting != 0 || s.Starts != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestInit(t *testing.T) {
	t.Run("a program that exits fails its call with its last words, and does not spin", func(t *testing.T) {
		f := open(t, golang("broken"))
		begin := time.Now()
		for range 3 {
			wantError(t, f, order{}, "Runtime.ExitError", "exit status 7\nno table")
		}
		if got := time.Since(begin); got < minBackoff+2*minBackoff {
			t.Errorf("3 starts in %v", got)
		}
	})
	t.Run("its last words may be on stdout", func(t *testing.T) {
		wantError(t, open(t, golang("silent")), order{}, "Runtime.ExitError", "exit status 7\nno queue")
	})
	t.Run("many calls fail with few starts", func(t *testing.T) {
		cfg := golang("broken")
		cfg.Concurrency = 2
		f := open(t, cfg)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { wantError(t, f, order{}, "Runtime.ExitError", "exit status 7") })
		}
		all.Wait()
		if s := f.Stats(); s.Starts > 4 || s.Errors != 20 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("once it is mended it runs", func(t *testing.T) {
		f := open(t, golang("once"))
		wantError(t, f, order{}, "Runtime.ExitError", "exit status 1")
		if err := os.WriteFile(filepath.Join(f.cfg.Dir, "ready"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		call[reply](t, f, order{})
	})
	t.Run("a program that never asks is killed", func(t *testing.T) {
		f := open(t, golang("stuck"))
		f.initLimit = 100 * time.Millisecond
		wantError(t, f, order{}, "Sandbox.Timedout", "Task timed out after 0.10 seconds in its init phase")
		eventually(t, "it lives", func() bool { return f.Stats().Processes == 0 })
	})
	t.Run("a caller does not wait for a start longer than it wants to", func(t *testing.T) {
		f := open(t, golang("stuck"))
		f.initLimit = time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := f.Invoke(ctx, []byte(`{}`))
		if e, ok := errors.AsType[*Error](err); !ok || e.Type != "Sandbox.Timedout" || !strings.Contains(e.Message, "starting") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a bootstrap that is not there", func(t *testing.T) {
		f := open(t, Config{Runtime: "provided.al2023"})
		wantError(t, f, order{}, "Runtime.InvalidEntrypoint", "build the function first")
	})
}

func TestNew(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "no name"},
		{Config{Name: "a", Runtime: "java21"}, `function a: runtime "java21" cannot run here`},
		{Config{Name: "a", Runtime: "nodejs22.x", Handler: "index"}, "not of the form"},
		{Config{Name: "a", Runtime: "go1.x"}, "cannot run here"},
		{Config{Name: "a", Redirect: map[string]string{"*": "https://a"}}, "no http: URL"},
	} {
		if _, err := New(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %s", test.cfg, err, test.want)
		}
	}
	t.Run("a missing interpreter is named", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		for runtime, want := range map[string]string{"nodejs22.x": "install Node.js", "python3.13": "install Python"} {
			if _, err := New(Config{Name: "a", Runtime: runtime, Handler: "a.b"}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	})
}

func TestClose(t *testing.T) {
	t.Run("no process is left, nor what they started", func(t *testing.T) {
		f := open(t, golang("handle"))
		r := call[reply](t, f, order{Do: "spawn"})
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a process lives", func() bool { return !alive(r.Pid) && !alive(int(r.Left)) })
		wantError(t, f, order{}, "Sandbox.Failure", "closed")
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("calls in flight are finished, those that wait are not", func(t *testing.T) {
		cfg := golang("handle")
		cfg.Concurrency = 1
		f := open(t, cfg)
		dir := t.TempDir()
		var all sync.WaitGroup
		all.Go(func() { call[reply](t, f, order{Do: "meet", Size: 2, Path: dir}) })
		eventually(t, "it does not run", func() bool { all, _ := os.ReadDir(dir); return len(all) == 1 })
		all.Go(func() { wantError(t, f, order{}, "Sandbox.Failure", "closed") })
		eventually(t, "it does not wait", func() bool { return f.Stats().Waiting == 1 })
		all.Go(func() {
			if err := f.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "it waits", func() bool { return f.Stats().Waiting == 0 })
		if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
			t.Error(err)
		}
		all.Wait()
	})
	t.Run("when the time is up all are killed", func(t *testing.T) {
		f := open(t, golang("handle"))
		r := call[reply](t, f, order{})
		var all sync.WaitGroup
		all.Go(func() { wantError(t, f, order{Do: "hang"}, "Runtime.ExitError", "signal: killed") })
		eventually(t, "it does not run", func() bool { return f.Stats().Idle == 0 })
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		if err := f.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		all.Wait()
		if alive(r.Pid) {
			t.Error("the process lives")
		}
	})
	t.Run("a process without work ends", func(t *testing.T) {
		cfg := golang("handle")
		cfg.IdleTimeout = 30 * time.Millisecond
		f := open(t, cfg)
		call[reply](t, f, order{})
		eventually(t, "the process lives", func() bool { return f.Stats().Processes == 0 })
		if got := call[reply](t, f, order{}); got.Calls != 1 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a crash takes along what the process started", func(t *testing.T) {
		f := open(t, golang("handle"))
		r := call[reply](t, f, order{Do: "spawn"})
		wantError(t, f, order{Do: "exit"}, "Runtime.ExitError", "exit status 3")
		eventually(t, "what it started lives", func() bool { return !alive(int(r.Left)) })
	})
	t.Run("reload starts anew", func(t *testing.T) {
		f := open(t, golang("handle"))
		call[reply](t, f, order{})
		f.Reload()
		if got := call[reply](t, f, order{}); got.Calls != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestReport(t *testing.T) {
	log := &lines{}
	var reports []Report
	cfg := golang("handle")
	cfg.Logger = log.logger()
	cfg.Observe = func(r Report) { reports = append(reports, r) }
	f := open(t, cfg)
	call[reply](t, f, order{Do: "say"})
	call[reply](t, f, order{})
	wantError(t, f, order{Do: "fail"}, "DomainError", "")
	if len(reports) != 3 {
		t.Fatalf("got %+v", reports)
	}
	if r := reports[0]; !r.Cold || r.Init <= 0 || r.Duration <= 0 || r.RequestID == "" || r.Err != nil {
		t.Errorf("got %+v", r)
	}
	if r := reports[1]; r.Cold || r.Init != 0 || r.Duration <= 0 {
		t.Errorf("got %+v", r)
	}
	if r := reports[2]; r.Err == nil {
		t.Errorf("got %+v", r)
	}
	if peakMemory(os.Getpid()) > 0 && reports[0].MaxMemory == 0 {
		t.Errorf("got %+v", reports[0])
	}
	eventually(t, "lines are missing", func() bool {
		all := log.String()
		return strings.Contains(all, `stream=stdout requestId=`+reports[0].RequestID+` line="to stdout"`) && strings.Contains(all, `line="to stderr"`) &&
			strings.Contains(all, "msg=invocation")
	})
}

// TestProtocol speaks as a process might: badly.
func TestProtocol(t *testing.T) {
	f := open(t, golang("handle"))
	p := f.newProcess()
	p.state, f.starting = starting, 1
	addr := "127.0.0.1:1"
	h := f.api(p, addr)
	during := func(ctx context.Context, method, path, body string, header http.Header) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(ctx, method, "http://"+addr+"/2018-06-01/runtime/"+path, strings.NewReader(body))
		maps.Copy(r.Header, header)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	do := func(method, path, body string, header http.Header) *httptest.ResponseRecorder {
		return during(t.Context(), method, path, body, header)
	}
	want := func(w *httptest.ResponseRecorder, status int, text string) {
		t.Helper()
		if w.Code != status || !strings.Contains(w.Body.String(), text) {
			t.Errorf("got %d %s, want %d %s", w.Code, w.Body, status, text)
		}
	}
	want(do("GET", "invocation/next", "", http.Header{"Origin": {"https://evil.example"}}), http.StatusForbidden, "Forbidden")
	want(do("POST", "invocation/x/response", "1", nil), http.StatusBadRequest, "InvalidRequestID")
	giveUp := func() { // it asks for work and is cut off while there is none
		t.Helper()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		want(during(gone, "GET", "invocation/next", "", nil), http.StatusOK, "")
	}
	giveUp()
	want(do("POST", "init/error", "{}", nil), http.StatusForbidden, "InvalidStateTransition")

	inv := newInvocation(t.Context(), "arn", []byte(`{"a":1}`))
	f.acquire(inv, nil)
	w := do("GET", "invocation/next", "", nil) // asks again: the connection was lost
	want(w, http.StatusOK, `{"a":1}`)
	if w.Header().Get("Lambda-Runtime-Aws-Request-Id") != inv.id || w.Header().Get("Lambda-Runtime-Trace-Id") == "" {
		t.Errorf("got %v", w.Header())
	}
	want(do("GET", "invocation/next", "", nil), http.StatusForbidden, "InvalidStateTransition")
	want(do("POST", "invocation/other/response", "1", nil), http.StatusBadRequest, "InvalidRequestID")
	want(do("POST", "invocation/"+inv.id+"/response", "1", http.Header{"Lambda-Runtime-Function-Response-Mode": {"streaming"}}), http.StatusAccepted, "OK")
	want(do("POST", "invocation/"+inv.id+"/response", "2", nil), http.StatusBadRequest, "InvalidRequestID")
	if r := <-inv.result; string(r.out) != "1" || r.err != nil {
		t.Errorf("got %+v", r)
	}

	inv = newInvocation(t.Context(), "arn", nil)
	giveUp()
	f.acquire(inv, nil)
	want(do("GET", "invocation/next", "", nil), http.StatusOK, "")
	want(do("POST", "invocation/"+inv.id+"/error", "no JSON", http.Header{"Lambda-Runtime-Function-Error-Type": {"My.Type"}}), http.StatusAccepted, "OK")
	r := <-inv.result
	if e, ok := errors.AsType[*Error](r.err); !ok || e.Message != "no JSON" || e.Type != "My.Type" {
		t.Errorf("got %+v", r)
	}
	giveUp()
	f.mu.Lock()
	f.idle = nil
	f.mu.Unlock()
}

// TestParentKilled starts a program that has a function and kills it. Where the system has no death signal the process ends because
// its connection breaks.
func TestParentKilled(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestParent$", "-test.v")
	cmd.Env = append(os.Environ(), "RUNTIMEAPI_PARENT=1", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var text []byte
	for buf := make([]byte, 1024); pid == 0; {
		n, err := out.Read(buf)
		text = append(text, buf[:n]...)
		if _, rest, ok := strings.Cut(string(text), "pid "); ok && strings.Contains(rest, ".") {
			number, _, _ := strings.Cut(rest, ".")
			pid, _ = strconv.Atoi(number)
		} else if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	eventually(t, "the function's process lives", func() bool { return !alive(pid) })
}

// TestParent is that program.
func TestParent(t *testing.T) {
	if !strings.Contains(strings.Join(os.Environ(), "\n"), "RUNTIMEAPI_PARENT=1") {
		t.Skip("only as a child of TestParentKilled")
	}
	f := open(t, golang("handle"))
	fmt.Fprintf(os.Stdout, "pid %d.\n", call[reply](t, f, order{}).Pid)
	_, _ = f.Invoke(t.Context(), []byte(`{"do":"hang"}`))
}

func TestBuildGo(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/f\n\ngo 1.26\n")
	write("main.go", "package main\n\nfunc main() { undefined() }\n")
	out := filepath.Join(dir, "out")
	if err := BuildGo(t.Context(), dir, out); err == nil || !strings.Contains(err.Error(), "main.go:3") {
		t.Errorf("got %v", err)
	}
	write("main.go", "package main\n\nimport \"os\"\n\nfunc main() { os.Exit(9) }\n")
	if err := BuildGo(t.Context(), dir, out); err != nil {
		t.Fatal(err)
	}
	f := open(t, Config{Dir: out, Runtime: "provided.al2023"})
	wantError(t, f, order{}, "Runtime.ExitError", "exit status 9")
}

func BenchmarkInvoke(b *testing.B) {
	for name, cfg := range map[string]Config{
		"go":     golang("handle"),
		"node":   script(b, "nodejs22.x", "index.mjs", `export const handler = async (event) => event;`),
		"python": script(b, "python3.13", "index.py", "def handler(event, context):\n    return event\n"),
	} {
		b.Run(name, func(b *testing.B) {
			f := open(b, cfg)
			call[reply](b, f, order{})
			for b.Loop() {
				if _, err := f.Invoke(b.Context(), []byte(`{"do":"echo"}`)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
