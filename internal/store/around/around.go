// Package around puts something around every call of a store: a fault, a count, what somebody else does in between. It has every method,
// so that a new one is forgotten nowhere.
package around

import (
	"context"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// Call is one call of a store.
type Call struct {
	Name  string // of the method
	Room  string // that it is about; empty: none
	Key   string // beside the room: a connection, a user, an event's id, a note
	Given any    // what it is given to write, as a pointer: *hub.Member; nil: nothing but keys
	Got   any    // what it has given once it was made, as a pointer: *hub.MemberPage; nil: nothing
	Did   bool   // of Append: the event was not there before
}

// Step is called in the place of each call: it makes the call by do, or does not, or does something else before or after it. Its error is
// the call's.
type Step func(ctx context.Context, c *Call, do func() error) error

// Store is a store with a step around each call.
type Store struct {
	store hub.Store
	step  Step
}

// Notes are the notes of a store with a step around each call.
type Notes struct {
	notes socketio.Notes
	step  Step
}

var (
	_ hub.Store      = Store{}
	_ socketio.Notes = Notes{}
)

// New puts a step around a store.
func New(store hub.Store, step Step) Store { return Store{store, step} }

// NewNotes puts a step around the notes of a store.
func NewNotes(notes socketio.Notes, step Step) Notes { return Notes{notes, step} }

// with is a step of a method that gives something.
func with[T any](ctx context.Context, step Step, c Call, do func() (T, error)) (T, error) {
	var got T
	c.Got = &got
	err := step(ctx, &c, func() (err error) { got, err = do(); return err })
	return got, err
}

func (s Store) Open(ctx context.Context, c hub.Connection) error {
	return s.step(ctx, &Call{Name: "Open", Key: c.ID, Given: &c}, func() error { return s.store.Open(ctx, c) })
}

func (s Store) Connection(ctx context.Context, id string) (hub.Connection, error) {
	return with(ctx, s.step, Call{Name: "Connection", Key: id}, func() (hub.Connection, error) { return s.store.Connection(ctx, id) })
}

func (s Store) Touch(ctx context.Context, id string, t hub.Touch) (hub.Connection, error) {
	return with(ctx, s.step, Call{Name: "Touch", Room: t.Room, Key: id}, func() (hub.Connection, error) { return s.store.Touch(ctx, id, t) })
}

func (s Store) Change(ctx context.Context, was hub.Connection, ch hub.Change) (hub.Connection, error) {
	return with(ctx, s.step, Call{Name: "Change", Key: was.ID, Given: &ch}, func() (hub.Connection, error) { return s.store.Change(ctx, was, ch) })
}

func (s Store) Forget(ctx context.Context, id string) error {
	return s.step(ctx, &Call{Name: "Forget", Key: id}, func() error { return s.store.Forget(ctx, id) })
}

func (s Store) Walk(ctx context.Context, partition int, after string, limit int) ([]hub.Connection, error) {
	return with(ctx, s.step, Call{Name: "Walk"}, func() ([]hub.Connection, error) { return s.store.Walk(ctx, partition, after, limit) })
}

func (s Store) Wanted(ctx context.Context, partition int, after string, limit int, look hub.Look) (hub.Wanted, error) {
	return with(ctx, s.step, Call{Name: "Wanted"}, func() (hub.Wanted, error) { return s.store.Wanted(ctx, partition, after, limit, look) })
}

func (s Store) AddMember(ctx context.Context, room string, m hub.Member) error {
	return s.step(ctx, &Call{Name: "AddMember", Room: room, Key: m.Connection, Given: &m}, func() error { return s.store.AddMember(ctx, room, m) })
}

func (s Store) ChangeMember(ctx context.Context, room string, m hub.Member) error {
	return s.step(ctx, &Call{Name: "ChangeMember", Room: room, Key: m.Connection, Given: &m}, func() error { return s.store.ChangeMember(ctx, room, m) })
}

func (s Store) RemoveMember(ctx context.Context, room string, shard int, connection string, gen int64, until time.Time) error {
	return s.step(ctx, &Call{Name: "RemoveMember", Room: room, Key: connection}, func() error { return s.store.RemoveMember(ctx, room, shard, connection, gen, until) })
}

func (s Store) Members(ctx context.Context, room string, shard int, after string, limit int) (hub.MemberPage, error) {
	return with(ctx, s.step, Call{Name: "Members", Room: room}, func() (hub.MemberPage, error) { return s.store.Members(ctx, room, shard, after, limit) })
}

func (s Store) Shards(ctx context.Context, room string) (int, error) {
	return with(ctx, s.step, Call{Name: "Shards", Room: room}, func() (int, error) { return s.store.Shards(ctx, room) })
}

func (s Store) Grow(ctx context.Context, room string, from int) error {
	return s.step(ctx, &Call{Name: "Grow", Room: room}, func() error { return s.store.Grow(ctx, room, from) })
}

func (s Store) Occupy(ctx context.Context, room string) (bool, error) {
	return with(ctx, s.step, Call{Name: "Occupy", Room: room}, func() (bool, error) { return s.store.Occupy(ctx, room) })
}

func (s Store) Vacate(ctx context.Context, room string) (bool, error) {
	return with(ctx, s.step, Call{Name: "Vacate", Room: room}, func() (bool, error) { return s.store.Vacate(ctx, room) })
}

func (s Store) Append(ctx context.Context, room string, d hub.Draft) (entry hub.Entry, appended bool, err error) {
	c := Call{Name: "Append", Room: room, Key: d.ID, Given: &d, Got: &entry}
	err = s.step(ctx, &c, func() (err error) {
		entry, appended, err = s.store.Append(ctx, room, d)
		c.Did = appended
		return err
	})
	return entry, appended, err
}

func (s Store) Find(ctx context.Context, room string, d hub.Draft) (hub.Entry, error) {
	return with(ctx, s.step, Call{Name: "Find", Room: room, Key: d.ID}, func() (hub.Entry, error) { return s.store.Find(ctx, room, d) })
}

func (s Store) Named(ctx context.Context, room, id string, limit int) ([]hub.Entry, error) {
	return with(ctx, s.step, Call{Name: "Named", Room: room, Key: id}, func() ([]hub.Entry, error) { return s.store.Named(ctx, room, id, limit) })
}

func (s Store) From(ctx context.Context, room string, first int64, limit int) ([]hub.Entry, error) {
	return with(ctx, s.step, Call{Name: "From", Room: room}, func() ([]hub.Entry, error) { return s.store.From(ctx, room, first, limit) })
}

func (s Store) Before(ctx context.Context, room string, before int64, limit int) ([]hub.Entry, error) {
	return with(ctx, s.step, Call{Name: "Before", Room: room}, func() ([]hub.Entry, error) { return s.store.Before(ctx, room, before, limit) })
}

func (s Store) Void(ctx context.Context, room string, seq int64, keep time.Duration) (bool, error) {
	return with(ctx, s.step, Call{Name: "Void", Room: room}, func() (bool, error) { return s.store.Void(ctx, room, seq, keep) })
}

func (s Store) Head(ctx context.Context, room string, until time.Time) (hub.Head, error) {
	return with(ctx, s.step, Call{Name: "Head", Room: room}, func() (hub.Head, error) { return s.store.Head(ctx, room, until) })
}

func (s Store) Pend(ctx context.Context, room string, was, now hub.Pending, newest int64) (head hub.Head, did bool, err error) {
	c := Call{Name: "Pend", Room: room, Given: &now, Got: &head}
	err = s.step(ctx, &c, func() (err error) {
		head, did, err = s.store.Pend(ctx, room, was, now, newest)
		c.Did = did
		return err
	})
	return head, did, err
}

func (s Store) Redact(ctx context.Context, room string, seq int64) error {
	return s.step(ctx, &Call{Name: "Redact", Room: room}, func() error { return s.store.Redact(ctx, room, seq) })
}

func (s Store) Reset(ctx context.Context, room string) error {
	return s.step(ctx, &Call{Name: "Reset", Room: room}, func() error { return s.store.Reset(ctx, room) })
}

func (s Store) Here(ctx context.Context, room, user string) (hub.Here, error) {
	return with(ctx, s.step, Call{Name: "Here", Room: room, Key: user}, func() (hub.Here, error) { return s.store.Here(ctx, room, user) })
}

func (s Store) SetHere(ctx context.Context, room string, was, now hub.Here) (hub.Here, error) {
	return with(ctx, s.step, Call{Name: "SetHere", Room: room, Key: now.User, Given: &now}, func() (hub.Here, error) { return s.store.SetHere(ctx, room, was, now) })
}

func (s Store) Present(ctx context.Context, room, after string, limit int) ([]hub.Here, error) {
	return with(ctx, s.step, Call{Name: "Present", Room: room}, func() ([]hub.Here, error) { return s.store.Present(ctx, room, after, limit) })
}

func (s Store) Note(ctx context.Context, name string, value []byte, ttl time.Time) error {
	return s.step(ctx, &Call{Name: "Note", Key: name, Given: &value}, func() error { return s.store.Note(ctx, name, value, ttl) })
}

func (s Store) Noted(ctx context.Context, name string) ([]byte, error) {
	return with(ctx, s.step, Call{Name: "Noted", Key: name}, func() ([]byte, error) { return s.store.Noted(ctx, name) })
}

func (n Notes) Note(ctx context.Context, name string, value []byte, ttl time.Time) error {
	return n.step(ctx, &Call{Name: "Note", Key: name, Given: &value}, func() error { return n.notes.Note(ctx, name, value, ttl) })
}

func (n Notes) NoteOnce(ctx context.Context, name string, value []byte, ttl time.Time) (bool, error) {
	return with(ctx, n.step, Call{Name: "NoteOnce", Key: name, Given: &value}, func() (bool, error) { return n.notes.NoteOnce(ctx, name, value, ttl) })
}

func (n Notes) NoteOver(ctx context.Context, name string, was, value []byte, ttl time.Time) (bool, error) {
	return with(ctx, n.step, Call{Name: "NoteOver", Key: name, Given: &value}, func() (bool, error) { return n.notes.NoteOver(ctx, name, was, value, ttl) })
}

func (n Notes) Noted(ctx context.Context, name string) ([]byte, error) {
	return with(ctx, n.step, Call{Name: "Noted", Key: name}, func() ([]byte, error) { return n.notes.Noted(ctx, name) })
}

func (n Notes) Unnote(ctx context.Context, name string) error {
	return n.step(ctx, &Call{Name: "Unnote", Key: name}, func() error { return n.notes.Unnote(ctx, name) })
}
