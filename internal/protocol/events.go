package protocol

import (
	"slices"
	"strings"
)

// The names of the events that the server gives meaning to. Each has a row in [Events]; any other name is an application's
// own.
const (
	MessageNew         = "message:new"
	MessageDeleted     = "message:deleted"
	UserTyping         = "user:typing"
	UserStoppedTyping  = "user:stopped-typing"
	UserOnline         = "user:online"
	UserOffline        = "user:offline"
	PresenceChanged    = "presence:changed"
	NotificationNew    = "notification:new"
	NotificationRead   = "notification:read"
	BuddyGoalCompleted = "buddy:goal-completed"
	BuddyCheckIn       = "buddy:check-in"
	RoomClosed         = "room:closed"
	RoomSkipped        = "room:skipped"
	SessionEnding      = "session:ending"
	Pong               = "pong"
	Refused            = "refused"
)

// Sort says what becomes of an event.
type Sort uint8

// The sorts of events.
const (
	Logged    Sort = iota + 1 // has a place in its room's log, from which it can be replayed
	Ephemeral                 // is told to who is there, and forgotten
	Answer                    // answers a frame of one connection's, and is no room's
)

// Senders says who may have an event sent. Programs are trusted: emit refuses no name, whatever is said here.
type Senders uint8

// The senders of events.
const (
	ByServer   Senders = 1 << iota // the server, when what the event tells of has happened
	ByPrograms                     // programs of the application's, by emit
	ByMembers                      // members of the room with the grant publish
)

// EventRow is a row of the table of events.
type EventRow struct {
	Name string
	Sort Sort
	By   Senders
	Says string // what it tells, in a sentence without its full stop
	// Data is the JSON Schema of the event's data, with a title where the client's types have a name for it; empty: it has
	// none. What it refers to is in internal/local/asyncapi/definitions.yaml.
	Data    string
	Example string // its frame, which is a golden one
	// SocketIO says that only clients of Socket.IO get it, and that the example is a frame of theirs.
	SocketIO bool
}

// Events is the table of events. Whatever repeats it is made from it, or held against it by a test:
// internal/check/tables has those that belong to no package.
func Events() []EventRow {
	table := events()
	return table[:]
}

func events() [16]EventRow {
	return [...]EventRow{
		{
			Name: MessageNew, Sort: Logged, By: ByMembers | ByPrograms,
			Says:    "A message; its author may add fields of their own. In a log, null once it is deleted",
			Data:    `{"title":"Message","type":["object","null"],"required":["content"],"properties":{"content":{}}}`,
			Example: `{"event":"message:new","room":"channel:42","seq":58,"id":"01J","ts":1732341000123,"from":{"userId":"ana","name":"Ana"},"data":{"content":"hi <b>"}}`,
		},
		{
			Name: MessageDeleted, Sort: Logged, By: ByMembers | ByPrograms,
			Says:    "A message was deleted, and its data is gone from the log",
			Data:    `{"type":"object","required":["messageId"],"properties":{"messageId":{"type":"string"},"userId":{"type":"string","description":"its author, as far as the log reaches"},"seq":{"type":"integer","description":"that of the message, as far as the log reaches"}}}`,
			Example: `{"event":"message:deleted","room":"channel:42","seq":59,"id":"deleted:01J","ts":1732341000123,"from":{"userId":"ana","name":"Ana"},"data":{"messageId":"01J"}}`,
		},
		{
			Name: UserTyping, Sort: Ephemeral, By: ByServer,
			Says:    "Somebody types, until a time; a member has signalled typing:start",
			Data:    `{"type":"object","required":["until"],"properties":{"until":{"type":"integer","description":"Unix milliseconds"}}}`,
			Example: `{"event":"user:typing","room":"channel:42","from":{"userId":"ana","name":"Ana"},"data":{"until":1732341004000}}`,
		},
		{
			Name: UserStoppedTyping, Sort: Ephemeral, By: ByServer,
			Says:    "Somebody stopped typing; a member has signalled typing:stop",
			Example: `{"event":"user:stopped-typing","room":"channel:42","from":{"userId":"ana","name":"Ana"}}`,
		},
		{
			Name: UserOnline, Sort: Logged, By: ByServer,
			Says:    "A user came into a room with presence",
			Data:    `{"$ref":"#/components/schemas/occupant"}`,
			Example: `{"event":"user:online","room":"community:7","seq":1,"id":"online:ana:1732341000123","ts":1732341000123,"from":{"userId":"ana","name":"Ana"},"data":{"userId":"ana","name":"Ana","status":"online","since":1732341000123,"version":1}}`,
		},
		{
			Name: UserOffline, Sort: Logged, By: ByServer,
			Says:    "A user left a room with presence",
			Data:    `{"$ref":"#/components/schemas/from"}`,
			Example: `{"event":"user:offline","room":"community:7","seq":2,"id":"offline:ana:1732341000123","ts":1732341010123,"from":{"userId":"ana","name":"Ana"},"data":{"userId":"ana","name":"Ana"}}`,
		},
		{
			Name: PresenceChanged, Sort: Logged, By: ByServer | ByPrograms,
			Says:    "A user's status changed. One that a program made up has neither since nor version",
			Data:    `{"title":"Occupant","type":"object","required":["userId","status"],"properties":{"userId":{"type":"string"},"name":{"type":"string"},"status":{"$ref":"#/components/schemas/status"},"data":{},"since":{"type":"integer"},"version":{"type":"integer","minimum":1}}}`,
			Example: `{"event":"presence:changed","room":"community:7","seq":3,"id":"changed:ana:1732341000123:2","ts":1732341010123,"from":{"userId":"ana","name":"Ana"},"data":{"userId":"ana","name":"Ana","status":"away","data":{"mood":"calm"},"since":1732341000123,"version":2}}`,
		},
		{
			Name: NotificationNew, Sort: Logged, By: ByPrograms,
			Says:    "A notification; an application adds fields of its own",
			Data:    `{"title":"Notification","type":"object","properties":{"title":{"type":"string"},"body":{"type":"string"}}}`,
			Example: `{"event":"notification:new","room":"user:ana","seq":4,"id":"n1","ts":1732341000123,"data":{"title":"Hello"}}`,
		},
		{
			Name: NotificationRead, Sort: Logged, By: ByServer,
			Says:    "A notification was read on one of the user's devices",
			Data:    `{"type":"object","required":["notificationId"],"properties":{"notificationId":{"type":"string"}}}`,
			Example: `{"event":"notification:read","room":"user:ana","seq":5,"id":"read:n1","ts":1732341000123,"from":{"userId":"ana","name":"Ana"},"data":{"notificationId":"n1"}}`,
		},
		{
			Name: BuddyGoalCompleted, Sort: Logged, By: ByPrograms,
			Says:    "Somebody's buddy has reached a goal; an application adds fields of its own",
			Data:    `{"title":"Goal","type":"object"}`,
			Example: `{"event":"buddy:goal-completed","room":"user:ana","seq":6,"id":"g1","ts":1732341000123,"data":{"goal":"run"}}`,
		},
		{
			Name: BuddyCheckIn, Sort: Logged, By: ByPrograms,
			Says:    "Somebody's buddy has checked in; an application adds fields of its own",
			Data:    `{"title":"CheckIn","type":"object"}`,
			Example: `{"event":"buddy:check-in","room":"user:ana","seq":7,"id":"c1","ts":1732341000123,"data":{"note":"day 3"}}`,
		},
		{
			Name: RoomClosed, Sort: Ephemeral, By: ByServer,
			Says:    "The room was closed, and everybody is out of it",
			Data:    `{"type":"object","required":["reason"],"properties":{"reason":{"type":"string"}}}`,
			Example: `{"event":"room:closed","room":"channel:42","data":{"reason":"archived"}}`,
		},
		{
			Name: RoomSkipped, Sort: Ephemeral, By: ByServer,
			Says:    "The log has an event at this seq that is not for whoever gets this: `except` left them out",
			Example: `{"event":"room:skipped","room":"channel:42","seq":61,"ts":1732341000123}`,
		},
		{
			Name: SessionEnding, Sort: Ephemeral, By: ByServer,
			Says:    "The connection is about to be closed",
			Data:    `{"type":"object","required":["reason"],"properties":{"reason":{"type":"string"}}}`,
			Example: `{"event":"session:ending","ts":1732341000123,"data":{"reason":"expired"}}`,
		},
		{
			Name: Pong, Sort: Answer, By: ByServer,
			Says:    "The answer to ping",
			Example: `{"event":"pong"}`,
		},
		{
			Name: Refused, Sort: Answer, By: ByServer, SocketIO: true,
			Says:    "Why an event that a client of Socket.IO sent without an ack was refused: (error, {event})",
			Data:    `{"$ref":"#/components/schemas/error"}`,
			Example: `42["refused",{"code":"forbidden","message":"only the server sends refused","retry":false},{"event":"publish"}]`,
		},
	}
}

// EventNamed gives an event's row, and whether the table has one.
func EventNamed(name string) (EventRow, bool) {
	table := events()
	for i := range table { // the table is large, so rows are not copied
		if table[i].Name == name {
			return table[i], true
		}
	}
	return EventRow{}, false
}

// SortOf gives an event's sort; 0: it is an application's own, whose sort its sender chooses.
func SortOf(name string) Sort {
	row, _ := EventNamed(name)
	return row.Sort
}

// ReservedPrefixes are what names begin with, up to a ':', that are the server's and programs' alone, in the table or not.
func ReservedPrefixes() []string {
	return []string{"user", "presence", "notification", "buddy", "room", "session"}
}

// Reserved reports whether clients may not publish or signal an event of this name: those of the table that are not for
// members to send, and all that begin with a reserved prefix.
func Reserved(event string) bool {
	if prefix, _, found := strings.Cut(event, ":"); found && slices.Contains(ReservedPrefixes(), prefix) {
		return true
	}
	row, defined := EventNamed(event)
	return defined && row.By&ByMembers == 0
}
