package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/bellhop-rt/bellhop"
	"github.com/bellhop-rt/bellhop/internal/hooks"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
)

// processes runs the functions of a template outside of this program: as child processes that speak the Lambda Runtime
// API, or at the Lambda Invoke API of another program, such as `sam local start-lambda` or LocalStack.
type processes struct {
	Template *emulator.Template
	Folder   string            // what CodeUri is relative to
	Built    string            // where Go functions are built
	Endpoint string            // of a Lambda Invoke API; empty: child processes
	Env      map[string]string // of all functions, over the template's
	Logger   *slog.Logger

	queueURL func(base, queue string) string
	ready    sync.WaitGroup // until base is known
	base     string         // where this server is

	mu      sync.Mutex
	running []*runtimeapi.Function
}

// functions gives a function for each of the template, by logical id. They run nothing before at tells them where this
// server is.
func (p *processes) functions(ctx context.Context) (map[string]emulator.Function, error) {
	p.ready.Add(1)
	list := map[string]emulator.Function{}
	for _, r := range p.Template.Functions {
		if p.Endpoint != "" {
			list[r.ID] = remote{strings.TrimSuffix(p.Endpoint, "/") + "/2015-03-31/functions/" + url.PathEscape(r.Name) + "/invocations"}
			continue
		}
		dir, err := p.code(r)
		if err != nil {
			return nil, err
		}
		lasting := context.WithoutCancel(ctx)
		list[r.ID] = &childProcess{start: sync.OnceValues(func() (*runtimeapi.Function, error) { return p.start(lasting, r, dir) })}
	}
	return list, nil
}

// at says where this server is, and lets the functions begin.
func (p *processes) at(base string) {
	p.base = base
	p.ready.Done()
}

// close ends all processes.
func (p *processes) close(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, f := range p.running {
		errs = append(errs, f.Close(ctx))
	}
	return errors.Join(errs...)
}

// build compiles the Go functions, as sam build would, but for this machine.
func (p *processes) build(ctx context.Context) error {
	for _, r := range p.Template.Functions {
		if p.Endpoint != "" || !isGo(p.source(r), r) {
			continue
		}
		p.Logger.InfoContext(ctx, "building", "function", r.ID)
		if err := runtimeapi.BuildGo(ctx, p.source(r), p.built(r)); err != nil {
			return fmt.Errorf("build function %s: %w", r.ID, err)
		}
	}
	return nil
}

// isGo reports whether a function is built from Go code here: it is for a runtime without a language, and its folder has
// Go files and no bootstrap.
func isGo(folder string, r emulator.FunctionResource) bool {
	if r.Runtime != "go1.x" && !strings.HasPrefix(r.Runtime, "provided") {
		return false
	}
	if _, err := os.Stat(filepath.Join(folder, "bootstrap")); err == nil {
		return false
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	return err == nil && len(files) > 0
}

func (p *processes) source(r emulator.FunctionResource) string {
	return filepath.Join(p.Folder, filepath.FromSlash(r.CodeURI))
}

func (p *processes) built(r emulator.FunctionResource) string { return filepath.Join(p.Built, r.ID) }

// code gives the folder that a function runs in.
func (p *processes) code(r emulator.FunctionResource) (string, error) {
	source := p.source(r)
	switch {
	case r.InlineCode != "":
		dir := p.built(r)
		name := map[bool]string{true: "index.js", false: "index.py"}[strings.HasPrefix(r.Runtime, "nodejs")]
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("keep the code of function %s: %w", r.ID, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(r.InlineCode), 0o600); err != nil {
			return "", fmt.Errorf("keep the code of function %s: %w", r.ID, err)
		}
		return dir, nil
	case r.ImageURI != "" || r.Remote != "" || r.CodeURI == "" || strings.HasSuffix(r.CodeURI, ".zip"):
		return "", fmt.Errorf("the code of function %s (line %d) is no folder: run it elsewhere, with --functions endpoint=URL", r.ID, r.Line)
	case isGo(source, r):
		return p.built(r), nil
	}
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		return "", fmt.Errorf("function %s (line %d): there is no folder %s", r.ID, r.Line, source)
	}
	return source, nil
}

// childProcess is one function in child processes, prepared by its first call.
type childProcess struct {
	start func() (*runtimeapi.Function, error)
}

// Invoke is [emulator.Function].Invoke.
func (f *childProcess) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	fn, err := f.start()
	if err != nil {
		return nil, err
	}
	return fn.Invoke(ctx, payload)
}

func (p *processes) start(ctx context.Context, r emulator.FunctionResource, dir string) (*runtimeapi.Function, error) {
	p.ready.Wait()
	env, err := p.environment(ctx, r)
	if err != nil {
		return nil, err
	}
	concurrency := 0
	if r.Concurrency != nil {
		concurrency = *r.Concurrency
	}
	here, err := url.Parse(p.base)
	if err != nil {
		return nil, fmt.Errorf("address of this server: %w", err)
	}
	fn, err := runtimeapi.New(runtimeapi.Config{
		Name: r.Name, Runtime: r.Runtime, Handler: r.Handler, Dir: dir, Env: env, Memory: r.MemoryMB, Timeout: r.Timeout,
		Concurrency: concurrency, ARN: r.ARN, Logger: p.Logger.With("function", r.ID),
		Redirect: redirects(p.base, here, env["AWS_ENDPOINT_URL_DYNAMODB"]),
	})
	if err != nil {
		return nil, fmt.Errorf("function %s: %w", r.ID, err)
	}
	p.mu.Lock()
	p.running = append(p.running, fn)
	p.mu.Unlock()
	return fn, nil
}

// redirects are for code that cannot be told where things are: handlers that build the management API's address from the
// API's id or from the domain name of the event, and SDKs too old for AWS_ENDPOINT_URL.
func redirects(base string, here *url.URL, tables string) map[string]string {
	list := map[string]string{
		"*.execute-api.*.amazonaws.com": base, here.Host: base, "localhost:" + here.Port(): base,
		"sqs.*.amazonaws.com": base, "lambda.*.amazonaws.com": base, "events.*.amazonaws.com": base,
	}
	if tables != "" {
		list["dynamodb.*.amazonaws.com"] = tables
	}
	return list
}

// gateway is the address that a template gives its API on AWS.
var gateway = regexp.MustCompile(`(https|wss)://[a-z0-9-]+\.execute-api\.[a-z0-9-]+\.amazonaws\.com(\.cn)?`)

// isTable tells the resources that createTables makes, under the names that the template gives them.
func isTable(kind string) bool {
	switch kind {
	case "AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable", "AWS::Serverless::SimpleTable":
		return true
	}
	return false
}

// environment is what a function sees: the template's variables, with the tables, queues and the API as they are here.
func (p *processes) environment(ctx context.Context, r emulator.FunctionResource) (map[string]string, error) {
	env := map[string]string{
		"AWS_ENDPOINT_URL_SQS": p.base, "AWS_ENDPOINT_URL_LAMBDA": p.base, "AWS_ENDPOINT_URL_SECRETS_MANAGER": p.base,
	}
	own, warnings, err := p.Template.Environment(r.ID, func(to emulator.Reference) (string, bool) {
		switch {
		case to.Type == "AWS::SQS::Queue" && to.Attribute == "":
			return p.queueURL(p.base, to.Resource), true
		case isTable(to.Type) && to.Attribute == "":
			return to.Name, true
		}
		return "", false
	})
	if err != nil {
		return nil, fmt.Errorf("environment of function %s: %w", r.ID, err)
	}
	for _, w := range warnings {
		p.Logger.WarnContext(ctx, "template", "warning", w)
	}
	for name, value := range own {
		env[name] = gateway.ReplaceAllStringFunc(value, func(match string) string {
			if strings.HasPrefix(match, "wss") {
				return strings.Replace(p.base, "http", "ws", 1)
			}
			return p.base
		})
	}
	maps.Copy(env, p.Env)
	return env, nil
}

// remote is a function at the Lambda Invoke API of another program.
type remote struct{ url string }

// thrown is the error of a function that ran elsewhere.
type thrown struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

func (e *thrown) Error() string     { return e.Message }
func (e *thrown) ErrorType() string { return e.Type }

// Invoke is [emulator.Function].Invoke.
func (f remote) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("invoke: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("invoke: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	const limit = 6 << 20 // of Lambda's answers
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read answer of %s: %w", f.url, err)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("invoke %s: %s: %.500s", f.url, response.Status, body)
	case response.Header.Get("X-Amz-Function-Error") == "":
		return body, nil
	}
	e := &thrown{Type: "Unhandled", Message: string(body)}
	if err := json.Unmarshal(body, e); err != nil {
		return nil, fmt.Errorf("the function failed: %.500s", body)
	}
	return nil, e
}

// secretARN is what the template's JwtSecretArn is here: functions in processes ask this server for it.
const secretARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:bellhop-dev" //nolint:gosec // a name, not the secret

// serveSecret is GetSecretValue of Secrets Manager. Programs of this machine may ask, as they may for tokens; pages of the
// web cannot, since they may not send the header that leads here.
func (s *server) serveSecret(w http.ResponseWriter) {
	writeJSON(w, http.StatusOK, map[string]string{"ARN": secretARN, "Name": "bellhop-dev", "SecretString": string(s.secret)})
}

// withHooks names the hooks' functions as they are found here.
func withHooks(parameters map[string]string, callers map[hub.Hook]hooks.Caller) map[string]string {
	all := maps.Clone(parameters)
	if all == nil {
		all = map[string]string{}
	}
	for hook := range callers {
		all[hookParameter(hook)] = hookARN + string(hook)
	}
	return all
}

// ownProcesses is Bellhop itself as it is deployed: its functions, built from folder, on a table that is there.
func ownProcesses(folder string, parameters map[string]string, origins []string) (*processes, error) {
	own := map[string]string{"Monitoring": "off", "Metrics": "off", "JwtSecretArn": secretARN, "AllowedOrigins": strings.Join(origins, ",")}
	maps.Copy(own, parameters)
	t, err := emulator.ReadTemplate(bellhop.Template, own)
	if err != nil {
		return nil, err
	}
	return &processes{Template: t, Folder: folder, Env: map[string]string{}}, nil
}
