package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// route is what a route key leads to.
type route struct {
	key     string
	fn      *invoke.Target // nil for a mock, and for a route that is broken
	mock    *mock
	http    *httpProxy // what fn asks, if it is no Lambda function
	service *service   // the same, if the integration is no proxy
	models  *requestModels
	broken  string // why nothing can answer; empty if something can
	timeout time.Duration
	twoWay  bool
	limiter *rate.Limiter // nil: no limit
}

func (r *route) allow(now time.Time) bool {
	return r.limiter == nil || r.limiter.AllowN(now, 1)
}

// routeFor selects the route of a message; nil means there is none, not even $default. $connect and $disconnect cannot be selected
// (UNCONFIRMED what AWS does with {"action":"$connect"}).
func (s *Server) routeFor(body []byte) *route {
	var buf [64]byte
	p := s.plan.Load()
	if key, ok := p.selector.appendKey(buf[:0], body); ok {
		if r := p.routes[string(key)]; r != nil {
			return r
		}
	}
	return p.fallback
}

// selector is a parsed route selection expression; see "Create routes for WebSocket APIs in API Gateway".
type selector []selectorPart

// selectorPart is literal text, or a path into the message.
type selectorPart struct {
	literal string
	path    []step // nil for a literal
}

const bodyVariable = "request.body"

// parseSelector reads "$request.body.action", "${request.body.a}/${request.body.b}", literal text, or `\$default`.
func parseSelector(expr string) (selector, error) {
	parts, err := parseExpression(expr)
	if err != nil {
		return nil, err
	}
	var out selector
	for _, p := range parts {
		part := selectorPart{literal: p.literal}
		if p.name != "" {
			if part, err = parseVariable(p.name); err != nil {
				return nil, err
			}
		}
		out = append(out, part)
	}
	return out, nil
}

func parseVariable(name string) (selectorPart, error) {
	rest, ok := strings.CutPrefix(name, bodyVariable)
	if !ok {
		return selectorPart{}, fmt.Errorf("uses $%s; only $request.body is understood", name)
	}
	path, err := parsePath(rest)
	if err != nil {
		return selectorPart{}, fmt.Errorf("uses $%s: %w", name, err)
	}
	return selectorPart{path: path}, nil
}

// parsePath reads what may follow $request.body or a JSONPath's $: ".a.b", "['a']", "[0]".
func parsePath(s string) ([]step, error) {
	path := []step{}
	for s != "" {
		switch s[0] {
		case '.':
			end := strings.IndexAny(s[1:], ".[")
			if end < 0 {
				end = len(s) - 1
			}
			if end == 0 {
				return nil, errors.New("a name is missing in the path")
			}
			path = append(path, step{name: s[1 : 1+end], index: -1})
			s = s[1+end:]
		case '[':
			inner, rest, ok := strings.Cut(s[1:], "]")
			if !ok {
				return nil, errors.New("a ] is missing in the path")
			}
			st, err := parseIndex(inner)
			if err != nil {
				return nil, err
			}
			path = append(path, st)
			s = rest
		default:
			return nil, fmt.Errorf("%q is not a path", s)
		}
	}
	return path, nil
}

func parseIndex(s string) (step, error) {
	if n := len(s); n >= 2 && (s[0] == '\'' || s[0] == '"') && s[n-1] == s[0] {
		return step{name: s[1 : n-1], index: -1}, nil
	}
	i, err := strconv.Atoi(s)
	if err != nil || i < 0 {
		return step{}, fmt.Errorf("[%s] is not an index", s)
	}
	return step{index: i}, nil
}

// appendKey evaluates the expression. ok is false if it looks into the body and the body is not JSON: such messages go to $default.
func (sel selector) appendKey(b, body []byte) (key []byte, ok bool) {
	for _, part := range sel {
		if part.path == nil {
			b = append(b, part.literal...)
			continue
		}
		raw, valid := lookup(body, part.path)
		if !valid {
			return nil, false
		}
		b = appendText(b, raw)
	}
	return b, true
}

// appendText renders a JSON value as AWS does in a selection expression: a string is its text, a missing value is empty, an array is
// [item1, item2]. Numbers and booleans are as written; null as empty and objects as JSON are UNCONFIRMED.
func appendText(b, raw []byte) []byte {
	if len(raw) == 0 {
		return b
	}
	switch raw[0] {
	case '"':
		return appendUnquoted(b, raw)
	case 'n':
		return b
	case '[':
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return append(b, raw...)
		}
		b = append(b, '[')
		for i, item := range items {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendText(b, item)
		}
		return append(b, ']')
	}
	return append(b, raw...)
}
