package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/text"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// secretVariable is the environment variable of --jwt-secret.
const secretVariable = "BELLHOP_JWT_SECRET" //nolint:gosec // the name of a variable, not a secret

// secretFlag is the secret that the development server and the tokens for it share.
type secretFlag struct {
	JWTSecret string `name:"jwt-secret" env:"${secretVariable}" placeholder:"SECRET" help:"Secret of 32 bytes or more that signs tokens (HS256), instead of the well-known one for development. Also from $$${env}."`
}

func (f secretFlag) secret() []byte {
	if f.JWTSecret == "" {
		return []byte(token.DevelopmentSecret)
	}
	return []byte(f.JWTSecret)
}

type tokenCommand struct {
	User   string        `required:"" help:"Who the token is for: the user's id."`
	Name   string        `help:"Name that others see. Default: the id."`
	Grants []string      `name:"grant" sep:"none" placeholder:"ROOMS=WHAT" help:"What it allows, such as 'channel:*=join,publish'; may be repeated; 'none' for nothing. WHAT is join, publish, signal, moderate. Default: all, everywhere."`
	TTL    time.Duration `name:"ttl" default:"12h" help:"How long it is valid, such as 30m."`
	secretFlag
}

// Help is what --help says beneath the usage.
func (tokenCommand) Help() string {
	return `The token goes into the subprotocols of the WebSocket, "bellhop.v1, bearer.<token>", or into the URL, ?token=<token>.

  bellhop token --user ana --name Ana
  bellhop token --user bob --grant 'channel:*=join,publish' --grant 'channel:42=moderate'`
}

// Run prints the token.
func (c tokenCommand) Run() error { return c.print(text.Terminal(os.Stdout)) }

func (c tokenCommand) print(w io.Writer) error {
	grants, err := parseGrantFlags(c.Grants)
	if err != nil {
		return err
	}
	if c.Name == "" {
		c.Name = c.User
	}
	signed, err := token.Sign(c.secret(), token.Claims{User: c.User, Name: c.Name, Grants: grants, TTL: c.TTL})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, signed)
	return err
}

func parseGrantFlags(flags []string) (hub.Grants, error) {
	if len(flags) == 0 {
		return token.DevelopmentGrants(), nil
	}
	grants := hub.Grants{}
	if len(flags) == 1 && flags[0] == "none" {
		return grants, nil
	}
	for _, f := range flags {
		rooms, what, ok := strings.Cut(f, "=")
		if !ok || rooms == "" || what == "" {
			return nil, errors.New(`--grant must look like 'channel:*=join,publish', not '` + f + `'`)
		}
		grants[rooms] = append(grants[rooms], strings.Split(what, ",")...)
	}
	return grants, nil
}
