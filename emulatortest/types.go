package emulatortest

import (
	"context"
	"errors"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/queues"
)

// Function is the code of a Lambda function: payload is the event as JSON, the result is the response as JSON. What [Handler] makes is
// one, and so is every lambda.Handler of aws-lambda-go. It is called from many goroutines at once, and ctx ends with the function's
// Timeout. A returned error is what the function threw; a panic counts as one.
type Function interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Faults are what AWS does at times and code must survive. They are the same in every run with the same Seed. The zero value is none.
type Faults struct {
	// Gone is the share of posts to open connections, 0 to 1, that are answered 410 GoneException. The connection stays open and
	// nothing is sent, as AWS does now and then to one that has just been opened.
	Gone float64
	// Throttle is the share of posts to open connections that are answered 429 LimitExceededException. Nothing is sent.
	Throttle float64
	// Latency holds every call of the management API back for up to this long.
	Latency time.Duration
	// DropDisconnect is the share of connections whose $disconnect never runs: AWS calls it best effort.
	DropDisconnect float64
	// Shuffle holds every message back for up to this long before its function runs, to show code that relies on the order of two
	// messages of one connection. AWS promises none.
	Shuffle time.Duration
	// Seed decides all of it. 0 is a seed like any other.
	Seed uint64
}

// APIError is an error of AWS, as [Server.Post] and its like return it.
type APIError struct {
	Status  int
	Code    string // such as GoneException
	Message string
}

// Error is the code and, if there is one, the message.
func (e *APIError) Error() string { return (*awserr.Error)(e).Error() }

// ErrorCode is the code by the name that AWS's own SDK uses (smithy.APIError).
func (e *APIError) ErrorCode() string { return e.Code }

// public is an error as a test may see it.
func public(err error) error {
	if e, is := errors.AsType[*awserr.Error](err); is {
		return (*APIError)(e)
	}
	return err
}

// Message is a message of a queue.
type Message struct {
	ID            string    `json:"messageId"`
	Body          string    `json:"body"`
	SentAt        time.Time `json:"sentAt"`
	FirstReceived time.Time `json:"firstReceived,omitzero"`
	Receives      int       `json:"receives"`
	// Attributes are the message attributes that the sender gave.
	Attributes map[string]Attribute `json:"attributes,omitempty"`
	// Trace is X-Ray's header of whoever sent it.
	Trace string `json:"trace,omitempty"`
	// Error is why the last delivery failed.
	Error string `json:"error,omitempty"`
}

// Attribute is one attribute of a message. Type is String, Number or Binary, perhaps with a suffix of the application's own after a dot.
type Attribute struct {
	Type   string  `json:"DataType"`
	String *string `json:"StringValue,omitempty"`
	Binary []byte  `json:"BinaryValue,omitempty"`
}

func messages(from []queues.Message) []Message {
	all := make([]Message, len(from))
	for i, m := range from {
		all[i] = Message{
			ID: m.ID, Body: m.Body, SentAt: m.SentAt, FirstReceived: m.FirstReceived, Receives: m.Receives, Trace: m.Trace, Error: m.Error,
		}
		for name, a := range m.Attributes {
			if all[i].Attributes == nil {
				all[i].Attributes = map[string]Attribute{}
			}
			all[i].Attributes[name] = Attribute(a)
		}
	}
	return all
}
