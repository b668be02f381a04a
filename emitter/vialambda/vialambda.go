// Package vialambda takes the commands of an emitter to the emit function by Lambda's Invoke API:
//
//	e := emitter.New(vialambda.New(lambda.NewFromConfig(cfg), "bellhop-emit"))
package vialambda

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/bellhop-rt/bellhop/emitter"
	"github.com/bellhop-rt/bellhop/emitter/internal/wire"
)

// Client is the part of *lambda.Client that is needed.
type Client interface {
	// Invoke runs a function: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
	Invoke(ctx context.Context, in *lambda.InvokeInput, options ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

// New invokes the emit function, by its name or ARN, and waits for its answer. The caller needs the permission
// lambda:InvokeFunction. Several commands go into one invocation, up to 10.
func New(client Client, functionName string) emitter.Transport {
	return emitter.Invoking(true, func(ctx context.Context, payload []byte) ([]byte, error) {
		out, err := invoke(ctx, client, functionName, types.InvocationTypeRequestResponse, payload)
		if err == nil && len(out) == 0 {
			err = wire.NothingAnswered(functionName)
		}
		return out, err
	})
}

// NewAsync invokes the emit function without waiting for it: Lambda queues the command and tries it three times, and then leaves it
// in the stack's EmitDeadLetterQueue. There are no answers.
func NewAsync(client Client, functionName string) emitter.Transport {
	return emitter.Invoking(false, func(ctx context.Context, payload []byte) ([]byte, error) {
		_, err := invoke(ctx, client, functionName, types.InvocationTypeEvent, wire.Unattended(payload))
		return nil, err
	})
}

func invoke(ctx context.Context, client Client, function string, kind types.InvocationType, payload []byte) ([]byte, error) {
	out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, InvocationType: kind, Payload: payload})
	if err != nil {
		return nil, fmt.Errorf("emitter: invoke %s: %w", function, err)
	}
	if out.FunctionError != nil {
		return nil, wire.FunctionError(function, *out.FunctionError, out.Payload)
	}
	return out.Payload, nil
}
