// Package hooks is an application's own logic in Go: what a hook is asked, what it says, and the handlers that say it.
//
//	func Handlers(hooks.Setup) hooks.Handlers {
//		return hooks.Handlers{Publish: func(ctx context.Context, q hooks.Question) (hooks.Verdict, error) {
//			if muted(q.User.ID, q.Room) {
//				return hooks.Verdict{Deny: &hooks.Denial{Message: "you are muted here"}}, nil
//			}
//			return hooks.Verdict{}, nil
//		}}
//	}
//
// They are linked into Bellhop's functions by mains of one's own, package functions below this one, or are a function of their own,
// lambda.Start(handlers.Answer), whose ARN the parameters of the template name. What to rely on is in docs/HOOKS.md.
package hooks

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Setup is what handlers that are linked into Bellhop's functions may need.
type Setup struct {
	// DynamoDB and Table are where Bellhop keeps its rows; an application's own may lie beside them, under a pk that begins with "app#".
	DynamoDB *dynamodb.Client
	Table    string
}

// The hooks, as Question.Hook says.
const (
	Action     = "action"     // an action that Bellhop does not define: a call
	Join       = "join"       // a connection wants to be in a room
	Publish    = "publish"    // a client wants an event logged
	Connect    = "connect"    // a connection opens, or its token is renewed
	Disconnect = "disconnect" // a connection is gone
)

// Handler answers a question. A [Verdict] that denies, and an error of [Refuse], go to the client; any other error, or a panic, is no
// answer, and the policy of the hook decides. It is called by many goroutines at once.
type Handler func(ctx context.Context, q Question) (Verdict, error)

// Handlers are an application's hooks; nil is none, and is never asked.
type Handlers struct {
	Actions    map[string]Handler // by the name of the action; others are refused as unknown
	Join       Handler
	Publish    Handler
	Connect    Handler
	Disconnect func(ctx context.Context, q Question) error // may be told twice
}

// User is who the token of a connection says.
type User struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// Question is what a hook is asked. One with an ID may come again with the same one, when a client repeats what it was not answered.
type Question struct {
	Version    int                 `json:"version"` // of this shape: 1
	Hook       string              `json:"hook"`
	Time       int64               `json:"time"` // Unix milliseconds
	Connection string              `json:"connection"`
	User       User                `json:"user"`
	Grants     map[string][]string `json:"grants,omitempty"`  // all but disconnect: what the token allows, by room or pattern
	Rooms      []string            `json:"rooms,omitempty"`   // action, disconnect: that the connection is in
	Room       string              `json:"room,omitempty"`    // join, publish, action
	Granted    bool                `json:"granted,omitempty"` // join: the token allows it
	Renewal    bool                `json:"renewal,omitempty"` // connect: the connection is open, and its token is renewed
	Action     string              `json:"action,omitempty"`
	Event      string              `json:"event,omitempty"` // publish
	ID         string              `json:"id,omitempty"`    // the client's, for publish the idempotency key
	Data       json.RawMessage     `json:"data,omitempty"`
}

// Verdict is what a hook says. The zero value lets things take their course.
type Verdict struct {
	Deny       *Denial             `json:"deny,omitempty"`       // refuses; the client gets it as the error
	Allow      bool                `json:"allow,omitempty"`      // join: without a grant too
	Data       json.RawMessage     `json:"data,omitempty"`       // action: the result; publish: instead of the client's; join: the state
	Status     string              `json:"status,omitempty"`     // join: the user's status in a room with presence
	StatusData json.RawMessage     `json:"statusData,omitempty"` // join: the data of that presence, at most 1 KB
	Grants     map[string][]string `json:"grants,omitempty"`     // connect: beside those of the token
	Rooms      []string            `json:"rooms,omitempty"`      // connect: joined by themselves
}

// Denial is a hook's no.
type Denial struct {
	Code    string `json:"code,omitempty"` // of the protocol; empty, or one that it does not have: forbidden
	Message string `json:"message"`        // a sentence for the client
}

// Refuse is an error that goes to the client, with a code of the protocol such as "bad_request" and a sentence.
func Refuse(code, format string, args ...any) error {
	return protocol.Errorf(protocol.Code(code), format, args...)
}

// Answer calls the handler that a question is for; none is the zero verdict. It is what a Lambda function of one's own starts with, and
// what a test asks.
func (h Handlers) Answer(ctx context.Context, q Question) (v Verdict, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the handler of hook %s panicked: %v", q.Hook, r)
		}
	}()
	var handler Handler
	switch q.Hook {
	case Action:
		if handler = h.Actions[q.Action]; handler == nil {
			return v, protocol.Errorf(protocol.CodeUnknownAction, "there is no action %.40q", q.Action)
		}
	case Join:
		handler = h.Join
	case Publish:
		handler = h.Publish
	case Connect:
		handler = h.Connect
	case Disconnect:
		if h.Disconnect != nil {
			return v, h.Disconnect(ctx, q)
		}
	}
	if handler == nil {
		return v, nil
	}
	return handler(ctx, q)
}
