package sio

import "github.com/bellhop-rt/bellhop/internal/hub"

// Wire makes a hub that speaks both dialects, and the server of this one.
func Wire(c hub.Config, o Options) (*hub.Hub, *Server) {
	rooms := &Rooms{Verifier: c.Verifier}
	c.Codecs = append(c.Codecs, Codecs(o)...)
	c.Departed, c.Asker = rooms.Departed, rooms
	rooms.Hub = hub.New(c)
	h := rooms.Hub
	return h, New(Config{
		App: rooms, Notes: h.Store, Pusher: h.Pusher, Queue: h.Queue, Options: o, Now: h.Now, Sleep: h.Sleep, Logger: h.Logger, Allow: h.Allow,
	})
}
