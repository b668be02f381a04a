package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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

// catchUp gives what a room's log holds for a connection since a position, and whether that is all there was: the position must be one from
// which on everything is promised, and every seq since must be there, as an entry or as a hole that was filled.
func (h *Hub) catchUp(ctx context.Context, row Connection, room string, k Kind, since *protocol.Position) (protocol.JoinResult, error) {
	got := protocol.JoinResult{Room: room, Events: []protocol.Event{}}
	head, err := h.store.Head(ctx, room, h.ttl(h.now()))
	if err != nil {
		return got, fmt.Errorf("read head of %s: %w", room, err)
	}
	got.Epoch = head.Epoch
	if since == nil || !head.promises(*since) {
		return got, h.startAt(ctx, &got, head, k)
	}
	if since.Seq == head.Seq {
		got.Seq, got.Recovered = head.Seq, true
		return got, nil
	}
	// Entries lapse in order from the floor on. One at the position itself, or right after it, proves that the log still
	// reaches back to it; and so does an epoch which is so young that nothing of it can have lapsed.
	entries, err := h.store.From(ctx, room, max(since.Seq, head.Base+1, head.Floor), catchUpPage)
	if err != nil {
		return got, fmt.Errorf("read log of %s: %w", room, err)
	}
	reaches := len(entries) > 0 && entries[0].Seq <= since.Seq+1
	if !reaches && h.now().Sub(head.Began) >= head.keep(k) {
		return got, h.startAt(ctx, &got, head, k)
	}
	if len(entries) > 0 && entries[0].Seq == since.Seq {
		entries = entries[1:]
	}
	if len(entries) == 0 { // there was no space for another beside it
		entries, err = h.store.From(ctx, room, since.Seq+1, catchUpPage)
		if err != nil {
			return got, fmt.Errorf("read log of %s: %w", room, err)
		}
	}
	got.Recovered, got.Seq = true, since.Seq
	err = h.settle(ctx, row, &got, head, k, entries)
	if errors.Is(err, ErrLapsed) { // while it was read, or it was written by a function that keeps it for another time
		got.Recovered, got.Events, got.More, got.WaitMs = false, []protocol.Event{}, false, 0
		return got, h.startAt(ctx, &got, head, k)
	}
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

// hold keeps the head of a room for as long as a connection that has entered it without reading its log may be there: it says how
// many shards the room has.
func (h *Hub) hold(ctx context.Context, room string) error {
	if _, err := h.store.Head(ctx, room, h.ttl(h.now())); err != nil {
		return fmt.Errorf("read head of %s: %w", room, err)
	}
	return nil
}

// keep is for how long the room's entries from the floor on are kept. Versions before there was a floor did not write it down.
func (h Head) keep(k Kind) time.Duration {
	if h.Keep > 0 {
		return h.Keep
	}
	return k.Keep
}

// settle moves the reply's position over entries that follow it, as far as the log is complete and the reply has space. A hole
// that may still be written at stops it; one that is older is filled, so that a writer which wakes up after that cannot put an
// event where nobody looks any more. More says that there are entries behind the position. Nobody else would say so: they may
// have been pushed before the caller came. ErrLapsed: what is missing had been there.
func (h *Hub) settle(ctx context.Context, row Connection, got *protocol.JoinResult, head Head, k Kind, entries []Entry) error {
	size := 0
	for _, e := range entries {
		if passed, err := h.passHoles(ctx, got, head, k, e); err != nil || !passed {
			return err
		}
		if !e.Void && !row.excepted(e.Except) {
			if size += sizeOf(e.Event); size > replyEvents && len(got.Events) > 0 {
				got.More = true
				return nil
			}
			got.Events = append(got.Events, e.Event)
		}
		got.Seq = e.Seq
	}
	return nil
}

// passHoles moves the reply's position up to right before an entry, over the holes that are there. false: one may still be written at,
// or was just now.
func (h *Hub) passHoles(ctx context.Context, got *protocol.JoinResult, head Head, k Kind, e Entry) (bool, error) {
	for ; got.Seq+1 < e.Seq; got.Seq++ {
		if wait := h.mayAppear(head, got.Seq+1, e); wait > 0 {
			got.More = true
			if len(got.Events) == 0 || !got.Recovered {
				got.WaitMs = (wait + h.jitter(time.Second)).Milliseconds() + 1
			}
			return false, nil
		}
		void, err := h.store.Void(ctx, got.Room, got.Seq+1, head.keep(k))
		if errors.Is(err, ErrLapsed) && !got.Recovered { // whoever begins here asks for nothing of before
			continue
		}
		if err != nil {
			return false, fmt.Errorf("void %d of %s: %w", got.Seq+1, got.Room, err)
		}
		if !void {
			got.More = true
			return false, nil
		}
	}
	return true, nil
}

// mayAppear gives how long a writer that counted a seq may still be about to write there, when a later entry is there already.
func (h *Hub) mayAppear(head Head, seq int64, later Entry) time.Duration {
	counted := time.UnixMilli(later.TS).Add(appendTime) // it was before the later one, which was counted within that time
	if at, known := head.countedBy(seq); known && at.Before(counted) {
		counted = at
	}
	return counted.Add(holeAge).Sub(h.now())
}

// startAt sets the reply's position for a client that begins there: the newest that nothing can appear before any more. The
// head itself may be ahead of that, as a writer that has counted may not have written yet.
func (h *Hub) startAt(ctx context.Context, got *protocol.JoinResult, head Head, k Kind) error {
	old := h.now().Add(-voidAge)
	settled, known := head.settled(old)
	got.Seq = max(settled, head.Base)
	if got.Seq >= head.Seq {
		return nil
	}
	tail, err := h.tail(ctx, got.Room, head, got.Seq, old)
	if err != nil {
		return fmt.Errorf("read tail of %s: %w", got.Room, err)
	}
	switch n := len(head.Recent); {
	case len(tail) == 0 && (n == 0 || head.Recent[0].Seq < head.Seq): // a version that does not say when has counted it
		got.Seq = head.Seq
	case len(tail) == 0:
	case tail[0].TS <= old.UnixMilli(): // whoever was to write before it has given up
		got.Seq, tail = tail[0].Seq, tail[1:]
	case !known && (n == 0 || head.Recent[n-1].Seq > got.Seq+1): // what is before it may have lapsed, or be about to come
		got.More, got.WaitMs = true, time.UnixMilli(tail[0].TS).Sub(old).Milliseconds()+1
		return nil
	}
	err = h.settle(ctx, Connection{}, got, head, k, tail)
	got.Events = []protocol.Event{} // it has them from elsewhere
	return err
}

// tail gives the newest entries above a seq, ascending, and back to one that is old if there is one.
func (h *Hub) tail(ctx context.Context, room string, head Head, above int64, old time.Time) ([]Entry, error) {
	var tail []Entry // newest first
	for before := head.Seq + 1; ; {
		page, err := h.store.Before(ctx, room, before, tailPage)
		if err != nil {
			return nil, err
		}
		tail = append(tail, page...)
		if len(page) == 0 || page[len(page)-1].TS <= old.UnixMilli() || page[len(page)-1].Seq <= above {
			break
		}
		before = page[len(page)-1].Seq
	}
	slices.Reverse(tail)
	return slices.DeleteFunc(tail, func(e Entry) bool { return e.Seq <= above }), nil
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
	head, err := h.store.Head(ctx, room, time.Time{})
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
