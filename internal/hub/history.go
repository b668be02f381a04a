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
	head, err := h.Store.Head(ctx, room)
	if err != nil {
		return got, fmt.Errorf("read head of %s: %w", room, err)
	}
	got.Epoch = head.Epoch
	if since == nil || since.Epoch != head.Epoch || since.Seq < head.Base || since.Seq > head.Seq {
		got.Seq, err = h.settledHead(ctx, room, head)
		return got, err
	}
	if since.Seq == head.Seq {
		got.Seq, got.Recovered = head.Seq, true
		return got, nil
	}
	// The entry at the position itself proves that the log still reaches back to it: entries lapse in order.
	entries, err := h.Store.From(ctx, room, max(since.Seq, head.Base+1), catchUpPage)
	if err != nil {
		return got, fmt.Errorf("read log of %s: %w", room, err)
	}
	anchored := len(entries) > 0 && entries[0].Seq == since.Seq
	if !anchored && h.Now().Sub(head.Began) >= k.Keep {
		got.Seq, err = h.settledHead(ctx, room, head)
		return got, err
	}
	if anchored {
		entries = entries[1:]
	}
	got.Recovered = true
	got.Seq, got.Events, got.More = h.settle(since.Seq, entries)
	if !got.More && len(entries) > 0 && got.Seq == entries[len(entries)-1].Seq && got.Seq < head.Seq {
		// The store's page may have ended early for its size. One more page tells: it is empty at the end.
		rest, err := h.Store.From(ctx, room, got.Seq+1, 1)
		if err != nil {
			return got, fmt.Errorf("read log of %s: %w", room, err)
		}
		got.More = len(rest) > 0
	}
	return got, nil
}

// settle gives the events after a position as far as the log is complete and the reply has space, and the position
// reached. A missing seq may still appear for voidAge after a later one was written; the events stop before such a hole.
func (h *Hub) settle(after int64, entries []Entry) (seq int64, events []protocol.Event, more bool) {
	seq, events = after, []protocol.Event{}
	void := h.Now().Add(-voidAge).UnixMilli()
	size := 0
	for _, e := range entries {
		if e.Seq != seq+1 && e.TS > void {
			return seq, events, false
		}
		if size += sizeOf(e.Event); size > replyEvents && len(events) > 0 {
			return seq, events, true
		}
		seq, events = e.Seq, append(events, e.Event)
	}
	return seq, events, false
}

// settledHead gives the newest position that nothing can appear before any more. The head itself may be ahead of it: a
// writer that has counted may not have written yet.
func (h *Hub) settledHead(ctx context.Context, room string, head Head) (int64, error) {
	void := h.Now().Add(-voidAge).UnixMilli()
	var tail []Entry // newest first
	for before := head.Seq + 1; ; {
		page, err := h.Store.Before(ctx, room, before, tailPage)
		if err != nil {
			return 0, fmt.Errorf("read tail of %s: %w", room, err)
		}
		tail = append(tail, page...)
		if len(page) == 0 || page[len(page)-1].TS <= void || page[len(page)-1].Seq <= head.Base {
			break
		}
		before = page[len(page)-1].Seq
	}
	slices.Reverse(tail)
	seq := head.Base
	for _, e := range tail {
		switch {
		case e.Seq <= head.Base:
		case e.Seq == seq+1 || e.TS <= void:
			seq = e.Seq
		default: // a hole, or what was here has lapsed: nobody can tell, and the older position is always right
			return seq, nil
		}
	}
	return seq, nil
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
	head, err := h.Store.Head(ctx, room)
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
	size := 0
	for !got.More {
		entries, err := h.Store.Before(ctx, room, before, limit+1-len(got.Events))
		if err != nil {
			return got, fmt.Errorf("read log of %s: %w", room, err)
		}
		for _, e := range entries {
			if e.Seq <= head.Base {
				entries = nil
				break
			}
			size += sizeOf(e.Event)
			if len(got.Events) == limit || size > replyEvents && len(got.Events) > 0 {
				got.More = true
				break
			}
			got.Events, before = append(got.Events, e.Event), e.Seq
		}
		if len(entries) == 0 {
			break
		}
	}
	slices.Reverse(got.Events)
	return got, nil
}
