package bolt

import (
	"sync"

	"github.com/tidwall/btree"

	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

// changed notes the keys of rows that the file has not got yet, and how to undo what was changed. Each key is there once, so it has at most one
// for each row that ever was.
type changed[K comparable] struct {
	keys   map[K]func() // nil: there is no file
	fresh  bool         // one of them may be undone
	flight map[K]func() // those that a commit took last, if one of them may be undone
}

func (c *changed[K]) track() { c.keys = map[K]func(){} }

// mark notes a row whose change is not undone when it cannot be written: it had lapsed, or nobody waits for it.
func (c *changed[K]) mark(key K) {
	if c.keys != nil {
		undo := c.keys[key] // an older change may have to be
		c.keys[key] = undo
	}
}

// change notes a row that is about to be changed, and what would undo that, with the mutex held.
func (c *changed[K]) change(key K, undo func()) {
	if c.keys != nil && c.keys[key] == nil {
		c.keys[key], c.fresh = undo, true
	}
}

// pending reports whether a row may be undone yet.
func (c *changed[K]) pending(key K) bool { return c.keys[key] != nil || c.flight[key] != nil }

// any reports whether there is a row that may be undone yet.
func (c *changed[K]) any() bool { return c.fresh || c.flight != nil }

// collect takes all keys and gives the rows as they are.
func (c *changed[K]) collect(mu *sync.RWMutex, read func(K) rows.Row) (list []rows.Row, undo func()) {
	mu.Lock()
	defer mu.Unlock()
	keys := c.keys
	if c.flight = nil; c.fresh {
		c.flight = keys
	}
	c.fresh = false
	if len(keys) > 0 {
		c.track()
		list = make([]rows.Row, 0, len(keys))
	}
	for key := range keys {
		list = append(list, read(key))
	}
	return list, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, later := range []map[K]func(){c.keys, keys} {
			for key, undo := range later {
				if undo != nil {
					undo()
				}
				c.keys[key] = nil // written once more, as it is now
			}
		}
		c.fresh, c.flight = false, nil
	}
}

// after is the smallest string above another: where a walk goes on.
func after(key string) string { return key + "\x00" }

// lookThrough looks at up to n values of a tree, the first at key from, deletes those that are lapsed and gives their
// keys. next is where to go on, "" at the end.
func lookThrough[V any](tree *btree.Map[string, V], from string, n int, lapsed func(V) bool) (gone []string, next string, seen int) {
	tree.Ascend(from, func(key string, v V) bool {
		if seen == n {
			next = key
			return false
		}
		seen++
		if lapsed(v) {
			gone = append(gone, key)
		}
		return true
	})
	for _, key := range gone {
		tree.Delete(key)
	}
	return gone, next, seen
}

// at gives the first value at or above a key.
func at[V any](tree *btree.Map[string, V], from string) (key string, v V, found bool) {
	tree.Ascend(from, func(k string, value V) bool {
		key, v, found = k, value, true
		return false
	})
	return key, v, found
}

// putBack has a row be as it was.
func putBack[V any](tree *btree.Map[string, V], key string, was V, there bool) {
	if there {
		tree.Set(key, was)
	} else {
		tree.Delete(key)
	}
}
