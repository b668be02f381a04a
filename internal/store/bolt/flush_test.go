package bolt

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/rows/rowstest"
)

// onDisk gives a store on a file, on a disk that can be full.
func onDisk(tb testing.TB, path string, now func() time.Time) (*Store, *rowstest.Disk) {
	tb.Helper()
	disk := &rowstest.Disk{}
	s, err := Open(path, Options{Now: now, FlushEvery: -1, Disk: disk, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s, disk
}

// keys counts the rows in a bucket of the file.
func (s *Store) keys(tb testing.TB, bucket string) (n int) {
	tb.Helper()
	err := s.file.View(func(tx *bbolt.Tx) error {
		n = tx.Bucket([]byte(bucket)).Stats().KeyN
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// TestCloseOnAFullDisk: what is not saved is said, and the next one begins new epochs, with all that was acknowledged.
func TestCloseOnAFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	s, disk := onDisk(t, path, time.Now)
	said, _, err := s.Append(t.Context(), "channel:1", draft(protocol.Event{Event: "e", ID: "said"}, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	disk.Fill(true)
	if _, _, err := s.Append(t.Context(), "channel:1", draft(protocol.Event{Event: "e", ID: "lost"}, time.Hour)); !errors.Is(err, hub.ErrUnavailable) {
		t.Fatalf("got error %v, want %v", err, hub.ErrUnavailable)
	}
	if s.Err() == nil {
		t.Error("nothing says that nothing can be saved")
	}
	if err := s.Close(); !errors.Is(err, rowstest.ErrFull) || !strings.Contains(err.Error(), path) {
		t.Fatalf("got error %v, want %v", err, rowstest.ErrFull)
	}
	if err := s.Flush(); !errors.Is(err, ErrClosed) {
		t.Errorf("Flush after Close: got error %v, want %v", err, ErrClosed)
	}
	if err := s.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	s, _ = onDisk(t, path, time.Now)
	got, err := s.Head(t.Context(), "channel:1", time.Time{})
	if err != nil || got.Epoch == said.Epoch || got.Seq != said.Seq {
		t.Errorf("got %+v, error %v, want another epoch than %s with seq %d", got, err, said.Epoch, said.Seq)
	}
	if _, err := s.Find(t.Context(), "channel:1", draft(protocol.Event{ID: "said"}, 0)); err != nil {
		t.Errorf("what was acknowledged: %v", err)
	}
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
	s, disk := onDisk(t, filepath.Join(t.TempDir(), "data"), func() time.Time { return now })
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
	disk.Fill(true)
	if err := s.Flush(); err == nil {
		t.Fatal("the flush does not fail")
	}
	disk.Fill(false)
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
