package hub

import (
	"sync"
	"time"
)

// limiter is the rate limit as far as this process knows it: it refuses a flood before it costs a write, limits what
// writes nothing at all, and tells the store what to expect. The store's row decides over all processes. It is the
// generic cell rate algorithm: one time a connection, when all that it sent is paid for.
//
// It holds at most maxLimited connections. When it is full it forgets those that owe nothing, and if none does, all:
// then the store alone decides for a moment.
type limiter struct {
	cost, burst time.Duration

	mu   sync.Mutex
	busy map[string]time.Time
}

const maxLimited = 20_000

func newLimiter(l Limits) *limiter {
	cost := time.Duration(float64(time.Second) / l.Rate)
	return &limiter{cost: cost, burst: time.Duration(l.Burst-1) * cost, busy: make(map[string]time.Time)}
}

// charge takes one action into account, unless the connection has to wait first. recent: it still owes for earlier ones.
func (l *limiter) charge(connection string, now time.Time) (recent bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	busy, known := l.busy[connection]
	if wait := busy.Sub(now) - l.burst; known && wait > 0 {
		return true, wait
	}
	if !known && len(l.busy) >= maxLimited {
		l.forget(now)
	}
	if recent = busy.After(now); !recent {
		busy = now
	}
	l.busy[connection] = busy.Add(l.cost)
	return recent, 0
}

// learn takes over what the store knows, if that is more.
func (l *limiter) learn(connection string, busy time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if busy.After(l.busy[connection]) {
		l.busy[connection] = busy
	}
}

func (l *limiter) forget(now time.Time) {
	for c, busy := range l.busy {
		if !busy.After(now) {
			delete(l.busy, c)
		}
	}
	if len(l.busy) >= maxLimited {
		clear(l.busy)
	}
}
