package template

import (
	"encoding/json"
	"slices"
	"strings"
)

// Stream is an event source mapping that leads from a table's stream to a function.
type Stream struct {
	Line      int
	Table     string // logical id
	Function  string // logical id
	BatchSize int
	Latest    bool             // from what is written after the start; else from the oldest record
	Filters   []map[string]any // as encoding/json decodes them; a record has to match one of them, if there are any
	Partial   bool             // the function reports which record of a batch failed
	Retries   int              // of a batch that failed; -1: until it does not
}

type streamProps struct {
	Stream   string `yaml:"Stream"`
	Starting string `yaml:"StartingPosition"`
	Retries  *int   `yaml:"MaximumRetryAttempts"`
	Filter   struct {
		Filters []struct {
			Pattern string `yaml:"Pattern"`
		} `yaml:"Filters"`
	} `yaml:"FilterCriteria"`
	mappingProps `yaml:",inline"`
}

const (
	defaultStreamBatch = 100
	maxStreamBatch     = 10_000
)

// mapStream reads a mapping whose source is a stream of DynamoDB. One that cannot be followed is a warning.
func (r *reader) mapStream(res *resource, fn string, p streamProps) error {
	if p.Enabled != nil && !*p.Enabled {
		return nil
	}
	_, name, _ := strings.Cut(p.Stream, ":table/")
	name, _, _ = strings.Cut(name, "/stream/")
	at := slices.IndexFunc(r.out.Tables, func(t Table) bool { return t.Name == name })
	if at < 0 {
		r.warnf(res.line, "%s: the table of the stream %s is not in this template; its records do not come", res.id, p.Stream)
		return nil
	}
	if r.out.Tables[at].Stream == "" {
		return res.errorf("the table %s has no StreamSpecification", r.out.Tables[at].ID)
	}
	if p.BatchSize < 0 || p.BatchSize > maxStreamBatch {
		return res.errorf("BatchSize is %d", p.BatchSize)
	}
	s := Stream{
		Line: res.line, Table: r.out.Tables[at].ID, Function: fn, BatchSize: defaultStreamBatch, Latest: p.Starting == "LATEST", Retries: -1,
		Partial: slices.Contains(p.ResponseTypes, "ReportBatchItemFailures"),
	}
	if p.BatchSize > 0 {
		s.BatchSize = p.BatchSize
	}
	if p.Retries != nil {
		s.Retries = *p.Retries
	}
	for _, f := range p.Filter.Filters {
		var pattern map[string]any
		if err := json.Unmarshal([]byte(f.Pattern), &pattern); err != nil {
			return res.errorf("a pattern of FilterCriteria is no JSON object: %v", err)
		}
		s.Filters = append(s.Filters, pattern)
	}
	r.out.Streams = append(r.out.Streams, s)
	return nil
}
