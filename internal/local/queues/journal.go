package queues

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

const (
	journalEvery  = time.Second
	journalName   = "bellhop queues "
	journalBucket = journalName + "2" // 2 is the version of the file's layout
	// Version 1 is the same without a journal beside the file, which its programs would not read.
	journalBucket1 = journalName + "1"
)

// journal keeps what is in the queues in a file, so that it is there again after a restart. What was sent or deleted by the API is in it
// before that is answered, and what is sent is received only then: who is told that it could not be written may send it again. What became of a delivery follows within a second, or with the next that is sent: a process that is killed may
// deliver it again, at least once as ever. A nil journal keeps nothing.
type journal struct {
	file *rows.File
	stop chan struct{} // closed by close
	loop sync.WaitGroup

	mu    sync.Mutex
	dirty map[string]unwritten // what the file has not got yet, by message id
}

type unwritten struct {
	*journalRecord      // nil: the message is gone
	sending        bool // it is in no queue before it is written
}

// journalRecord is a message in the file. Its key is the message's id alone, so that moving to another queue is one write.
type journalRecord struct {
	Queue     string    `json:"queue"` // logical id
	Message   Message   `json:"message"`
	VisibleAt time.Time `json:"visibleAt"`
	Held      bool      `json:"held,omitempty"` // received and not settled
}

// openJournal opens or makes a file; one process at a time may have it.
func openJournal(path string, sync bool, logger *slog.Logger, disk rows.Disk) (*journal, error) {
	j := &journal{stop: make(chan struct{}), dirty: map[string]unwritten{}}
	var err error
	j.file, err = rows.Open(path, rows.Options{
		What: "queue file", Changes: j.changes, Sync: sync, Logger: logger, Disk: disk,
		Check: func(tx *bbolt.Tx) error {
			if err := checkJournal(tx); err != nil {
				return fmt.Errorf("queue file %s: %w", path, err)
			}
			return nil
		},
	})
	return j, err
}

func checkJournal(tx *bbolt.Tx) error {
	first, _ := tx.Cursor().First()
	switch {
	case first == nil, tx.Bucket([]byte(journalBucket)) != nil, tx.Bucket([]byte(journalBucket1)) != nil:
		return nil
	case bytes.HasPrefix(first, []byte(journalName)):
		return fmt.Errorf("it was written by a newer version, as %q, and this one reads %q: run the newer one, or move the file away, and lose what waits in it", first, journalBucket)
	}
	return errors.New("it belongs to another program")
}

// layOut makes the bucket, with what version 1 has.
func layOut(tx *bbolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists([]byte(journalBucket))
	if err != nil {
		return err
	}
	old := tx.Bucket([]byte(journalBucket1))
	if old == nil {
		return nil
	}
	if err := old.ForEach(b.Put); err != nil {
		return err
	}
	return tx.DeleteBucket([]byte(journalBucket1))
}

// load gives every message of the file to put.
func (j *journal) load(put func(r journalRecord)) error {
	if err := j.file.Update(layOut); err != nil {
		return err
	}
	return j.file.View(func(tx *bbolt.Tx) error {
		return j.file.Load(tx, journalBucket, func(id string, value []byte) error {
			var r journalRecord
			if err := json.Unmarshal(value, &r); err != nil || r.Message.ID != id {
				return errors.New("the message is malformed")
			}
			put(r)
			return nil
		})
	})
}

// mark notes how a message is now. The lock of its queue is held.
func (j *journal) mark(queue string, e *entry) {
	j.note(e.ID, unwritten{rowOf(queue, e), false})
}

// sends notes a message that will be in a queue once it is written.
func (j *journal) sends(queue string, e *entry) { j.note(e.ID, unwritten{rowOf(queue, e), true}) }

func rowOf(queue string, e *entry) *journalRecord {
	return &journalRecord{queue, e.Message, e.visibleAt, e.holders > 0}
}

// gone notes that a message is in no queue any more.
func (j *journal) gone(id string) { j.note(id, unwritten{}) }

func (j *journal) note(id string, r unwritten) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dirty[id] = r
}

func (j *journal) changes() (list []rows.Row, undo func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	batch := j.dirty
	j.dirty = map[string]unwritten{}
	for id, r := range batch {
		row := rows.Row{Bucket: journalBucket, Key: id}
		if r.journalRecord != nil {
			row.Value = r.journalRecord
		}
		list = append(list, row)
	}
	return list, func() { j.again(batch) }
}

// again has what could not be written be written once more, but for what was being sent.
func (j *journal) again(batch map[string]unwritten) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, r := range batch {
		if _, changed := j.dirty[id]; !changed {
			j.dirty[id] = r
		}
	}
	for id, r := range j.dirty {
		if r.sending {
			j.dirty[id] = unwritten{}
		}
	}
}

// saved makes a change that is answered once the file has it. While the file cannot be written it is refused before it is made.
func (j *journal) saved(change func() error) error {
	if j == nil {
		return change()
	}
	err := j.file.Change(change)
	if failed := (*rows.SaveError)(nil); errors.As(err, &failed) {
		return &awserr.Error{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "the queue file cannot be written: " + err.Error()}
	}
	return err
}

// save has the disk have everything.
func (j *journal) save() error {
	if j == nil {
		return nil
	}
	return j.file.Checkpoint()
}

// start saves in the background until close. What fails is logged by the file.
func (j *journal) start() {
	j.loop.Go(func() {
		tick := time.NewTicker(journalEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = j.save()
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
	return j.file.Close(func(*bbolt.Tx) error { return nil })
}
