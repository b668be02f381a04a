package bolt

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

// presences implements [hub.Presence]. Rows never change: another takes the place of one.
type presences struct {
	disk
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

// SetHere puts a row in the place of another.
func (a *presences) SetHere(ctx context.Context, room string, was, now hub.Here) (set hub.Here, err error) {
	if len(now.Data) > 0 && !json.Valid(now.Data) {
		return hub.Here{}, fmt.Errorf("set presence of %s in %s: the data is not JSON", now.User, room)
	}
	now.Data, now.Stays, now.Rev = bytes.Clone(now.Data), maps.Clone(now.Stays), rand.Text()[:13]
	now.Since, now.Left, now.Overdue = toMillis(now.Since).time(), toMillis(now.Left).time(), toMillis(now.Overdue).time()
	err = a.change(ctx, &a.mu, func() error {
		h, ok := a.live(room, now.User, a.now())
		if ok != (was.User != "") || ok && h.Rev != was.Rev {
			return hub.ErrChanged
		}
		a.willChange(room, now.User)
		if !now.Since.IsZero() || len(now.Stays) > 0 {
			a.set(room, &now)
			set = now
		} else {
			a.clear(room, now.User)
			set = hub.Here{User: now.User}
		}
		return nil
	})
	if err != nil {
		return hub.Here{}, err
	}
	return set, nil
}

// willChange is called before a row is changed.
func (a *presences) willChange(room, user string) {
	var was *hub.Here
	if list, ok := a.rooms.Get(room); ok {
		was, _ = list.Get(user)
	}
	a.changed.change(hereKey{room, user}, func() {
		if was != nil {
			a.set(room, was)
		} else {
			a.clear(room, user)
		}
	})
}

func (a *presences) clear(room, user string) {
	if list, ok := a.rooms.Get(room); ok {
		list.Delete(user)
		if list.Len() == 0 {
			a.rooms.Delete(room)
		}
	}
}

// Here gives the row of one user.
func (a *presences) Here(ctx context.Context, room, user string) (hub.Here, error) {
	var h *hub.Here
	err := a.read(ctx, &a.mu, func() bool {
		h, _ = a.live(room, user, a.now())
		return a.changed.pending(hereKey{room, user})
	})
	switch {
	case err != nil:
		return hub.Here{}, err
	case h == nil:
		return hub.Here{}, hub.ErrNotFound
	}
	return *h, nil
}

// Present gives the rows of a room.
func (a *presences) Present(ctx context.Context, room, last string, limit int) (page []hub.Here, err error) {
	now := a.now()
	err = a.read(ctx, &a.mu, func() bool {
		page = nil
		if rows, ok := a.rooms.Get(room); ok {
			rows.Ascend(after(last), func(_ string, h *hub.Here) bool {
				if len(page) >= limit {
					return false
				}
				if h.TTL.After(now) {
					page = append(page, *h)
				}
				return true
			})
		}
		return a.changed.any()
	})
	return page, err
}

func (a *presences) purge(most int) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for most > 0 {
		name, tree, found := at(&a.rooms, a.purged.room)
		if !found {
			a.purged.room, a.purged.user = "", ""
			return
		}
		if name != a.purged.room {
			a.purged.user = ""
		}
		gone, next, seen := lookThrough(tree, a.purged.user, most, func(h *hub.Here) bool { return !h.TTL.After(now) })
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
		most -= 1 + seen
	}
}

// hereRecord is the value under "room#user" in the bucket "presence".
type hereRecord struct {
	Name        string              `json:"name,omitempty"`
	Status      string              `json:"status"`
	Data        json.RawMessage     `json:"data,omitempty"`
	Connections []string            `json:"connections,omitempty"` // of a file that knows no stays
	Stays       map[string]hub.Stay `json:"stays,omitempty"`
	Rev         string              `json:"rev,omitempty"`
	Since       millis              `json:"since"`
	Left        millis              `json:"left,omitempty"`
	Overdue     millis              `json:"overdue,omitempty"`
	Version     int                 `json:"version"`
	Announced   int                 `json:"announced,omitempty"`
	Ending      bool                `json:"ending,omitempty"`
	TTL         millis              `json:"ttl"`
}

func (a *presences) save(file *rows.File) {
	a.file = file
	a.changed.track()
}

func (a *presences) changes() ([]rows.Row, func()) {
	return a.changed.collect(&a.mu, func(k hereKey) rows.Row {
		out := rows.Row{Bucket: "presence", Key: k.room + "#" + k.user}
		list, ok := a.rooms.Get(k.room)
		if !ok {
			return out
		}
		if h, ok := list.Get(k.user); ok {
			out.Value = hereRecord{
				Name: h.Name, Status: h.Status, Data: h.Data, Stays: h.Stays, Rev: h.Rev, Since: toMillis(h.Since), Left: toMillis(h.Left),
				Overdue: toMillis(h.Overdue), Version: h.Version, Announced: h.Announced, Ending: h.Ending, TTL: toMillis(h.TTL),
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
		for _, id := range r.Connections {
			if r.Stays == nil {
				r.Stays = map[string]hub.Stay{}
			}
			r.Stays[id] = hub.Stay{Ends: r.TTL.time()}
		}
		a.set(room, &hub.Here{
			User: user, Name: r.Name, Status: r.Status, Data: r.Data, Stays: r.Stays, Rev: r.Rev, Since: r.Since.time(), Left: r.Left.time(),
			Overdue: r.Overdue.time(), Version: r.Version, Announced: r.Announced, Ending: r.Ending, TTL: r.TTL.time(),
		})
		return nil
	}}}
}
