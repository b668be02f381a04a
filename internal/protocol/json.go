package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// JSON is the codec of bellhop.v1. Its zero value is ready to use, also concurrently.
type JSON struct{}

// frame is everything that a client frame may hold; which fields count depends on the action.
type frame struct {
	Action string          `json:"action"`
	ID     string          `json:"id"`
	Room   string          `json:"room"`
	Event  string          `json:"event"`
	Data   json.RawMessage `json:"data"`
	Since  *Position       `json:"since"`
	Listed bool            `json:"listed"`
	Rooms  []Joining       `json:"rooms"`
	Status string          `json:"status"`
	After  string          `json:"after"`
	Before int64           `json:"before"`
	Limit  int             `json:"limit"`
	Token  string          `json:"token"`

	// fields of the older names
	ChannelID      key             `json:"channelId"`
	CommunityID    key             `json:"communityId"`
	UserID         key             `json:"userId"`
	MessageID      key             `json:"messageId"`
	NotificationID key             `json:"notificationId"`
	Content        json.RawMessage `json:"content"`
}

// key is an id that the systems before Bellhop wrote as a string or, out of a database, as a number.
type key string

// UnmarshalJSON takes a string or an integer.
func (k *key) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '"' {
		var n json.Number
		if err := json.Unmarshal(b, &n); err != nil || strings.ContainsAny(n.String(), ".eE") {
			return errors.New("ids must be strings or whole numbers")
		}
		*k = key(n)
		return nil
	}
	return json.Unmarshal(b, (*string)(k))
}

// Decode reads one frame of [MaxClientFrame] bytes at most. Its error is always an [*Error]; the Action then holds the Op and the
// ID, where they could be read, so that the refusal can be answered.
func (JSON) Decode(b []byte) (Action, error) {
	if len(b) > MaxClientFrame {
		return Action{}, Errorf(CodeTooLarge, "a frame may have %d bytes, this one has %d", MaxClientFrame, len(b))
	}
	if !utf8.Valid(b) {
		return Action{}, Errorf(CodeBadRequest, "the frame is not valid UTF-8")
	}
	var f frame
	return f.action(json.Unmarshal(b, &f))
}

// DecodeObject is Decode for a dialect whose frames have the action's name apart from the object with its fields. What the object
// has as "action" does not count.
func (JSON) DecodeObject(action string, object json.RawMessage) (Action, error) {
	var f frame
	err := json.Unmarshal(object, &f)
	f.Action = action
	return f.action(err)
}

// DecodeFields is DecodeObject for fields that come one by one, under their names.
func (JSON) DecodeFields(action string, names []string, values []json.RawMessage) (Action, error) {
	f := frame{Action: action}
	for i, name := range names {
		if i == len(values) {
			break
		}
		err := json.Unmarshal(values[i], f.field(name))
		if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && t.Field == "" {
			t.Field = name
		}
		if err != nil {
			return f.action(err)
		}
	}
	return f.action(nil)
}

// field gives where the value of a field goes.
func (f *frame) field(name string) any {
	switch name {
	case "room":
		return &f.Room
	case "since":
		return &f.Since
	case "event":
		return &f.Event
	case "status":
		return &f.Status
	case "after":
		return &f.After
	case "before":
		return &f.Before
	case "limit":
		return &f.Limit
	case "token":
		return &f.Token
	case "channelId":
		return &f.ChannelID
	case "communityId":
		return &f.CommunityID
	case "userId":
		return &f.UserID
	case "messageId":
		return &f.MessageID
	case "notificationId":
		return &f.NotificationID
	case "content":
		return &f.Content
	}
	return &f.Data
}

// action is what a frame asks for, which was read with an error or without.
func (f *frame) action(err error) (Action, error) {
	if checked := CheckID(f.ID); checked != nil {
		return Action{}, checked
	}
	a := Action{ID: f.ID}
	if err != nil {
		return a, syntax(err)
	}
	if f.Action == "" {
		return a, Errorf(CodeBadRequest, `the frame needs an "action", such as "join"`)
	}
	err = f.fill(&a)
	if err == nil {
		err = CheckDepth(a.Data)
	}
	if err != nil {
		return Action{Op: a.Op, ID: f.ID}, err
	}
	return a, nil
}

func syntax(err error) *Error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if t.Field == "" {
			return Errorf(CodeBadRequest, "the frame must be a JSON object, not %s", t.Value)
		}
		return Errorf(CodeBadRequest, "%q must not be %s", t.Field, t.Value)
	}
	return Errorf(CodeBadRequest, "the frame is not valid JSON: %s", err.Error())
}

// fill copies what the action uses and refuses what it lacks.
func (f *frame) fill(a *Action) error {
	switch f.Action {
	case "ping":
		a.Op = OpPing
		return nil
	case "pause":
		a.Op = OpPause
		return nil
	case "join":
		if f.Room == "" && f.Rooms != nil {
			return f.joins(a)
		}
	case "auth":
		a.Op, a.Token = OpAuth, f.Token
		if a.Token == "" {
			return Errorf(CodeBadRequest, `auth needs a "token"`)
		}
		return nil
	case "presence", "presence:update":
		return f.presence(a)
	case "notification:read":
		a.Op, a.Target = OpRead, string(f.NotificationID)
		return checkTarget(a.Target, "notificationId")
	}
	return f.inRoom(a)
}

// other takes an action that is not the protocol's.
func (f *frame) other(a *Action) error {
	a.Op, a.Name, a.Room, a.Data = OpOther, f.Action, f.Room, f.Data
	if CheckEvent(a.Name) != nil || strings.HasPrefix(a.Name, "$") { // "$connect" and the like are API Gateway's
		return Errorf(CodeUnknownAction, "there is no action %.40q", f.Action)
	}
	if a.Room == "" {
		return nil
	}
	return CheckRoom(a.Room)
}

// joins takes a join of several rooms.
func (f *frame) joins(a *Action) error {
	a.Op, a.Rooms = OpJoin, f.Rooms
	if len(a.Rooms) == 0 || len(a.Rooms) > MaxJoin {
		return Errorf(CodeBadRequest, "a join may have 1 to %d rooms, this has %d", MaxJoin, len(a.Rooms))
	}
	seen := make(map[string]bool, len(a.Rooms))
	for _, j := range a.Rooms {
		if err := CheckRoom(j.Room); err != nil {
			return err
		}
		if seen[j.Room] {
			return Errorf(CodeBadRequest, "%s is there twice", j.Room)
		}
		if seen[j.Room] = true; j.Since != nil && j.Since.Seq < 0 {
			return Errorf(CodeBadRequest, `"since.seq" must not be negative`)
		}
	}
	return nil
}

// inRoom is for the actions that always name a room.
func (f *frame) inRoom(a *Action) error {
	a.Room = f.Room
	switch f.Action {
	case "join":
		a.Op = OpJoin
	case "leave":
		a.Op = OpLeave
	case "publish":
		a.Op, a.Event, a.Data = OpPublish, f.Event, f.Data
	case "signal":
		a.Op, a.Event, a.Data = OpSignal, f.Event, f.Data
	case "history":
		a.Op, a.Before, a.Limit = OpHistory, f.Before, f.Limit
		if a.Before < 0 || a.Limit < 0 {
			return Errorf(CodeBadRequest, `"before" and "limit" must not be negative`)
		}
	case "join:channel":
		a.Op, a.Room = OpJoin, "channel:"+string(f.ChannelID)
	case "leave:channel":
		a.Op, a.Room = OpLeave, "channel:"+string(f.ChannelID)
	case "join:community":
		a.Op, a.Room = OpJoin, "community:"+string(f.CommunityID)
	case "leave:community":
		a.Op, a.Room = OpLeave, "community:"+string(f.CommunityID)
	case "join:user":
		a.Op, a.Room = OpJoin, UserRoom(string(f.UserID))
	case TypingStart, TypingStop:
		a.Op, a.Room, a.Event = OpSignal, "channel:"+string(f.ChannelID), f.Action
	case "message:send":
		a.Op, a.Room, a.Event = OpPublish, "channel:"+string(f.ChannelID), MessageNew
		if len(f.Content) == 0 {
			return Errorf(CodeBadRequest, `message:send needs "content"`)
		}
		a.Data = append(append([]byte(`{"content":`), f.Content...), '}')
	case "message:delete":
		a.Op, a.Room, a.Target, a.Author = OpDelete, "channel:"+string(f.ChannelID), string(f.MessageID), string(f.UserID)
		if err := checkTarget(a.Target, "messageId"); err != nil {
			return err
		}
	default:
		return f.other(a)
	}
	return f.checkRoomAction(a)
}

func (f *frame) checkRoomAction(a *Action) error {
	if err := CheckRoom(a.Room); err != nil {
		return err
	}
	switch a.Op {
	case OpJoin:
		a.Since, a.Listed = f.Since, f.Listed
		if a.Since != nil && a.Since.Seq < 0 {
			return Errorf(CodeBadRequest, `"since.seq" must not be negative`)
		}
	case OpPublish:
		if err := CheckNewID(a.ID); err != nil {
			return err
		}
		return CheckEvent(a.Event)
	case OpSignal:
		return CheckEvent(a.Event)
	default:
	}
	return nil
}

func (f *frame) presence(a *Action) error {
	a.Op, a.Room, a.Status, a.Data = OpPresence, f.Room, f.Status, f.Data
	if f.Action == "presence:update" && f.CommunityID != "" {
		a.Room = "community:" + string(f.CommunityID)
	}
	if a.Room != "" {
		if err := CheckRoom(a.Room); err != nil {
			return err
		}
	}
	if f.Action == "presence" && a.Room != "" && a.Status == "" && a.Data == nil {
		a.Op, a.After = OpPresent, f.After
		return CheckAfter(a.After)
	}
	return CheckStatus(a.Status)
}

func checkTarget(id, field string) error {
	if id == "" || CheckID(id) != nil {
		return Errorf(CodeBadRequest, "%q must be a string of 1 to %d bytes", field, maxID)
	}
	return nil
}

// EncodeEvent gives {"event":…}.
func (JSON) EncodeEvent(e Event) ([]byte, error) { return encode(e) }

type okFrame struct {
	Reply string `json:"reply"`
	OK    bool   `json:"ok"`
	Data  any    `json:"data,omitempty"`
}

type errorFrame struct {
	Reply *string `json:"reply"` // null: the action had no id
	OK    bool    `json:"ok"`
	Error *Error  `json:"error"`
}

type wireError struct {
	Code         Code   `json:"code"`
	Message      string `json:"message"`
	Retry        bool   `json:"retry"`
	RetryAfterMs int64  `json:"retryAfterMs,omitempty"`
}

// MarshalJSON gives {"code","message","retry"} and, when the client may try later, "retryAfterMs".
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireError{e.Code, e.Message, e.Code.Retry(), e.RetryAfter.Milliseconds()})
}

// EncodeReply gives {"reply":…}.
func (JSON) EncodeReply(r Reply) ([]byte, error) {
	if r.Err == nil {
		return encode(okFrame{r.ID, true, r.Data})
	}
	f := errorFrame{Error: r.Err}
	if r.ID != "" {
		f.Reply = &r.ID
	}
	return encode(f)
}

// EncodeBatch joins frames, in order, into as few {"batch":[…]} as [MaxBatch] allows. One that is larger stays alone.
func (JSON) EncodeBatch(frames [][]byte) [][]byte {
	const head, tail = `{"batch":[`, `]}`
	var out [][]byte
	for len(frames) > 0 {
		n, size := 0, len(head)+len(tail)-1
		for n < len(frames) && size+1+len(frames[n]) <= MaxBatch {
			size += 1 + len(frames[n])
			n++
		}
		if n < 2 {
			out, frames = append(out, frames[0]), frames[1:]
			continue
		}
		b := append(make([]byte, 0, size), head...)
		b = append(b, bytes.Join(frames[:n], []byte(","))...)
		out, frames = append(out, append(b, tail...)), frames[n:]
	}
	return out
}

// encode is json.Marshal without its escapes for HTML, which double the size of some chat messages.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
