// Package apigateway reaches open connections through the management API of Amazon API Gateway:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html.
//
// It retries nothing: the hub knows what an event is worth. It bounds every call, because a call that hangs would hold up
// a fan-out until the function's own timeout (https://github.com/aws/aws-sdk-js-v3/issues/6896).
package apigateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// Options are what may be set; the zero value works.
type Options struct {
	Timeout     time.Duration // of one call; default 3 s
	Connections int           // kept open to the API; default 256, more than a function pushes at once
}

// Pusher is a [hub.Pusher] on the management API.
type Pusher struct {
	client  *apigatewaymanagementapi.Client
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
	client := apigatewaymanagementapi.NewFromConfig(cfg, func(c *apigatewaymanagementapi.Options) {
		c.BaseEndpoint = &endpoint
		c.HTTPClient = &http.Client{Transport: transport(o.Connections)}
		c.Retryer = aws.NopRetryer{}
		c.APIOptions = append(c.APIOptions, lean, knowHash)
	})
	return &Pusher{client: client, timeout: o.Timeout}
}

// transport keeps as many connections as a fan-out uses at once; the standard library's default keeps two and opens the
// others anew, with a TLS handshake each. A second HTTP/2 connection is never opened for one host, so HTTP/1.1 it is.
func transport(connections int) *http.Transport {
	dialer := net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 2 * time.Second,
		MaxIdleConns:        connections,
		MaxIdleConnsPerHost: connections,
		MaxConnsPerHost:     connections,
		IdleConnTimeout:     90 * time.Second,
	}
}

// lean takes out of a call what only matters to one that is tried again, logged or told apart by its client: a fan-out makes
// thousands. What a later version of the SDK does not have need not be taken out.
func lean(stack *middleware.Stack) error {
	for _, id := range []string{"ClientRequestID", "SetCredentialSourceMiddleware", "UserAgent"} {
		_, _ = stack.Build.Remove(id)
	}
	for _, id := range []string{"spanRetryLoop", "InterceptBeforeRetryLoop", "Retry", "InterceptAttempt", "RetryMetricsHeader"} {
		_, _ = stack.Finalize.Remove(id)
	}
	for _, id := range []string{"RecordResponseTiming", "RequestResponseLogger"} {
		_, _ = stack.Deserialize.Remove(id)
	}
	return nil
}

// hashKey is where a context has the hash of a frame.
type hashKey struct{}

// knowHash has a frame's hash signed that is in the context. The SDK computes one only if there is none.
func knowHash(stack *middleware.Stack) error {
	know := middleware.FinalizeMiddlewareFunc("KnowHash", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if hash, ok := ctx.Value(hashKey{}).(string); ok {
			ctx = v4.SetPayloadHash(ctx, hash)
		}
		return next.HandleFinalize(ctx, in)
	})
	if err := stack.Finalize.Add(know, middleware.Before); err != nil {
		return fmt.Errorf("add to finalize step: %w", err)
	}
	return nil
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
		ctx, cancel := context.WithTimeout(context.WithValue(ctx, hashKey{}, hash), p.timeout)
		defer cancel()
		_, err := p.client.PostToConnection(ctx, &apigatewaymanagementapi.PostToConnectionInput{ConnectionId: &connection, Data: frame})
		return translate("post to", connection, err)
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
	response, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok {
		return fmt.Errorf("%s connection %s: %w", verb, connection, err)
	}
	switch response.HTTPStatusCode() {
	case http.StatusGone:
		return hub.ErrGone
	case http.StatusBadRequest: // a malformed id; other faults of a request are nothing that the connection did
		if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "BadRequestException" {
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
