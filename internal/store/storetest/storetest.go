// Package storetest is what every [hub.Store] promises, as one suite of tests. It follows the comments of the
// interfaces in package hub; where those leave a choice, the suite accepts either.
//
// Nothing in it sleeps: a test moves the clock that it gave the store. The tests run in parallel, and the names of all
// rooms, users and connections are new in each run, so that the stores of one run, or of many, may share one table.
// Walk then also gives rows of others, which the tests pass over.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// Opener opens a store that takes its time from now, and closes it with tb.Cleanup. It is called once for each test, from
// many at the same time; the stores may share what is below them. A store may implement [Holes] too.
type Opener func(tb testing.TB, now func() time.Time) socketio.Store

// Run tests a store. The clock begins at the present, so that a database which deletes lapsed rows by itself leaves
// the tests' rows alone.
func Run(t *testing.T, open Opener) {
	t.Helper()
	areas := []struct {
		name     string
		promises []promise
	}{
		{"connections", connections()},
		{"members", members()},
		{"log", logs()},
		{"presence", presence()},
		{"notes", noted()},
		{"every area", everywhere()},
	}
	for _, area := range areas {
		t.Run(area.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range area.promises {
				t.Run(p.sentence, func(t *testing.T) {
					t.Parallel()
					c := hubtest.NewClock(time.Now().Truncate(time.Second))
					p.test(&fixture{TB: t, Store: open(t, c.Now), clock: c, unique: strings.ToLower(rand.Text()[:10])})
				})
			}
		})
	}
}

// promise is one test, named by the sentence that it proves.
type promise struct {
	sentence string
	test     func(*fixture)
}

// fixture is the store under test and what tests need at hand.
type fixture struct {
	testing.TB
	socketio.Store
	clock  *hubtest.Clock
	unique string // part of every name
}

func (f *fixture) now() time.Time { return f.clock.Now() }

// advance moves the store's clock and gives the new time.
func (f *fixture) advance(d time.Duration) time.Time {
	f.clock.Pass(d)
	return f.clock.Now()
}

// id makes a name that nothing else has. Names of one test sort as they are given.
func (f *fixture) id(name string) string { return f.unique + name }

func (f *fixture) room(name string) string { return "channel:" + f.unique + name }

// ok ends the test on an error.
func (f *fixture) ok(what string, err error) {
	f.Helper()
	if err != nil {
		f.Fatalf("%s: %v", what, err)
	}
}

// refused goes on after an error that is not the wanted one.
func (f *fixture) refused(what string, got, want error) {
	f.Helper()
	if !errors.Is(got, want) {
		f.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

// equal compares values that hold no times, or whose times went through utc.
func (f *fixture) equal(what string, got, want any) {
	f.Helper()
	if !reflect.DeepEqual(got, want) {
		f.Errorf("%s\n got %+v\nwant %+v", what, got, want)
	}
}

// sameTime compares to the millisecond.
func (f *fixture) sameTime(what string, got, want time.Time) {
	f.Helper()
	if got.UnixMilli() != want.UnixMilli() {
		f.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// together runs do(0) to do(n-1) at the same time and waits for all. do must not end the test.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	wg.Wait()
}

// numbered gives names that sort by their number.
func numbered(name string, i int) string {
	return name + strconv.Itoa(1000 + i)[1:]
}

// oddNames are names that a store might take apart or mix up, each good for a room's id, a user and a connection.
func oddNames() []string {
	return []string{
		"a", "a:1", "a1", "a!", "!meta", "m/1", "auth0|ab:c", "https://id.example/u?x=1&y=%23", `"quoted"\`, "user@example.com",
		"L0SM9cOFvHcCIhw=", "日本語", "ünï", "~", "0", "00", "[1]", "{}", "<b>", "$x", "null",
	}
}

// everywhere holds what all methods promise.
func everywhere() []promise {
	return []promise{
		{"a cancelled context ends every call", cancelledContextEndsEveryCall},
		{"odd names are kept apart", oddNamesAreKeptApart},
	}
}

func cancelledContextEndsEveryCall(f *fixture) {
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	room, id, now := f.room("r"), f.id("c"), f.now()
	second := func(_ any, err error) error { return err }
	calls := map[string]func() error{
		"Open":         func() error { return f.Open(ctx, f.connection(id)) },
		"Connection":   func() error { return second(f.Connection(ctx, id)) },
		"Touch":        func() error { return second(f.Touch(ctx, id, f.touch(""))) },
		"Change":       func() error { return second(f.Change(ctx, hub.Connection{ID: id}, f.entering(room, 0))) },
		"Forget":       func() error { return f.Forget(ctx, id) },
		"Walk":         func() error { return second(f.Walk(ctx, 0, "", 1)) },
		"Wanted":       func() error { return second(f.Wanted(ctx, 0, "", 1, hub.Look{Now: now})) },
		"AddMember":    func() error { return f.AddMember(ctx, room, f.member(id, 0)) },
		"RemoveMember": func() error { return f.RemoveMember(ctx, room, 0, id, 1, now) },
		"Members":      func() error { return second(f.Members(ctx, room, 0, "", 1)) },
		"Shards":       func() error { return second(f.Shards(ctx, room)) },
		"Grow":         func() error { return f.Grow(ctx, room, 1) },
		"Note":         func() error { return f.Note(ctx, id, nil, now.Add(time.Hour)) },
		"NoteOnce":     func() error { return second(f.NoteOnce(ctx, id, nil, now.Add(time.Hour))) },
		"NoteOver":     func() error { return second(f.NoteOver(ctx, id, nil, nil, now.Add(time.Hour))) },
		"Noted":        func() error { return second(f.Noted(ctx, id)) },
		"Unnote":       func() error { return f.Unnote(ctx, id) },
		"Occupy":       func() error { return second(f.Occupy(ctx, room)) },
		"Vacate":       func() error { return second(f.Vacate(ctx, room)) },
		"Append": func() error {
			_, _, err := f.Append(ctx, room, hub.Draft{Event: protocol.Event{Event: "e"}, Keep: time.Hour})
			return err
		},
		"Find":    func() error { return second(f.Find(ctx, room, f.named("e"))) },
		"Named":   func() error { return second(f.Named(ctx, room, "e", 1)) },
		"From":    func() error { return second(f.From(ctx, room, 1, 1)) },
		"Before":  func() error { return second(f.Before(ctx, room, 1, 1)) },
		"Void":    func() error { return second(f.Void(ctx, room, 1, time.Hour)) },
		"Head":    func() error { return second(f.Head(ctx, room, time.Time{})) },
		"Redact":  func() error { return f.Redact(ctx, room, 1) },
		"Reset":   func() error { return f.Reset(ctx, room) },
		"SetHere": func() error { return second(f.SetHere(ctx, room, hub.Here{}, f.present("ana"))) },
		"Here":    func() error { return second(f.Here(ctx, room, "ana")) },
		"Present": func() error { return second(f.Present(ctx, room, "", 1)) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			f.Errorf("%s: got error %v, want %v", name, err, context.Canceled)
		}
	}
}

func oddNamesAreKeptApart(f *fixture) {
	ctx := f.Context()
	names := oddNames()
	// Everything is written before anything is read, so that one row over another would show.
	for i, name := range names {
		id, room := f.id(name), f.room(name)
		c := f.connection(id)
		c.Name, c.Rooms = name, map[string]int{room: i}
		f.ok("open "+name, f.Open(ctx, c))
		m := f.member(id, 0)
		m.User = name
		f.ok("add "+name, f.AddMember(ctx, room, m))
		_, _, err := f.Append(ctx, room, f.draft(protocol.Event{Event: "e", ID: name, TS: f.now().UnixMilli()}, time.Hour))
		f.ok("append "+name, err)
		h := f.present(name)
		h.Name, h.Stays = name, map[string]hub.Stay{id: {Gen: 1, Ends: h.TTL}}
		_, err = f.SetHere(ctx, f.room("p"), hub.Here{}, h)
		f.ok("set here "+name, err)
		h.User = "ana"
		_, err = f.SetHere(ctx, room, hub.Here{}, h)
		f.ok("set here in "+name, err)
	}
	for i, name := range names {
		f.checkOddName(i, name)
	}
	present, err := f.Present(ctx, f.room("p"), "", len(names)+1)
	f.ok("present", err)
	f.equal("users present", len(present), len(names))
}

func (f *fixture) checkOddName(i int, name string) {
	f.Helper()
	ctx, id, room := f.Context(), f.id(name), f.room(name)
	c, err := f.Connection(ctx, id)
	f.ok("connection "+name, err)
	f.equal("name", c.Name, name)
	f.equal("rooms", c.Rooms, map[string]int{room: i})

	got := f.allMembers(room, 0, 10)
	if len(got) != 1 || got[0].Connection != id || got[0].User != name {
		f.Errorf("members of %s: got %+v", room, got)
	}

	entry, err := f.Find(ctx, room, f.named(name))
	f.ok("find "+name, err)
	f.equal("room of the entry", entry.Room, room)
	f.equal("id of the entry", entry.ID, name)
	f.equal("entries in "+room, len(f.allEntries(room)), 1)

	here, err := f.Here(ctx, f.room("p"), name)
	f.ok("here "+name, err)
	f.equal("name here", here.Name, name)
	f.equal("connections here", here.Connections(), []string{id})
	alone, err := f.Present(ctx, room, "", 10)
	f.ok("present in "+room, err)
	if len(alone) != 1 || alone[0].User != "ana" || alone[0].Name != name {
		f.Errorf("present in %s: got %+v", room, alone)
	}
}
