package buses

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	target         = "AWSEvents."
	maxPutEntries  = 10
	maxPutBody     = 4 << 20
	maxEntryLength = 256 << 10
)

// Owns reports whether a request is EventBridge's: by a header, since its path is shared with others.
func (s *Service) Owns(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("X-Amz-Target"), target)
}

// putEntry is one entry of PutEvents, and putResult what became of it.
type putEntry struct {
	Bus        string          `json:"EventBusName"`
	Source     string          `json:"Source"`
	DetailType string          `json:"DetailType"`
	Detail     string          `json:"Detail"`
	Time       json.RawMessage `json:"Time"` // seconds, or a date as text
	Resources  []string        `json:"Resources"`
}

type putResult struct {
	EventID      string `json:"EventId,omitempty"`
	ErrorCode    string `json:"ErrorCode,omitempty"`
	ErrorMessage string `json:"ErrorMessage,omitempty"`
}

// ServeHTTP serves the PutEvents of https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html, on any path.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target); action != "PutEvents" {
		write(w, http.StatusBadRequest, map[string]string{
			"__type": "UnknownOperationException", "message": "of EventBridge only PutEvents is emulated, not " + action,
		})
		return
	}
	var in struct {
		Entries []putEntry `json:"Entries"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPutBody))
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err == nil && (len(in.Entries) == 0 || len(in.Entries) > maxPutEntries) {
		err = fmt.Errorf("a request has 1 to %d entries, this has %d", maxPutEntries, len(in.Entries))
	}
	if err != nil {
		write(w, http.StatusBadRequest, map[string]string{"__type": "ValidationException", "message": err.Error()})
		return
	}
	var out struct {
		Failed  int         `json:"FailedEntryCount"`
		Entries []putResult `json:"Entries"`
	}
	for _, entry := range in.Entries {
		got := s.put(entry)
		if got.ErrorCode != "" {
			out.Failed++
		}
		out.Entries = append(out.Entries, got)
	}
	write(w, http.StatusOK, out)
}

func (s *Service) put(e putEntry) putResult {
	detail := json.RawMessage(e.Detail)
	var object map[string]any
	switch {
	case e.Source == "" || e.DetailType == "" || e.Detail == "":
		return putResult{ErrorCode: "InvalidArgument", ErrorMessage: "Source, DetailType and Detail are required"}
	case len(e.Detail)+len(e.Source)+len(e.DetailType) > maxEntryLength:
		return putResult{ErrorCode: "InvalidArgument", ErrorMessage: "the entry is too large"}
	case json.Unmarshal(detail, &object) != nil:
		return putResult{ErrorCode: "MalformedDetail", ErrorMessage: "Detail is malformed."}
	}
	at, err := readTime(e.Time)
	if err != nil {
		return putResult{ErrorCode: "InvalidArgument", ErrorMessage: "Time: " + err.Error()}
	}
	id, err := s.Put(Event{
		Bus: e.Bus, Source: e.Source, DetailType: e.DetailType, Detail: detail, Time: at, Resources: e.Resources,
	})
	if err != nil {
		return putResult{ErrorCode: "InternalFailure", ErrorMessage: err.Error()}
	}
	return putResult{EventID: id}
}

// readTime reads a timestamp of the AWS JSON protocol, in seconds, or one that a person wrote.
func readTime(text json.RawMessage) (time.Time, error) {
	if len(text) == 0 || string(text) == "null" {
		return time.Time{}, nil
	}
	var seconds float64
	if json.Unmarshal(text, &seconds) == nil {
		return time.UnixMilli(int64(seconds * 1000)), nil
	}
	var at time.Time
	if err := json.Unmarshal(text, &at); err != nil {
		return at, fmt.Errorf("%s is no timestamp: %w", text, err)
	}
	return at, nil
}

func write(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
