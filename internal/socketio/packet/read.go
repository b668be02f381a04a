package packet

import (
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
		e.Data = args[1]
	}
	return e, nil
}
