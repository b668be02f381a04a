package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Hook names a place where the owner's own logic is asked, or told.
type Hook string

// The hooks. Each says which fields of [Question] it is asked with, beside Hook, Version, Time, User and Connection, and
// which of [Verdict] count.
const (
	// HookAction is an action that Bellhop does not define: a call. Asked with Action, ID, Room, Data, Rooms and Grants;
	// Verdict.Data is the data of the reply.
	HookAction Hook = "action"
	// HookJoin is a connection that wants to be in a room. Asked with Room, Granted and Grants; Verdict.Allow overrules
	// what the token grants, Status and StatusData are the user's presence there, Data comes with the reply as state.
	HookJoin Hook = "join"
	// HookPublish is an event that a client wants to have logged, message:deleted and notification:read included. Asked
	// with Room, Event, ID, Data and Grants, before it is logged; Verdict.Data replaces the data of a message or of an
	// application's own event.
	HookPublish Hook = "publish"
	// HookConnect is a connection about to open, and again one whose token is renewed. Asked with Grants, those of the
	// token; Verdict.Grants adds to them, Verdict.Rooms are joined by themselves.
	HookConnect Hook = "connect"
	// HookDisconnect tells that a connection is gone. Told with Rooms; there is no answer, and it may be told twice.
	HookDisconnect Hook = "disconnect"
)

// HookNames gives all of them.
func HookNames() []Hook {
	return []Hook{HookAction, HookJoin, HookPublish, HookConnect, HookDisconnect}
}

// QuestionVersion is the version of the shapes of Question and Verdict.
const QuestionVersion = 1

// Person is the authenticated user of a connection.
type Person struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// Question is what a hook is asked. A question with an ID may come again with the same one, when a client repeats what
// it was not answered.
type Question struct {
	Version    int             `json:"version"`
	Hook       Hook            `json:"hook"`
	Time       int64           `json:"time"` // Unix milliseconds
	Connection string          `json:"connection"`
	User       Person          `json:"user"`
	Grants     Grants          `json:"grants,omitempty"`
	Rooms      []string        `json:"rooms,omitempty"` // that the connection is in
	Room       string          `json:"room,omitempty"`
	Granted    bool            `json:"granted,omitempty"` // join: the token allows it
	Renewal    bool            `json:"renewal,omitempty"` // connect: the connection is open, and its token is renewed
	Action     string          `json:"action,omitempty"`
	Event      string          `json:"event,omitempty"`
	ID         string          `json:"id,omitempty"` // the client's, for publish the idempotency key
	Data       json.RawMessage `json:"data,omitempty"`
}

// Verdict is what a hook says. The zero value lets things take their course.
type Verdict struct {
	Deny   *Denial         `json:"deny,omitempty"`   // refuses; the client gets it as the error
	Allow  bool            `json:"allow,omitempty"`  // join: without a grant too
	Data   json.RawMessage `json:"data,omitempty"`   // action: the result; publish: instead of the client's; join: the state
	Status string          `json:"status,omitempty"` // join: the user's status in a room with presence
	// StatusData is the data of that presence, at most 1 KB.
	StatusData json.RawMessage `json:"statusData,omitempty"`
	Grants     Grants          `json:"grants,omitempty"` // connect: beside those of the token
	Rooms      []string        `json:"rooms,omitempty"`  // connect: joined by themselves
}

// Denial is a hook's no.
type Denial struct {
	Code    protocol.Code `json:"code,omitempty"` // empty: forbidden
	Message string        `json:"message"`        // a sentence for the client
}

// Hooks is the owner's own logic.
type Hooks interface {
	// Has reports whether there is such a hook. Where there is none nothing is asked, and nothing is spent.
	Has(h Hook) bool
	// Ask asks a hook, and bounds its time. A [protocol.Error] goes to the client. With any other error the hook gave no
	// answer, and the client gets unavailable, unless it is ErrLetPass: then things take their course.
	Ask(ctx context.Context, q Question) (Verdict, error)
}

// ErrLetPass is that a hook gave no answer, and that its owner wants to do without one.
var ErrLetPass = errors.New("let pass without an answer")

// ask asks a hook, if there is one. A denial is an error.
func (h *Hub) ask(ctx context.Context, q Question) (Verdict, error) {
	if h.hooks == nil || !h.hooks.Has(q.Hook) {
		return Verdict{}, nil
	}
	q.Version, q.Time = QuestionVersion, h.now().UnixMilli()
	began := h.now()
	a, err := h.hooks.Ask(ctx, q)
	h.observe.time(hookMetric(HookLatency, q.Hook), h.now().Sub(began))
	if err == nil && errors.Join(protocol.CheckDepth(a.Data), protocol.CheckDepth(a.StatusData)) != nil {
		err = fmt.Errorf("%w: its data is nested deeper than %d", errBadAnswer, protocol.MaxDepth)
	}
	if _, public := errors.AsType[*protocol.Error](err); public {
		return a, fmt.Errorf("ask hook %s: %w", q.Hook, err)
	}
	if err != nil {
		h.observe.count(hookMetric(HookFailures, q.Hook), 1)
		h.log.ErrorContext(ctx, "hook failed", "hook", q.Hook, "connectionId", q.Connection, "userId", q.User.ID,
			"room", q.Room, "eventId", q.ID, "error", err)
		if errors.Is(err, ErrLetPass) {
			return Verdict{}, nil
		}
		return a, protocol.Errorf(protocol.CodeUnavailable, "the application did not answer; try again")
	}
	if a.Deny != nil {
		return a, a.Deny.error()
	}
	return a, nil
}

// hookMetric is a metric of one hook: HookLatencyJoin.
func hookMetric(what Metric, hook Hook) Metric {
	return what + Metric(strings.ToUpper(string(hook[:1]))+string(hook[1:]))
}

// error is the denial as a client gets it. A code that the protocol does not have would confuse clients.
func (d *Denial) error() *protocol.Error {
	e := &protocol.Error{Code: d.Code, Message: d.Message}
	if !slices.Contains(protocol.Codes(), e.Code) {
		e.Code = protocol.CodeForbidden
	}
	if e.Message == "" {
		e.Message = e.Code.Sentence()
	}
	return e
}

// call does an action that is not the protocol's, by asking the application.
func (h *Hub) call(ctx context.Context, c Caller, a protocol.Action, recent bool) (any, error) {
	if h.hooks == nil || !h.hooks.Has(HookAction) {
		return nil, protocol.Errorf(protocol.CodeUnknownAction, "there is no action %.40q", a.Name)
	}
	row, err := h.touch(ctx, c, "", recent)
	if err != nil {
		return nil, err
	}
	got, err := h.ask(ctx, Question{
		Hook: HookAction, Connection: row.ID, User: Person{row.User, row.Name}, Grants: row.Grants,
		Rooms: slices.Sorted(maps.Keys(row.Rooms)), Room: a.Room, Action: a.Name, ID: a.ID, Data: a.Data,
	})
	switch {
	case err != nil:
		return nil, err
	case len(got.Data) > protocol.MaxData:
		return nil, protocol.Errorf(protocol.CodeTooLarge, "the application's answer has %d bytes, a reply may have %d", len(got.Data), protocol.MaxData)
	case len(got.Data) == 0:
		return nil, nil //nolint:nilnil // the application has nothing to say
	}
	return got.Data, nil
}

// askToPublish asks whether the author may have an event logged, and gives its data as the hook wants it.
func (h *Hub) askToPublish(ctx context.Context, row Connection, e protocol.Event) (json.RawMessage, error) {
	a, err := h.ask(ctx, Question{
		Hook: HookPublish, Connection: row.ID, User: Person{row.User, row.Name}, Grants: row.Grants,
		Room: e.Room, Event: e.Event, ID: e.ID, Data: e.Data,
	})
	if err != nil {
		return nil, err
	}
	if a.Data != nil {
		return a.Data, nil
	}
	return e.Data, nil
}

// askToJoin asks whether a connection may join, over what its token says.
func (h *Hub) askToJoin(ctx context.Context, c Connection, room string, k Kind) (Verdict, error) {
	refused := mayJoin(c, room, k)
	if k.Owner && refused != nil {
		return Verdict{}, refused // a user's own room is nobody else's, whatever the application says
	}
	a, err := h.ask(ctx, Question{
		Hook: HookJoin, Connection: c.ID, User: Person{c.User, c.Name}, Grants: c.Grants, Room: room, Granted: refused == nil,
	})
	if err != nil {
		return a, err
	}
	if a.Allow {
		refused = nil
	}
	return a, refused
}

// setJoined gives the user the presence that the join hook asked for.
func (h *Hub) setJoined(ctx context.Context, c Connection, room string, k Kind, a Verdict) error {
	if a.Status == "" || !k.Presence {
		return nil
	}
	if err := protocol.CheckStatus(a.Status); err != nil || len(a.StatusData) > maxStatusData {
		return fmt.Errorf("hook join: status %.40q with %d bytes of data: %w", a.Status, len(a.StatusData), errBadAnswer)
	}
	_, err := h.setStatus(ctx, c, room, protocol.Action{Status: a.Status, Data: a.StatusData})
	return err
}

var errBadAnswer = errors.New("the hook's answer cannot be used")

// askToConnect asks what a connection may do beside what its token says, and where it is from the start.
func (h *Hub) askToConnect(ctx context.Context, connection string, who Identity, renewal bool) (Grants, []string, error) {
	a, err := h.ask(ctx, Question{
		Hook: HookConnect, Connection: connection, User: Person{who.User, who.Name}, Grants: who.Grants, Renewal: renewal,
	})
	if err != nil {
		return nil, nil, err
	}
	grants := maps.Clone(who.Grants)
	for pattern, may := range a.Grants {
		if grants == nil {
			grants = Grants{}
		}
		grants[pattern] = append(slices.Clone(grants[pattern]), may...)
	}
	for _, room := range a.Rooms {
		k, err := h.kind(room)
		if err == nil {
			err = protocol.CheckRoom(room)
		}
		if err == nil && k.Owner {
			err = errBadAnswer
		}
		if err != nil {
			return nil, nil, fmt.Errorf("hook connect: automatic room %.128q: %w", room, err)
		}
	}
	return grants, a.Rooms, nil
}
