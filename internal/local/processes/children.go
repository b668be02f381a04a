// Package processes runs functions outside of this program: those of a template, and the application's own that hooks ask. They
// are child processes that speak the Lambda Runtime API ([Children]), or at the Lambda Invoke API of another program
// ([Endpoint]), such as `sam local start-lambda` or LocalStack.
package processes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Here is the server that the functions work for, as they reach it.
type Here struct {
	Base     string                    // such as http://127.0.0.1:4000
	QueueURL func(queue string) string // by its logical id; asked when a function starts
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
	Logger     *slog.Logger
	// Output is told what functions write, by logical id; nil: the Logger gets it. It must be safe for concurrent use.
	Output func(function string, line runtimeapi.Line)

	mu      sync.Mutex
	running []*runtimeapi.Function
	sam     map[string]string // see samBuilt
	broken  map[string]error  // of what does not compile
}

// Functions gives a function for each of the template, by logical id. Its process starts with its first invocation. One whose code is
// not here, or cannot run here, fails alone, and says why.
func (p *Children) Functions(ctx context.Context, here Here) (map[string]invoke.Function, error) {
	list := map[string]invoke.Function{}
	for _, r := range p.Template.Functions {
		dir, err := p.code(ctx, &r)
		if err != nil {
			p.Logger.WarnContext(ctx, "a function does not run here, and its callers get an error", "function", r.ID, "error", err)
			list[r.ID] = absent{entrypoint(fmt.Errorf("function %s (line %d) does not run here: %w", r.ID, r.Line, err))}
			continue
		}
		lasting := context.WithoutCancel(ctx)
		list[r.ID] = &child{start: sync.OnceValues(func() (*runtimeapi.Function, error) { return p.start(lasting, here, r, dir) })}
	}
	return list, nil
}

// absent is a function that does not run here.
type absent struct{ why error }

func (f absent) Invoke(context.Context, []byte) ([]byte, error) { return nil, f.why }

// entrypoint is why a function cannot start, under Lambda's name for that.
func entrypoint(why error) error {
	return &FunctionError{Type: "Runtime.InvalidEntrypoint", Message: why.Error()}
}

// Close ends all processes.
func (p *Children) Close(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, f := range p.running {
		errs = append(errs, f.Close(ctx))
	}
	return errors.Join(errs...)
}

// ErrNotBuilt is of a function that does not compile. The others run without it.
var ErrNotBuilt = errors.New("does not compile")

// Build compiles the Go functions, as sam build would, but for this machine. The error is an [ErrNotBuilt] for each that does not
// compile, with what the compiler said.
func (p *Children) Build(ctx context.Context) error {
	p.broken = map[string]error{}
	var errs []error
	for _, r := range p.Template.Functions {
		source, err := p.source(ctx, r)
		if err != nil || source == "" || !isGo(source, r) {
			continue
		}
		p.Logger.InfoContext(ctx, "building", "function", r.ID)
		if err := runtimeapi.BuildGo(ctx, source, p.built(r)); err != nil {
			p.broken[r.ID] = fmt.Errorf("it %w: %w", ErrNotBuilt, err)
			errs = append(errs, fmt.Errorf("function %s %w: %w", r.ID, ErrNotBuilt, err))
		}
	}
	return errors.Join(errs...)
}

// isGo reports whether a function is built from Go code here: it is for a runtime without a language, and its folder has
// Go files and no bootstrap.
func isGo(folder string, r template.Function) bool {
	if r.Runtime != "go1.x" && !strings.HasPrefix(r.Runtime, "provided") {
		return false
	}
	if _, err := os.Stat(filepath.Join(folder, "bootstrap")); err == nil {
		return false
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	return err == nil && len(files) > 0
}

func (p *Children) built(r template.Function) string { return filepath.Join(p.Built, r.ID) }

// child is one function in child processes, prepared by its first call.
type child struct {
	start func() (*runtimeapi.Function, error)
}

func (f *child) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	fn, err := f.start()
	if err != nil {
		return nil, entrypoint(err)
	}
	return fn.Invoke(ctx, payload)
}

func (p *Children) start(ctx context.Context, here Here, r template.Function, dir string) (*runtimeapi.Function, error) {
	env, err := p.environment(ctx, here, r)
	if err != nil {
		return nil, err
	}
	concurrency := 0
	if r.Concurrency != nil {
		concurrency = *r.Concurrency
	}
	base, err := url.Parse(here.Base)
	if err != nil {
		return nil, fmt.Errorf("address of this server: %w", err)
	}
	var output func(runtimeapi.Line)
	if p.Output != nil || here.Output != nil {
		output = func(line runtimeapi.Line) {
			for _, tell := range []func(string, runtimeapi.Line){p.Output, here.Output} {
				if tell != nil {
					tell(r.ID, line)
				}
			}
		}
	}
	fn, err := runtimeapi.New(runtimeapi.Config{
		Output: output,
		Name:   r.Name, Runtime: r.Runtime, Handler: r.Handler, Dir: dir, Env: env, Memory: r.MemoryMB, Timeout: r.Timeout,
		Concurrency: concurrency, ARN: r.ARN, Logger: p.Logger.With("function", r.ID),
		Redirect: redirects(base, env["AWS_ENDPOINT_URL_DYNAMODB"]),
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
func redirects(here *url.URL, tables string) map[string]string {
	base := here.String()
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

// isTable tells the resources that package tables makes, under the names that the template gives them.
func isTable(kind string) bool {
	switch kind {
	case "AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable", "AWS::Serverless::SimpleTable":
		return true
	}
	return false
}

// environment is what a function sees: the template's variables, with the tables, queues and the API as they are here.
func (p *Children) environment(ctx context.Context, here Here, r template.Function) (map[string]string, error) {
	env := map[string]string{
		"AWS_ENDPOINT_URL_SQS": here.Base, "AWS_ENDPOINT_URL_LAMBDA": here.Base, "AWS_ENDPOINT_URL_SECRETS_MANAGER": here.Base,
	}
	own, warnings, err := p.Template.Environment(r.ID, func(to template.Reference) (string, bool) {
		switch {
		case to.Type == "AWS::SQS::Queue" && to.Attribute == "":
			return here.QueueURL(to.Resource), true
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
				return strings.Replace(here.Base, "http", "ws", 1)
			}
			return here.Base
		})
	}
	maps.Copy(env, p.Env)
	return env, nil
}
