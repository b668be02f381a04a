package runtimeapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// Headers of the Runtime API; the last two are also trailers of a streamed response.
const (
	headerRequestID     = "Lambda-Runtime-Aws-Request-Id"
	headerDeadline      = "Lambda-Runtime-Deadline-Ms"
	headerFunctionARN   = "Lambda-Runtime-Invoked-Function-Arn"
	headerTraceID       = "Lambda-Runtime-Trace-Id"
	headerClientContext = "Lambda-Runtime-Client-Context"
	headerErrorType     = "Lambda-Runtime-Function-Error-Type"
	headerErrorBody     = "Lambda-Runtime-Function-Error-Body"
)

// maxDiscard is how much of a response that is too large is read, so that its sender can read the refusal.
const maxDiscard = 64 << 20

var errTooLarge = errors.New("the body is too large")

// api is what one process sees. A page in a browser on this machine could guess the port, but not leave its Origin out nor give the
// right Host.
func (f *Function) api(p *process, addr string) http.Handler {
	mux := http.NewServeMux()
	const root = "/2018-06-01/runtime/"
	mux.HandleFunc("GET "+root+"invocation/next", func(w http.ResponseWriter, r *http.Request) { f.serveNext(w, r, p) })
	mux.HandleFunc("POST "+root+"invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { f.serveResponse(w, r, p) })
	mux.HandleFunc("POST "+root+"invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) { f.serveError(w, r, p) })
	mux.HandleFunc("POST "+root+"init/error", func(w http.ResponseWriter, r *http.Request) { f.serveInitError(w, r, p) })
	// A runtime registers an internal extension to be sent SIGTERM before SIGKILL, as aws-lambda-go does for WithEnableSIGTERM. Here
	// every process is, so there is nothing to do and there are no events.
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Lambda-Extension-Identifier", newID())
		answer(w, http.StatusOK, map[string]string{"functionName": f.cfg.Name, "functionVersion": "$LATEST", "handler": f.cfg.Handler})
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != addr || r.Header.Get("Origin") != "" {
			refuse(w, http.StatusForbidden, "Forbidden", "only the function's own process may ask")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// serveNext completes the call that the process had and waits for another one.
func (f *Function) serveNext(w http.ResponseWriter, r *http.Request, p *process) {
	f.mu.Lock()
	said := p.said
	f.mu.Unlock()
	if said != nil {
		said.settle()
	}
	if !f.ask(p) {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the last invocation has no response yet, or the init phase failed")
		return
	}
	select {
	case inv := <-p.work:
		if r.Context().Err() != nil {
			p.work <- inv // the process went away and will ask again
			return
		}
		f.deliver(w, inv)
	case <-r.Context().Done():
	}
}

// ask notes that the process has nothing to do; false if it has, or has failed.
func (f *Function) ask(p *process) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.initError != nil {
		return false
	}
	if !p.ready {
		p.ready = true
		p.init = time.Since(p.began)
		f.starting--
	}
	inv := p.current
	if inv != nil && !inv.delivered {
		return true // it asked before and lost its connection
	}
	if inv != nil && !inv.settled {
		return false
	}
	// In this order: the caller's next call must find the process.
	p.current = nil
	f.free(p)
	if inv != nil {
		inv.complete()
	}
	return true
}

func (f *Function) deliver(w http.ResponseWriter, inv *invocation) {
	f.mu.Lock()
	inv.delivered = true
	deadline := inv.deadline
	f.mu.Unlock()
	h := w.Header()
	h.Set(headerRequestID, inv.id)
	h.Set(headerDeadline, strconv.FormatInt(deadline.UnixMilli(), 10))
	h.Set(headerFunctionARN, inv.arn)
	h.Set(headerTraceID, inv.trace)
	if inv.client != "" {
		h.Set(headerClientContext, inv.client)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(inv.payload)))
	_, _ = w.Write(inv.payload) // a process that cannot read it exits or is late
}

func (f *Function) serveResponse(w http.ResponseWriter, r *http.Request, p *process) {
	inv := f.holds(w, r, p)
	if inv == nil {
		return
	}
	out, err := readBody(r)
	var failure *Error
	switch {
	case errors.Is(err, errTooLarge):
		failure = &Error{
			Type:    "Function.ResponseSizeTooLarge",
			Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxPayload),
		}
	case err != nil:
		return // it broke off: it exits, or tries again
	case r.Trailer.Get(headerErrorType) != "": // a stream that failed after it began
		body, _ := base64.StdEncoding.DecodeString(r.Trailer.Get(headerErrorBody))
		failure = parseError(body, r.Trailer.Get(headerErrorType))
	}
	f.finish(inv, out, failure)
	if errors.Is(err, errTooLarge) {
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", failure.Message)
		return
	}
	accept(w)
}

func (f *Function) serveError(w http.ResponseWriter, r *http.Request, p *process) {
	inv := f.holds(w, r, p)
	if inv == nil {
		return
	}
	body, err := readBody(r)
	if err != nil && !errors.Is(err, errTooLarge) {
		return
	}
	f.finish(inv, nil, parseError(body, r.Header.Get(headerErrorType)))
	accept(w)
}

func (f *Function) serveInitError(w http.ResponseWriter, r *http.Request, p *process) {
	body, err := readBody(r)
	if err != nil && !errors.Is(err, errTooLarge) {
		return
	}
	f.mu.Lock()
	late := p.ready
	if !late {
		p.initError = parseError(body, r.Header.Get(headerErrorType))
		time.AfterFunc(stopGrace/2, func() { // it is expected to exit by itself
			f.mu.Lock()
			defer f.mu.Unlock()
			f.kill(p)
		})
	}
	f.mu.Unlock()
	if late {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the init phase is over")
		return
	}
	accept(w)
}

// holds returns the call that a request names, if the process has it and has not answered yet.
func (f *Function) holds(w http.ResponseWriter, r *http.Request, p *process) *invocation {
	f.mu.Lock()
	inv := p.current
	ok := inv != nil && inv.id == r.PathValue("id") && !inv.settled
	f.mu.Unlock()
	if !ok {
		_, _ = io.CopyN(io.Discard, r.Body, maxDiscard)
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "the process has no such invocation")
		return nil
	}
	return inv
}

func (f *Function) finish(inv *invocation, out []byte, failure *Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle(inv, out, failure)
}

// readBody reads a body of maxPayload at most. Of a larger one it returns that much, and errTooLarge.
func readBody(r *http.Request) ([]byte, error) {
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(min(r.ContentLength, maxPayload)) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(r.Body, maxPayload+1))
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if n > maxPayload {
		_, _ = io.CopyN(io.Discard, r.Body, maxDiscard)
		return b.Bytes()[:maxPayload], errTooLarge
	}
	return b.Bytes(), nil
}

// parseError reads what a function says of its failure: {"errorMessage", "errorType", "stackTrace"}, by the documentation; some
// runtimes have the type in the header only.
func parseError(body []byte, header string) *Error {
	var e struct {
		Message string `json:"errorMessage"`
		Type    string `json:"errorType"`
	}
	valid := json.Unmarshal(body, &e) == nil
	if e.Type == "" {
		e.Type = header
	}
	if e.Type == "" {
		e.Type = "Runtime.Unknown"
	}
	out := &Error{Type: e.Type, Message: e.Message}
	if valid {
		out.Payload = body
	} else {
		out.Message = strings.ToValidUTF8(string(body[:min(len(body), tailBytes)]), "")
	}
	return out
}

func accept(w http.ResponseWriter) { answer(w, http.StatusAccepted, map[string]string{"status": "OK"}) }

func refuse(w http.ResponseWriter, status int, kind, message string) {
	answer(w, status, map[string]string{"errorType": kind, "errorMessage": message})
}

func answer(w http.ResponseWriter, status int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	out, _ := json.Marshal(body) //nolint:errchkjson // texts only
	_, _ = w.Write(out)
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// validID keeps what would not be one element of a path, or no header, out of both.
func validID(id string) bool {
	return id != "" && len(id) <= 128 && strings.IndexFunc(id, func(c rune) bool {
		return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) < 0
}

// newTrace is an X-Ray header, not sampled.
func newTrace() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0", time.Now().Unix(), hex.EncodeToString(b[:12]), hex.EncodeToString(b[12:]))
}

type lineageKey struct{}

// WithLineage gives a context to invoke with: how functions have led to this, as the part Lineage of X-Ray's trace header has it.
func WithLineage(ctx context.Context, lineage string) context.Context {
	return context.WithValue(ctx, lineageKey{}, lineage)
}

// lineageOf is the end of a trace header.
func lineageOf(ctx context.Context) string {
	if l, _ := ctx.Value(lineageKey{}).(string); l != "" {
		return ";Lineage=" + l
	}
	return ""
}

// clientContext is the header for a client context, nothing if there is none.
func clientContext(c lambdacontext.ClientContext) string {
	if reflect.ValueOf(c).IsZero() {
		return ""
	}
	out, err := json.Marshal(c)
	if err != nil {
		return ""
	}
	return string(out)
}

var _ interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
} = (*Function)(nil)
