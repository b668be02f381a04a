package emulatortest_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"github.com/bellhop-rt/bellhop/emulatortest"
)

// chat is a template with two functions, of which one answers.
const chat = `
Transform: AWS::Serverless-2016-10-31
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: dev
      RouteSelectionExpression: $request.body.action
      Routes:
        $connect: {FunctionArn: !GetAtt Connect.Arn}
        hello: {FunctionArn: !GetAtt Hello.Arn, RouteResponseSelectionExpression: $default}
  Connect: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/connect}}
  Hello: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/hello}}
`

func connect(_ context.Context, event events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	if event.QueryStringParameters["name"] == "" {
		return events.APIGatewayProxyResponse{StatusCode: 401}, nil
	}
	return events.APIGatewayProxyResponse{StatusCode: 200}, nil
}

func hello(_ context.Context, event events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	return events.APIGatewayProxyResponse{StatusCode: 200, Body: "you said " + event.Body}, nil
}

func Example() {
	t := &exampleTB{ctx: context.Background()} // in a test, its own t
	defer t.end()                              // and this is done by itself

	api := emulatortest.Start(t, emulatortest.Config{
		Template: []byte(chat),
		Functions: map[string]emulatortest.Function{
			"connect": emulatortest.Handler(connect),
			"hello":   emulatortest.Handler(hello),
		},
	})
	fmt.Println("without a name:", api.Refused(emulatortest.Handshake{}))

	ana := api.Connect(emulatortest.Handshake{Query: map[string][]string{"name": {"ana"}}})
	ana.Send(`{"action":"hello"}`)
	fmt.Println(ana.Receive())

	// What the code under test does with the management API:
	if err := api.Post(ana.ID, []byte("news")); err != nil {
		fmt.Println(err)
	}
	fmt.Println(ana.Receive())

	ana.Drop()
	api.Eventually("ana is gone", func() bool { return api.Post(ana.ID, nil) != nil })
	fmt.Println(api.Post(ana.ID, []byte("anybody?")))
	// Output:
	// without a name: 401
	// you said {"action":"hello"}
	// news
	// GoneException
}
