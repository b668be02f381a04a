package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/bellhop-rt/bellhop/internal/local/text"
)

type statsCommand struct {
	JSON bool `name:"json" help:"Print it as one JSON object."`
	emitFlags
}

// Help is what --help says beneath the usage.
func (statsCommand) Help() string {
	return `On AWS it reads the row of every connection, about 1 read unit for ten; the dashboard has the number of
the last sweep for nothing.`
}

// Run prints the numbers.
func (c statsCommand) Run(ctx context.Context) error { return c.print(ctx, text.Terminal(os.Stdout)) }

func (c statsCommand) print(ctx context.Context, w io.Writer) error {
	e, err := c.emitter(ctx)
	if err != nil {
		return err
	}
	s, err := e.Stats(ctx)
	if err != nil {
		return c.explain(err)
	}
	if c.JSON {
		return printJSON(w, s)
	}
	if s.Version != "" {
		if _, err := fmt.Fprintln(w, s.Version); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(table, "%d\t connections\n%d\t users\n", s.Connections, s.Users)
	for _, kind := range slices.Sorted(maps.Keys(s.Rooms)) {
		_, _ = fmt.Fprintf(table, "%d\t %s rooms, with %d connections in them\n", s.Rooms[kind], kind, s.Memberships[kind])
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
