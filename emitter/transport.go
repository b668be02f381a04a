package emitter

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/bellhop-rt/bellhop/emitter/internal/wire"
)

// Transport takes commands to the emit function: those of the packages vialambda and viasqs, [HTTP], or one of your own, which can wrap
// them, publish on a bus, or be made by [Invoking].
type Transport interface {
	// Answers reports whether outcomes have answers.
	Answers() bool
	// Send hands over commands, each a JSON object of at most 200 KB, to be run in order if the transport keeps one. It
	// gives an outcome for each, in the same order.
	Send(ctx context.Context, commands []json.RawMessage) []Outcome
}

// Outcome is what became of one command.
type Outcome struct {
	// Answer is {"ok":true,"data":{…}} or {"ok":false,"error":{"code","message","retry"}}; nil if the transport brings
	// none.
	Answer json.RawMessage
	// Err says that the command was not handed over, or that this is unknown.
	Err error
}

// Invoking is a [Transport] over what takes a payload to the emit function, such as a client of one's own. A payload is a command, or an
// array of up to 10; call gives what the function answered, or nothing if answers is false, since nobody waits for one then. After a call
// that failed there is none, so that the order is kept when the caller repeats what failed.
func Invoking(answers bool, call func(ctx context.Context, payload []byte) ([]byte, error)) Transport {
	return invoking{answers, call}
}

type invoking struct {
	answers bool
	call    func(ctx context.Context, payload []byte) ([]byte, error)
}

func (t invoking) Answers() bool { return t.answers }

func (t invoking) Send(ctx context.Context, commands []json.RawMessage) []Outcome {
	out := make([]Outcome, 0, len(commands))
	for len(out) < len(commands) {
		rest := commands[len(out):]
		n := wire.Next(rest)
		payload, err := encode(rest[:n])
		if n == 1 {
			payload, err = rest[0], nil
		}
		if err == nil {
			payload, err = t.call(ctx, payload)
		}
		if err != nil {
			out = append(out, failed(n, err)...)
			return append(out, failed(len(rest)-n, fmt.Errorf("emitter: not sent, because a command before it failed: %w", err))...)
		}
		out = append(out, answers(n, payload)...)
	}
	return out
}

// answers takes the answer to n commands apart. An empty one is that of an invocation that nobody waits for.
func answers(n int, payload []byte) []Outcome {
	out := make([]Outcome, n)
	if len(payload) == 0 {
		return out
	}
	if n == 1 {
		out[0].Answer = payload
		return out
	}
	var list []json.RawMessage
	if err := json.Unmarshal(payload, &list); err != nil {
		// one refusal of everything, or no emit function's answer: decode tells them apart
		var a answer
		if json.Unmarshal(payload, &a) == nil && a.OK {
			return failed(n, fmt.Errorf("emitter: the function gave one answer to %d commands", n))
		}
		for i := range out {
			out[i].Answer = payload
		}
		return out
	}
	for i := range out {
		if i < len(list) {
			out[i].Answer = list[i]
			continue
		}
		out[i].Err = fmt.Errorf("emitter: the function gave %d answers to %d commands", len(list), n)
	}
	return out
}
