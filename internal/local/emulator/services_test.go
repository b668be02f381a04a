package emulator

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// direct is a template whose routes lead to services without a function of their own.
const direct = `
Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}
  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Api, StageName: dev, AutoDeploy: true}}
  Queue:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS
      IntegrationMethod: POST
      IntegrationUri: !Sub arn:aws:apigateway:${AWS::Region}:sqs:path/${AWS::AccountId}/${Jobs.QueueName}
      RequestParameters: {integration.request.header.Content-Type: "'application/x-www-form-urlencoded'"}
      RequestTemplates:
        $default: "Action=SendMessage&MessageBody=$util.urlEncode($input.json('$.data'))"
  Function:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS
      IntegrationUri: !Sub arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Work.Arn}/invocations
      RequestTemplates: {application/json: '{"said":$input.json("$.data")}'}
  FunctionResponse: {Type: AWS::ApiGatewayV2::IntegrationResponse, Properties: {ApiId: !Ref Api, IntegrationId: !Ref Function, IntegrationResponseKey: $default}}
  Bus:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS
      IntegrationUri: !Sub arn:aws:apigateway:${AWS::Region}:events:action/PutEvents
      RequestTemplates: {$default: '{"Entries":[{"Source":"chat","DetailType":"said","Detail":"$util.escapeJavaScript($input.json("$.data")).replaceAll("\\''","''")"}]}'}
  Table:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS
      IntegrationUri: !Sub arn:aws:apigateway:${AWS::Region}:dynamodb:action/PutItem
  TableResponse: {Type: AWS::ApiGatewayV2::IntegrationResponse, Properties: {ApiId: !Ref Api, IntegrationId: !Ref Table, IntegrationResponseKey: $default}}
  QueueRoute: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: queue, Target: !Sub "integrations/${Queue}"}}
  FunctionRoute: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: function, RouteResponseSelectionExpression: $default, Target: !Sub "integrations/${Function}"}}
  BusRoute: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: bus, Target: !Sub "integrations/${Bus}"}}
  TableRoute: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: table, RouteResponseSelectionExpression: $default, Target: !Sub "integrations/${Table}"}}
  Jobs: {Type: AWS::SQS::Queue}
  Work:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 30
      Events:
        Jobs: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 1}}
        Said: {Type: EventBridgeRule, Properties: {Pattern: {source: [chat]}}}
`

// TestIntegrationsReachServices sends messages to a queue, a function, a bus and a table, without a function in between.
func TestIntegrationsReachServices(t *testing.T) {
	asked := make(chan *http.Request, 1)
	table := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		_, _ = io.WriteString(w, `{"kept":true}`)
	}))
	defer table.Close()
	tpl, err := template.Read([]byte(direct), template.Options{File: "direct.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 10)
	e, err := New(Config{
		Template: tpl, Environment: map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": table.URL, "AWS_ACCESS_KEY_ID": "who"},
		Functions: map[string]invoke.Function{"Work": fn(func(_ context.Context, event []byte) ([]byte, error) {
			heard <- string(event)
			return []byte(`{"done":1}`), nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Start()
	web := httptest.NewServer(e)
	defer web.Close()
	defer closeNow(t, e)
	for _, w := range tpl.Warnings {
		if !strings.Contains(w.Text, "deployment") {
			t.Errorf("warned of %v", w)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	hear := func() string {
		select {
		case event := <-heard:
			return event
		case <-ctx.Done():
			return "nothing"
		}
	}
	//nolint:bodyclose // Dial's own comment: you never need to close it
	conn, _, err := websocket.Dial(ctx, web.URL+"/dev", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	say := func(route string) {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{"action":"`+route+`","data":{"a":"it's"}}`)); err != nil {
			t.Fatal(err)
		}
	}
	for route, want := range map[string]string{"queue": `"body":"{\"a\":\"it's\"}"`, "bus": `"detail":{"a":"it's"}`} {
		say(route)
		if got := hear(); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", route, got, want)
		}
	}
	say("function")
	if got := hear(); got != `{"said":{"a":"it's"}}` {
		t.Errorf("the function got %s", got)
	}
	if _, got, err := conn.Read(ctx); err != nil || string(got) != `{"done":1}` {
		t.Errorf("the client got %s, %v", got, err)
	}
	say("table")
	if _, got, err := conn.Read(ctx); err != nil || string(got) != `{"kept":true}` {
		t.Fatalf("the client got %s, %v", got, err)
	}
	r := <-asked
	if r.Header.Get("X-Amz-Target") != "DynamoDB_20120810.PutItem" || !strings.Contains(r.Header.Get("Authorization"), "Credential=who/") {
		t.Errorf("the table was asked with %v", r.Header)
	}
}
