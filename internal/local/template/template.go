// Package template reads a SAM or CloudFormation template into plain data: its functions, tables, queues, topics, schedules, rules of event buses,
// WebSocket APIs, HTTP and REST APIs, with parameters filled in, conditions decided and references resolved. Whoever emulates a service reads the data and
// never sees YAML.
//
// AWS expands SAM, resolves intrinsic functions and refuses what is wrong before anything runs. The same is done here, with two
// differences. Only what is asked for is resolved, so a template may hold what nobody here understands. And what would only be known on
// AWS (the value that another stack exports, an ARN of something that was never made) is made up as it would look there, with a warning.
//
// An error or a warning names the line it is about, and the resource where there is one.
package template

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Template is what a template says. Everything is in its order, without the resources whose condition is false. A Template is not changed
// once it is read, but that [Template.Warnf] adds to its warnings.
type Template struct {
	Region        string
	Account       string
	Functions     []Function
	Layers        []Layer
	Tables        []Table
	Queues        []Queue
	Streams       []Stream
	Schedules     []Schedule
	Rules         []Rule
	Topics        []Topic
	Subscriptions []Subscription
	APIs          []API     // WebSocket APIs
	HTTPAPIs      []HTTPAPI // HTTP and REST APIs
	// Warnings are about what the template asks for and nobody here does.
	Warnings []*Error

	source *source
}

// Options are the choices of who deploys a template.
type Options struct {
	// File is the template's name in errors and warnings; by default they say "template line 7".
	File string
	// Parameters override the defaults of the template's parameters, and its pseudo parameters, such as "AWS::Region".
	Parameters map[string]string
	// Stage overrides the StageName of the APIs, and says which stage to take of an API that has several.
	Stage string
}

// ReadFile is [Read] of a file.
func ReadFile(path string, o Options) (*Template, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the path is the caller's
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	o.File = path
	return Read(text, o)
}

// Read reads a template in YAML or JSON. The error is an *[Error] where it is about a line. A template without a WebSocket API is no
// error here.
func Read(text []byte, o Options) (*Template, error) {
	root, err := parseDocument(text)
	if err != nil {
		return nil, inFile(fmt.Errorf("template: %w", err), o.File)
	}
	return ReadNode(root, o)
}

// ReadNode is [Read] of a template that was made of another document, whose lines its nodes have.
func ReadNode(root *yaml.Node, o Options) (*Template, error) {
	t, err := read(root, o)
	return t, inFile(err, o.File)
}

// reader fills a Template.
type reader struct {
	*source

	out   *Template
	stage string      // that is asked for
	http  []httpEvent // of functions, in the template's order
}

// read goes through the kinds of resources in the order in which they refer to each other.
func read(root *yaml.Node, o Options) (*Template, error) {
	src, err := parse(root, o)
	if err != nil {
		return nil, err
	}
	t := &Template{Region: src.pseudo["AWS::Region"], Account: src.pseudo["AWS::AccountId"], source: src}
	r := &reader{source: src, out: t, stage: o.Stage}
	for _, step := range []func() error{r.readFunctions, r.readLayers, r.readQueues, r.readTables, r.readTopics, r.readEvents, r.readAPIs, r.readHTTPAPIs} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	r.warnOfResources()
	t.Warnings = src.warnings
	return t, nil
}

// Function is the function of a logical id, a FunctionName, an ARN, or what an integration names it by. ok is false if there is none.
func (t *Template) Function(name string) (f *Function, ok bool) {
	if _, after, is := strings.Cut(name, ":function:"); is {
		name = after
	}
	if i := strings.IndexAny(name, ":/"); i >= 0 { // a version, an alias, or the rest of a path
		name = name[:i]
	}
	for _, is := range []func(Function) bool{
		func(f Function) bool { return f.ID == name },
		func(f Function) bool { return f.Name == name },
	} {
		if i := slices.IndexFunc(t.Functions, is); i >= 0 {
			return &t.Functions[i], true
		}
	}
	return nil, false
}

// Queue is the queue of a logical id, name, URL or ARN, nil if there is none.
func (t *Template) Queue(name string) *Queue {
	name = name[strings.LastIndexAny(name, ":/")+1:]
	for _, is := range []func(Queue) bool{
		func(q Queue) bool { return q.ID == name },
		func(q Queue) bool { return q.Name == name },
	} {
		if i := slices.IndexFunc(t.Queues, is); i >= 0 {
			return &t.Queues[i]
		}
	}
	return nil
}

// API is the WebSocket API of a logical id, or the only one there is if id is empty.
func (t *Template) API(id string) (*API, error) {
	if id != "" {
		i := slices.IndexFunc(t.APIs, func(a API) bool { return a.ID == id })
		if i < 0 {
			return nil, t.inFile(fmt.Errorf("the template has no WebSocket API %s", id))
		}
		return &t.APIs[i], nil
	}
	switch len(t.APIs) {
	case 0:
		return nil, t.inFile(errNoAPI)
	case 1:
		return &t.APIs[0], nil
	}
	first, second := t.APIs[0], t.APIs[1]
	return nil, t.Errorf(second.Line, "%s: a second WebSocket API besides %s (line %d); say which one to serve", second.ID, first.ID, first.Line)
}

var errNoAPI = errors.New("the template has no WebSocket API: no AWS::Serverless::WebSocketApi and no AWS::ApiGatewayV2::Api with ProtocolType WEBSOCKET")

// Errorf is an error about a line.
func (t *Template) Errorf(line int, format string, args ...any) error {
	return t.inFile(atLine(line, format, args...))
}

func (t *Template) inFile(err error) error { return inFile(err, t.source.file) }

// Warnf adds a warning about a line, once however often it is said: for who emulates a service, about what it leaves out.
func (t *Template) Warnf(line int, format string, args ...any) {
	t.source.warnf(line, format, args...)
	t.Warnings = t.source.warnings
}
