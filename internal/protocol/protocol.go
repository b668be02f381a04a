// Package protocol is the wire protocol of Bellhop, "bellhop.v1": what a client may send, what a server sends back,
// and the codecs that turn frames into values and values into frames. It knows no storage and no transport.
//
// # One connection
//
// A client opens a WebSocket and offers the subprotocols "bellhop.v1" and "bearer.<jwt>". Every frame in either
// direction is one JSON text. The client sends actions:
//
//	{"action":"join","id":"r1","room":"channel:42","since":{"epoch":"k3","seq":41}}
//	{"action":"leave","id":"r2","room":"channel:42"}
//	{"action":"publish","id":"01J","room":"channel:42","event":"message:new","data":{"content":"hi"}}
//	{"action":"signal","room":"channel:42","event":"typing:start"}
//	{"action":"presence","room":"community:7","status":"away","data":{}}
//	{"action":"presence","id":"r6","room":"community:7","after":"bob"}
//	{"action":"history","id":"r3","room":"channel:42","before":120,"limit":50}
//	{"action":"auth","id":"r4","token":"<jwt>"}
//	{"action":"ping"}
//
// id is optional. It asks for a reply, and for publish it is also the idempotency key: the same id sent again in the
// same room appends nothing and delivers the first event once more; with other content it is a conflict. A refused frame is always answered, with
// "reply":null when it carried no id (signal stays silent without one).
//
// The event names of Socket.IO chat servers are actions too, with the same meaning:
//
//	join:channel {channelId}         leave:channel {channelId}
//	join:community {communityId}     leave:community {communityId}     join:user {userId}
//	typing:start {channelId}         typing:stop {channelId}
//	presence:update {status, communityId?, data?}
//	message:send {channelId, content}
//	message:delete {channelId, messageId, userId?}     userId: whose message; with the grant moderate else all of this id
//	notification:read {notificationId}
//
// Any other action is the application's own, if it has a hook for actions, and otherwise refused with unknown_action:
//
//	{"action":"poll:vote","id":"r5","room":"channel:42","data":{"option":2}}      room and data are optional
//
// The server sends replies, events, and several of them at once:
//
//	{"reply":"r1","ok":true,"data":{"room":"channel:42","epoch":"k3","seq":57,"recovered":true,"events":[]}}
//	{"reply":"r1","ok":false,"error":{"code":"forbidden","message":"…","retry":false}}
//	{"event":"message:new","room":"channel:42","seq":58,"id":"01J","ts":1732341000123,"from":{"userId":"ana","name":"Ana"},"data":{}}
//	{"event":"user:typing","room":"channel:42","from":{"userId":"ana","name":"Ana"},"data":{"until":1732341004000}}
//	{"batch":[frame,frame]}
//
// [Actions] and [Events] are the tables of all of them.
//
// # Positions
//
// A logged event has a place in its room: seq counts up by one, and epoch names the log that seq counts in. A client
// keeps the position of the last event it has seen and hands it over when it joins again: the reply then holds what it
// missed. "recovered":true proves that nothing is missing; "recovered":false means that the log has changed or no longer
// reaches back, so the client reloads from its own database. "more":true says that the log goes on after the reply's seq:
// join again with that position for the rest, at once if the reply had events, and otherwise after "waitMs" milliseconds,
// which are not the same for all who ask. A seq that was counted but not written yet, or never since its writer crashed, is a
// hole; it is passed over once it is a second old or a few, and the reply's seq stops before a younger one.
//
// # Who is present
//
// The reply to join lists the users of a room with presence, as many as it has space for, whoever asks among them.
// "presenceMore":true says that there are others: presence without a status gives those after a user id, "after", which is that of
// the last one in the list, and says "more":true in turn. A client that knows who was present at the position with which it joins says
// "listed":true, and gets no list with "recovered":true: the events have told it of all who came and went.
//
// # Ids
//
// The id of a logged event is what its author gave it. It is the author's own: another user, or a program, may give the same id
// to another event of the room. So an event is told from others by its seq, or by its id and its author together. The same
// id again from the same author is the same event; with other content it is refused as a conflict.
//
// # Limits
//
// A client frame is at most [MaxClientFrame] bytes, a server frame at most [MaxServerFrame], a batch at most [MaxBatch]:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
package protocol

import "encoding/json"

// Sizes in bytes.
const (
	MaxClientFrame = 32 << 10  // API Gateway closes a connection that sends a larger frame with 1009
	MaxServerFrame = 128 << 10 // the most that PostToConnection takes
	MaxBatch       = 32 << 10  // API Gateway meters in units of 32 KB

	// MaxData is the most data that an event may have, so that its frame and a reply that repeats it fit a server frame.
	MaxData = MaxServerFrame - 2<<10
)

// MaxTargets is the most rooms, users and connections of one publish by a program.
const MaxTargets = 1000

// Name is the subprotocol that clients offer in Sec-WebSocket-Protocol and the name of the JSON codec.
const Name = "bellhop.v1"

// Op is what an action asks for, whatever name it was sent under.
type Op int

// The operations. Each says which fields of [Action] it uses.
const (
	OpJoin     Op = iota + 1 // Room, Since; or Rooms, several at once
	OpLeave                  // Room
	OpPublish                // Room, Event, Data
	OpSignal                 // Room, Event, Data
	OpPresence               // Room (empty: every presence room of the connection), Status, Data
	OpHistory                // Room, Before, Limit
	OpAuth                   // Token
	OpPing                   // nothing
	OpDelete                 // Room, Target: the id of the message, Author
	OpRead                   // Target: the id of the notification
	OpOther                  // Name, Room (may be empty), Data: an action of the application's own
	OpPause                  // nothing
	OpPresent                // Room, After: who is present
)

// String is the name that logs and traces have for it.
func (o Op) String() string {
	names := [...]string{"", "join", "leave", "publish", "signal", "presence", "history", "auth", "ping", "delete", "read", "call", "pause", "present"}
	if o < 0 || int(o) >= len(names) {
		return ""
	}
	return names[o]
}

// Action is one decoded client frame.
type Action struct {
	Op     Op
	Name   string // of an OpOther, as it was sent
	ID     string // asks for a reply; empty: none
	Room   string // "kind:id", already checked by [CheckRoom]
	Event  string
	Data   json.RawMessage
	Since  *Position // nil: the client has no position
	Listed bool      // as that of a Joining
	Rooms  []Joining // of a join of several rooms, at most MaxJoin
	Status string
	After  string // user id that a page of those who are present begins after; empty: from the beginning
	Before int64  // first seq not wanted; 0: from the newest
	Limit  int    // events wanted; 0: the server's choice
	Token  string
	Target string
	Author string // of the message that an OpDelete is about; empty: whosever
}

// MaxJoin is the most rooms of one join.
const MaxJoin = 100

// Joining is one room of a join of several.
type Joining struct {
	Room  string    `json:"room"`
	Since *Position `json:"since,omitempty"`
	// Listed says that the client knows who was present at Since: where nothing is missing since then, the reply has no list.
	Listed bool `json:"listed,omitempty"`
}

// Position is a place in a room's log.
type Position struct {
	Epoch string `json:"epoch"`
	Seq   int64  `json:"seq"`
}

// From is who an event comes from: always the authenticated user, never what a client claims.
type From struct {
	UserID string `json:"userId"`
	Name   string `json:"name,omitempty"`
}

// Event is one event of a room. A logged event has Seq, ID and TS; an ephemeral one has none of them.
type Event struct {
	Event string          `json:"event"`
	Room  string          `json:"room,omitempty"`
	Seq   int64           `json:"seq,omitempty"`
	ID    string          `json:"id,omitempty"`
	TS    int64           `json:"ts,omitempty"` // Unix time in milliseconds
	From  *From           `json:"from,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
}

// Occupant is one user who is present in a room, once however many connections that user has.
type Occupant struct {
	UserID string          `json:"userId"`
	Name   string          `json:"name,omitempty"`
	Status string          `json:"status"` // "online", "away", "busy" or any string of at most 32 bytes
	Data   json.RawMessage `json:"data,omitempty"`
	Since  int64           `json:"since"` // Unix time in milliseconds; with the user it names this presence
	// Version counts the changes of a presence, from 1. Two changes at the same moment may be logged in the other order:
	// a client keeps the higher one.
	Version int `json:"version,omitempty"`
}

// Reply answers the action with the same id.
type Reply struct {
	ID   string // empty: the action had none
	Data any    // one of the …Result types; nil: nothing to say
	Err  *Error // nil: it worked
}

// JoinResult is the data of the reply to join.
type JoinResult struct {
	Room      string     `json:"room"`
	Epoch     string     `json:"epoch"`
	Seq       int64      `json:"seq"`            // the client's new position once it has seen Events
	Recovered bool       `json:"recovered"`      // nothing is missing since the client's position
	More      bool       `json:"more,omitempty"` // the log goes on after Seq: join again from there; without Events, after WaitMs
	WaitMs    int64      `json:"waitMs,omitempty"`
	Events    []Event    `json:"events"`
	Presence  []Occupant `json:"presence,omitempty"` // rooms with presence only
	// PresenceMore says that others are present, too: ask for those after the last one.
	PresenceMore bool `json:"presenceMore,omitempty"`
	// State is what the application hands to those who join, if it has a hook for that.
	State json.RawMessage `json:"state,omitempty"`
}

// Joined is one room of the reply to a join of several: its JoinResult, or why it was not joined.
type Joined struct {
	*JoinResult

	Refused *NotJoined `json:"-"`
}

// NotJoined is a room that was not joined, and why.
type NotJoined struct {
	Room  string `json:"room"`
	Error *Error `json:"error"`
}

// MarshalJSON gives {"room","epoch",…} or {"room","error"}.
func (j Joined) MarshalJSON() ([]byte, error) {
	if j.Refused != nil {
		return encode(j.Refused)
	}
	return encode(j.JoinResult)
}

// JoinsResult is the data of the reply to a join of several rooms, in the order in which they were asked for. More: the reply had
// no space for those that are missing; ask for them again.
type JoinsResult struct {
	Rooms []Joined `json:"rooms"`
	More  bool     `json:"more,omitempty"`
}

// PauseResult is the data of the reply to pause.
type PauseResult struct {
	Rooms []string `json:"rooms"` // of which nothing is pushed any more, until they are joined again
}

// RoomResult is the data of the reply to leave, and to signal.
type RoomResult struct {
	Room string `json:"room"`
}

// PublishResult is the data of the reply to publish, message:delete and notification:read.
type PublishResult struct {
	Room  string `json:"room"`
	Epoch string `json:"epoch"`
	Seq   int64  `json:"seq"`
	ID    string `json:"id"`
	TS    int64  `json:"ts"`
}

// PresenceResult is the data of the reply to presence.
type PresenceResult struct {
	Rooms  []string `json:"rooms"` // the rooms that the status now holds in
	Status string   `json:"status"`
}

// PresentResult is the data of the reply to presence without a status: a page of who is present in a room, by user id. The first
// page has whoever asks in it, as its first one if the order leaves no space.
type PresentResult struct {
	Room     string     `json:"room"`
	Presence []Occupant `json:"presence"`
	More     bool       `json:"more,omitempty"` // ask again after the last one
}

// HistoryResult is the data of the reply to history; Events ascend by seq.
type HistoryResult struct {
	Room   string  `json:"room"`
	Epoch  string  `json:"epoch"`
	Seq    int64   `json:"seq"` // the newest seq of the room
	Events []Event `json:"events"`
	More   bool    `json:"more"` // the log holds older events: ask again before the first of these
}

// AuthResult is the data of the reply to auth.
type AuthResult struct {
	UserID  string `json:"userId"`
	Expires int64  `json:"expires"`           // Unix time in milliseconds
	Version string `json:"version,omitempty"` // of the server: API Gateway lets no header of ours into the handshake's answer
}
