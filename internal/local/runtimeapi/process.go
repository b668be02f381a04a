package runtimeapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/body"
)

type state int

const (
	starting state = iota // has not asked for an invocation yet
	idle
	busy
	ending
)

// process is one child. All but work, quit and tail is guarded by Function.mu.
type process struct {
	work chan *invocation // room for one: what a free process is given before it asks
	quit chan struct{}    // closed when it is to end
	tail [2]tail          // of stdout and stderr

	state     state
	ready     bool // it asked for an invocation
	stale     bool // it runs old code
	gone      bool // its pid may be another's
	calls     int
	pid       int // 0 until started
	addr      string
	said      *output // what it writes; nil until started
	began     time.Time
	init      time.Duration
	initError *Error
	current   *invocation
	idleTimer *time.Timer
}

func (f *Function) newProcess() *process {
	p := &process{work: make(chan *invocation, 1), quit: make(chan struct{})}
	p.idleTimer = time.AfterFunc(f.cfg.IdleTimeout, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if i := slices.Index(f.idle, p); i >= 0 {
			f.idle = slices.Delete(f.idle, i, i+1)
			f.stop(p)
		}
	})
	p.idleTimer.Stop()
	return p
}

// stop asks a process to end and kills it if it does not.
func (f *Function) stop(p *process) {
	if p.state == ending {
		return
	}
	p.leave()
	if p.pid != 0 && !p.gone {
		terminateGroup(p.pid)
		time.AfterFunc(stopGrace, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.kill(p)
		})
	}
}

// kill ends a process, and all that it started, at once.
func (f *Function) kill(p *process) {
	p.leave()
	if p.pid != 0 && !p.gone {
		killGroup(p.pid)
	}
}

func (p *process) leave() {
	if p.state != ending {
		p.state = ending
		close(p.quit)
	}
}

// supervise is the life of a process.
func (f *Function) supervise(p *process, delay time.Duration) {
	// On Linux the child's death signal comes when the thread that started it ends, so that thread must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	reason := f.live(p, delay)
	f.ended(p, reason)
}

// live starts a process, waits for its end and says why it ended.
func (f *Function) live(p *process, delay time.Duration) *Error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.quit:
		return f.closedError()
	}
	ctx := context.Background()
	server, err := f.listen(ctx, p)
	if err != nil {
		return f.startError(err)
	}
	defer server.close()
	cmd, output, err := f.start(p)
	if err != nil {
		return f.startError(err)
	}
	limit := time.AfterFunc(f.initLimit, func() { f.expireInit(p) })
	err = cmd.Wait()
	limit.Stop()
	killGroup(cmd.Process.Pid) // what it started and left behind
	output.drain()
	f.mu.Lock()
	defer f.mu.Unlock()
	p.gone = true
	reason := f.exitError(p, err)
	if p.state != ending || p.initError != nil {
		f.log.WarnContext(ctx, "the function's process ended", "error", reason.Message, "errorType", reason.Type, "calls", p.calls)
	}
	return reason
}

func (f *Function) startError(err error) *Error {
	hint := ""
	if errors.Is(err, os.ErrNotExist) {
		hint = ": build the function first"
	}
	return &Error{Type: "Runtime.InvalidEntrypoint", Message: fmt.Sprintf("start function %s: %v%s", f.cfg.Name, err, hint)}
}

// exitError says how a process ended: in Lambda's words, and with its own last ones.
func (f *Function) exitError(p *process, err error) *Error {
	if p.initError != nil {
		return p.initError
	}
	message := "Runtime exited without providing a reason"
	if err != nil {
		message = "Runtime exited with error: " + err.Error()
	}
	if inv := p.current; inv != nil {
		message = "RequestId: " + inv.id + " Error: " + message
	}
	// A program that logs to stdout, as slog handlers for Lambda do, says there why it gave up.
	if last := cmp.Or(p.tail[1].String(), p.tail[0].String()); last != "" {
		message += "\n" + last
	}
	return &Error{Type: "Runtime.ExitError", Message: message}
}

// expireInit kills a process that has not asked for an invocation in time.
func (f *Function) expireInit(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.state != starting {
		return
	}
	if p.initError == nil {
		p.initError = timedOut(f.initLimit, nil)
		p.initError.Message += " in its init phase"
	}
	f.kill(p)
}

// start runs the program.
func (f *Function) start(p *process) (*exec.Cmd, *output, error) {
	args := f.command
	if f.script() != "" {
		dir, err := f.scripts()
		if err != nil {
			return nil, nil, err
		}
		args = append(slices.Clip(args), dir+string(os.PathSeparator)+f.script())
	}
	out, err := f.newOutput(p)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec,noctx // the function's own program; it is killed with its group
	cmd.Dir = f.cfg.Dir
	cmd.Env = append(slices.Clip(f.env), "AWS_LAMBDA_RUNTIME_API="+p.addr, "AWS_LAMBDA_LOG_STREAM_NAME="+logStream())
	if f.scriptDir != "" {
		cmd.Env = append(cmd.Env, "LAMBDA_RUNTIME_DIR="+f.scriptDir)
	}
	cmd.Stdout, cmd.Stderr = out.streams[0].write, out.streams[1].write
	cmd.SysProcAttr = attributes()
	f.mu.Lock()
	p.began, p.said = time.Now(), out
	f.mu.Unlock()
	if err = cmd.Start(); err != nil {
		out.drain()
		return nil, nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p.pid = cmd.Process.Pid
	if p.state == ending {
		killGroup(p.pid)
	}
	return cmd, out, nil
}

// server is the Runtime API of one process.
type server struct {
	http *http.Server
	done chan struct{}
}

func (f *Function) listen(ctx context.Context, p *process) (*server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for function %s: %w", f.cfg.Name, err)
	}
	f.mu.Lock()
	p.addr = l.Addr().String()
	f.mu.Unlock()
	s := &server{done: make(chan struct{}), http: &http.Server{
		Handler:           body.Within(cmp.Or(f.cfg.BodyTime, f.cfg.Timeout+body.Time), f.api(p, l.Addr().String())),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // a process that dies breaks off its requests
	}}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l)
	}()
	return s, nil
}

func (s *server) close() {
	_ = s.http.Close()
	<-s.done
}
