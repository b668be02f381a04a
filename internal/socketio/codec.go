package socketio

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// codecName is the codec of sockets in the main namespace, as it is stored; those in another have it with their namespace.
const codecName = "socketio"

// speech is how the events of rooms reach sockets in one namespace.
type speech struct{ namespace string }

var _ hub.Speech = speech{}

// codec is the name that is stored.
func (s speech) codec() string {
	if s.namespace == "/" {
		return codecName
	}
	return codecName + ":" + s.namespace
}

// speechOf is codec the other way round; false: it is not of this dialect.
func speechOf(codec string) (speech, bool) {
	name, namespace, _ := strings.Cut(codec, ":")
	if namespace == "" {
		namespace = "/"
	}
	return speech{namespace}, name == codecName
}

// EncodeEvent gives an EVENT, with an offset if the event is logged. A message that was deleted is told as deleted: handlers of
// message:new rely on its data.
func (s speech) EncodeEvent(e protocol.Event) ([]byte, error) {
	var r packet.Recovery
	if e.Event == protocol.MessageNew && e.Seq > 0 && (len(e.Data) == 0 || string(e.Data) == "null") {
		was := deleted{MessageID: e.ID, Seq: e.Seq}
		if e.From != nil {
			was.UserID = e.From.UserID
		}
		data, err := json.Marshal(was)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", protocol.MessageDeleted, err)
		}
		e.Event, e.Data = protocol.MessageDeleted, data
	}
	if e.Seq > 0 {
		r.Offset = offset(hub.Seen{At: time.UnixMilli(e.TS), Room: e.Room, Seq: e.Seq})
	}
	return packet.EncodeEvent(s.namespace, e, r)
}

// deleted is the data of message:deleted.
type deleted struct {
	MessageID string `json:"messageId"`
	UserID    string `json:"userId,omitempty"`
	Seq       int64  `json:"seq"`
}

// EncodeBatch gives them as they are: each packet is a frame.
func (speech) EncodeBatch(frames [][]byte) [][]byte { return frames }

// Farewell is the DISCONNECT after which clients do not come back by themselves.
func (s speech) Farewell() []byte { return packet.AppendDisconnect(nil, s.namespace) }

// Recall is no packet at all: whoever reads it closes the connection and opens another. Some clients, those in Java, wait for more
// after the server's close, until the ping timeout.
func (speech) Recall() []byte { return []byte(recall) }

const recall = `{"message":"This connection ends. Connect again."}`

// Wire is the connection of API Gateway's behind a socket, which a client's sockets share.
func (speech) Wire(socket string) string { return connectionOf(socket) }

// socketID names a client's socket in a namespace. To the hub it is a connection of its own, with rooms, a presence and a
// codec, as sockets of Socket.IO have them.
func socketID(connection, namespace string) string {
	if namespace == "/" {
		return connection
	}
	return connection + "#" + namespace
}

// connectionOf is the connection of a socket. API Gateway's ids have no '#'.
func connectionOf(socket string) string {
	connection, _, _ := strings.Cut(socket, "#")
	return connection
}

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
