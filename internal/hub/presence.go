package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// maxStatusData bounds the data of a presence, in bytes: a snapshot holds that of every user.
const maxStatusData = 1 << 10

// changeHere changes the row of a user in a room, made anew as often as somebody else was faster; do works on a copy, and gives
// false if there is nothing to change. Stays that have lapsed are taken out first. The row has no User where there is none.
func (h *Hub) changeHere(ctx context.Context, room, user string, do func(here *Here) (bool, error)) (Here, error) {
	for try := range changes {
		was, err := h.store.Here(ctx, room, user)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return Here{}, fmt.Errorf("read presence in %s: %w", room, err)
		}
		now := was
		now.Stays = h.staying(was)
		if changed, err := do(&now); err != nil || !changed {
			return was, err
		}
		now.User = user
		for id, stay := range now.Stays {
			if now.TTL = later(now.TTL, stay.Ends); now.Since.IsZero() && !stay.Gone {
				delete(now.Stays, id)
			}
		}
		got, err := h.store.SetHere(ctx, room, was, now)
		if err == nil {
			return got, nil
		}
		if !errors.Is(err, ErrChanged) {
			return Here{}, fmt.Errorf("set presence in %s: %w", room, err)
		}
		if try > 2 {
			h.sleep(ctx, h.jitter(time.Duration(try)*5*time.Millisecond))
		}
	}
	return Here{}, protocol.Refuse(protocol.CodeUnavailable)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// staying gives the stays of a row that have not lapsed.
func (h *Hub) staying(here Here) map[string]Stay {
	stays := make(map[string]Stay, len(here.Stays)+1)
	for id, stay := range here.Stays {
		if stay.Ends.After(h.now()) {
			stays[id] = stay
		}
	}
	return stays
}

// leaves ends a presence without connections, if it has not ended before.
func (h *Hub) leaves(here *Here) {
	if len(here.Connections()) == 0 && here.Left.IsZero() && !here.Since.IsZero() {
		here.Left = time.UnixMilli(h.now().UnixMilli())
	}
}

var errEnding = errors.New("absence is being announced")

// arrive adds a connection to its user's presence in a room, and announces the user who was not there. settled is that of a door.
func (h *Hub) arrive(ctx context.Context, c Connection, room string, settled bool) error {
	for range changes {
		here, err := h.changeHere(ctx, room, c.User, func(here *Here) (bool, error) { return h.stay(here, c, c.Gens[room], settled) })
		if err == nil {
			return h.announce(ctx, room, here)
		}
		if !errors.Is(err, errEnding) {
			return fmt.Errorf("arrive in %s: %w", room, err)
		}
		// The user's last presence is over but not all have been told: that comes first.
		if err := h.finishEnd(ctx, room, c.User); err != nil {
			return err
		}
	}
	return protocol.Refuse(protocol.CodeUnavailable)
}

// stay adds a connection to a row, if it is not there yet. Where the membership is settled, the stay that is there is its own whatever its
// generation, and no departure of before will come that could end it: nothing is written.
func (h *Hub) stay(here *Here, c Connection, gen int64, settled bool) (changed bool, err error) {
	if here.Ending {
		return false, errEnding
	}
	stay, known := here.Stays[c.ID]
	if known && (stay.Gen > gen || stay.Gone && stay.Gen == gen) {
		return false, ErrOvertaken
	}
	if known && !stay.Gone && (stay.Gen == gen || settled) && here.Name == c.Name && here.Left.IsZero() {
		return false, nil
	}
	if here.Since.IsZero() {
		here.Since, here.Status, here.Version = time.UnixMilli(h.now().UnixMilli()), "online", 1
	}
	here.Name, here.Left, here.Overdue = c.Name, time.Time{}, time.Time{}
	here.Stays[c.ID] = Stay{Gen: gen, Ends: c.TTL}
	return true, nil
}

// announce tells a room what it has not heard of a user's presence. Whoever sees such a row may do it, any number of
// times: the ids of the events are derived from the row.
func (h *Hub) announce(ctx context.Context, room string, here Here) error {
	since := here.Since.UnixMilli()
	from := &protocol.From{UserID: here.User, Name: here.Name}
	tell := func(event, id string, version int) error {
		if _, err := h.announceEvent(ctx, room, event, Key{ID: id}, from, here.Occupant()); err != nil {
			return fmt.Errorf("announce %s: %w", id, err)
		}
		_, err := h.changeHere(ctx, room, here.User, func(now *Here) (bool, error) {
			if !now.Since.Equal(here.Since) || now.Announced >= version {
				return false, nil
			}
			now.Announced = version
			return true, nil
		})
		if err != nil {
			return fmt.Errorf("mark %s as announced: %w", id, err)
		}
		return nil
	}
	if here.Announced == 0 {
		h.tell(ctx, presenceFact(PresenceOnline, room, here))
		if err := tell(protocol.UserOnline, AnnouncementID(protocol.UserOnline, here.User, since), 1); err != nil {
			return err
		}
	}
	if here.Version > max(here.Announced, 1) {
		return tell(protocol.PresenceChanged, AnnouncementID(protocol.PresenceChanged, here.User, since, here.Version), here.Version)
	}
	return nil
}

// depart takes a connection out of its user's presence. When it was the last, the user has a grace to come back. until: when a
// mark may go that keeps out an arrival which is still on its way; zero: there is none.
func (h *Hub) depart(ctx context.Context, room string, m Member, until time.Time, grace time.Duration) error {
	here, err := h.changeHere(ctx, room, m.User, func(here *Here) (bool, error) {
		stay, known := here.Stays[m.Connection]
		if known && stay.Gen > m.Gen {
			return false, nil
		}
		if delete(here.Stays, m.Connection); !until.IsZero() {
			here.Stays[m.Connection] = Stay{Gen: m.Gen, Gone: true, Ends: until}
		}
		before := here.Left
		h.leaves(here)
		return known || !until.IsZero() || !here.Left.Equal(before), nil
	})
	if err != nil {
		return fmt.Errorf("depart from %s: %w", room, err)
	}
	if here.Since.IsZero() || here.Left.IsZero() {
		return nil
	}
	return h.endAfter(ctx, room, here, max(0, here.Left.Add(grace).Sub(h.now())))
}

// endAfter has the end of a presence looked at after a time.
func (h *Hub) endAfter(ctx context.Context, room string, here Here, delay time.Duration) error {
	job := Job{Kind: JobAbsence, Room: room, User: here.User, Since: here.Since.UnixMilli(), Left: here.Left.UnixMilli()}
	return h.Enqueue(ctx, job, delay)
}

// absence ends a presence whose grace is over, unless the user is back.
func (h *Hub) absence(ctx context.Context, j Job) error {
	here, err := h.changeHere(ctx, j.Room, j.User, func(here *Here) (bool, error) {
		h.leaves(here) // its last connection may have lapsed
		over := here.Since.UnixMilli() == j.Since && !here.Left.IsZero() && here.Left.UnixMilli() <= j.Left
		if !over || here.Ending {
			return false, nil
		}
		here.Ending = true
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("begin end of presence in %s: %w", j.Room, err)
	}
	if !here.Ending {
		h.observe.count(PresenceFlaps, 1)
		return nil
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
	id := AnnouncementID(protocol.UserOffline, user, here.Since.UnixMilli())
	from := &protocol.From{UserID: user, Name: here.Name}
	data := offline{From: *from, Since: here.Since.UnixMilli()}
	if _, err := h.announceEvent(ctx, room, protocol.UserOffline, Key{ID: id}, from, data); err != nil {
		return fmt.Errorf("announce %s: %w", id, err)
	}
	h.tell(ctx, presenceFact(PresenceOffline, room, here))
	_, err = h.changeHere(ctx, room, user, func(now *Here) (bool, error) {
		if !now.Ending || !now.Since.Equal(here.Since) {
			return false, nil
		}
		*now = Here{Stays: now.Stays}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("end presence in %s: %w", room, err)
	}
	return nil
}

// offline is the data of user:offline.
type offline struct {
	protocol.From

	Since int64 `json:"since"` // of the presence that has ended: Unix milliseconds
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
		if err := hasPresence(a.Room, k); err != nil {
			return nil, err
		}
	}
	touch := h.newTouch(a.Room, recent)
	if a.Room == "" { // it is told in each room, and costs as much as if it were sent for each
		row, err := h.store.Connection(ctx, c.Connection)
		if err != nil {
			return nil, fmt.Errorf("read connection: %w", err)
		}
		touch.Cost *= time.Duration(max(1, len(h.withPresence(row, ""))))
	}
	row, err := h.touchBy(ctx, c, touch)
	if err != nil {
		return nil, err
	}
	rooms := h.withPresence(row, a.Room)
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

// withPresence gives the rooms with presence that a connection is in, of them all or of one.
func (h *Hub) withPresence(c Connection, only string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.Rooms)), func(room string) bool {
		return only != "" && only != room || !h.kinds[protocol.RoomKind(room)].Presence
	})
}

// setStatus gives false for a user who has no presence: the join has not got that far, or the room was left meanwhile.
// It must not begin one then, since nobody would end it.
func (h *Hub) setStatus(ctx context.Context, c Connection, room string, a protocol.Action) (bool, error) {
	var is bool
	here, err := h.changeHere(ctx, room, c.User, func(here *Here) (bool, error) {
		if is = !here.Ending && len(here.Connections()) > 0; !is || here.Status == a.Status && bytes.Equal(here.Data, a.Data) {
			return false, nil
		}
		here.Status, here.Data = a.Status, a.Data
		here.Version++
		return true, nil
	})
	if err != nil || !is {
		return false, err
	}
	return true, h.announce(ctx, room, here)
}

// hasPresence refuses rooms without presence.
func hasPresence(room string, k Kind) error {
	if k.Presence {
		return nil
	}
	return protocol.Errorf(protocol.CodeBadRequest, "%s rooms have no presence", protocol.RoomKind(room))
}

// whoIsPresent gives a member a page of who is in a room.
func (h *Hub) whoIsPresent(ctx context.Context, c Caller, a protocol.Action, recent bool) (any, error) {
	k, err := h.kind(a.Room)
	if err != nil {
		return nil, err
	}
	if err := hasPresence(a.Room, k); err != nil {
		return nil, err
	}
	row, err := h.touch(ctx, c, a.Room, recent)
	if err != nil {
		return nil, err
	}
	return h.present(ctx, a.Room, a.After, row.User)
}

// present gives a page of who is in a room, by user id, as many as a reply has space for after one. Users in their grace are present,
// and so are those whose end is overdue: it is told to whoever has heard of them. asks is the user who asks, and is in the first page.
func (h *Hub) present(ctx context.Context, room, after, asks string) (protocol.PresentResult, error) {
	got := protocol.PresentResult{Room: room, Presence: []protocol.Occupant{}}
	size, repairs := 0, maxRepairs
	for here, err := range h.everyPresence(ctx, room, after) {
		if err == nil {
			err = h.repair(ctx, room, here, &repairs)
		}
		if err != nil {
			return got, err
		}
		if size += sizeOfOccupant(here.Occupant()); size > replyPresence || len(got.Presence) == replyOccupants {
			if got.More = true; after == "" {
				err = h.putFirst(ctx, &got, asks)
			}
			return got, err
		}
		got.Presence = append(got.Presence, here.Occupant())
	}
	return got, nil
}

// present reports whether the row is about a user who is there, and not about marks alone or an end that is being told.
func (h Here) present() bool { return !h.Since.IsZero() && !h.Ending }

// putFirst has a user in a page that was cut before it. What has to go for that comes with the next page.
func (h *Hub) putFirst(ctx context.Context, page *protocol.PresentResult, user string) error {
	n := len(page.Presence)
	if user == "" || page.Presence[n-1].UserID >= user {
		return nil
	}
	here, err := h.store.Here(ctx, page.Room, user)
	if errors.Is(err, ErrNotFound) || err == nil && !here.present() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read presence in %s: %w", page.Room, err)
	}
	me := here.Occupant()
	for free := 0; n > 1 && free < sizeOfOccupant(me); n-- {
		free += sizeOfOccupant(page.Presence[n-1])
	}
	page.Presence = append([]protocol.Occupant{me}, page.Presence[:n]...)
	return nil
}

// maxRepairs is how many overdue presences one reader sees to: whoever comes next sees to more.
const maxRepairs = 10

// repair sees to a presence that is overdue, if there are repairs left.
func (h *Hub) repair(ctx context.Context, room string, here Here, repairs *int) error {
	if *repairs == 0 || !h.overdue(here) {
		return nil
	}
	*repairs--
	return h.endLater(ctx, room, here)
}

// overdue reports whether the end of a presence is long due: the job that should have ended it is a dead letter.
func (h *Hub) overdue(here Here) bool {
	here.Stays = h.staying(here)
	asked := here.Left
	if here.Overdue.After(asked) {
		asked = here.Overdue
	}
	return len(here.Connections()) == 0 && (here.Left.IsZero() || h.now().Sub(asked) > h.limits.Grace+lateness)
}

// endLater has an overdue presence ended by another job. Only whoever writes that down leaves that job, however many look;
// where it cannot, one of before may still come, and ends it too.
func (h *Hub) endLater(ctx context.Context, room string, here Here) error {
	at := time.UnixMilli(h.now().UnixMilli())
	now, err := h.changeHere(ctx, room, here.User, func(now *Here) (bool, error) {
		if len(now.Connections()) > 0 || !now.Since.Equal(here.Since) || !now.Left.Equal(here.Left) || !now.Overdue.Equal(here.Overdue) {
			return false, nil
		}
		if now.Overdue = at; now.Left.IsZero() {
			now.Left = at
		}
		return true, nil
	})
	if err != nil || !now.Overdue.Equal(at) {
		return err
	}
	return h.endAfter(ctx, room, now, 0)
}

// sizeOfOccupant is about what a user takes in a frame.
func sizeOfOccupant(o protocol.Occupant) int {
	return len(o.UserID) + len(o.Name) + len(o.Status) + len(o.Data) + 80
}
