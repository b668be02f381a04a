// Package httpapi is Amazon API Gateway for the HTTP APIs and REST APIs of a template: what is beside its WebSocket API, such as the route
// by which a program sends something to all who are connected. Routes lead to functions, as proxies; nothing else is behind them, but what
// REST APIs answer to OPTIONS by themselves.
//
// Each API has a host of its own on AWS, and they share one here. An API is at /{stage}, where a stage called $default is at the root; at
// /{logical id}; at the paths that custom domains give it; and at its stage under the host that AWS would give it.
//
// Both payload formats are made, and the answers read, as "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway" and "Lambda
// proxy integrations in API Gateway" (for REST APIs) have them. What no page says is from captures: HTTP APIs hand on the path decoded and
// encode every body whose type is not one of a few, REST APIs do neither. Lambda authorizers are asked each time, without a cache, and
// JWTs are verified with the keys of their issuer. Authorizers of other kinds let nobody in, and say so.
package httpapi

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/sigv4"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Config says what to serve. Template and Functions are required.
type Config struct {
	Template   *template.Template
	Functions  *invoke.Service
	Users      sigv4.Users // who may sign requests to routes with AWS_IAM
	DomainName string      // of events; empty: the name that the client has used
	// Observe is told of every request, from the goroutine where it happens: it must be quick and safe for concurrent use.
	Observe func(Event)
	Now     func() time.Time // default time.Now
}

// Event is a request that was answered.
type Event struct {
	Time     time.Time // when it came
	Duration time.Duration
	API      string // logical id
	Method   string
	Path     string
	Function string // logical id; empty: none was asked
	Status   int
	Err      error // why it is an error, where the answer does not say it
}

// Service serves the APIs of one template. Its methods are safe for concurrent use.
type Service struct {
	cfg  Config
	keys keySets
	apis atomic.Pointer[[]*api]

	mu       sync.Mutex
	stopping bool
	requests sync.WaitGroup
}

// New compiles the APIs. The error names the template's line.
func New(cfg Config) (*Service, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Service{cfg: cfg}
	return s, s.Reload(cfg.Template)
}

// Reload serves the APIs as a template has them from the next request on. With an error all stays as it was.
func (s *Service) Reload(t *template.Template) error {
	var list []*api
	for i := range t.HTTPAPIs {
		a, err := s.compile(t, &t.HTTPAPIs[i])
		if err != nil {
			return err
		}
		list = append(list, a)
	}
	s.apis.Store(&list)
	return nil
}

// Close answers no more, and waits for what is being answered.
func (s *Service) Close() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.requests.Wait()
}

// enter counts a request in, so that Close waits for it; false when the service is closing.
func (s *Service) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.requests.Add(1)
	return true
}

// Paths say where each API is, by logical id.
func (s *Service) Paths() map[string]string {
	out := map[string]string{}
	for _, a := range *s.apis.Load() {
		out[a.spec.ID] = a.root() + "/"
	}
	return out
}

// place is where a request leads to in an API.
type place struct {
	api    *api
	prefix string // of the URL's path, before the API's own: /dev
	mapped bool   // the prefix is a custom domain's
	path   string // still percent-encoded
	route  *route // nil: none
	values map[string]string
	cors   bool // a preflight that the API answers by itself
}

// Owns reports whether a request is answered here: sure is that a route or the API itself is asked; otherwise it is one to an API that has
// no such route, and any other product with that path comes first.
func (s *Service) Owns(r *http.Request) (owns, sure bool) {
	p, ok := s.find(r)
	return ok, ok && (p.route != nil || p.cors)
}

// find looks for the API and the route. Of several APIs at one place, the first takes the request that has a route for it.
func (s *Service) find(r *http.Request) (place, bool) {
	var first *place
	for _, a := range *s.apis.Load() {
		for _, at := range a.places(r) {
			if at.cors = a.isPreflight(r); !at.cors {
				at.route, at.values = a.match(r.Method, at.path)
			}
			if at.route != nil || at.cors {
				return at, true
			}
			if first == nil && (at.prefix != "" || strings.Trim(at.path, "/") != "") { // the root itself is for whoever has something there
				first = &at
			}
		}
	}
	if first == nil {
		return place{}, false
	}
	return *first, true
}

const maxBody = 10 << 20 // "Amazon API Gateway quotas": the payload, of both kinds

// ServeHTTP answers a request.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, ok := s.find(r)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if !s.enter() {
		http.Error(w, "closing", http.StatusServiceUnavailable)
		return
	}
	defer s.requests.Done()
	x := &exchange{srv: s, place: p, r: r, at: s.cfg.Now(), id: uuid.NewString()}
	begin := time.Now()
	a, err := x.answer() //nolint:contextcheck // it has that of the request
	if !p.api.spec.REST {
		p.api.addCORS(r, &a)
	}
	if s.cfg.Observe != nil {
		e := Event{Time: x.at, Duration: time.Since(begin), API: p.api.spec.ID, Method: r.Method, Path: r.URL.EscapedPath(), Status: a.status, Err: err}
		if p.route != nil && p.route.fn != nil {
			e.Function = p.route.fn.ID
		}
		s.cfg.Observe(e)
	}
	x.write(w, a)
}

// exchange is one request and its answer.
type exchange struct {
	srv *Service
	place
	r          *http.Request
	at         time.Time
	id         string
	body       []byte
	authorizer map[string]any    // of the event
	as         map[string]string // who signed the request, as identity has it
}

// answer asks the authorizer, then the function. The error is for the log.
func (x *exchange) answer() (answer, error) {
	rest := x.api.spec.REST
	switch {
	case x.cors:
		return x.api.preflight(x.r), nil
	case x.route == nil && rest:
		return message(http.StatusForbidden, "Missing Authentication Token"), nil
	case x.route == nil:
		return message(http.StatusNotFound, "Not Found"), nil
	}
	var err error
	if x.body, err = io.ReadAll(io.LimitReader(x.r.Body, maxBody+1)); err != nil {
		return message(http.StatusBadRequest, "Bad Request"), err
	}
	if len(x.body) > maxBody {
		return message(http.StatusRequestEntityTooLarge, "Request Entity Too Large"), nil
	}
	if refusal, err := x.authorize(); refusal != nil {
		return *refusal, err
	}
	spec := x.route.spec
	switch {
	case spec.Mock != nil:
		a := answer{status: spec.Mock.Status, header: http.Header{}}
		for name, value := range spec.Mock.Headers {
			a.header.Set(name, value)
		}
		return a, nil
	case x.route.fn == nil:
		return x.internal(), errors.New(spec.Broken)
	}
	return x.ask()
}

// ask runs the function.
func (x *exchange) ask() (answer, error) {
	event, err := x.event()
	if err != nil {
		return x.internal(), err
	}
	ctx := invoke.For(x.r.Context(), invoke.Cause{Lineage: invoke.LineageOf(x.r.Header.Get(invoke.TraceHeader))})
	out, err := x.srv.cfg.Functions.Await(ctx, x.route.fn, event, x.route.spec.Timeout)
	switch {
	case errors.Is(err, invoke.ErrNotInTime) && x.api.spec.REST:
		return message(http.StatusGatewayTimeout, "Endpoint request timed out"), err
	case errors.Is(err, invoke.ErrNotInTime):
		return message(http.StatusServiceUnavailable, "Service Unavailable"), err
	case err != nil:
		return x.internal(), err
	}
	a, err := x.read(out)
	if err != nil {
		return x.internal(), err
	}
	return a, nil
}

// internal is what clients hear of a function that fails.
func (x *exchange) internal() answer {
	if x.api.spec.REST {
		return message(http.StatusBadGateway, "Internal server error")
	}
	return message(http.StatusInternalServerError, "Internal Server Error")
}
