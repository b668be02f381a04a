package servertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// Client is one browser tab, which speaks bellhop.v1.
type Client struct {
	tb     testing.TB
	Conn   *websocket.Conn
	frames chan map[string]any // closed with the connection
	closed chan error          // holds why
	held   []map[string]any    // frames that a wait has passed over
	next   int
}

// Connect opens a connection of a user, who may do what grants such as "channel:1=join,publish" say, or everything.
func (s *Server) Connect(user string, grants ...string) *Client {
	s.tb.Helper()
	var g hub.Grants // none named: all
	for _, grant := range grants {
		rooms, what, _ := strings.Cut(grant, "=")
		if g == nil {
			g = hub.Grants{}
		}
		g[rooms] = strings.Split(what, ",")
	}
	return s.ConnectWith(s.Token(token.Claims{User: user, Grants: g}))
}

// ConnectWith opens a connection with a token.
func (s *Server) ConnectWith(bearer string) *Client {
	s.tb.Helper()
	conn, status := s.Handshake("/dev", nil, "bellhop.v1", "bearer."+bearer)
	if status != http.StatusSwitchingProtocols {
		s.tb.Fatalf("handshake: got status %d", status)
	}
	if got := conn.Subprotocol(); got != "bellhop.v1" && s.stack == nil { // emulators of AWS select none
		s.tb.Fatalf("got subprotocol %q", got)
	}
	conn.SetReadLimit(1 << 20)
	c := &Client{tb: s.tb, Conn: conn, frames: make(chan map[string]any, 4096), closed: make(chan error, 1)}
	go c.read()
	s.tb.Cleanup(func() {
		_ = conn.CloseNow()
		for range c.frames { // what nobody has looked at, until read ends
		}
	})
	return c
}

func (c *Client) read() {
	defer close(c.frames)
	for {
		_, b, err := c.Conn.Read(context.Background())
		if err != nil {
			c.closed <- err
			return
		}
		var f map[string]any
		if err := json.Unmarshal(b, &f); err != nil {
			c.closed <- fmt.Errorf("not JSON: %q", b)
			return
		}
		c.frames <- f
	}
}

// SendText sends a frame that is written out.
func (c *Client) SendText(text string) {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := c.Conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.tb.Fatalf("send: %v", err)
	}
}

// Send sends a frame.
func (c *Client) Send(frame map[string]any) {
	c.tb.Helper()
	b, err := json.Marshal(frame)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.SendText(string(b))
}

// Wait gives the first frame that fits, and keeps the others for later waits.
func (c *Client) Wait(what string, fits func(map[string]any) bool) map[string]any {
	c.tb.Helper()
	for i, f := range c.held {
		if fits(f) {
			c.held = append(c.held[:i], c.held[i+1:]...)
			return f
		}
	}
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	for {
		select {
		case f, open := <-c.frames:
			switch {
			case !open:
				c.tb.Fatalf("the connection ended while waiting for %s; held: %v", what, c.held)
			case fits(f):
				return f
			}
			c.held = append(c.held, f)
		case <-limit.C:
			c.tb.Fatalf("no %s came; held: %v", what, c.held)
		}
	}
}

// Ask sends an action and gives its reply.
func (c *Client) Ask(frame map[string]any) map[string]any {
	c.tb.Helper()
	if frame["id"] == nil {
		c.next++
		frame["id"] = fmt.Sprintf("ask-%p-%d", c, c.next)
	}
	c.Send(frame)
	return c.Wait(fmt.Sprintf("reply to %v", frame), func(f map[string]any) bool { return f["reply"] == frame["id"] })
}

// Must is ask for what has to work; it gives the reply's data.
func (c *Client) Must(frame map[string]any) map[string]any {
	c.tb.Helper()
	f := c.Ask(frame)
	if f["ok"] != true {
		c.tb.Fatalf("%v was refused: %v", frame, f["error"])
	}
	data, _ := f["data"].(map[string]any)
	return data
}

// Insist is ask until it works, for as long as the answer says that it may.
func (c *Client) Insist(frame map[string]any) {
	c.tb.Helper()
	for {
		f := c.Ask(frame)
		if f["ok"] == true {
			return
		}
		if e := Object(f, "error"); e["retry"] != true {
			c.tb.Errorf("%v was refused: %v", frame, e)
			return
		}
	}
}

// Refused is ask for what must not work; it gives the code.
func (c *Client) Refused(frame map[string]any) string {
	c.tb.Helper()
	return CodeOf(c.tb, c.Ask(frame))
}

// CodeOf is the code of a refusal.
func CodeOf(tb testing.TB, f map[string]any) string {
	tb.Helper()
	e, _ := f["error"].(map[string]any)
	code, _ := e["code"].(string)
	if message, _ := e["message"].(string); f["ok"] != false || code == "" || message == "" {
		tb.Fatalf("not a refusal: %v", f)
	}
	return code
}

// Event waits for an event of a room.
func (c *Client) Event(name, room string) map[string]any {
	c.tb.Helper()
	return c.Wait(name+" of "+room, func(f map[string]any) bool { return f["event"] == name && (room == "" || f["room"] == room) })
}

// Nothing fails if an event is there by the time a ping is answered: what was sent before it has come by then.
func (c *Client) Nothing(name string) {
	c.tb.Helper()
	c.SendText(`{"action":"ping"}`)
	c.Wait("pong", func(f map[string]any) bool { return f["event"] == "pong" })
	for _, f := range c.held {
		if f["event"] == name {
			c.tb.Fatalf("%s must not have come: %v", name, f)
		}
	}
}

// Ending waits for the end of the connection and gives the close code.
func (c *Client) Ending() websocket.StatusCode {
	c.tb.Helper()
	select {
	case err := <-c.closed:
		return websocket.CloseStatus(err)
	case <-time.After(Patience):
		c.tb.Fatal("the connection is still open")
		return 0
	}
}

// Object is a field that is an object; nil if it is not there.
func Object(f map[string]any, key string) map[string]any {
	o, _ := f[key].(map[string]any)
	return o
}

// Does is Must of a frame that is written out.
func (c *Client) Does(frame string) map[string]any {
	c.tb.Helper()
	var f map[string]any
	if err := json.Unmarshal([]byte(frame), &f); err != nil {
		c.tb.Fatal(err)
	}
	return c.Must(f)
}
