package cost

import (
	"cmp"
	"context"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// A meter is a hub.Observer that divides what is used among rooms, users and events. What is pushed is not added to the total by it: the
// gateway tells of every push, also of those that are about no event.
var _ hub.Observer = (*Meter)(nil)

// Logged says what an invocation is about.
func (m *Meter) Logged(ctx context.Context, e hub.Entry, _ bool) {
	user := ""
	if e.From != nil {
		user = e.From.UserID
	}
	VisitOf(ctx).About(e.Room, user, e.Event.Event, false)
}

// Spared counts what a lever of the owner's has spared.
func (m *Meter) Spared(_ context.Context, why hub.Sparing, _ string, messages int) {
	m.spare(lever(why), int64(messages))
}

// Pushed divides a delivery. Where several events are one frame, it is on the bill of the first.
func (m *Meter) Pushed(ctx context.Context, d hub.Delivery) {
	each := make([]Delta, len(d.Events))
	for _, to := range d.To {
		if to.Err != nil {
			continue
		}
		for i, frame := range to.Frames {
			if len(to.Frames) != len(each) {
				i = 0
			}
			each[i].MessagesOut += Messages(len(frame))
			each[i].BytesOut += int64(len(frame))
		}
		m.together(d.Events, len(to.Frames))
	}
	for i, e := range d.Events {
		room, user := cmp.Or(d.Room, e.Room), ""
		if e.From != nil {
			user = e.From.UserID
		}
		VisitOf(ctx).About(room, user, e.Event, false)
		if each[i] == (Delta{}) { // nobody took it, or it was in the frame of the first
			continue
		}
		m.Room(room).Add(each[i])
		m.User(user).Add(each[i])
		m.Event(e.Event).Add(each[i])
	}
}

// together counts what is spared where several events are fewer frames, of one connection.
func (m *Meter) together(events []protocol.Event, frames int) {
	if frames == 0 || frames >= len(events) {
		return
	}
	lazy := int64(0)
	for _, e := range events {
		if hub.Waits(e.Event) {
			lazy++
		}
	}
	spared := int64(len(events) - frames)
	lazy = min(lazy, spared)
	m.spare(leverLazy, lazy)
	m.spare(leverTogether, spared-lazy)
}

// jobSize is about what a job takes in the queue without its event's data and its targets.
const jobSize = 400

func (m *Meter) Queued(_ context.Context, j hub.Job, _ time.Duration) {
	size := jobSize + 60*len(j.Targets)
	if j.Event != nil {
		size += len(j.Event.Data)
	}
	d := Delta{SQSRequests: Requests(size)}
	m.Add(d)
	m.Room(j.Room).Add(d)
}
