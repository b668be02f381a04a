package emitter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/bellhop-rt/bellhop/emitter/internal/wire"
)

// LambdaClient is a *lambda.Client, or what has its method Invoke.
//
// Deprecated: it is vialambda.Client, and this name goes with the release after the next.
type LambdaClient any

// SQSClient is an *sqs.Client, or what has its methods SendMessage and SendMessageBatch.
//
// Deprecated: it is viasqs.Client, and this name goes with the release after the next.
type SQSClient any

// Lambda invokes the emit function, and waits for its answer.
//
// Deprecated: it is vialambda.New, which knows the client by its type; here it is known only by the names of its methods, so that
// this package brings no SDK along. This name goes with the release after the next.
func Lambda(client LambdaClient, functionName string) Transport {
	return Invoking(true, func(ctx context.Context, payload []byte) ([]byte, error) {
		out, err := invokeByName(ctx, client, functionName, "RequestResponse", payload)
		if err == nil && len(out) == 0 {
			err = wire.NothingAnswered(functionName)
		}
		return out, err
	})
}

// LambdaAsync invokes the emit function without waiting for it.
//
// Deprecated: it is vialambda.NewAsync, see [Lambda].
func LambdaAsync(client LambdaClient, functionName string) Transport {
	return Invoking(false, func(ctx context.Context, payload []byte) ([]byte, error) {
		_, err := invokeByName(ctx, client, functionName, "Event", wire.Unattended(payload))
		return nil, err
	})
}

func invokeByName(ctx context.Context, client any, function, kind string, payload []byte) ([]byte, error) {
	var out struct {
		FunctionError string
		Payload       []byte
	}
	in := map[string]any{"FunctionName": function, "InvocationType": kind, "Payload": payload}
	if err := byName(ctx, reflect.ValueOf(client).MethodByName("Invoke"), in, &out); err != nil {
		return nil, fmt.Errorf("emitter: invoke %s: %w", function, err)
	}
	if out.FunctionError != "" {
		return nil, wire.FunctionError(function, out.FunctionError, out.Payload)
	}
	return out.Payload, nil
}

type sqsByName struct {
	client SQSClient
	queue  string
}

// SQS sends commands to the queue that the emit function reads, by its URL.
//
// Deprecated: it is viasqs.New, see [Lambda].
func SQS(client SQSClient, queueURL string) Transport { return sqsByName{client, queueURL} }

func (t sqsByName) Answers() bool { return false }

func (t sqsByName) Send(ctx context.Context, commands []json.RawMessage) []Outcome {
	client := reflect.ValueOf(t.client)
	if len(commands) == 1 {
		in := map[string]any{"QueueUrl": t.queue, "MessageBody": string(commands[0])}
		if err := byName(ctx, client.MethodByName("SendMessage"), in, &struct{}{}); err != nil {
			return failed(1, fmt.Errorf("emitter: send to %s: %w", t.queue, err))
		}
		return make([]Outcome, 1)
	}
	out := make([]Outcome, len(commands))
	for i, err := range wire.Batches(ctx, t.queue, commands, func(indices []int) (map[int]wire.Refused, error) {
		entries := make([]map[string]any, len(indices))
		for n, i := range indices {
			entries[n] = map[string]any{"Id": strconv.Itoa(i), "MessageBody": string(commands[i])}
		}
		var answer struct {
			Failed []struct {
				ID          int `json:"Id,string"`
				Code        string
				Message     string
				SenderFault bool
			}
		}
		err := byName(ctx, client.MethodByName("SendMessageBatch"), map[string]any{"QueueUrl": t.queue, "Entries": entries}, &answer)
		refused := make(map[int]wire.Refused, len(answer.Failed))
		for _, f := range answer.Failed {
			refused[f.ID] = wire.Refused{Code: f.Code, Message: f.Message, ForGood: f.SenderFault}
		}
		return refused, err
	}) {
		out[i].Err = err
	}
	return out
}

// byName calls a method of an SDK's client, (ctx, *Input, ...) (*Output, error), with the fields of in, and reads its output into out:
// the SDK's structs have the JSON names of their fields.
func byName(ctx context.Context, method reflect.Value, in, out any) error {
	if !method.IsValid() || method.Type().NumIn() != 3 || method.Type().NumOut() != 2 {
		return errors.New("the client is not one of AWS SDK for Go v2")
	}
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	input := reflect.New(method.Type().In(1).Elem())
	if err := json.Unmarshal(text, input.Interface()); err != nil {
		return err
	}
	got := method.Call([]reflect.Value{reflect.ValueOf(ctx), input})
	if err, is := reflect.TypeAssert[error](got[1]); is {
		return err
	}
	if text, err = json.Marshal(got[0].Interface()); err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}
