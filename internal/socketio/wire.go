package socketio

import (
	"context"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// Wire makes a hub that speaks both dialects, and the server of this one.
func Wire(c hub.Config, o Options) (*hub.Hub, *Server) {
	rooms := &Rooms{Verifier: c.Verifier}
	c.Codecs = append(c.Codecs, Codecs(o)...)
	c.Departed, c.Asker = rooms.Departed, rooms
	pusher := c.Pusher
	c.Pusher = sharing{pusher}
	rooms.Hub = hub.New(c)
	h := rooms.Hub
	return h, New(Config{
		App: rooms, Notes: h.Store, Pusher: pusher, Queue: h.Queue, Options: o, Now: h.Now, Sleep: h.Sleep, Logger: h.Logger, Allow: h.Allow,
	})
}

// socketID names a client's socket in a namespace. To the hub it is a connection of its own, with rooms, a presence and a
// codec, as sockets of Socket.IO have them; the client's sockets share one connection of API Gateway's.
func socketID(connection, namespace string) string {
	if namespace == "/" {
		return connection
	}
	return connection + "#" + namespace
}

// sharing is a Pusher for sockets.
type sharing struct{ hub.Pusher }

func (s sharing) Push(ctx context.Context, socket string, frame []byte) error {
	return s.Pusher.Push(ctx, connectionOf(socket), frame)
}

// Close ends the connection, and with it its other sockets: whoever is to be away is to be away in all namespaces.
func (s sharing) Close(ctx context.Context, socket string) error {
	return s.Pusher.Close(ctx, connectionOf(socket))
}

func (s sharing) Alive(ctx context.Context, socket string) (bool, error) {
	return s.Pusher.Alive(ctx, connectionOf(socket))
}

// connectionOf is the connection of a socket. API Gateway's ids have no '#'.
func connectionOf(socket string) string {
	connection, _, _ := strings.Cut(socket, "#")
	return connection
}
