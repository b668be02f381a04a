package server

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/hubports"
)

// maxEmitBody is what an HTTP API takes, in bytes: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
const maxEmitBody = 10 << 20

// emitPage stands in for the HTTP API of template.yaml: it hands a request to the emit function as API Gateway does.
func emitPage(aws *hubports.AWS) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEmitBody))
		if err != nil {
			console.Refuse(w, http.StatusRequestEntityTooLarge, "Request Too Long")
			return
		}
		headers := map[string]string{}
		for name, values := range r.Header {
			headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
		event, err := json.Marshal(map[string]any{
			"version": "2.0", "routeKey": route.HTTPRoute, "rawPath": r.URL.Path, "headers": headers, "body": string(body), "isBase64Encoded": false,
		})
		var answer struct {
			StatusCode int               `json:"statusCode"`
			Headers    map[string]string `json:"headers"`
			Body       string            `json:"body"`
		}
		if err == nil {
			var text []byte
			if text, err = aws.Emulator.Functions.Invoke(r.Context(), "emit", event); err == nil {
				err = json.Unmarshal(text, &answer)
			}
		}
		if err != nil || answer.StatusCode == 0 {
			console.Refuse(w, http.StatusInternalServerError, "Internal Server Error")
			return
		}
		for name, value := range answer.Headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.WriteString(w, answer.Body) // whoever has gone does not read it
	}
}
