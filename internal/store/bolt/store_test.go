package bolt_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
	"github.com/bellhop-rt/bellhop/internal/store/rows/rowstest"
	"github.com/bellhop-rt/bellhop/internal/store/storetest"
)

var _ storetest.Holes = (*bolt.Store)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a store that is closed, without an error, when the test ends.
func open(tb testing.TB, path string, o bolt.Options) *bolt.Store {
	tb.Helper()
	s, err := bolt.Open(path, o)
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	t.Run("in memory", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(tb testing.TB, now func() time.Time) socketio.Store {
			tb.Helper()
			return open(tb, "", bolt.Options{Now: now})
		})
	})
	t.Run("in a file that is flushed and purged all the time", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(tb testing.TB, now func() time.Time) socketio.Store {
			tb.Helper()
			return open(tb, filepath.Join(tb.TempDir(), "data"), bolt.Options{Now: now, FlushEvery: time.Millisecond})
		})
	})
}

func TestProperties(t *testing.T) {
	storetest.RunProperties(t, func(tb testing.TB, now func() time.Time) socketio.Store {
		return open(tb, "", bolt.Options{Now: now})
	})
}

// draft is an event of a program's.
func draft(e protocol.Event, keep time.Duration) hub.Draft {
	d := hub.Draft{Event: e, Keep: keep}
	if e.ID != "" {
		d.Key = hub.Key{Maker: hub.MakerProgram, ID: e.ID}
	}
	return d
}

// onDisk is a store on a disk of a test's.
type onDisk struct {
	*bolt.Store
	*rowstest.Disk
	path string
}

func (s onDisk) Killed(tb testing.TB) socketio.Store {
	tb.Helper()
	return open(tb, rowstest.Copy(tb, s.path), bolt.Options{FlushEvery: byHand})
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	storetest.RunFullDisk(t, func(tb testing.TB) storetest.OnDisk {
		tb.Helper()
		path, disk := filepath.Join(tb.TempDir(), "data"), &rowstest.Disk{}
		o := bolt.Options{FlushEvery: byHand, Disk: disk, Logger: slog.New(slog.DiscardHandler)}
		return onDisk{open(tb, path, o), disk, path}
	})
}

// TestAway: while the disk is full, clients are told that it may be over some time.
func TestAway(t *testing.T) {
	t.Parallel()
	storetest.RunAway(t, true, func(tb testing.TB) (socketio.Store, func(bool)) {
		tb.Helper()
		disk := &rowstest.Disk{}
		s := open(tb, filepath.Join(tb.TempDir(), "data"), bolt.Options{Disk: disk, Logger: slog.New(slog.DiscardHandler)})
		return s, disk.Fill
	})
}
