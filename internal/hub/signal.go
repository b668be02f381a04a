package hub

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// typingFor is how long a user counts as typing after a signal. Clients signal every 10 s, and forget by themselves.
const typingFor = 12 * time.Second

// Who talks in a large room: whoever has written one of so many newest entries of its log, in so long a time.
const (
	talkEntries = 25
	talkTime    = 10 * time.Minute
)

// signal tells the other members something that is not worth keeping. It writes nothing at all: that the caller is a
// member, and may signal, is read from the members themselves, which have to be read in any case.
func (h *Hub) signal(ctx context.Context, c Caller, a protocol.Action) (any, error) {
	k, err := h.kind(a.Room)
	if err != nil {
		return nil, err
	}
	e := protocol.Event{Event: a.Event, Room: a.Room, Data: a.Data}
	switch {
	case a.Event == protocol.TypingStart:
		e.Event, e.Data = protocol.UserTyping, object("until", h.now().Add(typingFor).UnixMilli())
	case a.Event == protocol.TypingStop:
		e.Event, e.Data = protocol.UserStoppedTyping, nil
	case protocol.Reserved(a.Event):
		return nil, protocol.Errorf(protocol.CodeForbidden, "only the server sends %s", a.Event)
	case protocol.SortOf(a.Event) == protocol.Logged:
		return nil, protocol.Errorf(protocol.CodeBadRequest, "%s is logged: publish it", a.Event)
	}
	page, err := h.firstMembers(ctx, a.Room)
	if err != nil {
		return nil, err
	}
	if e.From, err = h.sender(ctx, c, a.Room, page); err != nil {
		return nil, err
	}
	h.observe.count(Signals, 1)
	typing := a.Event == protocol.TypingStart || a.Event == protocol.TypingStop
	if typing {
		crowded, err := h.crowded(ctx, a.Room, page, k.Typing)
		if err == nil && crowded {
			all := len(page.Members)
			page, err = h.talking(ctx, a.Room, page, k)
			h.observe.spared(ctx, SparedTyping, a.Room, all-max(1, len(page.Members)))
		}
		if err != nil || len(page.Members) == 0 {
			return protocol.RoomResult{Room: a.Room}, err
		}
	}
	if err := h.deliverFrom(ctx, []tale{{e, []string{c.Connection}}}, "", page); err != nil {
		return nil, err
	}
	return protocol.RoomResult{Room: a.Room}, nil
}

// talking gives those of a large room's members who talk there just now: they wait for what is being typed, where a hundred others do not
// look. To find out is a read of the log, and to tell all would be a message to each. Of a room that is not all on its first page it gives
// nobody, since the others on it could not be told.
func (h *Hub) talking(ctx context.Context, room string, first MemberPage, k Kind) (MemberPage, error) {
	talk := MemberPage{Shards: 1}
	if k.Typing == 0 || first.Next != "" || first.Shards > 1 {
		return talk, nil
	}
	entries, err := h.store.Before(ctx, room, math.MaxInt64, talkEntries)
	if err != nil {
		return talk, fmt.Errorf("read log of %s: %w", room, err)
	}
	since, users := h.now().Add(-talkTime).UnixMilli(), map[string]bool{}
	for _, e := range entries {
		if e.From != nil && e.TS > since && !protocol.Reserved(e.Event.Event) {
			users[e.From.UserID] = true
		}
	}
	for _, m := range first.Members {
		if users[m.User] {
			talk.Members = append(talk.Members, m)
		}
	}
	return talk, nil
}

// crowded reports whether a room, whose first members are given, has more than limit. Where there are several shards it is as exact as
// they are.
func (h *Hub) crowded(ctx context.Context, room string, first MemberPage, limit int) (bool, error) {
	n := len(first.Members)
	switch {
	case n > limit, first.Next != "" && n == limit:
		return true, nil
	case first.Shards > 1:
		return (first.Shards-1)*h.limits.Shard > limit, nil
	case first.Next == "":
		return false, nil
	}
	more, err := h.store.Members(ctx, room, 0, first.Next, limit-n+1)
	if err != nil {
		return false, fmt.Errorf("read members of %s: %w", room, err)
	}
	return n+len(more.Members) > limit, nil
}

// sender checks that the caller may signal, and gives whom the signal is from.
func (h *Hub) sender(ctx context.Context, c Caller, room string, page MemberPage) (*protocol.From, error) {
	i := slices.IndexFunc(page.Members, func(m Member) bool { return m.Connection == c.Connection })
	if i >= 0 && (page.Members[i].MayPublish || page.Members[i].MaySignal) && page.Members[i].User == c.User {
		expires := page.Members[i].Expires // the caller's is that of the token which it connected with
		if expires.IsZero() {
			expires = c.Expires
		}
		if expires.After(h.now()) {
			return c.from(), nil
		}
	}
	// A caller that is not on the page, or whose token may have been renewed since, or whose connection is another user's by now: its
	// row knows.
	row, err := h.store.Connection(ctx, c.Connection)
	if err != nil {
		return nil, fmt.Errorf("read connection: %w", err)
	}
	if !maySignal(row.Grants, room) {
		return nil, protocol.Errorf(protocol.CodeForbidden, "the token does not grant %q in %s", GrantSignal, room)
	}
	return &protocol.From{UserID: row.User, Name: row.Name}, Touch{Now: h.now(), Room: room, Burst: h.limits.Lifetime}.Check(row)
}

func maySignal(g Grants, room string) bool {
	return g.Allow(room, GrantPublish) || g.Allow(room, GrantSignal)
}
