// Package gateway is Amazon API Gateway for one WebSocket API: it holds the sockets, runs the API's functions for them and answers the
// management API.
//
// What it imitates is what clients and handlers can see. The behaviour follows the AWS pages named at each place ("API Gateway
// developer guide, …") or captures of real traffic where the pages are silent. Where neither says anything the choice made here is
// marked UNCONFIRMED: do not build on it.
//
// How a connection lives:
//
//  1. The upgrade request is held while the REQUEST authorizer and the $connect function run; their answers decide the status.
//  2. Only then the socket is taken from net/http and the id can be posted to; what is posted goes behind the 101. Posting earlier is
//     410 GoneException, as on AWS.
//  3. One goroutine reads frames. Each complete message selects a route and runs its function in a goroutine of its own: messages of
//     one connection run concurrently and may finish in any order, as on AWS. At most 32 do; then reading pauses, which is TCP
//     backpressure for that client and nothing for the others.
//  4. Whatever is sent goes through a bounded outgoing queue; see [Config].OutgoingQueue for what happens when it is full.
//  5. When the socket ends, for whatever reason, the $disconnect function runs once.
//
// Quotas are those of "Quotas for configuring and running a WebSocket API": 32 KB frames, 128 KB messages, 10 minutes idle, 2 hours in
// all, 29 seconds for an integration, 4,096 characters of URL.
//
// Nothing of this is authenticated but what the API's own authorizer checks, or AWS_IAM at $connect: signatures on the management side are accepted unverified.
// Do not expose those paths to a network.
package gateway

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/sigv4"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

const (
	defaultIdle     = 10 * time.Minute
	defaultMaxAge   = 2 * time.Hour
	defaultOutgoing = 1024
	outgoingBytes   = 1 << 20 // the byte bound of an outgoing queue; one message always fits
	maxFrame        = 32 << 10
	maxMessage      = 128 << 10
	maxURL          = 4096
	maxInFlight     = 32               // messages of one connection running at once
	closeWait       = 2 * time.Second  // for the peer's half of a closing handshake
	writeWait       = 30 * time.Second // without progress; then the receiver counts as dead
)

// Config says what to serve. Template and Functions are required; every other zero value is AWS's default.
type Config struct {
	Template  *template.Template
	Functions *invoke.Service
	// API is the logical id of the WebSocket API; needed only if the template has several.
	API string
	// Mappings are paths that lead to the stage too, as the API mappings of a custom domain do: "socket.io".
	Mappings []string
	// Services leads requests of AWS integrations to a service by its name in their IntegrationUri, such as sqs; nil, or what gives nil: the
	// integration fails, and the rest of the API runs.
	Services func(service string) http.RoundTripper
	// Users are who may sign handshakes where $connect has AWS_IAM. Without any, nobody is let in there.
	Users sigv4.Users
	// DomainName is the domainName of events. By default it is the Host of the upgrade request, so that handlers that build the
	// management endpoint from an event find this server.
	DomainName string

	// IdleTimeout ends a connection without messages in either direction; default 10 minutes.
	IdleTimeout time.Duration
	// MaxConnection ends every connection; default 2 hours.
	MaxConnection time.Duration
	// OutgoingQueue is how many frames may wait for one receiver (default 1,024, and never more than 1 MiB). When it is full, Post
	// answers 429 LimitExceededException and a route response is dropped: the sender must not wait for a receiver that does not read.
	OutgoingQueue int
	// Faults are switched on by tests.
	Faults Faults
	// Choices are for what is not known of AWS.
	Choices Choices

	// Observe is told what happens, from the goroutine where it happens: it must be quick and safe for concurrent use. Nil costs
	// nothing.
	Observe func(Event)
	Now     func() time.Time // default time.Now
}

// Server is one API. Its methods are safe for concurrent use.
type Server struct {
	cfg  Config
	plan atomic.Pointer[plan] // of the template as it is now

	conns    registry
	flushers []*flusher
	turn     atomic.Uint32 // deals connections to flushers
	buffers  sync.Pool     // *[]byte, for messages being received
	counters counters

	mu       sync.Mutex
	stopping bool           // no new handshakes
	finished bool           // no connections left, so nothing more to write
	stopped  chan struct{}  // closed when Close begins
	handlers sync.WaitGroup // handshakes and connections
	loops    sync.WaitGroup // sweeper, flushers, messages that are held back
}

// New compiles the API and returns a server that is ready to be mounted; Start sets its clocks going. The error names the template's line
// and what is wrong there. What is left out is among the template's warnings.
func New(cfg Config) (*Server, error) {
	if err := cfg.Faults.check(); err != nil {
		return nil, err
	}
	cfg.IdleTimeout = cmp.Or(max(cfg.IdleTimeout, 0), defaultIdle)
	cfg.MaxConnection = cmp.Or(max(cfg.MaxConnection, 0), defaultMaxAge)
	cfg.OutgoingQueue = cmp.Or(max(cfg.OutgoingQueue, 0), defaultOutgoing)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, stopped: make(chan struct{})}
	s.buffers.New = func() any { b := make([]byte, 0, 4096); return &b }
	for range runtime.GOMAXPROCS(0) {
		s.flushers = append(s.flushers, newFlusher(s))
	}
	return s, s.Reload(cfg.Template)
}

// Reload serves the API as a template has it from the next message on. Connections stay, whatever route they came by. With an error all
// stays as it was. The template's functions must be bound before. Calls must not overlap.
func (s *Server) Reload(t *template.Template) error { return s.ReloadAs(t, s.cfg.API, s.cfg.Mappings) }

// ReloadAs is Reload with another API and Mappings than those of the Config, for a template that has several APIs now.
func (s *Server) ReloadAs(t *template.Template, id string, mappings []string) error {
	p, err := s.compile(t, id, mappings)
	if err != nil {
		return err
	}
	s.plan.Store(p)
	return nil
}

// API is what the template says now. It must not be changed.
func (s *Server) API() *template.API { return s.api() }

func (s *Server) api() *template.API { return s.plan.Load().api }

// Start sets the clocks going: idle and age limits. Call it once; before it, connections work but nothing times out.
func (s *Server) Start() { s.loops.Go(s.sweep) }

// sweep closes connections that were idle or open for too long. One timer serves them all: it is set to the next time at which any of
// them can be due, so a limit may be noticed late by one hundredth of it, at most a second.
func (s *Server) sweep() {
	idle, maxAge := s.cfg.IdleTimeout.Milliseconds(), s.cfg.MaxConnection.Milliseconds()
	shortest := min(s.cfg.IdleTimeout, s.cfg.MaxConnection)
	grain := min(max(shortest/100, time.Millisecond), time.Second)
	timer := time.NewTimer(shortest)
	defer timer.Stop()
	for {
		select {
		case <-s.stopped:
			return
		case <-timer.C:
		}
		now := s.cfg.Now().UnixMilli()
		next := now + shortest.Milliseconds()
		for c := range s.conns.all() {
			due := min(c.lastActive.Load()+idle, c.connectedAt+maxAge)
			if due <= now {
				c.shut(closing{code: codeGoingAway, reason: reasonGoingAway})
			} else {
				next = min(next, due)
			}
		}
		timer.Reset(max(time.Duration(next-now)*time.Millisecond, grain))
	}
}

// Close ends the server: no new connection is accepted, every socket is closed with 1001 and its $disconnect runs. It waits for these and
// not for messages in flight, whose functions are the service's that runs them.
func (s *Server) Close() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	close(s.stopped)
	for c := range s.conns.all() {
		c.shut(closing{code: codeGoingAway, reason: reasonGoingAway})
	}
	s.handlers.Wait()
	s.mu.Lock()
	s.finished = true
	s.mu.Unlock()
	s.loops.Wait()
}

// Cut closes all sockets without a word: for who cannot wait for Close.
func (s *Server) Cut() {
	for c := range s.conns.all() {
		c.cut()
	}
}

// enter counts a handshake in, so that Close waits for it; false when the server is closing.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.handlers.Add(1)
	return true
}

// spawn runs what Close waits for; a writer that comes too late has nobody to write to.
func (s *Server) spawn(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.finished {
		s.loops.Go(f)
	}
}

// hold waits, but not longer than the server lives.
func (s *Server) hold(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stopped:
	}
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// Stage is the stage that is served: the first element of the WebSocket's path.
func (s *Server) Stage() string { return s.api().Stage }

// ID is the API's logical id.
func (s *Server) ID() string { return s.api().ID }

// Host is what the API's name on AWS begins with.
func (s *Server) Host() string { return s.api().APIID + "." }

// Has reports whether a path of the management API is about a connection that is here.
func (s *Server) Has(path string) bool {
	stage, id, ok := managedBy(path)
	if !ok || !s.isStage(stage) {
		return false
	}
	id, err := url.PathUnescape(id)
	return err == nil && s.Holds(id)
}

// Holds reports whether a connection is here.
func (s *Server) Holds(id string) bool { return s.conns.get(id) != nil }

// AtStage reports whether a path is the WebSocket's, or the management API's of this stage.
func (s *Server) AtStage(path string) bool {
	stage, _, managed := managedBy(path)
	return managed && s.isStage(stage) || !managed && s.isSocket(path)
}

// AtRoot reports whether a path is the root, and the WebSocket is there too: its stage is $default, or a custom domain leads from there. It
// is for handshakes alone; who asks for a page there gets it.
func (s *Server) AtRoot(path string) bool { return strings.Trim(path, "/") == "" && s.isStage("") }

// Owns reports whether a URL path, which may still be percent-encoded, is the WebSocket's or the management API's.
func (s *Server) Owns(path string) bool {
	_, _, managed := managedBy(path)
	return managed || s.isSocket(path)
}

// Manages reports whether a path, which may still be percent-encoded, is of a management API, whosever that is.
func Manages(path string) bool {
	_, _, managed := managedBy(path)
	return managed
}

// IsHandshake reports whether a request asks for a WebSocket, wherever that may be.
func IsHandshake(r *http.Request) bool { return hasToken(r.Header, "Upgrade", "websocket") }

// ServeHTTP serves the WebSocket on /{stage} and the management API on /{stage}/@connections/{id}. A WebSocket anywhere else is 403, as to
// a stage that does not exist, and anything else is 404.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	if s.isSocket(path) || IsHandshake(r) && s.AtRoot(path) {
		s.handshake(w, r)
		return
	}
	if stage, id, ok := managedBy(path); ok {
		s.manage(w, r, stage, id)
		return
	}
	if IsHandshake(r) {
		requestID(w, newID())
		writeAPIError(w, errForbidden())
		s.counters.refused.Add(1)
		s.observe(Event{
			Kind: KindConnect, Time: s.cfg.Now(), Status: http.StatusForbidden, Err: fmt.Errorf("%s is not the stage: the API is at /%s", path, s.api().Stage),
		})
		return
	}
	http.NotFound(w, r)
}

// requestID names an answer, so that its client can ask about it.
func requestID(w http.ResponseWriter, id string) { w.Header()["x-amzn-RequestId"] = []string{id} }

func (s *Server) isSocket(path string) bool {
	name := strings.Trim(path, "/")
	return name != "" && s.isStage(name)
}

// isStage reports whether a path, which may be percent-encoded, leads to the stage: its name, nothing if that is $default, or a path that
// is mapped to it.
func (s *Server) isStage(path string) bool {
	if name, err := url.PathUnescape(path); err == nil {
		path = name
	}
	p := s.plan.Load()
	return path == p.api.Stage || path == "" && p.api.Stage == template.DefaultStage || slices.Contains(p.mappings, path) || slices.Contains(p.api.Mappings, path)
}
