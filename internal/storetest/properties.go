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
				c := &clock{at: time.Now().Truncate(time.Second)}
				unique := fmt.Sprintf("p%d-%d-", time.Now().UnixNano(), run.Add(1))
				property(rt, &fixture{TB: t, Store: open(t, c.now), clock: c, unique: unique})
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

// logProperty is the log as a list.
func logProperty(rt *rapid.T, f *fixture) {
	ctx, room := f.Context(), f.room("log")
	var (
		list []*logged
		seq  int64
	)
	rt.Repeat(map[string]func(*rapid.T){
		"append": func(rt *rapid.T) {
			id := rapid.SampledFrom([]string{"", "", "a", "b", "c"}).Draw(rt, "id")
			keep := rapid.SampledFrom([]time.Duration{2 * time.Minute, time.Hour}).Draw(rt, "keep")
			var known *logged
			for _, e := range list {
				if id != "" && e.id == id && e.forget.After(f.now()) {
					known = e
				}
			}
			e := protocol.Event{Event: "e", ID: id, TS: f.now().UnixMilli(), Data: fmt.Appendf(nil, "%d", len(list))}
			got, appended, err := f.Append(ctx, room, e, keep)
			if err != nil {
				rt.Fatal(err)
			}
			if known != nil {
				if appended || got.Seq != known.seq || string(got.Data) != known.data {
					rt.Fatalf("%q again: got %+v, appended %v, want seq %d", id, got, appended, known.seq)
				}
				return
			}
			seq++
			if !appended || got.Seq != seq {
				rt.Fatalf("got %+v, appended %v, want seq %d", got, appended, seq)
			}
			list = append(list, &logged{seq, got.ID, string(e.Data), f.now().Add(keep), f.now().Add(max(keep, idMemory))})
		},
		"redact": func(rt *rapid.T) {
			if len(list) == 0 {
				return
			}
			e := rapid.SampledFrom(list).Draw(rt, "entry")
			if err := f.Redact(ctx, room, e.seq); err != nil {
				rt.Fatal(err)
			}
			e.data = "null"
		},
		"reset": func(rt *rapid.T) {
			if err := f.Reset(ctx, room); err != nil {
				rt.Fatal(err)
			}
		},
		"time passes": func(rt *rapid.T) {
			f.advance(time.Duration(rapid.IntRange(1, 40).Draw(rt, "minutes")) * time.Minute)
		},
		"": func(rt *rapid.T) {
			var want []string
			for _, e := range list {
				if e.until.After(f.now()) {
					want = append(want, fmt.Sprint(e.seq, e.id, e.data))
				}
				found, err := f.Find(ctx, room, e.id)
				if (err == nil && found.Seq == e.seq) != e.until.After(f.now()) && (err != nil || found.Seq < e.seq) {
					rt.Fatalf("find %q: got %+v, %v, want seq %d until %v", e.id, found, err, e.seq, e.until)
				}
			}
			var got []string
			for _, e := range f.allEntries(room) {
				got = append(got, fmt.Sprint(e.Seq, e.ID, string(e.Data)))
			}
			if !slices.Equal(got, want) {
				rt.Fatalf("the log is %v, want %v", got, want)
			}
			if head, err := f.Head(ctx, room); err != nil || head.Seq != seq {
				rt.Fatalf("the head is %+v, %v, want seq %d", head, err, seq)
			}
		},
	})
}

// presenceProperty is the presence of one user as a set.
func presenceProperty(rt *rapid.T, f *fixture) {
	ctx, room := f.Context(), f.room("presence")
	type model struct {
		conns           map[string]bool
		since, left     time.Time
		status          string
		version         int
		ending, present bool
	}
	var m model
	device := rapid.SampledFrom([]string{"tab", "phone", "desk"})
	rt.Repeat(map[string]func(*rapid.T){
		"arrive": func(rt *rapid.T) {
			d := device.Draw(rt, "device")
			got, err := f.Arrive(ctx, room, "ana", "Ana", d, f.now(), f.now().Add(100*time.Hour))
			if m.ending {
				if !errors.Is(err, hub.ErrEnding) {
					rt.Fatalf("arrive while it ends: %+v, %v", got, err)
				}
				return
			}
			if !m.present {
				m = model{conns: map[string]bool{}, since: f.now(), status: "online", version: 1, present: true}
			}
			m.conns[d], m.left = true, time.Time{}
			if err != nil || len(got.Connections) != len(m.conns) || got.Version != m.version || !got.Left.IsZero() {
				rt.Fatalf("arrive: %+v, %v, want %+v", got, err, m)
			}
		},
		"depart": func(rt *rapid.T) {
			d := device.Draw(rt, "device")
			got, err := f.Depart(ctx, room, "ana", d, f.now())
			if !m.present {
				if !errors.Is(err, hub.ErrNotFound) {
					rt.Fatalf("depart from nothing: %+v, %v", got, err)
				}
				return
			}
			if m.conns[d] {
				if delete(m.conns, d); len(m.conns) == 0 {
					m.left = f.now()
				}
			}
			if err != nil || len(got.Connections) != len(m.conns) || got.Left.UnixMilli() != m.left.UnixMilli() && !m.left.IsZero() {
				rt.Fatalf("depart: %+v, %v, want %+v", got, err, m)
			}
		},
		"status": func(rt *rapid.T) {
			status := rapid.SampledFrom([]string{"online", "away"}).Draw(rt, "status")
			got, err := f.SetStatus(ctx, room, "ana", status, nil)
			if m.ending {
				if !errors.Is(err, hub.ErrEnding) {
					rt.Fatalf("status while it ends: %+v, %v", got, err)
				}
				return
			}
			if len(m.conns) == 0 {
				if !errors.Is(err, hub.ErrNotFound) {
					rt.Fatalf("status of nobody: %+v, %v", got, err)
				}
				return
			}
			if m.status != status {
				m.status, m.version = status, m.version+1
			}
			if err != nil || got.Version != m.version || got.Status != m.status {
				rt.Fatalf("status: %+v, %v, want %+v", got, err, m)
			}
		},
		"begin the end": func(rt *rapid.T) {
			_, err := f.BeginEnd(ctx, room, "ana", m.since, m.left)
			if may := m.present && len(m.conns) == 0; may != (err == nil) {
				rt.Fatalf("begin the end: %v, with %+v", err, m)
			} else if may {
				m.ending = true
			}
		},
		"end": func(rt *rapid.T) {
			if err := f.End(ctx, room, "ana", m.since); err != nil {
				rt.Fatal(err)
			}
			if m.ending {
				m = model{}
			}
		},
		"time passes": func(rt *rapid.T) {
			f.advance(time.Duration(rapid.IntRange(1, 20_000).Draw(rt, "ms")) * time.Millisecond)
		},
		"": func(rt *rapid.T) {
			got, err := f.Here(ctx, room, "ana")
			if m.present != (err == nil) || m.present && (got.Ending != m.ending || got.Status != m.status || len(got.Connections) != len(m.conns)) {
				rt.Fatalf("here: %+v, %v, want %+v", got, err, m)
			}
		},
	})
}

// membersProperty is a room as a set for each shard.
func membersProperty(rt *rapid.T, f *fixture) {
	ctx, room := f.Context(), f.room("members")
	const most = 8
	model, shards := map[string]int{}, 1
	name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"})
	rt.Repeat(map[string]func(*rapid.T){
		"add": func(rt *rapid.T) {
			c := name.Draw(rt, "connection")
			shard, in := model[c]
			if !in {
				shard = rapid.IntRange(0, shards-1).Draw(rt, "shard")
			}
			if err := f.AddMember(ctx, room, hub.Member{Connection: c, User: "ana", Shard: shard, TTL: f.now().Add(time.Hour)}); err != nil {
				rt.Fatal(err)
			}
			model[c] = shard
		},
		"remove": func(rt *rapid.T) {
			c := name.Draw(rt, "connection")
			if err := f.RemoveMember(ctx, room, model[c], c); err != nil {
				rt.Fatal(err)
			}
			delete(model, c)
		},
		"grow": func(rt *rapid.T) {
			from := rapid.SampledFrom([]int{1, 2, 4}).Draw(rt, "from")
			if err := f.Grow(ctx, room, from); err != nil {
				rt.Fatal(err)
			}
			if from == shards && shards < most {
				shards *= 2
			}
		},
		"": func(rt *rapid.T) {
			limit := rapid.IntRange(1, 5).Draw(rt, "limit")
			got := map[string]int{}
			for shard := range shards {
				for _, m := range f.allMembers(room, shard, limit) {
					if _, twice := got[m.Connection]; twice {
						rt.Fatalf("%s is there twice", m.Connection)
					}
					got[m.Connection] = shard
				}
			}
			if !maps.Equal(got, model) {
				rt.Fatalf("members are %v, want %v", got, model)
			}
			if page, err := f.Members(ctx, room, 0, "", 1); err != nil || page.Shards != shards {
				rt.Fatalf("got %d shards, %v, want %d", page.Shards, err, shards)
			}
		},
	})
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
