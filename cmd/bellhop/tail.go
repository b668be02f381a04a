package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/stack"
	"github.com/bellhop-rt/bellhop/internal/local/tail"
	"github.com/bellhop-rt/bellhop/internal/local/text"
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
func (c tailCommand) Run(ctx context.Context) error { return c.follow(ctx, text.Terminal(os.Stdout)) }

func (c tailCommand) follow(ctx context.Context, w io.Writer) error {
	if err := protocol.CheckRoom(c.Room); err != nil {
		return err
	}
	s, err := c.find(ctx, string(c.Endpoint))
	if err != nil {
		return err
	}
	bearer, err := c.bearer(ctx, s)
	if err != nil {
		return err
	}
	joined := func() { _, _ = fmt.Fprintln(text.Terminal(os.Stderr), "watching", c.Room) }
	return tail.Follow(ctx, s.Address, bearer, c.Room, joined, func(frame []byte) error {
		if _, err := fmt.Fprintf(w, "%s\n", frame); err != nil {
			return fmt.Errorf("print event: %w", err)
		}
		return nil
	})
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
