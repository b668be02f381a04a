// Package viasqs takes the commands of an emitter to the SQS queue that the emit function reads:
//
//	e := emitter.New(viasqs.New(sqs.NewFromConfig(cfg), queueURL))
package viasqs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/bellhop-rt/bellhop/emitter"
	"github.com/bellhop-rt/bellhop/emitter/internal/wire"
)

// Client is the part of *sqs.Client that is needed.
type Client interface {
	// SendMessage sends one: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
	SendMessage(ctx context.Context, in *sqs.SendMessageInput, options ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	// SendMessageBatch sends up to 10, any of which may fail alone:
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
	SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, options ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

type transport struct {
	client Client
	queue  string
}

// New sends commands to the queue that the emit function reads, by its URL. The caller needs the permission
// sqs:SendMessage. There are no answers, and no order. Several commands go as batches of up to 10; those that the queue
// refuses through no fault of theirs are sent up to three times.
func New(client Client, queueURL string) emitter.Transport { return transport{client, queueURL} }

func (t transport) Answers() bool { return false }

func (t transport) Send(ctx context.Context, commands []json.RawMessage) []emitter.Outcome {
	out := make([]emitter.Outcome, len(commands))
	if len(commands) == 1 {
		body := string(commands[0])
		if _, err := t.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &t.queue, MessageBody: &body}); err != nil {
			out[0].Err = fmt.Errorf("emitter: send to %s: %w", t.queue, err)
		}
		return out
	}
	errs := wire.Batches(ctx, t.queue, commands, func(indices []int) (map[int]wire.Refused, error) { return t.try(ctx, commands, indices) })
	for i, err := range errs {
		out[i].Err = err
	}
	return out
}

// try sends some of the commands, and gives those that were refused by their index, which is the Id of an entry.
func (t transport) try(ctx context.Context, commands []json.RawMessage, indices []int) (map[int]wire.Refused, error) {
	entries := make([]types.SendMessageBatchRequestEntry, len(indices))
	for n, i := range indices {
		entries[n] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(commands[i]))}
	}
	answer, err := t.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &t.queue, Entries: entries})
	if err != nil {
		return nil, err
	}
	refused := make(map[int]wire.Refused, len(answer.Failed))
	for _, f := range answer.Failed {
		i, err := strconv.Atoi(aws.ToString(f.Id))
		if err != nil {
			return nil, fmt.Errorf("read which message was refused: %w", err)
		}
		refused[i] = wire.Refused{Code: aws.ToString(f.Code), Message: aws.ToString(f.Message), ForGood: f.SenderFault}
	}
	return refused, nil
}
