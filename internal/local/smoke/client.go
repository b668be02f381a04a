package smoke

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// frame is what a server sends.
type frame struct {
	Reply string          `json:"reply"` // "" in an event
	OK    bool            `json:"ok"`
	Error *refusal        `json:"error"`
	Event string          `json:"event"`
	Room  string          `json:"room"`
	ID    string          `json:"id"`
	From  protocol.From   `json:"from"`
	Data  json.RawMessage `json:"data"`
	Batch []frame         `json:"batch"`

	at time.Time // when it came
}

// refusal is the error of a reply.
type refusal struct {
	Code         string `json:"code"`
	Message      string `json:"message"`
	RetryAfterMs int64  `json:"retryAfterMs"`
}

// Error gives code and message.
func (e *refusal) Error() string { return e.Code + ": " + e.Message }

// handshakeError is a handshake that was answered, but not with a connection.
type handshakeError struct{ status int }

// Error names the status.
func (e *handshakeError) Error() string {
	return fmt.Sprintf("the handshake was answered %d %s", e.status, http.StatusText(e.status))
}

// client is one connection, for one goroutine.
type client struct {
	user   string
	conn   *websocket.Conn
	frames chan frame    // closed with the connection, after err is set; when it is full, the server has to wait
	done   chan struct{} // closed when nothing reads any more
	err    error
	held   []frame // came while something else was waited for
}

// dial connects. An empty token offers none.
func dial(ctx context.Context, address, user, bearer string) (*client, error) {
	options := &websocket.DialOptions{Subprotocols: []string{protocol.Name}}
	if bearer != "" {
		options.Subprotocols = append(options.Subprotocols, token.Bearer+bearer)
	}
	//nolint:bodyclose // Dial's own comment: you never need to close it
	conn, response, err := websocket.Dial(ctx, address, options)
	if err != nil && response != nil && response.StatusCode != http.StatusSwitchingProtocols {
		return nil, &handshakeError{response.StatusCode}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	conn.SetReadLimit(protocol.MaxServerFrame)
	const most = 4096 // frames
	c := &client{user: user, conn: conn, frames: make(chan frame, most), done: make(chan struct{})}
	go c.read(context.WithoutCancel(ctx))
	return c, nil
}

func (c *client) read(ctx context.Context) {
	defer close(c.done)
	defer close(c.frames)
	for {
		_, text, err := c.conn.Read(ctx)
		if err != nil {
			c.err = err
			return
		}
		at := time.Now()
		var f frame
		if len(text) == 0 { // what some emulators send for a reply that says nothing
			continue
		}
		if err := json.Unmarshal(text, &f); err != nil {
			c.err = fmt.Errorf("the server sent no JSON: %.200q", text)
			return
		}
		list := f.Batch
		if list == nil {
			list = []frame{f}
		}
		for _, one := range list {
			one.at = at
			c.frames <- one
		}
	}
}

// leave says goodbye.
func (c *client) leave() {
	_ = c.conn.Close(websocket.StatusNormalClosure, "")
	c.drain()
}

// cut ends the connection as a lost network does, as far as a program can.
func (c *client) cut() {
	_ = c.conn.CloseNow()
	c.drain()
}

// drain lets the reader end.
func (c *client) drain() {
	for range c.frames {
		continue
	}
	<-c.done
}

func (c *client) send(ctx context.Context, action map[string]any) error {
	text, err := json.Marshal(action)
	if err != nil {
		return fmt.Errorf("encode %v: %w", action["action"], err)
	}
	if err := c.conn.Write(ctx, websocket.MessageText, text); err != nil {
		return fmt.Errorf("send %v: %w", action["action"], err)
	}
	return nil
}

// wait gives the first frame that fits, and keeps the others for later.
func (c *client) wait(ctx context.Context, what string, fits func(frame) bool) (frame, error) {
	if i := slices.IndexFunc(c.held, fits); i >= 0 {
		f := c.held[i]
		c.held = slices.Delete(c.held, i, i+1)
		return f, nil
	}
	for {
		select {
		case f, open := <-c.frames:
			switch {
			case !open:
				return frame{}, fmt.Errorf("the connection ended before %s came: %w", what, c.err)
			case fits(f):
				return f, nil
			}
			c.held = append(c.held, f)
		case <-ctx.Done():
			return frame{}, fmt.Errorf("%s did not come: %w", what, context.Cause(ctx))
		}
	}
}

// event waits for an event by its name and id; an empty id is any.
func (c *client) event(ctx context.Context, name, id string) (frame, error) {
	return c.wait(ctx, name, func(f frame) bool { return f.Event == name && (id == "" || f.ID == id) })
}

// from waits for an event about a user.
func (c *client) from(ctx context.Context, name, room, user string) (frame, error) {
	return c.wait(ctx, fmt.Sprintf("%s of %s", name, user), func(f frame) bool {
		return f.Event == name && f.Room == room && f.From.UserID == user
	})
}

// span is from when an action was sent to when its reply came.
type span struct{ from, to time.Time }

func (s span) took() time.Duration { return s.to.Sub(s.from) }

// ask sends an action until it is not refused for its rate, and reads the data of its reply. The span is that of the last time.
func (c *client) ask(ctx context.Context, action map[string]any, into any) (span, error) {
	if action["id"] == nil {
		action["id"] = rand.Text()
	}
	for {
		began := time.Now()
		if err := c.send(ctx, action); err != nil {
			return span{}, err
		}
		f, err := c.wait(ctx, fmt.Sprintf("the reply to %v", action["action"]), func(f frame) bool { return f.Reply == action["id"] })
		switch {
		case err != nil:
			return span{}, err
		case f.OK && into != nil:
			if err := json.Unmarshal(f.Data, into); err != nil {
				return span{}, fmt.Errorf("the reply to %v: %w", action["action"], err)
			}
			return span{began, f.at}, nil
		case f.OK:
			return span{began, f.at}, nil
		case f.Error == nil:
			return span{}, fmt.Errorf("the reply to %v is neither yes nor no", action["action"])
		case f.Error.Code != string(protocol.CodeRateLimited):
			return span{}, f.Error
		}
		if err := pause(ctx, time.Duration(f.Error.RetryAfterMs)*time.Millisecond); err != nil {
			return span{}, err
		}
	}
}

// pause waits, 50 ms at least.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 50*time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join enters a room.
func (c *client) join(ctx context.Context, room string, since *protocol.Position) (protocol.JoinResult, span, error) {
	action := map[string]any{"action": "join", "room": room}
	if since != nil {
		action["since"] = since
	}
	var got protocol.JoinResult
	reply, err := c.ask(ctx, action, &got)
	return got, reply, err
}

// publish says something in a room.
func (c *client) publish(ctx context.Context, room, id string) (protocol.PublishResult, span, error) {
	var got protocol.PublishResult
	reply, err := c.ask(ctx, map[string]any{
		"action": "publish", "id": id, "room": room, "event": said, "data": map[string]string{"from": "bellhop check"},
	}, &got)
	return got, reply, err
}

// refused is the code of a refusal, or "".
func refused(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.Code
	}
	return ""
}
