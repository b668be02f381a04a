package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/asyncapi"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/openapi"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/token"
	consolepage "github.com/bellhop-rt/bellhop/web/console"
)

// handler is everything that the server answers over HTTP: the gateway's paths, the page to try it at /, and what
// developers look at under /_bellhop/.
func (s *Server) handler(c Config, parts *composition) http.Handler {
	pages := http.NewServeMux()
	for pattern, page := range parts.pages {
		pages.Handle(pattern, page)
	}
	pages.Handle("GET /_bellhop/", http.StripPrefix("/_bellhop", http.FileServerFS(consolepage.Files())))
	pages.HandleFunc("GET /_bellhop/api", protocolPage(c.Release))
	pages.HandleFunc("GET /_bellhop/api/asyncapi.json", document(asyncapi.Document, c.Release))
	pages.HandleFunc("GET /_bellhop/api/openapi.json", document(openapi.Document, c.Release))
	pages.HandleFunc("POST /_bellhop/token", minting(c))
	s.console.Routes(pages)
	polling := refusePolling(c)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plain := r.Header.Get("Upgrade") == ""
		if plain && polls(r) { // of other sites too, whose developers are to read it
			polling(w, r)
			return
		}
		own := strings.HasPrefix(r.URL.Path, "/_bellhop/")
		if plain && (own || !s.emulator.Public(r)) && console.OfAnotherSite(r, c.Local) {
			console.Refuse(w, http.StatusForbidden, "pages of other sites may not use this server")
			return
		}
		for _, x := range parts.extras {
			if x.wants(r) {
				x.handle(w, r)
				return
			}
		}
		if !own && s.emulator.Owns(r) {
			s.emulator.ServeHTTP(w, r)
			return
		}
		if _, page := pages.Handler(r); page != "" {
			w.Header().Set("Content-Security-Policy", "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; frame-ancestors 'self'")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Cache-Control", "no-cache")
		}
		pages.ServeHTTP(w, r)
	})
}

// protocolPage shows the wire protocol to people, and document one of two to generators of clients.
func protocolPage(release string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var page bytes.Buffer
		if err := asyncapi.Page(&page, release); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page.Bytes())
	}
}

func document(of func(release string) ([]byte, error), release string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, err := of(release)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	}
}

// polls reports whether a client of Socket.IO asks for polling, or a browser whether a page may.
func polls(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodOptions) && r.URL.Query().Has("EIO")
}

// refusePolling answers what clients of Socket.IO ask first by default, in the form that they show, and to pages of other sites as
// well, which ask whether they may if they have headers of their own. Those clients that show no answer say "xhr poll error", so it is
// in the log once, too; and it is the reason of the status, which browsers show in their console.
func refusePolling(c Config) http.HandlerFunc {
	var said atomic.Bool
	return func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" {
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")
			h.Set("Vary", "Origin")
			for _, what := range []string{"Headers", "Private-Network"} {
				if asked := r.Header.Get("Access-Control-Request-" + what); asked != "" {
					h.Set("Access-Control-Allow-"+what, asked)
				}
			}
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		query := map[string]string{}
		for name := range r.URL.Query() {
			query[name] = r.URL.Query().Get(name)
		}
		message := "a WebSocket is needed"
		if err := socketio.Handshake(query); err != nil {
			message = err.Error()
		}
		if c.Logger != nil && !said.Swap(true) {
			c.Logger.WarnContext(r.Context(), "a client of Socket.IO is refused", "path", r.URL.Path, "message", message)
		}
		body, _ := json.Marshal(map[string]any{"code": 0, "message": message}) // a number and a text
		w.Header().Set("Content-Type", "application/json")
		answerWithReason(w, http.StatusBadRequest, message, body)
	}
}

// answerWithReason has a reason in the place of the status's usual one, where the connection allows it: net/http knows no other.
func answerWithReason(w http.ResponseWriter, status int, reason string, body []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return
	}
	defer func() { _ = conn.Close() }()
	reason = strings.Map(func(c rune) rune { // it may repeat what the client has said
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, reason)
	head := w.Header()
	head.Set("Connection", "close")
	answer := http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, reason), ProtoMajor: 1, ProtoMinor: 1,
		Header: head, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_ = answer.Write(conn)
}

// minting gives the page a token for any name. It is for this machine only: the server must listen on loopback, and
// the request must be to a loopback name, so that no page of the web can ask by a name of its own that leads here.
func minting(c Config) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !c.Local || !console.ByLoopback(r) {
			console.Refuse(w, http.StatusForbidden, "this server mints no tokens; use bellhop token")
			return
		}
		var ask struct {
			User string `json:"user"`
			Name string `json:"name"`
		}
		if err := json.NewDecoder(io.LimitReader(r.Body, 4<<10)).Decode(&ask); err != nil {
			console.Refuse(w, http.StatusBadRequest, `send {"user":"ana","name":"Ana"}`)
			return
		}
		claims := token.Claims{User: ask.User, Name: ask.Name, Grants: token.DevelopmentGrants(), TTL: 12 * time.Hour}
		signed, err := token.Sign(c.Secret, claims)
		if err != nil {
			console.Refuse(w, http.StatusBadRequest, token.Sentence(err))
			return
		}
		console.JSON(w, http.StatusOK, map[string]string{"token": signed})
	}
}
