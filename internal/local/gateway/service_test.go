package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// service is what stands in for AWS's services: it tells what it was asked, and answers.
type fakeService struct {
	asked  chan string
	answer func(r *http.Request, body string) (int, string)
}

func (s fakeService) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.asked <- fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"), r.Header.Get("X-Amz-Target"), body)
	status, text := s.answer(r, string(body))
	header := http.Header{}
	if strings.HasPrefix(text, `{"errorMessage"`) {
		header.Set("X-Amz-Function-Error", "Unhandled")
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// serviceAPI is an API with an AWS integration behind a route; integration and route are the rest of their properties.
func serviceAPI(uri, integration, route, responses string) string {
	return `
Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}
  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Api, StageName: dev, AutoDeploy: true, StageVariables: {color: blue}}}
  Mock: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Api, IntegrationType: AWS, IntegrationMethod: POST, IntegrationUri: "` + uri + `", CredentialsArn: "arn:aws:iam::1:role/r"` + integration + `}}
  Route: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, ` + route + `, Target: !Sub "integrations/${Mock}"}}
` + responses
}

func TestServiceIntegration(t *testing.T) {
	const (
		twoWay = "RouteKey: m, RouteResponseSelectionExpression: $default"
		oneWay = "RouteKey: m"
		sqs    = "arn:aws:apigateway:us-east-1:sqs:path/123456789012/jobs"
		dynamo = "arn:aws:apigateway:us-east-1:dynamodb:action/PutItem"
	)
	fallback := response("$default", "")
	for _, tt := range []struct {
		name, uri, integration, route, responses string
		status                                   int
		answer, asked, want                      string
	}{
		{
			"a form to SQS", sqs, `, RequestParameters: {integration.request.header.Content-Type: "'application/x-www-form-urlencoded'"}, RequestTemplates: {$default: "Action=SendMessage&MessageBody=$util.urlEncode($input.json('$.x'))"}`, twoWay, fallback, 200, "<ok/>",
			`POST https://sqs.us-east-1.amazonaws.com/123456789012/jobs application/x-www-form-urlencoded  Action=SendMessage&MessageBody=%7B%22y%22%3A1%7D`, "<ok/>",
		},
		{
			"DynamoDB by its action", dynamo, `, RequestTemplates: {$default: '{"id":"$context.connectionId","route":"$context.routeKey","color":"$stageVariables.color"}'}`, twoWay, response("/200/", `, ResponseTemplates: {$default: 'kept $input.path("$.n")'}`), 200, `{"n":7}`,
			`POST https://dynamodb.us-east-1.amazonaws.com/ application/x-amz-json-1.0 DynamoDB_20120810.PutItem {"id":"{id}","route":"m","color":"blue"}`, "kept 7",
		},
		{
			"a query to SNS", "arn:aws:apigateway:us-east-1:sns:action/Publish", `, RequestParameters: {integration.request.querystring.TopicArn: "'arn'", integration.request.querystring.Message: route.request.body.x.y}`, twoWay, fallback, 200, "ok",
			`POST https://sns.us-east-1.amazonaws.com/?Action=Publish&Version=2010-03-31&Message=1&TopicArn=arn application/json  {"action":"m","x":{"y":1}}`, "ok",
		},
		{
			"Step Functions in a service of its own", "arn:aws:apigateway:us-east-1:states:action/StartExecution", ``, twoWay, fallback, 200, "ok",
			`POST https://states.us-east-1.amazonaws.com/ application/x-amz-json-1.0 AWSStepFunctions.StartExecution {"action":"m","x":{"y":1}}`, "ok",
		},
		{
			"a refusal by its pattern", dynamo, ``, twoWay, fallback + response(`/4\d\d/`, `, ResponseTemplates: {$default: "no: $context.status $input.path('$.message')"}`), 400, `{"message":"wrong"}`,
			`POST https://dynamodb.us-east-1.amazonaws.com/ application/x-amz-json-1.0 DynamoDB_20120810.PutItem {"action":"m","x":{"y":1}}`, "no: 400 wrong",
		},
		{
			"a function that throws", "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:1:function:f/invocations", ``, twoWay, fallback, 200, `{"errorMessage":"boom"}`,
			`POST https://lambda.us-east-1.amazonaws.com/2015-03-31/functions/arn:aws:lambda:us-east-1:1:function:f/invocations application/json  {"action":"m","x":{"y":1}}`, `{"message": "Internal server error"`,
		},
		{
			"no response for the status", dynamo, ``, twoWay, response("/200/", ""), 400, `{}`,
			`POST https://dynamodb.us-east-1.amazonaws.com/ application/x-amz-json-1.0 DynamoDB_20120810.PutItem {"action":"m","x":{"y":1}}`, `{"message": "Internal server error"`,
		},
		{
			"one way, whatever the answer is", dynamo, ``, oneWay, "", 500, `{}`,
			`POST https://dynamodb.us-east-1.amazonaws.com/ application/x-amz-json-1.0 DynamoDB_20120810.PutItem {"action":"m","x":{"y":1}}`, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			svc := fakeService{make(chan string, 1), func(*http.Request, string) (int, string) { return tt.status, tt.answer }}
			events := make(chan Event, 100)
			f := serve(t, setup{
				Functions: map[string]invoke.Function{}, Template: serviceAPI(tt.uri, tt.integration, tt.route, tt.responses),
				Services: func(string) http.RoundTripper { return svc }, Observe: func(e Event) { events <- e },
			})
			c := f.open(t)
			c.send(`{"action":"m","x":{"y":1}}`)
			if got, want := receive(t, svc.asked), strings.ReplaceAll(tt.asked, "{id}", f.Connections()[0].ID); got != want {
				t.Errorf("asked %s, want %s", got, want)
			}
			if tt.want == "" {
				for e := range events {
					if e.Kind == KindMessage {
						if e.Status != tt.status || e.Err == nil || !strings.Contains(e.Err.Error(), "dynamodb answers 500: {}") {
							t.Errorf("got %d, %v", e.Status, e.Err)
						}
						return
					}
				}
			}
			if got := string(c.frame().Payload); got != tt.want && (!strings.HasPrefix(tt.want, `{"message"`) || !strings.HasPrefix(got, tt.want)) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestServiceAtConnect has the headers and the query string at $connect, and the service's refusal as the handshake's status.
func TestServiceAtConnect(t *testing.T) {
	var refuse atomic.Bool
	svc := fakeService{make(chan string, 10), func(*http.Request, string) (int, string) {
		if refuse.Load() {
			return http.StatusBadRequest, "{}"
		}
		return http.StatusOK, "{}"
	}}
	text := serviceAPI("arn:aws:apigateway:us-east-1:dynamodb:action/PutItem",
		`, RequestTemplates: {$default: "$input.params('room') $!input.params().header.get('X-Name') $input.params().querystring $!input.body|$context.eventType"}`, "RouteKey: $connect", `
  Left: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: $disconnect, Target: !Sub "integrations/${Mock}"}}
`)
	f := serve(t, setup{Functions: map[string]invoke.Function{}, Template: text, Services: func(string) http.RoundTripper { return svc }})
	c, res := f.dial(t, "/dev?room=r1", http.Header{"X-Name": {"ana"}})
	if c == nil {
		t.Fatalf("got %+v", res)
	}
	if got, want := receive(t, svc.asked), "DynamoDB_20120810.PutItem r1 ana {room=r1} |CONNECT"; !strings.HasSuffix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	c.sock.Close()
	if got, want := receive(t, svc.asked), "  {} |DISCONNECT"; !strings.HasSuffix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	refuse.Store(true)
	if _, res := f.dial(t, "/dev", nil); res.status != http.StatusBadRequest {
		t.Errorf("a refusal: got %d", res.status)
	}
}

func TestHTTPIntegration(t *testing.T) {
	url, asked := backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"answer":[1,2]}`) })
	text := strings.Replace(serviceAPI(url+"/rooms", `, RequestTemplates: {$default: '{"said":$input.json("$.x")}'}`, "RouteKey: m, RouteResponseSelectionExpression: $default",
		response("$default", `, ResponseTemplates: {$default: '#foreach($n in $input.path("$.answer"))<$n>#end'}`)), "IntegrationType: AWS", "IntegrationType: HTTP", 1)
	c := serve(t, setup{Functions: map[string]invoke.Function{}, Template: text}).open(t)
	c.send(`{"action":"m","x":"hi"}`)
	c.wantText("<1><2>")
	if got, want := receive(t, asked), `POST /rooms {"said":"hi"} id= version= agent=Go-http-client/1.1`; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

// TestMappingErrorsNameTheirLine says where in the template's file a mapping template asks for what is not there.
func TestMappingErrorsNameTheirLine(t *testing.T) {
	f := serve(t, setup{
		Functions: map[string]invoke.Function{}, Services: func(string) http.RoundTripper { return fakeService{} },
		Template: serviceAPI("arn:aws:apigateway:us-east-1:dynamodb:action/PutItem", "", "RouteKey: m", `
  Other:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS
      IntegrationUri: arn:aws:apigateway:us-east-1:sqs:path/1/q
      RequestTemplates:
        $default: |
          #set($x = 1)
          $util.qr($x)
  OtherRoute: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: other, Target: !Sub "integrations/${Other}"}}
`),
	})
	want := "chat.yaml:16: Other: the mapping template $default: line 2: $util.qr() is not emulated; what leads there is answered with an error"
	if got := said(f.Server); !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}
