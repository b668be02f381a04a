package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxSyncPayload  = 6 << 20 // "Lambda quotas"
	maxAsyncPayload = 1 << 20
	maxInvocation   = 15 * time.Minute
)

// Invoke runs a function and waits for its result, as the Invoke API does. function is a logical id, a folder name, a FunctionName or
// an ARN. An error that is an *APIError is Lambda's (unknown function, payload too large); any other is what the function threw.
func (s *Server) Invoke(ctx context.Context, function string, payload []byte) ([]byte, error) {
	fn, err := s.findFunction(function)
	if err != nil {
		return nil, err
	}
	if len(payload) > maxSyncPayload {
		return nil, errRequestTooLarge(maxSyncPayload)
	}
	if !s.enter() {
		return nil, errClosing()
	}
	defer s.handlers.Done()
	begin := s.cfg.Now()
	out, failed := s.await(ctx, fn, payload, maxInvocation)
	s.observe(Event{Kind: KindInvoke, Time: begin, Function: fn.id, Bytes: len(payload), Err: failed})
	return out, failed
}

// InvokeAsync hands an event to a function and returns at once. A function that fails is run again after one and after two more
// minutes, like Lambda's own retries. At most 1,000 such events wait or run; then it is 429 TooManyRequestsException.
func (s *Server) InvokeAsync(function string, payload []byte) error {
	fn, err := s.findFunction(function)
	if err != nil {
		return err
	}
	if len(payload) > maxAsyncPayload {
		return errRequestTooLarge(maxAsyncPayload)
	}
	if !s.enter() {
		return errClosing()
	}
	select {
	case s.async <- struct{}{}:
	default:
		s.handlers.Done()
		return &APIError{Status: http.StatusTooManyRequests, Code: "TooManyRequestsException", Message: "Rate Exceeded."}
	}
	go func() {
		defer s.handlers.Done()
		defer func() { <-s.async }()
		s.runAsync(fn, payload, KindInvoke)
	}()
	return nil
}

// runAsync runs an asynchronous event with its retries. Those still waiting when the server closes are dropped.
func (s *Server) runAsync(fn *function, payload []byte, kind Kind) {
	for attempt := 0; ; attempt++ {
		begin := s.cfg.Now()
		_, err := s.await(s.base, fn, payload, maxInvocation)
		s.observe(Event{Kind: kind, Time: begin, Function: fn.id, Bytes: len(payload), Err: err})
		if err == nil || attempt == len(s.retries) {
			return
		}
		s.log.WarnContext(s.base, "asynchronous invocation failed", "function", fn.id, "attempt", attempt+1, "error", err)
		timer := time.NewTimer(s.retries[attempt])
		select {
		case <-timer.C:
		case <-s.quit:
			timer.Stop()
			return
		}
	}
}

func (s *Server) findFunction(name string) (*function, *APIError) {
	short := name
	if _, after, ok := strings.Cut(name, ":function:"); ok {
		short = after
	}
	short, _, _ = strings.Cut(short, ":") // version or alias
	if fn := s.functions[short]; fn != nil {
		return fn, nil
	}
	return nil, &APIError{Status: http.StatusNotFound, Code: "ResourceNotFoundException", Message: "Function not found: " + name}
}

func errRequestTooLarge(limit int) *APIError {
	return &APIError{
		Status: http.StatusRequestEntityTooLarge, Code: "RequestTooLargeException",
		Message: fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation", limit),
	}
}

func errClosing() *APIError {
	return &APIError{Status: http.StatusServiceUnavailable, Code: "ServiceException", Message: "closing"}
}

// serveInvoke is the Lambda Invoke API; see "Invoke" in the AWS Lambda API reference.
func (s *Server) serveInvoke(w http.ResponseWriter, r *http.Request, name string) {
	name, err := url.PathUnescape(name)
	if err != nil || r.Method != http.MethodPost {
		writeInvokeError(w, &APIError{Status: http.StatusNotFound, Code: "ResourceNotFoundException", Message: "Function not found"})
		return
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxSyncPayload+1))
	if err != nil {
		writeInvokeError(w, &APIError{Status: http.StatusBadRequest, Code: "InvalidRequestContentException", Message: err.Error()})
		return
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if !json.Valid(payload) && len(payload) <= maxSyncPayload {
		writeInvokeError(w, &APIError{
			Status: http.StatusBadRequest, Code: "InvalidRequestContentException", Message: "Could not parse request body into json",
		})
		return
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
		out, err := s.Invoke(r.Context(), name, payload)
		writeInvokeResult(w, out, err)
	case "Event":
		writeInvokeStatus(w, http.StatusAccepted, s.InvokeAsync(name, payload))
	case "DryRun":
		_, unknown := s.findFunction(name)
		if unknown != nil {
			writeInvokeError(w, unknown)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		writeInvokeError(w, &APIError{
			Status: http.StatusBadRequest, Code: "InvalidParameterValueException", Message: "invocation type " + kind,
		})
	}
}

func writeInvokeStatus(w http.ResponseWriter, status int, err error) {
	if err != nil {
		writeInvokeResult(w, nil, err)
		return
	}
	w.WriteHeader(status)
}

// writeInvokeResult writes a result. What a function throws is 200 with a header: only Lambda's own errors have an error status.
func writeInvokeResult(w http.ResponseWriter, out []byte, err error) {
	if api, ok := errors.AsType[*APIError](err); ok {
		writeInvokeError(w, api)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header()["X-Amz-Executed-Version"] = []string{"$LATEST"}
	if err != nil {
		w.Header()["X-Amz-Function-Error"] = []string{"Unhandled"}
		out = errorPayload(err)
	}
	if len(out) == 0 {
		out = []byte("null")
	}
	_, _ = w.Write(out)
}

// errorPayload is the response JSON of a function that threw.
func errorPayload(err error) []byte {
	b := appendString([]byte(`{"errorMessage":`), err.Error())
	b = append(b, `,"errorType":`...)
	b = appendString(b, errorType(err))
	return append(b, '}')
}

func writeInvokeError(w http.ResponseWriter, err *APIError) {
	kind := "User"
	if err.Status >= http.StatusInternalServerError {
		kind = "Service"
	}
	body := appendStrings(nil, map[string]string{"Type": kind, "Message": err.Message})
	w.Header().Set("Content-Type", "application/json")
	w.Header()["x-amzn-ErrorType"] = []string{err.Code}
	w.WriteHeader(err.Status)
	_, _ = w.Write(body)
}
