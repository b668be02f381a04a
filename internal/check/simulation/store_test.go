package simulation

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// store is a real store whose every call is parked by the world. The log is another where the world says so.
type store struct {
	w    *world
	real socketio.Store
	log  *stepped // nil: that of the real store
	plant
}

var _ socketio.Store = (*store)(nil)

// userOf finds the user of a session.
var userOf = regexp.MustCompile(`"user":"[a-z]+"`)

// plain is the context for the real store: what the invocation's deadline does is decided by the world.
var plain = context.Background()

func (s *store) Open(ctx context.Context, c hub.Connection) error {
	return s.w.call(ctx, "Open", c.ID, 0, func() error { return s.real.Open(plain, c) })
}

func (s *store) Connection(ctx context.Context, id string) (row hub.Connection, err error) {
	err = s.w.call(ctx, "Connection", id, 0, func() error {
		row, err = s.real.Connection(plain, id)
		if s.departsYoung {
			row.ConnectedAt = row.ConnectedAt.Add(-time.Hour)
		}
		return err
	})
	return row, err
}

func (s *store) Touch(ctx context.Context, id string, t hub.Touch) (row hub.Connection, err error) {
	err = s.w.call(ctx, "Touch", id, 0, func() error {
		row, err = s.real.Touch(plain, id, t)
		return err
	})
	return row, err
}

// ending reports whether the server has said that a connection ends.
func (s *store) ending(connection string) bool {
	row, err := s.real.Connection(plain, connection)
	return err == nil && row.Closing && row.Ended != ""
}

func (s *store) Change(ctx context.Context, was hub.Connection, ch hub.Change) (row hub.Connection, err error) {
	err = s.w.call(ctx, "Change", fmt.Sprintf("%s %v %v %v closing %v", was.ID, ch.Enter, ch.Leave, ch.Left, ch.Closing), 0, func() error {
		if ch.Closing && ch.End == "" && !s.ending(was.ID) { // otherwise the row remembers that its socket is to be closed
			s.w.gateway.checkMayDepart(ctx.Value(invocationKey{}).(*invocation), was.ID)
		}
		if s.forgetsLeaves {
			ch.LeftAt = nil
		}
		row, err = s.real.Change(plain, was, ch)
		return err
	})
	return row, err
}

func (s *store) Forget(ctx context.Context, id string) error {
	return s.w.call(ctx, "Forget", id, 0, func() error { return s.real.Forget(plain, id) })
}

func (s *store) Walk(ctx context.Context, partition int, after string, limit int) (rows []hub.Connection, err error) {
	if rows, err := s.real.Walk(plain, partition, after, limit); err == nil && len(rows) == 0 {
		return nil, nil // most partitions are empty, and worth no step
	}
	err = s.w.call(ctx, "Walk", fmt.Sprintf("%02d %s", partition, after), 0, func() error {
		rows, err = s.real.Walk(plain, partition, after, limit)
		return err
	})
	return rows, err
}

func (s *store) Wanted(ctx context.Context, partition int, after string, limit int, look hub.Look) (page hub.Wanted, err error) {
	if page, err := s.real.Wanted(plain, partition, after, limit, look); err == nil && page.Rows == 0 {
		return page, nil // most partitions are empty, and worth no step
	}
	err = s.w.call(ctx, "Wanted", fmt.Sprintf("%02d %s", partition, after), 0, func() error {
		page, err = s.real.Wanted(plain, partition, after, limit, look)
		return err
	})
	return page, err
}

func (s *store) AddMember(ctx context.Context, room string, m hub.Member) error {
	return s.w.call(ctx, "AddMember", room+" "+m.Connection, 0, func() error {
		if s.forgetsTokens {
			m.Expires = time.Time{}
		}
		add := func() error {
			err := s.real.AddMember(plain, room, m)
			if err == nil {
				s.w.ledger.member(ctx.Value(invocationKey{}).(*invocation), room, m.Connection, true)
			}
			return err
		}
		if s.joinsLate {
			inv := ctx.Value(invocationKey{}).(*invocation)
			inv.flush = append(inv.flush, func() { s.w.after(s.w.between(s.w.quick, 2*s.w.usual), func() { _ = add() }) })
			return nil
		}
		return add()
	})
}

func (s *store) ChangeMember(ctx context.Context, room string, m hub.Member) error {
	return s.w.call(ctx, "ChangeMember", room+" "+m.Connection, 0, func() error { return s.real.ChangeMember(plain, room, m) })
}

func (s *store) RemoveMember(ctx context.Context, room string, shard int, connection string, gen int64, until time.Time) error {
	return s.w.call(ctx, "RemoveMember", fmt.Sprint(room, " ", connection, " ", gen), 0, func() error {
		if err := s.real.RemoveMember(plain, room, shard, connection, gen, until); err != nil {
			return err
		}
		shards, err := s.real.Shards(plain, room)
		is := false
		for n := 0; n < shards && err == nil; n++ { // it may be in another one by now
			var page hub.MemberPage
			page, err = s.real.Members(plain, room, n, "", 1000)
			is = is || slices.ContainsFunc(page.Members, func(m hub.Member) bool { return m.Connection == connection })
		}
		s.w.ledger.member(ctx.Value(invocationKey{}).(*invocation), room, connection, is)
		return err
	})
}

func (s *store) Members(ctx context.Context, room string, shard int, after string, limit int) (page hub.MemberPage, err error) {
	err = s.w.call(ctx, "Members", fmt.Sprintf("%s %d %s", room, shard, after), 0, func() error {
		page, err = s.real.Members(plain, room, shard, after, limit)
		return err
	})
	return page, err
}

func (s *store) Shards(ctx context.Context, room string) (n int, err error) {
	err = s.w.call(ctx, "Shards", room, 0, func() error {
		n, err = s.real.Shards(plain, room)
		return err
	})
	return n, err
}

func (s *store) Grow(ctx context.Context, room string, from int) error {
	return s.w.call(ctx, "Grow", room, 0, func() error { return s.real.Grow(plain, room, from) })
}

func (s *store) Note(ctx context.Context, name string, value []byte, ttl time.Time) error {
	return s.w.call(ctx, "Note", name, 0, func() error {
		var err error
		if !s.losesAnswers || !strings.HasPrefix(name, "ack#") || s.w.chance(0.5) {
			err = s.real.Note(plain, s.answered(name), value, ttl)
		}
		if err == nil {
			s.w.ledger.questions.note(name, s.w.elapsed())
		}
		return err
	})
}

func (s *store) NoteOnce(ctx context.Context, name string, value []byte, ttl time.Time) (did bool, err error) {
	err = s.w.call(ctx, "NoteOnce", name, 0, func() error {
		did, err = s.real.NoteOnce(plain, name, value, ttl)
		return err
	})
	return did, err
}

func (s *store) NoteOver(ctx context.Context, name string, was, value []byte, ttl time.Time) (did bool, err error) {
	err = s.w.call(ctx, "NoteOver", name, 0, func() error {
		did, err = s.real.NoteOver(plain, name, was, value, ttl)
		return err
	})
	return did, err
}

func (s *store) Noted(ctx context.Context, name string) (value []byte, err error) {
	err = s.w.call(ctx, "Noted", name, 0, func() error {
		s.w.ledger.questions.look(name, s.w.elapsed())
		value, err = s.real.Noted(plain, s.answered(name))
		if s.anybodysPID && strings.HasPrefix(name, "pid#") {
			user, _, _ := strings.Cut(ctx.Value(invocationKey{}).(*invocation).name, "-")
			value = userOf.ReplaceAll(value, []byte(`"user":"`+user+`"`))
		}
		return err
	})
	return value, err
}

// answered is where an answer to a question is.
func (s *store) answered(name string) string {
	if parts := strings.Split(name, "#"); s.anybodysAnswer && parts[0] == "ack" {
		return "ack#" + parts[len(parts)-1]
	}
	return name
}

func (s *store) Unnote(ctx context.Context, name string) error {
	return s.w.call(ctx, "Unnote", name, 0, func() error {
		if s.losesPongs && strings.HasPrefix(name, "ping#") {
			return nil
		}
		return s.real.Unnote(plain, name)
	})
}

func (s *store) Occupy(ctx context.Context, room string) (first bool, err error) {
	err = s.w.call(ctx, "Occupy", room, 0, func() error {
		first, err = s.real.Occupy(plain, room)
		return err
	})
	return first, err
}

func (s *store) Vacate(ctx context.Context, room string) (last bool, err error) {
	err = s.w.call(ctx, "Vacate", room, 0, func() error {
		last, err = s.real.Vacate(plain, room)
		return err
	})
	return last, err
}

func (s *store) Append(ctx context.Context, room string, d hub.Draft) (entry hub.Entry, appended bool, err error) {
	if s.log != nil {
		return s.log.Append(ctx, room, d)
	}
	err = s.w.call(ctx, "Append", room+" "+d.ID, 0, func() error {
		entry, appended, err = s.real.Append(plain, room, d)
		if s.keepsRefused && errors.Is(err, hub.ErrUnavailable) {
			s.w.disk.Fill(false)
			_, _, _ = s.real.Append(plain, room, d)
			s.w.disk.Fill(true)
		}
		if err == nil && appended {
			s.w.ledger.logged(entry, d)
		}
		return err
	})
	return entry, appended, err
}

func (s *store) Find(ctx context.Context, room string, d hub.Draft) (entry hub.Entry, err error) {
	err = s.w.call(ctx, "Find", room+" "+d.Key.ID, 0, func() error {
		entry, err = s.logOf().Find(plain, room, d)
		return err
	})
	return entry, err
}

func (s *store) Named(ctx context.Context, room, id string, limit int) (list []hub.Entry, err error) {
	err = s.w.call(ctx, "Named", room+" "+id, 0, func() error {
		list, err = s.logOf().Named(plain, room, id, limit)
		return err
	})
	return list, err
}

// logOf is the log without parking.
func (s *store) logOf() hub.Log {
	if s.log != nil {
		return s.log
	}
	return s.real
}

func (s *store) From(ctx context.Context, room string, first int64, limit int) (list []hub.Entry, err error) {
	err = s.w.call(ctx, "From", fmt.Sprintf("%s %d", room, first), 0, func() error {
		list, err = s.logOf().From(plain, room, first, limit)
		return err
	})
	return list, err
}

func (s *store) Before(ctx context.Context, room string, before int64, limit int) (list []hub.Entry, err error) {
	err = s.w.call(ctx, "Before", fmt.Sprintf("%s %d", room, before), 0, func() error {
		list, err = s.logOf().Before(plain, room, before, limit)
		return err
	})
	return list, err
}

func (s *store) Void(ctx context.Context, room string, seq int64, keep time.Duration) (void bool, err error) {
	err = s.w.call(ctx, "Void", fmt.Sprintf("%s %d", room, seq), 0, func() error {
		void, err = s.logOf().Void(plain, room, seq, keep)
		return err
	})
	return void, err
}

func (s *store) Head(ctx context.Context, room string, until time.Time) (head hub.Head, err error) {
	err = s.w.call(ctx, "Head", room, 0, func() error {
		head, err = s.logOf().Head(plain, room, until)
		s.w.ledger.epoch(head.Epoch)
		return err
	})
	return head, err
}

func (s *store) Pend(ctx context.Context, room string, was, now hub.Pending, newest int64) (head hub.Head, did bool, err error) {
	err = s.w.call(ctx, "Pend", fmt.Sprintf("%s %d %v", room, now.Flushed, now.Due.IsZero()), 0, func() error {
		if s.forgetsNewer {
			newest = 0
		}
		head, did, err = s.logOf().Pend(plain, room, was, now, newest)
		return err
	})
	return head, did, err
}

func (s *store) Redact(ctx context.Context, room string, seq int64) error {
	return s.w.call(ctx, "Redact", fmt.Sprintf("%s %d", room, seq), 0, func() error {
		s.w.ledger.redacted(room, seq)
		return s.logOf().Redact(plain, room, seq)
	})
}

func (s *store) Reset(ctx context.Context, room string) error {
	return s.w.call(ctx, "Reset", room, 0, func() error { return s.logOf().Reset(plain, room) })
}

func (s *store) SetHere(ctx context.Context, room string, was, now hub.Here) (here hub.Here, err error) {
	err = s.w.call(ctx, "SetHere", fmt.Sprintf("%s %s %v %d/%d", room, now.User, now.Connections(), now.Announced, now.Version), 0, func() error {
		if s.counts && !now.Since.IsZero() {
			now.Stays = s.counted(was, now)
		}
		here, err = s.real.SetHere(plain, room, was, now)
		return err
	})
	return here, err
}

// counted makes a counter of the set: who comes is one more, whoever it is, and who goes one less.
func (s *store) counted(was, now hub.Here) map[string]hub.Stay {
	stays := map[string]hub.Stay{}
	before, after := was.Connections(), now.Connections()
	for _, id := range before {
		stays[id] = was.Stays[id]
	}
	switch {
	case len(after) > len(before):
		s.arrivals++
		stays[fmt.Sprint("arrival ", s.arrivals)] = now.Stays[after[0]]
	case was.Announced == now.Announced && was.Version == now.Version && was.Ending == now.Ending && len(before) > 0:
		delete(stays, before[0])
	}
	return stays
}

func (s *store) Here(ctx context.Context, room, user string) (here hub.Here, err error) {
	err = s.w.call(ctx, "Here", room+" "+user, 0, func() error {
		here, err = s.real.Here(plain, room, user)
		return err
	})
	return here, err
}

func (s *store) Present(ctx context.Context, room, after string, limit int) (rows []hub.Here, err error) {
	err = s.w.call(ctx, "Present", room+" "+after, 0, func() error {
		rows, err = s.real.Present(plain, room, after, limit)
		return err
	})
	return rows, err
}
