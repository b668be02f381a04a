package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// The messages of error frames. Their exact text was seen in captures, but for throttling, which is UNCONFIRMED.
const (
	frameForbidden = "Forbidden"
	frameInternal  = "Internal server error"
	frameTimeout   = "Endpoint request timed out"
	frameThrottled = "Too Many Requests"
	frameMediaType = "Unsupported Media Type" // UNCONFIRMED
)

// exchange is one message on its way through a route.
type exchange struct {
	conn      *conn
	to        receiver
	route     *route // nil if none was found
	requestID string
	at        time.Time
	bytes     int
	data      []byte // a copy of the message; only for observers
}

// receiver is who gets the answer to a message: the connection's client, or who replays the message.
type receiver interface {
	// answer takes what the route answers. A client that does not read loses it.
	answer(body []byte)
	// fault takes an error frame.
	fault(frame []byte)
	// done is told what came of it.
	done(e exchange, status int, err error)
}

// complete sends what a function's result means for the client. On a one-way route that is nothing, whatever the function returned: only
// a thrown error shows. See "Set up route responses for WebSocket APIs in API Gateway".
func (e exchange) complete(out []byte, err error) {
	switch {
	case errors.Is(err, invoke.ErrNotInTime):
		e.fail(frameTimeout, err)
		return
	case err != nil:
		e.fail(frameInternal, err)
		return
	case !e.route.twoWay && e.route.service == nil:
		e.to.done(e, statusOf(out), nil)
		return
	}
	res, err := parseProxyResponse(out)
	if err != nil {
		e.fail(frameInternal, err)
		return
	}
	if e.route.service != nil {
		e.completeService(res)
		return
	}
	choices := &e.conn.srv.cfg.Choices
	if choices.StrictRouteResponses && passOn(res.status) != 0 {
		e.fail(frameInternal, fmt.Errorf("the function returned status %d", res.status))
		return
	}
	if len(res.body) > 0 || choices.EmptyFrames {
		e.send(res.body)
	}
	e.to.done(e, res.status, nil)
}

func (e exchange) answerMock(body []byte) {
	status, out, err := e.route.mock.answer(e, body)
	if err != nil {
		e.failMapping(err)
		return
	}
	if e.route.twoWay && len(out) > 0 {
		e.send(out)
	}
	e.to.done(e, status, nil)
}

// failMapping says that a message could not be mapped.
func (e exchange) failMapping(err error) {
	if errors.Is(err, errUnsupportedMedia) {
		e.fail(frameMediaType, err)
		return
	}
	e.fail(frameInternal, err)
}

// send answers.
func (e exchange) send(body []byte) {
	if len(body) > maxMessage {
		e.fail(frameInternal, errors.New("the response is larger than 128 KB"))
		return
	}
	e.to.answer(body)
}

// fail sends an error frame. The spaces are where AWS has them.
func (e exchange) fail(message string, err error) {
	c := e.conn
	b := make([]byte, 0, 128)
	b = append(b, `{"message": "`...)
	b = append(b, message...)
	b = append(b, `", "connectionId":"`...)
	b = append(b, c.id...)
	b = append(b, `", "requestId":"`...)
	b = append(b, e.requestID...)
	b = append(b, `"}`...)
	e.failWith(b, statusFor(message), cmp.Or(err, errors.New(message)))
}

// refuse sends the frame of a message that does not fit the route's model. Its members are documented with "Request validation for
// WebSocket APIs"; its spaces are UNCONFIRMED.
func (e exchange) refuse(err error) {
	b := append([]byte(`{"message" : "Bad request body", "connectionId":"`), e.conn.id...)
	b = append(b, `", "messageId":"`...)
	b = append(b, newID()...)
	b = append(b, `"}`...)
	e.failWith(b, http.StatusBadRequest, err)
}

func (e exchange) failWith(frame []byte, status int, err error) {
	e.to.fault(frame)
	e.to.done(e, status, err)
}

func statusFor(message string) int {
	switch message {
	case frameForbidden:
		return http.StatusForbidden
	case frameThrottled:
		return http.StatusTooManyRequests
	case frameTimeout:
		return http.StatusGatewayTimeout
	case frameMediaType:
		return http.StatusUnsupportedMediaType
	}
	return http.StatusInternalServerError
}

func (c *conn) answer(body []byte) {
	c.replied.Store(true)
	switch err := c.push(NewFrame(body)); {
	case err == nil:
		c.touch(c.srv.cfg.Now())
	case errors.Is(err, errSlow):
		c.srv.counters.throttled.Add(1)
	}
}

func (c *conn) fault(frame []byte) {
	_ = c.push(NewFrame(frame))
	c.srv.counters.errors.Add(1)
}

// done tells who watches.
func (c *conn) done(e exchange, status int, err error) {
	s := c.srv
	if s.cfg.Observe == nil {
		return
	}
	ev := Event{
		Kind: KindMessage, Connection: c.id, Status: status, Err: err, Bytes: e.bytes, Data: e.data,
		Time: e.at, Duration: s.cfg.Now().Sub(e.at),
	}
	if e.route != nil {
		ev.Route = e.route.key
		if e.route.fn != nil {
			ev.Function = e.route.fn.ID
		}
	}
	s.cfg.Observe(ev)
}
