package console

import (
	"context"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/hubports"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// Principals takes whom an authorizer names for the user of a connection. It is for functions elsewhere: nobody else says here who it is.
func (w *Watch) Principals() {
	w.invoked = append(w.invoked, func(why invoke.Cause) {
		if why.By == invoke.ByConnect {
			w.meter.Belongs(why.Connection, why.Principal)
		}
	})
}

// Overhear is for Bellhop's functions in processes of their own, whose hubs tell nothing here: that leaves the frames that they push, one
// at a time.
func (w *Watch) Overhear() {
	w.pushed = append(w.pushed, func(e emulator.Event) {
		events := eventsOf(e.Data)
		if len(events) == 0 {
			return
		}
		d := hub.Delivery{Room: events[0].Room, Events: events, At: e.Time, To: []hub.Reached{{
			Target: hub.Target{Connection: e.Connection}, Frames: [][]byte{e.Data}, At: e.Time, Err: hubports.AsHub(e.Err),
		}}}
		w.traces.Heard(d)
		w.meter.Pushed(context.Background(), d)
	})
}

// eventsOf reads a frame in either dialect; none: it holds no event.
func eventsOf(frame []byte) []protocol.Event {
	if events, err := (protocol.JSON{}).DecodeEvents(frame); err == nil {
		return events
	}
	if e, err := packet.DecodeEvent(frame); err == nil {
		return []protocol.Event{e}
	}
	return nil
}
