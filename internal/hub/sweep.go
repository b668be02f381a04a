package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Swept is what a sweep found.
type Swept struct {
	Connections int64 `json:"connections"` // rows there are, of each partition when it was last looked through
	Asked       int64 `json:"asked"`       // whether they are open
	Gone        int64 `json:"gone"`        // departed because the connection is not open
	Expired     int64 `json:"expired"`     // closed because its token is over
	Unfinished  int64 `json:"unfinished"`  // departures and arrivals that a crash had cut short
	Behind      int   `json:"behind"`      // partitions that the next sweep goes on with
}

// Look is what a sweep wants to see of a partition that it has looked through before.
type Look struct {
	Now      time.Time
	Since    time.Time     // when it was looked through; zero: never
	Silence  time.Duration // after which a connection is asked whether it is open, and after twice that, four times, …
	Lifetime time.Duration // of a connection, after which it is asked each time
}

// overlap is how far back a look goes behind the one before: clocks differ, and what an action has begun it ends within that.
const overlap = time.Minute

// Wants reports whether there is anything to do about a row. All else has been silent for no time that counts, and is all right.
func (l Look) Wants(c Connection) bool {
	return c.Closing || len(c.Leaving) > 0 || !c.Expires.After(l.Now) || l.changed(c) || l.asks(c)
}

// changed reports whether the connection did anything since.
func (l Look) changed(c Connection) bool { return c.LastSeen.After(l.Changed()) }

// Changed is the time since when a connection has to be silent, not to be looked at.
func (l Look) Changed() time.Time {
	if l.Since.IsZero() {
		return time.Time{}
	}
	return l.Since.Add(-overlap)
}

// asks reports whether it is time to ask for a connection. The answers need not be remembered: the time of the last look says
// which of them were given.
func (l Look) asks(c Connection) bool {
	if !c.ConnectedAt.After(l.Old()) {
		return true
	}
	return slices.ContainsFunc(l.Silent(), func(s Span) bool { return c.LastSeen.After(s.After) && !c.LastSeen.After(s.Until) })
}

// Old is when a connection has opened that is asked each time: its row lapses soon, and with it the last chance to end its presence.
func (l Look) Old() time.Time { return l.Now.Add(-l.Lifetime) }

// Span is a time of whole milliseconds.
type Span struct{ After, Until time.Time }

// Silent gives when the connections have spoken last that have become silent for as long as counts since the last look.
func (l Look) Silent() []Span {
	now := l.Now.Truncate(time.Millisecond)
	if l.Since.IsZero() {
		return []Span{{time.Time{}, now.Add(-l.Silence)}}
	}
	var spans []Span
	for silence := l.Silence; silence <= l.Lifetime; silence *= 2 {
		if s := (Span{l.Since.Add(-silence), now.Add(-silence)}); s.Until.After(s.After) { // of two sweeps at once one may be earlier
			spans = append(spans, s)
		}
	}
	return spans
}

// sweepName is the note of how far the sweep is.
const sweepName = "sweep"

// progress is how far the sweep is, in times of Unix seconds.
type progress struct {
	Looked [Partitions]int64  `json:"looked"` // when the last look through a partition began that came to its end; 0: none
	Rows   [Partitions]int64  `json:"rows"`   // that it found
	Begun  map[int]unfinished `json:"begun,omitempty"`
}

// unfinished is a look that was cut off.
type unfinished struct {
	At    int64  `json:"at"`
	After string `json:"after"` // the connection that it came to
	Rows  int64  `json:"rows"`
}

// Times of a sweep.
const (
	sweepSaves     = 15 * time.Second // how much work of a sweep that is cut off the next may do again
	sweepRemembers = 24 * time.Hour
	// sweepLate is how long ago the last look through each partition may be for the sweep to be complete.
	sweepLate = 20 * time.Minute
)

// sweep is one at work.
type sweep struct {
	*Hub
	began    int64 // Unix seconds
	mu       sync.Mutex
	found    Swept
	progress progress
	saved    time.Time
	next     time.Time // when it may ask again
}

// Sweep looks through all connections, partition by partition, and puts right what nobody noticed: connections that went without a
// disconnect, tokens that expired, departures that a crash cut short. It remembers how far it is: what it has no time for, or is cut
// off from, the next one begins with. It may run twice at once.
//
// What is left of its cost, where no room has presence, is reading the rows, which DynamoDB bills in full however few attributes are
// asked for or handed out; an index of those that are due would be written with every action. Asking more seldom than after twice the
// silence would find the dead later, and a mark of each answer would be a write that saves no question: the times of the looks say it.
func (h *Hub) Sweep(ctx context.Context) (Swept, error) {
	s := &sweep{Hub: h, began: h.now().Unix(), saved: h.now()}
	if err := s.load(ctx); err != nil {
		return Swept{}, err
	}
	order := make([]int, Partitions)
	for p := range order {
		order[p] = p
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(s.progress.Looked[a] - s.progress.Looked[b]) })
	err := each(Partitions, 8, func(i int) error { return s.look(ctx, order[i]) })
	err = errors.Join(err, s.save(ctx))
	s.count()
	return s.found, err
}

// count tells of the sweep. How many connections there are it tells only when it has come to all of them: who waits for that number
// finds out that it does not.
func (s *sweep) count() {
	oldest := s.now().Unix()
	for p, looked := range s.progress.Looked {
		s.found.Connections += s.progress.Rows[p]
		if oldest = min(oldest, looked); looked < s.began {
			s.found.Behind++
		}
	}
	if s.now().Unix()-oldest < int64(sweepLate.Seconds()) {
		s.observe.count(ConnectionsOpen, int(s.found.Connections))
	}
	s.observe.count(SweepsGone, int(s.found.Gone))
	s.observe.count(SweepsExpired, int(s.found.Expired))
	s.observe.count(SweepsUnfinished, int(s.found.Unfinished))
}

func (s *sweep) load(ctx context.Context) error {
	text, err := s.store.Noted(ctx, sweepName)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read how far the sweep is: %w", err)
	}
	if err := json.Unmarshal(text, &s.progress); err != nil { // then it begins anew
		s.log.WarnContext(ctx, "sweep", "error", fmt.Errorf("decode how far the sweep is: %w", err))
		s.progress = progress{}
	}
	return nil
}

func (s *sweep) save(ctx context.Context) error {
	s.mu.Lock()
	text := mustJSON(s.progress)
	s.saved = s.now()
	s.mu.Unlock()
	if err := s.store.Note(ctx, sweepName, text, s.now().Add(sweepRemembers)); err != nil {
		return fmt.Errorf("write how far the sweep is: %w", err)
	}
	return nil
}

// look goes through a partition, from where the last sweep was cut off. A page is behind it only when all is done that the page asked
// for: otherwise the next sweep looks since the same time again.
func (s *sweep) look(ctx context.Context, partition int) error {
	s.mu.Lock()
	at, begun := s.progress.Begun[partition]
	if !begun {
		at = unfinished{At: s.now().Unix()}
	}
	look := Look{Silence: s.limits.Silence, Lifetime: s.limits.Lifetime}
	if looked := s.progress.Looked[partition]; looked != 0 {
		look.Since = time.Unix(looked, 0)
	}
	s.mu.Unlock()
	var failed error
	for {
		if s.late(ctx) {
			return nil
		}
		look.Now = s.now()
		page, err := s.store.Wanted(ctx, partition, at.After, s.limits.Page, look)
		if err != nil {
			s.log.WarnContext(ctx, "sweep", "partition", partition, "error", err)
			return fmt.Errorf("look through partition %d: %w", partition, err)
		}
		err = each(len(page.Connections), 8, func(i int) error { return s.one(ctx, page.Connections[i], look) })
		if err != nil && !errors.Is(err, errNoTime) {
			failed = err
			s.log.WarnContext(ctx, "sweep", "partition", partition, "error", err)
		}
		if errors.Is(err, ErrThrottled) || errors.Is(err, errNoTime) || ctx.Err() != nil {
			return nil //nolint:nilerr // it is logged, and the next sweep begins with this page
		}
		at.After, at.Rows = page.Next, at.Rows+int64(page.Rows)
		s.reached(partition, at, failed)
		if page.Next == "" {
			return nil
		}
		if err := s.saveAtTimes(ctx); err != nil {
			return err
		}
	}
}

// reached takes note of a page that is done.
func (s *sweep) reached(partition int, at unfinished, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.After != "" && failed == nil {
		if s.progress.Begun == nil {
			s.progress.Begun = map[int]unfinished{}
		}
		s.progress.Begun[partition] = at
		return
	}
	if at.After == "" {
		delete(s.progress.Begun, partition)
		if s.progress.Rows[partition] = at.Rows; failed == nil {
			s.progress.Looked[partition] = at.At
		}
	}
}

func (s *sweep) saveAtTimes(ctx context.Context) error {
	s.mu.Lock()
	due := s.now().Sub(s.saved) >= sweepSaves
	s.mu.Unlock()
	if !due {
		return nil
	}
	return s.save(ctx)
}

var errNoTime = errors.New("the function's time is nearly over")

// turn waits until another connection may be asked for.
func (s *sweep) turn(ctx context.Context) error {
	if s.late(ctx) {
		return errNoTime
	}
	s.mu.Lock()
	now := s.now()
	if s.next.Before(now) {
		s.next = now
	}
	wait := s.next.Sub(now)
	s.next = s.next.Add(time.Second / time.Duration(s.limits.Asks))
	s.mu.Unlock()
	if wait > 0 {
		s.sleep(ctx, wait)
	}
	return nil
}

func (s *sweep) find(what *int64) {
	s.mu.Lock()
	*what++
	s.mu.Unlock()
}

// one puts right a connection.
func (s *sweep) one(ctx context.Context, c Connection, look Look) error {
	switch {
	case c.Closing:
		s.find(&s.found.Unfinished)
		return s.finishClosing(ctx, c)
	case !c.Expires.After(look.Now):
		s.find(&s.found.Expired)
		return s.end(ctx, c, protocol.ReasonExpired, false) // unless the token was renewed since
	case look.asks(c):
		if err := s.turn(ctx); err != nil {
			return err
		}
		s.find(&s.found.Asked)
		alive, err := s.pusher.Alive(ctx, s.wire(c))
		if err != nil {
			return fmt.Errorf("ask for connection %s: %w", c.ID, err)
		}
		if !alive {
			s.find(&s.found.Gone)
			return s.Depart(ctx, c.ID)
		}
	}
	if len(c.Leaving) > 0 {
		s.find(&s.found.Unfinished)
		if err := s.finishLeaving(ctx, c); err != nil {
			return err
		}
	}
	if !look.changed(c) {
		return nil
	}
	return s.lookForPresence(ctx, c)
}

// lookForPresence announces arrivals that were written but never told. What a connection has brought about that was silent since the
// last look was seen then.
func (s *sweep) lookForPresence(ctx context.Context, c Connection) error {
	for _, room := range slices.Sorted(maps.Keys(c.Rooms)) {
		if !s.kinds[protocol.RoomKind(room)].Presence {
			continue
		}
		here, err := s.store.Here(ctx, room, c.User)
		if errors.Is(err, ErrNotFound) || err == nil && here.Announced >= here.Version {
			continue
		}
		if err != nil {
			return fmt.Errorf("read presence in %s: %w", room, err)
		}
		s.find(&s.found.Unfinished)
		if err := s.announce(ctx, room, here); err != nil {
			return err
		}
	}
	return nil
}
