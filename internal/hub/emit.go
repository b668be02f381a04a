package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Command is what programs send to the emit function. Command says which fields count:
//
//	publish     Rooms, Users, Connections, Event, Data, ID, Ephemeral, Except, From
//	presence    Room
//	members     Room
//	history     Room, Before, Limit
//	connections Rooms, Users, Connections, Except
//	disconnect  User or Connection, or all that connections may have; Reason
//	join, leave Room, and User or all that connections may have
//	close       Room, Reason
//	stats
//	ask         what connections may have, Event, Data, From, TimeoutMs: for clients of Socket.IO, see package sio
type Command struct {
	Command     string          `json:"command"`
	Rooms       []string        `json:"rooms"`
	Users       []string        `json:"users"`
	Connections []string        `json:"connections"` // pushed to directly, not logged
	Event       string          `json:"event"`
	Data        json.RawMessage `json:"data"`
	ID          string          `json:"id"` // idempotency key in each room
	Ephemeral   bool            `json:"ephemeral"`
	Except      []string        `json:"except"` // connection ids, user ids, and rooms, that are left out
	From        *protocol.From  `json:"from"`   // whom the event is from; the program is trusted with it
	Room        string          `json:"room"`
	Before      int64           `json:"before"`
	Limit       int             `json:"limit"`
	User        string          `json:"user"`
	Connection  string          `json:"connection"`
	Reason      string          `json:"reason"`
	TimeoutMs   int             `json:"timeoutMs"`
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

// EmitLimit is the most targets of one publish command.
const EmitLimit = 1000

// DecodeCommand reads one command. Its error is always a protocol.Error.
func DecodeCommand(text []byte) (Command, error) {
	var c Command
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, protocol.Errorf(protocol.CodeBadRequest, "the command is not valid: %s", err.Error())
	}
	return c, nil
}

// Emit does one command. Nothing is granted or refused by token here: who may invoke the function may do all.
func (h *Hub) Emit(ctx context.Context, c Command) Answer {
	data, err := h.emit(ctx, c)
	if err == nil {
		return Answer{OK: true, Data: data}
	}
	e := publicError(err)
	h.Meter.Refused(e.Code)
	if e.Code == protocol.CodeInternal || e.Code == protocol.CodeUnavailable {
		h.Logger.ErrorContext(ctx, "command failed", "command", c.Command, "room", c.Room, "eventId", c.ID, "error", err)
	}
	return Answer{Data: data, Error: e}
}

func (h *Hub) emit(ctx context.Context, c Command) (any, error) {
	switch c.Command {
	case "publish":
		return h.emitPublish(ctx, c)
	case "disconnect":
		return h.emitDisconnect(ctx, c)
	case "connections":
		return h.emitConnections(ctx, c)
	case "ask":
		if h.Asker == nil {
			return nil, protocol.Errorf(protocol.CodeUnknownAction, "there is no command ask here")
		}
		return h.Asker.Ask(ctx, c)
	case "stats":
		return h.stats(ctx)
	case "presence", "members", "history", "join", "leave", "close":
	case "":
		return nil, protocol.Errorf(protocol.CodeBadRequest, `the command needs a "command", such as "publish"`)
	default:
		return nil, protocol.Errorf(protocol.CodeUnknownAction, "there is no command %.40q", c.Command)
	}
	if err := protocol.CheckRoom(c.Room); err != nil {
		return nil, err
	}
	k, err := h.kind(c.Room)
	if err != nil {
		return nil, err
	}
	switch c.Command {
	case "presence":
		if !k.Presence {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "%s rooms have no presence", protocol.RoomKind(c.Room))
		}
		here, err := h.present(ctx, c.Room)
		return map[string]any{"room": c.Room, "presence": here}, err
	case "members":
		return h.emitMembers(ctx, c.Room)
	case "history":
		return h.page(ctx, c.Room, max(c.Before, 0), max(c.Limit, 0))
	case "close":
		return h.closeRoom(ctx, c.Room, c.Reason)
	}
	return h.emitMove(ctx, c, k)
}

func (h *Hub) emitPublish(ctx context.Context, c Command) (any, error) {
	if err := checkPublish(c); err != nil {
		return nil, err
	}
	if err := h.exceptRooms(ctx, &c); err != nil {
		return nil, err
	}
	rooms := slices.Clone(c.Rooms)
	for _, u := range c.Users {
		rooms = append(rooms, protocol.UserRoom(u))
	}
	results := make([]TargetResult, len(rooms)+len(c.Connections))
	err := each(len(results), 16, func(i int) error {
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

func checkPublish(c Command) error {
	targets := len(c.Rooms) + len(c.Users) + len(c.Connections)
	switch {
	case targets == 0:
		return protocol.Errorf(protocol.CodeBadRequest, `publish needs "rooms", "users" or "connections"`)
	case targets > EmitLimit:
		return protocol.Errorf(protocol.CodeBadRequest, "one publish may have %d targets, this has %d", EmitLimit, targets)
	case len(c.Data) > maxData:
		return protocol.Errorf(protocol.CodeTooLarge, "data may have %d bytes, this has %d", maxData, len(c.Data))
	}
	if err := protocol.CheckNewID(c.ID); err != nil {
		return err
	}
	return protocol.CheckEvent(c.Event)
}

func (h *Hub) emitToRoom(ctx context.Context, c Command, room string) (TargetResult, error) {
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
		return r, h.deliver(ctx, e, c.Except)
	}
	if c.Event == protocol.MessageDeleted {
		var d struct {
			MessageID string `json:"messageId"`
		}
		if err := json.Unmarshal(c.Data, &d); err != nil || d.MessageID == "" {
			return r, protocol.Errorf(protocol.CodeBadRequest, `%s needs data {"messageId":"…"}`, c.Event)
		}
		got, err := h.retract(ctx, room, d.MessageID, c.From)
		return TargetResult{Room: room, Epoch: got.Epoch, Seq: got.Seq, ID: got.ID, TS: got.TS}, err
	}
	e.ID = c.ID
	if e.ID != "" {
		known, err := h.Store.Find(ctx, room, e.ID)
		if err == nil {
			got, err := h.again(ctx, known, e, c.Except)
			return TargetResult{Room: room, Epoch: got.Epoch, Seq: got.Seq, ID: got.ID, TS: got.TS}, err
		}
		if !errors.Is(err, ErrNotFound) {
			return r, fmt.Errorf("find event: %w", err)
		}
	}
	got, err := h.logAndDeliver(ctx, e, k, c.Except)
	return TargetResult{Room: room, Epoch: got.Epoch, Seq: got.Seq, ID: got.ID, TS: got.TS}, err
}

func (h *Hub) emitToConnection(ctx context.Context, c Command, connection string) (TargetResult, error) {
	r := TargetResult{Connection: connection}
	row, err := h.Store.Connection(ctx, connection)
	if errors.Is(err, ErrNotFound) {
		r.Gone = true
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read connection: %w", err)
	}
	to := []Target{{Connection: row.ID, User: row.User, Codec: row.Codec}}
	e := protocol.Event{Event: c.Event, TS: h.Now().UnixMilli(), From: c.From, Data: c.Data}
	frames, err := h.encode([]protocol.Event{e}, to)
	if err != nil {
		return r, err
	}
	began := h.Now()
	err = h.pushFrames(ctx, row.ID, frames[row.Codec])
	switch {
	case errors.Is(err, ErrGone):
		r.Gone = true
		h.departGone(ctx, "", to, began)
		return r, nil
	case errors.Is(err, ErrTooLarge):
		return r, protocol.Refuse(protocol.CodeTooLarge)
	case err != nil:
		h.Logger.WarnContext(ctx, "push failed", "connectionId", connection, "error", err)
		return r, protocol.Refuse(protocol.CodeUnavailable)
	}
	return r, nil
}

func (h *Hub) emitDisconnect(ctx context.Context, c Command) (any, error) {
	rows, err := h.Select(ctx, c)
	if err != nil {
		return nil, err
	}
	reason := c.Reason
	if reason == "" {
		reason = "disconnected"
	}
	err = each(len(rows), 16, func(i int) error { return h.end(ctx, rows[i], reason) })
	return map[string]int{"disconnected": len(rows)}, err
}

// emitMove puts connections in a room, or takes them out.
func (h *Hub) emitMove(ctx context.Context, c Command, k Kind) (any, error) {
	rows, err := h.Select(ctx, c)
	if err != nil {
		return nil, err
	}
	foreign := func(user string) bool { return c.Room != protocol.RoomKind(c.Room)+":"+user }
	if k.Owner && (c.User != "" && foreign(c.User) || slices.ContainsFunc(rows, func(row Connection) bool { return foreign(row.User) })) {
		return nil, protocol.Errorf(protocol.CodeForbidden, "only the user that it is named after may join %s", c.Room)
	}
	err = each(len(rows), 16, func(i int) error {
		if c.Command == "leave" {
			return h.exit(ctx, rows[i], c.Room)
		}
		if !rows[i].In(c.Room) && len(rows[i].Rooms) >= h.Limits.Rooms {
			return protocol.Refuse(protocol.CodeTooManyRooms)
		}
		_, err := h.enter(ctx, rows[i], c.Room, h.free(rows[i]))
		if errors.Is(err, ErrNotFound) {
			return nil // gone meanwhile
		}
		return err
	})
	return map[string]int{"connections": len(rows)}, err
}

func (h *Hub) emitMembers(ctx context.Context, room string) (any, error) {
	type member struct {
		Connection string `json:"connection"`
		UserID     string `json:"userId"`
	}
	list, shards, more := []member{}, 1, false
	for shard := 0; shard < shards && !more; shard++ {
		page, err := h.Store.Members(ctx, room, shard, "", h.Limits.Page)
		if err != nil {
			return nil, fmt.Errorf("read members of %s: %w", room, err)
		}
		shards = max(shards, page.Shards)
		for _, m := range page.Members {
			list = append(list, member{m.Connection, m.User})
		}
		more = page.Next != "" || len(list) >= h.Limits.Page
	}
	return map[string]any{"room": room, "members": list, "more": more}, nil
}

// closeRoom begins a new log in a room, tells everybody in it that it is closed, and takes them out. Small rooms are
// empty when it returns; larger ones are emptied by jobs, a page of members each.
func (h *Hub) closeRoom(ctx context.Context, room, reason string) (any, error) {
	if reason == "" {
		reason = "closed"
	}
	if err := h.Store.Reset(ctx, room); err != nil {
		return nil, fmt.Errorf("reset log of %s: %w", room, err)
	}
	page, err := h.firstMembers(ctx, room)
	if err != nil {
		return nil, err
	}
	e := protocol.Event{Event: protocol.RoomClosed, Room: room, Data: object("reason", reason)}
	job := Job{Kind: JobClose, Room: room, Event: &e}
	for shard := 1; shard < page.Shards; shard++ {
		job.Shard = shard
		if err := h.Queue.Enqueue(ctx, job, 0); err != nil {
			return nil, fmt.Errorf("enqueue close of %s: %w", room, err)
		}
	}
	job.Shard = 0
	return protocol.RoomResult{Room: room}, h.expel(ctx, job, page)
}

// empty does a job of closeRoom.
func (h *Hub) empty(ctx context.Context, j Job) error {
	page, err := h.Store.Members(ctx, j.Room, j.Shard, j.After, h.Limits.Inline)
	if err != nil {
		return fmt.Errorf("read members of %s: %w", j.Room, err)
	}
	return h.expel(ctx, j, page)
}

func (h *Hub) expel(ctx context.Context, j Job, page MemberPage) error {
	if page.Next != "" {
		next := j
		next.After = page.Next
		if err := h.Queue.Enqueue(ctx, next, 0); err != nil {
			return fmt.Errorf("enqueue close of %s: %w", j.Room, err)
		}
	}
	if err := h.push(ctx, []protocol.Event{*j.Event}, targets(page.Members, nil), 0); err != nil {
		return err
	}
	return each(len(page.Members), 16, func(i int) error {
		m := page.Members[i]
		return h.exit(ctx, Connection{ID: m.Connection, User: m.User, Rooms: map[string]int{j.Room: m.Shard}}, j.Room)
	})
}
