// Suite serves what the official test suites of Engine.IO v4 and Socket.IO v5 ask of a server, on this module's sessions and
// emulator: an application that sends everything back. scripts/socketio-suites runs the suites against it.
//
// The application is the one that both documents describe for their suites; it has nothing to do with rooms.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/hubports"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

// suiteAPI is an API without an authorizer.
const suiteAPI = `
Resources:
  Api:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      RouteSelectionExpression: $request.body.action
      StageName: suite
      Routes:
        $connect: {FunctionArn: !GetAtt Connect.Arn}
        $disconnect: {FunctionArn: !GetAtt Disconnect.Arn}
        $default: {FunctionArn: !GetAtt Message.Arn} # one-way: the suites take a noop for an answer
  Connect: {Type: AWS::Serverless::Function, Properties: {CodeUri: connect/}}
  Disconnect: {Type: AWS::Serverless::Function, Properties: {CodeUri: disconnect/}}
  Message: {Type: AWS::Serverless::Function, Properties: {CodeUri: message/}}
  Work:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: work/
      Events: {Jobs: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 1}}}
  Jobs: {Type: AWS::SQS::Queue}
`

type command struct {
	Listen  string        `default:"127.0.0.1:3000" help:"Address to listen on."`
	Shuffle time.Duration `help:"Delay invocations by up to this time, at random."`
}

func main() {
	var c command
	kong.Parse(&c)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := c.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(1)
	}
}

func (c command) run(ctx context.Context) error {
	engine, err := c.start("engine.io", true) //nolint:contextcheck // its notes are open until the program ends
	if err != nil {
		return err
	}
	socket, err := c.start("socket.io", false) //nolint:contextcheck // the same
	if err != nil {
		return err
	}
	server := &http.Server{Addr: c.Listen, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" { // polling, which API Gateway does not have
			http.Error(w, "a WebSocket is needed", http.StatusBadRequest)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/engine.io") {
			engine.ServeHTTP(w, r)
			return
		}
		socket.ServeHTTP(w, r)
	})}
	go func() {
		<-ctx.Done()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = engine.Close(ending)
		_ = socket.Close(ending)
		_ = server.Shutdown(ending)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// start makes the API of one suite.
func (c command) start(path string, engine bool) (*emulator.Emulator, error) {
	notes, err := bolt.Open("", bolt.Options{})
	if err != nil {
		return nil, err
	}
	aws := &hubports.AWS{Queue: "Jobs"}
	sessions := socketio.New(socketio.Config{
		App: echo{aws}, Notes: notes, Pusher: aws, Queue: aws, Logger: slog.New(slog.DiscardHandler),
		Options: socketio.Options{
			PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond, ConnectTimeout: time.Second, MaxPayload: 1_000_000, Namespaces: []string{"/custom"},
		},
	})
	a := api{aws, sessions, engine}
	faults := gateway.Faults{}
	if c.Shuffle > 0 {
		if faults, err = gateway.ParseFaults("shuffle=" + c.Shuffle.String()); err != nil {
			return nil, err
		}
	}
	t, err := template.Read([]byte(suiteAPI), template.Options{})
	if err != nil {
		return nil, err
	}
	aws.Emulator, err = emulator.New(emulator.Config{
		Template: t, Mappings: []string{path}, Faults: faults, Logger: slog.New(slog.DiscardHandler),
		Functions: map[string]invoke.Function{
			"connect": function(a.connect), "disconnect": function(a.disconnect), "message": function(a.message), "work": function(a.work),
		},
	})
	if err != nil {
		return nil, err
	}
	aws.Emulator.Start()
	return aws.Emulator, nil
}

// api is the functions of one suite's API.
type api struct {
	aws      *hubports.AWS
	sessions *socketio.Server
	engine   bool // the engine's suite: messages come back as they are
}

func answer(status int) map[string]int { return map[string]int{"statusCode": status} }

func (a api) connect(ctx context.Context, e event) (any, error) {
	if served := socketio.Handshake(e.Query) == nil; !served {
		return answer(http.StatusBadRequest), nil
	}
	return answer(http.StatusOK), a.sessions.Open(ctx, e.Context.Connection)
}

func (api) disconnect(context.Context, event) (any, error) { return answer(http.StatusOK), nil }

func (a api) message(ctx context.Context, e event) (any, error) {
	frame := []byte(e.Body)
	if !a.engine || !strings.HasPrefix(e.Body, string(packet.Message)) {
		frame = a.sessions.Receive(ctx, hub.Caller{Connection: e.Context.Connection}, frame)
	}
	if string(frame) == string(packet.Noop.Frame()) {
		return answer(http.StatusOK), nil
	}
	if err := a.aws.Push(ctx, e.Context.Connection, frame); err != nil && !errors.Is(err, hub.ErrGone) {
		return nil, err
	}
	return answer(http.StatusOK), nil
}

func (a api) work(ctx context.Context, e event) (any, error) {
	for _, r := range e.Records {
		var job hub.Job
		if err := json.Unmarshal([]byte(r.Body), &job); err != nil {
			return nil, fmt.Errorf("decode job: %w", err)
		}
		if err := a.sessions.Work(ctx, job); err != nil {
			return nil, err
		}
	}
	return map[string]any{}, nil
}

// event is what the functions read of theirs.
type event struct {
	Query   map[string]string `json:"queryStringParameters"`
	Context struct {
		Connection string `json:"connectionId"`
	} `json:"requestContext"`
	Body    string `json:"body"`
	Records []struct {
		Body string `json:"body"`
	} `json:"Records"`
}

type function func(ctx context.Context, e event) (any, error)

func (f function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	answer, err := f(ctx, e)
	if err != nil {
		return nil, err
	}
	return json.Marshal(answer)
}

// echo is the application of the Socket.IO suite: it tells what the CONNECT brought, and sends messages back.
type echo struct{ pusher *hubports.AWS }

func (echo) Identify(context.Context, hub.Caller, json.RawMessage) (hub.Identity, error) {
	return hub.Identity{}, nil
}

func (e echo) Connect(_ context.Context, c hub.Caller, _ hub.Identity, namespace string, _ json.RawMessage) (socketio.Welcome, error) {
	return socketio.Welcome{SID: c.Connection + strings.TrimPrefix(namespace, "/")}, nil
}

// Connected tells what came with the CONNECT, after its answer.
func (e echo) Connected(ctx context.Context, c hub.Caller, namespace string, auth json.RawMessage) error {
	if auth == nil {
		auth = json.RawMessage("{}")
	}
	return e.pusher.Push(ctx, c.Connection, packet.AppendEvent(nil, namespace, nil, "auth", auth))
}

func (e echo) Event(_ context.Context, _ hub.Caller, p packet.Packet) ([]byte, error) {
	args := p.Args()[1:]
	if p.ID != nil {
		return packet.AppendAck(nil, p.Namespace, *p.ID, args...), nil
	}
	return packet.AppendEvent(nil, p.Namespace, nil, "message-back", args...), nil
}

func (echo) Acked(context.Context, hub.Caller, packet.Packet) error { return nil }

func (echo) Leave(context.Context, hub.Caller, string) error { return nil }

func (echo) Gone(context.Context, string, string) error { return nil }
