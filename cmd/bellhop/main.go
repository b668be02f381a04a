// Bellhop is the command of the project: it runs everything on this machine, and talks to what runs there.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/bellhop-rt/bellhop/internal/apikey"
	"github.com/bellhop-rt/bellhop/internal/local/text"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// The exit codes.
const (
	exitFailed = 1 // it was tried and did not work
	exitUsage  = 2 // the command line does not make sense
)

type cli struct {
	Print kong.VersionFlag `name:"version" help:"Print which version this is."`

	Dev      devCommand      `cmd:"" help:"Run Bellhop on this machine: the WebSocket API, its functions and a store, with a page to try it."`
	Init     initCommand     `cmd:"" help:"Write a token route, a provider and .env.local into an application of Next.js."`
	Token    tokenCommand    `cmd:"" help:"Print a token that a client connects with."`
	Key      apikey.Command  `cmd:"" help:"Make a key for a program outside AWS, which emits by POST /emit."`
	Emit     emitCommand     `cmd:"" help:"Send an event to a room or to users, as another program would."`
	Tail     tailCommand     `cmd:"" help:"Join a room and print its events, one JSON object a line."`
	Check    checkCommand    `cmd:"" help:"Try an installation from outside, here or on AWS: the first thing to do after a deployment."`
	Validate validateCommand `cmd:"" help:"Check parameters of template.yaml before a deployment, as the functions will."`
	Stats    statsCommand    `cmd:"" help:"Count connections, users and rooms, here or on AWS."`
	Trace    traceCommand    `cmd:"" help:"Show what became of an event: logged, delivered, gone, retried."`
	Cost     costCommand     `cmd:"" help:"Price what bellhop dev has used, a recording of it, or a load that you describe."`
	Bench    benchCommand    `cmd:"" help:"Measure: connections, round trips, deliveries to a room."`
	Restore  restoreCommand  `cmd:"" help:"Copy logs from a table that was restored from a backup to the one in use."`
	Version  versionCommand  `cmd:"" help:"Print which version this is."`
}

const description = `Bellhop carries events to rooms: chat, typing, presence and notifications over WebSockets.

Start with "bellhop dev", then open http://127.0.0.1:4000/ in two windows.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	var c cli
	parser, err := kong.New(&c,
		kong.Name("bellhop"), kong.Description(description), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Vars{"secretVariable": secretVariable, "version": version()},
	)
	if err != nil {
		_, _ = fmt.Fprintln(text.Terminal(os.Stderr), "bellhop:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintf(text.Terminal(os.Stderr), "bellhop: %v\nbellhop --help says what there is.\n", err)
		return exitUsage
	}
	if err := command.Run(); err != nil {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return 0
		}
		_, _ = fmt.Fprintln(text.Terminal(os.Stderr), "bellhop:", token.Sentence(err))
		return exitFailed
	}
	return 0
}
