package bolt

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// notes implements [hub.Notes].
type notes struct {
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
	if err := ctx.Err(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.set(key, text, ttl)
	return nil
}

func (a *notes) set(key string, text []byte, ttl time.Time) {
	a.list.Set(key, note{bytes.Clone(text), toMillis(ttl)})
	a.changed.mark(key)
}

func (a *notes) NoteOnce(ctx context.Context, key string, text []byte, ttl time.Time) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, there := a.live(key); there {
		return false, nil
	}
	a.set(key, text, ttl)
	return true, nil
}

func (a *notes) Noted(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	n, ok := a.live(key)
	if !ok {
		return nil, hub.ErrNotFound
	}
	return n.Text, nil
}

func (a *notes) Unnote(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, was := a.list.Delete(key); was {
		a.changed.mark(key)
	}
	return nil
}

func (a *notes) purge(rows int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	gone, next, _ := lookThrough(&a.list, a.purged, rows, func(n note) bool { return !n.TTL.time().After(now) })
	for _, key := range gone {
		a.changed.mark(key)
	}
	a.purged = next
}

func (a *notes) track() { a.changed.track() }

func (a *notes) changes() ([]row, func()) {
	return a.changed.collect(&a.mu, func(key string) row {
		out := row{bucket: "notes", key: key}
		if n, ok := a.list.Get(key); ok {
			out.value = n
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
