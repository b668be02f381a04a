// Package server is a WebSocket API on one machine, with everything that it needs there: Bellhop's own ([Bellhop], or [Deployed] as on
// AWS), or another application's ([Foreign]). It is the composition beside internal/lambda/setup, with the emulator in the place of API
// Gateway, Lambda and SQS. `bellhop dev`, `bellhop bench` and the tests start one in the same way.
package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/body"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/local/spelling"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Config is what a server is made of, whatever its API.
type Config struct {
	API           API
	Secret        []byte            // signs tokens; with JwksUrl among the parameters, tokens are verified by that too
	Local         bool              // only this machine can reach it: whoever does may have a token, and look
	Parameters    map[string]string // of the template, over its defaults
	IdleTimeout   time.Duration     // zero: API Gateway's
	MaxConnection time.Duration     // zero: API Gateway's
	BodyTime      time.Duration     // that the body of a request may take; zero: body.Time
	Faults        gateway.Faults    // for tests of clients
	Logger        *slog.Logger      // of the functions
	Observe       func(emulator.Event)
	Release       string // of this program, for the page of the protocol
}

// API is what a server serves: [Bellhop], [Deployed] or [Foreign].
type API interface {
	compose(ctx context.Context, c Config, here processes.Here) (*composition, error)
}

// composition is what an API brings to a server.
type composition struct {
	emulator emulator.Config // the template with its functions, and where its queues are kept
	watch    *console.Watch
	console  console.API
	pages    map[string]http.Handler         // beside those under /_bellhop/
	listener func(net.Listener) net.Listener // what serves, in the place of the one that was given; nil: that
	extras   []extra

	attach []func(*emulator.Emulator)        // before anything runs
	begin  []func(ctx context.Context) error // when the clocks go, before the first connection
	during []func(ctx context.Context, s *Server)
	undo   []func(ctx context.Context) error // in the place of end, if it does not come to a start
	end    []func(ctx context.Context) error // when the last connection has ended
}

// extra is something that is answered in the place of the gateway.
type extra struct {
	wants  func(*http.Request) bool
	handle http.HandlerFunc
}

// Server is a running server.
type Server struct {
	URL string // http://127.0.0.1:4000

	emulator *emulator.Emulator
	console  *console.Console
	end      []func(ctx context.Context) error
	web      *http.Server
	failed   chan error

	stopped context.CancelFunc // of what goes on during it
	during  sync.WaitGroup
}

// Start composes a server and begins to serve on a listener, which it closes in any case.
func Start(ctx context.Context, listener net.Listener, c Config) (*Server, error) {
	s := &Server{URL: "http://" + reachable(listener.Addr()), failed: make(chan error, 1)}
	parts, err := c.API.compose(ctx, c, processes.Here{Base: s.URL, QueueURL: func(queue string) string { return s.emulator.Queues.URL(s.URL, queue) }})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	g := parts.emulator
	g.Functions = parts.watch.Functions(g.Functions)
	g.IdleTimeout, g.MaxConnection, g.Faults, g.Logger, g.Observe = c.IdleTimeout, c.MaxConnection, c.Faults, c.Logger, parts.watch.Observe(c.Observe)
	if s.emulator, err = emulator.New(g); err != nil { //nolint:contextcheck // it outlives who starts it
		for _, undo := range parts.undo {
			err = errors.Join(err, undo(ctx))
		}
		return nil, errors.Join(err, listener.Close())
	}
	for _, attach := range parts.attach {
		attach(s.emulator)
	}
	s.console = console.New(s.emulator, parts.console, parts.watch, c.Local)
	s.end = parts.end
	s.web = &http.Server{Handler: body.Within(cmp.Or(c.BodyTime, body.Time), s.handler(c, parts)), ReadHeaderTimeout: 10 * time.Second}
	s.emulator.Start() //nolint:contextcheck // its clocks are its own
	for _, begin := range parts.begin {
		if err := begin(ctx); err != nil {
			return nil, errors.Join(err, listener.Close(), s.Stop(ctx))
		}
	}
	s.console.Start()
	ongoing, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopped = stop
	for _, run := range parts.during {
		s.during.Go(func() { run(ongoing, s) })
	}
	if parts.listener != nil {
		listener = parts.listener(listener)
	}
	spelled := spelling.Keep(s.web, listener)
	go func() { s.failed <- s.web.Serve(spelled) }()
	return s, nil
}

// reachable is an address as programs of this machine call it.
func reachable(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return a.String()
}

// Path is that of the WebSocket API.
func (s *Server) Path() string {
	if stage := s.emulator.Gateway.Stage(); stage != template.DefaultStage {
		return "/" + stage
	}
	return "/"
}

// Others are the addresses of what is served beside the first WebSocket API, each with its logical id: its other WebSocket APIs, then HTTP
// and REST APIs.
func (s *Server) Others() (list [][2]string) {
	for _, of := range []struct {
		base  string
		paths map[string]string
	}{{strings.Replace(s.URL, "http", "ws", 1), s.emulator.APIs()}, {s.URL, s.emulator.HTTP.Paths()}} {
		for _, id := range slices.Sorted(maps.Keys(of.paths)) {
			list = append(list, [2]string{id, of.base + of.paths[id]})
		}
	}
	return list
}

// WriteReady writes where the server is to a file, as JSON. Whoever waits for the file never sees half of it.
func (s *Server) WriteReady(file string) error {
	socket := strings.Replace(s.URL, "http", "ws", 1)
	where := struct {
		HTTP      string            `json:"http"`
		WebSocket string            `json:"websocket"`
		APIs      map[string]string `json:"apis,omitempty"`     // by logical id, if there are several
		HTTPAPIs  map[string]string `json:"httpApis,omitempty"` // by logical id, HTTP and REST APIs
	}{s.URL, socket + s.Path(), s.emulator.APIs(), s.emulator.HTTP.Paths()}
	for id, path := range where.HTTPAPIs {
		where.HTTPAPIs[id] = s.URL + path
	}
	for id, path := range where.APIs {
		where.APIs[id] = socket + path
	}
	text, err := json.Marshal(where)
	if err != nil {
		return fmt.Errorf("encode where the server is: %w", err)
	}
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write where the server is: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write where the server is: %w", err)
	}
	return nil
}

// Emulator is what stands in for AWS here.
func (s *Server) Emulator() *emulator.Emulator { return s.emulator }

// Cost is what AWS would have billed so far.
func (s *Server) Cost() cost.Report { return s.console.Cost() }

// Wait serves until ctx is done, then stops.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case err := <-s.failed:
		return errors.Join(err, s.Stop(ctx))
	case <-ctx.Done():
		return s.Stop(ctx)
	}
}

// Stop closes every connection, runs what their functions do then, and lets everything that runs finish, in a time of its own: ctx is
// mostly done by then.
func (s *Server) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	if s.stopped != nil { // it had begun
		s.stopped()
	}
	s.during.Wait()
	s.console.Close()
	errs := []error{s.emulator.Close(ctx)}
	for _, end := range s.end {
		errs = append(errs, end(ctx))
	}
	return errors.Join(append(errs, s.web.Shutdown(ctx))...)
}
