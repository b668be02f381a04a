package names

import (
	"crypto/tls"
	"net"
	"sync"
)

// Listener gives a listener whose connections may speak TLS, in the place of one whose connections do not.
func (g *Gate) Listener(l net.Listener) net.Listener {
	return &listener{l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: g.certificate, NextProtos: []string{"http/1.1"}}}
}

type listener struct {
	net.Listener

	config *tls.Config
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, config: l.config}, nil
}

// conn finds out by the first byte what its client speaks.
type conn struct {
	net.Conn // of TCP

	config *tls.Config
	once   sync.Once
	spoken net.Conn // what is read and written; Conn or TLS over it
	first  []byte   // was read to find out, and is not told yet
	err    error
}

// tlsHandshake is the type of the first record of TLS, RFC 8446 §5.1. No method of HTTP begins so.
const tlsHandshake = 0x16

func (c *conn) find() {
	c.once.Do(func() {
		c.spoken = c.Conn
		first := make([]byte, 1)
		if _, c.err = c.Conn.Read(first); c.err != nil {
			return
		}
		if first[0] != tlsHandshake {
			c.first = first
			return
		}
		c.spoken = tls.Server(&begun{c.Conn, first}, c.config)
	})
}

// Read reads what the client says, whatever it speaks.
func (c *conn) Read(b []byte) (int, error) {
	c.find()
	if c.err != nil {
		return 0, c.err
	}
	if len(c.first) > 0 && len(b) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.spoken.Read(b)
}

// Write answers as the client speaks. A server answers what it has read.
func (c *conn) Write(b []byte) (int, error) {
	c.find()
	if c.err != nil {
		return 0, c.err
	}
	return c.spoken.Write(b)
}

// Close ends it.
func (c *conn) Close() error {
	c.once.Do(func() { c.spoken, c.err = c.Conn, net.ErrClosed })
	return c.spoken.Close()
}

// Settled is the connection alone, when nothing of what was read to find out is left.
func (c *conn) Settled() net.Conn {
	c.find()
	if len(c.first) > 0 {
		return c
	}
	return c.spoken
}

// begun is a connection of which something was read.
type begun struct {
	net.Conn

	first []byte
}

func (b *begun) Read(into []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(into, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	return b.Conn.Read(into)
}
