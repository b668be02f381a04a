package hub

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// typingFor is how long a user counts as typing after a signal. Clients signal every 3 s, and forget by themselves.
const typingFor = 4 * time.Second

// signal tells the other members something that is not worth keeping. It writes nothing at all: that the caller is a
// member, and may publish, is read from the members themselves, which have to be read in any case.
func (h *Hub) signal(ctx context.Context, c Caller, a protocol.Action) (any, error) {
	if _, err := h.kind(a.Room); err != nil {
		return nil, err
	}
	e := protocol.Event{Event: a.Event, Room: a.Room, From: c.from(), Data: a.Data}
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
	if err := h.maySignal(ctx, c, a.Room, page); err != nil {
		return nil, err
	}
	h.observe.count(Signals, 1)
	if err := h.deliverFrom(ctx, e, "", []string{c.Connection}, page); err != nil {
		return nil, err
	}
	return protocol.RoomResult{Room: a.Room}, nil
}

func (h *Hub) maySignal(ctx context.Context, c Caller, room string, page MemberPage) error {
	i := slices.IndexFunc(page.Members, func(m Member) bool { return m.Connection == c.Connection })
	may := i >= 0 && page.Members[i].MayPublish
	expired := !c.Expires.After(h.now())
	if may && !expired {
		return nil
	}
	// A caller that is not on the page, or whose token may have been renewed since: its row knows.
	row, err := h.store.Connection(ctx, c.Connection)
	if err != nil {
		return fmt.Errorf("read connection: %w", err)
	}
	if !row.Grants.Allow(room, GrantPublish) {
		return protocol.Errorf(protocol.CodeForbidden, "the token does not grant %q in %s", GrantPublish, room)
	}
	return Touch{Now: h.now(), Room: room, Burst: h.limits.Lifetime}.Check(row)
}
