// Package metrics writes what the hub counts as CloudWatch metrics: a line of JSON for each invocation, in the embedded
// metric format, of which CloudWatch makes metrics by itself. Nothing is called, so nothing can be slow or fail.
//
// The format is that of https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Namespace is where the metrics are. Their dimension is Stack, and for Errors also Stack and Code.
const Namespace = "Bellhop"

// Errors counts what was refused or failed, by code.
const Errors = "Errors"

// maxValues is the most values of a metric in one line; a longer list would be dropped by CloudWatch.
const maxValues = 100

// Meter is a [hub.Observer] that counts what it is told until it is flushed.
type Meter struct {
	stack string
	w     io.Writer
	now   func() time.Time

	mu      sync.Mutex
	counts  map[hub.Metric]int
	times   map[hub.Metric][]float64 // milliseconds
	refused map[protocol.Code]int
}

var _ hub.Observer = (*Meter)(nil)

// New gives a meter for a stack, that writes to w.
func New(stack string, w io.Writer, now func() time.Time) *Meter {
	m := &Meter{stack: stack, w: w, now: now}
	m.reset()
	return m
}

func (m *Meter) reset() {
	m.counts, m.times, m.refused = map[hub.Metric]int{}, map[hub.Metric][]float64{}, map[protocol.Code]int{}
}

// Count adds up. A sweep that found no connection is a measurement, any other count of 0 is not.
func (m *Meter) Count(metric hub.Metric, n int) {
	if n == 0 && metric != hub.ConnectionsOpen {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[metric] += n
}

// Time keeps every time. Of more than 100 times between two flushes the longest is kept.
func (m *Meter) Time(metric hub.Metric, d time.Duration) {
	ms := float64(d.Microseconds()) / 1000
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.times[metric]
	if len(list) < maxValues {
		m.times[metric] = append(list, ms)
		return
	}
	last := &list[maxValues-1]
	*last = max(*last, ms)
}

func (m *Meter) Logged(_ context.Context, _ hub.Entry, again bool) {
	if !again {
		m.Count(hub.Publishes, 1)
	}
}

func (m *Meter) Pushed(_ context.Context, d hub.Delivery) {
	reached, gone := 0, 0
	for _, to := range d.To {
		switch {
		case to.Err == nil:
			reached++
		case errors.Is(to.Err, hub.ErrGone):
			gone++
		}
	}
	m.Count(hub.Deliveries, reached*len(d.Events))
	m.Count(hub.Gone, gone)
	m.Count(hub.PushFailures, len(d.To)-reached-gone)
	for _, e := range d.Events {
		if e.TS != 0 && d.Room != "" && !hub.Waits(e.Event) {
			m.Time(hub.DeliveryLatency, d.At.Sub(time.UnixMilli(e.TS)))
		}
	}
}

// Held does nothing: what waits is no slower than it may be.
func (m *Meter) Held(context.Context, hub.Entry, string, time.Time) {}

// Spared does nothing: what is not pushed is no trouble.
func (m *Meter) Spared(context.Context, hub.Sparing, string, int) {}

func (m *Meter) Queued(_ context.Context, j hub.Job, _ time.Duration) {
	if j.Kind == hub.JobRetry {
		m.Count(hub.Retries, len(j.Targets))
	}
}

func (m *Meter) Refused(_ context.Context, r hub.Refusal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused[r.Code]++
}

type definition struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

type directive struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []definition `json:"Metrics"`
}

type metadata struct {
	Timestamp int64       `json:"Timestamp"`
	Metrics   []directive `json:"CloudWatchMetrics"`
}

// Flush writes what came since the last one, if anything did: a line for all metrics, and one for each code that was
// refused.
func (m *Meter) Flush() error {
	m.mu.Lock()
	counts, times, refused := m.counts, m.times, m.refused
	m.reset()
	m.mu.Unlock()

	line := map[string]any{"Stack": m.stack}
	var metrics []definition
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		metrics = append(metrics, definition{string(name), "Count"})
		line[string(name)] = counts[name]
	}
	for _, name := range slices.Sorted(maps.Keys(times)) {
		metrics = append(metrics, definition{string(name), "Milliseconds"})
		line[string(name)] = times[name]
	}
	if len(metrics) > 0 {
		if err := m.write(line, [][]string{{"Stack"}}, metrics); err != nil {
			return err
		}
	}
	for _, code := range slices.Sorted(maps.Keys(refused)) {
		line := map[string]any{"Stack": m.stack, "Code": code, Errors: refused[code]}
		if err := m.write(line, [][]string{{"Stack"}, {"Stack", "Code"}}, []definition{{Errors, "Count"}}); err != nil {
			return err
		}
	}
	return nil
}

// level keeps Lambda from filtering the lines: it takes one without a level and a timestamp for INFO, and a function whose LogLevel is
// WARN would have no metrics, and alarms that never go off. See
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html; nothing else logs this level.
const level = "FATAL"

func (m *Meter) write(line map[string]any, dimensions [][]string, metrics []definition) error {
	now := m.now().UTC()
	line["level"], line["timestamp"] = level, now.Format(time.RFC3339)
	line["_aws"] = metadata{now.UnixMilli(), []directive{{Namespace, dimensions, metrics}}}
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("encode metrics: %w", err)
	}
	if _, err := m.w.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}
