package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"

	"github.com/bellhop-rt/bellhop/internal/local/server"
)

type validateCommand struct {
	Parameter  map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Parameter of template.yaml, such as RateLimit=50; may be repeated."`
	Parameters string            `placeholder:"FILE" help:"File with parameters as one JSON object; - is the standard input."`
}

// Help is what --help says beneath the usage.
func (validateCommand) Help() string {
	return `The template refuses what it can by itself. The rest, such as what is in RoomKinds, is read by the functions when they
start, and a stack whose functions do not start deploys all the same: this starts them here, short of asking AWS.
make deploy runs it first.`
}

// Run checks parameters.
func (c validateCommand) Run(ctx context.Context) error { return c.validate(ctx, os.Stdin) }

func (c validateCommand) validate(ctx context.Context, in io.Reader) error {
	parameters, err := c.read(in)
	if err != nil {
		return err
	}
	return server.Validate(ctx, parameters)
}

// read gives the parameters of both flags.
func (c validateCommand) read(in io.Reader) (map[string]string, error) {
	parameters := map[string]string{}
	if c.Parameters != "" {
		if c.Parameters != "-" {
			file, err := os.Open(c.Parameters)
			if err != nil {
				return nil, fmt.Errorf("--parameters: %w", err)
			}
			defer func() { _ = file.Close() }()
			in = file
		}
		if err := json.NewDecoder(in).Decode(&parameters); err != nil {
			return nil, fmt.Errorf("--parameters %s is no JSON object of texts: %w", c.Parameters, err)
		}
	}
	maps.Copy(parameters, c.Parameter)
	return parameters, nil
}
