package socketio

import "sync"

// recent remembers values that are in the store too, so that not every frame reads them there. It holds at most maxRecent;
// when it is full it begins anew.
type recent[V any] struct {
	mu   sync.Mutex
	list map[string]V
}

const maxRecent = 10_000

func (r *recent[V]) put(name string, value V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) >= maxRecent || r.list == nil {
		r.list = make(map[string]V)
	}
	r.list[name] = value
}

func (r *recent[V]) get(name string) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	value, has := r.list[name]
	return value, has
}

func (r *recent[V]) drop(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.list, name)
}
