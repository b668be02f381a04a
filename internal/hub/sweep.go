package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Swept is what a sweep found.
type Swept struct {
	Connections int64 `json:"connections"` // rows walked
	Gone        int64 `json:"gone"`        // departed because the connection is not open
	Expired     int64 `json:"expired"`     // closed because its token is over
	Unfinished  int64 `json:"unfinished"`  // departures and arrivals that a crash had cut short
}

// Sweep walks all connections and puts right what nobody noticed: connections that went without a disconnect, tokens
// that expired, departures that a crash cut short. It may run twice at once, and be cut off anywhere.
func (h *Hub) Sweep(ctx context.Context) (Swept, error) {
	var found sweeping
	err := each(Partitions, 8, func(partition int) error {
		for rows, err := range h.pages(ctx, partition) {
			if err != nil {
				return err
			}
			if err := each(len(rows), 8, func(i int) error { return h.sweepOne(ctx, rows[i], &found) }); err != nil {
				h.log.WarnContext(ctx, "sweep", "partition", partition, "error", err)
			}
		}
		return nil
	})
	all := found.swept()
	h.observe.count(ConnectionsOpen, int(all.Connections))
	h.observe.count(SweepsGone, int(all.Gone))
	h.observe.count(SweepsExpired, int(all.Expired))
	h.observe.count(SweepsUnfinished, int(all.Unfinished))
	return all, err
}

// sweeping counts concurrently.
type sweeping struct{ connections, gone, expired, unfinished atomic.Int64 }

func (s *sweeping) swept() Swept {
	return Swept{s.connections.Load(), s.gone.Load(), s.expired.Load(), s.unfinished.Load()}
}

func (h *Hub) sweepOne(ctx context.Context, c Connection, found *sweeping) error {
	now := h.now()
	found.connections.Add(1)
	switch {
	case c.Closing:
		found.unfinished.Add(1)
		return h.finishClosing(ctx, c)
	case !c.Expires.After(now):
		found.expired.Add(1)
		return h.end(ctx, c, protocol.ReasonExpired, false) // unless the token was renewed since
	case now.Sub(c.LastSeen) > h.limits.Silence || now.Sub(c.ConnectedAt) > h.limits.Lifetime:
		// By its lifetime too, since its row lapses soon after that, and with it the last chance to end its presence.
		alive, err := h.pusher.Alive(ctx, h.wire(c))
		if err != nil {
			return fmt.Errorf("ask for connection %s: %w", c.ID, err)
		}
		if !alive {
			found.gone.Add(1)
			return h.Depart(ctx, c.ID)
		}
	}
	if len(c.Leaving) > 0 {
		found.unfinished.Add(1)
		if err := h.finishLeaving(ctx, c); err != nil {
			return err
		}
	}
	return h.sweepPresence(ctx, c, found)
}

// sweepPresence announces arrivals that were written but never told.
func (h *Hub) sweepPresence(ctx context.Context, c Connection, found *sweeping) error {
	for _, room := range slices.Sorted(maps.Keys(c.Rooms)) {
		if !h.kinds[protocol.RoomKind(room)].Presence {
			continue
		}
		here, err := h.store.Here(ctx, room, c.User)
		if errors.Is(err, ErrNotFound) || err == nil && here.Announced >= here.Version {
			continue
		}
		if err != nil {
			return fmt.Errorf("read presence in %s: %w", room, err)
		}
		found.unfinished.Add(1)
		if err := h.announce(ctx, room, here); err != nil {
			return err
		}
	}
	return nil
}
