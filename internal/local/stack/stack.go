// Package stack finds what an installation of Bellhop consists of, for the commands that talk to one: by the name of its
// CloudFormation stack, or by the address of its WebSocket API. That may be on AWS, in an emulator of AWS
// (AWS_ENDPOINT_URL), or under `bellhop dev`.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bellhop-rt/bellhop/emitter"
	"github.com/bellhop-rt/bellhop/emitter/vialambda"
)

// callTimeout is for one request of an AWS API.
const callTimeout = 10 * time.Second

// Stack is an installation, as far as it can be seen from here. What is empty is not known, or not there.
type Stack struct {
	Address    string // of the WebSocket API's stage, ws:// or wss://
	Name       string // of the CloudFormation stack
	Function   string // emit, by name
	Queue      string // EmitQueue, by URL
	Emit       string // URL of POST /emit, if programs outside AWS have keys
	Bus        string // the parameter EventBusName
	Management string // URL of the management API's stage
	// Parameters are those of the template, as they were deployed; nil: not known.
	Parameters map[string]string
	// Dev: it is a `bellhop dev`, which asks for no credentials.
	Dev bool
	// AWS reaches what has a name above.
	AWS aws.Config
	// Unseen says why nothing but the address is known; nil: the rest is.
	Unseen error
}

// Find looks at a stack of that name, or else at what answers at an address. That an address is all there is to see is no
// error, see [Stack.Unseen].
func Find(ctx context.Context, address, name string) (*Stack, error) {
	if name != "" {
		cfg, err := load(ctx, "")
		if err != nil {
			return nil, err
		}
		return described(ctx, cfg, name)
	}
	u, err := webSocket(address)
	if err != nil {
		return nil, err
	}
	if isDev(ctx, u) {
		return dev(ctx, u)
	}
	s, err := owner(ctx, u)
	if err != nil {
		return &Stack{Address: u.String(), Unseen: err}, nil //nolint:nilerr // see Unseen
	}
	s.Address = u.String()
	return s, nil
}

// webSocket is an address as clients connect to it. One without TLS and path is that of `bellhop dev`; a domain of one's own has none.
func webSocket(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("the address must be a WebSocket URL such as wss://abc123.execute-api.eu-west-1.amazonaws.com/dev, not %q", address)
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return nil, fmt.Errorf("the address must begin with wss://, ws://, https:// or http://, not %s://", u.Scheme)
	}
	if u.Scheme == "ws" && strings.Trim(u.Path, "/") == "" {
		u.Path = "/dev"
	}
	return u, nil
}

// load reads the configuration of the AWS CLI. Calls are not repeated for long: somebody waits.
func load(ctx context.Context, region string) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(callTimeout)), config.WithRetryMaxAttempts(2),
	}
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, fmt.Errorf("load AWS configuration: %w", err)
	}
	return cfg, nil
}

// described reads the stack of that name.
func described(ctx context.Context, cfg aws.Config, name string) (*Stack, error) {
	out, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil {
		return nil, fmt.Errorf("describe stack %s: %w", name, err)
	}
	if len(out.Stacks) == 0 {
		return nil, fmt.Errorf("there is no stack %s", name)
	}
	s := read(cfg, out.Stacks[0])
	switch status := string(out.Stacks[0].StackStatus); {
	case s.Address != "":
		return s, nil
	case strings.HasSuffix(status, "_COMPLETE") && !strings.Contains(status, "ROLLBACK") && !strings.HasPrefix(status, "DELETE"):
		return nil, fmt.Errorf("the stack %s has no output WebSocketUrl: it is not Bellhop's", name)
	default:
		return nil, fmt.Errorf("the stack %s is %s", name, status)
	}
}

// read takes a stack's parameters and outputs.
func read(cfg aws.Config, described types.Stack) *Stack {
	s := &Stack{Name: aws.ToString(described.StackName), AWS: cfg, Parameters: map[string]string{}}
	for _, p := range described.Parameters {
		s.Parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	for _, o := range described.Outputs {
		value := aws.ToString(o.OutputValue)
		switch aws.ToString(o.OutputKey) {
		case "WebSocketUrl":
			s.Address = value
		case "ManagementEndpoint":
			s.Management = value
		case "EmitFunctionName":
			s.Function = value
		case "EmitQueueUrl":
			s.Queue = value
		case "EmitUrl":
			s.Emit = value
		}
	}
	s.Bus = s.Parameters["EventBusName"]
	return s
}

// apiHost is the address of an API on AWS.
var apiHost = regexp.MustCompile(`^[a-z0-9]+\.execute-api\.([a-z0-9-]+)\.`)

// owner finds the stack that has an address, in the address's region or the configured one.
func owner(ctx context.Context, u *url.URL) (*Stack, error) {
	region := ""
	if m := apiHost.FindStringSubmatch(u.Hostname()); m != nil {
		region = m[1]
	}
	cfg, err := load(ctx, region)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pages := cloudformation.NewDescribeStacksPaginator(cloudformation.NewFromConfig(cfg), &cloudformation.DescribeStacksInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("look for its stack: %w", err)
		}
		for _, one := range page.Stacks {
			if s := read(cfg, one); s.Address != "" && slices.Contains([]string{s.Address, s.Address + "/"}, u.String()) {
				return s, nil
			}
		}
	}
	return nil, errors.New("no stack has an output WebSocketUrl of that address: give --stack")
}

// isDev asks whether a `bellhop dev` listens there, which has no TLS, while AWS always has.
func isDev(ctx context.Context, u *url.URL) bool {
	if u.Scheme != "ws" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, httpURL(u)+"/_bellhop/stats", http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return err == nil && response.StatusCode == http.StatusOK && strings.Contains(string(body), `"connections"`)
}

// httpURL is the server of a WebSocket address.
func httpURL(u *url.URL) string { return strings.Replace(u.Scheme, "ws", "http", 1) + "://" + u.Host }

// dev is a `bellhop dev`, which speaks the APIs of Lambda, SQS and EventBridge at its own address.
func dev(ctx context.Context, u *url.URL) (*Stack, error) {
	here := httpURL(u)
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: &here, HTTPClient: &http.Client{Timeout: callTimeout},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	}
	s := &Stack{Address: u.String(), Management: here + u.Path, Emit: here + "/emit", Function: "emit", Dev: true, AWS: cfg}
	name := "EmitQueue"
	queue, err := sqs.NewFromConfig(cfg).GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return nil, fmt.Errorf("find the emit queue of %s: %w", here, err)
	}
	s.Queue = aws.ToString(queue.QueueUrl)
	return s, nil
}

// Emitter emits by invoking the function, and waits for its answer.
func (s *Stack) Emitter() (*emitter.Emitter, error) {
	if s.Function == "" {
		return nil, fmt.Errorf("the emit function is not known: %w", s.Unseen)
	}
	return emitter.New(vialambda.New(lambda.NewFromConfig(s.AWS), s.Function)), nil
}

// Secret reads the key that signs tokens. It is nil where a key set does, or where that is not known.
func (s *Stack) Secret(ctx context.Context) ([]byte, error) {
	arn := s.Parameters["JwtSecretArn"]
	if arn == "" {
		return nil, nil
	}
	out, err := secretsmanager.NewFromConfig(s.AWS).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		return nil, fmt.Errorf("read the stack's secret: %w", err)
	}
	return []byte(aws.ToString(out.SecretString)), nil
}
