// Package processes runs functions outside of this program: those of a template, and the application's own that hooks ask. They
// are child processes that speak the Lambda Runtime API ([Children]), or at the Lambda Invoke API of another program
// ([Endpoint]), such as `sam local start-lambda` or LocalStack.
package processes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Here is the server that the functions work for, as they reach it.
type Here struct {
	Base     string                    // such as http://127.0.0.1:4000
	QueueURL func(queue string) string // by its logical id; asked when a function starts
	// Reach gives the variables by which programs reach the server under names of AWS and by HTTPS, through a proxy too; nil: none do.
	Reach func(proxied bool) map[string]string
	// Output is told what functions write, by logical id, beside [Children.Output]; nil: nobody. It must be safe for concurrent use.
	Output func(function string, line runtimeapi.Line)
}

// Children are the functions of a template as child processes of this program.
type Children struct {
	Template   *template.Template
	Parameters map[string]string // with which the template was read
	Folder     string            // where the template is, which its paths are relative to
	Built      string            // where Go functions are built, and archives unpacked
	Env        map[string]string // of all functions, over the template's
	EnvOf      map[string]map[string]string
	// Runtimes are commands, for a shell, that run functions of a runtime, or the function of a logical id. They find the code's folder in
	// LAMBDA_TASK_ROOT and the handler in _HANDLER.
	Runtimes map[string]string
	// Inspect are the logical ids of functions that run in a debugger, or "all".
	Inspect []string
	Watch   bool // code that changes is run from the next call on
	// Cache is where AWS's SDKs are fetched to, once for all templates, if functions use them and have none; empty: they are not.
	Cache  string
	Logger *slog.Logger
	// Tell is told what a person wants to know of a function, and Warn what is missing or wrong; nil: nobody, and the Logger.
	Tell, Warn func(function, text string)
	// Output is told what functions write, by logical id; nil: the Logger gets it. It must be safe for concurrent use.
	Output func(function string, line runtimeapi.Line)

	here    Here
	fetches sync.Mutex // of SDKs
	stamps  stamps
	stop    context.CancelFunc // of the poll
	running sync.WaitGroup     // the poll, and functions that end

	mu       sync.Mutex
	children map[string]*child
	sam      samBuilt
	made     map[string]error  // what was built, and why it was not
	unzipped map[string]uint64 // sums of the archives that layers' folders were made of
	said     map[string]bool   // what was warned of
}

// pollEvery is how soon a change is noticed that nobody calls for.
const pollEvery = 300 * time.Millisecond

// Functions gives a function for each of the template, by logical id. Its process starts with its first invocation. One whose code is
// not here, or cannot run here, fails alone, and says why.
func (p *Children) Functions(ctx context.Context, here Here) (map[string]invoke.Function, error) {
	p.here = here
	if err := p.markBuilt(); err != nil {
		return nil, err
	}
	list, err := p.Reload(ctx, p.Template)
	if err != nil || !p.Watch {
		return list, err
	}
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	p.running.Go(func() { p.poll(ctx) })
	return list, nil
}

// Reload gives the functions of a template as it is now. Those that are as they were keep their processes.
func (p *Children) Reload(ctx context.Context, t *template.Template) (map[string]invoke.Function, error) {
	if err := p.checkNames(t); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.Template = t
	before := p.children
	p.children = map[string]*child{}
	for _, r := range t.Functions {
		c := before[r.ID]
		if c == nil {
			c = &child{all: p}
		}
		p.children[r.ID] = c
	}
	now := p.children
	p.mu.Unlock()
	list := map[string]invoke.Function{}
	for _, r := range t.Functions {
		now[r.ID].set(ctx, r)
		list[r.ID] = now[r.ID]
	}
	for id, c := range before {
		if now[id] == nil {
			c.end() //nolint:contextcheck // its calls are waited for
		}
	}
	return list, nil
}

// checkNames finds what is said of functions that there are not.
func (p *Children) checkNames(t *template.Template) error {
	known := func(id string) bool {
		for _, f := range t.Functions {
			if f.ID == id {
				return true
			}
		}
		return false
	}
	for id := range p.EnvOf {
		if !known(id) {
			return fmt.Errorf("--env %s.…: the template has no function %s", id, id)
		}
	}
	for _, id := range p.Inspect {
		if id != allFunctions && !known(id) {
			return fmt.Errorf("--inspect %s: the template has no such function; all is for every one", id)
		}
	}
	return nil
}

// poll notices changes of what nobody calls.
func (p *Children) poll(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, c := range p.current() {
			c.look(ctx)
		}
	}
}

func (p *Children) current() map[string]*child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.children
}

func (p *Children) template() *template.Template {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Template
}

// tellf says something of a function.
func (p *Children) tellf(function, format string, args ...any) {
	if p.Tell != nil {
		p.Tell(function, fmt.Sprintf(format, args...))
	}
}

// warn says what is missing or wrong.
func (p *Children) warn(ctx context.Context, function, text string) {
	if p.Warn != nil {
		p.Warn(function, text)
		return
	}
	p.Logger.WarnContext(ctx, "function", "function", function, "warning", text)
}

// warnOnce warns of something once, however often it comes.
func (p *Children) warnOnce(ctx context.Context, function, text string) {
	p.mu.Lock()
	known := p.said[function+text]
	if p.said == nil {
		p.said = map[string]bool{}
	}
	p.said[function+text] = true
	p.mu.Unlock()
	if !known {
		p.warn(ctx, function, text)
	}
}

// Close ends all processes.
func (p *Children) Close(ctx context.Context) error {
	if p.stop != nil {
		p.stop()
	}
	var errs []error
	for _, c := range p.current() {
		errs = append(errs, c.close(ctx))
	}
	p.running.Wait()
	return errors.Join(errs...)
}
