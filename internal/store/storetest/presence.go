package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

func presence() []promise {
	return []promise{
		{"a row comes back as it was set", hereComesBack},
		{"a row that was changed since is not replaced", hereChangedSince},
		{"a row that only keeps marks is given, one without them is deleted", hereIsDeleted},
		{"a lapsed row is like none", lapsedHere},
		{"of rows that are set at the same time one is", setHereTogether},
		{"Present gives every row once, in order", presentPages},
		{"Present passes over lapsed rows and gives full pages", presentPassesOverLapsedRows},
		{"rows that were given stay as they were", givenRowsStay},
	}
}

// present is a row of a user who has just come, by a connection of that name.
func (f *fixture) present(user string) hub.Here {
	ends := f.now().Add(3 * time.Hour)
	return hub.Here{
		User: user, Name: "Ana", Status: "online", Since: f.now(), Version: 1, TTL: ends,
		Stays: map[string]hub.Stay{f.id(user): {Gen: f.now().UnixMilli(), Ends: ends}},
	}
}

// set puts a row in the place of another and checks it.
func (f *fixture) set(room string, was, now hub.Here) hub.Here {
	f.Helper()
	got, err := f.SetHere(f.Context(), room, was, now)
	f.ok("set here", err)
	f.sameHere("the row", room, got, now)
	if got.Rev == was.Rev || got.Rev != f.here(room, now.User).Rev {
		f.Errorf("the rev was %q, the answer says %q", was.Rev, got.Rev)
	}
	return got
}

func (f *fixture) here(room, user string) hub.Here {
	f.Helper()
	h, err := f.Here(f.Context(), room, user)
	f.ok("here", err)
	return h
}

// sameHere compares a row that was given, and the row that is kept, with what they should be.
func (f *fixture) sameHere(what, room string, got, want hub.Here) {
	f.Helper()
	f.equal(what, utcHere(got), utcHere(want))
	f.equal(what+", read back", utcHere(f.here(room, want.User)), utcHere(want))
}

// utcHere gives a row in one form.
func utcHere(h hub.Here) hub.Here {
	h.Since, h.Left, h.Overdue, h.TTL, h.Rev = utc(h.Since), utc(h.Left), utc(h.Overdue), utc(h.TTL), ""
	h.Stays = maps.Clone(h.Stays)
	for id, stay := range h.Stays {
		stay.Ends = utc(stay.Ends)
		h.Stays[id] = stay
	}
	if len(h.Stays) == 0 {
		h.Stays = nil
	}
	if len(h.Data) == 0 {
		h.Data = nil
	}
	return h
}

func hereComesBack(f *fixture) {
	room := f.room("r")
	_, err := f.Here(f.Context(), room, "ana")
	f.refused("here before", err, hub.ErrNotFound)
	h := f.set(room, hub.Here{}, f.present("ana"))
	_, err = f.Here(f.Context(), f.room("r2"), "ana")
	f.refused("here in another room", err, hub.ErrNotFound)
	_, err = f.Here(f.Context(), room, "an")
	f.refused("here of another user", err, hub.ErrNotFound)

	f.advance(123 * time.Millisecond)
	now := h
	now.Stays = map[string]hub.Stay{
		f.id("b"): {Gen: 7, Ends: f.now().Add(time.Hour).Truncate(time.Second)}, f.id("c"): {Gen: 8, Gone: true, Ends: f.now().Add(time.Minute).Truncate(time.Second)},
	}
	now.Status, now.Data, now.Version, now.Announced, now.Name = "away ü", json.RawMessage(`{"mood":"<1>"}`), 3, 2, `Ana "ü"`
	h = f.set(room, h, now)
	f.equal("connections", h.Connections(), []string{f.id("b")})
	now.Stays, now.Left, now.Ending, now.Data, now.Rev = nil, f.now(), true, nil, ""
	h = f.set(room, h, now)
	now.Left, now.Ending, now.Overdue = time.Time{}, false, f.now()
	f.set(room, h, now)
}

func hereChangedSince(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	first := f.set(room, hub.Here{}, f.present("ana"))
	_, err := f.SetHere(ctx, room, hub.Here{}, f.present("ana"))
	f.refused("a row where there is one", err, hub.ErrChanged)
	away := first
	away.Status, away.Version = "away", 2
	second := f.set(room, first, away)
	busy := first
	busy.Status, busy.Version = "busy", 2
	_, err = f.SetHere(ctx, room, first, busy)
	f.refused("a row in the place of one that is not there any more", err, hub.ErrChanged)
	_, err = f.SetHere(ctx, room, first, hub.Here{User: "ana"})
	f.refused("deleting a row that is not there any more", err, hub.ErrChanged)
	f.sameHere("the row", room, second, away)
	_, err = f.SetHere(ctx, f.room("r2"), first, busy)
	f.refused("a row in the place of none", err, hub.ErrChanged)
}

func hereIsDeleted(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	h := f.set(room, hub.Here{}, f.present("ana"))
	marks := hub.Here{User: "ana", TTL: f.now().Add(time.Minute), Stays: map[string]hub.Stay{"a": {Gen: 1, Gone: true, Ends: f.now().Add(time.Minute)}}}
	h = f.set(room, h, marks)
	f.equal("since", h.Since.IsZero(), true)
	if _, err := f.SetHere(ctx, room, h, hub.Here{User: "ana"}); err != nil {
		f.Errorf("delete: %v", err)
	}
	_, err := f.Here(ctx, room, "ana")
	f.refused("here after it", err, hub.ErrNotFound)
	f.set(room, hub.Here{}, f.present("ana"))
}

func lapsedHere(f *fixture) {
	room, ctx := f.room("r"), f.Context()
	soon := f.present("ana")
	soon.TTL = f.now().Add(time.Minute)
	h := f.set(room, hub.Here{}, soon)
	f.advance(time.Minute + time.Second)
	_, err := f.Here(ctx, room, "ana")
	f.refused("here", err, hub.ErrNotFound)
	again := f.present("ana")
	again.Status = "away"
	f.set(room, hub.Here{}, again)
	_, err = f.SetHere(ctx, room, h, soon)
	f.refused("a row in the place of the lapsed one", err, hub.ErrChanged)
}

func setHereTogether(f *fixture) {
	room := f.room("r")
	was := hub.Here{}
	for round := range 3 {
		var done atomic.Int64
		together(8, func(i int) {
			now := f.present("ana")
			now.Status = fmt.Sprint(round, i)
			_, err := f.SetHere(f.Context(), room, was, now)
			if err == nil {
				done.Add(1)
			} else if !errors.Is(err, hub.ErrChanged) {
				f.Errorf("set here: %v", err)
			}
		})
		f.equal("rows that were set", done.Load(), int64(1))
		was = f.here(room, "ana")
	}
}

// allPresent gives the users of a room, by pages.
func (f *fixture) allPresent(room string, limit int) (users []string) {
	f.Helper()
	for after := ""; ; {
		page, err := f.Present(f.Context(), room, after, limit)
		f.ok("present", err)
		if len(page) > limit {
			f.Fatalf("Present gives %d, more than %d", len(page), limit)
		}
		for _, h := range page {
			if h.User <= after {
				f.Fatalf("Present gives %q after %q", h.User, after)
			}
			after = h.User
			users = append(users, h.User)
		}
		if len(page) < limit {
			return users
		}
	}
}

func presentPages(f *fixture) {
	room := f.room("r")
	f.equal("users of an empty room", len(f.allPresent(room, 10)), 0)
	var want []string
	for i := range 7 {
		want = append(want, numbered("user", i))
	}
	for _, i := range []int{3, 0, 6, 4, 1, 5, 2} {
		f.set(room, hub.Here{}, f.present(want[i]))
	}
	f.set(f.room("r2"), hub.Here{}, f.present("elsewhere"))
	for _, limit := range []int{1, 3, 7, 100} {
		f.equal(fmt.Sprint("users, by ", limit), f.allPresent(room, limit), want)
	}
	page, err := f.Present(f.Context(), room, want[2]+"x", 1)
	f.ok("present", err)
	if len(page) != 1 {
		f.Fatalf("got %d rows, want 1", len(page))
	}
	f.sameHere("a row of a page", room, page[0], f.present(want[3]))
}

func presentPassesOverLapsedRows(f *fixture) {
	room := f.room("r")
	var want []string
	for i := range 8 {
		h := f.present(numbered("user", i))
		if i%4 == 0 {
			want = append(want, h.User)
		} else {
			h.TTL = f.now().Add(time.Minute)
		}
		f.set(room, hub.Here{}, h)
	}
	f.advance(time.Minute + time.Second)
	for _, limit := range []int{1, 2, 3} {
		f.equal(fmt.Sprint("users, by ", limit), f.allPresent(room, limit), want)
	}
}

func givenRowsStay(f *fixture) {
	room := f.room("r")
	now := f.present("ana")
	now.Data = json.RawMessage(`{"mood":1}`)
	given := f.set(room, hub.Here{}, now)
	want := utcHere(given)
	copy(now.Data, `{"mood":2}`)
	now.Stays["x"] = hub.Stay{}
	f.equal("data", string(f.here(room, "ana").Data), `{"mood":1}`)
	f.equal("stays", len(f.here(room, "ana").Stays), 1)
	next := f.present("ana")
	next.Status = "away"
	f.set(room, given, next)
	f.equal("the row that was given", utcHere(given), want)
}
