// Package body ends requests whose body comes too slowly. A server's ReadTimeout would end those that are answered slowly as well: calls
// of functions, WebSockets, and runtimes that wait for their next invocation.
package body

import (
	"io"
	"net/http"
	"time"
)

// Time is how long the body of a request to a server of this machine may take. The largest one, 6 MB, takes a second or less.
const Time = 30 * time.Second

// Within gives each request a time in which its whole body must have been read. Reading later fails, and the connection ends with the
// answer.
func Within(limit time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.ContentLength != 0 {
			connection := http.NewResponseController(w)
			if connection.SetReadDeadline(time.Now().Add(limit)) == nil {
				r.Body = &timed{r.Body, connection, r.ContentLength}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// timed is a body that takes its deadline off the connection when it has been read: what is read from then on is whether the
// client is still there.
type timed struct {
	io.ReadCloser
	connection *http.ResponseController
	left       int64 // of its length; below 0: it is not known
}

func (t *timed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if t.left -= int64(n); err == io.EOF || t.left == 0 {
		_ = t.connection.SetReadDeadline(time.Time{})
	}
	return n, err
}
