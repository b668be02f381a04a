package packet

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// The functions below append to dst what the socket.io 4.8 server writes, byte for byte. A namespace begins with "/" and
// has no comma; ids are at most 2^53-1; arguments and data are valid JSON.

// MaxHeartbeat is the most that PingInterval and PingTimeout may be together: clients arm one timer with the sum, and a
// JavaScript timer that is longer fires at once, which ends the connection.
const MaxHeartbeat = (1<<31 - 1) * time.Millisecond

// Handshake is what the server opens a session with: EIO "Handshake". The client sends nothing before it. Sent twice it
// does no harm.
type Handshake struct {
	SID          string
	PingInterval time.Duration // how often the server promises to ping; in whole milliseconds, like PingTimeout
	PingTimeout  time.Duration // the client gives up after PingInterval and PingTimeout without a ping
	MaxPayload   int           // bytes; clients heed it in polling only, so on a WebSocket it protects nothing
}

// AppendOpen appends an open packet. There is nothing to upgrade to from a WebSocket.
func AppendOpen(dst []byte, h Handshake) []byte {
	dst = appendString(append(dst, `0{"sid":`...), h.SID)
	dst = append(dst, `,"upgrades":[],"pingInterval":`...)
	dst = strconv.AppendInt(dst, h.PingInterval.Milliseconds(), 10)
	dst = append(dst, `,"pingTimeout":`...)
	dst = strconv.AppendInt(dst, h.PingTimeout.Milliseconds(), 10)
	dst = append(dst, `,"maxPayload":`...)
	dst = strconv.AppendInt(dst, int64(h.MaxPayload), 10)
	return append(dst, '}')
}

// AppendConnect appends the consent to a CONNECT. The id of the socket is public and outlives no connection unless it is
// recovered; pid, the private id that a client proves itself with when it comes back, is left out when empty, and then
// the client never asks for recovery.
func AppendConnect(dst []byte, namespace, sid, pid string) []byte {
	dst = appendString(append(appendHead(dst, Connect, namespace, nil), `{"sid":`...), sid)
	if pid != "" {
		dst = appendString(append(dst, `,"pid":`...), pid)
	}
	return append(dst, '}')
}

// AppendConnectError appends the refusal of a CONNECT. Data, if not nil, is "data" of the error that the client throws.
// Clients do not try again by themselves after it.
func AppendConnectError(dst []byte, namespace, message string, data json.RawMessage) []byte {
	dst = appendString(append(appendHead(dst, ConnectError, namespace, nil), `{"message":`...), message)
	if data != nil {
		dst = append(append(dst, `,"data":`...), data...)
	}
	return append(dst, '}')
}

// AppendEvent appends an EVENT; with an id it asks the client for an ACK. The name must not be [Reserved].
func AppendEvent(dst []byte, namespace string, id *uint64, name string, args ...json.RawMessage) []byte {
	dst = appendString(append(appendHead(dst, Event, namespace, id), '['), name)
	for _, arg := range args {
		dst = append(append(dst, ','), arg...)
	}
	return append(dst, ']')
}

// AppendAck appends the ACK of the event with that id.
func AppendAck(dst []byte, namespace string, id uint64, args ...json.RawMessage) []byte {
	dst = append(appendHead(dst, Ack, namespace, &id), '[')
	for i, arg := range args {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, arg...)
	}
	return append(dst, ']')
}

// AppendDisconnect appends a DISCONNECT: the client is out of the namespace and does not come back by itself.
func AppendDisconnect(dst []byte, namespace string) []byte {
	return appendHead(dst, Disconnect, namespace, nil)
}

// appendHead appends everything before the payload: SIO "Format".
func appendHead(dst []byte, t Type, namespace string, id *uint64) []byte {
	dst = append(dst, byte(Message), byte(t))
	if namespace != "/" {
		dst = append(append(dst, namespace...), ',')
	}
	if id != nil {
		dst = strconv.AppendUint(dst, *id, 10)
	}
	return dst
}

// appendString is JSON.stringify of a string. encoding/json also escapes U+2028 and U+2029, which JavaScript does not.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			dst = append(dst, '\\', byte(r))
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			if r < ' ' {
				const hex = "0123456789abcdef"
				dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
				continue
			}
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
