package template

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// routeProps are what a route has in either way of writing it.
type routeProps struct {
	Response       string            `yaml:"RouteResponseSelectionExpression"`
	Models         map[string]string `yaml:"RequestModels"`
	ModelSelection string            `yaml:"ModelSelectionExpression"`
	APIKey         bool              `yaml:"ApiKeyRequired"`
	Parameters     yaml.Node         `yaml:"RequestParameters"`
}

func (r *apiReader) readSAMRoutes(routes map[string]*samRoute) error {
	for _, key := range slices.Sorted(maps.Keys(routes)) {
		p := routes[key]
		if p == nil {
			return r.res.errorf("route %s is empty", key)
		}
		timeout, err := integrationTimeout(p.Timeout)
		if err != nil {
			return atLine(p.line, "route %s: %v", key, err)
		}
		in := &Integration{ID: r.api.ID + key, Line: p.line, Type: "AWS_PROXY", URI: p.FunctionARN, Timeout: timeout}
		if err := r.leadTo(in); err != nil {
			return atLine(p.line, "route %s: FunctionArn %v", key, err)
		}
		if err := r.addRoute(Route{Key: key, Line: p.line, Integration: in}, p.routeProps); err != nil {
			return err
		}
	}
	return nil
}

// leadTo points an integration at the function of its URI. One that is not of this template has an ARN like any other, and nobody here to
// run it.
func (r *apiReader) leadTo(in *Integration) error {
	if fn, ok := r.out.Function(in.URI); ok {
		in.Function = fn.ID
		return nil
	}
	if strings.Contains(in.URI, ":function:") || strings.HasPrefix(in.URI, "import:") {
		return nil
	}
	return fmt.Errorf("%q is no function of this template", in.URI)
}

func (r *apiReader) addRoute(route Route, p routeProps) error {
	if route.Key == "" || route.Key[0] == '$' && route.Key != "$connect" && route.Key != "$disconnect" && route.Key != "$default" {
		return atLine(route.Line, "route key %q: the provided route key is not formatted properly", route.Key)
	}
	for _, other := range r.api.Routes {
		if other.Key == route.Key {
			return atLine(route.Line, "route %s exists already (line %d)", route.Key, other.Line)
		}
	}
	if p.APIKey {
		r.warnf(route.Line, "route %s: API keys are not checked", route.Key)
	}
	if !p.Parameters.IsZero() {
		r.warnf(route.Line, "route %s: RequestParameters are not checked", route.Key)
	}
	route.TwoWay = p.Response != ""
	route.Models, route.ModelSelection = p.Models, p.ModelSelection
	r.api.Routes = append(r.api.Routes, route)
	return nil
}

// readRoutes reads the AWS::ApiGatewayV2 resources of the API, which may also add to a SAM API.
func (r *apiReader) readRoutes() error {
	integrations, err := r.readIntegrations()
	if err != nil {
		return err
	}
	keys := map[string]string{} // of the routes, by logical id
	for res := range r.of("AWS::ApiGatewayV2::Route") {
		var p struct {
			routeProps `yaml:",inline"`

			API        string `yaml:"ApiId"`
			Key        string `yaml:"RouteKey"`
			Target     string `yaml:"Target"`
			Auth       string `yaml:"AuthorizationType"`
			Authorizer string `yaml:"AuthorizerId"`
		}
		if err := r.decode(res, &p); err != nil {
			return err
		}
		if !r.mine(p.API) {
			continue
		}
		in := integrations[strings.TrimPrefix(p.Target, "integrations/")]
		if in == nil && p.Target != "" {
			return res.errorf("Target %q is no integration of this API", p.Target)
		}
		if in == nil { // optional; what AWS does with a message to such a route is UNCONFIRMED
			in = &Integration{ID: res.id, Line: res.line}
		}
		if err := r.addRoute(Route{Key: p.Key, Line: res.line, Integration: in}, p.routeProps); err != nil {
			return err
		}
		if err := r.authorizeRoute(res, p.Key, p.Auth, p.Authorizer); err != nil {
			return err
		}
		keys[res.id] = p.Key
	}
	return r.readRouteResponses(keys)
}

func (r *apiReader) authorizeRoute(res *resource, key, kind, id string) error {
	switch kind {
	case "", "NONE":
		return nil
	case "AWS_IAM":
		if key != "$connect" {
			return res.errorf("only $connect can have AuthorizationType AWS_IAM")
		}
		r.api.IAM = true
		return nil
	case "CUSTOM":
	default:
		return res.errorf("AuthorizationType %s", kind)
	}
	if key != "$connect" {
		return res.errorf("only $connect can have an authorizer")
	}
	authorizer := r.byID[id]
	if authorizer == nil || authorizer.kind != "AWS::ApiGatewayV2::Authorizer" {
		return res.errorf("AuthorizerId %q is no authorizer of this template", id)
	}
	var p struct {
		Type    string   `yaml:"AuthorizerType"`
		URI     string   `yaml:"AuthorizerUri"`
		Sources []string `yaml:"IdentitySource"`
	}
	if err := r.decode(authorizer, &p); err != nil {
		return err
	}
	if p.Type != "REQUEST" {
		return authorizer.errorf("AuthorizerType %s; WebSocket APIs have REQUEST only", p.Type)
	}
	return r.setAuthorizer(authorizer, p.URI, p.Sources)
}

// readIntegrations gives the integrations of the API by logical id.
func (r *apiReader) readIntegrations() (map[string]*Integration, error) {
	out := map[string]*Integration{}
	for res := range r.of("AWS::ApiGatewayV2::Integration") {
		var p struct {
			API               string            `yaml:"ApiId"`
			Type              string            `yaml:"IntegrationType"`
			Method            string            `yaml:"IntegrationMethod"`
			URI               string            `yaml:"IntegrationUri"`
			Timeout           int               `yaml:"TimeoutInMillis"`
			Connection        string            `yaml:"ConnectionType"`
			RequestTemplates  map[string]Text   `yaml:"RequestTemplates"`
			RequestParameters map[string]string `yaml:"RequestParameters"`
			Selection         string            `yaml:"TemplateSelectionExpression"`
			Passthrough       string            `yaml:"PassthroughBehavior"`
		}
		if err := r.decode(res, &p); err != nil {
			return nil, err
		}
		if !r.mine(p.API) {
			continue
		}
		r.warnOf(res)
		timeout, err := integrationTimeout(p.Timeout)
		if err != nil {
			return nil, res.errorf("%v", err)
		}
		in := &Integration{
			ID: res.id, Line: res.line, Type: p.Type, URI: p.URI, Method: p.Method, Timeout: timeout,
			RequestTemplates: p.RequestTemplates, RequestParameters: p.RequestParameters, Selection: p.Selection, Passthrough: p.Passthrough,
		}
		for name, value := range r.api.Variables {
			in.URI = strings.ReplaceAll(in.URI, "${stageVariables."+name+"}", value)
		}
		if p.Type == "AWS_PROXY" {
			if err := r.leadTo(in); err != nil {
				return nil, res.errorf("IntegrationUri %v", err)
			}
		}
		if p.Connection == "VPC_LINK" {
			r.warnf(res.line, "%s: there is no VPC link; the request goes straight to %s", res.id, in.URI)
		}
		out[res.id] = in
	}
	return out, r.readIntegrationResponses(out)
}

func (r *apiReader) readIntegrationResponses(integrations map[string]*Integration) error {
	for res := range r.of("AWS::ApiGatewayV2::IntegrationResponse") {
		var p struct {
			API         string          `yaml:"ApiId"`
			Integration string          `yaml:"IntegrationId"`
			Key         string          `yaml:"IntegrationResponseKey"`
			Templates   map[string]Text `yaml:"ResponseTemplates"`
			Selection   string          `yaml:"TemplateSelectionExpression"`
		}
		if err := r.decode(res, &p); err != nil {
			return err
		}
		if !r.mine(p.API) {
			continue
		}
		in := integrations[p.Integration]
		if in == nil {
			return res.errorf("IntegrationId %q is no integration of this API", p.Integration)
		}
		if n := len(p.Key); p.Key != "$default" && (n < 3 || p.Key[0] != '/' || p.Key[n-1] != '/') {
			return res.errorf("IntegrationResponseKey %q is neither $default nor /pattern/", p.Key)
		}
		r.warnOf(res)
		in.Responses = append(in.Responses, IntegrationResponse{ID: res.id, Line: res.line, Key: p.Key, Templates: p.Templates, Selection: p.Selection})
	}
	return nil
}

// readRouteResponses makes routes two-way. AWS documents that a route needs both its RouteResponseSelectionExpression and a RouteResponse;
// whether one alone is enough is UNCONFIRMED, and either is taken here.
func (r *apiReader) readRouteResponses(keys map[string]string) error {
	for res := range r.of("AWS::ApiGatewayV2::RouteResponse") {
		var p struct {
			API   string `yaml:"ApiId"`
			Route string `yaml:"RouteId"`
			Key   string `yaml:"RouteResponseKey"`
		}
		if err := r.decode(res, &p); err != nil {
			return err
		}
		if !r.mine(p.API) {
			continue
		}
		if p.Key != "$default" {
			return res.errorf("RouteResponseKey %q; only $default exists", p.Key)
		}
		i := slices.IndexFunc(r.api.Routes, func(route Route) bool {
			generated := r.api.ID + strings.TrimPrefix(route.Key, "$") + "Route" // by SAM
			return route.Key == keys[p.Route] || strings.EqualFold(p.Route, generated)
		})
		if i < 0 {
			return res.errorf("RouteId %q is no route of this API", p.Route)
		}
		r.api.Routes[i].TwoWay = true
	}
	return nil
}
