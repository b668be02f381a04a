package socketio

import (
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// codecName is the name of the codec of connections in the main namespace; those in another have it with their namespace.
const codecName = "socketio"

// Codec is how the events of rooms reach clients of Socket.IO in one namespace.
type Codec struct {
	Namespace string
}

var (
	_ protocol.Codec = Codec{}
	_ hub.Farewell   = Codec{}
)

// Codecs gives those of all namespaces that a server has.
func Codecs(o Options) []protocol.Codec {
	var list []protocol.Codec
	for _, n := range o.namespaces() {
		list = append(list, Codec{n})
	}
	return list
}

// Name is [protocol.Codec].Name.
func (c Codec) Name() string {
	if c.Namespace == "/" {
		return codecName
	}
	return codecName + ":" + c.Namespace
}

// codecOf is the codec of a name, and whether it is one of this dialect.
func codecOf(name string) (Codec, bool) {
	name, namespace, _ := strings.Cut(name, ":")
	if namespace == "" {
		namespace = "/"
	}
	return Codec{namespace}, name == codecName
}

// Decode is [protocol.Codec].Decode. Frames of this dialect may be more than actions: [Server].Receive reads them.
func (Codec) Decode(frame []byte) (protocol.Action, error) {
	p, err := packet.Decode(frame)
	if err != nil {
		return protocol.Action{}, protocol.Errorf(protocol.CodeBadRequest, "%s", err.Error())
	}
	return packet.Action(p)
}

// EncodeEvent is [protocol.Codec].EncodeEvent.
func (c Codec) EncodeEvent(e protocol.Event) ([]byte, error) {
	var r packet.Recovery
	if e.Seq > 0 {
		r.Offset = offset(hub.Seen{At: time.UnixMilli(e.TS), Room: e.Room, Seq: e.Seq})
	}
	return packet.EncodeEvent(c.Namespace, e, r)
}

// EncodeReply is [protocol.Codec].EncodeReply. Replies of this dialect are ACKs, whose id is not the action's: there is
// nothing to send.
func (Codec) EncodeReply(protocol.Reply) ([]byte, error) { return packet.Noop.Frame(), nil }

// EncodeBatch is [protocol.Codec].EncodeBatch: each packet is a frame.
func (Codec) EncodeBatch(frames [][]byte) [][]byte { return frames }

// Farewell is the DISCONNECT after which clients do not come back by themselves.
func (c Codec) Farewell() []byte { return packet.AppendDisconnect(nil, c.Namespace) }

// offset is what a client has seen, as a text: milliseconds, seq and room.
func offset(s hub.Seen) string {
	return strconv.FormatInt(s.At.UnixMilli(), 36) + ":" + strconv.FormatInt(s.Seq, 36) + ":" + s.Room
}

// parseOffset reads an offset. Clients take any text for one that ends an event, so one that is none is no error.
func parseOffset(text string) (hub.Seen, bool) {
	at, rest, _ := strings.Cut(text, ":")
	seq, room, _ := strings.Cut(rest, ":")
	ms, err := strconv.ParseInt(at, 36, 64)
	if err != nil || protocol.CheckRoom(room) != nil {
		return hub.Seen{}, false
	}
	n, err := strconv.ParseInt(seq, 36, 64)
	return hub.Seen{At: time.UnixMilli(ms), Room: room, Seq: n}, err == nil && n > 0
}
