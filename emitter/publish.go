package emitter

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// maxCommand is in bytes: it leaves room in a message of SQS or an asynchronous invocation, 256 KB.
const maxCommand = 200 << 10

// Publish is one event and where it goes. It needs an Event and at least one target; rooms, users and connections may be
// mixed, and there may be any number of them.
type Publish struct {
	Rooms       []string // room names such as "channel:42"
	Users       []string // user ids: all connections of each, by the room "user:<id>"
	Connections []string // connection ids; what is sent to them is never logged
	// All is every user who has a connection open, in the place of the other targets: the event is logged in the room of each, so it
	// costs what a publish to all of them does.
	All bool

	Event string // its name, at most 64 bytes, such as "message:new"
	// Data is what encoding/json makes of it (a json.RawMessage stays as it is), at most 126 KB. nil: the event has none.
	Data any

	// ID makes the event unique in each room, and is at most 128 visible characters. Empty: one is made, except for
	// ephemeral events.
	ID        string
	Ephemeral bool     // not logged and not replayed, for events that soon mean nothing
	Except    []string // connection ids and user ids that do not get it
	From      *From    // whom it comes from; nil: nobody in particular
}

// From is the user that an event comes from.
type From struct {
	UserID string `json:"userId"`
	Name   string `json:"name,omitempty"`
}

// PublishResult is what became of a [Publish].
type PublishResult struct {
	// ID is the id of the publish, its own or the one that was made. Repeat the call with it if there was an error.
	ID string
	// Results has one entry for each target that is known of: rooms and users (as their rooms), and connections. It is
	// empty over a transport without answers. Of what goes to all it has those that failed.
	Results []Result
	// Reached is for how many users an event was logged that goes to all, or to how many connections an ephemeral one went.
	Reached int
	// Err is what [Emitter.Publish] returns; it is here for [Emitter.PublishAll].
	Err error
}

// Result is what became of one target: a place in a room's log, or an error. Ephemeral events and connections have no
// place.
type Result struct {
	Room       string `json:"room,omitempty"`       // "" for a connection
	Connection string `json:"connection,omitempty"` // "" for a room
	Epoch      string `json:"epoch,omitempty"`      // identifies the room's log
	Seq        int64  `json:"seq,omitempty"`        // position in the log
	ID         string `json:"id,omitempty"`
	TS         int64  `json:"ts,omitempty"`    // Unix time in milliseconds
	Gone       bool   `json:"gone,omitempty"`  // the connection is closed
	Error      *Error `json:"error,omitempty"` // nil: it was delivered, or will be
}

// Time is TS as a time: when the event was logged.
func (r Result) Time() time.Time { return time.UnixMilli(r.TS) }

// Publish sends an event. When some target failed, the error is the first failure, an [*Error], and the result says what
// became of every target: the others have got the event.
//
// More than 1,000 targets, or so many that the command had more than 200 KB, are sent as several commands with the same
// id.
func (e *Emitter) Publish(ctx context.Context, p Publish) (PublishResult, error) {
	results, err := e.PublishAll(ctx, p)
	if results == nil {
		return PublishResult{}, err
	}
	return results[0], results[0].Err
}

// PublishAll sends events in order, several with one request where the transport can: an SQS batch has up to 10. Nothing
// is sent, and no results are given, when one of them is malformed. Otherwise there is a result for each; the error is
// that of the first that failed. SQS keeps no order, the other transports stop at the first request that fails.
func (e *Emitter) PublishAll(ctx context.Context, ps ...Publish) ([]PublishResult, error) {
	results := make([]PublishResult, len(ps))
	var commands []json.RawMessage
	var owner []int // the publish that a command belongs to
	for i, p := range ps {
		if p.ID == "" && !p.Ephemeral {
			p.ID = e.NewID()
		}
		results[i].ID = p.ID
		parts, err := p.commands()
		if err != nil {
			return nil, nth(len(ps), i, err)
		}
		commands = append(commands, parts...)
		owner = append(owner, slices.Repeat([]int{i}, len(parts))...)
	}
	if len(commands) == 0 {
		return results, nil
	}
	for n, outcome := range e.send(ctx, commands) {
		r := &results[owner[n]]
		after, err := r.add(outcome)
		for after != "" { // whom the command before it came to and did not reach is said at the end
			var also error
			if after, also = r.add(e.goOn(ctx, commands[n], after)); err == nil {
				err = also
			}
		}
		if r.Err == nil {
			r.Err = err
		}
	}
	for i := range results {
		if err := results[i].Err; err != nil {
			return results, nth(len(ps), i, err)
		}
	}
	return results, nil
}

// add adds what one command did; next is where another one has to go on.
func (r *PublishResult) add(o Outcome) (next string, err error) {
	var data struct {
		Results []Result `json:"results"`
		Reached int      `json:"reached"`
		Next    string   `json:"next"`
	}
	err = o.decode(&data)
	r.Results = append(r.Results, data.Results...)
	r.Reached += data.Reached
	return data.Next, err
}

// goOn sends the same command from another place on.
func (e *Emitter) goOn(ctx context.Context, text json.RawMessage, after string) Outcome {
	var c command
	err := json.Unmarshal(text, &c)
	if c.After = after; err == nil {
		text, err = encode(c)
	}
	if err != nil {
		return Outcome{Err: err}
	}
	return e.send(ctx, []json.RawMessage{text})[0]
}

func nth(of, i int, err error) error {
	if of == 1 {
		return err
	}
	return fmt.Errorf("publish %d of %d: %w", i+1, of, err)
}

// commands checks a publish and gives the commands it takes.
func (p Publish) commands() ([]json.RawMessage, error) {
	if p.Event == "" {
		return nil, badRequest("a publish needs an event name")
	}
	targets := p.targets()
	if (len(targets) == 0) != p.All {
		return nil, badRequest("a publish needs a target: rooms, users or connections, or all without any of these")
	}
	if slices.ContainsFunc(targets, func(t target) bool { return t.name == "" }) {
		return nil, badRequest("a target of a publish is empty")
	}
	c := command{Command: "publish", Event: p.Event, ID: p.ID, Ephemeral: p.Ephemeral, All: p.All, Except: p.Except, From: p.From}
	if p.Data != nil {
		var err error
		if c.Data, err = encode(p.Data); err != nil {
			return nil, badRequest("the data of %s cannot be written as JSON: %v", p.Event, err)
		}
		if len(c.Data) > protocol.MaxData {
			return nil, &Error{Code: "too_large", Message: fmt.Sprintf("the data of %s has %d bytes as JSON, at most %d can be delivered", p.Event, len(c.Data), protocol.MaxData)}
		}
	}
	if p.All {
		text, err := encode(c)
		if err == nil && len(text) > maxCommand {
			return nil, &Error{Code: "too_large", Message: fmt.Sprintf("a publish of %s to all has more than %d bytes: shorten data or except", c.Event, maxCommand)}
		}
		return []json.RawMessage{text}, err
	}
	return split(c, targets)
}

type target struct {
	kind int // 0: room, 1: user, 2: connection
	name string
}

func (p Publish) targets() []target {
	all := make([]target, 0, len(p.Rooms)+len(p.Users)+len(p.Connections))
	for kind, names := range [][]string{p.Rooms, p.Users, p.Connections} {
		for _, name := range names {
			all = append(all, target{kind, name})
		}
	}
	return all
}

// split spreads targets over as few commands as the limits allow.
func split(c command, targets []target) ([]json.RawMessage, error) {
	bare, err := encode(c)
	if err != nil {
		return nil, badRequest("the publish cannot be written as JSON: %v", err)
	}
	left := maxCommand - len(bare) - len(`"rooms":[],"users":[],"connections":[],`)
	var out []json.RawMessage
	for len(targets) > 0 {
		n := fit(targets, left)
		if n == 0 {
			return nil, &Error{Code: "too_large", Message: fmt.Sprintf("a publish of %s to one target has more than %d bytes: shorten data or except", c.Event, maxCommand)}
		}
		part := c
		for _, t := range targets[:n] {
			names := [...]*[]string{&part.Rooms, &part.Users, &part.Connections}[t.kind]
			*names = append(*names, t.name)
		}
		text, err := encode(part)
		if err != nil {
			return nil, badRequest("the publish cannot be written as JSON: %v", err)
		}
		out, targets = append(out, text), targets[n:]
	}
	return out, nil
}

// fit counts the targets, from the first, that one command holds in so many bytes.
func fit(targets []target, left int) int {
	n := 0
	for n < min(len(targets), protocol.MaxTargets) {
		text, err := encode(targets[n].name)
		if err != nil {
			break
		}
		if left -= len(text) + 1; left < 0 {
			break
		}
		n++
	}
	return n
}
