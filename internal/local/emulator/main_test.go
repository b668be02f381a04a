package emulator

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// fn makes a Function of a func.
type fn func(ctx context.Context, payload []byte) ([]byte, error)

func (f fn) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return f(ctx, payload) }

// answers always returns the same.
func answers(out string) fn {
	return func(context.Context, []byte) ([]byte, error) { return []byte(out), nil }
}

// throws always fails.
func throws(err error) fn {
	return func(context.Context, []byte) ([]byte, error) { return nil, err }
}

const ok = `{"statusCode":200}`

// chatTemplate has a route of every sort. Lines that start with "#auth " and the like are switched on by with.
const chatTemplate = `Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
  Rate: {Type: Number, Default: 1}
Globals:
  Function: {Timeout: 60, Runtime: provided.al2023}
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: !Ref Stage
      RouteSelectionExpression: $request.body.action
#auth       Auth: {AuthType: CUSTOM, AuthArn: !GetAtt AuthorizeFunction.Arn, IdentitySource: [route.request.querystring.token]}
#vars       StageVariables: {color: blue}
      Routes:
        $connect: {FunctionArn: !GetAtt ConnectFunction.Arn}
        $disconnect: {FunctionArn: !GetAtt DisconnectFunction.Arn}
#default         $default: {FunctionArn: !GetAtt MessageFunction.Arn}
        send: {FunctionArn: !GetAtt MessageFunction.Arn}
        echo: {FunctionArn: !GetAtt MessageFunction.Arn, RouteResponseSelectionExpression: $default}
        quick: {FunctionArn: !GetAtt MessageFunction.Arn, IntegrationTimeout: 50}
        limited: {FunctionArn: !GetAtt MessageFunction.Arn}
      RouteSettings:
        limited: {ThrottlingRateLimit: !Ref Rate, ThrottlingBurstLimit: 1}
  PingIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Chat
      IntegrationType: MOCK
      TemplateSelectionExpression: "200"
      RequestTemplates: {"200": '{"statusCode":200}'}
  PingIntegrationResponse:
    Type: AWS::ApiGatewayV2::IntegrationResponse
    Properties:
      ApiId: !Ref Chat
      IntegrationId: !Ref PingIntegration
      IntegrationResponseKey: /200/
      TemplateSelectionExpression: "200"
      ResponseTemplates: {"200": '{"event":"pong"}'}
  PingRoute:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: !Ref Chat
      RouteKey: ping
      RouteResponseSelectionExpression: $default
      Target: !Sub integrations/${PingIntegration}
  PingRouteResponse:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Chat, RouteId: !Ref PingRoute, RouteResponseKey: $default}
  AuthorizeFunction: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/authorize/}}
  ConnectFunction: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/connect/}}
  DisconnectFunction: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/disconnect/}}
  MessageFunction: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/message/}}
  JobFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/job/
      Events:
        Jobs:
          Type: SQS
          Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 5, FunctionResponseTypes: [ReportBatchItemFailures]}
        Tick:
          Type: ScheduleV2
          Properties: {ScheduleExpression: rate(5 minutes)}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 60
      RedrivePolicy: {deadLetterTargetArn: !GetAtt DeadJobs.Arn, maxReceiveCount: 3}
  DeadJobs: {Type: AWS::SQS::Queue}
`

// with switches on optional lines of chatTemplate.
func with(features ...string) []byte {
	text := chatTemplate
	for _, f := range features {
		text = strings.ReplaceAll(text, "#"+f+" ", "")
	}
	return []byte(text)
}

// functions are the five of chatTemplate, all of which answer 200, with some replaced.
func functions(replace map[string]Function) map[string]Function {
	out := map[string]Function{
		"authorize": fn(allow), "connect": answers(ok), "disconnect": answers(ok), "message": answers(ok), "job": answers(`{}`),
	}
	maps.Copy(out, replace)
	return out
}

// allow is an authorizer that lets everybody in.
func allow(_ context.Context, event []byte) ([]byte, error) {
	var e struct {
		MethodARN string `json:"methodArn"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"principalId":"ana","policyDocument":{"Version":"2012-10-17","Statement":[{"Action":"execute-api:Invoke","Effect":"Allow","Resource":%q}]},"context":{"name":"Ana","age":7,"admin":true}}`, e.MethodARN), nil
}

type fixture struct {
	*Server
	http *httptest.Server
	ws   string // ws://…/dev
	url  string // http://…
}

// serve starts an emulator for chatTemplate (or cfg's own template) on a socket of its own.
func serve(tb testing.TB, cfg Config) *fixture {
	tb.Helper()
	if cfg.Template == nil {
		cfg.Template = with("default")
	}
	if cfg.Functions == nil {
		cfg.Functions = functions(nil)
	}
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	srv := httptest.NewServer(s.Handler())
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			tb.Error(err)
		}
		srv.Close()
	})
	return &fixture{Server: s, http: srv, url: srv.URL, ws: "ws" + strings.TrimPrefix(srv.URL, "http") + "/" + s.Stage()}
}

// connect opens a socket to the server.
func (f *fixture) connect(tb testing.TB) net.Conn {
	tb.Helper()
	sock, err := new(net.Dialer).DialContext(tb.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { sock.Close() })
	return sock
}

// client is a WebSocket client that can also break the rules.
type client struct {
	tb   testing.TB
	sock net.Conn
	in   *bufio.Reader
}

// dial sends an upgrade request and returns what came back; the client is nil unless that was a 101.
func (f *fixture) dial(tb testing.TB, path string, header http.Header) (*client, answer) {
	tb.Helper()
	sock := f.connect(tb)
	_ = sock.SetDeadline(time.Now().Add(patience))
	req := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n", path, strings.TrimPrefix(f.url, "http://"))
	all := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	maps.Copy(all, header)
	var b strings.Builder
	_ = all.Write(&b)
	if _, err := sock.Write([]byte(req + b.String() + "\r\n")); err != nil {
		tb.Fatal(err)
	}
	c := &client{tb: tb, sock: sock, in: bufio.NewReader(sock)}
	got := c.answer()
	if got.status != http.StatusSwitchingProtocols {
		return nil, got
	}
	return c, got
}

// answer reads what the handshake got.
func (c *client) answer() answer {
	c.tb.Helper()
	res, err := http.ReadResponse(c.in, &http.Request{Method: http.MethodGet})
	if err != nil {
		c.tb.Fatal(err)
	}
	res.Body.Close()
	return answer{res.StatusCode, res.Header}
}

// answer is the head of an HTTP response.
type answer struct {
	status int
	header http.Header
}

// open is dial for tests that need a connection.
func (f *fixture) open(tb testing.TB) *client {
	tb.Helper()
	c, res := f.dial(tb, "/"+f.Stage(), nil)
	if c == nil {
		tb.Fatalf("handshake: got %d", res.status)
	}
	return c
}

// openID is open that also returns the connection's id.
func (f *fixture) openID(tb testing.TB) (*client, string) {
	tb.Helper()
	before := map[string]bool{}
	for _, c := range f.Connections() {
		before[c.ID] = true
	}
	c := f.open(tb)
	for _, info := range f.Connections() {
		if !before[info.ID] {
			return c, info.ID
		}
	}
	tb.Fatal("the connection is not listed")
	return nil, ""
}

func (c *client) write(f ws.Frame) {
	c.tb.Helper()
	if err := ws.WriteFrame(c.sock, f); err != nil {
		c.tb.Fatal(err)
	}
}

func (c *client) send(text string) {
	c.tb.Helper()
	c.write(ws.MaskFrame(ws.NewTextFrame([]byte(text))))
}

// frame reads one frame.
func (c *client) frame() ws.Frame {
	c.tb.Helper()
	h, err := ws.ReadHeader(c.in)
	if err != nil {
		c.tb.Fatalf("read frame: %v", err)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	if _, err := io.ReadFull(c.in, f.Payload); err != nil {
		c.tb.Fatalf("read frame: %v", err)
	}
	return f
}

func (c *client) wantText(want string) {
	c.tb.Helper()
	f := c.frame()
	if got := string(f.Payload); f.Header.OpCode != ws.OpText || got != want {
		c.tb.Fatalf("got opcode %d %q, want text %q", f.Header.OpCode, got, want)
	}
}

// wantClose reads on to the close frame, whatever comes before it, and answers it.
func (c *client) wantClose(code int, reason string) {
	c.tb.Helper()
	for {
		f := c.frame()
		if f.Header.OpCode != ws.OpClose {
			continue
		}
		gotCode, gotReason := ws.ParseCloseFrameData(f.Payload)
		if int(gotCode) != code || reason != "" && gotReason != reason {
			c.tb.Fatalf("got close %d %q, want %d %q", gotCode, gotReason, code, reason)
		}
		_ = ws.WriteFrame(c.sock, ws.MaskFrame(ws.NewCloseFrame(f.Payload)))
		return
	}
}

// receive waits for a value.
func receive[T any](tb testing.TB, ch <-chan T) T {
	tb.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		tb.Fatal("nothing came")
		panic("unreachable")
	}
}

// collect returns a Function that hands its events to a channel and answers with out.
func collect(out string) (fn, <-chan []byte) {
	ch := make(chan []byte, 100)
	return func(_ context.Context, event []byte) ([]byte, error) {
		ch <- event
		return []byte(out), nil
	}, ch
}
