package simulation

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/steps"
)

// stepped is a log as the one in DynamoDB: it appends in steps, each a call of its own, and anything may happen between them. The
// other methods are one call each, which the store parks.
type stepped struct {
	w     *world
	rooms map[string]*steppedRoom
}

var (
	_ hub.Log     = (*stepped)(nil)
	_ steps.Table = (*stepped)(nil)
)

// steppedRecent is how many of the last counts say what they were for. DynamoDB has more; with fewer it is often not one of them.
const steppedRecent = 3

type steppedRoom struct {
	epoch       string
	epochs      int
	seq, base   int64
	began       time.Time
	keep        time.Duration
	floor       int64
	pending     hub.Pending
	recent      []steppedCount // the newest first
	rows        []steppedRow   // ascending by seq
	memories    map[string]memory
	forgetFloor bool // a planted bug
}

type steppedCount struct {
	name  string
	token []byte
	steps.Counted
}

type steppedRow struct {
	hub.Entry
	token         []byte
	until, forget time.Time
}

// memory is where a key is.
type memory struct {
	seq    int64
	at     time.Time
	forget time.Time
}

func (l *stepped) room(name string) *steppedRoom {
	r := l.rooms[name]
	if r == nil {
		r = &steppedRoom{memories: map[string]memory{}, forgetFloor: l.w.store.forgetsFloor}
		l.rooms[name] = r
		r.begin()
	}
	return r
}

func (r *steppedRoom) begin() {
	r.epochs++
	r.epoch = strings.Repeat("e", 9) + string(rune('a'+r.epochs%26))
	r.began = time.Now()
}

func (r *steppedRoom) index(seq int64) (int, bool) {
	return slices.BinarySearchFunc(r.rows, seq, func(e steppedRow, seq int64) int { return cmp.Compare(e.Seq, seq) })
}

func (l *stepped) Append(ctx context.Context, room string, d hub.Draft) (hub.Entry, bool, error) {
	return steps.Append(ctx, l, room, d)
}

func (l *stepped) Now() time.Time { return time.Now() }

func (l *stepped) Count(ctx context.Context, a *steps.Attempt) (c steps.Counted, err error) {
	err = l.w.call(ctx, "Append: count", a.Room+" "+a.Draft.ID, 0, func() error {
		r := l.room(a.Room)
		name := fmt.Sprint(a.Key, "\x00", a.Gone)
		if i := slices.IndexFunc(r.recent, func(c steppedCount) bool { return c.name == name }); i >= 0 && !l.w.store.countsTwice {
			c = r.recent[i].Counted
			c.Base, c.Mine = r.base, bytes.Equal(r.recent[i].token, a.Token)
			return nil
		}
		r.seq++
		if r.keep != a.Draft.Keep {
			if r.keep > 0 && !r.forgetFloor {
				r.floor = r.seq
			}
			r.keep = a.Draft.Keep
		}
		if !a.Draft.Hold.IsZero() && r.pending.Due.IsZero() {
			r.pending = hub.Pending{Flushed: r.seq - 1, Due: time.UnixMilli(a.Draft.Hold.UnixMilli())}
		}
		c = steps.Counted{Seq: r.seq, At: time.Now(), Epoch: r.epoch, Base: r.base, Mine: true}
		c.Head = r.head()
		c.Head.Lately = 1
		for _, before := range r.recent {
			if time.Since(before.At) < time.Second {
				c.Head.Lately++
			}
		}
		r.recent = slices.Insert(r.recent, 0, steppedCount{name, a.Token, c})
		r.recent = r.recent[:min(len(r.recent), steppedRecent)]
		return nil
	})
	return c, err
}

func (l *stepped) Look(ctx context.Context, a *steps.Attempt, seq int64) (p steps.Place, err error) {
	err = l.w.call(ctx, "Append: look", fmt.Sprint(a.Room, " ", seq), 0, func() error {
		p = steps.Place{}
		r := l.room(a.Room)
		if i, found := r.index(seq); found {
			p = r.place(a, i)
		}
		return nil
	})
	return p, err
}

func (r *steppedRoom) place(a *steps.Attempt, i int) steps.Place {
	row := r.rows[i]
	p := steps.Place{State: steps.Kept, Entry: row.Entry, Mine: bytes.Equal(row.token, a.Token)}
	switch {
	case row.Void:
		p.State = steps.Void
	case !row.forget.After(time.Now()):
		p.State = steps.Forgotten
	}
	return p
}

func (l *stepped) Remember(ctx context.Context, a *steps.Attempt, c steps.Counted) (other steps.Counted, err error) {
	if l.w.store.remembersLater {
		return steps.Counted{}, nil
	}
	err = l.w.call(ctx, "Append: remember", fmt.Sprint(a.Room, " ", c.Seq, " ", a.Draft.ID), 0, func() error {
		other = l.remember(a, c)
		return nil
	})
	return other, err
}

func (l *stepped) remember(a *steps.Attempt, c steps.Counted) steps.Counted {
	r := l.room(a.Room)
	if m, is := r.memories[a.Key]; is && m.forget.After(time.Now()) && m.seq != c.Seq && m.seq != a.Gone && m.seq > c.Base {
		return steps.Counted{Seq: m.seq, At: m.at, Epoch: c.Epoch, Base: c.Base}
	}
	r.memories[a.Key] = memory{c.Seq, c.At, c.At.Add(max(a.Draft.Keep, hub.IDMemory))}
	return steps.Counted{}
}

func (l *stepped) Write(ctx context.Context, a *steps.Attempt, c steps.Counted) (p steps.Place, err error) {
	if l.w.store.pushesFirst {
		inv := ctx.Value(invocationKey{}).(*invocation)
		inv.flush = append(inv.flush, func() { l.write(a, c) })
		p = steps.Place{State: steps.Kept, Entry: entryOf(a, c), Mine: true}
		return p, nil
	}
	err = l.w.call(ctx, "Append: write", fmt.Sprint(a.Room, " ", c.Seq, " ", a.Draft.ID), 0, func() error {
		p = l.write(a, c)
		return nil
	})
	if err == nil && l.w.store.remembersLater && a.Named {
		err = l.w.call(ctx, "Append: remember", a.Room+" "+a.Draft.ID, 0, func() error {
			l.remember(a, c)
			return nil
		})
	}
	return p, err
}

// write writes an entry where there is none.
func (l *stepped) write(a *steps.Attempt, c steps.Counted) steps.Place {
	r := l.room(a.Room)
	i, taken := r.index(c.Seq)
	if !taken {
		now := time.Now()
		row := steppedRow{entryOf(a, c), a.Token, now.Add(a.Draft.Keep), now.Add(max(a.Draft.Keep, hub.IDMemory))}
		r.rows = slices.Insert(r.rows, i, row)
		l.w.ledger.logged(row.Entry, a.Draft)
	}
	return r.place(a, i)
}

// entryOf gives the entry that an attempt writes.
func entryOf(a *steps.Attempt, c steps.Counted) hub.Entry {
	e := a.Draft.Event
	e.Room, e.Seq = a.Room, c.Seq
	if e.ID == "" {
		e.ID = protocol.GeneratedID(c.Epoch, c.Seq)
	}
	return hub.Entry{Event: e, Epoch: c.Epoch, Sum: a.Draft.Sum}
}

func (l *stepped) Find(_ context.Context, room string, d hub.Draft) (hub.Entry, error) {
	r := l.room(room)
	m, is := r.memories[d.Key.String()]
	if i, found := r.index(m.seq); is && found && m.forget.After(time.Now()) && !r.rows[i].Void && r.rows[i].until.After(time.Now()) {
		return r.rows[i].Entry, nil
	}
	return hub.Entry{}, hub.ErrNotFound
}

func (l *stepped) Named(_ context.Context, room, id string, limit int) (list []hub.Entry, err error) {
	for _, row := range l.room(room).rows {
		if row.ID == id && row.until.After(time.Now()) && len(list) < limit {
			list = append(list, row.Entry)
		}
	}
	return list, nil
}

func (l *stepped) From(_ context.Context, room string, first int64, limit int) (list []hub.Entry, err error) {
	for _, row := range l.room(room).rows {
		if row.Seq >= first && row.until.After(time.Now()) && len(list) < limit {
			list = append(list, row.Entry)
		}
	}
	return list, nil
}

func (l *stepped) Before(_ context.Context, room string, before int64, limit int) (list []hub.Entry, err error) {
	for _, row := range slices.Backward(l.room(room).rows) {
		if row.Seq < before && row.until.After(time.Now()) && len(list) < limit {
			list = append(list, row.Entry)
		}
	}
	return list, nil
}

// Void is one of the hub's calls and one of the steps: the store parks the former.
func (l *stepped) Void(ctx context.Context, room string, seq int64, keep time.Duration) (void bool, err error) {
	if ctx == plain {
		return l.void(room, seq, keep)
	}
	err = l.w.call(ctx, "Append: void", fmt.Sprint(room, " ", seq), 0, func() error {
		void, err = l.void(room, seq, keep)
		return err
	})
	return void, err
}

func (l *stepped) void(room string, seq int64, keep time.Duration) (bool, error) {
	r, now := l.room(room), time.Now()
	i, taken := r.index(seq)
	switch {
	case taken && !r.rows[i].Void && !r.rows[i].until.After(now):
		return false, hub.ErrLapsed
	case taken:
		return r.rows[i].Void, nil
	}
	e := hub.Entry{Void: true, Event: protocol.Event{Room: room, Seq: seq, TS: now.UnixMilli()}}
	r.rows = slices.Insert(r.rows, i, steppedRow{Entry: e, until: now.Add(keep), forget: now.Add(keep)})
	l.w.logf("void %s %d", room, seq)
	return true, nil
}

func (l *stepped) Head(_ context.Context, room string, _ time.Time) (hub.Head, error) {
	return l.room(room).head(), nil
}

func (r *steppedRoom) head() hub.Head {
	h := hub.Head{
		Position: protocol.Position{Epoch: r.epoch, Seq: r.seq}, Base: r.base, Began: r.began, Keep: r.keep, Floor: r.floor, Pending: r.pending,
	}
	for _, c := range r.recent {
		h.Recent = append(h.Recent, hub.Counted{Seq: c.Seq, At: c.At})
	}
	return h
}

func (l *stepped) Pend(_ context.Context, room string, was, now hub.Pending, newest int64) (hub.Head, bool, error) {
	r := l.room(room)
	did := r.pending.Flushed == was.Flushed && r.pending.Due.Equal(was.Due) && (newest == 0 || r.seq == newest)
	if did {
		r.pending = now
	}
	return r.head(), did, nil
}

func (l *stepped) Redact(_ context.Context, room string, seq int64) error {
	r := l.room(room)
	if i, found := r.index(seq); found && !r.rows[i].Void {
		r.rows[i].Data = json.RawMessage("null")
	}
	return nil
}

func (l *stepped) Reset(_ context.Context, room string) error {
	r := l.room(room)
	r.begin()
	r.base, r.recent, r.pending = r.seq, nil, hub.Pending{}
	return nil
}
