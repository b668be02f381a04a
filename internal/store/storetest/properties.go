package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// RunProperties holds a store against small models of the log, of presence, of members and of the rate limit, with
// random calls. rapid's own flags say how many: -rapid.checks.
func RunProperties(t *testing.T, open Opener) {
	t.Helper()
	var run atomic.Int64
	properties := map[string]func(*rapid.T, *fixture){
		"a log numbers, remembers and forgets": logProperty,
		"members are who was added, wherever":  membersProperty,
		"a burst, and then so many a second":   touchProperty,
	}
	for name, property := range properties {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				c := hubtest.NewClock(time.Now().Truncate(time.Second))
				unique := fmt.Sprintf("p%d-%d-", time.Now().UnixNano(), run.Add(1))
				property(rt, &fixture{TB: t, Store: open(t, c.Now), clock: c, unique: unique})
			})
		})
	}
}

// logged is an entry of the model.
type logged struct {
	seq           int64
	id, data      string
	until, forget time.Time
}

// logModel is the log as a list.
type logModel struct {
	*fixture
	room string
	list []*logged
	seq  int64
}

func logProperty(rt *rapid.T, f *fixture) {
	m := &logModel{fixture: f, room: f.room("log")}
	rt.Repeat(map[string]func(*rapid.T){
		"append": m.append, "redact": m.redact, "reset": m.reset, "time passes": m.timePasses, "": m.check,
	})
}

// known gives the entry that an id is remembered for.
func (m *logModel) known(id string) *logged {
	for _, e := range slices.Backward(m.list) {
		if id != "" && e.id == id && e.forget.After(m.now()) {
			return e
		}
	}
	return nil
}

func (m *logModel) append(rt *rapid.T) {
	id := rapid.SampledFrom([]string{"", "", "a", "b", "c"}).Draw(rt, "id")
	keep := rapid.SampledFrom([]time.Duration{2 * time.Minute, time.Hour}).Draw(rt, "keep")
	known := m.known(id)
	e := protocol.Event{Event: "e", ID: id, TS: m.now().UnixMilli(), Data: fmt.Appendf(nil, "%d", len(m.list))}
	got, appended, err := m.Append(m.Context(), m.room, m.draft(e, keep))
	switch {
	case err != nil:
		rt.Fatal(err)
	case known != nil:
		if appended || got.Seq != known.seq || string(got.Data) != known.data {
			rt.Fatalf("%q again: got %+v, appended %v, want seq %d", id, got, appended, known.seq)
		}
		return
	}
	if m.seq++; !appended || got.Seq != m.seq {
		rt.Fatalf("got %+v, appended %v, want seq %d", got, appended, m.seq)
	}
	m.list = append(m.list, &logged{m.seq, got.ID, string(e.Data), m.now().Add(keep), m.now().Add(max(keep, hub.IDMemory))})
}

func (m *logModel) redact(rt *rapid.T) {
	if len(m.list) == 0 {
		return
	}
	e := rapid.SampledFrom(m.list).Draw(rt, "entry")
	if err := m.Redact(m.Context(), m.room, e.seq); err != nil {
		rt.Fatal(err)
	}
	e.data = "null"
}

func (m *logModel) reset(rt *rapid.T) {
	if err := m.Reset(m.Context(), m.room); err != nil {
		rt.Fatal(err)
	}
	for _, e := range m.list {
		e.forget = m.now()
	}
}

func (m *logModel) timePasses(rt *rapid.T) {
	m.advance(time.Duration(rapid.IntRange(1, 40).Draw(rt, "minutes")) * time.Minute)
}

func (m *logModel) check(rt *rapid.T) {
	var want, got []string
	again := map[string]bool{} // ids of later entries
	for _, e := range slices.Backward(m.list) {
		shown := e.until.After(m.now())
		if shown {
			want = append(want, fmt.Sprint(e.seq, e.id, e.data))
		}
		found, err := m.Named(m.Context(), m.room, e.id, 100)
		is := slices.ContainsFunc(found, func(f hub.Entry) bool { return f.Seq == e.seq })
		if err != nil || is && !shown || !is && shown && !again[e.id] {
			rt.Fatalf("%q: got %+v, %v, want seq %d until %v", e.id, found, err, e.seq, e.until)
		}
		again[e.id] = true
	}
	slices.Reverse(want)
	for _, e := range m.allEntries(m.room) {
		got = append(got, fmt.Sprint(e.Seq, e.ID, string(e.Data)))
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("the log is %v, want %v", got, want)
	}
	if head, err := m.Head(m.Context(), m.room, time.Time{}); err != nil || head.Seq != m.seq {
		rt.Fatalf("the head is %+v, %v, want seq %d", head, err, m.seq)
	}
}

// memberModel is a room as the shard and the generation of each member, and of the marks of those that were removed.
type memberModel struct {
	*fixture
	room   string
	where  map[string]int
	gens   map[string]int64
	shards int
}

// place gives a connection's shard, which depends on nothing else while the room does not grow.
func (m *memberModel) place(c string) int { return int(c[0]) % m.shards }

func membersProperty(rt *rapid.T, f *fixture) {
	m := &memberModel{fixture: f, room: f.room("members"), where: map[string]int{}, gens: map[string]int64{}, shards: 1}
	rt.Repeat(map[string]func(*rapid.T){"add": m.add, "remove": m.remove, "grow": m.grow, "": m.check})
}

func someone(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"}).Draw(rt, "connection")
}

func (m *memberModel) add(rt *rapid.T) {
	c, gen := someone(rt), rapid.Int64Range(1, 6).Draw(rt, "generation")
	shard, in := m.where[c]
	if !in {
		shard = m.place(c)
	}
	key := fmt.Sprint(c, shard)
	err := m.AddMember(m.Context(), m.room, hub.Member{Connection: c, User: "ana", Shard: shard, Gen: gen, TTL: m.now().Add(time.Hour)})
	if late := m.gens[key] > gen; late != errors.Is(err, hub.ErrOvertaken) || err != nil && !late {
		rt.Fatalf("add %s with %d where %d is: %v", c, gen, m.gens[key], err)
	}
	if err == nil {
		m.where[c], m.gens[key] = shard, gen
	}
}

func (m *memberModel) remove(rt *rapid.T) {
	c, gen := someone(rt), rapid.Int64Range(1, 6).Draw(rt, "generation")
	shard, in := m.where[c]
	if !in {
		shard = m.place(c)
	}
	key, until := fmt.Sprint(c, shard), time.Time{}
	if rapid.Bool().Draw(rt, "mark") {
		until = m.now().Add(time.Hour)
	}
	if err := m.RemoveMember(m.Context(), m.room, shard, c, gen, until); err != nil {
		rt.Fatal(err)
	}
	if m.gens[key] > gen {
		return
	}
	delete(m.where, c)
	if m.gens[key] = gen; until.IsZero() {
		delete(m.gens, key)
	}
}

func (m *memberModel) grow(rt *rapid.T) {
	from := rapid.SampledFrom([]int{1, 2, 4}).Draw(rt, "from")
	if err := m.Grow(m.Context(), m.room, from); err != nil {
		rt.Fatal(err)
	}
	if from == m.shards {
		m.shards *= 2
	}
}

func (m *memberModel) check(rt *rapid.T) {
	limit := rapid.IntRange(1, 5).Draw(rt, "limit")
	got := map[string]int{}
	for shard := range m.shards {
		for _, member := range m.allMembers(m.room, shard, limit) {
			if _, twice := got[member.Connection]; twice {
				rt.Fatalf("%s is there twice", member.Connection)
			}
			got[member.Connection] = shard
		}
	}
	if !maps.Equal(got, m.where) {
		rt.Fatalf("members are %v, want %v", got, m.where)
	}
	if page, err := m.Members(m.Context(), m.room, 0, "", 1); err != nil || page.Shards != m.shards {
		rt.Fatalf("got %d shards, %v, want %d", page.Shards, err, m.shards)
	}
}

// touchProperty counts what a connection may do in any stretch of time: the burst, and the rate.
func touchProperty(rt *rapid.T, f *fixture) {
	const (
		rate  = 100 * time.Millisecond
		ahead = 4 * rate // five at once
	)
	ctx, id := f.Context(), f.id("c")
	f.ok("open", f.Open(ctx, f.connection(id)))
	var passed []time.Time
	rt.Repeat(map[string]func(*rapid.T){
		"touch": func(rt *rapid.T) {
			t := hub.Touch{Now: f.now(), Cost: rate, Burst: ahead, Recent: rapid.Bool().Draw(rt, "recent")}
			_, err := f.Touch(ctx, id, t)
			if err == nil {
				passed = append(passed, f.now())
				return
			}
			refused, ok := errors.AsType[*protocol.Error](err)
			if !ok || refused.Code != protocol.CodeRateLimited || refused.RetryAfter <= 0 {
				rt.Fatal(err)
			}
			f.advance(refused.RetryAfter) // then it must pass
			t.Now = f.now()
			if _, err := f.Touch(ctx, id, t); err != nil {
				rt.Fatalf("after %v: %v", refused.RetryAfter, err)
			}
			passed = append(passed, f.now())
		},
		"time passes": func(rt *rapid.T) {
			f.advance(time.Duration(rapid.IntRange(1, 700).Draw(rt, "ms")) * time.Millisecond)
		},
		"": func(rt *rapid.T) {
			for i, from := range passed {
				n := sort.Search(len(passed), func(k int) bool { return passed[k].Sub(from) > time.Second }) - i
				if n > 5+10 {
					rt.Fatalf("%d passed within a second of %v", n, from)
				}
			}
		},
	})
}
