package hub

import (
	"context"
	"fmt"
	"slices"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Pages of a log, in events.
const (
	catchUpPage  = 500
	historyPage  = 50
	historyLimit = 200
	tailPage     = 10
)

// sizeOf is about what an event takes in a frame, never less.
func sizeOf(e protocol.Event) int {
	size := len(e.Event) + len(e.Room) + len(e.ID) + len(e.Data) + 100
	if e.From != nil {
		size += len(e.From.UserID) + len(e.From.Name) + 40
	}
	return size
}

// catchUp gives what a room's log holds since a position, and whether that is all there was.
func (h *Hub) catchUp(ctx context.Context, room string, k Kind, since *protocol.Position) (protocol.JoinResult, error) {
	got := protocol.JoinResult{Room: room, Events: []protocol.Event{}}
	head, err := h.store.Head(ctx, room)
	if err != nil {
		return got, fmt.Errorf("read head of %s: %w", room, err)
	}
	got.Epoch = head.Epoch
	if since == nil || since.Epoch != head.Epoch || since.Seq < head.Base || since.Seq > head.Seq {
		got.Seq, got.More, err = h.settledHead(ctx, room, k, head)
		return got, err
	}
	if since.Seq == head.Seq {
		got.Seq, got.Recovered = head.Seq, true
		return got, nil
	}
	// The entry at the position itself proves that the log still reaches back to it: entries lapse in order.
	entries, err := h.store.From(ctx, room, max(since.Seq, head.Base+1), catchUpPage)
	if err != nil {
		return got, fmt.Errorf("read log of %s: %w", room, err)
	}
	anchored := len(entries) > 0 && entries[0].Seq == since.Seq
	if !anchored && h.now().Sub(head.Began) >= k.Keep {
		got.Seq, got.More, err = h.settledHead(ctx, room, k, head)
		return got, err
	}
	if anchored {
		entries = entries[1:]
	}
	if len(entries) == 0 { // there was no space for another beside it
		entries, err = h.store.From(ctx, room, since.Seq+1, catchUpPage)
		if err != nil {
			return got, fmt.Errorf("read log of %s: %w", room, err)
		}
	}
	got.Recovered = true
	got.Seq, got.Events, got.More, err = h.settle(ctx, room, k, since.Seq, entries)
	if err == nil && !got.More && len(entries) > 0 && got.Seq == entries[len(entries)-1].Seq && got.Seq < head.Seq {
		// The store's page may have ended early for its size. One more page tells: it is empty at the end.
		var rest []Entry
		rest, err = h.store.From(ctx, room, got.Seq+1, 1)
		got.More = len(rest) > 0
	}
	if err != nil {
		return got, fmt.Errorf("read log of %s: %w", room, err)
	}
	return got, nil
}

// settle gives the events after a position as far as the log is complete and the reply has space, and the position
// reached. A seq that is missing may still be written: the events stop there, unless a later one is older than voidAge.
// Then the hole is filled, so that a writer which wakes up after that cannot put an event where nobody looks any more.
// more says that there are entries after seq. Nobody else would say so: they may have been pushed before the caller came.
func (h *Hub) settle(ctx context.Context, room string, k Kind, after int64, entries []Entry) (seq int64, events []protocol.Event, more bool, err error) {
	seq, events = after, []protocol.Event{}
	size := 0
	for _, e := range entries {
		for seq+1 < e.Seq {
			if e.TS > h.voidBefore() {
				return seq, events, true, nil
			}
			void, err := h.store.Void(ctx, room, seq+1, k.Keep)
			if err != nil {
				return seq, events, false, err
			}
			if !void { // it was written after all, since the entries were read
				return seq, events, true, nil
			}
			seq++
		}
		if !e.Void {
			if size += sizeOf(e.Event); size > replyEvents && len(events) > 0 {
				return seq, events, true, nil
			}
			events = append(events, e.Event)
		}
		seq = e.Seq
	}
	return seq, events, false, nil
}

// voidBefore is the time, in Unix milliseconds, that an event must be older than for a hole before it to be void.
func (h *Hub) voidBefore() int64 { return h.now().Add(-voidAge).UnixMilli() }

// settledHead gives the newest position that nothing can appear before any more, and whether there are entries after it.
// The head itself may be ahead of both: a writer that has counted may not have written yet.
func (h *Hub) settledHead(ctx context.Context, room string, k Kind, head Head) (int64, bool, error) {
	var tail []Entry // newest first
	for before := head.Seq + 1; ; {
		page, err := h.store.Before(ctx, room, before, tailPage)
		if err != nil {
			return 0, false, fmt.Errorf("read tail of %s: %w", room, err)
		}
		tail = append(tail, page...)
		if len(page) == 0 || page[len(page)-1].TS <= h.voidBefore() || page[len(page)-1].Seq <= head.Base {
			break
		}
		before = page[len(page)-1].Seq
	}
	slices.Reverse(tail)
	tail = slices.DeleteFunc(tail, func(e Entry) bool { return e.Seq <= head.Base })
	seq := head.Base
	if len(tail) > 0 && tail[0].TS <= h.voidBefore() { // whoever was to write before it has given up
		seq = tail[0].Seq
		tail = tail[1:]
	}
	seq, _, more, err := h.settle(ctx, room, k, seq, tail)
	if err != nil {
		return 0, false, fmt.Errorf("settle tail of %s: %w", room, err)
	}
	return seq, more, nil
}

// history gives a member a page of a room's log, backwards from a position.
func (h *Hub) history(ctx context.Context, c Caller, a protocol.Action, recent bool) (any, error) {
	if _, err := h.kind(a.Room); err != nil {
		return nil, err
	}
	if _, err := h.touch(ctx, c, a.Room, recent); err != nil {
		return nil, err
	}
	return h.page(ctx, a.Room, a.Before, a.Limit)
}

// page gives up to limit events with seq below before, ascending; before 0 is the newest, limit 0 is 50.
func (h *Hub) page(ctx context.Context, room string, before int64, limit int) (protocol.HistoryResult, error) {
	got := protocol.HistoryResult{Room: room, Events: []protocol.Event{}}
	head, err := h.store.Head(ctx, room)
	if err != nil {
		return got, fmt.Errorf("read head of %s: %w", room, err)
	}
	got.Epoch, got.Seq = head.Epoch, head.Seq
	if limit == 0 {
		limit = historyPage
	}
	limit = min(limit, historyLimit)
	if before == 0 || before > head.Seq {
		before = head.Seq + 1
	}
	events, err := h.newest(ctx, room, before, head.Base, limit+1)
	if err != nil {
		return got, err
	}
	size := 0
	for _, e := range events {
		if size += sizeOf(e); len(got.Events) == limit || size > replyEvents && len(got.Events) > 0 {
			got.More = true
			break
		}
		got.Events = append(got.Events, e)
	}
	slices.Reverse(got.Events)
	return got, nil
}

// newest gives the events with seq below before and above base, the newest first: as many as wanted, or fewer if they
// are more than a reply has space for, or all there are.
func (h *Hub) newest(ctx context.Context, room string, before, base int64, wanted int) ([]protocol.Event, error) {
	var events []protocol.Event
	size := 0
	for len(events) < wanted && (size <= replyEvents || len(events) < 2) {
		entries, err := h.store.Before(ctx, room, before, wanted-len(events))
		if err != nil {
			return nil, fmt.Errorf("read log of %s: %w", room, err)
		}
		for _, e := range entries {
			if before = e.Seq; !e.Void && e.Seq > base {
				events = append(events, e.Event)
				size += sizeOf(e.Event)
			}
		}
		if len(entries) == 0 || before <= base+1 {
			break
		}
	}
	return events, nil
}
