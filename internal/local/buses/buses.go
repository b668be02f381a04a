// Package buses is Amazon EventBridge for a template: what is put on an event bus goes to the functions of the rules that match it, and
// schedules invoke theirs again and again. Both are asynchronous invocations, with Lambda's retries.
//
// Of patterns the operators are understood that compare text and ask whether a field exists, of schedules rates; what a template has besides
// is warned of and does nothing. See https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html.
package buses

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Config says what rules and schedules there are. Template and Functions are required.
type Config struct {
	Template  *template.Template
	Functions *invoke.Service
	// NoSchedules leaves the schedules off.
	NoSchedules bool
	Logger      *slog.Logger // default discards
	// Observe is told what happens, from the goroutine where it happens: it must be quick and safe for concurrent use.
	Observe func(Seen)
	Now     func() time.Time // default time.Now
}

// Seen is an event that came onto a bus, or a run of a schedule's function.
type Seen struct {
	Time     time.Time // when it began
	Duration time.Duration
	Event    *Event // nil: a schedule
	Envelope []byte // of the event, as functions get it
	Function string // logical id, of a schedule
	Bytes    int    // of what the function got
	Err      error
}

// Service holds the rules and schedules of one template. Its methods are safe for concurrent use.
type Service struct {
	cfg       Config
	rules     []template.Rule // with the names of their buses
	schedules []schedule

	stopped chan struct{} // closed by Close
	loops   sync.WaitGroup
}

// New takes the rules and schedules that are understood, and has the template warn of the others. The error names the template's line.
func New(cfg Config) (*Service, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Service{cfg: cfg, stopped: make(chan struct{})}
	for _, r := range cfg.Template.Rules {
		if err := Check(r.Pattern); err != nil {
			cfg.Template.Warnf(r.Line, "%s: %v; its events do not come", r.ID, err)
			continue
		}
		r.Bus = busName(r.Bus)
		s.rules = append(s.rules, r)
	}
	return s, s.bindSchedules()
}

// Start sets the schedules going. Call it once.
func (s *Service) Start() {
	for _, sc := range s.schedules {
		s.loops.Go(func() { s.run(sc) })
	}
}

// Close stops the schedules.
func (s *Service) Close() {
	close(s.stopped)
	s.loops.Wait()
}

// Event is what a program puts on an event bus.
type Event struct {
	Bus        string // name or ARN; empty: the default bus
	Source     string
	DetailType string
	Detail     json.RawMessage // a JSON object
	Time       time.Time       // zero: now
	Resources  []string
}

// Put hands an event to the functions of all rules that match it, and gives its id.
func (s *Service) Put(e Event) (id string, err error) {
	id = uuid.NewString()
	now := s.cfg.Now()
	if e.Time.IsZero() {
		e.Time = now
	}
	if e.Resources == nil {
		e.Resources = []string{}
	}
	envelope, err := json.Marshal(map[string]any{
		"version": "0", "id": id, "detail-type": e.DetailType, "source": e.Source, "account": s.cfg.Template.Account,
		"time": e.Time.UTC().Format(time.RFC3339), "region": s.cfg.Template.Region, "resources": e.Resources, "detail": e.Detail,
	})
	if err != nil {
		return "", fmt.Errorf("encode event: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(envelope, &fields); err != nil {
		return "", fmt.Errorf("decode event: %w", err)
	}
	if s.cfg.Observe != nil {
		s.cfg.Observe(Seen{Time: now, Event: &e, Envelope: envelope, Bytes: len(envelope)})
	}
	for _, r := range s.rules {
		if r.Bus != busName(e.Bus) || !matches(r.Pattern, fields) {
			continue
		}
		payload := envelope
		if r.Input != "" {
			payload = []byte(r.Input)
		}
		if err := s.cfg.Functions.InvokeAsync(r.Function, "", payload); err != nil {
			return "", fmt.Errorf("rule %s: %w", r.ID, err)
		}
	}
	return id, nil
}

// busName is the name of a bus that is given by name or ARN.
func busName(bus string) string {
	if _, name, isARN := strings.Cut(bus, ":event-bus/"); isARN {
		return name
	}
	return cmp.Or(bus, "default")
}
