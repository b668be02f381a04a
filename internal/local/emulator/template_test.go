package emulator

import (
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

func TestRawTemplate(t *testing.T) {
	text := strings.Replace(rawTemplate, "  IsProd:", "  IsDev: !Not [!Condition IsProd]\n  IsProd:", 1)
	m, _, err := readModel(Config{Template: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	if m.api != "Api" || m.stage != "prod" || m.selection != "${request.body.a}/${request.body.b}" || m.stageVariables["color"] != "blue" {
		t.Errorf("got %+v", m)
	}
	if len(m.routes) != 2 {
		t.Fatalf("got %d routes", len(m.routes))
	}
	for i, want := range []routeSpec{{key: "$connect"}, {key: "chat/send", twoWay: true}} {
		got := m.routes[i]
		if got.key != want.key || got.twoWay != want.twoWay || got.integration.function != "Handler" || got.integration.timeout != 5*time.Second {
			t.Errorf("got %+v, %+v", got, got.integration)
		}
		if !got.throttled || got.rate != 100 || got.burst != 50 {
			t.Errorf("got throttle %v %v %v", got.throttled, got.rate, got.burst)
		}
	}
	if a := m.authorizer; a == nil || a.function != "Auth" || len(a.sources) != 2 || a.sources[0] != (identitySource{"header", "X-Token"}) {
		t.Errorf("got authorizer %+v", a)
	}
	if f := m.functions[0]; f.Timeout != 7*time.Second || f.Name != "local-handler" {
		t.Errorf("got function %+v", f)
	}
	if q := m.queues[0]; q.function != "Handler" || q.batchSize != 1 || q.delay != 5*time.Second || q.name != "jobs" || q.partial {
		t.Errorf("got queue %+v", q)
	}
}

func TestSAMTemplate(t *testing.T) {
	m, _, err := readModel(Config{Template: with("default", "auth"), Parameters: map[string]string{"Rate": "2.5", "AWS::Region": "eu-west-1"}})
	if err != nil {
		t.Fatal(err)
	}
	byKey := map[string]*routeSpec{}
	for _, r := range m.routes {
		byKey[r.key] = r
	}
	if len(byKey) != 8 {
		t.Errorf("got %d routes", len(byKey))
	}
	if r := byKey["echo"]; !r.twoWay || r.integration.function != "MessageFunction" || r.integration.timeout != maxIntegration || r.throttled {
		t.Errorf("got %+v", r)
	}
	if r := byKey["limited"]; !r.throttled || r.rate != 2.5 || r.burst != 1 {
		t.Errorf("got %+v", r)
	}
	if r := byKey["ping"]; r.integration.mock == nil || !r.twoWay {
		t.Errorf("got %+v", r)
	}
	if got := m.connectARN(); !strings.HasPrefix(got, "arn:aws:execute-api:eu-west-1:123456789012:") || !strings.HasSuffix(got, "/dev/$connect") {
		t.Errorf("got %s", got)
	}
	if q := m.queues[0]; q.deadLetters != "DeadJobs" || q.maxReceives != 3 || q.function != "JobFunction" || !q.partial || q.batchSize != 5 {
		t.Errorf("got %+v", q)
	}
	if s := m.schedules[0]; s.function != "JobFunction" || s.every != 5*time.Minute || !s.scheduler {
		t.Errorf("got %+v", s)
	}
	if f := m.functions[1]; f.folder != "connect" || f.Timeout != time.Minute {
		t.Errorf("got %+v", f)
	}
}

func TestRouteResponseOfAGeneratedRoute(t *testing.T) {
	text := string(with("default")) + `
  SendResponse:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Chat, RouteId: !Ref ChatSendRoute, RouteResponseKey: $default}
  DefaultResponse:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Chat, RouteId: !Ref ChatdefaultRoute, RouteResponseKey: $default}
`
	m, _, err := readModel(Config{Template: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.routes {
		if want := r.key == "send" || r.key == "$default" || r.key == "echo" || r.key == "ping"; r.twoWay != want {
			t.Errorf("%s: two-way is %v", r.key, r.twoWay)
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
		text := strings.Replace(chatTemplate, "StageName: !Ref Stage", "StageName: "+tt.stage, 1)
		m, _, err := readModel(Config{Template: []byte(text)})
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got = m.stage
		}
		if !strings.HasPrefix(got, tt.want) && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%s: got %s, want %s", tt.stage, got, tt.want)
		}
	}
}

func TestMockTemplate(t *testing.T) {
	text := strings.Replace(chatTemplate, `'{"statusCode":200}'`, `'{"statusCode":200,"n":$input.json(''$.n''),"a":{"b":"$input.path(''$.a.b'')"}}'`, 1)
	text = strings.Replace(text, `'{"event":"pong"}'`, `'{"id":"$context.connectionId","r":"${context.routeKey}","n":$input.json(''$.n''),"t":"$input.path(''$.a.b'')"}'`, 1)
	f := serve(t, Config{Template: []byte(text)})
	c, id := f.openID(t)
	c.send(`{"action":"ping","n":[1],"a":{"b":"x"}}`)
	c.wantText(`{"id":"` + id + `","r":"ping","n":[1],"t":"x"}`)
}

func TestTemplateErrors(t *testing.T) {
	replace := func(old, text string) string {
		if !strings.Contains(chatTemplate, old) {
			t.Fatalf("%q is not in the template", old)
		}
		return strings.Replace(chatTemplate, old, text, 1)
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
		{"another kind of integration", replace("IntegrationType: MOCK", "IntegrationType: TCP"), `PingIntegration: IntegrationType "TCP"`},
		{"an integration without an address", replace("IntegrationType: MOCK", "IntegrationType: HTTP_PROXY"), `PingIntegration: IntegrationUri "" is no http:// or https:// address`},
		{"a bad expression", replace("$request.body.action", "$request.header.x"), "RouteSelectionExpression: uses $request.header.x"},
		{"no expression", replace("$request.body.action", `""`), "RouteSelectionExpression: is empty"},
		{"a bad stage", replace("Default: dev", "Default: a/b"), `stage "a/b" may only have`},
		{"a bad timeout", replace("IntegrationTimeout: 50", "IntegrationTimeout: 30000"), "an integration timeout of 30000 ms"},
		{"settings of no route", replace("        limited: {Thr", "        none: {Thr"), "RouteSettings for none, which is no route"},
		{"a dead-letter queue that is none", replace("!GetAtt DeadJobs.Arn", "arn:x"), "deadLetterTargetArn arn:x is no queue"},
		{"a bad identity source", strings.Replace(string(with("auth")), "route.request.querystring.token", "$request.header.x", 1), "identity source"},
		{"a parameter without a value", replace(", Default: dev}", "}"), "parameter Stage has no default"},
		{"a second API", chatTemplate + "  Other: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET}}\n", "a second WebSocket API besides Chat"},
		{"an unknown condition", chatTemplate + "  Other: {Type: AWS::SQS::Queue, Condition: Nope}\n", `condition "Nope" is not declared`},
		{"text for a number", replace("VisibilityTimeout: 60", "VisibilityTimeout: soon"), "cannot unmarshal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Config{Template: []byte(tt.template), Functions: functions(nil)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestFunctionsMustFitTheTemplate(t *testing.T) {
	missing := functions(nil)
	delete(missing, "message")
	if _, err := New(Config{Template: with(), Functions: missing}); err == nil || !strings.Contains(err.Error(), "no code was given for function MessageFunction") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Config{Template: with(), Functions: functions(map[string]Function{"mesage": answers(ok)})}); err == nil || !strings.Contains(err.Error(), "function mesage is not in the template") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Config{Template: with(), Functions: functions(nil), Parameters: map[string]string{"Nope": "x"}}); err == nil || !strings.Contains(err.Error(), "parameter Nope") {
		t.Errorf("got %v", err)
	}
	s, err := New(Config{Template: with(), Functions: functions(nil), Stage: "other"})
	if err != nil || s.Stage() != "other" {
		t.Errorf("got %v", err)
	}
}

func TestRate(t *testing.T) {
	for expr, want := range map[string]time.Duration{
		"rate(1 minute)": time.Minute, "rate(5 minutes)": 5 * time.Minute, "rate(2 hours)": 2 * time.Hour, "rate(1 day)": 24 * time.Hour,
		"cron(0 3 * * ? *)": 0, "rate(0 minutes)": 0, "rate(5)": 0, "rate(5 weeks)": 0, "": 0,
	} {
		if got, err := parseRate(expr); got != want || (err == nil) != (want > 0) {
			t.Errorf("%s: got %v, %v", expr, got, err)
		}
	}
}
