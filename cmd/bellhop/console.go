package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/trace"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// The most that the console lists of connections and rooms; a filter finds the others.
const (
	listedConnections = 200
	listedRooms       = 200
	listedMembers     = 500
)

// consoleRoutes adds what the console asks for, and what it does beside the management API and emit.
func (s *server) consoleRoutes(pages *http.ServeMux) {
	for pattern, handle := range map[string]http.HandlerFunc{
		"GET /_bellhop/events":       s.look.stream.serve,
		"GET /_bellhop/overview":     s.serveOverview,
		"GET /_bellhop/rooms/{room}": s.serveRoom,
		"GET /_bellhop/cost":         s.serveCost,
		"GET /_bellhop/traces":       s.serveTraces,
		"GET /_bellhop/trace/{id}":   s.serveTrace,
		"POST /_bellhop/replay":      s.serveReplay,
		"POST /_bellhop/expire":      s.serveExpire,
	} {
		if s.look.raw == nil && bellhopOnly(pattern) {
			handle = notOurs
		}
		pages.HandleFunc(pattern, s.here(handle))
	}
}

// bellhopOnly are the paths that need Bellhop's store.
func bellhopOnly(pattern string) bool {
	_, path, _ := strings.Cut(pattern, "/_bellhop/")
	return path == "rooms/{room}" || path == "replay" || path == "expire"
}

func notOurs(w http.ResponseWriter, _ *http.Request) {
	refuse(w, http.StatusNotFound, "this is for Bellhop's own API; another template is served")
}

// here refuses names that are not this machine's, where nobody else may look: a page of the web can make a name of its own
// lead here, and would be of the same origin then.
func (s *server) here(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if s.look.local && !loopback(host) {
			refuse(w, http.StatusForbidden, "the console answers to names of this machine only")
			return
		}
		next(w, r)
	}
}

// overview is who is connected, and the rooms they are in.
type overview struct {
	Stage       string           `json:"stage"`
	Bellhop     bool             `json:"bellhop"`     // it is Bellhop's own API, with its store and emit
	Total       int              `json:"total"`       // open connections
	Matching    int              `json:"matching"`    // of them, those that the filter matches
	Connections []connectionInfo `json:"connections"` // of those, the latest active
	RoomTotal   int              `json:"roomTotal"`
	Rooms       []roomInfo       `json:"rooms"` // the largest
}

type roomInfo struct {
	Room        string `json:"room"`
	Connections int    `json:"connections"`
	Users       int    `json:"users"`
}

// serveOverview lists connections whose id, user, name or rooms contain ?q=, and all rooms that do.
func (s *server) serveOverview(w http.ResponseWriter, r *http.Request) {
	q := strings.ToLower(r.URL.Query().Get("q"))
	o := overview{Stage: s.emulator.Stage(), Bellhop: s.look.raw != nil, Connections: []connectionInfo{}, Rooms: []roomInfo{}}
	users := map[string]map[string]int{}
	for _, c := range s.emulator.Connections() {
		o.Total++
		info := s.describe(r, c)
		for _, room := range info.Rooms {
			if users[room] == nil {
				users[room] = map[string]int{}
			}
			users[room][info.User]++
		}
		if matches(q, append([]string{info.ID, info.User, info.Name}, info.Rooms...)) {
			o.Connections = append(o.Connections, info)
		}
	}
	o.Matching = len(o.Connections)
	slices.SortFunc(o.Connections, func(a, b connectionInfo) int {
		return cmp.Or(b.LastActiveAt.Compare(a.LastActiveAt), cmp.Compare(a.ID, b.ID))
	})
	o.Connections = o.Connections[:min(listedConnections, len(o.Connections))]
	for _, room := range slices.Sorted(maps.Keys(users)) {
		if !matches(q, []string{room}) {
			continue
		}
		info := roomInfo{Room: room, Users: len(users[room])}
		for _, n := range users[room] {
			info.Connections += n
		}
		o.Rooms = append(o.Rooms, info)
	}
	o.RoomTotal = len(o.Rooms)
	slices.SortStableFunc(o.Rooms, func(a, b roomInfo) int { return cmp.Compare(b.Connections, a.Connections) })
	o.Rooms = o.Rooms[:min(listedRooms, len(o.Rooms))]
	writeJSON(w, http.StatusOK, o)
}

func matches(q string, texts []string) bool {
	return q == "" || slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), q) })
}

// describe is one connection as developers see it.
func (s *server) describe(r *http.Request, c emulator.ConnectionInfo) connectionInfo {
	info := connectionInfo{
		ID: c.ID, ConnectedAt: c.ConnectedAt, LastActiveAt: c.LastActiveAt, Rooms: []string{},
		SourceIP: c.Identity.SourceIP, UserAgent: c.Identity.UserAgent,
	}
	if s.look.raw == nil {
		return info
	}
	rooms := map[string]int{}
	for _, id := range s.sockets.Sockets(c.ID) {
		if row, err := s.look.raw.Connection(r.Context(), id); err == nil {
			info.User, info.Name = row.User, row.Name
			maps.Copy(rooms, row.Rooms)
		}
	}
	info.Rooms = append(info.Rooms, slices.Sorted(maps.Keys(rooms))...)
	return info
}

// roomDetail is what the store knows of a room.
type roomDetail struct {
	Room     string              `json:"room"`
	Epoch    string              `json:"epoch"`
	Seq      int64               `json:"seq"`
	Shards   int                 `json:"shards"`
	Members  []roomMember        `json:"members"`
	More     bool                `json:"more"` // there are more members
	Presence []protocol.Occupant `json:"presence"`
}

type roomMember struct {
	Connection string `json:"connection"`
	User       string `json:"user"`
}

func (s *server) serveRoom(w http.ResponseWriter, r *http.Request) {
	d, err := s.room(r, r.PathValue("room"))
	if refused, ok := errors.AsType[*protocol.Error](err); ok {
		refuse(w, http.StatusBadRequest, refused.Message)
		return
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, d)
}

func (s *server) room(r *http.Request, room string) (roomDetail, error) {
	d := roomDetail{Room: room, Shards: 1, Members: []roomMember{}, Presence: []protocol.Occupant{}}
	if err := protocol.CheckRoom(room); err != nil {
		return d, err
	}
	store, ctx := s.look.raw, r.Context()
	for shard := 0; shard < d.Shards && !d.More; shard++ {
		page, err := store.Members(ctx, room, shard, "", listedMembers)
		if err != nil {
			return d, fmt.Errorf("read members of %s: %w", room, err)
		}
		d.Shards = max(d.Shards, page.Shards)
		for _, m := range page.Members {
			d.Members = append(d.Members, roomMember{m.Connection, m.User})
		}
		d.More = page.Next != "" || len(d.Members) > listedMembers
	}
	present, err := store.Present(ctx, room, "", listedMembers)
	if err != nil {
		return d, fmt.Errorf("read presence in %s: %w", room, err)
	}
	for _, h := range present {
		if !h.Ending {
			d.Presence = append(d.Presence, h.Occupant())
		}
	}
	head, err := store.Head(ctx, room)
	if err != nil {
		return d, fmt.Errorf("read head of %s: %w", room, err)
	}
	d.Epoch, d.Seq = head.Epoch, head.Seq
	return d, nil
}

func (s *server) serveCost(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.look.report())
}

func (s *server) serveTraces(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.look.traces.Recent(100))
}

// serveTrace gives the traces of an id, one for each room, with the users of connections that are still open.
func (s *server) serveTrace(w http.ResponseWriter, r *http.Request) {
	list := s.look.traces.Traces(r.PathValue("id"))
	if len(list) == 0 {
		refuse(w, http.StatusNotFound, "no event with this id is remembered: only the newest are, and only those that were logged")
		return
	}
	for _, t := range list {
		s.nameUsers(t)
	}
	writeJSON(w, http.StatusOK, list)
}

func (s *server) nameUsers(t trace.Trace) {
	for i := range t.Steps {
		if c := t.Steps[i].Connection; c != "" {
			t.Steps[i].User = s.look.meter.Owner(c)
		}
	}
}

// decode reads a small JSON body.
func decode(w http.ResponseWriter, r *http.Request, into any, example string) bool {
	if err := json.NewDecoder(io.LimitReader(r.Body, 256<<10)).Decode(into); err != nil {
		refuse(w, http.StatusBadRequest, "send "+example)
		return false
	}
	return true
}

// row is the connection that a request names.
func (s *server) row(w http.ResponseWriter, r *http.Request, id string) (hub.Connection, bool) {
	row, err := s.look.raw.Connection(r.Context(), id)
	if errors.Is(err, hub.ErrNotFound) {
		refuse(w, http.StatusNotFound, "this connection is closed")
		return row, false
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return row, false
	}
	return row, true
}

// serveReplay runs the function again with a frame, as if the connection had sent it. The answer comes here instead of to
// the client.
func (s *server) serveReplay(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Connection string `json:"connection"`
		Frame      string `json:"frame"`
	}
	if !decode(w, r, &ask, `{"connection":"…","frame":"{\"action\":\"join\",…}"}`) {
		return
	}
	row, ok := s.row(w, r, ask.Connection)
	if !ok {
		return
	}
	payload, err := messageEvent(row, ask.Frame, s.emulator.Stage())
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	began := time.Now()
	out, err := s.emulator.Invoke(r.Context(), "message", payload)
	if err != nil {
		refuse(w, http.StatusBadGateway, err.Error())
		return
	}
	var answer struct {
		Body string `json:"body"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		refuse(w, http.StatusBadGateway, "the function answered no JSON")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"reply": answer.Body, "micros": time.Since(began).Microseconds()})
}

// messageEvent is a message as API Gateway hands it to a function: the fields that functions here look at.
func messageEvent(c hub.Connection, frame, stage string) ([]byte, error) {
	grants, err := json.Marshal(c.Grants)
	if err != nil {
		return nil, fmt.Errorf("encode grants: %w", err)
	}
	return json.Marshal(map[string]any{
		"requestContext": map[string]any{
			"routeKey": "$default", "eventType": "MESSAGE", "connectionId": c.ID, "stage": stage, "messageDirection": "IN",
			"connectedAt": c.ConnectedAt.UnixMilli(), "requestTimeEpoch": time.Now().UnixMilli(),
			"authorizer": map[string]string{
				"principalId": c.User, "user": c.User, "name": c.Name, "grants": string(grants),
				"expires": strconv.FormatInt(c.Expires.Unix(), 10),
			},
		},
		"body": frame, "isBase64Encoded": false,
	})
}

// serveExpire ends the token of a connection now, and runs the sweep, which tells the client and closes the connection.
func (s *server) serveExpire(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Connection string `json:"connection"`
	}
	if !decode(w, r, &ask, `{"connection":"…"}`) {
		return
	}
	row, ok := s.row(w, r, ask.Connection)
	if !ok {
		return
	}
	if err := s.look.raw.Renew(r.Context(), row.ID, row.Name, row.Grants, time.Now().Add(-time.Second)); err != nil {
		refuse(w, http.StatusConflict, "this connection is closing")
		return
	}
	out, err := s.emulator.Invoke(r.Context(), "sweep", []byte(`{}`))
	if err != nil {
		refuse(w, http.StatusBadGateway, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, json.RawMessage(out))
}
