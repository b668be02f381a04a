package console

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// Loopback reports whether a host is this machine, by its name alone.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ByLoopback reports whether a request is to a name of this machine.
func ByLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	return Loopback(host)
}

// OfAnotherSite reports whether a page of another site made the request. Its script could not read the answer, but what it
// asks for would be done all the same. For the WebSocket the authorizer decides, by AllowedOrigins. local: only this machine
// can reach the server; then a page is of this machine by its name alone, since one of the web may have its own name lead
// here, and would ask for that very name. Programs that come by another name, out of a container, send no Origin.
func OfAnotherSite(r *http.Request, local bool) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !Loopback(u.Hostname()) && (local || u.Host != r.Host)
}

// here refuses names that are not this machine's, where nobody else may look: a page of the web can make a name of its own
// lead here, and would be of the same origin then.
func (c *Console) here(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.local && !ByLoopback(r) {
			Refuse(w, http.StatusForbidden, "the console answers to names of this machine only")
			return
		}
		next(w, r)
	}
}

// decode reads a small JSON body.
func decode(w http.ResponseWriter, r *http.Request, into any, example string) bool {
	if err := json.NewDecoder(io.LimitReader(r.Body, 256<<10)).Decode(into); err != nil {
		Refuse(w, http.StatusBadRequest, "send "+example)
		return false
	}
	return true
}

// Refuse answers why something is not done.
func Refuse(w http.ResponseWriter, status int, sentence string) {
	JSON(w, status, map[string]string{"error": sentence})
}

// JSON answers with a value that people may read too.
func JSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, fmt.Sprint(err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
