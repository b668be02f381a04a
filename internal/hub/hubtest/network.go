package hubtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// ErrLost is of a call whose answer was lost: it took effect.
var ErrLost = errors.New("the answer was lost")

// Fault says how a call to a connection ends. nil: well. An error: it has no effect, unless the error is [ErrLost].
type Fault func(call Call) error

// Call is one call of a pusher.
type Call struct {
	Connection string
	Frame      []byte // nil: not a Push, but a Close or an Alive
}

// Of is a fault of some connections.
func Of(err error, connections ...string) Fault {
	return func(c Call) error {
		if slices.Contains(connections, c.Connection) {
			return err
		}
		return nil
	}
}

// Always is a fault of every call.
func Always(err error) Fault { return func(Call) error { return err } }

// First is a fault of the first n calls.
func First(n int, err error) Fault {
	var mu sync.Mutex
	return func(Call) error {
		mu.Lock()
		defer mu.Unlock()
		if n--; n < 0 {
			return nil
		}
		return err
	}
}

// Network is a [hub.Pusher] that reaches every connection that there might be, until that is closed, and remembers what
// each got.
type Network struct {
	mu     sync.Mutex
	fault  Fault
	pushes []Push
	closed map[string]bool
}

var _ hub.Pusher = (*Network)(nil)

// NewNetwork makes one in which nothing fails.
func NewNetwork() *Network { return &Network{closed: map[string]bool{}} }

// Push is a frame that a connection got.
type Push struct {
	Connection string
	Frame      []byte
}

// Fail says how calls end from now on; nil: well. The fault may do things of its own, such as sending an answer before the
// push that asks for it has returned.
func (n *Network) Fail(f Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = f
}

// call does what a call does, with its fault.
func (n *Network) call(c Call, do func()) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var err error
	if fault := n.fault; fault != nil {
		n.mu.Unlock() // for what it does of its own
		err = fault(c)
		n.mu.Lock()
		if err != nil && !errors.Is(err, ErrLost) {
			return err
		}
	}
	if n.closed[c.Connection] {
		return hub.ErrGone
	}
	do()
	return err
}

// Push remembers a copy of the frame.
func (n *Network) Push(_ context.Context, connection string, frame []byte) error {
	return n.call(Call{connection, frame}, func() {
		if last := len(n.pushes) - 1; last >= 0 && bytes.Equal(n.pushes[last].Frame, frame) {
			frame = n.pushes[last].Frame // a large room is told the same
		} else {
			frame = bytes.Clone(frame)
		}
		n.pushes = append(n.pushes, Push{connection, frame})
	})
}

// Close closes a connection, which is gone from then on.
func (n *Network) Close(_ context.Context, connection string) error {
	return n.call(Call{Connection: connection}, func() { n.closed[connection] = true })
}

// Alive reports whether a connection is neither closed nor gone by its fault.
func (n *Network) Alive(_ context.Context, connection string) (bool, error) {
	err := n.call(Call{Connection: connection}, func() {})
	if errors.Is(err, hub.ErrGone) {
		return false, nil
	}
	return err == nil, err
}

// Cut closes a connection without the hub's doing.
func (n *Network) Cut(connection string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed[connection] = true
}

// Closed reports whether a connection was closed.
func (n *Network) Closed(connection string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed[connection]
}

// Take gives what was pushed since the last time, to all, and forgets it.
func (n *Network) Take() []Push {
	n.mu.Lock()
	defer n.mu.Unlock()
	pushes := n.pushes
	n.pushes = nil
	return pushes
}

// Frames are the frames that a connection got.
func (n *Network) Frames(connection string) [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	var frames [][]byte
	for _, p := range n.pushes {
		if p.Connection == connection {
			frames = append(frames, p.Frame)
		}
	}
	return frames
}

// TakeFrom is Take of one connection's frames; the others stay.
func (n *Network) TakeFrom(connection string) (frames []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pushes = slices.DeleteFunc(n.pushes, func(p Push) bool {
		if p.Connection != connection {
			return false
		}
		frames = append(frames, string(p.Frame))
		return true
	})
	return frames
}

// Events are the events that a connection got, alone or in a batch, in the order in which they came.
func (n *Network) Events(connection string) []protocol.Event {
	var events []protocol.Event
	for _, frame := range n.Frames(connection) {
		events = append(events, Events(frame)...)
	}
	return events
}

// Names are the names of Events.
func (n *Network) Names(connection string) []string {
	var names []string
	for _, e := range n.Events(connection) {
		names = append(names, e.Event)
	}
	return names
}

// Events are the events in a frame of either dialect.
func Events(frame []byte) []protocol.Event {
	if len(frame) > 0 && frame[0] != '{' {
		return packetEvents(frame)
	}
	var f struct {
		protocol.Event
		Batch []json.RawMessage `json:"batch"`
	}
	if json.Unmarshal(frame, &f) != nil {
		return nil
	}
	if f.Event.Event != "" {
		return []protocol.Event{f.Event}
	}
	var events []protocol.Event
	for _, inner := range f.Batch {
		events = append(events, Events(inner)...)
	}
	return events
}

// packetEvents reads an EVENT: its name, its data, and the rest of what bellhop.v1 calls an event.
func packetEvents(frame []byte) []protocol.Event {
	p, err := packet.Decode(frame)
	args := p.Args()
	if err != nil || p.Type != packet.Event || len(args) < 3 {
		return nil
	}
	var e protocol.Event
	if json.Unmarshal(args[2], &e) != nil || json.Unmarshal(args[0], &e.Event) != nil {
		return nil
	}
	e.Data = args[1]
	return []protocol.Event{e}
}

// Nowhere is a [hub.Pusher] and a [hub.Queue] that takes everything and keeps nothing, for benchmarks and for tests to which
// it does not matter what is pushed.
type Nowhere struct{}

var (
	_ hub.Pusher = Nowhere{}
	_ hub.Queue  = Nowhere{}
)

// Push does nothing.
func (Nowhere) Push(context.Context, string, []byte) error { return nil }

// Close does nothing.
func (Nowhere) Close(context.Context, string) error { return nil }

// Alive is always true.
func (Nowhere) Alive(context.Context, string) (bool, error) { return true, nil }

// Enqueue does nothing.
func (Nowhere) Enqueue(context.Context, hub.Job, time.Duration) error { return nil }
