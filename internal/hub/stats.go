package hub

import (
	"context"
	"sync"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Stats is what is open now.
type Stats struct {
	Version     string         `json:"version,omitempty"` // of the function that has counted
	Connections int            `json:"connections"`
	Users       int            `json:"users"`
	Rooms       map[string]int `json:"rooms"`       // rooms with members, by kind
	Memberships map[string]int `json:"memberships"` // connections in rooms, by kind of room
}

// stats counts the connections: a strongly consistent read of all their rows, about 1 RCU for ten. The rows of connections
// that are gone are in it until the sweep finds them.
func (h *Hub) stats(ctx context.Context) (Stats, error) {
	var (
		mu    sync.Mutex
		users = map[string]bool{}
		rooms = map[string]bool{}
		s     = Stats{Version: h.version, Rooms: map[string]int{}, Memberships: map[string]int{}}
	)
	count := func(c Connection) {
		mu.Lock()
		defer mu.Unlock()
		s.Connections++
		users[c.User] = true
		for room := range c.Rooms {
			s.Memberships[protocol.RoomKind(room)]++
			rooms[room] = true
		}
	}
	err := h.eachConnection(ctx, 16, func(c Connection) error {
		if !c.Closing {
			count(c)
		}
		return nil
	})
	s.Users = len(users)
	for room := range rooms {
		s.Rooms[protocol.RoomKind(room)]++
	}
	return s, err
}
