package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/bellhop-rt/bellhop/emitter"
	"github.com/bellhop-rt/bellhop/emitter/vialambda"
	"github.com/bellhop-rt/bellhop/internal/local/asyncapi"
	"github.com/bellhop-rt/bellhop/internal/local/stack"
	"github.com/bellhop-rt/bellhop/internal/local/text"
)

// endpointFlag is where the development server is.
type endpointFlag struct {
	Endpoint stack.Endpoint `default:"http://127.0.0.1:4000" help:"Where bellhop dev listens."`
}

type emitCommand struct {
	Rooms     []string `name:"room" placeholder:"ROOM" sep:"none" help:"Room to send to, such as channel:42; may be repeated."`
	Users     []string `name:"user" placeholder:"USER" sep:"none" help:"User to send to, on all devices; may be repeated."`
	All       bool     `help:"Send to every user who is connected: it is logged in the room of each."`
	Event     string   `required:"" help:"Name of the event, such as message:new or notification:new."`
	Data      string   `placeholder:"JSON" help:"What the event carries, such as '{\"content\":\"hi\"}'."`
	ID        string   `name:"id" help:"Id of the event: sent again with the same id, it is not logged again. Default: random."`
	From      string   `placeholder:"USER" help:"User that the event is from. Default: nobody."`
	Strict    bool     `help:"Refuse data that does not fit the event's schema, which /_bellhop/api shows, instead of warning."`
	Ephemeral bool     `help:"Do not log it: who is not connected now never sees it."`
	emitFlags
}

// emitFlags say which installation is talked to, as another program would.
type emitFlags struct {
	installation
	endpointFlag
	Function string `placeholder:"NAME" help:"Name or ARN of the emit function on AWS (the output EmitFunctionName), instead of --endpoint. Credentials and region are those of the AWS CLI."`
}

func (f emitFlags) emitter(ctx context.Context) (*emitter.Emitter, error) {
	if f.given() {
		s, err := f.find(ctx, "")
		if err != nil {
			return nil, err
		}
		return s.Emitter()
	}
	if f.Function == "" {
		return emitter.New(emitter.HTTP(string(f.Endpoint), &http.Client{Timeout: 30 * time.Second})), nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load AWS configuration: %w", err)
	}
	return emitter.New(vialambda.New(lambda.NewFromConfig(cfg), f.Function)), nil
}

// explain says an error of a call in words for a terminal.
func (f emitFlags) explain(err error) error {
	if refused, ok := errors.AsType[*emitter.Error](err); ok {
		return fmt.Errorf("%s (%s)", refused.Message, refused.Code)
	}
	if err != nil && f.Function == "" && !f.given() {
		return fmt.Errorf("%w (is bellhop dev running?)", err)
	}
	return err
}

// Help is what --help says beneath the usage.
func (emitCommand) Help() string {
	return `Examples:

  bellhop emit --room channel:42 --event message:new --data '{"content":"hi"}'
  bellhop emit --user ana --event notification:new --data '{"title":"Hello"}'

It prints where the event was logged. On AWS, give --stack, an address or --function; programs do the same by an AWS SDK, or use the queue.`
}

// check holds the data of an event that the system defines against its schema: a client that reads data.content of every
// message would stumble over one without.
func (c emitCommand) check() error {
	schemas, err := asyncapi.Compile()
	if err != nil {
		return err
	}
	if err := schemas.Data(c.Event, json.RawMessage(c.Data)); err != nil {
		return fmt.Errorf("%s is not what clients expect of %s: %w", cmp.Or(c.Data, "no data"), c.Event, err)
	}
	return nil
}

// Run sends the event.
func (c emitCommand) Run(ctx context.Context) error { return c.send(ctx, text.Terminal(os.Stdout)) }

func (c emitCommand) send(ctx context.Context, w io.Writer) error {
	if (len(c.Rooms)+len(c.Users) == 0) != c.All {
		return errors.New("say whom to send to: --room channel:42, --user ana, or --all alone")
	}
	p := emitter.Publish{Rooms: c.Rooms, Users: c.Users, All: c.All, Event: c.Event, ID: c.ID, Ephemeral: c.Ephemeral}
	if c.Data != "" {
		if !json.Valid([]byte(c.Data)) {
			return fmt.Errorf(`--data is not JSON: %s (strings need their quotes: '"hi"')`, c.Data)
		}
		p.Data = json.RawMessage(c.Data)
	}
	if err := c.check(); err != nil {
		if c.Strict {
			return err
		}
		_, _ = fmt.Fprintln(text.Terminal(os.Stderr), "bellhop: warning:", err)
	}
	if c.From != "" {
		p.From = &emitter.From{UserID: c.From}
	}
	e, err := c.emitter(ctx)
	if err != nil {
		return err
	}
	result, err := e.Publish(ctx, p)
	if err != nil {
		return c.explain(err)
	}
	enc := json.NewEncoder(w)
	if c.All {
		return enc.Encode(map[string]any{"id": result.ID, "reached": result.Reached})
	}
	for _, r := range result.Results {
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("print result: %w", err)
		}
	}
	return nil
}
