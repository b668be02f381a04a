// Package spelling keeps how clients spell the names of their headers, which net/http does not tell and AWS passes on as they are: code that
// reads headers.HeaderAuth1, or headers["x-api-key"], finds there what it finds on AWS.
package spelling

import (
	"context"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
)

// maxHead is how much of what a client sent is looked through for the names of its headers: more than AWS takes of them.
const maxHead = 16 << 10

type key struct{}

// Keep gives a listener in the place of another, for a server that is not yet serving. Without it a server shows canonical names.
func Keep(server *http.Server, l net.Listener) net.Listener {
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, key{}, c)
	}
	return listener{l}
}

type listener struct{ net.Listener }

// Accept waits for the next connection.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// conn keeps the end of what was read. Once it is a WebSocket, what it wraps is used alone.
type conn struct {
	net.Conn

	mu   sync.Mutex // net/http reads in the background while a handler runs
	head []byte     // at most twice maxHead
}

// Read reads, and keeps.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.head)+n > 2*maxHead {
		c.head = append(c.head[:0], c.head[max(len(c.head)-maxHead, 0):]...)
	}
	c.head = append(c.head, b[:min(n, maxHead)]...)
	return n, err
}

// Of gives the names of a request's headers as its client wrote them, by their canonical form; nil where that is not known.
func Of(r *http.Request) map[string]string {
	c, ok := r.Context().Value(key{}).(*conn)
	if !ok {
		return nil
	}
	c.mu.Lock()
	head := string(c.head)
	c.mu.Unlock()
	first := r.Method + " " + r.RequestURI + " " + r.Proto + "\r\n"
	begin := strings.LastIndex(head, first)
	if begin < 0 {
		return nil
	}
	names := map[string]string{}
	for line := range strings.SplitSeq(head[begin+len(first):], "\r\n") {
		name, _, ok := strings.Cut(line, ":")
		if !ok {
			break
		}
		names[textproto.CanonicalMIMEHeaderKey(name)] = name
	}
	return names
}

// Bare is a connection that was taken over, without what kept its headers, or looked whether it is one of TLS.
func Bare(c net.Conn) net.Conn {
	if kept, ok := c.(*conn); ok {
		c = kept.Conn
	}
	if found, ok := c.(interface{ Settled() net.Conn }); ok { // it had to find out what it is
		c = found.Settled()
	}
	return c
}
