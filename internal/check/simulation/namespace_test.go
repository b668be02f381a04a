package simulation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// side is a namespace beside the main one. To the hub a client's socket in it is a connection of its own.
const side = "/side"

// twin is a second socket of a client, on the same connection. It comes, joins a room and goes again, as often as it likes; in between it
// may be in the room or not, since its client does not ask twice. Where it is, it types, and publishes until that is acknowledged. What
// either socket does to the other is what it is for.
type twin struct {
	sent  bool // its CONNECT, on this connection
	ready bool // that was answered

	room string // that it has asked to be in
	said string // the id of what it has said there; empty: nothing
	done bool   // that was acknowledged
}

// The ack ids of second sockets. The others have smaller ones.
const (
	asideJoin = 1_000_000 + iota
	asidePublish
)

// twinOf is how the hub names a second socket.
func twinOf(connection string) string { return connection + "#" + side }

// wireOf is the connection of a socket; twins reports whether it is a second one.
func wireOf(id string) (connection string, twins bool) {
	connection, _, twins = strings.Cut(id, "#")
	return connection, twins
}

// socketIn is the socket that a frame is for.
func (s *socket) socketIn(in *inbound) string {
	if in.packet != nil && in.packet.Namespace == side {
		return twinOf(s.id)
	}
	return s.id
}

// comeTwice connects a second socket, and has it go after a while.
func (d *device) comeTwice() {
	s := d.sock
	if d.socketIO == nil || !d.isOpen || s.twin.sent {
		return
	}
	s.twin = twin{sent: true}
	token := ""
	if !d.socketIO.query {
		token = fmt.Sprintf(`{"token":%q}`, d.token())
	}
	d.logf("connects to %s", side)
	d.w.gateway.send(s, "CONNECT "+side, []byte("40"+side+","+token), false)
	d.w.after(d.w.between(time.Second, time.Minute), func() { d.leaveSide(s) })
}

// leaveSide says that the second socket ends. What it asked for before is over by then: its frames overtake each other, and it does not look
// after what they leave.
func (d *device) leaveSide(s *socket) {
	if d.sock != s || !d.isOpen || !s.twin.ready {
		return
	}
	s.twin = twin{}
	d.w.stats.twins++
	d.logf("leaves %s", side)
	d.w.gateway.send(s, "DISCONNECT "+side, packet.AppendDisconnect(nil, side), false)
}

// takeAside takes in a packet for the second socket.
func (d *device) takeAside(s *socket, p *packet.Packet) {
	switch p.Type {
	case packet.Connect:
		s.twin.ready, s.twin.room = s.twin.sent, d.w.shared()
		frame := fmt.Appendf(nil, `42%s,%d["join",{"room":%q}]`, side, asideJoin, s.twin.room)
		d.w.gateway.send(s, "join "+side, frame, true)
	case packet.Ack:
		d.answeredAside(s, p)
	case packet.ConnectError, packet.Disconnect:
		s.twin = twin{}
	default: // what it hears is what the other sockets hear
	}
}

// answeredAside takes in an answer for the second socket.
func (d *device) answeredAside(s *socket, p *packet.Packet) {
	var answer struct {
		OK   bool
		Data json.RawMessage
	}
	if args := p.Args(); len(args) != 1 || json.Unmarshal(args[0], &answer) != nil {
		d.w.violatef("frame", []string{s.id}, "%s was answered %s", side, p.Data)
		return
	}
	switch {
	case !answer.OK || !s.twin.ready: // it does not ask twice to be let in, and what it says is said again
	case *p.ID == asideJoin && s.twin.said == "":
		d.w.program.n++
		s.twin.said = fmt.Sprintf("%s.aside%d", d.name, d.w.program.n)
		d.w.taken[d.user+" "+s.twin.room+" "+s.twin.said] = true
		d.w.gateway.send(s, "signal "+side, fmt.Appendf(nil, `42%s,["signal",{"room":%q,"event":"typing:start"}]`, side, s.twin.room), false)
		d.publishAside(s, s.twin)
	case *p.ID == asidePublish:
		var got protocol.PublishResult
		if err := json.Unmarshal(answer.Data, &got); err != nil || got.ID == "" {
			d.w.violatef("frame", []string{s.id}, "%s: %v", answer.Data, err)
			return
		}
		d.w.ledger.acked(got)
		if got.ID == s.twin.said {
			s.twin.done = true
			d.w.stats.aside++
		}
	}
}

// publishAside has the second socket say something, again for as long as it is the same and has no answer.
func (d *device) publishAside(s *socket, t twin) {
	if d.sock != s || !d.isOpen || s.twin.done || s.twin != t {
		return
	}
	d.logf("says %s in %s", t.said, side)
	frame := fmt.Appendf(nil, `42%s,%d["publish",{"id":%q,"room":%q,"event":%q,"data":{"aside":%q}}]`, side, asidePublish, t.said, t.room, protocol.MessageNew, t.said)
	d.w.gateway.send(s, "publish "+side, frame, true)
	d.w.after(patience, func() { d.publishAside(s, t) })
}

// astray is what a planted bug makes of an answer: that to the one socket goes to the other.
func (p plant) astray(reply []byte) []byte {
	if rest, is := bytes.CutPrefix(reply, []byte("43"+side+",")); is && p.answersOther {
		return append([]byte("43"), rest...)
	}
	return reply
}

// misled is what a planted bug makes of a frame: the end of the one socket is taken for that of the other.
func (p plant) misled(frame []byte) []byte {
	if p.endsBoth && strings.HasPrefix(string(frame), "41"+side) {
		return packet.AppendDisconnect(nil, "/")
	}
	return frame
}

// present are those of a user's connections that are no second sockets. beside: there are some of these, and their connections are open.
func (l *ledger) present(h hub.Here) (ids []string, beside bool) {
	for _, id := range h.Connections() {
		wire, twins := wireOf(id)
		if s := l.w.gateway.sockets[wire]; twins && s != nil && s.alive() {
			beside = true
		} else {
			ids = append(ids, id)
		}
	}
	return ids, beside
}

// besides reports whether a user is in a room by a second socket.
func (l *ledger) besides(room, user string) bool {
	h, err := l.w.store.real.Here(plain, room, user)
	if err != nil || protocol.RoomKind(room) == "user" {
		return false
	}
	_, beside := l.present(h)
	return beside
}
