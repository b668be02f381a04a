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
)

type costCommand struct {
	File     string   `arg:"" optional:"" type:"path" help:"What was recorded by bellhop dev --record FILE, or saved from /_bellhop/cost. Without it and without a load: what bellhop dev has used so far."`
	Users    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Users who are connected on a day. Default: 1000."`
	Hours    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Hours of a day that each is connected. Default: 8. For a recording: hours of a day that it goes on like this, 24."`
	Rooms    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Rooms in all. Default: 50. A room has USERS × JOINED / ROOMS members."`
	Messages *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Messages that each user sends in an hour. Default: 20."`
	Joined   *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Rooms that each user is in. Default: 1."`
	Typing   *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Typing signals that go with each message, to every other member. Default: 1; a client sends one for every 3 seconds of typing."`
	Bytes    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Size of a message's frame. Default: 300."`
	Days     *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Days of a month. Default: 30."`
	LambdaMs *float64 `name:"lambda-ms" group:"A load, instead of a recording" placeholder:"N" help:"Milliseconds of an invocation without its pushes. Default: 25, a guess: five requests to DynamoDB."`
	PushMs   *float64 `name:"push-ms" group:"A load, instead of a recording" placeholder:"N" help:"Milliseconds of a push; 64 are on the way at the same time. Default: 10, a guess."`
	JSON     bool     `name:"json" help:"Print JSON."`
	endpointFlag
}

// Help is what --help says beneath the usage.
func (costCommand) Help() string {
	return `What AWS would bill, at list prices, line by line; and what other services would take for the same load.

  bellhop cost                                  what bellhop dev has used, and a month of that
  bellhop cost run.json --hours 8               the same of bellhop dev --record run.json
  bellhop cost --users 1000 --hours 8 --rooms 50 --messages 20

A load is taken to have everybody in a room there at the same time, a reconnect every two hours, a ping every nine
minutes, a reply to every message, and no presence. Members beyond 200 of a room are served by the queue.`
}

// Run prints the bill.
func (c costCommand) Run(ctx context.Context) error { return c.print(ctx, os.Stdout) }

// described reports whether the flags describe a load. --hours alone does not.
func (c costCommand) described() bool {
	for _, f := range []*float64{c.Users, c.Rooms, c.Messages, c.Joined, c.Typing, c.Bytes, c.Days, c.LambdaMs, c.PushMs} {
		if f != nil {
			return true
		}
	}
	return false
}

func (c costCommand) load() cost.Load {
	l := cost.DefaultLoad()
	for to, from := range map[*float64]*float64{
		&l.Users: c.Users, &l.Hours: c.Hours, &l.Rooms: c.Rooms, &l.Messages: c.Messages, &l.Joined: c.Joined,
		&l.Typing: c.Typing, &l.Bytes: c.Bytes, &l.Days: c.Days, &l.LambdaMs: c.LambdaMs, &l.PushMs: c.PushMs,
	} {
		if from != nil {
			*to = *from
		}
	}
	return l
}

func (c costCommand) print(ctx context.Context, w io.Writer) error {
	if c.described() {
		if c.File != "" {
			return errors.New("give either a recording or a load")
		}
		l := c.load()
		if err := l.Check(); err != nil {
			return fmt.Errorf("this load makes no sense: %w", err)
		}
		if c.JSON {
			return printJSON(w, map[string]any{"load": l, "flows": l.Flows(), "usage": l.Usage(), "month": l.Usage().BillOfMonth(), "peers": cost.Peers(l), "prices": cost.Prices()})
		}
		return l.Print(w)
	}
	r, err := c.report(ctx)
	if err != nil {
		return err
	}
	hours := 24.0
	if c.Hours != nil {
		hours = *c.Hours
	}
	if hours < 0 || hours > 24 {
		return fmt.Errorf("a day has no %g hours", hours)
	}
	if c.JSON {
		r.Month = r.InAMonth(hours).BillOfMonth()
		return printJSON(w, r)
	}
	return r.Print(w, hours)
}

// report reads a recording, or asks the server.
func (c costCommand) report(ctx context.Context) (r cost.Report, err error) {
	if c.File == "" {
		return r, console.Fetch(ctx, c.Endpoint, "/_bellhop/cost", &r)
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
