package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/local/buses"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// account is a template in which everything leads to something: a message to a function that sends to a queue, whose function puts an
// event on a bus, whose rule's function posts to the connection.
const account = `
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: dev
      RouteSelectionExpression: $request.body.action
      Routes:
        send: {FunctionArn: !GetAtt Send.Arn}
        echo: {FunctionArn: !GetAtt Echo.Arn, RouteResponseSelectionExpression: $default}
  Send: {Type: AWS::Serverless::Function, Properties: {Timeout: 30}}
  Echo: {Type: AWS::Serverless::Function, Properties: {Timeout: 30}}
  Work:
    Type: AWS::Serverless::Function
    Properties: {Timeout: 30, Events: {Jobs: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 1}}}}
  Tell:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 30
      Events:
        Done: {Type: EventBridgeRule, Properties: {Pattern: {source: [work]}}}
        Nightly: {Type: Schedule, Properties: {Schedule: "cron(0 3 * * ? *)"}}
  Jobs: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 1}}}
  Dead: {Type: AWS::SQS::Queue}
`

type fn func(ctx context.Context, payload []byte) ([]byte, error)

func (f fn) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return f(ctx, payload) }

// chain makes the functions of account; e is set before any of them runs.
func chain(e **Emulator) map[string]invoke.Function {
	return map[string]invoke.Function{
		"Send": lambda.NewHandler(func(ctx context.Context, m events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
			return events.APIGatewayProxyResponse{StatusCode: 200}, (*e).Queues.Send(ctx, "Jobs", m.RequestContext.ConnectionID, 0)
		}),
		"Echo": lambda.NewHandler(func(m events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
			return events.APIGatewayProxyResponse{StatusCode: 200, Body: m.Body}, nil
		}),
		"Work": lambda.NewHandler(func(m events.SQSEvent) error {
			if m.Records[0].Body == "bad" {
				return errors.New("bad")
			}
			_, err := (*e).Buses.Put(buses.Event{Source: "work", DetailType: "done", Detail: fmt.Appendf(nil, `{"id":%q}`, m.Records[0].Body)})
			return err
		}),
		"Tell": lambda.NewHandler(func(ctx context.Context, m events.EventBridgeEvent) error {
			var detail struct{ ID string }
			if err := json.Unmarshal(m.Detail, &detail); err != nil {
				return err
			}
			return (*e).Gateway.Post(ctx, detail.ID, []byte("done"))
		}),
	}
}

// serve starts the emulator of account, whose functions may be replaced.
func serve(t *testing.T, c Config, replace map[string]invoke.Function) (*Emulator, *httptest.Server) {
	t.Helper()
	tpl, err := template.Read([]byte(account), template.Options{File: "account.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	var e *Emulator
	c.Template, c.Functions = tpl, chain(&e)
	maps.Copy(c.Functions, replace)
	if e, err = New(c); err != nil {
		t.Fatal(err)
	}
	e.Start()
	web := httptest.NewServer(e)
	t.Cleanup(web.Close)
	return e, web
}

func closeNow(t *testing.T, e *Emulator) {
	t.Helper()
	if err := e.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func dial(t *testing.T, web *httptest.Server) *websocket.Conn {
	t.Helper()
	sock, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(web.URL, "http")+"/dev", nil) //nolint:bodyclose // it has none
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sock.CloseNow() })
	return sock
}

// TestOneThingLeadsToAnother goes through all products, and has each tell the observer.
func TestOneThingLeadsToAnother(t *testing.T) {
	seen := make(chan Event, 100)
	e, web := serve(t, Config{Observe: func(e Event) { seen <- e }}, nil)
	sock := dial(t, web)
	if err := sock.Write(t.Context(), websocket.MessageText, []byte(`{"action":"send"}`)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := sock.Read(t.Context()); err != nil || string(got) != "done" {
		t.Errorf("got %s, %v", got, err)
	}
	if err := e.Queues.Send(t.Context(), "Jobs", "bad", 0); err != nil {
		t.Fatal(err)
	}
	id := e.Gateway.Connections()[0].ID
	_ = sock.CloseNow()
	want := map[Kind]Event{
		KindConnect: {Connection: id, Route: "$connect", Status: 101}, KindMessage: {Connection: id, Route: "send", Function: "Send", Status: 200},
		KindQueue: {Queue: "Jobs", Function: "Work", Status: 1}, KindBus: {Reason: "work done"}, KindInvoke: {Function: "Tell"},
		KindPush: {Connection: id, Status: 200}, KindDisconnect: {Connection: id, Route: "$disconnect", Status: 1006, Reason: "Connection lost"},
	}
	for len(want) > 0 {
		select {
		case got := <-seen:
			w, awaited := want[got.Kind]
			if !awaited || got.Err != nil {
				continue // of the bad job
			}
			delete(want, got.Kind)
			w.Kind, w.Time, w.Duration, w.Bytes, w.Data = got.Kind, got.Time, got.Duration, got.Bytes, got.Data
			if fmt.Sprint(got) != fmt.Sprint(w) {
				t.Errorf("got %+v, want %+v", got, w)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("never seen: %v", want)
		}
	}
	closeNow(t, e)
	if st := e.Stats(); st.Opened != 1 || st.Functions["Send"].Invocations != 1 || st.Queues["Jobs"].Done != 1 {
		t.Errorf("got %+v", st)
	}
}

// TestNobodyHearsAnothersAnswer sends messages over many connections to a handler of aws-lambda-go, and events by the Invoke API: each
// answer is the asker's.
func TestNobodyHearsAnothersAnswer(t *testing.T) {
	e, web := serve(t, Config{}, nil)
	defer closeNow(t, e)
	var wg sync.WaitGroup
	for i := range 8 {
		sock := dial(t, web)
		wg.Go(func() { chatter(t, sock, i) })
	}
	for i := range 4 {
		wg.Go(func() {
			for n := range 100 {
				want := fmt.Sprintf("%d-%d-%s", i, n, strings.Repeat("y", n%5*50))
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+"/2015-03-31/functions/Echo/invocations", strings.NewReader(fmt.Sprintf(`{"body":%q}`, want)))
				if err != nil {
					t.Error(err)
					return
				}
				res, err := web.Client().Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				var answer events.APIGatewayProxyResponse
				err = json.NewDecoder(res.Body).Decode(&answer)
				res.Body.Close()
				if err != nil || answer.Body != want {
					t.Errorf("got %+v, %v, want %s", answer, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// chatter sends messages of different lengths without waiting, and hears each of them again, in whatever order.
func chatter(t *testing.T, sock *websocket.Conn, who int) {
	t.Helper()
	const messages = 400
	awaited := map[string]bool{}
	var sent []string
	for n := range messages {
		sent = append(sent, fmt.Sprintf(`{"action":"echo","who":%d,"n":%d,"pad":%q}`, who, n, strings.Repeat("x", n%7*40)))
		awaited[sent[n]] = true
	}
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		for _, text := range sent {
			if err := sock.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range messages {
		_, got, err := sock.Read(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		if !awaited[string(got)] {
			t.Errorf("%d got %s", who, got)
		}
		delete(awaited, string(got))
	}
}

func TestOwns(t *testing.T) {
	e, _ := serve(t, Config{}, nil)
	defer closeNow(t, e)
	for _, tt := range []struct {
		method, path, target string
		want                 bool
	}{
		{"POST", "/", "AmazonSQS.SendMessage", true},
		{"POST", "/123456789012/Jobs", "AmazonSQS.SendMessage", true},
		{"POST", "/", "AWSEvents.PutEvents", true},
		{"GET", "/", "AmazonSQS.SendMessage", false},
		{"POST", "/", "DynamoDB_20120810.GetItem", false},
		{"GET", "/dev", "", true},
		{"POST", "/dev/@connections/x", "", true},
		{"POST", "/2015-03-31/functions/Echo/invocations", "", true},
		{"GET", "/", "", false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, nil)
		r.Header.Set("X-Amz-Target", tt.target)
		if got := e.Owns(r); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
		w := httptest.NewRecorder()
		if e.ServeHTTP(w, r); !tt.want && w.Code != http.StatusNotFound || tt.want && w.Code == http.StatusNotFound {
			t.Errorf("%+v: got %d", tt, w.Code)
		}
	}
}

// TestCloseLetsWorkFinish ends an emulator while a message is on its way: what its function sends is in the file.
func TestCloseLetsWorkFinish(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	path := filepath.Join(t.TempDir(), "queues.db")
	var e *Emulator
	e, web := serve(t, Config{QueueFile: path}, map[string]invoke.Function{"Send": fn(func(ctx context.Context, _ []byte) ([]byte, error) {
		close(begun)
		<-release
		return []byte(`{"statusCode":200}`), e.Queues.Send(ctx, "Dead", "late", 0)
	})})
	sock := dial(t, web)
	if err := sock.Write(t.Context(), websocket.MessageText, []byte(`{"action":"send"}`)); err != nil {
		t.Fatal(err)
	}
	<-begun
	closed := make(chan error, 1)
	go func() { closed <- e.Close(context.Background()) }()
	_, _, err := sock.Read(t.Context()) // its close frame
	if websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("got %v", err)
	}
	if _, err := e.Functions.Invoke(t.Context(), "Echo", nil); err == nil || !strings.Contains(err.Error(), "closing") {
		t.Errorf("an invocation while it closes: got %v", err)
	}
	close(release)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := e.Close(t.Context()); err == nil {
		t.Error("a second Close said nothing")
	}
	again, _ := serve(t, Config{QueueFile: path}, nil)
	defer closeNow(t, again)
	if got := again.Queues.Waiting("Dead"); len(got) != 1 || got[0].Body != "late" {
		t.Errorf("got %+v", got)
	}
}

func TestCloseGivesUpWhenItsContextEnds(t *testing.T) {
	begun, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	e, _ := serve(t, Config{}, map[string]invoke.Function{"Echo": fn(func(ctx context.Context, _ []byte) ([]byte, error) {
		close(begun)
		<-ctx.Done()
		<-release
		close(done)
		return nil, nil
	})})
	go func() { _, _ = e.Functions.Invoke(context.Background(), "Echo", []byte("{}")) }()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	<-done
	<-e.closed
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	tpl, err := template.Read([]byte(account), template.Options{File: "account.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	var e *Emulator
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"code of no function":  {func(c *Config) { c.Functions["Mesage"] = fn(nil) }, "function Mesage is not in the template"},
		"a route without code": {func(c *Config) { delete(c.Functions, "Send") }, "account.yaml:9: no code was given for function Send"},
		"a queue without code": {func(c *Config) { delete(c.Functions, "Work") }, "account.yaml:13: no code was given for function Work"},
		"a file of others":     {func(c *Config) { c.QueueFile = file }, file},
		"no such API":          {func(c *Config) { c.API = "Other" }, "account.yaml: the template has no WebSocket API Other"},
	} {
		c := Config{Template: tpl, Functions: chain(&e)}
		tt.change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
	if all := fmt.Sprint(tpl.Warnings); !slices.ContainsFunc(tpl.Warnings, func(w *template.Error) bool { return strings.Contains(w.Text, "cron(0 3 * * ? *)") }) {
		t.Errorf("a schedule that does not run is not warned of: %s", all)
	}
}
