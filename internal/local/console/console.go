// Package console is what developers look at under /_bellhop/: who is connected, the rooms, the stream of what happens, what
// became of each event and what it would cost; and what they do there: connect and send frames, replay one, or let a token expire.
package console

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/hubports"
	"github.com/bellhop-rt/bellhop/internal/local/trace"
)

// The most that the console lists of connections and rooms; a filter finds the others.
const (
	listedConnections = 200
	listedRooms       = 200
	listedMembers     = 500
)

// Console is what a server shows of itself. Its requests are for this machine only, unless others may reach the server anyway.
type Console struct {
	emulator *emulator.Emulator
	api      API
	watch    *Watch
	local    bool // only this machine can reach the server
	clients  *clients
}

// API is what the console knows of the API that a server has, beside its connections: [Bellhop] or [Foreign].
type API interface {
	// own reports whether it is Bellhop's, with its store and emit.
	own() bool
	// trouble is why its store can save nothing at the moment; nil: it can.
	trouble() error
	// describe says who is at the other end of a connection, and which rooms it is in.
	describe(ctx context.Context, id string) (user, name string, rooms []string)
	// example is a frame for a route; empty: as good a one as any can be made.
	example(route string) string
	// routes are what is asked of such an API only.
	routes(e *emulator.Emulator) map[string]http.HandlerFunc
}

// New makes the console of an emulator and its API, about which watch knows what happened. local: only this machine can reach it.
func New(e *emulator.Emulator, api API, watch *Watch, local bool) *Console {
	return &Console{emulator: e, api: api, watch: watch, local: local, clients: newClients()}
}

// Routes adds what the console asks for, and what it does beside the management API and emit.
func (c *Console) Routes(pages *http.ServeMux) {
	list := map[string]http.HandlerFunc{
		"GET /_bellhop/stats":       c.serveStats,
		"GET /_bellhop/connections": c.serveConnections,
		"GET /_bellhop/events":      c.watch.stream.serve,
		"GET /_bellhop/overview":    c.serveOverview,
		"GET /_bellhop/cost":        c.serveCost,
		"GET /_bellhop/traces":      c.serveTraces,
		"GET /_bellhop/trace/{id}":  c.serveTrace,
		"POST /_bellhop/replay":     c.serveReplay,
		"GET /_bellhop/client":      c.serveClient,
		clientSocket:                c.serveSocket,
	}
	maps.Copy(list, c.api.routes(c.emulator))
	for pattern, handle := range list {
		pages.HandleFunc(pattern, c.here(handle))
	}
}

// Start begins to count, when everything of an earlier run is cleared away.
func (c *Console) Start() { c.watch.start(c.emulator.Stats) }

// Close ends the numbers, and lets those who watch go.
func (c *Console) Close() {
	c.clients.close()
	c.watch.stream.close()
}

// Cost is what was used so far.
func (c *Console) Cost() cost.Report { return c.watch.meter.Report() }

func (c *Console) serveStats(w http.ResponseWriter, _ *http.Request) {
	JSON(w, http.StatusOK, c.emulator.Stats())
}

// Connection is one open connection as developers see it.
type Connection struct {
	ID           string    `json:"id"`
	User         string    `json:"user"`
	Name         string    `json:"name"`
	Rooms        []string  `json:"rooms"`
	ConnectedAt  time.Time `json:"connectedAt"`
	LastActiveAt time.Time `json:"lastActiveAt"`
	SourceIP     string    `json:"sourceIp"`
	UserAgent    string    `json:"userAgent"`
}

func (c *Console) connections(ctx context.Context) []Connection {
	list := []Connection{}
	for _, open := range c.emulator.Connections() {
		info := Connection{
			ID: open.ID, ConnectedAt: open.ConnectedAt, LastActiveAt: open.LastActiveAt,
			SourceIP: open.Identity.SourceIP, UserAgent: open.Identity.UserAgent,
		}
		info.User, info.Name, info.Rooms = c.api.describe(ctx, open.ID)
		list = append(list, info)
	}
	return list
}

func (c *Console) serveConnections(w http.ResponseWriter, r *http.Request) {
	JSON(w, http.StatusOK, c.connections(r.Context()))
}

// Overview is who is connected, and the rooms they are in.
type Overview struct {
	Stage       string       `json:"stage"`
	Bellhop     bool         `json:"bellhop"`           // it is Bellhop's own API, with its store and emit
	Trouble     string       `json:"trouble,omitempty"` // why nothing can be saved
	Total       int          `json:"total"`             // open connections
	Matching    int          `json:"matching"`          // of them, those that the filter matches
	Connections []Connection `json:"connections"`       // of those, the latest active
	RoomTotal   int          `json:"roomTotal"`
	Rooms       []Room       `json:"rooms"` // the largest
}

// Room is a room that somebody is in.
type Room struct {
	Room        string `json:"room"`
	Connections int    `json:"connections"`
	Users       int    `json:"users"`
}

// serveOverview lists connections whose id, user, name or rooms contain ?q=, and all rooms that do.
func (c *Console) serveOverview(w http.ResponseWriter, r *http.Request) {
	q := strings.ToLower(r.URL.Query().Get("q"))
	o := Overview{Stage: c.emulator.Gateway.Stage(), Bellhop: c.api.own(), Connections: []Connection{}, Rooms: []Room{}}
	if err := cmp.Or(c.api.trouble(), c.emulator.Queues.Err()); err != nil {
		o.Trouble = err.Error()
	}
	users := map[string]map[string]int{}
	for _, info := range c.connections(r.Context()) {
		o.Total++
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
	slices.SortFunc(o.Connections, func(a, b Connection) int {
		return cmp.Or(b.LastActiveAt.Compare(a.LastActiveAt), cmp.Compare(a.ID, b.ID))
	})
	o.Connections = o.Connections[:min(listedConnections, len(o.Connections))]
	for _, room := range slices.Sorted(maps.Keys(users)) {
		if !matches(q, []string{room}) {
			continue
		}
		info := Room{Room: room, Users: len(users[room])}
		for _, n := range users[room] {
			info.Connections += n
		}
		o.Rooms = append(o.Rooms, info)
	}
	o.RoomTotal = len(o.Rooms)
	slices.SortStableFunc(o.Rooms, func(a, b Room) int { return cmp.Compare(b.Connections, a.Connections) })
	o.Rooms = o.Rooms[:min(listedRooms, len(o.Rooms))]
	JSON(w, http.StatusOK, o)
}

func matches(q string, texts []string) bool {
	return q == "" || slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), q) })
}

func (c *Console) serveCost(w http.ResponseWriter, _ *http.Request) {
	JSON(w, http.StatusOK, c.watch.meter.Report())
}

func (c *Console) serveTraces(w http.ResponseWriter, _ *http.Request) {
	JSON(w, http.StatusOK, c.watch.traces.Recent(100))
}

// serveTrace gives the traces of an id, one for each room, with the users of connections that are still open.
func (c *Console) serveTrace(w http.ResponseWriter, r *http.Request) {
	list := c.watch.traces.Traces(r.PathValue("id"))
	if len(list) == 0 {
		Refuse(w, http.StatusNotFound, "no event with this id is remembered: only the newest are, and only those that were logged")
		return
	}
	for _, t := range list {
		c.nameUsers(t)
	}
	JSON(w, http.StatusOK, list)
}

func (c *Console) nameUsers(t trace.Trace) {
	for i := range t.Steps {
		if id := t.Steps[i].Connection; id != "" {
			t.Steps[i].User = c.watch.meter.Owner(id)
		}
	}
}

// serveReplay does with a frame what would be done if the connection had sent it. The answer comes here instead of to the client.
func (c *Console) serveReplay(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Connection string `json:"connection"`
		Frame      string `json:"frame"`
	}
	if !decode(w, r, &ask, `{"connection":"…","frame":"{\"action\":\"join\",…}"}`) {
		return
	}
	began := time.Now()
	answer, err := c.emulator.Holder(ask.Connection).Replay(r.Context(), ask.Connection, []byte(ask.Frame))
	if errors.Is(hubports.AsHub(err), hub.ErrGone) {
		Refuse(w, http.StatusNotFound, "this connection is closed")
		return
	}
	if err != nil {
		Refuse(w, http.StatusBadGateway, err.Error())
		return
	}
	JSON(w, http.StatusOK, map[string]any{"reply": string(answer), "micros": time.Since(began).Microseconds()})
}
