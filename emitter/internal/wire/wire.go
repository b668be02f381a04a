// Package wire is what the transports of the emitter have in common, and knows no AWS SDK: how many commands go into one request, how
// those that a queue refuses are sent again, and how a function says that it failed.
package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	maxTogether = 10        // commands of one request: what SQS takes, and what one invocation gets through
	maxRequest  = 250 << 10 // bytes: SQS and asynchronous invocations take 256 KB everywhere, in some places more
)

// Next gives how many commands, from the first, go into one request.
func Next(commands []json.RawMessage) int {
	n, size := 1, len("[]")+len(commands[0])
	for n < min(len(commands), maxTogether) && size+1+len(commands[n]) <= maxRequest {
		size += 1 + len(commands[n])
		n++
	}
	return n
}

// Unattended wraps a payload for an invocation that nobody waits for. The function cannot know that otherwise: it is to fail where it
// would answer that it could not, or Lambda would not try again. It is what EventBridge hands over.
func Unattended(payload []byte) []byte {
	return append(append([]byte(`{"detail-type":"bellhop.emit","detail":`), payload...), '}')
}

// FunctionError reads what Lambda answers for a function that returned an error, panicked or timed out:
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html
func FunctionError(function, kind string, payload []byte) error {
	var e struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(payload, &e); err != nil || e.Message == "" {
		return fmt.Errorf("emitter: function %s failed (%s): %.200q", function, kind, payload)
	}
	return fmt.Errorf("emitter: function %s failed (%s): %s: %s", function, kind, e.Type, e.Message)
}

// NothingAnswered is the error of a function that should have answered.
func NothingAnswered(function string) error {
	return fmt.Errorf("emitter: function %s answered nothing", function)
}

// Refused is what a queue says about one message of a batch.
type Refused struct {
	Code, Message string
	ForGood       bool // the same message would be refused again
}

const (
	attempts   = 3
	firstPause = 100 * time.Millisecond // before the second attempt, and twice that before the third; halved at random
)

// Batches sends commands to a queue in batches, and gives an error for each that was not taken. try sends those of the given
// indices, and gives those that were refused by their index; its error is of the whole batch, which the SDK has tried again already.
// What is refused through no fault of its own is sent up to three times.
func Batches(ctx context.Context, queue string, commands []json.RawMessage, try func(indices []int) (map[int]Refused, error)) []error {
	errs := make([]error, len(commands))
	for first := 0; first < len(commands); {
		n := Next(commands[first:])
		pending := make([]int, n)
		for i := range pending {
			pending[i] = first + i
		}
		batch(ctx, queue, errs, pending, try)
		first += n
	}
	return errs
}

func batch(ctx context.Context, queue string, errs []error, pending []int, try func(indices []int) (map[int]Refused, error)) {
	for attempt := 0; attempt < attempts && len(pending) > 0; attempt++ {
		if attempt > 0 && !pause(ctx, firstPause<<(attempt-1)) {
			return
		}
		refused, err := try(pending)
		if err != nil {
			for _, i := range pending {
				errs[i] = fmt.Errorf("emitter: send to %s: %w", queue, err)
			}
			return
		}
		var again []int
		for _, i := range pending {
			r, is := refused[i]
			if errs[i] = nil; !is {
				continue
			}
			errs[i] = errors.New("emitter: send to " + queue + ": " + r.Code + ": " + r.Message)
			if !r.ForGood {
				again = append(again, i)
			}
		}
		pending = again
	}
}

// pause waits, and reports false if the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d/2)) //nolint:gosec // jitter
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
