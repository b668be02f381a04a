package hooks

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// Lambda is a [Caller] that invokes an application function:
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html.
type Lambda struct {
	client   *lambda.Client
	function string
}

var _ Caller = Lambda{}

// NewLambda gives a function by its name or ARN. Nothing is tried again: the time is the client's, and the next question
// comes soon.
func NewLambda(cfg aws.Config, function string) Lambda {
	client := lambda.NewFromConfig(cfg, func(o *lambda.Options) { o.Retryer = aws.NopRetryer{} })
	return Lambda{client, function}
}

func (l Lambda) Call(ctx context.Context, question []byte) ([]byte, error) {
	out, err := l.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &l.function, Payload: question})
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", l.function, err)
	}
	if out.FunctionError != nil { // the payload says what it threw, which is for the log alone
		return nil, fmt.Errorf("%s threw: %.500s", l.function, out.Payload)
	}
	return out.Payload, nil
}

// Tell leaves the question in Lambda's own queue, which tries it three times.
func (l Lambda) Tell(ctx context.Context, question []byte) error {
	_, err := l.client.Invoke(ctx, &lambda.InvokeInput{
		FunctionName: &l.function, Payload: question, InvocationType: types.InvocationTypeEvent,
	})
	if err != nil {
		return fmt.Errorf("invoke %s: %w", l.function, err)
	}
	return nil
}
