package route

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/apikey"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// HTTPRoute is the route of the HTTP API.
const HTTPRoute = "POST /emit"

// maxIdempotencyKey is in bytes.
const maxIdempotencyKey = 64

// httpEvent is a request to the HTTP API, payload format 2.0: names of headers are in lower case.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type httpEvent struct {
	RouteKey string            `json:"routeKey"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	Base64   bool              `json:"isBase64Encoded"`
}

// httpResponse is its answer.
type httpResponse struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
}

// request does the commands of a program that has a key. A list is done in order, and all of it has to be in the key's scope. With an
// Idempotency-Key a publish is logged once, however often the request comes.
func request(ctx context.Context, h *hub.Hub, keys apikey.Keys, e httpEvent) httpResponse {
	bearer, found := strings.CutPrefix(e.Headers["authorization"], "Bearer ")
	key, known := keys.Find(strings.TrimSpace(bearer), time.Now())
	if !found || !known {
		r := respond(refuse(protocol.Errorf(protocol.CodeUnauthenticated, "send a key of EmitKeys that has not ended: Authorization: Bearer bellhop_…")))
		r.Headers["www-authenticate"] = "Bearer"
		return r
	}
	delivery := ""
	if once := e.Headers["idempotency-key"]; once != "" {
		if delivery = "http:" + key.ID + ":" + once; len(once) > maxIdempotencyKey || protocol.CheckID(delivery) != nil {
			return respond(refuse(protocol.Errorf(protocol.CodeBadRequest, "Idempotency-Key must have 1 to %d visible characters", maxIdempotencyKey)))
		}
	}
	body := []byte(e.Body)
	if e.Base64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return respond(refuse(fmt.Errorf("the body is not readable: %w", err)))
		}
	}
	all, list := read(body)
	for _, a := range all {
		if a.err == nil {
			a.err = key.Allow(a.command)
		}
		if a.err != nil {
			return respond(refuse(a.err))
		}
	}
	if !list {
		return respond(all[0].do(ctx, h, nth(delivery, 0)))
	}
	done := make([]hub.Answer, len(all))
	for i, a := range all {
		done[i] = a.do(ctx, h, nth(delivery, i))
	}
	return encode(http.StatusOK, done)
}

// respond gives one answer with the status that it has in HTTP.
func respond(a hub.Answer) httpResponse {
	if a.OK {
		return encode(http.StatusOK, a)
	}
	r := encode(StatusOf(a.Error.Code), a)
	if a.Error.RetryAfter > 0 {
		r.Headers["retry-after"] = strconv.Itoa(int((a.Error.RetryAfter + time.Second - 1) / time.Second))
	}
	return r
}

func encode(status int, answer any) httpResponse {
	text, err := json.Marshal(answer)
	if err != nil { // of what the hub has decoded itself
		status, text = http.StatusInternalServerError, []byte(`{"ok":false,"error":{"code":"internal","message":"The answer cannot be written.","retry":true}}`)
	}
	return httpResponse{StatusCode: status, Headers: map[string]string{"content-type": "application/json", "cache-control": "no-store"}, Body: string(text)}
}

// StatusOf is the status of HTTP that a refusal has.
func StatusOf(c protocol.Code) int {
	switch c {
	case protocol.CodeUnauthenticated, protocol.CodeExpired:
		return http.StatusUnauthorized
	case protocol.CodeForbidden:
		return http.StatusForbidden
	case protocol.CodeConflict:
		return http.StatusConflict
	case protocol.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case protocol.CodeRateLimited:
		return http.StatusTooManyRequests
	case protocol.CodeUnavailable:
		return http.StatusServiceUnavailable
	case protocol.CodeInternal:
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}
