package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// SelectLimit is the most connections that one command may act on or list.
const SelectLimit = 1000

// Described is one open connection, as programs see it.
type Described struct {
	Connection  string   `json:"connection"`
	UserID      string   `json:"userId"`
	Name        string   `json:"name,omitempty"`
	Rooms       []string `json:"rooms"`
	Codec       string   `json:"codec"`       // bellhop.v1, or socketio
	ConnectedAt int64    `json:"connectedAt"` // Unix milliseconds
}

// choose gives the open connections that a command names, each once.
func (h *Hub) choose(ctx context.Context, command string, c Selection) ([]Connection, error) {
	rooms := slices.Clone(c.Rooms)
	for _, u := range append(slices.Clone(c.Users), c.User) {
		if u == "" {
			continue
		}
		if err := protocol.CheckUser(u); err != nil {
			return nil, err
		}
		rooms = append(rooms, protocol.UserRoom(u))
	}
	ids := slices.Clone(c.Connections)
	if c.Connection != "" {
		ids = append(ids, c.Connection)
	}
	if len(rooms)+len(ids) == 0 {
		return nil, protocol.Errorf(protocol.CodeBadRequest, `%s needs "rooms", "users" or "connections"`, command)
	}
	for _, room := range rooms {
		members, err := h.membersOf(ctx, room)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			ids = append(ids, m.Connection)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	left, err := h.except(ctx, c.Except)
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return left[id] })
	if len(ids) > SelectLimit {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "%s may be for %d connections, these are more: take smaller rooms", command, SelectLimit)
	}
	rows, err := h.rows(ctx, ids)
	return slices.DeleteFunc(rows, func(row Connection) bool {
		return left[row.User] || left[protocol.UserRoom(row.User)]
	}), err
}

// except gives what is left out: the names themselves, and the members of the rooms among them.
func (h *Hub) except(ctx context.Context, names []string) (map[string]bool, error) {
	left := map[string]bool{}
	for _, name := range names {
		left[name] = true
		if _, isRoom := h.kinds[protocol.RoomKind(name)]; !isRoom || !strings.Contains(name, ":") {
			continue
		}
		members, err := h.membersOf(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			left[m.Connection] = true
		}
	}
	return left, nil
}

// withoutRooms puts the members in the place of rooms that a publish leaves out, since whoever delivers compares ids only. A
// user's own room stays: it is compared as it is.
func (h *Hub) withoutRooms(ctx context.Context, except []string) ([]string, error) {
	var names []string
	for _, name := range except {
		kind := protocol.RoomKind(name)
		if k, isRoom := h.kinds[kind]; !isRoom || k.Owner || kind == name {
			names = append(names, name)
			continue
		}
		members, err := h.membersOf(ctx, name)
		if err != nil {
			return nil, err
		}
		if len(members) > SelectLimit {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "%s has more than %d members to leave out", name, SelectLimit)
		}
		for _, m := range members {
			names = append(names, m.Connection)
		}
	}
	return names, nil
}

// membersOf gives the members of a room, one more than SelectLimit at the most.
func (h *Hub) membersOf(ctx context.Context, room string) ([]Member, error) {
	if err := protocol.CheckRoom(room); err != nil {
		return nil, err
	}
	if _, err := h.kind(room); err != nil {
		return nil, err
	}
	var list []Member
	for m, err := range h.everyMember(ctx, room, h.limits.Page) {
		if err != nil {
			return nil, err
		}
		if list = append(list, m); len(list) > SelectLimit {
			break
		}
	}
	return list, nil
}

// rows reads connections; those that are gone are left out.
func (h *Hub) rows(ctx context.Context, ids []string) ([]Connection, error) {
	var (
		mu   sync.Mutex
		rows []Connection
	)
	err := each(len(ids), 16, func(i int) error {
		row, err := h.store.Connection(ctx, ids[i])
		if errors.Is(err, ErrNotFound) || err == nil && row.Closing {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read connection: %w", err)
		}
		mu.Lock()
		defer mu.Unlock()
		rows = append(rows, row)
		return nil
	})
	slices.SortFunc(rows, func(a, b Connection) int { return strings.Compare(a.ID, b.ID) })
	return rows, err
}

func (c ConnectionsCommand) do(ctx context.Context, h *Hub) (any, error) {
	rows, err := h.choose(ctx, c.name(), c.Selection)
	if err != nil {
		return nil, err
	}
	list := make([]Described, len(rows))
	for i, row := range rows {
		list[i] = describe(row)
	}
	return map[string]any{"connections": list}, nil
}

func describe(c Connection) Described {
	rooms := make([]string, 0, len(c.Rooms))
	for room := range c.Rooms {
		rooms = append(rooms, room)
	}
	slices.Sort(rooms)
	codec := c.Codec
	if codec == "" {
		codec = protocol.Name
	}
	return Described{c.ID, c.User, c.Name, rooms, codec, c.ConnectedAt.UnixMilli()}
}
