package bolt

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// connections implements [hub.Connections]. Rows change in place under mu; their maps never do.
type connections struct {
	now     func() time.Time
	mu      sync.RWMutex
	rows    [hub.Partitions]btree.Map[string, *hub.Connection]
	changed changed[string]

	purged struct { // where purging goes on
		partition int
		id        string
	}
}

// live gives the row, unless it has lapsed.
func (a *connections) live(id string, now time.Time) (*hub.Connection, bool) {
	c, ok := a.rows[hub.Partition(id)].Get(id)
	if !ok || !c.TTL.After(now) {
		return nil, false
	}
	return c, true
}

func (a *connections) Open(ctx context.Context, c hub.Connection) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.Rooms, c.Grants = maps.Clone(c.Rooms), cloneGrants(c.Grants)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rows[hub.Partition(c.ID)].Set(c.ID, &c)
	a.changed.mark(c.ID)
	return nil
}

func cloneGrants(g hub.Grants) hub.Grants {
	g = maps.Clone(g)
	for pattern, may := range g {
		g[pattern] = slices.Clone(may)
	}
	return g
}

func (a *connections) Connection(ctx context.Context, id string) (hub.Connection, error) {
	if err := ctx.Err(); err != nil {
		return hub.Connection{}, err
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	c, ok := a.live(id, a.now())
	if !ok {
		return hub.Connection{}, hub.ErrNotFound
	}
	return *c, nil
}

func (a *connections) Touch(ctx context.Context, id string, t hub.Touch) (hub.Connection, error) {
	return a.touch(ctx, id, t, func(*hub.Connection) {})
}

func (a *connections) Enter(ctx context.Context, id, room string, shard int, t hub.Touch) (hub.Connection, error) {
	return a.touch(ctx, id, t, func(c *hub.Connection) {
		c.Entered = t.Now
		if c.In(room) {
			return
		}
		rooms := make(map[string]int, len(c.Rooms)+1)
		maps.Copy(rooms, c.Rooms)
		rooms[room] = shard
		c.Rooms = rooms
	})
}

func (a *connections) touch(ctx context.Context, id string, t hub.Touch, change func(*hub.Connection)) (hub.Connection, error) {
	if err := ctx.Err(); err != nil {
		return hub.Connection{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.rows[hub.Partition(id)].Get(id)
	if !ok {
		return hub.Connection{}, hub.ErrNotFound
	}
	if err := t.Check(*c); err != nil {
		return hub.Connection{}, err
	}
	c.Busy, c.LastSeen = t.Charge(*c), t.Now
	change(c)
	a.changed.mark(id)
	return *c, nil
}

func (a *connections) Exit(ctx context.Context, id, room string, now time.Time) error {
	err := a.change(ctx, id, now, func(c *hub.Connection) error {
		if c.In(room) {
			c.Rooms = maps.Clone(c.Rooms)
			delete(c.Rooms, room)
		}
		c.LastSeen = now
		return nil
	})
	if err == hub.ErrNotFound { //nolint:errorlint // our own, never wrapped
		return nil
	}
	return err
}

func (a *connections) Renew(ctx context.Context, id, name string, g hub.Grants, expires time.Time) error {
	g = cloneGrants(g)
	return a.change(ctx, id, a.now(), func(c *hub.Connection) error {
		if c.Closing {
			return hub.ErrNotFound
		}
		c.Name, c.Grants, c.Expires = name, g, expires
		return nil
	})
}

func (a *connections) BeginClose(ctx context.Context, id string) (row hub.Connection, err error) {
	err = a.change(ctx, id, a.now(), func(c *hub.Connection) error {
		c.Closing = true
		row = *c
		return nil
	})
	return row, err
}

// change changes a live row under mu.
func (a *connections) change(ctx context.Context, id string, now time.Time, do func(*hub.Connection) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.live(id, now)
	if !ok {
		return hub.ErrNotFound
	}
	if err := do(c); err != nil {
		return err
	}
	a.changed.mark(id)
	return nil
}

func (a *connections) Forget(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, was := a.rows[hub.Partition(id)].Delete(id); was {
		a.changed.mark(id)
	}
	return nil
}

func (a *connections) Walk(ctx context.Context, partition int, last string, limit int) ([]hub.Connection, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := a.now()
	var page []hub.Connection
	a.mu.RLock()
	defer a.mu.RUnlock()
	a.rows[partition].Ascend(after(last), func(_ string, c *hub.Connection) bool {
		if len(page) >= limit {
			return false
		}
		if c.TTL.After(now) {
			page = append(page, *c)
		}
		return true
	})
	return page, nil
}

func (a *connections) purge(rows int) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for range a.rows { // once around at most
		gone, next, seen := lookThrough(&a.rows[a.purged.partition], a.purged.id, rows, func(c *hub.Connection) bool {
			return !c.TTL.After(now)
		})
		for _, id := range gone {
			a.changed.mark(id)
		}
		a.purged.id = next
		if next != "" {
			return
		}
		a.purged.partition = (a.purged.partition + 1) % hub.Partitions
		rows -= seen
	}
}

// connectionRecord is the value under a connection id in the bucket "connections".
type connectionRecord struct {
	User        string         `json:"user"`
	Name        string         `json:"name,omitempty"`
	Codec       string         `json:"codec,omitempty"`
	Grants      hub.Grants     `json:"grants,omitempty"`
	Rooms       map[string]int `json:"rooms,omitempty"`
	ConnectedAt millis         `json:"connectedAt"`
	LastSeen    millis         `json:"lastSeen"`
	Entered     millis         `json:"entered,omitempty"`
	Expires     millis         `json:"expires"`
	Busy        millis         `json:"busy,omitempty"`
	Closing     bool           `json:"closing,omitempty"`
	TTL         millis         `json:"ttl"`
}

func (a *connections) track() { a.changed.track() }

func (a *connections) changes() ([]row, func()) {
	return a.changed.collect(&a.mu, func(id string) row {
		r := row{bucket: "connections", key: id}
		if c, ok := a.rows[hub.Partition(id)].Get(id); ok {
			r.value = connectionRecord{
				User: c.User, Name: c.Name, Codec: c.Codec, Grants: c.Grants, Rooms: c.Rooms, ConnectedAt: toMillis(c.ConnectedAt),
				LastSeen: toMillis(c.LastSeen), Entered: toMillis(c.Entered), Expires: toMillis(c.Expires), Busy: toMillis(c.Busy),
				Closing: c.Closing, TTL: toMillis(c.TTL),
			}
		}
		return r
	})
}

func (a *connections) buckets() []bucket {
	return []bucket{{"connections", func(id string, value []byte) error {
		var r connectionRecord
		if err := decode(value, &r); err != nil {
			return err
		}
		a.rows[hub.Partition(id)].Set(id, &hub.Connection{
			ID: id, User: r.User, Name: r.Name, Codec: intern(r.Codec), Grants: r.Grants, Rooms: r.Rooms, ConnectedAt: r.ConnectedAt.time(),
			LastSeen: r.LastSeen.time(), Entered: r.Entered.time(), Expires: r.Expires.time(), Busy: r.Busy.time(),
			Closing: r.Closing, TTL: r.TTL.time(),
		})
		return nil
	}}}
}
