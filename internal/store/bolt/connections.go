package bolt

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
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

// Open stores a new row.
func (a *connections) Open(ctx context.Context, c hub.Connection) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.Rooms, c.Gens, c.Leaving, c.Grants = maps.Clone(c.Rooms), maps.Clone(c.Gens), maps.Clone(c.Leaving), cloneGrants(c.Grants)
	c.Rev = rand.Text()[:13]
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

// Connection gives a row.
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

// Touch charges one action.
func (a *connections) Touch(ctx context.Context, id string, t hub.Touch) (hub.Connection, error) {
	return a.change(ctx, id, func(c hub.Connection) (hub.Connection, error) {
		if err := t.Check(c); err != nil {
			return c, err
		}
		c.Busy, c.LastSeen = t.Charge(c), t.Now
		return c, nil
	})
}

// Change changes a row, unless it is another by now.
func (a *connections) Change(ctx context.Context, was hub.Connection, ch hub.Change) (hub.Connection, error) {
	return a.change(ctx, was.ID, func(c hub.Connection) (hub.Connection, error) {
		if err := ch.Check(was, c); err != nil {
			return c, err
		}
		c = ch.Apply(c)
		c.Rev, c.Grants = rand.Text()[:13], cloneGrants(c.Grants)
		return c, nil
	})
}

// change puts another row in the place of one.
func (a *connections) change(ctx context.Context, id string, to func(hub.Connection) (hub.Connection, error)) (hub.Connection, error) {
	if err := ctx.Err(); err != nil {
		return hub.Connection{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.rows[hub.Partition(id)].Get(id)
	if !ok {
		return hub.Connection{}, hub.ErrNotFound
	}
	changed, err := to(*c)
	if err != nil {
		return hub.Connection{}, err
	}
	*c = changed
	a.changed.mark(id)
	return changed, nil
}

// Forget deletes a row.
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

// Walk gives rows of one partition.
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
	User        string                 `json:"user"`
	Name        string                 `json:"name,omitempty"`
	Codec       string                 `json:"codec,omitempty"`
	Grants      hub.Grants             `json:"grants,omitempty"`
	Rooms       map[string]int         `json:"rooms,omitempty"`
	Gens        map[string]int64       `json:"gens,omitempty"`
	Leaving     map[string]hub.Leaving `json:"leaving,omitempty"`
	Gen         int64                  `json:"gen,omitempty"`
	Rev         string                 `json:"rev,omitempty"`
	ConnectedAt millis                 `json:"connectedAt"`
	LastSeen    millis                 `json:"lastSeen"`
	Entered     millis                 `json:"entered,omitempty"`
	Expires     millis                 `json:"expires"`
	Busy        millis                 `json:"busy,omitempty"`
	Closing     bool                   `json:"closing,omitempty"`
	Ended       protocol.Reason        `json:"ended,omitempty"`
	TTL         millis                 `json:"ttl"`
}

func (a *connections) track() { a.changed.track() }

func (a *connections) changes() ([]row, func()) {
	return a.changed.collect(&a.mu, func(id string) row {
		r := row{bucket: "connections", key: id}
		if c, ok := a.rows[hub.Partition(id)].Get(id); ok {
			r.value = connectionRecord{
				User: c.User, Name: c.Name, Codec: c.Codec, Grants: c.Grants, Rooms: c.Rooms, Gens: c.Gens, Gen: c.Gen, Leaving: c.Leaving, Rev: c.Rev, Ended: c.Ended, ConnectedAt: toMillis(c.ConnectedAt),
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
			ID: id, User: r.User, Name: r.Name, Codec: intern(r.Codec), Grants: r.Grants, Rooms: r.Rooms, Gens: r.Gens, Gen: r.Gen, Leaving: r.Leaving, Rev: r.Rev, Ended: r.Ended, ConnectedAt: r.ConnectedAt.time(),
			LastSeen: r.LastSeen.time(), Entered: r.Entered.time(), Expires: r.Expires.time(), Busy: r.Busy.time(),
			Closing: r.Closing, TTL: r.TTL.time(),
		})
		return nil
	}}}
}
