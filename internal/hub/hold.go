package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// What is pushed is what is paid for, so some events wait for others, to go in one frame with them. They are logged at once, and their
// replies do not wait.
//
//   - Who comes and goes in a large room waits for the room's next event, or for the lazy time of its kind: nobody looks at so many.
//   - The events of a busy room wait for the coalesce time of its kind.
//
// What waits is pending ([Pending]): all that follows its Flushed. The count that gives the first of them its seq writes that down, and
// whoever counts sees it. An event that does not wait takes with it all that does, or members would miss what is before it. If
// there is none, a job pushes them when they are Due; it is left before the mark is made, so that there is never one without. Whoever has
// pushed all up to a seq takes the mark away, unless more was counted since; then it stays, and some of it may be pushed twice, in the same
// frame with what is new.

const (
	// DefaultLazy is the Lazy of kinds with presence that do not say.
	DefaultLazy = time.Minute
	// MaxLazy is what a queue can delay.
	MaxLazy = 15 * time.Minute
	// KeepToWait is for how long a kind keeps its log at least whose events wait: they are read from it when they are pushed, and a job
	// that was cut off comes again after minutes.
	KeepToWait = 30 * time.Minute
	// MaxCoalesce is how long a flush may wait for more.
	MaxCoalesce = time.Second

	abandoned = time.Second     // after it was due, whoever was to push has given up
	backup    = 2 * time.Second // after the first, another job looks whether it was done
	holePause = 20 * time.Millisecond
	holeTries = 5                    // looks at what a writer is about to write, by somebody who waits for a reply
	flushTime = 20 * time.Second     // of one function, before another goes on
	holeWait  = appendTime + holeAge // until a seq that was counted before is void
)

// Waits reports whether an event may wait in large rooms: nobody there looks at each that comes or goes.
func Waits(event string) bool { return event == protocol.UserOnline || event == protocol.UserOffline }

// lazily makes a draft one that waits, if it is such and the room is large. If nothing is pending there that it could wait with, it may
// make the mark, and the job for that is left.
func (h *Hub) lazily(ctx context.Context, d Draft, k Kind) (Draft, error) {
	if d.Key.Maker != MakerServer || k.Lazy == 0 || !Waits(d.Event.Event) {
		return d, nil
	}
	page, err := h.store.Members(ctx, d.Room, 0, "", h.limits.Dots+1)
	if err != nil {
		return d, fmt.Errorf("read members of %s: %w", d.Room, err)
	}
	if len(page.Members) <= h.limits.Dots && page.Next == "" && page.Shards == 1 {
		return d, nil
	}
	head, err := h.headOf(ctx, d.Room)
	if err != nil {
		return d, err
	}
	d.waits = true
	job := Job{Kind: JobFlush, Room: d.Room}
	switch due := head.Pending.Due; {
	case due.IsZero():
		d.Hold = h.now().Add(k.Lazy)
		job.Due = d.Hold.UnixMilli()
		return d, h.Enqueue(ctx, job, k.Lazy)
	case due.Add(abandoned).Before(h.now()):
		return d, h.Enqueue(ctx, job, 0)
	}
	return d, nil
}

// deliverLogged pushes an event that was logged, or leaves it to wait.
func (h *Hub) deliverLogged(ctx context.Context, d Draft, e Entry, again bool) error {
	k, p := h.kinds[protocol.RoomKind(e.Room)], e.Counted.Pending
	held := !p.Due.IsZero() && p.Flushed < e.Seq
	switch {
	case d.waits && held: // a job for it was left
		h.observe.held(ctx, e, "lazy", p.Due)
		return nil
	case k.Coalesce > 0 && len(d.Except) == 0:
		coalesced, err := h.coalesce(ctx, e, k)
		if err != nil || coalesced {
			return err
		}
	}
	return h.deliverOnce(ctx, e, d, again)
}

// coalesce leaves an event to a flush, if there is one, or the room is busy. false: it is to be pushed.
func (h *Hub) coalesce(ctx context.Context, e Entry, k Kind) (bool, error) {
	p, now := e.Counted.Pending, h.now()
	none := p.Due.IsZero()
	if !none && p.Flushed < e.Seq && !p.Due.After(now.Add(k.Coalesce)) && p.Due.Add(abandoned).After(now) {
		h.observe.held(ctx, e, "coalesce", p.Due)
		return true, nil
	}
	if e.Counted.Lately < h.limits.Busy { // what is lazy, or abandoned, goes with this
		return false, nil
	}
	mine := Pending{Flushed: e.Seq - 1, Due: now.Add(k.Coalesce)}
	if !none {
		mine.Flushed = p.Flushed
	}
	if err := h.flushLater(ctx, e, 1, backup); err != nil {
		return false, err
	}
	head, did, err := h.store.Pend(ctx, e.Room, p, mine, 0)
	if err != nil {
		return false, fmt.Errorf("begin to flush %s: %w", e.Room, err)
	}
	if !did { // somebody else was faster
		return head.Epoch == e.Epoch && !head.Pending.Due.IsZero() && head.Pending.Flushed < e.Seq && !head.Pending.Due.After(now.Add(k.Coalesce)), nil
	}
	h.observe.held(ctx, e, "coalesce", mine.Due)
	return true, h.flushLater(ctx, e, 0, 0)
}

// flushLater has what is pending pushed after a time. attempt 1: only if the event is still among it.
func (h *Hub) flushLater(ctx context.Context, e Entry, attempt int, delay time.Duration) error {
	return h.Enqueue(ctx, Job{Kind: JobFlush, Room: e.Room, Epoch: e.Epoch, First: e.Seq, Attempt: attempt}, delay)
}

// tale is an event with who is not told of it: connections and users.
type tale struct {
	protocol.Event

	out []string
}

// tales gives what entries tell. Those that a room's end has hidden tell nothing.
func (h *Hub) tales(ctx context.Context, entries []Entry, base int64) ([]tale, error) {
	list := make([]tale, 0, len(entries))
	for _, e := range entries {
		if e.Void || e.Seq <= base {
			continue
		}
		out, err := h.withoutRooms(ctx, e.Except)
		if _, refused := errors.AsType[*protocol.Error](err); refused { // a room has grown that much since
			out, err = e.Except, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, tale{e.Event, out})
	}
	return list, nil
}

// deliverWith pushes an event with all that waits before it. out: who is left out of the event.
func (h *Hub) deliverWith(ctx context.Context, e Entry, out []string, page MemberPage) error {
	var (
		before []Entry
		whole  bool
	)
	p := e.Counted.Pending
	if p.Due.IsZero() || p.Flushed >= e.Seq || h.kinds[protocol.RoomKind(e.Room)].Keep < KeepToWait { // by functions that keep it longer
		return h.deliverFrom(ctx, []tale{{e.Event, out}}, e.Epoch, page)
	}
	for try := range holeTries {
		var err error
		if before, whole, err = h.between(ctx, e.Room, p.Flushed, e.Seq); err != nil {
			return err
		}
		if whole || try == holeTries-1 {
			break
		}
		h.sleep(ctx, holePause)
		if page, err = h.firstMembers(ctx, e.Room); err != nil { // who left meanwhile is not to hear what is written now
			return err
		}
	}
	told, err := h.tales(ctx, before, e.Counted.Base)
	if err != nil {
		return err
	}
	if err := h.deliverFrom(ctx, append(told, tale{e.Event, out}), e.Epoch, page); err != nil || !whole {
		return err
	}
	// What was counted since keeps the mark, and the job that was left for it.
	if _, _, err := h.store.Pend(ctx, e.Room, p, Pending{}, e.Seq); err != nil {
		h.log.WarnContext(ctx, "what was pending may be pushed again", "room", e.Room, "error", err)
	}
	return nil
}

// between gives the entries after a seq and before another, and whether all are there.
func (h *Hub) between(ctx context.Context, room string, after, before int64) ([]Entry, bool, error) {
	var list []Entry
	for next := after + 1; next < before; {
		page, err := h.store.From(ctx, room, next, int(min(before-next, catchUpPage)))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, false, fmt.Errorf("read log of %s: %w", room, err)
		}
		for _, e := range page {
			if e.Seq < before {
				list = append(list, e)
			}
		}
		if len(page) == 0 || page[len(page)-1].Seq >= before-1 {
			break
		}
		next = page[len(page)-1].Seq + 1
	}
	return list, int64(len(list)) == before-after-1, nil
}

// flush pushes what a room has pending, when it is due, until nothing is. It ends where another is at it: whoever changes the mark has
// what is pending as its own.
func (h *Hub) flush(ctx context.Context, j Job) error {
	if j.Last > 0 {
		return h.flushShard(ctx, j)
	}
	k, began := h.kinds[protocol.RoomKind(j.Room)], h.now()
	head, mine, err := h.takeOver(ctx, j)
	for mine && err == nil {
		var upTo int64
		if upTo, err = h.flushOnce(ctx, j.Room, head, k); err != nil {
			return err
		}
		next := Pending{upTo, time.UnixMilli(h.now().Add(k.Coalesce).UnixMilli())}
		if done, err := h.flushedTo(ctx, j.Room, head, next); err != nil || done {
			return err
		}
		if h.late(ctx) || h.now().Sub(began) > flushTime {
			// Whoever logs the next one finds it abandoned, and sees to it. If nobody does, this job's successor does.
			return h.Enqueue(ctx, Job{Kind: JobFlush, Room: j.Room, Epoch: head.Epoch, First: upTo + 1, Attempt: 1}, backup)
		}
		h.sleep(ctx, max(holePause, k.Coalesce))
		epoch := head.Epoch
		head, err = h.headOf(ctx, j.Room)
		mine = head.Pending == next && head.Epoch == epoch
	}
	return err
}

func (h *Hub) headOf(ctx context.Context, room string) (Head, error) {
	head, err := h.store.Head(ctx, room, time.Time{})
	if err != nil {
		return head, fmt.Errorf("read head of %s: %w", room, err)
	}
	return head, nil
}

// takeOver gives the head of a room whose pending is a job's to push now. false: it is not.
func (h *Hub) takeOver(ctx context.Context, j Job) (Head, bool, error) {
	head, err := h.headOf(ctx, j.Room)
	p := head.Pending
	switch {
	case err != nil || p.Due.IsZero() || p.Due.Sub(h.now()) > MaxCoalesce,
		j.Attempt > 0 && (head.Epoch != j.Epoch || p.Flushed >= j.First):
		return head, false, err // it was pushed with another, or is another job's
	}
	until := p.Due
	if j.Attempt > 0 || j.Due > 0 && j.Due != p.Due.UnixMilli() { // another is at it, and moves the mark by then
		until = p.Due.Add(abandoned + time.Millisecond)
	}
	if wait := until.Sub(h.now()); wait > 0 {
		h.sleep(ctx, wait)
		epoch := head.Epoch
		if head, err = h.headOf(ctx, j.Room); err != nil || head.Epoch != epoch || head.Pending != p {
			return head, false, err
		}
	}
	if h.now().Sub(p.Due) <= abandoned {
		return head, true, nil
	}
	return h.claim(ctx, j.Room, p)
}

// claim makes what is pending, and was abandoned, the caller's.
func (h *Hub) claim(ctx context.Context, room string, p Pending) (Head, bool, error) {
	head, did, err := h.store.Pend(ctx, room, p, Pending{p.Flushed, h.now()}, 0)
	if err != nil {
		return head, false, fmt.Errorf("take over what is pending in %s: %w", room, err)
	}
	return head, did, nil
}

// flushedTo writes down how far a flush has come. done: nothing is pending any more, or another is at it.
func (h *Hub) flushedTo(ctx context.Context, room string, was Head, mine Pending) (done bool, err error) {
	if mine.Flushed == was.Seq {
		now, did, err := h.store.Pend(ctx, room, was.Pending, Pending{}, was.Seq)
		if err != nil || did || now.Pending != was.Pending {
			return true, err
		}
	}
	_, did, err := h.store.Pend(ctx, room, was.Pending, mine, 0)
	return !did, err
}

// flushOnce pushes what is pending, up to where a writer is still about to write, and gives how far that is. If that is right at the
// beginning, it waits for it, until it is void.
func (h *Hub) flushOnce(ctx context.Context, room string, head Head, k Kind) (upTo int64, err error) {
	after := head.Pending.Flushed
	for began := h.now(); ; h.sleep(ctx, 5*holePause) {
		entries, _, err := h.between(ctx, room, after, head.Seq+1)
		if err != nil {
			return after, err
		}
		n := 0
		for n < len(entries) && entries[n].Seq == after+1+int64(n) {
			n++
		}
		switch {
		case n > 0:
			return after + int64(n), h.tellMembers(ctx, room, head, entries[:n])
		case after == head.Seq, ctx.Err() != nil:
			return after, ctx.Err()
		case h.now().Sub(began) < holeWait: // it was counted before this
			continue
		}
		void, err := h.store.Void(ctx, room, after+1, head.keep(k))
		switch {
		case errors.Is(err, ErrLapsed), err == nil && void:
			return after + 1, nil
		case err != nil:
			return after, fmt.Errorf("void %d of %s: %w", after+1, room, err)
		}
	}
}

// tellMembers pushes what entries tell to a room's members.
func (h *Hub) tellMembers(ctx context.Context, room string, head Head, entries []Entry) error {
	told, err := h.tales(ctx, entries, head.Base)
	if err != nil || len(told) == 0 {
		return err
	}
	page, err := h.firstMembers(ctx, room)
	if err != nil {
		return err
	}
	return h.deliverFrom(ctx, told, head.Epoch, page)
}

// flushShard pushes a stretch of the log to one shard of a room's members.
func (h *Hub) flushShard(ctx context.Context, j Job) error {
	head, err := h.store.Head(ctx, j.Room, time.Time{})
	if err != nil || head.Epoch != j.Epoch {
		return err
	}
	entries, _, err := h.between(ctx, j.Room, j.First-1, j.Last+1)
	if err != nil {
		return err
	}
	told, err := h.tales(ctx, entries, head.Base)
	if err != nil || len(told) == 0 {
		return err
	}
	return h.pushShard(ctx, []Job{j}, told)
}
