package hub

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Retries of a push that failed for another reason than that the connection is gone.
const (
	pushTries   = 3 // at once, when throttled
	jobTries    = 5 // by the queue, before the job is left to its dead-letter queue
	throttleGap = 100 * time.Millisecond
	retryPage   = 500 // targets of one retry job
)

// deliver pushes an event to the members of its room, or hands it to the queue. It fails only when neither was possible
// for some; that a receiver is gone or slow is no failure.
func (h *Hub) deliver(ctx context.Context, e protocol.Event, epoch string, except []string) error {
	page, err := h.firstMembers(ctx, e.Room)
	if err != nil {
		return err
	}
	return h.deliverFrom(ctx, []tale{{e, except}}, epoch, page)
}

// firstMembers gives the members that a publish pushes to itself.
func (h *Hub) firstMembers(ctx context.Context, room string) (MemberPage, error) {
	page, err := h.store.Members(ctx, room, 0, "", h.limits.Inline)
	if err != nil {
		return page, fmt.Errorf("read members of %s: %w", room, err)
	}
	return page, nil
}

// deliverFrom pushes events of one room to its first members, after the queue has got the others: a job for each shard. What they are is
// known now, so no job leaves another one behind.
func (h *Hub) deliverFrom(ctx context.Context, told []tale, epoch string, first MemberPage) error {
	var jobs []Job
	e := told[0]
	job := Job{Kind: JobFanOut, Room: e.Room, Event: &e.Event, Epoch: epoch, Except: e.out, Shards: first.Shards}
	if len(told) > 1 {
		job = Job{Kind: JobFlush, Room: e.Room, First: e.Seq, Last: told[len(told)-1].Seq, Epoch: epoch, Shards: first.Shards}
	}
	if first.Next != "" {
		rest := job
		rest.After, rest.Passed = first.Next, len(first.Members)
		jobs = append(jobs, rest)
	}
	for shard := 1; shard < first.Shards; shard++ {
		other := job
		other.Shard = shard
		jobs = append(jobs, other)
	}
	if err := each(len(jobs), 16, func(i int) error { return h.Enqueue(ctx, jobs[i], 0) }); err != nil {
		return err
	}
	return h.pushMembers(ctx, told, epoch, first.Members)
}

// pushMembers pushes events to members. Those who are left out of an event that is logged are told that there is nothing for them at
// its seq: they would take it for lost, and ask for it.
func (h *Hub) pushMembers(ctx context.Context, told []tale, epoch string, members []Member) error {
	groups := map[string][]Target{} // by what they are left out of
	over, doubtful := h.tokensOver(ctx, told[0].Room, h.ended(members))
	paused := 0
	defer func() { h.observe.spared(ctx, SparedPause, told[0].Room, paused) }()
	for _, m := range members {
		if over[m.Connection] {
			continue
		}
		if m.Paused {
			paused++
			continue
		}
		left := leftOut(told, m)
		groups[left] = append(groups[left], Target{Connection: m.Connection, User: m.User, Codec: m.Codec, Shard: m.Shard, Doubtful: doubtful[m.Connection]})
	}
	var errs []error
	for _, left := range slices.Sorted(maps.Keys(groups)) {
		if left == "" {
			errs = append(errs, h.push(ctx, eventsOf(told, "", false), epoch, groups[left], 0))
			continue
		}
		var counting, others []Target
		for _, t := range groups[left] {
			if t.Codec == "" || t.Codec == protocol.Name { // no other dialect counts
				counting = append(counting, t)
			} else {
				others = append(others, t)
			}
		}
		errs = append(errs, h.push(ctx, eventsOf(told, left, true), epoch, counting, 0), h.push(ctx, eventsOf(told, left, false), epoch, others, 0))
	}
	return errors.Join(errs...)
}

// leftOut says which of several events a member is left out of, a letter for each; empty: of none.
func leftOut(told []tale, m Member) string {
	var left []byte
	for i, t := range told {
		if len(t.out) == 0 || !excepted(t.out, m.Connection, m.User) {
			continue
		}
		if left == nil {
			left = bytes.Repeat([]byte{'0'}, len(told))
		}
		left[i] = '1'
	}
	return string(left)
}

// eventsOf gives the events for those who are left out of some, and what says so in their place if they count.
func eventsOf(told []tale, left string, counts bool) []protocol.Event {
	events := make([]protocol.Event, 0, len(told))
	for i, t := range told {
		switch {
		case left == "" || left[i] == '0':
			events = append(events, t.Event)
		case counts && t.Seq != 0:
			events = append(events, protocol.Event{Event: protocol.RoomSkipped, Room: t.Room, Seq: t.Seq, TS: t.TS})
		}
	}
	return events
}

// tokensOver looks at members whose tokens may have ended. over: one has, and its connection is ended, or about to be. doubtful: it could
// not be looked at. Both are by connection.
func (h *Hub) tokensOver(ctx context.Context, room string, members []Member) (over, doubtful map[string]bool) {
	if len(members) == 0 {
		return nil, nil
	}
	ended, errs := make([]bool, len(members)), make([]error, len(members))
	_ = each(len(members), 8, func(i int) error {
		ended[i], errs[i] = h.tokenOver(ctx, room, members[i])
		return nil
	})
	over, doubtful = map[string]bool{}, map[string]bool{}
	for i, m := range members {
		over[m.Connection], doubtful[m.Connection] = ended[i], errs[i] != nil
		if errs[i] != nil {
			h.log.WarnContext(ctx, "look at a member's token", "connectionId", m.Connection, "room", room, "error", errs[i])
		}
	}
	return over, doubtful
}

// ended gives the members that are written down with a token that has ended: they have renewed it, or their connections are to be ended.
func (h *Hub) ended(members []Member) (list []Member) {
	now := h.now()
	for _, m := range members {
		if !m.Expires.IsZero() && !m.Expires.After(now) {
			list = append(list, m)
		}
	}
	return list
}

// tokenOver reports whether a member's token has ended, and ends its connection then.
func (h *Hub) tokenOver(ctx context.Context, room string, m Member) (bool, error) {
	row, err := h.store.Connection(ctx, m.Connection)
	switch {
	case errors.Is(err, ErrNotFound): // a push finds out what has become of it
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read connection: %w", err)
	case row.Closing:
		return true, nil
	case row.Expires.After(h.now()):
		if !row.In(room) || row.Gens[room] != m.Gen {
			return false, nil
		}
		return false, h.rewrite(ctx, row, room, m.Paused)
	}
	return true, h.end(ctx, row, protocol.ReasonExpired, false) // unless the token was renewed since
}

// excepted reports whether a connection is left out of what was logged.
func (c Connection) excepted(except []string) bool {
	return excepted(except, c.ID, c.User) || slices.ContainsFunc(except, c.In)
}

// excepted reports whether a user's connection is left out.
func excepted(except []string, connection, user string) bool {
	return slices.ContainsFunc(except, func(x string) bool { return x == connection || x == user || x == protocol.UserRoom(user) })
}

// Work does one job. An error means that it has to be done again.
func (h *Hub) Work(ctx context.Context, j Job) error { return h.WorkAll(ctx, []Job{j})[0] }

// WorkAll does jobs that came together, and gives an error for each that has to be done again. Events for the same page
// of the same room are read for once, and go to each member in as few frames as they fit in.
func (h *Hub) WorkAll(ctx context.Context, jobs []Job) []error {
	errs := make([]error, len(jobs))
	groups := map[string][]int{}
	var order []string
	for i, j := range jobs {
		k := j.page()
		if k == "" {
			k = fmt.Sprint(i)
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], i)
	}
	for _, k := range order {
		group := make([]Job, len(groups[k]))
		for n, i := range groups[k] {
			group[n] = jobs[i]
		}
		err := h.workGroup(ctx, group)
		for _, i := range groups[k] {
			errs[i] = err
		}
	}
	return errs
}

// page is the same for fan-outs to the same members, and empty for every other job.
func (j Job) page() string {
	if j.Kind != JobFanOut || len(j.Except) > 0 {
		return ""
	}
	return fmt.Sprintf("%s#%d#%s#%s", j.Room, j.Shard, j.After, j.Epoch)
}

// workGroup does one job, or several fan-outs to the same page.
func (h *Hub) workGroup(ctx context.Context, jobs []Job) error {
	switch j := jobs[0]; j.Kind {
	case JobFanOut:
		return h.fanOut(ctx, jobs)
	case JobRetry:
		events, err := h.current(ctx, jobs)
		if err != nil || len(events) == 0 {
			return err
		}
		return h.push(ctx, events, j.Epoch, h.lookAgain(ctx, j.Room, j.Targets), j.Attempt)
	case JobAbsence:
		return h.absence(ctx, j)
	case JobEnter:
		return h.enterLater(ctx, j)
	case JobClose:
		return h.empty(ctx, j)
	case JobFlush:
		return h.flush(ctx, j)
	default:
		return fmt.Errorf("there are no %q jobs", j.Kind)
	}
}

// fanOut pushes to one shard, a page of members after the other.
func (h *Hub) fanOut(ctx context.Context, jobs []Job) error {
	events, err := h.current(ctx, jobs)
	if err != nil || len(events) == 0 {
		return err
	}
	told := make([]tale, len(events))
	for i, e := range events {
		told[i] = tale{e, jobs[0].Except}
	}
	return h.pushShard(ctx, jobs, told)
}

// pushShard pushes what jobs for one page of members tell, to them and those after them in the shard.
func (h *Hub) pushShard(ctx context.Context, jobs []Job, told []tale) error {
	j := jobs[0]
	passed := j.Passed
	err := h.eachPage(ctx, jobs, func(members []Member) error {
		passed += len(members)
		return h.pushMembers(ctx, told, j.Epoch, members)
	})
	if err != nil {
		return err
	}
	// Nobody moves, so the older half of the shards stays full: only the shards of the last growth count.
	if passed > h.limits.Shard && j.Shards > 0 && j.Shards < maxShards && j.Shard >= j.Shards/2 {
		if err := h.store.Grow(ctx, j.Room, j.Shards); err != nil {
			return fmt.Errorf("grow %s: %w", j.Room, err)
		}
	}
	return nil
}

// eachPage gives the members of the shard of jobs for the same page, from behind their After. When the function's time is nearly over it
// leaves the rest to another job for each: that a shard is so large is rare, since rooms grow.
func (h *Hub) eachPage(ctx context.Context, jobs []Job, do func(members []Member) error) error {
	j := jobs[0]
	for {
		page, err := h.store.Members(ctx, j.Room, j.Shard, j.After, h.limits.Page)
		if err != nil {
			return fmt.Errorf("read members of %s: %w", j.Room, err)
		}
		if err := do(page.Members); err != nil || page.Next == "" {
			return err
		}
		j.After, j.Passed = page.Next, j.Passed+len(page.Members)
		if deadline, ok := ctx.Deadline(); ok && deadline.Sub(h.now()) < 2*reserve {
			return each(len(jobs), 16, func(i int) error {
				rest := jobs[i]
				rest.After, rest.Passed = j.After, j.Passed
				return h.Enqueue(ctx, rest, 0)
			})
		}
	}
}

// stale is how old an event is whose text is read from the log again: it may have been deleted since.
const stale = 2 * time.Second

// current gives the events of jobs for the same members, in order: without those whose log is another by now, and the older ones
// as the log has them.
func (h *Hub) current(ctx context.Context, jobs []Job) ([]protocol.Event, error) {
	events := make([]protocol.Event, 0, len(jobs))
	for _, j := range jobs {
		e := *j.Event
		if j.Epoch == "" || e.Seq == 0 {
			events = append(events, e)
			continue
		}
		head, err := h.store.Head(ctx, j.Room, time.Time{})
		if err != nil {
			return nil, fmt.Errorf("read head of %s: %w", j.Room, err)
		}
		if head.Epoch != j.Epoch {
			continue
		}
		if h.now().Sub(time.UnixMilli(e.TS)) > stale && e.Event != protocol.RoomSkipped {
			entries, err := h.store.From(ctx, j.Room, e.Seq, 1)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return nil, fmt.Errorf("read log of %s: %w", j.Room, err)
			}
			if len(entries) == 1 && entries[0].Seq == e.Seq && !entries[0].Void {
				e.Data = entries[0].Data
			}
		}
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b protocol.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return events, nil
}

// push sends events of one room to connections. Those that are gone are departed; those that could not be reached are
// queued for another try, unless the event is ephemeral: then it is dropped for them.
func (h *Hub) push(ctx context.Context, events []protocol.Event, epoch string, to []Target, attempt int) error {
	if len(to) == 0 || len(events) == 0 {
		return nil
	}
	room, began := events[0].Room, h.now()
	frames, err := h.encode(events, to)
	if err != nil {
		return err
	}
	results := make([]Reached, len(to))
	_ = each(len(to), h.limits.Parallel, func(i int) error {
		err, words := errDoubtful, frames.in(to[i].Codec)
		if !to[i].Doubtful {
			err = h.pushTo(ctx, to[i], words)
		}
		results[i] = Reached{to[i], words.frames, h.now(), err}
		return nil
	})
	var gone, failed []Target
	for _, r := range results {
		switch {
		case r.Err == nil:
		case errors.Is(r.Err, ErrGone):
			gone = append(gone, r.Target)
		default:
			h.log.WarnContext(ctx, "push failed", "connectionId", r.Connection, "room", room, "eventId", events[0].ID, "error", r.Err)
			if !errors.Is(r.Err, ErrTooLarge) {
				failed = append(failed, r.Target)
			}
		}
	}
	h.observe.pushed(ctx, Delivery{Room: room, Events: events, Attempt: attempt, To: results, At: h.now()})
	if len(failed) > 0 {
		for _, e := range events {
			err = errors.Join(err, h.tryLater(ctx, e, epoch, failed, attempt))
		}
	}
	if len(gone) > 0 {
		h.departGone(ctx, room, gone, began)
	}
	return err
}

// errDoubtful is why nothing is pushed at first to somebody whose token may have ended.
var errDoubtful = errors.New("its token could not be looked at")

// lookAgain looks at the tokens of doubtful targets, and leaves out those that have ended.
func (h *Hub) lookAgain(ctx context.Context, room string, to []Target) (live []Target) {
	var members []Member
	for _, t := range to {
		if t.Doubtful {
			members = append(members, Member{Connection: t.Connection})
		}
	}
	over, doubtful := h.tokensOver(ctx, room, members)
	for _, t := range to {
		if !over[t.Connection] {
			t.Doubtful = doubtful[t.Connection]
			live = append(live, t)
		}
	}
	return live
}

// said is a page of events in one codec: its frames, and how they get to a connection.
type said struct {
	Speech

	codec  string // its stored name
	frames [][]byte
	pushes []func(ctx context.Context, connection string) error // of the frames
}

// sayings are a page in each codec of its targets. There are few.
type sayings []said

// in gives what is said in a codec; without a Speech it is none that this version knows.
func (s sayings) in(codec string) said {
	for _, words := range s {
		if words.codec == codec {
			return words
		}
	}
	return said{}
}

// encode gives the frames of events for each codec among the targets. Those whose codec this version does not know have none.
func (h *Hub) encode(events []protocol.Event, to []Target) (frames sayings, err error) {
	for _, t := range to {
		if frames.in(t.Codec).Speech != nil {
			continue
		}
		speech, err := h.speech(t.Codec)
		if err != nil {
			continue
		}
		single := make([][]byte, len(events))
		for i, e := range events {
			frame, err := speech.EncodeEvent(e)
			if err != nil {
				return nil, fmt.Errorf("encode %s: %w", e.Event, err)
			}
			if len(frame) > protocol.MaxServerFrame {
				return nil, protocol.Errorf(protocol.CodeTooLarge, "an event's frame may have %d bytes, this has %d", protocol.MaxServerFrame, len(frame))
			}
			single[i] = frame
		}
		if len(single) > 1 {
			single = speech.EncodeBatch(single)
		}
		words := said{Speech: speech, codec: t.Codec, frames: single}
		for _, frame := range single {
			words.pushes = append(words.pushes, h.prepare(frame))
		}
		frames = append(frames, words)
	}
	return frames, nil
}

// pushTo pushes to one connection what is said in its codec.
func (h *Hub) pushTo(ctx context.Context, t Target, words said) error {
	if words.Speech == nil {
		return unknownCodec(t.Codec)
	}
	wire := words.Wire(t.Connection)
	for _, push := range words.pushes {
		if err := h.pushOne(ctx, wire, push); err != nil {
			return err
		}
	}
	return nil
}

// Tell pushes an event to one connection, again after a pause while that is throttled.
func (h *Hub) Tell(ctx context.Context, to Target, e protocol.Event) error {
	frames, err := h.encode([]protocol.Event{e}, []Target{to})
	if err != nil {
		return err
	}
	return h.pushAlone(ctx, to, e, frames)
}

// pushAlone pushes the frames of an event to one connection, which is no part of a fan-out.
func (h *Hub) pushAlone(ctx context.Context, to Target, e protocol.Event, frames sayings) error {
	words := frames.in(to.Codec)
	err := h.pushTo(ctx, to, words)
	at := h.now()
	h.observe.pushed(ctx, Delivery{Events: []protocol.Event{e}, To: []Reached{{to, words.frames, at, err}}, At: at})
	return err
}

// errLate is that the function's time is nearly over. What is left goes to the queue: a job that ran into its end would be
// run again as a whole, and so would be all the pages after it.
var errLate = errors.New("no time left to push")

// pushOne pushes a frame to one connection, again after a random pause while API Gateway throttles.
func (h *Hub) pushOne(ctx context.Context, connection string, push func(context.Context, string) error) error {
	var err error
	for try := range pushTries {
		if deadline, ok := ctx.Deadline(); ok && deadline.Sub(h.now()) < reserve {
			return cmp.Or(err, errLate)
		}
		if try > 0 {
			h.sleep(ctx, h.jitter(throttleGap<<try))
		}
		if err = push(ctx, connection); !errors.Is(err, ErrThrottled) {
			return err
		}
		h.observe.count(Throttled, 1)
	}
	return err
}

// tryLater queues an event for those that it has not reached.
func (h *Hub) tryLater(ctx context.Context, e protocol.Event, epoch string, failed []Target, attempt int) error {
	if e.Seq == 0 {
		return nil
	}
	if attempt >= jobTries {
		return fmt.Errorf("push %s of %s to %d connections: tried %d times", e.ID, e.Room, len(failed), attempt)
	}
	if attempt == 0 {
		err := each(len(failed), 8, func(i int) error {
			if d := h.dialect(failed[i].Codec); d != nil {
				return d.Late(ctx, failed[i].Connection, e)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("note that %s of %s is late: %w", e.ID, e.Room, err)
		}
	}
	delay := time.Second<<(2*attempt) + h.jitter(time.Second)
	for page := range slices.Chunk(failed, retryPage) {
		job := Job{Kind: JobRetry, Room: e.Room, Event: &e, Epoch: epoch, Targets: page, Attempt: attempt + 1}
		if err := h.Enqueue(ctx, job, delay); err != nil {
			return err
		}
	}
	return nil
}

// departGone forgets connections that a push, begun at a time, found gone. What fails here is left to the next push and the
// sweep.
func (h *Hub) departGone(ctx context.Context, room string, gone []Target, began time.Time) {
	_ = each(len(gone), 8, func(i int) error {
		if err := h.departOne(ctx, room, gone[i], began); err != nil {
			h.log.WarnContext(ctx, "depart gone connection", "connectionId", gone[i].Connection, "error", err)
		}
		return nil
	})
}

func (h *Hub) departOne(ctx context.Context, room string, t Target, began time.Time) error {
	c, err := h.store.Connection(ctx, t.Connection)
	switch {
	case errors.Is(err, ErrNotFound): // a membership that outlived its connection
		if room == "" {
			return nil
		}
		return h.unseat(ctx, room, Member{Connection: t.Connection, User: t.User, Shard: t.Shard, Gen: began.UnixMicro()}, began, h.limits.Grace)
	case err != nil:
		return fmt.Errorf("read connection: %w", err)
	case began.Sub(c.ConnectedAt) < youngAge && !c.Closing:
		return nil // it may only just have been opening: https://github.com/aws/aws-sdk-js/issues/3773
	}
	return h.Depart(ctx, c.ID)
}
