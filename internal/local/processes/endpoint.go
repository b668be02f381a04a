package processes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Endpoint is the functions of a template at the Lambda Invoke API of another program.
type Endpoint struct {
	Template *template.Template
	URL      string
}

// Functions gives a function for each of the template, by logical id.
func (e Endpoint) Functions(ctx context.Context, _ Here) (map[string]invoke.Function, error) {
	return e.Reload(ctx, e.Template)
}

// Reload gives the functions of a template as it is now.
func (e Endpoint) Reload(_ context.Context, t *template.Template) (map[string]invoke.Function, error) {
	list := map[string]invoke.Function{}
	for _, r := range t.Functions {
		list[r.ID] = remote{strings.TrimSuffix(e.URL, "/") + "/2015-03-31/functions/" + url.PathEscape(r.Name) + "/invocations"}
	}
	return list, nil
}

// Close leaves the functions to whoever runs them.
func (Endpoint) Close(context.Context) error { return nil }

// remote is a function at the Lambda Invoke API of another program.
type remote struct{ url string }

// FunctionError is the error of a function that ran elsewhere, as Lambda writes it.
type FunctionError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// Error is what the function said.
func (e *FunctionError) Error() string { return e.Message }

// ErrorType is its name, for whoever answers with it.
func (e *FunctionError) ErrorType() string { return e.Type }

// unreachable is a call that no function has answered.
func unreachable(format string, args ...any) error {
	return &FunctionError{Type: "Sandbox.Failure", Message: "invoke: " + fmt.Sprintf(format, args...)}
}

func (f remote) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(payload))
	if err != nil {
		return nil, unreachable("%v", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if trace := invoke.CauseOf(ctx).Lineage.Header(); trace != "" {
		request.Header.Set(invoke.TraceHeader, trace)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, unreachable("%v (does it run?)", err)
	}
	defer func() { _ = response.Body.Close() }()
	const limit = 6 << 20 // of Lambda's answers
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return nil, unreachable("read answer of %s: %v", f.url, err)
	case response.StatusCode != http.StatusOK:
		return nil, unreachable("%s answered %s: %.500s", f.url, response.Status, body)
	case response.Header.Get("X-Amz-Function-Error") == "":
		return body, nil
	}
	e := &FunctionError{Type: "Unhandled", Message: string(body)}
	if err := json.Unmarshal(body, e); err != nil {
		e.Message = fmt.Sprintf("%.500s", body)
	}
	return nil, e
}
