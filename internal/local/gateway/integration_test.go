package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// backend is a server that integrations ask; it tells what it was asked.
func backend(t *testing.T, answer http.HandlerFunc) (url string, asked <-chan string) {
	t.Helper()
	ch := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := r.Header
		ch <- fmt.Sprintf("%s %s %s id=%s version=%s agent=%s", r.Method, r.RequestURI, body, h.Get("X-Id"), h.Get("Sec-Websocket-Version"), h.Get("User-Agent"))
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, ch
}

func TestHTTPProxyIntegration(t *testing.T) {
	refuse := false
	url, asked := backend(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/connect" && refuse:
			w.WriteHeader(http.StatusTeapot)
		case r.URL.Path == "/connect":
			w.Header().Set("Sec-WebSocket-Protocol", "chat")
		case strings.HasPrefix(r.URL.Path, "/fail"):
			w.Header().Set("Connection", "close")
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusInternalServerError) // passed on all the same
			_, _ = io.WriteString(w, "heard")
		}
	})
	f := serve(t, setup{Functions: map[string]invoke.Function{}, Template: `
Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}
  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Api, StageName: dev, AutoDeploy: true, StageVariables: {host: "` + url + `"}}}
  C:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: HTTP_PROXY
      IntegrationMethod: GET
      IntegrationUri: "` + url + `/connect?a=b"
      RequestParameters: {integration.request.header.Sec-WebSocket-Version: "'0'", integration.request.header.X-Id: route.request.header.X-Name}
  M:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: HTTP_PROXY
      IntegrationMethod: ANY
      ConnectionType: VPC_LINK
      IntegrationUri: !Sub "${!stageVariables.host}/rooms/{room}"
      RequestParameters:
        integration.request.header.X-Id: context.connectionId
        integration.request.path.room: route.request.body.room
        integration.request.querystring.key: context.routeKey
  F: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Api, IntegrationType: HTTP_PROXY, IntegrationUri: "` + url + `/fail"}}
  CR: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: $connect, Target: !Sub "integrations/${C}"}}
  DR: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: $disconnect, Target: !Sub "integrations/${M}"}}
  MR: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: ask, Target: !Sub "integrations/${M}", RouteResponseSelectionExpression: $default}}
  FR: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: fail, Target: !Sub "integrations/${F}"}}
`})
	c, res := f.dial(t, "/dev?token=x", http.Header{"X-Name": {"ana"}, "User-Agent": {"me"}})
	if c == nil || res.header.Get("Sec-Websocket-Protocol") != "chat" {
		t.Fatalf("got %+v", res)
	}
	if got, want := receive(t, asked), "GET /connect?a=b&token=x  id=ana version=0 agent=me"; got != want {
		t.Errorf("$connect: got %s, want %s", got, want)
	}
	id := f.Connections()[0].ID
	c.send(`{"action":"ask","room":"a b"}`)
	c.wantText("heard")
	if got, want := receive(t, asked), `POST /rooms/a%20b?key=ask {"action":"ask","room":"a b"} id=`+id+" version= agent=Go-http-client/1.1"; got != want {
		t.Errorf("a message: got %s, want %s", got, want)
	}
	c.send(`{"action":"fail"}`)
	if frame := string(c.frame().Payload); !strings.HasPrefix(frame, `{"message": "Internal server error", "connectionId":"`+id) {
		t.Errorf("a server that fails: got %s", frame)
	}
	receive(t, asked)
	c.sock.Close()
	if got := receive(t, asked); !strings.HasPrefix(got, "POST /rooms/?key=%24disconnect  id="+id) {
		t.Errorf("$disconnect: got %s", got)
	}
	refuse = true
	if _, res := f.dial(t, "/dev", nil); res.status != http.StatusTeapot {
		t.Errorf("a refused $connect: got %d", res.status)
	}
}

// mockAPI is an API with one MOCK route; integration is the rest of its properties, responses are resources.
func mockAPI(integration, responses string) string {
	return `
Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}
  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Api, StageName: dev, AutoDeploy: true, StageVariables: {color: blue}}}
  Mock: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Api, IntegrationType: MOCK` + integration + `}}
  Route: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: m, Target: !Sub "integrations/${Mock}", RouteResponseSelectionExpression: $default}}
` + responses
}

func response(key, rest string) string {
	return "  R" + strings.Trim(key, "/$d\\") + ": {Type: AWS::ApiGatewayV2::IntegrationResponse, Properties: {ApiId: !Ref Api, IntegrationId: !Ref Mock, IntegrationResponseKey: '" + key + "'" + rest + "}}\n"
}

func TestMockIntegration(t *testing.T) {
	const (
		unsupported = `{"message": "Unsupported Media Type"`
		internal    = `{"message": "Internal server error"`
	)
	fallback := response("$default", "")
	tests := []struct {
		name, integration, responses, message, want string
	}{
		{"the template of the selected key", `, TemplateSelectionExpression: $request.body.kind, RequestTemplates: {a: '{"statusCode":200,"x":1}', b: '{"statusCode":200,"x":2}'}`, fallback, `"kind":"b"`, `{"statusCode":200,"x":2}`},
		{"else of $default", `, TemplateSelectionExpression: '${request.body.kind}', RequestTemplates: {a: '{"statusCode":200}', $default: '{statusCode: 201}'}`, fallback, `"kind":"c"`, `{statusCode: 201}`},
		{"an escaped $default", `, TemplateSelectionExpression: '\$default', RequestTemplates: {a: '{"statusCode":200}', $default: '{"statusCode":202}'}`, fallback, `"x":1`, `{"statusCode":202}`},
		{"the only template there is", `, RequestTemplates: {application/json: '{"statusCode":203}'}`, fallback, `"x":1`, `{"statusCode":203}`},
		{"without a match the message passes", `, TemplateSelectionExpression: k, RequestTemplates: {a: '{"statusCode":200}', b: '{"statusCode":200}'}`, fallback, `"x":1`, `{"action":"m","x":1}`},
		{"without a template the message passes", ``, fallback, `"x":1`, `{"action":"m","x":1}`},
		{"NEVER lets nothing pass", `, PassthroughBehavior: NEVER`, fallback, `"x":1`, unsupported},
		{"WHEN_NO_TEMPLATES lets nothing pass if there are any", `, PassthroughBehavior: WHEN_NO_TEMPLATES, TemplateSelectionExpression: k, RequestTemplates: {a: '{"statusCode":200}', b: '{"statusCode":200}'}`, fallback, `"x":1`, unsupported},
		{"WHEN_NO_TEMPLATES lets pass if there are none", `, PassthroughBehavior: WHEN_NO_TEMPLATES`, fallback, `"x":1`, `{"action":"m","x":1}`},
		{"the status may come out of the message", `, RequestTemplates: {$default: '{"statusCode":$input.path("$.s")}'}`, response(`/4\d\d/`, `, ResponseTemplates: {$default: "four"}`) + fallback, `"s":404`, `four`},
		{"a pattern beats $default", `, RequestTemplates: {$default: '{"statusCode":200}'}`, response("$default", `, ResponseTemplates: {$default: "other"}`) + response("/200/", `, ResponseTemplates: {$default: "two hundred"}`), `"x":1`, `two hundred`},
		{"no response for the status", `, RequestTemplates: {$default: '{"statusCode":500}'}`, response("/200/", ""), `"x":1`, internal},
		{"no status", `, RequestTemplates: {$default: '{"statusCode":"$input.path(''$.s'')"}'}`, fallback, `"x":1`, internal},
		{"a response template by status", `, RequestTemplates: {$default: '{"statusCode":201}'}`, response("$default", `, TemplateSelectionExpression: '${integration.response.statuscode}', ResponseTemplates: {"200": a, "201": b}`), `"x":1`, `b`},
		{"a response template by the backend's body", `, RequestTemplates: {$default: '{"statusCode":200,"kind":$input.json("$.k")}'}`, response("$default", `, TemplateSelectionExpression: $integration.response.body.kind, ResponseTemplates: {x: a, y: "b $input.path('$.kind') ${stageVariables.color} $context.stage"}`), `"k":"y"`, `b y blue dev`},
		{"directives", `, RequestTemplates: {$default: '#set($a = $input.path("$.x"))#if($a > 1){"statusCode":200,"x":$a}#else{"statusCode":200}#end'}`, fallback, `"x":2`, `{"statusCode":200,"x":2}`},
		{"macros are not emulated", `, RequestTemplates: {$default: '#macro(a)#end{"statusCode":200}'}`, fallback, `"x":1`, internal},
		{"methods that are not emulated", `, RequestTemplates: {$default: '{"statusCode":200}'}`, response("$default", `, ResponseTemplates: {$default: "$util.qr(1)"}`), `"x":1`, internal},
		{"a template that fails", `, RequestTemplates: {$default: '{"statusCode":$input.path("$.x").chars()}'}`, fallback, `"x":"y"`, internal},
		{"a template without a status", `, RequestTemplates: {$default: '{}'}`, fallback, `"x":1`, internal},
		{"another variable to select by", `, TemplateSelectionExpression: $request.header.x, RequestTemplates: {$default: '{"statusCode":200}'}`, fallback, `"x":1`, internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, setup{Functions: map[string]invoke.Function{}, Template: mockAPI(tt.integration, tt.responses)})
			c := f.open(t)
			c.send(`{"action":"m",` + tt.message + `}`)
			got := string(c.frame().Payload)
			if strings.HasPrefix(tt.want, `{"message"`) && strings.HasPrefix(got, tt.want+`, "connectionId":"`) {
				return
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestMockAtConnect(t *testing.T) {
	for template, want := range map[string]int{
		`, RequestTemplates: {$default: '{"statusCode":200}'}`:                       101,
		`, RequestTemplates: {$default: '{"statusCode":403}'}`:                       403,
		`, RequestTemplates: {$default: '{"statusCode":"$input.path(''$.none'')"}'}`: 500,
		``:                             101,
		`, PassthroughBehavior: NEVER`: 415,
	} {
		text := strings.Replace(mockAPI(template, ""), "RouteKey: m", "RouteKey: $connect", 1)
		f := serve(t, setup{Functions: map[string]invoke.Function{}, Template: text})
		if _, res := f.dial(t, "/dev", nil); res.status != want {
			t.Errorf("%s: got %d, want %d", template, res.status, want)
		}
	}
}

// TestRoutesThatNothingAnswers has the rest of an API run although one of its routes cannot.
func TestRoutesThatNothingAnswers(t *testing.T) {
	text := with() + `
  Direct: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Chat, IntegrationType: AWS, IntegrationUri: "arn:aws:apigateway:us-east-1:sqs:path/1/q"}}
  Elsewhere: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Chat, IntegrationType: AWS_PROXY, IntegrationUri: !Sub "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:1:function:other/invocations"}}
  DirectRoute: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Chat, RouteKey: direct, Target: !Sub "integrations/${Direct}"}}
  ElsewhereRoute: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Chat, RouteKey: elsewhere, Target: !Sub "integrations/${Elsewhere}"}}
  EmptyRoute: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Chat, RouteKey: empty}}
`
	f := serve(t, setup{Template: text})
	all := said(f.Server)
	if !strings.Contains(all, "Direct: the service sqs is not emulated: say where one is, with --env AWS_ENDPOINT_URL_SQS=URL") || !strings.Contains(all, "function:other/invocations is not in this template") {
		t.Errorf("got %s", all)
	}
	c := f.open(t)
	for _, key := range []string{"direct", "elsewhere", "empty"} {
		c.send(`{"action":"` + key + `"}`)
		if got := string(c.frame().Payload); !strings.HasPrefix(got, `{"message": "Internal server error"`) {
			t.Errorf("%s: got %s", key, got)
		}
	}
	c.send(`{"action":"ping"}`)
	c.wantText(`{"event":"pong"}`)
}

func TestConnectWithoutIntegrationIsAccepted(t *testing.T) {
	text := strings.Replace(mockAPI("", ""), "RouteKey: m, Target: !Sub \"integrations/${Mock}\"", "RouteKey: $connect", 1)
	serve(t, setup{Functions: map[string]invoke.Function{}, Template: text}).open(t)
	text = strings.Replace(text, "IntegrationType: MOCK}}", "IntegrationType: AWS}}", 1)
	text = strings.Replace(text, "RouteKey: $connect", `RouteKey: $connect, Target: !Sub "integrations/${Mock}"`, 1)
	f := serve(t, setup{Functions: map[string]invoke.Function{}, Template: text})
	if _, res := f.dial(t, "/dev", nil); res.status != http.StatusInternalServerError {
		t.Errorf("an integration that is not emulated: got %d", res.status)
	}
}

func TestRequestModels(t *testing.T) {
	function, events := collect(ok)
	text := strings.Replace(with("default"), "        send: {FunctionArn: !GetAtt MessageFunction.Arn}",
		"        send: {FunctionArn: !GetAtt MessageFunction.Arn, ModelSelectionExpression: $request.body.kind, RequestModels: {text: Text, $default: !Ref Other}}\n"+
			"        strict: {FunctionArn: !GetAtt MessageFunction.Arn, ModelSelectionExpression: $request.body.kind, RequestModels: {text: Text}}", 1) + `
  TextModel: {Type: AWS::ApiGatewayV2::Model, Properties: {ApiId: !Ref Chat, Name: Text, ContentType: application/json, Schema: {type: object, required: [text], properties: {text: {type: string, maxLength: 5}}}}}
  Other: {Type: AWS::ApiGatewayV2::Model, Properties: {ApiId: !Ref Chat, Name: Other, Schema: '{"type":"object","required":["other"]}'}}
`
	f := serve(t, setup{Template: text, Functions: functions(map[string]invoke.Function{"message": function})})
	c, id := f.openID(t)
	for _, tt := range []struct {
		message string
		good    bool
	}{
		{`{"action":"send","kind":"text","text":"hello"}`, true},
		{`{"action":"send","kind":"text","text":"too long"}`, false},
		{`{"action":"send","kind":"text"}`, false},
		{`{"action":"send","kind":"unknown","other":1}`, true},
		{`{"action":"send"}`, false},
		{`{"action":"strict","kind":"unknown","text":"x"}`, false},
		{`{"action":"strict","kind":"text","text":"x"}`, true},
	} {
		c.send(tt.message)
		if tt.good {
			receive(t, events)
			continue
		}
		var frame struct {
			Message, ConnectionID, MessageID string
			RequestID                        *string
		}
		if err := json.Unmarshal(c.frame().Payload, &frame); err != nil || frame.Message != "Bad request body" || frame.ConnectionID != id || frame.MessageID == "" || frame.RequestID != nil {
			t.Errorf("%s: got %+v, %v", tt.message, frame, err)
		}
	}
	if n := len(events); n != 0 {
		t.Errorf("%d refused messages reached the function", n)
	}
	for old, wrong := range map[string]string{
		"RequestModels: {text: Text}": "RequestModels: {text: None}", "strict: {FunctionArn: !GetAtt MessageFunction.Arn, ModelSelectionExpression: $request.body.kind": "strict: {FunctionArn: !GetAtt MessageFunction.Arn, ModelSelectionExpression: $context.x",
	} {
		if _, err := (setup{Template: strings.Replace(text, old, wrong, 1)}).new(); err == nil || !strings.Contains(err.Error(), "route strict:") {
			t.Errorf("%s: got %v", wrong, err)
		}
	}
	unchecked := serve(t, setup{Template: strings.Replace(text, "ModelSelectionExpression: $request.body.kind, ", "", 2)})
	if all := said(unchecked.Server); !strings.Contains(all, "route strict: RequestModels without a ModelSelectionExpression check nothing") {
		t.Errorf("got %s", all)
	}
}

func TestMockTemplate(t *testing.T) {
	text := strings.Replace(with(), `'{"statusCode":200}'`, `'{"statusCode":200,"n":$input.json(''$.n''),"a":{"b":"$input.path(''$.a.b'')"}}'`, 1)
	text = strings.Replace(text, `'{"event":"pong"}'`, `'{"id":"$context.connectionId","r":"${context.routeKey}","n":$input.json(''$.n''),"t":"$input.path(''$.a.b'')"}'`, 1)
	f := serve(t, setup{Template: text})
	c, id := f.openID(t)
	c.send(`{"action":"ping","n":[1],"a":{"b":"x"}}`)
	c.wantText(`{"id":"` + id + `","r":"ping","n":[1],"t":"x"}`)
}

func TestWhatDoesNotCompile(t *testing.T) {
	for _, tt := range []struct{ name, old, text, want string }{
		{"a bad expression", "$request.body.action", "$request.header.x", "chat.yaml:8: RouteSelectionExpression: uses $request.header.x"},
		{"no expression", "$request.body.action", `""`, "RouteSelectionExpression: is empty"},
		{"another kind of integration", "IntegrationType: MOCK", "IntegrationType: TCP", `PingIntegration: IntegrationType "TCP"`},
		{"an integration without an address", "IntegrationType: MOCK", "IntegrationType: HTTP_PROXY", `PingIntegration: IntegrationUri "" is no http:// or https:// address`},
		{"a bad identity source", "route.request.querystring.token", "$request.header.x", "Chat: identity source"},
		{"a function without code", "CodeUri: functions/connect/", "CodeUri: functions/other/", "no code was given for function ConnectFunction"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code := functions(nil)
			if tt.name == "a function without code" {
				delete(code, "connect")
			}
			_, err := setup{Template: strings.Replace(with("auth"), tt.old, tt.text, 1), Functions: code}.new()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	const empty = "Resources: {Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: x}}}"
	if _, err := (setup{Template: empty, Functions: map[string]invoke.Function{}}).new(); err == nil || err.Error() != "chat.yaml:1: Api: the API has no routes" {
		t.Errorf("got %v", err)
	}
}
