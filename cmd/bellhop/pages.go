package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/asyncapi"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/token"
	"github.com/bellhop-rt/bellhop/web/console"
	"github.com/bellhop-rt/bellhop/web/demo"
)

// handler is everything that the server answers over HTTP: the emulator's paths, the page to try it at /, and what
// developers look at under /_bellhop/.
func (s *server) handler() http.Handler {
	pages := http.NewServeMux()
	if s.hub == nil { // another application's API
		pages.Handle("GET /{$}", http.RedirectHandler("/_bellhop/", http.StatusFound))
	} else {
		pages.Handle("GET /", http.FileServerFS(demo.Files()))
	}
	pages.Handle("GET /_bellhop/", http.StripPrefix("/_bellhop", http.FileServerFS(console.Files())))
	pages.HandleFunc("GET /_bellhop/stats", s.here(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.emulator.Stats())
	}))
	pages.HandleFunc("GET /_bellhop/connections", s.here(s.serveConnections))
	pages.HandleFunc("GET /_bellhop/api", serveProtocol)
	pages.HandleFunc("GET /_bellhop/api/asyncapi.json", serveAsyncAPI)
	pages.HandleFunc("POST /_bellhop/token", s.serveToken)
	s.consoleRoutes(pages)
	aws := s.look.posts(s.emulator.Handler())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" && foreign(r, s.look.local) {
			refuse(w, http.StatusForbidden, "pages of other sites may not use this server")
			return
		}
		if r.Header.Get("Upgrade") == "" && r.Method == http.MethodGet && r.URL.Query().Has("EIO") {
			refusePolling(w, r)
			return
		}
		if caller := s.invokedHook(r); caller != nil {
			serveHook(w, r, caller)
			return
		}
		if s.emulator.OwnsRequest(r) {
			aws.ServeHTTP(w, r)
			return
		}
		if s.processes != nil && r.Header.Get("X-Amz-Target") == "secretsmanager.GetSecretValue" {
			s.serveSecret(w)
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; frame-ancestors 'self'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		pages.ServeHTTP(w, r)
	})
}

// serveProtocol shows the wire protocol to people, and serveAsyncAPI to generators of clients.
func serveProtocol(w http.ResponseWriter, _ *http.Request) {
	var page bytes.Buffer
	if err := asyncapi.Page(&page, release()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page.Bytes())
}

func serveAsyncAPI(w http.ResponseWriter, _ *http.Request) {
	text, err := asyncapi.Document(release())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

// refusePolling answers what clients of Socket.IO ask first by default, in the form that they show.
func refusePolling(w http.ResponseWriter, r *http.Request) {
	query := map[string]string{}
	for name := range r.URL.Query() {
		query[name] = r.URL.Query().Get(name)
	}
	message := "a WebSocket is needed"
	if err := socketio.Handshake(query); err != nil {
		message = err.Error()
	}
	writeJSON(w, http.StatusBadRequest, map[string]any{"code": 0, "message": message})
}

// foreign reports whether a page of another site made the request. Its script could not read the answer, but what it
// asks for would be done all the same. For the WebSocket the authorizer decides, by AllowedOrigins. local: only this machine
// can reach the server; then a page is of this machine by its name alone, since one of the web may have its own name lead
// here, and would ask for that very name. Programs that come by another name, out of a container, send no Origin.
func foreign(r *http.Request, local bool) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !loopback(u.Hostname()) && (local || u.Host != r.Host)
}

// connectionInfo is one open connection as developers see it.
type connectionInfo struct {
	ID           string    `json:"id"`
	User         string    `json:"user"`
	Name         string    `json:"name"`
	Rooms        []string  `json:"rooms"`
	ConnectedAt  time.Time `json:"connectedAt"`
	LastActiveAt time.Time `json:"lastActiveAt"`
	SourceIP     string    `json:"sourceIp"`
	UserAgent    string    `json:"userAgent"`
}

func (s *server) serveConnections(w http.ResponseWriter, r *http.Request) {
	list := []connectionInfo{}
	for _, c := range s.emulator.Connections() {
		list = append(list, s.describe(r, c))
	}
	writeJSON(w, http.StatusOK, list)
}

// serveToken gives the page a token for any name. It is for this machine only: the server must listen on loopback, and
// the request must be to a loopback name, so that no page of the web can ask by a name of its own that leads here.
func (s *server) serveToken(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if !s.minting || !loopback(host) {
		refuse(w, http.StatusForbidden, "this server mints no tokens; use bellhop token")
		return
	}
	var ask struct {
		User string `json:"user"`
		Name string `json:"name"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 4<<10)).Decode(&ask); err != nil {
		refuse(w, http.StatusBadRequest, `send {"user":"ana","name":"Ana"}`)
		return
	}
	claims := token.Claims{User: ask.User, Name: ask.Name, Grants: allGrants(), TTL: 12 * time.Hour}
	signed, err := token.Sign(s.secret, claims)
	if err != nil {
		refuse(w, http.StatusBadRequest, sentence(err))
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"token": signed})
}

func refuse(w http.ResponseWriter, status int, sentence string) {
	writeJSON(w, status, map[string]string{"error": sentence})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, fmt.Sprint(err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
