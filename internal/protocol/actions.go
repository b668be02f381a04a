package protocol

import "strings"

// What clients signal while they type; others get [UserTyping] and [UserStoppedTyping].
const (
	TypingStart = "typing:start"
	TypingStop  = "typing:stop"
)

// Need is what a connection needs for an action, beside a token that has not expired.
type Need string

// The needs.
const (
	NeedNothing    Need = ""           // it is about the connection, or its user, alone
	NeedMembership Need = "membership" // to be in the room, if the action names one
	NeedJoin       Need = "join"       // the grant join; for one's own room nothing
	NeedPublish    Need = "publish"    // membership and the grant publish
	NeedSignal     Need = "signal"     // membership and the grant signal, or publish
)

// ActionRow is a row of the table of actions.
type ActionRow struct {
	Name    string
	Op      Op
	Needs   Need
	Says    string // what it does, in a sentence without its full stop
	Fields  string // JSON Schema of what the frame holds beside "action" and "id"; refers to what that of an event does
	Reply   string // the definition of the reply's data; empty: it is answered by [Pong]
	Example string // its frame, which is a golden one
}

// Routed reports whether API Gateway has a route for the action: those whose names are letters. The others, which are the
// names that chat servers on Socket.IO had for the same, come by $default, as applications' own actions do.
func (r ActionRow) Routed() bool { return !strings.Contains(r.Name, ":") }

// Actions is the table of actions. Whatever repeats it is made from it, or held against it by a test.
func Actions() []ActionRow {
	return []ActionRow{
		{
			Name: "join", Op: OpJoin, Needs: NeedJoin,
			Says:    "Enters a room, or up to 100 with `rooms`, and gives what was missed since a position",
			Fields:  `{"anyOf":[{"required":["room"]},{"required":["rooms"]}],"properties":{"room":{"$ref":"#/components/schemas/room"},"since":{"$ref":"#/components/schemas/position"},"listed":{"$ref":"#/components/schemas/listed"},"rooms":{"type":"array","minItems":1,"maxItems":100,"items":{"type":"object","required":["room"],"properties":{"room":{"$ref":"#/components/schemas/room"},"since":{"$ref":"#/components/schemas/position"},"listed":{"$ref":"#/components/schemas/listed"}}}}}}`,
			Reply:   "joinReply",
			Example: `{"action":"join","id":"r1","room":"channel:42","since":{"epoch":"k3","seq":41}}`,
		},
		{
			Name: "leave", Op: OpLeave,
			Says:    "Leaves a room",
			Fields:  `{"required":["room"],"properties":{"room":{"$ref":"#/components/schemas/room"}}}`,
			Reply:   "roomResult",
			Example: `{"action":"leave","id":"r2","room":"channel:42"}`,
		},
		{
			Name: "publish", Op: OpPublish, Needs: NeedPublish,
			Says:    "Has an event logged and delivered; id is its idempotency key",
			Fields:  `{"required":["room","event"],"properties":{"room":{"$ref":"#/components/schemas/room"},"event":{"type":"string","minLength":1,"maxLength":64},"data":{}}}`,
			Reply:   "publishResult",
			Example: `{"action":"publish","id":"01J","room":"channel:42","event":"message:new","data":{"content":"hi"}}`,
		},
		{
			Name: "signal", Op: OpSignal, Needs: NeedSignal,
			Says:    "Tells the other members something that is not logged, and never replayed",
			Fields:  `{"required":["room","event"],"properties":{"room":{"$ref":"#/components/schemas/room"},"event":{"type":"string","minLength":1,"maxLength":64},"data":{}}}`,
			Reply:   "roomResult",
			Example: `{"action":"signal","room":"channel:42","event":"cursor","data":{"x":1}}`,
		},
		{
			Name: "presence", Op: OpPresence, Needs: NeedMembership,
			Says:    "Sets the user's status in a room, or in all with presence; without `status` gives who is in a room, in pages",
			Fields:  `{"anyOf":[{"required":["status"]},{"required":["room"]}],"properties":{"room":{"$ref":"#/components/schemas/room"},"status":{"$ref":"#/components/schemas/status"},"data":{"description":"At most 1 KB"},"after":{"type":"string","description":"User id that the page of those who are present begins after"}}}`,
			Reply:   "presenceReply",
			Example: `{"action":"presence","id":"r5","room":"community:7","status":"away","data":{"mood":"calm"}}`,
		},
		{
			Name: "history", Op: OpHistory, Needs: NeedMembership,
			Says:    "Gives logged events below a position, the newest without one",
			Fields:  `{"required":["room"],"properties":{"room":{"$ref":"#/components/schemas/room"},"before":{"type":"integer","minimum":0},"limit":{"type":"integer","minimum":0}}}`,
			Reply:   "historyResult",
			Example: `{"action":"history","id":"r3","room":"channel:42","before":120,"limit":50}`,
		},
		{
			Name: "auth", Op: OpAuth,
			Says:    "Renews the token of the connection",
			Fields:  `{"required":["token"],"properties":{"token":{"type":"string"}}}`,
			Reply:   "authResult",
			Example: `{"action":"auth","id":"r7","token":"a.b.c"}`,
		},
		{
			Name: "pause", Op: OpPause,
			Says:    "Stops pushes of all rooms but the user's own, until they are joined again; membership and presence stay",
			Fields:  `{}`,
			Reply:   "pauseResult",
			Example: `{"action":"pause","id":"r8"}`,
		},
		{
			Name: "ping", Op: OpPing,
			Says:    "Is answered by pong, without running a function",
			Fields:  `{}`,
			Example: `{"action":"ping"}`,
		},
		{
			Name: "join:channel", Op: OpJoin, Needs: NeedJoin,
			Says:    "join of channel:<channelId>",
			Fields:  `{"required":["channelId"],"properties":{"channelId":{"$ref":"#/components/schemas/id"},"since":{"$ref":"#/components/schemas/position"}}}`,
			Reply:   "joinResult",
			Example: `{"action":"join:channel","id":"r1","channelId":"42","since":{"epoch":"k3","seq":41}}`,
		},
		{
			Name: "leave:channel", Op: OpLeave,
			Says:    "leave of channel:<channelId>",
			Fields:  `{"required":["channelId"],"properties":{"channelId":{"$ref":"#/components/schemas/id"}}}`,
			Reply:   "roomResult",
			Example: `{"action":"leave:channel","channelId":"42"}`,
		},
		{
			Name: "join:community", Op: OpJoin, Needs: NeedJoin,
			Says:    "join of community:<communityId>",
			Fields:  `{"required":["communityId"],"properties":{"communityId":{"$ref":"#/components/schemas/id"},"since":{"$ref":"#/components/schemas/position"}}}`,
			Reply:   "joinResult",
			Example: `{"action":"join:community","id":"r2","communityId":"7"}`,
		},
		{
			Name: "leave:community", Op: OpLeave,
			Says:    "leave of community:<communityId>",
			Fields:  `{"required":["communityId"],"properties":{"communityId":{"$ref":"#/components/schemas/id"}}}`,
			Reply:   "roomResult",
			Example: `{"action":"leave:community","communityId":"7"}`,
		},
		{
			Name: "join:user", Op: OpJoin,
			Says:    "join of user:<userId>, which must be one's own",
			Fields:  `{"required":["userId"],"properties":{"userId":{"$ref":"#/components/schemas/id"},"since":{"$ref":"#/components/schemas/position"}}}`,
			Reply:   "joinResult",
			Example: `{"action":"join:user","userId":"ana"}`,
		},
		{
			Name: TypingStart, Op: OpSignal, Needs: NeedSignal,
			Says:    "Tells a channel that the user types, for twelve seconds",
			Fields:  `{"required":["channelId"],"properties":{"channelId":{"$ref":"#/components/schemas/id"}}}`,
			Reply:   "roomResult",
			Example: `{"action":"typing:start","channelId":"42","userId":"bob","userName":"Bob"}`,
		},
		{
			Name: TypingStop, Op: OpSignal, Needs: NeedSignal,
			Says:    "Tells a channel that the user stopped typing",
			Fields:  `{"required":["channelId"],"properties":{"channelId":{"$ref":"#/components/schemas/id"}}}`,
			Reply:   "roomResult",
			Example: `{"action":"typing:stop","channelId":"42"}`,
		},
		{
			Name: "presence:update", Op: OpPresence, Needs: NeedMembership,
			Says:    "presence of a community, or of all rooms",
			Fields:  `{"required":["status"],"properties":{"status":{"$ref":"#/components/schemas/status"},"communityId":{"$ref":"#/components/schemas/id"},"data":{}}}`,
			Reply:   "presenceResult",
			Example: `{"action":"presence:update","status":"online","communityId":"7"}`,
		},
		{
			Name: "message:send", Op: OpPublish, Needs: NeedPublish,
			Says:    "publish of message:new with {content}",
			Fields:  `{"required":["channelId","content"],"properties":{"channelId":{"$ref":"#/components/schemas/id"},"content":{}}}`,
			Reply:   "publishResult",
			Example: `{"action":"message:send","id":"01J","channelId":"42","content":"hi <b>"}`,
		},
		{
			Name: "message:delete", Op: OpDelete, Needs: NeedMembership,
			Says:    "Deletes one's own message, or any with the grant moderate",
			Fields:  `{"required":["channelId","messageId"],"properties":{"channelId":{"$ref":"#/components/schemas/id"},"messageId":{"$ref":"#/components/schemas/id"}}}`,
			Reply:   "publishResult",
			Example: `{"action":"message:delete","id":"r4","channelId":"42","messageId":"01J"}`,
		},
		{
			Name: "notification:read", Op: OpRead,
			Says:    "Logs that a notification was read, for all of the user's devices",
			Fields:  `{"required":["notificationId"],"properties":{"notificationId":{"$ref":"#/components/schemas/id"}}}`,
			Reply:   "publishResult",
			Example: `{"action":"notification:read","id":"r6","notificationId":"n1"}`,
		},
	}
}
