package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// An HTTP API with a CorsConfiguration answers preflights by itself, whatever its routes are, and puts its own headers in the place of the
// function's: "Configure CORS for HTTP APIs in API Gateway".

func (a *api) isPreflight(r *http.Request) bool {
	return a.spec.CORS != nil && r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// allowed is what an origin is told; empty: nothing.
func (a *api) allowed(origin string) string {
	for _, one := range a.spec.CORS.Origins {
		switch scheme, open := strings.CutSuffix(one, "*"); {
		case one == "*":
			return "*"
		case strings.EqualFold(one, origin), open && strings.HasPrefix(origin, scheme):
			return origin
		}
	}
	return ""
}

func (a *api) preflight(r *http.Request) answer {
	out := answer{status: http.StatusNoContent, header: http.Header{}}
	c := a.spec.CORS
	if a.allowed(r.Header.Get("Origin")) == "" {
		return out
	}
	method := r.Header.Get("Access-Control-Request-Method")
	if !slices.Contains(c.Methods, "*") && !slices.ContainsFunc(c.Methods, func(m string) bool { return strings.EqualFold(m, method) }) {
		return out
	}
	for name, values := range map[string][]string{"Access-Control-Allow-Methods": c.Methods, "Access-Control-Allow-Headers": c.Headers} {
		if len(values) > 0 {
			out.header.Set(name, strings.Join(values, ","))
		}
	}
	if c.MaxAge > 0 {
		out.header.Set("Access-Control-Max-Age", strconv.Itoa(c.MaxAge))
	}
	return out
}

// addCORS puts the headers of a CorsConfiguration into an answer.
func (a *api) addCORS(r *http.Request, out *answer) {
	c := a.spec.CORS
	if c == nil {
		return
	}
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"} {
		out.header.Del(name)
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	told := a.allowed(origin)
	if told == "" {
		return
	}
	out.header.Set("Access-Control-Allow-Origin", told)
	if c.Credentials {
		out.header.Set("Access-Control-Allow-Credentials", "true")
	}
	if len(c.Expose) > 0 {
		out.header.Set("Access-Control-Expose-Headers", strings.Join(c.Expose, ","))
	}
}
