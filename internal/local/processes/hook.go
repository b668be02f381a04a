package processes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/bellhop-rt/bellhop/internal/hooks"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
)

// Hooks are the application's functions that hooks ask, wherever they run. The zero value has none.
type Hooks struct {
	Callers map[hub.Hook]hooks.Caller

	end []func(ctx context.Context) error // of those that run here, or are still at what they were told
}

// HookConfig is what functions of hooks that run here are made of.
type HookConfig struct {
	Env    map[string]string
	Built  func() (string, error) // the folder where Go functions are built; asked if there is one
	Logger *slog.Logger
}

// Open adds the function of a hook: a URL that questions are posted to, the Invoke URL of a Lambda function, or a folder with one
// in Node.js, Python or Go, and after # its handler.
func (h *Hooks) Open(ctx context.Context, hook hub.Hook, where string, c HookConfig) error {
	if h.Callers == nil {
		h.Callers = map[hub.Hook]hooks.Caller{}
	}
	logger := c.Logger.With("hook", string(hook))
	if u, err := url.Parse(where); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		if strings.Contains(u.Path, "/2015-03-31/functions/") {
			h.add(hook, &function{run: remote{where}.Invoke, log: logger})
			return nil
		}
		h.Callers[hook] = hooks.HTTP{URL: where}
		return nil
	}
	folder, handler, _ := strings.Cut(where, "#")
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return fmt.Errorf("%s is neither a URL such as http://127.0.0.1:9000 nor a folder with a function", where)
	}
	config := runtimeapi.Config{
		Name: "hook-" + string(hook), Handler: handler, Dir: folder, Timeout: hooks.MaxTimeout, Logger: logger, Env: c.Env,
	}
	if err := detect(ctx, &config, c.Built); err != nil {
		return err
	}
	fn, err := runtimeapi.New(config)
	if err != nil {
		return err
	}
	h.add(hook, &function{run: fn.Invoke, log: logger})
	h.end = append(h.end, fn.Close)
	return nil
}

func (h *Hooks) add(hook hub.Hook, f *function) {
	h.Callers[hook] = f
	h.end = append(h.end, f.wait)
}

// Close waits for what the functions were told, and ends those that were started.
func (h *Hooks) Close(ctx context.Context) error {
	errs := make([]error, len(h.end))
	for i, end := range h.end {
		errs[i] = end(ctx)
	}
	return errors.Join(errs...)
}

// detect finds out what a folder holds: index.mjs or index.js, lambda_function.py or index.py, or Go files, which it builds.
func detect(ctx context.Context, config *runtimeapi.Config, folder func() (string, error)) error {
	for _, known := range []struct{ file, runtime, handler string }{
		{"bootstrap", "provided.al2023", ""},
		{"index.mjs", "nodejs22.x", "index.handler"},
		{"index.js", "nodejs22.x", "index.handler"},
		{"lambda_function.py", "python3.13", "lambda_function.lambda_handler"},
		{"index.py", "python3.13", "index.handler"},
	} {
		if _, err := os.Stat(filepath.Join(config.Dir, known.file)); err != nil {
			continue
		}
		config.Runtime = known.runtime
		if config.Handler == "" {
			config.Handler = known.handler
		}
		return nil
	}
	if files, err := filepath.Glob(filepath.Join(config.Dir, "*.go")); err != nil || len(files) == 0 {
		return fmt.Errorf("%s has none of index.mjs, index.js, lambda_function.py, index.py, bootstrap and *.go", config.Dir)
	}
	dir, err := folder()
	if err != nil {
		return err
	}
	built := filepath.Join(dir, config.Name)
	if err := runtimeapi.BuildGo(ctx, config.Dir, built); err != nil {
		return err
	}
	config.Dir, config.Runtime = built, "provided.al2023"
	return nil
}

// function is an application function that does not run on AWS.
type function struct {
	run func(ctx context.Context, payload []byte) ([]byte, error)
	log *slog.Logger

	told sync.WaitGroup
}

func (f *function) Call(ctx context.Context, question []byte) ([]byte, error) {
	return f.run(ctx, question)
}

// Tell does as Lambda does: it takes the question and runs the function by and by.
func (f *function) Tell(ctx context.Context, question []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hooks.MaxTimeout)
	f.told.Go(func() {
		defer cancel()
		if _, err := f.run(ctx, question); err != nil {
			f.log.WarnContext(ctx, "hook failed", "error", err)
		}
	})
	return nil
}

func (f *function) wait(context.Context) error {
	f.told.Wait()
	return nil
}
