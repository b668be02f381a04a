package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// maxStatusData bounds the data of a presence, in bytes: a snapshot holds that of every user.
const maxStatusData = 1 << 10

// arrive adds a connection to its user's presence in a room, and announces the user who was not there.
func (h *Hub) arrive(ctx context.Context, c Connection, room string) error {
	var (
		here Here
		err  error
	)
	for range 3 {
		here, err = h.store.Arrive(ctx, room, c.User, c.Name, c.ID, h.now(), h.ttl(h.now()))
		if !errors.Is(err, ErrEnding) {
			break
		}
		// The user's last presence is over but not all have been told: that comes first.
		if err := h.finishEnd(ctx, room, c.User); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("arrive in %s: %w", room, err)
	}
	return h.announce(ctx, room, here)
}

// announce tells a room what it has not heard of a user's presence. Whoever sees such a row may do it, any number of
// times: the ids of the events are derived from the row.
func (h *Hub) announce(ctx context.Context, room string, here Here) error {
	base := here.User + ":" + strconv.FormatInt(here.Since.UnixMilli(), 10)
	from := &protocol.From{UserID: here.User, Name: here.Name}
	tell := func(event, id string, version int) error {
		if _, err := h.announceEvent(ctx, room, event, id, from, here.Occupant()); err != nil {
			return fmt.Errorf("announce %s: %w", id, err)
		}
		if err := h.store.Announced(ctx, room, here.User, here.Since, version); err != nil {
			return fmt.Errorf("mark %s as announced: %w", id, err)
		}
		return nil
	}
	if here.Announced == 0 {
		h.tell(ctx, presenceFact(PresenceOnline, room, here))
		if err := tell(protocol.UserOnline, "online:"+base, 1); err != nil {
			return err
		}
	}
	if here.Version > max(here.Announced, 1) {
		return tell(protocol.PresenceChanged, "changed:"+base+":"+strconv.Itoa(here.Version), here.Version)
	}
	return nil
}

// depart takes a connection out of its user's presence. When it was the last, the user has the grace to come back.
func (h *Hub) depart(ctx context.Context, room, user, connection string) error {
	here, err := h.store.Depart(ctx, room, user, connection, h.now())
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("depart from %s: %w", room, err)
	}
	if len(here.Connections) > 0 {
		return nil
	}
	return h.awaitAbsence(ctx, room, here)
}

// awaitAbsence has the end of a presence looked at when the grace is over.
func (h *Hub) awaitAbsence(ctx context.Context, room string, here Here) error {
	job := Job{Kind: JobAbsence, Room: room, User: here.User, Since: here.Since.UnixMilli(), Left: here.Left.UnixMilli()}
	return h.enqueue(ctx, job, max(0, here.Left.Add(h.limits.Grace).Sub(h.now())))
}

// absence ends a presence whose grace is over, unless the user is back.
func (h *Hub) absence(ctx context.Context, j Job) error {
	_, err := h.store.BeginEnd(ctx, j.Room, j.User, time.UnixMilli(j.Since), time.UnixMilli(j.Left))
	if errors.Is(err, ErrNotFound) {
		h.observe.count(PresenceFlaps, 1)
		return nil
	}
	if err != nil {
		return fmt.Errorf("begin end of presence in %s: %w", j.Room, err)
	}
	return h.finishEnd(ctx, j.Room, j.User)
}

// finishEnd announces the end of a presence that is ending, and deletes it.
func (h *Hub) finishEnd(ctx context.Context, room, user string) error {
	here, err := h.store.Here(ctx, room, user)
	if errors.Is(err, ErrNotFound) || err == nil && !here.Ending {
		return nil // somebody else was faster
	}
	if err != nil {
		return fmt.Errorf("read presence in %s: %w", room, err)
	}
	if err := h.announce(ctx, room, here); err != nil { // the arrival may be logged without the row knowing it
		return err
	}
	id := "offline:" + user + ":" + strconv.FormatInt(here.Since.UnixMilli(), 10)
	from := &protocol.From{UserID: user, Name: here.Name}
	if _, err := h.announceEvent(ctx, room, protocol.UserOffline, id, from, from); err != nil {
		return fmt.Errorf("announce %s: %w", id, err)
	}
	h.tell(ctx, presenceFact(PresenceOffline, room, here))
	if err := h.store.End(ctx, room, user, here.Since); err != nil {
		return fmt.Errorf("end presence in %s: %w", room, err)
	}
	return nil
}

func presenceFact(t FactType, room string, here Here) Fact {
	since := here.Since.UnixMilli()
	return Fact{
		Type: t, Key: fmt.Sprintf("%s:%s:%d", room, here.User, since), Room: room, UserID: here.User, Name: here.Name, Since: since,
	}
}

// setPresence sets the caller's status in one presence room or in all that it is in.
func (h *Hub) setPresence(ctx context.Context, c Caller, a protocol.Action, recent bool) (any, error) {
	if len(a.Data) > maxStatusData {
		return nil, protocol.Errorf(protocol.CodeTooLarge, "data of a presence may have %d bytes, this has %d", maxStatusData, len(a.Data))
	}
	if a.Room != "" {
		k, err := h.kind(a.Room)
		if err != nil {
			return nil, err
		}
		if !k.Presence {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "%s rooms have no presence", protocol.RoomKind(a.Room))
		}
	}
	row, err := h.touch(ctx, c, a.Room, recent)
	if err != nil {
		return nil, err
	}
	rooms := slices.DeleteFunc(slices.Sorted(maps.Keys(row.Rooms)), func(room string) bool {
		return a.Room != "" && a.Room != room || !h.kinds[protocol.RoomKind(room)].Presence
	})
	set := make([]bool, len(rooms))
	err = each(len(rooms), 8, func(i int) error {
		var err error
		set[i], err = h.setStatus(ctx, row, rooms[i], a)
		return err
	})
	if err != nil {
		return nil, err
	}
	got := protocol.PresenceResult{Rooms: []string{}, Status: a.Status}
	for i, room := range rooms {
		if set[i] {
			got.Rooms = append(got.Rooms, room)
		}
	}
	if a.Room != "" && len(got.Rooms) == 0 {
		return nil, protocol.Errorf(protocol.CodeNotInRoom, "join %s first", a.Room)
	}
	return got, nil
}

// setStatus gives false for a user who has no presence: the join has not got that far, or the room was left meanwhile.
// It must not begin one then, since nobody would end it.
func (h *Hub) setStatus(ctx context.Context, c Connection, room string, a protocol.Action) (bool, error) {
	here, err := h.store.SetStatus(ctx, room, c.User, a.Status, a.Data)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrEnding) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("set status in %s: %w", room, err)
	}
	return true, h.announce(ctx, room, here)
}

// present gives who is in a room, by user id, as many as a reply has space for. Users in their grace are present.
func (h *Hub) present(ctx context.Context, room string) ([]protocol.Occupant, error) {
	got, size, after := []protocol.Occupant{}, 0, ""
	for {
		page, err := h.store.Present(ctx, room, after, h.limits.Page)
		if err != nil {
			return nil, fmt.Errorf("read presence of %s: %w", room, err)
		}
		for _, here := range page {
			after = here.User
			if shown, err := h.shown(ctx, room, here); err != nil {
				return nil, err
			} else if !shown {
				continue
			}
			size += len(here.User) + len(here.Name) + len(here.Status) + len(here.Data) + 80
			if size > replyPresence || len(got) == replyOccupants {
				return got, nil
			}
			got = append(got, here.Occupant())
		}
		if len(page) < h.limits.Page {
			return got, nil
		}
	}
}

// shown reports whether a row is a presence that others should see. One whose end is long due is not: the job that should
// have ended it is a dead letter, and another takes its place.
func (h *Hub) shown(ctx context.Context, room string, here Here) (bool, error) {
	if here.Ending {
		return false, nil
	}
	if here.Left.IsZero() || h.now().Sub(here.Left) <= h.limits.Grace+lateness {
		return true, nil
	}
	return false, h.awaitAbsence(ctx, room, here)
}
