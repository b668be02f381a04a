package emulator

import (
	"fmt"
	"strings"
)

type rawIntegration struct {
	API               string            `yaml:"ApiId"`
	Type              string            `yaml:"IntegrationType"`
	Method            string            `yaml:"IntegrationMethod"`
	URI               string            `yaml:"IntegrationUri"`
	Timeout           int               `yaml:"TimeoutInMillis"`
	Connection        string            `yaml:"ConnectionType"`
	RequestTemplates  map[string]string `yaml:"RequestTemplates"`
	RequestParameters map[string]string `yaml:"RequestParameters"`
	Selection         string            `yaml:"TemplateSelectionExpression"`
	Passthrough       string            `yaml:"PassthroughBehavior"`
}

type rawIntegrationResponse struct {
	API         string            `yaml:"ApiId"`
	Integration string            `yaml:"IntegrationId"`
	Key         string            `yaml:"IntegrationResponseKey"`
	Templates   map[string]string `yaml:"ResponseTemplates"`
	Selection   string            `yaml:"TemplateSelectionExpression"`
}

type rawRoute struct {
	routeProps `yaml:",inline"`

	API        string `yaml:"ApiId"`
	Key        string `yaml:"RouteKey"`
	Target     string `yaml:"Target"`
	Auth       string `yaml:"AuthorizationType"`
	Authorizer string `yaml:"AuthorizerId"`
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
		spec := &routeSpec{key: p.Key, line: res.line, integration: integrations[strings.TrimPrefix(p.Target, "integrations/")]}
		switch {
		case spec.integration != nil:
		case p.Target == "": // optional; what AWS does with a message to such a route is UNCONFIRMED
			spec.integration = &integrationSpec{line: res.line, id: res.id, reason: "the route has no integration"}
		default:
			return res.errorf("Target %q is no integration of this API", p.Target)
		}
		if err := r.addRoute(spec, p.routeProps); err != nil {
			return err
		}
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
		r.warnOf(res)
		spec, err := r.integration(res, p)
		if err != nil {
			return nil, err
		}
		out[res.id] = spec
	}
	return out, r.readIntegrationResponses(out)
}

func (r *reader) integration(res *resource, p rawIntegration) (*integrationSpec, error) {
	timeout, err := integrationTimeout(p.Timeout)
	if err != nil {
		return nil, res.errorf("%v", err)
	}
	spec := &integrationSpec{line: res.line, id: res.id, kind: p.Type, timeout: timeout}
	for name, value := range r.m.stageVariables {
		p.URI = strings.ReplaceAll(p.URI, "${stageVariables."+name+"}", value)
	}
	switch p.Type {
	case "AWS_PROXY":
		if err := r.leadTo(spec, p.URI); err != nil {
			return nil, res.errorf("IntegrationUri %v", err)
		}
	case "MOCK":
		if spec.mock, err = newMock(p); err != nil {
			r.brokenf(spec, "%v", err)
		}
	case "HTTP_PROXY":
		if spec.http, err = newHTTPProxy(p); err != nil {
			return nil, res.errorf("%v", err)
		}
		if p.Connection == "VPC_LINK" {
			r.warnf(res.line, "%s: there is no VPC link; the request goes straight to %s", res.id, p.URI)
		}
	case "AWS", "HTTP":
		r.brokenf(spec, "the IntegrationType %s is not emulated; AWS_PROXY, HTTP_PROXY and MOCK are", p.Type)
	default:
		return nil, res.errorf("IntegrationType %q; there are AWS, AWS_PROXY, HTTP, HTTP_PROXY and MOCK", p.Type)
	}
	return spec, nil
}

func (r *reader) readIntegrationResponses(integrations map[string]*integrationSpec) error {
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
		r.warnOf(res)
		match, err := parseResponseKey(p.Key)
		if err != nil {
			return res.errorf("%v", err)
		}
		templates, err := newTemplates(p.Templates, p.Selection)
		if err != nil {
			r.brokenf(spec, "%s: %v", res.id, err)
		}
		spec.mock.responses = append(spec.mock.responses, mockResponse{match: match, templates: templates})
	}
	return nil
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

// modelsOf is what a route's messages are checked against; see "Request validation for WebSocket APIs".
func (r *reader) modelsOf(spec *routeSpec, p routeProps) (*requestModels, error) {
	if len(p.Models) == 0 {
		return nil, nil //nolint:nilnil // nothing is checked
	}
	if spec.key == "$connect" || spec.key == "$disconnect" {
		r.warnf(spec.line, "route %s: it has no body that RequestModels could check", spec.key)
		return nil, nil //nolint:nilnil // see above
	}
	if p.ModelSelection == "" {
		r.warnf(spec.line, "route %s: RequestModels without a ModelSelectionExpression check nothing", spec.key)
		return nil, nil //nolint:nilnil // see above
	}
	out := &requestModels{models: map[string]*schema{}}
	var err error
	if out.selector, err = parseSelector(p.ModelSelection); err != nil {
		return nil, fmt.Errorf("ModelSelectionExpression: %w", err)
	}
	for key, name := range p.Models {
		if out.models[key] = r.schemas[name]; out.models[key] == nil {
			return nil, fmt.Errorf("the model %q is not in this template", name)
		}
	}
	return out, nil
}
