package route_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventsSecret signs the tokens in events/.
const eventsSecret = "bellhop-events-secret-of-no-value-0123456789"

// TestEvents runs every file of events/ through its function, as one visit of ana's.
func TestEvents(t *testing.T) {
	w := hubtest.New(t)
	w.Clock.To(time.UnixMilli(1_732_345_000_000)) // later than the tokens in events/
	log := slog.New(slog.DiscardHandler)
	verifier, err := token.New(t.Context(), token.Config{Secret: []byte(eventsSecret), Now: w.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	w.Config.Verifier = verifier
	h, sockets := socketio.Wire(w.Config, w.Notes, socketio.Options{})
	functions := map[string]lambda.Handler{
		"authorize":  route.Authorize(verifier, route.Admission{Origins: []string{"https://example.org"}}, log),
		"connect":    route.Connect(h, sockets, log),
		"disconnect": route.Disconnect(h, sockets, log),
		"message":    route.Message(h, sockets),
		"emit":       route.Emit(h, nil, log),
		"deliver":    route.Deliver(h, sockets, log),
		"sweep":      route.Sweep(h, log),
	}
	steps := []struct {
		event, function string
		answer          []string // what the answer must hold
		pushed          string   // what must have been pushed; empty: anything
	}{
		{"authorize", "authorize", []string{`"Effect":"Allow"`, `"Resource":"arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/dev/$connect"`, `"user":"ana"`, `"expires":"4102444800"`}, ""},
		{"connect", "connect", []string{`"statusCode":200`, `"Sec-WebSocket-Protocol":"bellhop.v1"`}, ""},
		{"join", "message", []string{`"statusCode":200`, `\"reply\":\"r1\",\"ok\":true`, `\"recovered\":false`}, ""},
		{"publish", "message", []string{`\"ok\":true`, `\"seq\":1`}, `"event":"message:new"`},
		{"signal", "message", []string{`{"statusCode":200}`}, ""},
		{"history", "message", []string{`\"ok\":true`, `\"more\":false`}, ""},
		{"auth", "message", []string{`\"ok\":true`, `\"userId\":\"ana\"`}, ""},
		{"default", "message", []string{`\"ok\":true`, `\"room\":\"channel:42\"`}, ""},
		{"presence", "message", []string{`\"code\":\"not_in_room\"`}, ""},
		{"emit-invoke", "emit", []string{`"ok":true`, `"seq":2`, `"id":"order-1234-shipped"`}, `"content":"Your order has shipped."`},
		{"emit-sqs", "emit", []string{`{"batchItemFailures":[]}`}, `"notification:new"`},
		{"emit-eventbridge", "emit", []string{`null`}, `"buddy:check-in"`},
		{"deliver", "deliver", []string{`{"batchItemFailures":[]}`}, `"seq":58`},
		{"pause", "message", []string{`\"ok\":true`, `\"rooms\":[\"channel:42\"]`}, ""},
		{"leave", "message", []string{`\"ok\":true`}, ""},
		{"sweep", "sweep", []string{`"connections":1`}, ""},
		{"disconnect", "disconnect", []string{`"statusCode":200`}, ""},
	}
	files, err := filepath.Glob("../../../events/*.json")
	if err != nil || len(files) != len(steps) {
		t.Errorf("%d events, %d are run", len(files), len(steps))
	}
	for _, s := range steps {
		t.Run(s.event, func(t *testing.T) {
			payload, err := os.ReadFile("../../../events/" + s.event + ".json")
			if err != nil {
				t.Fatal(err)
			}
			w.Network.Take()
			out, err := functions[s.function].Invoke(t.Context(), payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range s.answer {
				if !strings.Contains(string(out), want) {
					t.Errorf("%s is not in the answer %s", want, out)
				}
			}
			if pushed := w.Network.Take(); !slices.ContainsFunc(pushed, func(p hubtest.Push) bool { return strings.Contains(string(p.Frame), s.pushed) }) && s.pushed != "" {
				t.Errorf("%s was not pushed, but %s", s.pushed, pushed)
			}
		})
	}
	if row, err := w.Store.Connection(t.Context(), "BvQ9kcT2joECFgQ="); err == nil && !row.Closing {
		t.Errorf("ana is still connected: %+v", row)
	}
}

func TestAuthorize(t *testing.T) {
	verifier, err := token.New(t.Context(), token.Config{Secret: []byte(eventsSecret)})
	if err != nil {
		t.Fatal(err)
	}
	good, err := token.Sign([]byte(eventsSecret), token.Claims{User: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	many := hub.Grants{}
	for i := range 150 {
		many["channel:"+strings.Repeat("x", i%50)+string(rune('a'+i%26))+time.Duration(i).String()] = []string{"join"}
	}
	large, err := token.Sign([]byte(eventsSecret), token.Claims{User: "ana", Grants: many})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	f := route.Authorize(verifier, route.Admission{Origins: []string{"https://app.example.org", "http://localhost:*", "https://shop.example/", "https://desk.example:443", "http://plain.example:80/"}}, log)
	for name, c := range map[string]struct {
		origin, protocol, query string
		want                    string // Allow, Deny or the error
	}{
		"a token in the header":         {"https://app.example.org", "bellhop.v1, bearer." + good, "", "Allow"},
		"a token in the query":          {"https://app.example.org", "", good, "Allow"},
		"no origin: not a browser":      {"", "bellhop.v1,bearer." + good, "", "Allow"},
		"a wildcard port":               {"http://localhost:3000", "bearer." + good, "", "Allow"},
		"a wildcard port, left out":     {"http://localhost", "bearer." + good, "", "Allow"},
		"a port that is none":           {"http://localhost:3000.evil.example", "bearer." + good, "", "Deny"},
		"another scheme":                {"http://app.example.org", "bearer." + good, "", "Deny"},
		"another host":                  {"https://app.example.org.evil.example", "bearer." + good, "", "Deny"},
		"a list with a slash":           {"https://shop.example", "bearer." + good, "", "Allow"},
		"a list with a default port":    {"https://desk.example", "bearer." + good, "", "Allow"},
		"the port of another scheme":    {"http://desk.example", "bearer." + good, "", "Deny"},
		"a default port is no wildcard": {"https://desk.example:8443", "bearer." + good, "", "Deny"},
		"a plain default port":          {"http://plain.example", "bearer." + good, "", "Allow"},
		"a null origin":                 {"null", "bearer." + good, "", "Deny"},
		"no token":                      {"", "bellhop.v1", "", "Unauthorized"},
		"a wrong token":                 {"", "bearer.a.b.c", "", "Unauthorized"},
		"a wrong token beats the query": {"", "bearer.a.b.c", good, "Unauthorized"},
		"grants that are too long":      {"", "", large, "use patterns"},
	} {
		event := map[string]any{"type": "REQUEST", "methodArn": "arn:x", "headers": map[string]string{"origin": c.origin, "SEC-WEBSOCKET-PROTOCOL": c.protocol}}
		if c.query != "" {
			event["queryStringParameters"] = map[string]string{"token": c.query}
		}
		payload, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		out, err := f.Invoke(t.Context(), payload)
		got := string(out)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || c.want == "Unauthorized" && got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// TestAdmissionOfSockets: clients of Socket.IO may show their token later, unless the owner wants it in the handshake. Then one
// without it is refused as any other client is.
func TestAdmissionOfSockets(t *testing.T) {
	verifier, err := token.New(t.Context(), token.Config{Secret: []byte(eventsSecret)})
	if err != nil {
		t.Fatal(err)
	}
	good, err := token.Sign([]byte(eventsSecret), token.Claims{User: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tokens      bool
		query, want string
	}{
		"without a token":              {false, `{"EIO":"4","transport":"websocket"}`, `"Allow"`},
		"with a token":                 {false, `{"EIO":"4","transport":"websocket","token":"` + good + `"}`, `"user":"ana"`},
		"with a wrong one":             {false, `{"EIO":"4","transport":"websocket","token":"a.b.c"}`, "Unauthorized"},
		"without, where it is needed":  {true, `{"EIO":"4","transport":"websocket"}`, "Unauthorized"},
		"with it, where it is needed":  {true, `{"EIO":"4","transport":"websocket","token":"` + good + `"}`, `"user":"ana"`},
		"a wrong one where it is":      {true, `{"EIO":"4","transport":"websocket","token":"a.b.c"}`, "Unauthorized"},
		"bellhop.v1, where it is":      {true, `{"token":"` + good + `"}`, `"user":"ana"`},
		"bellhop.v1, without, as ever": {false, `{}`, "Unauthorized"},
	} {
		f := route.Authorize(verifier, route.Admission{Origins: []string{"*"}, SocketTokens: c.tokens}, slog.New(slog.DiscardHandler))
		out, err := f.Invoke(t.Context(), []byte(`{"type":"REQUEST","methodArn":"arn:x","headers":{},"queryStringParameters":`+c.query+`}`))
		got := string(out)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestEmitTriggers(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	f := route.Emit(hubtest.New(t).Hub, nil, log)
	broken := route.Emit(hubtest.New(t, func(c *hub.Config) { c.Store = brokenStore{c.Store} }).Hub, nil, log)
	publish := `{"command":"publish","rooms":["channel:1"],"event":"e","data":{}}`
	quoted, err := json.Marshal(publish)
	if err != nil {
		t.Fatal(err)
	}
	sqs := func(bodies ...string) string {
		var records []string
		for i, b := range bodies {
			records = append(records, `{"messageId":"m`+string(rune('1'+i))+`","body":`+b+`}`)
		}
		return `{"Records":[` + strings.Join(records, ",") + `]}`
	}
	gaveUp := func(payload string) string {
		record, err := json.Marshal(`{"version":"1.0","requestContext":{"requestId":"r","condition":"RetriesExhausted","approximateInvokeCount":3},"requestPayload":` +
			payload + `,"responseContext":{"statusCode":200,"functionError":"Unhandled"},"responsePayload":{"errorMessage":"x"}}`)
		if err != nil {
			t.Fatal(err)
		}
		return string(record)
	}
	for name, c := range map[string]struct {
		f       lambda.Handler
		payload string
		want    string
	}{
		"a list of commands":                    {f, `[` + publish + `,{"command":"dance"}]`, `[{"ok":true,`},
		"an empty payload":                      {f, `{}`, `"bad_request"`},
		"no object":                             {f, `"publish"`, `"bad_request"`},
		"a number":                              {f, `5`, `"bad_request"`},
		"a misspelt field":                      {f, `{"command":"publish","roms":["channel:1"]}`, `roms`},
		"a queue's message that cannot work":    {f, sqs(`"{\"command\":\"publish\"}"`), `{"batchItemFailures":[]}`},
		"a queue's message that is no JSON":     {f, sqs(`"nonsense"`), `{"batchItemFailures":[]}`},
		"a queue's message that may work later": {broken, sqs(`"nonsense"`, string(quoted)), `{"batchItemFailures":[{"itemIdentifier":"m2"}]}`},
		"a queue's command that is not known":   {f, sqs(`"{\"command\":\"dance\"}"`), `{"batchItemFailures":[{"itemIdentifier":"m1"}]}`},
		"a queue's field that is not known":     {f, sqs(`"{\"command\":\"stats\",\"since\":1}"`, string(quoted)), `{"batchItemFailures":[{"itemIdentifier":"m1"}]}`},
		"a queue's version that is not known":   {f, sqs(`"{\"v\":2,\"command\":\"stats\"}"`), `{"batchItemFailures":[{"itemIdentifier":"m1"}]}`},
		"a bus event that is not known":         {f, `{"detail-type":"bellhop.emit","detail":{"command":"stats","since":1}}`, `since`},
		"an invocation of a newer version":      {f, `{"v":2,"command":"stats"}`, `"bad_request"`},
		"an invocation of this version":         {f, `{"v":1,"command":"stats"}`, `"ok":true`},
		"a bus event that may work later":       {broken, `{"detail-type":"bellhop.emit","detail":` + publish + `}`, `internal`},
		"what an asynchronous invocation left":  {f, sqs(gaveUp(publish)), `{"batchItemFailures":[]}`},
		"what a list of those left":             {broken, sqs(gaveUp(`[` + publish + `]`)), `{"batchItemFailures":[{"itemIdentifier":"m1"}]}`},
		"what a bus event left":                 {broken, sqs(gaveUp(`{"detail-type":"bellhop.emit","detail":` + publish + `}`)), `{"batchItemFailures":[{"itemIdentifier":"m1"}]}`},
	} {
		out, err := c.f.Invoke(t.Context(), []byte(c.payload))
		got := string(out)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// TestEmitKnowsAllOrNothing: of a queue's list with a command that only a newer version knows, nothing is done here, since all
// of it comes again.
func TestEmitKnowsAllOrNothing(t *testing.T) {
	w := hubtest.New(t)
	log := slog.New(slog.DiscardHandler)
	f := route.Emit(w.Hub, nil, log)
	const list = `[{"command":"publish","rooms":["channel:1"],"event":"e"},{"command":"publish","rooms":["channel:1"],"event":"e","whisper":true}]`
	body, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := f.Invoke(t.Context(), []byte(`{"Records":[{"messageId":"m1","body":`+string(body)+`}]}`)); err != nil || !strings.Contains(string(out), "m1") {
		t.Errorf("got %s, %v: want m1 again", out, err)
	}
	if head, err := w.Store.Head(t.Context(), "channel:1", time.Time{}); err != nil || head.Seq != 0 {
		t.Errorf("the log is at %+v, %v: something was published", head, err)
	}
	out, err := f.Invoke(t.Context(), []byte(list))
	if err != nil || !strings.HasPrefix(string(out), `[{"ok":true,`) || !strings.Contains(string(out), "whisper") {
		t.Errorf("an invocation got %s, %v: want one answer each", out, err)
	}
}

// TestDeliverLeavesWhatIsNewer: jobs that say more than this version knows come again, those beside them are done.
func TestDeliverLeavesWhatIsNewer(t *testing.T) {
	w := hubtest.New(t)
	log := slog.New(slog.DiscardHandler)
	h, sockets := socketio.Wire(w.Config, w.Notes, socketio.Options{})
	f := route.Deliver(h, sockets, log)
	jobs := []string{
		`{"kind":"fanout","room":"channel:1","event":{"event":"e","seq":1}}`, // of before there were versions
		`{"v":1,"kind":"fanout","room":"channel:1","event":{"event":"e","seq":1}}`,
		`{"v":2,"kind":"fanout","room":"channel:1","event":{"event":"e","seq":1}}`,
		`{"kind":"fanout","room":"channel:1","event":{"event":"e","seq":1},"only":["ana"]}`,
		`{"kind":"fanout","room":"channel:1","event":{"event":"e","seq":1,"urgent":true}}`,
		`{"kind":"retry","room":"channel:1","event":{"event":"e","seq":1},"targets":[{"c":"c1","u":"ana","device":1}]}`,
		`{"kind":"dream","room":"channel:1"}`,
		`{"kind":"socket:dream","targets":[{"c":"c1","u":""}]}`,
	}
	var event struct {
		Records []map[string]string `json:"Records"`
	}
	for i, body := range jobs {
		event.Records = append(event.Records, map[string]string{"messageId": strconv.Itoa(i), "body": body})
	}
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := 2; i < len(jobs); i++ {
		want = append(want, `{"itemIdentifier":"`+strconv.Itoa(i)+`"}`)
	}
	if got := string(out); got != `{"batchItemFailures":[`+strings.Join(want, ",")+`]}` {
		t.Errorf("got %s", got)
	}
}

// TestNewerAuthorizer: a connection that was let in by a newer authorizer, in a dialect that is not known here, is not taken for
// one that speaks bellhop.v1.
func TestNewerAuthorizer(t *testing.T) {
	w := hubtest.New(t)
	log := slog.New(slog.DiscardHandler)
	h, sockets := socketio.Wire(w.Config, w.Notes, socketio.Options{})
	const event = `{"requestContext":{"connectionId":"c1","authorizer":{"user":"ana","grants":"{}","expires":"4102444800","codec":"mqtt"}},"body":"{\"action\":\"ping\"}"}`
	if out, err := route.Connect(h, sockets, log).Invoke(t.Context(), []byte(event)); err != nil || !strings.Contains(string(out), `"statusCode":503`) {
		t.Errorf("connect: got %s, %v", out, err)
	}
	if out, err := route.Message(h, sockets).Invoke(t.Context(), []byte(event)); err == nil {
		t.Errorf("message: got %s", out)
	}
}

// brokenStore cannot be read.
type brokenStore struct{ hub.Store }

func (brokenStore) Members(context.Context, string, int, string, int) (hub.MemberPage, error) {
	return hub.MemberPage{}, io.ErrUnexpectedEOF
}

// TestEmitBroughtAgain: an event without an id is logged once, whatever brings it again: the queue, the bus, or Lambda after an
// invocation that nobody waits for.
func TestEmitBroughtAgain(t *testing.T) {
	const command = `{"command":"publish","rooms":["channel:1"],"event":"e","data":1}`
	body, err := json.Marshal("[" + command + "," + command + "]")
	if err != nil {
		t.Fatal(err)
	}
	bodyOf := func(id string) string { return `{"Records":[{"messageId":"` + id + `","body":` + string(body) + `}]}` }
	busOf := func(id string) string {
		return `{"id":"` + id + `","detail-type":"bellhop.emit","detail":` + command + `}`
	}
	for name, c := range map[string]struct {
		first, other string
		each         int64 // events of one delivery
	}{
		"queue":      {bodyOf("m1"), bodyOf("m2"), 2},
		"bus":        {busOf("e1"), busOf("e2"), 1},
		"invocation": {command, command, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := hubtest.New(t)
			f := route.Emit(w.Hub, nil, slog.New(slog.DiscardHandler))
			bring := func(request, payload string, want int64) {
				t.Helper()
				ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: request})
				if out, err := f.Invoke(ctx, []byte(payload)); err != nil {
					t.Fatalf("%s, %v", out, err)
				}
				if head, err := w.Store.Head(t.Context(), "channel:1", time.Time{}); err != nil || head.Seq != want {
					t.Errorf("%d events are logged, %v, want %d", head.Seq, err, want)
				}
			}
			bring("r1", c.first, c.each)
			bring("r1", c.first, c.each)
			bring("r2", c.other, 2*c.each)
		})
	}
}

// oneFails cannot log anything in one room.
type oneFails struct {
	hub.Store

	room string
}

func (s *oneFails) Append(ctx context.Context, room string, d hub.Draft) (hub.Entry, bool, error) {
	if room == s.room {
		return hub.Entry{}, false, io.ErrUnexpectedEOF
	}
	return s.Store.Append(ctx, room, d)
}

// TestEmitAllGoesOn: what goes to everybody takes several commands. Whoever brings it and does not read its answer has them all done, also
// after one that did not reach somebody, who is reached when it is brought again; and nobody gets it twice.
func TestEmitAllGoesOn(t *testing.T) {
	const command = `{"command":"publish","all":true,"id":"n1","event":"news","data":1}`
	body, err := json.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string]string{
		"queue": `{"Records":[{"messageId":"m1","body":` + string(body) + `}]}`,
		"bus":   `{"id":"e1","detail-type":"bellhop.emit","detail":` + command + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			broken := &oneFails{room: "user:u3"}
			w := hubtest.New(t, func(c *hub.Config) {
				broken.Store = c.Store
				c.Store, c.Limits.Page = broken, 3
			})
			var users []string
			for i := range 30 {
				users = append(users, fmt.Sprint("u", i))
				w.Open(users[i])
			}
			f := route.Emit(w.Hub, nil, slog.New(slog.DiscardHandler))
			bring := func(fails bool) {
				t.Helper()
				out, err := f.Invoke(t.Context(), []byte(payload))
				if again := err != nil || strings.Contains(string(out), `"itemIdentifier":"m1"`); again != fails {
					t.Errorf("got %s, %v; is it to come again? %v", out, err, fails)
				}
				for _, user := range users {
					want := int64(1)
					if fails && user == "u3" {
						want = 0
					}
					if head, err := w.Store.Head(t.Context(), "user:"+user, time.Time{}); err != nil || head.Seq != want {
						t.Errorf("%d events are logged for %s, %v, want %d", head.Seq, user, err, want)
					}
				}
			}
			bring(true)
			broken.room = ""
			bring(false)
			bring(false)
		})
	}
}

// backlog is a queue that notes what is returned to it.
type backlog struct {
	returned map[string]time.Duration
	err      error
}

func (b *backlog) Return(_ context.Context, receipt string, after time.Duration) error {
	b.returned[receipt] = after
	return b.err
}

// TestAgain: what failed comes back by and by, what did not stays away, and a queue that cannot be told is no failure.
func TestAgain(t *testing.T) {
	var log bytes.Buffer
	queue := &backlog{returned: map[string]time.Duration{}}
	w := hubtest.New(t, func(c *hub.Config) { c.Store = brokenStore{c.Store} })
	f := route.Again(route.Emit(w.Hub, nil, slog.New(slog.DiscardHandler)), queue, slog.New(slog.NewTextHandler(&log, nil)))
	publish, err := json.Marshal(`{"command":"publish","rooms":["channel:1"],"event":"e","data":{}}`)
	if err != nil {
		t.Fatal(err)
	}
	var records []string
	for receives := range 8 {
		records = append(records, fmt.Sprintf(`{"messageId":"m%d","receiptHandle":"r%d","body":%s,"attributes":{"ApproximateReceiveCount":"%d"}}`, receives, receives, publish, receives))
	}
	records = append(records, `{"messageId":"good","receiptHandle":"good","body":"{\"command\":\"nonsense","attributes":{"ApproximateReceiveCount":"1"}}`)
	event := []byte(`{"Records":[` + strings.Join(records, ",") + `]}`)
	out, err := f.Invoke(t.Context(), event)
	if err != nil || strings.Contains(string(out), "good") || !strings.Contains(string(out), "m7") {
		t.Fatalf("got %s, %v", out, err)
	}
	for receives, seconds := range []int{4, 4, 16, 64, 256, 900, 900, 900} {
		want := time.Duration(seconds) * time.Second
		if got := queue.returned[fmt.Sprintf("r%d", receives)]; got < want*3/4 || got > want*5/4 {
			t.Errorf("received %d times it comes back after %s, want about %s", receives, got, want)
		}
	}
	if _, is := queue.returned["good"]; is || len(queue.returned) != 8 {
		t.Errorf("returned were %v", queue.returned)
	}
	queue.err = errors.New("no such queue")
	if _, err := f.Invoke(t.Context(), event); err != nil || !strings.Contains(log.String(), "no such queue") {
		t.Errorf("a queue that is not there: got %v, and the log has %q", err, log.String())
	}
	queue.returned = map[string]time.Duration{}
	if out, err := f.Invoke(t.Context(), []byte(`{"command":"stats"}`)); err != nil || len(queue.returned) != 0 {
		t.Errorf("an invocation: got %s, %v, returned %v", out, err, queue.returned)
	}
}
