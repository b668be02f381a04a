package emulator

import (
	"errors"
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
	routeProps `yaml:",inline"`

	FunctionARN string `yaml:"FunctionArn"`
	Timeout     int    `yaml:"IntegrationTimeout"`

	line int
}

// UnmarshalYAML also keeps the line.
func (r *samRoute) UnmarshalYAML(n *yaml.Node) error {
	type plain samRoute
	r.line = n.Line
	return n.Decode((*plain)(r))
}

// routeProps are what a route has in either way of writing it.
type routeProps struct {
	Response       string            `yaml:"RouteResponseSelectionExpression"`
	Models         map[string]string `yaml:"RequestModels"`
	ModelSelection string            `yaml:"ModelSelectionExpression"`
	APIKey         bool              `yaml:"ApiKeyRequired"`
	Parameters     yaml.Node         `yaml:"RequestParameters"`
}

type rawAPI struct {
	Protocol  string `yaml:"ProtocolType"`
	Selection string `yaml:"RouteSelectionExpression"`
}

// readAPI reads all that belongs to an API.
func (r *reader) readAPI(api *resource) (err error) {
	m := r.m
	m.api, m.line, m.apiID, m.stage = api.id, api.line, apiIDOf(api.id), "default"
	var stage stageProps
	sam := api.kind == typeServerlessAPI
	var p serverlessAPI
	if sam {
		err = r.readServerless(api, &p)
		stage, m.selection = p.stageProps, p.Selection
	} else {
		var p rawAPI
		err = r.t.decode(api, &p)
		m.selection = p.Selection
	}
	if err != nil {
		return err
	}
	if err := r.readStage(&stage); err != nil {
		return err
	}
	r.useStage(stage)
	if err := r.readModels(); err != nil {
		return err
	}
	if sam {
		if err := r.readServerlessRoutes(api, p); err != nil {
			return err
		}
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

// findAPIs finds the WebSocket APIs of the template.
func (r *reader) findAPIs() ([]*resource, error) {
	var found []*resource
	for res := range r.t.of(typeServerlessAPI, typeAPI) {
		if res.kind == typeServerlessAPI {
			found = append(found, res)
			continue
		}
		var p rawAPI
		if err := r.t.decode(res, &p); err != nil {
			return nil, err
		}
		if p.Protocol == "WEBSOCKET" {
			found = append(found, res)
		} else {
			r.warnf(res.line, "%s is not served: it is an API for %s", res.id, p.Protocol)
		}
	}
	return found, nil
}

// chooseAPI finds the one API to serve.
func (r *reader) chooseAPI() (*resource, error) {
	found, err := r.findAPIs()
	if err != nil {
		return nil, err
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

// readServerless reads SAM's API but for its routes, which need the stage.
func (r *reader) readServerless(api *resource, p *serverlessAPI) error {
	if err := r.t.decodeGlobals("WebSocketApi", p); err != nil {
		return err
	}
	if err := r.t.decode(api, p); err != nil {
		return err
	}
	r.warnOf(api)
	if p.Auth == nil {
		return nil
	}
	switch p.Auth.Type {
	case "", "NONE":
	case "AWS_IAM":
		r.warnf(api.line, "%s: AWS_IAM signatures are not checked", api.id)
	case "CUSTOM":
		return r.setAuthorizer(api, p.Auth.ARN, p.Auth.Sources)
	default:
		return api.errorf("AuthType %s", p.Auth.Type)
	}
	return nil
}

func (r *reader) readServerlessRoutes(api *resource, p serverlessAPI) error {
	for _, key := range sortedKeys(p.RouteMap) {
		route := p.RouteMap[key]
		if route == nil {
			return api.errorf("route %s is empty", key)
		}
		timeout, err := integrationTimeout(route.Timeout)
		if err != nil {
			return atLine(route.line, "route %s: %v", key, err)
		}
		integration := &integrationSpec{line: route.line, id: api.id + key, kind: "AWS_PROXY", timeout: timeout}
		if err := r.leadTo(integration, route.FunctionARN); err != nil {
			return atLine(route.line, "route %s: FunctionArn %v", key, err)
		}
		if err := r.addRoute(&routeSpec{key: key, line: route.line, integration: integration}, route.routeProps); err != nil {
			return err
		}
	}
	return nil
}

// leadTo points an integration at a function. One that is not of this template has an ARN like any other, and nobody here to run it.
func (r *reader) leadTo(spec *integrationSpec, arn string) error {
	fn, ok := r.functionOf(arn)
	if ok {
		spec.function = fn
		return nil
	}
	if !strings.Contains(arn, ":function:") && !strings.HasPrefix(arn, "import:") {
		return fmt.Errorf("%q is no function of this template", arn)
	}
	r.brokenf(spec, "the function %s is not in this template", arn)
	return nil
}

// brokenf says why nothing can answer for an integration. The rest of the API runs: a message to it gets an error frame.
func (r *reader) brokenf(spec *integrationSpec, format string, args ...any) {
	spec.reason = fmt.Sprintf(format, args...)
	r.warnf(spec.line, "%s: %s; what leads there is answered with an error", spec.id, spec.reason)
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

func (r *reader) addRoute(spec *routeSpec, p routeProps) error {
	if spec.key == "" || spec.key[0] == '$' && spec.key != "$connect" && spec.key != "$disconnect" && spec.key != "$default" {
		return atLine(spec.line, "route key %q: %v", spec.key, errRouteKey)
	}
	for _, other := range r.m.routes {
		if other.key == spec.key {
			return atLine(spec.line, "route %s exists already (line %d)", spec.key, other.line)
		}
	}
	if p.APIKey {
		r.warnf(spec.line, "route %s: API keys are not checked", spec.key)
	}
	if !p.Parameters.IsZero() {
		r.warnf(spec.line, "route %s: RequestParameters are not checked", spec.key)
	}
	spec.twoWay = p.Response != ""
	var err error
	if spec.models, err = r.modelsOf(spec, p); err != nil {
		return atLine(spec.line, "route %s: %v", spec.key, err)
	}
	r.m.routes = append(r.m.routes, spec)
	return nil
}

var errRouteKey = errors.New("the provided route key is not formatted properly")

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

// readStage takes the stage of the API that the configuration names, else its first, unless SAM has made one.
func (r *reader) readStage(stage *stageProps) error {
	if stage.StageName != "" || r.t.byID[r.m.api].kind == typeServerlessAPI {
		return nil
	}
	found := false
	for res := range r.t.of(typeStage) {
		var p struct {
			stageProps `yaml:",inline"`

			API        string `yaml:"ApiId"`
			AutoDeploy bool   `yaml:"AutoDeploy"`
			Deployment string `yaml:"DeploymentId"`
		}
		if err := r.t.decode(res, &p); err != nil {
			return err
		}
		if !r.mine(p.API) {
			continue
		}
		if !found || p.StageName == r.cfg.Stage {
			*stage = p.stageProps
		}
		found = true
		if !p.AutoDeploy && p.Deployment == "" {
			r.warnf(res.line, "%s has neither AutoDeploy nor a DeploymentId: on AWS nothing is deployed to it", res.id)
		}
	}
	if !found {
		r.warnf(r.m.line, "%s has no stage: on AWS nobody could connect; %q is made up", r.m.api, r.m.stage)
	}
	return nil
}

// useStage makes the stage known to what is read next.
func (r *reader) useStage(stage stageProps) {
	if stage.StageName != "" {
		r.m.stage = stage.StageName
	}
	if r.cfg.Stage != "" {
		r.m.stage = r.cfg.Stage
	}
	r.m.stageVariables = stage.Variables
}

func (r *reader) applyStage(stage stageProps) error {
	m := r.m
	if strings.Trim(m.stage, stageLetters) != "" || len(m.stage) > 128 {
		return atLine(m.line, "stage %q may only have letters, digits, - and _", m.stage)
	}
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
			return atLine(m.line, "RouteSettings for %s, which is no route", key)
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
