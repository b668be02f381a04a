package dynamo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

const (
	idMemory  = 10 * time.Minute // how long ids are remembered at least
	pageBytes = 96 << 10         // data of one page of a log
	minRows   = 25               // read at once, at the least
	firstRows = 50               // and at the most, until their size is known: a page of large events must not cost a megabyte
	moreRows  = 200
)

func logKey(room string) string { return "log#" + room }

func entryKey(room string, seq int64) item { return key(logKey(room), fmt.Sprintf("%012d", seq)) }

func dedupKey(room string) string { return "dedup#" + room }

// newEpoch names a log. 10 characters of base 32 are 50 bits: two of one room are never the same.
func newEpoch() string { return strings.ToLower(rand.Text()[:10]) }

// Void costs 1 WCU.
func (s *Store) Void(ctx context.Context, room string, seq int64, keep time.Duration) (bool, error) {
	now := s.now()
	row := entryKey(room, seq)
	row["void"], row["ts"] = yes(), millis(now)
	row["until"], row["ttl"] = seconds(now.Add(keep)), seconds(now.Add(keep+overtime))
	there, written, err := s.putIf(ctx, row, "attribute_not_exists(#pk)", nil)
	switch {
	case err != nil:
		return false, fmt.Errorf("void %d of %s: %w", seq, room, err)
	case written, yesOf(there, "void"): // by this call too, if its answer was lost
		return true, nil
	case lapsed(there, now), over(there, now):
		return false, hub.ErrLapsed
	}
	return false, nil
}

func entryOf(row item, room string) (hub.Entry, error) {
	seq, err := strconv.ParseInt(textOf(row, "sk"), 10, 64)
	if err != nil {
		return hub.Entry{}, fmt.Errorf("decode seq: %w", err)
	}
	e := hub.Entry{Epoch: textOf(row, "epoch"), Sum: textOf(row, "sum"), Void: yesOf(row, "void"), Event: protocol.Event{
		Event: textOf(row, "event"), Room: room, Seq: seq, ID: textOf(row, "id"), TS: numberOf(row, "ts"),
	}}
	if data, ok := row["data"].(*types.AttributeValueMemberS); ok {
		e.Data = json.RawMessage(data.Value)
	}
	if except := textOf(row, "except"); except != "" {
		if err := json.Unmarshal([]byte(except), &e.Except); err != nil {
			return e, fmt.Errorf("decode except of event %s: %w", e.ID, err)
		}
	}
	if from := textOf(row, "from"); from != "" {
		if err := json.Unmarshal([]byte(from), &e.From); err != nil {
			return e, fmt.Errorf("decode from of event %s: %w", e.ID, err)
		}
	}
	return e, nil
}

// over reports whether an entry is older than its keep, though its row is still needed.
func over(row item, now time.Time) bool {
	until, has := row["until"]
	return has && lapsed(item{"ttl": until}, now)
}

// Find costs 1 RCU, and 1 more for the entry.
func (s *Store) Find(ctx context.Context, room string, d hub.Draft) (hub.Entry, error) {
	rows, err := s.remembered(ctx, room, d.Key.ID)
	if err != nil {
		return hub.Entry{}, fmt.Errorf("look for event %s of %s: %w", d.Key.ID, room, err)
	}
	for _, row := range rows {
		if mine, err := s.remembers(ctx, room, d, row); err != nil {
			return hub.Entry{}, fmt.Errorf("look for event %s of %s: %w", d.Key.ID, room, err)
		} else if mine {
			return s.shown(ctx, room, numberOf(row, "seq"))
		}
	}
	return hub.Entry{}, hub.ErrNotFound
}

// remembered gives the rows that remember an id, whosever it is.
func (s *Store) remembered(ctx context.Context, room, id string) (rows []item, err error) {
	condition := "#pk = :pk AND #sk BETWEEN :id AND :end"
	err = s.page(ctx, &dynamodb.QueryInput{
		KeyConditionExpression: &condition,
		// After the id there is a space or nothing. No id has one, so those between begin with just this id.
		ExpressionAttributeValues: item{":pk": text(dedupKey(room)), ":id": text(id), ":end": text(id + " \U0010FFFF")},
	}, func(row item) bool {
		rows = append(rows, row)
		return false
	})
	return rows, err
}

// shown gives the entry at a seq, unless it is void or older than its keep.
func (s *Store) shown(ctx context.Context, room string, seq int64) (hub.Entry, error) {
	row, err := s.get(ctx, entryKey(room, seq))
	if errors.Is(err, hub.ErrNotFound) {
		return hub.Entry{}, hub.ErrNotFound
	}
	if err != nil {
		return hub.Entry{}, fmt.Errorf("get %d of %s: %w", seq, room, err)
	}
	if yesOf(row, "void") || over(row, s.now()) {
		return hub.Entry{}, hub.ErrNotFound
	}
	return entryOf(row, room)
}

// Named costs 1 RCU, and 1 more for each entry.
func (s *Store) Named(ctx context.Context, room, id string, limit int) ([]hub.Entry, error) {
	rows, err := s.remembered(ctx, room, id)
	if err != nil {
		return nil, fmt.Errorf("look for events %s of %s: %w", id, room, err)
	}
	var seqs []int64
	for _, row := range rows {
		seqs = append(seqs, numberOf(row, "seq"))
	}
	if seq, made := seqOf(id); made {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	var list []hub.Entry
	for _, seq := range slices.Compact(seqs) {
		e, err := s.shown(ctx, room, seq)
		if errors.Is(err, hub.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if e.ID == id {
			list = append(list, e)
		}
		if len(list) == limit {
			break
		}
	}
	return list, nil
}

// seqOf reads the seq out of what may be a generated id.
func seqOf(id string) (int64, bool) {
	_, digits, found := strings.Cut(id, ":")
	seq, err := strconv.ParseInt(digits, 10, 64)
	return seq, found && err == nil && seq > 0
}

func (s *Store) From(ctx context.Context, room string, first int64, limit int) ([]hub.Entry, error) {
	return s.entries(ctx, room, "#pk = :pk AND #sk >= :sk", first, true, limit)
}

func (s *Store) Before(ctx context.Context, room string, before int64, limit int) ([]hub.Entry, error) {
	return s.entries(ctx, room, "#pk = :pk AND #sk < :sk", before, false, limit)
}

// entries reads a page of a log. It begins with few rows, since they may be large, and goes on with more. DynamoDB deletes
// lapsed rows late, and they lie together at the old end: going down, a page of nothing else is the end; going up, the
// rest of them is passed over in as large steps as there are.
func (s *Store) entries(ctx context.Context, room, condition string, seq int64, ascending bool, limit int) ([]hub.Entry, error) {
	consistent := true
	in := &dynamodb.QueryInput{
		TableName: &s.table, ConsistentRead: &consistent, KeyConditionExpression: &condition,
		ExpressionAttributeNames:  names(condition),
		ExpressionAttributeValues: item{":pk": text(logKey(room)), ":sk": entryKey(room, max(seq, 0))["sk"]},
		ScanIndexForward:          &ascending, Limit: limitOf(min(max(limit, minRows), firstRows)),
	}
	list := logPage{limit: limit}
	for now := s.now(); ; {
		out, err := s.db.Query(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("query log of %s: %w", room, err)
		}
		live, full, err := list.add(out.Items, room, now)
		if err != nil {
			return nil, fmt.Errorf("query log of %s: %w", room, err)
		}
		if full || out.LastEvaluatedKey == nil || live == 0 && !ascending {
			return list.entries, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
		in.Limit = limitOf(moreRows)
		if live == 0 {
			in.Limit = nil
		}
	}
}

// logPage collects entries up to a number and a size.
type logPage struct {
	limit, size int
	entries     []hub.Entry
}

// add takes the rows of one query. live: how many of them have not lapsed; full: the page needs no more.
func (p *logPage) add(rows []item, room string, now time.Time) (live int, full bool, err error) {
	for _, row := range rows {
		if lapsed(row, now) || over(row, now) {
			continue
		}
		live++
		e, err := entryOf(row, room)
		if err != nil {
			return live, true, err
		}
		if p.size += len(e.Data); p.size > pageBytes && len(p.entries) > 0 {
			return live, true, nil
		}
		if p.entries = append(p.entries, e); len(p.entries) == p.limit {
			return live, true, nil
		}
	}
	return live, false, nil
}

func (s *Store) Redact(ctx context.Context, room string, seq int64) error {
	_, _, err := s.apply(ctx, change{
		key: entryKey(room, seq), update: "SET #data = :null", when: "attribute_exists(#pk)", values: item{":null": text("null")},
	})
	if err != nil {
		return fmt.Errorf("redact %d of %s: %w", seq, room, err)
	}
	return nil
}
