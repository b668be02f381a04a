package serverless

import (
	"cmp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readWebSocket makes a route of the WebSocket API, with the API, its integration and its authorizer, if they are not there.
func (s *service) readWebSocket(f function, line int, p *yaml.Node) error {
	route := either(p, "route")
	if n := child(p, "routeKey"); n != nil { // of the plugin from which the Framework has its WebSockets, serverless-websockets-plugin
		route = n
	}
	if route.Kind != yaml.ScalarNode || route.Value == "" {
		return s.errorf(line, "a websocket event of %s has no route", f.name)
	}
	api := ref(line, websocketAPI)
	s.add(line, websocketAPI, "AWS::ApiGatewayV2::Api", with(mapping(line),
		"Name", cmp.Or(f.text("websocketsApiName"), s.stage+"-"+s.name+"-websockets"), "ProtocolType", "WEBSOCKET",
		"RouteSelectionExpression", cmp.Or(f.text("websocketsApiRouteSelectionExpression"), f.text("websocketApiRouteSelectionExpression"), "$request.body.action")))
	s.add(line, "WebsocketsDeploymentStage", "AWS::ApiGatewayV2::Stage", with(mapping(line), "ApiId", api, "StageName", s.stage, "AutoDeploy", "true"))
	integration := normal(f.name) + "WebsocketsIntegration"
	s.add(line, integration, "AWS::ApiGatewayV2::Integration", with(mapping(line), "ApiId", api, "IntegrationType", "AWS_PROXY",
		"IntegrationUri", invocation(line, functionID(f.name))))
	id := routeID(route.Value)
	if s.sockets[id] {
		return s.errorf(line, "the route %s has a function already", route.Value)
	}
	s.sockets[id] = true
	properties := with(mapping(line), "ApiId", api, "RouteKey", route.Value, "Target", sub(line, "integrations/${"+integration+"}"))
	if err := s.authorize(f, line, child(p, "authorizer"), properties); err != nil {
		return err
	}
	if response := child(p, "routeResponseSelectionExpression"); response != nil {
		with(properties, "RouteResponseSelectionExpression", response)
		s.add(line, id+"Response", "AWS::ApiGatewayV2::RouteResponse", with(mapping(line), "ApiId", api, "RouteId", ref(line, id), "RouteResponseKey", "$default"))
	}
	s.add(line, id, "AWS::ApiGatewayV2::Route", properties)
	return nil
}

func invocation(line int, function string) *yaml.Node {
	return sub(line, "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${"+function+".Arn}/invocations")
}

// authorize gives a route its authorizer: a function of the document by its name, or AWS_IAM.
func (s *service) authorize(f function, line int, n, route *yaml.Node) error {
	if n == nil {
		return nil
	}
	name, sources := either(n, "name"), child(n, "identitySource")
	switch {
	case child(n, "arn") != nil || name.Kind != yaml.ScalarNode || strings.Contains(name.Value, ":"):
		return s.errorf(n.Line, "the authorizer of %s is a function elsewhere, which nobody here can ask: name one of this document", f.name)
	case strings.EqualFold(name.Value, "aws_iam"):
		with(route, "AuthorizationType", "AWS_IAM")
		return nil
	case !s.functions[name.Value]:
		return s.errorf(n.Line, "the authorizer %s is no function of this document", name.Value)
	}
	if sources == nil {
		sources = scalar(line, "route.request.header.Auth")
	}
	if sources.Kind == yaml.ScalarNode {
		sources = partial(line, sources)
	}
	id := normal(name.Value) + "WebsocketsAuthorizer"
	s.add(line, id, "AWS::ApiGatewayV2::Authorizer", with(mapping(line), "ApiId", ref(line, websocketAPI), "Name", name.Value, "AuthorizerType", "REQUEST",
		"IdentitySource", sources, "AuthorizerUri", invocation(line, functionID(name.Value))))
	with(route, "AuthorizationType", "CUSTOM", "AuthorizerId", ref(line, id))
	return nil
}

// readHTTP makes an event of SAM of an event of a REST or an HTTP API: "GET /path", "*", or a path and a method.
func (s *service) readHTTP(f function, line int, rest bool, p *yaml.Node, event func(string, *yaml.Node)) error {
	var path, method string
	if p.Kind == yaml.ScalarNode {
		method, path, _ = strings.Cut(p.Value, " ")
	} else {
		for name, into := range map[string]*string{"path": &path, "method": &method} {
			if n := child(p, name); n != nil {
				*into = n.Value
			}
		}
	}
	path = strings.TrimSpace(path)
	if path != "" && path != "*" && !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if method = strings.ToLower(method); method == "" || method == "*" {
		method = "any"
	}
	if n := child(p, "authorizer"); n != nil {
		s.warnf(n.Line, "authorizers of http and httpApi events are not read, and the route %s of %s is not served without; let the Framework read it: %s", path, f.name, packaging)
		return nil
	}
	if n := child(p, "private"); n != nil && n.Value == "true" {
		s.warnf(n.Line, "%s: the key that private asks for is not looked at", f.name)
	}
	if rest {
		properties := with(mapping(line), "StageName", s.stage)
		if n := child(p, "cors"); n != nil && n.Value != "false" {
			with(properties, "Cors", "'*'")
		}
		s.add(line, restAPI, "AWS::Serverless::Api", properties)
		event("Api", with(mapping(line), "RestApiId", ref(line, restAPI), "Path", cmp.Or(path, "/"), "Method", method))
		return nil
	}
	s.add(line, httpAPI, "AWS::Serverless::HttpApi", with(mapping(line), "CorsConfiguration", cors(child(child(f.provider, "httpApi"), "cors"))))
	properties := with(mapping(line), "ApiId", ref(line, httpAPI))
	if path != "" && path != "*" {
		with(properties, "Path", path, "Method", method)
	}
	event("HttpApi", properties)
	return nil
}

// cors is that of an HTTP API in SAM's words.
func cors(n *yaml.Node) *yaml.Node {
	if n == nil || n.Kind == yaml.ScalarNode {
		return n
	}
	return with(mapping(n.Line), "AllowOrigins", child(n, "allowedOrigins"), "AllowHeaders", child(n, "allowedHeaders"), "AllowMethods", child(n, "allowedMethods"),
		"AllowCredentials", child(n, "allowCredentials"), "ExposeHeaders", child(n, "exposedResponseHeaders"), "MaxAge", child(n, "maxAge"))
}
