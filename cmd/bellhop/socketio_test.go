package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// socket is a client of Socket.IO, frame by frame. web/e2e/socketio.test.mjs has the real one.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

func (r *running) socket(t *testing.T, user string) *socket {
	t.Helper()
	conn, status := r.handshake("/socket.io/?EIO=4&transport=websocket", nil)
	if conn == nil {
		t.Fatalf("handshake: status %d", status)
	}
	c := &socket{t, conn}
	t.Cleanup(func() { _ = conn.CloseNow() })
	c.read("0{")
	c.write(`40{"token":"` + r.token(token.Claims{User: user}) + `"}`)
	c.read(`40{"sid"`)
	return c
}

// read reads frames up to one that begins so.
func (c *socket) read(prefix string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for {
		_, frame, err := c.conn.Read(ctx)
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", prefix, err)
		}
		if strings.HasPrefix(string(frame), prefix) {
			return string(frame)
		}
	}
}

func (c *socket) write(frame string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		c.t.Fatal(err)
	}
}

// TestSocketIO: clients of both dialects share a room, and pings find a dead one, wherever the functions run.
func TestSocketIO(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store socketio.Store) {
		s := start(t, store, func(c *serverConfig) {
			c.Parameters["SocketPingInterval"], c.Parameters["SocketPingTimeout"] = "3s", "1s"
		})
		ana, bob := s.socket(t, "ana"), s.connect("bob")
		bob.must(map[string]any{"action": "join", "room": "channel:1"})
		ana.write(`420["join:channel","1"]`)
		ana.read(`430[{"ok":true`)
		ana.write(`421["message:send",{"channelId":"1","content":"hi","id":"m1"}]`)
		ana.read(`42["message:new",{"content":"hi"},{"room":"channel:1","seq":1`)
		if e := bob.event("message:new", "channel:1"); object(e, "from")["userId"] != "ana" {
			t.Errorf("bob got %v", e)
		}
		bob.must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "data": map[string]any{"content": "hello"}})
		ana.read(`42["message:new",{"content":"hello"}`)
		for range 2 {
			ana.read("2")
			ana.write("3")
		}
		ana.read("2") // and no answer from now on
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for err := error(nil); err == nil; {
			_, _, err = ana.conn.Read(ctx)
		}
		if ctx.Err() != nil {
			t.Error("a dead client is kept")
		}
		eventually(t, "ana has gone", func() bool {
			members, _ := s.mustEmit(map[string]any{"command": "members", "room": "channel:1"})["members"].([]any)
			return len(members) == 1
		})
	})
}

// TestSocketIOIsRecovered: a client that was cut off is where it was, with what it missed.
func TestSocketIOIsRecovered(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store socketio.Store) {
		s := start(t, store)
		conn, _ := s.handshake("/dev?EIO=4&transport=websocket&token="+s.token(token.Claims{User: "ana"}), nil)
		ana := &socket{t, conn}
		ana.read("0{")
		ana.write("40")
		welcome := ana.read("40{")
		_, rest, _ := strings.Cut(welcome, `"pid":"`)
		pid, _, _ := strings.Cut(rest, `"`)
		ana.write(`420["join",{"room":"channel:1"}]`)
		ana.read("430[")
		_ = ana.conn.CloseNow()
		s.mustEmit(map[string]any{"command": "publish", "rooms": []string{"channel:1"}, "event": "news", "id": "n1", "data": 1})
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // the end of the old connection may come before or after the new one
		conn, _ = s.handshake("/dev/?EIO=4&transport=websocket&token="+s.token(token.Claims{User: "ana"}), nil)
		again := &socket{t, conn}
		t.Cleanup(func() { _ = conn.CloseNow() })
		again.read("0{")
		again.write(`40{"pid":"` + pid + `"}`)
		again.read(`42["news",1,{"room":"channel:1","seq":1,"id":"n1"`)
		if got := again.read("40{"); got != welcome {
			t.Errorf("welcomed by %s, before by %s", got, welcome)
		}
	})
}
