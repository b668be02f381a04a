package route

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-lambda-go/lambda"
)

// handler is a [lambda.Handler] that decodes an event and encodes an answer, in two thirds of the time that
// lambda.NewHandler's takes by reflection.
type handler[In, Out any] func(ctx context.Context, event In) (Out, error)

var _ lambda.Handler = handler[webSocketEvent, response](nil)

func (h handler[In, Out]) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var event In
	if err := decode(payload, &event); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	answer, err := h(ctx, event)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return b, nil
}
