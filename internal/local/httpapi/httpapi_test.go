package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/spelling"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fn func(ctx context.Context, payload []byte) ([]byte, error)

func (f fn) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return f(ctx, payload) }

// serve serves a template, with code that gives its event as the body of its answer where a function has none of its own.
func serve(t *testing.T, text string, code map[string]fn) (url string, seen func() []Event) {
	t.Helper()
	tpl, err := template.Read([]byte(text), template.Options{File: "t.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	functions := map[string]invoke.Function{}
	for _, f := range tpl.Functions {
		functions[f.ID] = fn(func(_ context.Context, event []byte) ([]byte, error) {
			return json.Marshal(map[string]any{"statusCode": 200, "body": string(event)})
		})
		if own := code[f.ID]; own != nil {
			functions[f.ID] = own
		}
	}
	service, err := invoke.New(invoke.Config{Template: tpl, Code: functions})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var events []Event
	s, err := New(Config{Template: tpl, Functions: service, Observe: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(s)
	web.Listener = spelling.Keep(web.Config, web.Listener)
	web.Start()
	t.Cleanup(func() {
		web.Close()
		s.Close()
		service.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return web.URL, func() []Event {
		mu.Lock()
		defer mu.Unlock()
		return events
	}
}

type answered struct {
	status int
	header http.Header
	body   string
}

// ask sends a request: "POST /path", headers as "Name: value".
func ask(t *testing.T, url, what, body string, headers ...string) answered {
	t.Helper()
	method, path, _ := strings.Cut(what, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header[name] = append(r.Header[name], value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{res.StatusCode, res.Header, string(text)}
}

// at is a value in JSON, as JSON: "requestContext.http.method". Nothing: it is not there.
func at(t *testing.T, text, path string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for name := range strings.SplitSeq(path, ".") {
		object, _ := value.(map[string]any)
		var ok bool
		if value, ok = object[name]; !ok {
			return ""
		}
	}
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

const kinds = `
Globals:
  HttpApi: {CorsConfiguration: {AllowOrigins: ["https://a.example", "http://*"], AllowMethods: [GET, POST], AllowHeaders: [x-a], MaxAge: 60, AllowCredentials: true}}
Resources:
  Rest:
    Type: AWS::Serverless::Api
    Properties: {StageName: live, Cors: "'*'", BinaryMediaTypes: [image~1png], Variables: {colour: blue}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        A: {Type: Api, Properties: {RestApiId: !Ref Rest, Path: "/users/{id}", Method: get}}
        B: {Type: Api, Properties: {RestApiId: !Ref Rest, Path: "/files/{rest+}", Method: any}}
        C: {Type: Api, Properties: {Path: /implicit, Method: post}}
        D: {Type: HttpApi, Properties: {Path: "/items/{id}", Method: GET}}
        E: {Type: HttpApi, Properties: {Path: "/items/{rest+}", Method: ANY}}
        G: {Type: HttpApi, Properties: {Path: /items/special, Method: POST}}
        H: {Type: HttpApi, Properties: {Path: /old, Method: POST, PayloadFormatVersion: "1.0"}}
  Plain: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP, Name: plain}}
  PlainStage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Plain, StageName: dev, AutoDeploy: true, StageVariables: {fn: x}}}
  PlainIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties: {ApiId: !Ref Plain, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt F.Arn, PayloadFormatVersion: "2.0"}
  PlainRoute: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Plain, RouteKey: $default, Target: !Sub "integrations/${PlainIntegration}"}}
  Classic: {Type: AWS::ApiGateway::RestApi, Properties: {Name: classic}}
  Send: {Type: AWS::ApiGateway::Resource, Properties: {RestApiId: !Ref Classic, ParentId: !GetAtt Classic.RootResourceId, PathPart: send}}
  SendTo: {Type: AWS::ApiGateway::Resource, Properties: {RestApiId: !Ref Classic, ParentId: !Ref Send, PathPart: "{to}"}}
  SendMethod:
    Type: AWS::ApiGateway::Method
    Properties:
      RestApiId: !Ref Classic
      ResourceId: !Ref SendTo
      HttpMethod: POST
      AuthorizationType: NONE
      Integration: {Type: AWS_PROXY, IntegrationHttpMethod: POST, Uri: !Sub "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${F.Arn}/invocations"}
  SendOptions:
    Type: AWS::ApiGateway::Method
    Properties:
      RestApiId: !Ref Classic
      ResourceId: !Ref SendTo
      HttpMethod: OPTIONS
      Integration:
        Type: MOCK
        IntegrationResponses: [{StatusCode: "204", ResponseParameters: {method.response.header.Access-Control-Allow-Origin: "'https://b.example'"}}]
  Deployment: {Type: AWS::ApiGateway::Deployment, Properties: {RestApiId: !Ref Classic, StageName: test}, DependsOn: [SendMethod]}
`

// TestRoutes goes through what leads to which route, and what its function gets.
func TestRoutes(t *testing.T) {
	url, _ := serve(t, kinds, nil)
	for _, c := range []struct {
		what string
		want map[string]string // in the event
	}{
		{"GET /live/users/a%2Fb?q=1&q=2", map[string]string{
			"resource": `"/users/{id}"`, "path": `"/users/a%2Fb"`, "pathParameters.id": `"a%2Fb"`, "queryStringParameters.q": `"2"`,
			"multiValueQueryStringParameters.q": `["1","2"]`, "stageVariables.colour": `"blue"`, "requestContext.stage": `"live"`,
			"requestContext.path": `"/live/users/a%2Fb"`, "requestContext.httpMethod": `"GET"`, "body": "null", "version": "", "isBase64Encoded": "false",
		}},
		{"GET /Rest/users/1/", map[string]string{"resource": `"/users/{id}"`, "pathParameters.id": `"1"`}},
		{"PATCH /live/files/x/y.txt", map[string]string{"resource": `"/files/{rest+}"`, "pathParameters.rest": `"x/y.txt"`, "queryStringParameters": "null"}},
		{"POST /Prod/implicit", map[string]string{"path": `"/implicit"`, "stageVariables": "null"}},
		{"GET /items/a%20b?x=1&x=2&y=%20", map[string]string{
			"version": `"2.0"`, "routeKey": `"GET /items/{id}"`, "rawPath": `"/items/a b"`, "rawQueryString": `"x=1\u0026x=2\u0026y=%20"`,
			"queryStringParameters.x": `"1,2"`, "queryStringParameters.y": `" "`, "pathParameters.id": `"a b"`, "requestContext.http.method": `"GET"`,
			"requestContext.http.path": `"/items/a b"`, "requestContext.stage": `"$default"`, "body": "", "stageVariables": "", "cookies": "",
		}},
		{"DELETE /items/7", map[string]string{"routeKey": `"ANY /items/{rest+}"`, "pathParameters.rest": `"7"`}},
		{"POST /items/special", map[string]string{"routeKey": `"POST /items/special"`, "pathParameters": ""}},
		{"POST /ServerlessHttpApi/old", map[string]string{"version": `"1.0"`, "resource": `"/old"`, "path": `"/old"`, "pathParameters": "null"}},
		{"PUT /dev/what/ever", map[string]string{"routeKey": `"$default"`, "rawPath": `"/dev/what/ever"`, "stageVariables.fn": `"x"`, "requestContext.stage": `"dev"`}},
		{"POST /test/send/ana", map[string]string{"resource": `"/send/{to}"`, "pathParameters.to": `"ana"`}},
	} {
		got := ask(t, url, c.what, "")
		if got.status != http.StatusOK {
			t.Errorf("%s: %d %s", c.what, got.status, got.body)
			continue
		}
		for path, want := range c.want {
			if have := at(t, got.body, path); have != want {
				t.Errorf("%s: %s is %s, want %s", c.what, path, have, want)
			}
		}
	}
	for what, want := range map[string]string{
		"POST /live/users/1": `403 {"message":"Missing Authentication Token"}`, // the method is not there
		"GET /live/nothing":  `403 {"message":"Missing Authentication Token"}`,
		"GET /old":           `404 {"message":"Not Found"}`,
		"GET /old/":          `404 {"message":"Not Found"}`,
		"GET /":              "404 404 page not found\n", // nobody's, so that somebody else may have it
	} {
		got := ask(t, url, what, "")
		if have := fmt.Sprintf("%d %s", got.status, got.body); have != want {
			t.Errorf("%s: got %s, want %s", what, have, want)
		}
	}
	// The host that AWS would give it.
	tpl, err := template.Read([]byte(kinds), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(tpl.HTTPAPIs, func(a template.HTTPAPI) bool { return a.ID == "Classic" })
	host := tpl.HTTPAPIs[i].APIID + ".execute-api.us-east-1.amazonaws.com"
	if got := ask(t, url, "POST /test/send/ben", "", "Host: "+host); at(t, got.body, "requestContext.domainName") != `"`+host+`"` {
		t.Errorf("by its host: %v", got)
	}
}

// TestBodies: which bodies are encoded, and how headers and cookies come.
func TestBodies(t *testing.T) {
	url, _ := serve(t, kinds, nil)
	for _, c := range []struct {
		what, kind, body string
		encoded          bool
	}{
		{"POST /items/special", "text/plain; charset=utf-8", "hé", false},
		{"POST /items/special", "application/json", `{"a":1}`, false},
		{"POST /items/special", "application/x-www-form-urlencoded", "a=1", true},
		{"POST /items/special", "", "a", true},
		{"POST /old", "image/png", "\x89PNG", true},
		{"POST /Prod/implicit", "application/x-www-form-urlencoded", "a=1", false},
		{"POST /live/files/x", "image/png", "\x89PNG", true},
		{"POST /live/files/x", "image/gif", "GIF", false},
	} {
		var headers []string
		if c.kind != "" {
			headers = append(headers, "Content-Type: "+c.kind)
		}
		got := ask(t, url, c.what, c.body, headers...)
		want := c.body
		if c.encoded {
			want = base64.StdEncoding.EncodeToString([]byte(c.body))
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if have := at(t, got.body, "body"); have != string(text) || at(t, got.body, "isBase64Encoded") != strconv.FormatBool(c.encoded) {
			t.Errorf("%s %s: the body is %s, want %s", c.what, c.kind, have, text)
		}
	}
	got := ask(t, url, "POST /items/special", "", "X-Odd: 1", "X-Odd: 2", "Cookie: a=1; b=2")
	for path, want := range map[string]string{"headers.x-odd": `"1,2"`, "cookies": `["a=1","b=2"]`, "headers.cookie": ""} {
		if have := at(t, got.body, path); have != want {
			t.Errorf("%s is %s, want %s", path, have, want)
		}
	}
	got = ask(t, url, "GET /live/users/1", "", "x-api-key: k", "X-Odd: 1", "X-Odd: 2")
	for path, want := range map[string]string{"headers.x-api-key": `"k"`, "headers.X-Odd": `"2"`, "multiValueHeaders.X-Odd": `["1","2"]`} {
		if have := at(t, got.body, path); have != want {
			t.Errorf("REST: %s is %s, want %s", path, have, want)
		}
	}
}

// TestAnswers goes through what functions may return.
func TestAnswers(t *testing.T) {
	var out string
	var failure error
	url, seen := serve(t, kinds, map[string]fn{"F": func(context.Context, []byte) ([]byte, error) { return []byte(out), failure }})
	for _, c := range []struct {
		what, out string
		status    int
		body      string
		header    map[string]string
	}{
		{"POST /Prod/implicit", `{"statusCode":201,"headers":{"X-A":1},"multiValueHeaders":{"Set-Cookie":["a","b"]},"body":"hi"}`, 201, "hi", map[string]string{"X-A": "1", "Set-Cookie": "a b", "Content-Type": "application/json"}},
		{"POST /Prod/implicit", `{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`, 200, "aGk=", nil}, // no binary type is accepted
		{"GET /live/files/x", `{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`, 200, "hi", nil},
		{"POST /Prod/implicit", `"hi"`, 502, `{"message":"Internal server error"}`, nil},
		{"POST /Prod/implicit", `{"statusCode":200,"body":{"a":1}}`, 502, `{"message":"Internal server error"}`, nil},
		{"POST /old", `{"hi":1}`, 500, `{"message":"Internal Server Error"}`, nil},
		{"GET /items/1", `{"hi":1}`, 200, `{"hi":1}`, map[string]string{"Content-Type": "application/json"}},
		{"GET /items/1", `"hi"`, 200, "hi", map[string]string{"Content-Type": "application/json"}},
		{"GET /items/1", `[1]`, 200, "[1]", nil},
		{"GET /items/1", `{"statusCode":404,"cookies":["a=1","b=2"],"body":"aGk=","isBase64Encoded":true,"headers":{"content-type":"text/x"}}`, 404, "hi", map[string]string{"Set-Cookie": "a=1 b=2", "Content-Type": "text/x"}},
		{"GET /items/1", `{"statusCode":200,"body":{"a":1}}`, 500, `{"message":"Internal Server Error"}`, nil},
	} {
		out = c.out
		got := ask(t, url, c.what, "", "Accept: image/png")
		if got.status != c.status || got.body != c.body {
			t.Errorf("%s of %s: got %d %s, want %d %s", c.what, c.out, got.status, got.body, c.status, c.body)
		}
		for name, want := range c.header {
			if have := strings.Join(got.header.Values(name), " "); have != want {
				t.Errorf("%s of %s: %s is %q, want %q", c.what, c.out, name, have, want)
			}
		}
	}
	failure = io.ErrUnexpectedEOF
	if got := ask(t, url, "GET /items/1", ""); got.status != 500 {
		t.Errorf("a function that throws: %d", got.status)
	}
	if e := seen(); e[len(e)-1].Err == nil || e[len(e)-1].Function != "F" || e[len(e)-1].Path != "/items/1" {
		t.Errorf("the log has %+v", e[len(e)-1])
	}
}

// TestCORS: an HTTP API answers preflights by itself, SAM's REST APIs by methods that it makes.
func TestCORS(t *testing.T) {
	url, _ := serve(t, kinds, map[string]fn{"F": func(context.Context, []byte) ([]byte, error) {
		return []byte(`{"statusCode":200,"headers":{"Access-Control-Allow-Origin":"mine"}}`), nil
	}})
	preflight := func(what, origin string) answered {
		return ask(t, url, what, "", "Origin: "+origin, "Access-Control-Request-Method: POST")
	}
	for _, c := range []struct {
		got    answered
		status int
		header map[string]string
	}{
		{preflight("OPTIONS /old", "https://a.example"), 204, map[string]string{
			"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Allow-Methods": "GET,POST", "Access-Control-Allow-Headers": "x-a",
			"Access-Control-Max-Age": "60", "Access-Control-Allow-Credentials": "true",
		}},
		{preflight("OPTIONS /old", "https://evil.example"), 204, map[string]string{"Access-Control-Allow-Origin": ""}},
		{ask(t, url, "POST /old", "", "Origin: http://localhost:3000"), 200, map[string]string{"Access-Control-Allow-Origin": "http://localhost:3000"}},
		{ask(t, url, "POST /old", ""), 200, map[string]string{"Access-Control-Allow-Origin": ""}},
		{preflight("OPTIONS /live/users/1", "https://a.example"), 200, map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET,OPTIONS"}},
		{ask(t, url, "GET /live/users/1", "", "Origin: x"), 200, map[string]string{"Access-Control-Allow-Origin": "mine"}},
		{preflight("OPTIONS /test/send/a", "x"), 204, map[string]string{"Access-Control-Allow-Origin": "https://b.example"}},
	} {
		if c.got.status != c.status {
			t.Errorf("got %v, want %d", c.got, c.status)
		}
		for name, want := range c.header {
			if have := c.got.header.Get(name); have != want {
				t.Errorf("%s is %q, want %q, in %v", name, have, want, c.got.header)
			}
		}
	}
}

const guarded = `
Resources:
  Rest:
    Type: AWS::Serverless::Api
    Properties:
      StageName: live
      Auth:
        DefaultAuthorizer: Token
        Authorizers:
          Token: {FunctionArn: !GetAtt Auth.Arn, Identity: {Header: X-Token, ValidationExpression: "t-.*"}}
          Whole: {FunctionArn: !GetAtt Auth.Arn, FunctionPayloadType: REQUEST, Identity: {QueryStrings: [key]}}
          Pool: {UserPoolArn: arn:aws:cognito-idp:us-east-1:1:userpool/x}
  Http:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        Authorizers:
          Simple: {FunctionArn: !GetAtt Simple.Arn, AuthorizerPayloadFormatVersion: "2.0", EnableSimpleResponses: true, Identity: {Headers: [Authorization]}}
          JWT: {IdentitySource: $request.header.Authorization, JwtConfiguration: {issuer: ISSUER, audience: [app]}}
  Auth: {Type: AWS::Serverless::Function}
  Simple: {Type: AWS::Serverless::Function}
  F:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        A: {Type: Api, Properties: {RestApiId: !Ref Rest, Path: /token, Method: get}}
        B: {Type: Api, Properties: {RestApiId: !Ref Rest, Path: /open, Method: get, Auth: {Authorizer: NONE}}}
        C: {Type: Api, Properties: {RestApiId: !Ref Rest, Path: /whole, Method: get, Auth: {Authorizer: Whole}}}
        P: {Type: Api, Properties: {RestApiId: !Ref Rest, Path: /pool, Method: get, Auth: {Authorizer: Pool}}}
        D: {Type: HttpApi, Properties: {ApiId: !Ref Http, Path: /simple, Method: get, Auth: {Authorizer: Simple}}}
        E: {Type: HttpApi, Properties: {ApiId: !Ref Http, Path: /jwt, Method: get, Auth: {Authorizer: JWT, AuthorizationScopes: [read]}}}
`

// TestAuthorizers: each kind lets in whom it should, nobody else, and tells the function who it is.
func TestAuthorizers(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var issuer *httptest.Server
	issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "openid-configuration") {
			_, _ = io.WriteString(w, `{"jwks_uri":"`+issuer.URL+`/keys"}`)
			return
		}
		n := base64.RawURLEncoding.EncodeToString(key.N.Bytes())
		e := base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())
		_, _ = io.WriteString(w, `{"keys":[{"kty":"RSA","kid":"1","use":"sig","alg":"RS256","n":"`+n+`","e":"`+e+`"}]}`)
	}))
	t.Cleanup(issuer.Close)
	token := func(claims jwt.MapClaims) string {
		all := jwt.MapClaims{"iss": issuer.URL, "aud": "app", "sub": "ana", "scope": "read write", "exp": time.Now().Add(time.Hour).Unix()}
		maps.Copy(all, claims)
		made := jwt.NewWithClaims(jwt.SigningMethodRS256, all)
		made.Header["kid"] = "1"
		text, err := made.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	url, seen := serve(t, strings.ReplaceAll(guarded, "ISSUER", issuer.URL), map[string]fn{
		"Auth": func(_ context.Context, event []byte) ([]byte, error) {
			var in struct {
				Type, MethodArn, AuthorizationToken string
				Query                               map[string]string `json:"queryStringParameters"`
			}
			if err := json.Unmarshal(event, &in); err != nil {
				return nil, err
			}
			effect := "Deny"
			if in.AuthorizationToken == "t-good" || in.Query["key"] == "good" {
				effect = "Allow"
			}
			return json.Marshal(map[string]any{
				"principalId": in.Type, "context": map[string]any{"n": 7},
				"policyDocument": map[string]any{"Statement": []any{map[string]any{"Action": "execute-api:Invoke", "Effect": effect, "Resource": in.MethodArn}}},
			})
		},
		"Simple": func(_ context.Context, event []byte) ([]byte, error) {
			var in struct {
				Source []string `json:"identitySource"`
			}
			if err := json.Unmarshal(event, &in); err != nil {
				return nil, err
			}
			return json.Marshal(map[string]any{"isAuthorized": in.Source[0] == "good", "context": map[string]any{"who": "ana"}})
		},
	})
	for _, c := range []struct {
		what, header string
		status       int
		path, want   string
	}{
		{"GET /live/open", "", 200, "requestContext.authorizer", ""},
		{"GET /live/token", "", 401, "message", `"Unauthorized"`},
		{"GET /live/token", "X-Token: other", 401, "", ""},
		{"GET /live/token", "X-Token: t-bad", 403, "Message", `"User is not authorized to access this resource"`},
		{"GET /live/token", "X-Token: t-good", 200, "requestContext.authorizer.n", `"7"`},
		{"GET /live/whole", "", 401, "", ""},
		{"GET /live/whole?key=good", "", 200, "requestContext.authorizer.principalId", `"REQUEST"`},
		{"GET /live/pool", "Authorization: x", 403, "", ""},
		{"GET /simple", "", 401, "", ""},
		{"GET /simple", "Authorization: bad", 403, "message", `"Forbidden"`},
		{"GET /simple", "Authorization: good", 200, "requestContext.authorizer.lambda.who", `"ana"`},
		{"GET /jwt", "Authorization: Bearer " + token(nil), 200, "requestContext.authorizer.jwt.claims.sub", `"ana"`},
		{"GET /jwt", "Authorization: Bearer " + token(jwt.MapClaims{"scope": "write"}), 403, "", ""},
		{"GET /jwt", "Authorization: Bearer " + token(jwt.MapClaims{"aud": "other"}), 401, "", ""},
		{"GET /jwt", "Authorization: Bearer " + token(jwt.MapClaims{"iss": "other"}), 401, "", ""},
		{"GET /jwt", "Authorization: Bearer " + token(jwt.MapClaims{"exp": 1}), 401, "", ""},
		{"GET /jwt", "Authorization: Bearer " + token(nil) + "x", 401, "", ""},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{c.header}
		}
		got := ask(t, url, c.what, "", headers...)
		if got.status != c.status {
			t.Errorf("%s %s: got %d %s, want %d", c.what, c.header, got.status, got.body, c.status)
			continue
		}
		if c.path != "" {
			if have := at(t, got.body, c.path); have != c.want {
				t.Errorf("%s %s: %s is %s, want %s", c.what, c.header, c.path, have, c.want)
			}
		}
		if e := seen()[len(seen())-1]; c.status != 200 && e.Err == nil {
			t.Errorf("%s %s: the log does not say why", c.what, c.header)
		}
	}
}
