package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// longest is longer than any function runs: what a membership left behind keeps out of late calls for so long.
const longest = 2 * time.Minute

// changes bounds how often a change is tried again whose row was changed by another meanwhile.
const changes = 20

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
	who.Grants = grants
	err = h.open(ctx, connection, who, codec, rooms, h.now())
	if errors.Is(err, ErrOvertaken) { // a dialect's connection comes again under its id, and its last one has left marks
		err = h.open(ctx, connection, who, codec, rooms, h.now().Add(longest))
	}
	if err != nil {
		return err
	}
	h.observe.count(Connects, 1)
	h.tell(ctx, Fact{Type: ConnectionOpened, Key: connection, ConnectionID: connection, UserID: who.User, Name: who.Name})
	return nil
}

// open writes the row of a new connection, with the rooms that it is in from the start, and what follows from it. The rooms'
// generations begin at a time.
func (h *Hub) open(ctx context.Context, connection string, who Identity, codec string, rooms []string, gen time.Time) error {
	now := h.now()
	row := Connection{
		ID: connection, User: who.User, Name: who.Name, Codec: codec, Grants: who.Grants, Rooms: map[string]int{}, Gens: map[string]int64{},
		Gen: gen.UnixMicro(), ConnectedAt: now, LastSeen: now, Expires: who.Expires, Busy: now, TTL: h.ttl(now),
	}
	for kind, k := range h.kinds {
		if k.Owner {
			row.Rooms[kind+":"+who.User] = 0
		}
	}
	if err := h.automatic(ctx, row, rooms); err != nil {
		return err
	}
	for room := range row.Rooms {
		row.Gens[room] = row.Gen
	}
	// One after the other: a membership without a row is of a connection that is gone, for whoever finds it.
	if err := h.store.Open(ctx, row); err != nil {
		return fmt.Errorf("open connection %s: %w", connection, err)
	}
	for _, room := range slices.Sorted(maps.Keys(row.Rooms)) {
		if h.kinds[protocol.RoomKind(room)].Presence { // others hear of an arrival, and a handshake should not wait for that
			job := Job{Kind: JobEnter, Room: room, Gen: row.Gens[room], Targets: []Target{{Connection: row.ID, User: row.User}}}
			if err := h.Enqueue(ctx, job, 0); err != nil {
				return err
			}
			continue
		}
		if err := h.seat(ctx, row, room, false); err != nil {
			return err
		}
	}
	return nil
}

// automatic puts rooms that the application wants a new connection in among the row's.
func (h *Hub) automatic(ctx context.Context, c Connection, rooms []string) error {
	for _, room := range rooms {
		shard, err := h.shard(ctx, room, c.ID)
		if err != nil {
			return err
		}
		c.Rooms[room] = shard
	}
	if len(c.Rooms) > h.limits.Rooms {
		return fmt.Errorf("hook connect: %d automatic rooms, a connection may be in %d: %w", len(rooms), h.limits.Rooms, errBadAnswer)
	}
	return nil
}

// shard gives where a connection's membership of a room is to be.
func (h *Hub) shard(ctx context.Context, room, connection string) (int, error) {
	shards, err := h.store.Shards(ctx, room)
	if err != nil {
		return 0, fmt.Errorf("read shards of %s: %w", room, err)
	}
	return shardOf(connection, shards), nil
}

// enterLater does a job of Connect, unless the connection has left the room since.
func (h *Hub) enterLater(ctx context.Context, j Job) error {
	for _, t := range j.Targets {
		c, err := h.store.Connection(ctx, t.Connection)
		if errors.Is(err, ErrNotFound) || err == nil && (c.Closing || !c.In(j.Room) || j.Gen != 0 && c.Gens[j.Room] != j.Gen) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read connection: %w", err)
		}
		if err := h.seat(ctx, c, j.Room, false); err != nil && !errors.Is(err, ErrOvertaken) {
			return err
		}
	}
	return h.hold(ctx, j.Room)
}

// free is a Touch that is not charged to the connection, since it was not its own idea.
func (h *Hub) free(c Connection) *Touch {
	return &Touch{Now: h.now(), Burst: h.limits.Lifetime, Recent: c.Busy.After(h.now())}
}

// change makes a change of a connection's row. It is made anew, of the row as it is then, as often as somebody else was faster.
// nil: there is nothing to change, and the row is given as it is.
func (h *Hub) change(ctx context.Context, c Connection, of func(c Connection) (*Change, error)) (Connection, error) {
	for try := range changes {
		if c.Closing {
			return c, ErrNotFound
		}
		ch, err := of(c)
		if err != nil || ch == nil {
			return c, err
		}
		ch.Now = h.now()
		row, err := h.store.Change(ctx, c, *ch)
		if !errors.Is(err, ErrChanged) {
			if err != nil {
				return c, fmt.Errorf("change connection %s: %w", c.ID, err)
			}
			return row, nil
		}
		if try > 2 {
			h.sleep(ctx, h.jitter(time.Duration(try)*5*time.Millisecond))
		}
		if c, err = h.store.Connection(ctx, c.ID); err != nil {
			return c, fmt.Errorf("read connection: %w", err)
		}
	}
	return c, protocol.Refuse(protocol.CodeUnavailable)
}

// Depart takes a connection out of everything, for whatever reason it is gone. It may be repeated, run twice at once,
// and crash anywhere: the row goes last, and while it is there the sweep finds it.
func (h *Hub) Depart(ctx context.Context, connection string) error {
	return h.departAs(ctx, connection, h.limits.Grace)
}

// DepartForGood is Depart for a connection whose client has closed it, or left: nobody waits for its user to come back.
func (h *Hub) DepartForGood(ctx context.Context, connection string) error {
	return h.departAs(ctx, connection, h.instant())
}

// instant is the grace of those who left: long enough for a page that leaves and joins in one go to show nothing.
func (h *Hub) instant() time.Duration { return min(300*time.Millisecond, h.limits.Grace) }

func (h *Hub) departAs(ctx context.Context, connection string, grace time.Duration) error {
	c, err := h.store.Change(ctx, Connection{ID: connection}, Change{Anyhow: true, Closing: true, Now: h.now()})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("begin close of connection %s: %w", connection, err)
	}
	return h.departed(ctx, c, grace, false)
}

// DepartAll departs every connection that the store remembers. It is for a server on one machine that begins: its sockets ended
// with the process that held them.
func (h *Hub) DepartAll(ctx context.Context) error {
	return h.eachConnection(ctx, 1, func(c Connection) error { return h.Depart(ctx, c.ID) })
}

// departed takes a connection whose row is closing out of everything. Its memberships leave marks where calls that put it into
// a room may still be on their way; the row itself refuses all others. keep: its socket is still there, and the sweep needs the row
// to find it.
func (h *Hub) departed(ctx context.Context, c Connection, grace time.Duration, keep bool) error {
	gen := c.nextGen(h.now())
	all := map[string]Leaving{}
	for room, shard := range c.Rooms {
		all[room] = Leaving{Shard: shard, Gen: gen}
	}
	for room, l := range c.Leaving {
		all[room] = Leaving{Shard: l.Shard, Gen: gen}
	}
	rooms := slices.Sorted(maps.Keys(all))
	err := each(len(rooms), 8, func(i int) error {
		l := all[rooms[i]]
		return h.unseat(ctx, rooms[i], Member{Connection: c.ID, User: c.User, Shard: l.Shard, Gen: l.Gen}, c.Entered, grace)
	})
	if err != nil {
		return fmt.Errorf("depart connection %s: %w", c.ID, err)
	}
	if d := h.dialect(c.Codec); d != nil {
		if err := d.Departed(ctx, c); err != nil {
			return fmt.Errorf("depart connection %s: %w", c.ID, err)
		}
	}
	h.observe.count(Departures, 1)
	h.tell(ctx, Fact{Type: ConnectionClosed, Key: c.ID, ConnectionID: c.ID, UserID: c.User, Name: c.Name})
	// What the application thinks of it changes nothing, and ask has logged it if it did not take it.
	_, _ = h.ask(ctx, Question{
		Hook: HookDisconnect, Connection: c.ID, User: Person{c.User, c.Name}, Rooms: slices.Sorted(maps.Keys(c.Rooms)),
	})
	if keep {
		return nil
	}
	if err := h.store.Forget(ctx, c.ID); err != nil {
		return fmt.Errorf("forget connection %s: %w", c.ID, err)
	}
	return nil
}

// renew replaces the token of an open connection. It is the one action that an expired token may ask for. Rooms that the new
// token does not grant are left by the same write, so that whatever is cut off after it is finished by whoever touches the row.
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
	var old Connection
	row, err = h.change(ctx, row, func(c Connection) (*Change, error) {
		old = c
		ch := &Change{Renew: &who, Leave: map[string]Leaving{}}
		gen := c.nextGen(h.now())
		for room, shard := range c.Rooms {
			// A membership that no grant was needed for (emit made it) stays.
			if old.Grants.Allow(room, GrantJoin) && !who.Grants.Allow(room, GrantJoin) && !h.kinds[protocol.RoomKind(room)].Owner {
				ch.Leave[room] = Leaving{Shard: shard, Gen: gen, Why: protocol.ReasonForbidden}
			}
		}
		return ch, nil
	})
	if err != nil {
		return nil, err
	}
	for _, room := range slices.Sorted(maps.Keys(row.Rooms)) {
		same := row.Grants.Allow(room, GrantPublish) == old.Grants.Allow(room, GrantPublish) && maySignal(row.Grants, room) == maySignal(old.Grants, room)
		if same && !row.Expires.Before(old.Expires) { // whoever finds that it should have ended looks at the row
			continue
		}
		if err := h.rewrite(ctx, row, room, false); err != nil {
			return nil, err
		}
	}
	if err := h.finishLeaving(ctx, row); err != nil {
		return nil, err
	}
	return protocol.AuthResult{UserID: who.User, Expires: who.Expires.UnixMilli(), Version: h.version}, nil
}

// end tells a connection that it is over and why, closes it, and departs it. The reason goes in a frame because closes
// by API Gateway carry none. Unless anyhow, it does so only if the row is still the one that was read.
func (h *Hub) end(ctx context.Context, c Connection, reason protocol.Reason, anyhow bool) error {
	speech, err := h.speech(c.Codec)
	if err != nil {
		return err
	}
	// From here on it may do nothing. What this cannot close, or has no time to, the sweep does.
	c, err = h.store.Change(ctx, c, Change{Anyhow: anyhow, Closing: true, End: reason, Now: h.now()})
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrChanged) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("begin close of connection %s: %w", c.ID, err)
	}
	e := protocol.Event{Event: protocol.SessionEnding, TS: h.now().UnixMilli(), Data: object("reason", reason)}
	frame, err := speech.EncodeEvent(e)
	if err != nil {
		return fmt.Errorf("encode %s: %w", e.Event, err)
	}
	frames := [][]byte{frame}
	last := speech.Farewell()
	if reason.Retry() {
		last = speech.Recall()
	}
	if last != nil {
		frames = append(frames, last)
	}
	wire, to := speech.Wire(c.ID), Reached{Target: Target{Connection: c.ID, User: c.User, Codec: c.Codec}, Frames: frames}
	for _, frame := range frames {
		err := h.pusher.Push(ctx, wire, frame)
		if err != nil && !errors.Is(err, ErrGone) {
			h.log.WarnContext(ctx, "push session ending", "connectionId", c.ID, "error", err)
		}
		to.Err = cmp.Or(to.Err, err)
	}
	to.At = h.now()
	h.observe.pushed(ctx, Delivery{Events: []protocol.Event{e}, To: []Reached{to}, At: to.At})
	return h.finishClosing(ctx, c)
}

// finishClosing departs a connection whose departure was cut off, or whose socket could not be closed yet.
func (h *Hub) finishClosing(ctx context.Context, c Connection) error {
	if c.Ended == "" {
		return h.departed(ctx, c, h.limits.Grace, false)
	}
	err := h.pusher.Close(ctx, h.wire(c))
	if err != nil && !errors.Is(err, ErrGone) {
		return fmt.Errorf("close connection %s: %w", c.ID, err)
	}
	return h.departed(ctx, c, h.limits.Grace, err != nil && h.now().Sub(c.ConnectedAt) < youngAge) // it may still be opening
}
