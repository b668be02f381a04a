package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// device is a client that follows the rules of package protocol: it joins with its position, orders by seq, drops what
// it knows, asks again where something is missing, and repeats a publish under its id until it is acknowledged. In which
// dialect it says all this makes no other difference.
type device struct {
	w    *world
	name string // "ana-1"
	user string

	wanted   bool // to be online
	sock     *socket
	isOpen   bool
	expires  time.Time // of the token that it has
	careless bool      // lets its token expire
	hasty    bool      // joins and leaves without waiting for what it asked for before, as a page does whose components mount and unmount
	rooms    map[string]*view
	order    []string // of rooms
	requests map[string]*request
	asked    int
	outbox   []*outgoing
	messages []string  // ids of own messages in channels
	socketIO *socketIO // nil: it speaks bellhop.v1
}

// view is what a device knows of one room.
type view struct {
	room   string
	wanted bool
	joined bool // on this socket
	busy   bool // a join or a leave is under way
	maybe  bool // a join was sent on this socket, and no leave was answered since
	asked  int  // joins and leaves that were sent; only the answer to the last one counts
	leaves bool // the last of them is a leave
	kept   kept
	// Seqs that the server did not have to tell of when the device was recovered.
	excused map[int64]bool
	// Until when a join or a leave that got no reply may still be running. What undoes it has to wait, since messages of
	// one connection run at the same time.
	joining, leaving time.Duration

	pos      *protocol.Position
	early    map[int64]protocol.Event // came before what is between
	checking bool                     // a look for gaps is on the agenda
	more     bool                     // the log is known to go on
	presence map[string]protocol.Occupant
	listed   bool // of all who were present at pos
	span     *span
}

// span is a stretch of a room's log that a device believes to have seen without a gap.
type span struct {
	dev  *device
	room string
	base int64         // nothing up to here: it came from somewhere else
	at   time.Duration // when it began
	seen []protocol.Event
	pos  int64
}

// request is an action that waits for its reply.
type request struct {
	reply func(*inbound)
	lost  func() // no reply came in time, or never will
}

// outgoing is a publish that is not acknowledged.
type outgoing struct {
	id, room, frame string
	asking          bool
	acked           func(protocol.PublishResult)
}

const (
	patience = 10 * time.Second // how long a client waits for a reply
	// longest is how long a message that was sent may still be running: on its way, and in the function.
	longest = messageTimeout + 6*time.Second
)

type verifier struct{}

// Verify reads tokens of the form "user|Unix milliseconds".
func (verifier) Verify(_ context.Context, token string) (hub.Identity, error) {
	user, ms, _ := strings.Cut(token, "|")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return hub.Identity{}, protocol.Refuse(protocol.CodeUnauthenticated)
	}
	if expires := time.UnixMilli(n); expires.After(time.Now()) {
		return hub.Identity{User: user, Name: user, Grants: everything(), Expires: expires}, nil
	}
	return hub.Identity{}, protocol.Refuse(protocol.CodeExpired)
}

func everything() hub.Grants {
	return hub.Grants{"*": {hub.GrantJoin, hub.GrantPublish}}
}

func (d *device) identity(expires time.Time) hub.Identity {
	return hub.Identity{User: d.user, Name: d.user, Grants: everything(), Expires: expires}
}

func (d *device) view(room string) *view {
	v := d.rooms[room]
	if v == nil {
		v = &view{room: room, early: map[int64]protocol.Event{}, presence: map[string]protocol.Occupant{}}
		d.rooms[room] = v
		d.order = append(d.order, room)
		slices.Sort(d.order)
	}
	return v
}

func (d *device) logf(format string, args ...any) {
	if d.w.traced {
		d.w.logf("client "+d.name+": "+format, args...)
	}
}

// newToken fetches a token, as an application would.
func (d *device) newToken() {
	life := time.Hour
	if d.w.chance(d.w.shortTokens) {
		life = d.w.between(2*time.Minute, 8*time.Minute)
	}
	if d.w.calm {
		life = 24 * time.Hour
	}
	d.expires = time.Now().Add(life).Truncate(time.Second)
}

// goOnline connects, unless the device is connected or about to be.
func (d *device) goOnline() {
	d.wanted = true
	if d.sock != nil {
		return
	}
	d.newToken()
	s := d.w.gateway.connect(d)
	d.sock, d.isOpen = s, false
	d.logf("connects as %s", s.id)
	if d.w.chance(0.1) && !d.w.calm { // an application greets whoever logs in, and need not wait for the connection
		d.w.after(d.w.between(0, 200*time.Millisecond), func() { d.w.program.publish(nil, []string{d.user}) })
	}
	d.w.after(15*time.Second, func() {
		if d.sock == s && !d.isOpen {
			d.logf("gives up connecting")
			if s.calm && s.alive() {
				d.w.violatef("handshake", []string{s.id}, "%s does not come to be", s.id)
			}
			d.w.gateway.drop(s, true)
			d.gone()
		}
	})
}

// goOffline ends the connection. clean: the other side hears of it.
func (d *device) goOffline(clean bool) {
	d.wanted = false
	if d.socketIO != nil && clean && d.isOpen {
		d.w.gateway.send(d.sock, "DISCONNECT", packet.AppendDisconnect(nil, "/"), false)
	}
	d.disconnect(clean)
}

func (d *device) disconnect(clean bool) {
	if d.sock == nil {
		return
	}
	d.logf("disconnects, clean %v", clean)
	d.w.gateway.drop(d.sock, clean)
	d.gone()
}

// gone forgets all that belongs to the connection, and connects again if it should.
func (d *device) gone() {
	wasOpen := d.isOpen
	d.sock, d.isOpen = nil, false
	for _, room := range d.order {
		v := d.rooms[room]
		if d.socketIO != nil && wasOpen {
			v.keep(d.w.elapsed())
		}
		v.joined, v.busy, v.maybe, v.joining, v.leaving = false, false, false, 0, 0
		if !v.kept.member {
			clear(v.early)
		}
	}
	for _, id := range sortedKeys(d.requests) {
		r := d.requests[id]
		delete(d.requests, id)
		r.lost()
	}
	if d.wanted {
		d.w.after(d.w.between(100*time.Millisecond, 3*time.Second), func() {
			if d.wanted {
				d.goOnline()
			}
		})
	}
}

// refused hears that the handshake failed.
func (d *device) refused(s *socket) {
	if d.sock == s {
		d.gone()
	}
}

// lost hears that the connection is closed.
func (d *device) lost(s *socket) {
	s.held = false
	if d.sock == s {
		d.logf("is closed")
		d.gone()
	}
}

// connected hears that the WebSocket is open.
func (d *device) connected(s *socket) {
	if d.sock != s {
		return
	}
	if s.server != open {
		s.held = false
		d.gone()
		return
	}
	s.up = true
	if d.socketIO == nil {
		d.begin(s)
	}
}

// begin goes to work on a connection that is open, after a handshake of the dialect's own.
func (d *device) begin(s *socket) {
	d.isOpen = true
	d.logf("is open")
	if !d.careless {
		d.renewLater(s)
	}
	for _, room := range d.order {
		d.tend(d.rooms[room])
	}
}

// renewLater renews the token before it expires.
func (d *device) renewLater(s *socket) {
	d.w.after(time.Until(d.expires)*4/5, func() {
		if d.sock == s && d.isOpen {
			d.renew()
			d.renewLater(s)
		}
	})
}

func (d *device) token() string { return fmt.Sprintf("%s|%d", d.user, d.expires.UnixMilli()) }

func (d *device) renew() {
	d.newToken()
	d.ask("auth", fmt.Sprintf(`"token":%q`, d.token()), "", func(in *inbound) {
		if !in.OK {
			d.retry(in, func() {})
		}
	}, func() {})
}

// ask sends an action and waits for its reply. id: of the action; empty: a new one.
func (d *device) ask(action, fields, id string, reply func(*inbound), lost func()) {
	d.asked++
	if id == "" {
		id = fmt.Sprintf("%s.%d", d.name, d.asked)
	}
	key := id
	if d.socketIO != nil {
		key = strconv.Itoa(d.asked) // the ack id
	}
	r := &request{reply: reply, lost: lost}
	d.requests[key] = r
	frame := d.frame(action, id, key, fields)
	d.logf("sends %s", frame)
	d.w.gateway.send(d.sock, action+" "+id, frame, action != "auth")
	d.w.after(patience, func() {
		if d.requests[key] == r {
			delete(d.requests, key)
			d.logf("got no reply to %s", id)
			lost()
		}
	})
}

// frame gives an action in the device's dialect. Empty id: it wants no reply.
func (d *device) frame(action, id, ack, fields string) []byte {
	if id != "" {
		fields = strings.TrimSuffix(fmt.Sprintf(`"id":%q,%s`, id, fields), ",")
	}
	if d.socketIO != nil {
		return fmt.Appendf(nil, `42%s[%q,{%s}]`, ack, action, fields)
	}
	return fmt.Appendf(nil, `{"action":%q,%s}`, action, fields)
}

// retry does what a refusal asks for, and then again what was refused.
func (d *device) retry(in *inbound, again func()) {
	wait := d.w.between(500*time.Millisecond, 2*time.Second)
	switch in.Error.Code {
	case protocol.CodeUnauthenticated:
		d.disconnect(true)
	case protocol.CodeExpired:
		d.renew()
	case protocol.CodeRateLimited:
		wait += time.Duration(in.Error.RetryAfterMs) * time.Millisecond
	case protocol.CodeInternal, protocol.CodeUnavailable, protocol.CodeNotInRoom:
	default:
		d.w.violatef("refused", []string{d.name}, "%s was refused: %s", d.name, in.Error.Code)
		return
	}
	d.w.after(wait, again)
}

// tend brings the membership of a room to what is wanted.
func (d *device) tend(v *view) {
	hurry := d.hasty && v.busy && v.wanted == v.leaves
	if !d.isOpen || v.busy && !hurry || !v.wanted && !v.maybe {
		return
	}
	if v.wanted && v.joined && !hurry {
		d.flush(v)
		return
	}
	act, wait := d.join, v.leaving
	if !v.wanted {
		act, wait = d.leave, v.joining
	}
	if wait -= d.w.elapsed(); wait > 0 && !d.hasty { // who is hasty relies on it that what was asked for last is what counts
		d.w.after(wait, func() { d.tend(v) })
		return
	}
	act(v)
}

func (d *device) join(v *view) {
	fields := fmt.Sprintf(`"room":%q`, v.room)
	if v.pos != nil {
		fields += fmt.Sprintf(`,"since":{"epoch":%q,"seq":%d},"listed":%t`, v.pos.Epoch, v.pos.Seq, v.listed)
	}
	v.busy, v.maybe, v.leaves = true, true, false
	v.asked++
	s, sent, n := d.sock, d.w.elapsed(), v.asked
	d.ask("join", fields, "", func(in *inbound) {
		if n != v.asked {
			return
		}
		v.busy = false
		if !in.OK && in.Error.Code == protocol.CodeForbidden && d.forbidden(v) {
			return
		}
		if !in.OK {
			d.retry(in, func() { d.recheck(s, v) })
			return
		}
		d.welcomed(v, in)
		d.tend(v)
	}, func() {
		if n != v.asked {
			return
		}
		v.busy = false
		if d.sock == s {
			v.joining = max(v.joining, sent+longest)
			d.recheck(s, v)
		}
	})
}

// recheck goes on with a room after a join that did not work.
func (d *device) recheck(s *socket, v *view) {
	if d.sock != s {
		return
	}
	if v.joined && v.wanted {
		d.look(v, time.Second, true)
		return
	}
	d.tend(v)
}

func (d *device) leave(v *view) {
	v.busy, v.leaves = true, true
	v.asked++
	s, sent, n := d.sock, d.w.elapsed(), v.asked
	again := func() {
		if d.sock == s {
			d.tend(v)
		}
	}
	d.ask("leave", fmt.Sprintf(`"room":%q`, v.room), "", func(in *inbound) {
		if n != v.asked {
			return
		}
		v.busy = false
		if !in.OK {
			v.joined = false
			d.w.after(time.Second, again)
			if in.Error.Code == protocol.CodeUnauthenticated {
				d.disconnect(true)
			}
			return
		}
		v.joined, v.maybe = false, false
		clear(v.early)
		again()
	}, func() {
		if n != v.asked {
			return
		}
		v.busy = false
		if d.sock == s {
			v.leaving = max(v.leaving, sent+longest)
			v.joined = false // or not: it is not known
			again()
		}
	})
}

// welcomed takes in the reply to a join.
func (d *device) welcomed(v *view, in *inbound) {
	var got protocol.JoinResult
	if err := json.Unmarshal(in.Data, &got); err != nil {
		d.w.violatef("frame", []string{d.name}, "%s: %v", in.Data, err)
		return
	}
	v.joined = true
	known := int64(-1)
	if got.Recovered && v.pos != nil {
		for _, e := range got.Events {
			d.apply(v, e)
		}
		known = v.pos.Seq
		v.pos.Seq = max(v.pos.Seq, got.Seq)
		v.span.pos = v.pos.Seq
	} else {
		if v.span != nil { // what was pushed after this position counts, though the position before it means nothing
			for _, e := range v.span.seen {
				if e.Seq > got.Seq {
					v.early[e.Seq] = e
				}
			}
		}
		v.pos = &protocol.Position{Epoch: got.Epoch, Seq: got.Seq}
		v.span = &span{dev: d, room: v.room, base: got.Seq, pos: got.Seq, at: d.w.elapsed()}
		d.w.ledger.spans = append(d.w.ledger.spans, v.span)
	}
	d.logf("is in %s at %d, recovered %v, more %v", v.room, v.pos.Seq, got.Recovered, got.More)
	if got.Presence != nil {
		v.listed = !got.PresenceMore
		clear(v.presence)
		for _, o := range got.Presence {
			v.presence[o.UserID] = o
		}
		// What was pushed meanwhile may be newer than the snapshot.
		for _, e := range v.span.seen {
			if e.Seq > got.Seq && e.Seq <= known {
				d.presence(v, e)
			}
		}
	}
	d.drain(v)
	switch {
	case got.More && len(got.Events) > 0:
		d.look(v, 0, true)
	case got.More: // something is being written
		d.look(v, time.Duration(max(got.WaitMs, 1000))*time.Millisecond, true)
	default:
		d.look(v, time.Second, false)
	}
	d.flush(v)
}

// flush sends what waited for its room.
func (d *device) flush(v *view) {
	for _, o := range slices.Clone(d.outbox) {
		if o.room == v.room {
			d.deliver(o)
		}
	}
}

// apply takes in an event that is known to be the next, or to be known already.
func (d *device) apply(v *view, e protocol.Event) {
	if e.Seq <= v.pos.Seq {
		return
	}
	v.pos.Seq, v.span.pos = e.Seq, e.Seq
	v.span.seen = append(v.span.seen, e)
	d.presence(v, e)
}

// presence follows the events of who is there.
func (d *device) presence(v *view, e protocol.Event) {
	switch e.Event {
	case protocol.UserOnline, protocol.PresenceChanged:
		var o protocol.Occupant
		if err := json.Unmarshal(e.Data, &o); err != nil {
			d.w.violatef("frame", []string{v.room}, "%s: %v", e.Data, err)
		}
		shown, is := v.presence[o.UserID]
		old := is && (o.Since < shown.Since || o.Since == shown.Since && o.Version < shown.Version)
		if !old && (is || e.Event == protocol.UserOnline) {
			v.presence[o.UserID] = o
		}
	case protocol.UserOffline:
		delete(v.presence, e.From.UserID)
	}
}

// drain takes in what came early and is next now.
func (d *device) drain(v *view) {
	for {
		e, ok := v.early[v.pos.Seq+1]
		if !ok {
			break
		}
		d.apply(v, e)
	}
	for seq := range v.early {
		if seq <= v.pos.Seq {
			delete(v.early, seq)
		}
	}
}

// look asks again, after a while, if something is missing then, or in any case.
func (d *device) look(v *view, wait time.Duration, anyway bool) {
	if !anyway && len(v.early) == 0 {
		return
	}
	v.more = v.more || anyway
	if v.checking {
		return
	}
	v.checking = true
	d.w.after(wait, func() {
		anyway := v.more
		v.checking, v.more = false, false
		if !d.isOpen || !v.joined || !v.wanted || !anyway && len(v.early) == 0 {
			return
		}
		if !v.busy {
			d.join(v)
			return
		}
		d.look(v, time.Second, anyway)
	})
}

// receive takes in a frame.
func (d *device) receive(s *socket, in *inbound) {
	if d.sock != s {
		return
	}
	if in.packet != nil && !d.take(s, in) {
		return
	}
	for _, one := range in.inner {
		d.receive(s, one)
		if d.sock != s {
			return
		}
	}
	switch {
	case in.Reply != nil:
		if r := d.requests[*in.Reply]; r != nil {
			delete(d.requests, *in.Reply)
			r.reply(in)
		}
	case in.Event == protocol.SessionEnding:
		d.logf("hears that its session ends")
	case in.Event == protocol.RoomClosed && in.Seq == 0:
		d.takenOut(in.Room)
	case in.Seq > 0:
		d.heard(in.event())
	}
}

// heard takes in a logged event that was pushed.
func (d *device) heard(e protocol.Event) {
	v := d.view(e.Room)
	if !v.wanted && !v.joined {
		return
	}
	d.logf("hears %s %d %s", e.Room, e.Seq, e.Event)
	switch {
	case v.pos == nil || !v.joined:
		v.early[e.Seq] = e // it is ordered when the join is answered
	case e.Seq <= v.pos.Seq:
	default:
		v.early[e.Seq] = e
		d.drain(v)
		d.look(v, time.Second, false)
	}
}

// squat publishes under an id that somebody else has used, or is about to: another user, a program or the server.
func (d *device) squat(room string) {
	w := d.w
	other := w.devices[w.rng.IntN(len(w.devices))]
	ids := []string{fmt.Sprintf("server.%d", w.program.n+1), "online:" + other.user + ":0"}
	for _, e := range w.ledger.room(room).entries {
		ids = append(ids, e.ID, "deleted:"+e.ID)
		var o protocol.Occupant
		if e.Event.Event == protocol.UserOnline && json.Unmarshal(e.Data, &o) == nil {
			ids = append(ids, fmt.Sprintf("offline:%s:%d", o.UserID, o.Since), fmt.Sprintf("changed:%s:%d:%d", o.UserID, o.Since, 2+w.rng.IntN(2)))
		}
	}
	id := ids[w.rng.IntN(len(ids))]
	if !w.taken[d.user+" "+room+" "+id] && protocol.CheckNewID(id) == nil { // for another event of its own it would be a conflict
		d.publish(room, protocol.MessageNew, id, `{"squat":true}`)
	}
}

// deleteMessage deletes a message of its own, if its log still has that.
func (d *device) deleteMessage() {
	if len(d.messages) == 0 || !d.isOpen {
		return
	}
	room, id, _ := strings.Cut(d.messages[d.w.rng.IntN(len(d.messages))], " ")
	if v := d.view(room); !v.joined || !v.wanted {
		return
	}
	d.ask("publish", fmt.Sprintf(`"room":%q,"event":%q,"data":{"messageId":%q}`, room, protocol.MessageDeleted, id), "", func(in *inbound) {
		var got protocol.PublishResult
		if in.OK && json.Unmarshal(in.Data, &got) == nil {
			d.w.ledger.acked(got)
		}
	}, func() {})
}

// publish sends an event until it is acknowledged.
func (d *device) publish(room, event, id, data string) {
	d.w.taken[d.user+" "+room+" "+id] = true
	o := &outgoing{id: id, room: room}
	o.frame = fmt.Sprintf(`"room":%q,"event":%q,"data":%s`, room, event, data)
	if event == protocol.MessageNew {
		o.acked = func(protocol.PublishResult) { d.messages = append(d.messages, room+" "+o.id) }
	}
	d.outbox = append(d.outbox, o)
	d.deliver(o)
}

// deliver sends a publish, and comes back as long as it is not acknowledged.
func (d *device) deliver(o *outgoing) {
	again := func(wait time.Duration) { d.w.after(wait, func() { d.deliver(o) }) }
	v := d.view(o.room)
	if o.asking || !slices.Contains(d.outbox, o) || !d.isOpen || !v.joined || !v.wanted {
		return // the next join takes it along
	}
	o.asking = true
	d.ask("publish", o.frame, o.id, func(in *inbound) {
		o.asking = false
		if !in.OK {
			if in.Error.Code == protocol.CodeNotInRoom {
				v.joined = false
				d.tend(v)
			}
			if in.Error.Code == protocol.CodeForbidden && d.forbidden(v) {
				d.outbox = slices.DeleteFunc(d.outbox, func(x *outgoing) bool { return x == o })
				return
			}
			d.retry(in, func() { d.deliver(o) })
			return
		}
		var got protocol.PublishResult
		if err := json.Unmarshal(in.Data, &got); err != nil || got.ID != o.id {
			d.w.violatef("frame", []string{o.room}, "%s: %v", in.Data, err)
		}
		d.outbox = slices.DeleteFunc(d.outbox, func(x *outgoing) bool { return x == o })
		d.w.ledger.acked(got)
		if o.acked != nil {
			o.acked(got)
		}
	}, func() {
		o.asking = false
		again(d.w.between(100*time.Millisecond, time.Second))
	})
}

// program is a server of the application's: it emits, until it is told that it worked.
type program struct {
	w *world
	n int
}

func (p *program) emit(c hub.Command) {
	var answer hub.Answer
	p.w.invoke(fmt.Sprintf("emit %T", c), emitTimeout, false, func(ctx context.Context, box sandbox) {
		answer = box.hub.Emit(ctx, c)
	}, func(ok bool) {
		if !ok || !answer.OK {
			if ok && !answer.Error.Code.Retry() {
				p.w.violatef("refused", nil, "%+v: %v", c, answer.Error)
				return
			}
			p.w.after(p.w.between(500*time.Millisecond, 5*time.Second), func() { p.emit(c) })
			return
		}
		if result, is := answer.Data.(hub.EmitResult); is {
			for _, r := range result.Results {
				if r.Seq > 0 {
					p.w.ledger.acked(protocol.PublishResult{Room: r.Room, Epoch: r.Epoch, Seq: r.Seq, ID: r.ID})
				}
			}
		}
	})
}

// publish emits one event to rooms and users.
func (p *program) publish(rooms, users []string) {
	p.n++
	p.emit(hub.PublishCommand{Rooms: rooms, Users: users, Event: "app:note", ID: fmt.Sprintf("server.%d", p.n), Data: fmt.Appendf(nil, `{"n":%d}`, p.n)})
}
