package emulator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// routeSettings are the throttle of a stage or a route.
type routeSettings struct {
	Rate  *float64  `yaml:"ThrottlingRateLimit"`
	Burst *int      `yaml:"ThrottlingBurstLimit"`
	Level string    `yaml:"LoggingLevel"`
	Trace yaml.Node `yaml:"DataTraceEnabled"`
}

// stageProps are what a stage and SAM's API have in common.
type stageProps struct {
	StageName string                   `yaml:"StageName"`
	Variables map[string]string        `yaml:"StageVariables"`
	Default   *routeSettings           `yaml:"DefaultRouteSettings"`
	Routes    map[string]routeSettings `yaml:"RouteSettings"`
}

type serverlessAPI struct {
	stageProps `yaml:",inline"`

	Selection string               `yaml:"RouteSelectionExpression"`
	RouteMap  map[string]*samRoute `yaml:"Routes"`
	Auth      *struct {
		Type    string   `yaml:"AuthType"`
		ARN     string   `yaml:"AuthArn"`
		Sources []string `yaml:"IdentitySource"`
	} `yaml:"Auth"`
}

type samRoute struct {
	FunctionARN string `yaml:"FunctionArn"`
	Timeout     int    `yaml:"IntegrationTimeout"`
	Response    string `yaml:"RouteResponseSelectionExpression"`
	Models      any    `yaml:"RequestModels"`
	APIKey      bool   `yaml:"ApiKeyRequired"`

	line int
}

// UnmarshalYAML also keeps the line.
func (r *samRoute) UnmarshalYAML(n *yaml.Node) error {
	type plain samRoute
	r.line = n.Line
	return n.Decode((*plain)(r))
}

type rawAPI struct {
	Protocol  string `yaml:"ProtocolType"`
	Selection string `yaml:"RouteSelectionExpression"`
}

// readAPI finds the one API to serve and reads all that belongs to it.
func (r *reader) readAPI() error {
	api, err := r.chooseAPI()
	if err != nil {
		return err
	}
	m := r.m
	m.api, m.line, m.apiID, m.stage = api.id, api.line, apiIDOf(api.id), "default"
	var stage stageProps
	if api.kind == typeServerlessAPI {
		if stage, err = r.readServerless(api); err != nil {
			return err
		}
	} else {
		var p rawAPI
		if err := r.t.decode(api, &p); err != nil {
			return err
		}
		m.selection = p.Selection
	}
	if err := r.readStage(&stage); err != nil {
		return err
	}
	if err := r.readRawRoutes(); err != nil {
		return err
	}
	if err := r.applyStage(stage); err != nil {
		return err
	}
	if len(m.routes) == 0 {
		return api.errorf("the API has no routes")
	}
	return nil
}

func (r *reader) chooseAPI() (*resource, error) {
	var found []*resource
	for _, res := range r.t.resources {
		switch res.kind {
		case typeServerlessAPI:
			found = append(found, res)
		case typeAPI:
			var p rawAPI
			if err := r.t.decode(res, &p); err != nil {
				return nil, err
			}
			if p.Protocol == "WEBSOCKET" {
				found = append(found, res)
			}
		}
	}
	if r.cfg.API != "" {
		i := slices.IndexFunc(found, func(res *resource) bool { return res.id == r.cfg.API })
		if i < 0 {
			return nil, fmt.Errorf("the template has no WebSocket API %s", r.cfg.API)
		}
		return found[i], nil
	}
	switch len(found) {
	case 0:
		return nil, errNoAPI
	case 1:
		return found[0], nil
	}
	return nil, found[1].errorf("a second WebSocket API besides %s (line %d); say which one to serve", found[0].id, found[0].line)
}

func (r *reader) readServerless(api *resource) (stageProps, error) {
	var p serverlessAPI
	if err := r.t.decodeGlobals("WebSocketApi", &p); err != nil {
		return p.stageProps, err
	}
	if err := r.t.decode(api, &p); err != nil {
		return p.stageProps, err
	}
	r.m.selection = p.Selection
	for _, key := range sortedKeys(p.RouteMap) {
		route := p.RouteMap[key]
		if route == nil {
			return p.stageProps, api.errorf("route %s is empty", key)
		}
		fn, ok := r.functionOf(route.FunctionARN)
		if !ok {
			return p.stageProps, fmt.Errorf("template line %d: route %s: FunctionArn %q is no function of this template", route.line, key, route.FunctionARN)
		}
		timeout, err := integrationTimeout(route.Timeout)
		if err != nil {
			return p.stageProps, fmt.Errorf("template line %d: route %s: %w", route.line, key, err)
		}
		r.warnRoute(route.line, key, route.APIKey, route.Models != nil)
		if err := r.addRoute(&routeSpec{
			key: key, line: route.line, twoWay: route.Response != "",
			integration: &integrationSpec{line: route.line, function: fn, timeout: timeout},
		}); err != nil {
			return p.stageProps, err
		}
	}
	if p.Auth == nil {
		return p.stageProps, nil
	}
	switch p.Auth.Type {
	case "", "NONE":
	case "AWS_IAM":
		r.warnf(api.line, "%s: AWS_IAM signatures are not checked", api.id)
	case "CUSTOM":
		return p.stageProps, r.setAuthorizer(api, p.Auth.ARN, p.Auth.Sources)
	default:
		return p.stageProps, api.errorf("AuthType %s", p.Auth.Type)
	}
	return p.stageProps, nil
}

func (r *reader) warnRoute(line int, key string, apiKey, models bool) {
	if apiKey {
		r.warnf(line, "route %s: API keys are not checked", key)
	}
	if models {
		r.warnf(line, "route %s: messages are not checked against RequestModels", key)
	}
}

// integrationTimeout is 50 ms to 29 s; the larger limits of REST APIs do not exist here.
func integrationTimeout(ms int) (time.Duration, error) {
	if ms == 0 {
		return maxIntegration, nil
	}
	d := time.Duration(ms) * time.Millisecond
	if d < 50*time.Millisecond || d > maxIntegration {
		return 0, fmt.Errorf("an integration timeout of %d ms is not 50 to 29,000", ms)
	}
	return d, nil
}

func (r *reader) addRoute(spec *routeSpec) error {
	if spec.key == "" || spec.key[0] == '$' && spec.key != "$connect" && spec.key != "$disconnect" && spec.key != "$default" {
		return fmt.Errorf("template line %d: route key %q: %w", spec.line, spec.key, errRouteKey)
	}
	for _, other := range r.m.routes {
		if other.key == spec.key {
			return fmt.Errorf("template line %d: route %s exists already (line %d)", spec.line, spec.key, other.line)
		}
	}
	r.m.routes = append(r.m.routes, spec)
	return nil
}

var errRouteKey = fmt.Errorf("the provided route key is not formatted properly")

func (r *reader) setAuthorizer(res *resource, arn string, sources []string) error {
	fn, ok := r.functionOf(arn)
	if !ok {
		return res.errorf("authorizer %q is no function of this template", arn)
	}
	a := &authorizerSpec{line: res.line, function: fn}
	for _, text := range sources {
		src, err := parseIdentitySource(text)
		if err != nil {
			return res.errorf("%v", err)
		}
		a.sources = append(a.sources, src)
	}
	r.m.authorizer = a
	return nil
}

// mine reports whether a resource's ApiId is the API that is served.
func (r *reader) mine(apiID string) bool { return apiID == r.m.apiID }

// readStage takes the first stage of the API, unless SAM has made one.
func (r *reader) readStage(stage *stageProps) error {
	if stage.StageName != "" {
		return nil
	}
	for res := range r.t.of("AWS::ApiGatewayV2::Stage") {
		var p struct {
			stageProps `yaml:",inline"`

			API string `yaml:"ApiId"`
		}
		if err := r.t.decode(res, &p); err != nil {
			return err
		}
		if r.mine(p.API) && stage.StageName == "" {
			*stage = p.stageProps
		}
	}
	return nil
}

func (r *reader) applyStage(stage stageProps) error {
	m := r.m
	if stage.StageName != "" {
		m.stage = stage.StageName
	}
	if r.cfg.Stage != "" {
		m.stage = r.cfg.Stage
	}
	if strings.Trim(m.stage, stageLetters) != "" || len(m.stage) > 128 {
		return fmt.Errorf("template line %d: stage %q may only have letters, digits, - and _", m.line, m.stage)
	}
	m.stageVariables = stage.Variables
	if d := stage.Default; d != nil && (d.Rate == nil || d.Burst == nil) {
		r.warnf(m.line, "DefaultRouteSettings without ThrottlingRateLimit and ThrottlingBurstLimit: some tools deploy them as 0, which refuses everything")
	}
	for _, route := range m.routes {
		if stage.Default != nil {
			route.throttle(*stage.Default)
		}
		if own, ok := stage.Routes[route.key]; ok {
			route.throttle(own)
		}
	}
	for key := range stage.Routes {
		if !slices.ContainsFunc(m.routes, func(spec *routeSpec) bool { return spec.key == key }) {
			return fmt.Errorf("template line %d: RouteSettings for %s, which is no route", m.line, key)
		}
	}
	return nil
}

const stageLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func (spec *routeSpec) throttle(s routeSettings) {
	if s.Rate != nil && s.Burst != nil {
		spec.throttled, spec.rate, spec.burst = true, *s.Rate, *s.Burst
	}
}

type rawIntegration struct {
	API              string            `yaml:"ApiId"`
	Type             string            `yaml:"IntegrationType"`
	URI              string            `yaml:"IntegrationUri"`
	Timeout          int               `yaml:"TimeoutInMillis"`
	RequestTemplates map[string]string `yaml:"RequestTemplates"`
	Selection        string            `yaml:"TemplateSelectionExpression"`
}

type rawIntegrationResponse struct {
	API         string            `yaml:"ApiId"`
	Integration string            `yaml:"IntegrationId"`
	Key         string            `yaml:"IntegrationResponseKey"`
	Templates   map[string]string `yaml:"ResponseTemplates"`
	Selection   string            `yaml:"TemplateSelectionExpression"`
}

type rawRoute struct {
	API        string `yaml:"ApiId"`
	Key        string `yaml:"RouteKey"`
	Target     string `yaml:"Target"`
	Auth       string `yaml:"AuthorizationType"`
	Authorizer string `yaml:"AuthorizerId"`
	Response   string `yaml:"RouteResponseSelectionExpression"`
	APIKey     bool   `yaml:"ApiKeyRequired"`
	Models     any    `yaml:"RequestModels"`
}

// readRawRoutes reads the AWS::ApiGatewayV2 resources of the API, which may also add to a SAM API.
func (r *reader) readRawRoutes() error {
	integrations, err := r.readIntegrations()
	if err != nil {
		return err
	}
	byID := map[string]*routeSpec{}
	for res := range r.t.of("AWS::ApiGatewayV2::Route") {
		var p rawRoute
		if err := r.t.decode(res, &p); err != nil {
			return err
		}
		if !r.mine(p.API) {
			continue
		}
		integration := integrations[strings.TrimPrefix(p.Target, "integrations/")]
		if integration == nil {
			return res.errorf("Target %q is no integration of this API", p.Target)
		}
		spec := &routeSpec{key: p.Key, line: res.line, integration: integration, twoWay: p.Response != ""}
		if err := r.addRoute(spec); err != nil {
			return err
		}
		r.warnRoute(res.line, p.Key, p.APIKey, p.Models != nil)
		if err := r.authorizeRoute(res, p); err != nil {
			return err
		}
		byID[res.id] = spec
	}
	return r.readRouteResponses(byID)
}

func (r *reader) authorizeRoute(res *resource, p rawRoute) error {
	switch p.Auth {
	case "", "NONE":
		return nil
	case "AWS_IAM":
		r.warnf(res.line, "route %s: AWS_IAM signatures are not checked", p.Key)
		return nil
	case "CUSTOM":
	default:
		return res.errorf("AuthorizationType %s", p.Auth)
	}
	if p.Key != "$connect" {
		return res.errorf("only $connect can have an authorizer")
	}
	authorizer := r.t.byID[p.Authorizer]
	if authorizer == nil || authorizer.kind != "AWS::ApiGatewayV2::Authorizer" {
		return res.errorf("AuthorizerId %q is no authorizer of this template", p.Authorizer)
	}
	var a struct {
		Type    string   `yaml:"AuthorizerType"`
		URI     string   `yaml:"AuthorizerUri"`
		Sources []string `yaml:"IdentitySource"`
	}
	if err := r.t.decode(authorizer, &a); err != nil {
		return err
	}
	if a.Type != "REQUEST" {
		return authorizer.errorf("AuthorizerType %s; WebSocket APIs have REQUEST only", a.Type)
	}
	return r.setAuthorizer(authorizer, a.URI, a.Sources)
}

func (r *reader) readIntegrations() (map[string]*integrationSpec, error) {
	out := map[string]*integrationSpec{}
	for res := range r.t.of("AWS::ApiGatewayV2::Integration") {
		var p rawIntegration
		if err := r.t.decode(res, &p); err != nil {
			return nil, err
		}
		if !r.mine(p.API) {
			continue
		}
		spec, err := r.integration(res, p)
		if err != nil {
			return nil, err
		}
		out[res.id] = spec
	}
	return out, r.readIntegrationResponses(out)
}

func (r *reader) readIntegrationResponses(integrations map[string]*integrationSpec) error {
	fallback := map[string]bool{}
	for res := range r.t.of("AWS::ApiGatewayV2::IntegrationResponse") {
		var p rawIntegrationResponse
		if err := r.t.decode(res, &p); err != nil {
			return err
		}
		if !r.mine(p.API) {
			continue
		}
		spec := integrations[p.Integration]
		if spec == nil {
			return res.errorf("IntegrationId %q is no integration of this API", p.Integration)
		}
		if spec.mock == nil {
			continue // a proxy integration has no integration responses
		}
		if err := spec.mock.addResponse(p, fallback); err != nil {
			return res.errorf("%v", err)
		}
	}
	return nil
}

// addResponse takes an integration response if it matches the mock's status; a pattern beats $default.
func (m *mock) addResponse(p rawIntegrationResponse, fallback map[string]bool) error {
	match, isDefault, err := matchesStatus(p.Key, m.status)
	if err != nil {
		return err
	}
	if !match && (!isDefault || m.matched) || match && m.matched && !fallback[p.Integration] {
		return nil
	}
	fallback[p.Integration] = isDefault
	m.matched = true
	text, _ := pickTemplate(p.Templates, p.Selection, m.status)
	if m.template, err = parseMockTemplate(text); err != nil {
		return err
	}
	return nil
}

func (r *reader) integration(res *resource, p rawIntegration) (*integrationSpec, error) {
	timeout, err := integrationTimeout(p.Timeout)
	if err != nil {
		return nil, res.errorf("%v", err)
	}
	spec := &integrationSpec{line: res.line, timeout: timeout}
	switch p.Type {
	case "AWS_PROXY":
		fn, ok := r.functionOf(p.URI)
		if !ok {
			return nil, res.errorf("IntegrationUri %q leads to no function of this template", p.URI)
		}
		spec.function = fn
	case "MOCK":
		status, err := mockStatus(p.RequestTemplates, p.Selection)
		if err != nil {
			return nil, res.errorf("%v", err)
		}
		spec.mock = &mock{status: status}
	default:
		return nil, res.errorf("IntegrationType %s is not emulated; AWS_PROXY and MOCK are", p.Type)
	}
	return spec, nil
}

// readRouteResponses makes routes two-way. AWS documents that a route needs both its RouteResponseSelectionExpression and a RouteResponse;
// whether one alone is enough is UNCONFIRMED, and either is taken here.
func (r *reader) readRouteResponses(byID map[string]*routeSpec) error {
	for res := range r.t.of("AWS::ApiGatewayV2::RouteResponse") {
		var p struct {
			API   string `yaml:"ApiId"`
			Route string `yaml:"RouteId"`
			Key   string `yaml:"RouteResponseKey"`
		}
		if err := r.t.decode(res, &p); err != nil {
			return err
		}
		if !r.mine(p.API) {
			continue
		}
		if p.Key != "$default" {
			return res.errorf("RouteResponseKey %q; only $default exists", p.Key)
		}
		spec := byID[p.Route]
		for _, route := range r.m.routes { // SAM's generated id
			if spec == nil && strings.EqualFold(p.Route, r.m.api+strings.TrimPrefix(route.key, "$")+"Route") {
				spec = route
			}
		}
		if spec == nil {
			return res.errorf("RouteId %q is no route of this API", p.Route)
		}
		spec.twoWay = true
	}
	return nil
}
