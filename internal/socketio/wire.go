package socketio

import (
	"context"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// Notes keeps all that there is of a session between two frames.
type Notes interface {
	hub.Notes
	// NoteOnce stores a value where there is none, and reports whether it did.
	NoteOnce(ctx context.Context, name string, value []byte, ttl time.Time) (bool, error)
	// NoteOver stores a value over another, and reports whether that was there. It is no error, and true, if the value is there
	// already: a repetition whose answer was lost.
	NoteOver(ctx context.Context, name string, was, value []byte, ttl time.Time) (bool, error)
	// Unnote deletes a value. A missing one is no error.
	Unnote(ctx context.Context, name string) error
}

// Store is what keeps everything: what the hub keeps, and the notes.
type Store interface {
	hub.Store
	Notes
}

// Wire makes a hub whose connections may speak this dialect too, and the server of their sessions.
func Wire(c hub.Config, notes Notes, o Options) (*hub.Hub, *Server) {
	rooms := &Rooms{notes: notes, pusher: c.Pusher, verifier: c.Verifier, now: c.Now, sleep: c.Sleep}
	if rooms.now == nil {
		rooms.now = time.Now
	}
	if rooms.sleep == nil {
		rooms.sleep = hub.Sleep
	}
	for _, namespace := range o.namespaces() {
		rooms.speeches = append(rooms.speeches, speech{namespace})
	}
	c.Dialects = append(c.Dialects, rooms)
	rooms.hub = hub.New(c)
	return rooms.hub, New(Config{
		App: rooms, Notes: notes, Pusher: c.Pusher, Queue: rooms.hub, Options: o, Now: rooms.now, Sleep: rooms.sleep, Logger: c.Logger,
		Allow: rooms.hub.Allow,
	})
}
