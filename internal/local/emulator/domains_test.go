package emulator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// TestDomainsAndDefaultStage: a socket at the paths that custom domains give it, one whose stage is $default at the root, and the
// management API at the same places. A page at the root stays somebody else's.
func TestDomainsAndDefaultStage(t *testing.T) {
	tpl, err := template.Read([]byte(`
Resources:
  Chat: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}
  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Chat, StageName: $default, AutoDeploy: true}}
  In: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Chat, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt F.Arn}}
  Route: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Chat, RouteKey: $default, Target: !Sub "integrations/${In}"}}
  Mapping: {Type: AWS::ApiGatewayV2::ApiMapping, Properties: {ApiId: !Ref Chat, DomainName: ws.example.org, Stage: $default, ApiMappingKey: v1/chat}}
  Feed:
    Type: AWS::Serverless::WebSocketApi
    Properties: {StageName: live, Domain: {DomainName: feed.example.org, BasePath: [feed]}, RouteSelectionExpression: $request.body.action, Routes: {$default: {FunctionArn: !GetAtt F.Arn}}}
  Web: {Type: AWS::Serverless::HttpApi, Properties: {Domain: {DomainName: web.example.org, BasePath: [web]}}}
  G: {Type: AWS::Serverless::Function, Properties: {Timeout: 30, Events: {A: {Type: HttpApi, Properties: {ApiId: !Ref Web, Path: /a, Method: get}}, B: {Type: HttpApi, Properties: {ApiId: !Ref Web, Path: /b, Method: get, PayloadFormatVersion: "1.0"}}}}}
  F: {Type: AWS::Serverless::Function, Properties: {Timeout: 30}}
`), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var web *httptest.Server
	post := func(ctx context.Context, path string) int {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, web.URL+path, strings.NewReader(path))
		if err != nil {
			return 0
		}
		res, err := web.Client().Do(r)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	e, err := New(Config{Template: tpl, Functions: map[string]invoke.Function{
		"G": fn(func(_ context.Context, event []byte) ([]byte, error) {
			return json.Marshal(map[string]any{"statusCode": 200, "body": string(event)})
		}),
		"F": fn(func(ctx context.Context, event []byte) ([]byte, error) {
			var in struct {
				Body    string
				Context struct{ ConnectionID, Stage string } `json:"requestContext"`
			}
			if err := json.Unmarshal(event, &in); err != nil {
				return nil, err
			}
			post(ctx, strings.NewReplacer("STAGE", in.Context.Stage, "ID", url.PathEscape(in.Context.ConnectionID)).Replace(in.Body))
			return []byte(`{"statusCode":200}`), nil
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	e.Start()
	web = httptest.NewServer(e)
	defer web.Close()
	defer closeNow(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for path, places := range map[string][]string{
		"/":         {"/STAGE/@connections/ID", "/%24default/@connections/ID", "/@connections/ID", "/v1/chat/@connections/ID", "/Chat/@connections/ID"},
		"/$default": {"/STAGE/@connections/ID"},
		"/v1/chat":  {"/v1/chat/@connections/ID"},
		"/live":     {"/STAGE/@connections/ID", "/feed/@connections/ID"},
		"/feed":     {"/STAGE/@connections/ID"},
	} {
		//nolint:bodyclose // Dial's own comment: you never need to close it
		conn, _, err := websocket.Dial(ctx, web.URL+path, nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for _, place := range places {
			if err := conn.Write(ctx, websocket.MessageText, []byte(place)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := conn.Read(ctx); err != nil || !strings.Contains(string(got), "connections/") {
				t.Errorf("%s, posted to %s: got %s, %v", path, place, got, err)
			}
		}
		_ = conn.CloseNow()
	}
	if _, res, err := websocket.Dial(ctx, web.URL+"/v1", nil); err == nil || res.StatusCode != http.StatusForbidden { //nolint:bodyclose // see above
		t.Errorf("half of a mapping: %v", err)
	}
	for path, want := range map[string]string{"/web/a": `"rawPath":"/a"`, "/a": `"rawPath":"/a"`, "/web/b": `"path":"/web/b"`, "/": "404 page not found"} {
		out := httptest.NewRecorder()
		e.ServeHTTP(out, httptest.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody))
		if !strings.Contains(out.Body.String(), want) {
			t.Errorf("GET %s: got %s, want %s", path, out.Body, want)
		}
	}
}
