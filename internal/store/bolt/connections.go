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
	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

// connections implements [hub.Connections]. Rows change in place under mu; their maps never do.
type connections struct {
	disk
	now     func() time.Time
	mu      sync.RWMutex
	rows    [hub.Partitions]btree.Map[string, *hub.Connection]
	changed changed[string]
	touched map[string]struct{} // those that have only been touched, which nobody waits for

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
	c.Rooms, c.Gens, c.Leaving, c.Grants = maps.Clone(c.Rooms), maps.Clone(c.Gens), maps.Clone(c.Leaving), cloneGrants(c.Grants)
	c.JoinedAt, c.LeftAt = maps.Clone(c.JoinedAt), maps.Clone(c.LeftAt)
	c.Rev = rand.Text()[:13]
	return a.change(ctx, &a.mu, func() error {
		a.willChange(c.ID)
		a.rows[hub.Partition(c.ID)].Set(c.ID, &c)
		return nil
	})
}

// willChange is called before a row is changed.
func (a *connections) willChange(id string) {
	tree := &a.rows[hub.Partition(id)]
	was, there := tree.Get(id)
	var before hub.Connection
	if there {
		before = *was
	}
	a.changed.change(id, func() { putBack(tree, id, &before, there) })
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
	var c hub.Connection
	err := a.read(ctx, &a.mu, func() bool {
		c = hub.Connection{}
		if row, ok := a.live(id, a.now()); ok {
			c = *row
		}
		return a.changed.pending(id)
	})
	if err == nil && c.ID == "" {
		err = hub.ErrNotFound
	}
	return c, err
}

// Touch charges one action.
func (a *connections) Touch(ctx context.Context, id string, t hub.Touch) (hub.Connection, error) {
	if err := ctx.Err(); err != nil {
		return hub.Connection{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.replace(id, func(c hub.Connection) (hub.Connection, error) {
		if err := t.Check(c); err != nil {
			return c, err
		}
		c.Busy, c.LastSeen = t.Charge(c), t.Now
		return c, nil
	})
	if err == nil && a.touched != nil {
		a.touched[id] = struct{}{}
	}
	return c, err
}

// settle has the next commit write what has only been touched.
func (a *connections) settle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.touched {
		a.changed.mark(id)
	}
	clear(a.touched)
}

// Change changes a row, unless it is another by now.
func (a *connections) Change(ctx context.Context, was hub.Connection, ch hub.Change) (hub.Connection, error) {
	var changed hub.Connection
	err := a.change(ctx, &a.mu, func() (err error) {
		changed, err = a.replace(was.ID, func(c hub.Connection) (hub.Connection, error) {
			if err := ch.Check(was, c); err != nil {
				return c, err
			}
			c = ch.Apply(c)
			c.Rev, c.Grants = rand.Text()[:13], cloneGrants(c.Grants)
			a.willChange(c.ID)
			return c, nil
		})
		return err
	})
	if err != nil {
		return hub.Connection{}, err
	}
	return changed, nil
}

// replace puts another row in the place of one.
func (a *connections) replace(id string, to func(hub.Connection) (hub.Connection, error)) (hub.Connection, error) {
	c, ok := a.rows[hub.Partition(id)].Get(id)
	if !ok {
		return hub.Connection{}, hub.ErrNotFound
	}
	changed, err := to(*c)
	if err != nil {
		return hub.Connection{}, err
	}
	*c = changed
	return changed, nil
}

// Forget deletes a row.
func (a *connections) Forget(ctx context.Context, id string) error {
	return a.change(ctx, &a.mu, func() error {
		a.willChange(id)
		a.rows[hub.Partition(id)].Delete(id)
		return nil
	})
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

// Wanted looks at rows of one partition.
func (a *connections) Wanted(ctx context.Context, partition int, last string, limit int, look hub.Look) (hub.Wanted, error) {
	if err := ctx.Err(); err != nil {
		return hub.Wanted{}, err
	}
	now := a.now()
	var page hub.Wanted
	a.mu.RLock()
	defer a.mu.RUnlock()
	a.rows[partition].Ascend(after(last), func(id string, c *hub.Connection) bool {
		if page.Rows >= limit {
			page.Next = last
			return false
		}
		if last = id; c.TTL.After(now) {
			if page.Rows++; look.Wants(*c) {
				page.Connections = append(page.Connections, *c)
			}
		}
		return true
	})
	return page, nil
}

func (a *connections) purge(most int) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for range a.rows { // once around at most
		gone, next, seen := lookThrough(&a.rows[a.purged.partition], a.purged.id, most, func(c *hub.Connection) bool {
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
		most -= seen
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
	JoinedAt    map[string]int64       `json:"joinedAt,omitempty"`
	LeftAt      map[string]int64       `json:"leftAt,omitempty"`
	Gen         int64                  `json:"gen,omitempty"`
	Rev         string                 `json:"rev,omitempty"`
	ConnectedAt millis                 `json:"connectedAt"`
	LastSeen    millis                 `json:"lastSeen"`
	Entered     millis                 `json:"entered,omitempty"`
	TakenOut    millis                 `json:"takenOut,omitempty"`
	Expires     millis                 `json:"expires"`
	Busy        millis                 `json:"busy,omitempty"`
	Closing     bool                   `json:"closing,omitempty"`
	Ended       protocol.Reason        `json:"ended,omitempty"`
	TTL         millis                 `json:"ttl"`
}

func (a *connections) save(file *rows.File) {
	a.file, a.touched = file, map[string]struct{}{}
	a.changed.track()
}

func (a *connections) changes() ([]rows.Row, func()) {
	return a.changed.collect(&a.mu, func(id string) rows.Row {
		r := rows.Row{Bucket: "connections", Key: id}
		if c, ok := a.rows[hub.Partition(id)].Get(id); ok {
			r.Value = connectionRecord{
				User: c.User, Name: c.Name, Codec: c.Codec, Grants: c.Grants, Rooms: c.Rooms, Gens: c.Gens, Gen: c.Gen, Leaving: c.Leaving, JoinedAt: c.JoinedAt, LeftAt: c.LeftAt, Rev: c.Rev, Ended: c.Ended, ConnectedAt: toMillis(c.ConnectedAt),
				LastSeen: toMillis(c.LastSeen), Entered: toMillis(c.Entered), TakenOut: toMillis(c.TakenOut), Expires: toMillis(c.Expires), Busy: toMillis(c.Busy),
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
			ID: id, User: r.User, Name: r.Name, Codec: intern(r.Codec), Grants: r.Grants, Rooms: r.Rooms, Gens: r.Gens, Gen: r.Gen, Leaving: r.Leaving, JoinedAt: r.JoinedAt, LeftAt: r.LeftAt, Rev: r.Rev, Ended: r.Ended, ConnectedAt: r.ConnectedAt.time(),
			LastSeen: r.LastSeen.time(), Entered: r.Entered.time(), TakenOut: r.TakenOut.time(), Expires: r.Expires.time(), Busy: r.Busy.time(),
			Closing: r.Closing, TTL: r.TTL.time(),
		})
		return nil
	}}}
}
