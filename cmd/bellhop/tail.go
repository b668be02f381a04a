package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/local/stack"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/token"
)

type tailCommand struct {
	Room  string `required:"" help:"Room to watch, such as channel:42. A room user:<id> is watched as that user."`
	User  string `default:"bellhop-tail" help:"User to join as; in rooms with presence others see it."`
	Token string `help:"Token to join with. Default: one for --user, signed with the secret, or with the stack's own."`
	installation
	endpointFlag
	secretFlag
}

// Help is what --help says beneath the usage.
func (tailCommand) Help() string {
	return `Runs until it is interrupted; Ctrl-C ends it. Events that happened before are not printed.

  bellhop tail --room channel:42 | jq .data
  bellhop tail --stack bellhop-dev --room channel:42`
}

// Run prints the events of a room.
func (c tailCommand) Run(ctx context.Context) error { return c.follow(ctx, os.Stdout) }

func (c tailCommand) follow(ctx context.Context, w io.Writer) error {
	if err := protocol.CheckRoom(c.Room); err != nil {
		return err
	}
	s, err := c.find(ctx, c.Endpoint)
	if err != nil {
		return err
	}
	bearer, err := c.bearer(ctx, s)
	if err != nil {
		return err
	}
	conn, err := dial(ctx, s.Address, bearer)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	join := fmt.Appendf(nil, `{"action":"join","id":"tail","room":%q}`, c.Room)
	if err := conn.Write(ctx, websocket.MessageText, join); err != nil {
		return fmt.Errorf("join %s: %w", c.Room, err)
	}
	for {
		_, frame, err := conn.Read(ctx)
		if ctx.Err() != nil {
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("the connection ended: %w", err)
		}
		if err := printEvents(w, c.Room, frame); err != nil {
			return err
		}
	}
}

// bearer is the token to join with.
func (c tailCommand) bearer(ctx context.Context, s *stack.Stack) (string, error) {
	if c.Token != "" {
		return c.Token, nil
	}
	secret, err := c.secretOf(ctx, s)
	switch {
	case err != nil:
		return "", err
	case secret == nil && c.given():
		return "", errors.New("give a --token to join with, or the secret that signs them")
	case secret == nil:
		secret = []byte(token.DevelopmentSecret)
	}
	claims := token.Claims{
		User: c.User, Grants: token.DevelopmentGrants(), TTL: 24 * time.Hour,
		Issuer: s.Parameters["JwtIssuer"], Audience: s.Parameters["JwtAudience"],
	}
	if user, own := strings.CutPrefix(c.Room, "user:"); own {
		claims.User = user
	}
	return token.Sign(secret, claims)
}

func dial(ctx context.Context, address, bearer string) (*websocket.Conn, error) {
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

// printEvents prints the events of a frame. A refused join is an error.
func printEvents(w io.Writer, room string, frame []byte) error {
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
		if err := printEvents(w, room, inner); err != nil {
			return err
		}
	}
	switch {
	case f.Error != nil:
		return fmt.Errorf("%s: %s", f.Error.Code, f.Error.Message)
	case f.Reply != "":
		fmt.Fprintln(os.Stderr, "watching", room)
	case f.Event != "" && (f.Room == room || f.Room == ""):
		if _, err := fmt.Fprintf(w, "%s\n", frame); err != nil {
			return fmt.Errorf("print event: %w", err)
		}
	}
	return nil
}
