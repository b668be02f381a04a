package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// OnDisk is a store whose disk may be full.
type OnDisk interface {
	socketio.Store
	// Fill takes all room of the disk, or gives it back.
	Fill(full bool)
	// Killed gives the store of a process that begins when this one is killed now.
	Killed(tb testing.TB) socketio.Store
}

// RunFullDisk tests what a store promises while its disk is full.
func RunFullDisk(t *testing.T, open func(tb testing.TB) OnDisk) {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	t.Run("what is refused can be published again without an id", func(t *testing.T) {
		t.Parallel()
		testRefusedAgain(t, open(t))
	})
	for name, change := range changesOf(now) {
		t.Run(name+" is refused while the disk is full, does nothing, and works again by itself", func(t *testing.T) {
			t.Parallel()
			s := open(t)
			row := prepare(t, s, now)
			testRefused(t, s, func() error { return change(t.Context(), s, row) })
		})
	}
}

// testRefused has a change tried while the disk is full, and after that.
func testRefused(t *testing.T, s OnDisk, change func() error) {
	t.Helper()
	before := seen(t, s)
	s.Fill(true)
	for n := range 3 { // the first finds out that the disk is full
		if err := change(); !errors.Is(err, hub.ErrUnavailable) {
			t.Fatalf("got error %v, want %v", err, hub.ErrUnavailable)
		}
		if after := seen(t, s); after != before {
			t.Errorf("what was refused was done, at try %d\n got %s\nwant %s", n+1, after, before)
		}
	}
	if after := seen(t, s.Killed(t)); after != before {
		t.Errorf("a process that is killed while the disk is full leaves\n got %s\nwant %s", after, before)
	}
	s.Fill(false)
	if err := change(); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	if got, want := seen(t, s.Killed(t)), seen(t, s); got != want {
		t.Errorf("after a kill\n got %s\nwant %s", got, want)
	}
}

// prepare writes what the changes change.
func prepare(t *testing.T, s socketio.Store, now time.Time) hub.Connection {
	t.Helper()
	ctx, ttl := t.Context(), now.Add(time.Hour)
	_, _, appendErr := s.Append(ctx, "channel:1", hub.Draft{Event: protocol.Event{Event: "e", TS: 1, Data: []byte("1")}, Keep: time.Hour})
	err := errors.Join(appendErr,
		s.Open(ctx, hub.Connection{ID: "c1", User: "ana", ConnectedAt: now, LastSeen: now, Expires: ttl, TTL: ttl}),
		s.AddMember(ctx, "channel:1", hub.Member{Connection: "c1", User: "ana", TTL: ttl}),
		s.Note(ctx, "noted", []byte("1"), ttl))
	if _, occupyErr := s.Occupy(ctx, "channel:2"); occupyErr != nil {
		err = errors.Join(err, occupyErr)
	}
	row, readErr := s.Connection(ctx, "c1")
	if err := errors.Join(err, readErr); err != nil {
		t.Fatal(err)
	}
	return row
}

// changesOf are the calls that change something that is told to somebody: all but Touch.
func changesOf(now time.Time) map[string]func(context.Context, socketio.Store, hub.Connection) error {
	ttl := now.Add(time.Hour)
	type store = socketio.Store
	return map[string]func(context.Context, store, hub.Connection) error{
		"Open": func(ctx context.Context, s store, _ hub.Connection) error {
			return s.Open(ctx, hub.Connection{ID: "c2", ConnectedAt: now, Expires: ttl, TTL: ttl})
		},
		"Change": func(ctx context.Context, s store, c hub.Connection) error {
			_, err := s.Change(ctx, c, hub.Change{Now: now, Enter: map[string]hub.Seat{"channel:1": {Gen: 1}}})
			return err
		},
		"Forget": func(ctx context.Context, s store, _ hub.Connection) error { return s.Forget(ctx, "c1") },
		"AddMember": func(ctx context.Context, s store, _ hub.Connection) error {
			return s.AddMember(ctx, "channel:1", hub.Member{Connection: "c2", TTL: ttl})
		},
		"ChangeMember": func(ctx context.Context, s store, _ hub.Connection) error {
			return s.ChangeMember(ctx, "channel:1", hub.Member{Connection: "c1", User: "ana", Paused: true, TTL: ttl})
		},
		"RemoveMember": func(ctx context.Context, s store, _ hub.Connection) error {
			return s.RemoveMember(ctx, "channel:1", 0, "c1", 1, time.Time{})
		},
		"Grow": func(ctx context.Context, s store, _ hub.Connection) error { return s.Grow(ctx, "channel:1", 1) },
		"Occupy": func(ctx context.Context, s store, _ hub.Connection) error {
			did, err := s.Occupy(ctx, "channel:1")
			return done(did, err)
		},
		"Vacate": func(ctx context.Context, s store, _ hub.Connection) error {
			did, err := s.Vacate(ctx, "channel:2")
			return done(did, err)
		},
		"Append": func(ctx context.Context, s store, _ hub.Connection) error {
			_, did, err := s.Append(ctx, "channel:1", withID("new"))
			return done(did, err)
		},
		"Append to a new room": func(ctx context.Context, s store, _ hub.Connection) error {
			_, did, err := s.Append(ctx, "channel:new", withID("new"))
			return done(did, err)
		},
		"Pend": func(ctx context.Context, s store, _ hub.Connection) error {
			_, did, err := s.Pend(ctx, "channel:1", hub.Pending{}, hub.Pending{Flushed: 1, Due: ttl}, 0)
			return done(did, err)
		},
		"Redact": func(ctx context.Context, s store, _ hub.Connection) error { return s.Redact(ctx, "channel:1", 1) },
		"Reset":  func(ctx context.Context, s store, _ hub.Connection) error { return s.Reset(ctx, "channel:1") },
		"SetHere": func(ctx context.Context, s store, _ hub.Connection) error {
			_, err := s.SetHere(ctx, "channel:1", hub.Here{}, hub.Here{User: "ana", Since: now, Version: 1, TTL: ttl})
			return err
		},
		"Note": func(ctx context.Context, s store, _ hub.Connection) error { return s.Note(ctx, "n", nil, ttl) },
		"NoteOnce": func(ctx context.Context, s store, _ hub.Connection) error {
			did, err := s.NoteOnce(ctx, "n", nil, ttl)
			return done(did, err)
		},
		"NoteOver": func(ctx context.Context, s store, _ hub.Connection) error {
			did, err := s.NoteOver(ctx, "noted", []byte("1"), []byte("2"), ttl)
			return done(did, err)
		},
		"Unnote": func(ctx context.Context, s store, _ hub.Connection) error { return s.Unnote(ctx, "noted") },
	}
}

// done has a call fail that changed nothing.
func done(did bool, err error) error {
	if err == nil && !did {
		return errors.New("it was done before")
	}
	return err
}

func withID(id string) hub.Draft {
	return hub.Draft{
		Event: protocol.Event{Event: "e", ID: id, TS: 2, Data: []byte("2")}, Key: hub.Key{Maker: hub.MakerProgram, ID: id}, Keep: time.Hour,
	}
}

// seen is what can be read of it. Epochs are left out: a process that was killed begins new ones.
func seen(t *testing.T, s socketio.Store) string {
	t.Helper()
	ctx, text := t.Context(), ""
	show := func(v any, err error) {
		t.Helper()
		if err != nil && !errors.Is(err, hub.ErrNotFound) {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%+v\n", v)
	}
	for _, id := range []string{"c1", "c2"} {
		c, err := s.Connection(ctx, id)
		show([]any{c.User, c.Rooms, c.Rev}, err)
	}
	page, err := s.Members(ctx, "channel:1", 0, "", 10)
	for _, m := range page.Members {
		show([]any{m.Connection, m.Paused}, err)
	}
	show(s.Shards(ctx, "channel:1"))
	head, err := s.Head(ctx, "channel:1", time.Time{})
	show([]any{head.Seq, head.Base, head.Pending.Due.IsZero()}, err)
	for _, room := range []string{"channel:1", "channel:new"} {
		list, err := s.From(ctx, room, 1, 10)
		for _, e := range list {
			show(string(e.Data), err)
		}
		found, err := s.Find(ctx, room, withID("new"))
		show(found.Seq, err)
	}
	here, err := s.Here(ctx, "channel:1", "ana")
	show(here.Rev, err)
	for _, name := range []string{"n", "noted"} {
		show(s.Noted(ctx, name))
	}
	return text
}

// testRefusedAgain has many publish without an id on a disk that fails now and then. What is refused is published again, and nobody reads what is
// not there in the end.
func testRefusedAgain(t *testing.T, s OnDisk) {
	t.Helper()
	const writers, each = 8, 100
	var (
		refused          atomic.Int64
		seen             readers
		writing, reading sync.WaitGroup
	)
	done := make(chan struct{})
	reading.Go(func() { seen.read(t, s, done) })
	for i := range writers {
		writing.Go(func() {
			for n := range each {
				refused.Add(publishAnyhow(t, s, fmt.Sprint(i, " ", n)))
				if i == 0 && n%3 == 0 {
					s.Fill(true)
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	s.Fill(false)
	if err := s.Note(t.Context(), "n", nil, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if refused.Load() < 10 || seen.reads < 100 {
		t.Errorf("%d were refused, %d read", refused.Load(), seen.reads)
	}
	seen.check(t, "this process", s, writers*each)
	seen.check(t, "the next", s.Killed(t), writers*each)
}

const refusedRoom = "channel:1"

// publishAnyhow publishes without an id, again after room was made whenever it is refused, and gives how often it was.
func publishAnyhow(t *testing.T, s OnDisk, text string) (refused int64) {
	t.Helper()
	d := hub.Draft{Event: protocol.Event{Event: "e", Data: fmt.Appendf(nil, "%q", text)}, Keep: time.Hour}
	for {
		_, _, err := s.Append(t.Context(), refusedRoom, d)
		if err == nil {
			return refused
		}
		if refused++; !errors.Is(err, hub.ErrUnavailable) {
			t.Errorf("got error %v, want %v", err, hub.ErrUnavailable)
			return refused
		}
		s.Fill(false)
	}
}

// readers remember what they have read, by seq.
type readers struct {
	texts map[int64]string
	reads int
}

// read reads the log until done is closed.
func (r *readers) read(t *testing.T, s socketio.Store, done <-chan struct{}) {
	t.Helper()
	r.texts = map[int64]string{}
	for first := int64(1); ; first = max(1, first-3) {
		select {
		case <-done:
			return
		default:
		}
		list, err := s.From(t.Context(), refusedRoom, first, 50)
		if err != nil {
			t.Error(err)
			return
		}
		for _, e := range list {
			r.reads++
			first = e.Seq
			if was, known := r.texts[e.Seq]; known && was != string(e.Data) {
				t.Errorf("%d is %s and was %s", e.Seq, e.Data, was)
			}
			r.texts[e.Seq] = string(e.Data)
		}
	}
}

// check looks whether everything is there once, and as it was read.
func (r *readers) check(t *testing.T, name string, s socketio.Store, want int) {
	t.Helper()
	list, err := s.From(t.Context(), refusedRoom, 1, want+1)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for i, e := range list {
		if said[string(e.Data)] || e.Seq != int64(i)+1 {
			t.Errorf("%s: %s at %d is there before, or a place is missing", name, e.Data, e.Seq)
		}
		said[string(e.Data)] = true
		if was, known := r.texts[e.Seq]; known && was != string(e.Data) {
			t.Errorf("%s: %d was read as %s, and is %s", name, e.Seq, was, e.Data)
		}
	}
	head, err := s.Head(t.Context(), refusedRoom, time.Time{})
	if err != nil || len(said) != want || head.Seq != int64(want) {
		t.Errorf("%s: %d are there of %d, the newest seq is %d, %v", name, len(said), want, head.Seq, err)
	}
}
