package emulator

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Template is what a SAM or CloudFormation template says, as plain data: for programs that build its functions, make its tables, or tell a
// person what is there. Everything is in the template's order, without the resources whose condition is false.
type Template struct {
	Functions []FunctionResource
	Tables    []TableResource
	Queues    []QueueResource
	Schedules []ScheduleResource
	APIs      []APIResource // WebSocket APIs
	// Warnings are about what the template asks for and the emulator does not do.
	Warnings []*TemplateError

	t    *template
	file string
}

// QueueResource is an SQS queue.
type QueueResource struct {
	ID          string // logical id
	Name        string // QueueName, or the logical id
	ARN         string
	Line        int
	Visibility  time.Duration
	Delay       time.Duration
	Retention   time.Duration
	DeadLetters string // logical id of the dead-letter queue, if there is one
	MaxReceives int
	Function    string // logical id of the function that receives, if there is one
	BatchSize   int
}

// ScheduleResource is something that invokes a function again and again.
type ScheduleResource struct {
	ID       string
	Line     int
	Function string // logical id
	Every    time.Duration
}

// APIResource is a WebSocket API.
type APIResource struct {
	ID         string // logical id
	APIID      string // what Ref gives: always the same for a logical id
	Line       int
	Stage      string
	Selection  string // RouteSelectionExpression
	Routes     []RouteResource
	Authorizer string // logical id of the function, if there is one
}

// RouteResource is a route of a WebSocket API.
type RouteResource struct {
	Key      string
	Line     int
	Type     string // AWS_PROXY, MOCK, HTTP_PROXY, or one that is not emulated; empty without an integration
	Function string // logical id, for AWS_PROXY
	TwoWay   bool   // what the integration answers goes to the client
}

// ReadTemplateFile is ReadTemplate of a file, whose name is in the errors and warnings.
func ReadTemplateFile(path string, parameters map[string]string) (*Template, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the path is the caller's
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	t, err := ReadTemplate(text, parameters)
	if err != nil {
		return nil, inFile(err, path)
	}
	t.file = path
	t.Warnings = t.t.named(path)
	return t, nil
}

// named says in which file the warnings are.
func (t *template) named(file string) []*TemplateError {
	for _, w := range t.warnings {
		w.File = file
	}
	return t.warnings
}

// ReadTemplate reads a template in YAML or JSON. parameters override the defaults of its parameters and its pseudo parameters, such as
// "AWS::Region". The error is a *TemplateError where it is about a line. A template without a WebSocket API is no error here.
func ReadTemplate(text []byte, parameters map[string]string) (*Template, error) {
	r, err := newReader(Config{Template: text, Parameters: parameters})
	if err != nil {
		return nil, err
	}
	out := &Template{t: r.t}
	if out.Tables, err = r.readTables(); err != nil {
		return nil, err
	}
	for _, f := range r.m.functions {
		out.Functions = append(out.Functions, *f)
	}
	apis, err := r.findAPIs()
	if err != nil {
		return nil, err
	}
	for _, res := range apis {
		one := *r
		one.m = r.m.withoutAPI()
		if err := one.readAPI(res); err != nil {
			return nil, err
		}
		out.APIs = append(out.APIs, one.m.resource())
	}
	for _, q := range r.m.queues {
		out.Queues = append(out.Queues, QueueResource{
			ID: q.id, Name: q.name, ARN: q.arn, Line: q.line, Visibility: q.visibility, Delay: q.delay, Retention: q.retention,
			DeadLetters: q.deadLetters, MaxReceives: q.maxReceives, Function: q.function, BatchSize: q.batchSize,
		})
	}
	for _, s := range r.m.schedules {
		out.Schedules = append(out.Schedules, ScheduleResource{ID: s.id, Line: s.line, Function: s.function, Every: s.every})
	}
	out.Warnings = r.t.warnings
	return out, nil
}

// withoutAPI keeps what all APIs of a template have in common.
func (m *model) withoutAPI() *model {
	return &model{region: m.region, account: m.account, functions: m.functions, queues: m.queues, schedules: m.schedules, rules: m.rules}
}

func (m *model) resource() APIResource {
	out := APIResource{ID: m.api, APIID: m.apiID, Line: m.line, Stage: m.stage, Selection: m.selection}
	for _, spec := range m.routes {
		out.Routes = append(out.Routes, RouteResource{
			Key: spec.key, Line: spec.line, Type: spec.integration.kind, Function: spec.integration.function, TwoWay: spec.twoWay,
		})
	}
	if m.authorizer != nil {
		out.Authorizer = m.authorizer.function
	}
	return out
}

// Function is the function of a logical id, a FunctionName, an ARN, or a folder that is no other function's. ok is false if there is none.
func (t *Template) Function(name string) (f FunctionResource, ok bool) {
	if _, after, isARN := strings.Cut(name, ":function:"); isARN {
		name, _, _ = strings.Cut(after, ":")
	}
	inFolder := 0
	for _, candidate := range t.Functions {
		if candidate.ID == name || candidate.Name == name {
			return candidate, true
		}
		if candidate.folder == name && name != "" {
			f = candidate
			inFolder++
		}
	}
	return f, inFolder == 1
}
