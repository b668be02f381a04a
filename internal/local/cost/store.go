package cost

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/around"
)

// Store counts what the calls of a store would use of DynamoDB: the requests that internal/store/dynamo makes for each, with the
// units of the rows that go in and out. That is an estimate where it cannot be seen from here: a write that DynamoDB has
// to try in another form, a shard count that the function has cached, rows that DynamoDB has not deleted yet.
//
// The units are those of https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html: a write
// unit for each 1 KB of a row, two in a transaction; a read unit for each 4 KB that a strongly consistent request reads, and
// half of that otherwise. A request that finds nothing, or whose condition fails, costs as much.
type Store struct {
	around.Store
	around.Notes
}

var _ socketio.Store = Store{}

// NewStore has the calls of a store on a meter's bill.
func NewStore(store socketio.Store, m *Meter) Store {
	table := operations()
	step := func(ctx context.Context, c *around.Call, do func() error) error {
		err := do()
		o := table[c.Name]
		a := about{room: c.Room}
		if o.about != nil {
			o.about(c, &a)
		}
		v := VisitOf(ctx)
		v.From(a.connection)
		v.About(a.room, a.user, a.action, true)
		if a.opened {
			m.Belongs(c.Key, a.user)
		}
		d := o.uses(c, err)
		m.Add(d)
		m.Room(a.room).Add(d)
		v.spend(a.room, d)
		return err
	}
	return Store{around.New(store, step), around.NewNotes(store, step)}
}

// Note and Noted are of both.
func (s Store) Note(ctx context.Context, name string, value []byte, ttl time.Time) error {
	return s.Notes.Note(ctx, name, value, ttl) //nolint:wrapcheck // it is the store itself
}

func (s Store) Noted(ctx context.Context, name string) ([]byte, error) {
	return s.Notes.Noted(ctx, name) //nolint:wrapcheck // it is the store itself
}

// operation is what one method uses, and whose it is if the invocation has not said so by then.
type operation struct {
	uses  func(c *around.Call, err error) Delta
	about func(c *around.Call, a *about) // nil: there is no more to say than the room
}

// about is what a call is about.
type about struct {
	room, user, connection string
	action                 string // gives way to the name of an event
	opened                 bool   // the connection is the user's from now on
}

// operations are the methods of a store.
func operations() map[string]operation {
	return map[string]operation{
		"Open":       {write, opens},
		"Connection": {read, nil},
		"Touch":      {write, touches},
		"Change":     {write, changes},
		"Forget":     {write, nil},
		"Walk":       {read, nil},
		"Wanted":     {looks, action("sweep")},

		"AddMember":    {write, nil},
		"ChangeMember": {write, nil},
		"RemoveMember": {write, nil},
		"Members":      {read, nil},
		"Shards":       {readEventually, nil}, // which a function spares itself for a minute after
		"Grow":         {write, nil},
		"Occupy":       {write, nil},
		"Vacate":       {write, nil},

		"Append": {appends, nil},
		"Find":   {finds, nil},
		"Named":  {finds, nil},
		"From":   {read, action("history")},
		"Before": {read, action("history")},
		"Void":   {write, nil},
		"Head":   {read, nil}, // the write that begins a room's log is left out: it happens once in the life of a room
		"Pend":   {write, nil},
		"Redact": {write, nil},
		"Reset":  {write, nil},

		"Here":    {read, nil},
		"SetHere": {write, nil},
		"Present": {read, nil},

		"Note":     {write, nil},
		"NoteOnce": {write, nil},
		"NoteOver": {write, nil},
		"Noted":    {read, nil},
		"Unnote":   {write, nil},
	}
}

// write is a row, of the size of the one that the call gives, or is given.
func write(c *around.Call, _ error) Delta { return writes(max(size(c.Got), size(c.Given)+len(c.Key))) }

// read is a strongly consistent read of what the call gives.
func read(c *around.Call, _ error) Delta { return reads(size(c.Got)) }

// looks is a read of rows that gives only some of them. They are not strongly consistent, so it is half of that.
func looks(c *around.Call, _ error) Delta {
	w, _ := c.Got.(*hub.Wanted)
	return Delta{ReadHalves: pieces(w.Rows*connectionRow, 4<<10)}
}

func readEventually(*around.Call, error) Delta { return Delta{ReadHalves: 1} }

// appends counts a seq, with a key writes that down, and writes the entry. If the key is known, the count finds it, and it reads the
// entry.
func appends(c *around.Call, err error) Delta {
	draft, _ := c.Given.(*hub.Draft)
	row := pieces(entryRow+len(draft.Data), 1<<10)
	switch {
	case draft.Key.Maker == hub.MakerNobody:
		return Delta{WriteUnits: 1 + row}
	case c.Did || err != nil:
		return Delta{WriteUnits: 2 + row}
	}
	return Delta{WriteUnits: 1}.plus(reads(size(c.Got)))
}

// finds is a look for the key, and what it leads to.
func finds(c *around.Call, err error) Delta {
	if err != nil {
		return reads(0)
	}
	return reads(0).plus(reads(size(c.Got)))
}

func action(name string) func(*around.Call, *about) {
	return func(_ *around.Call, a *about) { a.action = name }
}

func opens(c *around.Call, a *about) {
	row, _ := c.Given.(*hub.Connection)
	a.user, a.action, a.opened = row.User, "connect", true
}

func touches(c *around.Call, a *about) {
	row, _ := c.Got.(*hub.Connection)
	a.connection, a.user = c.Key, row.User
}

func changes(c *around.Call, a *about) {
	row, _ := c.Got.(*hub.Connection)
	ch, _ := c.Given.(*hub.Change)
	a.user = row.User
	switch {
	case ch.Closing:
		a.action = "disconnect"
	case ch.Renew != nil:
		a.action = "auth"
	case len(ch.Left) > 0:
		a.room, a.action = ch.Left[0], "leave"
	}
	for _, entered := range slices.Sorted(maps.Keys(ch.Enter)) { // the last of several
		a.room, a.action = entered, "join"
	}
	for left := range ch.Leave {
		a.room, a.action = left, "leave"
	}
}

// The sizes of rows with short ids, in bytes, names of attributes included. They decide only how many fit in 4 KB.
const (
	memberRow     = 80
	connectionRow = 400
	entryRow      = 160 // without its data
	hereRow       = 200 // without its data
)

// size is about what rows take, all together.
func size(rows any) (n int) {
	switch rows := rows.(type) {
	case *hub.Connection:
		return connectionSize(*rows)
	case *[]hub.Connection:
		for _, c := range *rows {
			n += connectionSize(c)
		}
	case *hub.MemberPage: // the query reads one row more than it gives, and the room's own before the first
		return (len(rows.Members) + 2) * memberRow
	case *hub.Entry:
		return entryRow + len(rows.Data)
	case *[]hub.Entry:
		for _, e := range *rows {
			n += entryRow + len(e.Data)
		}
	case *hub.Here:
		return hereRow + len(rows.Data)
	case *[]hub.Here:
		for _, h := range *rows {
			n += hereRow + len(h.Data)
		}
	case *[]byte:
		return len(*rows)
	}
	return n
}

func connectionSize(c hub.Connection) int {
	n := connectionRow + len(c.Name)
	for room := range c.Rooms {
		n += len(room) + 4
	}
	return n
}

// writes are write units for a row of size bytes.
func writes(size int) Delta { return Delta{WriteUnits: pieces(size, 1<<10)} }

// reads are a strongly consistent read of size bytes together.
func reads(size int) Delta { return Delta{ReadHalves: 2 * pieces(size, 4<<10)} }
