// Package rows keeps rows in a file, JSON values under keys in buckets, so that whatever was acknowledged outlives the process. One
// process at a time may use a file.
//
// # What is where
//
// The file is a bbolt database. What was written since its last checkpoint is beside it, in FILE-journal. A commit appends what changed to
// the journal, in one write for everybody who waits for it, and returns when the kernel has it: a process may be killed at any moment from
// then on. Only when the power fails, or the operating system, can the last second be lost, since a checkpoint moves the journal into the
// file, with fsync, once a second. With Options.Sync a commit waits for the disk instead, and nothing is lost then either.
//
// # When the disk is full
//
// A commit that could not be written fails, and what belongs to it is undone, with what was changed since, which may follow from it: who is told
// that a change failed can make it again. Those that follow fail before they change anything until there is room again, which is tried at each:
// nobody has to be told of it. Of a checkpoint that could not be written nothing is seen outside, since the journal goes on. What a disk cannot
// promise is left: if it takes a write, says that it has not, and cannot be brought to cut it off again, then a process that is killed in that
// moment leaves a change that was refused.
package rows

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The bucket about the journal. What else is in a file is its owner's.
const (
	journalBucket = "journal"
	appliedKey    = "applied" // the number of the journal that the file has had last, in 8 bytes

	lockTimeout = time.Second
)

// Row is one row for the file.
type Row struct {
	Bucket, Key string
	Value       any // encoded as JSON; nil: the row is deleted
}

// Options of [Open]. Changes is required.
type Options struct {
	What string // the file is, in errors: "data file"
	// Check says whether a file is its owner's to read, before anything is done to it. It may be empty.
	Check func(tx *bbolt.Tx) error
	// Changes gives the rows that changed since it was last called, as they are now. undo has them be as they were, and those that changed since;
	// and has Changes give them once more, so that there is something to try. Neither is called while somebody changes something by
	// [File.Change], nor twice at a time.
	Changes func() (list []Row, undo func())
	Sync    bool         // a commit waits for the disk
	Logger  *slog.Logger // told once when the disk fails, and once when it does no more; nil: slog.Default
	Disk    Disk         // where the journal is; nil: the operating system's
}

// File is an open file. It is safe for concurrent use.
type File struct {
	path    string
	o       Options
	db      *bbolt.DB
	handle  *os.File              // of the database
	broken  atomic.Pointer[error] // bbolt has panicked, and may hold its locks
	commits commits
	trouble trouble // of commits
	behind  trouble // of checkpoints

	checkpointing sync.Mutex // taken before writing
	writing       sync.Mutex
	journal       *journal // being written; nil: the next commit begins one
	number        uint64   // of the newest journal
	old           bool     // there is one that waits for a checkpoint
	closed        bool
}

// ErrClosed is what is answered after Close.
var ErrClosed = errors.New("the file is closed")

// Open opens a file or makes it; its directory must be there. It fails, and says what to do, if another process uses the file, if it is
// empty, damaged or something else. What a process that was killed had committed is in it.
func Open(path string, o Options) (f *File, err error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Disk == nil {
		o.Disk = realDisk{}
	}
	f = &File{path: path, o: o}
	f.trouble.tell = logs(o.Logger, f.newJournal(), "what would change something is refused until it does")
	f.behind.tell = logs(o.Logger, path, "what was written is in its journal alone; it is tried again")
	if err := f.whole(); err != nil {
		return nil, err
	}
	if err := f.open(); err != nil {
		return nil, err
	}
	if err := f.recover(); err != nil {
		return nil, errors.Join(err, f.closeDatabase())
	}
	return f, nil
}

// whole refuses what a new file would be begun in the place of.
func (f *File) whole() error {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		for _, name := range []string{f.oldJournal(), f.newJournal()} {
			if _, err := os.Stat(name); err == nil {
				return fmt.Errorf("%s %s is missing, but its journal %s is there: put the file back, or move the journal away to begin with nothing", f.o.What, f.path, name)
			}
		}
		return nil
	case err != nil:
		return fmt.Errorf("open %s: %w", f.o.What, err)
	case info.Mode().IsRegular() && info.Size() == 0:
		return f.damaged("it is empty, which it never is by itself")
	}
	return nil
}

// damaged says what to do about it.
func (f *File) damaged(why any) error {
	err, is := why.(error)
	if !is {
		err = fmt.Errorf("%v", why)
	}
	return fmt.Errorf("%s %s is damaged: %w; put back a copy of it, or move it away, with its journal, to begin with nothing", f.o.What, f.path, err)
}

// open opens the database, and looks whether it is the owner's.
func (f *File) open() error {
	var openErr error
	err := f.Guarded(func() error {
		f.db, openErr = bbolt.Open(f.path, 0o600, &bbolt.Options{
			Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
			OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
				file, err := os.OpenFile(name, flag, perm) //nolint:gosec // the path is the operator's choice
				f.handle = file
				return file, err
			},
		})
		return nil
	})
	switch {
	case err != nil:
		_ = f.handle.Close() // which bbolt has not done, since it panicked
		return err
	case errors.Is(openErr, bolterrors.ErrTimeout):
		return fmt.Errorf("%s %s is in use by another process", f.o.What, f.path)
	case errors.Is(openErr, bolterrors.ErrInvalid), errors.Is(openErr, bolterrors.ErrChecksum), errors.Is(openErr, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%s %s is no %[1]s of Bellhop's, or is damaged: %[3]w; put back a copy of it, or move it away to begin with nothing", f.o.What, f.path, openErr)
	case openErr != nil:
		return fmt.Errorf("open %s %s: %w", f.o.What, f.path, openErr)
	}
	if f.o.Check == nil {
		return nil
	}
	if err := f.View(f.o.Check); err != nil {
		return errors.Join(err, f.closeDatabase())
	}
	return nil
}

// Guarded turns into an error what bbolt makes of damage in all but its first pages: a panic, or a fault of the memory mapping.
func (f *File) Guarded(do func() error) (err error) {
	defer func() {
		if damage := recover(); damage != nil {
			err = f.damaged(damage)
			f.broken.Store(&err)
		}
	}()
	if was := f.broken.Load(); was != nil {
		return *was
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return do()
}

// closeDatabase closes the database. One that bbolt has panicked with is left as it is but for its handle, and with that the lock of the
// file: the panic may have passed through the end of a transaction, and then Close would wait for it for ever.
func (f *File) closeDatabase() error {
	if f.broken.Load() != nil {
		return f.handle.Close()
	}
	return f.db.Close()
}

// View reads the database, which does not have what the journal has. It is for opening.
func (f *File) View(do func(tx *bbolt.Tx) error) error {
	return f.Guarded(func() error { return f.db.View(do) })
}

// Update changes the database at once, beside the journal. It is for opening.
func (f *File) Update(do func(tx *bbolt.Tx) error) error {
	return f.Guarded(func() error { return f.db.Update(do) })
}

// Load gives every row of a bucket to take; its value is only good until it returns.
func (f *File) Load(tx *bbolt.Tx, bucket string, take func(key string, value []byte) error) error {
	rows := tx.Bucket([]byte(bucket))
	if rows == nil {
		return f.damaged("bucket " + bucket + " is missing")
	}
	return rows.ForEach(func(key, value []byte) error {
		if err := take(string(key), value); err != nil {
			return f.damaged(fmt.Errorf("row %q in %s: %w", key, bucket, err))
		}
		return nil
	})
}

// Change makes a change, and returns when it is written, or undone, and then with an error. An error of do is given as it is; then it has
// changed nothing. On a nil file it only does it.
func (f *File) Change(do func() error) error {
	if f == nil {
		return do()
	}
	if f.trouble.now() != nil {
		if err := f.Commit(); err != nil {
			return &SaveError{err}
		}
	}
	mine, err := f.commits.gather(do)
	if err != nil {
		return err
	}
	if err := f.finish(mine); err != nil {
		return &SaveError{err}
	}
	return nil
}

// SaveError is why a change could not be saved, and is undone.
type SaveError struct{ Err error }

func (e *SaveError) Error() string { return e.Err.Error() }

// Unwrap gives what the disk said.
func (e *SaveError) Unwrap() error { return e.Err }

// Look reads, and returns when what it may have read is written; with an error, it may have read what is undone.
func (f *File) Look(do func()) error {
	if f == nil {
		do()
		return nil
	}
	mine, err := f.commits.gather(func() error {
		do()
		return nil
	})
	return errors.Join(err, f.finish(mine))
}

// Commit writes what changed until now, and what others had to write meanwhile. On a nil file it does nothing.
func (f *File) Commit() error { return f.Look(func() {}) }

func (f *File) finish(mine *commit) error {
	var list []Row
	var undo func()
	return f.commits.finish(mine, &f.writing, func() { list, undo = f.o.Changes() }, func() error { return f.write(list) }, func() { undo() })
}

// write is called with writing held.
func (f *File) write(list []Row) (err error) {
	if f.closed {
		return ErrClosed
	}
	if len(list) > 0 {
		err = f.append(list)
	}
	if err != nil {
		err = fmt.Errorf("save what changed: %w", err) // which names the journal
	}
	f.trouble.is(err)
	return err
}

func (f *File) append(list []Row) error {
	if f.journal == nil {
		f.number++
		f.journal = &journal{path: f.newJournal(), number: f.number}
	}
	return f.journal.append(f.o.Disk, list, f.o.Sync)
}

// Checkpoint commits, and moves what the journal has into the database.
func (f *File) Checkpoint() error {
	if f == nil {
		return nil
	}
	f.checkpointing.Lock()
	defer f.checkpointing.Unlock()
	err := f.Commit()
	return errors.Join(err, f.checkpoint())
}

func (f *File) checkpoint() error {
	err := f.turn()
	if err == nil && f.old {
		if _, err = f.apply(f.oldJournal()); err == nil {
			f.old = false
		}
	}
	f.behind.is(err)
	return err
}

// turn puts the journal aside. The next commit begins another.
func (f *File) turn() error {
	f.writing.Lock()
	defer f.writing.Unlock()
	switch {
	case f.closed:
		return ErrClosed
	case f.old || !f.written():
		return nil
	}
	if err := f.journal.close(); err != nil {
		return fmt.Errorf("close %s: %w", f.journal.path, err)
	}
	if err := os.Rename(f.newJournal(), f.oldJournal()); err != nil {
		return fmt.Errorf("put the journal aside: %w", err)
	}
	f.journal, f.old = nil, true
	return nil
}

// written reports whether the journal has something.
func (f *File) written() bool { return f.journal != nil && f.journal.end > 0 }

// pending reports whether there is something for a checkpoint.
func (f *File) pending() bool {
	f.writing.Lock()
	defer f.writing.Unlock()
	return f.old || f.written()
}

// Close commits, moves everything into the database, and has last change it once more: with nothing left in the journal. Its error says
// what was not written; what was committed is in the journal then, and there when the file is opened again. A second Close does nothing.
func (f *File) Close(last func(tx *bbolt.Tx) error) error {
	if f == nil {
		return nil
	}
	f.checkpointing.Lock()
	defer f.checkpointing.Unlock()
	if f.closed {
		return nil
	}
	err := f.Commit()
	for err == nil && f.pending() {
		err = f.checkpoint()
	}
	if err == nil {
		err = f.Update(last)
	}
	f.writing.Lock()
	f.closed = true
	f.writing.Unlock()
	if f.journal != nil {
		err = errors.Join(err, f.journal.close())
	}
	return errors.Join(err, f.closeDatabase())
}

// Err is why nothing can be saved at the moment; nil: it can.
func (f *File) Err() error {
	if f == nil {
		return nil
	}
	return f.trouble.now()
}

// Abandon closes a file as it is, as if the process ended here.
func (f *File) Abandon() error {
	f.checkpointing.Lock()
	defer f.checkpointing.Unlock()
	f.writing.Lock()
	defer f.writing.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	var err error
	if f.journal != nil {
		err = f.journal.close()
	}
	return errors.Join(err, f.closeDatabase())
}
