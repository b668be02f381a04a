package streams

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// reader reads one shard for one function.
type reader struct {
	*Service

	mapping template.Stream
	fn      *invoke.Target
	arn     string
	shard   string
	latest  bool   // it begins behind what is there
	last    string // sequence number of what was delivered last
}

// record is one as DynamoDB writes it. Only what is needed of it is looked at.
type record map[string]json.RawMessage

// sequence is its place in the shard.
func (r record) sequence() string {
	var of struct {
		Number string `json:"SequenceNumber"`
	}
	_ = json.Unmarshal(r["dynamodb"], &of) // without one it is given again with the others
	return of.Number
}

// run reads until the shard ends, or the service.
func (r *reader) run() {
	iterator, err := r.iterator()
	for {
		var page struct {
			Records []record `json:"Records"`
			Next    string   `json:"NextShardIterator"`
		}
		if err == nil {
			err = r.call("GetRecords", map[string]any{"ShardIterator": iterator, "Limit": min(r.mapping.BatchSize, maxBatch)}, &page)
		}
		if err != nil { // an iterator that is too old, or a DynamoDB that is not there
			if !r.wait(minBackoff) {
				return
			}
			iterator, err = r.iterator()
			continue
		}
		if len(page.Records) > 0 && !r.deliver(page.Records) {
			return
		}
		if page.Next == "" {
			return
		}
		iterator = page.Next
		if len(page.Records) == 0 && !r.wait(pollEvery) {
			return
		}
	}
}

// iterator begins behind what was delivered, or where the mapping says.
func (r *reader) iterator() (string, error) {
	ask := map[string]any{"StreamArn": r.arn, "ShardId": r.shard, "ShardIteratorType": "TRIM_HORIZON"}
	switch {
	case r.last != "":
		ask["ShardIteratorType"], ask["SequenceNumber"] = "AFTER_SEQUENCE_NUMBER", r.last
	case r.latest:
		ask["ShardIteratorType"] = "LATEST"
	}
	var got struct {
		Iterator string `json:"ShardIterator"`
	}
	err := r.call("GetShardIterator", ask, &got)
	return got.Iterator, err
}

// deliver gives records to the function until it has taken them, or the mapping gives up; false if the service ends first.
func (r *reader) deliver(list []record) bool {
	all := list
	list = r.wanted(list)
	backoff := minBackoff
	for attempt := 0; len(list) > 0; attempt++ {
		rest, err := r.attempt(list)
		if err == nil && len(rest) == 0 {
			break
		}
		if len(rest) < len(list) { // a part was taken
			attempt, backoff = 0, minBackoff
		}
		list = rest
		if r.mapping.Retries >= 0 && attempt >= r.mapping.Retries {
			r.cfg.Logger.WarnContext(r.ctx, "records of a stream are given up", "function", r.mapping.Function, "records", len(list), "error", err)
			break
		}
		if !r.wait(backoff) {
			return false
		}
		backoff = min(2*backoff, maxBackoff)
	}
	r.last = all[len(all)-1].sequence()
	return true
}

// wanted are the records that match the filters.
func (r *reader) wanted(list []record) (out []record) {
	if len(r.mapping.Filters) == 0 || r.cfg.Matches == nil {
		return list
	}
	for _, one := range list {
		fields := map[string]any{}
		for name, text := range one {
			var value any
			if json.Unmarshal(text, &value) == nil {
				fields[name] = value
			}
		}
		for _, pattern := range r.mapping.Filters {
			if r.cfg.Matches(pattern, fields) {
				out = append(out, one)
				break
			}
		}
	}
	return out
}

// attempt runs the function once, and gives the records that it has not taken.
func (r *reader) attempt(list []record) (rest []record, err error) {
	begin := time.Now()
	defer func() {
		if r.cfg.Observe != nil {
			r.cfg.Observe(Batch{Time: begin, Duration: time.Since(begin), Table: r.mapping.Table, Function: r.mapping.Function, Records: len(list), Err: err})
		}
	}()
	source, err := json.Marshal(r.arn)
	if err != nil {
		return list, fmt.Errorf("write event: %w", err)
	}
	records := make([]record, len(list))
	for i, one := range list {
		records[i] = maps.Clone(one)
		records[i]["eventSourceARN"] = source
	}
	event, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		return list, fmt.Errorf("write event: %w", err)
	}
	out, err := r.cfg.Functions.Await(invoke.For(r.cfg.Functions.Context(), invoke.Cause{By: invoke.ByStream}), r.fn, event, invocation)
	if err != nil {
		return list, err
	}
	if !r.mapping.Partial {
		return nil, nil
	}
	return r.failed(list, out)
}

// failed are the records from the first one that a function has reported on; see "Reporting batch item failures".
func (r *reader) failed(list []record, out []byte) ([]record, error) {
	var answer struct {
		Failures []struct {
			ID string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return list, fmt.Errorf("the answer of ReportBatchItemFailures: %w", err)
	}
	reported := map[string]bool{}
	for _, f := range answer.Failures {
		reported[f.ID] = true
	}
	for i, one := range list {
		if reported[one.sequence()] {
			return list[i:], fmt.Errorf("%d records failed", len(reported))
		}
	}
	if len(reported) > 0 {
		return list, fmt.Errorf("the answer reports records that were not in the batch")
	}
	return nil, nil
}
