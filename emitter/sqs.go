package emitter

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// SQSClient is the part of *sqs.Client that the transport needs.
type SQSClient interface {
	// SendMessage sends one: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
	SendMessage(ctx context.Context, in *sqs.SendMessageInput, options ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	// SendMessageBatch sends up to 10, any of which may fail alone:
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
	SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, options ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

const (
	sqsAttempts = 3
	sqsPause    = 100 * time.Millisecond // before the second attempt, and twice that before the third; halved at random
)

type sqsTransport struct {
	client SQSClient
	queue  string
}

// SQS sends commands to the queue that the emit function reads, by its URL. The caller needs the permission
// sqs:SendMessage. There are no answers, and no order. Several commands go as batches of up to 10; those that the queue
// refuses through no fault of theirs are sent up to three times.
func SQS(client SQSClient, queueURL string) Transport { return sqsTransport{client, queueURL} }

func (t sqsTransport) Answers() bool { return false }

func (t sqsTransport) Send(ctx context.Context, commands []json.RawMessage) []Outcome {
	if len(commands) == 1 {
		body := string(commands[0])
		if _, err := t.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &t.queue, MessageBody: &body}); err != nil {
			return failed(1, fmt.Errorf("emitter: send to %s: %w", t.queue, err))
		}
		return make([]Outcome, 1)
	}
	out := make([]Outcome, 0, len(commands))
	for len(out) < len(commands) {
		n := next(commands[len(out):])
		out = append(out, t.batch(ctx, commands[len(out):len(out)+n])...)
	}
	return out
}

// batch sends up to 10 commands. The Id of an entry is its index.
func (t sqsTransport) batch(ctx context.Context, commands []json.RawMessage) []Outcome {
	out := make([]Outcome, len(commands))
	pending := make([]int, len(commands))
	for i := range pending {
		pending[i] = i
	}
	for attempt := 0; attempt < sqsAttempts && len(pending) > 0; attempt++ {
		if attempt > 0 && !pause(ctx, sqsPause<<(attempt-1)) {
			break
		}
		refused, err := t.try(ctx, commands, pending)
		if err != nil { // the SDK has tried that again already
			for _, i := range pending {
				out[i].Err = err
			}
			break
		}
		var again []int
		for _, i := range pending {
			f, is := refused[strconv.Itoa(i)]
			if out[i].Err = nil; !is {
				continue
			}
			out[i].Err = fmt.Errorf("emitter: send to %s: %s: %s", t.queue, aws.ToString(f.Code), aws.ToString(f.Message))
			if !f.SenderFault {
				again = append(again, i)
			}
		}
		pending = again
	}
	return out
}

// try sends some of the commands, and gives those that were refused by their Id.
func (t sqsTransport) try(ctx context.Context, commands []json.RawMessage, which []int) (map[string]types.BatchResultErrorEntry, error) {
	entries := make([]types.SendMessageBatchRequestEntry, len(which))
	for n, i := range which {
		entries[n] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(commands[i]))}
	}
	answer, err := t.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &t.queue, Entries: entries})
	if err != nil {
		return nil, fmt.Errorf("emitter: send to %s: %w", t.queue, err)
	}
	refused := make(map[string]types.BatchResultErrorEntry, len(answer.Failed))
	for _, f := range answer.Failed {
		refused[aws.ToString(f.Id)] = f
	}
	return refused, nil
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
