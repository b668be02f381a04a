package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Bellhop is Bellhop's own API, of which the console sees the store.
type Bellhop struct {
	Store hub.Store
	// Sockets are the ids of the rows that a connection has, those of Socket.IO's namespaces among them.
	Sockets func(connection string) []string
}

// Foreign is the API of another application, of which the console sees what the gateway sees.
type Foreign struct{}

func (Bellhop) own() bool { return true }
func (Foreign) own() bool { return false }

// trouble is that of a store with a disk of its own.
func (b Bellhop) trouble() error {
	if store, is := b.Store.(interface{ Err() error }); is {
		return store.Err()
	}
	return nil
}

func (Foreign) trouble() error { return nil }

func (b Bellhop) describe(ctx context.Context, id string) (user, name string, list []string) {
	rooms := map[string]int{}
	for _, id := range b.Sockets(id) {
		if row, err := b.Store.Connection(ctx, id); err == nil {
			user, name = row.User, row.Name
			maps.Copy(rooms, row.Rooms)
		}
	}
	return user, name, slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(rooms))))
}

func (Foreign) describe(context.Context, string) (user, name string, rooms []string) {
	return "", "", []string{}
}

// example is that of the table of actions.
func (Bellhop) example(route string) string {
	for _, row := range protocol.Actions() {
		if row.Name == route {
			return row.Example
		}
	}
	return ""
}

func (Foreign) example(string) string { return "" }

func (b Bellhop) routes(e *emulator.Emulator) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /_bellhop/rooms/{room}": b.serveRoom,
		"POST /_bellhop/expire":      func(w http.ResponseWriter, r *http.Request) { b.serveExpire(e, w, r) },
	}
}

func (Foreign) routes(*emulator.Emulator) map[string]http.HandlerFunc {
	notOurs := func(w http.ResponseWriter, _ *http.Request) {
		Refuse(w, http.StatusNotFound, "this is for Bellhop's own API; another template is served")
	}
	return map[string]http.HandlerFunc{
		"GET /_bellhop/rooms/{room}": notOurs, "POST /_bellhop/expire": notOurs,
	}
}

// RoomDetail is what the store knows of a room.
type RoomDetail struct {
	Room     string              `json:"room"`
	Epoch    string              `json:"epoch"`
	Seq      int64               `json:"seq"`
	Shards   int                 `json:"shards"`
	Members  []Member            `json:"members"`
	More     bool                `json:"more"` // there are more members
	Presence []protocol.Occupant `json:"presence"`
}

// Member is a connection in a room.
type Member struct {
	Connection string `json:"connection"`
	User       string `json:"user"`
}

func (b Bellhop) serveRoom(w http.ResponseWriter, r *http.Request) {
	d, err := b.room(r, r.PathValue("room"))
	if refused, ok := errors.AsType[*protocol.Error](err); ok {
		Refuse(w, http.StatusBadRequest, refused.Message)
		return
	}
	if err != nil {
		Refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	JSON(w, http.StatusOK, d)
}

func (b Bellhop) room(r *http.Request, room string) (RoomDetail, error) {
	d := RoomDetail{Room: room, Shards: 1, Members: []Member{}, Presence: []protocol.Occupant{}}
	if err := protocol.CheckRoom(room); err != nil {
		return d, err
	}
	store, ctx := b.Store, r.Context()
	for shard := 0; shard < d.Shards && !d.More; shard++ {
		page, err := store.Members(ctx, room, shard, "", listedMembers)
		if err != nil {
			return d, fmt.Errorf("read members of %s: %w", room, err)
		}
		d.Shards = max(d.Shards, page.Shards)
		for _, m := range page.Members {
			d.Members = append(d.Members, Member{m.Connection, m.User})
		}
		d.More = page.Next != "" || len(d.Members) > listedMembers
	}
	present, err := store.Present(ctx, room, "", listedMembers)
	if err != nil {
		return d, fmt.Errorf("read presence in %s: %w", room, err)
	}
	for _, h := range present {
		if !h.Since.IsZero() && !h.Ending {
			d.Presence = append(d.Presence, h.Occupant())
		}
	}
	head, err := store.Head(ctx, room, time.Time{})
	if err != nil {
		return d, fmt.Errorf("read head of %s: %w", room, err)
	}
	d.Epoch, d.Seq = head.Epoch, head.Seq
	return d, nil
}

// serveExpire ends the token of a connection now, and runs the sweep, which tells the client and closes the connection.
func (b Bellhop) serveExpire(e *emulator.Emulator, w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Connection string `json:"connection"`
	}
	if !decode(w, r, &ask, `{"connection":"…"}`) {
		return
	}
	row, err := b.Store.Connection(r.Context(), ask.Connection)
	if errors.Is(err, hub.ErrNotFound) {
		Refuse(w, http.StatusNotFound, "this connection is closed")
		return
	}
	if err != nil {
		Refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	over := hub.Identity{User: row.User, Name: row.Name, Grants: row.Grants, Expires: time.Now().Add(-time.Second)}
	if _, err := b.Store.Change(r.Context(), row, hub.Change{Renew: &over, Now: time.Now()}); err != nil {
		Refuse(w, http.StatusConflict, "this connection is closing")
		return
	}
	out, err := e.Functions.Invoke(r.Context(), "sweep", []byte(`{}`))
	if err != nil {
		Refuse(w, http.StatusBadGateway, err.Error())
		return
	}
	JSON(w, http.StatusOK, json.RawMessage(out))
}
