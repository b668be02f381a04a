package simulation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// idMemory is how long ids are remembered at least.
const idMemory = 10 * time.Minute

// twoStepLog is a log that writes as the one in DynamoDB does: a position is counted up in one call and written at in
// another, and anything may happen between them. All but Append are for the store, which parks them.
type twoStepLog struct {
	w     *world
	rooms map[string]*steppedRoom
}

var _ hub.Log = (*twoStepLog)(nil)

type steppedRoom struct {
	epoch     string
	epochs    int
	seq, base int64
	began     time.Time
	rows      []steppedRow // ascending by seq
	ids       map[string]remembered
}

type steppedRow struct {
	hub.Entry
	until time.Time
}

type remembered struct {
	seq    int64
	forget time.Time
}

func (l *twoStepLog) room(name string) *steppedRoom {
	r := l.rooms[name]
	if r == nil {
		r = &steppedRoom{ids: map[string]remembered{}}
		l.rooms[name] = r
		l.begin(r)
	}
	return r
}

func (l *twoStepLog) begin(r *steppedRoom) {
	r.epochs++
	r.epoch = strings.Repeat("e", 9) + string(rune('a'+r.epochs%26))
	r.began = time.Now()
}

func (r *steppedRoom) index(seq int64) (int, bool) {
	return slices.BinarySearchFunc(r.rows, seq, func(e steppedRow, seq int64) int { return cmp.Compare(e.Seq, seq) })
}

// known gives the entry that an id is remembered for.
func (r *steppedRoom) known(id string) (hub.Entry, bool) {
	m, ok := r.ids[id]
	if !ok || !m.forget.After(time.Now()) {
		return hub.Entry{}, false
	}
	i, found := r.index(m.seq)
	if !found {
		return hub.Entry{}, false
	}
	return r.rows[i].Entry, true
}

func (l *twoStepLog) Append(ctx context.Context, room string, e protocol.Event, keep time.Duration) (hub.Entry, bool, error) {
	for range 3 {
		if e.ID != "" {
			var known hub.Entry
			var is bool
			err := l.w.call(ctx, "Append: look", room+" "+e.ID, 0, func() error {
				known, is = l.room(room).known(e.ID)
				return nil
			})
			if err != nil || is {
				return known, false, err
			}
		}
		entry := hub.Entry{Event: e}
		err := l.w.call(ctx, "Append: count", room+" "+e.ID, 0, func() error {
			r := l.room(room)
			r.seq++
			entry.Room, entry.Seq, entry.Epoch = room, r.seq, r.epoch
			if e.ID == "" {
				entry.ID = protocol.GeneratedID(r.epoch, r.seq)
			}
			return nil
		})
		if err != nil {
			return hub.Entry{}, false, err
		}
		written, err := l.writeStep(ctx, entry, e.ID != "", keep)
		if err != nil {
			return hub.Entry{}, false, err
		}
		if written {
			return entry, true, nil
		}
	}
	return hub.Entry{}, false, errors.New("busy")
}

// writeStep is the second step of Append, and where bugs of it are planted.
func (l *twoStepLog) writeStep(ctx context.Context, e hub.Entry, remember bool, keep time.Duration) (written bool, err error) {
	p := l.w.store.plant
	if p.pushesFirst {
		inv := ctx.Value(invocationKey{}).(*invocation)
		inv.flush = append(inv.flush, func() { l.write(e, remember, true, keep) })
		return true, nil
	}
	err = l.w.call(ctx, "Append: write", fmt.Sprint(e.Room, " ", e.Seq, " ", e.ID), 0, func() error {
		written = l.write(e, remember && !p.remembersLater, remember && !p.remembersLater, keep)
		return nil
	})
	if err == nil && written && remember && p.remembersLater {
		err = l.w.call(ctx, "Append: remember", e.Room+" "+e.ID, 0, func() error {
			l.room(e.Room).ids[e.ID] = remembered{e.Seq, time.Now().Add(max(keep, idMemory))}
			return nil
		})
	}
	return written, err
}

// write writes an entry and the memory of its id together, if there is neither.
func (l *twoStepLog) write(e hub.Entry, remember, check bool, keep time.Duration) bool {
	r := l.room(e.Room)
	i, taken := r.index(e.Seq)
	if m, is := r.ids[e.ID]; taken || check && is && m.forget.After(time.Now()) {
		return false
	}
	r.rows = slices.Insert(r.rows, i, steppedRow{e, time.Now().Add(keep)})
	if remember {
		r.ids[e.ID] = remembered{e.Seq, time.Now().Add(max(keep, idMemory))}
	}
	l.w.ledger.logged(e)
	return true
}

func (l *twoStepLog) Find(_ context.Context, room, id string) (hub.Entry, error) {
	r := l.room(room)
	if e, ok := r.known(id); ok {
		i, _ := r.index(e.Seq)
		if r.rows[i].until.After(time.Now()) {
			return e, nil
		}
		return hub.Entry{}, hub.ErrNotFound
	}
	for _, row := range r.rows {
		if row.ID == id && row.until.After(time.Now()) && protocol.GeneratedID(row.Epoch, row.Seq) == id {
			return row.Entry, nil
		}
	}
	return hub.Entry{}, hub.ErrNotFound
}

func (l *twoStepLog) From(_ context.Context, room string, first int64, limit int) (list []hub.Entry, err error) {
	for _, row := range l.room(room).rows {
		if row.Seq >= first && row.until.After(time.Now()) && len(list) < limit {
			list = append(list, row.Entry)
		}
	}
	return list, nil
}

func (l *twoStepLog) Before(_ context.Context, room string, before int64, limit int) (list []hub.Entry, err error) {
	for _, row := range slices.Backward(l.room(room).rows) {
		if row.Seq < before && row.until.After(time.Now()) && len(list) < limit {
			list = append(list, row.Entry)
		}
	}
	return list, nil
}

func (l *twoStepLog) Void(_ context.Context, room string, seq int64, keep time.Duration) (bool, error) {
	r := l.room(room)
	i, taken := r.index(seq)
	if taken {
		return r.rows[i].Void, nil
	}
	e := hub.Entry{Void: true, Event: protocol.Event{Room: room, Seq: seq, TS: time.Now().UnixMilli()}}
	r.rows = slices.Insert(r.rows, i, steppedRow{e, time.Now().Add(keep)})
	return true, nil
}

func (l *twoStepLog) Head(_ context.Context, room string) (hub.Head, error) {
	r := l.room(room)
	return hub.Head{Position: protocol.Position{Epoch: r.epoch, Seq: r.seq}, Base: r.base, Began: r.began}, nil
}

func (l *twoStepLog) Redact(_ context.Context, room string, seq int64) error {
	r := l.room(room)
	if i, found := r.index(seq); found && !r.rows[i].Void {
		r.rows[i].Data = json.RawMessage("null")
	}
	return nil
}

func (l *twoStepLog) Reset(_ context.Context, room string) error {
	r := l.room(room)
	l.begin(r)
	r.base = r.seq
	return nil
}
