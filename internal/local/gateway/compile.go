package gateway

import (
	"errors"
	"fmt"

	"golang.org/x/time/rate"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/sigv4"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// plan is the API as a template has it, for messages to be matched against. It is not changed, but replaced.
type plan struct {
	template *template.Template
	mappings []string // of the API, see [Config]
	api      *template.API
	arn      string // of $connect: what an authorizer's policy must cover

	routes     map[string]*route // what a message can select: without the three $ keys
	connect    *route            // nil: everybody is accepted
	disconnect *route
	fallback   *route
	selector   selector
	authorizer *authorizer
}

func (s *Server) compile(t *template.Template, id string, mappings []string) (*plan, error) {
	api, err := t.API(id)
	if err != nil {
		return nil, err
	}
	p := &plan{
		template: t, mappings: mappings, api: api, routes: map[string]*route{},
		arn: "arn:aws:execute-api:" + t.Region + ":" + t.Account + ":" + api.APIID + "/" + api.Stage + "/$connect",
	}
	if len(api.Routes) == 0 {
		return nil, t.Errorf(api.Line, "%s: the API has no routes", api.ID)
	}
	if p.selector, err = parseSelector(api.Selection); err != nil {
		return nil, t.Errorf(api.Line, "RouteSelectionExpression: %v", err)
	}
	models := p.compileModels()
	for _, spec := range api.Routes {
		r, err := s.compileRoute(p, spec)
		if err != nil {
			return nil, err
		}
		if r.models, err = p.modelsOf(spec, models); err != nil {
			return nil, t.Errorf(spec.Line, "route %s: %v", spec.Key, err)
		}
		switch spec.Key {
		case "$connect":
			if spec.Integration.Type != "" { // without an integration everybody is accepted
				p.connect = r
			}
		case "$disconnect":
			p.disconnect = r
		case "$default":
			p.fallback = r
		default:
			p.routes[spec.Key] = r
		}
	}
	if api.IAM && !s.cfg.Users.Given() {
		t.Warnf(api.Line, "%s: %v", api.ID, sigv4.ErrNobody)
	}
	if api.Authorizer != nil {
		p.authorizer, err = s.compileAuthorizer(p, *api.Authorizer)
	}
	return p, err
}

func (s *Server) compileRoute(p *plan, spec template.Route) (r *route, err error) {
	in := spec.Integration
	r = &route{key: spec.Key, twoWay: spec.TwoWay, timeout: in.Timeout}
	if spec.Throttle != nil {
		r.limiter = rate.NewLimiter(rate.Limit(spec.Throttle.Rate), spec.Throttle.Burst)
	}
	switch in.Type {
	case "":
		r.broken = "the route has no integration"
	case "AWS_PROXY":
		if in.Function == "" {
			p.breakf(r, in, "the function %s is not in this template", in.URI)
			break
		}
		r.fn, err = s.cfg.Functions.Need(in.Function, in.Line)
	case "MOCK":
		if r.mock, err = newMock(*in); err != nil {
			p.breakBy(r, in, err)
		}
		return r, nil
	case "HTTP_PROXY":
		if r.http, err = newHTTPProxy(*in); err != nil {
			return nil, p.template.Errorf(in.Line, "%s: %v", in.ID, err)
		}
		r.fn = invoke.NewTarget(in.ID, in.Timeout, r.http)
	case "AWS", "HTTP":
		if in.Type == "AWS" {
			r.service, err = s.newService(p.template, *in)
		} else {
			r.service, err = newHTTP(*in)
		}
		if err != nil {
			p.breakBy(r, in, err)
			return r, nil
		}
		r.fn = invoke.NewTarget(in.ID, in.Timeout, r.service)
	default:
		return nil, p.template.Errorf(in.Line, "%s: IntegrationType %q; there are AWS, AWS_PROXY, HTTP, HTTP_PROXY and MOCK", in.ID, in.Type)
	}
	return r, err
}

// breakf says why nothing can answer for a route. The rest of the API runs: a message to it gets an error frame.
func (p *plan) breakf(r *route, in *template.Integration, format string, args ...any) {
	r.broken = fmt.Sprintf(format, args...)
	p.template.Warnf(in.Line, "%s: %s; what leads there is answered with an error", in.ID, r.broken)
}

// breakBy is breakf with an error, which may know its line better.
func (p *plan) breakBy(r *route, in *template.Integration, err error) {
	if at, ok := errors.AsType[*lineError](err); ok {
		own := *in
		own.Line = at.line
		in = &own
	}
	p.breakf(r, in, "%v", err)
}

func (s *Server) compileAuthorizer(p *plan, spec template.Authorizer) (*authorizer, error) {
	fn, err := s.cfg.Functions.Need(spec.Function, spec.Line)
	if err != nil {
		return nil, err
	}
	a := &authorizer{fn: fn}
	for _, text := range spec.Sources {
		src, err := parseIdentitySource(text)
		if err != nil {
			return nil, p.template.Errorf(spec.Line, "%s: %v", spec.ID, err)
		}
		a.sources = append(a.sources, src)
	}
	return a, nil
}
