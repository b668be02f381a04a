package processes

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// child is one function in child processes. Its code is made ready when the template is read, and its processes by its first call.
type child struct {
	all *Children

	mu     sync.Mutex
	spec   template.Function // as the template has it
	ready  template.Function // as it was made ready: a function of Go that was built is a bootstrap
	dir    string            // where it runs
	why    error             // it does not run here; nil: it does
	stamp  stamp             // of the code when it was made ready
	stale  bool              // what it runs may be old
	run    *running          // nil: nothing yet
	closed bool
}

// running is a function as it is run, until something about it changes.
type running struct {
	fn     *runtimeapi.Function
	config runtimeapi.Config
	calls  sync.WaitGroup
}

// failure is why a function cannot start, under Lambda's name for that.
func failure(why error) error {
	return &FunctionError{Type: "Runtime.InvalidEntrypoint", Message: why.Error()}
}

// Invoke runs the function as it is now.
func (c *child) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	r, err := c.take(ctx)
	if err != nil {
		return nil, failure(err)
	}
	defer r.calls.Done()
	return r.fn.Invoke(runtimeapi.WithLineage(ctx, string(invoke.CauseOf(ctx).Lineage)), payload)
}

// KeepsTime is [invoke.Timekeeper]: the start of a process is not counted.
func (c *child) KeepsTime() (forever bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.inspected(c.spec.ID)
}

// take gives what runs, and counts a call in.
func (c *child) take(ctx context.Context) (*running, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh(ctx)
	if c.why != nil {
		return nil, c.why
	}
	if c.run == nil || c.stale {
		if err := c.start(ctx); err != nil {
			return nil, err
		}
	}
	c.run.calls.Add(1)
	return c.run, nil
}

// set makes the function ready as a template has it.
func (c *child) set(ctx context.Context, r template.Function) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.spec
	c.spec, c.stale = r, true // its environment may be another
	before.Line = r.Line
	if !reflect.DeepEqual(before, r) {
		c.prepare(ctx, false)
	}
}

// look makes the function ready again if its code has changed.
func (c *child) look(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.refresh(ctx)
	}
}

func (c *child) refresh(ctx context.Context) {
	if !c.all.Watch {
		return
	}
	now := c.all.stampOf(ctx, c.spec)
	if now.sum == c.stamp.sum {
		return
	}
	c.all.tellf(c.spec.ID, "%s has changed: its next call runs what is there now", now.newest)
	c.prepare(ctx, true)
}

// prepare finds the code and makes it ready. again: it has changed.
func (c *child) prepare(ctx context.Context, again bool) {
	c.stamp = c.all.stampOf(ctx, c.spec)
	c.ready, c.stale = c.spec, true
	dir, err := c.all.code(ctx, &c.ready, again)
	if err != nil {
		why := fmt.Errorf("function %s (line %d) does not run here: %w", c.spec.ID, c.spec.Line, err)
		if c.why == nil || c.why.Error() != why.Error() {
			c.all.warn(ctx, c.spec.ID, "it does not run here, and its callers get an error: "+err.Error())
		}
		c.dir, c.why = "", why
		return
	}
	c.dir, c.why = dir, nil
	if c.run != nil {
		c.run.fn.Reload()
	}
}

// start makes of the function what runs, if that is not as it was.
func (c *child) start(ctx context.Context) error {
	config, err := c.all.config(ctx, c.ready, c.dir)
	if err != nil {
		return fmt.Errorf("function %s: %w", c.spec.ID, err)
	}
	if c.run != nil && same(config, c.run.config) {
		c.stale = false
		return nil
	}
	fn, err := runtimeapi.New(config)
	if err != nil {
		return fmt.Errorf("function %s: %w", c.spec.ID, err)
	}
	c.retire(context.WithoutCancel(ctx))
	c.run, c.stale = &running{fn: fn, config: config}, false
	return nil
}

// same reports whether two configurations run the same.
func same(a, b runtimeapi.Config) bool {
	a.Logger, a.Output, b.Logger, b.Output = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

// retire ends what ran until now, when its calls are over.
func (c *child) retire(ctx context.Context) {
	old := c.run
	if old == nil {
		return
	}
	c.run = nil
	c.all.running.Go(func() {
		old.calls.Wait()
		if err := old.fn.Close(ctx); err != nil {
			c.all.Logger.WarnContext(ctx, "end what ran before", "error", err)
		}
	})
}

// end is of a function that the template has no more.
func (c *child) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retire(context.Background())
}

// close ends the function.
func (c *child) close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.run == nil {
		return nil
	}
	return c.run.fn.Close(ctx)
}
