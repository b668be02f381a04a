package gateway

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Close codes and the reasons that go with them, as clients see them and as $disconnect reports them.
const (
	codeNormal      = 1000
	codeGoingAway   = 1001
	codeProtocol    = 1002
	codeUnsupported = 1003
	codeNoStatus    = 1005
	codeAbnormal    = 1006
	codeInvalid     = 1007
	codeTooBig      = 1009
	maxCloseCode    = 4999 // RFC 6455 section 7.4.2 knows none above

	reasonNormal    = "Connection Closed Normally"
	reasonGoingAway = "Going away"
	reasonNoStatus  = "Client-side close frame status not set"
	reasonLost      = "Connection lost" // UNCONFIRMED wording
)

// Frame is a message encoded once for any number of receivers: frames from a server are not masked, so the bytes are the same for all.
// It is immutable.
type Frame struct {
	wire    []byte
	size    int  // of the message
	message bool // not a control frame or a handshake
}

// NewFrame encodes data, which it copies. A message above 32 KB becomes several frames of at most 32 KB; whether AWS frames posts so is
// UNCONFIRMED and invisible to browsers. Data that is not UTF-8 goes in a binary frame, because a text frame would make the client fail
// the connection (UNCONFIRMED).
func NewFrame(data []byte) *Frame {
	op := ws.OpText
	if !utf8.Valid(data) {
		op = ws.OpBinary
	}
	frames := max(1, (len(data)+maxFrame-1)/maxFrame)
	f := &Frame{wire: make([]byte, 0, len(data)+4*frames), size: len(data), message: true}
	for i := range frames {
		part := data[i*maxFrame : min(len(data), (i+1)*maxFrame)]
		f.wire = appendFrame(f.wire, op, i == frames-1, part)
		op = ws.OpContinuation
	}
	return f
}

// appendFrame appends an unmasked frame of at most 32 KB.
func appendFrame(b []byte, op ws.OpCode, fin bool, payload []byte) []byte {
	first := byte(op)
	if fin {
		first |= 0x80
	}
	if n := len(payload); n < 126 {
		b = append(b, first, byte(n))
	} else {
		b = append(b, first, 126)
		b = binary.BigEndian.AppendUint16(b, uint16(n)) //nolint:gosec // n is at most 32 KB
	}
	return append(b, payload...)
}

func newPong(payload []byte) *Frame {
	return &Frame{wire: appendFrame(nil, ws.OpPong, true, payload)}
}

// newClose encodes a close frame; codes that must not appear on the wire give an empty one.
func newClose(code int, reason string) *Frame {
	var body []byte
	if code != codeNoStatus && code != codeAbnormal {
		body = ws.NewCloseFrameBody(ws.StatusCode(code), reason) //nolint:gosec // codes are below 5000
	}
	return &Frame{wire: appendFrame(nil, ws.OpClose, true, body)}
}

// payload is the message's data, for observers: the single frame's own bytes, which nobody may change, or joined again.
func (f *Frame) payload() []byte {
	if f.size <= maxFrame {
		return f.wire[len(f.wire)-f.size:]
	}
	out := make([]byte, 0, f.size)
	for b := f.wire; len(b) > 1; {
		n, skip := int(b[1]), 2
		if n == 126 {
			n, skip = int(binary.BigEndian.Uint16(b[2:])), 4
		}
		out = append(out, b[skip:skip+n]...)
		b = b[skip+n:]
	}
	return out
}
