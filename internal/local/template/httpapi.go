package template

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// HTTPAPI is an HTTP API or a REST API with one of its stages, whichever way it was written: by the events of SAM functions, as SAM's own
// resource, or as plain resources of API Gateway.
type HTTPAPI struct {
	ID        string // logical id, which SAM makes up for one that is only in events
	APIID     string
	Line      int
	REST      bool
	Stage     string // $default is at the root
	Variables map[string]string
	Routes    []HTTPRoute
	CORS      *CORS    // of an HTTP API; nil: none
	Binary    []string // BinaryMediaTypes of a REST API
	Mappings  []string // paths of custom domains that lead here, without slashes around them
}

// HTTPRoute is a route of an HTTP API, or a method of a REST API.
type HTTPRoute struct {
	Method   string // in capitals; ANY is each
	Path     string // /users/{id}/{rest+}; empty: $default
	Line     int
	Function string // logical id; empty: see Mock and Broken
	Mock     *MockAnswer
	Broken   string // why nothing answers; empty: something does
	Payload  string // 1.0 or 2.0; of a REST API empty
	Timeout  time.Duration
	Auth     *HTTPAuth // nil: everybody may
}

// Key is the route as API Gateway writes it.
func (r *HTTPRoute) Key() string {
	if r.Path == "" {
		return "$default"
	}
	return r.Method + " " + r.Path
}

// MockAnswer is what a method answers without a function.
type MockAnswer struct {
	Status  int
	Headers map[string]string
}

// CORS is how an HTTP API answers to pages of other origins by itself.
type CORS struct {
	Origins     []string `yaml:"AllowOrigins"`
	Methods     []string `yaml:"AllowMethods"`
	Headers     []string `yaml:"AllowHeaders"`
	Expose      []string `yaml:"ExposeHeaders"`
	MaxAge      int      `yaml:"MaxAge"` // seconds
	Credentials bool     `yaml:"AllowCredentials"`
}

// HTTPAuth is who may use a route.
type HTTPAuth struct {
	Name       string
	Line       int
	Kind       string   // TOKEN, REQUEST, JWT, AWS_IAM; any other is not emulated
	Function   string   // logical id, of TOKEN and REQUEST
	Sources    []string // identity sources, as API Gateway writes them
	Validation string   // a regular expression, of TOKEN
	Payload    string   // of a REQUEST authorizer of an HTTP API: 1.0 or 2.0
	Simple     bool     // it answers {"isAuthorized": …}
	Issuer     string   // of JWT
	Audience   []string
	Scopes     []string
}

// The kinds of HTTPAuth.
const (
	AuthToken   = "TOKEN"
	AuthRequest = "REQUEST"
	AuthJWT     = "JWT"
	AuthIAM     = "AWS_IAM"
)

const (
	typeServerlessREST = "AWS::Serverless::Api"
	typeServerlessHTTP = "AWS::Serverless::HttpApi"
	typeREST           = "AWS::ApiGateway::RestApi"

	// What SAM calls the APIs of events that name none.
	implicitREST = "ServerlessRestApi"
	implicitHTTP = "ServerlessHttpApi"
)

const (
	restTimeout = 29 * time.Second
	httpTimeout = 30 * time.Second
)

// httpEvent is an Api or HttpApi event of a SAM function.
type httpEvent struct {
	res  *resource
	rest bool

	API     string `yaml:"ApiId"`
	RESTAPI string `yaml:"RestApiId"`
	Path    string `yaml:"Path"`
	Method  string `yaml:"Method"`
	Payload string `yaml:"PayloadFormatVersion"`
	Timeout int    `yaml:"TimeoutInMillis"`
	Auth    *struct {
		Authorizer string   `yaml:"Authorizer"`
		Scopes     []string `yaml:"AuthorizationScopes"`
		APIKey     bool     `yaml:"ApiKeyRequired"`
	} `yaml:"Auth"`
}

// samHTTPProps are those of SAM's two resources.
type samHTTPProps struct {
	StageName string            `yaml:"StageName"`
	Variables map[string]string `yaml:"Variables"`
	StageVars map[string]string `yaml:"StageVariables"`
	RESTCORS  yaml.Node         `yaml:"Cors"`
	CORS      yaml.Node         `yaml:"CorsConfiguration"`
	Binary    []string          `yaml:"BinaryMediaTypes"`
	Auth      samHTTPAuth       `yaml:"Auth"`
	Body      yaml.Node         `yaml:"DefinitionBody"`
	BodyURI   yaml.Node         `yaml:"DefinitionUri"`
	Domain    samDomain         `yaml:"Domain"`
}

type samHTTPAuth struct {
	Default     string                   `yaml:"DefaultAuthorizer"`
	Authorizers map[string]samAuthorizer `yaml:"Authorizers"`
	Policy      yaml.Node                `yaml:"ResourcePolicy"`
	APIKey      bool                     `yaml:"ApiKeyRequired"`
}

type samAuthorizer struct {
	Function string `yaml:"FunctionArn"`
	Kind     string `yaml:"FunctionPayloadType"`
	Identity struct {
		Header     string   `yaml:"Header"`
		Headers    []string `yaml:"Headers"`
		Query      []string `yaml:"QueryStrings"`
		Variables  []string `yaml:"StageVariables"`
		Context    []string `yaml:"Context"`
		Validation string   `yaml:"ValidationExpression"`
	} `yaml:"Identity"`
	UserPool yaml.Node `yaml:"UserPoolArn"`
	JWT      *struct {
		Issuer   string   `yaml:"issuer"`
		Audience []string `yaml:"audience"`
	} `yaml:"JwtConfiguration"`
	Source  string   `yaml:"IdentitySource"`
	Scopes  []string `yaml:"AuthorizationScopes"`
	Payload string   `yaml:"AuthorizerPayloadFormatVersion"`
	Simple  bool     `yaml:"EnableSimpleResponses"`
}

// httpReader reads all that belongs to one HTTP or REST API.
type httpReader struct {
	*reader

	api HTTPAPI
	res *resource // nil: it is in events only
	sam samHTTPProps
}

// readHTTPAPIs reads the APIs, and those that are in events only.
func (r *reader) readHTTPAPIs() error {
	for res := range r.of(typeServerlessREST, typeServerlessHTTP, typeREST, typeAPI) {
		if res.kind == typeAPI {
			var p apiProps
			if err := r.decode(res, &p); err != nil {
				return err
			}
			if p.Protocol != "HTTP" {
				continue
			}
		}
		rest := res.kind == typeServerlessREST || res.kind == typeREST
		if err := r.readHTTPAPI(HTTPAPI{ID: res.id, Line: res.line, REST: rest}, res); err != nil {
			return err
		}
	}
	for _, implicit := range []HTTPAPI{{ID: implicitREST, REST: true, Stage: "Prod"}, {ID: implicitHTTP}} {
		i := slices.IndexFunc(r.http, func(e httpEvent) bool { return e.rest == implicit.REST && e.API+e.RESTAPI == "" })
		if i < 0 || r.byID[implicit.ID] != nil {
			continue
		}
		implicit.Line = r.http[i].res.line
		if err := r.readHTTPAPI(implicit, nil); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) readHTTPAPI(api HTTPAPI, res *resource) error {
	one := &httpReader{reader: r, api: api, res: res}
	one.api.APIID = apiIDOf(api.ID)
	steps := []func() error{one.readSAM, one.readEventRoutes, one.addSAMCORS}
	if res != nil && res.kind == typeAPI {
		steps = []func() error{one.readPlain, one.readPlainRoutes}
	} else if res != nil && res.kind == typeREST {
		steps = []func() error{one.readREST, one.readMethods}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if err := r.readMappings(one.api.APIID, &one.api.Mappings); err != nil {
		return err
	}
	if len(one.api.Routes) == 0 {
		r.warnf(one.api.Line, "%s is not served: no route of it is in the template", one.api.ID)
		return nil
	}
	r.out.HTTPAPIs = append(r.out.HTTPAPIs, one.api)
	return nil
}

// readSAM reads what SAM's resource and its Globals say.
func (r *httpReader) readSAM() error {
	p := &r.sam
	section := "HttpApi"
	if r.api.REST {
		section = "Api"
	}
	if err := r.decodeGlobals(section, p); err != nil {
		return err
	}
	if r.res != nil {
		if err := r.decode(r.res, p); err != nil {
			return err
		}
	}
	if r.api.REST && p.StageName == "" && r.res != nil {
		return r.res.errorf("has no StageName, which SAM requires")
	}
	r.api.Stage = cmp.Or(p.StageName, r.api.Stage, DefaultStage)
	r.api.Variables, r.api.Binary = p.Variables, samBinary(p.Binary)
	if !r.api.REST {
		r.api.Variables = p.StageVars
	}
	if !p.Body.IsZero() || !p.BodyURI.IsZero() {
		r.warnf(r.api.Line, "%s: what its OpenAPI document says is not read, only events of functions", r.api.ID)
	}
	if !p.Auth.Policy.IsZero() {
		r.warnf(r.api.Line, "%s: its ResourcePolicy is not looked at", r.api.ID)
	}
	if p.Auth.APIKey {
		r.warnf(r.api.Line, "%s: API keys are not checked", r.api.ID)
	}
	r.api.Mappings = p.Domain.mappings()
	return r.readCORS(&p.CORS)
}

// samBinary has slashes where SAM wants ~1.
func samBinary(list []string) []string {
	out := make([]string, 0, len(list))
	for _, kind := range list {
		out = append(out, strings.ReplaceAll(kind, "~1", "/"))
	}
	return out
}

// listOf are the texts of a list, or of one text.
func listOf(n *yaml.Node) (list []string) {
	if n.Kind == yaml.ScalarNode && n.Value != "" {
		return []string{n.Value}
	}
	for _, item := range n.Content {
		list = append(list, item.Value)
	}
	return list
}

// readCORS reads a CorsConfiguration: true is everybody.
func (r *httpReader) readCORS(n *yaml.Node) error {
	if n.IsZero() || n.Value == "false" {
		return nil
	}
	if n.Value == "true" {
		r.api.CORS = &CORS{Origins: []string{"*"}, Methods: []string{"*"}, Headers: []string{"*"}}
		return nil
	}
	r.api.CORS = &CORS{}
	if err := n.Decode(r.api.CORS); err != nil {
		return atLine(n.Line, "CorsConfiguration: %s", misfits(err))
	}
	return nil
}

// mineOf reports whether a reference is to this API; an empty one is to SAM's.
func (r *httpReader) mineOf(apiID string) bool {
	return apiID == r.api.APIID || apiID == "" && (r.api.ID == implicitREST || r.api.ID == implicitHTTP)
}

// readEventRoutes reads the events of functions that lead here.
func (r *httpReader) readEventRoutes() error {
	for _, e := range r.http {
		if e.rest != r.api.REST || !r.mineOf(e.API+e.RESTAPI) {
			continue
		}
		route := HTTPRoute{
			Method: methodOf(e.Method), Path: e.Path, Line: e.res.line, Function: e.res.id, Payload: cmp.Or(e.Payload, "2.0"), Timeout: httpTimeout,
		}
		if e.rest {
			route.Payload, route.Timeout = "", restTimeout
		}
		if e.Timeout > 0 {
			route.Timeout = time.Duration(e.Timeout) * time.Millisecond
		}
		name, scopes := r.sam.Auth.Default, []string(nil)
		if e.Auth != nil {
			name, scopes = cmp.Or(e.Auth.Authorizer, name), e.Auth.Scopes
			if e.Auth.APIKey {
				r.warnf(route.Line, "%s: API keys are not checked", route.Key())
			}
		}
		auth, err := r.samAuthorizer(e.res, name)
		if err != nil {
			return err
		}
		if auth != nil && scopes != nil {
			auth.Scopes = scopes
		}
		route.Auth = auth
		if err := r.addHTTPRoute(route); err != nil {
			return err
		}
	}
	return nil
}

// methodOf is a method as requests have it.
func methodOf(written string) string {
	if written == "" || written == "*" || strings.EqualFold(written, "x-amazon-apigateway-any-method") {
		return "ANY"
	}
	return strings.ToUpper(written)
}

func (r *httpReader) addHTTPRoute(route HTTPRoute) error {
	if route.Path == "$default" {
		route.Path = ""
	}
	if route.Path != "" && route.Path[0] != '/' {
		return atLine(route.Line, "the path %q of a route does not begin with /", route.Path)
	}
	for _, other := range r.api.Routes {
		if other.Key() == route.Key() {
			return atLine(route.Line, "%s: %s exists already (line %d)", r.api.ID, route.Key(), other.Line)
		}
	}
	r.api.Routes = append(r.api.Routes, route)
	return nil
}

// samAuthorizer is the authorizer of a name in SAM's Auth.
func (r *httpReader) samAuthorizer(at *resource, name string) (*HTTPAuth, error) {
	auth := &HTTPAuth{Name: name, Line: at.line, Kind: AuthRequest, Payload: "1.0"}
	switch name {
	case "", "NONE":
		return nil, nil //nolint:nilnil // nobody is asked
	case AuthIAM:
		auth.Kind = AuthIAM
		return auth, nil
	}
	p, ok := r.sam.Auth.Authorizers[name]
	if !ok {
		return nil, at.errorf("the authorizer %s is none of %s", name, r.api.ID)
	}
	auth.Scopes = p.Scopes
	switch {
	case p.JWT != nil:
		auth.Kind, auth.Issuer, auth.Audience = AuthJWT, p.JWT.Issuer, p.JWT.Audience
		auth.Sources = []string{cmp.Or(p.Source, "$request.header.Authorization")}
		return auth, nil
	case !p.UserPool.IsZero():
		auth.Kind = "COGNITO_USER_POOLS"
		return auth, nil
	}
	fn, ok := r.out.Function(p.Function)
	if !ok {
		return nil, at.errorf("the authorizer %s leads to %q, which is no function of this template", name, p.Function)
	}
	auth.Function, auth.Validation = fn.ID, p.Identity.Validation
	if r.api.REST && p.Kind != AuthRequest {
		auth.Kind = AuthToken
		auth.Sources = []string{"method.request.header." + cmp.Or(p.Identity.Header, "Authorization")}
		return auth, nil
	}
	request, variable, from := "method.request.", "stageVariables.", "context."
	if !r.api.REST {
		request, variable, from = "$request.", "$stageVariables.", "$context."
		auth.Payload, auth.Simple = cmp.Or(p.Payload, "2.0"), p.Simple
	}
	for _, list := range []struct {
		prefix string
		names  []string
	}{{request + "header.", p.Identity.Headers}, {request + "querystring.", p.Identity.Query}, {variable, p.Identity.Variables}, {from, p.Identity.Context}} {
		for _, one := range list.names {
			auth.Sources = append(auth.Sources, list.prefix+one)
		}
	}
	if p.Identity.Header != "" {
		auth.Sources = append(auth.Sources, request+"header."+p.Identity.Header)
	}
	return auth, nil
}

// samCORS is the Cors of a REST API.
type samCORS struct {
	Origin      string `yaml:"AllowOrigin"`
	Methods     string `yaml:"AllowMethods"`
	Headers     string `yaml:"AllowHeaders"`
	MaxAge      string `yaml:"MaxAge"`
	Credentials bool   `yaml:"AllowCredentials"`
}

// headers are what a preflight is answered for a path with these methods.
func (p *samCORS) headers(methods []string) map[string]string {
	if slices.Contains(methods, "ANY") {
		methods = []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}
	}
	all := slices.Sorted(slices.Values(append(slices.Clone(methods), "OPTIONS")))
	out := map[string]string{}
	for name, value := range map[string]string{
		"Access-Control-Allow-Origin": p.Origin, "Access-Control-Allow-Headers": p.Headers, "Access-Control-Max-Age": p.MaxAge,
		"Access-Control-Allow-Methods": cmp.Or(p.Methods, strings.Join(all, ",")),
	} {
		if value != "" {
			out[name] = strings.Trim(value, "'")
		}
	}
	if p.Credentials {
		out["Access-Control-Allow-Credentials"] = "true"
	}
	return out
}

// addSAMCORS makes the OPTIONS methods that SAM makes of a REST API's Cors: a text, or values, which are texts in quotes.
func (r *httpReader) addSAMCORS() error {
	n := &r.sam.RESTCORS
	if !r.api.REST || n.IsZero() {
		return nil
	}
	var p samCORS
	if n.Kind == yaml.ScalarNode {
		p.Origin = n.Value
	} else if err := n.Decode(&p); err != nil {
		return atLine(n.Line, "Cors: %s", misfits(err))
	}
	methods := map[string][]string{} // by path
	for _, route := range r.api.Routes {
		methods[route.Path] = append(methods[route.Path], route.Method)
	}
	for _, path := range slices.Sorted(maps.Keys(methods)) {
		if slices.Contains(methods[path], "OPTIONS") {
			continue
		}
		headers := p.headers(methods[path])
		route := HTTPRoute{Method: "OPTIONS", Path: path, Line: n.Line, Mock: &MockAnswer{Status: 200, Headers: headers}, Timeout: restTimeout}
		if err := r.addHTTPRoute(route); err != nil {
			return err
		}
	}
	return nil
}
