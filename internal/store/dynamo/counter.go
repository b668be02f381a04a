package dynamo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/store/steps"
)

// A room's counter is its !meta row. Beside the newest seq it holds what the last of them were counted for, so that counting
// and remembering are one write: k0 to kf are marks, each of a hash, the time when it was counted and who did, and s0 to sf their
// seqs, the newest first. A count moves them all on by one. They have about 32 bytes each: with the longest name that a room may
// have, the row stays below 1 KB.
const (
	slots    = 16
	hashSize = 16
	timeSize = 6 // Unix milliseconds
	markSize = hashSize + timeSize + 2
)

// headKeep is how long a room's counter is there beyond the last entry.
const headKeep = 24 * time.Hour

// counting are the expressions of a count, which are long, and the same for all.
type counting struct {
	shift, unseen string
	names         map[string]string
}

func newCounting() counting {
	c := counting{
		shift:  "SET #epoch = if_not_exists(#epoch, :epoch), #began = if_not_exists(#began, :now), #keep = :keep, #ttl = :ttl",
		unseen: "(attribute_not_exists(#ttl) OR #ttl > :seconds)",
	}
	for i := slots - 1; i > 0; i-- {
		c.shift += fmt.Sprintf(", k%x = if_not_exists(k%x, :none), s%x = if_not_exists(s%x, :zero)", i, i-1, i, i-1)
	}
	for i := range slots {
		c.unseen += fmt.Sprintf(" AND NOT begins_with(k%x, :hash)", i)
	}
	c.shift += ", k0 = :mine, s0 = if_not_exists(#seq, :zero) + :one, #seq = if_not_exists(#seq, :zero) + :one"
	c.names = names(c.shift, c.unseen)
	return c
}

// hashOf stands for a key, after what was counted for it before has come to nothing.
func hashOf(key string, gone int64) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", key, gone))
	return sum[:hashSize]
}

// slot gives what was counted for a hash, if that is not too long ago.
func slot(meta item, hash []byte) (c steps.Counted, mark []byte) {
	for i := range slots {
		if mark := bytesOf(meta, fmt.Sprintf("k%x", i)); len(mark) == markSize && bytes.HasPrefix(mark, hash) {
			return countedOf(meta, i, mark), mark
		}
	}
	return steps.Counted{}, nil
}

func countedOf(meta item, i int, mark []byte) steps.Counted {
	at := binary.BigEndian.Uint64(append([]byte{0, 0}, mark[hashSize:hashSize+timeSize]...))
	return steps.Counted{
		Seq: numberOf(meta, fmt.Sprintf("s%x", i)), Epoch: textOf(meta, "epoch"), Base: numberOf(meta, "base"),
		At: time.UnixMilli(int64(at)), //nolint:gosec // 48 bits
	}
}

// recent gives the newest counts.
func recent(meta item) (list []hub.Counted) {
	for i := range slots {
		mark := bytesOf(meta, fmt.Sprintf("k%x", i))
		if len(mark) != markSize {
			break
		}
		c := countedOf(meta, i, mark)
		list = append(list, hub.Counted{Seq: c.Seq, At: c.At})
	}
	return list
}

// Count costs 1 WCU; and one more after the log's keep was changed, and after its last counter has lapsed.
func (t appender) Count(ctx context.Context, a *steps.Attempt) (steps.Counted, error) {
	hold := ""
	if !a.Draft.Hold.IsZero() {
		hold = ", #flushed = if_not_exists(#flushed, if_not_exists(#seq, :zero)), #due = if_not_exists(#due, :due)"
	}
	for range tries {
		c, meta, err := t.shift(ctx, a, hold, " AND (attribute_not_exists(#keep) OR #keep = :keep)")
		if err != nil || c.Seq > 0 {
			return c, err
		}
		if lapsed(meta, t.now()) {
			err = t.restart(ctx, a.Room, meta)
		} else { // what was logged until now is kept for another time than what comes
			c, _, err = t.shift(ctx, a, hold+", #floor = if_not_exists(#seq, :zero) + :one", " AND #keep <> :keep")
		}
		if err != nil || c.Seq > 0 {
			return c, err
		}
	}
	return steps.Counted{}, errBusy
}

// shift is one try of a count. A row that holds the hash already gives what that was counted for; it may be this attempt that has
// written it, and lost the answer. Otherwise it gives the row that was in the way.
func (t appender) shift(ctx context.Context, a *steps.Attempt, also, when string) (c steps.Counted, row item, err error) {
	now, hash := t.now(), hashOf(a.Key, a.Gone)
	at := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	mark := slices.Concat(hash, at[8-timeSize:], a.Token[:2])
	update, condition := t.counting.shift+also, t.counting.unseen+when
	attributes := maps.Clone(t.counting.names)
	maps.Copy(attributes, names(also, when))
	values := item{
		":epoch": text(newEpoch()), ":now": millis(now), ":seconds": number(now.Unix()), ":keep": number(a.Draft.Keep.Milliseconds()),
		":ttl": headTTL(now, a.Draft.Keep), ":hash": binaryOf(hash), ":mine": binaryOf(mark), ":none": binaryOf(nil),
		":zero": number(0), ":one": number(1),
	}
	if !a.Draft.Hold.IsZero() {
		values[":due"] = millis(a.Draft.Hold)
	}
	met := false
	err = insist(ctx, func() (err error) {
		row, met, err = t.update(ctx, &dynamodb.UpdateItemInput{
			TableName: &t.table, Key: roomMeta(a.Room), UpdateExpression: &update, ConditionExpression: &condition,
			ExpressionAttributeNames: attributes, ExpressionAttributeValues: values,
		})
		return err
	})
	if err != nil {
		return steps.Counted{}, nil, err
	}
	c, mark = slot(row, hash)
	if c.Mine = met || bytes.HasSuffix(mark, a.Token[:2]); c.Mine {
		c.Head = headOf(row)
		for _, counted := range c.Head.Recent {
			if now.Sub(counted.At) < time.Second {
				c.Head.Lately++
			}
		}
	}
	return c, row, nil
}

// headTTL is when a room's counter may lapse after a count, or after somebody has begun to listen.
func headTTL(now time.Time, keep time.Duration) types.AttributeValue {
	return seconds(now.Add(keep + overtime + headKeep))
}

// restart begins another epoch in a room whose counter has lapsed, and which DynamoDB has not deleted yet.
func (s *Store) restart(ctx context.Context, room string, meta item) error {
	now := s.now()
	_, _, err := s.apply(ctx, change{
		key: roomMeta(room), when: "#ttl = :old",
		update: "SET #epoch = :epoch, #began = :now, #ttl = :ttl, #base = if_not_exists(#seq, :zero) REMOVE #keep, #floor, #flushed, #due",
		values: item{
			":epoch": text(newEpoch()), ":now": millis(now), ":ttl": headTTL(now, 0), ":zero": number(0), ":old": meta["ttl"],
		},
	})
	return err
}

// Head costs 1 RCU; and 1 WCU once in the life of a room, and when its counter would lapse too soon.
func (s *Store) Head(ctx context.Context, room string, until time.Time) (hub.Head, error) {
	for range tries {
		meta, err := s.get(ctx, roomMeta(room))
		if err != nil && !errors.Is(err, hub.ErrNotFound) {
			return hub.Head{}, fmt.Errorf("get head of %s: %w", room, err)
		}
		now, changed := s.now(), change{key: roomMeta(room)}
		switch {
		case textOf(meta, "epoch") == "":
			changed.update = "SET #epoch = :epoch, #began = :now, #ttl = :ttl, #base = if_not_exists(#seq, :zero) REMOVE #keep, #floor, #flushed, #due"
			changed.when = "attribute_not_exists(#epoch) OR #ttl <= :seconds"
			changed.values = item{
				":epoch": text(newEpoch()), ":now": millis(now), ":ttl": headTTL(now, 0), ":zero": number(0), ":seconds": number(now.Unix()),
			}
		case until.After(ttlOf(meta)):
			changed.update, changed.when = "SET #ttl = :ttl", "#epoch = :epoch AND (attribute_not_exists(#ttl) OR #ttl < :ttl)"
			changed.values = item{":ttl": headTTL(until, 0), ":epoch": meta["epoch"]}
		default:
			return headOf(meta), nil
		}
		meta, met, err := s.apply(ctx, changed)
		if err != nil {
			return hub.Head{}, fmt.Errorf("begin log of %s: %w", room, err)
		}
		if met {
			return headOf(meta), nil
		}
	}
	return hub.Head{}, fmt.Errorf("get head of %s: %w", room, errBusy)
}

func headOf(meta item) hub.Head {
	h := hub.Head{
		Base: numberOf(meta, "base"), Began: timeOf(meta, "began"), Floor: numberOf(meta, "floor"),
		Keep: time.Duration(numberOf(meta, "keep")) * time.Millisecond, Recent: recent(meta),
	}
	h.Epoch, h.Seq = textOf(meta, "epoch"), numberOf(meta, "seq")
	h.Pending = pendingOf(meta)
	return h
}

func pendingOf(meta item) hub.Pending {
	return hub.Pending{Flushed: numberOf(meta, "flushed"), Due: timeOf(meta, "due")}
}

// Pend costs 1 WCU.
func (s *Store) Pend(ctx context.Context, room string, was, now hub.Pending, newest int64) (hub.Head, bool, error) {
	c := change{key: roomMeta(room), values: item{}, update: "REMOVE #flushed, #due", when: "attribute_exists(#epoch)"}
	if !now.Due.IsZero() {
		c.update, c.values[":flushed"], c.values[":due"] = "SET #flushed = :flushed, #due = :due", number(now.Flushed), millis(now.Due)
	}
	if was.Due.IsZero() {
		c.when += " AND attribute_not_exists(#due)"
	} else {
		c.when += " AND #flushed = :was AND #due = :before"
		c.values[":was"], c.values[":before"] = number(was.Flushed), millis(was.Due)
	}
	if newest > 0 {
		c.when += " AND #seq = :newest"
		c.values[":newest"] = number(newest)
	}
	if len(c.values) == 0 {
		c.values = nil
	}
	meta, met, err := s.apply(ctx, c)
	if err != nil {
		return hub.Head{}, false, fmt.Errorf("pend in %s: %w", room, err)
	}
	// By this call too, if its answer was lost.
	return headOf(meta), met || meta != nil && pendingOf(meta) == millisecond(now) && (newest == 0 || numberOf(meta, "seq") == newest), nil
}

// millisecond is pending as it is read back.
func millisecond(p hub.Pending) hub.Pending {
	if !p.Due.IsZero() {
		p.Due = time.UnixMilli(p.Due.UnixMilli())
	}
	return p
}

// Reset costs 1 WCU. What was counted before is forgotten: it is logged in the epoch that has ended, or in none.
func (s *Store) Reset(ctx context.Context, room string) error {
	now := s.now()
	var all []string
	for i := range slots {
		all = append(all, fmt.Sprintf("k%x, s%x", i, i))
	}
	all = append(all, "#flushed, #due")
	_, _, err := s.apply(ctx, change{
		key: roomMeta(room), when: "attribute_not_exists(#epoch) OR #epoch <> :epoch",
		update: "SET #epoch = :epoch, #began = :now, #base = if_not_exists(#seq, :zero), #ttl = :ttl REMOVE " + strings.Join(all, ", "),
		values: item{":epoch": text(newEpoch()), ":now": millis(now), ":zero": number(0), ":ttl": headTTL(now, 0)},
	})
	if err != nil {
		return fmt.Errorf("reset log of %s: %w", room, err)
	}
	return nil
}
