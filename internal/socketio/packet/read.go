package packet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// ErrNoEvent is that a frame holds no event of Bellhop's.
var ErrNoEvent = errors.New("the frame is no event")

// DecodeEvent reads the event of a server's frame, [EncodeEvent] the other way round.
func DecodeEvent(frame []byte) (protocol.Event, error) {
	p, err := decode(frame)
	if err != nil {
		return protocol.Event{}, fmt.Errorf("decode frame: %w", err)
	}
	args := p.Args()
	if p.Type != Event || len(args) < 3 {
		return protocol.Event{}, ErrNoEvent
	}
	var (
		name  string
		about meta
	)
	if err := errors.Join(json.Unmarshal(args[0], &name), json.Unmarshal(args[2], &about)); err != nil {
		return protocol.Event{}, fmt.Errorf("decode event: %w", err)
	}
	e := protocol.Event{Event: name, Room: about.Room, Seq: about.Seq, ID: about.ID, From: about.From, TS: about.TS}
	if string(args[1]) != "null" {
		e.Data = published(args[1], about.Added)
	}
	return e, nil
}

// published takes away what [identified] has added: the last fields.
func published(data json.RawMessage, added []string) json.RawMessage {
	if len(added) == 0 {
		return data
	}
	first := bytes.LastIndex(data, append(appendString(nil, added[0]), ':'))
	if first < 0 {
		return data
	}
	object := bytes.TrimSuffix(bytes.TrimSpace(data[:first]), []byte(","))
	if string(object) == "{" {
		return nil // it had none, but for an empty object, which comes to the same
	}
	return append(append(make(json.RawMessage, 0, len(object)+1), object...), '}')
}
