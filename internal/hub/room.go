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

// join puts the caller in a room, or in several, and tells it what it missed. Several are charged as an action for each ten.
func (h *Hub) join(ctx context.Context, c Caller, a protocol.Action, recent bool) (any, error) {
	if a.Rooms == nil {
		list, err := h.joinAll(ctx, c, []protocol.Joining{{Room: a.Room, Since: a.Since, Listed: a.Listed}}, recent)
		if err != nil {
			return nil, err
		}
		return list[0].got, list[0].err
	}
	for range (len(a.Rooms) - 1) / 10 {
		if _, wait := h.limiter.charge(c.Connection, h.now()); wait > 0 {
			break // what is too much is paid for by the next action
		}
	}
	list, err := h.joinAll(ctx, c, a.Rooms, recent)
	if err != nil {
		return nil, err
	}
	got := protocol.JoinsResult{Rooms: []protocol.Joined{}, More: len(list) < len(a.Rooms)}
	for _, j := range list {
		if a.Room = j.room; j.err != nil {
			got.Rooms = append(got.Rooms, protocol.Joined{Refused: &protocol.NotJoined{Room: j.room, Error: h.Refuse(ctx, c, a, j.err)}})
			continue
		}
		got.Rooms = append(got.Rooms, protocol.Joined{JoinResult: &j.got})
	}
	return got, nil
}

// joining is a room that a client joins.
type joining struct {
	door

	asked protocol.Joining
	kind  Kind
	said  Verdict
	got   protocol.JoinResult
}

// joinAll puts the caller in rooms by one change of its row. It gives as many as there is time and space for, at least one, each with its
// answer or with why it was not joined.
func (h *Hub) joinAll(ctx context.Context, c Caller, rooms []protocol.Joining, recent bool) ([]*joining, error) {
	began := h.now()
	row, err := h.store.Connection(ctx, c.Connection)
	if err != nil {
		return nil, fmt.Errorf("read connection: %w", err)
	}
	list, doors := h.askToJoinAll(ctx, c, row, rooms)
	touch := h.newTouch("", recent)
	touch.Cost *= time.Duration(1 + (len(rooms)-1)/10)
	if row, err = h.enterAll(ctx, row, doors, h.asked(c), &touch); err != nil {
		return nil, err
	}
	h.limiter.learn(row.ID, row.Busy)
	if list, err = h.joinEach(ctx, row, list); err != nil || h.now().Sub(began) < slowJoin {
		return list, err
	}
	// Who was taken out meanwhile has been told that already, and would take this for a join of after it.
	now, err := h.store.Connection(ctx, row.ID)
	if err != nil {
		return nil, fmt.Errorf("read connection: %w", err)
	}
	for _, j := range list {
		if j.err == nil && !now.In(j.room) {
			j.err = leftMeanwhile(j.room)
		}
	}
	return list, nil
}

// askToJoinAll asks the application about as many rooms as there is time for. doors are those that may be entered.
func (h *Hub) askToJoinAll(ctx context.Context, c Caller, row Connection, rooms []protocol.Joining) (list []*joining, doors []*door) {
	for _, asked := range rooms {
		if len(list) > 0 && ctx.Err() == nil && h.late(ctx) {
			break
		}
		j := &joining{door: door{room: asked.Room}, asked: asked}
		if j.kind, j.err = h.kind(j.room); j.err == nil {
			j.said, j.err = h.askToJoin(ctx, row, j.room, j.kind)
		}
		j.judge = func(row Connection) error {
			switch {
			case !c.At.IsZero() && c.At.UnixMilli() < row.LeftAt[j.room]: // by a leave that was faster
				return leftMeanwhile(j.room)
			case j.said.Allow:
				return nil
			}
			return mayJoin(row, j.room, j.kind)
		}
		if list = append(list, j); j.err == nil {
			doors = append(doors, &j.door)
		}
	}
	return list, doors
}

// joinEach makes a connection whose row names rooms a member of them. It gives as many as there is time and space for.
func (h *Hub) joinEach(ctx context.Context, row Connection, list []*joining) ([]*joining, error) {
	size := 0
	for i, j := range list {
		if i > 0 && ctx.Err() == nil && h.late(ctx) {
			return list[:i], nil
		}
		if j.err == nil {
			j.got, j.err = h.joinOne(ctx, row, j)
		}
		if errors.Is(j.err, ErrNotFound) {
			return nil, j.err
		}
		if size += sizeOfJoin(j.got); i > 0 && size > replyMost {
			return list[:i], nil
		}
	}
	return list, nil
}

// joinOne makes a connection whose row names a room a member, and gives what it missed.
func (h *Hub) joinOne(ctx context.Context, row Connection, j *joining) (got protocol.JoinResult, err error) {
	if row, err = h.take(ctx, row, &j.door); err != nil {
		return got, err
	}
	if err := h.setJoined(ctx, row, j.room, j.kind, j.said); err != nil {
		return got, err
	}
	got, err = h.welcome(ctx, row, j.kind, j.asked)
	got.State = j.said.Data
	return got, err
}

// sizeOfJoin is about what a room takes in the reply to a join.
func sizeOfJoin(r protocol.JoinResult) int {
	size := 100 + len(r.Room) + len(r.State)
	for _, e := range r.Events {
		size += sizeOf(e)
	}
	for _, o := range r.Presence {
		size += sizeOfOccupant(o)
	}
	return size
}

// slowJoin is how long a join takes that is not answered without a look whether it still holds.
const slowJoin = 500 * time.Millisecond

// asked is when a caller asked for something, by the gateway's clock.
func (h *Hub) asked(c Caller) time.Time {
	if c.At.IsZero() {
		return h.now()
	}
	return c.At
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

// door is a room that a connection enters.
type door struct {
	room    string
	judge   func(c Connection) error // whether it may, by the row that the change is made of: a renewal with fewer grants cannot be overtaken
	settled bool                     // it is in the room already, for so long that nothing of before is on its way
	err     error                    // why not
}

// enter makes a connection a member, or makes sure that it is.
func (h *Hub) enter(ctx context.Context, c Connection, room string, at time.Time, t *Touch, judge func(c Connection) error) (Connection, error) {
	d := &door{room: room, judge: judge}
	row, err := h.enterAll(ctx, c, []*door{d}, at, t)
	if err = cmp.Or(err, d.err); err != nil {
		return c, err
	}
	return h.take(ctx, row, d)
}

// enterAll has a connection's row name rooms, by one change, but for those with an err. at is when it was asked for: the generation says
// so, and a leave that was asked for before is void, in whichever order the two are done.
func (h *Hub) enterAll(ctx context.Context, c Connection, doors []*door, at time.Time, t *Touch) (Connection, error) {
	shards := make(map[string]int, len(doors))
	for _, d := range doors {
		if c.In(d.room) {
			continue
		}
		var err error
		if shards[d.room], err = h.shard(ctx, d.room, c.ID); err != nil {
			return c, err
		}
	}
	t.Room = ""
	return h.change(ctx, c, func(c Connection) (*Change, error) {
		ch := &Change{Touch: t, JoinedAt: map[string]int64{}, Enter: map[string]Seat{}}
		n := len(c.Rooms)
		for _, d := range doors {
			d.settled = false
			if d.err = d.judge(c); d.err != nil {
				continue
			}
			seat := Seat{Shard: shards[d.room], Gen: c.nextGen(at)}
			switch l, leaving := c.Leaving[d.room]; {
			case c.In(d.room): // once more, so that the row knows that memberships are on their way
				d.settled = at.Sub(time.UnixMicro(c.Gens[d.room])) > longest
				seat = Seat{Shard: c.Rooms[d.room], Gen: max(c.Gens[d.room], at.UnixMicro())}
			case n >= h.limits.Rooms:
				d.err = protocol.Errorf(protocol.CodeTooManyRooms, "a connection may be in %d rooms; leave one first", h.limits.Rooms)
				continue
			case leaving: // its last membership may be there still, and is to be replaced
				seat.Shard = l.Shard
				n++
			default:
				n++
			}
			ch.Enter[d.room], ch.JoinedAt[d.room] = seat, at.UnixMilli()
		}
		if len(ch.Enter) == 0 {
			return nil, nil //nolint:nilnil // nothing to change
		}
		return ch, nil
	})
}

// take writes what follows from a row that names a room which its connection has entered.
func (h *Hub) take(ctx context.Context, c Connection, d *door) (Connection, error) {
	err := h.seat(ctx, c, d.room, d.settled)
	if errors.Is(err, ErrOvertaken) { // it left, or was taken out or closed, while it was entering
		now, readErr := h.store.Connection(ctx, c.ID)
		switch {
		case readErr != nil:
			return c, fmt.Errorf("read connection: %w", readErr)
		case now.Closing:
			return c, ErrNotFound
		case now.In(d.room): // and came back, by another call
			return now, nil
		}
		return c, leftMeanwhile(d.room)
	}
	if err != nil {
		return c, err
	}
	h.observe.count(Joins, 1)
	return c, h.measure(ctx, c, d.room)
}

func leftMeanwhile(room string) error {
	return protocol.Errorf(protocol.CodeUnavailable, "%s was left while it was joined; join again", room)
}

// measure has one of 256 joins look how full its shard is, for 13 RCU where it is full, and doubles the shards of a room where
// they are, so that a room which fills before anybody speaks is ready for it. Broadcasts do the same.
func (h *Hub) measure(ctx context.Context, c Connection, room string) error {
	if hash(c.ID)>>24 != 0 { // its high bits, since the low ones say which shard it is
		return nil
	}
	shards, err := h.store.Shards(ctx, room)
	if err != nil {
		return fmt.Errorf("read shards of %s: %w", room, err)
	}
	shard := c.Rooms[room]
	if shards >= maxShards || shard < shards/2 {
		return nil
	}
	page, err := h.store.Members(ctx, room, shard, "", h.limits.Shard)
	if err != nil {
		return fmt.Errorf("read members of %s: %w", room, err)
	}
	if page.Next == "" {
		return nil
	}
	if err := h.store.Grow(ctx, room, shards); err != nil {
		return fmt.Errorf("grow %s: %w", room, err)
	}
	return nil
}

// seat writes what follows from a row that names a room: the membership, and the presence. settled is that of a door. ErrOvertaken: the
// row does not any more.
func (h *Hub) seat(ctx context.Context, c Connection, room string, settled bool) error {
	if err := h.store.AddMember(ctx, room, h.member(c, room)); err != nil {
		return fmt.Errorf("add member to %s: %w", room, err)
	}
	if err := h.occupy(ctx, room); err != nil {
		return err
	}
	if !h.kinds[protocol.RoomKind(room)].Presence {
		return nil
	}
	return h.arrive(ctx, c, room, settled)
}

// unseat takes away what seat wrote, with every Gen that is smaller than the member's. Where the connection entered a room a
// moment ago a call of seat may still be on its way: marks keep that out. grace is for how long its user may come back unseen.
func (h *Hub) unseat(ctx context.Context, room string, m Member, entered time.Time, grace time.Duration) error {
	var until time.Time
	if h.now().Sub(entered) < longest {
		until = h.now().Add(longest)
	}
	if err := h.store.RemoveMember(ctx, room, m.Shard, m.Connection, m.Gen, until); err != nil {
		return fmt.Errorf("remove member of %s: %w", room, err)
	}
	if err := h.vacate(ctx, room); err != nil {
		return err
	}
	if !h.kinds[protocol.RoomKind(room)].Presence {
		return nil
	}
	return h.depart(ctx, room, m, until, grace)
}

// member is a connection's membership of one of its rooms.
func (h *Hub) member(c Connection, room string) Member {
	return Member{
		Connection: c.ID, User: c.User, Codec: c.Codec, Shard: c.Rooms[room], Gen: c.Gens[room],
		MayPublish: c.Grants.Allow(room, GrantPublish), MaySignal: maySignal(c.Grants, room) && !c.Grants.Allow(room, GrantPublish), TTL: c.TTL,
		Expires: c.Expires.Truncate(time.Second),
	}
}

// rewrite writes a membership that is there anew, with what its row says. Where the connection left meanwhile nothing happens: of one that
// entered a moment ago there is a mark, and of the others nothing must be written where nothing is.
func (h *Hub) rewrite(ctx context.Context, c Connection, room string, paused bool) error {
	m, write := h.member(c, room), h.store.ChangeMember
	if h.now().Sub(c.Entered) < longest {
		write = h.store.AddMember
	}
	m.Paused = paused
	if err := write(ctx, room, m); err != nil && !errors.Is(err, ErrOvertaken) {
		return fmt.Errorf("rewrite membership of %s: %w", room, err)
	}
	return nil
}

// pause stops pushes to the caller but those of its user's own rooms. A join of a room ends it there.
func (h *Hub) pause(ctx context.Context, c Caller, recent bool) (any, error) {
	row, err := h.touch(ctx, c, "", recent)
	if err != nil {
		return nil, err
	}
	rooms := slices.DeleteFunc(slices.Sorted(maps.Keys(row.Rooms)), func(room string) bool { return h.kinds[protocol.RoomKind(room)].Owner })
	err = each(len(rooms), 16, func(i int) error { return h.rewrite(ctx, row, rooms[i], true) })
	return protocol.PauseResult{Rooms: rooms}, err
}

// late reports whether a function's time is nearly over.
func (h *Hub) late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && deadline.Sub(h.now()) < reserve
}

// The most that one reply holds of a room's log and presence, in bytes and in users.
const (
	replyEvents    = 64 << 10
	replyPresence  = 48 << 10
	replyOccupants = 1000
	replyMost      = replyEvents + replyPresence // of several rooms together
)

// welcome gives the reply to a join: where the log stands, what the client missed, who is there. The log is read first:
// a presence event after the position that the client gets can only say again what the snapshot knows already. Who has had a snapshot, and
// missed nothing since, gets none.
func (h *Hub) welcome(ctx context.Context, row Connection, k Kind, asked protocol.Joining) (protocol.JoinResult, error) {
	got, err := h.catchUp(ctx, row, asked.Room, k, asked.Since)
	if err != nil {
		return got, err
	}
	size := 0
	for _, e := range got.Events {
		size += sizeOf(e)
	}
	if !k.Presence || asked.Listed && got.Recovered || got.More && len(got.Events) > 0 { // it comes with the last page, or with one that has to wait
		return got, nil
	}
	if size > replyEvents {
		got.More = true // no space for presence: it comes with the next page, which is empty otherwise
		return got, nil
	}
	here, err := h.present(ctx, asked.Room, "", row.User)
	got.Presence, got.PresenceMore = here.Presence, here.More
	return got, err
}

// leave takes the caller out of a room. Leaving a room that it is not in is fine, since a leave may be repeated; its row remembers
// that it was asked for, since a join of before may still be on its way.
func (h *Hub) leave(ctx context.Context, c Caller, a protocol.Action) (any, error) {
	if _, err := h.kind(a.Room); err != nil {
		return nil, err
	}
	row, err := h.store.Connection(ctx, c.Connection)
	if err != nil {
		return nil, fmt.Errorf("read connection: %w", err)
	}
	if row.Closing {
		return nil, ErrNotFound
	}
	// A join that was asked for after this leave may be faster. Of two within a millisecond, which is as far as the gateway's clock
	// tells, the join wins: a page that mounts a component anew sends leave and join, and would be deaf.
	overtaken := func(row Connection) bool {
		joined, known := row.JoinedAt[a.Room]
		if !known { // long ago, or by a function of before
			joined = row.Gens[a.Room] / 1000
		}
		return !c.At.IsZero() && joined >= c.At.UnixMilli()
	}
	if err := h.exitUnless(ctx, row, a.Room, Leaving{Gen: h.asked(c).UnixMicro()}, c.At, overtaken); err != nil {
		return nil, err
	}
	return protocol.RoomResult{Room: a.Room}, nil
}

// exit takes a connection out of a room, whatever it asks for meanwhile.
func (h *Hub) exit(ctx context.Context, c Connection, room string, why protocol.Reason) error {
	return h.exitUnless(ctx, c, room, Leaving{Gen: h.now().UnixMicro(), Why: why}, time.Time{}, func(Connection) bool { return false })
}

// exitUnless takes a connection out of a room: first its row says so, then what follows from that is taken away, then the row forgets
// it. What is cut off in between is finished by the next exit, by Depart, or by the sweep. The generation of l is when it was asked for; asked is when its client did, zero: another did.
func (h *Hub) exitUnless(ctx context.Context, c Connection, room string, l Leaving, asked time.Time, stays func(Connection) bool) error {
	row, err := h.change(ctx, c, func(c Connection) (*Change, error) {
		ch := &Change{}
		if !asked.IsZero() && c.LeftAt[room] < asked.UnixMilli() && h.now().Sub(asked) < longest {
			ch.LeftAt = map[string]int64{room: asked.UnixMilli()}
		}
		switch {
		case c.In(room) && stays(c), !c.In(room) && ch.LeftAt == nil:
			return nil, nil //nolint:nilnil // nothing to change
		case c.In(room):
			l.Shard, l.Gen = c.Rooms[room], c.nextGen(time.UnixMicro(l.Gen))
			ch.Leave = map[string]Leaving{room: l}
		}
		return ch, nil
	})
	if errors.Is(err, ErrNotFound) { // it is closing, and whoever does that takes it out of everything
		return nil
	}
	if err != nil {
		return err
	}
	return h.finishLeaving(ctx, row)
}

// finishLeaving ends all that a connection is leaving.
func (h *Hub) finishLeaving(ctx context.Context, c Connection) error {
	if len(c.Leaving) == 0 {
		return nil
	}
	rooms := slices.Sorted(maps.Keys(c.Leaving))
	err := each(len(rooms), 8, func(i int) error {
		l := c.Leaving[rooms[i]]
		if err := h.unseat(ctx, rooms[i], Member{Connection: c.ID, User: c.User, Shard: l.Shard, Gen: l.Gen}, c.Entered, h.instant()); err != nil {
			return err
		}
		h.observe.count(Leaves, 1)
		return h.tellLeft(ctx, c, rooms[i], l.Why)
	})
	if err != nil {
		return err
	}
	_, err = h.change(ctx, c, func(now Connection) (*Change, error) {
		ch := &Change{}
		for _, room := range rooms {
			if l, is := now.Leaving[room]; is && l.Gen == c.Leaving[room].Gen {
				ch.Left = append(ch.Left, room)
			}
		}
		if len(ch.Left) == 0 {
			return nil, nil //nolint:nilnil // somebody else was faster
		}
		return ch, nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// tellLeft tells a connection that it was taken out of a room, if that was not its own wish. While it cannot be told the row
// keeps the room among those that it is leaving, and the sweep tries again.
func (h *Hub) tellLeft(ctx context.Context, c Connection, room string, why protocol.Reason) error {
	if why == "" {
		return nil
	}
	e := protocol.Event{Event: protocol.RoomClosed, Room: room, Data: object("reason", why)}
	err := h.Tell(ctx, Target{Connection: c.ID, User: c.User, Codec: c.Codec}, e)
	if err != nil && !errors.Is(err, ErrGone) {
		h.log.WarnContext(ctx, "push failed", "connectionId", c.ID, "room", room, "error", err)
		return fmt.Errorf("tell %s that it was taken out of %s: %w", c.ID, room, err)
	}
	return nil
}
