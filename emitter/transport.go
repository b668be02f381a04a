package emitter

import (
	"context"
	"encoding/json"
	"fmt"
)

// Transport takes commands to the emit function. [Lambda], [LambdaAsync], [SQS] and [HTTP] make the four of this package;
// one of your own can wrap them, or publish on a bus.
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

const (
	maxTogether = 10        // commands of one request: what SQS takes, and what one invocation gets through
	maxRequest  = 250 << 10 // bytes: SQS and asynchronous invocations take 256 KB everywhere, in some places more
)

// next gives how many commands, from the first, go into one request.
func next(commands []json.RawMessage) int {
	n, size := 1, len("[]")+len(commands[0])
	for n < min(len(commands), maxTogether) && size+1+len(commands[n]) <= maxRequest {
		size += 1 + len(commands[n])
		n++
	}
	return n
}

// invoke sends commands with one invocation after the other, several in each as an array. After an invocation that
// failed there is none, so that the order is kept when the caller repeats what failed.
func invoke(ctx context.Context, commands []json.RawMessage, call func(ctx context.Context, payload []byte) ([]byte, error)) []Outcome {
	out := make([]Outcome, 0, len(commands))
	for len(out) < len(commands) {
		rest := commands[len(out):]
		n := next(rest)
		payload, err := encode(rest[:n])
		if n == 1 {
			payload, err = rest[0], nil
		}
		if err == nil {
			payload, err = call(ctx, payload)
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

// functionError reads what Lambda answers for a function that returned an error, panicked or timed out:
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html
func functionError(function, kind string, payload []byte) error {
	var e struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(payload, &e); err != nil || e.Message == "" {
		return fmt.Errorf("emitter: function %s failed (%s): %.200q", function, kind, payload)
	}
	return fmt.Errorf("emitter: function %s failed (%s): %s: %s", function, kind, e.Type, e.Message)
}
