package bolt

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unique"

	"go.etcd.io/bbolt"

	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

// The file has one bucket for each kind of row, with JSON values, and this one about itself.
const (
	aboutBucket = "bellhop"
	versionKey  = "version" // of the file's layout, a decimal number
	openKey     = "open"    // is there while a process uses the file, and after one that did not close it

	version = 3
)

// migrations are the steps from each version of the layout to the next: the first from version 1 to 2. A step runs once, in one
// transaction with all others that a file needs and with its new number, before anything is read. Whoever changes the layout, a
// bucket or what a row means, adds a step and counts version up. A field that rows of before do not have needs none.
func migrations() [version - 1]func(*bbolt.Tx) error {
	return [...]func(*bbolt.Tx) error{
		// Version 1 is three layouts: what later releases added came without a new number.
		addBuckets("occupied", "notes"),
		// Version 2 is the same without a journal beside it, which its programs would not read.
		func(*bbolt.Tx) error { return nil },
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

// bucket is a bucket of the file and what takes in its rows. value is only good until load returns.
type bucket struct {
	name string
	load func(key string, value []byte) error
}

// openFile opens the file, brings it up to this version, reads all of it, and notes that it is open.
func (s *Store) openFile(o Options) (err error) {
	version := 0
	s.file, err = rows.Open(s.path, rows.Options{
		What: "data file", Changes: s.changes, Sync: o.Sync, Logger: o.Logger, Disk: o.Disk,
		Check: func(tx *bbolt.Tx) (err error) {
			version, err = s.layout(tx)
			return err
		},
	})
	if err != nil {
		return err
	}
	for _, a := range s.areas() {
		a.save(s.file)
	}
	if err := s.read(version); err != nil {
		return errors.Join(err, s.file.Abandon())
	}
	return nil
}

func (s *Store) read(from int) error {
	if from > 0 {
		if err := s.migrate(from); err != nil {
			return err
		}
		if err := s.file.View(s.load); err != nil {
			return err
		}
	}
	var unclean bool
	err := s.file.Update(func(tx *bbolt.Tx) error {
		if from == 0 {
			return s.layOut(tx)
		}
		about := tx.Bucket([]byte(aboutBucket))
		unclean = about.Get([]byte(openKey)) != nil
		return about.Put([]byte(openKey), []byte("true"))
	})
	if err != nil || !unclean {
		return err
	}
	s.renumberAll()
	return s.file.Commit()
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
		return 0, fmt.Errorf("%s is damaged: it has no version; put back a copy of it, or move it away to begin with an empty store", s.path)
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
	err := s.file.Update(func(tx *bbolt.Tx) error {
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
		if err := s.file.Load(tx, b.name, b.load); err != nil {
			return err
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
