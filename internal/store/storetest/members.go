package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

func members() []promise {
	return []promise{
		{"a member comes back as it was added", memberComesBack},
		{"AddMember replaces an older membership", addReplaces},
		{"ChangeMember writes over a membership of the same generation, and over no other", changeMember},
		{"RemoveMember takes out one, and again is no error", removeTakesOutOne},
		{"a membership gives way to a later one, and to its end", laterWins},
		{"the mark of one that was removed keeps out earlier ones, for its time", markKeepsOut},
		{"lapsed members are left out, those behind them are not", lapsedMembers},
		{"pages give every member of a shard once, in order", memberPages},
		{"a page may begin after an id that is not there", pageAfterAnyID},
		{"shards are apart", shardsAreApart},
		{"an empty room has one shard, no members and no next page", emptyRoom},
		{"Shards is known with the first page of shard 0 only", shardsAreKnown},
		{"Grow doubles a room that has just so many shards", growDoubles},
		{"many that grow a room at the same time double it once", growTogether},
		{"Occupy and Vacate change a room once, whoever else tries", occupiedOnce},
		{"members that are added at the same time are all there", addTogether},
	}
}

func (f *fixture) member(connection string, shard int) hub.Member {
	return hub.Member{Connection: connection, User: "ana", Codec: protocol.Name, Shard: shard, MayPublish: true, Gen: 5, TTL: f.now().Add(time.Hour)}
}

func (f *fixture) added(room string, all ...hub.Member) {
	f.Helper()
	for _, m := range all {
		f.ok("add member", f.AddMember(f.Context(), room, m))
	}
}

// allMembers gives the members of a shard, by pages, and checks their order.
func (f *fixture) allMembers(room string, shard, limit int) []hub.Member {
	f.Helper()
	var all []hub.Member
	for after, last := "", ""; ; {
		page, err := f.Members(f.Context(), room, shard, after, limit)
		f.ok("members", err)
		if len(page.Members) > limit {
			f.Fatalf("Members gives %d, more than %d", len(page.Members), limit)
		}
		if wantKnown := shard == 0 && after == ""; wantKnown != (page.Shards > 0) {
			f.Errorf("page of shard %d after %q has Shards %d", shard, after, page.Shards)
		}
		for _, m := range page.Members {
			if m.Connection <= last || m.Connection <= after {
				f.Fatalf("Members gives %q after %q, on the page after %q", m.Connection, last, after)
			}
			last = m.Connection
		}
		all = append(all, page.Members...)
		if page.Next == "" {
			return all
		}
		if page.Next <= after {
			f.Fatalf("the page after %q says that %q is next", after, page.Next)
		}
		after = page.Next
	}
}

func memberIDs(all []hub.Member) []string {
	ids := make([]string, 0, len(all))
	for _, m := range all {
		ids = append(ids, m.Connection)
	}
	return ids
}

// sameMembers compares, with times in one form.
func (f *fixture) sameMembers(what string, got []hub.Member, want ...hub.Member) {
	f.Helper()
	for _, all := range [][]hub.Member{got, want} {
		for i := range all {
			all[i].TTL, all[i].Expires = utc(all[i].TTL), utc(all[i].Expires)
		}
	}
	if len(got)+len(want) > 0 {
		f.equal(what, got, want)
	}
}

// shardsOf gives the number of shards, strongly consistent.
func (f *fixture) shardsOf(room string) int {
	f.Helper()
	page, err := f.Members(f.Context(), room, 0, "", 1)
	f.ok("members", err)
	shards, err := f.Shards(f.Context(), room)
	f.ok("shards", err)
	if shards < 1 || shards > page.Shards {
		f.Errorf("Shards gives %d, the first page says %d", shards, page.Shards)
	}
	return page.Shards
}

func memberComesBack(f *fixture) {
	room := f.room("r")
	a, b := f.member(f.id("a"), 0), f.member(f.id("b"), 0)
	b.MaySignal, b.Paused, b.Expires = true, true, f.now().Truncate(time.Second)
	b.User, b.Codec, b.MayPublish, b.TTL = "ben|ü", "socket.io", false, f.now().Add(2*time.Hour)
	f.added(room, b, a)
	f.added(f.room("r2"), f.member(f.id("c"), 0))
	f.sameMembers("members", f.allMembers(room, 0, 10), a, b)
}

func addReplaces(f *fixture) {
	room := f.room("r")
	m := f.member(f.id("a"), 0)
	f.added(room, m, m)
	m.MayPublish, m.User, m.Codec, m.TTL = false, "ben", "", f.now().Add(2*time.Hour)
	f.added(room, m)
	f.sameMembers("members", f.allMembers(room, 0, 10), m)
}

func changeMember(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	m := f.member(f.id("a"), 0)
	f.refused("one that is not there", f.ChangeMember(ctx, room, m), hub.ErrOvertaken)
	f.added(room, m)
	m.Paused, m.Expires = true, f.now().Add(time.Minute).Truncate(time.Second)
	f.ok("change", f.ChangeMember(ctx, room, m))
	f.sameMembers("members", f.allMembers(room, 0, 10), m)
	early, late := m, m
	early.Gen--
	late.Gen++
	f.refused("an earlier one", f.ChangeMember(ctx, room, early), hub.ErrOvertaken)
	f.refused("a later one", f.ChangeMember(ctx, room, late), hub.ErrOvertaken)
	f.sameMembers("members", f.allMembers(room, 0, 10), m)
	f.ok("remove", f.RemoveMember(ctx, room, 0, m.Connection, m.Gen, f.now().Add(time.Minute)))
	f.refused("one that was removed, with a mark", f.ChangeMember(ctx, room, m), hub.ErrOvertaken)
	none := f.member(f.id("b"), 0)
	none.Gen = 0
	f.added(room, none)
	none.MayPublish = false
	f.ok("change one without a generation", f.ChangeMember(ctx, room, none))
	f.sameMembers("members", f.allMembers(room, 0, 10), none)
}

func removeTakesOutOne(f *fixture) {
	room := f.room("r")
	a, b := f.member(f.id("a"), 0), f.member(f.id("b"), 0)
	far := f.member(f.id("a"), 1)
	f.added(room, a, b, far)
	for range 2 {
		f.ok("remove", f.RemoveMember(f.Context(), room, 0, a.Connection, 5, time.Time{}))
		f.sameMembers("members", f.allMembers(room, 0, 10), b)
		f.sameMembers("members of the other shard", f.allMembers(room, 1, 10), far)
	}
	f.ok("remove from another room", f.RemoveMember(f.Context(), f.room("r2"), 0, b.Connection, 5, time.Time{}))
	f.ok("remove from a far shard", f.RemoveMember(f.Context(), room, 63, b.Connection, 5, time.Time{}))
	f.sameMembers("members", f.allMembers(room, 0, 10), b)
	f.added(room, a)
	f.sameMembers("members, after coming again", f.allMembers(room, 0, 10), a, b)
}

func laterWins(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	m := f.member(f.id("a"), 0)
	f.added(room, m)
	early := m
	early.Gen, early.MayPublish = m.Gen-1, false
	f.refused("an earlier one", f.AddMember(ctx, room, early), hub.ErrOvertaken)
	f.ok("the end of an earlier one", f.RemoveMember(ctx, room, 0, m.Connection, m.Gen-1, time.Time{}))
	f.ok("the end of an earlier one, with a mark", f.RemoveMember(ctx, room, 0, m.Connection, m.Gen-1, f.now().Add(time.Minute)))
	f.sameMembers("members", f.allMembers(room, 0, 10), m)
	m.Gen++
	f.added(room, m)
	f.sameMembers("members", f.allMembers(room, 0, 10), m)
	old := f.member(f.id("b"), 0) // as the functions write it that know no generations
	old.Gen = 0
	f.added(room, old)
	f.ok("the end of one without a generation", f.RemoveMember(ctx, room, 0, old.Connection, 1, time.Time{}))
	f.sameMembers("members in the end", f.allMembers(room, 0, 10), m)
}

func markKeepsOut(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	m := f.member(f.id("a"), 0)
	for _, there := range []bool{false, true} {
		if there {
			f.added(room, m)
		}
		f.ok("remove", f.RemoveMember(ctx, room, 0, m.Connection, m.Gen+1, f.now().Add(time.Minute)))
		f.equal("members", len(f.allMembers(room, 0, 10)), 0)
		f.refused("one that was on its way", f.AddMember(ctx, room, m), hub.ErrOvertaken)
		f.equal("members", len(f.allMembers(room, 0, 10)), 0)
		m.Gen += 2
	}
	f.added(room, m)
	f.sameMembers("a later one", f.allMembers(room, 0, 10), m)
	b, c := f.member(f.id("b"), 0), f.member(f.id("c"), 0)
	f.ok("remove", f.RemoveMember(ctx, room, 0, b.Connection, 9, f.now().Add(time.Minute)))
	f.added(room, c)
	for _, limit := range []int{1, 2, 3} {
		f.sameMembers("members beside a mark", f.allMembers(room, 0, limit), m, c)
	}
	page, err := f.Members(ctx, room, 0, m.Connection, 1)
	f.ok("members", err)
	f.sameMembers("the page behind the first", page.Members, c)
}

func lapsedMembers(f *fixture) {
	room := f.room("r")
	var want []hub.Member
	for i := range 9 {
		m := f.member(f.id(numbered("m", i)), 0)
		if i%4 == 0 {
			want = append(want, m)
		} else {
			m.TTL = f.now().Add(time.Minute)
		}
		f.added(room, m)
	}
	f.advance(time.Minute - time.Second)
	f.equal("members just before", len(f.allMembers(room, 0, 4)), 9)
	f.advance(2 * time.Second)
	for _, limit := range []int{1, 2, 100} {
		f.sameMembers(fmt.Sprint("members, by ", limit), f.allMembers(room, 0, limit), want...)
	}
	back := f.member(f.id(numbered("m", 1)), 0)
	f.added(room, back)
	f.sameMembers("members, one is back", f.allMembers(room, 0, 100), want[0], back, want[1], want[2])
}

func memberPages(f *fixture) {
	room := f.room("r")
	var want []string
	for i := range 10 {
		want = append(want, f.id(numbered("m", i)))
	}
	for _, i := range []int{3, 9, 0, 4, 1, 8, 2, 7, 6, 5} {
		f.added(room, f.member(want[i], 0))
	}
	for _, limit := range []int{1, 3, 5, 9, 10, 11, 1000} {
		f.equal(fmt.Sprint("ids, by ", limit), memberIDs(f.allMembers(room, 0, limit)), want)
	}
}

func pageAfterAnyID(f *fixture) {
	room := f.room("r")
	f.added(room, f.member(f.id("b"), 0), f.member(f.id("d"), 0), f.member(f.id("f"), 0))
	for after, want := range map[string][]string{
		f.id("a"): {f.id("b"), f.id("d"), f.id("f")},
		f.id("b"): {f.id("d"), f.id("f")},
		f.id("c"): {f.id("d"), f.id("f")},
		f.id("f"): {},
		f.id("g"): {},
	} {
		page, err := f.Members(f.Context(), room, 0, after, 10)
		f.ok("members", err)
		f.equal("ids after "+after, memberIDs(page.Members), want)
		f.equal("Shards on a later page", page.Shards, 0)
		f.equal("Next", page.Next, "")
	}
}

func shardsAreApart(f *fixture) {
	room := f.room("r")
	f.ok("grow", f.Grow(f.Context(), room, 1))
	f.ok("grow", f.Grow(f.Context(), room, 2))
	want := map[int]hub.Member{}
	for _, shard := range []int{0, 1, 2, 3} {
		want[shard] = f.member(f.id(fmt.Sprint("m", shard)), shard)
		f.added(room, want[shard])
	}
	for shard, m := range want {
		f.sameMembers(fmt.Sprint("members of shard ", shard), f.allMembers(room, shard, 1), m)
	}
	f.equal("members of a shard that nobody is in", len(f.allMembers(room, 12, 10)), 0)
}

func emptyRoom(f *fixture) {
	room := f.room("r")
	for range 2 {
		f.equal("shards", f.shardsOf(room), 1)
		page, err := f.Members(f.Context(), room, 0, "", 10)
		f.ok("members", err)
		f.equal("members", len(page.Members), 0)
		f.equal("Next", page.Next, "")
		// The same once somebody has come and gone.
		f.added(room, f.member(f.id("a"), 0))
		f.ok("remove", f.RemoveMember(f.Context(), room, 0, f.id("a"), 5, time.Time{}))
	}
}

func shardsAreKnown(f *fixture) {
	room := f.room("r")
	for i := range 3 {
		f.added(room, f.member(f.id(numbered("m", i)), 0), f.member(f.id(numbered("m", i)), 1))
	}
	f.ok("grow", f.Grow(f.Context(), room, 1))
	// allMembers checks each page.
	f.equal("members of shard 0", len(f.allMembers(room, 0, 1)), 3)
	f.equal("members of shard 1", len(f.allMembers(room, 1, 1)), 3)
	f.equal("shards", f.shardsOf(room), 2)
}

func growDoubles(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	f.added(room, f.member(f.id("a"), 0))
	for _, step := range []struct{ from, want int }{{2, 1}, {0, 1}, {1, 2}, {1, 2}, {4, 2}, {2, 4}, {2, 4}, {1, 4}, {4, 8}, {8, 16}, {2, 16}} {
		f.ok("grow", f.Grow(ctx, room, step.from))
		f.equal(fmt.Sprintf("shards after Grow from %d", step.from), f.shardsOf(room), step.want)
	}
	f.equal("who was there stays", memberIDs(f.allMembers(room, 0, 10)), []string{f.id("a")})
	f.ok("remove", f.RemoveMember(ctx, room, 0, f.id("a"), 5, time.Time{}))
	f.equal("shards when all are gone: someone may be about to enter one", f.shardsOf(room), 16)
	f.equal("shards of another room", f.shardsOf(f.room("r2")), 1)
}

func growTogether(f *fixture) {
	room := f.room("r")
	together(6, func(int) {
		if err := f.Grow(f.Context(), room, 1); err != nil {
			f.Errorf("grow: %v", err)
		}
	})
	f.equal("shards", f.shardsOf(room), 2)
}

func occupiedOnce(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	turn := func(what string, do func(context.Context, string) (bool, error), want int) {
		f.Helper()
		var changed atomic.Int64
		together(6, func(int) {
			did, err := do(ctx, room)
			if err != nil {
				f.Errorf("%s: %v", what, err)
			}
			if did {
				changed.Add(1)
			}
		})
		f.equal(what, changed.Load(), int64(want))
	}
	turn("vacate a room that nobody entered", f.Vacate, 0)
	turn("occupy", f.Occupy, 1)
	turn("occupy again", f.Occupy, 0)
	f.added(room, f.member(f.id("a"), 0))
	f.equal("shards of an occupied room", f.shardsOf(room), 1)
	f.ok("remove", f.RemoveMember(ctx, room, 0, f.id("a"), 5, time.Time{}))
	turn("occupy while the mark is there", f.Occupy, 0)
	turn("vacate", f.Vacate, 1)
	turn("occupy once more", f.Occupy, 1)
	turn("vacate once more", f.Vacate, 1)
	turn("occupy another time", f.Occupy, 1)
	head, err := f.Head(ctx, room, time.Time{})
	f.ok("head", err)
	f.equal("the log begins as in any room", head.Epoch != "" && head.Seq == 0, true)
}

func addTogether(f *fixture) {
	room := f.room("r")
	together(16, func(i int) {
		if err := f.AddMember(f.Context(), room, f.member(f.id(numbered("m", i)), i%2)); err != nil {
			f.Errorf("add: %v", err)
		}
	})
	f.equal("members of shard 0", len(f.allMembers(room, 0, 100)), 8)
	f.equal("members of shard 1", len(f.allMembers(room, 1, 3)), 8)
	together(16, func(i int) {
		if err := f.RemoveMember(f.Context(), room, i%2, f.id(numbered("m", i)), 5, time.Time{}); err != nil {
			f.Errorf("remove: %v", err)
		}
	})
	f.equal("members in the end", len(f.allMembers(room, 0, 100))+len(f.allMembers(room, 1, 100)), 0)
}
