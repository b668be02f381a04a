package gateway

import (
	"fmt"

	"golang.org/x/time/rate"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// compile makes of the API as the template has it what messages can be matched against.
func (s *Server) compile() (err error) {
	t, api := s.cfg.Template, s.api
	if len(api.Routes) == 0 {
		return t.Errorf(api.Line, "%s: the API has no routes", api.ID)
	}
	if s.selector, err = parseSelector(api.Selection); err != nil {
		return t.Errorf(api.Line, "RouteSelectionExpression: %v", err)
	}
	models := s.compileModels()
	for _, spec := range api.Routes {
		r, err := s.compileRoute(spec)
		if err != nil {
			return err
		}
		if r.models, err = s.modelsOf(spec, models); err != nil {
			return t.Errorf(spec.Line, "route %s: %v", spec.Key, err)
		}
		switch spec.Key {
		case "$connect":
			if spec.Integration.Type != "" { // without an integration everybody is accepted
				s.connect = r
			}
		case "$disconnect":
			s.disconnect = r
		case "$default":
			s.fallback = r
		default:
			s.routes[spec.Key] = r
		}
	}
	if api.Authorizer != nil {
		s.authorizer, err = s.compileAuthorizer(*api.Authorizer)
	}
	return err
}

func (s *Server) compileRoute(spec template.Route) (r *route, err error) {
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
			s.breakf(r, in, "the function %s is not in this template", in.URI)
			break
		}
		r.fn, err = s.cfg.Functions.Need(in.Function, in.Line)
	case "MOCK":
		if r.mock, err = newMock(*in); err != nil {
			s.breakf(r, in, "%v", err)
		}
		return r, nil
	case "HTTP_PROXY":
		if r.http, err = newHTTPProxy(*in); err != nil {
			return nil, s.cfg.Template.Errorf(in.Line, "%s: %v", in.ID, err)
		}
		r.fn = invoke.NewTarget(in.ID, in.Timeout, r.http)
	case "AWS", "HTTP":
		s.breakf(r, in, "the IntegrationType %s is not emulated; AWS_PROXY, HTTP_PROXY and MOCK are", in.Type)
	default:
		return nil, s.cfg.Template.Errorf(in.Line, "%s: IntegrationType %q; there are AWS, AWS_PROXY, HTTP, HTTP_PROXY and MOCK", in.ID, in.Type)
	}
	return r, err
}

// breakf says why nothing can answer for a route. The rest of the API runs: a message to it gets an error frame.
func (s *Server) breakf(r *route, in *template.Integration, format string, args ...any) {
	r.broken = fmt.Sprintf(format, args...)
	s.cfg.Template.Warnf(in.Line, "%s: %s; what leads there is answered with an error", in.ID, r.broken)
}

func (s *Server) compileAuthorizer(spec template.Authorizer) (*authorizer, error) {
	fn, err := s.cfg.Functions.Need(spec.Function, spec.Line)
	if err != nil {
		return nil, err
	}
	a := &authorizer{fn: fn}
	for _, text := range spec.Sources {
		src, err := parseIdentitySource(text)
		if err != nil {
			return nil, s.cfg.Template.Errorf(spec.Line, "%s: %v", spec.ID, err)
		}
		a.sources = append(a.sources, src)
	}
	return a, nil
}
