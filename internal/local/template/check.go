package template

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What AWS refuses before anything is made is refused here as well, so that it does not show on AWS first: references to nothing, resources that
// depend on each other, and of the types that make an API what is missing or misspelt. TestRefusedByLinter compares that with cfn-lint's verdicts.

// properties are those of a type of resource; the required ones have a star. See its page in the "AWS CloudFormation Template Reference".
func properties(kind string) string {
	switch kind {
	case "AWS::ApiGatewayV2::Route":
		return "ApiId* RouteKey* ApiKeyRequired AuthorizationScopes AuthorizationType AuthorizerId ModelSelectionExpression OperationName RequestModels RequestParameters RouteResponseSelectionExpression Target"
	case "AWS::ApiGatewayV2::Integration":
		return "ApiId* IntegrationType* ConnectionId ConnectionType ContentHandlingStrategy CredentialsArn Description IntegrationMethod IntegrationSubtype IntegrationUri PassthroughBehavior " +
			"PayloadFormatVersion RequestParameters RequestTemplates ResponseParameters TemplateSelectionExpression TimeoutInMillis TlsConfig"
	case "AWS::ApiGatewayV2::Stage":
		return "ApiId* StageName* AccessLogSettings AccessPolicyId AutoDeploy ClientCertificateId DefaultRouteSettings DeploymentId Description RouteSettings StageVariables Tags"
	case "AWS::ApiGatewayV2::Authorizer":
		return "ApiId* AuthorizerType* Name* AuthorizerCredentialsArn AuthorizerPayloadFormatVersion AuthorizerResultTtlInSeconds AuthorizerUri EnableSimpleResponses IdentitySource " +
			"IdentityValidationExpression JwtConfiguration"
	case "AWS::ApiGatewayV2::IntegrationResponse":
		return "ApiId* IntegrationId* IntegrationResponseKey* ContentHandlingStrategy ResponseParameters ResponseTemplates TemplateSelectionExpression"
	case "AWS::ApiGatewayV2::RouteResponse":
		return "ApiId* RouteId* RouteResponseKey* ModelSelectionExpression ResponseModels ResponseParameters"
	}
	return ""
}

// required are the properties that must be there of types whose others are not looked at.
func required(kind string) []string {
	switch kind {
	case "AWS::Serverless::WebSocketApi":
		return []string{"Routes", "RouteSelectionExpression"}
	case "AWS::SNS::Subscription":
		return []string{"Protocol", "TopicArn"}
	case "AWS::Lambda::EventSourceMapping":
		return []string{"FunctionName"}
	}
	return nil
}

// check refuses what AWS would. What a macro may still make is not looked at.
func (t *source) check(root *yaml.Node) error {
	if err := checkSections(root); err != nil {
		return err
	}
	if n := child(root, "Transform"); n != nil && n.Value != "AWS::Serverless-2016-10-31" {
		return nil
	}
	depends := map[string][]string{}
	for _, res := range t.resources {
		if res.kind == "" {
			return res.errorf("it has no Type")
		}
		if err := res.checkProperties(); err != nil {
			return err
		}
		leads := leads{t, res, map[string]bool{}}
		if err := leads.of(res.props, 0); err != nil {
			return err
		}
		for _, n := range nodesOf(res.dependsOn) {
			if err := leads.to(n.Line, n.Value, "DependsOn %s, which is no resource"); err != nil {
				return err
			}
		}
		depends[res.id] = slices.Sorted(maps.Keys(leads.ids))
	}
	return t.checkCycles(depends)
}

func checkSections(root *yaml.Node) error {
	for key := range pairs(root) {
		if !slices.Contains(strings.Fields("AWSTemplateFormatVersion Transform Description Metadata Parameters Mappings Conditions Rules Globals Resources Outputs Hooks"), key.Value) {
			return atLine(key.Line, "%s is no section of a template", key.Value)
		}
	}
	for key, decl := range pairs(child(root, "Parameters")) {
		if child(decl, "Type") == nil {
			return atLine(key.Line, "parameter %s has no Type", key.Value)
		}
	}
	if child(root, "Resources") == nil {
		return atLine(1, "the template has no Resources")
	}
	return nil
}

// nodesOf are the nodes of a list, or a node that stands for one.
func nodesOf(n *yaml.Node) []*yaml.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.SequenceNode:
		return n.Content
	}
	return []*yaml.Node{n}
}

func (r *resource) checkProperties() error {
	if r.props != nil {
		if _, _, all := intrinsic(r.props); all {
			return nil
		}
	}
	known := strings.Fields(properties(r.kind))
	needs := required(r.kind)
	for i, name := range known {
		var must bool
		if known[i], must = strings.CutSuffix(name, "*"); must {
			needs = append(needs, known[i])
		}
	}
	var there []string
	for key := range pairs(r.props) {
		there = append(there, key.Value)
		if len(known) > 0 && !slices.Contains(known, key.Value) && !strings.HasPrefix(key.Value, "Fn::") {
			return &Error{Line: key.Line, Resource: r.id, Text: fmt.Sprintf("%s is no property of %s; those are %s", key.Value, r.kind, strings.Join(known, ", "))}
		}
	}
	for _, name := range needs {
		if !slices.Contains(there, name) && !slices.Contains(there, "Fn::Transform") {
			return r.errorf("%s is missing, which every %s has", name, r.kind)
		}
	}
	return nil
}

// placeholder is a name in the text of Fn::Sub; one with ! stays as it is.
var placeholder = regexp.MustCompile(`\$\{\s*([^!}\s][^}\s]*)\s*\}`)

const noReference = "Ref to %s, which is neither a parameter nor a resource"

// leads are the resources that one leads to.
type leads struct {
	*source

	from *resource
	ids  map[string]bool
}

// to adds what a name leads to, and refuses it in these words if that is nothing.
func (l leads) to(line int, name, wrong string) error {
	id, _, _ := strings.Cut(name, ".")
	switch {
	case l.byID[id] != nil:
		l.ids[id] = true
	case l.parameters[id] != nil, strings.HasPrefix(id, "AWS::"), l.generated(id):
	default:
		return &Error{Line: line, Resource: l.from.id, Text: fmt.Sprintf(wrong, name)}
	}
	return nil
}

// of adds what a node leads to.
func (l leads) of(n *yaml.Node, depth int) error {
	if n = follow(n); n == nil || depth > maxResolveDepth {
		return nil
	}
	name, arg, ok := intrinsic(n)
	if arg = follow(arg); ok && arg != nil {
		switch name {
		case "Ref":
			return l.to(n.Line, arg.Value, noReference)
		case "GetAtt":
			var path []string
			for _, part := range nodesOf(arg) {
				path = append(path, part.Value)
			}
			return l.to(n.Line, strings.Join(path, "."), "GetAtt %s, which is no resource")
		case "Sub":
			return l.ofText(n.Line, arg, depth)
		}
	}
	for _, inner := range n.Content {
		if err := l.of(inner, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// ofText is of for the argument of Fn::Sub: a text, or one and the names of its own.
func (l leads) ofText(line int, arg *yaml.Node, depth int) error {
	format, own := arg, (*yaml.Node)(nil)
	if arg.Kind == yaml.SequenceNode && len(arg.Content) == 2 {
		format, own = arg.Content[0], arg.Content[1]
	}
	for _, found := range placeholder.FindAllStringSubmatch(format.Value, -1) {
		if child(own, found[1]) != nil {
			continue
		}
		if err := l.to(line, found[1], noReference); err != nil {
			return err
		}
	}
	return l.of(own, depth+1)
}

// generated reports whether SAM may make a resource of a name: those of others at the front, and a few of its own.
func (t *source) generated(name string) bool {
	switch name {
	case implicitREST, implicitHTTP, "ServerlessDeploymentApplication", "CodeDeployServiceRole":
		return true
	}
	for id, res := range t.byID {
		if strings.HasPrefix(res.kind, "AWS::Serverless::") && strings.HasPrefix(name, id) {
			return true
		}
	}
	return strings.HasPrefix(name, implicitREST) || strings.HasPrefix(name, implicitHTTP)
}

// checkCycles finds resources that depend on each other. SAM makes several of one of its own, which need not; those are left out.
func (t *source) checkCycles(depends map[string][]string) error {
	const open, done = 1, 2
	state := map[string]int{}
	var visit func(id string, path []string) error
	visit = func(id string, path []string) error {
		res := t.byID[id]
		if res == nil || strings.HasPrefix(res.kind, "AWS::Serverless::") || state[id] == done {
			return nil
		}
		if state[id] == open {
			return res.errorf("it depends on itself: %s", strings.Join(append(path[slices.Index(path, id):], id), " → "))
		}
		state[id] = open
		for _, to := range depends[id] {
			if err := visit(to, append(slices.Clone(path), id)); err != nil {
				return err
			}
		}
		state[id] = done
		return nil
	}
	for _, res := range t.resources {
		if err := visit(res.id, nil); err != nil {
			return err
		}
	}
	return nil
}
