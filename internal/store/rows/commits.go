package rows

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// commits has everybody who changes something while a write is under way share the next one. What is changed belongs to just one commit, and
// is written with it or undone with it.
type commits struct {
	gate sync.RWMutex // read by who changes something; written by who takes what changed, or undoes it
	mu   sync.Mutex
	next *commit // that changes belong to now; nil: the next change begins one
}

type commit struct {
	led  atomic.Bool // somebody writes it
	done chan struct{}
	err  error // when done is closed
}

// gather runs do, and gives the commit that its changes belong to. When that is written, what do has read is written too.
func (c *commits) gather(do func() error) (*commit, error) {
	c.gate.RLock()
	defer c.gate.RUnlock()
	err := do()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = &commit{done: make(chan struct{})}
	}
	return c.next, err
}

// finish returns when a commit is written, with its error. One at a time calls write with what take gave. undo undoes that and all that was changed
// since, which may follow from it: whoever waits for that is told the same error.
func (c *commits) finish(mine *commit, lock *sync.Mutex, take func(), write func() error, undo func()) error {
	if !mine.led.CompareAndSwap(false, true) {
		<-mine.done
		return mine.err
	}
	lock.Lock()
	defer lock.Unlock()
	select {
	case <-mine.done: // undone with the one before
		return mine.err
	default:
	}
	c.gate.Lock()
	c.turn()
	take()
	c.gate.Unlock()
	mine.err = write()
	if mine.err != nil {
		c.gate.Lock()
		undo()
		if next := c.turn(); next != nil {
			next.err = mine.err
			close(next.done)
		}
		c.gate.Unlock()
	}
	close(mine.done)
	return mine.err
}

// turn has the next change begin another commit.
func (c *commits) turn() *commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.next
	c.next = nil
	return was
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
