// Package emulatortest runs an Amazon API Gateway WebSocket API inside a Go test: the routes, queues and schedules of a SAM or
// CloudFormation template, with the functions given as Go code, on a port of its own. The code under test talks to it with the AWS SDKs
// (management API, SQS, Lambda Invoke) or with a WebSocket client; the test has both sides in its hands.
//
// What it imitates, and where AWS is not known, is documented with the emulator itself, packages internal/local/emulator and internal/local/gateway of this module.
package emulatortest

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/body"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Patience is how long a Client or a Server waits for what must happen before it fails the test.
const Patience = 10 * time.Second

// Config says what to run. A template and the functions that it leads to are required.
type Config struct {
	// Template is the template's text, YAML or JSON. TemplateFile is its path instead, relative to the folder of the test.
	Template     []byte
	TemplateFile string
	// Parameters override the defaults of the template's parameters.
	Parameters map[string]string
	// Functions holds the code, by logical id or by the last element of the function's CodeUri.
	Functions map[string]Function
	// API is the logical id of the WebSocket API to serve. By default it is the only one, or all, of which each is at [Server.URLOf].
	API string

	// Faults are off by default.
	Faults Faults
	// IdleTimeout and MaxConnection end connections; by default after 10 minutes and 2 hours, as on AWS.
	IdleTimeout   time.Duration
	MaxConnection time.Duration
	// QueueRetry is when a failed message of a queue is tried again; by default the queue's VisibilityTimeout, as on AWS.
	QueueRetry time.Duration
	// Schedules lets the template's schedules run. In most tests they would only disturb.
	Schedules bool
}

// Handler makes a Function of a handler of any shape that lambda.Start of aws-lambda-go takes.
func Handler(handler any) Function { return invoke.Handler(handler) }

func (c Config) functions() map[string]invoke.Function {
	all := make(map[string]invoke.Function, len(c.Functions))
	for name, code := range c.Functions {
		all[name] = code
	}
	return all
}

// Server is a running API. Its methods, like those of its clients, fail the test when something is wrong with the test itself, so they
// belong on the test's goroutine.
type Server struct {
	// URL is the WebSocket's: ws://127.0.0.1:…/stage.
	URL string
	// Management is the endpoint for an apigatewaymanagementapi client: http://127.0.0.1:…/stage.
	Management string
	// Endpoint is the endpoint for the SQS and Lambda clients: http://127.0.0.1:….
	Endpoint string

	tb testing.TB
	s  *emulator.Emulator
}

// Start runs the API until the test ends. A template that cannot be read, or one that leads to a function that is not given, fails the test
// with the template's line; what the template asks for and the emulator does not do is logged.
func Start(tb testing.TB, c Config) *Server {
	tb.Helper()
	t, err := c.read()
	if err != nil {
		tb.Fatalf("emulatortest: %v", err)
	}
	s, err := emulator.New(emulator.Config{
		Template: t, Functions: c.functions(), API: c.API, Faults: gateway.Faults(c.Faults),
		IdleTimeout: c.IdleTimeout, MaxConnection: c.MaxConnection, QueueRetry: c.QueueRetry, NoSchedules: !c.Schedules,
		Logger: slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		tb.Fatalf("emulatortest: %v", err)
	}
	s.Start()
	web := httptest.NewServer(body.Within(body.Time, s))
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			tb.Errorf("emulatortest: %v", err)
		}
		web.Close()
	})
	return &Server{
		URL:        "ws" + strings.TrimPrefix(web.URL, "http") + "/" + s.Gateway.Stage(),
		Management: web.URL + "/" + s.Gateway.Stage(),
		Endpoint:   web.URL,
		tb:         tb, s: s,
	}
}

func (c Config) read() (*template.Template, error) {
	o := template.Options{Parameters: c.Parameters}
	if c.TemplateFile != "" {
		return template.ReadFile(c.TemplateFile, o)
	}
	return template.Read(c.Template, o)
}

// URLOf is the WebSocket's URL of an API, by its logical id.
func (s *Server) URLOf(api string) string {
	return "ws" + strings.TrimPrefix(s.Endpoint, "http") + "/" + api
}

// Post sends data to a connection, as PostToConnection does. The error is an *APIError.
func (s *Server) Post(id string, data []byte) error {
	return public(s.s.Holder(id).Post(s.tb.Context(), id, data))
}

// Disconnect closes a connection, as DeleteConnection does. The error is an *APIError.
func (s *Server) Disconnect(id string) error {
	return public(s.s.Holder(id).Disconnect(s.tb.Context(), id))
}

// Invoke runs a function and waits for its result. The error is an *APIError if there is no such function, else what the function threw.
func (s *Server) Invoke(function string, payload []byte) ([]byte, error) {
	out, err := s.s.Functions.Invoke(s.tb.Context(), function, payload)
	return out, public(err)
}

// Enqueue puts a message into a queue of the template, by its logical id or name.
func (s *Server) Enqueue(queue, body string) {
	s.tb.Helper()
	if err := s.s.Queues.Send(s.tb.Context(), queue, body, 0); err != nil {
		s.tb.Fatalf("emulatortest: enqueue: %v", err)
	}
}

// Waiting lists what is in a queue: delayed, being retried, or waiting for somebody.
func (s *Server) Waiting(queue string) []Message { return messages(s.s.Queues.Waiting(queue)) }

// DeadLetters lists what went to the dead-letter queue of a queue.
func (s *Server) DeadLetters(queue string) []Message {
	return messages(s.s.Queues.DeadLetters(queue))
}

// QueueURL is the URL of a queue for an SQS client. The test fails if the template has no such queue.
func (s *Server) QueueURL(queue string) string {
	s.tb.Helper()
	url := s.s.Queues.URL(s.Endpoint, queue)
	if url == "" {
		s.tb.Fatalf("emulatortest: the template has no queue %s", queue)
	}
	return url
}

// Eventually waits until ok is true, and fails the test if that takes too long. It is for what a function does after it has answered.
func (s *Server) Eventually(what string, ok func() bool) {
	s.tb.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	deadline := time.After(Patience)
	for !ok() {
		select {
		case <-look.C:
		case <-deadline:
			s.tb.Fatalf("emulatortest: %s: not within %v", what, Patience)
		}
	}
}

var errNoConnection = errors.New("the connection is not listed")

// idOf finds the connection that comes from an address.
func (s *Server) idOf(addr string) (string, error) {
	for _, c := range s.s.Connections() {
		if c.RemoteAddr == addr {
			return c.ID, nil
		}
	}
	return "", errNoConnection
}
