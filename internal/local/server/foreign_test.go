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

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/local/server"
	"github.com/bellhop-rt/bellhop/internal/local/template"
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

	dir string // of its template
}

// startForeign serves the chat template with files beside it.
func startForeign(t *testing.T, text string, files map[string]string) foreign {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	read, err := template.Read([]byte(text), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	children := &processes.Children{Template: read, Folder: dir, Built: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}
	if err := children.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(t.Context(), listener, server.Config{
		API: server.Foreign{Template: read, Functions: children}, Local: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return foreign{s, dir}
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
	_, text, err := conn.Read(ctx)
	if err != nil {
		t.Fatalf("%s: %v", frame, err)
	}
	return string(text)
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
