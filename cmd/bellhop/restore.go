package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/bellhop-rt/bellhop/internal/local/text"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
)

type restoreCommand struct {
	From  string   `required:"" placeholder:"TABLE" help:"Table that was restored from a backup."`
	To    string   `required:"" placeholder:"TABLE" help:"Table in use (the output TableName)."`
	Rooms []string `name:"room" placeholder:"ROOM" sep:"none" help:"Room to restore; may be repeated. Default: all that have no log in --to."`
}

// Help is what --help says beneath the usage.
func (restoreCommand) Help() string {
	return "It copies what was said, not who was there. RUNBOOK.md has all of the steps."
}

// Run copies logs.
func (c restoreCommand) Run(ctx context.Context) error { return c.copy(ctx, text.Terminal(os.Stdout)) }

func (c restoreCommand) copy(ctx context.Context, w io.Writer) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("load AWS configuration: %w", err)
	}
	var wanted func(string) bool
	if len(c.Rooms) > 0 {
		wanted = func(room string) bool { return slices.Contains(c.Rooms, room) }
	}
	n, err := dynamo.Restore(ctx, dynamo.NewClient(cfg), c.From, c.To, wanted)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%d rows\n", n)
	return err
}
