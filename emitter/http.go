package emitter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/bellhop-rt/bellhop/emitter/internal/wire"
)

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
	url := strings.TrimRight(endpoint, "/") + "/2015-03-31/functions/" + emitFunction + "/invocations"
	return Invoking(true, func(ctx context.Context, payload []byte) ([]byte, error) { return post(ctx, client, url, payload) })
}

func post(ctx context.Context, client *http.Client, url string, payload []byte) (answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("emitter: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amz-Invocation-Type", "RequestResponse")
	resp, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("emitter: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	kind := resp.Header.Get("X-Amz-Function-Error")
	switch {
	case err != nil:
		return nil, fmt.Errorf("emitter: read the answer of %s: %w", url, err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("emitter: %s answered %s: %.200q", url, resp.Status, body)
	case kind != "":
		return nil, wire.FunctionError(emitFunction, kind, body)
	case len(body) == 0:
		return nil, fmt.Errorf("emitter: %s answered nothing", url)
	}
	return body, nil
}
