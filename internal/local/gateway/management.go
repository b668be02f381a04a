package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
)

// The error codes of the management API, as the SDKs know them; see "Use @connections commands in your backend service".
const (
	CodeGone            = "GoneException"            // 410: the connection is not there, or not yet; do not retry
	CodeLimitExceeded   = "LimitExceededException"   // 429: the receiver does not keep up; retry with backoff
	CodePayloadTooLarge = "PayloadTooLargeException" // 413: more than 128 KB; do not retry
	CodeBadRequest      = "BadRequestException"      // 400: not a connection id; do not retry
	CodeForbidden       = "ForbiddenException"       // 403: no or another stage in the path; do not retry
)

func errForbidden() *awserr.Error {
	return &awserr.Error{Status: http.StatusForbidden, Code: CodeForbidden, Message: "Forbidden"}
}

// managedBy reads a path of the management API, whose parts may be percent-encoded. Without a stage it is the API's all the same.
func managedBy(path string) (stage, id string, ok bool) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	at := slices.IndexFunc(parts, isConnections)
	if at < 0 {
		return "", "", false
	}
	return strings.Join(parts[:at], "/"), strings.Join(parts[at+1:], "/"), true
}

func isConnections(s string) bool {
	return strings.EqualFold(s, "%40connections") || s == "@connections"
}

// manage serves the management API on the wire.
func (s *Server) manage(w http.ResponseWriter, r *http.Request, stage, id string) {
	requestID(w, uuid.NewString())
	id, err := url.PathUnescape(id)
	if err != nil || !s.isStage(stage) || id == "" {
		writeAPIError(w, errForbidden())
		return
	}
	switch r.Method {
	case http.MethodPost:
		err = s.postHTTP(w, r, id)
	case http.MethodGet:
		err = s.getHTTP(w, id)
	case http.MethodDelete:
		if err = s.Disconnect(r.Context(), id); err == nil {
			w.WriteHeader(s.cfg.Choices.deleted())
		}
	default:
		err = errForbidden()
	}
	if err != nil {
		writeAPIError(w, err)
	}
}

func (s *Server) postHTTP(w http.ResponseWriter, r *http.Request, id string) error {
	var buf bytes.Buffer
	if r.ContentLength > 0 && r.ContentLength <= maxMessage {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(r.Body, maxMessage+1)); err != nil {
		return &awserr.Error{Status: http.StatusBadRequest, Code: CodeBadRequest, Message: "the body could not be read"}
	}
	if err := s.Post(r.Context(), id, buf.Bytes()); err != nil {
		return err
	}
	w.Header()["Content-Type"] = nil
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) getHTTP(w http.ResponseWriter, id string) error {
	info, err := s.Connection(id)
	if err != nil {
		return err
	}
	const layout = "2006-01-02T15:04:05.000Z"
	body, err := json.Marshal(map[string]any{
		"connectedAt":  info.ConnectedAt.UTC().Format(layout),
		"lastActiveAt": info.LastActiveAt.UTC().Format(layout),
		"identity":     map[string]any{"sourceIp": info.Identity.SourceIP, "userAgent": nullable(info.Identity.UserAgent)},
	})
	if err != nil {
		return fmt.Errorf("encode connection: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
	return nil
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// writeAPIError writes err as AWS does: the code in a header, which is what the SDKs read first. A 410 has no body at all.
func writeAPIError(w http.ResponseWriter, err error) {
	api := awserr.Of(err, "InternalServerErrorException")
	w.Header()["x-amzn-ErrorType"] = []string{api.Code}
	if api.Status == http.StatusGone {
		w.Header()["Content-Type"] = nil
		w.WriteHeader(api.Status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(api.Status)
	b := appendString([]byte(`{"message":`), api.Message)
	_, _ = w.Write(append(b, '}')) //nolint:gosec // JSON, and called so
}

// Post sends data to a connection, like POST @connections/{id} without the HTTP. Nil means the emulator has taken it, not that the
// client has it. Errors are *awserr.Error: CodeGone, CodeLimitExceeded, CodePayloadTooLarge, CodeBadRequest. data is copied.
func (s *Server) Post(ctx context.Context, id string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("post to %s: %w", id, err)
	}
	if len(data) > maxMessage {
		return s.posted(id, nil, errTooLarge())
	}
	return s.PostFrame(id, NewFrame(data))
}

func errTooLarge() *awserr.Error {
	return &awserr.Error{Status: http.StatusRequestEntityTooLarge, Code: CodePayloadTooLarge, Message: "the payload is larger than 128 KB"}
}

func errLimitExceeded(message string) *awserr.Error {
	return &awserr.Error{Status: http.StatusTooManyRequests, Code: CodeLimitExceeded, Message: message}
}

// PostFrame is Post for a message that goes to many: the frame is encoded once.
func (s *Server) PostFrame(id string, f *Frame) error {
	if f.size > maxMessage {
		return s.posted(id, f, errTooLarge())
	}
	c, err := s.find(id)
	if err != nil {
		return s.posted(id, f, err)
	}
	if fault := c.refuse(); fault != nil {
		return s.posted(id, f, fault)
	}
	switch err := c.push(f); {
	case errors.Is(err, errGone):
		return s.posted(id, f, s.gone())
	case err != nil:
		s.counters.throttled.Add(1)
		return s.posted(id, f, errLimitExceeded(err.Error()))
	}
	c.touch(s.cfg.Now())
	s.counters.posts.Add(1)
	if s.cfg.Observe == nil {
		return nil
	}
	return s.posted(id, f, nil)
}

// posted tells the observer and returns err, which may be nil.
func (s *Server) posted(id string, f *Frame, err *awserr.Error) error {
	if s.cfg.Observe != nil {
		ev := Event{Kind: KindPush, Time: s.cfg.Now(), Connection: id, Status: http.StatusOK}
		if f != nil {
			ev.Bytes, ev.Data = f.size, f.payload()
		}
		if err != nil {
			ev.Status, ev.Err = err.Status, err
		}
		s.observe(ev)
	}
	if err == nil {
		return nil
	}
	return err
}

func (s *Server) gone() *awserr.Error {
	s.counters.gone.Add(1)
	return &awserr.Error{Status: http.StatusGone, Code: CodeGone}
}

// find is 410 for a connection that is not there, 400 for an id that never was one.
func (s *Server) find(id string) (*conn, *awserr.Error) {
	if c := s.conns.get(id); c != nil {
		return c, nil
	}
	if !wellFormed(id) {
		return nil, &awserr.Error{Status: http.StatusBadRequest, Code: CodeBadRequest, Message: "Invalid connectionId: " + id}
	}
	return nil, s.gone()
}

// Identity is who is at the other end.
type Identity struct {
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent,omitempty"`
}

// ConnectionInfo is an open connection. AWS tells the first four; the counters are for the people who watch.
type ConnectionInfo struct {
	ID           string    `json:"id"`
	ConnectedAt  time.Time `json:"connectedAt"`
	LastActiveAt time.Time `json:"lastActiveAt"`
	Identity     Identity  `json:"identity"`
	RemoteAddr   string    `json:"-"` // the client's address with its port
	MessagesIn   int64     `json:"messagesIn"`
	BytesIn      int64     `json:"bytesIn"`
	MessagesOut  int64     `json:"messagesOut"`
	BytesOut     int64     `json:"bytesOut"`
	Waiting      int       `json:"waiting"` // frames not yet written
}

// Connection is GET @connections/{id}.
func (s *Server) Connection(id string) (ConnectionInfo, error) {
	c, err := s.find(id)
	if err != nil {
		return ConnectionInfo{}, err
	}
	c.late()
	return c.info(), nil
}

// Connections lists what is open, in no order.
func (s *Server) Connections() []ConnectionInfo {
	var out []ConnectionInfo
	for c := range s.conns.all() {
		out = append(out, c.info())
	}
	return out
}

func (c *conn) info() ConnectionInfo {
	info := ConnectionInfo{
		ID:           c.id,
		ConnectedAt:  time.UnixMilli(c.connectedAt),
		LastActiveAt: time.UnixMilli(c.lastActive.Load()),
		Identity:     Identity{SourceIP: c.sourceIP, UserAgent: c.userAgent},
		RemoteAddr:   c.remote,
		MessagesIn:   c.received.Load(),
		BytesIn:      c.receivedBytes.Load(),
	}
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	info.MessagesOut, info.BytesOut, info.Waiting = c.out.sent, c.out.sentBytes, len(c.out.waiting)
	return info
}

// Disconnect is DELETE @connections/{id}: what waits is still sent, the client sees close code 1000 (UNCONFIRMED, inferred from what
// $disconnect reports), $disconnect runs. It does not wait for either.
func (s *Server) Disconnect(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("disconnect %s: %w", id, err)
	}
	c, err := s.find(id)
	if err != nil {
		return err
	}
	c.late()
	if !c.shut(closing{code: codeNormal, reason: reasonNormal}) {
		return s.gone()
	}
	return nil
}
