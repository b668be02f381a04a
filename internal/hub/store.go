package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// What a store answers when it did nothing. Any other error means that the outcome is unknown: every method may be
// called again with the same arguments.
var (
	ErrNotFound  = errors.New("not found")
	ErrChanged   = errors.New("the row is another by now")
	ErrOvertaken = errors.New("a later membership, or its end, is there already")
)

// Partitions is the number of partitions that connections are spread over: enough to write 64,000 rows a second, few
// enough for the sweep to walk.
const Partitions = 64

// Partition gives the partition of a connection, 0 to 63.
func Partition(connection string) int { return shardOf(connection, Partitions) }

// shardOf spreads connections evenly over n places.
func shardOf(connection string, n int) int {
	return int(hash(connection) % uint32(n)) //nolint:gosec // n is a small positive count
}

func hash(connection string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(connection))
	return h.Sum32()
}

// Connection is the row of one open connection. It decides, alone, which rooms the connection is in: memberships and presences
// only follow, each with the generation that the row gave it.
type Connection struct {
	ID          string
	User        string
	Name        string
	Codec       string             // the name of what it speaks
	Grants      Grants             // what its token allows
	Rooms       map[string]int     // every room it is in, with the shard of its membership
	Gens        map[string]int64   // of the rooms, the generation of each membership; none: 0
	Gen         int64              // the last generation that the row gave
	Leaving     map[string]Leaving // rooms that it has left, while their membership is being taken away
	JoinedAt    map[string]int64   // when it was last asked to be put in a room, likewise
	LeftAt      map[string]int64   // when its client last asked to leave a room, in Unix milliseconds, of the last minutes
	ConnectedAt time.Time
	LastSeen    time.Time       // its last action
	Entered     time.Time       // when it last entered a room; zero: never
	TakenOut    time.Time       // when it was last taken out of a room without having asked; zero: never
	Expires     time.Time       // when its token does
	Busy        time.Time       // the rate limit's state: when all that it sent so far is paid for
	Closing     bool            // it is being departed; it may do nothing more
	Ended       protocol.Reason // why the server ended it; its socket may be open still, and the sweep is to close it
	Rev         string          // another with each Change, and with no other write
	TTL         time.Time       // when the row lapses by itself
}

// Leaving is a membership that is being taken away.
type Leaving struct {
	Shard int
	Gen   int64           // of the leaving: whatever has a smaller one is over
	Why   protocol.Reason // what the client is to be told; empty: it asked for it
}

// nextGen is a generation that is later than all that the row has given. It is a time, in Unix microseconds, where the clock
// allows that.
func (c Connection) nextGen(now time.Time) int64 {
	return max(now.UnixMicro(), c.Gen+1)
}

// Change is a change of what a row says about where the connection is and what it may do. It is made of the row that was read:
// if that was changed in between, nothing happens.
type Change struct {
	Anyhow   bool               // whatever has become of the row since; only to close it
	Enter    map[string]Seat    // rooms that it is in from now on
	Leave    map[string]Leaving // rooms that it is leaving from now on
	Left     []string           // rooms that it has left altogether
	JoinedAt map[string]int64   // when it was asked to enter rooms, in Unix milliseconds: a leave of before is late
	LeftAt   map[string]int64   // when the client asked to leave, in Unix milliseconds, also rooms that it is not in: a join of before is late
	Renew    *Identity          // name, grants and expiry
	Closing  bool
	End      protocol.Reason // why the server ends it
	Touch    *Touch          // charge it as an action; nil: it may be expired, and is not charged
	Now      time.Time
}

// Seat is a place in a room.
type Seat struct {
	Shard int
	Gen   int64
}

// Check decides from a row whether the change of another that was read may be made: ErrNotFound for a row that is lapsed, or
// closing unless this closes it too; ErrChanged; otherwise as [Touch].Check. Stores call it to say why a conditional write failed.
func (ch Change) Check(was, c Connection) error {
	switch {
	case !c.TTL.After(ch.Now) || c.Closing && !ch.Closing:
		return ErrNotFound
	case c.Rev != was.Rev && !ch.Anyhow:
		return ErrChanged
	case ch.Touch != nil:
		return ch.Touch.Check(c)
	}
	return nil
}

// Apply gives the row as it is after the change, but for its Rev.
func (ch Change) Apply(c Connection) Connection {
	c.Rooms, c.Gens, c.Leaving = maps.Clone(c.Rooms), maps.Clone(c.Gens), maps.Clone(c.Leaving)
	if c.Rooms == nil {
		c.Rooms = map[string]int{}
	}
	if c.Gens == nil {
		c.Gens = map[string]int64{}
	}
	if c.Leaving == nil {
		c.Leaving = map[string]Leaving{}
	}
	for _, room := range ch.Left {
		delete(c.Leaving, room)
	}
	for room, l := range ch.Leave {
		delete(c.Rooms, room)
		delete(c.Gens, room)
		c.Leaving[room], c.Gen = l, max(c.Gen, l.Gen)
		if l.Why != "" {
			c.TakenOut = ch.Now
		}
	}
	for room, seat := range ch.Enter {
		c.Rooms[room], c.Gens[room], c.Gen = seat.Shard, seat.Gen, max(c.Gen, seat.Gen)
		delete(c.Leaving, room)
		c.Entered = ch.Now
	}
	if len(ch.LeftAt) > 0 {
		c.LeftAt = ch.recent(c.LeftAt, ch.LeftAt)
	}
	if len(ch.JoinedAt) > 0 {
		c.JoinedAt = ch.recent(c.JoinedAt, ch.JoinedAt)
	}
	if ch.Renew != nil {
		c.Name, c.Grants, c.Expires = ch.Renew.Name, ch.Renew.Grants, ch.Renew.Expires
	}
	c.Closing, c.Ended = c.Closing || ch.Closing, cmp.Or(ch.End, c.Ended)
	if ch.Touch != nil {
		c.Busy = ch.Touch.Charge(c)
	}
	if !ch.Closing {
		c.LastSeen = ch.Now
	}
	return c
}

// wishes bounds what a row remembers of when its client asked to enter and leave rooms: the last few, for as long as what was asked for
// before may be on its way.
const wishes = 16

func (ch Change) recent(was, with map[string]int64) map[string]int64 {
	now := map[string]int64{}
	for room, at := range was {
		if ch.Now.Sub(time.UnixMilli(at)) < longest {
			now[room] = at
		}
	}
	for room, at := range with {
		now[room] = max(now[room], at)
	}
	for len(now) > wishes {
		first := slices.MinFunc(slices.Sorted(maps.Keys(now)), func(a, b string) int { return cmp.Compare(now[a], now[b]) })
		delete(now, first)
	}
	return now
}

// Touch is one action of a connection: authentication, membership, rate limit and last-seen in one conditional write.
type Touch struct {
	Now   time.Time
	Room  string        // must be one of the connection's rooms; empty: any
	Cost  time.Duration // what one action costs: 100 ms allow 10 a second
	Burst time.Duration // how far Busy may run ahead of Now
	// Recent says that the caller believes Busy to be later than Now. It is a hint that saves DynamoDB a second write,
	// and may be wrong.
	Recent bool
}

// Check decides from a row whether the touch is allowed: ErrNotFound for a connection that is closing or lapsed,
// otherwise a [protocol.Error] of expired, not_in_room or rate_limited. Stores call it to say why a conditional write
// failed, so that the reasons are the same everywhere.
func (t Touch) Check(c Connection) error {
	switch {
	case c.Closing || !c.TTL.After(t.Now):
		return ErrNotFound
	case !c.Expires.After(t.Now):
		return protocol.Refuse(protocol.CodeExpired)
	case t.Room != "" && !c.In(t.Room):
		return protocol.Errorf(protocol.CodeNotInRoom, "join %s first", t.Room)
	}
	if most := t.Now.Add(t.Burst); c.Busy.After(most) {
		return &protocol.Error{
			Code: protocol.CodeRateLimited, Message: protocol.CodeRateLimited.Sentence(), RetryAfter: c.Busy.Sub(most),
		}
	}
	return nil
}

// Charge gives the Busy that the row has after the touch: max(Busy, Now) + Cost.
func (t Touch) Charge(c Connection) time.Time {
	if c.Busy.After(t.Now) {
		return c.Busy.Add(t.Cost)
	}
	return t.Now.Add(t.Cost)
}

// In reports whether the connection is in a room.
func (c Connection) In(room string) bool {
	_, in := c.Rooms[room]
	return in
}

// Connections keeps one row for each open connection. Rows are never returned after their TTL. Reads are strongly
// consistent.
type Connections interface {
	// Open stores a new row, over any older one with the same id.
	Open(ctx context.Context, c Connection) error
	// Connection gives a row, also one that is closing. ErrNotFound.
	Connection(ctx context.Context, id string) (Connection, error)
	// Touch charges one action and sets LastSeen, in one conditional write that does nothing unless Touch.Check allows
	// it; the error is Check's, or ErrNotFound. It gives the row as written.
	Touch(ctx context.Context, id string, t Touch) (Connection, error)
	// Change makes a change of the row that was read, and gives it as written. It does nothing unless Change.Check allows it,
	// and the error is that one. A change whose answer was lost recognises itself when it is tried again.
	Change(ctx context.Context, was Connection, ch Change) (Connection, error)
	// Forget deletes a row. A missing one is no error.
	Forget(ctx context.Context, id string) error
	// Walk gives up to limit rows of one partition with ids greater than after, ascending; fewer than limit: the end.
	Walk(ctx context.Context, partition int, after string, limit int) ([]Connection, error)
	// Wanted looks at up to limit rows of one partition with ids greater than after, ascending, and gives those that a look wants. A row
	// may be a second old.
	Wanted(ctx context.Context, partition int, after string, limit int, look Look) (Wanted, error)
}

// Wanted is some of the rows of one partition.
type Wanted struct {
	Connections []Connection // that the look wants
	Rows        int          // that were looked at
	Next        string       // hand over as after for the next page; empty: there is none
}

// Member is one connection in one room.
type Member struct {
	Connection string
	User       string
	Codec      string
	Shard      int
	Gen        int64     // of the membership, as the connection's row has it
	MayPublish bool      // its token lets it publish and signal here
	MaySignal  bool      // its token lets it signal here, but not publish
	Paused     bool      // nothing of the room is pushed to it
	Expires    time.Time // when its token ended by when this was written, in whole seconds; zero: it is not known
	TTL        time.Time
}

// MemberPage is some of the members of one shard of a room.
type MemberPage struct {
	Members []Member
	Next    string // hand over as after for the next page; empty: there is none
	Shards  int    // how many shards the room has, at least 1; only known (not 0) with the first page of shard 0
}

// Members keeps who is in which room. Reads are strongly consistent and leave out lapsed rows.
type Members interface {
	// AddMember writes a membership, over any whose Gen is not larger. ErrOvertaken: there is a larger one, or the mark of one
	// that was removed.
	AddMember(ctx context.Context, room string, m Member) error
	// ChangeMember writes over a membership of the same Gen. ErrOvertaken: there is none.
	ChangeMember(ctx context.Context, room string, m Member) error
	// RemoveMember deletes one whose Gen is not larger; a missing or a later one is no error. Where until is not zero it leaves
	// a mark until then, which keeps out memberships with a smaller Gen that are still on their way.
	RemoveMember(ctx context.Context, room string, shard int, connection string, gen int64, until time.Time) error
	// Members gives up to limit members of a shard with connection ids greater than after, ascending by id.
	Members(ctx context.Context, room string, shard int, after string, limit int) (MemberPage, error)
	// Shards gives how many shards new members spread over, at least 1. It may be an older, smaller number.
	Shards(ctx context.Context, room string) (int, error)
	// Grow doubles the shards of a room that has just from of them; otherwise it does nothing.
	Grow(ctx context.Context, room string, from int) error
	// Occupy marks a room as occupied, and reports whether it was not.
	Occupy(ctx context.Context, room string) (bool, error)
	// Vacate takes the mark off, and reports whether it was there.
	Vacate(ctx context.Context, room string) (bool, error)
}

// Here is the row of one user in one room with presence. One without Since is no presence: it only keeps marks.
type Here struct {
	User      string
	Name      string
	Status    string
	Data      json.RawMessage
	Stays     map[string]Stay // by connection
	Since     time.Time       // when the first of them came; with the user it identifies this presence
	Left      time.Time       // when the last of them went; zero while there are some
	Overdue   time.Time       // when somebody last saw that it should have ended long ago, and left another job for that; zero: nobody has
	Version   int             // counts up with each change that others must hear of, from 1
	Announced int             // the Version that others have heard of, 0: not even of the arrival
	Ending    bool            // its end is being announced: it can only end
	Rev       string          // another with each change
	TTL       time.Time
}

// Stay is one connection in a presence.
type Stay struct {
	Gen  int64     // of its membership
	Gone bool      // it has left; the mark keeps out arrivals with a smaller Gen that are still on their way
	Ends time.Time // when it lapses by itself, with its connection, or the mark
}

// Connections gives which of the user's connections are in the room.
func (h Here) Connections() []string {
	var ids []string
	for id, stay := range h.Stays {
		if !stay.Gone {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Occupant is what others see of the row.
func (h Here) Occupant() protocol.Occupant {
	return protocol.Occupant{
		UserID: h.User, Name: h.Name, Status: h.Status, Data: h.Data, Since: h.Since.UnixMilli(), Version: h.Version,
	}
}

// Presence keeps who is present in a room: a row for each user, which changes as a whole. Times are exact to the millisecond.
// Reads are strongly consistent.
type Presence interface {
	// Here gives the row of one user. ErrNotFound.
	Here(ctx context.Context, room, user string) (Here, error)
	// SetHere puts a row in the place of the one that was read; was without a User: there was none. A row without Since and
	// without Stays is deleted. It gives the row with its Rev. ErrChanged: the row is another by now. A write whose answer was
	// lost recognises itself when it is tried again.
	SetHere(ctx context.Context, room string, was, now Here) (Here, error)
	// Present gives up to limit rows with user ids greater than after, ascending, of whatever state; fewer: the end.
	Present(ctx context.Context, room, after string, limit int) ([]Here, error)
}

// Notes keeps small values under names. Reads are strongly consistent and leave out lapsed values. Names are at most 1 KB, values at
// most 100 KB.
type Notes interface {
	// Note stores a value, over any older one.
	Note(ctx context.Context, name string, value []byte, ttl time.Time) error
	// Noted gives a value. ErrNotFound.
	Noted(ctx context.Context, name string) ([]byte, error)
}

// Store is everything that the hub keeps.
type Store interface {
	Connections
	Members
	Log
	Presence
	Notes
}
