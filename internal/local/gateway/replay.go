package gateway

import (
	"context"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// replay takes what is answered to a message that its connection did not send.
type replay struct {
	body []byte
	err  error
}

func (r *replay) answer(body []byte)                { r.body = body }
func (r *replay) fault(frame []byte)                { r.body = frame }
func (r *replay) done(_ exchange, _ int, err error) { r.err = err }

// Replay does with a message what is done with those of a connection, but gives the answer instead of sending it; nil: there is none. The
// connection and who watches see nothing of it. Errors are those of Post, or why there is only an error frame.
func (s *Server) Replay(ctx context.Context, id string, message []byte) (answer []byte, err error) {
	if len(message) > maxMessage {
		return nil, errTooLarge()
	}
	c, unknown := s.find(id)
	if unknown != nil {
		return nil, unknown
	}
	r := &replay{}
	e := exchange{conn: c, to: r, route: s.routeFor(message), requestID: newID(), at: s.cfg.Now(), bytes: len(message)}
	if !e.settled(message) {
		event, why, err := e.event(message)
		if err != nil {
			e.failMapping(err)
			return r.body, r.err
		}
		e.complete(s.cfg.Functions.Await(invoke.For(ctx, why), e.route.fn, event, e.route.timeout))
	}
	return r.body, r.err
}
