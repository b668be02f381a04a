// Package tail watches a room as a client does.
package tail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// Dial connects to a WebSocket URL with a token.
func Dial(ctx context.Context, address, bearer string) (*websocket.Conn, error) {
	//nolint:bodyclose // Dial's own comment: you never need to close it
	conn, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		Subprotocols: []string{protocol.Name, token.Bearer + bearer},
	})
	if response != nil && response.StatusCode == http.StatusUnauthorized {
		return nil, errors.New("the server refused the token: is it signed with the same secret?")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot reach %s: %w (is bellhop dev running?)", address, err)
	}
	conn.SetReadLimit(protocol.MaxServerFrame)
	return conn, nil
}

// Follow joins a room and gives its events, each as the JSON that came, until ctx is done. A refused join is an error.
func Follow(ctx context.Context, address, bearer, room string, joined func(), each func(event []byte) error) error {
	conn, err := Dial(ctx, address, bearer)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	join := fmt.Appendf(nil, `{"action":"join","id":"tail","room":%q}`, room)
	if err := conn.Write(ctx, websocket.MessageText, join); err != nil {
		return fmt.Errorf("join %s: %w", room, err)
	}
	for {
		_, frame, err := conn.Read(ctx)
		if ctx.Err() != nil {
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return ctx.Err()
		}
		if code := websocket.CloseStatus(err); code != -1 {
			return fmt.Errorf("the server has closed the connection, with %d", code)
		}
		if err != nil {
			return fmt.Errorf("the connection ended: %w", err)
		}
		if err := read(frame, room, joined, each); err != nil {
			return err
		}
	}
}

func read(frame []byte, room string, joined func(), each func(event []byte) error) error {
	var f struct {
		Event string            `json:"event"`
		Room  string            `json:"room"`
		Batch []json.RawMessage `json:"batch"`
		Reply string            `json:"reply"`
		Error *struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(frame, &f); err != nil {
		return fmt.Errorf("the server sent no JSON: %w", err)
	}
	for _, inner := range f.Batch {
		if err := read(inner, room, joined, each); err != nil {
			return err
		}
	}
	switch {
	case f.Error != nil:
		return fmt.Errorf("%s: %s", f.Error.Code, f.Error.Message)
	case f.Reply != "":
		joined()
	case f.Event != "" && (f.Room == room || f.Room == ""):
		return each(frame)
	}
	return nil
}
