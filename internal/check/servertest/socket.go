package servertest

import (
	"context"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/token"
)

// Socket is a client of Socket.IO, frame by frame. web/e2e/socketio.test.mjs has the real one.
type Socket struct {
	tb   testing.TB
	conn *websocket.Conn
}

// Engine opens a connection to a path, up to the open packet.
func (s *Server) Engine(path string) *Socket {
	s.tb.Helper()
	conn, status := s.Handshake(path, nil)
	if conn == nil {
		s.tb.Fatalf("handshake: status %d", status)
	}
	c := &Socket{s.tb, conn}
	s.tb.Cleanup(c.Cut)
	c.Read("0{")
	return c
}

// Socket connects a user to the namespace /.
func (s *Server) Socket(user string) *Socket {
	s.tb.Helper()
	path := "/socket.io/"
	if s.stack != nil {
		path = s.Path() + "/"
	}
	c := s.Engine(path + "?EIO=4&transport=websocket")
	c.Write(`40{"token":"` + s.Token(token.Claims{User: user}) + `"}`)
	c.Read(`40{"sid"`)
	return c
}

// Cut ends the connection without a word.
func (c *Socket) Cut() { _ = c.conn.CloseNow() }

// Read reads frames up to one that begins so.
func (c *Socket) Read(prefix string) string {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(c.tb.Context(), Patience)
	defer cancel()
	for {
		_, frame, err := c.conn.Read(ctx)
		if err != nil {
			c.tb.Fatalf("waiting for %s: %v", prefix, err)
		}
		if strings.HasPrefix(string(frame), prefix) {
			return string(frame)
		}
	}
}

// Ended reads until the server has ended the connection.
func (c *Socket) Ended() {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(c.tb.Context(), Patience)
	defer cancel()
	for err := error(nil); err == nil; {
		_, _, err = c.conn.Read(ctx)
	}
	if ctx.Err() != nil {
		c.tb.Fatal("the connection is still open")
	}
}

// Write sends a frame.
func (c *Socket) Write(frame string) {
	c.tb.Helper()
	if err := c.conn.Write(c.tb.Context(), websocket.MessageText, []byte(frame)); err != nil {
		c.tb.Fatal(err)
	}
}
