package bolt

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// broken gives a store on a file, and a switch that makes its writes fail.
func broken(tb testing.TB, path string, now func() time.Time) (s *Store, fail *error) {
	tb.Helper()
	s, err := Open(path, Options{Now: now, FlushEvery: -1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	fail = new(error)
	s.update = func(do func(*bbolt.Tx) error) error {
		return s.db.Update(func(tx *bbolt.Tx) error { return errors.Join(do(tx), *fail) })
	}
	return s, fail
}

// keys counts the rows in a bucket of the file.
func (s *Store) keys(tb testing.TB, bucket string) (n int) {
	tb.Helper()
	err := s.db.View(func(tx *bbolt.Tx) error {
		n = tx.Bucket([]byte(bucket)).Stats().KeyN
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func TestFailedFlush(t *testing.T) {
	t.Parallel()
	full := errors.New("the disk is full")
	add := func(t *testing.T, s *Store, id string) {
		t.Helper()
		if err := s.AddMember(t.Context(), "channel:1", hub.Member{Connection: id, TTL: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("what it did not write, the next one writes", func(t *testing.T) {
		t.Parallel()
		s, fail := broken(t, filepath.Join(t.TempDir(), "data"), time.Now)
		add(t, s, "a")
		add(t, s, "b")
		*fail = full
		for range 2 {
			if err := s.Flush(); !errors.Is(err, full) || !strings.Contains(err.Error(), s.path) {
				t.Fatalf("got error %v, want %v", err, full)
			}
		}
		add(t, s, "c")
		if err := s.RemoveMember(t.Context(), "channel:1", 0, "b", 1, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Append(t.Context(), "channel:1", draft(protocol.Event{Event: "e", ID: "e"}, time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := s.Grow(t.Context(), "channel:1", 1); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(); !errors.Is(err, full) {
			t.Fatalf("got error %v, want %v", err, full)
		}
		if got := s.keys(t, "members"); got != 0 {
			t.Fatalf("the file has %d members, want 0", got)
		}
		*fail = nil
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		for bucket, want := range map[string]int{"members": 2, "log": 1, "rooms": 1, "shards": 1} {
			if got := s.keys(t, bucket); got != want {
				t.Errorf("the file has %d rows in %s, want %d", got, bucket, want)
			}
		}
		*fail = full
		if err := s.Flush(); err != nil {
			t.Errorf("with nothing to write: %v", err)
		}
	})
	t.Run("Close tells of it, and the next Open begins new epochs", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "data")
		s, fail := broken(t, path, time.Now)
		was, err := s.Head(t.Context(), "channel:1", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		*fail = full
		if err := s.Close(); !errors.Is(err, full) {
			t.Fatalf("got error %v, want %v", err, full)
		}
		if err := s.Flush(); !errors.Is(err, ErrClosed) {
			t.Errorf("Flush after Close: got error %v, want %v", err, ErrClosed)
		}
		if err := s.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
		s, _ = broken(t, path, time.Now)
		if got, err := s.Head(t.Context(), "channel:1", time.Time{}); err != nil || got.Epoch == was.Epoch {
			t.Errorf("got %+v, error %v, want another epoch than %s", got, err, was.Epoch)
		}
	})
	t.Run("it is logged", func(t *testing.T) {
		t.Parallel()
		lines := make(chan string, 1)
		s, err := Open(filepath.Join(t.TempDir(), "data"), Options{FlushEvery: time.Millisecond, Logger: slog.New(handler(lines))})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.db.Close(); err != nil { // so that writing fails
			t.Fatal(err)
		}
		add(t, s, "a")
		if got := <-lines; !strings.Contains(got, "flush failed") {
			t.Errorf("got %q, want that the flush failed", got)
		}
		if err := s.Close(); err == nil {
			t.Error("Close gives no error")
		}
	})
}

// handler is a slog.Handler that hands on messages while there is space.
type handler chan string

func (h handler) Enabled(context.Context, slog.Level) bool { return true }
func (h handler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h handler) WithGroup(string) slog.Handler            { return h }
func (h handler) Handle(_ context.Context, r slog.Record) error {
	select {
	case h <- r.Message:
	default:
	}
	return nil
}

// rows counts what is in memory.
func (s *Store) rows() map[string]int {
	n := map[string]int{"member rooms": s.members.rooms.Len(), "logs": s.logs.rooms.Len(), "presence rooms": s.presences.rooms.Len()}
	for i := range s.connections.rows {
		n["connections"] += s.connections.rows[i].Len()
	}
	s.members.rooms.Scan(func(_ string, r *memberRoom) bool {
		for i := range r.at {
			n["members"] += r.at[i].Len()
		}
		return true
	})
	s.logs.rooms.Scan(func(_ string, r *roomLog) bool {
		n["entries"] += len(r.entries)
		n["keys"] += len(r.keys)
		return true
	})
	s.presences.rooms.Scan(func(_ string, rows *occupants) bool {
		n["here"] += rows.Len()
		return true
	})
	for key, count := range n {
		if count == 0 {
			delete(n, key)
		}
	}
	return n
}

func TestPurge(t *testing.T) {
	t.Parallel()
	ctx, now := t.Context(), time.UnixMilli(time.Now().UnixMilli())
	s, fail := broken(t, filepath.Join(t.TempDir(), "data"), func() time.Time { return now })
	const n = 300
	for i := range n {
		id, ttl := string(rune('a'+i%26))+time.Duration(i).String(), now.Add(time.Minute)
		if i%3 == 0 {
			ttl = now.Add(24 * time.Hour)
		}
		room := []string{"channel:1", "channel:2", "channel:" + id}[i%3]
		_, _, err := s.Append(ctx, room, draft(protocol.Event{Event: "e", ID: []string{"", id}[i%2]}, ttl.Sub(now)))
		_, arriveErr := s.SetHere(ctx, room, hub.Here{}, present(id, now, ttl))
		err = errors.Join(err, arriveErr, s.Open(ctx, hub.Connection{ID: id, TTL: ttl}), s.AddMember(ctx, room, hub.Member{Connection: id, Shard: i % 4, TTL: ttl}))
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(memory, file map[string]int) {
		t.Helper()
		got := s.rows()
		for what, want := range memory {
			if got[what] != want {
				t.Errorf("memory has %d %s, want %d", got[what], what, want)
			}
		}
		if len(got) != len(memory) {
			t.Errorf("memory has %v, want %v", got, memory)
		}
		for bucket, want := range file {
			if got := s.keys(t, bucket); got != want {
				t.Errorf("the file has %d rows in %s, want %d", got, bucket, want)
			}
		}
	}
	flush := func() {
		t.Helper()
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	check(
		map[string]int{
			"connections": n, "members": n, "entries": n, "keys": n / 2, "here": n,
			"member rooms": 2 + n/3, "logs": 2 + n/3, "presence rooms": 2 + n/3,
		},
		map[string]int{"connections": n, "members": n, "log": n, "presence": n, "rooms": 2 + n/3},
	)

	// What lapsed goes, but for entries: their keys are remembered longer, and their places are taken longer still.
	now = now.Add(2 * time.Minute)
	flush()
	check(
		map[string]int{
			"connections": n / 3, "members": n / 3, "entries": n, "keys": n / 2, "here": n / 3,
			"member rooms": 1, "logs": 2 + n/3, "presence rooms": 1,
		},
		map[string]int{"connections": n / 3, "members": n / 3, "log": n, "presence": n / 3, "rooms": 2 + n/3},
	)
	now = now.Add(hub.IDMemory + overtime)
	*fail = errors.New("the disk is full")
	if err := s.Flush(); err == nil {
		t.Fatal("the flush does not fail")
	}
	*fail = nil
	flush()
	check(
		map[string]int{
			"connections": n / 3, "members": n / 3, "entries": n / 3, "keys": n / 6, "here": n / 3,
			"member rooms": 1, "logs": 2 + n/3, "presence rooms": 1,
		},
		map[string]int{"connections": n / 3, "members": n / 3, "log": n / 3, "presence": n / 3, "rooms": 2 + n/3},
	)

	now = now.Add(24*time.Hour + overtime)
	flush()
	check(map[string]int{"logs": 2 + n/3}, map[string]int{"connections": 0, "members": 0, "log": 0, "presence": 0, "rooms": 2 + n/3})
	now = now.Add(headKeep)
	flush()
	check(map[string]int{}, map[string]int{"rooms": 0})
}

// One flush looks at a bounded number of rows; the next ones look at the rest.
func TestPurgeByPieces(t *testing.T) {
	t.Parallel()
	ctx, now := t.Context(), time.Now()
	s, err := Open("", Options{Now: func() time.Time { return now }, FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	const n = 3 * purgeRows * purgePieces / 2
	for i := range n {
		id := time.Duration(i).String()
		_, _, err := s.Append(ctx, "channel:1", draft(protocol.Event{Event: "e"}, time.Minute))
		_, arriveErr := s.SetHere(ctx, "channel:1", hub.Here{}, present(id, now, now.Add(time.Minute)))
		err = errors.Join(err, arriveErr, s.Open(ctx, hub.Connection{ID: id, TTL: now.Add(time.Minute)}),
			s.AddMember(ctx, "channel:1", hub.Member{Connection: id, TTL: now.Add(time.Minute)}))
		if err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(2 * time.Hour)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"connections", "members", "entries", "here"} {
		if got := s.rows()[what]; got == 0 || got > n/2 {
			t.Errorf("after one flush there are %d of %d %s, want about a third", got, n, what)
		}
	}
	for range 2 {
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.rows(); len(got) != 1 || got["logs"] != 1 {
		t.Errorf("after all flushes there are %v, want the position of one log", got)
	}
}

// present is somebody who has just come, by a connection of the same name.
func present(user string, now, ttl time.Time) hub.Here {
	return hub.Here{User: user, Status: "online", Since: now, Version: 1, TTL: ttl, Stays: map[string]hub.Stay{user: {Gen: 1, Ends: ttl}}}
}

// draft is an event of a program's.
func draft(e protocol.Event, keep time.Duration) hub.Draft {
	d := hub.Draft{Event: e, Keep: keep}
	if e.ID != "" {
		d.Key = hub.Key{Maker: hub.MakerProgram, ID: e.ID}
	}
	return d
}
