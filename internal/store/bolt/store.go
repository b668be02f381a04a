// Package bolt is the embedded store: everything is in memory, and a bbolt file holds a copy that is at most a second
// old. One process at a time may use a file.
//
// # What a crash costs
//
// Calls work on memory alone. Once a second, and at Close, all rows that changed are written in one transaction with
// fsync. A process that is killed therefore loses up to the last second, and only that.
//
// Positions of the lost second may have been given to clients. So the file notes that it is open; a file that was not
// closed begins a new epoch in every room, from the newest seq that it knows, and clients that join again are told that
// nothing is proven (recovered:false). Connections, memberships and presence are read back after any stop, although
// their sockets are gone: the sweep departs them as it departs any other that went silently.
//
// # What is shared
//
// Values that are given out share their maps and slices with the store, which never changes one but puts another in
// its place. Callers must not change them either. What is handed over is copied.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// Options of [Open]; the zero value works.
type Options struct {
	Now        func() time.Time // nil: time.Now
	FlushEvery time.Duration    // 0: a second; negative: only Flush and Close write and purge
	Logger     *slog.Logger     // told of flushes that fail; nil: slog.Default
}

// Store keeps what the hub keeps. It is safe for concurrent use.
type Store struct {
	connections
	members
	logs
	presences
	notes

	logger *slog.Logger
	path   string
	db     *bbolt.DB // nil: memory only
	// update is db.Update; tests let it fail.
	update func(func(*bbolt.Tx) error) error

	flushing sync.Mutex // one flush at a time; taken before the mutex of an area
	closed   bool
	stop     context.CancelFunc
	stopped  sync.WaitGroup
}

var _ hub.Store = (*Store)(nil)

// ErrClosed is what Flush answers after Close.
var ErrClosed = errors.New("the store is closed")

// Purging looks at so many rows of an area in one piece, with its mutex held, and at so many pieces in one flush.
const (
	purgeRows   = 64
	purgePieces = 64
)

// Open reads the file at path, or makes it; its directory must be there. An empty path keeps everything in memory only.
// It fails if another process uses the file, if the file is of something else, damaged, or of a newer version.
func Open(path string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FlushEvery == 0 {
		o.FlushEvery = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Store{logger: o.Logger, path: path}
	s.connections.now, s.members.now, s.logs.now, s.presences.now = o.Now, o.Now, o.Now, o.Now
	s.notes.now = o.Now
	if path != "" {
		if err := s.openFile(); err != nil {
			return nil, err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	if o.FlushEvery > 0 {
		s.stopped.Go(func() { s.run(ctx, o.FlushEvery) })
	}
	return s, nil
}

// run flushes until ctx ends.
func (s *Store) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.Flush(); err != nil {
				s.logger.ErrorContext(ctx, "flush failed, the next one tries again", "error", err)
			}
		}
	}
}

// Flush writes what changed and purges some of what lapsed. When it returns nil, everything that was done before it was
// called survives a crash. After an error the changes wait for the next flush: one key for each changed row, and no row
// twice, however long that takes.
func (s *Store) Flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	if s.closed {
		return ErrClosed
	}
	return s.flush(false)
}

// Close writes what changed and closes the file. Its error is that of the last flush: what is lost then is what changed
// since the one before, and the file begins new epochs when it is opened again. The store must not be used any more.
// A second Close does nothing.
func (s *Store) Close() error {
	s.stop()
	s.stopped.Wait()
	s.flushing.Lock()
	defer s.flushing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.flush(true)
	if s.db != nil {
		if closeErr := s.db.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("close %s: %w", s.path, closeErr))
		}
	}
	return err
}

// area is one of the five parts of the store, one for each interface in package hub.
type area interface {
	// purge looks at some rows, from where it stopped last time, and forgets the lapsed ones.
	purge(rows int)
	// track begins to note changes.
	track()
	// changes gives what changed since the last call. again notes it once more, for when it could not be written.
	changes() (rows []row, again func())
	// buckets gives the file's buckets of this area, in the order in which they are read, and what takes in one row.
	buckets() []bucket
}

// areas gives them in the order in which changes are collected. The log comes last: when the file says that a presence
// was announced, it has the event too.
func (s *Store) areas() []area {
	return []area{&s.presences, &s.members, &s.connections, &s.notes, &s.logs}
}

// flush is Flush and Close; the caller holds flushing.
func (s *Store) flush(last bool) error {
	s.purge()
	if s.db == nil {
		return nil
	}
	var rows []row
	var again []func()
	for _, a := range s.areas() {
		changed, undo := a.changes()
		rows, again = append(rows, changed...), append(again, undo)
	}
	if len(rows) == 0 && !last {
		return nil
	}
	if err := s.write(rows, last); err != nil {
		for _, undo := range again {
			undo()
		}
		return fmt.Errorf("write %s: %w", s.path, err)
	}
	return nil
}

// purge goes on with purging where the last flush stopped.
func (s *Store) purge() {
	for _, a := range s.areas() {
		for range purgePieces {
			a.purge(purgeRows)
		}
	}
}
