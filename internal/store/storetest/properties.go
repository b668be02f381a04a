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
		"a presence begins once and ends once": presenceProperty,
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
	got, appended, err := m.Append(m.Context(), m.room, e, keep)
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
	m.list = append(m.list, &logged{m.seq, got.ID, string(e.Data), m.now().Add(keep), m.now().Add(max(keep, idMemory))})
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
}

func (m *logModel) timePasses(rt *rapid.T) {
	m.advance(time.Duration(rapid.IntRange(1, 40).Draw(rt, "minutes")) * time.Minute)
}

func (m *logModel) check(rt *rapid.T) {
	var want, got []string
	for _, e := range m.list {
		shown := e.until.After(m.now())
		if shown {
			want = append(want, fmt.Sprint(e.seq, e.id, e.data))
		}
		// An id that was forgotten may lead to a later entry.
		if found, err := m.Find(m.Context(), m.room, e.id); shown && (err != nil || found.Seq < e.seq) || err == nil && !shown && found.Seq <= e.seq {
			rt.Fatalf("find %q: got %+v, %v, want seq %d until %v", e.id, found, err, e.seq, e.until)
		}
	}
	for _, e := range m.allEntries(m.room) {
		got = append(got, fmt.Sprint(e.Seq, e.ID, string(e.Data)))
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("the log is %v, want %v", got, want)
	}
	if head, err := m.Head(m.Context(), m.room); err != nil || head.Seq != m.seq {
		rt.Fatalf("the head is %+v, %v, want seq %d", head, err, m.seq)
	}
}

// hereModel is the presence of one user as a set.
type hereModel struct {
	*fixture
	room        string
	conns       map[string]bool // nil: there is no presence
	since, left time.Time
	status      string
	version     int
	ending      bool
}

func presenceProperty(rt *rapid.T, f *fixture) {
	m := &hereModel{fixture: f, room: f.room("presence")}
	rt.Repeat(map[string]func(*rapid.T){
		"arrive": m.arrive, "depart": m.depart, "status": m.setStatus, "begin the end": m.beginEnd, "end": m.end,
		"time passes": m.timePasses, "": m.check,
	})
}

func device(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"tab", "phone", "desk"}).Draw(rt, "device")
}

// expect holds an answer against the model: the error, if there must be one, or else the row.
func (m *hereModel) expect(rt *rapid.T, what string, got hub.Here, err, want error) {
	if want != nil {
		if !errors.Is(err, want) {
			rt.Fatalf("%s: got %+v, %v, want %v", what, got, err, want)
		}
		return
	}
	same := got.Version == m.version && got.Status == m.status && got.Ending == m.ending && len(got.Connections) == len(m.conns) &&
		got.Left.IsZero() == m.left.IsZero()
	if err != nil || !same {
		rt.Fatalf("%s: got %+v, %v, want %+v", what, got, err, m)
	}
}

func (m *hereModel) arrive(rt *rapid.T) {
	d := device(rt)
	got, err := m.Arrive(m.Context(), m.room, "ana", "Ana", d, m.now(), m.now().Add(100*time.Hour))
	if m.ending {
		m.expect(rt, "arrive", got, err, hub.ErrEnding)
		return
	}
	if m.conns == nil {
		m.conns, m.since, m.status, m.version = map[string]bool{}, m.now(), "online", 1
	}
	m.conns[d], m.left = true, time.Time{}
	m.expect(rt, "arrive", got, err, nil)
}

func (m *hereModel) depart(rt *rapid.T) {
	d := device(rt)
	got, err := m.Depart(m.Context(), m.room, "ana", d, m.now())
	if m.conns == nil {
		m.expect(rt, "depart", got, err, hub.ErrNotFound)
		return
	}
	if m.conns[d] {
		if delete(m.conns, d); len(m.conns) == 0 {
			m.left = m.now()
		}
	}
	m.expect(rt, "depart", got, err, nil)
}

func (m *hereModel) setStatus(rt *rapid.T) {
	status := rapid.SampledFrom([]string{"online", "away"}).Draw(rt, "status")
	got, err := m.SetStatus(m.Context(), m.room, "ana", status, nil)
	switch {
	case m.ending:
		m.expect(rt, "status", got, err, hub.ErrEnding)
		return
	case len(m.conns) == 0:
		m.expect(rt, "status", got, err, hub.ErrNotFound)
		return
	case m.status != status:
		m.status, m.version = status, m.version+1
	}
	m.expect(rt, "status", got, err, nil)
}

func (m *hereModel) beginEnd(rt *rapid.T) {
	got, err := m.BeginEnd(m.Context(), m.room, "ana", m.since, m.left)
	if m.conns == nil || len(m.conns) > 0 {
		m.expect(rt, "begin the end", got, err, hub.ErrNotFound)
		return
	}
	m.ending = true
	m.expect(rt, "begin the end", got, err, nil)
}

func (m *hereModel) end(rt *rapid.T) {
	if err := m.End(m.Context(), m.room, "ana", m.since); err != nil {
		rt.Fatal(err)
	}
	if m.ending {
		m.conns, m.left, m.ending = nil, time.Time{}, false
	}
}

func (m *hereModel) timePasses(rt *rapid.T) {
	m.advance(time.Duration(rapid.IntRange(1, 20_000).Draw(rt, "ms")) * time.Millisecond)
}

func (m *hereModel) check(rt *rapid.T) {
	got, err := m.Here(m.Context(), m.room, "ana")
	if m.conns == nil {
		m.expect(rt, "here", got, err, hub.ErrNotFound)
		return
	}
	m.expect(rt, "here", got, err, nil)
}

// memberModel is a room as the shard of each member.
type memberModel struct {
	*fixture
	room   string
	where  map[string]int
	shards int
}

func membersProperty(rt *rapid.T, f *fixture) {
	m := &memberModel{fixture: f, room: f.room("members"), where: map[string]int{}, shards: 1}
	rt.Repeat(map[string]func(*rapid.T){"add": m.add, "remove": m.remove, "grow": m.grow, "": m.check})
}

func someone(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"}).Draw(rt, "connection")
}

func (m *memberModel) add(rt *rapid.T) {
	c := someone(rt)
	shard, in := m.where[c]
	if !in {
		shard = rapid.IntRange(0, m.shards-1).Draw(rt, "shard")
	}
	if err := m.AddMember(m.Context(), m.room, hub.Member{Connection: c, User: "ana", Shard: shard, TTL: m.now().Add(time.Hour)}); err != nil {
		rt.Fatal(err)
	}
	m.where[c] = shard
}

func (m *memberModel) remove(rt *rapid.T) {
	c := someone(rt)
	if err := m.RemoveMember(m.Context(), m.room, m.where[c], c); err != nil {
		rt.Fatal(err)
	}
	delete(m.where, c)
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
