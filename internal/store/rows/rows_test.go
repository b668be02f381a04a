package rows_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/bellhop-rt/bellhop/internal/store/rows"
	"github.com/bellhop-rt/bellhop/internal/store/rows/rowstest"
)

const bucket = "things"

// owner keeps numbers by name, as a store keeps its rows.
type owner struct {
	testing.TB
	path string
	disk *rowstest.Disk
	log  *bytes.Buffer
	file *rows.File

	mu      sync.Mutex
	values  map[string]int
	changed map[string]*int // what they were, as far as that is to be put back
}

// own opens a file whose owner notes what is changed. It is closed by whoever wants it closed.
func own(tb testing.TB, path string, sync bool) (*owner, error) {
	tb.Helper()
	o := &owner{TB: tb, path: path, disk: &rowstest.Disk{}, log: &bytes.Buffer{}, values: map[string]int{}, changed: map[string]*int{}}
	var err error
	o.file, err = rows.Open(path, rows.Options{
		What: "test file", Changes: o.changes, Sync: sync, Disk: o.disk, Logger: slog.New(slog.NewTextHandler(o.log, nil)),
	})
	if err != nil {
		return nil, err
	}
	err = o.file.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte(bucket))
		return err
	})
	if err == nil {
		err = o.file.View(func(tx *bbolt.Tx) error {
			return o.file.Load(tx, bucket, func(key string, value []byte) error {
				n, err := strconv.Atoi(string(value))
				o.values[key] = n
				return err
			})
		})
	}
	return o, err
}

func (o *owner) changes() (list []rows.Row, undo func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	changed := o.changed
	o.changed = map[string]*int{}
	for key := range changed {
		r := rows.Row{Bucket: bucket, Key: key}
		if value, there := o.values[key]; there {
			r.Value = value
		}
		list = append(list, r)
	}
	return list, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, later := range []map[string]*int{o.changed, changed} {
			for key, was := range later {
				if was != nil {
					o.put(key, *was)
				}
				o.changed[key] = nil
			}
		}
	}
}

func (o *owner) put(key string, value int) {
	o.values[key] = value
	if value < 0 {
		delete(o.values, key)
	}
}

// set changes a value; a negative one is deleted.
func (o *owner) set(key string, value int) error {
	return o.add(key, func(int) int { return value })
}

// add changes a value by what it is.
func (o *owner) add(key string, to func(int) int) error {
	return o.file.Change(func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		was, there := o.values[key]
		if !there {
			was = -1
		}
		if o.changed[key] == nil {
			o.changed[key] = &was
		}
		o.put(key, to(was))
		return nil
	})
}

func (o *owner) must(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

func (o *owner) close() error { return o.file.Close(func(*bbolt.Tx) error { return nil }) }

// after gives what a process finds that opens the file now, when this one is killed.
func (o *owner) after() map[string]int {
	o.Helper()
	next, err := own(o.TB, rowstest.Copy(o.TB, o.path), false)
	if err != nil {
		o.Fatal(err)
	}
	if err := next.close(); err != nil {
		o.Error(err)
	}
	return next.values
}

func (o *owner) finds(want map[string]int) {
	o.Helper()
	if got := o.after(); !maps.Equal(got, want) {
		o.Errorf("after a kill there is %v, want %v", got, want)
	}
}

func start(t *testing.T, sync bool) *owner {
	t.Helper()
	o, err := own(t, filepath.Join(t.TempDir(), "things.db"), sync)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.close() })
	return o
}

func TestKill(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprintf("sync=%t", sync), func(t *testing.T) {
			t.Parallel()
			o := start(t, sync)
			o.must(o.set("a", 1))
			o.finds(map[string]int{"a": 1})
			o.must(o.set("b", 2))
			o.must(o.set("a", -1))
			o.finds(map[string]int{"b": 2})
			for n := range 5 { // with a checkpoint in between, and none
				o.must(o.set("c", n))
				o.must(o.file.Checkpoint())
				o.finds(map[string]int{"b": 2, "c": n})
				o.must(o.set("b", 2+n))
				o.finds(map[string]int{"b": 2 + n, "c": n})
				o.must(o.set("b", 2))
			}
			writes, syncs := o.disk.Count()
			if want := map[bool]int{true: writes}[sync]; syncs != want {
				t.Errorf("the disk was waited for %d times in %d writes", syncs, writes)
			}
			o.must(o.close())
			if left, _ := filepath.Glob(o.path + "-*"); len(left) > 0 {
				t.Errorf("after a close there are %v", left)
			}
			o.finds(map[string]int{"b": 2, "c": 4})
			if err := o.file.Commit(); !errors.Is(err, rows.ErrClosed) {
				t.Errorf("a commit after Close: got %v", err)
			}
		})
	}
}

// TestCommitsAreShared has many write at once: what each was told is written is there, and they did not wait for a write each.
func TestCommitsAreShared(t *testing.T) {
	t.Parallel()
	o := start(t, true)
	const writers, each = 64, 20
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := range each {
				if err := o.set(fmt.Sprint(i), n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		o.must(o.file.Checkpoint())
	}
	wg.Wait()
	got := o.after()
	for i := range writers {
		if got[fmt.Sprint(i)] != each-1 {
			t.Errorf("writer %d: got %d", i, got[fmt.Sprint(i)])
		}
	}
	if writes, _ := o.disk.Count(); writes >= writers*each {
		t.Errorf("%d writes for %d commits", writes, writers*each)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	o := start(t, false)
	o.must(o.set("before", 1))
	o.disk.Fill(true)
	if err := o.set("first", 1); !errors.Is(err, rowstest.ErrFull) || !strings.Contains(err.Error(), o.path) {
		t.Fatalf("got %v", err)
	}
	for range 3 {
		if err := o.set("refused", 1); !errors.Is(err, rowstest.ErrFull) {
			t.Fatalf("got %v", err)
		}
	}
	if !maps.Equal(o.values, map[string]int{"before": 1}) {
		t.Errorf("what was refused is there: %v", o.values)
	}
	if o.file.Err() == nil {
		t.Error("nothing says that nothing can be saved")
	}
	o.finds(map[string]int{"before": 1})
	if err := o.file.Checkpoint(); !errors.Is(err, rowstest.ErrFull) {
		t.Errorf("a checkpoint: got %v", err)
	}
	o.finds(map[string]int{"before": 1})
	if got := o.log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=ERROR") || !strings.Contains(got, o.path) {
		t.Errorf("got log %s", got)
	}
	o.disk.Fill(false)
	o.must(o.set("after", 1))
	if err := o.file.Err(); err != nil {
		t.Errorf("there is room again, and still: %v", err)
	}
	o.finds(map[string]int{"before": 1, "after": 1})
	if got := o.log.String(); strings.Count(got, "\n") != 2 {
		t.Errorf("got log %s", got)
	}
	o.disk.Fill(true)
	if err := o.set("last", 1); err == nil {
		t.Error("it was not refused")
	}
	if err := o.close(); !errors.Is(err, rowstest.ErrFull) {
		t.Errorf("close: got %v", err)
	}
	o.finds(map[string]int{"before": 1, "after": 1})
}

// TestRefusedIsUndone has many count on a disk that fails now and then, and count again what was refused: nothing is counted twice, and what
// was counted upon what is undone is refused with it.
func TestRefusedIsUndone(t *testing.T) {
	t.Parallel()
	o := start(t, false)
	const counters, each = 16, 200
	var wg sync.WaitGroup
	var refused atomic.Int64
	for i := range counters {
		wg.Go(func() {
			for n := range each {
				for {
					err := o.add("n", func(was int) int { return max(0, was) + 1 })
					if err == nil {
						break
					}
					refused.Add(1)
					if o.disk.Fill(false); !errors.Is(err, rowstest.ErrFull) {
						t.Errorf("got %v", err)
						return
					}
				}
				if i == 0 && n%5 == 0 {
					o.disk.Fill(true)
				}
			}
		})
	}
	wg.Wait()
	o.disk.Fill(false)
	o.must(o.file.Commit())
	o.finds(map[string]int{"n": counters * each})
	if o.values["n"] != counters*each || refused.Load() < 10 {
		t.Errorf("%d were counted, of %d, and %d refused", o.values["n"], counters*each, refused.Load())
	}
}

// TestCutJournal cuts a journal off everywhere: of its commits the first ones are there, each whole.
func TestCutJournal(t *testing.T) {
	t.Parallel()
	o := start(t, false)
	for n := range 4 {
		o.mu.Lock()
		o.values["twin"], o.changed["twin"] = n, nil
		o.mu.Unlock()
		o.must(o.set("n", n))
	}
	twin := rowstest.Copy(t, o.path)
	journal, err := os.ReadFile(twin + "-journal")
	o.must(err)
	most := -1
	for size := range len(journal) + 1 {
		for _, end := range [][]byte{nil, make([]byte, 100)} { // where the power fails, zeros may be left
			path := rowstest.Copy(t, twin)
			o.must(os.WriteFile(path+"-journal", slices.Concat(journal[:size], end), 0o600))
			next, err := own(t, path, false)
			if err != nil {
				t.Fatalf("cut to %d: %v", size, err)
			}
			n, there := next.values["n"]
			if !there {
				n = -1
			}
			if n < most || there && next.values["twin"] != n {
				t.Errorf("cut to %d there is %v", size, next.values)
			}
			most = n
			o.must(next.close())
		}
	}
	if most != 3 {
		t.Errorf("the whole journal has %d", most)
	}
}

// TestChangedJournal flips the bits of a journal: what is not as it was committed is said, or is at its end.
func TestChangedJournal(t *testing.T) {
	t.Parallel()
	o := start(t, false)
	for n := range 4 {
		o.must(o.set("n", n))
	}
	twin := rowstest.Copy(t, o.path)
	journal, err := os.ReadFile(twin + "-journal")
	o.must(err)
	refused := 0
	for at := range journal {
		bad := bytes.Clone(journal)
		bad[at] ^= 0xff
		path := rowstest.Copy(t, twin)
		o.must(os.WriteFile(path+"-journal", bad, 0o600))
		next, err := own(t, path, false)
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), path+"-journal") || !strings.Contains(err.Error(), "move") {
				t.Errorf("byte %d: the error %q does not say what to do", at, err)
			}
			continue
		}
		o.must(next.close())
	}
	if refused == 0 {
		t.Error("no change was found")
	}
}

// TestOldJournalIsNotReadAgain puts journals back that the file has had, as a power cut may that forgets that they were taken away.
func TestOldJournalIsNotReadAgain(t *testing.T) {
	t.Parallel()
	o := start(t, false)
	o.must(o.set("n", 1))
	first, err := os.ReadFile(o.path + "-journal")
	o.must(err)
	o.must(o.file.Checkpoint())
	o.must(o.set("n", 2))
	second, err := os.ReadFile(o.path + "-journal")
	o.must(err)
	early := rowstest.Copy(t, o.path) // which has the first
	o.must(o.file.Checkpoint())
	o.must(o.set("n", 3))
	o.must(o.file.Checkpoint())
	for _, old := range [][]byte{first, second} {
		o.must(os.WriteFile(o.path+"-journal-old", old, 0o600))
		o.finds(map[string]int{"n": 3})
	}
	o.must(os.Remove(o.path + "-journal-old"))
	o.must(o.set("n", 4))
	third, err := os.ReadFile(o.path + "-journal")
	o.must(err)
	o.must(os.WriteFile(early+"-journal", third, 0o600))
	if _, err := own(t, early, false); err == nil || !strings.Contains(err.Error(), "a newer state of it") {
		t.Errorf("an older file with a newer journal: got %v", err)
	}
}

// TestCheckpointFails takes the database away: what is committed is in the journal, and is told of.
func TestCheckpointFails(t *testing.T) {
	t.Parallel()
	o := start(t, false)
	o.must(o.set("n", 1))
	o.must(os.Mkdir(o.path+"-journal-old", 0o700)) // where the journal is put aside
	o.must(os.WriteFile(o.path+"-journal-old/x", nil, 0o600))
	for n := range 3 {
		if err := o.file.Checkpoint(); err == nil {
			t.Fatal("it did not fail")
		}
		o.must(o.set("n", 2+n))
	}
	if got := o.log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "it is tried again") {
		t.Errorf("got log %s", got)
	}
	o.must(os.RemoveAll(o.path + "-journal-old"))
	o.finds(map[string]int{"n": 4})
	o.must(o.file.Checkpoint())
	o.finds(map[string]int{"n": 4})
	if got := o.log.String(); strings.Count(got, "\n") != 2 {
		t.Errorf("got log %s", got)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	at := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	orphan := at("orphan.db-journal", "")
	for name, c := range map[string]struct{ path, want string }{
		"an empty file":                 {at("empty.db", ""), "is damaged: it is empty"},
		"a journal whose file is gone":  {strings.TrimSuffix(orphan, "-journal"), "is missing, but its journal"},
		"a file that is no database":    {at("text.db", strings.Repeat("no database ", 1000)), "put back a copy of it"},
		"the half of a page":            {at("half.db", strings.Repeat("\x00", 100)), "put back a copy of it"},
		"a file that is in use":         {start(t, false).path, "is in use by another process"},
		"a folder that is not there":    {filepath.Join(t.TempDir(), "none", "x.db"), "no such file or directory"},
		"a folder in place of the file": {t.TempDir(), "open test file"},
	} {
		_, err := own(t, c.path, false)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	if info, err := os.Stat(filepath.Dir(orphan)); err != nil || !info.IsDir() {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(filepath.Dir(orphan)); err != nil || len(list) != 1 {
		t.Errorf("a refused file was begun: %v, %v", list, err)
	}
}
