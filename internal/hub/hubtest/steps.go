package hubtest

import (
	"context"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/store/around"
)

// Step is called in the place of each call that a hub makes of its store, its queue and its pusher: it makes the call by do, or
// does not, or does something else before or after it. Its error is the call's; [ErrLost] after do is an answer that was lost.
type Step func(ctx context.Context, name string, do func() error) error

// Around puts a step around the ports of a hub.
func Around(step Step) func(*hub.Config) {
	return func(c *hub.Config) {
		c.Store = around.New(c.Store, func(ctx context.Context, call *around.Call, do func() error) error { return step(ctx, call.Name, do) })
		c.Queue = queueSteps{c.Queue, step}
		c.Pusher = pusherSteps{c.Pusher, step}
	}
}

type queueSteps struct {
	hub.Queue
	step Step
}

func (q queueSteps) Enqueue(ctx context.Context, job hub.Job, delay time.Duration) error {
	return q.step(ctx, "Enqueue", func() error { return q.Queue.Enqueue(ctx, job, delay) })
}

type pusherSteps struct {
	hub.Pusher
	step Step
}

func (p pusherSteps) Push(ctx context.Context, connection string, frame []byte) error {
	return p.step(ctx, "Push", func() error { return p.Pusher.Push(ctx, connection, frame) })
}

func (p pusherSteps) Close(ctx context.Context, connection string) error {
	return p.step(ctx, "Close", func() error { return p.Pusher.Close(ctx, connection) })
}
