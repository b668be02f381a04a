package hubtest

import (
	"context"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Step is called in the place of each call that a hub makes of its store, its queue and its pusher: it makes the call by do, or
// does not, or does something else before or after it. Its error is the call's; [ErrLost] after do is an answer that was lost.
type Step func(ctx context.Context, name string, do func() error) error

// Around puts a step around the ports of a hub.
func Around(step Step) func(*hub.Config) {
	return func(c *hub.Config) {
		c.Store = steps{c.Store, step}
		c.Queue = queueSteps{c.Queue, step}
		c.Pusher = pusherSteps{c.Pusher, step}
	}
}

type queueSteps struct {
	hub.Queue
	step Step
}

func (q queueSteps) Enqueue(ctx context.Context, job hub.Job, delay time.Duration) error {
	return q.step(ctx, "Enqueue", func() error { return q.Queue.Enqueue(ctx, job, delay) })
}

type pusherSteps struct {
	hub.Pusher
	step Step
}

func (p pusherSteps) Push(ctx context.Context, connection string, frame []byte) error {
	return p.step(ctx, "Push", func() error { return p.Pusher.Push(ctx, connection, frame) })
}

func (p pusherSteps) Close(ctx context.Context, connection string) error {
	return p.step(ctx, "Close", func() error { return p.Pusher.Close(ctx, connection) })
}

// steps has every method of a store, so that a new one cannot be forgotten: its Store is not embedded.
type steps struct {
	store hub.Store
	step  Step
}

var _ hub.Store = steps{}

// with is a step of a method that gives something.
func with[T any](s steps, ctx context.Context, name string, do func() (T, error)) (T, error) {
	var got T
	err := s.step(ctx, name, func() (err error) { got, err = do(); return err })
	if err != nil {
		var none T
		return none, err
	}
	return got, nil
}

func (s steps) Open(ctx context.Context, c hub.Connection) error {
	return s.step(ctx, "Open", func() error { return s.store.Open(ctx, c) })
}

func (s steps) Connection(ctx context.Context, id string) (hub.Connection, error) {
	return with(s, ctx, "Connection", func() (hub.Connection, error) { return s.store.Connection(ctx, id) })
}

func (s steps) Touch(ctx context.Context, id string, t hub.Touch) (hub.Connection, error) {
	return with(s, ctx, "Touch", func() (hub.Connection, error) { return s.store.Touch(ctx, id, t) })
}

func (s steps) Change(ctx context.Context, was hub.Connection, ch hub.Change) (hub.Connection, error) {
	return with(s, ctx, "Change", func() (hub.Connection, error) { return s.store.Change(ctx, was, ch) })
}

func (s steps) Forget(ctx context.Context, id string) error {
	return s.step(ctx, "Forget", func() error { return s.store.Forget(ctx, id) })
}

func (s steps) Walk(ctx context.Context, partition int, after string, limit int) ([]hub.Connection, error) {
	return with(s, ctx, "Walk", func() ([]hub.Connection, error) { return s.store.Walk(ctx, partition, after, limit) })
}

func (s steps) AddMember(ctx context.Context, room string, m hub.Member) error {
	return s.step(ctx, "AddMember", func() error { return s.store.AddMember(ctx, room, m) })
}

func (s steps) RemoveMember(ctx context.Context, room string, shard int, connection string, gen int64, until time.Time) error {
	return s.step(ctx, "RemoveMember", func() error { return s.store.RemoveMember(ctx, room, shard, connection, gen, until) })
}

func (s steps) Members(ctx context.Context, room string, shard int, after string, limit int) (hub.MemberPage, error) {
	return with(s, ctx, "Members", func() (hub.MemberPage, error) { return s.store.Members(ctx, room, shard, after, limit) })
}

func (s steps) Shards(ctx context.Context, room string) (int, error) {
	return with(s, ctx, "Shards", func() (int, error) { return s.store.Shards(ctx, room) })
}

func (s steps) Grow(ctx context.Context, room string, from int) error {
	return s.step(ctx, "Grow", func() error { return s.store.Grow(ctx, room, from) })
}

func (s steps) Occupy(ctx context.Context, room string) (bool, error) {
	return with(s, ctx, "Occupy", func() (bool, error) { return s.store.Occupy(ctx, room) })
}

func (s steps) Vacate(ctx context.Context, room string) (bool, error) {
	return with(s, ctx, "Vacate", func() (bool, error) { return s.store.Vacate(ctx, room) })
}

func (s steps) Append(ctx context.Context, room string, e protocol.Event, keep time.Duration) (hub.Entry, bool, error) {
	var appended bool
	entry, err := with(s, ctx, "Append", func() (entry hub.Entry, err error) {
		entry, appended, err = s.store.Append(ctx, room, e, keep)
		return entry, err
	})
	return entry, appended, err
}

func (s steps) Find(ctx context.Context, room, id string) (hub.Entry, error) {
	return with(s, ctx, "Find", func() (hub.Entry, error) { return s.store.Find(ctx, room, id) })
}

func (s steps) From(ctx context.Context, room string, first int64, limit int) ([]hub.Entry, error) {
	return with(s, ctx, "From", func() ([]hub.Entry, error) { return s.store.From(ctx, room, first, limit) })
}

func (s steps) Before(ctx context.Context, room string, before int64, limit int) ([]hub.Entry, error) {
	return with(s, ctx, "Before", func() ([]hub.Entry, error) { return s.store.Before(ctx, room, before, limit) })
}

func (s steps) Void(ctx context.Context, room string, seq int64, keep time.Duration) (bool, error) {
	return with(s, ctx, "Void", func() (bool, error) { return s.store.Void(ctx, room, seq, keep) })
}

func (s steps) Head(ctx context.Context, room string) (hub.Head, error) {
	return with(s, ctx, "Head", func() (hub.Head, error) { return s.store.Head(ctx, room) })
}

func (s steps) Redact(ctx context.Context, room string, seq int64) error {
	return s.step(ctx, "Redact", func() error { return s.store.Redact(ctx, room, seq) })
}

func (s steps) Reset(ctx context.Context, room string) error {
	return s.step(ctx, "Reset", func() error { return s.store.Reset(ctx, room) })
}

func (s steps) Here(ctx context.Context, room, user string) (hub.Here, error) {
	return with(s, ctx, "Here", func() (hub.Here, error) { return s.store.Here(ctx, room, user) })
}

func (s steps) SetHere(ctx context.Context, room string, was, now hub.Here) (hub.Here, error) {
	return with(s, ctx, "SetHere", func() (hub.Here, error) { return s.store.SetHere(ctx, room, was, now) })
}

func (s steps) Present(ctx context.Context, room, after string, limit int) ([]hub.Here, error) {
	return with(s, ctx, "Present", func() ([]hub.Here, error) { return s.store.Present(ctx, room, after, limit) })
}
