package route

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

// Backlog is the queue that a function's messages come from.
type Backlog interface {
	// Return hides a message that was received for so long from now, instead of for the queue's VisibilityTimeout. It is named by the
	// receipt that it came with.
	Return(ctx context.Context, receipt string, after time.Duration) error
}

// maxBackoff is the longest that a message waits for its next attempt.
const maxBackoff = 15 * time.Minute

// Again has the messages that failed come back after a time of their own, which grows: 4 s, 16 s, a minute, 4 and 15 minutes, each
// give or take a quarter, so that not all come at the same moment. Without it each would wait for the queue's VisibilityTimeout, which
// is so long because it has to cover a function that hangs.
func Again(next lambda.Handler, queue Backlog, log *slog.Logger) lambda.Handler {
	return again{next, queue, log}
}

type again struct {
	lambda.Handler

	queue Backlog
	log   *slog.Logger
}

// Invoke is [lambda.Handler].Invoke. A message that cannot be returned comes back all the same, later.
func (a again) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	out, err := a.Handler.Invoke(ctx, payload)
	if err != nil {
		return out, err
	}
	for _, m := range failed(payload, out) {
		if err := a.queue.Return(ctx, m.Receipt, backoff(m.Attributes.Receives)); err != nil {
			a.log.WarnContext(ctx, "job returned late", "messageId", m.MessageID, "error", err)
		}
	}
	return out, nil
}

// failed gives the messages of an event that the answer names as failed. There are none in what is no event of a queue.
func failed(event, answer []byte) (list []sqsRecord) {
	var (
		came sqsEvent
		got  sqsResponse
	)
	if json.Unmarshal(answer, &got) != nil || json.Unmarshal(event, &came) != nil {
		return nil
	}
	for _, m := range came.Records {
		if m.Receipt != "" && slices.ContainsFunc(got.Failures, func(f sqsFailure) bool { return f.Item == m.MessageID }) {
			list = append(list, m)
		}
	}
	return list
}

// backoff is how long a message waits that was received so many times.
func backoff(receives string) time.Duration {
	n, err := strconv.Atoi(receives)
	if err != nil || n < 1 {
		n = 1
	}
	d := maxBackoff
	if n < 5 { // 4^5 s are more than that
		d = time.Second << (2 * n)
	}
	return d*3/4 + rand.N(d/2) //nolint:gosec // jitter
}
