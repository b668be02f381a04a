package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Connect records a connection that is about to open, and puts it in the rooms of its user. Nothing can be pushed to it
// yet: API Gateway answers 410 until the connect route has returned. A protocol.Error is the application's refusal.
func (h *Hub) Connect(ctx context.Context, connection string, who Identity, codec string) error {
	if err := protocol.CheckUser(who.User); err != nil {
		return err
	}
	grants, rooms, err := h.askToConnect(ctx, connection, who, false)
	if err != nil {
		return err
	}
	now := h.now()
	row := Connection{
		ID: connection, User: who.User, Name: who.Name, Codec: codec, Grants: grants, Rooms: map[string]int{},
		ConnectedAt: now, LastSeen: now, Expires: who.Expires, Busy: now, TTL: h.ttl(now),
	}
	for kind, k := range h.kinds {
		if k.Owner {
			row.Rooms[kind+":"+who.User] = 0
		}
	}
	later, err := h.automatic(ctx, row, rooms)
	if err != nil {
		return err
	}
	// One after the other: a membership without a row is of a connection that is gone, for whoever finds it.
	if err := h.store.Open(ctx, row); err != nil {
		return fmt.Errorf("open connection %s: %w", connection, err)
	}
	for _, room := range slices.Sorted(maps.Keys(row.Rooms)) {
		if err := h.store.AddMember(ctx, room, h.member(row, room)); err != nil {
			return fmt.Errorf("add member to %s: %w", room, err)
		}
		if err := h.occupy(ctx, room); err != nil {
			return err
		}
	}
	for _, room := range later {
		if err := h.enqueue(ctx, Job{Kind: JobEnter, Room: room, Targets: []Target{{Connection: row.ID, User: row.User}}}, 0); err != nil {
			return err
		}
	}
	h.observe.count(Connects, 1)
	h.tell(ctx, Fact{Type: ConnectionOpened, Key: row.ID, ConnectionID: row.ID, UserID: row.User, Name: row.Name})
	return nil
}

// automatic puts rooms that the application wants a new connection in among the row's. Those with presence are left for a
// job: others hear of an arrival, and a handshake should not wait for that.
func (h *Hub) automatic(ctx context.Context, c Connection, rooms []string) (later []string, err error) {
	for _, room := range rooms {
		if h.kinds[protocol.RoomKind(room)].Presence {
			later = append(later, room)
			continue
		}
		shards, err := h.store.Shards(ctx, room)
		if err != nil {
			return nil, fmt.Errorf("read shards of %s: %w", room, err)
		}
		c.Rooms[room] = shardOf(c.ID, shards)
	}
	if len(c.Rooms)+len(later) > h.limits.Rooms {
		return nil, fmt.Errorf("hook connect: %d automatic rooms, a connection may be in %d: %w", len(rooms), h.limits.Rooms, errBadAnswer)
	}
	return later, nil
}

// enterLater does a job of Connect.
func (h *Hub) enterLater(ctx context.Context, j Job) error {
	for _, t := range j.Targets {
		c, err := h.store.Connection(ctx, t.Connection)
		if err == nil {
			_, err = h.enter(ctx, c, j.Room, h.free(c))
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// free is a Touch that is not charged to the connection, since it was not its own idea.
func (h *Hub) free(c Connection) Touch {
	return Touch{Now: h.now(), Burst: h.limits.Lifetime, Recent: c.Busy.After(h.now())}
}

// member is a connection's membership of one of its rooms.
func (h *Hub) member(c Connection, room string) Member {
	return Member{
		Connection: c.ID, User: c.User, Codec: c.Codec, Shard: c.Rooms[room],
		MayPublish: c.Grants.Allow(room, GrantPublish), TTL: c.TTL,
	}
}

// longest is longer than any function runs.
const longest = 2 * time.Minute

// Depart takes a connection out of everything, for whatever reason it is gone. It may be repeated, run twice at once,
// and crash anywhere: the row goes last, and while it is there the sweep finds it.
func (h *Hub) Depart(ctx context.Context, connection string) error {
	return h.departAnd(ctx, connection, false)
}

// DepartAll departs every connection that the store remembers. It is for a server on one machine that begins: its sockets ended
// with the process that held them.
func (h *Hub) DepartAll(ctx context.Context) error {
	return h.eachConnection(ctx, 1, func(c Connection) error { return h.Depart(ctx, c.ID) })
}

// eachConnection walks all rows, some partitions at the same time; a page may be walked before what was done to the one before
// it is seen.
func (h *Hub) eachConnection(ctx context.Context, parallel int, do func(c Connection) error) error {
	return each(Partitions, parallel, func(partition int) error {
		for after := ""; ; {
			rows, err := h.store.Walk(ctx, partition, after, h.limits.Page)
			if err != nil {
				return fmt.Errorf("walk partition %d: %w", partition, err)
			}
			for _, c := range rows {
				after = c.ID
				if err := do(c); err != nil {
					return err
				}
			}
			if len(rows) < h.limits.Page {
				return nil
			}
		}
	})
}

// departAnd is Depart that may keep the row, for the sweep to come back to.
func (h *Hub) departAnd(ctx context.Context, connection string, keep bool) error {
	c, err := h.store.BeginClose(ctx, connection)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("begin close of connection %s: %w", connection, err)
	}
	rooms := slices.Sorted(maps.Keys(c.Rooms))
	err = each(len(rooms), 8, func(i int) error { return h.removeMember(ctx, rooms[i], c.Rooms[rooms[i]], c.User, c.ID) })
	if err != nil {
		return fmt.Errorf("depart connection %s: %w", connection, err)
	}
	if d := h.dialect(c.Codec); d != nil {
		if err := d.Departed(ctx, c); err != nil {
			return fmt.Errorf("depart connection %s: %w", connection, err)
		}
	}
	h.observe.count(Departures, 1)
	h.tell(ctx, Fact{Type: ConnectionClosed, Key: c.ID, ConnectionID: c.ID, UserID: c.User, Name: c.Name})
	// What the application thinks of it changes nothing, and ask has logged it if it did not take it.
	_, _ = h.ask(ctx, Question{Hook: HookDisconnect, Connection: c.ID, User: Person{c.User, c.Name}, Rooms: rooms})
	if keep || h.now().Sub(c.Entered) < longest { // a join that is still running may add what was removed here
		return nil
	}
	if err := h.store.Forget(ctx, connection); err != nil {
		return fmt.Errorf("forget connection %s: %w", connection, err)
	}
	return nil
}

// removeMember ends one membership, and the presence that comes with it.
func (h *Hub) removeMember(ctx context.Context, room string, shard int, user, connection string) error {
	if err := h.store.RemoveMember(ctx, room, shard, connection); err != nil {
		return fmt.Errorf("remove member of %s: %w", room, err)
	}
	if err := h.vacate(ctx, room); err != nil {
		return err
	}
	if !h.kinds[protocol.RoomKind(room)].Presence {
		return nil
	}
	return h.depart(ctx, room, user, connection)
}

// renew replaces the token of an open connection. It is the one action that an expired token may ask for.
func (h *Hub) renew(ctx context.Context, c Caller, a protocol.Action) (any, error) {
	if h.verifier == nil {
		return nil, errors.New("this function has no token verifier")
	}
	who, err := h.verifier.Verify(ctx, a.Token)
	if err != nil {
		return nil, fmt.Errorf("verify token: %w", err)
	}
	row, err := h.store.Connection(ctx, c.Connection)
	if err != nil {
		return nil, fmt.Errorf("read connection: %w", err)
	}
	if who.User != row.User {
		return nil, protocol.Errorf(protocol.CodeForbidden, "the token is for another user; open a new connection for it")
	}
	if who.Grants, _, err = h.askToConnect(ctx, row.ID, who, true); err != nil {
		return nil, err
	}
	if err := h.store.Renew(ctx, row.ID, who.Name, who.Grants, who.Expires); err != nil {
		return nil, fmt.Errorf("renew connection: %w", err)
	}
	old := row.Grants
	row.Name, row.Grants, row.Expires = who.Name, who.Grants, who.Expires
	for _, room := range slices.Sorted(maps.Keys(row.Rooms)) {
		if err := h.regrant(ctx, row, room, old); err != nil {
			return nil, err
		}
	}
	return protocol.AuthResult{UserID: who.User, Expires: who.Expires.UnixMilli()}, nil
}

// regrant makes a membership what a connection's new grants say. One that no grant was needed for (emit made it) stays.
func (h *Hub) regrant(ctx context.Context, c Connection, room string, old Grants) error {
	if old.Allow(room, GrantJoin) && !c.Grants.Allow(room, GrantJoin) && !h.kinds[protocol.RoomKind(room)].Owner {
		return h.exit(ctx, c, room)
	}
	if c.Grants.Allow(room, GrantPublish) == old.Allow(room, GrantPublish) {
		return nil
	}
	if err := h.store.AddMember(ctx, room, h.member(c, room)); err != nil {
		return fmt.Errorf("rewrite membership of %s: %w", room, err)
	}
	return nil
}

// end tells a connection that it is over and why, closes it, and departs it. The reason goes in a frame because closes
// by API Gateway carry none.
func (h *Hub) end(ctx context.Context, c Connection, reason protocol.Reason) error {
	e := protocol.Event{Event: protocol.SessionEnding, TS: h.now().UnixMilli(), Data: object("reason", reason)}
	speech, err := h.speech(c.Codec)
	if err != nil {
		return err
	}
	frame, err := speech.EncodeEvent(e)
	if err != nil {
		return fmt.Errorf("encode %s: %w", e.Event, err)
	}
	frames := [][]byte{frame}
	if farewell := speech.Farewell(); farewell != nil && !reason.Retry() {
		frames = append(frames, farewell)
	}
	young, wire := h.now().Sub(c.ConnectedAt) < youngAge, speech.Wire(c.ID)
	for _, frame := range frames {
		if err := h.pusher.Push(ctx, wire, frame); err != nil && !errors.Is(err, ErrGone) {
			h.log.WarnContext(ctx, "push session ending", "connectionId", c.ID, "error", err)
		}
	}
	err = h.pusher.Close(ctx, wire)
	if err != nil && !errors.Is(err, ErrGone) {
		return fmt.Errorf("close connection %s: %w", c.ID, err)
	}
	// One that is only just opening cannot be closed yet. It may do nothing from now on, and the sweep closes it.
	return h.departAnd(ctx, c.ID, young && err != nil)
}
