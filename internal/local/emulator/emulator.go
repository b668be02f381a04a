// Package emulator is Amazon API Gateway for WebSocket APIs on one machine: it reads a SAM template, holds the sockets, runs the
// template's Lambda functions for them and answers the management API, so that handlers written for AWS run unchanged.
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
// Nothing of this is authenticated but what the template's own authorizer checks: signatures on the management, Invoke and queue side
// are accepted unverified. Do not expose those paths to a network.
package emulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultIdle       = 10 * time.Minute
	defaultMaxAge     = 2 * time.Hour
	defaultOutgoing   = 1024
	outgoingBytes     = 1 << 20 // the byte bound of an outgoing queue; one message always fits
	maxFrame          = 32 << 10
	maxMessage        = 128 << 10
	maxURL            = 4096
	maxInFlight       = 32 // messages of one connection running at once
	maxIntegration    = 29 * time.Second
	closeWait         = 2 * time.Second  // for the peer's half of a closing handshake
	writeWait         = 30 * time.Second // without progress; then the receiver counts as dead
	defaultQueueTasks = 10
)

// Function runs one Lambda invocation: payload is the event as JSON, the result is the response as JSON. It is called from many
// goroutines at once. ctx ends with the function's Timeout. A returned error is what the function threw: its text becomes
// errorMessage, and errorType is the name of its type unless it has a method ErrorType() string. A panic counts as an error.
//
// The Handler of github.com/aws/aws-lambda-go/lambda satisfies it.
type Function interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Config says what to emulate. Template and Functions are required; every other zero value is AWS's default.
type Config struct {
	// Template is the SAM or CloudFormation template (YAML or JSON): the only list of routes, functions, queues and schedules.
	Template []byte
	// TemplateFile is the template's name in errors and warnings; by default they say "template line 7".
	TemplateFile string
	// Parameters override the defaults of the template's parameters. A pseudo parameter ("AWS::Region") may be given as well.
	Parameters map[string]string
	// Functions holds the code, by logical id of the template's function or by folder name (the last element of its CodeUri).
	Functions map[string]Function
	// API is the logical id of the WebSocket API to serve; needed only if the template has several.
	API string
	// Stage overrides the template's StageName.
	Stage string
	// Mappings are paths of one element that lead to the stage too, as the API mappings of a custom domain do: "socket.io".
	Mappings []string
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
	// QueueRetry is when a failed queue message is tried again; by default the queue's VisibilityTimeout, as on AWS.
	QueueRetry time.Duration
	// QueueFile is where messages are kept over a restart; by default they are lost with the process. It is written once a second and
	// by Close: after kill -9 at most the last second is lost or repeated. One process at a time may use it.
	QueueFile string
	// NoSchedules leaves the template's schedules off.
	NoSchedules bool
	// Faults are switched on by tests.
	Faults Faults
	// Choices are for what is not known of AWS.
	Choices Choices

	// Logger is for what an operator should see; default discards.
	Logger *slog.Logger
	// Observe is told what happens, from the goroutine where it happens: it must be quick and safe for concurrent use. Nil costs
	// nothing.
	Observe func(Event)
	// Now is the clock for timestamps; default time.Now.
	Now func() time.Time
}

// Server is one emulated API with its functions, queues and schedules. Its methods are safe for concurrent use.
type Server struct {
	cfg   Config
	model *model
	log   *slog.Logger

	functions  map[string]*function // by every name it may be called
	routes     map[string]*route    // what a message can select: without the three $ keys
	connect    *route
	disconnect *route
	fallback   *route
	selector   selector
	authorizer *authorizer

	conns    registry
	flushers []*flusher
	turn     atomic.Uint32 // deals connections to flushers
	buffers  sync.Pool     // *[]byte, for messages being received
	queues   map[string]*queue
	journal  *journal      // nil: queues are in memory only
	async    chan struct{} // slots of asynchronous invocations
	warm     chan func()   // to a goroutine that waits for a call
	waiting  chan struct{} // places of those
	retries  []time.Duration
	counters counters

	// base is the parent of every invocation: not of a request or a connection, because on AWS a function outlives both.
	base   context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	started  bool
	stopping bool           // no new handlers
	finished bool           // no connections left, so nothing more to write
	quit     chan struct{}  // closed when Close begins
	stopPull chan struct{}  // closed when the queues must take no more
	handlers sync.WaitGroup // handshakes, connections and synchronous invocations
	work     sync.WaitGroup // functions running
	loops    sync.WaitGroup // sweeper, schedules, queues and their jobs, flushers
}

// New reads the template and returns a server that is ready to be mounted; Start sets its clocks going. The error names the template's
// line and what is wrong there, or the QueueFile.
func New(cfg Config) (*Server, error) {
	cfg.defaults()
	if err := cfg.Faults.check(); err != nil {
		return nil, err
	}
	m, warnings, err := readModel(cfg)
	if err != nil {
		return nil, inFile(err, cfg.TemplateFile)
	}
	s := &Server{
		cfg:      cfg,
		model:    m,
		log:      cfg.Logger,
		routes:   map[string]*route{},
		queues:   map[string]*queue{},
		async:    make(chan struct{}, 1000),
		warm:     make(chan func()),
		waiting:  make(chan struct{}, maxWarm),
		retries:  []time.Duration{time.Minute, 2 * time.Minute},
		quit:     make(chan struct{}),
		stopPull: make(chan struct{}),
	}
	s.buffers.New = func() any { b := make([]byte, 0, 4096); return &b }
	s.base, s.cancel = context.WithCancel(context.Background())
	s.conns.init()
	for range runtime.GOMAXPROCS(0) {
		s.flushers = append(s.flushers, newFlusher(s))
	}
	err = inFile(s.bind(), cfg.TemplateFile)
	if err == nil && cfg.QueueFile != "" {
		err = s.openQueues(cfg.QueueFile)
	}
	if err != nil {
		s.cancel()
		return nil, err
	}
	for _, w := range warnings {
		w.File = cfg.TemplateFile
		s.log.WarnContext(s.base, "template", "warning", w.Error())
	}
	return s, nil
}

func (s *Server) openQueues(path string) error {
	j, err := openJournal(path)
	if err != nil {
		return err
	}
	s.journal = j
	if err := s.restoreQueues(); err != nil {
		return errors.Join(err, j.db.Close())
	}
	return nil
}

func (c *Config) defaults() {
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = defaultIdle
	}
	if c.MaxConnection <= 0 {
		c.MaxConnection = defaultMaxAge
	}
	if c.OutgoingQueue <= 0 {
		c.OutgoingQueue = defaultOutgoing
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// bind joins the model to the code that was given for it.
func (s *Server) bind() error {
	if err := s.bindFunctions(); err != nil {
		return err
	}
	var err error
	if s.selector, err = parseSelector(s.model.selection); err != nil {
		return atLine(s.model.line, "RouteSelectionExpression: %v", err)
	}
	for _, spec := range s.model.routes {
		r, err := s.bindRoute(spec)
		if err != nil {
			return err
		}
		switch spec.key {
		case "$connect":
			if spec.integration.kind != "" { // without an integration everybody is accepted
				s.connect = r
			}
		case "$disconnect":
			s.disconnect = r
		case "$default":
			s.fallback = r
		default:
			s.routes[spec.key] = r
		}
	}
	if a := s.model.authorizer; a != nil {
		fn, err := s.need(a.function, a.line)
		if err != nil {
			return err
		}
		s.authorizer = &authorizer{spec: a, fn: fn}
	}
	if err := s.bindQueues(); err != nil {
		return err
	}
	return s.bindSchedules()
}

// Start sets the clocks going: idle and age limits, queues, schedules. Call it once; before it, connections work but nothing times out.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.stopping {
		return
	}
	s.started = true
	s.loops.Go(s.sweep)
	for _, q := range s.model.queues {
		if queue := s.queues[q.id]; queue.fn != nil {
			s.loops.Go(queue.run)
		}
	}
	if s.journal != nil {
		s.journal.start(func(err error) { s.log.ErrorContext(s.base, "queues are not saved; it is tried again", "error", err) })
	}
	if !s.cfg.NoSchedules {
		for _, spec := range s.model.schedules {
			s.loops.Go(func() { s.runSchedule(spec) })
		}
	}
}

// Close ends the server: no new connection is accepted, schedules stop, every socket is closed with 1001 and its $disconnect runs, and
// all functions and queue jobs in flight are waited for. Messages still waiting in queues go to the QueueFile, if there is one. If ctx
// ends first, sockets are cut, the contexts of what still runs are cancelled, and ctx's error is returned.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	again := s.stopping
	s.stopping = true
	s.mu.Unlock()
	if again {
		return errors.New("emulator: closed already")
	}
	close(s.quit)
	for c := range s.conns.all() {
		c.shut(closing{code: codeGoingAway, reason: reasonGoingAway})
	}
	done := make(chan error, 1)
	go func() {
		s.handlers.Wait()
		s.mu.Lock()
		s.finished = true
		s.mu.Unlock()
		close(s.stopPull)
		s.loops.Wait()
		s.work.Wait()
		done <- s.journal.close()
	}()
	defer s.cancel()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		for c := range s.conns.all() {
			c.cut()
		}
		// The process may end before what runs does.
		return errors.Join(fmt.Errorf("close emulator: %w", ctx.Err()), s.journal.flush())
	}
}

// enter counts a handler in, so that Close waits for it; false when the server is closing.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.handlers.Add(1)
	return true
}

// spawn runs a writer that Close waits for; one that comes too late has nobody to write to.
func (s *Server) spawn(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.finished {
		s.loops.Go(f)
	}
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// Stage is the stage that is served: the first element of the WebSocket's path.
func (s *Server) Stage() string { return s.model.stage }

// Owns reports whether a request with this URL path is for the emulator: the stage's WebSocket, the management API or the Invoke API.
func (s *Server) Owns(path string) bool {
	return s.classify(path).kind != pathOther
}

// Handler serves the WebSocket on /{stage}, the management API on /{stage}/@connections/{id}, the Invoke API on
// /2015-03-31/functions/{name}/invocations, and SQS's JSON protocol on any path: by the header X-Amz-Target. Anything else is 404; a
// caller that serves more asks OwnsRequest first.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if isEvents(r) {
		s.serveEvents(w, r)
		return
	}
	if isSQS(r) {
		s.serveSQS(w, r)
		return
	}
	p := s.classify(r.URL.EscapedPath())
	switch p.kind {
	case pathSocket:
		s.handshake(w, r)
	case pathConnections:
		s.manage(w, r, p)
	case pathInvoke:
		s.serveInvoke(w, r, p.name)
	case pathOther:
		http.NotFound(w, r)
	}
}
