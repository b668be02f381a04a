package storetest

import (
	"context"
	"errors"
	"fmt"
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
	ttl := now.Add(time.Hour)
	changes := changesOf(now)
	for name, change := range changes {
		t.Run(name+" is refused while the disk is full, does nothing, and works again by itself", func(t *testing.T) {
			t.Parallel()
			s := open(t)
			row := prepare(t, s, now)
			s.Fill(true)
			// Of what was waiting when the disk failed the outcome is unknown.
			if err := s.Note(t.Context(), "first", nil, ttl); !errors.Is(err, hub.ErrUnavailable) {
				t.Fatalf("the first: got error %v, want %v", err, hub.ErrUnavailable)
			}
			before := seen(t, s)
			for range 2 {
				if err := change(t.Context(), s, row); !errors.Is(err, hub.ErrUnavailable) {
					t.Errorf("got error %v, want %v", err, hub.ErrUnavailable)
				}
			}
			if after := seen(t, s); after != before {
				t.Errorf("what was refused was done\n got %s\nwant %s", after, before)
			}
			s.Fill(false)
			if err := change(t.Context(), s, row); err != nil {
				t.Fatalf("there is room again: %v", err)
			}
			if got, want := seen(t, s.Killed(t)), seen(t, s); got != want {
				t.Errorf("after a kill\n got %s\nwant %s", got, want)
			}
		})
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
		"RemoveMember": func(ctx context.Context, s store, _ hub.Connection) error {
			return s.RemoveMember(ctx, "channel:1", 0, "c1", 1, time.Time{})
		},
		"Grow": func(ctx context.Context, s store, _ hub.Connection) error { return s.Grow(ctx, "channel:1", 1) },
		"Occupy": func(ctx context.Context, s store, _ hub.Connection) error {
			_, err := s.Occupy(ctx, "channel:1")
			return err
		},
		"Vacate": func(ctx context.Context, s store, _ hub.Connection) error {
			_, err := s.Vacate(ctx, "channel:2")
			return err
		},
		"Append": func(ctx context.Context, s store, _ hub.Connection) error {
			_, _, err := s.Append(ctx, "channel:1", hub.Draft{Event: protocol.Event{Event: "e", TS: 2}, Keep: time.Hour})
			return err
		},
		"Redact": func(ctx context.Context, s store, _ hub.Connection) error { return s.Redact(ctx, "channel:1", 1) },
		"Reset":  func(ctx context.Context, s store, _ hub.Connection) error { return s.Reset(ctx, "channel:1") },
		"SetHere": func(ctx context.Context, s store, _ hub.Connection) error {
			_, err := s.SetHere(ctx, "channel:1", hub.Here{}, hub.Here{User: "ana", Since: now, Version: 1, TTL: ttl})
			return err
		},
		"Note": func(ctx context.Context, s store, _ hub.Connection) error { return s.Note(ctx, "n", nil, ttl) },
		"NoteOnce": func(ctx context.Context, s store, _ hub.Connection) error {
			_, err := s.NoteOnce(ctx, "n", nil, ttl)
			return err
		},
		"NoteOver": func(ctx context.Context, s store, _ hub.Connection) error {
			_, err := s.NoteOver(ctx, "noted", []byte("1"), []byte("2"), ttl)
			return err
		},
		"Unnote": func(ctx context.Context, s store, _ hub.Connection) error { return s.Unnote(ctx, "noted") },
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
	show(len(page.Members), err)
	show(s.Shards(ctx, "channel:1"))
	head, err := s.Head(ctx, "channel:1", time.Time{})
	show([]int64{head.Seq, head.Base}, err)
	list, err := s.From(ctx, "channel:1", 1, 10)
	for _, e := range list {
		show(string(e.Data), err)
	}
	here, err := s.Here(ctx, "channel:1", "ana")
	show(here.Rev, err)
	for _, name := range []string{"n", "noted", "first"} {
		show(s.Noted(ctx, name))
	}
	return text
}
