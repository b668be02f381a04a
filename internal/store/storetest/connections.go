package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// The rate limit of the tests: 10 actions a second, in bursts of 20.
const (
	cost  = 100 * time.Millisecond
	burst = 1900 * time.Millisecond
)

func connections() []promise {
	return []promise{
		{"a row comes back as it was opened", rowComesBack},
		{"Open replaces a row with the same id", openReplaces},
		{"an unknown row is not found, and only Open makes one", unknownRow},
		{"a lapsed row is like an unknown one", lapsedRow},
		{"a forgotten row is gone", forgottenRow},
		{"a closing row is given, but may do nothing", closingRow},
		{"Touch refuses for the first reason of Check", touchRefuses},
		{"a refused Touch or Change changes nothing", refusedTouchChangesNothing},
		{"Touch charges as Charge says and sets LastSeen", touchCharges},
		{"a burst of 20 passes, then one action each 100 ms", burstPasses},
		{"Recent is only a hint", recentIsOnlyAHint},
		{"touches at the same time pass as often as the burst allows", touchesTogether},
		{"Change does what Apply says", changeApplies},
		{"a Change of a row that was changed since does nothing, a Touch is no change", changeOfAnotherRow},
		{"of changes at the same time one is made", changeTogether},
		{"a row may be closed whatever has become of it", closeAnyhow},
		{"a Change that is charged is refused as a Touch is", changeIsCharged},
		{"a connection may be in 100 rooms", hundredRooms},
		{"Walk gives every row of a partition once, in order", walkGivesEveryRow},
		{"Walk passes over lapsed rows and gives full pages", walkPassesOverLapsedRows},
		{"Wanted gives what a look wants, once and in order, and counts the others", wantedGivesWhatIsWanted},
		{"what the caller does to a row it opened changes nothing", openedRowIsACopy},
	}
}

// connection is a good row.
func (f *fixture) connection(id string) hub.Connection {
	now := f.now()
	return hub.Connection{
		ID: id, User: "ana", Name: "Ana", Codec: protocol.Name,
		Grants:      hub.Grants{"channel:*": {hub.GrantJoin, hub.GrantPublish}},
		ConnectedAt: now, LastSeen: now, Expires: now.Add(time.Hour), TTL: now.Add(2 * time.Hour),
	}
}

// opened is a good row that is in the store, with changes.
func (f *fixture) opened(name string, change ...func(*hub.Connection)) hub.Connection {
	f.Helper()
	c := f.connection(f.id(name))
	for _, do := range change {
		do(&c)
	}
	f.ok("open", f.Open(f.Context(), c))
	return c
}

// touch is an action now.
func (f *fixture) touch(room string) hub.Touch {
	return hub.Touch{Now: f.now(), Room: room, Cost: cost, Burst: burst}
}

// entering is a Change that enters a room, charged.
func (f *fixture) entering(room string, shard int) hub.Change {
	t := f.touch("")
	return hub.Change{Enter: map[string]hub.Seat{room: {Shard: shard, Gen: f.now().UnixMilli()}}, Touch: &t, Now: f.now()}
}

// closed closes a row.
func (f *fixture) closed(id string) hub.Connection {
	f.Helper()
	c, err := f.Change(f.Context(), hub.Connection{ID: id}, hub.Change{Anyhow: true, Closing: true, Now: f.now()})
	f.ok("close", err)
	return c
}

func (f *fixture) row(id string) hub.Connection {
	f.Helper()
	c, err := f.Connection(f.Context(), id)
	f.ok("connection", err)
	return c
}

// sameRow compares two rows.
func (f *fixture) sameRow(what string, got, want hub.Connection) {
	f.Helper()
	f.equal(what, utcRow(got), utcRow(want))
}

// utcRow gives a row in one form: no rooms are nil, times are in UTC and whole milliseconds.
func utcRow(c hub.Connection) hub.Connection {
	for _, t := range []*time.Time{&c.ConnectedAt, &c.LastSeen, &c.Entered, &c.TakenOut, &c.Expires, &c.Busy, &c.TTL} {
		*t = utc(*t)
	}
	if len(c.Rooms) == 0 {
		c.Rooms = nil
	}
	if len(c.Gens) == 0 {
		c.Gens = nil
	}
	if len(c.Leaving) == 0 {
		c.Leaving = nil
	}
	if len(c.JoinedAt) == 0 {
		c.JoinedAt = nil
	}
	if len(c.LeftAt) == 0 {
		c.LeftAt = nil
	}
	c.Rev = ""
	if len(c.Grants) == 0 {
		c.Grants = nil
	}
	return c
}

func utc(t time.Time) time.Time {
	if t.IsZero() || t.UnixMilli() == 0 {
		return time.Time{}
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}

func rowComesBack(f *fixture) {
	c := f.connection(f.id("c"))
	c.Grants = hub.Grants{"channel:*": {"join", "publish"}, "channel:42": {"moderate"}, "community:ü": {"join"}}
	c.Rooms = map[string]int{"user:ana": 0, "channel:42": 63}
	c.Gens, c.Gen = map[string]int64{"user:ana": 1, "channel:42": 1732341000123}, 1732341000124
	c.Leaving = map[string]hub.Leaving{"channel:7": {Shard: 3, Gen: 1732341000124, Why: "a reason of some words"}, "channel:8": {}}
	c.LeftAt = map[string]int64{"channel:7": 1732341000123}
	c.JoinedAt = map[string]int64{"channel:42": 1732341000125}
	c.Codec, c.Name = "socket.io", `Ana "ü" O'Hara`
	c.ConnectedAt, c.LastSeen = c.ConnectedAt.Add(-123*time.Millisecond), c.LastSeen.Add(456*time.Millisecond)
	c.Busy, c.Entered = c.LastSeen.Add(time.Second), c.LastSeen.Add(-time.Millisecond)
	c.TakenOut = c.LastSeen.Add(-2 * time.Millisecond)
	f.ok("open", f.Open(f.Context(), c))
	f.sameRow("the row", f.row(c.ID), c)

	bare := hub.Connection{ID: f.id("bare"), User: "ana", ConnectedAt: f.now(), LastSeen: f.now(), Expires: f.now().Add(time.Hour), TTL: f.now().Add(time.Hour)}
	f.ok("open", f.Open(f.Context(), bare))
	f.sameRow("a row without rooms, grants, name and codec", f.row(bare.ID), bare)
}

func openReplaces(f *fixture) {
	old := f.opened("c", func(c *hub.Connection) { c.Rooms = map[string]int{"channel:1": 1} })
	f.closed(old.ID)
	c := f.opened("c", func(c *hub.Connection) { c.User, c.Rooms = "ben", map[string]int{"channel:2": 2} })
	f.sameRow("the row", f.row(c.ID), c)
	f.ok("open again", f.Open(f.Context(), c))
	f.sameRow("the row opened again", f.row(c.ID), c)
}

// checkNoRow calls everything for a row that is not there.
func (f *fixture) checkNoRow(id string) {
	f.Helper()
	ctx := f.Context()
	_, err := f.Touch(ctx, id, f.touch(""))
	f.refused("Touch", err, hub.ErrNotFound)
	_, err = f.Touch(ctx, id, f.touch("channel:1"))
	f.refused("Touch in a room", err, hub.ErrNotFound)
	for _, ch := range []hub.Change{f.entering("channel:1", 0), {Renew: &hub.Identity{}}, {Anyhow: true, Closing: true}} {
		ch.Now = f.now()
		_, err = f.Change(ctx, hub.Connection{ID: id}, ch)
		f.refused("Change", err, hub.ErrNotFound)
	}
	_, err = f.Connection(ctx, id)
	f.refused("Connection", err, hub.ErrNotFound)
	for _, c := range f.walked(hub.Partition(id), 100) {
		if c.ID == id {
			f.Errorf("Walk gives %s", id)
		}
	}
	f.ok("Forget", f.Forget(ctx, id))
}

func unknownRow(f *fixture) { f.checkNoRow(f.id("c")) }

func lapsedRow(f *fixture) {
	soon := f.now().Add(time.Minute)
	c := f.opened("c", func(c *hub.Connection) { c.TTL, c.Rooms = soon, map[string]int{"channel:1": 0} })
	f.advance(time.Minute - time.Second)
	f.sameRow("the row just before", f.row(c.ID), c)
	f.advance(2 * time.Second)
	// Forget is part of what is checked, so each check needs a row of its own.
	f.checkNoRow(c.ID)
	f.checkNoRow(f.opened("late", func(c *hub.Connection) { c.TTL = f.now().Add(-time.Hour) }).ID)

	again := f.opened("c")
	f.sameRow("the row opened again", f.row(c.ID), again)
}

func forgottenRow(f *fixture) {
	c, other := f.opened("c"), f.opened("d")
	f.ok("forget", f.Forget(f.Context(), c.ID))
	f.checkNoRow(c.ID)
	f.sameRow("the other row", f.row(other.ID), other)
}

func closingRow(f *fixture) {
	ctx := f.Context()
	want := f.opened("c", func(c *hub.Connection) { c.Rooms = map[string]int{"channel:1": 5, "channel:2": 0} })
	want.Closing = true
	for range 2 {
		f.sameRow("the row that closing gives", f.closed(want.ID), want)
	}
	_, err := f.Touch(ctx, want.ID, f.touch(""))
	f.refused("Touch", err, hub.ErrNotFound)
	for _, ch := range []hub.Change{f.entering("channel:3", 0), {Renew: &hub.Identity{}, Now: f.now()}} {
		_, err = f.Change(ctx, f.row(want.ID), ch)
		f.refused("Change", err, hub.ErrNotFound)
	}
	f.sameRow("the row", f.row(want.ID), want)
	i := slices.IndexFunc(f.walked(hub.Partition(want.ID), 100), func(c hub.Connection) bool { return c.ID == want.ID && c.Closing })
	if i < 0 {
		f.Error("Walk leaves out a closing row")
	}
}

// row2 is row, for a row that may have lapsed: then only its id is known.
func (f *fixture) row2(id string) hub.Connection {
	c, err := f.Connection(f.Context(), id)
	if err != nil {
		return hub.Connection{ID: id}
	}
	return c
}

func touchRefuses(f *fixture) {
	// Each step adds a reason that comes before those of the steps above it.
	now := f.now()
	steps := []struct {
		name   string
		change func(*hub.Connection)
		want   error
	}{
		{"good", func(*hub.Connection) {}, nil},
		{"rate limited", func(c *hub.Connection) { c.Busy = now.Add(burst + time.Millisecond) }, protocol.Refuse(protocol.CodeRateLimited)},
		{"not in the room", func(c *hub.Connection) { c.Rooms = map[string]int{"channel:2": 0} }, protocol.Refuse(protocol.CodeNotInRoom)},
		{"in no room", func(c *hub.Connection) { c.Rooms = nil }, protocol.Refuse(protocol.CodeNotInRoom)},
		{"token expired", func(c *hub.Connection) { c.Expires = now }, protocol.Refuse(protocol.CodeExpired)},
		{"closing", func(c *hub.Connection) { c.Closing = true }, hub.ErrNotFound},
		{"lapsed", func(c *hub.Connection) { c.TTL = now.Add(-time.Second) }, hub.ErrNotFound},
	}
	c := f.connection(f.id("c"))
	c.Rooms = map[string]int{"channel:1": 0}
	for _, step := range steps {
		step.change(&c)
		f.ok("open", f.Open(f.Context(), c))
		for _, recent := range []bool{false, true} {
			touch := f.touch("channel:1")
			touch.Recent = recent
			_, err := f.Touch(f.Context(), c.ID, touch)
			f.refused(fmt.Sprintf("Touch, %s, Recent %t", step.name, recent), err, step.want)
			if step.want == nil {
				continue
			}
			ch := f.entering("channel:3", 0)
			ch.Touch = &touch
			was := f.row2(c.ID)
			_, err = f.Change(f.Context(), was, ch)
			f.refused(fmt.Sprintf("Change, %s, Recent %t", step.name, recent), err, step.want)
		}
	}
}

func refusedTouchChangesNothing(f *fixture) {
	now := f.now()
	rows := map[string]func(*hub.Connection){
		"limited": func(c *hub.Connection) { c.Busy = now.Add(time.Minute) },
		"expired": func(c *hub.Connection) { c.Expires = now },
		"closing": func(c *hub.Connection) { c.Closing = true },
		"outside": func(c *hub.Connection) { c.Rooms = map[string]int{"channel:2": 0} },
	}
	for name, change := range rows {
		c := f.opened(name, func(c *hub.Connection) { c.Rooms = map[string]int{"channel:1": 0} }, change)
		touch := f.touch("channel:1")
		touch.Now = now.Add(time.Second)
		for _, touch.Recent = range []bool{false, true} {
			if _, err := f.Touch(f.Context(), c.ID, touch); err == nil {
				f.Errorf("%s: Touch is allowed", name)
			}
			ch := f.entering("channel:3", 0)
			ch.Touch, ch.Now = &touch, touch.Now
			if _, err := f.Change(f.Context(), f.row(c.ID), ch); err == nil {
				f.Errorf("%s: Change is allowed", name)
			}
		}
		f.sameRow(name, f.row(c.ID), c)
	}
}

// charged touches and checks the row that comes of it.
func (f *fixture) charged(what string, want hub.Connection, t hub.Touch) hub.Connection {
	f.Helper()
	want.Busy, want.LastSeen = t.Charge(want), t.Now
	got, err := f.Touch(f.Context(), want.ID, t)
	f.ok(what, err)
	f.sameRow(what, got, want)
	f.sameRow(what+", read back", f.row(want.ID), want)
	return want
}

func touchCharges(f *fixture) {
	c := f.opened("c", func(c *hub.Connection) { c.Rooms = map[string]int{"channel:1": 3} })
	c = f.charged("the first touch", c, f.touch(""))
	f.sameTime("Busy after it", c.Busy, f.now().Add(cost))
	c = f.charged("one at the same time", c, f.touch("channel:1"))
	f.sameTime("Busy after it", c.Busy, f.now().Add(2*cost))
	f.advance(2*cost - time.Millisecond)
	c = f.charged("one just before Busy", c, f.touch("channel:1"))
	f.sameTime("Busy after it", c.Busy, f.now().Add(time.Millisecond+cost))
	f.advance(time.Minute)
	c = f.charged("one long after Busy", c, f.touch(""))
	f.sameTime("Busy after it", c.Busy, f.now().Add(cost))
	f.advance(cost)
	c = f.charged("one at Busy", c, f.touch(""))
	f.sameTime("Busy after it", c.Busy, f.now().Add(cost))
}

func burstPasses(f *fixture) {
	c := f.opened("c")
	touch := func(n int) {
		f.Helper()
		for i := range n {
			t := f.touch("")
			t.Recent = i > 0
			if _, err := f.Touch(f.Context(), c.ID, t); err != nil {
				f.Fatalf("touch %d of %d: %v", i+1, n, err)
			}
		}
	}
	full := func(wait time.Duration) {
		f.Helper()
		_, err := f.Touch(f.Context(), c.ID, f.touch(""))
		f.refused("a touch too many", err, protocol.Refuse(protocol.CodeRateLimited))
		f.equal("RetryAfter", protocol.Public(err).RetryAfter, wait)
	}
	touch(20)
	full(cost)
	f.advance(cost - time.Millisecond)
	full(time.Millisecond)
	f.advance(time.Millisecond)
	touch(1)
	full(cost)
	f.advance(5 * cost)
	touch(5)
	full(cost)
	f.advance(time.Hour - time.Minute)
	touch(20)
	full(cost)
}

func recentIsOnlyAHint(f *fixture) {
	now := f.now()
	for _, recent := range []bool{false, true} {
		for name, busy := range map[string]time.Time{"never": {}, "past": now.Add(-time.Hour), "now": now, "ahead": now.Add(burst)} {
			c := f.opened(fmt.Sprint(name, recent), func(c *hub.Connection) { c.Busy, c.Rooms = busy, map[string]int{"channel:1": 1} })
			touch := f.touch("channel:1")
			touch.Recent = recent
			f.charged(fmt.Sprintf("Busy %s, Recent %t", name, recent), c, touch)
		}
		c := f.opened(fmt.Sprint("limited", recent), func(c *hub.Connection) { c.Busy = now.Add(burst + cost) })
		touch := f.touch("")
		touch.Recent = recent
		_, err := f.Touch(f.Context(), c.ID, touch)
		f.refused("rate limited", err, protocol.Refuse(protocol.CodeRateLimited))
	}
}

func touchesTogether(f *fixture) {
	c := f.opened("c")
	var passed atomic.Int64
	together(24, func(i int) {
		touch := f.touch("")
		touch.Recent = i%2 == 0
		_, err := f.Touch(f.Context(), c.ID, touch)
		if err == nil {
			passed.Add(1)
			return
		}
		f.refused("a touch", err, protocol.Refuse(protocol.CodeRateLimited))
	})
	f.equal("touches that passed", passed.Load(), int64(20))
	f.sameTime("Busy", f.row(c.ID).Busy, f.now().Add(20*cost))
}

// changed makes a change and checks the row that comes of it.
func (f *fixture) changed(what string, want hub.Connection, ch hub.Change) hub.Connection {
	f.Helper()
	ch.Now = f.now()
	was := f.row(want.ID)
	got, err := f.Change(f.Context(), was, ch)
	f.ok(what, err)
	want = ch.Apply(want)
	f.sameRow(what, got, want)
	now := f.row(want.ID)
	f.sameRow(what+", read back", now, want)
	if now.Rev == was.Rev || now.Rev != got.Rev {
		f.Errorf("%s: the rev was %q, the answer says %q, and it is %q", what, was.Rev, got.Rev, now.Rev)
	}
	return want
}

func changeApplies(f *fixture) {
	c := f.opened("c")
	given := f.row(c.ID)
	c = f.changed("entering", c, f.entering("channel:1", 3))
	f.advance(time.Second)
	two := f.entering("channel:2", 4)
	two.Enter["channel:3"] = hub.Seat{Shard: 5, Gen: 77}
	c = f.changed("entering two", c, two)
	c = f.changed("leaving one", c, hub.Change{Leave: map[string]hub.Leaving{"channel:1": {Shard: 3, Gen: f.now().UnixMilli() + 1, Why: "a b"}}})
	if _, err := f.Touch(f.Context(), c.ID, f.touch("channel:1")); !errors.Is(err, protocol.Refuse(protocol.CodeNotInRoom)) {
		f.Errorf("a Touch in a room that is being left: %v", err)
	}
	c.Busy, c.LastSeen = f.row(c.ID).Busy, f.row(c.ID).LastSeen
	c = f.changed("coming back to it", c, f.entering("channel:1", 9))
	c = f.changed("leaving two, one altogether", c, hub.Change{
		Leave: map[string]hub.Leaving{"channel:2": {Shard: 4, Gen: 99}, "channel:3": {Shard: 5, Gen: 99}}, Left: []string{"channel:1"},
	})
	c = f.changed("asked to leave where it is not", c, hub.Change{LeftAt: map[string]int64{"channel:9": f.now().UnixMilli()}})
	f.advance(time.Minute)
	c = f.changed("asked again, and in another", c, hub.Change{LeftAt: map[string]int64{"channel:9": f.now().UnixMilli(), "channel:10": f.now().UnixMilli() + 1}})
	c = f.changed("asked late", c, hub.Change{LeftAt: map[string]int64{"channel:9": f.now().UnixMilli() - 5}})
	entering := f.entering("channel:9", 9)
	entering.JoinedAt = map[string]int64{"channel:9": f.now().UnixMilli()}
	c = f.changed("asked to enter", c, entering)
	f.advance(90 * time.Second)
	many := map[string]int64{}
	for i := range 20 {
		many[numbered("channel:", 20+i)] = f.now().UnixMilli() + int64(i)
	}
	c = f.changed("asked in many", c, hub.Change{LeftAt: many})
	c = f.changed("left altogether", c, hub.Change{Left: []string{"channel:2", "channel:3"}})
	f.advance(time.Second)
	who := hub.Identity{User: "ana", Name: "Anna", Grants: hub.Grants{"channel:7": {"join"}}, Expires: f.now().Add(90 * time.Minute)}
	c = f.changed("a new token, and a room that it does not grant", c, hub.Change{
		Renew: &who, Leave: map[string]hub.Leaving{"channel:1": {Shard: 9, Gen: 100, Why: "forbidden"}},
	})
	f.advance(91 * time.Minute)
	who.Expires = f.now().Add(time.Minute)
	c = f.changed("a token for one that has expired", c, hub.Change{Renew: &who})
	f.changed("closing, with a socket to be closed", c, hub.Change{Closing: true, End: "kicked"})
	f.equal("rooms of a row given before", len(given.Rooms), 0)
}

func changeOfAnotherRow(f *fixture) {
	ctx := f.Context()
	c := f.opened("c")
	was := f.row(c.ID)
	f.advance(time.Second)
	if _, err := f.Touch(ctx, c.ID, f.touch("")); err != nil {
		f.Fatal(err)
	}
	if _, err := f.Change(ctx, was, f.entering("channel:1", 1)); err != nil {
		f.Errorf("a Change after a Touch: %v", err)
	}
	f.advance(time.Second)
	now := f.row(c.ID)
	for what, ch := range map[string]hub.Change{
		"entering": f.entering("channel:2", 1), "leaving": {Leave: map[string]hub.Leaving{"channel:1": {Shard: 1, Gen: 5}}, Now: f.now()},
		"a new token": {Renew: &hub.Identity{Expires: f.now().Add(time.Hour)}, Now: f.now()}, "closing": {Closing: true, Now: f.now()},
	} {
		_, err := f.Change(ctx, was, ch)
		f.refused(what, err, hub.ErrChanged)
	}
	f.sameRow("the row", f.row(c.ID), now)
	f.ok("open again", f.Open(ctx, c))
	_, err := f.Change(ctx, now, f.entering("channel:2", 1))
	f.refused("a Change of the row that was there before it was opened again", err, hub.ErrChanged)
}

func changeTogether(f *fixture) {
	was := f.row(f.opened("c").ID)
	var made atomic.Int64
	together(8, func(i int) {
		_, err := f.Change(f.Context(), was, f.entering(numbered("channel:", i), i))
		if err == nil {
			made.Add(1)
		} else if !errors.Is(err, hub.ErrChanged) {
			f.Errorf("change: %v", err)
		}
	})
	f.equal("changes that were made", made.Load(), int64(1))
	f.equal("rooms", len(f.row(was.ID).Rooms), 1)
}

func closeAnyhow(f *fixture) {
	was := f.row(f.opened("c").ID)
	if _, err := f.Change(f.Context(), was, f.entering("channel:1", 4)); err != nil {
		f.Fatal(err)
	}
	got, err := f.Change(f.Context(), was, hub.Change{Anyhow: true, Closing: true, End: "kicked", Now: f.now()})
	f.ok("close", err)
	f.equal("the rooms that it gives", got.Rooms, map[string]int{"channel:1": 4})
	f.equal("closing", got.Closing && got.Ended == "kicked", true)
	f.equal("closing, as kept", string(f.row(was.ID).Ended), "kicked")
}

func changeIsCharged(f *fixture) {
	c := f.opened("c", func(c *hub.Connection) { c.Busy = f.now().Add(burst + cost) })
	_, err := f.Change(f.Context(), f.row(c.ID), f.entering("channel:1", 1))
	f.refused("a Change of who sent too much", err, protocol.Refuse(protocol.CodeRateLimited))
	free := f.entering("channel:1", 1)
	free.Touch = nil
	c = f.changed("one that is not charged", c, free)
	f.advance(2 * cost)
	c = f.changed("one when it is paid for", c, f.entering("channel:2", 1))
	f.sameTime("Busy", c.Busy, f.now().Add(burst))
	f.advance(time.Hour)
	_, err = f.Change(f.Context(), f.row(c.ID), f.entering("channel:3", 1))
	f.refused("a charged Change of who has expired", err, protocol.Refuse(protocol.CodeExpired))
}

func hundredRooms(f *fixture) {
	c := f.opened("c", func(c *hub.Connection) {
		c.Rooms = map[string]int{}
		for i := range 99 {
			c.Rooms["channel:"+f.unique+strings.Repeat("x", 80)+numbered("", i)] = i % 64
		}
	})
	f.changed("the hundredth", c, f.entering("channel:last", 63))
	for _, room := range []string{"channel:last", "channel:" + f.unique + strings.Repeat("x", 80) + "050"} {
		if _, err := f.Touch(f.Context(), c.ID, f.touch(room)); err != nil {
			f.Errorf("touch in %s: %v", room, err)
		}
	}
	all := f.entering("channel:1", 1)
	for room, shard := range c.Rooms { // a client that comes back joins them with one frame
		all.Enter[room] = hub.Seat{Shard: shard, Gen: all.Enter["channel:1"].Gen}
	}
	f.changed("a hundred at once", f.opened("d"), all)
}

// walked gives all rows of a partition, by pages, and checks their order.
func (f *fixture) walked(partition, limit int) []hub.Connection {
	f.Helper()
	var all []hub.Connection
	for after := ""; ; {
		page, err := f.Walk(f.Context(), partition, after, limit)
		f.ok("walk", err)
		if len(page) > limit {
			f.Fatalf("Walk gives %d rows, more than %d", len(page), limit)
		}
		for _, c := range page {
			if c.ID <= after {
				f.Fatalf("Walk gives %q after %q", c.ID, after)
			}
			if hub.Partition(c.ID) != partition {
				f.Fatalf("Walk gives %q in partition %d, it belongs to %d", c.ID, partition, hub.Partition(c.ID))
			}
			after = c.ID
		}
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
	}
}

// openedIn opens n rows in one partition.
func (f *fixture) openedIn(partition, n int, change func(i int, c *hub.Connection)) []hub.Connection {
	f.Helper()
	var rows []hub.Connection
	for i := 0; len(rows) < n; i++ {
		if name := fmt.Sprintf("%06d", i); hub.Partition(f.id(name)) == partition {
			rows = append(rows, f.opened(name, func(c *hub.Connection) { change(len(rows), c) }))
		}
	}
	return rows
}

// mine leaves out the rows of other tests.
func (f *fixture) mine(all []hub.Connection) (ids []string) {
	for _, c := range all {
		if strings.HasPrefix(c.ID, f.unique) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func walkGivesEveryRow(f *fixture) {
	rows := f.openedIn(17, 7, func(i int, c *hub.Connection) { c.Rooms = map[string]int{"channel:1": i} })
	f.opened("elsewhere")
	want := f.mine(rows)
	for _, limit := range []int{1, 3, 7, 100} {
		all := f.walked(17, limit)
		got := f.mine(slices.DeleteFunc(all, func(c hub.Connection) bool { return c.ID == f.id("elsewhere") }))
		f.equal(fmt.Sprint("ids, by ", limit), got, want)
	}
	page, err := f.Walk(f.Context(), 17, rows[3].ID, 1)
	f.ok("walk", err)
	if len(page) == 1 && page[0].ID == rows[4].ID {
		f.sameRow("a row", page[0], rows[4])
	} else if len(page) != 1 || page[0].ID > rows[4].ID {
		f.Errorf("Walk after the fourth row gives %v", page)
	}
}

func walkPassesOverLapsedRows(f *fixture) {
	rows := f.openedIn(44, 8, func(i int, c *hub.Connection) {
		if i%4 != 0 {
			c.TTL = f.now().Add(time.Minute)
		}
	})
	f.advance(time.Minute + time.Second)
	want := []string{rows[0].ID, rows[4].ID}
	// A page that lapsed rows made short would end the walk early.
	for _, limit := range []int{1, 2, 3} {
		f.equal(fmt.Sprint("ids, by ", limit), f.mine(f.walked(44, limit)), want)
	}
}

func wantedGivesWhatIsWanted(f *fixture) {
	const partition = 51
	now := f.now()
	rows := f.openedIn(partition, 60, func(i int, c *hub.Connection) {
		c.TTL, c.Expires, c.ConnectedAt = now.Add(time.Hour), now.Add(time.Hour), now.Add(-time.Hour)
		c.LastSeen = now.Add(-time.Duration(i) * time.Minute)
		switch i % 15 {
		case 1:
			c.Expires = now.Add(time.Duration(i-16) * time.Millisecond) // one of them just now
		case 2:
			c.Closing = true
		case 3:
			c.Leaving = map[string]hub.Leaving{"channel:1": {Gen: 1}}
		case 4:
			c.ConnectedAt = now.Add(-2*time.Hour - time.Duration(i-19)*time.Millisecond)
		case 5:
			c.TTL = now.Add(-time.Second)
		}
	})
	rows = slices.DeleteFunc(rows, func(c hub.Connection) bool { return !c.TTL.After(now) })
	for name, look := range map[string]hub.Look{
		"the first":        {Now: now, Silence: 11 * time.Minute, Lifetime: 2 * time.Hour},
		"one after five":   {Now: now, Since: now.Add(-5 * time.Minute), Silence: 11 * time.Minute, Lifetime: 2 * time.Hour},
		"one after twenty": {Now: now, Since: now.Add(-20 * time.Minute), Silence: 50 * time.Minute, Lifetime: 2 * time.Hour},
		"one at once":      {Now: now, Since: now, Silence: 7 * time.Minute, Lifetime: 2 * time.Hour},
	} {
		want := slices.DeleteFunc(slices.Clone(rows), func(c hub.Connection) bool { return !look.Wants(c) })
		if len(want) == 0 || len(want) == len(rows) && name != "the first" {
			f.Fatalf("%s wants %d of %d rows", name, len(want), len(rows))
		}
		for _, limit := range []int{1, 7, 1000} {
			got, count := f.wanted(partition, limit, look)
			f.equal(fmt.Sprint("what ", name, " wants, by ", limit), f.mine(got), f.mine(want))
			if count < len(rows) {
				f.Errorf("%s has counted %d rows of %d", name, count, len(rows))
			}
			if i := slices.IndexFunc(got, func(c hub.Connection) bool { return c.ID == want[0].ID }); i >= 0 {
				f.sameRow("a wanted row", got[i], want[0])
			}
		}
	}
}

// wanted gives what a look wants of a partition, by pages, and how many rows it has.
func (f *fixture) wanted(partition, limit int, look hub.Look) (all []hub.Connection, count int) {
	f.Helper()
	for after := ""; ; {
		page, err := f.Wanted(f.Context(), partition, after, limit, look)
		f.ok("wanted", err)
		if page.Rows > limit || len(page.Connections) > page.Rows {
			f.Fatalf("a page of %d has %d rows and gives %d", limit, page.Rows, len(page.Connections))
		}
		all, count = append(all, page.Connections...), count+page.Rows
		if page.Next == "" {
			return all, count
		}
		if page.Next <= after {
			f.Fatalf("after %q comes %q", after, page.Next)
		}
		after = page.Next
	}
}

func openedRowIsACopy(f *fixture) {
	c := f.connection(f.id("c"))
	c.Rooms = map[string]int{"channel:1": 1}
	f.ok("open", f.Open(f.Context(), c))
	c.Rooms["channel:2"] = 2
	c.Grants["channel:9"] = []string{"moderate"}
	c.Grants["channel:*"][0] = "moderate"
	got := f.row(c.ID)
	f.equal("rooms", got.Rooms, map[string]int{"channel:1": 1})
	f.equal("grants", got.Grants, hub.Grants{"channel:*": {hub.GrantJoin, hub.GrantPublish}})

	before := f.row(c.ID)
	if _, err := f.Change(f.Context(), before, f.entering("channel:3", 3)); err != nil {
		f.Fatal(err)
	}
	f.equal("rooms of a row given before", before.Rooms, map[string]int{"channel:1": 1})
}
