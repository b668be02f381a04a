// Package emulator is as much of an AWS account as a serverless WebSocket backend needs, on one machine: it reads one SAM or CloudFormation
// template and runs what is in it, so that functions written for AWS run unchanged.
//
// Each product is a package of its own: internal/local/gateway holds the sockets, internal/local/httpapi the HTTP and REST APIs, internal/local/queues the messages,
// internal/local/buses the rules and schedules, internal/local/topics what subscribes, internal/local/streams follows tables, and internal/local/invoke runs the functions for all of them. This package wires them by
// the template and answers for all of them at one address; it starts them in one order and ends them in the other, so that what is under
// way is finished and what a function still sends finds its queue.
//
// Nobody is authenticated but by the API's own authorizer: do not expose more than the WebSocket to a network.
package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/buses"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/httpapi"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/queues"
	"github.com/bellhop-rt/bellhop/internal/local/sigv4"
	"github.com/bellhop-rt/bellhop/internal/local/streams"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/local/topics"
)

// Config says what to emulate. Template and Functions are required; every other zero value is AWS's default.
type Config struct {
	// Template is the only list of routes, functions, queues, topics, rules and schedules.
	Template *template.Template
	// Functions holds the code, by logical id of the template's function or by folder name (the last element of its CodeUri).
	Functions map[string]invoke.Function

	// These are the gateway's; see [gateway.Config].
	API           string
	Mappings      []string
	DomainName    string
	IdleTimeout   time.Duration
	MaxConnection time.Duration
	Faults        gateway.Faults
	Choices       gateway.Choices
	// Users are who may sign requests where AWS_IAM asks for it.
	Users sigv4.Users
	// Environment says where services are that are not emulated here, for AWS integrations: AWS_ENDPOINT_URL_DYNAMODB and its like, as the
	// AWS SDKs read them.
	Environment map[string]string

	// QueueRetry, QueueFile and QueueSync are the queues' Retry, File and Sync; see [queues.Config].
	QueueRetry time.Duration
	QueueFile  string
	QueueSync  bool
	// Tables is the URL of the DynamoDB whose streams are followed, with the region and key of its tables; empty: none are.
	Tables, TablesRegion, TablesKey string
	// NoSchedules leaves the template's schedules off.
	NoSchedules bool

	// Logger is for what an operator should see, the template's warnings among it; default discards.
	Logger *slog.Logger
	// Observe is told what happens, from the goroutine where it happens: it must be quick and safe for concurrent use. Nil costs
	// nothing.
	Observe func(Event)
	// Now is the clock for timestamps; default time.Now.
	Now func() time.Time
}

// Emulator is the products of one template. They are for use; their Start and Close are the Emulator's.
type Emulator struct {
	Functions *invoke.Service
	Gateway   *gateway.Server // of the first API, if there are several
	Queues    *queues.Service
	Buses     *buses.Service
	Topics    *topics.Service
	Streams   *streams.Service
	HTTP      *httpapi.Service // the HTTP and REST APIs beside the WebSocket's

	cfg    Config
	others atomic.Pointer[[]*gateway.Server] // of all APIs but the first

	mu     sync.Mutex // Reload
	bound  map[string]invoke.Function
	served *template.Template

	once   sync.Once // Close
	closed chan struct{}
	err    error // of Close, once closed
}

// New makes the products and returns them ready to be mounted; Start sets their clocks going. The error names the template's line and
// what is wrong there, or the QueueFile.
func New(cfg Config) (e *Emulator, err error) {
	e = &Emulator{closed: make(chan struct{}), bound: cfg.Functions, served: cfg.Template}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	e.Functions, err = invoke.New(invoke.Config{
		Template: cfg.Template, Code: cfg.Functions, Logger: cfg.Logger, Now: cfg.Now, Observe: cfg.observeFunctions(),
	})
	if err != nil {
		return nil, err
	}
	e.cfg = cfg
	if err = e.openGateways(); err == nil {
		e.HTTP, err = httpapi.New(httpapi.Config{
			Template: cfg.Template, Functions: e.Functions, Users: cfg.Users, DomainName: cfg.DomainName, Now: cfg.Now, Observe: cfg.observeHTTP(),
		})
	}
	if err == nil {
		e.Buses, err = buses.New(buses.Config{
			Template: cfg.Template, Functions: e.Functions, NoSchedules: cfg.NoSchedules, Logger: cfg.Logger, Now: cfg.Now, Observe: cfg.observeBuses(),
		})
	}
	if err == nil {
		e.Streams, err = streams.New(streams.Config{
			Template: cfg.Template, Functions: e.Functions, Endpoint: cfg.Tables, Region: cfg.TablesRegion, Key: cfg.TablesKey,
			Matches: buses.Matches, Logger: cfg.Logger, Observe: cfg.observeStreams(),
		})
	}
	if err == nil { // the last, since it has a file open
		e.Queues, err = queues.New(queues.Config{
			Template: cfg.Template, Functions: e.Functions, Retry: cfg.QueueRetry, File: cfg.QueueFile, Sync: cfg.QueueSync, Logger: cfg.Logger, Now: cfg.Now, Observe: cfg.observeQueues(),
		})
	}
	if err != nil {
		e.Functions.Close()
		return nil, err
	}
	e.Topics = topics.New(topics.Config{
		Template: cfg.Template, Functions: e.Functions, Send: e.send, Check: buses.Check, Matches: buses.Matches, Logger: cfg.Logger, Now: cfg.Now, Observe: cfg.observeTopics(),
	})
	for id, path := range e.APIs() {
		cfg.Logger.InfoContext(e.Functions.Context(), "one of several APIs", "api", id, "path", path)
	}
	for _, w := range cfg.Template.Warnings {
		cfg.Logger.WarnContext(e.Functions.Context(), "template", "warning", w.Error())
	}
	return e, nil
}

// Reload serves the API and the functions of a template as it is now, from the next message on; connections stay. Queues, topics,
// rules and schedules are those of the start: left says which of them are others now. With an error all stays as it was.
func (e *Emulator) Reload(t *template.Template, code map[string]invoke.Function) (left []string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.Functions.Reload(t, code); err != nil {
		return nil, err
	}
	if err := e.reloadGateways(t); err != nil {
		return nil, errors.Join(err, e.Functions.Reload(e.served, e.bound))
	}
	if err := e.HTTP.Reload(t); err != nil {
		return nil, errors.Join(err, e.Functions.Reload(e.served, e.bound), e.reloadGateways(e.served))
	}
	left = template.Changes(e.served, t)
	e.served, e.bound = t, code
	return left, nil
}

// Start sets the clocks going: idle and age limits, queues, schedules. Call it once; before it, connections work but nothing times out.
func (e *Emulator) Start() {
	for _, g := range e.gateways() {
		g.Start()
	}
	e.Queues.Start()
	e.Buses.Start()
	e.Streams.Start()
}

// Close ends everything: no new connection or invocation is accepted, schedules stop, every socket is closed with 1001 and its $disconnect
// runs, and all functions and queue batches in flight are waited for. Messages still waiting in queues go to the QueueFile, if there is one.
// If ctx ends first, sockets are cut, the contexts of what still runs are cancelled, and ctx's error is returned.
func (e *Emulator) Close(ctx context.Context) error {
	again := true
	e.once.Do(func() {
		again = false
		go e.end()
	})
	if again {
		return errors.New("emulator: closed already")
	}
	select {
	case <-e.closed:
		return e.err
	case <-ctx.Done():
		for _, g := range e.gateways() {
			g.Cut()
		}
		e.Functions.Cancel()
		// The process may end before what runs does.
		return errors.Join(fmt.Errorf("close emulator: %w", ctx.Err()), e.Queues.Save())
	}
}

// end waits for one product after the other: first those that start something, then those that what was started needs.
func (e *Emulator) end() {
	defer close(e.closed)
	e.Functions.Stop()
	e.Buses.Close()
	e.Streams.Close()
	e.HTTP.Close()
	for _, g := range e.gateways() {
		g.Close()
	}
	e.Queues.Stop()
	e.Functions.Close()
	e.err = e.Queues.Close()
}

// Owns reports whether a request is for one of the products; a server that has more to serve asks before.
func (e *Emulator) Owns(r *http.Request) bool { return e.product(r) != nil }

// product is nil for what is nobody's. Queues, topics and buses know their requests by a header, on any path.
func (e *Emulator) product(r *http.Request) http.Handler {
	path := r.URL.EscapedPath()
	switch {
	case e.Buses.Owns(r):
		return e.Buses
	case e.Topics.Owns(r):
		return e.Topics
	case e.Queues.Owns(r):
		return e.Queues
	case e.Functions.Owns(path):
		return e.Functions
	}
	owned, sure := e.HTTP.Owns(r)
	if owned && sure && !gateway.IsHandshake(r) && !gateway.Manages(path) {
		return e.HTTP
	}
	if g := e.gatewayOf(r); g != nil {
		return g
	}
	if owned {
		return e.HTTP
	}
	return nil
}

// Public reports whether a request is to an HTTP or REST API, which pages of any site may ask: what they get to read, CORS says.
func (e *Emulator) Public(r *http.Request) bool { return e.product(r) == http.Handler(e.HTTP) }

// ServeHTTP serves the WebSocket on /{stage} and refuses one anywhere else with 403, the management API on /{stage}/@connections/{id},
// the Invoke API on /2015-03-31/functions/{name}/invocations, the APIs of SQS, SNS and EventBridge on any path, and the HTTP and REST APIs of the
// template at their stages, see package httpapi. Anything else is 404.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := e.product(r); p != nil {
		p.ServeHTTP(w, r)
		return
	}
	http.NotFound(w, r)
}
