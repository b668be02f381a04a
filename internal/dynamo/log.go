package dynamo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
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
	pageRows  = 50               // read at once: a page of large events must not cost a megabyte
)

func logKey(room string) string { return "log#" + room }

func entryKey(room string, seq int64) item { return key(logKey(room), fmt.Sprintf("%012d", seq)) }

func dedupKey(room, id string) item { return key("dedup#"+room, id) }

// newEpoch names a log. 10 characters of base 32 are 50 bits: two of one room are never the same.
func newEpoch() string { return strings.ToLower(rand.Text()[:10]) }

// generatedID is the id of an entry that was given none. It leads to the entry without a row of its own.
func generatedID(epoch string, seq int64) string { return epoch + ":" + strconv.FormatInt(seq, 10) }

// Append is [hub.Log].Append. Without an id: 1 WCU for the seq, 1 for the entry. With one: 1 for the seq, 4 for the
// transaction of entry and id; and a look first whether the id is known, so that a retry uses up no seq.
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
		entry.ID = generatedID(entry.Epoch, e.Seq)
	}
	return entry, nil
}

// write writes an entry, and with it the memory of its id if the id is the caller's. false: the id is known meanwhile.
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
		return true, s.put(ctx, row)
	}
	dedup := dedupKey(e.Room, e.ID)
	dedup["seq"], dedup["ttl"] = number(e.Seq), seconds(now.Add(max(keep, idMemory)))
	if keep < idMemory { // a retry is answered with the entry for as long as its id is remembered
		row["ttl"], row["until"] = dedup["ttl"], seconds(now.Add(keep))
	}
	return s.writeBoth(ctx, row, dedup, now)
}

func (s *Store) writeBoth(ctx context.Context, row, dedup item, now time.Time) (bool, error) {
	unknown := "attribute_not_exists(#pk) OR #ttl <= :seconds"
	_, err := s.db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: &s.table, Item: row}},
		{Put: &types.Put{
			TableName: &s.table, Item: dedup, ConditionExpression: &unknown, ExpressionAttributeNames: names(unknown),
			ExpressionAttributeValues: item{":seconds": number(now.Unix())},
		}},
	}})
	canceled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return err == nil, err
	}
	for _, reason := range canceled.CancellationReasons {
		if reason.Code != nil && (*reason.Code == "ConditionalCheckFailed" || *reason.Code == "TransactionConflict") {
			return false, nil // somebody else writes this id at the same time, or just has
		}
	}
	return false, err
}

func entryOf(row item, room string) (hub.Entry, error) {
	seq, err := strconv.ParseInt(textOf(row, "sk"), 10, 64)
	if err != nil {
		return hub.Entry{}, fmt.Errorf("decode seq: %w", err)
	}
	e := hub.Entry{Epoch: textOf(row, "epoch"), Event: protocol.Event{
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

// Find is [hub.Log].Find.
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

// From is [hub.Log].From.
func (s *Store) From(ctx context.Context, room string, first int64, limit int) ([]hub.Entry, error) {
	return s.entries(ctx, room, "#pk = :pk AND #sk >= :sk", first, true, limit)
}

// Before is [hub.Log].Before.
func (s *Store) Before(ctx context.Context, room string, before int64, limit int) ([]hub.Entry, error) {
	return s.entries(ctx, room, "#pk = :pk AND #sk < :sk", before, false, limit)
}

func (s *Store) entries(ctx context.Context, room, condition string, seq int64, ascending bool, limit int) ([]hub.Entry, error) {
	in := &dynamodb.QueryInput{
		KeyConditionExpression: &condition, ScanIndexForward: &ascending, Limit: limitOf(min(limit, pageRows)),
		ExpressionAttributeValues: item{":pk": text(logKey(room)), ":sk": entryKey(room, max(seq, 0))["sk"]},
	}
	var (
		list      []hub.Entry
		size      int
		decodeErr error
		now       = s.now()
	)
	err := s.page(ctx, in, func(row item) bool {
		if over(row, now) {
			return false
		}
		e, err := entryOf(row, room)
		decodeErr = err
		if size += len(e.Data); err != nil || size > pageBytes && len(list) > 0 {
			return true
		}
		list = append(list, e)
		return len(list) == limit
	})
	if err == nil {
		err = decodeErr
	}
	if err != nil {
		return nil, fmt.Errorf("query log of %s: %w", room, err)
	}
	return list, nil
}

// Head is [hub.Log].Head. 1 WCU once in the life of a room.
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

// Redact is [hub.Log].Redact.
func (s *Store) Redact(ctx context.Context, room string, seq int64) error {
	_, _, err := s.apply(ctx, change{
		key: entryKey(room, seq), update: "SET #data = :null", when: "attribute_exists(#pk)", values: item{":null": text("null")},
	})
	if err != nil {
		return fmt.Errorf("redact %d of %s: %w", seq, room, err)
	}
	return nil
}

// Reset is [hub.Log].Reset. 1 WCU.
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
