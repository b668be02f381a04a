package hooks

import (
	"context"

	public "github.com/bellhop-rt/bellhop/hooks"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Linked are handlers that are written with the public package, as the hub asks them.
func Linked(h public.Handlers) Handlers {
	all := Handlers{Join: linked(h.Join), Publish: linked(h.Publish), Connect: linked(h.Connect)}
	for name, handler := range h.Actions {
		if all.Actions == nil {
			all.Actions = map[string]Handler{}
		}
		all.Actions[name] = linked(handler)
	}
	if h.Disconnect != nil {
		all.Disconnect = func(ctx context.Context, q hub.Question) error { return h.Disconnect(ctx, asked(q)) }
	}
	return all
}

func linked(handler public.Handler) Handler {
	if handler == nil {
		return nil
	}
	return func(ctx context.Context, q hub.Question) (hub.Verdict, error) {
		v, err := handler(ctx, asked(q))
		got := hub.Verdict{Allow: v.Allow, Data: v.Data, Status: v.Status, StatusData: v.StatusData, Grants: v.Grants, Rooms: v.Rooms}
		if v.Deny != nil {
			got.Deny = &hub.Denial{Code: protocol.Code(v.Deny.Code), Message: v.Deny.Message}
		}
		return got, err
	}
}

func asked(q hub.Question) public.Question {
	return public.Question{
		Version: q.Version, Hook: string(q.Hook), Time: q.Time, Connection: q.Connection, User: public.User(q.User), Grants: q.Grants,
		Rooms: q.Rooms, Room: q.Room, Granted: q.Granted, Renewal: q.Renewal, Action: q.Action, Event: q.Event, ID: q.ID, Data: q.Data,
	}
}
