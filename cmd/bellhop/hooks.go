package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/bellhop-rt/bellhop/internal/hooks"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
)

// callers reads --hook NAME=WHERE.
func (c devCommand) callers(ctx context.Context, logger *slog.Logger) (map[hub.Hook]hooks.Caller, error) {
	list := map[hub.Hook]hooks.Caller{}
	for name, where := range c.Hook {
		hook := hub.Hook(name)
		if !slices.Contains(hub.HookNames(), hook) {
			return nil, fmt.Errorf("--hook %s: there is no such hook; there are %v", name, hub.HookNames())
		}
		caller, err := c.caller(ctx, hook, where, logger.With("hook", name))
		if err != nil {
			return nil, fmt.Errorf("--hook %s: %w", name, err)
		}
		list[hook] = caller
	}
	for _, hook := range hub.HookNames() {
		if parameter := hookParameter(hook); c.Parameter[parameter] != "" {
			return nil, fmt.Errorf("--parameter %s names a function on AWS; here, say where it is with --hook %s=…", parameter, hook)
		}
	}
	return list, nil
}

// hookParameter is the parameter of template.yaml that names a hook's function: JoinHook.
func hookParameter(hook hub.Hook) string {
	return strings.ToUpper(string(hook[:1])) + string(hook[1:]) + "Hook"
}

func (c devCommand) caller(ctx context.Context, hook hub.Hook, where string, logger *slog.Logger) (hooks.Caller, error) {
	if u, err := url.Parse(where); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		if strings.Contains(u.Path, "/2015-03-31/functions/") {
			return &functionHook{run: remote{where}.Invoke, log: logger}, nil
		}
		return hooks.HTTP{URL: where}, nil
	}
	folder, handler, _ := strings.Cut(where, "#")
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is neither a URL such as http://127.0.0.1:9000 nor a folder with a function", where)
	}
	config := runtimeapi.Config{
		Name: "hook-" + string(hook), Handler: handler, Dir: folder, Timeout: hooks.MaxTimeout, Logger: logger,
		Env: localEnvironment(c.DynamoDB),
	}
	if err := c.detect(ctx, &config); err != nil {
		return nil, err
	}
	fn, err := runtimeapi.New(config)
	if err != nil {
		return nil, err
	}
	return &functionHook{run: fn.Invoke, end: fn.Close, log: logger}, nil
}

// detect finds out what a folder holds: index.mjs or index.js, lambda_function.py or index.py, or Go files, which it builds.
func (c devCommand) detect(ctx context.Context, config *runtimeapi.Config) error {
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
	if err := c.makeData(); err != nil {
		return err
	}
	built := filepath.Join(c.builtFolder(), config.Name)
	if err := runtimeapi.BuildGo(ctx, config.Dir, built); err != nil {
		return err
	}
	config.Dir, config.Runtime = built, "provided.al2023"
	return nil
}

// functionHook is an application function that does not run on AWS.
type functionHook struct {
	run func(ctx context.Context, payload []byte) ([]byte, error)
	end func(ctx context.Context) error // nil: it is not ours to end
	log *slog.Logger

	told sync.WaitGroup
}

// Call is [hooks.Caller].Call.
func (f *functionHook) Call(ctx context.Context, question []byte) ([]byte, error) {
	return f.run(ctx, question)
}

// Tell is [hooks.Caller].Tell: as Lambda does, it takes the question and runs the function by and by.
func (f *functionHook) Tell(ctx context.Context, question []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hooks.MaxTimeout)
	f.told.Go(func() {
		defer cancel()
		if _, err := f.run(ctx, question); err != nil {
			f.log.WarnContext(ctx, "hook failed", "error", err)
		}
	})
	return nil
}

func (f *functionHook) close(ctx context.Context) error {
	f.told.Wait()
	if f.end == nil {
		return nil
	}
	return f.end(ctx)
}

// closeHooks ends the functions that were started.
func closeHooks(ctx context.Context, callers map[hub.Hook]hooks.Caller) error {
	var err error
	for _, caller := range callers {
		if f, ok := caller.(*functionHook); ok {
			err = errors.Join(err, f.close(ctx))
		}
	}
	return err
}

// hookARN and a hook's name are the function that Bellhop's functions in other processes ask, by the Lambda Invoke API of
// this server.
const hookARN = "arn:aws:lambda:us-east-1:123456789012:function:bellhop-hook-"

// invokedHook gives the hook whose function a request invokes.
func (s *server) invokedHook(r *http.Request) hooks.Caller {
	function, is := strings.CutPrefix(r.URL.Path, "/2015-03-31/functions/"+hookARN)
	name, ends := strings.CutSuffix(function, "/invocations")
	if !is || !ends || r.Method != http.MethodPost {
		return nil
	}
	return s.hooks[hub.Hook(name)]
}

// serveHook answers an invocation of a hook's function.
func serveHook(w http.ResponseWriter, r *http.Request, caller hooks.Caller) {
	const most = 1 << 20
	question, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.Header.Get("X-Amz-Invocation-Type") == "Event" {
		if err := caller.Tell(r.Context(), question); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	answer, err := caller.Call(r.Context(), question)
	if err != nil {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		writeJSON(w, http.StatusOK, thrown{Type: "Error", Message: err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}
