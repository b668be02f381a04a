package packet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// fields are the names that an action's positional arguments have in bellhop.v1, in order. What an action does with them
// is in [protocol.JSON].
func fields(action string) []string {
	switch action {
	case "join":
		return []string{"room", "since"}
	case "leave":
		return []string{"room"}
	case "publish", "signal":
		return []string{"room", "event", "data"}
	case "presence":
		return []string{"room", "status", "data"}
	case "history":
		return []string{"room", "before", "limit"}
	case "auth":
		return []string{"token"}
	case "ping", "pause":
		return nil

	// the older names
	case "join:channel", "leave:channel", protocol.TypingStart, protocol.TypingStop:
		return []string{"channelId"}
	case "join:community", "leave:community":
		return []string{"communityId"}
	case "join:user":
		return []string{"userId"}
	case "presence:update":
		return []string{"status", "communityId", "data"}
	case "message:send":
		return []string{"channelId", "content"}
	case "message:delete":
		return []string{"channelId", "messageId"}
	case "notification:read":
		return []string{"notificationId"}
	}
	return []string{"room", "data"}
}

// Action reads an EVENT as an action: its name is the action's. Its first argument is an object with the action's fields,
//
//	socket.emit("join", {room: "channel:42", since}, ack)
//	socket.emit("message:send", {channelId: 42, content: "hi", id: crypto.randomUUID()})
//
// or the fields come one by one, in the order of this table. Arguments beyond them do nothing.
//
//	join room, since                    leave room
//	publish room, event, data           signal room, event, data
//	presence room, status, data         history room, before, limit
//	auth token                          ping, pause
//	join:channel channelId              leave:channel channelId
//	join:community communityId          leave:community communityId
//	join:user userId                    presence:update status, communityId, data
//	typing:start channelId              typing:stop channelId
//	message:send channelId, content     message:delete channelId, messageId
//	notification:read notificationId    any other: room, data
//
// The action's ID is the "id" of the object, and never the packet's. As with every codec the error is always a
// [*protocol.Error], and the action then holds the Op and the ID where they could be read.
func Action(p Packet) (protocol.Action, error) {
	args := p.Args()
	if p.Type != Event || len(args) == 0 {
		return protocol.Action{}, protocol.Errorf(protocol.CodeBadRequest, "only an event can ask for an action")
	}
	var name string
	if json.Unmarshal(args[0], &name) != nil {
		return protocol.Action{}, protocol.Errorf(protocol.CodeUnknownAction, "there is no action %.40s", args[0])
	}
	if args = args[1:]; len(args) > 0 && args[0][0] == '{' {
		return protocol.JSON{}.DecodeObject(name, args[0])
	}
	return protocol.JSON{}.DecodeFields(name, fields(name), args)
}

// Recovery is what an event carries so that a client can say later what it has seen.
type Recovery struct {
	Epoch string // of the room's log: with seq, the position that join takes as "since"
	// Offset is for connection state recovery: a client that was given a pid keeps the last argument of each event, if
	// that is a string, and sends the last one back as "offset" of its next CONNECT.
	Offset string
}

// meta is the second argument of an event: all of a [protocol.Event] but its name and data. Added are the fields of the data that
// were not published with it.
type meta struct {
	Room  string         `json:"room,omitempty"`
	Seq   int64          `json:"seq,omitempty"`
	ID    string         `json:"id,omitempty"`
	From  *protocol.From `json:"from,omitempty"`
	TS    int64          `json:"ts,omitempty"`
	Epoch string         `json:"epoch,omitempty"`
	Added []string       `json:"added,omitempty"`
}

// EncodeEvent gives the frame of an event: socket.on("message:new", (data, meta) => …), with null for no data, and with
// the offset as a third argument if there is one. Without one the last argument is an object, which no client takes for
// an offset. The error is [ErrReserved] if clients could not take the name: publishing it is to be refused.
func EncodeEvent(namespace string, e protocol.Event, r Recovery) ([]byte, error) {
	if Reserved(e.Event) {
		return nil, fmt.Errorf("encode event %q: %w", e.Event, ErrReserved)
	}
	data := e.Data
	if data == nil {
		data = json.RawMessage("null")
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("encode event %q: its data is not JSON", e.Event)
	}
	data, added := identified(e, data)
	about, err := encode(meta{e.Room, e.Seq, e.ID, e.From, e.TS, r.Epoch, added})
	if err != nil {
		return nil, fmt.Errorf("encode event %q: %w", e.Event, err)
	}
	args := []json.RawMessage{data, about}
	if r.Offset != "" {
		args = append(args, appendString(nil, r.Offset))
	}
	size := len(namespace) + len(e.Event) + len(data) + len(about) + len(r.Offset) + 16
	return AppendEvent(make([]byte, 0, size), namespace, nil, e.Event, args...), nil
}

// identified adds to the data of messages and typing what handlers of one argument look for there, and an event has beside it: which
// message it is, whose, and in which channel. What the data says itself stays.
func identified(e protocol.Event, data json.RawMessage) (json.RawMessage, []string) {
	typing := e.Event == protocol.UserTyping || e.Event == protocol.UserStoppedTyping
	if !typing && e.Event != protocol.MessageNew {
		return data, nil
	}
	var fields map[string]json.RawMessage
	if string(data) == "null" && typing {
		data = json.RawMessage("{}")
	}
	if _ = json.Unmarshal(data, &fields); fields == nil {
		return data, nil // no object: a text, or the shell of a message that was deleted
	}
	object := bytes.TrimSpace(data)
	b := append(make([]byte, 0, len(object)+200), object[:len(object)-1]...)
	var added []string
	add := func(name, value string) {
		if _, there := fields[name]; there || value == "" {
			return
		}
		if len(fields)+len(added) > 0 {
			b = append(b, ',')
		}
		b = appendString(append(appendString(b, name), ':'), value)
		added = append(added, name)
	}
	if !typing {
		add("id", e.ID)
	}
	if e.From != nil {
		add("userId", e.From.UserID)
		add("userName", cmp.Or(e.From.Name, e.From.UserID))
	}
	if kind, id, _ := strings.Cut(e.Room, ":"); kind == "channel" {
		add("channelId", id)
	}
	return append(b, '}'), added
}

// reply is a [protocol.Reply] without its id.
type reply struct {
	OK    bool            `json:"ok"`
	Data  any             `json:"data,omitempty"`
	Error *protocol.Error `json:"error,omitempty"`
}

// EncodeReply gives the ACK that answers an event with an ack id: socket.emit("join", …, (reply) => …). Its one argument
// is the reply of bellhop.v1 without the id, which the ACK itself has:
//
//	{"ok":true,"data":{…}}
//	{"ok":false,"error":{"code":"forbidden","message":"…","retry":false}}
//
// An event that has an ack id is always to be answered, even with nothing to say: a client with the option retries sends
// it again until it is.
func EncodeReply(namespace string, id uint64, r protocol.Reply) ([]byte, error) {
	out := reply{OK: true, Data: r.Data}
	if r.Err != nil {
		out = reply{Error: r.Err}
	}
	arg, err := encode(out)
	if err != nil {
		return nil, fmt.Errorf("encode reply: %w", err)
	}
	return AppendAck(make([]byte, 0, len(namespace)+len(arg)+24), namespace, id, arg), nil
}

// encode is json.Marshal without its escapes for HTML.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
