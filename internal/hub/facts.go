package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// FactType names something that happens in the life of connections, rooms and users.
type FactType string

// The facts that a [Bus] is told.
const (
	ConnectionOpened FactType = "connection.opened"
	ConnectionClosed FactType = "connection.closed"
	RoomOccupied     FactType = "room.occupied" // by its first member
	RoomVacated      FactType = "room.vacated"  // by its last member
	PresenceOnline   FactType = "presence.online"
	PresenceOffline  FactType = "presence.offline"
	MessagePublished FactType = "message.published" // any event that a client or program had logged
)

// FactTypes gives all of them.
func FactTypes() []FactType {
	return []FactType{
		ConnectionOpened, ConnectionClosed, RoomOccupied, RoomVacated, PresenceOnline, PresenceOffline, MessagePublished,
	}
}

// ParseFacts reads the parameter BusFacts: names of facts; none means all.
func ParseFacts(names []string) ([]FactType, error) {
	list := make([]FactType, len(names))
	for i, name := range names {
		if list[i] = FactType(name); !slices.Contains(FactTypes(), list[i]) {
			return nil, fmt.Errorf("there is no fact %q; there are %v", name, FactTypes())
		}
	}
	return list, nil
}

// FactVersion is the version of Fact's shape.
const FactVersion = 1

// Fact is something that happened. Type says which fields are there:
//
//	connection.opened, connection.closed   ConnectionID, UserID, Name
//	room.occupied, room.vacated            Room
//	presence.online, presence.offline      Room, UserID, Name, Since
//	message.published                      Room, Epoch, Seq, EventID, Event, UserID and Name if it is from a user, Data
//
// It is told after it happened, and mostly once: never if the function ends in between or the bus cannot be reached, and
// twice if a crash made somebody else do the work again. Key is the same then.
type Fact struct {
	Type         FactType        `json:"-"` // EventBridge has it outside of the detail
	Version      int             `json:"version"`
	Key          string          `json:"key"`  // the same for the same fact
	Time         int64           `json:"time"` // Unix milliseconds
	ConnectionID string          `json:"connectionId,omitempty"`
	UserID       string          `json:"userId,omitempty"`
	Name         string          `json:"name,omitempty"`
	Room         string          `json:"room,omitempty"`
	Since        int64           `json:"since,omitempty"` // Unix milliseconds, when the user came
	Epoch        string          `json:"epoch,omitempty"`
	Seq          int64           `json:"seq,omitempty"`
	EventID      string          `json:"eventId,omitempty"`
	Event        string          `json:"event,omitempty"`
	Data         json.RawMessage `json:"data,omitempty"`
}

// Bus carries facts to programs that listen.
type Bus interface {
	// Tell hands over a fact. It bounds its own time.
	Tell(ctx context.Context, f Fact) error
}

// tells reports whether anybody wants facts of a type: finding them out may cost requests.
func (h *Hub) tells(t FactType) bool {
	return h.bus != nil && (len(h.facts) == 0 || slices.Contains(h.facts, t))
}

// tell puts a fact on the bus. What the bus does not take is counted and logged, and holds up nothing.
func (h *Hub) tell(ctx context.Context, f Fact) {
	if !h.tells(f.Type) {
		return
	}
	f.Version, f.Key = FactVersion, string(f.Type)+":"+f.Key
	if f.Time == 0 {
		f.Time = h.now().UnixMilli()
	}
	if err := h.bus.Tell(ctx, f); err != nil {
		h.observe.count(FactsLost, 1)
		h.log.WarnContext(ctx, "tell fact", "fact", f.Type, "key", f.Key, "error", err)
	}
}

// deliverAndTell tells of a logged event while its room is told too, and waits for both.
func (h *Hub) deliverAndTell(ctx context.Context, d Draft, e Entry, again bool) error {
	f := Fact{
		Type: MessagePublished, Key: fmt.Sprintf("%s:%s:%d", e.Room, e.Epoch, e.Seq), Time: e.TS,
		Room: e.Room, Epoch: e.Epoch, Seq: e.Seq, EventID: e.ID, Event: e.Event.Event, Data: e.Data,
	}
	if e.From != nil {
		f.UserID, f.Name = e.From.UserID, e.From.Name
	}
	return each(2, 2, func(i int) error {
		if i == 0 {
			return h.deliverLogged(ctx, d, e, again)
		}
		h.tell(ctx, f)
		return nil
	})
}

// presenceEvent are the logged events that have facts of their own, or none.
func presenceEvent(name string) bool {
	return name == protocol.UserOnline || name == protocol.UserOffline || name == protocol.PresenceChanged
}

// occupy tells of a room that had no members, after it got one.
func (h *Hub) occupy(ctx context.Context, room string) error {
	if !h.tells(RoomOccupied) && !h.tells(RoomVacated) {
		return nil
	}
	first, err := h.store.Occupy(ctx, room)
	if err != nil {
		return fmt.Errorf("occupy %s: %w", room, err)
	}
	if first {
		h.tell(ctx, Fact{Type: RoomOccupied, Key: fmt.Sprintf("%s:%d", room, h.now().UnixMilli()), Room: room})
	}
	return nil
}

// vacate tells of a room that has no members any more, after it lost one. Somebody may enter between the look and the
// mark: a second look finds them, and then the room is occupied again.
func (h *Hub) vacate(ctx context.Context, room string) error {
	if !h.tells(RoomOccupied) && !h.tells(RoomVacated) {
		return nil
	}
	if vacant, err := h.vacant(ctx, room); err != nil || !vacant {
		return err
	}
	last, err := h.store.Vacate(ctx, room)
	if err != nil {
		return fmt.Errorf("vacate %s: %w", room, err)
	}
	if !last {
		return nil
	}
	h.tell(ctx, Fact{Type: RoomVacated, Key: fmt.Sprintf("%s:%d", room, h.now().UnixMilli()), Room: room})
	if vacant, err := h.vacant(ctx, room); err != nil || vacant {
		return err
	}
	return h.occupy(ctx, room)
}

// vacant reports whether a room has no members.
func (h *Hub) vacant(ctx context.Context, room string) (bool, error) {
	for _, err := range h.everyMember(ctx, room, 1) {
		return false, err
	}
	return true, nil
}
