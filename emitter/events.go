package emitter

import (
	"context"
	"maps"
)

// The events that clients know, and the rooms they go to.
const (
	eventMessageNew         = "message:new"
	eventMessageDeleted     = "message:deleted"
	eventNotificationNew    = "notification:new"
	eventPresenceChanged    = "presence:changed"
	eventBuddyGoalCompleted = "buddy:goal-completed"
	eventBuddyCheckIn       = "buddy:check-in"

	channelRoom   = "channel:"
	communityRoom = "community:"
)

// Message is the data of message:new: {"content":…} and Fields.
type Message struct {
	ID      string         // of the message; MessageDeleted names it. Empty: one is made, see PublishResult.ID
	From    *From          // its author
	Content any            // required: a string, or what your clients understand
	Fields  map[string]any // more fields of data, beside "content"
	Except  []string       // connection ids and user ids that do not get it
}

// NewMessage sends message:new to the room channel:<channelID>.
func (e *Emitter) NewMessage(ctx context.Context, channelID string, m Message) (PublishResult, error) {
	if channelID == "" || m.Content == nil {
		return PublishResult{}, badRequest("a message needs a channel and content")
	}
	data, err := object(m.Fields, map[string]any{"content": m.Content})
	if err != nil {
		return PublishResult{}, err
	}
	return e.Publish(ctx, Publish{
		Rooms: []string{channelRoom + channelID}, Event: eventMessageNew, Data: data, ID: m.ID, From: m.From, Except: m.Except,
	})
}

// MessageDeleted sends message:deleted with {"messageId"} to the room channel:<channelID>. messageID is the ID of the
// [Message].
func (e *Emitter) MessageDeleted(ctx context.Context, channelID, messageID string) (PublishResult, error) {
	if channelID == "" || messageID == "" {
		return PublishResult{}, badRequest("deleting a message needs its channel and its id")
	}
	return e.Publish(ctx, Publish{
		Rooms: []string{channelRoom + channelID}, Event: eventMessageDeleted, Data: map[string]any{"messageId": messageID},
	})
}

// Notification is the data of notification:new: {"type","title","body"}, those that are not empty, and Fields.
type Notification struct {
	ID     string // of the notification; notification:read names it. Empty: one is made, see PublishResult.ID
	From   *From  // whose doing it is about
	Type   string // what it is about, for clients that show kinds differently
	Title  string
	Body   string
	Fields map[string]any // more fields of data, such as a link
}

// NewNotification sends notification:new to a user: to every device, and to those that connect while the log of
// user:<userID> keeps it, 30 days by default.
func (e *Emitter) NewNotification(ctx context.Context, userID string, n Notification) (PublishResult, error) {
	return e.NewNotifications(ctx, []string{userID}, n)
}

// NewNotifications sends the same notification:new, under the same id, to each of many users.
func (e *Emitter) NewNotifications(ctx context.Context, userIDs []string, n Notification) (PublishResult, error) {
	data, err := object(n.Fields, map[string]any{"type": n.Type, "title": n.Title, "body": n.Body})
	if err != nil {
		return PublishResult{}, err
	}
	return e.Publish(ctx, Publish{Users: userIDs, Event: eventNotificationNew, Data: data, ID: n.ID, From: n.From})
}

// PresenceChange is the data of presence:changed: {"userId","name","status","data"}, without an empty name and without
// data that is nil.
type PresenceChange struct {
	ID     string // of the event; empty: one is made
	UserID string // required
	Name   string
	Status string // required: "online", "away", "busy" or any string of at most 32 bytes
	Data   any
}

// PresenceChanged sends presence:changed to the room community:<communityID>. It tells those who are there; what
// [Emitter.Presence] answers stays as it is.
func (e *Emitter) PresenceChanged(ctx context.Context, communityID string, p PresenceChange) (PublishResult, error) {
	if communityID == "" || p.UserID == "" || p.Status == "" {
		return PublishResult{}, badRequest("a changed presence needs a community, a user and a status")
	}
	data := map[string]any{"userId": p.UserID, "status": p.Status}
	if p.Name != "" {
		data["name"] = p.Name
	}
	if p.Data != nil {
		data["data"] = p.Data
	}
	return e.Publish(ctx, Publish{Rooms: []string{communityRoom + communityID}, Event: eventPresenceChanged, Data: data, ID: p.ID})
}

// Goal is the data of buddy:goal-completed: {"goalId","title"}, those that are not empty, and Fields.
type Goal struct {
	ID     string // of the event; empty: one is made
	From   *From  // whose goal it is
	GoalID string
	Title  string
	Fields map[string]any // more fields of data
}

// BuddyGoalCompleted sends buddy:goal-completed to users, the buddies of the one whose goal it is.
func (e *Emitter) BuddyGoalCompleted(ctx context.Context, userIDs []string, g Goal) (PublishResult, error) {
	data, err := object(g.Fields, map[string]any{"goalId": g.GoalID, "title": g.Title})
	if err != nil {
		return PublishResult{}, err
	}
	return e.Publish(ctx, Publish{Users: userIDs, Event: eventBuddyGoalCompleted, Data: data, ID: g.ID, From: g.From})
}

// CheckIn is the data of buddy:check-in: {"goalId","note"}, those that are not empty, and Fields.
type CheckIn struct {
	ID     string // of the event; empty: one is made
	From   *From  // who checked in
	GoalID string
	Note   string
	Fields map[string]any // more fields of data
}

// BuddyCheckIn sends buddy:check-in to users, the buddies of the one who checked in.
func (e *Emitter) BuddyCheckIn(ctx context.Context, userIDs []string, c CheckIn) (PublishResult, error) {
	data, err := object(c.Fields, map[string]any{"goalId": c.GoalID, "note": c.Note})
	if err != nil {
		return PublishResult{}, err
	}
	return e.Publish(ctx, Publish{Users: userIDs, Event: eventBuddyCheckIn, Data: data, ID: c.ID, From: c.From})
}

// object joins an event's own fields, unless they are "", with the caller's.
func object(more, own map[string]any) (map[string]any, error) {
	data := make(map[string]any, len(own)+len(more))
	maps.Copy(data, more)
	for name, value := range own {
		if _, twice := more[name]; twice {
			return nil, badRequest("%q has a field of its own; take it out of Fields", name)
		}
		if value != "" || name == "content" {
			data[name] = value
		}
	}
	return data, nil
}
