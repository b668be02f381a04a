package emitter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// LambdaClient is the part of *lambda.Client that the transports need.
type LambdaClient interface {
	// Invoke runs a function: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
	Invoke(ctx context.Context, in *lambda.InvokeInput, options ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

type lambdaTransport struct {
	client   LambdaClient
	function string
	kind     types.InvocationType
}

// Lambda invokes the emit function, by its name or ARN, and waits for its answer. The caller needs the permission
// lambda:InvokeFunction. Several commands go into one invocation, up to 10.
func Lambda(client LambdaClient, functionName string) Transport {
	return lambdaTransport{client, functionName, types.InvocationTypeRequestResponse}
}

// LambdaAsync invokes the emit function without waiting for it: Lambda queues the command and tries it three times, and then leaves it
// in the stack's EmitDeadLetterQueue. There are no answers.
func LambdaAsync(client LambdaClient, functionName string) Transport {
	return lambdaTransport{client, functionName, types.InvocationTypeEvent}
}

func (t lambdaTransport) Answers() bool { return t.kind == types.InvocationTypeRequestResponse }

func (t lambdaTransport) Send(ctx context.Context, commands []json.RawMessage) []Outcome {
	return invoke(ctx, commands, t.call)
}

// unattended says to the function that nobody reads its answer, which it cannot know otherwise: it is to fail where it would answer that
// it could not, or Lambda would not try again. It is what EventBridge hands over.
type unattended struct {
	Type   string          `json:"detail-type"`
	Detail json.RawMessage `json:"detail"`
}

func (t lambdaTransport) call(ctx context.Context, payload []byte) ([]byte, error) {
	if !t.Answers() {
		var err error
		if payload, err = encode(unattended{"bellhop.emit", payload}); err != nil {
			return nil, err
		}
	}
	out, err := t.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &t.function, InvocationType: t.kind, Payload: payload})
	switch {
	case err != nil:
		return nil, fmt.Errorf("emitter: invoke %s: %w", t.function, err)
	case out.FunctionError != nil:
		return nil, functionError(t.function, *out.FunctionError, out.Payload)
	case !t.Answers():
		return nil, nil
	case len(out.Payload) == 0:
		return nil, fmt.Errorf("emitter: function %s answered nothing", t.function)
	}
	return out.Payload, nil
}

type httpTransport struct {
	url    string
	client *http.Client
}

// emitFunction is what the function is called under `bellhop dev`.
const emitFunction = "emit"

const maxAnswer = 6 << 20 // bytes: what a function may answer

// HTTP invokes the emit function of `bellhop dev`, at an endpoint such as http://127.0.0.1:4000, and waits for its
// answer. It speaks Lambda's Invoke API without signatures, so it is not for AWS. A nil client is http.DefaultClient,
// which waits as long as the context does.
func HTTP(endpoint string, client *http.Client) Transport {
	if client == nil {
		client = http.DefaultClient
	}
	return httpTransport{strings.TrimRight(endpoint, "/") + "/2015-03-31/functions/" + emitFunction + "/invocations", client}
}

func (t httpTransport) Answers() bool { return true }

func (t httpTransport) Send(ctx context.Context, commands []json.RawMessage) []Outcome {
	return invoke(ctx, commands, t.call)
}

func (t httpTransport) call(ctx context.Context, payload []byte) (answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("emitter: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amz-Invocation-Type", string(types.InvocationTypeRequestResponse))
	resp, err := t.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("emitter: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	kind := resp.Header.Get("X-Amz-Function-Error")
	switch {
	case err != nil:
		return nil, fmt.Errorf("emitter: read the answer of %s: %w", t.url, err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("emitter: %s answered %s: %.200q", t.url, resp.Status, body)
	case kind != "":
		return nil, functionError(emitFunction, kind, body)
	case len(body) == 0:
		return nil, fmt.Errorf("emitter: %s answered nothing", t.url)
	}
	return body, nil
}
