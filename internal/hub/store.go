package hub

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// What a store answers when it did nothing. Any other error means that the outcome is unknown: every method may be
// called again with the same arguments.
var (
	ErrNotFound = errors.New("not found")
	ErrEnding   = errors.New("absence is being announced")
)

// Partitions is the number of partitions that connections are spread over: enough to write 64,000 rows a second, few
// enough for the sweep to walk.
const Partitions = 64

// Partition gives the partition of a connection, 0 to 63.
func Partition(connection string) int { return shardOf(connection, Partitions) }

// shardOf spreads connections evenly over n places.
func shardOf(connection string, n int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(connection))
	return int(h.Sum32() % uint32(n)) //nolint:gosec // n is a small positive count
}

// Connection is the row of one open connection.
type Connection struct {
	ID          string
	User        string
	Name        string
	Codec       string         // name of the protocol.Codec it speaks
	Grants      Grants         // what its token allows
	Rooms       map[string]int // every room it is in, with the shard of its membership
	ConnectedAt time.Time
	LastSeen    time.Time // its last action
	Entered     time.Time // its last Enter; zero: none
	Expires     time.Time // when its token does
	Busy        time.Time // the rate limit's state: when all that it sent so far is paid for
	Closing     bool      // it is being departed; it may do nothing more
	TTL         time.Time // when the row lapses by itself
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
	// Enter is Touch that also puts room with its shard in Rooms and sets Entered; a room that is there keeps the shard it
	// has.
	Enter(ctx context.Context, id, room string, shard int, t Touch) (Connection, error)
	// Exit takes room out of Rooms and sets LastSeen. A missing row or room is no error.
	Exit(ctx context.Context, id, room string, now time.Time) error
	// Renew replaces name, grants and expiry of a row that is not closing. ErrNotFound.
	Renew(ctx context.Context, id, name string, g Grants, expires time.Time) error
	// BeginClose sets Closing and gives the row, whether or not it was set already. ErrNotFound.
	BeginClose(ctx context.Context, id string) (Connection, error)
	// Forget deletes a row. A missing one is no error.
	Forget(ctx context.Context, id string) error
	// Walk gives up to limit rows of one partition with ids greater than after, ascending; fewer than limit: the end.
	Walk(ctx context.Context, partition int, after string, limit int) ([]Connection, error)
}

// Member is one connection in one room.
type Member struct {
	Connection string
	User       string
	Codec      string
	Shard      int
	MayPublish bool // its token lets it publish and signal here
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
	// AddMember writes a membership, over any older one.
	AddMember(ctx context.Context, room string, m Member) error
	// RemoveMember deletes one. A missing one is no error.
	RemoveMember(ctx context.Context, room string, shard int, connection string) error
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

// Entry is one logged event. Its Event has Room, Seq, ID and TS.
type Entry struct {
	protocol.Event
	Epoch string
	Void  bool // no event: a hole that Void has filled; only Room, Seq and TS are set
}

// Head is where a room's log stands.
type Head struct {
	protocol.Position           // the newest seq given out
	Base              int64     // entries up to this seq are not shown any more: the room was closed since
	Began             time.Time // when the epoch did
}

// Log keeps the logged events of each room. Reads are strongly consistent and leave out entries older than their keep.
type Log interface {
	// Append counts seq up by one and writes the entry, with a protocol.GeneratedID when it has none. If the room has an entry
	// under this ID, which it remembers for 10 minutes or the entry's keep, whichever is longer, nothing is written
	// and that entry is given with appended false; a crash or a lost race may leave a hole in seq. The entry and the
	// memory of its ID are written together. Where a Void was faster, the entry gets another seq.
	Append(ctx context.Context, room string, e protocol.Event, keep time.Duration) (entry Entry, appended bool, err error)
	// Find gives the entry with an ID. ErrNotFound.
	Find(ctx context.Context, room, id string) (Entry, error)
	// From gives up to limit entries with seq at least first, ascending, of whatever epoch. It may give fewer, but
	// never none while there are some: together they have at most about 96 KB. Holes are simply not there; those
	// that Void has filled are, as such.
	From(ctx context.Context, room string, first int64, limit int) ([]Entry, error)
	// Before gives up to limit entries with seq below before, descending, otherwise like From.
	Before(ctx context.Context, room string, before int64, limit int) ([]Entry, error)
	// Void fills the hole at a seq that has been given out, so that nothing is ever written there. false: there is an
	// entry. It may be repeated.
	Void(ctx context.Context, room string, seq int64, keep time.Duration) (bool, error)
	// Head gives where the log stands, and begins an epoch in a room that has none.
	Head(ctx context.Context, room string) (Head, error)
	// Redact replaces the data of an entry by null. A missing one is no error.
	Redact(ctx context.Context, room string, seq int64) error
	// Reset begins a new epoch whose Base is the newest seq; seq goes on counting.
	Reset(ctx context.Context, room string) error
}

// Here is the row of one user in one room with presence.
type Here struct {
	User        string
	Name        string
	Status      string
	Data        json.RawMessage
	Connections []string  // which of the user's connections are in the room
	Since       time.Time // when the first of them came; with the user it identifies this presence
	Left        time.Time // when the last of them went; zero while there are some
	Version     int       // counts up with each change that others must hear of, from 1
	Announced   int       // the Version that others have heard of, 0: not even of the arrival
	Ending      bool      // its end is being announced: it can only end
	TTL         time.Time
}

// Occupant is what others see of the row.
func (h Here) Occupant() protocol.Occupant {
	return protocol.Occupant{
		UserID: h.User, Name: h.Name, Status: h.Status, Data: h.Data, Since: h.Since.UnixMilli(), Version: h.Version,
	}
}

// Presence keeps who is present in a room. A user is a set of connections, so that coming and going may be repeated, and
// each transition is decided by one conditional write. Times are exact to the millisecond.
type Presence interface {
	// Arrive adds a connection to the user's row and clears Left. A row that is not there begins with Status "online",
	// Since now, Version 1. ErrEnding if the row is Ending: finish that first.
	Arrive(ctx context.Context, room, user, name, connection string, now, ttl time.Time) (Here, error)
	// Depart takes a connection out of the row. If no connection is left, Left is now, unless it is set already; the
	// row given then has no Connections. ErrNotFound if there is no row.
	Depart(ctx context.Context, room, user, connection string, now time.Time) (Here, error)
	// SetStatus replaces status and data of a row with connections and counts Version up, unless they are what they
	// are already. ErrNotFound; ErrEnding.
	SetStatus(ctx context.Context, room, user, status string, data json.RawMessage) (Here, error)
	// Announced raises the row's Announced to version, if it is still the presence that began at since.
	Announced(ctx context.Context, room, user string, since time.Time, version int) error
	// BeginEnd sets Ending on a row with no connections that began at since and whose Left is not after left, and gives
	// it, also when it was set already. ErrNotFound if the user is back, or the row is gone or another.
	BeginEnd(ctx context.Context, room, user string, since, left time.Time) (Here, error)
	// End deletes the row that began at since, if it is Ending. A missing one is no error.
	End(ctx context.Context, room, user string, since time.Time) error
	// Here gives the row of one user. ErrNotFound.
	Here(ctx context.Context, room, user string) (Here, error)
	// Present gives up to limit rows with user ids greater than after, ascending, Ending ones too; fewer: the end.
	Present(ctx context.Context, room, after string, limit int) ([]Here, error)
}

// Store is everything that the hub keeps.
type Store interface {
	Connections
	Members
	Log
	Presence
}
