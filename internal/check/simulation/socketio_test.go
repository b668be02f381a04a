package simulation

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// socketIO is what a device has of its session, if it is a client of Socket.IO.
type socketIO struct {
	query    bool          // its token is in the handshake, and not in the CONNECT
	pid      string        // of its last session, to be recovered with
	offset   string        // the last that an event had
	seen     seen          // what that event was or, before the first, when the session began
	patience time.Duration // how long it waits for a ping
	buffered []*inbound    // came before the answer to CONNECT
}

// seen is how far a client's session goes.
type seen struct {
	at   time.Time
	room string // empty: no event
	seq  int64
}

// kept is what a device remembers of a room when its connection has ended.
type kept struct {
	member  bool // it was in it, and was not waiting for anything of it
	entered bool // it may have been in it
}

func (v *view) keep(now time.Duration) {
	v.kept = kept{
		member:  v.joined && v.wanted && !v.busy && !v.more && v.leaving <= now,
		entered: v.joined || v.maybe,
	}
}

// readPacket reads a frame of Socket.IO.
func (in *inbound) readPacket(frame []byte) error {
	p, err := packet.Decode(frame)
	if err != nil {
		return err
	}
	in.packet = &p
	args := p.Args()
	switch {
	case p.Engine != packet.Message:
	case p.Type == packet.Ack && len(args) == 1:
		in.Reply = new(strconv.FormatUint(*p.ID, 10))
		return json.Unmarshal(args[0], in)
	case p.Type == packet.Event && (len(args) == 3 || len(args) == 4):
		if err := json.Unmarshal(args[0], &in.Event); err != nil {
			return err
		}
		e, err := packet.DecodeEvent(frame) // knows what was added to the data
		if err != nil {
			return err
		}
		if in.Data = e.Data; in.Data == nil {
			in.Data = args[1]
		}
		if len(args) == 4 {
			if err := json.Unmarshal(args[3], &in.offset); err != nil {
				return err
			}
		}
		return json.Unmarshal(args[2], in)
	case p.Type == packet.Event && len(args) == 2 && p.ID != nil: // it is asked
		in.Data = args[1]
		return json.Unmarshal(args[0], &in.Event)
	case p.Type == packet.Ack, p.Type == packet.Event:
		return fmt.Errorf("it has %d arguments", len(args))
	}
	return nil
}

// caller is what API Gateway says of a frame's sender: nothing, if the token came later.
func (c *socketIO) caller(d *device, s *socket, at time.Time) hub.Caller {
	if !c.query {
		return hub.Caller{Connection: s.id, At: at}
	}
	return hub.Caller{Connection: s.id, User: d.user, Name: d.user, Grants: everything(), Expires: s.expires, At: at}
}

// take takes in a packet, and says whether there is an event or a reply in it.
func (d *device) take(s *socket, in *inbound) bool {
	p := in.packet
	if p.Engine == packet.Message && p.Namespace == side {
		d.takeAside(s, p)
		return false
	}
	switch p.Engine {
	case packet.Open:
		d.greet(s, p.Data)
	case packet.Ping:
		d.w.gateway.send(s, "pong", packet.Pong.Frame(), true)
		d.awaitPing(s)
	case packet.Close:
		d.disconnect(true)
	case packet.Message:
		return d.takeMessage(s, in)
	default: // a noop
	}
	return false
}

func (d *device) takeMessage(s *socket, in *inbound) bool {
	switch in.packet.Type {
	case packet.Connect:
		d.answered(s, in.packet.Data)
	case packet.ConnectError:
		d.denied(in.packet.Data)
	case packet.Disconnect: // its application calls connect again
		d.logf("is disconnected")
		d.disconnect(true)
	case packet.Ack:
		if *in.packet.ID >= asideJoin {
			d.w.violatef("astray", []string{s.id}, "%s got what %s has asked for: %s", s.id, side, in.packet.Data)
			return false
		}
		return true
	case packet.Event:
		if in.packet.ID != nil {
			d.answer(s, in)
			return false
		}
		if in.Seq > 0 {
			s.heard[placeOf(in.Room, in.Seq)] = true
		}
		if !d.isOpen {
			d.socketIO.buffered = append(d.socketIO.buffered, in)
			return false
		}
		if in.offset != "" {
			d.socketIO.offset, d.socketIO.seen = in.offset, seen{time.UnixMilli(in.TS), in.Room, in.Seq}
		}
		return true
	default:
		d.w.violatef("frame", []string{d.name}, "%s got a packet of type %c", d.name, in.packet.Type)
	}
	return false
}

func placeOf(room string, seq int64) string { return fmt.Sprintf("%s %d", room, seq) }

// greet answers the open packet with a CONNECT, with which a client that had a session asks for it again.
func (d *device) greet(s *socket, data json.RawMessage) {
	if s.greeted > 0 {
		return
	}
	var h struct{ PingInterval, PingTimeout int64 }
	if err := json.Unmarshal(data, &h); err != nil {
		d.w.violatef("frame", []string{d.name}, "%s: %v", data, err)
	}
	c := d.socketIO
	c.patience = time.Duration(h.PingInterval+h.PingTimeout) * time.Millisecond
	d.awaitPing(s)
	if d.w.chance(0.1) { // its page was loaded anew
		c.pid, c.offset, c.seen = "", "", seen{}
	}
	auth := map[string]string{}
	if !c.query {
		auth["token"] = d.token()
	}
	if c.pid != "" {
		auth["pid"] = c.pid
		if c.offset != "" {
			auth["offset"] = c.offset
		}
	}
	if other := d.w.devices[d.w.rng.IntN(len(d.w.devices))]; other.user != d.user && other.socketIO != nil && d.w.chance(0.1) {
		auth["pid"], auth["offset"] = other.socketIO.pid, other.socketIO.offset // of somebody else's session
		c.pid, c.offset, c.seen = "", "", seen{}
	}
	text, err := json.Marshal(auth)
	if err != nil {
		panic(err)
	}
	s.greeted = d.w.elapsed()
	c.buffered = nil
	frame := append([]byte("40"), text...)
	d.logf("sends %s", frame)
	d.w.gateway.send(s, "CONNECT", frame, true)
}

// awaitPing gives the connection up when no other ping comes in time.
func (d *device) awaitPing(s *socket) {
	s.pings++
	n := s.pings
	d.w.after(d.socketIO.patience, func() {
		if d.sock != s || s.pings != n {
			return
		}
		d.logf("hears no ping")
		if s.calm && s.alive() {
			d.w.violatef("no ping", []string{s.id}, "%s has got no ping in %v", s.id, d.socketIO.patience)
		}
		d.disconnect(true)
	})
}

// answered takes in the answer to CONNECT. A session is recovered if it has its private id again: then the device is in
// its rooms, and has been pushed what it missed there. It relies on that in some, and joins the others as ever.
func (d *device) answered(s *socket, data json.RawMessage) {
	var got struct{ SID, PID string }
	if err := json.Unmarshal(data, &got); err != nil || got.SID == "" || d.isOpen {
		d.w.violatef("frame", []string{d.name}, "%s got the answer %s", d.name, data)
		return
	}
	c := d.socketIO
	recovered := got.PID != "" && got.PID == c.pid // there is none after a CONNECT that came twice and failed once
	if recovered {
		d.w.stats.recovered++
	}
	d.logf("is welcome, recovered %v", recovered)
	for _, room := range d.order {
		v := d.rooms[room]
		k := v.kept
		v.kept, v.excused = kept{}, nil
		if !recovered {
			clear(v.early)
			continue
		}
		v.maybe = k.entered
		if !k.member {
			continue
		}
		d.w.ledger.mustHear(s, v)
		if v.wanted && d.w.chance(0.5) {
			d.logf("relies on being in %s at %d", room, v.pos.Seq)
			v.joined = true
			d.look(v, time.Second, false)
		}
	}
	c.pid = got.PID
	if c.offset == "" {
		c.seen = seen{at: time.Now()}
	}
	d.isOpen = true
	for _, in := range c.buffered {
		d.receive(s, in)
	}
	d.begin(s)
}

// denied takes in the refusal of a CONNECT.
func (d *device) denied(data json.RawMessage) {
	var got struct {
		Data struct{ Code protocol.Code }
	}
	if err := json.Unmarshal(data, &got); err != nil || got.Data.Code != protocol.CodeExpired {
		d.w.violatef("refused", []string{d.name}, "the CONNECT of %s was refused: %s", d.name, data)
	}
	d.disconnect(true)
}

// slack is how much later than other events one may reach a client for recovery to know of it, as in package hub.
const slack = 5 * time.Second

// mustHear holds that a client which was recovered is pushed all that it had not got of a room when it asked: nobody
// tells it to look for it.
func (l *ledger) mustHear(s *socket, v *view) {
	v.excused = map[int64]bool{}
	var missed []*ledgerEntry
	for _, e := range l.room(v.room).entries {
		_, early := v.early[e.Seq]
		switch {
		case e.Seq <= v.pos.Seq || early || e.at >= s.greeted:
		case s.dev.socketIO.promised(e):
			missed = append(missed, e)
		default:
			v.excused[e.Seq] = true
		}
	}
	l.w.after(slack, func() { // later than any frame
		for _, e := range missed {
			if s.alive() && !s.heard[placeOf(v.room, e.Seq)] {
				l.w.violatef("missed by recovery", []string{placeOf(v.room, e.Seq), s.dev.name},
					"%s was recovered, and was not pushed %s %d %s", s.id, v.room, e.Seq, e.Event.Event)
			}
		}
	})
}

// promised: a client tells of one event that it has seen, and recovery takes it that all else has arrived which was logged
// until the slack before. It cannot know of what had not:
//   - An event that was on its way for longer than the slack, and did not wait in the queue.
//   - One that was overtaken by the event that the client tells of, in the same room.
func (c *socketIO) promised(e *ledgerEntry) bool {
	return e.TS > c.seen.at.Add(-slack).UnixMilli() && (e.Room != c.seen.room || e.Seq > c.seen.seq)
}
