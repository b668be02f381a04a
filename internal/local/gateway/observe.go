package gateway

import (
	"sync/atomic"
	"time"
)

// Kind says what an Event is about.
type Kind string

// The kinds of events.
const (
	KindAuthorize  Kind = "authorize"  // the authorizer ran, or was spared because an identity source is missing; Status is the verdict
	KindConnect    Kind = "connect"    // a handshake ended; Status is what the client got (101 for success)
	KindMessage    Kind = "message"    // a message went through its route; Status is the function's, or that of the error frame
	KindPush       Kind = "push"       // a post through the management API, over HTTP or not; Status is its answer
	KindDisconnect Kind = "disconnect" // $disconnect is done; Status is the close code, Reason its reason
)

// Event is something that happened, for a log that a person watches. Fields that do not apply are zero.
type Event struct {
	Kind       Kind
	Time       time.Time // when it began
	Duration   time.Duration
	Connection string
	Route      string
	Function   string // logical id
	Status     int
	Reason     string
	Bytes      int
	Data       []byte // the message or post; must not be changed
	Err        error
}

func (s *Server) observe(e Event) {
	if s.cfg.Observe == nil {
		return
	}
	if !e.Time.IsZero() {
		e.Duration = s.cfg.Now().Sub(e.Time)
	}
	s.cfg.Observe(e)
}

type counters struct {
	opened, refused, closed        atomic.Int64
	messagesIn, messagesOut        atomic.Int64
	bytesIn, bytesOut              atomic.Int64
	posts, gone, throttled, errors atomic.Int64
}

func (c *counters) delivered(messages, bytes int) {
	c.messagesOut.Add(int64(messages))
	c.bytesOut.Add(int64(bytes))
}

// Stats are totals since New, and what is open or waiting now.
type Stats struct {
	Connections int64 `json:"connections"`
	Opened      int64 `json:"opened"`
	Refused     int64 `json:"refused"` // handshakes that got no 101
	Closed      int64 `json:"closed"`
	MessagesIn  int64 `json:"messagesIn"`
	MessagesOut int64 `json:"messagesOut"` // written to sockets
	BytesIn     int64 `json:"bytesIn"`     // of messages
	BytesOut    int64 `json:"bytesOut"`    // on the wire
	Posts       int64 `json:"posts"`       // accepted posts to connections
	Gone        int64 `json:"gone"`        // posts, gets and deletes answered 410
	Throttled   int64 `json:"throttled"`   // full outgoing queues and route throttles
	Errors      int64 `json:"errors"`      // error frames
}

// Stats returns the counters. They are read one by one, so sums may be off by what happens meanwhile.
func (s *Server) Stats() Stats {
	c := &s.counters
	st := Stats{
		Opened: c.opened.Load(), Refused: c.refused.Load(), Closed: c.closed.Load(),
		MessagesIn: c.messagesIn.Load(), MessagesOut: c.messagesOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Posts: c.posts.Load(), Gone: c.gone.Load(), Throttled: c.throttled.Load(), Errors: c.errors.Load(),
	}
	st.Connections = st.Opened - st.Closed
	return st
}

// Plus are the totals of two APIs together.
func (s Stats) Plus(o Stats) Stats {
	return Stats{
		Connections: s.Connections + o.Connections, Opened: s.Opened + o.Opened, Refused: s.Refused + o.Refused, Closed: s.Closed + o.Closed,
		MessagesIn: s.MessagesIn + o.MessagesIn, MessagesOut: s.MessagesOut + o.MessagesOut, BytesIn: s.BytesIn + o.BytesIn, BytesOut: s.BytesOut + o.BytesOut,
		Posts: s.Posts + o.Posts, Gone: s.Gone + o.Gone, Throttled: s.Throttled + o.Throttled, Errors: s.Errors + o.Errors,
	}
}
