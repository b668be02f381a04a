package bolt

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

// notes implements [hub.Notes].
type notes struct {
	disk
	now     func() time.Time
	mu      sync.RWMutex
	list    btree.Map[string, note]
	changed changed[string]
	purged  string // where purging goes on
}

// note is the value of a key, and in the file that under the key in the bucket "notes".
type note struct {
	Text []byte `json:"text"`
	TTL  millis `json:"ttl"`
}

func (a *notes) live(key string) (note, bool) {
	n, ok := a.list.Get(key)
	return n, ok && n.TTL.time().After(a.now())
}

func (a *notes) Note(ctx context.Context, key string, text []byte, ttl time.Time) error {
	return a.change(ctx, &a.mu, func() error {
		a.set(key, text, ttl)
		return nil
	})
}

func (a *notes) set(key string, text []byte, ttl time.Time) {
	a.willChange(key)
	a.list.Set(key, note{bytes.Clone(text), toMillis(ttl)})
}

// willChange is called before a row is changed.
func (a *notes) willChange(key string) {
	was, there := a.list.Get(key)
	a.changed.change(key, func() { putBack(&a.list, key, was, there) })
}

func (a *notes) NoteOnce(ctx context.Context, key string, text []byte, ttl time.Time) (did bool, err error) {
	err = a.change(ctx, &a.mu, func() error {
		if _, there := a.live(key); !there {
			a.set(key, text, ttl)
			did = true
		}
		return nil
	})
	return did && err == nil, err
}

func (a *notes) NoteOver(ctx context.Context, key string, was, text []byte, ttl time.Time) (did bool, err error) {
	err = a.change(ctx, &a.mu, func() error {
		now, there := a.live(key)
		switch {
		case !there:
		case bytes.Equal(now.Text, was):
			a.set(key, text, ttl)
			did = true
		default:
			did = bytes.Equal(now.Text, text)
		}
		return nil
	})
	return did && err == nil, err
}

func (a *notes) Noted(ctx context.Context, key string) ([]byte, error) {
	var n note
	var there bool
	err := a.read(ctx, &a.mu, func() bool {
		n, there = a.live(key)
		return a.changed.pending(key)
	})
	switch {
	case err != nil:
		return nil, err
	case !there:
		return nil, hub.ErrNotFound
	}
	return n.Text, nil
}

func (a *notes) Unnote(ctx context.Context, key string) error {
	return a.change(ctx, &a.mu, func() error {
		a.willChange(key)
		a.list.Delete(key)
		return nil
	})
}

func (a *notes) purge(most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	gone, next, _ := lookThrough(&a.list, a.purged, most, func(n note) bool { return !n.TTL.time().After(now) })
	for _, key := range gone {
		a.changed.mark(key)
	}
	a.purged = next
}

func (a *notes) save(file *rows.File) {
	a.file = file
	a.changed.track()
}

func (a *notes) changes() ([]rows.Row, func()) {
	return a.changed.collect(&a.mu, func(key string) rows.Row {
		out := rows.Row{Bucket: "notes", Key: key}
		if n, ok := a.list.Get(key); ok {
			out.Value = n
		}
		return out
	})
}

func (a *notes) buckets() []bucket {
	return []bucket{{"notes", func(key string, value []byte) error {
		var n note
		if err := decode(value, &n); err != nil {
			return err
		}
		a.list.Set(key, n)
		return nil
	}}}
}
