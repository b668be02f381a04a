package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Dialect is another protocol that connections speak, beside bellhop.v1, with sessions of its own. It hands the hub actions by
// [Hub.Do], and opens and departs connections by [Hub.Connect] and [Hub.Depart]; these are what the hub has to ask it.
type Dialect interface {
	// Speech gives how to speak to connections that were opened with a codec; false: that codec is not of this dialect.
	Speech(codec string) (Speech, bool)
	// Speeches gives how to speak to all that may be open.
	Speeches() []Speech
	// Departed is told of a connection of this dialect that was just taken out of everything, before its row goes. It may be
	// told twice.
	Departed(ctx context.Context, c Connection) error
	// Late is told of a logged event that could not be pushed to a connection of this dialect, and waits in the queue.
	Late(ctx context.Context, connection string, e protocol.Event) error
	// NoteTold keeps that a logged event's delivery came to its end: all of a room were told of it, or not. Clients of this dialect do
	// not drop what they have heard before, so a repetition asks first.
	NoteTold(ctx context.Context, e protocol.Event, epoch string, all bool) error
	// Told gives what NoteTold kept.
	Told(ctx context.Context, e protocol.Event, epoch string) (Telling, error)
	// Ask sends an event to connections, whichever they speak, and gives what they answer within a time.
	Ask(ctx context.Context, to []Connection, q Ask) (Answers, error)
}

// Telling is how far the delivery of an event has come.
type Telling int

// The tellings.
const (
	NotTold  Telling = iota // it is under way, or was cut off
	ToldSome                // it failed: it is to be done again
	ToldAll
)

// Speech is how to speak to a connection.
type Speech interface {
	// EncodeEvent gives the frame of an event. An error means that this dialect has no frame for it.
	EncodeEvent(e protocol.Event) ([]byte, error)
	// EncodeBatch joins frames, in order, into fewer ones of at most [protocol.MaxBatch].
	EncodeBatch(frames [][]byte) [][]byte
	// Farewell is the frame after which clients do not come back by themselves; nil: there is none.
	Farewell() []byte
	// Recall is the frame after which clients know that the connection is over, and come back by themselves; nil: they know by
	// the close.
	Recall() []byte
	// Wire gives the connection to push to, which several connections of the hub may share.
	Wire(connection string) string
}

// v1 is bellhop.v1.
type v1 struct{ protocol.JSON }

// Farewell is nil: session:ending says whether to come back.
func (v1) Farewell() []byte { return nil }

// Recall is nil: the close is enough.
func (v1) Recall() []byte { return nil }

// Wire is the connection itself.
func (v1) Wire(connection string) string { return connection }

// speech gives how to speak to connections of a codec, by its stored name. One that is not known is of a newer version.
func (h *Hub) speech(codec string) (Speech, error) {
	if codec == "" || codec == protocol.Name {
		return v1{}, nil
	}
	for _, d := range h.dialects {
		if s, known := d.Speech(codec); known {
			return s, nil
		}
	}
	return nil, unknownCodec(codec)
}

// wire gives the connection behind one of the hub's.
func (h *Hub) wire(c Connection) string {
	if s, err := h.speech(c.Codec); err == nil {
		return s.Wire(c.ID)
	}
	return c.ID
}

func unknownCodec(name string) error { return fmt.Errorf("this version does not speak %q", name) }

// dialect gives whose a codec is; nil: bellhop.v1's, or nobody's.
func (h *Hub) dialect(codec string) Dialect {
	for _, d := range h.dialects {
		if _, known := d.Speech(codec); known {
			return d
		}
	}
	return nil
}

// Ask is an event that wants answers.
type Ask struct {
	Event   string
	Data    json.RawMessage
	From    *protocol.From
	Timeout time.Duration // 0: the dialect's default
}

// Answered is one connection's answer.
type Answered struct {
	Connection string          `json:"connection"`
	UserID     string          `json:"userId"`
	Args       json.RawMessage `json:"args"` // a list
}

// Answers is the data of the command ask.
type Answers struct {
	Answers []Answered `json:"answers"`
	Missing []string   `json:"missing"` // connections that did not answer in time, or cannot
}
