package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

func TestHandshakeIsHeldUntilConnectAnswers(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{"connect": fn(func(context.Context, []byte) ([]byte, error) {
		close(asked)
		<-answer
		return []byte(ok), nil
	})})})
	done := make(chan int, 1)
	go func() {
		_, res := f.dial(t, "/dev", nil)
		done <- res.status
	}()
	receive(t, asked)
	select {
	case status := <-done:
		t.Fatalf("got %d before $connect answered", status)
	default:
	}
	if n := len(f.Connections()); n != 0 {
		t.Errorf("got %d connections during $connect", n)
	}
	close(answer)
	if got := receive(t, done); got != http.StatusSwitchingProtocols {
		t.Errorf("got %d", got)
	}
}

func TestHandshakeStatus(t *testing.T) {
	tests := []struct {
		name    string
		connect invoke.Function
		want    int
	}{
		{"200 connects", answers(ok), 101},
		{"201 connects", answers(`{"statusCode":201}`), 101},
		{"a quoted status counts", answers(`{"statusCode":"200"}`), 101},
		{"301 is passed on", answers(`{"statusCode":301}`), 301},
		{"400 is passed on", answers(`{"statusCode":400,"body":"no"}`), 400},
		{"401 is passed on", answers(`{"statusCode":401}`), 401},
		{"500 is passed on", answers(`{"statusCode":500}`), 500},
		{"501 is passed on", answers(`{"statusCode":501}`), 501},
		{"a throw is 502", throws(errors.New("boom")), 502},
		{"null is 502", answers(`null`), 502},
		{"no status is 502", answers(`{}`), 502},
		{"no JSON is 502", answers(`hello`), 502},
		{"a body that is no string is 502", answers(`{"statusCode":200,"body":{}}`), 502},
		{"a panic is 502", fn(func(context.Context, []byte) ([]byte, error) { panic("boom") }), 502},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, setup{Functions: functions(map[string]invoke.Function{"connect": tt.connect})})
			_, res := f.dial(t, "/dev", nil)
			if res.status != tt.want {
				t.Errorf("got %d, want %d", res.status, tt.want)
			}
		})
	}
}

func TestHandshakeWithoutConnectRouteIsAccepted(t *testing.T) {
	text := strings.ReplaceAll(with(), "        $connect: {FunctionArn: !GetAtt ConnectFunction.Arn}\n", "")
	serve(t, setup{Template: text}).open(t)
}

func TestHandshakeIsThrottledWith429(t *testing.T) {
	text := strings.Replace(with(), "        limited: {Thr", "        $connect: {ThrottlingRateLimit: 0.001, ThrottlingBurstLimit: 1}\n        limited: {Thr", 1)
	f := serve(t, setup{Template: text})
	f.open(t)
	if _, res := f.dial(t, "/dev", nil); res.status != http.StatusTooManyRequests {
		t.Errorf("got %d", res.status)
	}
}

func TestEveryIdentitySourceMustBePresent(t *testing.T) {
	text := strings.Replace(with("auth", "vars"), "[route.request.querystring.token]",
		"[route.request.querystring.token, route.request.header.X-Key, stageVariables.color, context.connectionId]", 1)
	f := serve(t, setup{Template: text})
	if _, res := f.dial(t, "/dev?token=x", nil); res.status != http.StatusUnauthorized {
		t.Errorf("without the header: got %d", res.status)
	}
	if _, res := f.dial(t, "/dev?token=x", http.Header{"X-Key": {"y"}}); res.status != http.StatusSwitchingProtocols {
		t.Errorf("with all of them: got %d", res.status)
	}
}

// TestIdentitySourcesThatAreAlwaysThere: headers that a client does not write itself.
func TestIdentitySourcesThatAreAlwaysThere(t *testing.T) {
	text := strings.Replace(with("auth"), "[route.request.querystring.token]", "[route.request.header.X-Forwarded-Proto, route.request.header.Host]", 1)
	f := serve(t, setup{Template: text, Functions: functions(map[string]invoke.Function{"authorize": fn(allow)})})
	if _, res := f.dial(t, "/dev", nil); res.status != http.StatusSwitchingProtocols {
		t.Errorf("got %d", res.status)
	}
}

// TestNoIdentitySourceAsksAboutEverybody: what has to be there is up to the authorizer, whether the template has an empty list or none.
func TestNoIdentitySourceAsksAboutEverybody(t *testing.T) {
	for name, sources := range map[string]string{"an empty list": ", IdentitySource: []", "none": ""} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(with("auth"), ", IdentitySource: [route.request.querystring.token]", sources, 1)
			for want, answer := range map[int]invoke.Function{http.StatusSwitchingProtocols: fn(allow), http.StatusUnauthorized: throws(errors.New("Unauthorized"))} {
				f := serve(t, setup{Template: text, Functions: functions(map[string]invoke.Function{"authorize": answer})})
				if _, res := f.dial(t, "/dev", nil); res.status != want {
					t.Errorf("a client that brings nothing: got %d, want %d", res.status, want)
				}
				if n := f.cfg.Functions.Stats()["AuthorizeFunction"].Invocations; n != 1 {
					t.Errorf("it was asked %d times", n)
				}
			}
		})
	}
}

func TestARefusalSaysWhy(t *testing.T) {
	for name, c := range map[string]struct{ path, result, want string }{
		"an identity source": {"/dev", ``, "the identity source route.request.querystring.token is missing"},
		"a resource": {
			"/dev?token=x", `{"Action":"*","Effect":"Allow","Resource":"arn:aws:execute-api:*:*:other/*"}`,
			"/dev/$connect: its resources are arn:aws:execute-api:*:*:other/*",
		},
		"a deny":      {"/dev?token=x", `{"Action":"*","Effect":"Deny","Resource":"*"}`, "the authorizer's policy denies arn:aws:execute-api:"},
		"a condition": {"/dev?token=x", `{"Action":"*","Effect":"Allow","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.7"}}}`, "only if aws:SourceIp IpAddress [203.0.113.7]"},
	} {
		t.Run(name, func(t *testing.T) {
			said := make(chan string, 1)
			f := serve(t, setup{
				Template:  with("auth"),
				Functions: functions(map[string]invoke.Function{"authorize": answers(`{"principalId":"ana","policyDocument":{"Statement":[` + c.result + `]}}`)}),
				Observe: func(e Event) {
					if e.Kind == KindAuthorize {
						said <- e.Reason
					}
				},
			})
			f.dial(t, c.path, nil)
			if got := <-said; !strings.Contains(got, c.want) {
				t.Errorf("got %q, want something of %q", got, c.want)
			}
		})
	}
}

func TestAuthorizer(t *testing.T) {
	policy := func(effect, resource string) invoke.Function {
		return answers(fmt.Sprintf(`{"principalId":"ana","policyDocument":{"Statement":[{"Action":"execute-api:Invoke","Effect":%q,"Resource":%q}]}}`, effect, resource))
	}
	only := func(effect, condition string) invoke.Function {
		return answers(fmt.Sprintf(`{"principalId":"ana","policyDocument":{"Statement":[
			{"Action":"*","Effect":"Allow","Resource":"*"%s},{"Action":"*","Effect":%q,"Resource":"*","Condition":%s}]}}`,
			map[string]string{"Allow": `,"Condition":{"Bool":{"aws:SecureTransport":false}}`, "Deny": ""}[effect], effect, condition))
	}
	tests := []struct {
		name       string
		path       string
		authorizer invoke.Function
		want       int
	}{
		{"a missing identity source is 401", "/dev", fn(allow), 401},
		{"an empty identity source is 401", "/dev?token=", fn(allow), 401},
		{"allow connects", "/dev?token=x", fn(allow), 101},
		{"the error text Unauthorized is 401", "/dev?token=x", throws(errors.New("Unauthorized")), 401},
		{"deny is 403", "/dev?token=x", policy("Deny", "*"), 403},
		{"a resource that does not cover is 403", "/dev?token=x", policy("Allow", "arn:aws:execute-api:*:*:*/other/$connect"), 403},
		{"a wildcard resource covers", "/dev?token=x", policy("Allow", "arn:aws:execute-api:us-east-1:*:*/dev/*"), 101},
		{"a deny of all but another resource is 403", "/dev?token=x", answers(`{"principalId":"a","policyDocument":{"Statement":[
			{"Action":"*","Effect":"Allow","Resource":"*"},{"Action":"*","Effect":"Deny","NotResource":"arn:aws:execute-api:*:*:*/other/*"}]}}`), 403},
		{"a condition on an address that holds connects", "/dev?token=x", only("Allow", `{"IpAddress":{"aws:SourceIp":["203.0.113.0/24","127.0.0.0/8"]}}`), 101},
		{"a condition on an address that does not is 403", "/dev?token=x", only("Allow", `{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`), 403},
		{"a deny of all but another address is 403", "/dev?token=x", only("Deny", `{"NotIpAddress":{"aws:SourceIp":"203.0.113.7"}}`), 403},
		{"a deny of another address connects", "/dev?token=x", only("Deny", `{"IpAddress":{"aws:SourceIp":"203.0.113.7"}}`), 101},
		{"all conditions must hold", "/dev?token=x", only("Allow", `{"IpAddress":{"aws:SourceIp":"127.0.0.1"},"DateGreaterThan":{"aws:CurrentTime":"2999-01-01T00:00:00Z"}}`), 403},
		{"a date that is past holds", "/dev?token=x", only("Allow", `{"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"},"NumericGreaterThan":{"aws:EpochTime":1}}`), 101},
		{"a header that is absent does not match", "/dev?token=x", only("Allow", `{"StringLike":{"aws:Referer":"https://*"}}`), 403},
		{"a header that is absent is passed over with IfExists", "/dev?token=x", only("Allow", `{"StringLikeIfExists":{"aws:Referer":"https://*"}}`), 101},
		{"a header that is absent is no other value", "/dev?token=x", only("Allow", `{"StringNotEquals":{"aws:referer":"https://evil.example"},"Null":{"aws:Referer":"true"}}`), 101},
		{"a condition on a key that is not known here is 500", "/dev?token=x", only("Allow", `{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`), 500},
		{"an operator that is not known here is 500", "/dev?token=x", only("Deny", `{"ForAnyValue:StringEquals":{"aws:UserAgent":"x"}}`), 500},
		{"an address that is none is 500", "/dev?token=x", only("Deny", `{"IpAddress":{"aws:SourceIp":"everywhere"}}`), 500},
		{"another error is 500", "/dev?token=x", throws(errors.New("boom")), 500},
		{"a malformed result is 500", "/dev?token=x", answers(`{"principalId":"ana"}`), 500},
		{"a nested context is 500", "/dev?token=x", answers(`{"principalId":"a","policyDocument":{"Statement":{"Action":"*","Effect":"Allow","Resource":"*"}},"context":{"x":{}}}`), 500},
		{"more than 8 KB is 500", "/dev?token=x", answers(strings.Repeat(" ", 8<<10) + `{}`), 500},
		{"one statement without an array connects", "/dev?token=x", answers(`{"principalId":"a","policyDocument":{"Statement":{"Action":["execute-api:*"],"Effect":"Allow","Resource":["*"]}}}`), 101},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			called := false
			f := serve(t, setup{Template: with("default", "auth"), Functions: functions(map[string]invoke.Function{
				"authorize": fn(func(ctx context.Context, event []byte) ([]byte, error) {
					called = true
					return tt.authorizer.Invoke(ctx, event)
				}),
			})})
			_, res := f.dial(t, tt.path, nil)
			if res.status != tt.want {
				t.Errorf("got %d, want %d", res.status, tt.want)
			}
			if missing := !strings.Contains(tt.path, "token=x"); missing == called {
				t.Errorf("authorizer invoked: %v", called)
			}
		})
	}
}

func TestOnlyTheSubprotocolHeaderOfConnectIsPassedOn(t *testing.T) {
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{
		"connect": answers(`{"statusCode":200,"headers":{"sec-websocket-protocol":"bellhop.v1","Set-Cookie":"a=b"}}`),
	})})
	_, res := f.dial(t, "/dev", http.Header{"Sec-Websocket-Protocol": {"bellhop.v1, bearer.x"}})
	if got := res.header.Get("Sec-Websocket-Protocol"); got != "bellhop.v1" {
		t.Errorf("got protocol %q", got)
	}
	if got := res.header.Get("Set-Cookie"); got != "" {
		t.Errorf("got cookie %q", got)
	}
}

func TestCompressionIsNotNegotiated(t *testing.T) {
	f := serve(t, setup{})
	_, res := f.dial(t, "/dev", http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}})
	if got := res.header.Get("Sec-Websocket-Extensions"); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestRequestsThatAreNoHandshake(t *testing.T) {
	f := serve(t, setup{})
	tests := []struct {
		name   string
		path   string
		header http.Header
		want   int
	}{
		{"a URL above 4,096 characters", "/dev?x=" + strings.Repeat("x", 4096), nil, 414},
		{"no upgrade", "/dev", http.Header{"Upgrade": {"h2c"}}, 426},
		{"another version", "/dev", http.Header{"Sec-Websocket-Version": {"8"}}, 400},
		{"no key", "/dev", http.Header{"Sec-Websocket-Key": {"x"}}, 400},
		{"another stage", "/other", nil, 403},
		{"no stage", "/", nil, 403},
		{"more than the stage", "/dev/x", nil, 403},
		{"the stage with a slash is fine", "/dev/", nil, 101},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, res := f.dial(t, tt.path, tt.header)
			if res.status != tt.want {
				t.Errorf("got %d, want %d", res.status, tt.want)
			}
		})
	}
}

// TestRefusalsHaveARequestID: what was refused can be named, by the handshake and the management API alike.
func TestRefusalsHaveARequestID(t *testing.T) {
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{"connect": answers(`{"statusCode":401}`)})})
	for path, code := range map[string]string{"/dev": "", "/other": CodeForbidden} {
		if _, res := f.dial(t, path, nil); res.header.Get("X-Amzn-Requestid") == "" || res.header.Get("X-Amzn-Errortype") != code {
			t.Errorf("%s: got %v", path, res.header)
		}
	}
	for _, method := range []string{"GET", "POST", "PUT"} {
		if res, _ := f.request(t, method, "/dev/@connections/"+newID(), "x"); res.header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s: got %v", method, res.header)
		}
	}
}

// contextOf reads an event's requestContext.
func contextOf(tb testing.TB, event []byte) map[string]any {
	tb.Helper()
	var e struct {
		Context map[string]any `json:"requestContext"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		tb.Fatal(err)
	}
	return e.Context
}

func TestMessageRoutes(t *testing.T) {
	tests := []struct {
		name, message, want string
	}{
		{"a matching key", `{"action":"send"}`, "send"},
		{"an unmatched key goes to $default", `{"action":"other"}`, "$default"},
		{"another case does not match", `{"action":"Send"}`, "$default"},
		{"no key goes to $default", `{}`, "$default"},
		{"what is not JSON goes to $default", `hello`, "$default"},
		{"$connect cannot be selected", `{"action":"$connect"}`, "$default"},
		{"$disconnect cannot be selected", `{"action":"$disconnect"}`, "$default"},
		{"an array is no key", `["send"]`, "$default"},
	}
	message, events := collect(ok)
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{"message": message})})
	c := f.open(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.send(tt.message)
			event := receive(t, events)
			if got := contextOf(t, event)["routeKey"]; got != tt.want {
				t.Errorf("got route %v, want %s", got, tt.want)
			}
			var e struct {
				Body string `json:"body"`
			}
			if err := json.Unmarshal(event, &e); err != nil || e.Body != tt.message {
				t.Errorf("got body %q (%v), want %q", e.Body, err, tt.message)
			}
		})
	}
}

// wantError reads an error frame and compares it byte for byte.
func (c *client) wantError(message, id string) {
	c.tb.Helper()
	got := string(c.frame().Payload)
	var v struct {
		RequestID string `json:"requestId"`
	}
	if err := json.Unmarshal([]byte(got), &v); err != nil {
		c.tb.Fatal(err)
	}
	want := fmt.Sprintf(`{"message": "%s", "connectionId":"%s", "requestId":"%s"}`, message, id, v.RequestID)
	if got != want || len(v.RequestID) != 16 {
		c.tb.Errorf("got %s, want %s", got, want)
	}
}

func TestErrorFrames(t *testing.T) {
	message := fn(func(ctx context.Context, event []byte) ([]byte, error) {
		switch contextOf(t, event)["routeKey"] {
		case "quick":
			<-ctx.Done()
			return nil, ctx.Err()
		case "send":
			return nil, errors.New("boom")
		case "echo":
			panic("boom")
		}
		return []byte(ok), nil
	})
	f := serve(t, setup{Template: strings.Replace(with(), "Timeout: 60", "Timeout: 1", 1), Functions: functions(map[string]invoke.Function{"message": message})})
	tests := []struct {
		name, send, want string
	}{
		{"no route and no $default is Forbidden", `{"action":"nothing"}`, "Forbidden"},
		{"what is not JSON is Forbidden without $default", `nothing`, "Forbidden"},
		{"a throw", `{"action":"send"}`, "Internal server error"},
		{"a panic", `{"action":"echo"}`, "Internal server error"},
		{"slower than the integration's timeout", `{"action":"quick"}`, "Endpoint request timed out"},
	}
	c, id := f.openID(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.send(tt.send)
			c.wantError(tt.want, id)
		})
	}
	t.Run("a throttled route", func(t *testing.T) {
		c.send(`{"action":"limited"}`)
		c.send(`{"action":"limited"}`)
		c.wantError("Too Many Requests", id)
	})
	t.Run("and the connection is still open", func(t *testing.T) {
		c.send(`{"action":"ping"}`)
		c.wantText(`{"event":"pong"}`)
	})
}

func TestRouteResponses(t *testing.T) {
	var mu sync.Mutex
	out := ""
	message := fn(func(context.Context, []byte) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		return []byte(out), nil
	})
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{"message": message})})
	c, id := f.openID(t)
	tests := []struct {
		name, route, out, want string
	}{
		{"one-way: the body is discarded", "send", `{"statusCode":200,"body":"hello"}`, ""},
		{"one-way: status 500 is discarded", "send", `{"statusCode":500}`, ""},
		{"one-way: null is discarded", "send", `null`, ""},
		{"two-way: the body is sent", "echo", `{"statusCode":200,"body":"hello"}`, "hello"},
		{"two-way: whatever the status", "echo", `{"statusCode":500,"body":"oh"}`, "oh"},
		{"two-way: base64 is decoded", "echo", `{"statusCode":200,"body":"aGVsbG8=","isBase64Encoded":true}`, "hello"},
		{"two-way: no body, no frame", "echo", `{"statusCode":200}`, ""},
		{"two-way: an empty body, no frame", "echo", `{"statusCode":200,"body":""}`, ""},
		{"two-way: a malformed response", "echo", `null`, "error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mu.Lock()
			out = tt.out
			mu.Unlock()
			before := f.cfg.Functions.Stats()["MessageFunction"].Invocations
			c.send(fmt.Sprintf(`{"action":%q}`, tt.route))
			switch tt.want {
			case "":
				// Whatever the function sent would come before this, once the function is done.
				for st := f.cfg.Functions.Stats()["MessageFunction"]; st.Invocations == before || st.Running > 0; {
					st = f.cfg.Functions.Stats()["MessageFunction"]
				}
				c.send(`{"action":"ping"}`)
				c.wantText(`{"event":"pong"}`)
			case "error":
				c.wantError("Internal server error", id)
			default:
				c.wantText(tt.want)
			}
		})
	}
}

func TestCloseCodes(t *testing.T) {
	big := func(n int, fin bool, op ws.OpCode) []byte {
		return ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, []byte(strings.Repeat("x", n)))))
	}
	five := []byte{}
	for i, op := range []ws.OpCode{ws.OpText, 0, 0, 0, 0} {
		five = append(five, big(32<<10, i == 4, op)...)
	}
	tests := []struct {
		name string
		send []byte
		want int
	}{
		{"a frame above 32 KB", big(32<<10+1, true, ws.OpText), 1009},
		{"a message above 128 KB", five, 1009},
		{"a frame that says it is enormous", []byte{0x81, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 1009},
		{"a binary frame", big(3, true, ws.OpBinary), 1003},
		{"text that is not UTF-8", ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("\xff")))), 1007},
		{"a frame without a mask", ws.MustCompileFrame(ws.NewTextFrame([]byte("hello"))), 1002},
		{"a reserved bit", []byte{0xc1, 0x80, 1, 2, 3, 4}, 1002},
		{"an unknown opcode", []byte{0x83, 0x80, 1, 2, 3, 4}, 1002},
		{"a length with its highest bit", []byte{0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 1002},
		{"a continuation of nothing", big(1, true, ws.OpContinuation), 1002},
		{"a fragmented ping", big(1, false, ws.OpPing), 1002},
		{"a close code that must not be sent", ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame([]byte{3, 237}))), 1002},
		{"a close code beyond those that there are", ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame([]byte{0x13, 0x88}))), 1002},
		{"half a close code", ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame([]byte{3}))), 1002},
	}
	disconnect, events := collect(ok)
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{"disconnect": disconnect})})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := f.open(t)
			if _, err := c.sock.Write(tt.send); err != nil {
				t.Fatal(err)
			}
			c.wantClose(tt.want, "")
			c.sock.Close()
			if got := contextOf(t, receive(t, events))["disconnectStatusCode"]; got != float64(tt.want) {
				t.Errorf("$disconnect: got %v, want %d", got, tt.want)
			}
		})
	}
}

func TestMessageOf128KBInFramesOf32KBIsOneMessage(t *testing.T) {
	message, events := collect(ok)
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{"message": message})})
	c := f.open(t)
	part := []byte(strings.Repeat("é", 16<<10))
	for i := range 4 {
		op := ws.OpText
		if i > 0 {
			op = ws.OpContinuation
			c.write(ws.MaskFrame(ws.NewPingFrame([]byte("between")))) // control frames may come between
			if got := c.frame(); got.Header.OpCode != ws.OpPong || string(got.Payload) != "between" {
				t.Fatalf("got %v", got)
			}
		}
		c.write(ws.MaskFrame(ws.NewFrame(op, i == 3, part)))
	}
	var e struct {
		Body string `json:"body"`
	}
	if err := json.Unmarshal(receive(t, events), &e); err != nil || len(e.Body) != 128<<10 {
		t.Errorf("got %d bytes (%v)", len(e.Body), err)
	}
}

func TestDisconnectEvent(t *testing.T) {
	tests := []struct {
		name   string
		end    func(f *fixture, c *client, id string)
		code   int
		reason string
	}{
		{"a close without a code", func(_ *fixture, c *client, _ string) {
			c.write(ws.MaskFrame(ws.NewCloseFrame(nil)))
			if got := c.frame(); got.Header.OpCode != ws.OpClose || len(got.Payload) != 0 {
				c.tb.Errorf("got %v", got)
			}
		}, 1005, "Client-side close frame status not set"},
		{"a tab closed", func(_ *fixture, c *client, _ string) {
			c.write(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1001, ""))))
			c.wantClose(1001, "")
		}, 1001, ""},
		{"the client's own code and reason", func(_ *fixture, c *client, _ string) {
			c.write(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(4000, "bye \"you\""))))
			c.wantClose(4000, "")
		}, 4000, `bye "you"`},
		{"DELETE", func(f *fixture, c *client, id string) {
			if err := f.Disconnect(c.tb.Context(), id); err != nil {
				c.tb.Fatal(err)
			}
			c.wantClose(1000, "")
		}, 1000, "Connection Closed Normally"},
		{"the socket is lost", func(_ *fixture, c *client, _ string) { c.sock.Close() }, 1006, "Connection lost"},
	}
	disconnect, events := collect(`{"statusCode":500}`)
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{"disconnect": disconnect})})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, id := f.openID(t)
			tt.end(f, c, id)
			got := contextOf(t, receive(t, events))
			if got["disconnectStatusCode"] != float64(tt.code) || got["disconnectReason"] != tt.reason || got["connectionId"] != id {
				t.Errorf("got %v, want %d %q", got, tt.code, tt.reason)
			}
			if _, err := f.Connection(id); err == nil {
				t.Error("the id is still there")
			}
		})
	}
}

func TestMessagesOfOneConnectionRunConcurrently(t *testing.T) {
	first := make(chan struct{})
	message := fn(func(_ context.Context, event []byte) ([]byte, error) {
		var e struct {
			Body string `json:"body"`
		}
		_ = json.Unmarshal(event, &e)
		if strings.Contains(e.Body, `"n":1`) {
			<-first
		}
		return fmt.Appendf(nil, `{"statusCode":200,"body":%q}`, e.Body), nil
	})
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{"message": message})})
	c := f.open(t)
	c.send(`{"action":"echo","n":1}`)
	c.send(`{"action":"echo","n":2}`)
	c.wantText(`{"action":"echo","n":2}`)
	close(first)
	c.wantText(`{"action":"echo","n":1}`)
}

func TestTooManyMessagesInFlightPauseTheReading(t *testing.T) {
	begun, release := make(chan struct{}, 100), make(chan struct{})
	message := fn(func(context.Context, []byte) ([]byte, error) {
		begun <- struct{}{}
		<-release
		return []byte(ok), nil
	})
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{"message": message})})
	c := f.open(t)
	for range maxInFlight + 5 {
		c.send(`{"action":"send"}`)
	}
	for range maxInFlight {
		receive(t, begun)
	}
	other := f.open(t) // another connection does not notice
	other.send(`{"action":"ping"}`)
	other.wantText(`{"event":"pong"}`)
	if got := f.cfg.Functions.Stats()["MessageFunction"].Running; got != maxInFlight {
		t.Errorf("got %d running, want %d", got, maxInFlight)
	}
	close(release)
	for range 5 {
		receive(t, begun)
	}
}

func TestSlowReceiverGets429AndDelaysNobody(t *testing.T) {
	f := serve(t, setup{OutgoingQueue: 8})
	_, slow := f.openID(t)
	fast, quick := f.openID(t)
	data := []byte(strings.Repeat("x", 64<<10))
	throttled := false
	for range 2000 {
		if err := f.Post(t.Context(), slow, data); err != nil {
			var api *awserr.Error
			if !errors.As(err, &api) || api.Status != 429 || api.Code != CodeLimitExceeded {
				t.Fatal(err)
			}
			throttled = true
			break
		}
	}
	if !throttled {
		t.Fatal("a receiver that does not read was never refused")
	}
	for range 20 {
		if err := f.Post(t.Context(), quick, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		fast.wantText("hello")
	}
	if got := f.Stats().Throttled; got == 0 {
		t.Error("the refusal is not counted")
	}
}

func TestSlowReceiverMayCatchUp(t *testing.T) {
	f := serve(t, setup{})
	c, id := f.openID(t)
	data := []byte(strings.Repeat("x", 128<<10))
	posted := 0
	for f.Post(t.Context(), id, data) == nil {
		posted++
	}
	for left := posted * len(data); left > 0; {
		left -= len(c.frame().Payload)
	}
	if err := f.Post(t.Context(), id, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	c.wantText("hello")
}

func TestGarbageDoesNotDisturbOthers(t *testing.T) {
	f := serve(t, setup{})
	good := f.open(t)
	var wg sync.WaitGroup
	for i := range 20 {
		c := f.open(t)
		wg.Go(func() {
			garbage := []byte(strings.Repeat(string(rune('a'+i))+"\x00\xff\x81\x7f", 5000))
			for range 20 {
				if _, err := c.sock.Write(garbage); err != nil {
					return // closed on us, as it should
				}
			}
		})
	}
	for range 100 {
		good.send(`{"action":"ping"}`)
		good.wantText(`{"event":"pong"}`)
	}
	wg.Wait()
}

func TestPostsKeepTheirOrderAndShareFrames(t *testing.T) {
	f := serve(t, setup{})
	a, idA := f.openID(t)
	b, idB := f.openID(t)
	for i := range 500 {
		frame := NewFrame(fmt.Appendf(nil, "message %d", i))
		for _, id := range []string{idA, idB} {
			if err := f.PostFrame(id, frame); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 500 {
		a.wantText(fmt.Sprintf("message %d", i))
		b.wantText(fmt.Sprintf("message %d", i))
	}
}

func TestLargePostArrivesAsOneMessage(t *testing.T) {
	f := serve(t, setup{})
	c, _, err := websocket.Dial(t.Context(), f.ws, nil) //nolint:bodyclose // it has none
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	want := strings.Repeat("0123456789abcdef", 8<<10)
	if err := f.Post(t.Context(), f.Connections()[0].ID, []byte(want)); err != nil {
		t.Fatal(err)
	}
	kind, got, err := c.Read(t.Context())
	if err != nil || kind != websocket.MessageText || string(got) != want {
		t.Errorf("got %d bytes of %v (%v)", len(got), kind, err)
	}
	if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	disconnect, events := collect(ok)
	s := start(t, setup{Functions: functions(map[string]invoke.Function{"disconnect": disconnect})})
	f := &fixture{Server: s}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	f.url = listen(t, srv)
	c := f.open(t)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closeNow(s)
	}()
	c.wantClose(1001, "Going away")
	receive(t, closed)
	if got := contextOf(t, receive(t, events))["disconnectStatusCode"]; got != 1001.0 {
		t.Errorf("got %v", got)
	}
	if _, res := f.dial(t, "/dev", nil); res.status != http.StatusServiceUnavailable {
		t.Errorf("a handshake after Close: got %d", res.status)
	}
}

func TestObserve(t *testing.T) {
	events := make(chan Event, 100)
	f := serve(t, setup{Template: with("default", "auth"), Observe: func(e Event) { events <- e }})
	c, _ := f.dial(t, "/dev?token=x", nil)
	if c == nil {
		t.Fatal("refused")
	}
	next := func(kind Kind, status int) Event {
		t.Helper()
		e := receive(t, events)
		if e.Kind != kind || e.Status != status {
			t.Errorf("got %+v, want %s %d", e, kind, status)
		}
		return e
	}
	next(KindAuthorize, 200)
	id := next(KindConnect, 101).Connection
	c.send(`{"action":"send"}`)
	if e := next(KindMessage, 200); e.Route != "send" || e.Function != "MessageFunction" || string(e.Data) != `{"action":"send"}` {
		t.Errorf("got %+v", e)
	}
	long := []byte(strings.Repeat("x", 40<<10))
	_ = f.Post(t.Context(), id, long)
	if e := next(KindPush, 200); string(e.Data) != string(long) {
		t.Errorf("got %d bytes", len(e.Data))
	}
	_ = f.Post(t.Context(), newID(), nil)
	next(KindPush, 410)
	c.sock.Close()
	next(KindDisconnect, 1006)
}

// listen serves on a port of its own until the test ends.
func listen(tb testing.TB, srv *http.Server) (url string) {
	tb.Helper()
	ln, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln)
	}()
	tb.Cleanup(func() { srv.Close(); <-done })
	return "http://" + ln.Addr().String()
}

func TestFramesSentBeforeThe101AreNotLost(t *testing.T) {
	f := serve(t, setup{})
	sock := f.connect(t)
	_ = sock.SetDeadline(time.Now().Add(patience))
	early := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(`{"action":"ping","pad":"` + strings.Repeat("x", 700) + `"}`))))
	_, _ = sock.Write(append([]byte("GET /dev HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), early...))
	c := &client{tb: t, sock: sock, in: bufio.NewReader(sock)}
	if got := c.answer(); got.status != http.StatusSwitchingProtocols {
		t.Fatalf("got %d", got.status)
	}
	c.wantText(`{"event":"pong"}`)
}
