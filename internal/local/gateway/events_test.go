package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/gobwas/ws"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// keys lists the paths of an event's keys in the order in which they are written.
func keys(tb testing.TB, event []byte) []string {
	tb.Helper()
	d := json.NewDecoder(bytes.NewReader(event))
	var out []string
	var value func(path string)
	value = func(path string) {
		tok, err := d.Token()
		if err != nil {
			tb.Fatalf("%v in %s", err, event)
		}
		switch tok {
		case json.Delim('{'):
			for d.More() {
				name, _ := d.Token()
				p := fmt.Sprintf("%s.%v", path, name)
				out = append(out, p)
				value(p)
			}
			_, _ = d.Token()
		case json.Delim('['):
			for d.More() {
				value(path)
			}
			_, _ = d.Token()
		}
	}
	value("")
	return out
}

// The shapes below are those of real events, with the values replaced.
const (
	connectShape = `{
  "headers": {
    "Host": "h", "Origin": "https://example.org",
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Key": "k", "Sec-WebSocket-Version": "13",
    "User-Agent": "ua", "X-Amzn-Trace-Id": "Root=1-65ab-",
    "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https"
  },
  "multiValueHeaders": {
    "Host": ["h"], "Origin": [], "Sec-WebSocket-Extensions": [], "Sec-WebSocket-Key": [], "Sec-WebSocket-Version": [],
    "User-Agent": [], "X-Amzn-Trace-Id": [], "X-Forwarded-For": [], "X-Forwarded-Port": [], "X-Forwarded-Proto": []
  },
  QUERY
  "requestContext": {
    "routeKey": "$connect", AUTHORIZER "eventType": "CONNECT",
    "extendedRequestId": "AAAAAAAAAAAAAAA=", "requestTime": "09/Feb/2024:18:11:43 +0000",
    "messageDirection": "IN", "stage": "prod",
    "connectedAt": 1707502303419, "requestTimeEpoch": 1707502303420,
    "identity": { "userAgent": "...", "sourceIp": "203.0.113.7" },
    "requestId": "AAAAAAAAAAAAAAA=", "domainName": "abc123.execute-api.eu-west-1.amazonaws.com",
    "connectionId": "BBBBBBBBBBBBBBB=", "apiId": "abc123"
  },
  "isBase64Encoded": false
}`
	messageShape = `{
  "requestContext": {
    "routeKey": "$default", AUTHORIZER "messageId": "R1knPc2ntjMCFIA=", "eventType": "MESSAGE", "extendedRequestId": "R1knPH17NjMFftw=",
    "requestTime": "20/Jan/2024:11:55:00 +0000", "messageDirection": "IN", "stage": "prod", "connectedAt": 1705751697419,
    "requestTimeEpoch": 1705751700453, "identity": {"userAgent": "Mozilla/5.0", "sourceIp": "49.105.91.154"},
    "requestId": "R1knPH17NjMFftw=", "domainName": "d", "connectionId": "R1kmxc2VNjMCFIA=", "apiId": "gy415nuibc"
  },
  "body": "{\r\n\t\"a\": 1\r\n}",
  "isBase64Encoded": false
}`
	disconnectShape = `{
  "headers": {"Host": "h", "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""},
  "multiValueHeaders": {"Host": ["h"], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""]},
  "requestContext": {
    "routeKey": "$disconnect", AUTHORIZER "disconnectStatusCode": 1001, "eventType": "DISCONNECT", "extendedRequestId": "R1koeHsUtjMFbRw=",
    "requestTime": "20/Jan/2024:11:55:08 +0000", "messageDirection": "IN", "disconnectReason": "", "stage": "prod",
    "connectedAt": 1705751697419, "requestTimeEpoch": 1705751708326,
    "identity": {"userAgent": "Mozilla/5.0", "sourceIp": "49.105.91.154"}, "requestId": "R1koeHsUtjMFbRw=", "domainName": "d",
    "connectionId": "R1kmxc2VNjMCFIA=", "apiId": "dl7ptocha9"
  },
  "isBase64Encoded": false
}`
	authorizeShape = `{
  "type": "REQUEST", "methodArn": "arn",
  "headers": {
    "Connection": "upgrade", "Host": "h", "Origin": "https://example.org",
    "Sec-WebSocket-Extensions": "", "Sec-WebSocket-Key": "k", "Sec-WebSocket-Version": "13", "Upgrade": "websocket",
    "User-Agent": "ua", "X-Amzn-Trace-Id": "", "X-Forwarded-For": "", "X-Forwarded-Port": "", "X-Forwarded-Proto": "", "content-length": "0"
  },
  "multiValueHeaders": {
    "Connection": [], "Host": [], "Origin": [], "Sec-WebSocket-Extensions": [], "Sec-WebSocket-Key": [], "Sec-WebSocket-Version": [],
    "Upgrade": [], "User-Agent": [], "X-Amzn-Trace-Id": [], "X-Forwarded-For": [], "X-Forwarded-Port": [], "X-Forwarded-Proto": [],
    "content-length": []
  },
  QUERY
  "stageVariables": {},
  "requestContext": {
    "routeKey": "$connect", "eventType": "CONNECT", "extendedRequestId": "", "requestTime": "", "messageDirection": "IN", "stage": "",
    "connectedAt": 1, "requestTimeEpoch": 1, "identity": {"userAgent": "", "sourceIp": ""}, "requestId": "", "domainName": "",
    "connectionId": "", "apiId": ""
  }
}`
)

func TestEventShapes(t *testing.T) {
	connect, connected := collect(ok)
	message, messages := collect(ok)
	disconnect, disconnected := collect(ok)
	seen := make(chan []byte, 1)
	f := serve(t, setup{Template: with("default", "auth"), Functions: functions(map[string]invoke.Function{
		"authorize": authorizeAndKeep(seen), "connect": connect, "message": message, "disconnect": disconnect,
	})})
	begin := time.Now()
	c, res := f.dial(t, "/dev?token=x&room=a&room=b%22", http.Header{
		"Origin": {"https://example.org"}, "User-Agent": {`ua "1"`},
		"Sec-Websocket-Extensions": {"permessage-deflate; client_max_window_bits"},
	})
	if c == nil {
		t.Fatal(res.status)
	}
	c.send("{\r\n\t\"a\": 1, \"b\": \"\u2028é\\u0001\"\r\n}")
	got := map[string][]byte{"authorize": receive(t, seen), "connect": receive(t, connected), "message": receive(t, messages)}
	c.write(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1001, ""))))
	got["disconnect"] = receive(t, disconnected)

	fill := strings.NewReplacer(
		"QUERY", `"queryStringParameters": {"room": "b", "token": "x"}, "multiValueQueryStringParameters": {"room": ["a", "b"], "token": ["x"]},`,
		"AUTHORIZER", `"authorizer": {"admin": "true", "age": "7", "name": "Ana", "principalId": "ana", "integrationLatency": 1},`)
	shapes := map[string]string{"authorize": authorizeShape, "connect": connectShape, "message": messageShape, "disconnect": disconnectShape}
	for name, shape := range shapes {
		t.Run(name+" has the keys of the real event, in its order", func(t *testing.T) {
			if got, want := keys(t, got[name]), keys(t, []byte(fill.Replace(shape))); !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
	t.Run("values", func(t *testing.T) { checkValues(t, got, begin) })
	t.Run("aws-lambda-go reads them", func(t *testing.T) {
		var e events.APIGatewayWebsocketProxyRequest
		for name, event := range got {
			if err := json.Unmarshal(event, &e); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func authorizeAndKeep(seen chan<- []byte) fn {
	return func(ctx context.Context, event []byte) ([]byte, error) {
		seen <- event
		return allow(ctx, event)
	}
}

func checkValues(t *testing.T, got map[string][]byte, begin time.Time) {
	t.Helper()
	id := regexp.MustCompile(`^[A-Za-z0-9_-]{15}=$`)
	requests := map[any]bool{}
	connection := contextOf(t, got["connect"])["connectionId"]
	for name, event := range got {
		ctx := contextOf(t, event)
		if ctx["requestId"] != ctx["extendedRequestId"] || !id.MatchString(ctx["requestId"].(string)) {
			t.Errorf("%s: requestId %v, extendedRequestId %v", name, ctx["requestId"], ctx["extendedRequestId"])
		}
		requests[ctx["requestId"]] = true
		if ctx["connectionId"] != connection || ctx["messageDirection"] != "IN" || ctx["stage"] != "dev" {
			t.Errorf("%s: got %v", name, ctx)
		}
		if at := time.UnixMilli(int64(ctx["requestTimeEpoch"].(float64))); at.Before(begin.Truncate(time.Millisecond)) || at.After(time.Now()) {
			t.Errorf("%s: requestTimeEpoch %v", name, at)
		}
		if at, err := time.Parse(clf, ctx["requestTime"].(string)); err != nil || time.Since(at) > time.Minute {
			t.Errorf("%s: requestTime %v", name, ctx["requestTime"])
		}
		if ua := ctx["identity"].(map[string]any)["userAgent"]; ua != `ua "1"` {
			t.Errorf("%s: userAgent %v", name, ua)
		}
		if name != "authorize" && ctx["authorizer"].(map[string]any)["age"] != "7" {
			t.Errorf("%s: authorizer %v", name, ctx["authorizer"])
		}
	}
	if len(requests) != 3 { // the authorizer and $connect are one request
		t.Errorf("got %d request ids, want 3", len(requests))
	}
	if ctx := contextOf(t, got["message"]); !id.MatchString(ctx["messageId"].(string)) || ctx["messageId"] == ctx["requestId"] {
		t.Errorf("messageId %v", ctx["messageId"])
	}
	var e struct {
		Body string `json:"body"`
	}
	if err := json.Unmarshal(got["message"], &e); err != nil || e.Body != "{\r\n\t\"a\": 1, \"b\": \"\u2028é\\u0001\"\r\n}" {
		t.Errorf("body %q (%v)", e.Body, err)
	}
}

func TestEventWithoutQueryStringUserAgentAndWithStageVariables(t *testing.T) {
	connect, connected := collect(ok)
	f := serve(t, setup{Template: with("default", "vars"), Functions: functions(map[string]invoke.Function{"connect": connect})})
	f.open(t)
	event := receive(t, connected)
	for _, absent := range []string{"queryStringParameters", "multiValueQueryStringParameters", "userAgent", "authorizer", "body", `"Connection"`, `"Upgrade"`, "null"} {
		if bytes.Contains(event, []byte(absent)) {
			t.Errorf("%s is in %s", absent, event)
		}
	}
	if !bytes.Contains(event, []byte(`"stageVariables":{"color":"blue"},"requestContext"`)) {
		t.Errorf("no stageVariables in %s", event)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("hello \"you\" \\ \x00 \x1f \u2028 é \xff 😀")
	f.Fuzz(func(t *testing.T, text string) {
		var got string
		if err := json.Unmarshal(appendString(nil, text), &got); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); strings.ReplaceAll(got, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Errorf("got %q, want %q", got, want)
		}
		if b := appendString(nil, []byte(text)); !bytes.Equal(b, appendString(nil, text)) {
			t.Errorf("bytes and text differ: %s", b)
		}
	})
}

// TestArrival: what is sent after a reply is later than what was replied to, in the unit of requestTimeEpoch; what is sent at once need not be.
func TestArrival(t *testing.T) {
	now := time.UnixMilli(1_000)
	c := &conn{srv: &Server{cfg: Config{Now: func() time.Time { return now }}}}
	first, second := c.arrival(), c.arrival()
	c.replied.Store(true)
	third, fourth := c.arrival(), c.arrival()
	now = now.Add(time.Second)
	fifth := c.arrival()
	for i, got := range []time.Time{first, second, third, fourth, fifth} {
		if want := []int64{1_000, 1_000, 1_001, 1_001, 2_000}[i]; got.UnixMilli() != want {
			t.Errorf("message %d came at %d ms, want %d", i+1, got.UnixMilli(), want)
		}
	}
}

// TestHeadersAreNamedAsTheClientWroteThem is AWS's own example of an authorizer, which reads headers.HeaderAuth1.
func TestHeadersAreNamedAsTheClientWroteThem(t *testing.T) {
	seen := make(chan map[string]string, 2)
	note := func(_ context.Context, event []byte) ([]byte, error) {
		var e struct {
			Headers map[string]string `json:"headers"`
		}
		err := json.Unmarshal(event, &e)
		seen <- e.Headers
		return []byte(`{"statusCode":200,"principalId":"ana","policyDocument":{"Statement":[{"Action":"*","Effect":"Allow","Resource":"*"}]}}`), err
	}
	f := serve(t, setup{Template: with("auth"), Functions: functions(map[string]invoke.Function{"authorize": fn(note), "connect": fn(note)})})
	sock := f.connect(t)
	ask := func(path, headers string) {
		t.Helper()
		if _, err := fmt.Fprintf(sock, "GET %s HTTP/1.1\r\nhost: h\r\n%s\r\n", path, headers); err != nil {
			t.Fatal(err)
		}
	}
	in := &client{tb: t, sock: sock, in: bufio.NewReader(sock)}
	ask("/nowhere", "HEADERAUTH1: of another request\r\n") // the same connection is used again
	if got := in.answer(); got.status != http.StatusNotFound {
		t.Fatalf("got %d", got.status)
	}
	ask("/dev?token=x", "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHeaderAuth1: one\r\nx-api-key: two\r\n")
	if got := in.answer(); got.status != http.StatusSwitchingProtocols {
		t.Fatalf("got %d", got.status)
	}
	for _, authorizer := range []bool{true, false} {
		got := <-seen
		for name, want := range map[string]string{"HeaderAuth1": "one", "x-api-key": "two", "sec-websocket-version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Host": "h"} {
			if got[name] != want {
				t.Errorf("authorizer %t: %s is %q in %v", authorizer, name, got[name], got)
			}
		}
		if _, ok := got["upgrade"]; ok != authorizer {
			t.Errorf("authorizer %t: %v", authorizer, got)
		}
	}
}
