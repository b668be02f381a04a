package processes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// ErrNotBuilt is of a function that does not compile. The others run without it.
var ErrNotBuilt = errors.New("does not compile")

// isBuilt reports whether a function is built here before it runs.
func isBuilt(folder string, r template.Function) bool { return isGo(folder, r) || isMade(folder, r) }

// isGo reports whether a function is built from Go code here: it is for a runtime without a language, and its folder has
// Go files and no bootstrap.
func isGo(folder string, r template.Function) bool {
	if r.Runtime != "go1.x" && !strings.HasPrefix(r.Runtime, "provided") || isMade(folder, r) {
		return false
	}
	if _, err := os.Stat(filepath.Join(folder, "bootstrap")); err == nil {
		return false
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	return err == nil && len(files) > 0
}

// isMade reports whether a function is built by its folder's Makefile, as sam build does: make build-ID puts it into ARTIFACTS_DIR.
func isMade(folder string, r template.Function) bool {
	if r.BuildMethod != "makefile" {
		return false
	}
	_, err := os.Stat(filepath.Join(folder, "Makefile"))
	return err == nil
}

func (p *Children) built(r template.Function) string { return filepath.Join(p.Built, r.ID) }

// Build makes the functions that are to be made, of Go or by a Makefile, and says which do not compile, with what the compiler said: an
// [ErrNotBuilt] for each. Without it they are made when they are first asked for, unless they have been.
func (p *Children) Build(ctx context.Context) error {
	var errs []error
	for _, r := range p.template().Functions {
		source, err := p.source(ctx, r)
		if err != nil || source == "" || !isBuilt(source, r) {
			continue
		}
		if err := p.build(ctx, r, source); err != nil {
			errs = append(errs, fmt.Errorf("function %s %w: %w", r.ID, ErrNotBuilt, err))
		}
	}
	return errors.Join(errs...)
}

// ensureBuilt makes a function if it has not been made, or always if it has changed.
func (p *Children) ensureBuilt(ctx context.Context, r template.Function, source string, again bool) error {
	p.mu.Lock()
	err, made := p.made[r.ID]
	p.mu.Unlock()
	if made && !again {
		return err
	}
	if _, err := os.Stat(p.built(r)); err == nil && !again && !p.Watch {
		return nil
	}
	return p.build(ctx, r, source)
}

// build makes a function, as sam build would, but for this machine.
func (p *Children) build(ctx context.Context, r template.Function, source string) (err error) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.made == nil {
			p.made = map[string]error{}
		}
		p.made[r.ID] = err
	}()
	p.tellf(r.ID, "building")
	if isGo(source, r) {
		var flags []string
		if p.inspected(r.ID) {
			flags = []string{"-gcflags=all=-N -l"} // as it is written, line by line
		}
		return runtimeapi.BuildGo(ctx, source, p.built(r), flags...)
	}
	out := p.built(r)
	if err := os.MkdirAll(out, 0o700); err != nil {
		return fmt.Errorf("make the folder of what is built: %w", err)
	}
	target := "build-" + r.ID
	cmd := exec.CommandContext(ctx, "make", "-C", source, target, "ARTIFACTS_DIR="+out) //nolint:gosec // the template is the caller's
	cmd.WaitDelay = time.Second
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make %s in %s: %w\n%s", target, source, err, strings.TrimSpace(string(text)))
	}
	return nil
}
