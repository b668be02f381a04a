package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	journalEvery  = time.Second
	journalBucket = "messages"
)

// journal keeps what is in the queues in a file, so that it is there again after a restart. Queues only mark what changed; once a
// second, and at Close, the marks are written in one transaction with fsync. A process that is killed loses, or delivers again, what
// the last second changed: at least once, as ever. A nil journal keeps nothing.
type journal struct {
	db *bbolt.DB

	mu    sync.Mutex
	dirty map[string]*journalRecord // by queue and message; nil: it is gone. Bounded by what the queues hold
}

// journalRecord is a message in the file.
type journalRecord struct {
	Queue     string    `json:"queue"`
	Message   Message   `json:"message"`
	VisibleAt time.Time `json:"visibleAt"`
}

// openJournal opens or makes a file; one process at a time may have it.
func openJournal(path string) (*journal, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("queue file %s is in use by another process", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open queue file %s: %w", path, err)
	}
	return &journal{db: db, dirty: map[string]*journalRecord{}}, nil
}

// load gives every message of the file to its queue, and those of no queue to lost.
func (j *journal) load(put func(r journalRecord) bool, lost func(r journalRecord)) error {
	return j.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(journalBucket))
		if b == nil {
			return nil
		}
		return b.ForEach(func(key, value []byte) error {
			var r journalRecord
			if err := json.Unmarshal(value, &r); err != nil {
				return fmt.Errorf("queue file: message %s: %w", key, err)
			}
			if !put(r) {
				lost(r)
			}
			return nil
		})
	})
}

// mark notes how a message is now. The queue's lock is held.
func (j *journal) mark(queue string, e *entry) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dirty[queue+"/"+e.ID] = &journalRecord{queue, e.Message, e.visibleAt}
}

// gone notes that a message is not in a queue any more.
func (j *journal) gone(queue string, e *entry) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dirty[queue+"/"+e.ID] = nil
}

// flush writes what was marked. What could not be written stays marked, unless it has changed again.
func (j *journal) flush() error {
	j.mu.Lock()
	dirty := j.dirty
	j.dirty = map[string]*journalRecord{}
	j.mu.Unlock()
	if len(dirty) == 0 {
		return nil
	}
	err := j.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(journalBucket))
		if err != nil {
			return err
		}
		for key, r := range dirty {
			if err := r.write(b, []byte(key)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, r := range dirty {
		if _, again := j.dirty[key]; !again {
			j.dirty[key] = r
		}
	}
	return fmt.Errorf("write queue file: %w", err)
}

func (r *journalRecord) write(b *bbolt.Bucket, key []byte) error {
	if r == nil {
		return b.Delete(key)
	}
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return b.Put(key, value)
}

// run flushes until stop is closed.
func (j *journal) run(stop <-chan struct{}, failed func(error)) {
	tick := time.NewTicker(journalEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := j.flush(); err != nil {
				failed(err)
			}
		case <-stop:
			return
		}
	}
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return errors.Join(j.flush(), j.db.Close())
}
