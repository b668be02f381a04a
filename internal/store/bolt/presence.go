package bolt

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// presences implements [hub.Presence]. Rows change in place under mu; their slices never do.
type presences struct {
	now     func() time.Time
	mu      sync.RWMutex
	rooms   btree.Map[string, *occupants] // those where somebody is
	changed changed[hereKey]

	purged struct{ room, user string } // where purging goes on
}

// occupants are the rows of one room by user.
type occupants = btree.Map[string, *hub.Here]

type hereKey struct{ room, user string }

// live gives the row, unless it has lapsed.
func (a *presences) live(room, user string, now time.Time) (*hub.Here, bool) {
	rows, ok := a.rooms.Get(room)
	if !ok {
		return nil, false
	}
	h, ok := rows.Get(user)
	if !ok || !h.TTL.After(now) {
		return nil, false
	}
	return h, true
}

func (a *presences) set(room string, h *hub.Here) {
	rows, ok := a.rooms.Get(room)
	if !ok {
		rows = &occupants{}
		a.rooms.Set(room, rows)
	}
	rows.Set(h.User, h)
}

// same compares as the presence of a room does, to the millisecond.
func same(a, b time.Time) bool { return a.UnixMilli() == b.UnixMilli() }

func (a *presences) Arrive(ctx context.Context, room, user, name, connection string, now, ttl time.Time) (hub.Here, error) {
	if err := ctx.Err(); err != nil {
		return hub.Here{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	h, ok := a.live(room, user, now)
	switch {
	case !ok:
		h = &hub.Here{User: user, Status: "online", Since: time.UnixMilli(now.UnixMilli()), Version: 1}
		a.set(room, h)
	case h.Ending:
		return hub.Here{}, hub.ErrEnding
	}
	h.Name, h.Left = name, time.Time{}
	if ttl.After(h.TTL) {
		h.TTL = ttl
	}
	if !slices.Contains(h.Connections, connection) {
		h.Connections = append(slices.Clip(h.Connections), connection)
	}
	a.changed.mark(hereKey{room, user})
	return *h, nil
}

func (a *presences) Depart(ctx context.Context, room, user, connection string, now time.Time) (hub.Here, error) {
	return a.change(ctx, room, user, now, func(h *hub.Here) error {
		if i := slices.Index(h.Connections, connection); i >= 0 {
			h.Connections = slices.Concat(h.Connections[:i], h.Connections[i+1:])
		}
		if len(h.Connections) == 0 && h.Left.IsZero() {
			h.Left = time.UnixMilli(now.UnixMilli())
		}
		return nil
	})
}

func (a *presences) SetStatus(ctx context.Context, room, user, status string, data json.RawMessage) (hub.Here, error) {
	if len(data) > 0 && !json.Valid(data) {
		return hub.Here{}, fmt.Errorf("set status of %s in %s: the data is not JSON", user, room)
	}
	data = bytes.Clone(data)
	return a.change(ctx, room, user, a.now(), func(h *hub.Here) error {
		switch {
		case h.Ending:
			return hub.ErrEnding
		case len(h.Connections) == 0:
			return hub.ErrNotFound
		}
		if h.Status != status || !bytes.Equal(h.Data, data) {
			h.Status, h.Data = status, data
			h.Version++
		}
		return nil
	})
}

func (a *presences) Announced(ctx context.Context, room, user string, since time.Time, version int) error {
	_, err := a.change(ctx, room, user, a.now(), func(h *hub.Here) error {
		if same(h.Since, since) {
			h.Announced = max(h.Announced, version)
		}
		return nil
	})
	if err == hub.ErrNotFound { //nolint:errorlint // our own, never wrapped
		return nil
	}
	return err
}

func (a *presences) BeginEnd(ctx context.Context, room, user string, since, left time.Time) (hub.Here, error) {
	return a.change(ctx, room, user, a.now(), func(h *hub.Here) error {
		if len(h.Connections) > 0 || !same(h.Since, since) || h.Left.UnixMilli() > left.UnixMilli() {
			return hub.ErrNotFound
		}
		h.Ending = true
		return nil
	})
}

// change changes a live row under mu and gives it.
func (a *presences) change(ctx context.Context, room, user string, now time.Time, do func(*hub.Here) error) (hub.Here, error) {
	if err := ctx.Err(); err != nil {
		return hub.Here{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	h, ok := a.live(room, user, now)
	if !ok {
		return hub.Here{}, hub.ErrNotFound
	}
	if err := do(h); err != nil {
		return hub.Here{}, err
	}
	a.changed.mark(hereKey{room, user})
	return *h, nil
}

func (a *presences) End(ctx context.Context, room, user string, since time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	h, ok := a.live(room, user, now)
	if !ok || !h.Ending || !same(h.Since, since) {
		return nil
	}
	rows, _ := a.rooms.Get(room)
	rows.Delete(user)
	if rows.Len() == 0 {
		a.rooms.Delete(room)
	}
	a.changed.mark(hereKey{room, user})
	return nil
}

func (a *presences) Here(ctx context.Context, room, user string) (hub.Here, error) {
	if err := ctx.Err(); err != nil {
		return hub.Here{}, err
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	h, ok := a.live(room, user, a.now())
	if !ok {
		return hub.Here{}, hub.ErrNotFound
	}
	return *h, nil
}

func (a *presences) Present(ctx context.Context, room, last string, limit int) ([]hub.Here, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := a.now()
	a.mu.RLock()
	defer a.mu.RUnlock()
	rows, ok := a.rooms.Get(room)
	if !ok {
		return nil, nil
	}
	var page []hub.Here
	rows.Ascend(after(last), func(_ string, h *hub.Here) bool {
		if len(page) >= limit {
			return false
		}
		if h.TTL.After(now) {
			page = append(page, *h)
		}
		return true
	})
	return page, nil
}

func (a *presences) purge(rows int) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for rows > 0 {
		name, tree, found := at(&a.rooms, a.purged.room)
		if !found {
			a.purged.room, a.purged.user = "", ""
			return
		}
		if name != a.purged.room {
			a.purged.user = ""
		}
		gone, next, seen := lookThrough(tree, a.purged.user, rows, func(h *hub.Here) bool { return !h.TTL.After(now) })
		for _, user := range gone {
			a.changed.mark(hereKey{name, user})
		}
		a.purged.room, a.purged.user = name, next
		if next == "" {
			a.purged.room = after(name)
		}
		if tree.Len() == 0 {
			a.rooms.Delete(name)
		}
		rows -= 1 + seen
	}
}

// hereRecord is the value under "room#user" in the bucket "presence".
type hereRecord struct {
	Name        string          `json:"name,omitempty"`
	Status      string          `json:"status"`
	Data        json.RawMessage `json:"data,omitempty"`
	Connections []string        `json:"connections,omitempty"`
	Since       millis          `json:"since"`
	Left        millis          `json:"left,omitempty"`
	Version     int             `json:"version"`
	Announced   int             `json:"announced,omitempty"`
	Ending      bool            `json:"ending,omitempty"`
	TTL         millis          `json:"ttl"`
}

func (a *presences) track() { a.changed.track() }

func (a *presences) changes() ([]row, func()) {
	return a.changed.collect(&a.mu, func(k hereKey) row {
		out := row{bucket: "presence", key: k.room + "#" + k.user}
		rows, ok := a.rooms.Get(k.room)
		if !ok {
			return out
		}
		if h, ok := rows.Get(k.user); ok {
			out.value = hereRecord{
				Name: h.Name, Status: h.Status, Data: h.Data, Connections: h.Connections, Since: toMillis(h.Since), Left: toMillis(h.Left),
				Version: h.Version, Announced: h.Announced, Ending: h.Ending, TTL: toMillis(h.TTL),
			}
		}
		return out
	})
}

func (a *presences) buckets() []bucket {
	return []bucket{{"presence", func(key string, value []byte) error {
		room, user, found := strings.Cut(key, "#")
		if !found {
			return errBadKey
		}
		var r hereRecord
		if err := decode(value, &r); err != nil {
			return err
		}
		a.set(room, &hub.Here{
			User: user, Name: r.Name, Status: r.Status, Data: r.Data, Connections: r.Connections, Since: r.Since.time(), Left: r.Left.time(),
			Version: r.Version, Announced: r.Announced, Ending: r.Ending, TTL: r.TTL.time(),
		})
		return nil
	}}}
}
