package invoke

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
)

// The Lambda Invoke API; see "Invoke" in the AWS Lambda API reference.

const (
	pathPrefix = "/2015-03-31/functions/"
	pathSuffix = "/invocations"
)

// nameIn is the function of a path that may still be percent-encoded, empty if the path is not the API's.
func nameIn(path string) string {
	name, isOurs := strings.CutPrefix(path, pathPrefix)
	name, isInvoke := strings.CutSuffix(name, pathSuffix)
	if !isOurs || !isInvoke {
		return ""
	}
	return name
}

// Owns reports whether a URL path, which may still be percent-encoded, is the Invoke API's.
func (s *Service) Owns(path string) bool { return nameIn(path) != "" }

// ServeHTTP serves the Invoke API.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bad := func(code, message string) {
		writeError(w, &awserr.Error{Status: http.StatusBadRequest, Code: code, Message: message})
	}
	name, err := url.PathUnescape(nameIn(r.URL.EscapedPath()))
	if err != nil || r.Method != http.MethodPost {
		writeError(w, &awserr.Error{Status: http.StatusNotFound, Code: "ResourceNotFoundException", Message: "Function not found"})
		return
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxSyncPayload+1))
	if err != nil {
		bad("InvalidRequestContentException", err.Error())
		return
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if !json.Valid(payload) && len(payload) <= maxSyncPayload {
		bad("InvalidRequestContentException", "Could not parse request body into json")
		return
	}
	ctx := For(r.Context(), Cause{Lineage: LineageOf(r.Header.Get(TraceHeader))})
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
		out, err := s.Invoke(ctx, name, payload)
		writeResult(w, out, err)
	case "Event":
		if err := s.InvokeAsync(name, CauseOf(ctx).Lineage, payload); err != nil {
			writeResult(w, nil, err)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	case "DryRun":
		if _, err := s.find(name); err != nil {
			writeResult(w, nil, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		bad("InvalidParameterValueException", "invocation type "+kind)
	}
}

// writeResult writes a result. What a function throws is 200 with a header: only Lambda's own errors have an error status.
func writeResult(w http.ResponseWriter, out []byte, err error) {
	if api, ok := errors.AsType[*awserr.Error](err); ok {
		writeError(w, api)
		return
	}
	w.Header()["X-Amz-Executed-Version"] = []string{"$LATEST"}
	switch {
	case err != nil:
		w.Header()["X-Amz-Function-Error"] = []string{"Unhandled"}
		write(w, http.StatusOK, map[string]string{"errorMessage": err.Error(), "errorType": errorType(err)})
	case len(out) == 0:
		writeJSON(w, http.StatusOK, []byte(null))
	default:
		writeJSON(w, http.StatusOK, out)
	}
}

func writeError(w http.ResponseWriter, err *awserr.Error) {
	kind := "User"
	if err.Status >= http.StatusInternalServerError {
		kind = "Service"
	}
	w.Header()["x-amzn-ErrorType"] = []string{err.Code}
	write(w, err.Status, map[string]string{"Type": kind, "Message": err.Message})
}

func write(w http.ResponseWriter, status int, answer map[string]string) {
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // JSON, and called so
}

func errTooLarge(limit int) error {
	return &awserr.Error{
		Status: http.StatusRequestEntityTooLarge, Code: "RequestTooLargeException",
		Message: fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation", limit),
	}
}
