package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// stage is where a socket stands for API Gateway.
type stage int

const (
	opening stage = iota // $connect has not returned
	open
	closed
)

// socket is one WebSocket connection, with its two ends that may disagree.
type socket struct {
	id      string
	dev     *device
	server  stage
	held    bool          // the client has it
	cut     bool          // the network between them is gone
	kicked  bool          // somebody asked for its end
	expires time.Time     // of the token that it opened with
	calm    bool          // it began in calm times
	up      bool          // the client knows that it is open
	last    time.Duration // when the last frame that its client sent arrives: frames do not overtake each other on their way to the server

	// of Socket.IO
	greeted time.Duration   // when the client sent its CONNECT; zero: not yet
	pings   int             // and the open packet
	heard   map[string]bool // logged events that were pushed, by room and seq
	twin    twin
}

// alive: the client has it, and can be reached.
func (s *socket) alive() bool { return s.dev.sock == s && s.held && !s.cut && s.server == open }

// gateway is API Gateway, and the management API.
type gateway struct {
	w       *world
	sockets map[string]*socket
	order   []*socket
	frames  map[string]*inbound // decoded, by their bytes
}

var _ hub.Pusher = (*gateway)(nil)

// inbound is a frame of the server's.
type inbound struct {
	Reply *string         `json:"reply"`
	OK    bool            `json:"ok"`
	Data  json.RawMessage `json:"data"`
	Error *struct {
		Code         protocol.Code `json:"code"`
		Retry        bool          `json:"retry"`
		RetryAfterMs int64         `json:"retryAfterMs"`
	} `json:"error"`
	Event string            `json:"event"`
	Room  string            `json:"room"`
	Seq   int64             `json:"seq"`
	ID    string            `json:"id"`
	From  *protocol.From    `json:"from"`
	TS    int64             `json:"ts"`
	Batch []json.RawMessage `json:"batch"`

	inner  []*inbound     // of Batch
	packet *packet.Packet // of Socket.IO
	offset string         // of an EVENT, for recovery
}

func (in *inbound) event() protocol.Event {
	return protocol.Event{Event: in.Event, Room: in.Room, Seq: in.Seq, ID: in.ID, TS: in.TS, From: in.From, Data: in.Data}
}

// decode reads a frame, once for all who get it.
func (g *gateway) decode(frame []byte) *inbound {
	if in, ok := g.frames[string(frame)]; ok {
		return in
	}
	in := &inbound{}
	read := func() error { return json.Unmarshal(frame, in) }
	if frame[0] != '{' {
		read = func() error { return in.readPacket(frame) }
	}
	if err := read(); err != nil {
		g.w.violatef("frame", nil, "%s: %v", frame, err)
	}
	for _, b := range in.Batch {
		in.inner = append(in.inner, g.decode(b))
	}
	g.frames[string(frame)] = in
	return in
}

// connect is a client's handshake.
func (g *gateway) connect(d *device) *socket {
	s := &socket{
		id: fmt.Sprintf("%s.%d", d.name, len(g.order)), dev: d, held: true, expires: d.expires, calm: g.w.calm, heard: map[string]bool{},
	}
	g.sockets[s.id] = s
	g.order = append(g.order, s)
	w := g.w
	w.after(w.between(5*time.Millisecond, 80*time.Millisecond), func() {
		var err error
		w.invoke("connect "+s.id, connectTimeout, false, func(ctx context.Context, box sandbox) {
			if d.socketIO != nil {
				err = box.sockets.Open(ctx, s.id)
				return
			}
			err = box.hub.Connect(ctx, s.id, d.identity(s.expires), protocol.Name)
		}, func(ok bool) { // until the 101 is on its way, the connection is as good as closed to the management API
			w.after(w.between(time.Millisecond, 50*time.Millisecond), func() { g.connected(s, ok && err == nil) })
		})
	})
	return s
}

func (g *gateway) connected(s *socket, ok bool) {
	w := g.w
	trip := w.between(5*time.Millisecond, 60*time.Millisecond)
	if !ok {
		s.server = closed
		w.after(trip, func() { s.dev.refused(s) })
		return
	}
	s.server = open
	w.logf("open %s", s.id)
	w.after(w.limits.Lifetime, func() {
		if w.elapsed() < w.trouble+healing-rest {
			g.close(s, "2 h are over")
		}
	})
	if !s.held || s.cut {
		w.after(w.between(time.Second, time.Minute), func() { g.close(s, "client is gone") })
		return
	}
	if w.fault("handshake lost", w.rates.netLoss) {
		s.cut = true
		w.after(w.between(time.Second, 10*time.Minute), func() { g.close(s, "idle") })
		return
	}
	w.after(trip, func() { s.dev.connected(s) })
}

// close is the end of a socket for API Gateway.
func (g *gateway) close(s *socket, why string) {
	if s.server != open {
		return
	}
	w := g.w
	s.server = closed
	w.logf("close %s: %s", s.id, why)
	wait := w.between(5*time.Millisecond, 100*time.Millisecond)
	if s.cut {
		wait = w.between(time.Second, time.Minute) // it finds out by its pings
	}
	w.after(wait, func() { s.dev.lost(s) })
	if w.fault("no $disconnect", w.rates.noDisconnect) {
		return
	}
	late := w.between(time.Millisecond, 100*time.Millisecond)
	if w.fault("late $disconnect", w.rates.lateDisconnect) {
		late = w.between(time.Second, 3*time.Minute)
	}
	w.after(late, func() { g.disconnected(s) })
	if w.fault("$disconnect twice", w.rates.twice) {
		w.after(late+w.between(0, 50*time.Millisecond), func() { g.disconnected(s) })
	}
}

func (g *gateway) disconnected(s *socket) {
	g.w.invoke("disconnect "+s.id, messageTimeout, false, func(ctx context.Context, box sandbox) { _ = box.sockets.Closed(ctx, s.id) }, nil)
}

// drop is a client's end of a socket. clean: it says so to the other side.
func (g *gateway) drop(s *socket, clean bool) {
	w := g.w
	s.held = false
	if clean && !s.cut {
		w.after(w.between(5*time.Millisecond, 80*time.Millisecond), func() { g.close(s, "client closed it") })
		return
	}
	s.cut = true
	w.after(w.between(time.Second, 10*time.Minute), func() { g.close(s, "idle") })
}

// send is one frame of a client's.
func (g *gateway) send(s *socket, name string, frame []byte, mayRepeat bool) {
	w := g.w
	wait := w.between(5*time.Millisecond, 50*time.Millisecond)
	if w.fault("late frame to the server", w.rates.lateFrame) {
		wait += w.between(100*time.Millisecond, 5*time.Second)
	}
	// One after the other, and the gateway's clock tells them apart: of a join and a leave within a millisecond the join is done.
	s.last = max(w.elapsed()+wait, s.last+time.Millisecond)
	w.after(s.last-w.elapsed(), func() {
		at := time.Now().Truncate(time.Millisecond)
		g.receive(s, name, frame, at)
		if mayRepeat && w.fault("message twice", w.rates.twice) {
			w.after(w.between(0, 50*time.Millisecond), func() { g.receive(s, name, frame, at) })
		}
	})
}

// receive runs the message function. Messages of one connection run at the same time. at is when API Gateway got it.
func (g *gateway) receive(s *socket, name string, frame []byte, at time.Time) {
	if s.server != open || s.cut {
		return
	}
	var reply []byte
	d := s.dev
	caller := hub.Caller{Connection: s.id, User: d.user, Name: d.user, Expires: s.expires, At: at}
	g.w.invoke(s.id+" "+name, messageTimeout, false, func(ctx context.Context, box sandbox) {
		if d.socketIO != nil {
			reply = box.sockets.Receive(ctx, d.socketIO.caller(d, s, at), g.w.store.misled(frame))
			return
		}
		reply = box.hub.Receive(ctx, caller, frame)
	}, func(ok bool) {
		if ok && len(reply) > 0 {
			g.transmit(s, g.w.store.astray(reply))
		}
	})
}

// transmit brings an accepted frame to the client.
func (g *gateway) transmit(s *socket, frame []byte) {
	w := g.w
	if s.server != open {
		return
	}
	in := g.decode(frame)
	wait := w.between(5*time.Millisecond, 50*time.Millisecond)
	if w.fault("late frame to the client", w.rates.lateFrame) {
		wait += w.between(50*time.Millisecond, 3*time.Second)
	}
	var arrive func()
	arrive = func() {
		switch {
		case !s.held || s.cut:
		case s.dev.sock == s && !s.up: // nothing overtakes the answer to the handshake
			w.after(10*time.Millisecond, arrive)
		default:
			s.dev.receive(s, in)
		}
	}
	w.after(wait, arrive)
}

// What the management API answers, beside the hub's own errors.
var errPost = errors.New("the management API timed out")

// Push is PostToConnection.
func (g *gateway) Push(ctx context.Context, connection string, frame []byte) error {
	inv := ctx.Value(invocationKey{}).(*invocation)
	return g.w.call(ctx, "Push", connection+" "+string(frame), 0, func() error {
		w := g.w
		s := g.sockets[connection]
		if s != nil && w.store.swallows(inv, s, frame) {
			return nil
		}
		if s == nil || s.server != open {
			return hub.ErrGone
		}
		w.ledger.checkRepeated(inv, g.decode(frame))
		if !inv.charmed {
			switch {
			case w.fault("post throttled", w.rates.throttle):
				return hub.ErrThrottled
			case w.fault("post timed out, not delivered", w.rates.postLost):
				return errPost
			case w.fault("post timed out, delivered", w.rates.postUnknown):
				g.accept(s, frame)
				return errPost
			}
		}
		g.accept(s, frame)
		return nil
	})
}

func (g *gateway) accept(s *socket, frame []byte) {
	if g.w.store.losesSeq && s.dev.socketIO != nil {
		frame = seqOf.ReplaceAll(frame, nil)
	}
	in := g.decode(frame)
	g.w.ledger.pushed(s.socketIn(in), in)
	g.transmit(s, frame)
}

// Close is DeleteConnection.
func (g *gateway) Close(ctx context.Context, connection string) error {
	return g.w.call(ctx, "Close", connection, 0, func() error {
		s := g.sockets[connection]
		if s == nil {
			return hub.ErrGone
		}
		s.kicked = true
		g.checkMayClose(ctx, s)
		g.checkNotByAnother(ctx, s)
		if s.server != open {
			return hub.ErrGone
		}
		g.close(s, "deleted")
		return nil
	})
}

// checkMayClose holds that jobs close no connection whose client is there: they are to find dead ones. The faults of other
// times may have lost a ping or its answer.
func (g *gateway) checkMayClose(ctx context.Context, s *socket) {
	inv := ctx.Value(invocationKey{}).(*invocation)
	if strings.HasPrefix(inv.name, "deliver ") && s.calm && s.dev.isOpen && s.alive() {
		g.w.violatef("live connection closed", []string{s.id}, "%s is closed by a job while its client is there", s.id)
	}
}

// checkNotByAnother holds that nobody's CONNECT closes a socket of another user, unless it finds that its token has ended.
func (g *gateway) checkNotByAnother(ctx context.Context, s *socket) {
	inv := ctx.Value(invocationKey{}).(*invocation)
	row, err := g.w.store.real.Connection(plain, s.id)
	if strings.HasSuffix(inv.name, " CONNECT") && !strings.HasPrefix(inv.name, s.dev.user+"-") && err == nil && row.Ended != protocol.ReasonExpired {
		g.w.violatef("closed by another", []string{s.id}, "%s is closed by %s", s.id, inv.name)
	}
}

// Alive is GetConnection.
func (g *gateway) Alive(ctx context.Context, connection string) (alive bool, err error) {
	err = g.w.call(ctx, "Alive", connection, 0, func() error {
		s := g.sockets[connection]
		alive = s != nil && s.server == open
		return nil
	})
	return alive, err
}

// checkMayDepart holds that no connection is departed that lives: it would be deaf without knowing it.
func (g *gateway) checkMayDepart(inv *invocation, connection string) {
	s := g.sockets[connection]
	if s != nil && s.dev.socketIO != nil {
		switch {
		case !s.held: // by its own client, which has another or has said DISCONNECT
			return
		case inv.name == s.id+" CONNECT": // it came twice and failed once: this one begins anew
			return
		}
	}
	if s != nil && s.server != closed && !s.kicked {
		g.w.violatef("live connection departed", []string{connection}, "%s is departed while it is open", connection)
	}
}

// queue is SQS and its trigger of the deliver function.
type queue struct {
	w       *world
	n       int
	visible []*message
}

var _ hub.Queue = (*queue)(nil)

type message struct {
	n        int
	job      hub.Job
	body     string
	chain    int // how many jobs there were in a row with this one
	received int
	deleted  bool
}

// As in the template.
const (
	visibility  = 6 * time.Minute
	maxReceives = 5
	batchSize   = 10
	maxChain    = 16 // Lambda's own, of a function that may not lead to itself for long
)

// Enqueue is SendMessage.
func (q *queue) Enqueue(ctx context.Context, job hub.Job, delay time.Duration) error {
	body, err := job.Encode()
	if err != nil {
		return err
	}
	return q.w.call(ctx, "Enqueue", string(body), 0, func() error {
		w := q.w
		if w.store.beatsNever && job.Kind == "socket:beat" {
			return nil
		}
		if delay < 0 || delay > 15*time.Minute {
			return fmt.Errorf("the queue cannot delay by %v", delay)
		}
		q.n++
		m := &message{n: q.n, body: string(body), chain: ctx.Value(invocationKey{}).(*invocation).chain + 1}
		if m.chain > maxChain {
			w.violatef("stopped", nil, "%s comes after %d others in a row: Lambda stops it", body, maxChain)
		}
		var err error
		if m.job, err = hub.DecodeJob(body); err != nil {
			return err
		}
		if w.fault("late job", w.rates.lateJob) {
			delay += w.between(time.Second, time.Minute)
		}
		q.show(m, delay)
		if w.fault("job twice", w.rates.twice) {
			q.n++
			double := *m
			double.n = q.n
			q.show(&double, delay+w.between(0, 100*time.Millisecond))
		}
		return nil
	})
}

// show makes a message visible later.
func (q *queue) show(m *message, delay time.Duration) {
	w := q.w
	w.after(delay, func() {
		if !m.deleted {
			q.visible = append(q.visible, m)
			w.after(w.between(time.Millisecond, 60*time.Millisecond), q.poll)
		}
	})
}

// poll hands a batch to the deliver function.
func (q *queue) poll() {
	w := q.w
	if len(q.visible) == 0 {
		return
	}
	w.rng.Shuffle(len(q.visible), func(i, j int) { q.visible[i], q.visible[j] = q.visible[j], q.visible[i] })
	// Jobs of one batch have led to each other equally often: nobody has said how Lambda counts for others.
	var batch []*message
	q.visible = slices.DeleteFunc(q.visible, func(m *message) bool {
		takes := len(batch) < batchSize && (len(batch) == 0 || m.chain == batch[0].chain)
		if takes {
			batch = append(batch, m)
		}
		return takes
	})
	if len(q.visible) > 0 {
		w.after(w.between(time.Millisecond, 60*time.Millisecond), q.poll)
	}
	jobs := make([]hub.Job, 0, len(batch))
	last := false
	for _, m := range batch {
		m.received++
		last = last || m.received == maxReceives
		jobs = append(jobs, m.job)
	}
	var errs []error
	w.invokeAfter(batch[0].chain, "deliver "+jobNames(batch), emitTimeout, last, func(ctx context.Context, box sandbox) {
		errs = box.work(ctx, jobs)
	}, func(ok bool) {
		for i, m := range batch {
			switch {
			case ok && errs[i] == nil && !w.fault("job again", w.rates.twice):
				m.deleted = true
			case m.received >= maxReceives && (!ok || errs[i] != nil):
				w.violatef("dead letter", []string{m.job.Room}, "%s: %v", m.body, errs)
			case m.received < maxReceives:
				q.show(m, visibility)
			}
		}
	})
}

// work does jobs as the deliver function does: those of sockets at the same time, since they may wait.
func (b sandbox) work(ctx context.Context, jobs []hub.Job) []error {
	errs := make([]error, len(jobs))
	var (
		own   []hub.Job
		place []int
		wg    sync.WaitGroup
	)
	for i, j := range jobs {
		if !socketio.Works(j.Kind) {
			own, place = append(own, j), append(place, i)
			continue
		}
		wg.Go(func() { errs[i] = b.sockets.Work(context.WithValue(ctx, laneKey{}, i+1), j) })
	}
	for n, err := range b.hub.WorkAll(ctx, own) {
		errs[place[n]] = err
	}
	wg.Wait()
	return errs
}

func jobNames(batch []*message) string {
	text := ""
	for _, m := range batch {
		text += fmt.Sprintf("#%d ", m.n)
	}
	return text
}
