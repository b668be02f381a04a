package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

func presence() []promise {
	return []promise{
		{"the first arrival begins a presence", firstIn},
		{"a second device adds to it", secondDevice},
		{"arriving again changes nothing but how long the row lives", arrivingAgain},
		{"a departure of one of two leaves the other", oneOfTwoDeparts},
		{"the last departure sets Left, once", lastOut},
		{"departing what is not there", departingUnknown},
		{"who is back within the grace has never been away", backWithinTheGrace},
		{"SetStatus counts Version up when something changes", setStatusCounts},
		{"SetStatus needs a row with connections", setStatusNeedsConnections},
		{"statuses set at the same time each count", setStatusTogether},
		{"Announced only rises, and only for its presence", announcedRises},
		{"BeginEnd needs that nobody came since", beginEndConditions},
		{"a row that is Ending can only end", endingCanOnlyEnd},
		{"End deletes a row that is Ending, and no other", endDeletes},
		{"a lapsed row is like none", lapsedPresence},
		{"times are exact to the millisecond", timesAreExact},
		{"Present gives every row once, in order", presentPages},
		{"Present passes over lapsed rows and gives full pages", presentPassesOverLapsedRows},
		{"of arrivals at the same time one is the first", arriveTogether},
		{"of departures at the same time one is the last", departTogether},
		{"either the end begins or the user is back", endOrBack},
		{"rows that were given stay as they were", givenRowsStay},
	}
}

// arrived brings a connection of ana's into a room.
func (f *fixture) arrived(room, connection string) hub.Here {
	f.Helper()
	h, err := f.Arrive(f.Context(), room, "ana", "Ana", f.id(connection), f.now(), f.now().Add(3*time.Hour))
	f.ok("arrive", err)
	return h
}

func (f *fixture) departed(room, connection string) hub.Here {
	f.Helper()
	h, err := f.Depart(f.Context(), room, "ana", f.id(connection), f.now())
	f.ok("depart", err)
	return h
}

// here gives ana's row.
func (f *fixture) here(room string) hub.Here {
	f.Helper()
	h, err := f.Here(f.Context(), room, "ana")
	f.ok("here", err)
	return h
}

// sameHere compares a row that was given, and the row that is kept, with what they should be.
func (f *fixture) sameHere(what, room string, got, want hub.Here) {
	f.Helper()
	f.equal(what, utcHere(got), utcHere(want))
	f.equal(what+", read back", utcHere(f.here(room)), utcHere(want))
}

// utcHere gives a row in one form.
func utcHere(h hub.Here) hub.Here {
	h.Since, h.Left, h.TTL = utc(h.Since), utc(h.Left), utc(h.TTL)
	h.Connections = slices.Sorted(slices.Values(h.Connections))
	if len(h.Data) == 0 {
		h.Data = nil
	}
	return h
}

func firstIn(f *fixture) {
	room := f.room("r")
	_, err := f.Here(f.Context(), room, "ana")
	f.refused("here before", err, hub.ErrNotFound)
	want := hub.Here{
		User: "ana", Name: "Ana", Status: "online", Connections: []string{f.id("a")}, Since: f.now(), Version: 1, TTL: f.now().Add(3 * time.Hour),
	}
	f.sameHere("the row", room, f.arrived(room, "a"), want)
	_, err = f.Here(f.Context(), f.room("r2"), "ana")
	f.refused("here in another room", err, hub.ErrNotFound)
	_, err = f.Here(f.Context(), room, "an")
	f.refused("here of another user", err, hub.ErrNotFound)
}

func secondDevice(f *fixture) {
	room := f.room("r")
	want := f.arrived(room, "a")
	f.advance(time.Minute)
	want.TTL = f.now().Add(3 * time.Hour)
	want.Connections = []string{f.id("a"), f.id("b")}
	f.sameHere("the row", room, f.arrived(room, "b"), want)
}

func arrivingAgain(f *fixture) {
	room := f.room("r")
	want := f.arrived(room, "a")
	for range 2 {
		want.TTL = f.advance(time.Minute).Add(3 * time.Hour)
		f.sameHere("the row", room, f.arrived(room, "a"), want)
	}
}

func oneOfTwoDeparts(f *fixture) {
	room := f.room("r")
	f.arrived(room, "a")
	want := f.arrived(room, "b")
	want.Connections = []string{f.id("b")}
	for range 2 {
		f.advance(time.Second)
		f.sameHere("the row", room, f.departed(room, "a"), want)
	}
}

func lastOut(f *fixture) {
	room := f.room("r")
	f.arrived(room, "a")
	want := f.arrived(room, "b")
	f.departed(room, "b")
	want.Connections, want.Left = nil, f.advance(time.Minute)
	f.sameHere("the row", room, f.departed(room, "a"), want)
	f.advance(time.Second)
	f.sameHere("departed again", room, f.departed(room, "a"), want)
	f.sameHere("departed again by another", room, f.departed(room, "b"), want)
}

func departingUnknown(f *fixture) {
	room := f.room("r")
	_, err := f.Depart(f.Context(), room, "ana", f.id("a"), f.now())
	f.refused("depart without a row", err, hub.ErrNotFound)
	_, err = f.Here(f.Context(), room, "ana")
	f.refused("here after it", err, hub.ErrNotFound)
	want := f.arrived(room, "a")
	f.sameHere("the row", room, f.departed(room, "unknown"), want)
	_, err = f.Depart(f.Context(), room, "ben", f.id("a"), f.now())
	f.refused("depart of another user", err, hub.ErrNotFound)
	_, err = f.Depart(f.Context(), f.room("r2"), "ana", f.id("a"), f.now())
	f.refused("depart from another room", err, hub.ErrNotFound)
	f.sameHere("the row", room, f.here(room), want)
}

func backWithinTheGrace(f *fixture) {
	room := f.room("r")
	f.arrived(room, "a")
	want, err := f.SetStatus(f.Context(), room, "ana", "away", json.RawMessage(`{"until":5}`))
	f.ok("set status", err)
	f.ok("announced", f.Announced(f.Context(), room, "ana", want.Since, 2))
	for i := range 3 {
		f.advance(time.Minute)
		f.departed(room, fmt.Sprint("a", i))
		f.departed(room, "a")
		want.TTL = f.advance(5 * time.Second).Add(3 * time.Hour)
		want.Connections, want.Announced = []string{f.id("a")}, 2
		f.sameHere("the row", room, f.arrived(room, "a"), want)
	}
}

func setStatusCounts(f *fixture) {
	room := f.room("r")
	want := f.arrived(room, "a")
	for i, step := range []struct {
		status, data string
		changes      bool
	}{
		{"online", "", false},
		{"away", "", true},
		{"away", "", false},
		{"away", `{"mood":"😀"}`, true},
		{"away", `{"mood":"😀"}`, false},
		{"busy", `{"mood":"😀"}`, true},
		{"busy", `{"mood":"x"}`, true},
		{"busy", "", true},
		{"a status of thirty-two bytes, so!", `[1]`, true},
		{"online", "", true},
		{"online", "", false},
	} {
		want.Status, want.Data = step.status, nil
		if step.data != "" {
			want.Data = json.RawMessage(step.data)
		}
		if step.changes {
			want.Version++
		}
		f.advance(time.Second)
		got, err := f.SetStatus(f.Context(), room, "ana", step.status, want.Data)
		f.ok("set status", err)
		f.sameHere(fmt.Sprintf("step %d: %s %s", i, step.status, step.data), room, got, want)
	}
	want.TTL = f.now().Add(3 * time.Hour)
	want.Connections = []string{f.id("a"), f.id("b")}
	f.sameHere("after a second device", room, f.arrived(room, "b"), want)
}

func setStatusNeedsConnections(f *fixture) {
	room := f.room("r")
	_, err := f.SetStatus(f.Context(), room, "ana", "away", nil)
	f.refused("set status without a row", err, hub.ErrNotFound)
	_, err = f.Here(f.Context(), room, "ana")
	f.refused("here after it", err, hub.ErrNotFound)
	f.arrived(room, "a")
	want := f.departed(room, "a")
	for _, status := range []string{"away", "online"} {
		_, err = f.SetStatus(f.Context(), room, "ana", status, nil)
		f.refused("set status without connections", err, hub.ErrNotFound)
	}
	f.sameHere("the row", room, f.here(room), want)
}

func setStatusTogether(f *fixture) {
	room := f.room("r")
	f.arrived(room, "a")
	var versions [8]atomic.Int64
	together(len(versions), func(i int) {
		h, err := f.SetStatus(f.Context(), room, "ana", fmt.Sprint("status ", i), nil)
		if err != nil {
			f.Errorf("set status: %v", err)
			return
		}
		if h.Version < 2 || h.Version > 1+len(versions) {
			f.Errorf("got Version %d, want 2 to %d", h.Version, 1+len(versions))
			return
		}
		versions[h.Version-2].Add(1)
	})
	f.equal("Version in the end", f.here(room).Version, 1+len(versions))
	for i := range versions {
		f.equal(fmt.Sprint("changes that gave Version ", i+2), versions[i].Load(), int64(1))
	}
}

func announcedRises(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	f.ok("announced without a row", f.Announced(ctx, room, "ana", f.now(), 1))
	_, err := f.Here(ctx, room, "ana")
	f.refused("here after it", err, hub.ErrNotFound)
	want := f.arrived(room, "a")
	_, err = f.SetStatus(ctx, room, "ana", "away", nil)
	f.ok("set status", err)
	want.Status, want.Version = "away", 2
	for _, step := range []struct{ version, announced int }{{1, 1}, {1, 1}, {2, 2}, {1, 2}, {2, 2}} {
		f.ok("announced", f.Announced(ctx, room, "ana", time.UnixMilli(want.Since.UnixMilli()), step.version))
		want.Announced = step.announced
		f.sameHere(fmt.Sprint("the row after ", step.version), room, f.here(room), want)
	}
	for _, d := range []time.Duration{-time.Millisecond, time.Millisecond} {
		f.ok("announced of another presence", f.Announced(ctx, room, "ana", want.Since.Add(d), 9))
	}
	f.sameHere("the row", room, f.here(room), want)
}

func beginEndConditions(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	began := f.arrived(room, "a")
	f.advance(time.Minute)
	_, err := f.BeginEnd(ctx, room, "ana", began.Since, f.now())
	f.refused("with a connection", err, hub.ErrNotFound)
	first := f.departed(room, "a")
	f.advance(time.Second)
	f.arrived(room, "a")
	_, err = f.BeginEnd(ctx, room, "ana", began.Since, first.Left)
	f.refused("the user is back", err, hub.ErrNotFound)
	second := f.departed(room, "a")
	_, err = f.BeginEnd(ctx, room, "ana", began.Since, first.Left)
	f.refused("the user was back, and left later", err, hub.ErrNotFound)
	_, err = f.BeginEnd(ctx, room, "ana", began.Since, second.Left.Add(-time.Millisecond))
	f.refused("left a millisecond later", err, hub.ErrNotFound)
	for _, d := range []time.Duration{-time.Millisecond, time.Millisecond} {
		_, err = f.BeginEnd(ctx, room, "ana", began.Since.Add(d), second.Left)
		f.refused("another presence", err, hub.ErrNotFound)
	}
	_, err = f.BeginEnd(ctx, room, "ben", began.Since, second.Left)
	f.refused("another user", err, hub.ErrNotFound)
	_, err = f.BeginEnd(ctx, f.room("r2"), "ana", began.Since, second.Left)
	f.refused("another room", err, hub.ErrNotFound)
	f.sameHere("the row", room, f.here(room), second)

	second.Ending = true
	for range 2 {
		got, err := f.BeginEnd(ctx, room, "ana", began.Since, second.Left)
		f.ok("begin the end", err)
		f.sameHere("the row", room, got, second)
	}
	got, err := f.BeginEnd(ctx, room, "ana", began.Since, second.Left.Add(time.Hour))
	f.ok("begin the end with a later left", err)
	f.sameHere("the row", room, got, second)
}

// ending gives ana's row in a room, where it is Ending.
func (f *fixture) ending(room string) hub.Here {
	f.Helper()
	f.arrived(room, "a")
	f.advance(time.Second)
	h := f.departed(room, "a")
	h, err := f.BeginEnd(f.Context(), room, "ana", h.Since, h.Left)
	f.ok("begin the end", err)
	return h
}

func endingCanOnlyEnd(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	want := f.ending(room)
	f.equal("Ending", want.Ending, true)
	f.advance(time.Second)
	for _, connection := range []string{"a", "b"} {
		_, err := f.Arrive(ctx, room, "ana", "Ana", f.id(connection), f.now(), f.now().Add(5*time.Hour))
		f.refused("arrive", err, hub.ErrEnding)
	}
	for _, status := range []string{"away", "online"} {
		_, err := f.SetStatus(ctx, room, "ana", status, nil)
		f.refused("set status", err, hub.ErrEnding)
	}
	f.sameHere("the row that Depart gives", room, f.departed(room, "a"), want)
	present, err := f.Present(ctx, room, "", 10)
	f.ok("present", err)
	if len(present) != 1 || !present[0].Ending {
		f.Errorf("Present gives %+v, want the row that is Ending", present)
	}
}

func endDeletes(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	f.ok("end without a row", f.End(ctx, room, "ana", f.now()))
	want := f.arrived(room, "a")
	f.ok("end with a connection", f.End(ctx, room, "ana", want.Since))
	f.sameHere("the row", room, f.here(room), want)
	want = f.departed(room, "a")
	f.ok("end without BeginEnd", f.End(ctx, room, "ana", want.Since))
	f.sameHere("the row", room, f.here(room), want)

	want, err := f.BeginEnd(ctx, room, "ana", want.Since, want.Left)
	f.ok("begin the end", err)
	for _, d := range []time.Duration{-time.Millisecond, time.Millisecond} {
		f.ok("end of another presence", f.End(ctx, room, "ana", want.Since.Add(d)))
	}
	f.ok("end of another user", f.End(ctx, room, "ben", want.Since))
	f.sameHere("the row", room, f.here(room), want)
	for range 2 {
		f.ok("end", f.End(ctx, room, "ana", time.UnixMilli(want.Since.UnixMilli())))
		_, err = f.Here(ctx, room, "ana")
		f.refused("here after the end", err, hub.ErrNotFound)
	}
	_, err = f.BeginEnd(ctx, room, "ana", want.Since, want.Left)
	f.refused("begin the end again", err, hub.ErrNotFound)

	old := want.Since
	f.advance(time.Second)
	next := hub.Here{
		User: "ana", Name: "Ana", Status: "online", Connections: []string{f.id("b")}, Since: f.now(), Version: 1, TTL: f.now().Add(3 * time.Hour),
	}
	f.sameHere("the next presence", room, f.arrived(room, "b"), next)
	f.ok("a late end of the last", f.End(ctx, room, "ana", old))
	f.ok("a late announcement of the last", f.Announced(ctx, room, "ana", old, 9))
	f.sameHere("the next presence", room, f.here(room), next)
}

func lapsedPresence(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	old := f.arrived(room, "a")
	gone := f.ending(f.room("r2"))
	f.advance(3*time.Hour - 2*time.Second)
	f.here(room)
	f.advance(4 * time.Second)
	_, err := f.Here(ctx, room, "ana")
	f.refused("here", err, hub.ErrNotFound)
	_, err = f.Depart(ctx, room, "ana", f.id("a"), f.now())
	f.refused("depart", err, hub.ErrNotFound)
	_, err = f.SetStatus(ctx, room, "ana", "away", nil)
	f.refused("set status", err, hub.ErrNotFound)
	_, err = f.BeginEnd(ctx, f.room("r2"), "ana", gone.Since, gone.Left)
	f.refused("begin the end", err, hub.ErrNotFound)
	f.ok("end", f.End(ctx, room, "ana", old.Since))
	f.ok("announced", f.Announced(ctx, room, "ana", old.Since, 5))
	present, err := f.Present(ctx, room, "", 10)
	f.ok("present", err)
	f.equal("rows of Present", len(present), 0)

	for _, room := range []string{room, f.room("r2")} {
		want := hub.Here{
			User: "ana", Name: "Ana", Status: "online", Connections: []string{f.id("b")}, Since: f.now(), Version: 1, TTL: f.now().Add(3 * time.Hour),
		}
		f.sameHere("the row after it", room, f.arrived(room, "b"), want)
	}
}

func timesAreExact(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	now := f.advance(123*time.Millisecond + 456_789*time.Nanosecond)
	h := f.arrived(room, "a")
	f.sameTime("Since", h.Since, now)
	left := f.advance(100 * time.Millisecond)
	f.sameTime("Left", f.departed(room, "a").Left, left)
	since := time.UnixMilli(now.UnixMilli())
	f.ok("announced", f.Announced(ctx, room, "ana", since, 1))
	f.equal("Announced", f.here(room).Announced, 1)
	_, err := f.BeginEnd(ctx, room, "ana", since, time.UnixMilli(left.UnixMilli()))
	f.ok("begin the end", err)
	f.ok("end", f.End(ctx, room, "ana", since))
	_, err = f.Here(ctx, room, "ana")
	f.refused("here after the end", err, hub.ErrNotFound)
}

// allPresent gives the users of a room, by pages, and checks their order.
func (f *fixture) allPresent(room string, limit int) []string {
	f.Helper()
	var all []string
	for after := ""; ; {
		page, err := f.Present(f.Context(), room, after, limit)
		f.ok("present", err)
		if len(page) > limit {
			f.Fatalf("Present gives %d rows, more than %d", len(page), limit)
		}
		for _, h := range page {
			if h.User <= after {
				f.Fatalf("Present gives %q after %q", h.User, after)
			}
			after = h.User
			all = append(all, h.User)
		}
		if len(page) < limit {
			return all
		}
	}
}

func presentPages(f *fixture) {
	room := f.room("r")
	f.equal("users of an empty room", len(f.allPresent(room, 10)), 0)
	var want []string
	for i := range 8 {
		want = append(want, numbered("u", i))
	}
	for _, i := range []int{5, 2, 7, 0, 1, 6, 3, 4} {
		_, err := f.Arrive(f.Context(), room, want[i], fmt.Sprint(i), f.id(want[i]), f.now(), f.now().Add(time.Hour))
		f.ok("arrive", err)
	}
	// Those who left stay until their end.
	_, err := f.Depart(f.Context(), room, want[3], f.id(want[3]), f.now())
	f.ok("depart", err)
	for _, limit := range []int{1, 3, 4, 8, 9, 1000} {
		f.equal(fmt.Sprint("users, by ", limit), f.allPresent(room, limit), want)
	}
	page, err := f.Present(f.Context(), room, "u0025", 1)
	f.ok("present", err)
	if len(page) != 1 || page[0].User != "u003" || page[0].Name != "3" || len(page[0].Connections) != 0 || page[0].Left.IsZero() {
		f.Errorf("Present after an id that is not there gives %+v", page)
	}
}

func presentPassesOverLapsedRows(f *fixture) {
	room := f.room("r")
	for i := range 8 {
		ttl := f.now().Add(time.Minute)
		if i%4 == 3 {
			ttl = f.now().Add(time.Hour)
		}
		_, err := f.Arrive(f.Context(), room, numbered("u", i), "", f.id(numbered("u", i)), f.now(), ttl)
		f.ok("arrive", err)
	}
	f.advance(time.Minute + time.Second)
	// A page that lapsed rows made short would end the list early.
	for _, limit := range []int{1, 2, 3} {
		f.equal(fmt.Sprint("users, by ", limit), f.allPresent(room, limit), []string{"u003", "u007"})
	}
}

func arriveTogether(f *fixture) {
	room, now := f.room("r"), f.now()
	const n = 12
	var firsts, since atomic.Int64
	together(n, func(i int) {
		h, err := f.Arrive(f.Context(), room, "ana", "Ana", f.id(numbered("c", i)), now.Add(time.Duration(i)*time.Millisecond), now.Add(time.Hour))
		if err != nil {
			f.Errorf("arrive: %v", err)
			return
		}
		if len(h.Connections) == 1 {
			firsts.Add(1)
		}
		if at := h.Since.UnixMilli(); !since.CompareAndSwap(0, at) && since.Load() != at {
			f.Errorf("the presence began at %d and at %d", since.Load(), at)
		}
		if h.Version != 1 || !h.Left.IsZero() {
			f.Errorf("got %+v, want Version 1 and no Left", h)
		}
	})
	f.equal("arrivals that were the first", firsts.Load(), int64(1))
	f.equal("connections", len(f.here(room).Connections), n)
}

func departTogether(f *fixture) {
	room, now := f.room("r"), f.now()
	const n = 12
	for i := range n {
		f.arrived(room, numbered("c", i))
	}
	var lasts atomic.Int64
	together(n, func(i int) {
		h, err := f.Depart(f.Context(), room, "ana", f.id(numbered("c", i)), now)
		if err != nil {
			f.Errorf("depart: %v", err)
			return
		}
		if len(h.Connections) == 0 {
			lasts.Add(1)
			if h.Left.IsZero() {
				f.Error("the last departure gives no Left")
			}
		}
	})
	f.equal("departures that were the last", lasts.Load(), int64(1))
	f.sameTime("Left", f.here(room).Left, now)
}

func endOrBack(f *fixture) {
	for i := range 6 {
		room := f.room(fmt.Sprint("r", i))
		f.arrived(room, "a")
		gone := f.departed(room, "a")
		var backErr, endErr error
		together(2, func(who int) {
			if who == 0 {
				_, backErr = f.Arrive(f.Context(), room, "ana", "Ana", f.id("b"), f.now(), f.now().Add(time.Hour))
			} else {
				_, endErr = f.BeginEnd(f.Context(), room, "ana", gone.Since, gone.Left)
			}
		})
		back := backErr == nil && errors.Is(endErr, hub.ErrNotFound)
		ended := errors.Is(backErr, hub.ErrEnding) && endErr == nil
		h := f.here(room)
		if back == ended || h.Ending != ended || (len(h.Connections) == 1) != back {
			f.Errorf("Arrive gives error %v, BeginEnd %v, and the row is %+v", backErr, endErr, h)
		}
	}
}

func givenRowsStay(f *fixture) {
	room := f.room("r")
	data := json.RawMessage(`{"mood":1}`)
	f.arrived(room, "a")
	f.arrived(room, "b")
	given, err := f.SetStatus(f.Context(), room, "ana", "away", data)
	f.ok("set status", err)
	want := utcHere(given)
	copy(data, `{"mood":2}`)
	f.equal("data", string(f.here(room).Data), `{"mood":1}`)
	f.departed(room, "a")
	f.arrived(room, "c")
	_, err = f.SetStatus(f.Context(), room, "ana", "busy", nil)
	f.ok("set status", err)
	f.equal("the row that was given", utcHere(given), want)
}
