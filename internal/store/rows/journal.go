package rows

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// A journal is a header, the word magic, the journal's number in 8 bytes and their CRC-32C in 4, and a frame for each commit: the length of
// its rows and their CRC-32C in 4 bytes each, then the rows. A row is its bucket, its key and its value, each with its length before it as a uvarint; that of
// a value is one more, and 0 for a row that is deleted. Numbers of a fixed length are big-endian.
const (
	magic       = "bellhop journal\n"
	headerSize  = len(magic) + 8 + 4
	frameHeader = 8
)

// Disk is where journals are written. Tests have one that fails.
type Disk interface {
	// Create opens a file that may be there.
	Create(path string) (Handle, error)
}

// Handle is an open journal.
type Handle interface {
	WriteAt(b []byte, at int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

type realDisk struct{}

func (realDisk) Create(path string) (Handle, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600) //nolint:gosec // the path is the operator's choice
}

func (f *File) newJournal() string { return f.path + "-journal" }

// oldJournal is one that waits for its checkpoint.
func (f *File) oldJournal() string { return f.newJournal() + "-old" }

// journal is one that is being written.
type journal struct {
	path   string
	number uint64
	handle Handle // nil: not open yet
	end    int64  // of what is committed
	text   bytes.Buffer
}

// append adds a frame. After an error nothing of it is there, or what is there is not a frame.
func (j *journal) append(disk Disk, list []Row, sync bool) error {
	if j.handle == nil {
		handle, err := disk.Create(j.path)
		if err != nil {
			return err
		}
		j.handle = handle
	}
	j.text.Reset()
	if j.end == 0 {
		j.text.Write(header(j.number))
	}
	if err := appendFrame(&j.text, list); err != nil {
		return err
	}
	_, err := j.handle.WriteAt(j.text.Bytes(), j.end)
	if err == nil && sync {
		err = j.sync()
	}
	if err != nil {
		return errors.Join(err, j.handle.Truncate(j.end))
	}
	j.end += int64(j.text.Len())
	if j.text.Cap() > 1<<20 { // of one large commit
		j.text = bytes.Buffer{}
	}
	return nil
}

// sync has the disk have the file, and its name when it is new.
func (j *journal) sync() error {
	if err := j.handle.Sync(); err != nil {
		return err
	}
	if j.end == 0 {
		return syncFolder(j.path)
	}
	return nil
}

func (j *journal) close() error {
	if j.handle == nil {
		return nil
	}
	handle := j.handle
	j.handle = nil
	return handle.Close()
}

func appendFrame(b *bytes.Buffer, list []Row) error {
	begin := b.Len()
	var space [binary.MaxVarintLen64]byte
	b.Write(space[:frameHeader])
	var value bytes.Buffer
	encoder := json.NewEncoder(&value)
	encoder.SetEscapeHTML(false) // data comes back as it was
	for _, r := range list {
		for _, text := range []string{r.Bucket, r.Key} {
			b.Write(binary.AppendUvarint(space[:0], uint64(len(text))))
			b.WriteString(text)
		}
		if r.Value == nil {
			b.WriteByte(0)
			continue
		}
		value.Reset()
		if err := encoder.Encode(r.Value); err != nil {
			return fmt.Errorf("encode row %q of %s: %w", r.Key, r.Bucket, err)
		}
		b.Write(binary.AppendUvarint(space[:0], uint64(value.Len()))) //nolint:gosec // a length; with the line's end, which is left out
		b.Write(value.Bytes()[:value.Len()-1])
	}
	frame := b.Bytes()[begin:]
	payload := frame[frameHeader:]
	binary.BigEndian.PutUint32(frame, uint32(len(payload))) //nolint:gosec // memory has no 4 GiB of changes between two commits
	binary.BigEndian.PutUint32(frame[4:], checksum(payload))
	return nil
}

func header(number uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte(magic), number)
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// replayed is what a journal says, by bucket and key; nil: the row is deleted.
type replayed map[string]map[string][]byte

// errNoJournal is that a file has no whole header: nothing was ever committed to it.
var errNoJournal = errors.New("it is no journal")

// replay reads a journal. unfinished is how many bytes at its end are of a commit that was cut off, and so never acknowledged.
func replay(b []byte) (number uint64, rows replayed, unfinished int, err error) {
	if len(b) < headerSize {
		return 0, nil, len(b), errNoJournal
	}
	number = binary.BigEndian.Uint64(b[len(magic):])
	if !bytes.HasPrefix(b, header(number)) {
		return 0, nil, len(b), errNoJournal
	}
	b = b[headerSize:]
	rows = replayed{}
	for len(b) > 0 {
		payload, rest, whole := nextFrame(b)
		switch {
		case !whole && holdsFrame(b[1:]):
			return number, nil, 0, fmt.Errorf("what was committed %d bytes before its end is not as it was, and later commits are", len(b))
		case !whole:
			return number, rows, len(b), nil
		}
		if err := rows.take(payload); err != nil {
			return number, nil, 0, err
		}
		b = rest
	}
	return number, rows, 0, nil
}

// nextFrame takes the first frame off.
func nextFrame(b []byte) (payload, rest []byte, whole bool) {
	if len(b) < frameHeader {
		return nil, nil, false
	}
	length := int(binary.BigEndian.Uint32(b))
	if length == 0 || length > len(b)-frameHeader {
		return nil, nil, false
	}
	payload, rest = b[frameHeader:frameHeader+length], b[frameHeader+length:]
	return payload, rest, checksum(payload) == binary.BigEndian.Uint32(b[4:])
}

// holdsFrame looks for a frame anywhere. Text, which most of a journal is, is no length that fits into one.
func holdsFrame(b []byte) bool {
	for ; len(b) > 0; b = b[1:] {
		if _, _, whole := nextFrame(b); whole {
			return true
		}
	}
	return false
}

// take reads the rows of a frame.
func (rows replayed) take(payload []byte) error {
	field := func(less uint64) ([]byte, bool) {
		n, size := binary.Uvarint(payload)
		if size <= 0 || n < less || n-less > uint64(len(payload)) {
			return nil, false
		}
		end := size + int(n-less) //nolint:gosec // it is no longer than the payload
		if end > len(payload) {
			return nil, false
		}
		text := payload[size:end]
		payload = payload[end:]
		return text, true
	}
	for len(payload) > 0 {
		bucket, ok := field(0)
		key, alsoOK := field(0)
		if !ok || !alsoOK || len(payload) == 0 {
			return errors.New("a row is malformed")
		}
		var value []byte
		if payload[0] == 0 {
			payload = payload[1:]
		} else if value, ok = field(1); !ok {
			return errors.New("a row is malformed")
		}
		if rows[string(bucket)] == nil {
			rows[string(bucket)] = map[string][]byte{}
		}
		rows[string(bucket)][string(key)] = value
	}
	return nil
}

// recover moves what an earlier process has committed into the database.
func (f *File) recover() error {
	for _, name := range []string{f.oldJournal(), f.newJournal()} {
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		unfinished, err := f.apply(name)
		if err != nil {
			return err
		}
		if unfinished > 0 {
			ctx := context.Background()
			f.o.Logger.WarnContext(ctx, "the end of a journal was never finished, and is left out", "file", name, "bytes", unfinished)
		}
	}
	return f.View(func(tx *bbolt.Tx) error {
		f.number = applied(tx)
		return nil
	})
}

// apply moves a journal into the database in one transaction, and takes it away. One that the database has had is only taken away. It gives
// how many bytes at the end are of a commit that was cut off.
func (f *File) apply(name string) (unfinished int, err error) {
	text, err := os.ReadFile(name) //nolint:gosec // the path is the operator's choice
	if err != nil {
		return 0, fmt.Errorf("read the journal of %s %s: %w", f.o.What, f.path, err)
	}
	number, rows, unfinished, err := replay(text)
	if err != nil && (!errors.Is(err, errNoJournal) || !blank(text)) {
		return 0, fmt.Errorf("the journal %s of %s %s is damaged: %w; put back a copy of both, or move the journal away to go on without what was written in the last moments",
			name, f.o.What, f.path, err)
	}
	err = f.Update(func(tx *bbolt.Tx) error {
		last := applied(tx)
		switch {
		case rows == nil || number <= last:
			return nil
		case number > last+1:
			return fmt.Errorf("the journal %s is not of this %s %s but of a newer state of it: put that back, or move the journal away", name, f.o.What, f.path)
		}
		return rows.put(tx, number)
	})
	if err != nil {
		return 0, fmt.Errorf("write %s %s: %w", f.o.What, f.path, err)
	}
	if err := os.Remove(name); err != nil {
		return 0, fmt.Errorf("take the journal away: %w", err)
	}
	return unfinished, nil
}

// blank reports whether there is nothing but the beginning of a header, and zeros where the power failed.
func blank(b []byte) bool {
	written := bytes.TrimRight(b, "\x00")
	return len(written) < headerSize && (strings.HasPrefix(magic, string(written)) || bytes.HasPrefix(written, []byte(magic)))
}

func applied(tx *bbolt.Tx) uint64 {
	if b := tx.Bucket([]byte(journalBucket)); b != nil {
		if value := b.Get([]byte(appliedKey)); len(value) == 8 {
			return binary.BigEndian.Uint64(value)
		}
	}
	return 0
}

// put writes the rows, in order: a page of bbolt is split only at the commit, and without an order this is quadratic.
func (rows replayed) put(tx *bbolt.Tx, number uint64) error {
	about, err := tx.CreateBucketIfNotExists([]byte(journalBucket))
	if err != nil {
		return err
	}
	for name, list := range rows {
		b := tx.Bucket([]byte(name))
		if b == nil {
			return fmt.Errorf("bucket %s is missing", name)
		}
		for _, key := range slices.Sorted(maps.Keys(list)) {
			if value := list[key]; value == nil {
				err = b.Delete([]byte(key))
			} else {
				err = b.Put([]byte(key), value)
			}
			if err != nil {
				return fmt.Errorf("row %q of %s: %w", key, name, err)
			}
		}
	}
	return about.Put([]byte(appliedKey), binary.BigEndian.AppendUint64(nil, number))
}
