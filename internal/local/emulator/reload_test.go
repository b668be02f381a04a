package emulator

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// says is code that answers with one text.
func says(text string) invoke.Function {
	return fn(func(context.Context, []byte) ([]byte, error) {
		return []byte(`{"statusCode":200,"body":"` + text + `"}`), nil
	})
}

// TestReload: another template is served from the next message on, by the connections that there are.
func TestReload(t *testing.T) {
	read := func(text string) *template.Template {
		t.Helper()
		out, err := template.Read([]byte(text), template.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const first = `
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: dev
      RouteSelectionExpression: $request.body.action
      Routes:
        echo: {FunctionArn: !GetAtt Echo.Arn, RouteResponseSelectionExpression: $default}
  Echo: {Type: AWS::Serverless::Function, Properties: {Timeout: 30}}
  Jobs: {Type: AWS::SQS::Queue}
`
	second := strings.NewReplacer(
		"echo: {", "shout: {FunctionArn: !GetAtt Shout.Arn, RouteResponseSelectionExpression: $default}\n        echo: {",
		"  Jobs: {", "  Shout: {Type: AWS::Serverless::Function}\n  Jobs: {", "Type: AWS::SQS::Queue", "Type: AWS::SQS::Queue, Properties: {DelaySeconds: 9}",
	).Replace(first)
	e, err := New(Config{Template: read(first), Functions: map[string]invoke.Function{"Echo": says("first")}})
	if err != nil {
		t.Fatal(err)
	}
	e.Start()
	srv := httptest.NewServer(e)
	defer srv.Close()
	defer func() {
		if err := e.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	//nolint:bodyclose // Dial's own comment: you never need to close it
	conn, _, err := websocket.Dial(ctx, strings.Replace(srv.URL, "http", "ws", 1)+"/dev", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	ask := func(action, want string) {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{"action":"`+action+`"}`)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || !strings.Contains(string(got), want) {
			t.Fatalf("%s: got %s, %v, want %s", action, got, err, want)
		}
	}
	ask("echo", "first")
	ask("shout", "Forbidden") // no such route
	left, err := e.Reload(read(second), map[string]invoke.Function{"Echo": says("second"), "Shout": says("loud")})
	if err != nil || !slices.Equal(left, []string{"queues"}) {
		t.Errorf("got %v, %v", left, err)
	}
	ask("echo", "second")
	ask("shout", "loud")
	for name, c := range map[string]struct {
		text string
		code map[string]invoke.Function
	}{
		"a template without its API": {"Resources: {Echo: {Type: AWS::Serverless::Function}}", map[string]invoke.Function{"Echo": says("third")}},
		"a function without code":    {second, map[string]invoke.Function{"Echo": says("third")}},
		"code without a function":    {second, map[string]invoke.Function{"Echo": says("third"), "Shout": says("third"), "Whisper": says("third")}},
	} {
		if _, err := e.Reload(read(c.text), c.code); err == nil {
			t.Errorf("%s was taken", name)
		}
		ask("echo", "second")
		ask("shout", "loud")
	}
}

// TestReloadWithAnotherAPI: an API that is new is served at once, beside the first, whose connections and path stay; one that is gone is
// refused with what to do.
func TestReloadWithAnotherAPI(t *testing.T) {
	const chat = `
Resources:
  Echo: {Type: AWS::Serverless::Function, Properties: {Timeout: 30}}
  Chat: {Type: AWS::Serverless::WebSocketApi, Properties: {StageName: dev, RouteSelectionExpression: $request.body.action, Routes: {$default: {FunctionArn: !GetAtt Echo.Arn, RouteResponseSelectionExpression: $default}}}}
`
	feed := chat + strings.Replace(chat[strings.Index(chat, "  Chat:"):], "Chat", "Feed", 1)
	read := func(text string) *template.Template {
		t.Helper()
		out, err := template.Read([]byte(text), template.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	code := map[string]invoke.Function{"Echo": says("here")}
	e, err := New(Config{Template: read(chat), Functions: code})
	if err != nil {
		t.Fatal(err)
	}
	e.Start()
	srv := httptest.NewServer(e)
	defer srv.Close()
	defer closeNow(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	open := func(path string) (*websocket.Conn, error) {
		//nolint:bodyclose // Dial's own comment: you never need to close it
		conn, _, err := websocket.Dial(ctx, strings.Replace(srv.URL, "http", "ws", 1)+path, nil)
		if err == nil {
			t.Cleanup(func() { _ = conn.CloseNow() })
		}
		return conn, err
	}
	ask := func(conn *websocket.Conn) {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != "here" {
			t.Fatalf("got %s, %v", got, err)
		}
	}
	first, err := open("/dev")
	if err != nil {
		t.Fatal(err)
	}
	ask(first)
	if _, err := open("/Feed"); err == nil {
		t.Fatal("an API that is not there was served")
	}
	if _, err := e.Reload(read(feed), code); err != nil {
		t.Fatal(err)
	}
	ask(first)
	for _, path := range []string{"/dev", "/Chat", "/Feed"} {
		conn, err := open(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		ask(conn)
	}
	if got := e.APIs(); len(got) != 2 || got["Feed"] != "/Feed" || got["Chat"] != "/Chat" {
		t.Errorf("got %v", got)
	}
	if got := len(e.Connections()); got != 4 {
		t.Errorf("%d connections are listed, want 4", got)
	}
	if _, err := e.Reload(read(chat), code); err == nil || !strings.Contains(err.Error(), "no WebSocket API Feed; one that is served can only be taken away by a new start") {
		t.Errorf("an API that is gone: got %v", err)
	}
	ask(first)
	conn, err := open("/Feed")
	if err != nil {
		t.Fatal(err)
	}
	ask(conn)
}
