package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// join puts the caller in a room and tells it what it missed.
func (h *Hub) join(ctx context.Context, c Caller, a protocol.Action, recent bool) (any, error) {
	k, err := h.kind(a.Room)
	if err != nil {
		return nil, err
	}
	row, err := h.store.Connection(ctx, c.Connection)
	if err != nil {
		return nil, fmt.Errorf("read connection: %w", err)
	}
	said, err := h.askToJoin(ctx, row, a.Room, k)
	if err != nil {
		return nil, err
	}
	if !row.In(a.Room) && len(row.Rooms) >= h.limits.Rooms {
		return nil, protocol.Errorf(protocol.CodeTooManyRooms, "a connection may be in %d rooms; leave one first", h.limits.Rooms)
	}
	row, err = h.enter(ctx, row, a.Room, h.newTouch(a.Room, recent))
	if err != nil {
		return nil, err
	}
	h.limiter.learn(row.ID, row.Busy)
	if err := h.setJoined(ctx, row, a.Room, k, said); err != nil {
		return nil, err
	}
	got, err := h.welcome(ctx, a.Room, k, a.Since)
	got.State = said.Data
	return got, err
}

// mayJoin is the same answer for rooms that exist and rooms that do not.
func mayJoin(c Connection, room string, k Kind) error {
	switch {
	case k.Owner && room == protocol.RoomKind(room)+":"+c.User:
		return nil
	case k.Owner:
		return protocol.Errorf(protocol.CodeForbidden, "only the user that it is named after may join %s", room)
	case !c.Grants.Allow(room, GrantJoin):
		return protocol.Errorf(protocol.CodeForbidden, "the token does not grant %q in %s", GrantJoin, room)
	}
	return nil
}

// enter makes a connection a member, or makes sure that it is. A connection that is departed meanwhile is not: the last
// look here sees that the row is closing. If this is cut off before, the sweep finds the row, which Depart has kept.
func (h *Hub) enter(ctx context.Context, c Connection, room string, t Touch) (Connection, error) {
	shard, in := c.Rooms[room]
	if !in {
		shards, err := h.store.Shards(ctx, room)
		if err != nil {
			return c, fmt.Errorf("read shards of %s: %w", room, err)
		}
		shard = shardOf(c.ID, shards)
	}
	t.Room = ""
	row, err := h.store.Enter(ctx, c.ID, room, shard, t)
	if err != nil {
		return c, fmt.Errorf("enter %s: %w", room, err)
	}
	if err := h.store.AddMember(ctx, room, h.member(row, room)); err != nil {
		return c, fmt.Errorf("add member to %s: %w", room, err)
	}
	if err := h.occupy(ctx, room); err != nil {
		return c, err
	}
	if h.kinds[protocol.RoomKind(room)].Presence {
		if err := h.arrive(ctx, row, room); err != nil {
			return c, err
		}
	}
	now, err := h.store.Connection(ctx, c.ID)
	if err == nil && !now.Closing {
		h.observe.count(Joins, 1)
		return row, nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return c, fmt.Errorf("read connection: %w", err)
	}
	if err := h.removeMember(ctx, room, row.Rooms[room], row.User, row.ID); err != nil {
		return c, err
	}
	return c, ErrNotFound
}

// The most that one reply holds of a room's log and presence, in bytes and in users.
const (
	replyEvents    = 64 << 10
	replyPresence  = 48 << 10
	replyOccupants = 1000
)

// welcome gives the reply to a join: where the log stands, what the client missed, who is there. The log is read first:
// a presence event after the position that the client gets can only say again what the snapshot knows already.
func (h *Hub) welcome(ctx context.Context, room string, k Kind, since *protocol.Position) (protocol.JoinResult, error) {
	got, err := h.catchUp(ctx, room, k, since)
	if err != nil {
		return got, err
	}
	size := 0
	for _, e := range got.Events {
		size += sizeOf(e)
	}
	if !k.Presence || got.More && len(got.Events) > 0 { // it comes with the last page, or with one that has to wait
		return got, nil
	}
	if size > replyEvents {
		got.More = true // no space for presence: it comes with the next page, which is empty otherwise
		return got, nil
	}
	got.Presence, err = h.present(ctx, room)
	return got, err
}

// leave takes the caller out of a room. Leaving a room that it is not in is fine, since a leave may be repeated.
func (h *Hub) leave(ctx context.Context, c Caller, a protocol.Action) (any, error) {
	if _, err := h.kind(a.Room); err != nil {
		return nil, err
	}
	row, err := h.store.Connection(ctx, c.Connection)
	if err != nil {
		return nil, fmt.Errorf("read connection: %w", err)
	}
	if row.In(a.Room) {
		if err := h.exit(ctx, row, a.Room); err != nil {
			return nil, err
		}
	}
	return protocol.RoomResult{Room: a.Room}, nil
}

// exit ends a membership. The connection's row lets go of the room last, so that a crash leaves nothing unseen.
func (h *Hub) exit(ctx context.Context, c Connection, room string) error {
	if err := h.removeMember(ctx, room, c.Rooms[room], c.User, c.ID); err != nil {
		return err
	}
	if err := h.store.Exit(ctx, c.ID, room, h.now()); err != nil {
		return fmt.Errorf("exit %s: %w", room, err)
	}
	h.observe.count(Leaves, 1)
	return nil
}
