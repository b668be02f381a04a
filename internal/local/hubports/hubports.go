// Package hubports is the hub's ports on the emulator, in one process and without HTTP between them: what internal/aws is in a Lambda.
// Pushes go to the gateway, jobs to a queue, facts to an event bus.
package hubports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/bellhop-rt/bellhop/internal/aws/eventbridge"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/buses"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
)

// AWS is the hub's ports on an emulator, which may be put in after the hub was made.
type AWS struct {
	Emulator *emulator.Emulator
	Queue    string // logical id of the queue that jobs go to
	Bus      string // name of the event bus that facts go to
}

var (
	_ hub.Preparer = (*AWS)(nil)
	_ hub.Queue    = (*AWS)(nil)
	_ hub.Bus      = (*AWS)(nil)
)

func (a *AWS) Push(ctx context.Context, connection string, frame []byte) error {
	return AsHub(a.Emulator.Gateway.Post(ctx, connection, frame))
}

func (a *AWS) Prepare(frame []byte) func(ctx context.Context, connection string) error {
	wire := gateway.NewFrame(frame)
	return func(ctx context.Context, connection string) error {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("post to %s: %w", connection, err)
		}
		return AsHub(a.Emulator.Gateway.PostFrame(connection, wire))
	}
}

func (a *AWS) Close(ctx context.Context, connection string) error {
	return AsHub(a.Emulator.Gateway.Disconnect(ctx, connection))
}

func (a *AWS) Alive(_ context.Context, connection string) (bool, error) {
	_, err := a.Emulator.Gateway.Connection(connection)
	err = AsHub(err)
	if errors.Is(err, hub.ErrGone) {
		return false, nil
	}
	return err == nil, err
}

// AsHub says an error of the management API in the hub's words.
func AsHub(err error) error {
	e, ok := errors.AsType[*awserr.Error](err)
	if !ok {
		return err
	}
	switch e.Status {
	case http.StatusGone, http.StatusBadRequest:
		return hub.ErrGone
	case http.StatusTooManyRequests:
		return hub.ErrThrottled
	case http.StatusRequestEntityTooLarge:
		return hub.ErrTooLarge
	}
	return err
}

func (a *AWS) Tell(_ context.Context, f hub.Fact) error {
	detail, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode fact: %w", err)
	}
	_, err = a.Emulator.Buses.Put(buses.Event{
		Bus: a.Bus, Source: eventbridge.Source, DetailType: string(f.Type), Detail: detail, Time: time.UnixMilli(f.Time),
	})
	return err
}

// Backlog is a queue, by its logical id, that functions of this process work off.
type Backlog struct {
	AWS   *AWS
	Queue string
}

// Return is route.Backlog's.
func (b Backlog) Return(_ context.Context, receipt string, after time.Duration) error {
	return b.AWS.Emulator.Queues.ChangeVisibility(b.Queue, receipt, after)
}

func (a *AWS) Enqueue(ctx context.Context, job hub.Job, delay time.Duration) error {
	body, err := job.Encode()
	if err != nil {
		return err
	}
	err = a.Emulator.Queues.Send(ctx, a.Queue, string(body), delay)
	if api, is := errors.AsType[*awserr.Error](err); is && api.Status == http.StatusServiceUnavailable {
		return fmt.Errorf("%w: %w", hub.ErrUnavailable, err)
	}
	return err
}
