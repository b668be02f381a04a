package gateway

import (
	"hash/maphash"
	"iter"
	"sync"
)

const shards = 64

// registry finds connections by id. It is split so that a fan-out and a burst of connects do not wait for one lock.
type registry struct {
	seed  maphash.Seed
	shard [shards]struct {
		mu sync.RWMutex
		m  map[string]*conn
	}
}

func (r *registry) init() {
	r.seed = maphash.MakeSeed()
	for i := range r.shard {
		r.shard[i].m = map[string]*conn{}
	}
}

func (r *registry) get(id string) *conn {
	s := &r.shard[maphash.String(r.seed, id)%shards]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m[id]
}

func (r *registry) put(c *conn) {
	s := &r.shard[maphash.String(r.seed, c.id)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[c.id] = c
}

// remove reports whether c was there: of several that end a connection, one wins.
func (r *registry) remove(c *conn) bool {
	s := &r.shard[maphash.String(r.seed, c.id)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[c.id] != c {
		return false
	}
	delete(s.m, c.id)
	return true
}

// all yields every connection that was open when its shard was visited; no lock is held meanwhile.
func (r *registry) all() iter.Seq[*conn] {
	return func(yield func(*conn) bool) {
		var page []*conn
		for i := range r.shard {
			s := &r.shard[i]
			page = page[:0]
			s.mu.RLock()
			for _, c := range s.m {
				page = append(page, c)
			}
			s.mu.RUnlock()
			for _, c := range page {
				if !yield(c) {
					return
				}
			}
		}
	}
}
