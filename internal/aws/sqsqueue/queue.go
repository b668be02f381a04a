// Package sqsqueue leaves work for later in Amazon SQS, where the deliver function finds it.
package sqsqueue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bellhop-rt/bellhop/internal/aws/away"
	"github.com/bellhop-rt/bellhop/internal/hub"
)

// maxBody is what every SQS queue takes, in bytes; a queue may be set to take more.
const maxBody = 256 << 10

// maxDelay is the most that SQS can hold a message back, in seconds:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html.
const maxDelay = 900

// A queue that hangs must not hold up the function that leaves work in it for longer: $connect has 10 s for everything.
const (
	timeout    = 4 * time.Second // of one call, tries included
	tryTimeout = 1500 * time.Millisecond
)

// NewClient is sqs.NewFromConfig with a time for each try.
func NewClient(cfg aws.Config) *sqs.Client {
	return sqs.NewFromConfig(cfg, func(o *sqs.Options) {
		o.HTTPClient, o.APIOptions = awshttp.NewBuildableClient().WithTimeout(tryTimeout), append(o.APIOptions, away.Mark)
	})
}

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
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err = q.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.url, MessageBody: &text, DelaySeconds: seconds(delay, maxDelay),
	})
	if err != nil {
		return fmt.Errorf("enqueue job %s: %w", job.Kind, err)
	}
	return nil
}

// Return hides a message that was received for so long from now, named by the receipt that it came with:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html.
func (q *Queue) Return(ctx context.Context, receipt string, after time.Duration) error {
	const most = 12 * 3600
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := q.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &q.url, ReceiptHandle: &receipt, VisibilityTimeout: seconds(after, most),
	})
	if err != nil {
		return fmt.Errorf("return message: %w", err)
	}
	return nil
}

// seconds rounds up, as SQS counts.
func seconds(d time.Duration, most int32) int32 {
	n := int64((max(d, 0) + time.Second - 1) / time.Second)
	return int32(min(n, int64(most))) //nolint:gosec // it is within an int32
}

// encode gives the JSON of a job, with escapes for the two characters that JSON allows and a message of SQS does not.
func encode(job hub.Job) (string, error) {
	text, err := job.Encode()
	return strings.NewReplacer("\uFFFE", `\ufffe`, "\uFFFF", `\uffff`).Replace(string(text)), err
}
