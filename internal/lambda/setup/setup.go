// Package setup wires the functions as they run on AWS: from environment variables, which template.yaml sets, to the
// handler of each function. It is the only reader of the environment. What is missing or wrong there stops a function
// at its start, with a line for each variable to mend.
package setup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/bellhop-rt/bellhop/app"
	"github.com/bellhop-rt/bellhop/internal/apikey"
	"github.com/bellhop-rt/bellhop/internal/aws/apigateway"
	eventbus "github.com/bellhop-rt/bellhop/internal/aws/eventbridge"
	"github.com/bellhop-rt/bellhop/internal/aws/metrics"
	"github.com/bellhop-rt/bellhop/internal/aws/sqsqueue"
	"github.com/bellhop-rt/bellhop/internal/hooks"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// checkTime is how long a function's start may ask for its table.
const checkTime = time.Second

// Function makes the handler of one function.
type Function func(ctx context.Context, s *Setup) (lambda.Handler, error)

// Setup is what functions are made from.
type Setup struct {
	env   *environment
	aws   aws.Config
	log   *slog.Logger
	meter *metrics.Meter // nil: nothing is counted
	notes socketio.Notes
	check func(ctx context.Context) error
	hooks func(app.Setup) hooks.Handlers // that are linked in; nil: none

	dry bool // nothing is asked over the network
}

// Functions are all there are, by the folder of each below functions/.
func Functions() map[string]Function {
	return map[string]Function{
		"authorize": Authorize, "connect": Connect, "disconnect": Disconnect, "message": Message, "emit": Emit, "deliver": Deliver,
		"sweep": Sweep,
	}
}

// Check makes a function as its start on AWS does, short of what only AWS knows: whether the table is there, and what the secret is. The
// error names the parameters of template.yaml that the variables come from, a line each.
func Check(ctx context.Context, f Function, variables map[string]string) error {
	env := &environment{get: func(name string) string { return variables[name] }, show: parameterName}
	cfg := aws.Config{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}}
	_, err := f(ctx, &Setup{env: env, aws: cfg, log: slog.New(slog.DiscardHandler), dry: true})
	return err
}

// Main runs a function under Lambda. It does not return.
func Main(f Function) { MainWith(f, app.Handlers) }

// MainWith is Main with other hooks than those of package app.
func MainWith(f Function, linked func(app.Setup) hooks.Handlers) {
	ctx := context.Background()
	log := lambdacontext.NewLogger()
	handler, err := build(ctx, func(ctx context.Context, s *Setup) (lambda.Handler, error) {
		s.hooks = linked
		return f(ctx, s)
	}, fromOS(), log)
	if err != nil {
		log.ErrorContext(ctx, "cannot start", "error", err)
		os.Exit(1)
	}
	lambda.StartWithOptions(handler, lambda.WithContext(ctx))
}

func build(ctx context.Context, f Function, env *environment, log *slog.Logger) (lambda.Handler, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load AWS configuration: %w", err)
	}
	s := &Setup{env: env, aws: cfg, log: log}
	if stack := env.text("METRICS_STACK"); stack != "" {
		s.meter = metrics.New(stack, os.Stdout, time.Now)
	}
	handler, err := f(ctx, s)
	if err != nil || s.meter == nil {
		return handler, err
	}
	return metered{handler, s.meter, log}, nil
}

// metered writes the metrics of each invocation at its end: Lambda may freeze the function right after.
type metered struct {
	lambda.Handler

	meter *metrics.Meter
	log   *slog.Logger
}

func (m metered) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	out, err := m.Handler.Invoke(ctx, payload)
	if flushErr := m.meter.Flush(); flushErr != nil {
		m.log.ErrorContext(ctx, "metrics", "error", flushErr)
	}
	return out, err
}

// Authorize is functions/authorize.
func Authorize(ctx context.Context, s *Setup) (lambda.Handler, error) {
	origins := s.env.list("ALLOWED_ORIGINS")
	if len(origins) == 0 {
		s.env.failf("ALLOWED_ORIGINS", `is not set: it must be a list such as "https://app.example.org", or "*"`)
	}
	tokens := s.env.socketClients() == socketsToken
	v, err := s.verifier(ctx)
	if err != nil {
		return nil, err
	}
	return route.Authorize(v, route.Admission{Origins: origins, SocketTokens: tokens}, s.log), nil
}

// Connect is functions/connect. It can push to nobody: the connection is not open yet, and nobody else is concerned.
func Connect(ctx context.Context, s *Setup) (lambda.Handler, error) {
	c := s.hubConfig()
	c.Queue = s.queue() // of automatic rooms with presence
	h, sockets, err := s.wire(ctx, c)
	if err != nil {
		return nil, err
	}
	return route.Connect(h, sockets, s.log), nil
}

// Disconnect is functions/disconnect.
func Disconnect(ctx context.Context, s *Setup) (lambda.Handler, error) {
	h, sockets, err := s.wire(ctx, s.deliveringConfig())
	if err != nil {
		return nil, err
	}
	return route.Disconnect(h, sockets, s.log), nil
}

// Message is functions/message.
func Message(ctx context.Context, s *Setup) (lambda.Handler, error) {
	c := s.deliveringConfig()
	v, err := s.verifier(ctx)
	if err != nil {
		return nil, err
	}
	c.Verifier = v
	h, sockets, err := s.wire(ctx, c)
	if err != nil {
		return nil, err
	}
	return route.Message(h, sockets), nil
}

// Emit is functions/emit.
func Emit(ctx context.Context, s *Setup) (lambda.Handler, error) {
	s.env.needed("EMIT_QUEUE_URL", "the URL of the emit queue")
	keys := parsed(s.env, "EMIT_KEYS", apikey.Parse)
	h, err := s.delivering(ctx)
	if err != nil {
		return nil, err
	}
	queue := sqsqueue.New(sqsqueue.NewClient(s.aws), s.env.text("EMIT_QUEUE_URL"))
	return route.Again(route.Emit(h, keys, s.log), queue, s.log), nil
}

// Deliver is functions/deliver.
func Deliver(ctx context.Context, s *Setup) (lambda.Handler, error) {
	h, sockets, err := s.wire(ctx, s.deliveringConfig())
	if err != nil {
		return nil, err
	}
	return route.Again(route.Deliver(h, sockets, s.log), s.queue(), s.log), nil
}

// Sweep is functions/sweep.
func Sweep(ctx context.Context, s *Setup) (lambda.Handler, error) {
	h, err := s.delivering(ctx)
	if err != nil {
		return nil, err
	}
	return route.Sweep(h, s.log), nil
}

// verifier reads who issues tokens. It also reports what was wrong with the environment before.
func (s *Setup) verifier(ctx context.Context) (*token.Verifier, error) {
	c := s.env.tokenConfig()
	arn := s.env.text("JWT_SECRET_ARN")
	if arn == "" && c.JWKSURL == "" {
		s.env.failf("JWT_SECRET_ARN", "and JWKS_URL are not set: one must say how tokens are signed")
	}
	if err := s.env.err(); err != nil {
		return nil, err
	}
	switch {
	case s.dry:
		c.HTTPClient = &http.Client{Transport: offline{}}
		if arn != "" {
			c.Secret = make([]byte, 64) // whatever it is
		}
	case arn != "":
		c.Secrets = secrets(s.aws, arn)
	}
	v, err := token.New(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("token settings: %w", err)
	}
	return v, nil
}

// offline is a network that is not there.
type offline struct{}

// RoundTrip is [http.RoundTripper].RoundTrip.
func (offline) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("offline") }

// secretTime is how long it may take to read the secrets: a function's start has 10 s.
const secretTime = 4 * time.Second

// secrets reads the current version of a secret, and the one before it: tokens of both are good until the next rotation, or until
// somebody takes the label AWSPREVIOUS away.
func secrets(cfg aws.Config, arn string) func(context.Context) ([][]byte, error) {
	client := secretsmanager.NewFromConfig(cfg, func(o *secretsmanager.Options) {
		o.HTTPClient = awshttp.NewBuildableClient().WithTimeout(secretTime / 2)
	})
	version := func(ctx context.Context, stage string) ([]byte, error) {
		got, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn, VersionStage: &stage})
		if err != nil {
			return nil, fmt.Errorf("read the secret JWT_SECRET_ARN: %w", err)
		}
		return []byte(aws.ToString(got.SecretString)), nil
	}
	return func(ctx context.Context) ([][]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, secretTime)
		defer cancel()
		current, err := version(ctx, "AWSCURRENT")
		if err != nil {
			return nil, err
		}
		previous, err := version(ctx, "AWSPREVIOUS")
		if _, none := errors.AsType[*types.ResourceNotFoundException](err); none {
			return [][]byte{current}, nil
		}
		return [][]byte{current, previous}, err
	}
}

// hubConfig is a hub on the table alone.
func (s *Setup) hubConfig() hub.Config {
	c := s.env.hubConfig()
	table := s.env.needed("TABLE_NAME", "the name of the DynamoDB table")
	store := dynamo.New(dynamo.NewClient(s.aws), table, dynamo.Options{})
	c.Store, s.notes, s.check = store, store, store.Check
	c.Logger = s.log
	if s.meter != nil {
		c.Observers = append(c.Observers, s.meter)
	}
	functions, options := s.env.hooks()
	callers := make(map[hub.Hook]hooks.Caller, len(functions))
	for name, function := range functions {
		callers[name] = hooks.NewLambda(s.aws, function)
	}
	var linked hooks.Handlers
	if s.hooks != nil {
		linked = s.hooks(app.Setup{DynamoDB: dynamo.NewClient(s.aws), Table: table})
	}
	c.Hooks = hooks.New(callers, linked, options)
	if bus := s.env.text("EVENT_BUS_NAME"); bus != "" {
		c.Bus = eventbus.New(eventbridge.NewFromConfig(s.aws), bus)
	}
	return c
}

// deliveringConfig is a hub that can also push, and leave work for later.
func (s *Setup) deliveringConfig() hub.Config {
	c := s.hubConfig()
	c.Pusher = apigateway.New(s.aws, s.env.needed("MANAGEMENT_ENDPOINT", "the URL of the WebSocket API's stage"), apigateway.Options{})
	c.Queue = s.queue()
	return c
}

func (s *Setup) queue() *sqsqueue.Queue {
	return sqsqueue.New(sqsqueue.NewClient(s.aws), s.env.needed("DELIVER_QUEUE_URL", "the URL of the deliver queue"))
}

func (s *Setup) delivering(ctx context.Context) (*hub.Hub, error) {
	h, _, err := s.wire(ctx, s.deliveringConfig())
	return h, err
}

// wire makes the hub, unless something was wrong with the environment. A missing table counts as wrong; one that
// does not answer just now may do so when it is needed.
func (s *Setup) wire(ctx context.Context, c hub.Config) (*hub.Hub, *socketio.Server, error) {
	o := s.env.sockets()
	if err := s.env.err(); err != nil {
		return nil, nil, err
	}
	if s.dry {
		h, sockets := socketio.Wire(c, s.notes, o)
		return h, sockets, nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := s.check(ctx); errors.Is(err, dynamo.ErrNoTable) {
		return nil, nil, fmt.Errorf("TABLE_NAME is %q: %w", s.env.text("TABLE_NAME"), err)
	}
	h, sockets := socketio.Wire(c, s.notes, o)
	return h, sockets, nil
}
