package bolt

import (
	"sync"

	"github.com/tidwall/btree"

	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

// collectRows is for how many rows in a row the mutex of an area is held.
const collectRows = 256

// changed notes the keys of rows that the file has not got yet. Each is there once, so it has at most one key for each
// row that ever was.
type changed[K comparable] struct {
	keys map[K]struct{} // nil: there is no file
}

func (c *changed[K]) track() { c.keys = map[K]struct{}{} }

func (c *changed[K]) mark(key K) {
	if c.keys != nil {
		c.keys[key] = struct{}{}
	}
}

// take gives the keys, nil if there are none.
func (c *changed[K]) take(mu *sync.RWMutex) map[K]struct{} {
	mu.Lock()
	defer mu.Unlock()
	if len(c.keys) == 0 {
		return nil // the map stays in use
	}
	keys := c.keys
	c.track()
	return keys
}

// collect takes all keys and gives the rows as they are at some moment from now on. mu is held for a few rows at a time.
func (c *changed[K]) collect(mu *sync.RWMutex, read func(K) rows.Row) (list []rows.Row, again func()) {
	keys := c.take(mu)
	if keys == nil {
		return nil, func() {}
	}
	list = make([]rows.Row, 0, len(keys))
	mu.RLock()
	for key := range keys {
		if len(list)%collectRows == collectRows-1 {
			mu.RUnlock()
			mu.RLock()
		}
		list = append(list, read(key))
	}
	mu.RUnlock()
	return list, func() {
		mu.Lock()
		defer mu.Unlock()
		for key := range keys {
			c.mark(key)
		}
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
