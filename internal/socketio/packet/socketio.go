// Package packet reads and writes the text frames of Socket.IO v5 over Engine.IO v4, so that an unmodified
// socket.io-client speaks with Bellhop. It is a dialect beside bellhop.v1 and a pure codec: it holds no connection, no
// clock and no state. The two documents that it follows, cited below as EIO and SIO, by section:
//
//   - EIO: https://github.com/socketio/socket.io/blob/main/docs/engine.io-protocol/v4-current.md
//   - SIO: https://github.com/socketio/socket.io/blob/main/docs/socket.io-protocol/v5-current.md
//
// # A frame
//
// The first character is the Engine.IO type (EIO "Protocol"). In a message, 4, a Socket.IO packet follows (SIO "Format"):
//
//	4<type>[<namespace>,][<ack id>][<JSON>]
//
//	S> 0{"sid":"…","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":32768}    the client waits for it
//	C> 40{"token":"…"}                                        S> 40{"sid":"…"}  or  44{"message":"…","data":{…}}
//	C> 420["join",{"room":"channel:42"}]                      S> 430[{"ok":true,"data":{"room":"channel:42",…}}]
//	C> 421["leave:channel","43"]                              S> 431[{"ok":false,"error":{"code":"not_in_room",…}}]
//	S> 42["message:new",{"content":"hi"},{"room":"channel:42","seq":58,"id":"01J","from":{…},"ts":…}]
//	S> 2                                                      C> 3
//	C> 41                                                     the namespace is left
//
// # Events and actions
//
// An event that a client emits is an action of bellhop.v1 by its name: [Action] has the table. The ack id asks for the
// reply and is nothing more. It counts from 0 in every client, so it must never be taken for the id of bellhop.v1, which
// tells one publish from another: a client that wants that puts "id" into the object it emits. [EncodeReply] and
// [EncodeEvent] say what comes back.
//
// # What the caller has to hold
//
// The order of packets: CONNECT comes first in every namespace, a second one, a CONNECT_ERROR, and anything in a
// namespace that was not joined end the connection (SIO "Connection to a namespace"). So does every frame that [Decode]
// refuses (SIO "Sending and receiving data", and both test suites); after [ErrBinary] it is kind to say why first. A ping
// of the client is no error here, but only the server pings (EIO "Heartbeat"). Each packet is a WebSocket message of its
// own (EIO "WebSocket"): there are no batches.
package packet

import (
	"encoding/json"
	"errors"
)

// Engine is the type of an Engine.IO packet: the first character of a frame.
type Engine byte

// The types of EIO "Protocol".
const (
	Open    Engine = '0' // the server's first frame; Data: see [Handshake]
	Close   Engine = '1'
	Ping    Engine = '2' // the server's
	Pong    Engine = '3' // the client's answer
	Message Engine = '4' // holds a Socket.IO packet
	Upgrade Engine = '5' // never of use on a connection that began as a WebSocket
	Noop    Engine = '6' // ignored by clients; it does not put off their ping timeout
)

// Frame is the whole frame of a packet without payload, such as Ping or Noop.
func (e Engine) Frame() []byte { return []byte{byte(e)} }

// Type is the type of a Socket.IO packet: the second character of a message. Zero: the frame holds none.
type Type byte

// The types of SIO "Exchange protocol".
const (
	Connect      Type = '0' // Data: an object, or nothing
	Disconnect   Type = '1' // no Data
	Event        Type = '2' // Data: an array that begins with the name
	Ack          Type = '3' // Data: an array; ID: the event's
	ConnectError Type = '4' // the server's; Data: an object with "message", or a string
	BinaryEvent  Type = '5' // refused with ErrBinary
	BinaryAck    Type = '6' // the same
)

// Packet is one decoded frame.
type Packet struct {
	Engine    Engine
	Type      Type   // the fields from here on belong to a Message
	Namespace string // as the client wrote it, which is how it has to be answered; the main one is "/"
	ID        *uint64
	Data      json.RawMessage // valid JSON of the shape that the type asks for, or nil; Open has it too
}

// Args are the elements of Data: of an EVENT its name and arguments, of an ACK its arguments.
func (p Packet) Args() []json.RawMessage {
	var args []json.RawMessage
	if json.Unmarshal(p.Data, &args) != nil {
		return nil
	}
	return args
}

// Reserved reports whether a client would take an event of this name for one of its own (the list of socket.io-parser):
// it closes the connection on an EVENT that has such a name.
func Reserved(event string) bool {
	switch event {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}

// Why a frame is refused. Each is a sentence that may be shown to people.
var (
	ErrTooLarge     = errors.New("the frame is larger than a client may send")
	ErrUTF8         = errors.New("the frame is not valid UTF-8")
	ErrEmpty        = errors.New("the frame is empty, or a message without a packet in it")
	ErrEngine       = errors.New("the frame does not begin with an Engine.IO packet type, 0 to 6")
	ErrOpen         = errors.New("an open packet has a JSON object or nothing")
	ErrBinary       = errors.New("binary data is not supported; send it as base64 in JSON")
	ErrType         = errors.New("the message does not begin with a Socket.IO packet type, 0 to 6")
	ErrID           = errors.New("an ack id is a whole number up to 2^53-1, on an EVENT or an ACK; an ACK has one")
	ErrConnect      = errors.New("the payload of CONNECT must be a JSON object or nothing")
	ErrDisconnect   = errors.New("DISCONNECT has no payload")
	ErrEvent        = errors.New("the payload of EVENT must be a JSON array that begins with the event's name, a string or a number")
	ErrReserved     = errors.New("the event has a name that Socket.IO keeps for itself, such as connect or disconnect")
	ErrAck          = errors.New("the payload of ACK must be a JSON array")
	ErrConnectError = errors.New("the payload of CONNECT_ERROR must be a JSON object or a string")
)
