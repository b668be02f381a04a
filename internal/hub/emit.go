package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Command is what programs send to the emit function: one of the …Command types, as JSON with its name in "command".
type Command interface {
	// name is the command's in JSON.
	name() string
	// do does it. What it gives is the answer's data, also with an error: as far as it got.
	do(ctx context.Context, h *Hub) (any, error)
}

// Selection names connections: those in rooms, those of users, and some by their ids, without those of Except (ids of
// connections and users, and rooms).
type Selection struct {
	Rooms       []string `json:"rooms"`
	Users       []string `json:"users"`
	User        string   `json:"user"`
	Connections []string `json:"connections"`
	Connection  string   `json:"connection"`
	Except      []string `json:"except"`
}

// PublishCommand logs an event in each of the Rooms and in the room of each of the Users, and pushes it to Connections, where it is not logged.
// With All it is logged in the room of every user who has a connection open.
type PublishCommand struct {
	Rooms       []string        `json:"rooms"`
	Users       []string        `json:"users"`
	Connections []string        `json:"connections"`
	Event       string          `json:"event"`
	Data        json.RawMessage `json:"data"`
	ID          string          `json:"id"` // idempotency key in each room
	Ephemeral   bool            `json:"ephemeral"`
	Except      []string        `json:"except"` // connection ids, user ids, and rooms, that are left out
	From        *protocol.From  `json:"from"`   // whom the event is from; the program is trusted with it
	All         bool            `json:"all"`    // in the place of rooms, users and connections
	After       string          `json:"after"`  // with All: the next of the answer before; empty: from the beginning

	names    []string // Except as it was given
	delivery string   // names what brought the command, if that may bring it again
}

// PresenceCommand lists who is present in a room.
type PresenceCommand struct {
	Room  string `json:"room"`
	After string `json:"after"` // user id that the page begins after; empty: from the beginning
}

// MembersCommand lists the connections in a room.
type MembersCommand struct {
	Room  string `json:"room"`
	After string `json:"after"` // the answer's next, of the page before this one; empty: from the beginning
}

// HistoryCommand reads a room's log.
type HistoryCommand struct {
	Room   string `json:"room"`
	Before int64  `json:"before"` // 0: from the newest
	Limit  int    `json:"limit"`  // 0: as many as the server likes
}

// ConnectionsCommand lists connections.
type ConnectionsCommand struct{ Selection }

// DisconnectCommand closes connections.
type DisconnectCommand struct {
	Selection

	Reason string `json:"reason"`
}

// JoinCommand puts connections into a room.
type JoinCommand struct {
	Selection

	Room string `json:"room"`
}

// LeaveCommand takes connections out of a room.
type LeaveCommand struct {
	Selection

	Room string `json:"room"`
}

// CloseCommand begins a new log in a room, and takes everybody out.
type CloseCommand struct {
	Room   string `json:"room"`
	Reason string `json:"reason"`
}

// StatsCommand counts what is open.
type StatsCommand struct{}

// AskCommand sends an event to connections and waits for what they answer, in dialects that have answers.
type AskCommand struct {
	Selection

	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
	From      *protocol.From  `json:"from"`
	TimeoutMs int             `json:"timeoutMs"` // 0: 5 s
}

func (PublishCommand) name() string     { return "publish" }
func (PresenceCommand) name() string    { return "presence" }
func (MembersCommand) name() string     { return "members" }
func (HistoryCommand) name() string     { return "history" }
func (ConnectionsCommand) name() string { return "connections" }
func (DisconnectCommand) name() string  { return "disconnect" }
func (JoinCommand) name() string        { return "join" }
func (LeaveCommand) name() string       { return "leave" }
func (CloseCommand) name() string       { return "close" }
func (StatsCommand) name() string       { return "stats" }
func (AskCommand) name() string         { return "ask" }

// decoders read a command of each name.
func decoders() map[string]func(text []byte) (Command, error) {
	return map[string]func([]byte) (Command, error){
		"publish": decodeAs[PublishCommand], "presence": decodeAs[PresenceCommand], "members": decodeAs[MembersCommand],
		"history": decodeAs[HistoryCommand], "connections": decodeAs[ConnectionsCommand], "disconnect": decodeAs[DisconnectCommand],
		"join": decodeAs[JoinCommand], "leave": decodeAs[LeaveCommand], "close": decodeAs[CloseCommand], "stats": decodeAs[StatsCommand],
		"ask": decodeAs[AskCommand],
	}
}

func decodeAs[C Command](text []byte) (Command, error) {
	var c C
	err := json.Unmarshal(text, &c)
	return c, err
}

// commandFields are all that any command has: a field of another command does nothing, one that none has is not known.
const commandFields = " v command rooms users user connections connection except event data id ephemeral all from room before after limit reason timeoutms "

// DecodeCommand reads one command. Its error is always a protocol.Error, and ErrNewer as well if the command has a number, a
// name or a field that is not known.
func DecodeCommand(text []byte) (Command, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, invalid(err)
	}
	for field := range fields {
		if strings.Contains(field, " ") || !strings.Contains(commandFields, " "+strings.ToLower(field)+" ") {
			return nil, newer(protocol.CodeBadRequest, "the command is not valid: unknown field %.40q", field)
		}
	}
	var head struct {
		Version int    `json:"v"`
		Name    string `json:"command"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, invalid(err)
	}
	if head.Version > commandVersion {
		return nil, newer(protocol.CodeBadRequest, "the command has version %d, this function knows %d", head.Version, commandVersion)
	}
	if head.Name == "" {
		return nil, protocol.Errorf(protocol.CodeBadRequest, `the command needs a "command", such as "publish"`)
	}
	decode, known := decoders()[head.Name]
	if !known {
		return nil, newer(protocol.CodeUnknownAction, "there is no command %.40q", head.Name)
	}
	c, err := decode(text)
	if err != nil {
		return nil, invalid(err)
	}
	return c, nil
}

func invalid(err error) error {
	return protocol.Errorf(protocol.CodeBadRequest, "the command is not valid: %s", err.Error())
}

// Answer is what a command gives: {"ok":true,"data":…}, or {"ok":false,"error":…} with data as far as it got.
type Answer struct {
	OK    bool            `json:"ok"`
	Data  any             `json:"data,omitempty"`
	Error *protocol.Error `json:"error,omitempty"`
}

// EmitResult is the data of publish: one result for each target, in the order rooms, users, connections.
type EmitResult struct {
	Results []TargetResult `json:"results"`
}

// TargetResult is what became of one target of a publish.
type TargetResult struct {
	Room       string          `json:"room,omitempty"`
	Connection string          `json:"connection,omitempty"`
	Epoch      string          `json:"epoch,omitempty"`
	Seq        int64           `json:"seq,omitempty"`
	ID         string          `json:"id,omitempty"`
	TS         int64           `json:"ts,omitempty"`
	Gone       bool            `json:"gone,omitempty"` // the connection is closed
	Error      *protocol.Error `json:"error,omitempty"`
}

// Emit does one command. Nothing is granted or refused by token here: who may invoke the function may do all.
func (h *Hub) Emit(ctx context.Context, c Command) Answer {
	data, err := c.do(ctx, h)
	if err == nil {
		return Answer{OK: true, Data: data}
	}
	e := publicError(err)
	h.observe.refused(ctx, Refusal{Action: c.name(), Code: e.Code})
	if e.Code == protocol.CodeInternal || e.Code == protocol.CodeUnavailable {
		h.log.ErrorContext(ctx, "command failed", "command", c.name(), "error", err)
	}
	return Answer{Data: data, Error: e}
}

// EmitOnce is Emit for a command that may be brought again, in a delivery with the same name: an event without an id of its own is
// logged once then.
func (h *Hub) EmitOnce(ctx context.Context, c Command, delivery string) Answer {
	if p, is := c.(PublishCommand); is && protocol.CheckID(delivery) == nil {
		p.delivery = delivery
		c = p
	}
	return h.Emit(ctx, c)
}

// named gives what a room does that a command names.
func (h *Hub) named(room string) (Kind, error) {
	if err := protocol.CheckRoom(room); err != nil {
		return Kind{}, err
	}
	return h.kind(room)
}

func (c PresenceCommand) do(ctx context.Context, h *Hub) (any, error) {
	k, err := h.named(c.Room)
	if err != nil {
		return nil, err
	}
	if err := hasPresence(c.Room, k); err != nil {
		return nil, err
	}
	if err := protocol.CheckAfter(c.After); err != nil {
		return nil, err
	}
	return h.present(ctx, c.Room, c.After, "")
}

func (c HistoryCommand) do(ctx context.Context, h *Hub) (any, error) {
	if _, err := h.named(c.Room); err != nil {
		return nil, err
	}
	return h.page(ctx, c.Room, max(c.Before, 0), max(c.Limit, 0))
}

func (StatsCommand) do(ctx context.Context, h *Hub) (any, error) { return h.stats(ctx) }

func (c AskCommand) do(ctx context.Context, h *Hub) (any, error) {
	if len(h.dialects) == 0 {
		return nil, protocol.Errorf(protocol.CodeUnknownAction, "there is no command ask here")
	}
	rows, err := h.choose(ctx, c.name(), c.Selection)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(protocol.CheckDepth(c.Data), protocol.CheckEvent(c.Event)); err != nil {
		return nil, err
	}
	q := Ask{Event: c.Event, Data: c.Data, From: c.From, Timeout: max(time.Duration(c.TimeoutMs)*time.Millisecond, 0)}
	return h.dialects[0].Ask(ctx, rows, q)
}

func (c PublishCommand) do(ctx context.Context, h *Hub) (any, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	var err error
	c.names = c.Except
	if c.Except, err = h.withoutRooms(ctx, c.Except); err != nil {
		return nil, err
	}
	if c.All {
		return c.toAll(ctx, h)
	}
	rooms := slices.Clone(c.Rooms)
	for _, u := range c.Users {
		rooms = append(rooms, protocol.UserRoom(u))
	}
	results := make([]TargetResult, len(rooms)+len(c.Connections))
	err = each(len(results), 16, func(i int) error {
		var err error
		if i < len(rooms) {
			results[i], err = h.emitToRoom(ctx, c, rooms[i])
		} else {
			results[i], err = h.emitToConnection(ctx, c, c.Connections[i-len(rooms)])
		}
		if err != nil {
			results[i].Error = publicError(err)
		}
		return err
	})
	return EmitResult{Results: results}, err
}

func (c PublishCommand) check() error {
	targets := len(c.Rooms) + len(c.Users) + len(c.Connections)
	switch {
	case targets == 0 && !c.All:
		return protocol.Errorf(protocol.CodeBadRequest, `publish needs "rooms", "users", "connections" or "all"`)
	case targets > protocol.MaxTargets:
		return protocol.Errorf(protocol.CodeBadRequest, "one publish may have %d targets, this has %d", protocol.MaxTargets, targets)
	case len(c.Data) > protocol.MaxData:
		return protocol.Errorf(protocol.CodeTooLarge, "data may have %d bytes, this has %d", protocol.MaxData, len(c.Data))
	}
	if err := protocol.CheckDepth(c.Data); err != nil {
		return err
	}
	if err := protocol.CheckNewID(c.ID); err != nil {
		return err
	}
	return protocol.CheckEvent(c.Event)
}

func (h *Hub) emitToRoom(ctx context.Context, c PublishCommand, room string) (TargetResult, error) {
	r := TargetResult{Room: room}
	if err := protocol.CheckRoom(room); err != nil {
		return r, err
	}
	k, err := h.kind(room)
	if err != nil {
		return r, err
	}
	e := protocol.Event{Event: c.Event, Room: room, From: c.From, Data: c.Data}
	if c.Ephemeral {
		return r, h.deliver(ctx, e, "", c.Except)
	}
	if c.Event == protocol.MessageDeleted {
		t, err := readTarget(c.Event, c.Data)
		if err != nil {
			return r, err
		}
		list, err := h.messages(ctx, room, t.MessageID, t.UserID)
		if err != nil {
			return r, err
		}
		got, err := h.retract(ctx, room, t.MessageID, list, c.From)
		return TargetResult{Room: room, Epoch: got.Epoch, Seq: got.Seq, ID: got.ID, TS: got.TS}, err
	}
	d := Draft{Event: e, Except: c.names, out: c.Except, Keep: k.Keep}
	switch {
	case c.ID != "":
		d.ID, d.Key, d.Sum = c.ID, Key{Maker: MakerProgram, ID: c.ID}, sumOf(e)
	case c.delivery != "":
		d.Key, d.Sum = Key{Maker: MakerDelivery, ID: c.delivery}, sumOf(e)
	}
	got, err := h.logAsked(ctx, d)
	return TargetResult{Room: room, Epoch: got.Epoch, Seq: got.Seq, ID: got.ID, TS: got.TS}, err
}

func (h *Hub) emitToConnection(ctx context.Context, c PublishCommand, connection string) (TargetResult, error) {
	r := TargetResult{Connection: connection}
	row, err := h.store.Connection(ctx, connection)
	if errors.Is(err, ErrNotFound) {
		r.Gone = true
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read connection: %w", err)
	}
	if !row.Expires.After(h.now()) {
		r.Gone = true
		return r, h.end(ctx, row, protocol.ReasonExpired, false)
	}
	to := Target{Connection: row.ID, User: row.User, Codec: row.Codec}
	e := protocol.Event{Event: c.Event, TS: h.now().UnixMilli(), From: c.From, Data: c.Data}
	frames, err := h.encode([]protocol.Event{e}, []Target{to})
	if err != nil {
		return r, err
	}
	began := h.now()
	err = h.pushAlone(ctx, to, e, frames)
	switch {
	case errors.Is(err, ErrGone):
		r.Gone = true
		h.departGone(ctx, "", []Target{to}, began)
		return r, nil
	case errors.Is(err, ErrTooLarge):
		return r, protocol.Refuse(protocol.CodeTooLarge)
	case err != nil:
		h.log.WarnContext(ctx, "push failed", "connectionId", connection, "error", err)
		return r, protocol.Refuse(protocol.CodeUnavailable)
	}
	return r, nil
}

func (c DisconnectCommand) do(ctx context.Context, h *Hub) (any, error) {
	rows, err := h.choose(ctx, c.name(), c.Selection)
	if err != nil {
		return nil, err
	}
	reason := cmp.Or(protocol.Reason(c.Reason), protocol.ReasonDisconnected)
	err = each(len(rows), 16, func(i int) error { return h.end(ctx, rows[i], reason, true) })
	return map[string]int{"disconnected": len(rows)}, err
}

func (c JoinCommand) do(ctx context.Context, h *Hub) (any, error) {
	got, err := h.move(ctx, c.name(), c.Selection, c.Room, func(row Connection) error {
		_, err := h.enter(ctx, row, c.Room, h.now(), h.free(row), func(Connection) error { return nil })
		if errors.Is(err, ErrNotFound) || errors.Is(err, protocol.Refuse(protocol.CodeExpired)) {
			return nil // gone meanwhile, or about to be
		}
		return err
	})
	if err != nil {
		return got, err
	}
	return got, h.hold(ctx, c.Room)
}

func (c LeaveCommand) do(ctx context.Context, h *Hub) (any, error) {
	return h.move(ctx, c.name(), c.Selection, c.Room, func(row Connection) error { return h.exit(ctx, row, c.Room, protocol.ReasonRemoved) })
}

// move puts connections in a room, or takes them out.
func (h *Hub) move(ctx context.Context, command string, s Selection, room string, one func(Connection) error) (any, error) {
	k, err := h.named(room)
	if err != nil {
		return nil, err
	}
	rows, err := h.choose(ctx, command, s)
	if err != nil {
		return nil, err
	}
	foreign := func(user string) bool { return room != protocol.RoomKind(room)+":"+user }
	if k.Owner && (s.User != "" && foreign(s.User) || slices.ContainsFunc(rows, func(row Connection) bool { return foreign(row.User) })) {
		return nil, protocol.Errorf(protocol.CodeForbidden, "only the user that it is named after may join %s", room)
	}
	err = each(len(rows), 16, func(i int) error { return one(rows[i]) })
	return map[string]int{"connections": len(rows)}, err
}

func (c MembersCommand) do(ctx context.Context, h *Hub) (any, error) {
	room := c.Room
	if _, err := h.named(room); err != nil {
		return nil, err
	}
	type member struct {
		Connection string `json:"connection"`
		UserID     string `json:"userId"`
	}
	place, err := readPlace(c.After)
	if err != nil {
		return nil, err
	}
	page := struct {
		Room    string   `json:"room"`
		Members []member `json:"members"`
		More    bool     `json:"more"`
		Next    string   `json:"next,omitempty"` // where the next page begins
	}{Room: room, Members: []member{}}
	for at, m := range h.membersAfter(ctx, room, place, h.limits.Page, &err) {
		if page.More = len(page.Members) == h.limits.Page; page.More {
			break
		}
		page.Members, place = append(page.Members, member{m.Connection, m.User}), at
	}
	if err != nil {
		return nil, err
	}
	if page.More {
		page.Next = place.String()
	}
	return page, nil
}

// do begins a new log, and takes out everybody who was there before that. Small rooms are empty when it returns; larger ones are
// emptied by jobs, one for a shard. It may be repeated.
func (c CloseCommand) do(ctx context.Context, h *Hub) (any, error) {
	room := c.Room
	if _, err := h.named(room); err != nil {
		return nil, err
	}
	if err := h.store.Reset(ctx, room); err != nil {
		return nil, fmt.Errorf("reset log of %s: %w", room, err)
	}
	head, err := h.store.Head(ctx, room, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("read head of %s: %w", room, err)
	}
	page, err := h.firstMembers(ctx, room)
	if err != nil {
		return nil, err
	}
	e := protocol.Event{Event: protocol.RoomClosed, Room: room, Data: object("reason", cmp.Or(protocol.Reason(c.Reason), protocol.ReasonClosed))}
	// Those who came after it stay, but for a second in which clocks may disagree.
	job := Job{Kind: JobClose, Room: room, Event: &e, Gen: head.Began.Add(time.Second).UnixMicro()}
	for shard := 1; shard < page.Shards; shard++ {
		job.Shard = shard
		if err := h.Enqueue(ctx, job, 0); err != nil {
			return nil, err
		}
	}
	if job.Shard = 0; page.Next != "" {
		if err := h.Enqueue(ctx, job, 0); err != nil {
			return nil, err
		}
	}
	return protocol.RoomResult{Room: room}, h.expel(ctx, job, page.Members)
}

// empty does a job of close. Those who came after the room was closed stay.
func (h *Hub) empty(ctx context.Context, j Job) error {
	return h.eachPage(ctx, []Job{j}, func(members []Member) error { return h.expel(ctx, j, members) })
}

func (h *Hub) expel(ctx context.Context, j Job, members []Member) error {
	var d struct {
		Reason protocol.Reason `json:"reason"`
	}
	if err := json.Unmarshal(j.Event.Data, &d); err != nil {
		return fmt.Errorf("decode close of %s: %w", j.Room, err)
	}
	return each(len(members), 16, func(i int) error {
		m := members[i]
		if j.Gen != 0 && m.Gen >= j.Gen {
			return nil
		}
		c, err := h.store.Connection(ctx, m.Connection)
		if errors.Is(err, ErrNotFound) {
			return h.unseat(ctx, j.Room, m, time.Time{}, h.limits.Grace)
		}
		if err != nil {
			return fmt.Errorf("read connection: %w", err)
		}
		return h.exit(ctx, c, j.Room, cmp.Or(d.Reason, protocol.ReasonClosed))
	})
}
