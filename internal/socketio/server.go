// Package socketio holds the sessions of Socket.IO clients (protocol v5 over Engine.IO v4) on connections that come and go with
// every frame: there is no process that keeps them, so all that a session is lies in notes of the store.
//
// How a session goes:
//
//  1. The connect route lets a client in that says EIO=4 and transport=websocket. It writes nothing, and leaves a job: the
//     client waits for the open packet, which can only be pushed once the route has returned.
//  2. The job pushes the open packet, again for a while as long as the connection is not there yet. Twice does no harm. It
//     leaves a job more, which closes a socket that has sent no good CONNECT by then, and else leaves the first beat.
//  3. A CONNECT is where a client of Socket.IO proves who it is. The [App] decides; a note makes sure that there is one
//     CONNECT for each namespace. Before that a socket has nothing written, and costs no more than that push and those two jobs.
//  4. Beats push pings (or frames that only keep the connection awake) and leave the next beat, until the connection is gone.
//     Now and then the answer to a ping begins them anew: beat.go says why. The last one before API Gateway would close the
//     connection recalls the client, since not every client notices a close.
//  5. An EVENT is an action, whose reply is the ACK. It goes back as the route's response, which costs nothing.
//
// Whatever breaks the protocol closes the connection, as both official test suites want.
package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// The kinds of jobs, as hub.Job.Kind.
const (
	jobOpen hub.JobKind = "socket:open" // push the open packet
	jobReap hub.JobKind = "socket:reap" // close a socket without a namespace
	jobBeat hub.JobKind = "socket:beat" // keep a connection awake
)

// KeepAlive is what is done so that API Gateway does not end a connection after ten idle minutes, and dead ones are found.
type KeepAlive string

// The modes, with what each costs for a connection and hour.
const (
	// Heartbeat pings as Socket.IO servers do: the client answers, and either end finds out when the other is gone. With
	// pings every four minutes: 15 pushes, 15 messages, 17 jobs, 32 invocations and 35 write units.
	Heartbeat KeepAlive = "heartbeat"
	// Noop pushes a frame every nine minutes that clients ignore: 7 pushes, 7 jobs and a write unit. A dead client is found by the push.
	Noop KeepAlive = "noop"
	// None lets API Gateway close connections that are idle for ten minutes; clients come back by themselves.
	None KeepAlive = "none"
)

// Options are what can be set; the zero value works.
type Options struct {
	Off            bool          // nobody is let in; who is in already stays
	KeepAlive      KeepAlive     // default: Heartbeat
	PingInterval   time.Duration // of Heartbeat: 240 s
	PingTimeout    time.Duration // of Heartbeat: 180 s; the two together stay below API Gateway's ten minutes
	ConnectTimeout time.Duration // until a socket must have sent a CONNECT: 45 s
	Namespaces     []string      // beside "/"
	MaxPayload     int           // what clients are told they may send, in bytes: 32 KB
}

// The times that cannot be set.
const (
	noopInterval = 9 * time.Minute // API Gateway closes what is idle for ten
	never        = 2*time.Hour + 10*time.Minute
	openTries    = 5 * time.Second   // for the open packet, while the connection is not there yet
	longest      = 2 * time.Hour     // of a connection: then API Gateway closes it
	spare        = time.Minute       // for beats that come late
	lifetime     = 135 * time.Minute // of notes about a connection: it ends after two hours
)

func (o Options) orDefaults() Options {
	if o.KeepAlive == "" {
		o.KeepAlive = Heartbeat
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = protocol.MaxClientFrame
	}
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{{&o.PingInterval, 240 * time.Second}, {&o.PingTimeout, 180 * time.Second}, {&o.ConnectTimeout, 45 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.unset
		}
	}
	return o
}

func (o Options) namespaces() []string { return append([]string{"/"}, o.Namespaces...) }

// Check gives an error that says what to mend.
func (o Options) Check() error {
	o = o.orDefaults()
	switch o.KeepAlive {
	case Heartbeat, Noop, None:
	default:
		return fmt.Errorf("the keep-alive of sockets must be heartbeat, noop or none, not %q", o.KeepAlive)
	}
	if o.PingInterval+o.PingTimeout > 9*time.Minute {
		return errors.New("the ping interval and timeout of sockets must be at most 9m together, or API Gateway closes idle connections before")
	}
	for _, n := range o.Namespaces {
		if len(n) < 2 || n[0] != '/' {
			return fmt.Errorf("a socket namespace begins with / and has a name, such as /chat, not %q", n)
		}
	}
	return nil
}

// Welcome is an App's yes to a CONNECT.
type Welcome struct {
	SID string // the socket's id, public
	PID string // private; empty: the client never asks to be recovered
}

// App is what a client of Socket.IO talks to.
type App interface {
	// Identify gives who sends a CONNECT. It writes nothing. A [protocol.Error] is the refusal.
	Identify(ctx context.Context, c hub.Caller, auth json.RawMessage) (hub.Identity, error)
	// Connect decides about a CONNECT to a namespace there is. A [protocol.Error] is the refusal.
	Connect(ctx context.Context, c hub.Caller, who hub.Identity, namespace string, auth json.RawMessage) (Welcome, error)
	// Event does an EVENT, and gives the frame of its ACK, or nil.
	Event(ctx context.Context, c hub.Caller, p packet.Packet) ([]byte, error)
	// Acked takes an ACK, which has an ID.
	Acked(ctx context.Context, c hub.Caller, p packet.Packet) error
	// Leave ends what Connect began in a namespace: the client has left it.
	Leave(ctx context.Context, c hub.Caller, namespace string) error
	// Gone is Leave of a connection that is closed. There may be nothing that began.
	Gone(ctx context.Context, connection, namespace string) error
}

// Greeter is an App that has something to say right after a CONNECT was answered.
type Greeter interface {
	Connected(ctx context.Context, c hub.Caller, namespace string, auth json.RawMessage) error
}

// Config is what a server is made of.
type Config struct {
	App     App
	Notes   Notes
	Pusher  hub.Pusher
	Queue   hub.Queue
	Options Options
	Now     func() time.Time                           // default: time.Now
	Sleep   func(ctx context.Context, d time.Duration) // default: waits, at most until ctx is done
	Logger  *slog.Logger                               // default: slog.Default
	// Allow says whether a connection may send another frame that is no EVENT: a CONNECT, an ACK, a pong. Default: it may.
	Allow func(connection string) bool
}

// Server is the sessions at work. It is safe for concurrent use, and starts nothing that outlives a call.
type Server struct {
	Config
	known recent[string] // sids, by the names of notes: not every EVENT reads one
}

// New makes a server.
func New(c Config) *Server {
	c.Options = c.Options.orDefaults()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = hub.Sleep
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Allow == nil {
		c.Allow = func(string) bool { return true }
	}
	return &Server{Config: c}
}

// Handshake is [Handshake] where clients are let in at all.
func (s *Server) Handshake(query map[string]string) error {
	if s.Options.Off {
		return errors.New("clients of Socket.IO are not let in here: speak " + protocol.Name + ", or have the parameter SocketClients set to on")
	}
	return Handshake(query)
}

// Handshake checks the query of a client that says it speaks Engine.IO. The error is a sentence for people.
func Handshake(query map[string]string) error {
	switch {
	case query["EIO"] != "4":
		return fmt.Errorf("this server speaks Engine.IO 4, which is Socket.IO 3 and 4, not EIO=%.10s: update the client", query["EIO"])
	case query["transport"] != "websocket":
		return errors.New(`this server has no polling: give the client the option transports: ["websocket"], or tryAllTransports: true`)
	}
	return nil
}

// Open answers the connect route of a client whose Handshake is right.
func (s *Server) Open(ctx context.Context, connection string) error {
	if err := s.Queue.Enqueue(ctx, s.job(jobOpen, connection), 0); err != nil {
		return fmt.Errorf("enqueue open packet: %w", err)
	}
	return nil
}

func (s *Server) job(kind hub.JobKind, connection string) hub.Job {
	return hub.Job{Kind: kind, Targets: []hub.Target{{Connection: connection}}}
}

// Works reports whether a job is for Work.
func Works(k hub.JobKind) bool { return k == jobOpen || k == jobReap || k == jobBeat }

// Work does a job of this package's.
func (s *Server) Work(ctx context.Context, j hub.Job) error {
	for _, t := range j.Targets {
		var err error
		switch j.Kind {
		case jobOpen:
			err = s.open(ctx, t.Connection)
		case jobReap:
			err = s.reap(ctx, t.Connection)
		case jobBeat:
			err = s.beat(ctx, t.Connection, j)
		default:
			err = fmt.Errorf("there are no %q jobs", j.Kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// open pushes the open packet. A connection that does not come to be is one whose client has left.
func (s *Server) open(ctx context.Context, connection string) error {
	h := packet.Handshake{SID: connection, PingInterval: never - 10*time.Minute, PingTimeout: 10 * time.Minute, MaxPayload: s.Options.MaxPayload}
	if s.Options.KeepAlive == Heartbeat {
		h.PingInterval, h.PingTimeout = s.Options.PingInterval, s.Options.PingTimeout
	}
	frame := packet.AppendOpen(nil, h)
	for wait, waited := 10*time.Millisecond, time.Duration(0); ; waited, wait = waited+wait, min(2*wait, time.Second) {
		err := s.Pusher.Push(ctx, connection, frame)
		if err == nil {
			break
		}
		if !errors.Is(err, hub.ErrGone) && !errors.Is(err, hub.ErrThrottled) {
			return fmt.Errorf("push open packet: %w", err)
		}
		if waited > openTries {
			return nil
		}
		s.Sleep(ctx, wait)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("push open packet: %w", err)
		}
	}
	if err := s.Queue.Enqueue(ctx, s.job(jobReap, connection), s.Options.ConnectTimeout); err != nil {
		return fmt.Errorf("enqueue reaper: %w", err)
	}
	if s.Options.KeepAlive == None || s.beatInterval() > s.Options.ConnectTimeout {
		return nil // the reaper leaves the first beat, if the socket is somebody's by then
	}
	return s.nextBeat(ctx, connection, s.firstBeat(1), 0)
}

// reap closes a connection that has not sent a CONNECT, and else sees to it that it is kept awake.
func (s *Server) reap(ctx context.Context, connection string) error {
	_, err := s.Notes.Noted(ctx, welcomed(connection))
	if errors.Is(err, hub.ErrNotFound) {
		return s.shut(ctx, connection)
	}
	if err != nil || s.Options.KeepAlive == None || s.beatInterval() <= s.Options.ConnectTimeout {
		return err
	}
	return s.nextBeat(ctx, connection, s.firstBeat(1), s.Options.ConnectTimeout)
}

func (s *Server) shut(ctx context.Context, connection string) error {
	if err := s.Pusher.Close(ctx, connection); err != nil && !errors.Is(err, hub.ErrGone) {
		return fmt.Errorf("close connection %s: %w", connection, err)
	}
	return nil
}

// The names of notes. Ids of connections and names of namespaces are foreign, but have no '#'.
func joined(connection, namespace string) string { return "socket#" + connection + "#" + namespace }
func welcomed(connection string) string          { return "socket#" + connection }
func pinged(connection string) string            { return "ping#" + connection }
func claimed(connection string, gen int64, place int) string {
	return fmt.Sprintf("beat#%s#%d#%d", connection, gen, place)
}

// Receive does what one frame asks, and gives the frame that answers it. It is never empty, since that would be no packet:
// the client ignores a noop.
func (s *Server) Receive(ctx context.Context, c hub.Caller, frame []byte) []byte {
	answer, err := s.receive(ctx, c, frame)
	if err != nil {
		s.Logger.WarnContext(ctx, "socket closed", "connectionId", c.Connection, "error", err)
		if err := s.shut(ctx, c.Connection); err != nil {
			s.Logger.ErrorContext(ctx, "close socket", "connectionId", c.Connection, "error", err)
		}
	}
	if answer == nil {
		return packet.Noop.Frame()
	}
	return answer
}

var (
	errOrder    = errors.New("a packet before the CONNECT of its namespace, or a second CONNECT")
	errFlood    = errors.New("more frames than the rate limit allows")
	errOneWay   = errors.New("only a server sends this packet")
	errGoodbye  = errors.New("the client closes")
	errTooEarly = errors.New("an EVENT or ACK in a namespace that was not joined")
)

func (s *Server) receive(ctx context.Context, c hub.Caller, frame []byte) ([]byte, error) {
	p, err := packet.Decode(frame)
	if errors.Is(err, packet.ErrBinary) && p.ID != nil && p.Type == packet.BinaryEvent {
		answer, encodeErr := packet.EncodeReply(p.Namespace, *p.ID, protocol.Reply{Err: protocol.Errorf(protocol.CodeBadRequest, "%s", err.Error())})
		return answer, errors.Join(encodeErr, s.push(ctx, c.Connection, answer), err)
	}
	if err != nil {
		return nil, err
	}
	if p.Type != packet.Event && !s.Allow(c.Connection) {
		return nil, errFlood
	}
	switch p.Engine {
	case packet.Pong:
		return nil, s.ponged(ctx, c.Connection)
	case packet.Ping:
		return packet.Pong.Frame(), nil
	case packet.Close:
		return nil, errGoodbye
	case packet.Noop, packet.Upgrade:
		return nil, nil
	case packet.Message:
		return s.message(ctx, c, p)
	default:
		return nil, errOneWay
	}
}

func (s *Server) push(ctx context.Context, connection string, frame []byte) error {
	if err := s.Pusher.Push(ctx, connection, frame); err != nil && !errors.Is(err, hub.ErrGone) {
		return fmt.Errorf("push frame: %w", err)
	}
	return nil
}

func (s *Server) message(ctx context.Context, c hub.Caller, p packet.Packet) ([]byte, error) {
	if p.Type == packet.Connect {
		return s.connect(ctx, c, p)
	}
	is, err := s.isIn(ctx, c.Connection, p.Namespace)
	if err != nil {
		return nil, err
	}
	if !is {
		return nil, errTooEarly
	}
	switch p.Type {
	case packet.Event:
		return s.App.Event(ctx, c, p)
	case packet.Disconnect:
		name := joined(c.Connection, p.Namespace)
		s.known.drop(name)
		if err := s.App.Leave(ctx, c, p.Namespace); err != nil {
			return nil, err // which closes the connection; the note says that there is something to end
		}
		return nil, s.Notes.Unnote(ctx, name)
	case packet.Ack:
		return nil, s.App.Acked(ctx, c, p)
	default:
		return nil, errOneWay
	}
}

func (s *Server) isIn(ctx context.Context, connection, namespace string) (bool, error) {
	name := joined(connection, namespace)
	if _, is := s.known.get(name); is {
		return true, nil
	}
	sid, err := s.Notes.Noted(ctx, name)
	if errors.Is(err, hub.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read session: %w", err)
	}
	s.known.put(name, string(sid))
	return true, nil
}

// refusedConnect is how many frames a CONNECT counts for that is refused, against the rate limit: three in a row close the connection,
// unless the owner allows more than the default.
const refusedConnect = 6

// turnAway answers a CONNECT that is refused.
func (s *Server) turnAway(c hub.Caller, namespace, message string, data []byte) []byte {
	for range refusedConnect {
		s.Allow(c.Connection)
	}
	return packet.AppendConnectError(nil, namespace, message, data)
}

func (s *Server) refuse(c hub.Caller, namespace string, refused *protocol.Error) ([]byte, error) {
	data, err := json.Marshal(refused)
	return s.turnAway(c, namespace, refused.Message, data), err
}

func (s *Server) connect(ctx context.Context, c hub.Caller, p packet.Packet) ([]byte, error) {
	if !s.serves(p.Namespace) {
		return s.turnAway(c, p.Namespace, "Invalid namespace", nil), nil
	}
	who, err := s.App.Identify(ctx, c, p.Data)
	if refused, is := errors.AsType[*protocol.Error](err); is {
		return s.refuse(c, p.Namespace, refused)
	}
	if err != nil {
		return nil, fmt.Errorf("identify: %w", err)
	}
	name, ttl := joined(c.Connection, p.Namespace), s.Now().Add(lifetime)
	first, err := s.Notes.NoteOnce(ctx, name, []byte("-"), ttl)
	if err != nil {
		return nil, fmt.Errorf("begin session: %w", err)
	}
	if !first {
		return nil, errOrder
	}
	w, err := s.App.Connect(ctx, c, who, p.Namespace, p.Data)
	if refused, is := errors.AsType[*protocol.Error](err); is {
		answer, encodeErr := s.refuse(c, p.Namespace, refused)
		return answer, errors.Join(encodeErr, s.Notes.Unnote(ctx, name))
	}
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err) // which closes the connection; the note says that there may be something to end
	}
	if err := s.Notes.Note(ctx, welcomed(c.Connection), []byte(p.Namespace), ttl); err != nil {
		return nil, err
	}
	s.known.put(name, w.SID)
	answer := packet.AppendConnect(nil, p.Namespace, w.SID, w.PID)
	greeter, is := s.App.(Greeter)
	if !is {
		return answer, nil
	}
	if err := s.push(ctx, c.Connection, answer); err != nil { // the route's response would come after what is said now
		return nil, err
	}
	return nil, greeter.Connected(ctx, c, p.Namespace, p.Data)
}

func (s *Server) serves(namespace string) bool {
	return slices.Contains(s.Options.namespaces(), namespace)
}

// Closed answers the disconnect route of a client of Socket.IO.
func (s *Server) Closed(ctx context.Context, connection string) error {
	var err error
	for _, n := range s.Options.namespaces() {
		is, readErr := s.isIn(ctx, connection, n)
		if err = errors.Join(err, readErr); is {
			err = errors.Join(err, s.App.Gone(ctx, connection, n))
		}
	}
	return err
}

// Sockets names what the hub may know of a client's connection.
func (s *Server) Sockets(connection string) []string {
	var ids []string
	for _, n := range s.Options.namespaces() {
		ids = append(ids, socketID(connection, n))
	}
	return ids
}
