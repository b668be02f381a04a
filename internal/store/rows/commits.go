package rows

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// commits has everybody who wants a write while another is under way share the next one.
type commits struct {
	mu   sync.Mutex
	next *commit
}

type commit struct {
	done chan struct{}
	err  error
}

// do returns when a write has ended that began after it was called, with its error. lock is held while there is one.
func (c *commits) do(lock *sync.Mutex, write func() error) error {
	c.mu.Lock()
	mine, first := c.next, c.next == nil
	if first {
		mine = &commit{done: make(chan struct{})}
		c.next = mine
	}
	c.mu.Unlock()
	if !first {
		<-mine.done
		return mine.err
	}
	lock.Lock()
	c.mu.Lock()
	c.next = nil
	c.mu.Unlock()
	mine.err = write()
	lock.Unlock()
	close(mine.done)
	return mine.err
}

// trouble is what does not work for a while.
type trouble struct {
	tell func(err error) // when it begins, and with nil when it ends
	err  atomic.Pointer[error]
}

func (t *trouble) now() error {
	if err := t.err.Load(); err != nil {
		return *err
	}
	return nil
}

// is notes how the last try went. It is not called twice at a time.
func (t *trouble) is(err error) {
	was := t.now()
	if err == nil {
		t.err.Store(nil)
	} else {
		t.err.Store(&err)
	}
	if (was == nil) != (err == nil) {
		t.tell(err)
	}
}

// logs tells a logger of trouble with a file, and what follows from it.
func logs(log *slog.Logger, file, so string) func(error) {
	ctx := context.Background()
	return func(err error) {
		if err != nil {
			log.ErrorContext(ctx, "the disk does not take what is written", "file", file, "so", so, "error", err)
		} else {
			log.WarnContext(ctx, "the disk takes what is written again", "file", file)
		}
	}
}
