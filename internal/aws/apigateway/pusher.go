// Package apigateway reaches open connections through the management API of Amazon API Gateway:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html.
//
// It retries nothing: the hub knows what an event is worth. It bounds every call, because a call that hangs would hold up
// a fan-out until the function's own timeout (https://github.com/aws/aws-sdk-js-v3/issues/6896).
package apigateway

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/smithy-go"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// Options are what may be set; the zero value works.
type Options struct {
	Timeout     time.Duration // of one call; default 3 s
	Connections int           // kept open to the API; default 256, more than a function pushes at once
	Grow        time.Duration // after which another 16 of them may be opened; default 1 s
	TLS         *tls.Config   // default: what the system trusts
}

// Pusher is a [hub.Pusher] on the management API.
type Pusher struct {
	client  *apigatewaymanagementapi.Client
	poster  *poster
	timeout time.Duration
}

var (
	_ hub.Pusher   = (*Pusher)(nil)
	_ hub.Preparer = (*Pusher)(nil)
)

// New gives a pusher for the stage at endpoint, such as https://abc.execute-api.eu-west-1.amazonaws.com/dev.
func New(cfg aws.Config, endpoint string, o Options) *Pusher {
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Connections <= 0 {
		o.Connections = 256
	}
	if o.Grow <= 0 {
		o.Grow = laneEvery
	}
	lanes := newLanes(o)
	client := apigatewaymanagementapi.NewFromConfig(cfg, func(c *apigatewaymanagementapi.Options) {
		c.BaseEndpoint = &endpoint
		c.HTTPClient = &http.Client{Transport: lanes}
		c.Retryer = aws.NopRetryer{}
	})
	return &Pusher{client: client, poster: newPoster(cfg, endpoint, lanes), timeout: o.Timeout}
}

// Push calls PostToConnection.
func (p *Pusher) Push(ctx context.Context, connection string, frame []byte) error {
	return p.Prepare(frame)(ctx, connection)
}

// Prepare computes the hash that the signature of each PostToConnection is made with.
func (p *Pusher) Prepare(frame []byte) func(ctx context.Context, connection string) error {
	sum := sha256.Sum256(frame)
	hash := hex.EncodeToString(sum[:])
	return func(ctx context.Context, connection string) error {
		ctx, cancel := context.WithTimeout(ctx, p.timeout)
		defer cancel()
		return translate("post to", connection, p.poster.post(ctx, connection, frame, hash))
	}
}

// Close calls DeleteConnection.
func (p *Pusher) Close(ctx context.Context, connection string) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	_, err := p.client.DeleteConnection(ctx, &apigatewaymanagementapi.DeleteConnectionInput{ConnectionId: &connection})
	return translate("delete", connection, err)
}

// Alive calls GetConnection.
func (p *Pusher) Alive(ctx context.Context, connection string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	_, err := p.client.GetConnection(ctx, &apigatewaymanagementapi.GetConnectionInput{ConnectionId: &connection})
	err = translate("get", connection, err)
	if errors.Is(err, hub.ErrGone) {
		return false, nil
	}
	return err == nil, err
}

// translate turns an answer of the API into an error of the hub's. It goes by the status: 400 is not among the API's documented
// errors, and 410 comes without a body.
func translate(verb, connection string, err error) error {
	if err == nil {
		return nil
	}
	status, code := answered(err)
	switch status {
	case http.StatusGone:
		return hub.ErrGone
	case http.StatusBadRequest: // a malformed id; other faults of a request are nothing that the connection did
		if code == "BadRequestException" {
			return hub.ErrGone
		}
	case http.StatusTooManyRequests:
		return hub.ErrThrottled
	case http.StatusRequestEntityTooLarge:
		return hub.ErrTooLarge
	case http.StatusForbidden:
		return fmt.Errorf("%s connection %s: %w (the function needs execute-api:ManageConnections, and MANAGEMENT_ENDPOINT the stage at its end)", verb, connection, err)
	}
	return fmt.Errorf("%s connection %s: %w", verb, connection, err)
}

// answered gives the status and the code of an answer, of the client's or of one that was posted here; 0: there was none.
func answered(err error) (status int, code string) {
	if r, is := errors.AsType[*reply](err); is {
		return r.status, r.code
	}
	if r, is := errors.AsType[*awshttp.ResponseError](err); is {
		status = r.HTTPStatusCode()
	}
	if api, is := errors.AsType[smithy.APIError](err); is {
		code = api.ErrorCode()
	}
	return status, code
}
