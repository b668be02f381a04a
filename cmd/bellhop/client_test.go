package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// running is a server under test.
type running struct {
	*server
	tb  testing.TB
	url string // http://127.0.0.1:port
}

// start runs a server on a store until the test ends.
func start(tb testing.TB, store socketio.Store, change ...func(*serverConfig)) *running {
	tb.Helper()
	c := serverConfig{
		Store: store, Secret: []byte(token.DevelopmentSecret), Origins: []string{"http://localhost:*"}, Minting: true,
		Logger:     slog.New(slog.DiscardHandler),
		Parameters: map[string]string{"PresenceGrace": "300ms", "RateLimit": "1000", "RateBurst": "1000"},
	}
	for _, f := range change {
		f(&c)
	}
	if d, ok := store.(deployed); ok {
		c.Processes = d.processes(tb, c)
	}
	s, err := newServer(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	web := httptest.NewServer(s.handler())
	if c.Processes != nil {
		c.Processes.at(web.URL)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.stop(ctx); err != nil {
			tb.Errorf("stop: %v", err)
		}
		web.Close()
	})
	return &running{server: s, tb: tb, url: web.URL}
}

func (r *running) token(c token.Claims) string {
	r.tb.Helper()
	if c.Name == "" {
		c.Name = strings.ToUpper(c.User[:1]) + c.User[1:]
	}
	if c.Grants == nil {
		c.Grants = allGrants()
	}
	signed, err := token.Sign([]byte(token.DevelopmentSecret), c)
	if err != nil {
		r.tb.Fatal(err)
	}
	return signed
}

// handshake tries to connect and gives the status.
func (r *running) handshake(path string, header http.Header, subprotocols ...string) (*websocket.Conn, int) {
	r.tb.Helper()
	ctx, cancel := context.WithTimeout(r.tb.Context(), patience)
	defer cancel()
	//nolint:bodyclose // Dial's own comment: you never need to close it
	conn, response, err := websocket.Dial(ctx, strings.Replace(r.url, "http", "ws", 1)+path, &websocket.DialOptions{
		Subprotocols: subprotocols, HTTPHeader: header,
	})
	if err != nil && response == nil {
		r.tb.Fatal(err)
	}
	return conn, response.StatusCode
}

// client is one browser tab.
type client struct {
	tb     testing.TB
	conn   *websocket.Conn
	frames chan map[string]any // closed with the connection
	closed chan error          // holds why
	held   []map[string]any    // frames that a wait has passed over
	next   int
}

func (r *running) connect(user string, grants ...string) *client {
	r.tb.Helper()
	g, err := parseGrantFlags(grants)
	if err != nil {
		r.tb.Fatal(err)
	}
	return r.connectWith(r.token(token.Claims{User: user, Grants: g}))
}

func (r *running) connectWith(bearer string) *client {
	r.tb.Helper()
	conn, status := r.handshake("/dev", nil, "bellhop.v1", "bearer."+bearer)
	if status != http.StatusSwitchingProtocols {
		r.tb.Fatalf("handshake: got status %d", status)
	}
	if got := conn.Subprotocol(); got != "bellhop.v1" {
		r.tb.Fatalf("got subprotocol %q", got)
	}
	conn.SetReadLimit(1 << 20)
	c := &client{tb: r.tb, conn: conn, frames: make(chan map[string]any, 4096), closed: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.read()
	}()
	r.tb.Cleanup(func() {
		_ = conn.CloseNow()
		<-done
	})
	return c
}

func (c *client) read() {
	defer close(c.frames)
	for {
		_, b, err := c.conn.Read(context.Background())
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

func (c *client) sendText(text string) {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.tb.Fatalf("send: %v", err)
	}
}

func (c *client) send(frame map[string]any) {
	c.tb.Helper()
	b, err := json.Marshal(frame)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.sendText(string(b))
}

// wait gives the first frame that fits, and keeps the others for later waits.
func (c *client) wait(what string, fits func(map[string]any) bool) map[string]any {
	c.tb.Helper()
	for i, f := range c.held {
		if fits(f) {
			c.held = append(c.held[:i], c.held[i+1:]...)
			return f
		}
	}
	limit := time.NewTimer(patience)
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

// ask sends an action and gives its reply.
func (c *client) ask(frame map[string]any) map[string]any {
	c.tb.Helper()
	if frame["id"] == nil {
		c.next++
		frame["id"] = fmt.Sprintf("ask-%p-%d", c, c.next)
	}
	c.send(frame)
	return c.wait(fmt.Sprintf("reply to %v", frame), func(f map[string]any) bool { return f["reply"] == frame["id"] })
}

// must is ask for what has to work; it gives the reply's data.
func (c *client) must(frame map[string]any) map[string]any {
	c.tb.Helper()
	f := c.ask(frame)
	if f["ok"] != true {
		c.tb.Fatalf("%v was refused: %v", frame, f["error"])
	}
	data, _ := f["data"].(map[string]any)
	return data
}

// insist is ask until it works, for as long as the answer says that it may.
func (c *client) insist(frame map[string]any) {
	c.tb.Helper()
	for {
		f := c.ask(frame)
		if f["ok"] == true {
			return
		}
		if e := object(f, "error"); e["retry"] != true {
			c.tb.Errorf("%v was refused: %v", frame, e)
			return
		}
	}
}

// refused is ask for what must not work; it gives the code.
func (c *client) refused(frame map[string]any) string {
	c.tb.Helper()
	return codeOf(c.tb, c.ask(frame))
}

func codeOf(tb testing.TB, f map[string]any) string {
	tb.Helper()
	e, _ := f["error"].(map[string]any)
	code, _ := e["code"].(string)
	if message, _ := e["message"].(string); f["ok"] != false || code == "" || message == "" {
		tb.Fatalf("not a refusal: %v", f)
	}
	return code
}

// event waits for an event of a room.
func (c *client) event(name, room string) map[string]any {
	c.tb.Helper()
	return c.wait(name+" of "+room, func(f map[string]any) bool { return f["event"] == name && (room == "" || f["room"] == room) })
}

// nothing fails if an event is there by the time a ping is answered: what was sent before it has come by then.
func (c *client) nothing(name string) {
	c.tb.Helper()
	c.sendText(`{"action":"ping"}`)
	c.wait("pong", func(f map[string]any) bool { return f["event"] == "pong" })
	for _, f := range c.held {
		if f["event"] == name {
			c.tb.Fatalf("%s must not have come: %v", name, f)
		}
	}
}

// ending waits for the end of the connection and gives the close code.
func (c *client) ending() websocket.StatusCode {
	c.tb.Helper()
	select {
	case err := <-c.closed:
		return websocket.CloseStatus(err)
	case <-time.After(patience):
		c.tb.Fatal("the connection is still open")
		return 0
	}
}

func object(f map[string]any, key string) map[string]any {
	o, _ := f[key].(map[string]any)
	return o
}

// emit sends a command as another program would.
func (r *running) emit(command map[string]any) map[string]any {
	r.tb.Helper()
	b, err := json.Marshal(command)
	if err != nil {
		r.tb.Fatal(err)
	}
	out, err := r.emulator.Invoke(r.tb.Context(), "emit", b)
	if err != nil {
		r.tb.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(out, &answer); err != nil {
		r.tb.Fatal(err)
	}
	return answer
}

func (r *running) mustEmit(command map[string]any) map[string]any {
	r.tb.Helper()
	answer := r.emit(command)
	if answer["ok"] != true {
		r.tb.Fatalf("%v: %v", command, answer)
	}
	return object(answer, "data")
}
