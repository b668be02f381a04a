package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/bellhop-rt/bellhop/internal/local/stack"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// installation is what a command talks to, wherever it is.
type installation struct {
	Address string `arg:"" optional:"" help:"WebSocket URL of a stage, such as wss://abc123.execute-api.eu-west-1.amazonaws.com/dev. Default: bellhop dev on this machine."`
	Stack   string `placeholder:"NAME" help:"CloudFormation stack, instead of an address. Credentials and region are those of the AWS CLI."`
}

// find looks at it, or at another address where none is given.
func (i installation) find(ctx context.Context, otherwise string) (*stack.Stack, error) {
	return stack.Find(ctx, cmp.Or(i.Address, otherwise), i.Stack)
}

// given says that it was said which it is.
func (i installation) given() bool { return i.Address+i.Stack != "" }

// secretOf is the secret that an installation trusts: the one that is given, the stack's own, or, of bellhop dev, the well-known one.
// It is nil where a key set is trusted, or nothing is known of it.
func (f secretFlag) secretOf(ctx context.Context, s *stack.Stack) ([]byte, error) {
	switch {
	case f.JWTSecret != "":
		return []byte(f.JWTSecret), nil
	case s.Dev:
		return []byte(token.DevelopmentSecret), nil
	}
	secret, err := s.Secret(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w (or give --token)", err)
	}
	return secret, nil
}
