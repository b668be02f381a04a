package gateway

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// conn is one connection, from the first authorizer event to the end of $disconnect. About 10,000 of them must fit a small machine, so
// it keeps what later events need and nothing of the HTTP request.
type conn struct {
	srv     *Server
	id      string
	sock    net.Conn
	raw     syscall.RawConn // nil if sock is not a plain socket
	flusher *flusher
	in      *bufio.Reader

	ordinal     int64 // of all connections opened; 0 if it never was
	connectedAt int64 // milliseconds
	lastActive  atomic.Int64
	remote      string
	sourceIP    string // part of remote
	userAgent   string
	domain      string
	identity    []byte // JSON
	authorizer  []byte // JSON, nil without an authorizer

	received      atomic.Int64
	receivedBytes atomic.Int64
	asked         atomic.Int64 // calls of the management API; counted only for faults

	out outbox

	slots      chan struct{} // one per message in flight; made by the first message
	header     [ws.MaxHeaderSize]byte
	partial    *[]byte // the message being received; only the reader touches it
	fragmented bool
	askedAt    time.Time // when the last message came, for the reader only

	replied atomic.Bool // since the last message came

	endMu sync.Mutex
	end   closing       // why it ended
	ended chan struct{} // closed when end is set
}

// closing is how a connection ends: what $disconnect will report.
type closing struct {
	code   int
	reason string
}

const inputSize = 512 // of the reader's buffer; payloads that do not fit are read past it

// touch is called for every message in either direction: that is what AWS counts as activity. For pings see Choices.PingsKeepAlive.
func (c *conn) touch(now time.Time) { c.lastActive.Store(now.UnixMilli()) }

// begin records why the connection ends, if nothing did before, and takes its id out of service.
func (c *conn) begin(why closing) bool {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	select {
	case <-c.ended:
		return false
	default:
	}
	c.end = why
	close(c.ended)
	c.srv.conns.remove(c)
	return true
}

func (c *conn) isEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// shut starts the closing handshake from our side: the id is gone at once, what waits is still sent, then the close frame. The reader
// ends when the peer has answered or closeWait is over.
func (c *conn) shut(why closing) bool {
	if !c.begin(why) {
		return false
	}
	_ = c.sock.SetReadDeadline(time.Now().Add(closeWait))
	c.finish(newClose(why.code, why.reason))
	return true
}

// cut closes the socket without a word.
func (c *conn) cut() { _ = c.sock.Close() }

// run reads until the connection ends, then runs $disconnect. It is the connection's one goroutine.
func (c *conn) run() {
	defer c.srv.handlers.Done()
	why := c.read()
	if c.begin(why) && why.code != codeAbnormal {
		// The peer closed: answer with its own code, as RFC 6455 section 5.5.1 asks.
		c.finish(newClose(why.code, ""))
	}
	c.await()
	c.cut()
	c.out.abandon() // whoever still holds c gets no further
	c.release()
	c.srv.counters.closed.Add(1)
	c.srv.runDisconnect(c)
}

// await gives what is still to be written a moment, if there is anybody to read it.
func (c *conn) await() {
	if c.end.code == codeAbnormal {
		return
	}
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-c.finish(nil):
	case <-timer.C:
	}
}

// read returns when the socket is done with: the peer's close, or the loss of it.
func (c *conn) read() closing {
	lost := closing{code: codeAbnormal, reason: reasonLost}
	for {
		h, err := ws.ReadHeaderBuffer(c.in, c.header[:])
		if errors.Is(err, ws.ErrHeaderLengthMSB) || errors.Is(err, ws.ErrHeaderLengthUnexpected) {
			c.violation(closing{code: codeProtocol, reason: "Protocol error"})
			return lost
		}
		if err != nil {
			return lost
		}
		if bad := c.check(h); bad.code == codeProtocol {
			c.violation(bad)
			return lost
		} else if bad.code != 0 {
			c.shut(bad)
		}
		if h.OpCode.IsControl() {
			if why, done := c.control(h); done {
				return why
			}
			continue
		}
		if c.isEnded() {
			_, err = io.CopyN(io.Discard, c.in, h.Length)
		} else {
			err = c.data(h)
		}
		if err != nil {
			return lost
		}
	}
}

// violation closes with why and reads off what comes: closing a socket with unread data would reset it and lose the close frame. The
// peer's answer cannot be told from garbage, so this takes until the peer hangs up or closeWait.
func (c *conn) violation(why closing) {
	c.shut(why)
	_, _ = io.Copy(io.Discard, c.sock)
}

// check says with what code a frame ends the connection, 0 if it does not. See "Quotas for configuring and running a WebSocket API"
// for the sizes and "Working with binary media types for WebSocket APIs" for 1003.
func (c *conn) check(h ws.Header) closing {
	if c.isEnded() {
		return closing{}
	}
	state := ws.StateServerSide
	if c.fragmented {
		state |= ws.StateFragmented
	}
	if ws.CheckHeader(h, state) != nil {
		return closing{code: codeProtocol, reason: "Protocol error"}
	}
	if h.OpCode.IsControl() {
		return closing{}
	}
	if h.OpCode == ws.OpBinary {
		return closing{code: codeUnsupported, reason: "Binary frames are not supported"}
	}
	if h.Length > maxFrame || h.Length+int64(c.pending()) > maxMessage {
		return closing{code: codeTooBig, reason: "Message too big"}
	}
	return closing{}
}

func (c *conn) pending() int {
	if c.partial == nil {
		return 0
	}
	return len(*c.partial)
}

// control handles a control frame; done means the connection has ended.
func (c *conn) control(h ws.Header) (why closing, done bool) {
	var buf [ws.MaxControlFramePayloadSize]byte
	if h.Length > int64(len(buf)) { // only possible while the connection is closing, when frames are no longer checked
		return closing{code: codeAbnormal, reason: reasonLost}, true
	}
	payload := buf[:h.Length]
	if _, err := io.ReadFull(c.in, payload); err != nil {
		return closing{code: codeAbnormal, reason: reasonLost}, true
	}
	if h.Masked {
		ws.Cipher(payload, h.Mask, 0)
	}
	switch h.OpCode {
	case ws.OpPing:
		if c.srv.cfg.Choices.PingsKeepAlive {
			c.touch(c.srv.cfg.Now())
		}
		_ = c.push(newPong(payload)) // UNCONFIRMED that AWS answers; a full queue drops it
	case ws.OpClose:
		return c.closed(payload), true
	default: // an unasked pong says nothing
	}
	return closing{}, false
}

// closed reads the peer's close frame.
func (c *conn) closed(payload []byte) closing {
	if len(payload) == 0 {
		return closing{code: codeNoStatus, reason: reasonNoStatus}
	}
	code, reason := ws.ParseCloseFrameData(payload)
	if len(payload) == 1 || code > maxCloseCode || ws.CheckCloseFrameData(code, reason) != nil {
		return closing{code: codeProtocol, reason: "Protocol error"}
	}
	return closing{code: int(code), reason: reason}
}

// data reads the payload of a data frame and, with the last one, handles the message.
func (c *conn) data(h ws.Header) error {
	if c.partial == nil {
		c.partial = c.srv.buffers.Get().(*[]byte) // the pool holds nothing else
	}
	old, n := len(*c.partial), int(h.Length)
	if room := cap(*c.partial) - old; room < n {
		*c.partial = append(*c.partial, make([]byte, n)...)
	} else {
		*c.partial = (*c.partial)[:old+n]
	}
	payload := (*c.partial)[old:]
	if _, err := io.ReadFull(c.in, payload); err != nil {
		return err
	}
	ws.Cipher(payload, h.Mask, 0)
	c.fragmented = !h.Fin
	if !h.Fin {
		return nil
	}
	if !utf8.Valid(*c.partial) {
		c.shut(closing{code: codeInvalid, reason: "Invalid UTF-8"})
	} else {
		c.message(*c.partial)
	}
	c.release()
	return nil
}

func (c *conn) release() {
	if c.partial == nil {
		return
	}
	*c.partial = (*c.partial)[:0]
	c.srv.buffers.Put(c.partial)
	c.partial = nil
}

// message starts what a message asks for. body is only valid during the call.
func (c *conn) message(body []byte) {
	s := c.srv
	now := c.arrival()
	c.touch(now)
	c.received.Add(1)
	c.receivedBytes.Add(int64(len(body)))
	s.counters.messagesIn.Add(1)
	s.counters.bytesIn.Add(int64(len(body)))

	e := exchange{conn: c, to: c, route: s.routeFor(body), requestID: newID(), at: now, bytes: len(body)}
	if s.cfg.Observe != nil {
		e.data = append([]byte(nil), body...)
	}
	if !e.settled(body) {
		e.invoke(body)
	}
}

// arrival is when the message that is being read came. Over a network what is sent after a reply comes a round trip later; here that may be
// within the same millisecond, the unit of requestTimeEpoch, and functions would take the two for sent at once.
func (c *conn) arrival() time.Time {
	now := c.srv.cfg.Now()
	if c.replied.Swap(false) && !now.Truncate(time.Millisecond).After(c.askedAt) {
		now = c.askedAt.Truncate(time.Millisecond).Add(time.Millisecond)
	}
	if now.After(c.askedAt) {
		c.askedAt = now
	}
	return c.askedAt
}

// settled answers a message for which no function runs.
func (e exchange) settled(body []byte) bool {
	switch {
	case e.route == nil:
		e.fail(frameForbidden, nil)
	case !e.route.allow(e.at):
		e.conn.srv.counters.throttled.Add(1)
		e.fail(frameThrottled, nil)
	case e.route.broken != "":
		e.fail(frameInternal, errors.New(e.route.broken))
	case e.route.models != nil && !e.fits(body): // has been answered
	case e.route.mock != nil:
		e.answerMock(body)
	default:
		return false
	}
	return true
}

// fits checks the message against the route's models, and answers one that does not fit.
func (e exchange) fits(body []byte) bool {
	err := e.route.models.check(body)
	if err != nil {
		e.refuse(err)
	}
	return err == nil
}

// event is what the route's function is invoked with, and what for.
func (e exchange) event(body []byte) ([]byte, invoke.Cause, error) {
	why := invoke.Cause{By: invoke.ByMessage, Connection: e.conn.id, Route: e.route.key}
	switch {
	case e.route.http != nil:
		return e.route.http.event(scope{e: e, message: body}), why, nil
	case e.route.service != nil:
		event, err := e.route.service.event(scope{e: e, message: body})
		return event, why, err
	}
	return e.conn.appendMessage(nil, e.route.key, e.requestID, e.at, body), why, nil
}

// invoke runs the route's function. It waits while the connection has too many messages in flight.
func (e exchange) invoke(body []byte) {
	c := e.conn
	if c.slots == nil {
		c.slots = make(chan struct{}, c.srv.cfg.Choices.inFlight())
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.ended: // the server closes it: a message not yet started is dropped
		return
	}
	payload, why, err := e.event(body)
	if err != nil {
		<-c.slots
		e.failMapping(err)
		return
	}
	call := invoke.Call{
		Target: e.route.fn, Payload: payload, Limit: e.route.timeout, Cause: why,
		Done:  e.complete,
		After: func() { <-c.slots },
	}
	f := &c.srv.cfg.Faults
	if f.Shuffle <= 0 {
		c.srv.cfg.Functions.Start(call)
		return
	}
	delay := f.duration(f.Shuffle, drawShuffle, c.ordinal, c.received.Load()) // only the reader counts
	c.srv.spawn(func() {
		c.srv.hold(delay)
		c.srv.cfg.Functions.Start(call)
	})
}
