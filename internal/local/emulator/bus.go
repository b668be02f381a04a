package emulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Event buses: what is put on a bus goes to the functions of the template's rules that match it, as
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html describes.

const (
	eventsTarget   = "AWSEvents."
	maxPutEntries  = 10
	maxPutBody     = 4 << 20
	defaultBus     = "default"
	maxEntryLength = 256 << 10
)

// busRule is a rule with a pattern.
type busRule struct {
	id       string
	line     int
	bus      string // name
	pattern  map[string]any
	function string // logical id
	input    string // instead of the event; empty: the event
}

// BusEvent is what a program puts on an event bus.
type BusEvent struct {
	Bus        string // name or ARN; empty: the default bus
	Source     string
	DetailType string
	Detail     json.RawMessage // a JSON object
	Time       time.Time       // zero: now
	Resources  []string
}

// PutEvent hands an event to the functions of all rules that match it, as asynchronous invocations, and gives its id.
func (s *Server) PutEvent(e BusEvent) (id string, err error) {
	id = newUUID()
	if e.Time.IsZero() {
		e.Time = s.cfg.Now()
	}
	if e.Resources == nil {
		e.Resources = []string{}
	}
	envelope, err := json.Marshal(map[string]any{
		"version": "0", "id": id, "detail-type": e.DetailType, "source": e.Source, "account": s.model.account,
		"time": e.Time.UTC().Format(time.RFC3339), "region": s.model.region, "resources": e.Resources, "detail": e.Detail,
	})
	if err != nil {
		return "", fmt.Errorf("encode event: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(envelope, &fields); err != nil {
		return "", fmt.Errorf("decode event: %w", err)
	}
	s.observe(Event{Kind: KindBus, Time: s.cfg.Now(), Reason: e.Source + " " + e.DetailType, Bytes: len(envelope), Data: envelope})
	for _, rule := range s.model.rules {
		if rule.bus != busName(e.Bus) || !matches(rule.pattern, fields) {
			continue
		}
		payload := envelope
		if rule.input != "" {
			payload = []byte(rule.input)
		}
		if err := s.InvokeAsync(rule.function, payload); err != nil {
			return "", err
		}
	}
	return id, nil
}

// busName is the name of a bus that is given by name or ARN.
func busName(bus string) string {
	if _, name, isARN := strings.Cut(bus, ":event-bus/"); isARN {
		return name
	}
	if bus == "" {
		return defaultBus
	}
	return bus
}

func isEvents(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("X-Amz-Target"), eventsTarget)
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

// serveEvents is the PutEvents of https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	if action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), eventsTarget); action != "PutEvents" {
		writeEvents(w, http.StatusBadRequest, map[string]string{
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
		writeEvents(w, http.StatusBadRequest, map[string]string{"__type": "ValidationException", "message": err.Error()})
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
	writeEvents(w, http.StatusOK, out)
}

func (s *Server) put(e putEntry) putResult {
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
	id, err := s.PutEvent(BusEvent{
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

func writeEvents(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// addRule takes a rule for one function. Patterns with operators that are not known here match nothing, and are warned of.
func (r *reader) addRule(line int, id, bus, fn, input string, pattern yaml.Node) {
	var p map[string]any
	if err := pattern.Decode(&p); err != nil {
		r.warnf(line, "%s: the event pattern is no object: %v", id, err)
		return
	}
	text, err := json.Marshal(p) // as JSON numbers and texts, like the events
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err == nil {
		err = checkPattern(p)
	}
	if err != nil {
		r.warnf(line, "%s: %v; its events do not come", id, err)
		return
	}
	r.m.rules = append(r.m.rules, &busRule{id: id, line: line, bus: busName(bus), pattern: p, function: fn, input: input})
}

// checkPattern finds what matches does not know.
func checkPattern(pattern map[string]any) error {
	for _, name := range sortedKeys(pattern) {
		switch value := pattern[name].(type) {
		case map[string]any:
			if err := checkPattern(value); err != nil {
				return err
			}
		case []any:
			for _, want := range value {
				if err := checkOperator(name, want); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("the event pattern's %s must be a list", name)
		}
	}
	return nil
}

func checkOperator(name string, want any) error {
	operator, is := want.(map[string]any)
	if !is {
		return nil
	}
	for key := range operator {
		if !slices.Contains([]string{"prefix", "suffix", "exists", "anything-but", "equals-ignore-case"}, key) || len(operator) != 1 {
			return fmt.Errorf("the event pattern's operator %q of %s is not emulated", key, name)
		}
	}
	return nil
}

// matches reports whether an event has what the pattern asks for: in each field one of the values of its list.
func matches(pattern, event map[string]any) bool {
	for name, want := range pattern {
		value, there := event[name]
		if inner, is := want.(map[string]any); is {
			object, _ := value.(map[string]any)
			if !matches(inner, object) {
				return false
			}
			continue
		}
		list, _ := want.([]any)
		if !slices.ContainsFunc(list, func(w any) bool { return matchesOne(w, value, there) }) {
			return false
		}
	}
	return true
}

// matchesOne compares a field with one value of a pattern. A field that is a list matches by any of its values.
func matchesOne(want, value any, there bool) bool {
	operator, is := want.(map[string]any)
	if exists, has := operator["exists"]; is && has {
		return exists == there
	}
	if !there {
		return false
	}
	if many, isList := value.([]any); isList {
		return slices.ContainsFunc(many, func(one any) bool { return matchesOne(want, one, true) })
	}
	if !is {
		return want == value
	}
	text, isText := value.(string)
	for key, argument := range operator {
		wanted, _ := argument.(string)
		switch key {
		case "prefix":
			return isText && strings.HasPrefix(text, wanted)
		case "suffix":
			return isText && strings.HasSuffix(text, wanted)
		case "equals-ignore-case":
			return isText && strings.EqualFold(text, wanted)
		case "anything-but":
			return !anyOf(argument, value)
		}
	}
	return false
}

// anyOf reports whether the argument of anything-but, one value or a list or a pattern of one operator, covers a value.
func anyOf(argument, value any) bool {
	if list, is := argument.([]any); is {
		return slices.Contains(list, value)
	}
	return matchesOne(argument, value, true)
}
