package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/policy"
	"github.com/bellhop-rt/bellhop/internal/local/sigv4"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// authorizer decides who may use a route.
type authorizer struct {
	spec    *template.HTTPAuth
	fn      *invoke.Target
	pattern *regexp.Regexp // nil: any token
	refusal string         // why nobody may; empty: somebody may
}

func (s *Service) compileAuthorizer(t *template.Template, a *api, r *template.HTTPRoute) (*authorizer, error) {
	out := &authorizer{spec: r.Auth}
	var err error
	switch r.Auth.Kind {
	case template.AuthToken, template.AuthRequest:
		if out.fn, err = s.cfg.Functions.Need(r.Auth.Function, r.Auth.Line); err != nil {
			return nil, err
		}
		if r.Auth.Validation != "" {
			if out.pattern, err = regexp.Compile("^(?:" + r.Auth.Validation + ")$"); err != nil {
				return nil, t.Errorf(r.Auth.Line, "the authorizer %s: %v", r.Auth.Name, err)
			}
		}
	case template.AuthJWT:
		if !strings.HasPrefix(r.Auth.Issuer, "http") {
			out.refusal = fmt.Sprintf("the issuer %q of its authorizer is no URL", r.Auth.Issuer)
		}
	case template.AuthIAM:
		if !s.cfg.Users.Given() {
			out.refusal = sigv4.ErrNobody.Error()
		}
	default:
		out.refusal = "authorizers of the kind " + r.Auth.Kind + " are not emulated"
	}
	if out.refusal != "" {
		t.Warnf(r.Line, "%s of %s lets nobody in: %s", r.Key(), a.spec.ID, out.refusal)
	}
	return out, nil
}

// authorize asks the authorizer. nil: the request may go on.
func (x *exchange) authorize() (*answer, error) {
	a := x.route.allowing
	if a == nil {
		return nil, nil
	}
	unauthorized, forbidden := message(http.StatusUnauthorized, "Unauthorized"), message(http.StatusForbidden, "Forbidden")
	if x.api.spec.REST {
		forbidden = answer{status: http.StatusForbidden, header: http.Header{"Content-Type": {"application/json"}}, body: []byte(`{"Message":"User is not authorized to access this resource"}`)}
	}
	if a.refusal != "" {
		return &forbidden, errors.New(a.refusal)
	}
	if a.spec.Kind == template.AuthIAM {
		return x.signed(forbidden)
	}
	var sources []string
	for _, source := range a.spec.Sources {
		value := x.source(source)
		if value == "" {
			return &unauthorized, fmt.Errorf("the identity source %s is missing", source)
		}
		sources = append(sources, value)
	}
	if a.spec.Kind == template.AuthJWT {
		return x.verify(a, sources[0], unauthorized, forbidden)
	}
	if a.pattern != nil && !a.pattern.MatchString(sources[0]) {
		return &unauthorized, errors.New("the token does not match the authorizer's ValidationExpression")
	}
	begin := time.Now()
	failed := message(http.StatusInternalServerError, "Internal Server Error")
	event, err := json.Marshal(x.authorizerEvent(a, sources))
	if err != nil {
		return &failed, fmt.Errorf("encode the authorizer's event: %w", err)
	}
	out, err := x.srv.cfg.Functions.Await(x.r.Context(), a.fn, event, template.IntegrationTimeout)
	switch {
	case err != nil && err.Error() == "Unauthorized":
		return &unauthorized, errors.New("the authorizer says Unauthorized")
	case err != nil:
		return &failed, fmt.Errorf("authorizer: %w", err)
	}
	reason, err := x.allowed(a, out, time.Since(begin))
	switch {
	case err != nil:
		return &failed, fmt.Errorf("authorizer: %w", err)
	case reason != "":
		return &forbidden, errors.New(reason)
	}
	return nil, nil
}

// allowed reads what an authorizer has answered. The reason says why it is a refusal.
func (x *exchange) allowed(a *authorizer, out []byte, took time.Duration) (reason string, err error) {
	var verdict struct {
		Authorized  *bool           `json:"isAuthorized"`
		PrincipalID string          `json:"principalId"`
		Policy      policy.Document `json:"policyDocument"`
		Context     map[string]any  `json:"context"`
	}
	if err := json.Unmarshal(out, &verdict); err != nil {
		return "", fmt.Errorf("malformed result: %w", err)
	}
	x.authorizer = verdict.Context
	if x.authorizer == nil {
		x.authorizer = map[string]any{}
	}
	if a.spec.Simple {
		if verdict.Authorized == nil {
			return "", errors.New("the result has no isAuthorized")
		}
		if !*verdict.Authorized {
			return "the authorizer does not let it in", nil
		}
		return "", nil
	}
	if verdict.PrincipalID == "" || len(verdict.Policy.Statements) == 0 {
		return "", errors.New("the result has no principalId or no policyDocument")
	}
	if x.api.spec.REST { // its values are texts
		for name, value := range x.authorizer {
			switch v := value.(type) {
			case string:
			case float64:
				x.authorizer[name] = strconv.FormatFloat(v, 'f', -1, 64)
			case bool:
				x.authorizer[name] = strconv.FormatBool(v)
			default:
				return "", fmt.Errorf("context.%s is not a string, number or boolean", name)
			}
		}
		x.authorizer["principalId"], x.authorizer["integrationLatency"] = verdict.PrincipalID, took.Milliseconds()
	} else if x.route.spec.Payload == "1.0" {
		x.authorizer["principalId"] = verdict.PrincipalID
	}
	return verdict.Policy.Allows(x.arn(), policy.Keys(x.r, x.sourceIP(), x.at))
}

// arn is the name of what is asked for, in policies.
func (x *exchange) arn() string {
	return "arn:aws:execute-api:" + x.api.region + ":" + x.api.owner + ":" + x.api.spec.APIID + "/" + x.api.spec.Stage + "/" + x.r.Method + x.path
}

// authorizerEvent is what a Lambda authorizer gets.
func (x *exchange) authorizerEvent(a *authorizer, sources []string) map[string]any {
	if a.spec.Kind == template.AuthToken {
		return map[string]any{"type": "TOKEN", "authorizationToken": sources[0], "methodArn": x.arn()}
	}
	var event map[string]any
	if x.api.spec.REST || a.spec.Payload != "2.0" {
		event = x.oneZero()
		event["methodArn"] = x.arn()
		if len(sources) > 0 && !x.api.spec.REST {
			event["identitySource"], event["authorizationToken"] = strings.Join(sources, ","), strings.Join(sources, ",")
		}
	} else {
		event = x.twoZero()
		event["routeArn"], event["identitySource"] = x.arn(), sources
	}
	event["type"] = "REQUEST"
	delete(event, "body")
	delete(event, "isBase64Encoded")
	return event
}

// source is the value of an identity source: method.request.header.X of a REST API, $request.header.X of an HTTP API.
func (x *exchange) source(source string) string {
	source = strings.TrimPrefix(strings.TrimPrefix(source, "$"), "method.")
	place, name, _ := strings.Cut(source, ".")
	if place == "request" {
		place, name, _ = strings.Cut(name, ".")
	}
	switch place {
	case "header":
		return x.r.Header.Get(name)
	case "querystring":
		return x.r.URL.Query().Get(name)
	case "stageVariables":
		return x.api.spec.Variables[name]
	}
	return x.context(name)
}

// context are the variables of $context that an identity source may ask for.
func (x *exchange) context(name string) string {
	switch name {
	case "apiId":
		return x.api.spec.APIID
	case "stage":
		return x.api.spec.Stage
	case "httpMethod":
		return x.r.Method
	case "path":
		return x.stagePath()
	case "resourcePath", "routeKey":
		return x.resource()
	case "identity.sourceIp":
		return x.sourceIP()
	case "identity.userAgent":
		return x.r.UserAgent()
	}
	return ""
}

// signed looks at the signature of a request. nil: it may go on.
func (x *exchange) signed(forbidden answer) (*answer, error) {
	who, err := x.srv.cfg.Users.Verify(x.r, x.body, x.at)
	switch {
	case errors.Is(err, sigv4.ErrUnsigned) && x.api.spec.REST:
		forbidden = message(http.StatusForbidden, "Missing Authentication Token")
	case err != nil && x.api.spec.REST:
		forbidden = message(http.StatusForbidden, err.Error())
	}
	if err != nil {
		return &forbidden, err
	}
	x.as = who.Fields(x.api.owner)
	return nil, nil
}
