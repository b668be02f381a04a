package gateway

import (
	"iter"
	"sync"
)

// registry finds connections by id.
type registry struct{ byID sync.Map }

func (r *registry) get(id string) *conn {
	c, _ := r.byID.Load(id)
	found, _ := c.(*conn)
	return found
}

func (r *registry) put(c *conn) { r.byID.Store(c.id, c) }

func (r *registry) remove(c *conn) { r.byID.Delete(c.id) }

// all yields every connection that is open when it is come to.
func (r *registry) all() iter.Seq[*conn] {
	return func(yield func(*conn) bool) {
		r.byID.Range(func(_, c any) bool { return yield(c.(*conn)) }) // it holds nothing else
	}
}
