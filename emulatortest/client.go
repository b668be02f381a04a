package emulatortest

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Handshake is what a client sends to connect. The zero value is a client without anything to say.
type Handshake struct {
	Query        url.Values
	Header       http.Header
	Subprotocols []string
}

// Client is an open WebSocket. Its methods fail the test when they fail.
type Client struct {
	ID          string // the connectionId
	Subprotocol string // what $connect chose

	srv    *Server
	sock   *websocket.Conn
	closed *websocket.CloseError // how the server closed it, once that was read
}

const readLimit = 1 << 20

// Connect opens a connection. It is closed at the end of the test, if not before.
func (s *Server) Connect(h Handshake) *Client {
	s.tb.Helper()
	sock, local, status, err := s.dial(h)
	if err != nil && status != 0 {
		s.tb.Fatalf("emulatortest: connect: the handshake was answered %d", status)
	}
	if err != nil {
		s.tb.Fatalf("emulatortest: connect: %v", err)
	}
	s.tb.Cleanup(func() { _ = sock.CloseNow() })
	id, err := s.idOf(local)
	if err != nil {
		s.tb.Fatalf("emulatortest: connect: %v", err)
	}
	sock.SetReadLimit(readLimit)
	return &Client{ID: id, Subprotocol: sock.Subprotocol(), srv: s, sock: sock}
}

// Refused expects that the handshake is refused, and returns the status.
func (s *Server) Refused(h Handshake) int {
	s.tb.Helper()
	sock, _, status, err := s.dial(h)
	if err == nil {
		_ = sock.CloseNow()
		s.tb.Fatalf("emulatortest: the handshake was not refused")
	}
	if status == 0 {
		s.tb.Fatalf("emulatortest: connect: %v", err)
	}
	return status
}

// dial connects from a socket of its own, whose address tells the connection from all others. status is 0 if there was no answer.
func (s *Server) dial(h Handshake) (sock *websocket.Conn, local string, status int, err error) {
	ctx, cancel := context.WithTimeout(s.tb.Context(), Patience)
	defer cancel()
	var mu sync.Mutex
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			mu.Lock()
			local = c.LocalAddr().String()
			mu.Unlock()
		}
		return c, err
	}}
	defer transport.CloseIdleConnections()
	address := s.URL
	if len(h.Query) > 0 {
		address += "?" + h.Query.Encode()
	}
	sock, res, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: h.Header, Subprotocols: h.Subprotocols,
	})
	if res != nil {
		status = res.StatusCode
	}
	if err != nil && res != nil {
		_ = res.Body.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	return sock, local, status, err
}

// Send sends a text message.
func (c *Client) Send(text string) {
	c.srv.tb.Helper()
	ctx, cancel := context.WithTimeout(c.srv.tb.Context(), Patience)
	defer cancel()
	if err := c.sock.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.srv.tb.Fatalf("emulatortest: send: %v", err)
	}
}

// SendJSON sends a value as JSON.
func (c *Client) SendJSON(v any) {
	c.srv.tb.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		c.srv.tb.Fatalf("emulatortest: send: %v", err)
	}
	c.Send(string(text))
}

// Receive waits for the next message.
func (c *Client) Receive() string {
	c.srv.tb.Helper()
	text, err := c.read(Patience)
	if err != nil {
		c.srv.tb.Fatalf("emulatortest: receive: %v", err)
	}
	return text
}

// ReceiveJSON waits for the next message and decodes it.
func (c *Client) ReceiveJSON(v any) {
	c.srv.tb.Helper()
	text := c.Receive()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		c.srv.tb.Fatalf("emulatortest: receive %q: %v", text, err)
	}
}

func (c *Client) read(wait time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(c.srv.tb.Context(), wait)
	defer cancel()
	_, data, err := c.sock.Read(ctx)
	if closed, ok := errors.AsType[websocket.CloseError](err); ok {
		c.closed = &closed
	}
	return string(data), err
}

// Closed reads on until the server closes the connection, and returns the close code and its reason.
func (c *Client) Closed() (code int, reason string) {
	c.srv.tb.Helper()
	for c.closed == nil {
		if _, err := c.read(Patience); err != nil && c.closed == nil {
			c.srv.tb.Fatalf("emulatortest: the connection was not closed: %v", err)
		}
	}
	return int(c.closed.Code), c.closed.Reason
}

// Close closes the connection as a browser does that leaves the page: with 1001 and no reason.
func (c *Client) Close() {
	_ = c.sock.Close(websocket.StatusGoingAway, "")
}

// Drop ends the connection without a word, like a network that fails.
func (c *Client) Drop() { _ = c.sock.CloseNow() }
