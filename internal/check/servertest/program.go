package servertest

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
)

// Build compiles the command, once for a test.
func Build(tb testing.TB) (binary string) {
	tb.Helper()
	binary = filepath.Join(tb.TempDir(), "bellhop")
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-o", binary, "./cmd/bellhop") //nolint:gosec // the folder is a test's
	cmd.Dir = sources()
	if text, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build: %v\n%s", err, text)
	}
	return binary
}

// Program is a running `bellhop dev`.
type Program struct {
	URL string // http://127.0.0.1:…

	tb    testing.TB
	cmd   *exec.Cmd
	ended sync.WaitGroup // of what it prints

	mu  sync.Mutex
	out bytes.Buffer
}

// Launch starts a built command on a port of its own and waits until it serves. It runs until it is stopped, at the latest until the test
// ends. env goes before the test's environment.
func Launch(tb testing.TB, binary string, env []string, args ...string) *Program {
	tb.Helper()
	p := &Program{tb: tb}
	p.cmd = exec.CommandContext(context.WithoutCancel(tb.Context()), binary, append([]string{"dev", "--listen", "127.0.0.1:0"}, args...)...) //nolint:gosec // the program is a test's
	p.cmd.Env = append(os.Environ(), env...)
	out, err := p.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	p.cmd.Stdout = &printed{p}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Stop)
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+/`)
	lines, found := bufio.NewReader(out), make(chan string, 1)
	p.ended.Go(func() {
		defer close(found)
		for {
			line, err := lines.ReadString('\n')
			_, _ = (&printed{p}).Write([]byte(line))
			if at := address.FindString(line); at != "" {
				select {
				case found <- at[:len(at)-1]:
				default: // it says so more than once
				}
			}
			if err != nil {
				return
			}
		}
	})
	var open bool
	if p.URL, open = <-found; !open {
		tb.Fatalf("bellhop dev does not start: %s", p.Printed())
	}
	return p
}

// printed collects what a program prints.
type printed struct{ p *Program }

func (w *printed) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.p.out.Write(b)
}

// Printed is what it has printed so far.
func (p *Program) Printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Pid is the id of its process.
func (p *Program) Pid() int { return p.cmd.Process.Pid }

// Stop interrupts it as Ctrl-C does, and waits for its end.
func (p *Program) Stop() {
	if err := p.End(); err != nil {
		p.tb.Errorf("bellhop dev: %v\n%s", err, p.Printed())
	}
}

// End is Stop of one that may fail.
func (p *Program) End() error {
	if p.cmd.ProcessState != nil {
		return nil
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	p.ended.Wait()
	return p.cmd.Wait()
}

// Kill ends it without a warning.
func (p *Program) Kill() {
	_ = p.cmd.Process.Kill()
	p.ended.Wait()
	_ = p.cmd.Wait()
}
