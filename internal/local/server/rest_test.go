package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// restTemplate is an application whose REST API, at the same stage as the socket, pushes to connections; its HTTP API is at the root.
const restTemplate = `
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Runtime: nodejs22.x, CodeUri: src/, Timeout: 20, Environment: {Variables: {SOCKET: !Sub "https://${Chat}.execute-api.${AWS::Region}.amazonaws.com/dev"}}}}
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: dev
      RouteSelectionExpression: $request.body.action
      Routes: {whoami: {FunctionArn: !GetAtt WhoAmI.Arn, RouteResponseSelectionExpression: $default}}
  Rest: {Type: AWS::Serverless::Api, Properties: {StageName: dev}}
  WhoAmI: {Type: AWS::Serverless::Function, Properties: {Handler: index.whoAmI}}
  Send:
    Type: AWS::Serverless::Function
    Properties:
      Handler: index.send
      Events:
        Rest: {Type: Api, Properties: {RestApiId: !Ref Rest, Path: "/send/{to}", Method: post}}
        Http: {Type: HttpApi, Properties: {Path: "/send/{to}", Method: post}}
`

// TestRESTBesideTheSocket: what is posted to a REST API, from a page of another site too, reaches who is connected.
func TestRESTBesideTheSocket(t *testing.T) {
	t.Parallel()
	s := startForeign(t, restTemplate, map[string]string{"src/index.js": `
exports.whoAmI = async (event) => ({ statusCode: 200, body: event.requestContext.connectionId });
exports.send = async (event) => {
  const to = decodeURIComponent(event.pathParameters.to);
  const pushed = await fetch(process.env.SOCKET + "/@connections/" + encodeURIComponent(to), { method: "POST", body: event.body });
  return { statusCode: pushed.status, headers: { "Access-Control-Allow-Origin": "*" }, body: event.requestContext.stage };
};`})
	conn := s.connect(t)
	id := ask(t, conn, `{"action":"whoami"}`)
	for _, path := range []string{"/dev/send/", "/Rest/send/", "/send/", "/ServerlessHttpApi/send/"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path+id, strings.NewReader("from "+path))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "text/plain")
		r.Header.Set("Origin", "https://elsewhere.example")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s, %v", path, res.Status, body, err)
		}
		if got := receive(t, conn); got != "from "+path {
			t.Errorf("%s: got %s", path, got)
		}
	}
	for path, want := range map[string]int{
		"/": http.StatusFound, "/_bellhop/": http.StatusOK, "/dev": http.StatusUpgradeRequired, "/nothing": http.StatusNotFound,
	} {
		client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("GET %s: got %s, want %d", path, res.Status, want)
		}
	}
	if got, want := s.Others(), [][2]string{{"Rest", s.URL + "/dev/"}, {"ServerlessHttpApi", s.URL + "/"}}; !slices.Equal(got, want) {
		t.Errorf("others: got %v, want %v", got, want)
	}
	file := filepath.Join(t.TempDir(), "ready.json")
	if err := s.WriteReady(file); err != nil {
		t.Fatal(err)
	}
	var ready struct {
		HTTPAPIs map[string]string `json:"httpApis"`
	}
	if text, err := os.ReadFile(file); err != nil || json.Unmarshal(text, &ready) != nil || ready.HTTPAPIs["Rest"] != s.URL+"/dev/" {
		t.Errorf("the file has %v, %v", ready, err)
	}
	_ = conn.Close(websocket.StatusNormalClosure, "")
}
