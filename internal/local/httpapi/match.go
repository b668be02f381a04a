package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// api is an API as a template has it. It is not changed, but replaced.
type api struct {
	spec   *template.HTTPAPI
	region string
	owner  string   // account
	routes []*route // the more specific first
}

// route is a route with what it leads to.
type route struct {
	spec     *template.HTTPRoute
	parts    []string       // of its path
	rank     string         // compares as specific routes come first
	fn       *invoke.Target // nil: see spec
	allowing *authorizer    // nil: everybody may
}

func (s *Service) compile(t *template.Template, spec *template.HTTPAPI) (*api, error) {
	a := &api{spec: spec, region: t.Region, owner: t.Account}
	for i := range spec.Routes {
		r := &route{spec: &spec.Routes[i]}
		r.parts, r.rank = partsOf(r.spec)
		var err error
		if r.spec.Function != "" {
			if r.fn, err = s.cfg.Functions.Need(r.spec.Function, r.spec.Line); err != nil {
				return nil, err
			}
		}
		if r.spec.Auth != nil {
			if r.allowing, err = s.compileAuthorizer(t, a, r.spec); err != nil {
				return nil, err
			}
		}
		a.routes = append(a.routes, r)
	}
	slices.SortStableFunc(a.routes, func(x, y *route) int { return strings.Compare(x.rank, y.rank) })
	return a, nil
}

// partsOf are the parts of a route's path. The rank has a letter for each: text is more specific than a variable, that more than one for
// the rest; at last comes whether the method is given. See "Routing API requests" of HTTP APIs.
func partsOf(spec *template.HTTPRoute) (parts []string, rank string) {
	if spec.Path == "" { // $default
		return nil, "z"
	}
	parts = split(spec.Path)
	var b strings.Builder
	for _, part := range parts {
		switch {
		case strings.HasSuffix(part, "+}"):
			b.WriteByte('c')
		case strings.HasPrefix(part, "{"):
			b.WriteByte('b')
		default:
			b.WriteByte('a')
		}
	}
	if spec.Method == "ANY" {
		return parts, b.String() + "Z"
	}
	return parts, b.String() + "A"
}

func split(path string) []string {
	path = strings.TrimPrefix(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// root is where the API's stage is.
func (a *api) root() string {
	if a.spec.Stage == "$default" {
		return ""
	}
	return "/" + a.spec.Stage
}

// places are the readings of a request's path as one of this API.
func (a *api) places(r *http.Request) (list []place) {
	path := r.URL.EscapedPath()
	if strings.HasPrefix(r.Host, a.spec.APIID+".") {
		if rest, ok := under(path, a.root()); ok {
			return []place{{api: a, prefix: a.root(), path: rest}}
		}
		return nil
	}
	for _, mapping := range a.spec.Mappings {
		prefix := strings.TrimSuffix("/"+mapping, "/")
		if rest, ok := under(path, prefix); ok {
			list = append(list, place{api: a, prefix: prefix, mapped: true, path: rest})
		}
	}
	for _, prefix := range []string{"/" + a.spec.ID, a.root()} {
		if rest, ok := under(path, prefix); ok {
			list = append(list, place{api: a, prefix: prefix, path: rest})
		}
	}
	return list
}

// under is the rest of a path behind a prefix.
func under(path, prefix string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, prefix)
	switch {
	case !ok || rest != "" && rest[0] != '/':
		return "", false
	case rest == "":
		return "/", true
	}
	return rest, true
}

// match is the route of a method and a path, and its variables. A REST API takes the resource first and then looks for the method; of an
// HTTP API the most specific route that has the method is taken. A slash at the end is nothing to a REST API; to an HTTP API it makes
// another path (UNCONFIRMED).
func (a *api) match(method, path string) (*route, map[string]string) {
	if a.spec.REST && len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	asked := split(path)
	resource := ""
	for _, r := range a.routes {
		values, ok := r.values(asked)
		if !ok || resource != "" && r.spec.Path != resource {
			continue
		}
		if r.spec.Method == "ANY" || r.spec.Method == method {
			return r, a.decode(values)
		}
		if a.spec.REST {
			resource = r.spec.Path
		}
	}
	return nil, nil
}

// decode decodes what an HTTP API decodes, and a REST API does not.
func (a *api) decode(values map[string]string) map[string]string {
	if a.spec.REST {
		return values
	}
	for name, value := range values {
		if text, err := url.PathUnescape(value); err == nil {
			values[name] = text
		}
	}
	return values
}

// values are the variables of a path that fits.
func (r *route) values(asked []string) (map[string]string, bool) {
	values := map[string]string{}
	if r.spec.Path == "" {
		return values, true
	}
	for i, part := range r.parts {
		name, variable := strings.CutPrefix(part, "{")
		if i >= len(asked) {
			return nil, false
		}
		if rest, greedy := strings.CutSuffix(name, "+}"); variable && greedy {
			values[rest] = strings.Join(asked[i:], "/")
			return values, values[rest] != ""
		}
		switch {
		case variable && asked[i] == "":
			return nil, false
		case variable:
			values[strings.TrimSuffix(name, "}")] = asked[i]
		case !same(part, asked[i]):
			return nil, false
		}
	}
	return values, len(asked) == len(r.parts)
}

// same compares a part of a path with one that may be percent-encoded.
func same(part, asked string) bool {
	if part == asked {
		return true
	}
	text, err := url.PathUnescape(asked)
	return err == nil && part == text
}
