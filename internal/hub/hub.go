// Package hub is the rules of Bellhop: who may join which room, what order events have, who is present, and who is told.
// It knows no AWS and no WebSocket. What it needs of the world are the small interfaces of store.go and ports.go. Invocations may
// meet, be cut off, come twice and lose answers anywhere; it stays correct because of six rules:
//
//   - A connection's row alone decides which rooms it is in. It is changed as it was read or not at all ([Change]), and gives each
//     coming and going a generation. Memberships and presences only follow: a later generation wins, whichever is written first,
//     and what is cut off is finished by a repetition, by [Hub.Depart] or by the sweep.
//   - Joining writes the membership first and reads the log second. What is published in between is pushed, what came before is in
//     the reply, and the overlap is dropped by seq.
//   - Publishing logs first and pushes second, and replies when every member was pushed to or handed to the queue. A retry with the
//     same id appends nothing and delivers again, to clients that do not drop what they know only if the first delivery failed.
//   - A user's presence in a room is one row, the set of the user's connections there, which is replaced as a whole. It remembers
//     what others have been told, so whoever sees the row next makes good what a crash left untold.
//   - What waits to be pushed with others is pending, and whoever pushes anything of its room pushes that first: hold.go says how.
//   - A large room is reached by one job for each shard of its members. A job leaves no other behind but to retry single members,
//     and is void when the room's log has begun anew since.
//
// A connection is closed by whoever notices that it is gone: the disconnect route, a push that finds it gone, or the sweep. All three
// end in [Hub.Depart].
package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Limits bound what one connection, room or call may do. Fields that are zero take the default in their comment.
type Limits struct {
	Rate     float64       // actions a second of one connection: 10
	Burst    int           // actions at once: 20
	Rooms    int           // rooms of one connection: 100
	Inline   int           // members that a publish pushes to itself: 200
	Page     int           // members that are read at once: 1,000
	Shard    int           // members of a shard, and so of one fan-out job, before the room grows: 1,000
	Dots     int           // members up to which they are told at once who comes and goes: 25
	Busy     int           // events of a room within a second, from which on it is busy: 4
	Parallel int           // pushes at the same time: 64
	Grace    time.Duration // how long a user who left still counts as present: 10 s
	Lifetime time.Duration // how long a connection may be open: 2 h
	Silence  time.Duration // how long a connection may be silent before the sweep asks whether it is open: 11 min
	Asks     int           // how often the sweep may ask in a second: 1,000, a tenth of what an account may ask API Gateway by default
}

func (l Limits) orDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	dur := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	if l.Rate == 0 {
		l.Rate = 10
	}
	def(&l.Burst, 20)
	def(&l.Rooms, 100)
	def(&l.Inline, 200)
	def(&l.Page, 1000)
	def(&l.Shard, 1000)
	def(&l.Dots, 25)
	def(&l.Busy, 4)
	def(&l.Parallel, 64)
	def(&l.Asks, 1000)
	dur(&l.Grace, 10*time.Second)
	dur(&l.Lifetime, 2*time.Hour)
	dur(&l.Silence, 11*time.Minute)
	return l
}

// Margins that are not for users to set.
const (
	ttlSlack   = 15 * time.Minute // how long rows outlive the connection they are about
	youngAge   = 10 * time.Second // a push may find a connection gone that is only just opening
	appendTime = 2 * time.Second  // nobody writes at a seq later than this after counting it
	lateness   = 5 * time.Minute  // a job that has not run by then is a dead letter
	reserve    = 3 * time.Second  // of a function's time, left for what has to be done after the pushes
	voidAge    = 5 * time.Second  // so a seq that has not appeared by then never will: twice appendTime, and some
	holeAge    = time.Second      // hardly any writer takes longer from counting to writing: the others count again
	maxShards  = 128
)

// Config is what a hub is made of. Store is always needed; Pusher and Queue by all that delivers; Verifier by auth.
type Config struct {
	Store     Store
	Pusher    Pusher
	Queue     Queue
	Verifier  Verifier
	Hooks     Hooks      // default: nobody is asked
	Bus       Bus        // default: nobody is told of facts
	Facts     []FactType // of which; default: of all
	Kinds     Kinds      // default: DefaultKinds
	Dialects  []Dialect  // that connections speak, beside bellhop.v1
	Limits    Limits
	Observers []Observer                                 // default: nobody listens
	Now       func() time.Time                           // default: time.Now
	Sleep     func(ctx context.Context, d time.Duration) // default: waits, at most until ctx is done
	Jitter    func(limit time.Duration) time.Duration    // default: random, 0 to limit
	Logger    *slog.Logger                               // default: slog.Default
	Version   string                                     // of this program, for whoever asks
}

// Hub is the rules at work. It is safe for concurrent use, and starts nothing that outlives a call.
type Hub struct {
	store    Store
	pusher   Pusher
	prepare  func(frame []byte) func(ctx context.Context, connection string) error // what pushes a frame
	queue    Queue
	verifier Verifier
	hooks    Hooks
	bus      Bus
	facts    []FactType
	kinds    Kinds
	dialects []Dialect
	limits   Limits
	observe  observers
	now      func() time.Time
	sleep    func(ctx context.Context, d time.Duration)
	jitter   func(limit time.Duration) time.Duration
	log      *slog.Logger
	limiter  *limiter
	version  string
}

// New makes a hub.
func New(c Config) *Hub {
	c.Limits = c.Limits.orDefaults()
	if c.Kinds == nil {
		c.Kinds = DefaultKinds()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = Sleep
	}
	if c.Jitter == nil {
		c.Jitter = func(limit time.Duration) time.Duration { return rand.N(limit) } //nolint:gosec // spreads load, guards nothing
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	prepare := func(frame []byte) func(context.Context, string) error {
		return func(ctx context.Context, connection string) error { return c.Pusher.Push(ctx, connection, frame) }
	}
	if p, can := c.Pusher.(Preparer); can {
		prepare = p.Prepare
	}
	return &Hub{
		store: c.Store, pusher: c.Pusher, prepare: prepare, queue: c.Queue, verifier: c.Verifier, hooks: c.Hooks, bus: c.Bus, facts: c.Facts, kinds: c.Kinds,
		dialects: c.Dialects, limits: c.Limits, observe: c.Observers, now: c.Now, sleep: c.Sleep, jitter: c.Jitter, log: c.Logger,
		limiter: newLimiter(c.Limits), version: c.Version,
	}
}

// Sleep waits, at most until ctx is done.
func Sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Caller is the connection that a frame came from, with what its authorizer said when it opened.
type Caller struct {
	Connection string
	User       string
	Name       string
	Grants     Grants    // of the token that it opened with, as far as that is known
	Expires    time.Time // of the token that it opened with
	At         time.Time // when the frame arrived at the gateway; zero: not known
}

func (c Caller) from() *protocol.From { return &protocol.From{UserID: c.User, Name: c.Name} }

// Receive does what one frame of bellhop.v1 asks and gives the frame of the reply, nil if none is owed. The caller sends
// it back as the route's response; the reply to a signal is pushed instead, since that route has no response. Errors
// that the client must not see are logged here, and nowhere below.
func (h *Hub) Receive(ctx context.Context, c Caller, frame []byte) []byte {
	a, err := protocol.JSON{}.Decode(frame)
	r := protocol.Reply{ID: a.ID}
	if err != nil {
		r.Err = h.Reject(ctx, c, a, err)
	} else {
		r.Data, r.Err = h.Do(ctx, c, a)
	}
	if r.Err == nil && a.ID == "" {
		return nil
	}
	reply, err := protocol.JSON{}.EncodeReply(r)
	if err != nil {
		h.log.ErrorContext(ctx, "encode reply", "connectionId", c.Connection, "error", err)
		return nil
	}
	if a.Op != protocol.OpSignal {
		return reply
	}
	if a.ID != "" {
		if err := h.pusher.Push(ctx, c.Connection, reply); err != nil {
			h.log.WarnContext(ctx, "push reply", "connectionId", c.Connection, "error", err)
		}
	}
	return nil
}

// Allow charges something of a connection that is no action, and reports whether it keeps to the rate limit, as far as this
// process knows.
func (h *Hub) Allow(connection string) bool {
	_, wait := h.limiter.charge(connection, h.now())
	return wait <= 0
}

// Do does one action of a client, and gives the data of its reply or the refusal.
func (h *Hub) Do(ctx context.Context, c Caller, a protocol.Action) (any, *protocol.Error) {
	data, err := h.do(ctx, c, a)
	if err != nil {
		return nil, h.Refuse(ctx, c, a, err)
	}
	return data, nil
}

// Reject is Refuse for a frame that is malformed. It is charged as an action: whoever answers it has had the work.
func (h *Hub) Reject(ctx context.Context, c Caller, a protocol.Action, err error) *protocol.Error {
	if _, limited := h.charge(c); limited != nil {
		err = limited
	}
	return h.Refuse(ctx, c, a, err)
}

// charge takes an action of a connection into account, unless it has to wait first.
func (h *Hub) charge(c Caller) (recent bool, err error) {
	recent, wait := h.limiter.charge(c.Connection, h.now())
	if wait > 0 {
		return recent, &protocol.Error{
			Code: protocol.CodeRateLimited, Message: protocol.CodeRateLimited.Sentence(), RetryAfter: wait,
		}
	}
	return recent, nil
}

// Refuse gives what a client gets to see of an error, and tells and logs of it.
func (h *Hub) Refuse(ctx context.Context, c Caller, a protocol.Action, err error) *protocol.Error {
	e := publicError(err)
	if errors.Is(err, ErrNotFound) {
		e = protocol.Refuse(protocol.CodeUnauthenticated)
	}
	h.observe.refused(ctx, Refusal{Caller: c, Action: a.Op.String(), Room: a.Room, ID: a.ID, Code: e.Code})
	if e.Code == protocol.CodeInternal || e.Code == protocol.CodeUnavailable {
		h.log.ErrorContext(ctx, "action failed", "action", a.Op, "connectionId", c.Connection, "userId", c.User,
			"room", a.Room, "eventId", a.ID, "error", err)
	}
	return e
}

// publicError is protocol.Public, which does not know that what took too long may work another time.
func publicError(err error) *protocol.Error {
	e := protocol.Public(err)
	if e.Code == protocol.CodeInternal &&
		(errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrThrottled) || errors.Is(err, ErrUnavailable)) {
		return protocol.Refuse(protocol.CodeUnavailable)
	}
	return e
}

// do is the table of operations. ErrNotFound means that the caller's connection has no row.
func (h *Hub) do(ctx context.Context, c Caller, a protocol.Action) (any, error) {
	recent, err := h.charge(c)
	if err != nil {
		return nil, err
	}
	switch a.Op {
	case protocol.OpJoin:
		return h.join(ctx, c, a, recent)
	case protocol.OpLeave:
		return h.leave(ctx, c, a)
	case protocol.OpPublish:
		return h.publish(ctx, c, a, recent)
	case protocol.OpDelete:
		return h.deleteMessage(ctx, c, a, recent)
	case protocol.OpRead:
		return h.readNotification(ctx, c, a, recent)
	case protocol.OpSignal:
		return h.signal(ctx, c, a)
	case protocol.OpPresence:
		return h.setPresence(ctx, c, a, recent)
	case protocol.OpPresent:
		return h.whoIsPresent(ctx, c, a, recent)
	case protocol.OpHistory:
		return h.history(ctx, c, a, recent)
	case protocol.OpAuth:
		return h.renew(ctx, c, a)
	case protocol.OpOther:
		return h.call(ctx, c, a, recent)
	case protocol.OpPause:
		return h.pause(ctx, c, recent)
	case protocol.OpPing:
		return nil, nil //nolint:nilnil // a ping that asks for a reply gets an empty one
	default:
		return nil, protocol.Refuse(protocol.CodeUnknownAction)
	}
}

// kind gives what a room does, and refuses kinds that do not exist.
func (h *Hub) kind(room string) (Kind, error) {
	k, ok := h.kinds[protocol.RoomKind(room)]
	if !ok {
		return Kind{}, protocol.Errorf(protocol.CodeUnknownRoomKind, "there are no %q rooms", protocol.RoomKind(room))
	}
	return k, nil
}

// touch charges an action to the caller's row, which must be in room unless that is empty.
func (h *Hub) touch(ctx context.Context, c Caller, room string, recent bool) (Connection, error) {
	return h.touchBy(ctx, c, h.newTouch(room, recent))
}

// touchBy is touch for an action that costs another amount.
func (h *Hub) touchBy(ctx context.Context, c Caller, t Touch) (Connection, error) {
	row, err := h.store.Touch(ctx, c.Connection, t)
	if err == nil {
		h.limiter.learn(c.Connection, row.Busy)
		return row, nil
	}
	if limited, ok := errors.AsType[*protocol.Error](err); ok && limited.Code == protocol.CodeRateLimited {
		h.limiter.learn(c.Connection, h.now().Add(h.limiter.burst+limited.RetryAfter))
	}
	return Connection{}, fmt.Errorf("touch connection: %w", err)
}

func (h *Hub) newTouch(room string, recent bool) Touch {
	return Touch{Now: h.now(), Room: room, Cost: h.limiter.cost, Burst: h.limiter.burst, Recent: recent}
}

// ttl is when the rows of a connection that opened at a time lapse by themselves.
func (h *Hub) ttl(opened time.Time) time.Time { return opened.Add(h.limits.Lifetime + ttlSlack) }
