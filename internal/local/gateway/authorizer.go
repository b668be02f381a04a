package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/policy"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// authorizer is the REQUEST Lambda authorizer of $connect. WebSocket APIs never cache its answer.
type authorizer struct {
	fn      *invoke.Target
	sources []identitySource
}

const (
	maxAuthorizerResult = 8 << 10
	unauthorized        = "Unauthorized" // the error text that means 401
)

// identitySource is where something that every client must send is looked for.
type identitySource struct {
	text string // as the template has it
	kind string // header, querystring, stageVariables, context
	name string
}

// parseIdentitySource reads "route.request.header.Auth" and the like. CloudFormation refuses the $request form of HTTP APIs.
func parseIdentitySource(s string) (identitySource, error) {
	for _, kind := range []string{"route.request.header", "route.request.querystring", "stageVariables", "context"} {
		if name, ok := strings.CutPrefix(s, kind+"."); ok && name != "" {
			return identitySource{text: s, kind: kind[strings.LastIndexByte(kind, '.')+1:], name: name}, nil
		}
	}
	return identitySource{}, fmt.Errorf("identity source %q is not route.request.header.X, route.request.querystring.X, stageVariables.X or context.X", s)
}

func (h *handshake) has(src identitySource) bool {
	switch src.kind {
	case "header":
		switch http.CanonicalHeaderKey(src.name) {
		case "Host", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto":
			return true // UNCONFIRMED that what API Gateway adds counts: public templates name X-Forwarded-Proto for an authorizer that is always asked
		}
		return h.r.Header.Get(src.name) != ""
	case "querystring":
		return h.query.Get(src.name) != ""
	case "stageVariables":
		return h.conn.srv.api().Variables[src.name] != ""
	}
	return true // context: what a WebSocket API offers there is always present
}

// authorize runs the authorizer; a status other than 0 is its verdict. The statuses follow "Control access to WebSocket APIs with AWS
// Lambda REQUEST authorizers".
func (h *handshake) authorize(ctx context.Context, now time.Time) (status int, err error) {
	s := h.conn.srv
	p := s.plan.Load()
	a := p.authorizer
	reason := ""
	defer func() {
		verdict := status
		if verdict == 0 {
			verdict = http.StatusOK
		}
		s.observe(Event{Kind: KindAuthorize, Time: now, Connection: h.conn.id, Function: a.fn.ID, Status: verdict, Reason: reason, Err: err})
	}()
	for _, src := range a.sources {
		if !h.has(src) {
			reason = "the identity source " + src.text + " is missing"
			return http.StatusUnauthorized, nil
		}
	}
	begin := time.Now()
	why := invoke.Cause{By: invoke.ByAuthorizer, Connection: h.conn.id}
	out, err := s.cfg.Functions.Await(invoke.For(ctx, why), a.fn, h.appendAuthorize(make([]byte, 0, 2048), now), template.IntegrationTimeout)
	if err != nil {
		if err.Error() == unauthorized {
			reason = "the authorizer says " + unauthorized
			return http.StatusUnauthorized, nil
		}
		return http.StatusInternalServerError, err
	}
	res, err := parseAuthorization(out)
	if err != nil {
		return http.StatusInternalServerError, err
	}
	if reason, err = res.Policy.Allows(p.arn, policy.Keys(h.r, h.conn.sourceIP, now)); err != nil {
		return http.StatusInternalServerError, fmt.Errorf("authorizer: %w", err)
	}
	if reason != "" {
		return http.StatusForbidden, nil
	}
	h.principal = res.PrincipalID
	h.conn.authorizer = res.appendContext(nil, time.Since(begin), s.cfg.Choices.TypedAuthorizerContext)
	return 0, nil
}

// authorization is what an authorizer returns.
type authorization struct {
	PrincipalID string          `json:"principalId"`
	Policy      policy.Document `json:"policyDocument"`
	Context     map[string]any  `json:"context"`
}

func parseAuthorization(out []byte) (authorization, error) {
	var a authorization
	if len(out) > maxAuthorizerResult {
		return a, errors.New("authorizer: the result is larger than 8 KB")
	}
	if err := json.Unmarshal(out, &a); err != nil {
		return a, fmt.Errorf("authorizer: malformed result: %w", err)
	}
	if a.PrincipalID == "" || len(a.Policy.Statements) == 0 {
		return a, errors.New("authorizer: the result has no principalId or no policyDocument")
	}
	for name, v := range a.Context {
		switch v.(type) {
		case string, float64, bool, nil:
		default:
			return a, fmt.Errorf("authorizer: context.%s is not a string, number or boolean", name)
		}
	}
	return a, nil
}

// appendContext appends the authorizer object of later events. See Choices.TypedAuthorizerContext.
func (a authorization) appendContext(b []byte, latency time.Duration, typed bool) []byte {
	b = append(b, '{')
	for _, name := range slices.Sorted(maps.Keys(a.Context)) {
		if name == "principalId" || name == "integrationLatency" {
			continue
		}
		var text string
		switch v := a.Context[name].(type) {
		case nil:
			continue
		case string:
			text = v
		case float64:
			text = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			text = fmt.Sprint(v)
		}
		b = appendString(b, name)
		b = append(b, ':')
		if _, isText := a.Context[name].(string); typed && !isText {
			b = append(b, text...)
		} else {
			b = appendString(b, text)
		}
		b = append(b, ',')
	}
	b = append(b, `"principalId":`...)
	b = appendString(b, a.PrincipalID)
	b = append(b, `,"integrationLatency":`...)
	b = strconv.AppendInt(b, latency.Milliseconds(), 10)
	return append(b, '}')
}
