package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bellhop-rt/bellhop"
	"github.com/bellhop-rt/bellhop/app"
	"github.com/bellhop-rt/bellhop/internal/hooks"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/lambda/setup"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/hubports"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// serverConfig is what a server on this machine is made of.
type serverConfig struct {
	Store         socketio.Store
	Secret        []byte            // signs tokens; with JwksUrl among the parameters, tokens are verified by that too
	Origins       []string          // of pages that may connect
	Parameters    map[string]string // of template.yaml, over its defaults
	IdleTimeout   time.Duration     // zero: API Gateway's
	MaxConnection time.Duration     // zero: API Gateway's
	QueueFile     string            // where jobs are kept over a restart; empty: nowhere
	Minting       bool              // anybody who reaches the page may have a token
	Processes     *processes        // runs the functions elsewhere; nil: in this process
	Faults        emulator.Faults   // for tests of clients
	Logger        *slog.Logger      // of the functions
	Observe       func(emulator.Event)
	Hooks         map[hub.Hook]hooks.Caller // the application's own logic
	Tables        *dynamodb.Client          // where Go handlers keep rows of their own; nil: nowhere
	Table         string
}

// server is Bellhop on one machine: the functions of template.yaml, in one process, behind the emulator. It is the other
// composition beside internal/lambda/setup, with the emulator in the place of API Gateway, Lambda and SQS.
type server struct {
	hub      *hub.Hub
	sockets  *socketio.Server
	emulator *emulator.Server
	secret   []byte
	minting  bool

	processes *processes // nil: the functions are in this process
	hooks     map[hub.Hook]hooks.Caller
	look      *inspector // sees what happens, for the console

	forgetful bool // the queue's jobs are lost with the process
}

func newServer(ctx context.Context, c serverConfig) (*server, error) {
	// The laptop has no account whose quota the route throttles protect, and no alarms.
	parameters := map[string]string{"ThrottleRate": "1000000", "ThrottleBurst": "1000000", "Monitoring": "off"}
	maps.Copy(parameters, c.Parameters)
	settings, err := setup.Local(parameters)
	if err != nil {
		return nil, fmt.Errorf("--parameter: %w", err)
	}
	rules, tokens := settings.Hub, settings.Token
	rules.Hooks = hooks.New(c.Hooks, app.Handlers(app.Setup{DynamoDB: c.Tables, Table: c.Table}), settings.Hooks)
	tokens.Secret = c.Secret
	verifier, err := token.New(ctx, tokens)
	if err != nil {
		return nil, err
	}
	aws := &hubports.AWS{Queue: deliverQueue}
	rules.Store, rules.Pusher, rules.Queue, rules.Verifier, rules.Logger = c.Store, aws, aws, verifier, c.Logger
	rules.Limits.Lifetime = c.MaxConnection
	if aws.Bus = parameters["EventBusName"]; aws.Bus != "" {
		rules.Bus = aws
	}
	look, err := newInspector(parameters, c)
	if err != nil {
		return nil, err
	}
	h, sockets := socketio.Wire(rules, look.wrap(&rules, c.Store), settings.Sockets)
	functions := map[string]emulator.Function{
		"authorize":  route.Authorize(verifier, c.Origins, c.Logger),
		"connect":    route.Connect(h, sockets, c.Logger),
		"disconnect": route.Disconnect(h, sockets, c.Logger),
		"message":    route.Message(h, sockets),
		"emit":       route.Emit(h, c.Logger),
		"deliver":    route.Deliver(h, sockets, c.Logger),
		"sweep":      route.Sweep(h, c.Logger),
	}
	if c.Processes != nil {
		if functions, err = c.Processes.functions(ctx); err != nil {
			return nil, err
		}
	}
	aws.Emulator, err = emulator.New(emulator.Config{
		Template: bellhop.Template, Parameters: parameters, Functions: look.functions(functions),
		Mappings:    []string{"socket.io"}, // where clients of Socket.IO look
		IdleTimeout: c.IdleTimeout, MaxConnection: c.MaxConnection, QueueFile: c.QueueFile, Faults: c.Faults,
		Logger: c.Logger, Observe: look.observe(c.Observe),
	})
	if err != nil {
		return nil, err
	}
	look.post = aws.Emulator.PostFrame
	if c.Processes != nil {
		c.Processes.queueURL = aws.Emulator.QueueURL
	}
	return &server{
		hub: h, sockets: sockets, emulator: aws.Emulator, secret: c.Secret, minting: c.Minting, processes: c.Processes, hooks: c.Hooks, look: look, forgetful: c.QueueFile == "",
	}, nil
}

// path is that of the WebSocket API.
func (s *server) path() string { return "/" + s.emulator.Stage() }

// start begins the clocks, after every connection that the store remembers is departed: their sockets ended with the
// process that held them.
func (s *server) start(ctx context.Context) error {
	s.emulator.Start()
	if s.hub == nil {
		s.look.start(s.emulator.Stats)
		return nil
	}
	if err := s.hub.DepartAll(ctx); err != nil {
		return fmt.Errorf("depart the connections of the last start: %w", err)
	}
	s.look.start(s.emulator.Stats)
	return nil
}

// stop closes every connection and runs what their functions do then. The jobs that wait in the queue, the end of
// everybody's presence mostly, wait for the next start, or are done at once if there is nothing to keep them in.
func (s *server) stop(ctx context.Context) error {
	s.look.stream.close()
	err := s.emulator.Close(ctx)
	if s.processes != nil {
		err = errors.Join(err, s.processes.close(ctx))
	}
	err = errors.Join(err, closeHooks(ctx, s.hooks))
	if !s.forgetful || s.hub == nil {
		return err
	}
	for _, m := range s.emulator.Waiting(deliverQueue) {
		job, decodeErr := hub.DecodeJob([]byte(m.Body))
		if decodeErr != nil {
			return errors.Join(err, decodeErr)
		}
		if socketio.Works(job.Kind) { // about a socket, which is gone
			continue
		}
		err = errors.Join(err, s.hub.Work(ctx, job))
	}
	return err
}

// deliverQueue is the logical id of the queue in template.yaml.
const deliverQueue = "DeliverQueue"
