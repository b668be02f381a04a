package socketio

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// recoverable is how long a client may be away and be recovered, as in Socket.IO's own servers.
const recoverable = 2 * time.Minute

// unnoticed is longer than a connection may be gone before anybody finds out: the sweep asks for those that are silent for 11 minutes.
const unnoticed = 20 * time.Minute

// Rooms is the [App] that Bellhop is: rooms, presence and events. The hub knows a client's socket in each namespace as a
// connection of its own, and Rooms as its [hub.Dialect].
type Rooms struct {
	hub      *hub.Hub
	notes    Notes
	pusher   hub.Pusher
	verifier hub.Verifier
	now      func() time.Time
	sleep    func(ctx context.Context, d time.Duration)
	speeches []hub.Speech // one for each namespace

	callers recent[hub.Caller] // by socket
}

var (
	_ App         = (*Rooms)(nil)
	_ hub.Dialect = (*Rooms)(nil)
)

func (*Rooms) Speech(codec string) (hub.Speech, bool) { return speechOf(codec) }

// Speeches is [hub.Dialect].Speeches.
func (r *Rooms) Speeches() []hub.Speech { return r.speeches }

// session is what a private id stands for.
type session struct {
	Socket    string `json:"socket"`
	Namespace string `json:"namespace"`
	SID       string `json:"sid"`
	User      string `json:"user"`
	At        int64  `json:"at"` // Unix milliseconds, when it began or was recovered

	left time.Time // when its connection was found gone
	note []byte    // as it was read
}

// absence is what is kept of a connection that is gone.
type absence struct {
	Rooms []string `json:"rooms"`
	Left  int64    `json:"left"`            // Unix milliseconds
	Since int64    `json:"since,omitempty"` // when it had connected: a socket may leave its namespace and come again
}

func privateNote(pid string) string        { return "pid#" + pid }
func absenceNote(connection string) string { return "away#" + connection }

func toldNote(room, epoch string, seq int64) string {
	return fmt.Sprintf("told#%s#%s#%d", room, epoch, seq)
}

// NoteTold is [hub.Dialect].NoteTold.
func (r *Rooms) NoteTold(ctx context.Context, e protocol.Event, epoch string, all bool) error {
	return r.notes.Note(ctx, toldNote(e.Room, epoch, e.Seq), []byte(strconv.FormatBool(all)), r.now().Add(hub.IDMemory))
}

// Told is [hub.Dialect].Told.
func (r *Rooms) Told(ctx context.Context, e protocol.Event, epoch string) (hub.Telling, error) {
	var all bool
	switch _, err := r.noted(ctx, toldNote(e.Room, epoch, e.Seq), &all); {
	case errors.Is(err, hub.ErrNotFound):
		return hub.NotTold, nil
	case err != nil:
		return hub.NotTold, err
	case all:
		return hub.ToldAll, nil
	}
	return hub.ToldSome, nil
}

// late is what is kept of events that waited for a connection in the queue. Nobody knows whether they have arrived: recovery gives
// everything again since then.
type late struct {
	First int64 `json:"first"` // Unix milliseconds, when the first of them was logged
	Last  int64 `json:"last"`
}

// retries is longer than an event waits in the queue, with all its tries.
const retries = 10 * time.Minute

func lateNote(connection string) string { return "late#" + connection }

// Late is [hub.Dialect].Late.
func (r *Rooms) Late(ctx context.Context, connection string, e protocol.Event) error {
	for range 10 { // others are late at the same time
		was, note, err := r.lately(ctx, connection)
		if err != nil {
			return err
		}
		now := late{First: e.TS, Last: max(e.TS, was.Last)}
		if was.First != 0 {
			now.First = min(e.TS, was.First)
		}
		if now == was {
			return nil
		}
		text, err := json.Marshal(now)
		if err != nil {
			return fmt.Errorf("encode late events: %w", err)
		}
		if did, err := r.overwrite(ctx, lateNote(connection), note, text, lifetime); err != nil || did {
			return err
		}
	}
	return fmt.Errorf("note late events: %w: too many at once", hub.ErrUnavailable)
}

// lately gives the events of a connection that may still wait, and the note of them, if there is one; zero: there are none.
func (r *Rooms) lately(ctx context.Context, connection string) (l late, note []byte, err error) {
	note, err = r.noted(ctx, lateNote(connection), &l)
	if err != nil || r.now().Sub(time.UnixMilli(l.Last)) > retries {
		l = late{}
	}
	return l, note, ignoreMissing(err)
}

// overwrite stores a note over another, or where there is none. false: somebody else has written it meanwhile.
func (r *Rooms) overwrite(ctx context.Context, name string, was, now []byte, live time.Duration) (bool, error) {
	if was == nil {
		return r.notes.NoteOnce(ctx, name, now, r.now().Add(live))
	}
	return r.notes.NoteOver(ctx, name, was, now, r.now().Add(live))
}

// connecting is the payload of a CONNECT.
type connecting struct {
	Token  string `json:"token"`
	PID    string `json:"pid"`
	Offset string `json:"offset"`
}

func readConnecting(auth json.RawMessage) (given connecting, err error) {
	if len(auth) > 0 && json.Unmarshal(auth, &given) != nil {
		return given, protocol.Errorf(protocol.CodeBadRequest, `auth must be an object such as {"token":"…"}`)
	}
	return given, nil
}

// Identify reads the token of a CONNECT. It comes in the payload, {"token":…}, or came with the handshake.
func (r *Rooms) Identify(ctx context.Context, c hub.Caller, auth json.RawMessage) (hub.Identity, error) {
	given, err := readConnecting(auth)
	if err != nil {
		return hub.Identity{}, err
	}
	return r.identify(ctx, c, given.Token)
}

// Connect lets a user in.
func (r *Rooms) Connect(ctx context.Context, c hub.Caller, who hub.Identity, namespace string, auth json.RawMessage) (Welcome, error) {
	given, err := readConnecting(auth)
	if err != nil {
		return Welcome{}, err
	}
	w, socket := Welcome{SID: rand.Text(), PID: rand.Text()}, socketID(c.Connection, namespace)
	switch _, err := r.hub.Connection(ctx, socket); {
	case err == nil: // it left, and comes again; or its last CONNECT was cut off
		if err := r.hub.Depart(ctx, socket); err != nil {
			return Welcome{}, err
		}
	case !errors.Is(err, hub.ErrNotFound):
		return Welcome{}, fmt.Errorf("read connection: %w", err)
	}
	before, rooms, err := r.before(ctx, c.Connection, given.PID, namespace, who.User)
	if err != nil {
		return Welcome{}, err
	}
	if err := r.hub.Connect(ctx, socket, who, speech{namespace}.codec()); err != nil {
		return Welcome{}, err
	}
	r.callers.put(socket, hub.Caller{Connection: socket, User: who.User, Name: who.Name, Expires: who.Expires})
	recovered := false
	if before != nil {
		if recovered, err = r.resume(ctx, socket, *before, rooms, given.Offset); err != nil {
			return Welcome{}, err
		}
	}
	s := session{Socket: socket, Namespace: namespace, SID: w.SID, User: who.User, At: r.now().UnixMilli()}
	var over []byte // what the session is written over
	if recovered {
		w, over = Welcome{SID: before.SID, PID: given.PID}, before.note
		s.SID, s.At = before.SID, before.At // this answer may be lost, and then the client has seen no more than before
	}
	text, err := json.Marshal(s)
	if err != nil {
		return Welcome{}, fmt.Errorf("encode session: %w", err)
	}
	did, err := r.overwrite(ctx, privateNote(w.PID), over, text, lifetime+recoverable)
	if err == nil && !did {
		err = errors.New("a later CONNECT has the session")
	}
	return w, err
}

func (r *Rooms) identify(ctx context.Context, c hub.Caller, token string) (hub.Identity, error) {
	switch {
	case token != "":
		who, err := r.verifier.Verify(ctx, token)
		if err != nil {
			return who, fmt.Errorf("verify token: %w", err)
		}
		return who, nil
	case c.User == "":
		return hub.Identity{}, protocol.Errorf(protocol.CodeUnauthenticated, "a token is needed: give the client the option auth: { token }")
	case !c.Expires.After(r.now()):
		return hub.Identity{}, protocol.Refuse(protocol.CodeExpired)
	}
	return hub.Identity{User: c.User, Name: c.Name, Grants: c.Grants, Expires: c.Expires}, nil
}

// before gives the session that a client was in, with its rooms; nil if there is none that it may have back.
func (r *Rooms) before(ctx context.Context, connection, pid, namespace, user string) (*session, []string, error) {
	if pid == "" || len(pid) > 64 || strings.Contains(pid, "#") {
		return nil, nil, nil
	}
	var s session
	var err error
	if s.note, err = r.noted(ctx, privateNote(pid), &s); err != nil || s.User != user || s.Namespace != namespace {
		return nil, nil, ignoreMissing(err)
	}
	// Its old connection may be there still, for the server: the client was faster. Or this is the older one, whose frame
	// comes late: then the client has to know that it is no longer where it was.
	if connectionOf(s.Socket) != connection {
		if err := r.pusher.Close(ctx, connectionOf(s.Socket)); err != nil && !errors.Is(err, hub.ErrGone) {
			return nil, nil, fmt.Errorf("close old connection: %w", err)
		}
	}
	if err := r.hub.Depart(ctx, s.Socket); err != nil {
		return nil, nil, err
	}
	var away absence
	if _, err := r.noted(ctx, absenceNote(s.Socket), &away); err != nil {
		return nil, nil, ignoreMissing(err)
	}
	s.left = time.UnixMilli(away.Left)
	if r.now().Sub(s.left) > recoverable {
		return nil, nil, nil
	}
	return &s, away.Rooms, nil
}

func (r *Rooms) noted(ctx context.Context, name string, into any) (text []byte, err error) {
	if text, err = r.notes.Noted(ctx, name); err != nil {
		return nil, fmt.Errorf("read session: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return nil, fmt.Errorf("decode session: %w", err)
	}
	return text, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, hub.ErrNotFound) {
		return nil
	}
	return err
}

// resume puts the client back where it was, and pushes what it missed. Clients keep what comes before the answer to their
// CONNECT, and hand it on after it.
func (r *Rooms) resume(ctx context.Context, socket string, s session, rooms []string, given string) (bool, error) {
	seen, ok := parseOffset(given)
	if !ok {
		seen = hub.Seen{At: time.UnixMilli(s.At)} // it has seen no event that says when
	}
	if first := s.left.Add(-unnoticed); seen.At.Before(first) { // whatever it tells of, it was pushed all until then
		seen = hub.Seen{At: first}
	}
	if waited, _, err := r.lately(ctx, s.Socket); err != nil {
		return false, err
	} else if first := time.UnixMilli(waited.First); waited.First != 0 && !seen.At.Before(first) {
		seen = hub.Seen{At: first}
	}
	got, err := r.hub.Recover(ctx, socket, rooms, seen)
	if err != nil {
		return false, err
	}
	if !got.Whole {
		return false, nil
	}
	to := hub.Target{Connection: socket, User: s.User, Codec: speech{s.Namespace}.codec()}
	for _, e := range got.Events {
		if err := r.tell(ctx, to, e); err != nil {
			return false, fmt.Errorf("push what was missed: %w", err)
		}
	}
	return true, nil
}

// tell pushes an event, however often that is throttled, with pauses that grow: to begin again would push all that came before it
// a second time.
func (r *Rooms) tell(ctx context.Context, to hub.Target, e protocol.Event) error {
	for pause := patience; ; pause = min(2*pause, mostPatience) {
		err := r.hub.Tell(ctx, to, e)
		if !errors.Is(err, hub.ErrThrottled) {
			return err
		}
		r.sleep(ctx, pause)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// How long pushes of a recovery wait for the next try, when the hub has tried a few times.
const (
	patience     = 500 * time.Millisecond
	mostPatience = 4 * time.Second
)

// Departed keeps which rooms a client was in, and when it went. A row that is departed a second time changes nothing.
func (r *Rooms) Departed(ctx context.Context, c hub.Connection) error {
	r.callers.drop(c.ID)
	now := r.now()
	away := absence{Left: now.UnixMilli(), Since: c.ConnectedAt.UnixMilli()}
	switch {
	case c.Ended != "" && !c.Ended.Retry(): // who was disconnected by the server is not waited for
		away.Left = 0
	case now.Sub(c.TakenOut) < unnoticed: // it may not have heard that, and would take itself for a member
		away.Left = 0
	default:
		away.Rooms = slices.Sorted(maps.Keys(c.Rooms))
	}
	text, err := json.Marshal(away)
	if err != nil {
		return fmt.Errorf("encode rooms: %w", err)
	}
	if did, err := r.notes.NoteOnce(ctx, absenceNote(c.ID), text, now.Add(lifetime)); err != nil || did {
		return err
	}
	var other absence
	if _, err := r.noted(ctx, absenceNote(c.ID), &other); err != nil || other.Since == away.Since {
		return ignoreMissing(err)
	}
	return r.notes.Note(ctx, absenceNote(c.ID), text, now.Add(lifetime)) // over that of when it had left before
}

func (r *Rooms) Leave(ctx context.Context, c hub.Caller, namespace string) error {
	socket := socketID(c.Connection, namespace)
	r.callers.drop(socket)
	gone := absence{} // who leaves is not waited for
	switch row, err := r.hub.Connection(ctx, socket); {
	case err == nil:
		gone.Since = row.ConnectedAt.UnixMilli()
	case !errors.Is(err, hub.ErrNotFound):
		return fmt.Errorf("read connection: %w", err)
	}
	if err := r.hub.DepartForGood(ctx, socket); err != nil {
		return err
	}
	text, err := json.Marshal(gone)
	if err != nil {
		return fmt.Errorf("encode rooms: %w", err)
	}
	return r.notes.Note(ctx, absenceNote(socket), text, r.now().Add(lifetime))
}

func (r *Rooms) Gone(ctx context.Context, connection, namespace string) error {
	return r.hub.Depart(ctx, socketID(connection, namespace))
}

func (r *Rooms) Event(ctx context.Context, c hub.Caller, p packet.Packet) ([]byte, error) {
	caller, err := r.caller(ctx, socketID(c.Connection, p.Namespace))
	if err != nil {
		return nil, err
	}
	caller.At = c.At
	a, err := packet.Action(p)
	reply := protocol.Reply{}
	if refused, is := errors.AsType[*protocol.Error](err); is {
		reply.Err = r.hub.Reject(ctx, caller, a, refused)
	} else if err == nil {
		reply.Data, reply.Err = r.hub.Do(ctx, caller, a)
	} else {
		return nil, err
	}
	switch {
	case p.ID != nil:
		return packet.EncodeReply(p.Namespace, *p.ID, reply)
	case reply.Err == nil || a.Op == protocol.OpSignal:
		return nil, nil
	}
	refusal, err := json.Marshal(reply.Err)
	if err != nil {
		return nil, fmt.Errorf("encode refusal: %w", err)
	}
	about := append(append([]byte(`{"event":`), p.Args()[0]...), '}')
	return packet.AppendEvent(nil, p.Namespace, nil, protocol.Refused, refusal, about), nil
}

// caller is who a socket belongs to. What the handshake knows is nothing for those who showed their token later.
func (r *Rooms) caller(ctx context.Context, socket string) (hub.Caller, error) {
	if known, ok := r.callers.get(socket); ok {
		return known, nil
	}
	row, err := r.hub.Connection(ctx, socket)
	if err != nil {
		return hub.Caller{}, fmt.Errorf("read connection: %w", err)
	}
	known := hub.Caller{Connection: row.ID, User: row.User, Name: row.Name, Expires: row.Expires}
	r.callers.put(socket, known)
	return known, nil
}
