package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/smoke"
	"github.com/bellhop-rt/bellhop/internal/local/stack"
	"github.com/bellhop-rt/bellhop/internal/local/text"
)

type checkCommand struct {
	Token     []string      `placeholder:"TOKEN" sep:"none" help:"Token to connect with; repeated, tokens of other users, without whom presence is not tried. Default: some that are signed with --jwt-secret or the stack's secret."`
	JSON      bool          `name:"json" help:"Print the report as one JSON object."`
	Room      string        `placeholder:"ROOM" help:"Room to meet in. Default: a new channel."`
	Community string        `placeholder:"ROOM" help:"Room with presence to meet in. Default: a new community."`
	Crowd     int           `placeholder:"N" default:"-1" help:"Connections to fill a room with that is served by the queue; 0: none. Default: InlineLimit and 20."`
	Rounds    int           `default:"20" help:"How often latencies are measured."`
	Patience  time.Duration `default:"20s" help:"How long to wait for what should come at once."`
	Bus       string        `placeholder:"NAME" help:"Event bus to emit by, where --stack or the address does not tell."`
	installation
	secretFlag
}

// Help is what --help says beneath the usage.
func (checkCommand) Help() string {
	return `It connects as a few users, joins rooms of its own, and exits with 1 if something does not work as it should.

  bellhop check                                  # bellhop dev on this machine
  bellhop check --stack bellhop-dev              # a stack: all of it, with tokens signed with its secret
  bellhop check wss://… --token "$T1" --token "$T2"`
}

// errCheck: what failed is printed already.
var errCheck = errors.New("not everything works")

// Run checks and prints.
func (c checkCommand) Run(ctx context.Context) error { return c.check(ctx, text.Terminal(os.Stdout)) }

func (c checkCommand) check(ctx context.Context, w io.Writer) error {
	s, err := c.find(ctx, "http://127.0.0.1:4000")
	if err != nil {
		return err
	}
	if c.Bus != "" {
		s.Bus = c.Bus
	}
	tokens, err := c.tokens(ctx, s)
	if err != nil {
		return err
	}
	check := smoke.Check{
		Stack: s, Tokens: tokens, Room: c.Room, Community: c.Community, Rounds: c.Rounds, Patience: c.Patience,
	}
	switch {
	case c.Crowd == 0:
		check.Crowd = -1
	case c.Crowd > 0:
		check.Crowd = c.Crowd
	}
	if c.JSON {
		report := check.Run(ctx)
		if err := printJSON(w, report); err != nil {
			return err
		}
		return verdict(report)
	}
	out := printer{text.Page{W: w}}
	out.linef("%s", s.Address)
	if s.Unseen != nil {
		out.linef("nothing else is known of it: %v", s.Unseen)
	}
	check.Told = out.step
	report := check.Run(ctx)
	out.latencies(report.Latencies)
	out.linef("\n%s", report.Summary())
	return errors.Join(verdict(report), out.Err)
}

// tokens are those that are given, or made with the secret; nil: only somebody else can make them, with a key set.
func (c checkCommand) tokens(ctx context.Context, s *stack.Stack) (smoke.Tokens, error) {
	if len(c.Token) > 0 {
		return smoke.Given(c.Token)
	}
	secret, err := c.secretOf(ctx, s)
	if err != nil || secret == nil {
		return nil, err
	}
	return smoke.Signed(s, secret), nil
}

func verdict(r smoke.Report) error {
	if r.OK {
		return nil
	}
	return errCheck
}

// printer prints what a check tells.
type printer struct{ text.Page }

func (p *printer) linef(format string, args ...any) { p.Sayf(format+"\n", args...) }

func (p *printer) step(s smoke.Step) {
	mark := map[smoke.Status]string{smoke.OK: "ok", smoke.Failed: "FAILED", smoke.Skipped: "skipped"}[s.Status]
	p.linef("%s", strings.TrimRight(fmt.Sprintf("%-8s %-42s %8s  %s", mark, s.Name, milliseconds(s.Ms), s.Detail), " "))
	if s.Look != "" {
		p.linef("         look at %s", s.Look)
	}
}

func (p *printer) latencies(list []smoke.Latency) {
	if len(list) == 0 {
		return
	}
	p.linef("\n%6s %8s %8s", "times", "p50", "p95")
	for _, l := range list {
		p.linef("%6d %8s %8s  %s", l.Count, milliseconds(l.P50), milliseconds(l.P95), l.Name)
	}
}

func milliseconds(ms float64) string {
	switch {
	case ms < 1:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms >= 10_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
	return fmt.Sprintf("%.0f ms", ms)
}
