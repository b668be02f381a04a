package packet

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// maxID is the highest ack id that survives a JavaScript number.
const maxID = 1<<53 - 1

// Decode reads one text frame of [protocol.MaxClientFrame] bytes at most. Data points into the frame. With an error the
// packet holds what could be read, for an answer: after [ErrBinary] that is the namespace and the ack id.
//
// It refuses what the reference parsers refuse, and some frames which those let pass: an EVENT, an ACK or a CONNECT_ERROR
// without payload and an ACK without id, where SIO asks for them; ids on other types; ids that a JavaScript number does
// not hold; white space before the payload, which the reference reads as a digit 0; an open packet that is no object. What
// follows the type of a close, ping, pong, upgrade or noop packet is not looked at, as in the reference.
func Decode(frame []byte) (Packet, error) {
	if len(frame) > protocol.MaxClientFrame {
		return Packet{}, ErrTooLarge
	}
	return decode(frame)
}

// decode is Decode of a frame of any size.
func decode(frame []byte) (Packet, error) {
	switch {
	case len(frame) == 0:
		return Packet{}, ErrEmpty
	case !utf8.Valid(frame):
		return Packet{}, ErrUTF8
	}
	p, rest := Packet{Engine: Engine(frame[0])}, frame[1:]
	var err error
	switch p.Engine {
	case Open:
		if len(rest) > 0 {
			p.Data = rest
			err = need(kind(rest) == '{', ErrOpen)
		}
	case Close, Ping, Pong, Upgrade, Noop:
	case Message:
		err = decodeMessage(&p, rest)
	case 'b': // a binary packet as base64: EIO "Packet encoding"
		err = ErrBinary
	default:
		err = ErrEngine
	}
	return p, err
}

// decodeMessage reads SIO "Format".
func decodeMessage(p *Packet, b []byte) error {
	if len(b) == 0 {
		return ErrEmpty
	}
	t := Type(b[0])
	if t < Connect || t > BinaryAck {
		return ErrType
	}
	p.Type, p.Namespace, b = t, "/", b[1:]
	binary := t == BinaryEvent || t == BinaryAck
	if binary { // the number of attachments and a hyphen
		_, b, _ = bytes.Cut(b, []byte("-"))
	}
	if len(b) > 0 && b[0] == '/' {
		namespace, rest, _ := bytes.Cut(b, []byte(",")) // the comma may be missing at the end of the frame
		p.Namespace, b = string(namespace), rest
	}
	id, b, err := cutID(t, b)
	p.ID = id
	if binary {
		return ErrBinary
	}
	if err != nil {
		return err
	}
	if len(b) > 0 {
		p.Data = b
	}
	return checkData(t, p.Data)
}

// cutID reads the ack id, SIO "Acknowledgement", and gives what follows it.
func cutID(t Type, b []byte) (id *uint64, rest []byte, err error) {
	n, digits := uint64(0), 0
	for digits < len(b) && b[digits] >= '0' && b[digits] <= '9' && n <= maxID {
		n, digits = n*10+uint64(b[digits]-'0'), digits+1
	}
	none := t == Connect || t == Disconnect || t == ConnectError
	if n > maxID || digits > 0 && none || digits == 0 && t == Ack {
		return nil, nil, ErrID
	}
	if digits > 0 {
		id = new(n)
	}
	return id, b[digits:], nil
}

// checkData asks for the shape that SIO "Exchange protocol" gives the payload.
func checkData(t Type, data []byte) error {
	is := kind(data)
	switch t {
	case Connect:
		return need(data == nil || is == '{', ErrConnect)
	case Disconnect:
		return need(data == nil, ErrDisconnect)
	case Ack:
		return need(is == '[', ErrAck)
	case ConnectError:
		return need(is == '{' || is == '"', ErrConnectError)
	default:
		if is != '[' {
			return ErrEvent
		}
		return checkName(bytes.TrimLeft(data[1:], " \t\r\n"))
	}
}

// checkName reads the first element of an array that is valid JSON, from there to the array's end.
func checkName(b []byte) error {
	if b[0] != '"' {
		return need(b[0] == '-' || b[0] >= '0' && b[0] <= '9', ErrEvent)
	}
	end, escaped := 1, false
	for ; b[end] != '"'; end++ {
		if b[end] == '\\' {
			end, escaped = end+1, true
		}
	}
	if !escaped {
		return need(!Reserved(string(b[1:end])), ErrReserved)
	}
	var name string
	if err := json.Unmarshal(b[:end+1], &name); err != nil {
		return ErrEvent
	}
	return need(!Reserved(name), ErrReserved)
}

// kind is the first character of valid JSON, and 0 of anything else.
func kind(b []byte) byte {
	if len(b) == 0 || !json.Valid(b) {
		return 0
	}
	return b[0]
}

func need(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}
