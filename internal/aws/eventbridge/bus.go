// Package eventbridge tells facts to an Amazon EventBridge event bus, where rules hand them to whoever listens:
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html.
package eventbridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// Source is the source of all facts; their detail-type is the [hub.FactType].
const Source = "bellhop"

// timeout of one fact, tries included: a bus that hangs must not hold up a chat for longer.
const timeout = 2 * time.Second

// Bus is a [hub.Bus] on an event bus.
type Bus struct {
	client *eventbridge.Client
	name   string
}

var _ hub.Bus = (*Bus)(nil)

// New gives a bus by its name or ARN.
func New(client *eventbridge.Client, name string) *Bus { return &Bus{client: client, name: name} }

func (b *Bus) Tell(ctx context.Context, f hub.Fact) error {
	detail, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode fact %s: %w", f.Type, err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out, err := b.client.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		EventBusName: &b.name, Source: aws.String(Source), DetailType: aws.String(string(f.Type)),
		Detail: aws.String(string(detail)), Time: aws.Time(time.UnixMilli(f.Time)),
	}}})
	if err != nil {
		return fmt.Errorf("put fact %s: %w", f.Type, err)
	}
	for _, e := range out.Entries { // a refused entry is no error of the call
		if e.ErrorCode != nil {
			return fmt.Errorf("put fact %s: %w", f.Type, errors.New(*e.ErrorCode+": "+aws.ToString(e.ErrorMessage)))
		}
	}
	return nil
}
