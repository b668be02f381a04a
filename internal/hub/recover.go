package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Recovered is what a client missed that was away for a moment.
type Recovered struct {
	Whole  bool             // nothing more is missing, and the connection is in all the rooms
	Events []protocol.Event // of each room in order, one room after the other
}

// Seen is how far a client has seen: an event of one room, and of all others whatever was logged until about the same time.
type Seen struct {
	At   time.Time
	Room string // empty: no event
	Seq  int64
}

// slack is how much later than the log's order of time an event may reach a client. What was logged within it is given again.
const slack = 5 * time.Second

// The most that is recovered, all rooms together: whoever missed more begins anew, and joins from positions.
const (
	recoverEvents = 500
	recoverBytes  = 512 << 10
)

func size(events []protocol.Event) (n int) {
	for _, e := range events {
		n += sizeOf(e)
	}
	return n
}

// Connection gives the row of a connection. ErrNotFound.
func (h *Hub) Connection(ctx context.Context, id string) (Connection, error) {
	return h.store.Connection(ctx, id)
}

// Recover puts a new connection into rooms that its client was in before, and gives what was logged there since. It is a
// join: rooms that the token or the application does not allow are left out, and then it is not Whole.
func (h *Hub) Recover(ctx context.Context, connection string, rooms []string, seen Seen) (Recovered, error) {
	got := Recovered{Whole: true}
	c, err := h.store.Connection(ctx, connection)
	if err != nil {
		return got, fmt.Errorf("read connection: %w", err)
	}
	row := c // with the rooms that were entered
	for _, room := range rooms {
		now, missed, err := h.rejoin(ctx, row, room, seen)
		if _, refused := errors.AsType[*protocol.Error](err); refused {
			got.Whole = false
			continue
		}
		if err != nil {
			return got, err
		}
		row = now
		got.Whole = got.Whole && missed.Whole
		got.Events = append(got.Events, missed.Events...)
		if size(got.Events) > recoverBytes || len(got.Events) > recoverEvents {
			got.Whole, got.Events = false, nil
			break
		}
	}
	if got.Whole { // who was taken out of a room meanwhile is not to hear what came after that, nor to take itself for a member
		if row, err = h.store.Connection(ctx, connection); err != nil {
			return got, fmt.Errorf("read connection: %w", err)
		}
		got.Whole = !slices.ContainsFunc(rooms, func(room string) bool { return !row.In(room) })
	}
	if got.Whole {
		return got, nil
	}
	return Recovered{}, h.beginAnew(ctx, c, row, rooms)
}

// beginAnew takes a connection out of the rooms that it was put into since it was read, so that it is in those of its user only.
func (h *Hub) beginAnew(ctx context.Context, was, row Connection, rooms []string) error {
	for _, room := range rooms {
		if _, in := was.Rooms[room]; in || !row.In(room) {
			continue
		}
		if err := h.exit(ctx, row, room, ""); err != nil {
			return err
		}
	}
	return nil
}

// rejoin puts a connection into one room, if it may join there, and gives what it missed.
func (h *Hub) rejoin(ctx context.Context, row Connection, room string, seen Seen) (Connection, Recovered, error) {
	k, err := h.kind(room)
	if err != nil {
		return row, Recovered{}, err
	}
	said, err := h.askToJoin(ctx, row, room, k)
	if err != nil {
		return row, Recovered{}, err
	}
	row, err = h.enter(ctx, row, room, h.now(), h.free(row), func(row Connection) error {
		if said.Allow {
			return nil
		}
		return mayJoin(row, room, k)
	})
	if err != nil {
		return row, Recovered{}, err
	}
	missed, err := h.missed(ctx, row, room, k, seen)
	return row, missed, err
}

// missed gives what a room has logged since a client's last moment.
func (h *Hub) missed(ctx context.Context, row Connection, room string, k Kind, seen Seen) (Recovered, error) {
	since, err := h.positionAt(ctx, room, k, seen)
	if err != nil {
		return Recovered{}, err
	}
	var got Recovered
	for {
		page, err := h.catchUp(ctx, row, room, k, &since)
		if err != nil {
			return Recovered{}, err
		}
		some := len(page.Events) > 0
		if room != seen.Room { // what does not wait was pushed long before
			page.Events = slices.DeleteFunc(page.Events, func(e protocol.Event) bool {
				return !Waits(e.Event) && e.TS <= seen.At.Add(-slack-appendTime).UnixMilli()
			})
		}
		got.Whole, got.Events = page.Recovered, append(got.Events, page.Events...)
		if len(got.Events) > recoverEvents {
			return Recovered{}, nil
		}
		since.Seq = page.Seq
		if !page.Recovered || !page.More || !some {
			got.Whole = got.Whole && !page.More // a young hole may still be filled
			return got, nil
		}
	}
}

// positionAt gives the last position in a room that the client must have seen. A log that began anew since that moment, or
// that no longer reaches back to it, gets an epoch that the log does not have: nothing is proven.
func (h *Hub) positionAt(ctx context.Context, room string, k Kind, seen Seen) (protocol.Position, error) {
	head, err := h.store.Head(ctx, room, h.ttl(h.now()))
	if err != nil {
		return protocol.Position{}, fmt.Errorf("read head of %s: %w", room, err)
	}
	before := seen.At.Add(-slack - k.Lazy)
	anew := head.Began.After(seen.At) && head.Base > 0
	if anew || h.now().Sub(before) > head.keep(k) {
		return protocol.Position{Epoch: "-"}, nil
	}
	if room == seen.Room {
		return h.positionOf(ctx, head, seen)
	}
	epoch := head.Epoch // of the oldest entry that was looked at
	const page = 50
	for last := head.Seq + 1; ; {
		if head.Seq-last >= recoverEvents { // more than is given again, however old the moment is that the client tells of
			return protocol.Position{Epoch: "-"}, nil
		}
		entries, err := h.store.Before(ctx, room, last, page)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return protocol.Position{}, fmt.Errorf("read log of %s: %w", room, err)
		}
		// What is before an entry may be stamped as much later as an Append takes, and no more.
		at := slices.IndexFunc(entries, func(e Entry) bool { return e.TS <= before.Add(-appendTime).UnixMilli() })
		switch {
		case at >= 0:
			return protocol.Position{Epoch: head.epochOf(entries[at]), Seq: entries[at].Seq}, nil
		case len(entries) == 0 && last <= head.Floor && last-1 > head.Base: // what was before it was kept for another time
			return protocol.Position{Epoch: "-"}, nil
		case len(entries) == 0:
			return protocol.Position{Epoch: epoch, Seq: last - 1}, nil
		}
		oldest := entries[len(entries)-1]
		last, epoch = oldest.Seq, head.epochOf(oldest)
	}
}

// positionOf gives the position of the event that a client has seen.
func (h *Hub) positionOf(ctx context.Context, head Head, seen Seen) (protocol.Position, error) {
	at := protocol.Position{Epoch: head.Epoch, Seq: seen.Seq}
	if !head.Began.After(seen.At) {
		return at, nil
	}
	// The epoch began after the event was stamped: with the first event of a room, or because a store lost its last moment, and
	// then it may have lost this event, and given its seq to another.
	entries, err := h.store.From(ctx, seen.Room, seen.Seq, 1)
	if err != nil {
		return at, fmt.Errorf("read log of %s: %w", seen.Room, err)
	}
	if len(entries) == 0 || entries[0].Seq != seen.Seq || entries[0].TS != seen.At.UnixMilli() {
		return protocol.Position{Epoch: "-"}, nil
	}
	at.Epoch = head.epochOf(entries[0])
	return at, nil
}

// epochOf gives the epoch that an entry's position is in. What a Void filled, or a Reset hid, is in no other than the log's.
func (h Head) epochOf(e Entry) string {
	if e.Void || e.Seq <= h.Base {
		return h.Epoch
	}
	return e.Epoch
}
