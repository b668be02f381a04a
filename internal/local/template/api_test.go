package template

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// rawTemplate is written without SAM's API, with long forms, conditions and mappings.
const rawTemplate = `
Parameters:
  Env: {Type: String, Default: prod}
  Seconds: {Type: Number, Default: "7"}
Mappings:
  Limits: {prod: {Rate: 100, Burst: 50}}
Conditions:
  IsProd: !Equals [!Ref Env, prod]
  Secured: {"Fn::And": [{Condition: IsProd}, {"Fn::Not": [{"Fn::Equals": [{Ref: Env}, dev]}]}]}
Resources:
  Http: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP}}
  Api:
    Type: AWS::ApiGatewayV2::Api
    Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: "${request.body.a}/${request.body.b}", Name: {"Fn::GetAZs": ""}}
  Handler:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: !Sub "${AWS::StackName}-handler", Timeout: !Ref Seconds, Handler: index.handler}
  Auth: {Type: AWS::Lambda::Function, Properties: {Handler: index.handler}}
  Integration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS_PROXY
      TimeoutInMillis: 5000
      IntegrationUri: {"Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Handler.Arn}/invocations"}
  Connect:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: {Ref: Api}
      RouteKey: $connect
      AuthorizationType: !If [Secured, CUSTOM, NONE]
      AuthorizerId: !If [Secured, !Ref Authorizer, !Ref AWS::NoValue]
      Target: {"Fn::Join": ["/", [integrations, {Ref: Integration}]]}
  Send:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Api, RouteKey: chat/send, Target: !Sub ["integrations/${I}", {I: !Ref Integration}]}
  SendResponse:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Api, RouteId: !Ref Send, RouteResponseKey: $default}
  OnlyDev:
    Type: AWS::ApiGatewayV2::Route
    Condition: IsDev
    Properties: {ApiId: !Ref Api, RouteKey: debug, Target: nowhere}
  Authorizer:
    Type: AWS::ApiGatewayV2::Authorizer
    Condition: Secured
    Properties:
      ApiId: !Ref Api
      Name: auth
      AuthorizerType: REQUEST
      AuthorizerUri: !Sub arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Auth.Arn}/invocations
      IdentitySource: [route.request.header.X-Token, stageVariables.color]
  Stage:
    Type: AWS::ApiGatewayV2::Stage
    Properties:
      ApiId: !Ref Api
      StageName: !Ref Env
      AutoDeploy: true
      StageVariables: {color: blue}
      DefaultRouteSettings:
        ThrottlingRateLimit: !FindInMap [Limits, !Ref Env, Rate]
        ThrottlingBurstLimit: !FindInMap [Limits, !Ref Env, Burst]
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: jobs, DelaySeconds: 5}}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {EventSourceArn: !GetAtt [Queue, Arn], FunctionName: !Ref Handler, BatchSize: 1}
`

// chatTemplate is one with a route of every sort, in SAM. Lines that start with "#auth " and the like are switched on by taking that away.
func chatTemplate(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile("testdata/chat.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// readOne reads a template that has one API.
func readOne(t *testing.T, text string, o Options) (*Template, *API) {
	t.Helper()
	tpl, err := Read([]byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	api, err := tpl.API("")
	if err != nil {
		t.Fatal(err)
	}
	return tpl, api
}

func TestRawTemplate(t *testing.T) {
	text := strings.Replace(rawTemplate, "  IsProd:", "  IsDev: !Not [!Condition IsProd]\n  IsProd:", 1)
	tpl, m := readOne(t, text, Options{})
	if m.ID != "Api" || m.Stage != "prod" || m.Selection != "${request.body.a}/${request.body.b}" || m.Variables["color"] != "blue" {
		t.Errorf("got %+v", m)
	}
	if len(m.Routes) != 2 {
		t.Fatalf("got %d routes", len(m.Routes))
	}
	for i, want := range []Route{{Key: "$connect"}, {Key: "chat/send", TwoWay: true}} {
		got := m.Routes[i]
		if got.Key != want.Key || got.TwoWay != want.TwoWay || got.Integration.Function != "Handler" || got.Integration.Timeout != 5*time.Second {
			t.Errorf("got %+v, %+v", got, got.Integration)
		}
		if got.Throttle == nil || *got.Throttle != (Throttle{100, 50}) {
			t.Errorf("got throttle %+v", got.Throttle)
		}
	}
	if a := m.Authorizer; a == nil || a.Function != "Auth" || !slices.Equal(a.Sources, []string{"route.request.header.X-Token", "stageVariables.color"}) {
		t.Errorf("got authorizer %+v", a)
	}
	if f := tpl.Functions[0]; f.Timeout != 7*time.Second || f.Name != "local-handler" {
		t.Errorf("got function %+v", f)
	}
	if q := tpl.Queues[0]; q.Delay != 5*time.Second || q.Name != "jobs" || *q.Mapping != (Mapping{Line: q.Mapping.Line, Function: "Handler", BatchSize: 1, Concurrency: 10}) {
		t.Errorf("got queue %+v", q)
	}
}

func TestSAMTemplate(t *testing.T) {
	tpl, m := readOne(t, strings.NewReplacer("#default ", "", "#auth ", "").Replace(chatTemplate(t)), Options{Parameters: map[string]string{"Rate": "2.5", "AWS::Region": "eu-west-1"}})
	byKey := map[string]Route{}
	for _, r := range m.Routes {
		byKey[r.Key] = r
	}
	if len(byKey) != 8 {
		t.Errorf("got %d routes", len(byKey))
	}
	if r := byKey["echo"]; !r.TwoWay || r.Integration.Function != "MessageFunction" || r.Integration.Timeout != IntegrationTimeout || r.Throttle != nil {
		t.Errorf("got %+v", r)
	}
	if r := byKey["limited"]; r.Throttle == nil || *r.Throttle != (Throttle{2.5, 1}) {
		t.Errorf("got %+v", r)
	}
	if r := byKey["ping"]; r.Integration.Type != "MOCK" || len(r.Integration.Responses) != 1 || !r.TwoWay {
		t.Errorf("got %+v", r)
	}
	if tpl.Region != "eu-west-1" || tpl.Account != "123456789012" {
		t.Errorf("got %s, %s", tpl.Region, tpl.Account)
	}
	if q := tpl.Queues[0]; q.DeadLetters != "DeadJobs" || q.MaxReceives != 3 || q.Mapping.Function != "JobFunction" || !q.Mapping.Partial || q.Mapping.BatchSize != 5 {
		t.Errorf("got %+v", q)
	}
	if s := tpl.Schedules[0]; s.Function != "JobFunction" || s.Expression != "rate(5 minutes)" || !s.Scheduler {
		t.Errorf("got %+v", s)
	}
	if f := tpl.Functions[1]; f.Folder != "connect" || f.Timeout != time.Minute {
		t.Errorf("got %+v", f)
	}
	if _, m := readOne(t, chatTemplate(t), Options{Stage: "other"}); m.Stage != "other" {
		t.Errorf("got stage %s", m.Stage)
	}
}

func TestRouteResponseOfAGeneratedRoute(t *testing.T) {
	text := strings.ReplaceAll(chatTemplate(t), "#default ", "") + `
  SendResponse:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Chat, RouteId: !Ref ChatSendRoute, RouteResponseKey: $default}
  DefaultResponse:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Chat, RouteId: !Ref ChatdefaultRoute, RouteResponseKey: $default}
`
	_, m := readOne(t, text, Options{})
	for _, r := range m.Routes {
		if want := r.Key == "send" || r.Key == "$default" || r.Key == "echo" || r.Key == "ping"; r.TwoWay != want {
			t.Errorf("%s: two-way is %v", r.Key, r.TwoWay)
		}
	}
}

func TestIntrinsicFunctions(t *testing.T) {
	tests := []struct {
		stage, want string
	}{
		{`!Select [1, [a, b]]`, "b"},
		{`!Select [2, !Split ["-", "a-b-c"]]`, "c"},
		{`{"Fn::Join": ["_", [a, !Ref AWS::Region]]}`, "a_us-east-1"},
		{`!Sub ["${x}-${!y}", {x: 1}]`, "template line"},
		{`!FindInMap [A, B, C]`, "template line"},
		{`!Transform x`, "template line"},
		{`!If [Nope, a, b]`, `condition "Nope"`},
		{`!ImportValue shared`, "template line"},
	}
	for _, tt := range tests {
		text := strings.Replace(chatTemplate(t), "StageName: !Ref Stage", "StageName: "+tt.stage, 1)
		tpl, err := Read([]byte(text), Options{})
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got = tpl.APIs[0].Stage
		}
		if !strings.HasPrefix(got, tt.want) && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%s: got %s, want %s", tt.stage, got, tt.want)
		}
	}
}

func TestTemplateErrors(t *testing.T) {
	chat := chatTemplate(t)
	replace := func(old, text string) string {
		if !strings.Contains(chat, old) {
			t.Fatalf("%q is not in the template", old)
		}
		return strings.Replace(chat, old, text, 1)
	}
	tests := []struct {
		name, template, want string
	}{
		{"empty", "", "template line 1: a template is a mapping"},
		{"no YAML", "a: [", "template: yaml: line 1"},
		{"no API", "Resources: {}", "the template has no WebSocket API"},
		{"an unknown function", replace("!GetAtt ConnectFunction.Arn}", "!GetAtt Nothing.Arn}"), "template line 16: Chat: GetAtt Nothing.Arn, which is no resource"},
		{"a function that is something else", replace("!GetAtt ConnectFunction.Arn}", "!GetAtt Jobs.Arn}"), `route $connect: FunctionArn "arn:aws:sqs:us-east-1:123456789012:Jobs" is no function`},
		{"an unknown integration", replace("integrations/${PingIntegration}", "integrations/x"), "PingRoute: Target \"integrations/x\" is no integration"},
		{"a bad route key", replace("        send:", "        $send:"), "the provided route key is not formatted properly"},
		{"a route twice", replace("RouteKey: ping", "RouteKey: send"), "route send exists already (line "},
		{"a route response of nothing", replace("RouteId: !Ref PingRoute", "RouteId: !Ref ChatFooRoute"), `RouteId "ChatFooRoute" is no route`},
		{"an unknown Ref", replace("!Ref Stage", "!Ref Nothing"), "Ref to Nothing, which is neither"},
		{"an authorizer without a type", replace("#auth       Auth: {AuthType: CUSTOM, ", "      Auth: {"), "Chat: Auth has no AuthType: an authorizer needs AuthType CUSTOM"},
		{"a bad stage", replace("Default: dev", "Default: a/b"), `stage "a/b" may only have`},
		{"a bad timeout", replace("IntegrationTimeout: 50", "IntegrationTimeout: 30000"), "an integration timeout of 30000 ms"},
		{"settings of no route", replace("        limited: {Thr", "        none: {Thr"), "RouteSettings for none, which is no route"},
		{"a dead-letter queue that is none", replace("!GetAtt DeadJobs.Arn", "arn:x"), "deadLetterTargetArn arn:x is no queue"},
		{"a parameter without a value", replace(", Default: dev}", ", NoEcho: true}"), "parameter Stage has no default"},
		{"a second API", chat + "  Other: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET}}\n", "a second WebSocket API besides Chat"},
		{"an unknown condition", chat + "  Other: {Type: AWS::SQS::Queue, Condition: Nope}\n", `condition "Nope" is not declared`},
		{"text for a number", replace("VisibilityTimeout: 60", "VisibilityTimeout: soon"), "soon is no whole number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tpl, err := Read([]byte(tt.template), Options{})
			if err == nil {
				_, err = tpl.API("")
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestRawTemplateErrors is about what AWS refuses to deploy.
func TestRawTemplateErrors(t *testing.T) {
	for _, tt := range []struct{ old, text, want string }{
		{"RouteKey: chat/send,", "RouteKey: chat/send, AuthorizationType: CUSTOM, AuthorizerId: !Ref Authorizer,", "only $connect can have an authorizer"},
		{"AuthorizerType: REQUEST", "AuthorizerType: JWT", "WebSocket APIs have REQUEST only"},
		{"!If [Secured, !Ref Authorizer, !Ref AWS::NoValue]", "!Ref Queue", "is no authorizer of this template"},
		{"!If [Secured, CUSTOM, NONE]", "JWT", "AuthorizationType JWT"},
		{"RouteResponseKey: $default", "RouteResponseKey: other", "only $default exists"},
		{"RouteKey: chat/send", "RouteKey: $other", "not formatted properly"},
		{"TimeoutInMillis: 5000", "TimeoutInMillis: 49", "is not 50 to 29,000"},
	} {
		if !strings.Contains(rawTemplate, tt.old) {
			t.Fatalf("%q is not in the template", tt.old)
		}
		text := strings.Replace(strings.Replace(rawTemplate, "  IsProd:", "  IsDev: !Not [!Condition IsProd]\n  IsProd:", 1), tt.old, tt.text, 1)
		if _, err := Read([]byte(text), Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.text, err, tt.want)
		}
	}
}

// TestHTTPEndpoint: what an HTTP API is called by begins with https.
func TestHTTPEndpoint(t *testing.T) {
	tpl, err := Read([]byte(`
Resources:
  Web: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP}}
  Socket: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET}}
  F: {Type: AWS::Serverless::Function, Properties: {Environment: {Variables: {WEB: !GetAtt Web.ApiEndpoint, SOCKET: !GetAtt Socket.ApiEndpoint, REST: !Ref ServerlessRestApi}}}}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	env, _, err := tpl.Environment("F", nil)
	if err != nil || !strings.HasPrefix(env["WEB"], "https://") || !strings.HasPrefix(env["SOCKET"], "wss://") || env["REST"] != apiIDOf("ServerlessRestApi") {
		t.Errorf("got %v, %v", env, err)
	}
}
