package bolt_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
	"github.com/bellhop-rt/bellhop/internal/store/rows/rowstest"
)

// byHand flushes only when told.
const byHand = -time.Second

// fill writes a bit of everything, with odd names.
func fill(tb testing.TB, s *bolt.Store, now time.Time) {
	tb.Helper()
	ctx := tb.Context()
	check := func(errs ...error) {
		tb.Helper()
		if err := errors.Join(errs...); err != nil {
			tb.Fatalf("fill: %v", err)
		}
	}
	ttl := now.Add(2 * time.Hour)
	for i, room := range []string{"channel:1", "channel:1!", "community:ü|a:b"} {
		id := fmt.Sprintf("#c%d=", i)
		check(
			s.Open(ctx, hub.Connection{
				ID: id, User: "ana", Name: `Ana <"ü">`, Codec: protocol.Name, Grants: hub.Grants{"channel:*": {"join"}},
				Rooms: map[string]int{room: i, "user:ana": 0}, ConnectedAt: now, LastSeen: now, Expires: ttl, Busy: now.Add(time.Second), TTL: ttl,
			}),
			s.AddMember(ctx, room, hub.Member{Connection: id, User: "ana", Codec: "socket.io", Shard: i, MayPublish: i == 1, TTL: ttl}),
			s.AddMember(ctx, room, hub.Member{Connection: id + "#2", User: "ben", Shard: 0, TTL: ttl}),
		)
		for n := range 3 {
			e := protocol.Event{Event: "message:new", TS: now.UnixMilli(), From: &protocol.From{UserID: "ana"}, Data: json.RawMessage(`{"text":"<b>&\u2028 日本語"}`)}
			if n == 1 {
				e = protocol.Event{Event: "x", ID: "id#1"}
			}
			_, _, err := s.Append(ctx, room, draft(e, time.Hour))
			check(err)
		}
		_, err := s.SetHere(ctx, room, hub.Here{}, hub.Here{
			User: "ana", Name: "Ana", Status: "away", Data: json.RawMessage(`{"a":"<1>"}`), Since: now, Version: 2, TTL: ttl,
			Stays: map[string]hub.Stay{id: {Gen: 7, Ends: ttl}, id + "x": {Gen: 8, Gone: true, Ends: ttl}},
		})
		check(err)
		_, err = s.SetHere(ctx, room, hub.Here{}, hub.Here{
			User: "b#n", Status: "online", Since: now, Left: now.Add(time.Second), Version: 1, Announced: 1, TTL: ttl, Ending: i == 0,
		})
		check(err)
	}
	_, err := s.Change(ctx, hub.Connection{ID: "#c1="}, hub.Change{Anyhow: true, Closing: true, End: "kicked", Now: now})
	check(err, s.Grow(ctx, "channel:1", 1), s.Grow(ctx, "channel:1", 2), s.Redact(ctx, "channel:1", 1), s.Reset(ctx, "channel:1!"))
	row, err := s.Connection(ctx, "#c0=")
	check(err)
	_, err = s.Change(ctx, row, hub.Change{Now: now, Enter: map[string]hub.Seat{"channel:9": {Shard: 1, Gen: 5}}, Leave: map[string]hub.Leaving{"user:ana": {Gen: 6, Why: "x"}}})
	check(err, s.RemoveMember(ctx, "channel:1", 0, "#c9=", 9, ttl))
	_, _, err = s.Append(ctx, "channel:1!", draft(protocol.Event{Event: "new epoch"}, time.Hour))
	check(err)
	hole, err := s.Hole(ctx, "channel:1!")
	check(err)
	_, err = s.Void(ctx, "channel:1!", hole, time.Hour)
	check(err)
}

// everything reads back what fill wrote, as text.
func everything(tb testing.TB, s *bolt.Store) string {
	tb.Helper()
	ctx := tb.Context()
	var out strings.Builder
	show := func(v any, err error) {
		tb.Helper()
		if rows, is := v.([]hub.Connection); is { // what is empty may be nothing
			for i := range rows {
				rows[i].Gens, rows[i].Leaving = maps.Clone(rows[i].Gens), maps.Clone(rows[i].Leaving)
				if rows[i].Gens == nil {
					rows[i].Gens = map[string]int64{}
				}
				if rows[i].Leaving == nil {
					rows[i].Leaving = map[string]hub.Leaving{}
				}
			}
		}
		text, encodeErr := json.Marshal(v)
		if err := errors.Join(err, encodeErr); err != nil {
			tb.Fatalf("read: %v", err)
		}
		fmt.Fprintf(&out, "%s\n", text)
	}
	for partition := range hub.Partitions {
		if page, err := s.Walk(ctx, partition, "", 10); err != nil || len(page) > 0 {
			show(page, err)
		}
	}
	for _, room := range []string{"channel:1", "channel:1!", "community:ü|a:b"} {
		for shard := range 3 {
			show(s.Members(ctx, room, shard, "", 10))
		}
		show(s.Head(ctx, room, time.Time{}))
		show(s.From(ctx, room, 0, 10))
		show(s.Named(ctx, room, "id#1", 10))
		if room != "channel:1!" { // which began anew
			show(s.Find(ctx, room, draft(protocol.Event{ID: "id#1"}, 0)))
		}
		show(s.Present(ctx, room, "", 10))
	}
	return out.String()
}

// aTime is now, as precise as the file is.
func aTime() time.Time { return time.UnixMilli(time.Now().UnixMilli()) }

func TestRestart(t *testing.T) {
	t.Parallel()
	now := aTime()
	o := bolt.Options{Now: func() time.Time { return now }, FlushEvery: byHand}
	path := filepath.Join(t.TempDir(), "data")
	s := open(t, path, o)
	fill(t, s, now)
	want := everything(t, s)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, path, o)
		if got := everything(t, s); got != want {
			t.Errorf("after a restart\n got %s\nwant %s", got, want)
		}
	}

	ctx := t.Context()
	if err := errors.Join(s.Forget(ctx, "#c0="), s.RemoveMember(ctx, "channel:1", 0, "#c0=", 1, time.Time{}), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, o)
	if _, err := s.Connection(ctx, "#c0="); !errors.Is(err, hub.ErrNotFound) {
		t.Errorf("a forgotten row: got error %v, want %v", err, hub.ErrNotFound)
	}
	page, err := s.Members(ctx, "channel:1", 0, "", 10)
	if err != nil || len(page.Members) != 1 || page.Shards != 4 {
		t.Errorf("got %+v, error %v, want one member and 4 shards", page, err)
	}
}

func TestUncleanStop(t *testing.T) {
	t.Parallel()
	ctx, now := t.Context(), aTime()
	o := bolt.Options{Now: func() time.Time { return now }, FlushEvery: byHand}
	path := filepath.Join(t.TempDir(), "data")
	s := open(t, path, o)
	fill(t, s, now)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	path = rowstest.Copy(t, path)
	lost, _, err := s.Append(ctx, "channel:1", draft(protocol.Event{Event: "lost", ID: "lost"}, time.Hour))
	if err != nil {
		t.Fatal(err)
	}

	later := now.Add(time.Minute)
	o.Now = func() time.Time { return later }
	crashed := open(t, path, o)
	for _, room := range []string{"channel:1", "channel:1!", "community:ü|a:b"} {
		was, err := s.Head(ctx, room, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if room == "channel:1" {
			was.Seq = lost.Seq - 1
		}
		got, err := crashed.Head(ctx, room, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Epoch == was.Epoch || got.Seq != was.Seq || got.Base != was.Base || !got.Began.Equal(later) {
			t.Errorf("%s: got %+v, want a new epoch that began at %v with Base %d and Seq %d", room, got, later, was.Base, was.Seq)
		}
	}
	if _, err := crashed.Find(ctx, "channel:1", draft(protocol.Event{ID: "lost"}, 0)); !errors.Is(err, hub.ErrNotFound) {
		t.Errorf("got error %v, want %v", err, hub.ErrNotFound)
	}
	entry, appended, err := crashed.Append(ctx, "channel:1", draft(protocol.Event{Event: "lost", ID: "lost"}, time.Hour))
	if err != nil || !appended || entry.Seq != lost.Seq || entry.Epoch == lost.Epoch {
		t.Errorf("got %+v, appended %t, error %v, want seq %d in a new epoch", entry, appended, err, lost.Seq)
	}
	known, appended, err := crashed.Append(ctx, "channel:1", draft(protocol.Event{Event: "again", ID: "id#1"}, time.Hour))
	if err != nil || appended || known.Event.Event != "x" {
		t.Errorf("got %+v, appended %t, error %v, want the first entry with this id", known, appended, err)
	}

	want, err := crashed.Head(ctx, "community:ü|a:b", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := crashed.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, path, o).Head(ctx, "community:ü|a:b", time.Time{})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("closed after the crash: got %+v, error %v, want %+v", got, err, want)
	}
}

// TestKill: what a call that returned has changed is there when the process ends at once, with --sync and without.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{false, true} {
		now := aTime()
		o := bolt.Options{Now: func() time.Time { return now }, FlushEvery: byHand, Sync: sync}
		path := filepath.Join(t.TempDir(), "data")
		s := open(t, path, o)
		fill(t, s, now)
		check := func() {
			t.Helper()
			want := withoutEpochs(everything(t, s))
			if got := withoutEpochs(everything(t, open(t, rowstest.Copy(t, path), o))); got != want {
				t.Errorf("after a kill\n got %s\nwant %s", got, want)
			}
		}
		check()
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		check()
		if err := errors.Join(s.Forget(t.Context(), "#c0="), s.RemoveMember(t.Context(), "channel:1", 0, "#c0=", 1, time.Time{}), s.Reset(t.Context(), "channel:1!")); err != nil {
			t.Fatal(err)
		}
		check()
	}
}

// withoutEpochs leaves out what a file that was not closed begins anew.
func withoutEpochs(text string) string {
	return regexp.MustCompile(`"(Epoch|epoch|Began)":"[^"]*"`).ReplaceAllString(text, "")
}

func TestFlushesOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "data")
		s, err := bolt.Open(path, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Grow(t.Context(), "channel:1", 1); err != nil {
			t.Fatal(err)
		}
		for _, want := range []bool{true, false} {
			if _, err := os.Stat(path + "-journal"); err == nil != want {
				t.Errorf("there is a journal: %v, want %t", err, want)
			}
			<-time.After(time.Second)
			synctest.Wait()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	at := func(name string) string { return filepath.Join(t.TempDir(), name) }
	write := func(path, content string) string {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// edited gives a file of ours that something was done to.
	edited := func(do func(tx *bbolt.Tx) error) string {
		path := at("data")
		s := open(t, path, bolt.Options{FlushEvery: byHand})
		fill(t, s, aTime())
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, path, do)
		return path
	}
	put := func(bucket, key, value string) string {
		return edited(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Put([]byte(key), []byte(value)) })
	}
	foreign := at("foreign")
	edit(t, foreign, func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("theirs"))
		return err
	})
	used := at("used")
	open(t, used, bolt.Options{})

	for name, test := range map[string]struct{ path, want string }{
		"a file that is in use":            {used, "used is in use by another process"},
		"a file that is no database":       {write(at("text"), strings.Repeat("hello ", 10_000)), "no data file of Bellhop's, or is damaged"},
		"a short file":                     {write(at("short"), "hello"), "no data file of Bellhop's, or is damaged"},
		"an empty file":                    {write(at("empty"), ""), "is damaged: it is empty, which it never is by itself; put back a copy of it, or move it away"},
		"a database of another program":    {foreign, "belongs to another program"},
		"a newer version":                  {put("bellhop", "version", "4"), "written by a newer Bellhop: it has version 4, this program reads up to version 3; run the newer one, or move the file away"},
		"no notes":                         {edited(without("notes")), "is damaged: bucket notes is missing"},
		"no log, which version 1 had":      {edited(asVersion1("occupied", "notes", "log")), "is damaged: bucket log is missing"},
		"a version that is none":           {put("bellhop", "version", "x"), "is damaged: it has no version"},
		"a directory":                      {t.TempDir(), "open data file "},
		"a directory that is not there":    {filepath.Join(t.TempDir(), "no", "data"), "no such file or directory"},
		"a file in place of the directory": {filepath.Join(write(at("file"), ""), "data"), "not a directory"},
		"a bad connection":                 {put("connections", "c", "{"), `is damaged: row "c" in connections: `},
		"a bad member":                     {put("members", "channel:1#0#c", "[]"), `is damaged: row "channel:1#0#c" in members: `},
		"a bad member's key":               {put("members", "channel:1#x#c", "{}"), "malformed"},
		"a bad shard":                      {put("members", "channel:1#-1#c", "{}"), "malformed"},
		"a bad number of shards":           {put("shards", "channel:1", "x"), `is damaged: row "channel:1" in shards: `},
		"a bad head":                       {put("rooms", "channel:1", ""), `is damaged: row "channel:1" in rooms: `},
		"a bad entry":                      {put("log", "channel:1#000000000002", "3"), `is damaged: row "channel:1#000000000002" in log: `},
		"an entry's bad key":               {put("log", "channel:1#x", "{}"), "malformed"},
		"an entry twice":                   {put("log", "channel:1#00000000000002", "{}"), "malformed"},
		"an entry of the future":           {put("log", "channel:1#000000000009", "{}"), "malformed"},
		"an entry without a room":          {put("log", "channel:9#000000000001", "{}"), "malformed"},
		"a bad presence":                   {put("presence", "channel:1#ana", "1"), `is damaged: row "channel:1#ana" in presence: `},
		"a presence's bad key":             {put("presence", "channel:1", "{}"), "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := bolt.Open(test.path, bolt.Options{})
			if err == nil {
				t.Fatalf("it was opened; close: %v", s.Close())
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.path) {
				t.Errorf("got %q, want the path and %q", err, test.want)
			}
		})
	}
}

// without takes a bucket out of a file.
func without(name string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(name)) }
}

// asVersion1 makes a file one of version 1, which did not have some buckets.
func asVersion1(missing ...string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		for _, name := range missing {
			if err := tx.DeleteBucket([]byte(name)); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte("bellhop")).Put([]byte("version"), []byte("1"))
	}
}

// TestMigrates opens the three layouts that version 1 had. internal/check/upgrade has files that those releases wrote.
func TestMigrates(t *testing.T) {
	t.Parallel()
	now := aTime()
	o := bolt.Options{Now: func() time.Time { return now }, FlushEvery: byHand}
	for name, missing := range map[string][]string{
		"without marks of occupied rooms and without notes": {"occupied", "notes"},
		"without notes": {"notes"}, "with both": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data")
			s := open(t, path, o)
			fill(t, s, now)
			want := everything(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			edit(t, path, asVersion1(missing...))
			for range 2 {
				s = open(t, path, o)
				if got := everything(t, s); got != want {
					t.Errorf("got %s\nwant %s", got, want)
				}
				if err := errors.Join(s.Note(t.Context(), "n", []byte("x"), now.Add(time.Hour)), s.Close()); err != nil {
					t.Fatal(err)
				}
			}
			edit(t, path, func(tx *bbolt.Tx) error {
				if got := string(tx.Bucket([]byte("bellhop")).Get([]byte("version"))); got != "3" {
					t.Errorf("the file has version %s now", got)
				}
				return nil
			})
		})
	}
}

// edit changes a file behind the store's back.
func edit(tb testing.TB, path string, do func(tx *bbolt.Tx) error) {
	tb.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(db.Update(do), db.Close()); err != nil {
		tb.Fatal(err)
	}
}

// A damaged file must never end the process: it is refused, or cannot be written, or what is damaged is not in use.
//
// It runs by itself. bbolt copies a small bucket to the heap and believes the offsets in it: a damaged one has it read, never write, what
// other tests have there, which the race detector rightly reports.
//
//nolint:paralleltest // see above
func TestOpenSurvivesDamage(t *testing.T) {
	for name, change := range map[string]func(*bbolt.Tx) error{
		"of this version": func(*bbolt.Tx) error { return nil },
		"of version 1":    asVersion1("occupied", "notes"),
	} {
		t.Run(name, func(t *testing.T) { survivesDamage(t, change) })
	}
}

func survivesDamage(t *testing.T, change func(*bbolt.Tx) error) {
	path := filepath.Join(t.TempDir(), "data")
	s := open(t, path, bolt.Options{FlushEvery: byHand})
	fill(t, s, aTime())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, change)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	try := func(what string, content []byte) {
		t.Helper()
		// A new file each time: after a panic in bbolt its memory mapping stays, and with it the lock.
		path := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := bolt.Open(path, bolt.Options{FlushEvery: byHand})
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%s: the error %q does not name the file", what, err)
			}
			return
		}
		if err := s.Close(); err != nil {
			refused++
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%s: the error %q of Close does not name the file", what, err)
			}
		}
	}
	page := os.Getpagesize()
	for size := page; size < len(good); size += page {
		try(fmt.Sprint("cut to ", size), good[:size])
	}
	for at := 0; at < len(good); at += 251 {
		bad := append([]byte(nil), good...)
		bad[at] ^= 0xff
		try(fmt.Sprint("byte ", at), bad)
	}
	if refused == 0 {
		t.Error("no damage was found")
	}
	t.Logf("%d damaged files were refused", refused)
	try("whole", good)
}
