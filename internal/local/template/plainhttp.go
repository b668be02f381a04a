package template

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// readPlain reads an HTTP API of AWS::ApiGatewayV2, and its stage.
func (r *httpReader) readPlain() error {
	var p struct {
		CORS   yaml.Node `yaml:"CorsConfiguration"`
		Body   yaml.Node `yaml:"Body"`
		Target string    `yaml:"Target"`
		Key    string    `yaml:"RouteKey"`
	}
	if err := r.decode(r.res, &p); err != nil {
		return err
	}
	if !p.Body.IsZero() {
		r.warnf(r.api.Line, "%s: what its OpenAPI document says is not read", r.api.ID)
	}
	if err := r.readCORS(&p.CORS); err != nil {
		return err
	}
	found := p.Target != "" // then there is a $default stage
	r.api.Stage = DefaultStage
	for res := range r.of(typeStage) {
		var s struct {
			API       string            `yaml:"ApiId"`
			Name      string            `yaml:"StageName"`
			Variables map[string]string `yaml:"StageVariables"`
		}
		if err := r.decode(res, &s); err != nil {
			return err
		}
		if s.API == r.api.APIID && (!found || s.Name == r.stage) {
			r.api.Stage, r.api.Variables, found = s.Name, s.Variables, true
		}
	}
	if !found {
		r.warnf(r.api.Line, "%s has no stage: on AWS nobody could ask it; %q is made up", r.api.ID, r.api.Stage)
	}
	if p.Target == "" {
		return nil
	}
	route := HTTPRoute{Line: r.api.Line, Payload: "2.0", Timeout: httpTimeout}
	route.Method, route.Path = splitKey(cmp.Or(p.Key, "$default"))
	r.lead(&route, "AWS_PROXY", p.Target)
	return r.addHTTPRoute(route)
}

// splitKey takes a route key apart.
func splitKey(key string) (method, path string) {
	method, path, ok := strings.Cut(key, " ")
	if !ok {
		return "ANY", ""
	}
	return method, strings.TrimSpace(path)
}

// lead points a route at the function of an integration, or says why nothing answers.
func (r *httpReader) lead(route *HTTPRoute, kind, uri string) {
	fn, ok := r.out.Function(uri)
	switch {
	case kind != "AWS_PROXY":
		route.Broken = "integrations of the type " + cmp.Or(kind, "(none)") + " are not emulated for it"
	case !ok:
		route.Broken = fmt.Sprintf("its integration leads to %q, which is no function of this template", uri)
	default:
		route.Function = fn.ID
		return
	}
	r.warnf(route.Line, "%s of %s answers with an error: %s", route.Key(), r.api.ID, route.Broken)
}

func (r *httpReader) readPlainRoutes() error {
	type integration struct {
		API     string `yaml:"ApiId"`
		Type    string `yaml:"IntegrationType"`
		Subtype string `yaml:"IntegrationSubtype"`
		URI     string `yaml:"IntegrationUri"`
		Payload string `yaml:"PayloadFormatVersion"`
		Timeout int    `yaml:"TimeoutInMillis"`
	}
	integrations := map[string]integration{}
	for res := range r.of("AWS::ApiGatewayV2::Integration") {
		var p integration
		if err := r.decode(res, &p); err != nil {
			return err
		}
		if p.Subtype != "" {
			p.Type = p.Subtype
		}
		integrations[res.id] = p
	}
	for res := range r.of("AWS::ApiGatewayV2::Route") {
		var p struct {
			API        string   `yaml:"ApiId"`
			Key        string   `yaml:"RouteKey"`
			Target     string   `yaml:"Target"`
			Auth       string   `yaml:"AuthorizationType"`
			Authorizer string   `yaml:"AuthorizerId"`
			Scopes     []string `yaml:"AuthorizationScopes"`
		}
		if err := r.decode(res, &p); err != nil {
			return err
		}
		if p.API != r.api.APIID {
			continue
		}
		in := integrations[strings.TrimPrefix(p.Target, "integrations/")]
		route := HTTPRoute{Line: res.line, Payload: cmp.Or(in.Payload, "1.0"), Timeout: httpTimeout}
		if in.Timeout > 0 {
			route.Timeout = time.Duration(in.Timeout) * time.Millisecond
		}
		route.Method, route.Path = splitKey(p.Key)
		for name, value := range r.api.Variables {
			in.URI = strings.ReplaceAll(in.URI, "${stageVariables."+name+"}", value)
		}
		r.lead(&route, in.Type, in.URI)
		auth, err := r.plainAuthorizer(res, p.Auth, p.Authorizer)
		if err != nil {
			return err
		}
		if auth != nil {
			auth.Scopes = p.Scopes
		}
		route.Auth = auth
		if err := r.addHTTPRoute(route); err != nil {
			return err
		}
	}
	return nil
}

// plainAuthorizer is the authorizer of a route or method.
func (r *httpReader) plainAuthorizer(res *resource, kind, id string) (*HTTPAuth, error) {
	if kind == "" || kind == "NONE" {
		return nil, nil //nolint:nilnil // nobody is asked
	}
	auth := &HTTPAuth{Name: id, Line: res.line, Kind: kind}
	if kind != "CUSTOM" && kind != AuthJWT {
		return auth, nil
	}
	authorizer := r.byID[id]
	if authorizer == nil {
		return nil, res.errorf("AuthorizerId %q is no authorizer of this template", id)
	}
	var p struct {
		RESTKind string    `yaml:"Type"`
		Kind     string    `yaml:"AuthorizerType"`
		URI      string    `yaml:"AuthorizerUri"`
		Sources  yaml.Node `yaml:"IdentitySource"`
		Regexp   string    `yaml:"IdentityValidationExpression"`
		Payload  string    `yaml:"AuthorizerPayloadFormatVersion"`
		Simple   bool      `yaml:"EnableSimpleResponses"`
		JWT      struct {
			Issuer   string   `yaml:"Issuer"`
			Audience []string `yaml:"Audience"`
		} `yaml:"JwtConfiguration"`
	}
	if err := r.decode(authorizer, &p); err != nil {
		return nil, err
	}
	auth.Kind = p.RESTKind + p.Kind
	for _, list := range listOf(&p.Sources) { // a REST API has them in one text
		for source := range strings.SplitSeq(list, ",") {
			auth.Sources = append(auth.Sources, strings.TrimSpace(source))
		}
	}
	auth.Payload, auth.Simple, auth.Validation = cmp.Or(p.Payload, "1.0"), p.Simple, p.Regexp
	auth.Issuer, auth.Audience = p.JWT.Issuer, p.JWT.Audience
	if auth.Kind == AuthJWT {
		return auth, nil
	}
	fn, ok := r.out.Function(p.URI)
	if !ok {
		return nil, authorizer.errorf("AuthorizerUri %q is no function of this template", p.URI)
	}
	auth.Function = fn.ID
	return auth, nil
}

// readREST reads a REST API of AWS::ApiGateway, and its stage, which may be within a deployment.
func (r *httpReader) readREST() error {
	var p struct {
		Binary []string  `yaml:"BinaryMediaTypes"`
		Body   yaml.Node `yaml:"Body"`
	}
	if err := r.decode(r.res, &p); err != nil {
		return err
	}
	r.api.Binary = p.Binary
	if !p.Body.IsZero() {
		r.warnf(r.api.Line, "%s: what its OpenAPI document says is not read", r.api.ID)
	}
	for res := range r.of("AWS::ApiGateway::Stage", "AWS::ApiGateway::Deployment") {
		var s struct {
			API       string            `yaml:"RestApiId"`
			Name      string            `yaml:"StageName"`
			Variables map[string]string `yaml:"Variables"`
		}
		if err := r.decode(res, &s); err != nil {
			return err
		}
		if s.API == r.api.APIID && s.Name != "" && (r.api.Stage == "" || s.Name == r.stage) {
			r.api.Stage, r.api.Variables = s.Name, s.Variables
		}
	}
	if r.api.Stage == "" {
		r.api.Stage = "prod"
		r.warnf(r.api.Line, "%s has no stage: on AWS nobody could ask it; %q is made up", r.api.ID, r.api.Stage)
	}
	return nil
}

// readMethods reads the resources of a REST API, which are a tree, and their methods.
func (r *httpReader) readMethods() error {
	pathOf, err := r.readPaths()
	if err != nil {
		return err
	}
	for res := range r.of("AWS::ApiGateway::Method") {
		var p struct {
			API         string     `yaml:"RestApiId"`
			Resource    string     `yaml:"ResourceId"`
			Method      string     `yaml:"HttpMethod"`
			Auth        string     `yaml:"AuthorizationType"`
			Authorizer  string     `yaml:"AuthorizerId"`
			APIKey      bool       `yaml:"ApiKeyRequired"`
			Integration methodLead `yaml:"Integration"`
		}
		if err := r.decode(res, &p); err != nil {
			return err
		}
		if p.API != r.api.APIID {
			continue
		}
		route := HTTPRoute{Method: methodOf(p.Method), Path: pathOf(p.Resource), Line: res.line, Timeout: restTimeout}
		if p.APIKey {
			r.warnf(route.Line, "%s: API keys are not checked", route.Key())
		}
		if p.Integration.Type == "MOCK" {
			route.Mock = p.Integration.mock()
		} else {
			r.lead(&route, p.Integration.Type, p.Integration.URI)
		}
		auth, err := r.plainAuthorizer(res, p.Auth, p.Authorizer)
		if err != nil {
			return err
		}
		route.Auth = auth
		if err := r.addHTTPRoute(route); err != nil {
			return err
		}
	}
	return nil
}

// readPaths reads the resources of a REST API, and gives what finds the path of one by its id.
func (r *httpReader) readPaths() (pathOf func(id string) string, err error) {
	type node struct {
		API    string `yaml:"RestApiId"`
		Parent string `yaml:"ParentId"`
		Part   string `yaml:"PathPart"`
	}
	nodes := map[string]node{}
	for res := range r.of("AWS::ApiGateway::Resource") {
		var p node
		if err := r.decode(res, &p); err != nil {
			return nil, err
		}
		nodes[res.id] = p
	}
	return func(id string) string {
		path := ""
		for range nodes { // no longer than all of them
			n, ok := nodes[id]
			if !ok {
				break
			}
			path, id = "/"+n.Part+path, n.Parent
		}
		return cmp.Or(path, "/")
	}, nil
}

// methodLead is the integration of a method.
type methodLead struct {
	Type      string `yaml:"Type"`
	URI       string `yaml:"Uri"`
	Responses []struct {
		Status     string            `yaml:"StatusCode"`
		Parameters map[string]string `yaml:"ResponseParameters"`
	} `yaml:"IntegrationResponses"`
}

// mock is what a MOCK integration answers, as the preflight methods that builders make do: the headers of its first response, if they are
// texts.
func (l methodLead) mock() *MockAnswer {
	answer := &MockAnswer{Status: 200, Headers: map[string]string{}}
	if len(l.Responses) == 0 {
		return answer
	}
	if status, err := strconv.Atoi(l.Responses[0].Status); err == nil {
		answer.Status = status
	}
	for target, value := range l.Responses[0].Parameters {
		name, ok := strings.CutPrefix(target, "method.response.header.")
		if n := len(value); ok && n >= 2 && value[0] == '\'' && value[n-1] == '\'' {
			answer.Headers[name] = value[1 : n-1]
		}
	}
	return answer
}
