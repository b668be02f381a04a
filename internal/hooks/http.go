package hooks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// HTTP is a [Caller] that posts questions to a web server of the application's, for development: an answer has the
// status 200 or 204, or any of 2xx.
type HTTP struct {
	URL    string
	Client *http.Client // nil: http.DefaultClient
}

var _ Caller = HTTP{}

func (h HTTP) Call(ctx context.Context, question []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(question))
	if err != nil {
		return nil, fmt.Errorf("post to hook: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := h.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("post to hook: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxVerdict+1))
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", h.URL, err)
	}
	if response.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s answered %s: %.200s", h.URL, response.Status, body)
	}
	return body, nil
}

func (h HTTP) Tell(ctx context.Context, question []byte) error {
	_, err := h.Call(ctx, question)
	return err
}
