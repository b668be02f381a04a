package metrics

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// entry is a line as CloudWatch reads it.
type entry struct {
	AWS struct {
		Timestamp int64
		Metrics   []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		} `json:"CloudWatchMetrics"`
	} `json:"_aws"`
	members map[string]any
}

func lines(t *testing.T, text string) []entry {
	t.Helper()
	var all []entry
	for line := range strings.Lines(text) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if err := json.Unmarshal([]byte(line), &e.members); err != nil {
			t.Fatal(err)
		}
		if stamp, _ := e.members["timestamp"].(string); e.members["level"] != "FATAL" || !isTime(stamp) {
			t.Errorf("%s: Lambda would take it for INFO, and leave it out if LogLevel is WARN", line)
		}
		if len(e.AWS.Metrics) != 1 || e.AWS.Metrics[0].Namespace != Namespace {
			t.Errorf("%s: want one directive of %s", line, Namespace)
		}
		for _, d := range e.AWS.Metrics {
			for _, m := range d.Metrics {
				if e.members[m.Name] == nil {
					t.Errorf("%s: has no value of %s", line, m.Name)
				}
			}
			for _, name := range slices.Concat(d.Dimensions...) {
				if _, ok := e.members[name].(string); !ok {
					t.Errorf("%s: dimension %s has no value", line, name)
				}
			}
		}
		all = append(all, e)
	}
	return all
}

func isTime(text string) bool {
	_, err := time.Parse(time.RFC3339, text)
	return err == nil
}

func newMeter() (*Meter, *bytes.Buffer) {
	var b bytes.Buffer
	return New("bellhop-dev", &b, func() time.Time { return time.UnixMilli(1700000000123) }), &b
}

func TestFlush(t *testing.T) {
	m, b := newMeter()
	m.Count(hub.Joins, 1)
	m.Count(hub.Joins, 2)
	m.Count(hub.Gone, 0)
	m.Time(hub.DeliveryLatency, 1500*time.Microsecond)
	m.Time(hub.DeliveryLatency, 20*time.Millisecond)
	m.Refused(t.Context(), hub.Refusal{Code: protocol.CodeForbidden})
	m.Refused(t.Context(), hub.Refusal{Code: protocol.CodeForbidden})
	m.Refused(t.Context(), hub.Refusal{Code: protocol.CodeExpired})
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
	all := lines(t, b.String())
	if len(all) != 3 {
		t.Fatalf("%d lines, want 3:\n%s", len(all), b)
	}
	first := all[0]
	if first.AWS.Timestamp != 1700000000123 || first.members["Stack"] != "bellhop-dev" || first.members["Joins"] != 3.0 {
		t.Errorf("first line is %v", first.members)
	}
	if _, has := first.members["Gone"]; has {
		t.Error("a count of nothing is written")
	}
	if got, ok := first.members["DeliveryLatency"].([]any); !ok || !slices.Equal(got, []any{1.5, 20.0}) {
		t.Errorf("latency is %v, want 1.5 and 20 ms", first.members["DeliveryLatency"])
	}
	if all[1].members["Code"] != "expired" || all[2].members["Code"] != "forbidden" || all[2].members["Errors"] != 2.0 {
		t.Errorf("errors are %v and %v", all[1].members, all[2].members)
	}
	b.Reset()
	if err := m.Flush(); err != nil || b.Len() > 0 {
		t.Errorf("flushing again writes %q, %v", b, err)
	}
}

func TestNobodyConnectedIsANumber(t *testing.T) {
	m, b := newMeter()
	m.Count(hub.ConnectionsOpen, 0)
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
	if all := lines(t, b.String()); len(all) != 1 || all[0].members["ConnectionsOpen"] != 0.0 {
		t.Errorf("an empty sweep writes %s", b)
	}
}

// CloudWatch takes 100 values of a metric in a line.
func TestManyTimes(t *testing.T) {
	m, b := newMeter()
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() { m.Time(hub.DeliveryLatency, time.Duration(i)*time.Millisecond) })
	}
	wg.Wait()
	m.Time(hub.DeliveryLatency, time.Hour)
	m.Time(hub.DeliveryLatency, time.Second)
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
	got, _ := lines(t, b.String())[0].members["DeliveryLatency"].([]any)
	if len(got) != 100 || !slices.Contains(got, any(3600000.0)) {
		t.Errorf("%d values, the last %v; want 100 with the longest", len(got), got[len(got)-1])
	}
}
