package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/local/server"
)

// chatTemplate is an application of somebody else: one function for all messages, which it answers.
const chatTemplate = `
Transform: AWS::Serverless-2016-10-31
Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: chat, ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}
  Route:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Api, RouteKey: $default, RouteResponseSelectionExpression: $default, Target: !Sub "integrations/${Integration}"}
  Response: {Type: AWS::ApiGatewayV2::RouteResponse, Properties: {ApiId: !Ref Api, RouteId: !Ref Route, RouteResponseKey: $default}}
  Integration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS_PROXY
      IntegrationUri: !Sub arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Chat.Arn}/invocations
  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Api, StageName: prod, AutoDeploy: true}}
  Chat: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, CodeUri: src/, Timeout: 20}}
`

// foreign is a server of an application that knows nothing of Bellhop.
type foreign struct {
	*server.Server

	dir  string      // of its template
	said chan string // to a person
}

// startForeign serves a template with files beside it. Both are watched.
func startForeign(t *testing.T, text string, files map[string]string, change ...func(*server.Outside)) foreign {
	t.Helper()
	servertest.OwnServer(t)
	s := foreign{dir: t.TempDir(), said: make(chan string, 100)}
	for name, content := range files {
		write(t, filepath.Join(s.dir, name), content)
	}
	file := filepath.Join(s.dir, "template.yaml")
	write(t, file, text)
	say := func(text string) { s.said <- text }
	outside := server.Outside{Children: &processes.Children{
		Built: t.TempDir(), Watch: true, Logger: slog.New(slog.DiscardHandler), Tell: func(function, text string) { say(function + ": " + text) },
	}}
	for _, c := range change {
		c(&outside)
	}
	api, err := server.OpenForeign(t.Context(), server.TemplateOf{File: file, Watch: true, Say: say, Warn: say}, outside)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Server, err = server.Start(t.Context(), listener, server.Config{API: api, Local: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

// wait waits until something is said.
func (s foreign) wait(t *testing.T, part string) {
	t.Helper()
	late := time.After(servertest.Patience)
	for {
		select {
		case text := <-s.said:
			if strings.Contains(text, part) {
				return
			}
		case <-late:
			t.Fatalf("%q was not said", part)
		}
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// connect opens a connection, which ends with the test.
func (s foreign) connect(t *testing.T) *websocket.Conn {
	t.Helper()
	//nolint:bodyclose // Dial's own comment: you never need to close it
	conn, _, err := websocket.Dial(t.Context(), strings.Replace(s.URL, "http", "ws", 1)+s.Path(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

// ask sends a frame and gives the next one that comes.
func ask(t *testing.T, conn *websocket.Conn, frame string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servertest.Patience)
	defer cancel()
	if err := conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		t.Fatal(err)
	}
	return receive(t, conn)
}

// receive gives the next frame that comes.
func receive(t *testing.T, conn *websocket.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servertest.Patience)
	defer cancel()
	_, text, err := conn.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestForeignRecursion: a function in a process of its own that leaves each message to its own queue again is stopped after 16, as on
// AWS, by what the SDKs hand on, and the console shows why.
func TestForeignRecursion(t *testing.T) {
	t.Parallel()
	s := startForeign(t, chatTemplate+`
  Again:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: nodejs22.x
      Handler: index.handler
      CodeUri: again/
      Environment: {Variables: {QUEUE_URL: !Ref Jobs}}
      Events: {Jobs: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 1}}}
  Jobs: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3}}}
  Dead: {Type: AWS::SQS::Queue}
`, map[string]string{"src/index.js": "", "again/index.js": `exports.handler = async (event) => {
  for (const record of event.Records) {
    const answer = await fetch(process.env.AWS_ENDPOINT_URL_SQS, {
      method: "POST",
      headers: {
        "X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0",
        "X-Amzn-Trace-Id": process.env._X_AMZN_TRACE_ID.replaceAll("|", "%7C"),
      },
      body: JSON.stringify({ QueueUrl: process.env.QUEUE_URL, MessageBody: String(Number(record.body) + 1) }),
    })
    if (!answer.ok) throw new Error(await answer.text())
  }
}`})
	if err := s.Emulator().Queues.Send(t.Context(), "Jobs", "1", 0); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "the message is a dead letter", func() bool { return len(s.Emulator().Queues.DeadLetters("Jobs")) == 1 })
	if dead := s.Emulator().Queues.DeadLetters("Jobs")[0]; dead.Body != "17" || !strings.Contains(dead.Error, "RecursiveLoop is Allow") {
		t.Errorf("got %+v", dead)
	}
}

// TestConsoleShowsOutput: what a function prints is in the console's stream, by function and with the request's id.
func TestConsoleShowsOutput(t *testing.T) {
	t.Parallel()
	s := startForeign(t, chatTemplate, map[string]string{"src/index.js": `exports.handler = async (event, context) => {
  console.log("told", event.body)
  return { statusCode: 200, body: context.awsRequestId }
}`})
	request := ask(t, s.connect(t), `{"action":"hello"}`)
	ctx, cancel := context.WithTimeout(t.Context(), servertest.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/_bellhop/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var items []console.Item
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || json.Unmarshal([]byte(data), &items) != nil {
			continue
		}
		for _, item := range items {
			if item.Kind == "output" && item.Function == "Chat" && item.Request == request && item.Data == `told {"action":"hello"}` && item.Reason == "stdout" {
				return
			}
		}
	}
	t.Errorf("the output is not in the stream: %v", lines.Err())
}

// TestReloadForeign changes what is served while a connection is open: it lives, and its next frame meets what is there now.
func TestReloadForeign(t *testing.T) {
	t.Parallel()
	const says = `const text = require("text")
exports.handler = async (event) => ({ statusCode: 200, body: "%s " + text + " " + (process.env.MOOD ?? "") })`
	handler := func(text string) string { return strings.Replace(says, "%s", text, 1) }
	text := chatTemplate + "\n  Texts: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: texts/}}\n"
	text = strings.Replace(text, "Timeout: 20", "Layers: [!Ref Texts], Timeout: 20", 1)
	s := startForeign(t, text, map[string]string{"src/index.js": handler("first"), "texts/nodejs/node_modules/text/index.js": `module.exports = "layer"`})
	conn := s.connect(t)
	want := func(frame, text string) {
		t.Helper()
		got := ask(t, conn, frame)
		for late := time.Now().Add(servertest.Patience / 4); got != text && time.Now().Before(late); { // a machine so busy that a look takes long looks less often
			got = ask(t, conn, frame)
		}
		if got != text {
			t.Fatalf("%s: got %q, want %q", frame, got, text)
		}
	}
	want(`{"action":"a"}`, "first layer ")
	for _, n := range []string{"second", "third", "fourth"} {
		write(t, filepath.Join(s.dir, "src/index.js"), handler(n))
		want(`{"action":"a"}`, n+" layer ")
	}
	write(t, filepath.Join(s.dir, "texts/nodejs/node_modules/text/index.js"), `module.exports = "other layer"`)
	want(`{"action":"a"}`, "fourth other layer ")
	write(t, filepath.Join(s.dir, "texts/nodejs/node_modules/text/index.js"), `module.exports = "layer"`)
	write(t, filepath.Join(s.dir, "src/index.js"), "exports.handler = async () => {")
	if got := ask(t, conn, `{"action":"a"}`); !strings.Contains(got, "Internal server error") {
		t.Errorf("code that is broken answered %q", got)
	}
	write(t, filepath.Join(s.dir, "src/index.js"), handler("mended"))
	want(`{"action":"a"}`, "mended layer ")
	file := filepath.Join(s.dir, "template.yaml")
	write(t, file, strings.Replace(text, "Timeout: 20", "Timeout: 20, Environment: {Variables: {MOOD: glad}}", 1))
	s.wait(t, "it has changed, and is served as it is now")
	want(`{"action":"a"}`, "mended layer glad")
	write(t, file, "Resources: {")
	s.wait(t, "is served as it was before, since it is wrong now")
	write(t, file, strings.Replace(text, "Chat.Arn", "None.Arn", 1))
	s.wait(t, "is served as it was before, since it is wrong now")
	want(`{"action":"a"}`, "mended layer glad")
	write(t, filepath.Join(s.dir, "loud/index.js"), `exports.handler = async () => ({ statusCode: 200, body: "LOUD" })`)
	write(t, file, text+`
  Shout: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: shout, RouteResponseSelectionExpression: $default, Target: !Sub "integrations/${ShoutIntegration}"}}
  ShoutResponse: {Type: AWS::ApiGatewayV2::RouteResponse, Properties: {ApiId: !Ref Api, RouteId: !Ref Shout, RouteResponseKey: $default}}
  ShoutIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS_PROXY
      IntegrationUri: !Sub arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Loud.Arn}/invocations
  Loud: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, CodeUri: loud/}}
`)
	s.wait(t, "it has changed, and is served as it is now")
	want(`{"action":"shout"}`, "LOUD")
	want(`{"action":"a"}`, "mended layer ")
}
