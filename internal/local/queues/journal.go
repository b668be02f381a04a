package queues

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	journalEvery  = time.Second
	journalName   = "bellhop queues "
	journalBucket = journalName + "1" // 1 is the version of the file's layout
)

// journal keeps what is in the queues in a file, so that it is there again after a restart. Queues only mark what changed; once a
// second, and at the end, the marks are written in one transaction with fsync. After a clean end the file is exact. A process that is
// killed loses, or delivers again, what the last second changed: at least once, as ever. A nil journal keeps nothing.
type journal struct {
	path    string
	db      *bbolt.DB
	stop    chan struct{} // closed by close
	loop    sync.WaitGroup
	writing sync.Mutex // one flush at a time: an older one must not overwrite a newer

	// dirty, batch and filed are by message id. What comes and goes between two flushes leaves nothing, so that even without a working
	// disk they are no more than what the queues hold and what the file has.
	mu    sync.Mutex
	dirty map[string]*journalRecord // what the file has not got yet; nil: the message is gone
	batch map[string]*journalRecord // what is being written
	filed map[string]struct{}       // what the file has
}

// journalRecord is a message in the file. Its key is the message's id alone, so that moving to another queue is one write.
type journalRecord struct {
	Queue     string    `json:"queue"` // logical id
	Message   Message   `json:"message"`
	VisibleAt time.Time `json:"visibleAt"`
	Held      bool      `json:"held,omitempty"` // received and not settled
}

// openJournal opens or makes a file; one process at a time may have it.
func openJournal(path string) (*journal, error) {
	j := &journal{path: path, stop: make(chan struct{}), dirty: map[string]*journalRecord{}, filed: map[string]struct{}{}}
	err := guarded(func() (err error) {
		o := &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType, NoStatistics: true}
		j.db, err = bbolt.Open(path, 0o600, o)
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("queue file %s is in use by another process", path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("queue file %s is no queue file, or is damaged: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("open queue file %s: %w", path, err)
	}
	return j, nil
}

// guarded turns into an error what bbolt makes of damage in all but its first pages: a panic, or a fault of the memory mapping.
func guarded(do func() error) (err error) {
	defer func() {
		if damage := recover(); damage != nil {
			err = fmt.Errorf("it is damaged: %v", damage)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return do()
}

// load gives every message of the file to put, which is false for those of no queue: they stay in the file.
func (j *journal) load(put func(r journalRecord) bool) error {
	read := func(id, value []byte) error {
		var r journalRecord
		if err := json.Unmarshal(value, &r); err != nil || r.Message.ID != string(id) {
			return fmt.Errorf("it is damaged: message %q is malformed", id)
		}
		if put(r) {
			j.filed[r.Message.ID] = struct{}{}
		}
		return nil
	}
	err := guarded(func() error {
		return j.db.Update(func(tx *bbolt.Tx) error {
			first, _ := tx.Cursor().First()
			switch {
			case first == nil, tx.Bucket([]byte(journalBucket)) != nil:
			case bytes.HasPrefix(first, []byte(journalName)):
				return fmt.Errorf("it was written by a newer version, as %q, and this one reads %q: run the newer one, or move the file away, and lose what waits in it", first, journalBucket)
			default:
				return errors.New("it belongs to another program")
			}
			b, err := tx.CreateBucketIfNotExists([]byte(journalBucket))
			if err != nil {
				return err
			}
			return b.ForEach(read)
		})
	})
	if err != nil {
		return fmt.Errorf("queue file %s: %w", j.path, err)
	}
	return nil
}

// mark notes how a message is now. The lock of its queue is held.
func (j *journal) mark(queue string, e *entry) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dirty[e.ID] = &journalRecord{queue, e.Message, e.visibleAt, e.holders > 0}
}

// gone notes that a message is in no queue any more.
func (j *journal) gone(id string) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, filed := j.filed[id]; filed || j.batch[id] != nil {
		j.dirty[id] = nil
	} else {
		delete(j.dirty, id)
	}
}

// flush writes what is marked. What could not be written stays marked.
func (j *journal) flush() error {
	if j == nil {
		return nil
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	batch := j.dirty
	j.batch, j.dirty = batch, map[string]*journalRecord{}
	j.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := guarded(func() error { return j.db.Update(func(tx *bbolt.Tx) error { return writeBatch(tx, batch) }) })
	j.mu.Lock()
	defer j.mu.Unlock()
	j.batch = nil
	if err != nil {
		j.again(batch)
		return fmt.Errorf("write queue file %s: %w", j.path, err)
	}
	for id, r := range batch {
		if r != nil {
			j.filed[id] = struct{}{}
		} else {
			delete(j.filed, id)
		}
	}
	return nil
}

// again marks what was not written, unless it has changed since. The lock is held.
func (j *journal) again(batch map[string]*journalRecord) {
	for id, r := range batch {
		_, filed := j.filed[id]
		switch newer, changed := j.dirty[id]; {
		case !changed:
			j.dirty[id] = r
		case newer == nil && !filed: // gone before it was ever there
			delete(j.dirty, id)
		}
	}
}

func writeBatch(tx *bbolt.Tx, batch map[string]*journalRecord) error {
	b := tx.Bucket([]byte(journalBucket))
	for _, id := range slices.Sorted(maps.Keys(batch)) { // a page is split only at the commit: without an order this is quadratic
		r := batch[id]
		if r == nil {
			if err := b.Delete([]byte(id)); err != nil {
				return err
			}
			continue
		}
		value, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := b.Put([]byte(id), value); err != nil {
			return err
		}
	}
	return nil
}

// start flushes in the background until close.
func (j *journal) start(failed func(error)) {
	j.loop.Go(func() {
		tick := time.NewTicker(journalEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := j.flush(); err != nil {
					failed(err)
				}
			case <-j.stop:
				return
			}
		}
	})
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	close(j.stop)
	j.loop.Wait()
	return errors.Join(j.flush(), j.db.Close())
}
