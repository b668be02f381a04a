package bolt

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

const (
	overtime = time.Hour           // how long an entry that is forgotten still takes its place
	pageSize = 96 << 10            // how many bytes of data a page of entries has at most
	headKeep = 31 * 24 * time.Hour // how long a room with an empty log keeps its position; then it begins anew
	redacted = "null"
)

// logs implements [hub.Log].
type logs struct {
	disk
	now     func() time.Time
	mu      sync.RWMutex
	rooms   btree.Map[string, *roomLog]
	heads   changed[string]
	entries changed[entryKey]

	purged string // where purging goes on
}

// roomLog is the log of one room.
type roomLog struct {
	name    string
	epoch   string
	seq     int64 // the newest given out
	base    int64
	began   time.Time
	keep    time.Duration // of the entries from floor on
	floor   int64
	pending hub.Pending
	used    time.Time        // when seq was last counted up, the epoch began or somebody began to listen
	entries []*entry         // ascending by seq; an entry never changes, another takes its place
	keys    map[string]int64 // what was logged once, to its seq; entries may be forgotten by now
}

// entry is shown until its keep is over, and its key known until it is forgotten.
type entry struct {
	hub.Entry
	key           string // hub.Key.String, or the id alone if a version before keys wrote it; empty: none
	until, forget int64  // Unix nanoseconds
}

type entryKey struct {
	room string
	seq  int64
}

// newEpoch names a log. It only has to differ from the epochs that its room had before.
func newEpoch() string { return strings.ToLower(rand.Text()[:10]) }

// room gives the log of a room, which begins if there is none, and anew if it has lapsed.
func (a *logs) room(name string, now time.Time) *roomLog {
	r, ok := a.rooms.Get(name)
	switch {
	case ok && r.lapsed(now):
		a.willChange(name)
		for _, e := range r.entries {
			a.forget(r, e)
		}
		r.reset(now)
		r.entries, r.keys, r.keep, r.floor = nil, nil, 0, 0
	case !ok:
		a.willChange(name)
		r = &roomLog{name: name, epoch: newEpoch(), began: now, used: now}
		a.rooms.Set(name, r)
	}
	return r
}

// lapsed reports whether a room has been silent for so long that nothing of it is left.
func (r *roomLog) lapsed(now time.Time) bool {
	return now.Sub(r.used) > headKeep && !slices.ContainsFunc(r.entries, func(e *entry) bool { return e.forget > now.Add(-overtime).UnixNano() })
}

// willChange is called before the head of a room is changed.
func (a *logs) willChange(name string) {
	r, there := a.rooms.Get(name)
	if !there {
		a.heads.change(name, func() { a.rooms.Delete(name) })
		return
	}
	was := *r
	a.heads.change(name, func() {
		was.entries, was.keys = r.entries, r.keys // which are undone by themselves
		*r = was
		a.rooms.Set(name, r)
	})
}

// willAdd is called before an entry is added.
func (a *logs) willAdd(r *roomLog, seq int64, key string) {
	was, had := r.keys[key] // of before the room was closed
	a.entries.change(entryKey{r.name, seq}, func() {
		i, found := r.index(seq)
		if !found {
			return
		}
		r.entries = slices.Delete(r.entries, i, i+1)
		if delete(r.keys, key); had {
			r.keys[key] = was
		}
	})
}

// index gives where the first entry with at least this seq is.
func (r *roomLog) index(seq int64) (i int, found bool) {
	return slices.BinarySearchFunc(r.entries, seq, func(e *entry, seq int64) int { return cmp.Compare(e.Seq, seq) })
}

// remembered gives the entry that was logged under a draft's key, or for it by a version before keys, which knew the id alone.
// What was logged before the room was closed counts as none.
func (r *roomLog) remembered(d hub.Draft, now int64) *entry {
	for _, key := range []string{d.Key.String(), d.Key.ID} {
		seq, has := r.keys[key]
		if i, found := r.index(seq); has && found && seq > r.base && r.entries[i].forget > now {
			if e := r.entries[i]; key != d.Key.ID || d.Repeats(e.Entry) {
				return e
			}
		}
	}
	return nil
}

func (a *logs) Append(ctx context.Context, room string, d hub.Draft) (got hub.Entry, appended bool, err error) {
	e := d.Event
	if len(e.Data) > 0 && !json.Valid(e.Data) {
		return hub.Entry{}, false, fmt.Errorf("append to %s: the data is not JSON", room)
	}
	e.Data = bytes.Clone(e.Data)
	if e.From != nil {
		from := *e.From
		e.From = &from
	}
	now := a.now()
	if e.TS == 0 {
		e.TS = now.UnixMilli()
	}
	made := &entry{
		Entry: hub.Entry{Event: e, Except: d.Except, Sum: d.Sum},
		until: now.Add(d.Keep).UnixNano(), forget: now.Add(max(d.Keep, hub.IDMemory)).UnixNano(),
	}
	if d.Key.Maker != hub.MakerNobody {
		made.key = d.Key.String()
	}
	err = a.change(ctx, &a.mu, func() error {
		r := a.room(room, now)
		if made.key != "" {
			if old := r.remembered(d, now.UnixNano()); old != nil {
				got = old.Entry
				return nil
			}
		}
		a.willChange(room)
		if !d.Hold.IsZero() && r.pending.Due.IsZero() {
			r.pending = hub.Pending{Flushed: r.seq, Due: time.UnixMilli(d.Hold.UnixMilli())}
		}
		a.append(r, made, d.Keep, now)
		got, appended = made.Entry, true
		got.Counted = r.head()
		got.Counted.Lately = r.lately(now)
		return nil
	})
	if err != nil {
		return hub.Entry{}, false, err
	}
	return got, appended, nil
}

func (a *logs) append(r *roomLog, made *entry, keep time.Duration, now time.Time) {
	r.seq++
	r.used = now
	if r.keep != keep {
		if r.keep > 0 {
			r.floor = r.seq
		}
		r.keep = keep
	}
	made.Epoch, made.Room, made.Seq = r.epoch, r.name, r.seq
	if made.ID == "" {
		made.ID = protocol.GeneratedID(r.epoch, r.seq)
	}
	a.willAdd(r, r.seq, made.key)
	r.add(made)
}

func (r *roomLog) add(e *entry) {
	r.entries = append(r.entries, e)
	if e.key == "" {
		return
	}
	if r.keys == nil {
		r.keys = map[string]int64{}
	}
	r.keys[e.key] = e.Seq
}

// look reads the log of a room, and returns when what was read is written. take is called again if it was undone; there may be no room.
func (a *logs) look(ctx context.Context, room string, take func(r *roomLog)) error {
	return a.read(ctx, &a.mu, func() bool {
		r, ok := a.rooms.Get(room)
		if !ok {
			r = &roomLog{}
		}
		take(r)
		return a.heads.pending(room)
	})
}

func (a *logs) Find(ctx context.Context, room string, d hub.Draft) (got hub.Entry, err error) {
	now, found := a.now().UnixNano(), false
	err = a.look(ctx, room, func(r *roomLog) {
		e := r.remembered(d, now)
		if found = e != nil && e.until > now; found {
			got = e.Entry
		}
	})
	switch {
	case err != nil:
		return hub.Entry{}, err
	case !found:
		return hub.Entry{}, hub.ErrNotFound
	}
	return got, nil
}

// Named looks at all of the room: it is for deletions, which are rare.
func (a *logs) Named(ctx context.Context, room, id string, limit int) (list []hub.Entry, err error) {
	now := a.now().UnixNano()
	err = a.look(ctx, room, func(r *roomLog) {
		list = nil
		for _, e := range r.entries {
			if e.ID == id && e.until > now && len(list) < limit {
				list = append(list, e.Entry)
			}
		}
	})
	return list, err
}

func (a *logs) From(ctx context.Context, room string, first int64, limit int) ([]hub.Entry, error) {
	return a.page(ctx, room, first, limit, 1)
}

func (a *logs) Before(ctx context.Context, room string, before int64, limit int) ([]hub.Entry, error) {
	return a.page(ctx, room, before, limit, -1)
}

// page goes from the entry with a seq upwards, that one included, or downwards, without it.
func (a *logs) page(ctx context.Context, room string, seq int64, limit, step int) (page []hub.Entry, err error) {
	now := a.now().UnixNano()
	err = a.look(ctx, room, func(r *roomLog) { page = r.page(seq, limit, step, now) })
	return page, err
}

func (r *roomLog) page(seq int64, limit, step int, now int64) (page []hub.Entry) {
	i, _ := r.index(seq)
	if step < 0 {
		i--
	}
	for size := 0; i >= 0 && i < len(r.entries) && len(page) < limit; i += step {
		e := r.entries[i]
		if e.until <= now {
			continue
		}
		if size += len(e.Data); size > pageSize && len(page) > 0 {
			break
		}
		page = append(page, e.Entry)
	}
	return page
}

// Void has little to do: counting and writing are one here.
func (a *logs) Void(ctx context.Context, room string, seq int64, keep time.Duration) (void bool, err error) {
	err = a.change(ctx, &a.mu, func() (err error) {
		void, err = a.void(room, seq, keep)
		return err
	})
	return void && err == nil, err
}

func (a *logs) void(room string, seq int64, keep time.Duration) (bool, error) {
	now := a.now()
	r, ok := a.rooms.Get(room)
	if !ok || seq < 1 || seq > r.seq {
		return false, fmt.Errorf("void %d in %s: it has not been given out", seq, room)
	}
	i, found := r.index(seq)
	switch {
	case found && !r.entries[i].Void && r.entries[i].until <= now.UnixNano():
		return false, hub.ErrLapsed
	case found:
		return r.entries[i].Void, nil
	}
	until := now.Add(keep).UnixNano()
	void := &entry{Entry: hub.Entry{Void: true}, until: until, forget: until}
	void.Room, void.Seq, void.TS = r.name, seq, now.UnixMilli()
	a.willChange(room)
	a.willAdd(r, seq, "")
	r.entries = slices.Insert(r.entries, i, void)
	return true, nil
}

func (a *logs) Head(ctx context.Context, room string, until time.Time) (hub.Head, error) {
	var head hub.Head
	now, known := a.now(), false
	err := a.look(ctx, room, func(r *roomLog) {
		head, known = r.head(), r.epoch != "" && !until.After(r.used.Add(headKeep)) && !r.lapsed(now)
	})
	if known || err != nil {
		return head, err
	}
	err = a.change(ctx, &a.mu, func() error {
		r := a.room(room, now)
		if until.After(r.used.Add(headKeep)) {
			a.willChange(room)
			r.used = now
		}
		head = r.head()
		return nil
	})
	return head, err
}

// lately is how many of the newest entries are of the last second.
func (r *roomLog) lately(now time.Time) (n int) {
	since := now.Add(-time.Second).UnixMilli()
	for _, e := range r.entries[max(0, len(r.entries)-16):] {
		if e.TS > since {
			n++
		}
	}
	return n
}

func (a *logs) Pend(ctx context.Context, room string, was, now hub.Pending, newest int64) (head hub.Head, did bool, err error) {
	if !now.Due.IsZero() {
		now.Due = time.UnixMilli(now.Due.UnixMilli())
	}
	err = a.change(ctx, &a.mu, func() error {
		r, ok := a.rooms.Get(room)
		if !ok {
			return nil
		}
		if r.pending.Flushed == was.Flushed && r.pending.Due.Equal(was.Due) && (newest == 0 || r.seq == newest) {
			a.willChange(room)
			r.pending, did = now, true
		}
		head = r.head()
		return nil
	})
	return head, did && err == nil, err
}

func (r *roomLog) head() hub.Head {
	return hub.Head{
		Position: protocol.Position{Epoch: r.epoch, Seq: r.seq}, Base: r.base, Began: r.began, Keep: r.keep, Floor: r.floor,
		Pending: r.pending,
		Recent:  []hub.Counted{{Seq: r.seq}}, // and written, which is as good as long ago
	}
}

func (a *logs) Redact(ctx context.Context, room string, seq int64) error {
	return a.change(ctx, &a.mu, func() error {
		r, ok := a.rooms.Get(room)
		if !ok {
			return nil
		}
		if i, found := r.index(seq); found && !r.entries[i].Void {
			a.willChange(room)
			was := r.entries[i]
			a.entries.change(entryKey{r.name, seq}, func() {
				if i, found := r.index(seq); found {
					r.entries[i] = was
				}
			})
			e := *was
			e.Data = json.RawMessage(redacted)
			r.entries[i] = &e
		}
		return nil
	})
}

func (a *logs) Reset(ctx context.Context, room string) error {
	return a.change(ctx, &a.mu, func() error {
		now := a.now()
		r := a.room(room, now)
		a.willChange(room)
		r.reset(now)
		return nil
	})
}

func (r *roomLog) reset(now time.Time) {
	r.epoch, r.base, r.began, r.used, r.pending = newEpoch(), r.seq, now, now, hub.Pending{}
}

// renumberAll begins a new epoch in every room: positions that were given out may mean other events from now on. What is in
// the log is shown as before.
func (a *logs) renumberAll() {
	now := a.now()
	a.rooms.Scan(func(name string, r *roomLog) bool {
		r.epoch, r.began, r.used = newEpoch(), now, now
		a.heads.mark(name)
		return true
	})
}

// purge looks at the oldest entries of some rooms. An entry with a longer keep holds back those that came after it.
func (a *logs) purge(most int) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for most > 0 {
		name, r, found := at(&a.rooms, a.purged)
		if !found {
			a.purged = ""
			return
		}
		n := 0
		for n < most && n < len(r.entries) && r.entries[n].forget <= now.Add(-overtime).UnixNano() {
			a.forget(r, r.entries[n])
			n++
		}
		r.cut(n)
		most -= n + 1
		if most > 0 || n == 0 { // otherwise there may be more
			a.purged = after(name)
		} else {
			a.purged = name
		}
		if len(r.entries) == 0 && r.lapsed(now) {
			a.rooms.Delete(name)
			a.heads.mark(name)
		}
	}
}

func (a *logs) forget(r *roomLog, e *entry) {
	a.entries.mark(entryKey{r.name, e.Seq})
	if r.keys[e.key] == e.Seq {
		delete(r.keys, e.key)
	}
}

// cut drops the n oldest entries, and their memory once they are most of it.
func (r *roomLog) cut(n int) {
	clear(r.entries[:n])
	r.entries = r.entries[n:]
	switch {
	case len(r.entries) == 0:
		r.entries, r.keys = nil, nil
	case cap(r.entries) > 4*len(r.entries):
		r.entries = slices.Clone(r.entries)
	}
}

// headRecord is the value under the name of a room in the bucket "rooms".
type headRecord struct {
	Epoch string `json:"epoch"`
	Seq   int64  `json:"seq"`
	Base  int64  `json:"base,omitempty"`
	Began millis `json:"began"`
	Used  millis `json:"used"`
	Keep  int64  `json:"keep,omitempty"` // milliseconds; none: a version before there was one wrote it
	Floor int64  `json:"floor,omitempty"`

	Flushed int64  `json:"flushed,omitempty"`
	Due     millis `json:"due,omitempty"`
}

// entryRecord is the value under "room#seq", with 12 digits or more, in the bucket "log".
type entryRecord struct {
	Epoch  string          `json:"epoch"`
	Event  string          `json:"event"`
	ID     string          `json:"id,omitempty"` // none: "epoch:seq"
	Key    string          `json:"key,omitempty"`
	Except []string        `json:"except,omitempty"`
	Sum    string          `json:"sum,omitempty"`
	TS     int64           `json:"ts"`
	From   *protocol.From  `json:"from,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
	Void   bool            `json:"void,omitempty"`
	Until  millis          `json:"until"`
	Forget millis          `json:"forget"`
}

func (a *logs) save(file *rows.File) {
	a.file = file
	a.heads.track()
	a.entries.track()
}

// changes collects entries before heads, so that no entry is above the seq of its room.
func (a *logs) changes() ([]rows.Row, func()) {
	list, again := a.entries.collect(&a.mu, func(k entryKey) rows.Row {
		out := rows.Row{Bucket: "log", Key: fmt.Sprintf("%s#%012d", k.room, k.seq)}
		r, ok := a.rooms.Get(k.room)
		if !ok {
			return out
		}
		if i, found := r.index(k.seq); found {
			out.Value = r.entries[i].record()
		}
		return out
	})
	heads, headsAgain := a.heads.collect(&a.mu, func(room string) rows.Row {
		out := rows.Row{Bucket: "rooms", Key: room}
		if r, ok := a.rooms.Get(room); ok {
			out.Value = headRecord{
				Epoch: r.epoch, Seq: r.seq, Base: r.base, Began: toMillis(r.began), Used: toMillis(r.used),
				Keep: r.keep.Milliseconds(), Floor: r.floor, Flushed: r.pending.Flushed, Due: toMillis(r.pending.Due),
			}
		}
		return out
	})
	return append(list, heads...), func() {
		again()
		headsAgain()
	}
}

func (e *entry) record() entryRecord {
	r := entryRecord{
		Epoch: e.Epoch, Event: e.Event.Event, ID: e.ID, Key: e.key, Except: e.Except, Sum: e.Sum, TS: e.TS, From: e.From, Data: e.Data, Void: e.Void,
		Until: toMillis(time.Unix(0, e.until)), Forget: toMillis(time.Unix(0, e.forget)),
	}
	if e.ID == e.madeID() {
		r.ID = ""
	}
	return r
}

// madeID is the id of an entry that was given none.
func (e *entry) madeID() string { return protocol.GeneratedID(e.Epoch, e.Seq) }

func (a *logs) buckets() []bucket {
	return []bucket{
		{"rooms", func(room string, value []byte) error {
			var r headRecord
			if err := decode(value, &r); err != nil {
				return err
			}
			a.rooms.Set(room, &roomLog{
				name: room, epoch: r.Epoch, seq: r.Seq, base: r.Base, began: r.Began.time(), used: r.Used.time(),
				keep: time.Duration(r.Keep) * time.Millisecond, floor: r.Floor, pending: hub.Pending{Flushed: r.Flushed, Due: r.Due.time()},
			})
			return nil
		}},
		{"log", a.loadEntry},
	}
}

func (a *logs) loadEntry(key string, value []byte) error {
	room, number, _ := strings.Cut(key, "#")
	seq, err := strconv.ParseInt(number, 10, 64)
	r, ok := a.rooms.Get(room)
	if err != nil || !ok || seq > r.seq || len(r.entries) > 0 && seq <= r.entries[len(r.entries)-1].Seq {
		return errBadKey
	}
	var rec entryRecord
	if err := decode(value, &rec); err != nil {
		return err
	}
	if rec.Epoch == r.epoch {
		rec.Epoch = r.epoch // the same bytes for all entries
	}
	e := &entry{key: cmp.Or(rec.Key, rec.ID), until: rec.Until.time().UnixNano(), forget: rec.Forget.time().UnixNano()}
	e.Event = protocol.Event{Event: rec.Event, Room: r.name, Seq: seq, ID: rec.ID, TS: rec.TS, From: rec.From, Data: rec.Data}
	e.Epoch, e.Except, e.Sum, e.Void = rec.Epoch, rec.Except, rec.Sum, rec.Void
	if rec.ID == "" && !e.Void {
		e.ID = e.madeID()
	}
	r.add(e)
	return nil
}
