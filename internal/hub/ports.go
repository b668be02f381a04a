package hub

import (
	"context"
	"errors"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// What a Pusher answers; any other error means that the outcome is unknown.
var (
	ErrGone      = errors.New("connection is gone")
	ErrThrottled = errors.New("pushing is throttled")
	ErrTooLarge  = errors.New("frame is too large")
)

// Pusher reaches open connections. On AWS it is the management API of API Gateway,
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html.
// Every call bounds its own time.
type Pusher interface {
	// Push sends one frame. nil: it was accepted, which does not prove that it arrived. ErrGone: the connection is
	// closed, or not open yet. ErrThrottled: try later. ErrTooLarge: never will.
	Push(ctx context.Context, connection string, frame []byte) error
	// Close closes a connection. ErrGone if it is closed already; ErrThrottled.
	Close(ctx context.Context, connection string) error
	// Alive reports whether a connection is open. ErrThrottled.
	Alive(ctx context.Context, connection string) (bool, error)
}

// Preparer is a Pusher for which a frame can be made ready once, when it is for many.
type Preparer interface {
	Pusher
	// Prepare gives what pushes a frame, as Push does. The frame must stay as it is.
	Prepare(frame []byte) func(ctx context.Context, connection string) error
}

// Queue hands jobs to [Hub.Work], at least once and in no order.
type Queue interface {
	// Enqueue stores a job for after a delay of at most 15 minutes. When it returns nil the job will be run.
	Enqueue(ctx context.Context, job Job, delay time.Duration) error
}

// Job is work for later, as JSON of at most 256 KB. Kind says which fields count.
type Job struct {
	Kind JobKind `json:"kind"`
	Room string  `json:"room,omitempty"`

	// fan-out
	Event   *protocol.Event `json:"event,omitempty"`
	Except  []string        `json:"except,omitempty"` // who is left out: connection ids, user ids, "user:<id>"
	Shard   int             `json:"shard,omitempty"`
	After   string          `json:"after,omitempty"`   // the page begins after this connection id
	Passed  int             `json:"passed,omitempty"`  // members of the shard on the pages before
	Shards  int             `json:"shards,omitempty"`  // what the room has, to double it when this shard is full
	First   int64           `json:"first,omitempty"`   // flush: what it was left for, or the first of a stretch of the log that one shard is told
	Last    int64           `json:"last,omitempty"`    // of that stretch; none: all that is pending
	Targets []Target        `json:"targets,omitempty"` // retry: whom the event has not reached; enter: who enters
	Attempt int             `json:"attempt,omitempty"` // retry: how often that was tried
	Epoch   string          `json:"epoch,omitempty"`   // of the log that the event is in; of another one it is not told any more
	Gen     int64           `json:"gen,omitempty"`     // enter: of the membership; close: those before it end
	Due     int64           `json:"due,omitempty"`     // flush: Unix milliseconds, of the mark that this was left for; 0: of any

	// absence
	User  string `json:"user,omitempty"`
	Since int64  `json:"since,omitempty"` // Unix milliseconds, of the presence that may end
	Left  int64  `json:"left,omitempty"`  // Unix milliseconds, when its last connection went
}

// JobKind says what a job is.
type JobKind string

// The kinds of jobs.
const (
	JobFanOut  JobKind = "fanout"  // push an event to one shard of a room's members
	JobRetry   JobKind = "retry"   // push an event to members that it has not reached
	JobAbsence JobKind = "absence" // announce that a user is offline, unless the user is back
	JobEnter   JobKind = "enter"   // put a new connection into a room
	JobClose   JobKind = "close"   // take one shard of members out of a closed room
	JobFlush   JobKind = "flush"   // push what a room has pending, or a stretch of its log to one shard
)

// Target is a connection to push to, and how to speak to it.
type Target struct {
	Connection string `json:"c"`
	User       string `json:"u"`
	Codec      string `json:"x,omitempty"` // empty: bellhop.v1
	Shard      int    `json:"s,omitempty"`
	Doubtful   bool   `json:"d,omitempty"` // its token may have ended, and could not be looked at: that is done before a push
}

// Verifier checks tokens, for connections that renew theirs.
type Verifier interface {
	// Verify gives who a token names, or a protocol.Error of unauthenticated or expired.
	Verify(ctx context.Context, token string) (Identity, error)
}
