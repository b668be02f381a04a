package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/local/text"
	"github.com/bellhop-rt/bellhop/internal/local/trace"
)

type traceCommand struct {
	ID   string `arg:"" optional:"" help:"Id of an event. Without it the newest events are listed."`
	All  bool   `help:"List every connection, however many."`
	JSON bool   `name:"json" help:"Print JSON."`
	endpointFlag
}

// Help is what --help says beneath the usage.
func (traceCommand) Help() string {
	return `What became of an event: when it was received and logged, whom it was pushed to, who was gone, what was left to the
queue. bellhop dev remembers the newest 2,000 logged events.

  bellhop trace
  bellhop trace 01JD3Z…`
}

// Run prints the timeline.
func (c traceCommand) Run(ctx context.Context) error { return c.print(ctx, text.Terminal(os.Stdout)) }

func (c traceCommand) print(ctx context.Context, w io.Writer) error {
	path := "/_bellhop/traces"
	if c.ID != "" {
		path = "/_bellhop/trace/" + url.PathEscape(c.ID)
	}
	var list []trace.Trace
	if err := console.Fetch(ctx, string(c.Endpoint), path, &list); err != nil {
		return err
	}
	p := &text.Page{W: w}
	switch {
	case c.JSON:
		return printJSON(w, list)
	case c.ID == "":
		c.list(p, list)
	default:
		for i, t := range list {
			if i > 0 {
				p.Sayf("\n")
			}
			c.timeline(p, t)
		}
	}
	return p.Err
}

func (c traceCommand) list(p *text.Page, list []trace.Trace) {
	if len(list) == 0 {
		p.Sayf("no event was logged yet\n")
		return
	}
	rows := [][]string{{"room", ">seq", "event", "from", "what became of it", "id"}}
	for _, t := range list {
		rows = append(rows, []string{t.Room, fmt.Sprintf(">%d", t.Seq), t.Event, t.From, counts(t), t.ID})
	}
	p.Table(rows)
}

// counts says in words what became of an event.
func counts(t trace.Trace) string {
	var parts []string
	for _, what := range []trace.Outcome{trace.Delivered, trace.Gone, trace.Throttled, trace.Failed, trace.Queued, trace.Retried, trace.Again} {
		switch n := t.Counts[what]; {
		case n == 0:
		case what == trace.Again:
			parts = append(parts, fmt.Sprintf("sent again %s", text.Plural(n, "time")))
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	if len(parts) == 0 {
		return "nobody was there"
	}
	return strings.Join(parts, ", ")
}

// shownInARow is how many deliveries in a row are listed; more are one line.
const shownInARow = 8

func (c traceCommand) timeline(p *text.Page, t trace.Trace) {
	p.Sayf("%s in %s, seq %d", t.Event, t.Room, t.Seq)
	if t.Epoch != "" { // unknown where the functions are in other processes
		p.Sayf(" of epoch %s", t.Epoch)
	}
	if t.From != "" {
		p.Sayf(", from %s", t.From)
	}
	p.Sayf("\nid %s\n\n", t.ID)
	var rows [][]string
	for i := 0; i < len(t.Steps); {
		n := 1
		for i+n < len(t.Steps) && t.Steps[i].What == trace.Delivered && t.Steps[i+n].What == trace.Delivered {
			n++
		}
		if n <= shownInARow || c.All {
			for _, s := range t.Steps[i : i+n] {
				rows = append(rows, []string{clockTime(s.At), after(s), string(s.What), about(s)})
			}
		} else {
			first, last := t.Steps[i], t.Steps[i+n-1]
			rows = append(rows, []string{
				clockTime(first.At), after(first), string(first.What), fmt.Sprintf("%d connections, the last after %.1f ms (--all lists them)", n, last.AfterMs),
			})
		}
		i += n
	}
	p.Table(rows)
	p.Sayf("\n%s\n", counts(t))
	if t.Unlisted > 0 {
		p.Sayf("%s more %s counted and not listed\n", cost.Amount(float64(t.Unlisted)), map[bool]string{true: "step is", false: "steps are"}[t.Unlisted == 1])
	}
}

func clockTime(at time.Time) string { return at.Local().Format("15:04:05.000") }

func after(s trace.Step) string { return fmt.Sprintf(">+%.1f ms", s.AfterMs) }

// about is who and what a step is about.
func about(s trace.Step) string {
	var parts []string
	for _, text := range []string{s.User, s.Connection, s.Detail} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, "  ")
}
