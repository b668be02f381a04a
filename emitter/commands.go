package emitter

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"time"
)

// Occupant is one user who is present in a room, once however many connections that user has.
type Occupant struct {
	UserID  string          `json:"userId"`
	Name    string          `json:"name"`
	Status  string          `json:"status"` // "online", "away", "busy" or any short string
	Data    json.RawMessage `json:"data"`
	Since   int64           `json:"since"`   // Unix time in milliseconds
	Version int             `json:"version"` // counts the changes of this presence, from 1
}

// Arrived is Since as a time.
func (o Occupant) Arrived() time.Time { return time.UnixMilli(o.Since) }

// Member is one connection in a room.
type Member struct {
	Connection string `json:"connection"`
	UserID     string `json:"userId"`
}

// Event is one logged event.
type Event struct {
	Event string          `json:"event"`
	Room  string          `json:"room"`
	Seq   int64           `json:"seq"` // position in the log
	ID    string          `json:"id"`
	TS    int64           `json:"ts"` // Unix time in milliseconds
	From  *From           `json:"from"`
	Data  json.RawMessage `json:"data"`
}

// Time is TS as a time: when the event was logged.
func (e Event) Time() time.Time { return time.UnixMilli(e.TS) }

// History is a piece of a room's log.
type History struct {
	Room   string  `json:"room"`
	Epoch  string  `json:"epoch"`  // identifies the log
	Seq    int64   `json:"seq"`    // the newest position in it
	Events []Event `json:"events"` // ascending by Seq
	More   bool    `json:"more"`   // there are older ones: ask again before the first of these
}

// Presence gives the users who are present in a room, by user id. It asks once for about a thousand. It needs a transport with answers,
// see [ErrNoAnswer].
func (e *Emitter) Presence(ctx context.Context, room string) ([]Occupant, error) {
	if room == "" {
		return nil, badRequest("presence needs a room")
	}
	var all []Occupant
	for after := ""; ; after = all[len(all)-1].UserID {
		var page struct {
			Presence []Occupant `json:"presence"`
			More     bool       `json:"more"` // ask again after the last one
		}
		if err := e.ask(ctx, command{Command: "presence", Room: room, After: after}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Presence...)
		if !page.More || len(page.Presence) == 0 {
			return all, nil
		}
	}
}

// Members gives all connections that are in a room; [Emitter.EachMember] reads them as they are needed. It needs a transport with
// answers, see [ErrNoAnswer].
func (e *Emitter) Members(ctx context.Context, room string) ([]Member, error) {
	var all []Member
	for m, err := range e.EachMember(ctx, room) {
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// EachMember gives the connections that are in a room, about a thousand with each request. It ends with the first error. It needs a
// transport with answers, see [ErrNoAnswer]. A function of a version before this one gives the first thousand alone.
func (e *Emitter) EachMember(ctx context.Context, room string) iter.Seq2[Member, error] {
	return func(yield func(Member, error) bool) {
		if room == "" {
			yield(Member{}, badRequest("members needs a room"))
			return
		}
		for after := ""; ; {
			var page struct {
				Members []Member `json:"members"`
				Next    string   `json:"next"` // where the next page begins; empty: there is none
			}
			if err := e.ask(ctx, command{Command: "members", Room: room, After: after}, &page); err != nil {
				yield(Member{}, err)
				return
			}
			for _, m := range page.Members {
				if !yield(m, nil) {
					return
				}
			}
			if page.Next == "" || page.Next == after {
				return
			}
			after = page.Next
		}
	}
}

// History gives up to limit logged events of a room with a Seq below before. before 0 means from the newest, limit 0
// means as many as the server likes. It needs a transport with answers, see [ErrNoAnswer].
func (e *Emitter) History(ctx context.Context, room string, before int64, limit int) (History, error) {
	if room == "" || before < 0 || limit < 0 {
		return History{}, badRequest("history needs a room, and before and limit must not be negative")
	}
	var data History
	err := e.ask(ctx, command{Command: "history", Room: room, Before: before, Limit: limit}, &data)
	return data, err
}

// EachEvent gives what a room's log has, the newest first, a page with each request. It ends with the first error. It needs a transport
// with answers, see [ErrNoAnswer].
func (e *Emitter) EachEvent(ctx context.Context, room string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for before := int64(0); ; {
			page, err := e.History(ctx, room, before, 0)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, event := range slices.Backward(page.Events) {
				if !yield(event, nil) {
					return
				}
			}
			if !page.More || len(page.Events) == 0 {
				return
			}
			before = page.Events[0].Seq
		}
	}
}

// Stats is what is open now.
type Stats struct {
	Version     string         `json:"version"` // of Bellhop where it is deployed, such as "v0.1.0"; "" before that
	Connections int            `json:"connections"`
	Users       int            `json:"users"`
	Rooms       map[string]int `json:"rooms"`       // rooms with members, by kind: {"channel":12}
	Memberships map[string]int `json:"memberships"` // connections in rooms, by kind of room
}

// Stats counts connections, users and rooms. It reads the row of every connection, about 1 RCU for ten of them; connections
// that were cut off are counted until a sweep finds them, after about 16 minutes at most. It needs a transport with answers, see
// [ErrNoAnswer].
func (e *Emitter) Stats(ctx context.Context) (Stats, error) {
	var data Stats
	err := e.ask(ctx, command{Command: "stats"}, &data)
	return data, err
}

// Disconnect says whom to disconnect: all connections of a User, or one Connection.
type Disconnect struct {
	User, Connection string
	Reason           string // told to the client before the close
}

// Disconnect closes connections and gives how many; 0 over a transport without answers. The clients may connect again
// as long as their token is good.
func (e *Emitter) Disconnect(ctx context.Context, d Disconnect) (int, error) {
	if (d.User == "") == (d.Connection == "") {
		return 0, badRequest("disconnect needs a user or a connection, and not both")
	}
	var data struct {
		Disconnected int `json:"disconnected"`
	}
	err := e.tell(ctx, command{Command: "disconnect", User: d.User, Connection: d.Connection, Reason: d.Reason}, &data)
	return data.Disconnected, err
}

// Join puts every open connection of a user into a room and gives how many those are; 0 over a transport without
// answers.
func (e *Emitter) Join(ctx context.Context, user, room string) (int, error) {
	return e.move(ctx, "join", user, room)
}

// Leave takes every connection of a user out of a room and gives how many those are; 0 over a transport without answers.
func (e *Emitter) Leave(ctx context.Context, user, room string) (int, error) {
	return e.move(ctx, "leave", user, room)
}

func (e *Emitter) move(ctx context.Context, name, user, room string) (int, error) {
	if user == "" || room == "" {
		return 0, badRequest("%s needs a user and a room", name)
	}
	var data struct {
		Connections int `json:"connections"`
	}
	err := e.tell(ctx, command{Command: name, User: user, Room: room}, &data)
	return data.Connections, err
}

// Close tells everybody in a room that it is closed, for a reason, and takes them out of it.
func (e *Emitter) Close(ctx context.Context, room, reason string) error {
	if room == "" {
		return badRequest("close needs a room")
	}
	var data struct{}
	return e.tell(ctx, command{Command: "close", Room: room, Reason: reason}, &data)
}
