package storetest

import (
	"fmt"
	"maps"
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
		{"a refused Touch or Enter changes nothing", refusedTouchChangesNothing},
		{"Touch charges as Charge says and sets LastSeen", touchCharges},
		{"a burst of 20 passes, then one action each 100 ms", burstPasses},
		{"Recent is only a hint", recentIsOnlyAHint},
		{"touches at the same time pass as often as the burst allows", touchesTogether},
		{"Enter adds a room; one that is there keeps its shard", enterAddsARoom},
		{"rooms entered at the same time are all there", enterTogether},
		{"Exit takes out one room and sets LastSeen", exitTakesOutOneRoom},
		{"Renew replaces name, grants and expiry, and nothing else", renewReplaces},
		{"a connection may be in 100 rooms", hundredRooms},
		{"Walk gives every row of a partition once, in order", walkGivesEveryRow},
		{"Walk passes over lapsed rows and gives full pages", walkPassesOverLapsedRows},
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
	for _, t := range []*time.Time{&c.ConnectedAt, &c.LastSeen, &c.Entered, &c.Expires, &c.Busy, &c.TTL} {
		*t = utc(*t)
	}
	if len(c.Rooms) == 0 {
		c.Rooms = nil
	}
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
	c.Codec, c.Name = "socket.io", `Ana "ü" O'Hara`
	c.ConnectedAt, c.LastSeen = c.ConnectedAt.Add(-123*time.Millisecond), c.LastSeen.Add(456*time.Millisecond)
	c.Busy, c.Entered = c.LastSeen.Add(time.Second), c.LastSeen.Add(-time.Millisecond)
	f.ok("open", f.Open(f.Context(), c))
	f.sameRow("the row", f.row(c.ID), c)

	bare := hub.Connection{ID: f.id("bare"), User: "ana", ConnectedAt: f.now(), LastSeen: f.now(), Expires: f.now().Add(time.Hour), TTL: f.now().Add(time.Hour)}
	f.ok("open", f.Open(f.Context(), bare))
	f.sameRow("a row without rooms, grants, name and codec", f.row(bare.ID), bare)
}

func openReplaces(f *fixture) {
	old := f.opened("c", func(c *hub.Connection) { c.Rooms = map[string]int{"channel:1": 1} })
	if _, err := f.BeginClose(f.Context(), old.ID); err != nil {
		f.Fatalf("begin close: %v", err)
	}
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
	_, err = f.Enter(ctx, id, "channel:1", 0, f.touch(""))
	f.refused("Enter", err, hub.ErrNotFound)
	f.refused("Renew", f.Renew(ctx, id, "n", nil, f.now().Add(time.Hour)), hub.ErrNotFound)
	_, err = f.BeginClose(ctx, id)
	f.refused("BeginClose", err, hub.ErrNotFound)
	f.ok("Exit", f.Exit(ctx, id, "channel:1", f.now()))
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
		got, err := f.BeginClose(ctx, want.ID)
		f.ok("begin close", err)
		f.sameRow("the row that BeginClose gives", got, want)
	}
	_, err := f.Touch(ctx, want.ID, f.touch(""))
	f.refused("Touch", err, hub.ErrNotFound)
	_, err = f.Enter(ctx, want.ID, "channel:3", 0, f.touch(""))
	f.refused("Enter", err, hub.ErrNotFound)
	f.refused("Renew", f.Renew(ctx, want.ID, "n", nil, f.now().Add(time.Hour)), hub.ErrNotFound)
	f.sameRow("the row", f.row(want.ID), want)
	i := slices.IndexFunc(f.walked(hub.Partition(want.ID), 100), func(c hub.Connection) bool { return c.ID == want.ID && c.Closing })
	if i < 0 {
		f.Error("Walk leaves out a closing row")
	}

	f.ok("exit", f.Exit(ctx, want.ID, "channel:1", f.now()))
	delete(want.Rooms, "channel:1")
	f.sameRow("the row after Exit", f.row(want.ID), want)
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
			_, err = f.Enter(f.Context(), c.ID, "channel:3", 0, touch)
			f.refused(fmt.Sprintf("Enter, %s, Recent %t", step.name, recent), err, step.want)
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
			if _, err := f.Enter(f.Context(), c.ID, "channel:3", 0, touch); err == nil {
				f.Errorf("%s: Enter is allowed", name)
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

	entered, err := f.Enter(f.Context(), c.ID, "channel:2", 7, f.touch("channel:1"))
	f.ok("enter", err)
	c.Busy, c.Rooms["channel:2"], c.Entered = c.Busy.Add(cost), 7, f.now()
	f.sameRow("the row that Enter gives", entered, c)
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

func enterAddsARoom(f *fixture) {
	ctx := f.Context()
	c := f.opened("c")
	for i, want := range []map[string]int{
		{"channel:1": 0},
		{"channel:1": 0, "channel:2": 1},
		{"channel:1": 0, "channel:2": 1, "channel:3": 2},
	} {
		got, err := f.Enter(ctx, c.ID, fmt.Sprint("channel:", i+1), i, f.touch(""))
		f.ok("enter", err)
		f.equal("rooms given", got.Rooms, want)
		f.equal("rooms kept", f.row(c.ID).Rooms, want)
	}
	f.advance(time.Second)
	got, err := f.Enter(ctx, c.ID, "channel:2", 40, f.touch(""))
	f.ok("enter again", err)
	f.sameTime("Entered", got.Entered, f.now())
	f.sameTime("Entered, as kept", f.row(c.ID).Entered, f.now())
	f.equal("rooms after entering again", got.Rooms, map[string]int{"channel:1": 0, "channel:2": 1, "channel:3": 2})
	f.sameTime("Busy: three were charged, a second is over, and one more", got.Busy, f.now().Add(cost))
	if _, err := f.Touch(ctx, c.ID, f.touch("channel:3")); err != nil {
		f.Errorf("touch in the room: %v", err)
	}
	_, err = f.Enter(ctx, c.ID, "channel:9", 0, f.touch("channel:8"))
	f.refused("Enter with a room to be in", err, protocol.Refuse(protocol.CodeNotInRoom))
}

func enterTogether(f *fixture) {
	c := f.opened("c")
	want := map[string]int{}
	for i := range 12 {
		want[numbered("channel:", i)] = i
	}
	together(len(want), func(i int) {
		_, err := f.Enter(f.Context(), c.ID, numbered("channel:", i), i, f.touch(""))
		if err != nil {
			f.Errorf("enter: %v", err)
		}
	})
	f.equal("rooms", f.row(c.ID).Rooms, want)

	// Of one room, the first shard stays for all.
	var shard atomic.Int64
	shard.Store(-1)
	together(4, func(i int) {
		row, err := f.Enter(f.Context(), c.ID, "channel:one", i, f.touch(""))
		if err != nil {
			f.Errorf("enter: %v", err)
		} else if got := int64(row.Rooms["channel:one"]); !shard.CompareAndSwap(-1, got) && shard.Load() != got {
			f.Errorf("shards %d and %d were given for one room", shard.Load(), got)
		}
	})
}

func exitTakesOutOneRoom(f *fixture) {
	ctx := f.Context()
	c := f.opened("c", func(c *hub.Connection) { c.Rooms = map[string]int{"channel:1": 1, "channel:2": 2, "channel:12": 3} })
	given := f.row(c.ID)
	for range 2 {
		c.LastSeen = f.advance(time.Second)
		f.ok("exit", f.Exit(ctx, c.ID, "channel:1", f.now()))
		c.Rooms = map[string]int{"channel:2": 2, "channel:12": 3}
		f.sameRow("the row", f.row(c.ID), c)
	}
	f.equal("rooms of a row given before", given.Rooms, map[string]int{"channel:1": 1, "channel:2": 2, "channel:12": 3})
	f.ok("exit", f.Exit(ctx, c.ID, "channel:2", f.now()))
	f.ok("exit", f.Exit(ctx, c.ID, "channel:12", f.now()))
	f.equal("rooms in the end", len(f.row(c.ID).Rooms), 0)
	entered, err := f.Enter(ctx, c.ID, "channel:1", 9, f.touch(""))
	f.ok("enter again", err)
	f.equal("rooms, entered anew", entered.Rooms, map[string]int{"channel:1": 9})
}

func renewReplaces(f *fixture) {
	c := f.opened("c", func(c *hub.Connection) { c.Rooms, c.Busy = map[string]int{"channel:1": 1}, f.now().Add(cost) })
	f.advance(time.Second)
	c.Name, c.Grants, c.Expires = "Anna", hub.Grants{"channel:7": {"join"}}, f.now().Add(90*time.Minute)
	for range 2 {
		f.ok("renew", f.Renew(f.Context(), c.ID, c.Name, c.Grants, c.Expires))
		f.sameRow("the row", f.row(c.ID), c)
	}
	// An expired token does not end the row: it may be renewed.
	f.advance(91 * time.Minute)
	c.Expires = f.now().Add(time.Minute)
	f.ok("renew", f.Renew(f.Context(), c.ID, c.Name, nil, c.Expires))
	f.equal("grants", len(f.row(c.ID).Grants), 0)
	if _, err := f.Touch(f.Context(), c.ID, f.touch("channel:1")); err != nil {
		f.Errorf("touch after renewing: %v", err)
	}
}

func hundredRooms(f *fixture) {
	c := f.opened("c", func(c *hub.Connection) {
		c.Rooms = map[string]int{}
		for i := range 99 {
			c.Rooms["channel:"+f.unique+strings.Repeat("x", 80)+numbered("", i)] = i % 64
		}
	})
	want := maps.Clone(c.Rooms)
	want["channel:last"] = 63
	got, err := f.Enter(f.Context(), c.ID, "channel:last", 63, f.touch(""))
	f.ok("enter", err)
	f.equal("rooms", got.Rooms, want)
	f.equal("rooms read back", f.row(c.ID).Rooms, want)
	for _, room := range []string{"channel:last", "channel:" + f.unique + strings.Repeat("x", 80) + "050"} {
		if _, err := f.Touch(f.Context(), c.ID, f.touch(room)); err != nil {
			f.Errorf("touch in %s: %v", room, err)
		}
	}
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
	_, err := f.Enter(f.Context(), c.ID, "channel:3", 3, f.touch(""))
	f.ok("enter", err)
	f.equal("rooms of a row given before", before.Rooms, map[string]int{"channel:1": 1})
}
