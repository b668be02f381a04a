package bolt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"time"
	"unique"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The file has one bucket for each kind of row, with JSON values, and this one about itself.
const (
	aboutBucket = "bellhop"
	versionKey  = "version" // of the file's layout, a decimal number
	openKey     = "open"    // is there while a process uses the file, and after one that did not close it

	version     = 2
	lockTimeout = time.Second
)

// migrations are the steps from each version of the layout to the next: the first from version 1 to 2. A step runs once, in one
// transaction with all others that a file needs and with its new number, before anything is read. Whoever changes the layout, a
// bucket or what a row means, adds a step and counts version up. A field that rows of before do not have needs none.
func migrations() [version - 1]func(*bbolt.Tx) error {
	return [...]func(*bbolt.Tx) error{
		// Version 1 is three layouts: what later releases added came without a new number.
		addBuckets("occupied", "notes"),
	}
}

// addBuckets makes buckets that are not there.
func addBuckets(names ...string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		for _, name := range names {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return fmt.Errorf("make bucket %s: %w", name, err)
			}
		}
		return nil
	}
}

var errBadKey = errors.New("the key is malformed")

// row is one row for the file.
type row struct {
	bucket, key string
	value       any // encoded as JSON; nil: the row is deleted
}

// bucket is a bucket of the file and what takes in its rows. value is only good until load returns.
type bucket struct {
	name string
	load func(key string, value []byte) error
}

// guarded turns into an error what bbolt makes of damage in all but its first pages: a panic, or a fault of the memory
// mapping.
func (s *Store) guarded(do func() error) (err error) {
	defer func() {
		if damage := recover(); damage != nil {
			err = fmt.Errorf("%s is damaged: %v", s.path, damage)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return do()
}

// openFile opens the file, reads all of it, and notes that it is open.
func (s *Store) openFile() (err error) {
	var file *os.File
	defer func() {
		if err != nil && s.db != nil {
			err = errors.Join(err, s.db.Close())
		} else if err != nil && file != nil {
			_ = file.Close() // bbolt has done it, unless it panicked
		}
	}()
	err = s.guarded(func() (err error) {
		s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{
			Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
			OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, perm) //nolint:gosec // the path is the operator's choice
				file = f
				return f, err
			},
		})
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%s is in use by another process", s.path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%s is not a Bellhop data file, or is damaged: %w", s.path, err)
	case err != nil:
		return fmt.Errorf("open data file %s: %w", s.path, err)
	}
	s.update = s.db.Update
	for _, a := range s.areas() {
		a.track()
	}
	return s.guarded(s.read)
}

// read brings the file up to this version, reads it, and notes that it is open.
func (s *Store) read() error {
	var got int
	err := s.db.View(func(tx *bbolt.Tx) (err error) {
		got, err = s.layout(tx)
		return err
	})
	if err != nil {
		return err
	}
	if got > 0 {
		if err := s.migrate(got); err != nil {
			return err
		}
		if err := s.db.View(s.load); err != nil {
			return err
		}
	}
	return s.db.Update(func(tx *bbolt.Tx) error { return s.begin(tx, got == 0) })
}

// layout gives the version of the file; 0: it is empty.
func (s *Store) layout(tx *bbolt.Tx) (int, error) {
	if first, _ := tx.Cursor().First(); first == nil {
		return 0, nil
	}
	about := tx.Bucket([]byte(aboutBucket))
	if about == nil {
		return 0, fmt.Errorf("%s is not a Bellhop data file: it belongs to another program", s.path)
	}
	got, err := strconv.Atoi(string(about.Get([]byte(versionKey))))
	switch {
	case err != nil || got < 1:
		return 0, fmt.Errorf("%s is damaged: it has no version", s.path)
	case got > version:
		return 0, fmt.Errorf("%s was written by a newer Bellhop: it has version %d, this program reads up to version %d; run the newer one, or move the file away to begin with an empty store", s.path, got, version)
	}
	return got, nil
}

func (s *Store) migrate(from int) error {
	if from == version {
		return nil
	}
	steps := migrations()
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, step := range steps[from-1:] {
			if err := step(tx); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(aboutBucket)).Put([]byte(versionKey), []byte(strconv.Itoa(version)))
	})
	if err != nil {
		return fmt.Errorf("bring %s from version %d to %d: %w", s.path, from, version, err)
	}
	return nil
}

// load reads the file's rows.
func (s *Store) load(tx *bbolt.Tx) error {
	for _, b := range s.buckets() {
		if err := loadBucket(tx, b); err != nil {
			return fmt.Errorf("%s is damaged: %w", s.path, err)
		}
	}
	return nil
}

func (s *Store) buckets() (all []bucket) {
	for _, a := range s.areas() {
		all = append(all, a.buckets()...)
	}
	return all
}

func loadBucket(tx *bbolt.Tx, b bucket) error {
	rows := tx.Bucket([]byte(b.name))
	if rows == nil {
		return fmt.Errorf("bucket %s is missing", b.name)
	}
	return rows.ForEach(func(key, value []byte) error {
		if err := b.load(string(key), value); err != nil {
			return fmt.Errorf("row %q in %s: %w", key, b.name, err)
		}
		return nil
	})
}

// begin notes that the file is open. If it was not closed, it begins new epochs.
func (s *Store) begin(tx *bbolt.Tx, empty bool) error {
	if empty {
		return s.layOut(tx)
	}
	about := tx.Bucket([]byte(aboutBucket))
	if about.Get([]byte(openKey)) == nil {
		return about.Put([]byte(openKey), []byte("true"))
	}
	s.renumberAll()
	rows, _ := s.logs.changes()
	texts, err := encodeAll(rows)
	if err != nil {
		return err
	}
	return put(tx, rows, texts)
}

// layOut makes the buckets of a new file, which is open.
func (s *Store) layOut(tx *bbolt.Tx) error {
	for _, b := range s.buckets() {
		if _, err := tx.CreateBucket([]byte(b.name)); err != nil {
			return err
		}
	}
	about, err := tx.CreateBucket([]byte(aboutBucket))
	if err != nil {
		return err
	}
	return errors.Join(about.Put([]byte(versionKey), []byte(strconv.Itoa(version))), about.Put([]byte(openKey), []byte("true")))
}

// write writes rows in one transaction. last also notes that the file is closed.
func (s *Store) write(rows []row, last bool) error {
	texts, err := encodeAll(rows)
	if err != nil {
		return err
	}
	return s.guarded(func() error {
		return s.update(func(tx *bbolt.Tx) error {
			if err := put(tx, rows, texts); err != nil {
				return err
			}
			if last {
				return tx.Bucket([]byte(aboutBucket)).Delete([]byte(openKey))
			}
			return nil
		})
	})
}

// encodeAll gives the texts of rows, nil for those to delete.
func encodeAll(rows []row) ([][]byte, error) {
	texts := make([][]byte, len(rows))
	for i, r := range rows {
		if r.value == nil {
			continue
		}
		text, err := encode(r.value)
		if err != nil {
			return nil, fmt.Errorf("encode row %q of %s: %w", r.key, r.bucket, err)
		}
		texts[i] = text
	}
	return texts, nil
}

func put(tx *bbolt.Tx, rows []row, texts [][]byte) error {
	for i, r := range rows {
		var err error
		if b := tx.Bucket([]byte(r.bucket)); texts[i] == nil {
			err = b.Delete([]byte(r.key))
		} else {
			err = b.Put([]byte(r.key), texts[i])
		}
		if err != nil {
			return fmt.Errorf("row %q of %s: %w", r.key, r.bucket, err)
		}
	}
	return nil
}

// encode is json.Marshal without its escapes for HTML, so that data comes back as it was.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func decode(text []byte, v any) error { return json.Unmarshal(text, v) }

// intern gives one string for all that are equal. Few codecs are in many rows.
func intern(s string) string { return unique.Make(s).Value() }

// millis is a time in Unix milliseconds; 0 is the zero time.
type millis int64

func toMillis(t time.Time) millis {
	if t.IsZero() {
		return 0
	}
	return millis(t.UnixMilli())
}

func (m millis) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m))
}
