package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gobwas/ws"

	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// Client is a socket that looks no closer at frames than it must.
type Client struct {
	conn   net.Conn
	reader *bufio.Reader
}

// largest is the most that the clients hold of a frame: batches are 32 KB at the most.
const largest = 40 << 10

// Dial connects as a user of bellhop.v1 who may do everything.
func Dial(ctx context.Context, host string, secret []byte, user string) (*Client, error) {
	signed, err := token.Sign(secret, token.Claims{User: user, Grants: token.DevelopmentGrants(), TTL: time.Hour})
	if err != nil {
		return nil, err
	}
	return DialAt(ctx, host, "/dev", "Sec-WebSocket-Protocol: "+protocol.Name+", "+token.Bearer+signed+"\r\n")
}

// DialAt connects to a path, with further lines of a header. The deadline of ctx is the connection's.
func DialAt(ctx context.Context, host, path, header string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("%w (is bellhop dev running?)", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
		path, host, header)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("handshake: %w", err), conn.Close())
	}
	c := &Client{conn: conn, reader: bufio.NewReaderSize(conn, 1<<10)}
	res, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("handshake: %w", err), conn.Close())
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil, errors.Join(fmt.Errorf("the handshake was answered %s", res.Status), conn.Close())
	}
	return c, nil
}

// Close ends the connection without a word.
func (c *Client) Close() error { return c.conn.Close() }

// Large gives the client space for frames of any size.
func (c *Client) Large() { c.reader = bufio.NewReaderSize(c.reader, largest) }

// Send writes a message.
func (c *Client) Send(text string) error {
	b, err := ws.CompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(text))))
	if err != nil {
		return err
	}
	_, err = c.conn.Write(b)
	return err
}

// Next reads a frame. It is valid until the next one is read.
func (c *Client) Next() ([]byte, error) {
	head, err := c.reader.Peek(2)
	if err != nil {
		return nil, err
	}
	if ws.OpCode(head[0]&0xf) == ws.OpClose {
		return nil, io.EOF
	}
	size, skip := int(head[1]), 2
	if size == 126 { // frames of 64 KB and more never come here
		if head, err = c.reader.Peek(4); err != nil {
			return nil, err
		}
		size, skip = int(binary.BigEndian.Uint16(head[2:])), 4
	}
	if _, err := c.reader.Discard(skip); err != nil {
		return nil, err
	}
	frame, err := c.reader.Peek(size)
	if err != nil {
		return nil, err
	}
	_, err = c.reader.Discard(size)
	return frame, err
}

// Until reads up to a frame that holds what. A refusal is an error.
func (c *Client) Until(what string) error {
	for {
		frame, err := c.Next()
		if err != nil {
			return err
		}
		if bytes.Contains(frame, []byte(`"ok":false`)) {
			return refused(frame)
		}
		if bytes.Contains(frame, []byte(what)) {
			return nil
		}
	}
}

// refused is what a refusal means for a load.
func refused(frame []byte) error {
	if bytes.Contains(frame, []byte(protocol.CodeRateLimited)) {
		return errors.New("the server limits the rate of actions: start it with --parameter RateLimit=1000000 --parameter RateBurst=1000000")
	}
	return fmt.Errorf("the server refused: %s", frame)
}

// Join enters a room.
func (c *Client) Join(room string) error {
	if err := c.Send(`{"action":"join","id":"j","room":"` + room + `"}`); err != nil {
		return err
	}
	return c.Until(`"reply":"j"`)
}
