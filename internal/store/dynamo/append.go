package dynamo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/bellhop-rt/bellhop/internal/aws/away"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/steps"
)

// overtime is how long rows are there beyond what is promised of them: what has lapsed is not taken for what was never there.
const overtime = time.Hour

// Append costs 2 WCU for an event under 1 KB, and 3 with a key. If the key is known, it costs 1 WCU where that was counted lately, and
// otherwise 3: then a seq was counted in vain, and is void.
func (s *Store) Append(ctx context.Context, room string, d hub.Draft) (hub.Entry, bool, error) {
	return steps.Append(ctx, appender{s}, room, d)
}

// appender is a log as steps of an Append.
//
// A version before keys knows a row of dedup# by its id alone. So that functions of both versions can work on one table, the
// first maker of an id has it under the bare id, as that version writes and reads it; whoever has the same id has another row beside it.
type appender struct{ *Store }

var _ steps.Table = appender{}

func (t appender) Now() time.Time { return t.now() }

func (t appender) Look(ctx context.Context, a *steps.Attempt, seq int64) (steps.Place, error) {
	row, err := t.get(ctx, entryKey(a.Room, seq))
	if errors.Is(err, hub.ErrNotFound) {
		return steps.Place{}, nil
	}
	if err != nil {
		return steps.Place{}, fmt.Errorf("get %d: %w", seq, err)
	}
	return t.place(a, row)
}

func (t appender) place(a *steps.Attempt, row item) (steps.Place, error) {
	entry, err := entryOf(row, a.Room)
	p := steps.Place{State: steps.Kept, Entry: entry, Mine: bytes.Equal(bytesOf(row, "by"), a.Token)}
	switch {
	case entry.Void:
		p.State = steps.Void
	case bytesOf(row, "k") != nil && !ttlOf(row).Add(-overtime).After(t.now()):
		p.State = steps.Forgotten
	}
	return p, err
}

// Remember costs 1 WCU, and 2 where another maker has the bare id.
func (t appender) Remember(ctx context.Context, a *steps.Attempt, c steps.Counted) (other steps.Counted, err error) {
	k := hashOf(a.Key, 0)
	row := item{
		"seq": number(c.Seq), "at": millis(c.At), "k": binaryOf(k), "ttl": seconds(c.At.Add(max(a.Draft.Keep, hub.IDMemory))),
		"pk": text(dedupKey(a.Room)),
	}
	// With the same seq it is the row of another step for the same, perhaps this one, whose answer was lost.
	condition := "attribute_not_exists(#pk) OR #ttl <= :seconds OR #seq = :seq OR #seq = :gone OR #seq <= :base"
	values := item{":seconds": number(t.now().Unix()), ":seq": number(c.Seq), ":gone": number(a.Gone), ":base": number(c.Base)}
	for _, sk := range []string{a.Draft.Key.ID, a.Draft.Key.String()} {
		row["sk"] = text(sk)
		there, written, err := t.putIf(ctx, row, condition, values)
		if err != nil || written {
			return steps.Counted{}, err
		}
		mine, err := t.remembers(ctx, a.Room, a.Draft, there)
		if err != nil || mine {
			return steps.Counted{Seq: numberOf(there, "seq"), At: timeOf(there, "at"), Epoch: c.Epoch, Base: c.Base}, err
		}
	}
	return steps.Counted{}, errBusy
}

// remembers reports whether a row remembers the key of a draft, and not somebody else's with the same id. One that does not say whose
// it is was written by a version before keys, together with its entry.
func (s *Store) remembers(ctx context.Context, room string, d hub.Draft, dedup item) (bool, error) {
	if k := bytesOf(dedup, "k"); k != nil {
		return bytes.Equal(k, hashOf(d.Key.String(), 0)), nil
	}
	row, err := s.get(ctx, entryKey(room, numberOf(dedup, "seq")))
	if errors.Is(err, hub.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("get %d: %w", numberOf(dedup, "seq"), err)
	}
	entry, err := entryOf(row, room)
	return err == nil && d.Repeats(entry), err
}

// Write costs 1 WCU for each KB of the entry.
func (t appender) Write(ctx context.Context, a *steps.Attempt, c steps.Counted) (steps.Place, error) {
	row, entry, err := t.row(a, c)
	if err != nil {
		return steps.Place{}, err
	}
	there, written, err := t.putIf(ctx, row, "attribute_not_exists(#pk) OR #ttl <= :seconds", item{":seconds": number(t.now().Unix())})
	if err != nil || written {
		return steps.Place{State: steps.Kept, Entry: entry, Mine: true}, err
	}
	return t.place(a, there)
}

// row gives the entry at a seq, and its row.
func (t appender) row(a *steps.Attempt, c steps.Counted) (item, hub.Entry, error) {
	now, d := t.now(), a.Draft
	e := d.Event
	e.Room, e.Seq = a.Room, c.Seq
	if e.ID == "" {
		e.ID = protocol.GeneratedID(c.Epoch, c.Seq)
	}
	row := entryKey(a.Room, c.Seq)
	row["id"], row["epoch"], row["event"], row["ts"] = text(e.ID), text(c.Epoch), text(e.Event), number(e.TS)
	row["until"], row["ttl"] = seconds(now.Add(d.Keep)), seconds(now.Add(max(d.Keep, hub.IDMemory)+overtime))
	row["k"], row["by"] = binaryOf(hashOf(a.Key, 0)), binaryOf(a.Token)
	if d.Sum != "" {
		row["sum"] = text(d.Sum)
	}
	if len(d.Except) > 0 {
		except, err := json.Marshal(d.Except)
		if err != nil {
			return nil, hub.Entry{}, fmt.Errorf("encode except: %w", err)
		}
		row["except"] = text(string(except))
	}
	if e.From != nil {
		from, err := json.Marshal(e.From)
		if err != nil {
			return nil, hub.Entry{}, fmt.Errorf("encode from: %w", err)
		}
		row["from"] = text(string(from))
	}
	if e.Data != nil {
		row["data"] = text(string(e.Data))
	}
	return row, hub.Entry{Event: e, Epoch: c.Epoch, Except: d.Except, Sum: d.Sum}, nil
}

// insist does a request, which may be repeated, again for as long as there is time and DynamoDB refuses it for its load, or cannot be
// reached. The SDK gives up after three.
func insist(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil || !away.Is(err) {
			return err
		}
		if try == tries || pause(ctx, time.Duration(try)*50*time.Millisecond) != nil {
			return fmt.Errorf("%w: %w", hub.ErrUnavailable, err)
		}
	}
}

// pause waits for about a time.
func pause(ctx context.Context, about time.Duration) error {
	t := time.NewTimer(about/2 + mathrand.N(about)) //nolint:gosec // spreads load, guards nothing
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
