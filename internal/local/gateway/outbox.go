package gateway

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// outbox is what waits to be sent to one receiver. It is bounded; a push into a full one fails at once.
//
// No goroutine belongs to it. The first frame puts the connection on the list of a flusher, which writes everything that has gathered
// by the time it comes round in one system call: a burst of posts to many receivers turns into one write per receiver. A receiver whose
// socket takes no more gets a goroutine of its own until it has caught up, so that it holds up nobody.
type outbox struct {
	mu      sync.Mutex
	waiting []*Frame
	bytes   int
	busy    bool          // a flusher or a drain has it, or will
	closed  bool          // takes no more frames
	drained chan struct{} // closed when closed and nothing waits; nil until someone wants to know

	sent      int64 // messages
	sentBytes int64
}

var (
	errGone = errors.New("the connection is gone")
	errSlow = errors.New("the receiver's queue is full")
)

// push queues f for c.
func (c *conn) push(f *Frame) error {
	o := &c.out
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return errGone
	}
	if n := len(o.waiting); n > 0 && (n >= c.srv.cfg.OutgoingQueue || o.bytes+len(f.wire) > outgoingBytes) {
		o.mu.Unlock()
		return errSlow
	}
	o.waiting = append(o.waiting, f)
	o.bytes += len(f.wire)
	wake := !o.busy
	o.busy = true
	o.mu.Unlock()
	if wake {
		c.flusher.add(c)
	}
	return nil
}

// hold queues the first frame of all, to be written when the connection is given to its flusher.
func (o *outbox) hold(f *Frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, f)
	o.bytes += len(f.wire)
	o.busy = true
}

// finish queues the last frame, however much waits before it, and returns a channel that is closed when all is written or given up. Nil
// only asks for the channel.
func (c *conn) finish(last *Frame) <-chan struct{} {
	o := &c.out
	o.mu.Lock()
	if o.drained == nil {
		o.drained = make(chan struct{})
	}
	wake := false
	if !o.closed && last != nil {
		o.closed = true
		o.waiting = append(o.waiting, last)
		o.bytes += len(last.wire)
		wake = !o.busy
		o.busy = true
	}
	ch := o.drained
	if !o.busy {
		o.settle()
	}
	o.mu.Unlock()
	if wake {
		c.flusher.add(c)
	}
	return ch
}

// settle tells who waits that nothing more will be written. The lock is held.
func (o *outbox) settle() {
	if o.closed && o.drained != nil {
		select {
		case <-o.drained:
		default:
			close(o.drained)
		}
	}
}

// take moves waiting frames into buf, as many as fit and at least one; messages counts them. Nothing left means the caller is done with
// the outbox, which is no longer busy.
func (o *outbox) take(buf []byte) (out []byte, messages int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, f := range o.waiting {
		if n > 0 && len(buf)+len(f.wire) > cap(buf) {
			break
		}
		buf = append(buf, f.wire...)
		if f.message {
			messages++
			o.sentBytes += int64(f.size)
		}
		o.bytes -= len(f.wire)
		n++
	}
	if n == 0 {
		o.busy = false
		o.settle()
		return buf, 0
	}
	o.sent += int64(messages)
	left := copy(o.waiting, o.waiting[n:])
	clear(o.waiting[left:])
	o.waiting = o.waiting[:left]
	if left == 0 && cap(o.waiting) > 32 {
		o.waiting = nil
	}
	return buf, messages
}

// abandon drops everything and takes no more.
func (o *outbox) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.waiting, o.bytes = nil, 0
	o.busy = false
	o.settle()
}

// flusher writes for the connections dealt to it. Its goroutine exists only while there is something to write.
type flusher struct {
	srv *Server

	mu      sync.Mutex
	list    []*conn // bounded by the number of connections: one is on it at most once
	running bool

	spare []*conn
	buf   []byte
	try   tryWriter
}

func newFlusher(s *Server) *flusher {
	f := &flusher{srv: s}
	f.try.init()
	return f
}

func (f *flusher) add(c *conn) {
	f.mu.Lock()
	f.list = append(f.list, c)
	start := !f.running
	f.running = true
	f.mu.Unlock()
	if start {
		f.srv.spawn(f.run)
	}
}

func (f *flusher) run() {
	if f.buf == nil {
		f.buf = make([]byte, 0, 64<<10)
	}
	for {
		f.mu.Lock()
		if len(f.list) == 0 {
			f.running = false
			f.mu.Unlock()
			return
		}
		work := f.list
		f.list = f.spare[:0]
		f.mu.Unlock()
		for i, c := range work {
			f.flush(c)
			work[i] = nil
		}
		f.spare = work[:0]
	}
}

// flush writes what waits for c without blocking. Whoever finds more waiting afterwards goes to the end of the list.
func (f *flusher) flush(c *conn) {
	buf, messages := c.out.take(f.buf[:0])
	if len(buf) == 0 {
		return
	}
	if c.raw == nil {
		c.drainFrom(buf, messages)
		return
	}
	n, err := f.try.write(c.raw, buf)
	if err != nil {
		c.lose()
		return
	}
	if n < len(buf) {
		c.drainFrom(buf[n:], messages)
		return
	}
	c.srv.counters.delivered(messages, len(buf))
	c.out.mu.Lock()
	again := len(c.out.waiting) > 0
	if !again {
		c.out.busy = false
		c.out.settle()
	}
	c.out.mu.Unlock()
	if again {
		f.mu.Lock()
		f.list = append(f.list, c)
		f.mu.Unlock()
	}
}

// drainFrom gives c a goroutine that writes rest, which it copies, and all that follows.
func (c *conn) drainFrom(rest []byte, messages int) {
	rest = append(make([]byte, 0, len(rest)), rest...)
	c.srv.spawn(func() { c.drain(rest, messages) })
}

func (c *conn) drain(buf []byte, messages int) {
	for len(buf) > 0 {
		_ = c.sock.SetWriteDeadline(time.Now().Add(writeWait))
		if _, err := c.sock.Write(buf); err != nil {
			c.lose()
			return
		}
		_ = c.sock.SetWriteDeadline(time.Time{}) // it would fail the flusher's writes, long after
		c.srv.counters.delivered(messages, len(buf))
		buf, messages = c.out.take(buf[:0])
	}
}

// lose ends a connection that cannot be written to; its reader notices and runs $disconnect.
func (c *conn) lose() {
	c.out.abandon()
	c.cut()
}

// rawConn returns the descriptor of a plain TCP or Unix socket, nil for anything else (TLS, pipes): those are written by drain alone.
func rawConn(sock net.Conn) syscall.RawConn {
	sc, ok := sock.(syscall.Conn)
	if !ok || !canTryWrite {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
