package dynamo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
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

func dedupKey(room, id string) item { return key("dedup#"+room, id) }

// newEpoch names a log. 10 characters of base 32 are 50 bits: two of one room are never the same.
func newEpoch() string { return strings.ToLower(rand.Text()[:10]) }

// Append costs 1 WCU for the seq and 1 for the entry. With an id it looks first whether that is known, so that a retry
// uses up no seq, and costs 1 WCU for the seq and 4 for the transaction that writes entry and id.
func (s *Store) Append(ctx context.Context, room string, e protocol.Event, keep time.Duration) (hub.Entry, bool, error) {
	for range tries {
		if e.ID != "" {
			known, err := s.known(ctx, room, e.ID)
			if err == nil {
				return known, false, nil
			}
			if !errors.Is(err, hub.ErrNotFound) {
				return hub.Entry{}, false, fmt.Errorf("look for event %s: %w", e.ID, err)
			}
		}
		entry, err := s.count(ctx, room, e)
		if err != nil {
			return hub.Entry{}, false, fmt.Errorf("count in %s: %w", room, err)
		}
		written, err := s.write(ctx, entry, e.ID != "", keep)
		if err != nil {
			return hub.Entry{}, false, fmt.Errorf("write event of %s: %w", room, err)
		}
		if written {
			return entry, true, nil
		}
	}
	return hub.Entry{}, false, fmt.Errorf("append event %s to %s: %w", e.ID, room, errBusy)
}

// known gives the entry that an id is remembered for.
func (s *Store) known(ctx context.Context, room, id string) (hub.Entry, error) {
	dedup, err := s.get(ctx, dedupKey(room, id))
	if err != nil {
		return hub.Entry{}, err
	}
	row, err := s.get(ctx, entryKey(room, numberOf(dedup, "seq")))
	if err != nil {
		return hub.Entry{}, err
	}
	return entryOf(row, room)
}

// count gives the event its seq.
func (s *Store) count(ctx context.Context, room string, e protocol.Event) (hub.Entry, error) {
	meta, _, err := s.apply(ctx, change{
		key:    roomMeta(room),
		update: "SET #epoch = if_not_exists(#epoch, :epoch), #began = if_not_exists(#began, :now) ADD #seq :one",
		values: item{":epoch": text(newEpoch()), ":now": millis(s.now()), ":one": number(1)},
	})
	if err != nil {
		return hub.Entry{}, err
	}
	e.Room, e.Seq = room, numberOf(meta, "seq")
	entry := hub.Entry{Event: e, Epoch: textOf(meta, "epoch")}
	if e.ID == "" {
		entry.ID = protocol.GeneratedID(entry.Epoch, e.Seq)
	}
	return entry, nil
}

// write writes an entry, and with it the memory of its id if the id is the caller's. false: the id is known meanwhile,
// or the seq is void.
func (s *Store) write(ctx context.Context, e hub.Entry, remember bool, keep time.Duration) (bool, error) {
	now := s.now()
	row := entryKey(e.Room, e.Seq)
	row["id"], row["epoch"], row["event"] = text(e.ID), text(e.Epoch), text(e.Event.Event)
	row["ts"], row["ttl"] = number(e.TS), seconds(now.Add(keep))
	if e.From != nil {
		from, err := json.Marshal(e.From)
		if err != nil {
			return false, fmt.Errorf("encode from: %w", err)
		}
		row["from"] = text(string(from))
	}
	if e.Data != nil {
		row["data"] = text(string(e.Data))
	}
	if !remember {
		_, written, err := s.putNew(ctx, row)
		return written, err
	}
	dedup := dedupKey(e.Room, e.ID)
	dedup["seq"], dedup["ttl"] = number(e.Seq), seconds(now.Add(max(keep, idMemory)))
	if keep < idMemory { // a retry is answered with the entry for as long as its id is remembered
		row["ttl"], row["until"] = dedup["ttl"], seconds(now.Add(keep))
	}
	return s.writeBoth(ctx, row, dedup, now)
}

// writeBoth writes entry and id in one transaction, again after a pause where another transaction is in the way.
func (s *Store) writeBoth(ctx context.Context, row, dedup item, now time.Time) (written bool, err error) {
	isNew, unknown := notThere, "attribute_not_exists(#pk) OR #ttl <= :seconds"
	in := &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: &s.table, Item: row, ConditionExpression: &isNew, ExpressionAttributeNames: names(isNew)}},
		{Put: &types.Put{
			TableName: &s.table, Item: dedup, ConditionExpression: &unknown, ExpressionAttributeNames: names(unknown),
			ExpressionAttributeValues: item{":seconds": number(now.Unix())},
		}},
	}}
	for try := range tries {
		_, err = s.db.TransactWriteItems(ctx, in)
		canceled, ok := errors.AsType[*types.TransactionCanceledException](err)
		switch {
		case !ok:
			return err == nil, err
		case because(canceled, "ConditionalCheckFailed"):
			return false, nil
		case !because(canceled, "TransactionConflict"):
			return false, err
		}
		if err := pause(ctx, time.Duration(try+1)*5*time.Millisecond); err != nil {
			return false, err
		}
	}
	return false, err
}

func because(canceled *types.TransactionCanceledException, code string) bool {
	return slices.ContainsFunc(canceled.CancellationReasons, func(r types.CancellationReason) bool {
		return r.Code != nil && *r.Code == code
	})
}

// pause waits a random part of at most limit.
func pause(ctx context.Context, limit time.Duration) error {
	t := time.NewTimer(mathrand.N(limit)) //nolint:gosec // spreads load, guards nothing
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const notThere = "attribute_not_exists(#pk)"

// putNew writes a row where there is none. It gives the row that is there otherwise.
func (s *Store) putNew(ctx context.Context, row item) (there item, written bool, err error) {
	condition := notThere
	_, err = s.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table, Item: row, ConditionExpression: &condition, ExpressionAttributeNames: names(condition),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return failed.Item, false, nil
	}
	return nil, err == nil, err
}

// Void costs 1 WCU.
func (s *Store) Void(ctx context.Context, room string, seq int64, keep time.Duration) (bool, error) {
	row := entryKey(room, seq)
	row["void"], row["ts"], row["ttl"] = yes(), millis(s.now()), seconds(s.now().Add(keep))
	there, written, err := s.putNew(ctx, row)
	if err != nil {
		return false, fmt.Errorf("void %d of %s: %w", seq, room, err)
	}
	return written || yesOf(there, "void"), nil
}

func entryOf(row item, room string) (hub.Entry, error) {
	seq, err := strconv.ParseInt(textOf(row, "sk"), 10, 64)
	if err != nil {
		return hub.Entry{}, fmt.Errorf("decode seq: %w", err)
	}
	e := hub.Entry{Epoch: textOf(row, "epoch"), Void: yesOf(row, "void"), Event: protocol.Event{
		Event: textOf(row, "event"), Room: room, Seq: seq, ID: textOf(row, "id"), TS: numberOf(row, "ts"),
	}}
	if data, ok := row["data"].(*types.AttributeValueMemberS); ok {
		e.Data = json.RawMessage(data.Value)
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

func (s *Store) Find(ctx context.Context, room, id string) (hub.Entry, error) {
	dedup, err := s.get(ctx, dedupKey(room, id))
	seq := numberOf(dedup, "seq")
	if errors.Is(err, hub.ErrNotFound) {
		var ok bool
		if seq, ok = seqOf(id); !ok {
			return hub.Entry{}, hub.ErrNotFound
		}
	} else if err != nil {
		return hub.Entry{}, fmt.Errorf("get id %s: %w", id, err)
	}
	row, err := s.get(ctx, entryKey(room, seq))
	if err != nil {
		return hub.Entry{}, fmt.Errorf("get event %s: %w", id, err)
	}
	if textOf(row, "id") != id || over(row, s.now()) {
		return hub.Entry{}, hub.ErrNotFound
	}
	return entryOf(row, room)
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

// Head costs 1 WCU once in the life of a room.
func (s *Store) Head(ctx context.Context, room string) (hub.Head, error) {
	meta, err := s.get(ctx, roomMeta(room))
	if err != nil && !errors.Is(err, hub.ErrNotFound) {
		return hub.Head{}, fmt.Errorf("get head of %s: %w", room, err)
	}
	if textOf(meta, "epoch") == "" {
		meta, _, err = s.apply(ctx, change{
			key:    roomMeta(room),
			update: "SET #epoch = if_not_exists(#epoch, :epoch), #began = if_not_exists(#began, :now)",
			values: item{":epoch": text(newEpoch()), ":now": millis(s.now())},
		})
		if err != nil {
			return hub.Head{}, fmt.Errorf("begin log of %s: %w", room, err)
		}
	}
	return hub.Head{
		Position: protocol.Position{Epoch: textOf(meta, "epoch"), Seq: numberOf(meta, "seq")},
		Base:     numberOf(meta, "base"), Began: timeOf(meta, "began"),
	}, nil
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

// Reset costs 1 WCU.
func (s *Store) Reset(ctx context.Context, room string) error {
	_, _, err := s.apply(ctx, change{
		key:    roomMeta(room),
		update: "SET #epoch = :epoch, #began = :now, #base = if_not_exists(#seq, :zero)",
		values: item{":epoch": text(newEpoch()), ":now": millis(s.now()), ":zero": number(0)},
	})
	if err != nil {
		return fmt.Errorf("reset log of %s: %w", room, err)
	}
	return nil
}
