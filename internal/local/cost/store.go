package cost

import (
	"context"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// Store counts what the calls of a store would use of DynamoDB: the requests that internal/store/dynamo makes for each, with the
// units of the rows that go in and out. That is an estimate where it cannot be seen from here: a write that DynamoDB has
// to try in another form, a shard count that the function has cached, rows that DynamoDB has not deleted yet.
//
// The units are those of https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html: a write
// unit for each 1 KB of a row, two in a transaction; a read unit for each 4 KB that a strongly consistent request reads, and
// half of that otherwise. A request that finds nothing, or whose condition fails, costs as much.
type Store struct {
	socketio.Store

	Meter *Meter
}

var _ hub.Store = Store{}

// The sizes of rows with short ids, in bytes, names of attributes included. They decide only how many fit in 4 KB.
const (
	memberRow     = 80
	connectionRow = 400
	entryRow      = 160 // without its data
	hereRow       = 200 // without its data
)

// writes are write units for a row of size bytes.
func writes(size int) Delta { return Delta{WriteUnits: pieces(size, 1<<10)} }

// reads are a strongly consistent read of size bytes together.
func reads(size int) Delta { return Delta{ReadHalves: 2 * pieces(size, 4<<10)} }

func (s Store) count(ctx context.Context, room string, d Delta) {
	s.Meter.Add(d)
	s.Meter.Room(room).Add(d)
	VisitOf(ctx).spend(room, d)
}

func (s Store) about(ctx context.Context, room, user, action string) {
	VisitOf(ctx).About(room, user, action, true)
}

func rowSize(c hub.Connection) int {
	size := connectionRow + len(c.Name)
	for room := range c.Rooms {
		size += len(room) + 4
	}
	return size
}

func (s Store) Open(ctx context.Context, c hub.Connection) error {
	s.Meter.Belongs(c.ID, c.User)
	s.about(ctx, "", c.User, "connect")
	s.count(ctx, "", writes(rowSize(c)))
	return s.Store.Open(ctx, c)
}

func (s Store) Connection(ctx context.Context, id string) (hub.Connection, error) {
	c, err := s.Store.Connection(ctx, id)
	s.count(ctx, "", reads(rowSize(c)))
	return c, err
}

func (s Store) Touch(ctx context.Context, id string, t hub.Touch) (hub.Connection, error) {
	c, err := s.Store.Touch(ctx, id, t)
	v := VisitOf(ctx)
	v.From(id)
	v.About(t.Room, c.User, "", true)
	s.count(ctx, t.Room, writes(rowSize(c)))
	return c, err
}

func (s Store) Change(ctx context.Context, was hub.Connection, ch hub.Change) (hub.Connection, error) {
	c, err := s.Store.Change(ctx, was, ch)
	room, action := "", ""
	switch {
	case ch.Closing:
		action = "disconnect"
	case ch.Renew != nil:
		action = "auth"
	case len(ch.Left) > 0:
		room, action = ch.Left[0], "leave"
	}
	for entered := range ch.Enter {
		room, action = entered, "join"
	}
	for left := range ch.Leave {
		room, action = left, "leave"
	}
	s.about(ctx, room, c.User, action)
	s.count(ctx, room, writes(rowSize(c)))
	return c, err
}

func (s Store) Forget(ctx context.Context, id string) error {
	s.count(ctx, "", writes(connectionRow))
	return s.Store.Forget(ctx, id)
}

func (s Store) Walk(ctx context.Context, partition int, after string, limit int) ([]hub.Connection, error) {
	rows, err := s.Store.Walk(ctx, partition, after, limit)
	size := 0
	for _, c := range rows {
		size += rowSize(c)
	}
	s.about(ctx, "", "", "sweep")
	s.count(ctx, "", reads(size))
	return rows, err
}

func (s Store) AddMember(ctx context.Context, room string, m hub.Member) error {
	s.count(ctx, room, writes(memberRow))
	return s.Store.AddMember(ctx, room, m)
}

func (s Store) RemoveMember(ctx context.Context, room string, shard int, connection string, gen int64, until time.Time) error {
	s.count(ctx, room, writes(memberRow))
	return s.Store.RemoveMember(ctx, room, shard, connection, gen, until)
}

// Members is a query, which reads one row more than it gives, and the room's own before the first.
func (s Store) Members(ctx context.Context, room string, shard int, after string, limit int) (hub.MemberPage, error) {
	page, err := s.Store.Members(ctx, room, shard, after, limit)
	s.count(ctx, room, reads((len(page.Members)+2)*memberRow))
	return page, err
}

// Shards is an eventually consistent read, which a function spares itself for a minute after.
func (s Store) Shards(ctx context.Context, room string) (int, error) {
	s.count(ctx, room, Delta{ReadHalves: 1})
	return s.Store.Shards(ctx, room)
}

func (s Store) Note(ctx context.Context, name string, value []byte, ttl time.Time) error {
	s.count(ctx, "", writes(len(name)+len(value)))
	return s.Store.Note(ctx, name, value, ttl)
}

func (s Store) NoteOnce(ctx context.Context, name string, value []byte, ttl time.Time) (bool, error) {
	s.count(ctx, "", writes(len(name)+len(value)))
	return s.Store.NoteOnce(ctx, name, value, ttl)
}

func (s Store) Noted(ctx context.Context, name string) ([]byte, error) {
	value, err := s.Store.Noted(ctx, name)
	s.count(ctx, "", reads(len(name)+len(value)))
	return value, err
}

func (s Store) Unnote(ctx context.Context, name string) error {
	s.count(ctx, "", writes(memberRow))
	return s.Store.Unnote(ctx, name)
}

func (s Store) Occupy(ctx context.Context, room string) (bool, error) {
	s.count(ctx, room, writes(memberRow))
	return s.Store.Occupy(ctx, room)
}

func (s Store) Vacate(ctx context.Context, room string) (bool, error) {
	s.count(ctx, room, writes(memberRow))
	return s.Store.Vacate(ctx, room)
}

func (s Store) Grow(ctx context.Context, room string, from int) error {
	s.count(ctx, room, writes(0))
	return s.Store.Grow(ctx, room, from)
}

// Append with an id is a look whether it is known, the seq, and a transaction of the entry and the id;
// and if it is known, the look and the entry.
func (s Store) Append(ctx context.Context, room string, e protocol.Event, keep time.Duration) (hub.Entry, bool, error) {
	entry, appended, err := s.Store.Append(ctx, room, e, keep)
	row := pieces(entryRow+len(e.Data), 1<<10)
	var d Delta
	switch {
	case e.ID == "":
		d = Delta{WriteUnits: 1 + row}
	case appended || err != nil:
		d = Delta{ReadHalves: 2, WriteUnits: 1 + 2*row + 2}
	default:
		d = Delta{ReadHalves: 2 + reads(entryRow+len(entry.Data)).ReadHalves}
	}
	user := ""
	if e.From != nil {
		user = e.From.UserID
	}
	VisitOf(ctx).About(room, user, e.Event, false)
	s.count(ctx, room, d)
	return entry, appended, err
}

// Find is a look for the id, and the entry.
func (s Store) Find(ctx context.Context, room, id string) (hub.Entry, error) {
	e, err := s.Store.Find(ctx, room, id)
	d := reads(0)
	if err == nil {
		d = d.plus(reads(entryRow + len(e.Data)))
	}
	s.count(ctx, room, d)
	return e, err
}

func (s Store) From(ctx context.Context, room string, first int64, limit int) ([]hub.Entry, error) {
	list, err := s.Store.From(ctx, room, first, limit)
	s.history(ctx, room, list)
	return list, err
}

func (s Store) Before(ctx context.Context, room string, before int64, limit int) ([]hub.Entry, error) {
	list, err := s.Store.Before(ctx, room, before, limit)
	s.history(ctx, room, list)
	return list, err
}

func (s Store) history(ctx context.Context, room string, list []hub.Entry) {
	size := 0
	for _, e := range list {
		size += entryRow + len(e.Data)
	}
	s.about(ctx, room, "", "history")
	s.count(ctx, room, reads(size))
}

func (s Store) Void(ctx context.Context, room string, seq int64, keep time.Duration) (bool, error) {
	s.count(ctx, room, writes(0))
	return s.Store.Void(ctx, room, seq, keep)
}

// Head is a read. The write that begins a room's log is left out: it happens once in the life of a room.
func (s Store) Head(ctx context.Context, room string) (hub.Head, error) {
	s.count(ctx, room, reads(0))
	return s.Store.Head(ctx, room)
}

func (s Store) Redact(ctx context.Context, room string, seq int64) error {
	s.count(ctx, room, writes(entryRow))
	return s.Store.Redact(ctx, room, seq)
}

func (s Store) Reset(ctx context.Context, room string) error {
	s.count(ctx, room, writes(0))
	return s.Store.Reset(ctx, room)
}

func (s Store) SetHere(ctx context.Context, room string, was, now hub.Here) (hub.Here, error) {
	if now.Status != was.Status && was.Status != "" {
		s.about(ctx, room, now.User, "presence")
	}
	s.count(ctx, room, writes(hereRow+len(now.Data)))
	return s.Store.SetHere(ctx, room, was, now)
}

func (s Store) Here(ctx context.Context, room, user string) (hub.Here, error) {
	h, err := s.Store.Here(ctx, room, user)
	s.count(ctx, room, reads(hereRow+len(h.Data)))
	return h, err
}

func (s Store) Present(ctx context.Context, room, after string, limit int) ([]hub.Here, error) {
	list, err := s.Store.Present(ctx, room, after, limit)
	size := 0
	for _, h := range list {
		size += hereRow + len(h.Data)
	}
	s.count(ctx, room, reads(size))
	return list, err
}
