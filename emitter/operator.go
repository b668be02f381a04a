package emitter

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Operator acts on the connections in some rooms, with the methods of Socket.IO's servers:
//
//	e.To("channel:42").Except("user:ana").Emit(ctx, "news", data)
//	sockets, err := e.In("channel:42").FetchSockets(ctx)
//	answers, err := e.In("user:ana").Timeout(5*time.Second).EmitWithAck(ctx, "sure?", nil)
//
// Its methods give a new one and leave it as it is. All but Emit are for 1,000 connections at most, and for 100 that are
// asked.
type Operator struct {
	e           *Emitter
	rooms       []string
	connections []string
	except      []string
	ephemeral   bool
	timeout     time.Duration
}

// To begins with rooms; a user is the room "user:<id>".
func (e *Emitter) To(rooms ...string) Operator { return Operator{e: e, rooms: rooms} }

// In is To.
func (e *Emitter) In(rooms ...string) Operator { return e.To(rooms...) }

// Sockets begins with connections, by their ids.
func (e *Emitter) Sockets(connections ...string) Operator {
	return Operator{e: e, connections: connections}
}

// To adds rooms.
func (o Operator) To(rooms ...string) Operator {
	o.rooms = slices.Concat(o.rooms, rooms)
	return o
}

// In is To.
func (o Operator) In(rooms ...string) Operator { return o.To(rooms...) }

// Except leaves out: rooms, user ids, and connection ids.
func (o Operator) Except(names ...string) Operator {
	o.except = slices.Concat(o.except, names)
	return o
}

// Volatile makes Emit send what nobody keeps: it is not logged.
func (o Operator) Volatile() Operator {
	o.ephemeral = true
	return o
}

// Timeout is how long EmitWithAck waits, 10 s at most; 5 s if it is not set.
func (o Operator) Timeout(d time.Duration) Operator {
	o.timeout = d
	return o
}

// Emit sends an event, as [Emitter.Publish] does.
func (o Operator) Emit(ctx context.Context, event string, data any) (PublishResult, error) {
	return o.e.Publish(ctx, Publish{
		Rooms: o.rooms, Connections: o.connections, Event: event, Data: data, Except: o.except, Ephemeral: o.ephemeral,
	})
}

// Ack is what one client answered.
type Ack struct {
	Connection string            `json:"connection"`
	UserID     string            `json:"userId"`
	Args       []json.RawMessage `json:"args"` // of its callback
}

// Acks are the answers to a question, and who gave none in time or speaks no Socket.IO.
type Acks struct {
	Answers []Ack    `json:"answers"`
	Missing []string `json:"missing"` // connections
}

// EmitWithAck sends an event to clients of Socket.IO, and waits for their answers. Their handlers are called with the data and a
// callback, as by Socket.IO's servers; with the callback alone if data is nil. It needs a transport with answers, see
// [ErrNoAnswer]; the function waits, and is paid for, meanwhile.
func (o Operator) EmitWithAck(ctx context.Context, event string, data any) (Acks, error) {
	c := o.command("ask")
	c.Event, c.TimeoutMs = event, o.timeout.Milliseconds()
	if data != nil {
		var err error
		if c.Data, err = encode(data); err != nil {
			return Acks{}, badRequest("the data of %s cannot be written as JSON: %v", event, err)
		}
	}
	var got Acks
	err := o.e.ask(ctx, c, &got)
	return got, err
}

// Socket is one open connection.
type Socket struct {
	Connection  string   `json:"connection"`
	UserID      string   `json:"userId"`
	Name        string   `json:"name"`
	Rooms       []string `json:"rooms"`
	Codec       string   `json:"codec"`       // "bellhop.v1", or "socketio"
	ConnectedAt int64    `json:"connectedAt"` // Unix time in milliseconds
}

// Opened is ConnectedAt as a time.
func (s Socket) Opened() time.Time { return time.UnixMilli(s.ConnectedAt) }

// FetchSockets gives the connections. It needs a transport with answers, see [ErrNoAnswer].
func (o Operator) FetchSockets(ctx context.Context) ([]Socket, error) {
	var data struct {
		Connections []Socket `json:"connections"`
	}
	err := o.e.ask(ctx, o.command("connections"), &data)
	return data.Connections, err
}

// SocketsJoin puts the connections into rooms.
func (o Operator) SocketsJoin(ctx context.Context, rooms ...string) error {
	return o.move(ctx, "join", rooms)
}

// SocketsLeave takes the connections out of rooms.
func (o Operator) SocketsLeave(ctx context.Context, rooms ...string) error {
	return o.move(ctx, "leave", rooms)
}

func (o Operator) move(ctx context.Context, name string, rooms []string) error {
	for _, room := range rooms {
		c := o.command(name)
		c.Room = room
		var data struct{}
		if err := o.e.tell(ctx, c, &data); err != nil {
			return err
		}
	}
	return nil
}

// DisconnectSockets closes the connections, and tells them why. Clients of Socket.IO stay away then.
func (o Operator) DisconnectSockets(ctx context.Context, reason string) error {
	c := o.command("disconnect")
	c.Reason = reason
	var data struct{}
	return o.e.tell(ctx, c, &data)
}

func (o Operator) command(name string) command {
	return command{Command: name, Rooms: o.rooms, Connections: o.connections, Except: o.except}
}
