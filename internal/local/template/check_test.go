package template

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The parts of the templates below.
const (
	serverless = "Transform: AWS::Serverless-2016-10-31\n"
	fn         = "  F: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, InlineCode: x}}\n"
	ws         = "  W:\n    Type: AWS::Serverless::WebSocketApi\n    Properties:\n      RouteSelectionExpression: $request.body.action\n"
	all        = "      Routes: {$default: {FunctionArn: !GetAtt F.Arn}, $connect: {FunctionArn: !GetAtt F.Arn}}\n"
	raw        = "  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: chat, ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}\n"
	mock       = "  I: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Api, IntegrationType: MOCK}}\n"
	route      = "  R: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: $default, Target: !Sub 'integrations/${I}'}}\n"
	base       = "Resources:\n" + raw + mock + route
)

// refusal is a template and what is said of it; nothing: it is taken.
type refusal struct {
	text, want string
	later      bool // cfn-lint may take it, and AWS refuses it when it makes it
}

func refusals() map[string]refusal {
	function := func(properties string) string {
		return serverless + base + "  F: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, InlineCode: x, " + properties + "}}\n"
	}
	return map[string]refusal{
		"a template of resources":   {base + "  S: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Api, StageName: dev, AutoDeploy: true}}\n", "", false},
		"a template of SAM":         {serverless + "Resources:\n" + fn + ws + "      Auth: {AuthType: CUSTOM, AuthArn: !GetAtt F.Arn, IdentitySource: [route.request.header.Auth]}\n" + all, "", false},
		"AWS_IAM":                   {serverless + "Resources:\n" + fn + ws + "      Auth: {AuthType: AWS_IAM}\n" + all, "", false},
		"a name that SAM makes":     {serverless + "Resources:\n" + fn + ws + all + "  T: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref FRole}}\n", "", false},
		"an authorizer alone":       {serverless + "Resources:\n" + fn + ws + "      Auth: {AuthArn: !GetAtt F.Arn}\n" + all, "W: Auth has no AuthType", false},
		"an unknown AuthType":       {serverless + "Resources:\n" + fn + ws + "      Auth: {AuthType: BEARER, AuthArn: !GetAtt F.Arn}\n" + all, "W: AuthType BEARER", true},
		"no routes":                 {serverless + "Resources:\n" + fn + ws, "W: Routes is missing, which every AWS::Serverless::WebSocketApi has", false},
		"no selection expression":   {serverless + "Resources:\n" + fn + "  W: {Type: AWS::Serverless::WebSocketApi, Properties: {Routes: {$default: {FunctionArn: !GetAtt F.Arn}}}}\n", "W: RouteSelectionExpression is missing", false},
		"a route without function":  {serverless + "Resources:\n" + fn + ws + "      Routes: {$default: {OperationName: x}}\n", `route $default: FunctionArn ""`, false},
		"Ref to nothing":            {base + "  T: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref Nothing}}\n", "T: Ref to Nothing, which is neither a parameter nor a resource", false},
		"GetAtt of nothing":         {base + "  T: {Type: AWS::SNS::Topic, Properties: {DisplayName: !GetAtt Nothing.Arn}}\n", "T: GetAtt Nothing.Arn, which is no resource", false},
		"Sub of nothing":            {base + "  T: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Sub 'a-${Nothing}'}}\n", "T: Ref to Nothing", false},
		"DependsOn nothing":         {base + "  T: {Type: AWS::SNS::Topic, DependsOn: Nothing}\n", "T: DependsOn Nothing, which is no resource", false},
		"a cycle of DependsOn":      {base + "  A: {Type: AWS::SNS::Topic, DependsOn: B}\n  B: {Type: AWS::SNS::Topic, DependsOn: A}\n", "A: it depends on itself: A → B → A", false},
		"a cycle of references":     {base + "  A: {Type: AWS::SNS::Topic, Properties: {DisplayName: !GetAtt B.TopicName}}\n  B: {Type: AWS::SNS::Topic, Properties: {DisplayName: !GetAtt A.TopicName}}\n", "A: it depends on itself", false},
		"a route without key":       {base + "  Q: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api}}\n", "Q: RouteKey is missing", false},
		"a route without API":       {base + "  Q: {Type: AWS::ApiGatewayV2::Route, Properties: {RouteKey: x}}\n", "Q: ApiId is missing", false},
		"a property misspelt":       {base + "  Q: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: x, Targett: y}}\n", "Q: Targett is no property of AWS::ApiGatewayV2::Route; those are ApiId, RouteKey", false},
		"unknown authorization":     {base + "  Q: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: $connect, AuthorizationType: BEARER}}\n", "Q: AuthorizationType BEARER", true},
		"CUSTOM without authorizer": {base + "  Q: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: $connect, AuthorizationType: CUSTOM}}\n", `Q: AuthorizerId "" is no authorizer of this template`, true},
		"no IntegrationType":        {base + "  J: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Api}}\n", "J: IntegrationType is missing", false},
		"a stage without name":      {base + "  S: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Api, AutoDeploy: true}}\n", "S: StageName is missing", false},
		"an authorizer's type":      {base + "  A: {Type: AWS::ApiGatewayV2::Authorizer, Properties: {ApiId: !Ref Api, Name: a}}\n", "A: AuthorizerType is missing", false},
		"a subscription":            {base + "  T: {Type: AWS::SNS::Topic}\n  S: {Type: AWS::SNS::Subscription, Properties: {TopicArn: !Ref T}}\n", "S: Protocol is missing", false},
		"a mapping":                 {base + "  Q: {Type: AWS::SQS::Queue}\n  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {EventSourceArn: !GetAtt Q.Arn}}\n", "M: FunctionName is missing", false},
		"text for a number":         {function("Timeout: soon"), "F: soon is no whole number", false},
		"a time too long":           {function("Timeout: 901"), "F: Timeout is 901, not 1 to 900 seconds", true},
		"too little memory":         {function("MemorySize: 64"), "F: MemorySize is 64, not 128 to 10240 MB", false},
		"variables as a list":       {function("Environment: {Variables: [A]}"), "F: Variables of Environment is no object", false},
		"an unknown condition":      {base + "  A: {Type: AWS::SNS::Topic, Condition: Nothing}\n", `condition "Nothing" is not declared`, false},
		"no type":                   {base + "  A: {Properties: {}}\n", "A: it has no Type", false},
		"a parameter without type":  {"Parameters: {P: {Default: a}}\n" + base, "parameter P has no Type", false},
		"a value not allowed":       {"Parameters: {P: {Type: String, AllowedValues: [a, b], Default: c}}\n" + base, `parameter P: "c" is not one of a, b`, false},
		"nothing":                   {"Description: nothing\n", "the template has no Resources", false},
		"an unknown section":        {"Resource: {}\n" + base, "Resource is no section of a template", false},
	}
}

// TestRefused: what AWS refuses is refused here, with what is wrong.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range refusals() {
		_, err := Read([]byte(c.text), Options{})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// TestRefusedByLinter: it is what cfn-lint refuses, which `sam validate --lint` runs. scripts/sam-tools go test ./internal/local/template has it.
func TestRefusedByLinter(t *testing.T) {
	t.Parallel()
	linter, err := exec.LookPath("cfn-lint")
	if err != nil || testing.Short() {
		t.Skip("needs cfn-lint: run it by scripts/sam-tools, without -short")
	}
	dir := t.TempDir()
	for name, c := range refusals() {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := exec.CommandContext(t.Context(), linter, "--format", "parseable", filepath.Join(dir, "*.yaml")).Output() // its status says only that something is wrong
	for name, c := range refusals() {
		refused := false
		for line := range strings.Lines(string(text)) {
			file, rest, _ := strings.Cut(line, ".yaml:")
			refused = refused || filepath.Base(file) == name && strings.Contains(rest, ":E")
		}
		if refused != (c.want != "") && !c.later {
			t.Errorf("%s: cfn-lint refuses it: %v", name, refused)
		}
	}
}
