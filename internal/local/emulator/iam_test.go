package emulator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/sigv4"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

const signedAPIs = `
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties: {StageName: dev, Auth: {AuthType: AWS_IAM}, RouteSelectionExpression: $request.body.action, Routes: {$connect: {FunctionArn: !GetAtt F.Arn}, $default: {FunctionArn: !GetAtt F.Arn}}}
  Plain: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}
  PlainStage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Plain, StageName: plain, AutoDeploy: true}}
  In: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Plain, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt F.Arn}}
  Connect: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Plain, RouteKey: $connect, AuthorizationType: AWS_IAM, Target: !Sub "integrations/${In}"}}
  Web: {Type: AWS::Serverless::HttpApi, Properties: {Auth: {EnableIamAuthorizer: true, DefaultAuthorizer: AWS_IAM}}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 30
      Events:
        A: {Type: HttpApi, Properties: {ApiId: !Ref Web, Path: /a, Method: post}}
        B: {Type: Api, Properties: {Path: /b, Method: post, Auth: {Authorizer: AWS_IAM}}}
`

// TestIAM: with AWS_IAM only who signs is let in, functions learn who it is, and the log says why somebody is not.
func TestIAM(t *testing.T) {
	for name, c := range map[string]struct {
		users  map[string]string
		sign   string // the secret; empty: not signed
		status int
		reason string // in the log
		user   string
	}{
		"signed":                  {map[string]string{"AKID": "secret"}, "secret", 101, "", "AKID"},
		"not signed":              {map[string]string{"AKID": "secret"}, "", 403, "is not signed", ""},
		"with another secret":     {map[string]string{"AKID": "secret"}, "other", 403, "does not match", ""},
		"without keys":            {nil, "secret", 403, "--iam KEY=SECRET", ""},
		"everybody":               {map[string]string{"anybody": "ana"}, "", 101, "", "ana"},
		"everybody, badly signed": {map[string]string{"anybody": "ana"}, "secret", 403, "none that was given", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tpl, err := template.Read([]byte(signedAPIs), template.Options{})
			if err != nil {
				t.Fatal(err)
			}
			events, seen := make(chan string, 10), make(chan Event, 100)
			e, err := New(Config{
				Template: tpl, Users: sigv4.ParseUsers(c.users), Observe: func(e Event) { seen <- e },
				Functions: map[string]invoke.Function{"F": fn(func(_ context.Context, event []byte) ([]byte, error) {
					events <- string(event)
					return []byte(`{"statusCode":200}`), nil
				})},
			})
			if err != nil {
				t.Fatal(err)
			}
			if warned := len(tpl.Warnings) > 0; warned != (c.users == nil) {
				t.Errorf("warned of %v", tpl.Warnings)
			}
			e.Start()
			web := httptest.NewServer(e)
			defer web.Close()
			defer closeNow(t, e)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			request := func(method, path, body string) *http.Request {
				r, err := http.NewRequestWithContext(ctx, method, web.URL+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if c.sign != "" {
					sum := sha256.Sum256([]byte(body))
					err = v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: c.sign}, r, hex.EncodeToString(sum[:]), "execute-api", "us-east-1", time.Now())
				}
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			why := func() (list string) {
				for {
					select {
					case e := <-seen:
						list += e.Reason
						if e.Err != nil {
							list += e.Err.Error()
						}
					default:
						return list
					}
				}
			}
			who := func(of func(event map[string]any) any) {
				t.Helper()
				if c.user == "" {
					return
				}
				var event struct {
					Context map[string]any `json:"requestContext"`
				}
				if err := json.Unmarshal([]byte(<-events), &event); err != nil {
					t.Fatal(err)
				}
				if got, want := of(event.Context), "arn:aws:iam::123456789012:user/"+c.user; got != want {
					t.Errorf("userArn is %v, want %s, in %v", got, want, event.Context)
				}
			}
			inIdentity := func(event map[string]any) any { return event["identity"].(map[string]any)["userArn"] }
			for _, path := range []string{"/dev?x=1", "/plain"} {
				conn, res, err := websocket.Dial(ctx, web.URL+path, &websocket.DialOptions{HTTPHeader: request(http.MethodGet, path, "").Header}) //nolint:bodyclose // see Dial
				if res == nil || res.StatusCode != c.status {
					t.Errorf("%s: got %v, %v, want %d", path, res, err, c.status)
				}
				if got := why(); !strings.Contains(got, c.reason) {
					t.Errorf("%s: the log has %q, want %q", path, got, c.reason)
				}
				if conn != nil {
					defer func() { _ = conn.CloseNow() }()
				}
				who(inIdentity)
			}
			for path, of := range map[string]func(event map[string]any) any{
				"/Prod/b": inIdentity,
				"/a": func(event map[string]any) any {
					return event["authorizer"].(map[string]any)["iam"].(map[string]any)["userArn"]
				},
			} {
				res, err := http.DefaultClient.Do(request(http.MethodPost, path, "hello"))
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				if want := map[int]int{101: 200, 403: 403}[c.status]; res.StatusCode != want {
					t.Errorf("%s: got %s, want %d", path, res.Status, want)
				}
				if got := why(); !strings.Contains(got, c.reason) {
					t.Errorf("%s: the log has %q, want %q", path, got, c.reason)
				}
				who(of)
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
}
