// Package bolt is the embedded store: everything is in memory, and what was acknowledged is in a file too. One process at a time may use
// a file.
//
// # What a crash costs
//
// Calls change memory, and return when what they changed is in the file: package rows says how, and what its disk has to do with it. A
// process that is killed loses nothing that it has acknowledged, but for the last second of what a Touch notes, the state of the rate
// limits.
//
// When the power fails the last second may be lost, which others may have read. So the file notes that it is open;
// a file that was not closed begins a new epoch in every room, from the newest seq that it knows, and clients that join again are told that
// nothing is proven (recovered:false). Connections, memberships and presence are read back after any stop, although
// their sockets are gone: the sweep departs them as it departs any other that went silently.
//
// # When it cannot be written
//
// A call that changes something fails with [hub.ErrUnavailable] then, and has not done it: before it begins, once the disk is known to be full, and
// until there is room again; or since what it changed is undone, where it was waiting for the write that failed. It can be made again, with or
// without an id. What is read of a log, of presence, of notes, and of one connection is written, or the reader waits for that. Lists of members and the
// sweep's of connections may show for a moment what is undone then; a Touch of a connection goes by it, and what it notes itself is never undone.
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
	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

// Options of [Open]; the zero value works.
type Options struct {
	Now        func() time.Time // nil: time.Now
	FlushEvery time.Duration    // 0: a second; negative: only Flush and Close purge, and move the journal into the file
	Sync       bool             // a call returns when the disk has it, not when the kernel does
	Logger     *slog.Logger     // told when the disk fails, and when it does no more; nil: slog.Default
	Disk       rows.Disk        // nil: the operating system's; tests let it fail
}

// Store keeps what the hub keeps. It is safe for concurrent use.
type Store struct {
	connections
	members
	logs
	presences
	notes

	path string
	file *rows.File // nil: memory only

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
// It fails, and says what to do, if another process uses the file, if the file is of something else, empty, damaged, or of a newer version.
func Open(path string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FlushEvery == 0 {
		o.FlushEvery = time.Second
	}
	s := &Store{path: path}
	s.connections.now, s.members.now, s.logs.now, s.presences.now = o.Now, o.Now, o.Now, o.Now
	s.notes.now = o.Now
	if path != "" {
		if err := s.openFile(o); err != nil {
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
			_ = s.Flush() // the file tells of it
		}
	}
}

// Flush purges some of what lapsed, and has the disk have all that was changed before. After an error the journal has what was acknowledged,
// and the next flush tries again.
func (s *Store) Flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.purge()
	return s.file.Checkpoint()
}

// Close writes what changed and closes the file. Its error says what was not written; what was acknowledged is in the journal then, and the
// file begins new epochs when it is opened again. The store must not be used any more. A second Close does nothing.
func (s *Store) Close() error {
	s.stop()
	s.stopped.Wait()
	s.flushing.Lock()
	defer s.flushing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.purge()
	return s.file.Close(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(aboutBucket)).Delete([]byte(openKey)) })
}

// Err is why nothing can be saved at the moment; nil: it can.
func (s *Store) Err() error { return s.file.Err() }

// area is one of the five parts of the store, one for each interface in package hub.
type area interface {
	// purge looks at some rows, from where it stopped last time, and forgets the lapsed ones.
	purge(rows int)
	// save begins to note changes, for a file.
	save(file *rows.File)
	// changes gives what changed since the last call. undo undoes that and what changed since, and notes it once more, as it is then.
	changes() (list []rows.Row, undo func())
	// buckets gives the file's buckets of this area, in the order in which they are read, and what takes in one row.
	buckets() []bucket
}

// areas gives them in the order in which changes are collected.
func (s *Store) areas() []area {
	return []area{&s.presences, &s.members, &s.connections, &s.notes, &s.logs}
}

// changes are those of all areas.
func (s *Store) changes() (list []rows.Row, undo func()) {
	var all []func()
	for _, a := range s.areas() {
		changed, undo := a.changes()
		list, all = append(list, changed...), append(all, undo)
	}
	return list, func() {
		for _, undo := range all {
			undo()
		}
	}
}

// purge goes on with purging where the last flush stopped.
func (s *Store) purge() {
	for _, a := range s.areas() {
		for range purgePieces {
			a.purge(purgeRows)
		}
	}
	s.settle()
}

// disk is the file that an area's changes are written to; without one they are kept in memory only.
type disk struct{ file *rows.File }

// change makes a change with the mutex of an area held, and returns when it is written; or undone, and then with [hub.ErrUnavailable]. A result
// that changes nothing waits too: it may follow from what somebody else is just writing.
func (d disk) change(ctx context.Context, mu sync.Locker, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := d.file.Change(func() error { return locked(mu, do) })
	if failed := (*rows.SaveError)(nil); errors.As(err, &failed) {
		return fmt.Errorf("%w: %w", hub.ErrUnavailable, err)
	}
	return err
}

// read reads with the mutex of an area held for reading. do says whether it has seen what may be undone yet. Then it is done again, until that
// is written.
func (d disk) read(ctx context.Context, mu *sync.RWMutex, do func() (pending bool)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	look := func() bool {
		mu.RLock()
		defer mu.RUnlock()
		return do()
	}
	for look() && d.file.Look(func() { look() }) != nil {
		continue
	}
	return nil
}

func locked(mu sync.Locker, do func() error) error {
	mu.Lock()
	defer mu.Unlock()
	return do()
}
