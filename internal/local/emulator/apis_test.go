package emulator

import (
	"context"
	"encoding/json"
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

// TestSeveralAPIs serves two APIs of one stage's name: clients choose by logical id, functions post by what is in their event.
func TestSeveralAPIs(t *testing.T) {
	tpl, err := template.Read([]byte(`
Resources:
  Chat: {Type: AWS::Serverless::WebSocketApi, Properties: {StageName: dev, RouteSelectionExpression: $request.body.action, Routes: {$default: {FunctionArn: !GetAtt F.Arn}}}}
  Feed: {Type: AWS::Serverless::WebSocketApi, Properties: {StageName: dev, RouteSelectionExpression: $request.body.kind, Routes: {$default: {FunctionArn: !GetAtt F.Arn}}}}
  Other: {Type: AWS::Serverless::WebSocketApi, Properties: {StageName: other, RouteSelectionExpression: $request.body.kind, Routes: {$default: {FunctionArn: !GetAtt F.Arn}}}}
  F: {Type: AWS::Serverless::Function, Properties: {Timeout: 30}}
`), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var web *httptest.Server
	post := func(ctx context.Context, host, stage, connection, body string) int {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, web.URL+"/"+stage+"/@connections/"+connection, strings.NewReader(body))
		if err != nil {
			return 0
		}
		r.Host = host
		res, err := web.Client().Do(r)
		if err != nil {
			return 0
		}
		defer func() { _ = res.Body.Close() }()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode
	}
	e, err := New(Config{Template: tpl, Functions: map[string]invoke.Function{"F": fn(func(ctx context.Context, event []byte) ([]byte, error) {
		var in struct {
			Context struct{ ConnectionID, Stage, DomainName, APIID string } `json:"requestContext"`
		}
		if err := json.Unmarshal(event, &in); err != nil {
			return nil, err
		}
		post(ctx, in.Context.DomainName, in.Context.Stage, in.Context.ConnectionID, in.Context.APIID)
		return []byte(`{"statusCode":200}`), nil
	})}})
	if err != nil {
		t.Fatal(err)
	}
	e.Start()
	web = httptest.NewServer(e)
	defer web.Close()
	defer closeNow(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	open := func(path, host string) *websocket.Conn {
		t.Helper()
		//nolint:bodyclose // Dial's own comment: you never need to close it
		conn, _, err := websocket.Dial(ctx, web.URL+path, &websocket.DialOptions{Host: host})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.CloseNow() })
		return conn
	}
	id := func(name string) string {
		api, err := tpl.API(name)
		if err != nil {
			t.Fatal(err)
		}
		return api.APIID
	}
	for _, c := range []struct{ path, host, want string }{
		{"/dev", "", "Chat"},
		{"/Chat", "", "Chat"},
		{"/Feed", "", "Feed"},
		{"/other", "", "Other"},
		{"/Other", "", "Other"},
		{"/dev", id("Feed") + ".execute-api.us-east-1.amazonaws.com", "Feed"},
	} {
		conn := open(c.path, c.host)
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != id(c.want) {
			t.Errorf("%s %s: got %s, %v, want that of %s", c.path, c.host, got, err, c.want)
		}
	}
	if got := e.Stats(); got.Connections != 6 || len(e.Connections()) != 6 {
		t.Errorf("%d connections, %d listed", got.Connections, len(e.Connections()))
	}
	if got := post(ctx, "", "dev", "bm90aGluZw==", "x"); got != http.StatusGone && got != http.StatusBadRequest {
		t.Errorf("a connection that nobody has: got %d", got)
	}
	if got := e.APIs(); len(got) != 3 || got["Feed"] != "/Feed" {
		t.Errorf("got %v", got)
	}
}
