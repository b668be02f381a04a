// Package away tells failures of AWS that may be over soon from those that will not: a service that cannot be reached, does not answer
// in time, or refuses for its load. Clients are told of the first as unavailable, and not as a fault of somebody's.
package away

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// Is reports whether a failure of a call may be over soon.
func Is(err error) bool {
	if _, spent := errors.AsType[ratelimit.QuotaExceededError](err); spent {
		return true
	}
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

// Mark makes a client's failures that may be over soon [hub.ErrUnavailable] as well, once its retries are spent. It is an option of
// every client of the SDK: o.APIOptions = append(o.APIOptions, away.Mark).
func Mark(stack *middleware.Stack) error {
	mark := middleware.InitializeMiddlewareFunc("MarkUnavailable", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleInitialize(ctx, in)
		if err != nil && Is(err) {
			err = fmt.Errorf("%w: %w", hub.ErrUnavailable, err)
		}
		return out, metadata, err
	})
	if err := stack.Initialize.Add(mark, middleware.Before); err != nil {
		return fmt.Errorf("add to initialize step: %w", err)
	}
	return nil
}
