package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/local/text"
)

type costCommand struct {
	File string `arg:"" optional:"" type:"path" help:"What was recorded by bellhop dev --record FILE, or saved from /_bellhop/cost. Without it and without a load: what bellhop dev has used so far."`
	cost.Flags
	JSON bool `name:"json" help:"Print JSON."`
	endpointFlag
}

// Help is what --help says beneath the usage.
func (costCommand) Help() string {
	return `What AWS would bill, at list prices, line by line; and what other services would take for the same load.

  bellhop cost                                  what bellhop dev has used, and a month of that
  bellhop cost run.json --hours 8               the same of bellhop dev --record run.json
  bellhop cost run.json --stands-for 24h        the same of a run that did a day's work in less
  bellhop cost --users 1000 --hours 8 --rooms 50 --messages 20
  bellhop cost --joined 3 --rooms 60 --messages 1.25 --presence --hidden 0.5

A load is taken to have everybody in a room there at the same time, a reconnect every two hours, the pings of @bellhop/client, a
reply to every message. Members beyond 200 of a room are served by the queue.`
}

// Run prints the bill.
func (c costCommand) Run(ctx context.Context) error { return c.print(ctx, text.Terminal(os.Stdout)) }

func (c costCommand) print(ctx context.Context, w io.Writer) error {
	if l, described := c.Load(); described {
		if c.File != "" || c.StandsFor != 0 {
			return errors.New("give either a recording or a load")
		}
		if err := l.Check(); err != nil {
			return fmt.Errorf("this load makes no sense: %w", err)
		}
		if c.JSON {
			return printJSON(w, map[string]any{"load": l, "flows": l.Flows(), "usage": l.Usage(), "month": l.Usage().BillOfMonth(), "peers": cost.Peers(l), "prices": cost.Prices()})
		}
		return l.Print(w)
	}
	pace := c.Pace()
	if err := pace.Check(); err != nil {
		return err
	}
	r, err := c.report(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		r.Month = r.InAMonth(pace).BillOfMonth()
		return printJSON(w, r)
	}
	return r.Print(w, pace)
}

// report reads a recording, or asks the server.
func (c costCommand) report(ctx context.Context) (r cost.Report, err error) {
	if c.File == "" {
		return r, console.Fetch(ctx, string(c.Endpoint), "/_bellhop/cost", &r)
	}
	b, err := os.ReadFile(c.File)
	if err != nil {
		return r, fmt.Errorf("read recording: %w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil || r.Began.IsZero() {
		return r, fmt.Errorf("%s is no recording of bellhop dev --record", c.File)
	}
	return r, nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
