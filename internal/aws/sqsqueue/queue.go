// Package sqsqueue leaves work for later in Amazon SQS, where the deliver function finds it.
package sqsqueue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// maxBody is what every SQS queue takes, in bytes; a queue may be set to take more.
const maxBody = 256 << 10

// maxDelay is the most that SQS can hold a message back, in seconds:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html.
const maxDelay = 900

// Queue is a [hub.Queue] on one SQS standard queue.
type Queue struct {
	client *sqs.Client
	url    string
}

var _ hub.Queue = (*Queue)(nil)

// New gives a queue by its URL.
func New(client *sqs.Client, url string) *Queue { return &Queue{client: client, url: url} }

// Enqueue sends the job as JSON. SQS counts delays in seconds, so one is rounded up, and is 15 minutes at most.
func (q *Queue) Enqueue(ctx context.Context, job hub.Job, delay time.Duration) error {
	text, err := encode(job)
	if err != nil {
		return err
	}
	if len(text) > maxBody {
		return fmt.Errorf("enqueue job %s: it has %d bytes, the queue takes %d", job.Kind, len(text), maxBody)
	}
	seconds := min((max(delay, 0)+time.Second-1)/time.Second, maxDelay)
	_, err = q.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.url, MessageBody: &text, DelaySeconds: int32(seconds),
	})
	if err != nil {
		return fmt.Errorf("enqueue job %s: %w", job.Kind, err)
	}
	return nil
}

// encode gives the JSON of a job, with escapes for the two characters that JSON allows and a message of SQS does not.
func encode(job hub.Job) (string, error) {
	text, err := job.Encode()
	return strings.NewReplacer("\uFFFE", `\ufffe`, "\uFFFF", `\uffff`).Replace(string(text)), err
}
