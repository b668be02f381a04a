package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

func logs() []promise {
	return []promise{
		{"Append counts seq up by one and gives the entry", appendCounts},
		{"an entry comes back as it was written", entryComesBack},
		{"an entry without an id gets one of its epoch and seq", generatedID},
		{"the same id again gives the first entry and writes nothing", sameIDAgain},
		{"an id is remembered for 10 minutes when the keep is shorter", idOutlivesEntry},
		{"an id is remembered for the keep when that is longer", idLivesAsLongAsEntry},
		{"of appends with one id at the same time one is written", oneIDTogether},
		{"appends at the same time all get their own seq", appendTogether},
		{"From gives up to limit entries, ascending", fromAscends},
		{"Before gives up to limit entries, descending", beforeDescends},
		{"From and Before give about 96 KB, but never nothing", pagesAreBounded},
		{"data of 100 KB is kept", largeData},
		{"entries older than their keep are left out, seq goes on", entriesLapse},
		{"each entry has a keep of its own", keepIsPerEntry},
		{"Find knows neither other ids nor other rooms", findUnknown},
		{"Head begins one epoch", headBeginsOneEpoch},
		{"what is pending is begun by the first count that holds, and seen by all later ones", pendingBegins},
		{"Pend changes only what is still so, and only while nothing newer was counted", pendChanges},
		{"Reset leaves nothing pending", pendingIsReset},
		{"a room whose counter has lapsed begins anew, with nothing pending and no id remembered", roomBeginsAnew},
		{"Reset begins a new epoch, seq goes on", resetBeginsAnEpoch},
		{"entries of the old epoch stay after Reset, and their keys are forgotten", resetKeepsEntries},
		{"Reset works in a room without a log", resetOfNothing},
		{"each entry is on its epoch's side of Base, whatever happens at the same time", resetWhileAppending},
		{"Void fills a hole", voidFillsAHole},
		{"a hole that was filled lapses like an entry", voidLapses},
		{"Void of an entry does nothing", voidOfAnEntry},
		{"an append and a Void never get the same seq", voidWhileAppending},
		{"Redact replaces the data by null, and nothing else", redactReplacesData},
		{"Redact of a missing entry is no error and makes none", redactMissing},
		{"what the caller does to an event it appended changes nothing", appendedEventIsACopy},
	}
}

// event is a good one.
func (f *fixture) event(id, data string) protocol.Event {
	e := protocol.Event{Event: "message:new", ID: id, TS: f.now().UnixMilli(), From: &protocol.From{UserID: "ana", Name: "Ana"}}
	if data != "" {
		e.Data = json.RawMessage(data)
	}
	return e
}

// draft is an event of a program's, which is logged once if it has an id.
func (f *fixture) draft(e protocol.Event, keep time.Duration) hub.Draft {
	d := hub.Draft{Event: e, Sum: "sum", Keep: keep}
	if e.ID != "" {
		d.Key = f.named(e.ID).Key
	}
	return d
}

// named is a draft to find that of a program with an id.
func (f *fixture) named(id string) hub.Draft {
	return hub.Draft{Key: hub.Key{Maker: hub.MakerProgram, ID: id}}
}

// shown gives the one entry that is shown with an id.
func (f *fixture) shown(room, id string) (hub.Entry, error) {
	list, err := f.Named(f.Context(), room, id, 10)
	switch {
	case err != nil:
		return hub.Entry{}, err
	case len(list) == 0:
		return hub.Entry{}, hub.ErrNotFound
	case len(list) > 1:
		return hub.Entry{}, fmt.Errorf("%d entries have the id %s", len(list), id)
	}
	return list[0], nil
}

// appended writes an entry that must be new.
func (f *fixture) appended(room string, e protocol.Event, keep time.Duration) hub.Entry {
	f.Helper()
	entry, appended, err := f.Append(f.Context(), room, f.draft(e, keep))
	f.ok("append", err)
	if !appended {
		f.Fatalf("append of %q to %s: it was there: %+v", e.ID, room, entry)
	}
	return entry
}

func (f *fixture) head(room string) hub.Head {
	f.Helper()
	h, err := f.Head(f.Context(), room, time.Time{})
	f.ok("head", err)
	return h
}

// allEntries gives the whole log of a room, by From, and checks its order.
func (f *fixture) allEntries(room string) []hub.Entry {
	f.Helper()
	var all []hub.Entry
	for first := int64(0); ; {
		page, err := f.From(f.Context(), room, first, 100)
		f.ok("from", err)
		if len(page) == 0 {
			return all
		}
		for _, e := range page {
			if e.Seq < first {
				f.Fatalf("From(%d) gives %d after that", first, e.Seq)
			}
			first = e.Seq + 1
		}
		all = append(all, page...)
	}
}

// allBefore gives the whole log of a room backwards, by Before, and checks its order.
func (f *fixture) allBefore(room string) []hub.Entry {
	f.Helper()
	var all []hub.Entry
	for before := int64(math.MaxInt32); ; {
		page, err := f.Before(f.Context(), room, before, 100)
		f.ok("before", err)
		if len(page) == 0 {
			return all
		}
		for _, e := range page {
			if e.Seq >= before {
				f.Fatalf("Before(%d) gives %d after that", before, e.Seq)
			}
			before = e.Seq
		}
		all = append(all, page...)
	}
}

func seqs(all []hub.Entry) []int64 {
	got := make([]int64, 0, len(all))
	for _, e := range all {
		got = append(got, e.Seq)
	}
	return got
}

// sameEntry compares two entries; the pointer of From is followed.
func (f *fixture) sameEntry(what string, got, want hub.Entry) {
	f.Helper()
	plain := func(e hub.Entry) string {
		var from protocol.From
		if e.From != nil {
			from = *e.From
		}
		return fmt.Sprintf("%q %q seq %d id %q ts %d epoch %q from %t %q data %s void %t except %q",
			e.Room, e.Event.Event, e.Seq, e.ID, e.TS, e.Epoch, e.From != nil, from, e.Data, e.Void, e.Except)
	}
	f.equal(what, plain(got), plain(want))
}

func appendCounts(f *fixture) {
	room := f.room("r")
	head := f.head(room)
	for i := range int64(4) {
		e := f.event("", `{"n":1}`)
		if i%2 == 0 {
			e.ID = f.id(fmt.Sprint("e", i))
		}
		entry := f.appended(room, e, time.Hour)
		want := hub.Entry{Event: e, Epoch: head.Epoch}
		want.Room, want.Seq = room, head.Seq+1+i
		if i%2 != 0 {
			want.ID = entry.ID
		}
		f.sameEntry("the entry", entry, want)
		got := f.head(room)
		f.equal("the newest seq", got.Seq, entry.Seq)
		f.equal("the epoch", got.Epoch, head.Epoch)
		f.equal("the base", got.Base, head.Base)
	}
	f.equal("seqs", seqs(f.allEntries(room)), []int64{head.Seq + 1, head.Seq + 2, head.Seq + 3, head.Seq + 4})
	f.equal("entries of another room", len(f.allEntries(f.room("r2"))), 0)
	other := f.appended(f.room("r2"), f.event("", ""), time.Hour)
	f.equal("the first seq of another room", other.Seq, head.Seq+1)
}

func entryComesBack(f *fixture) {
	room := f.room("r")
	for i, e := range []protocol.Event{
		f.event(f.id("e"), `{"content":"hi <b>&\"ü\" 日本語 👋","n":[1,2.5,null,true]}`),
		{Event: "goal:done", ID: f.id("bare"), TS: f.now().UnixMilli() - 12_345},
		{Event: "x", TS: f.now().UnixMilli() + 7, From: &protocol.From{UserID: "auth0|ab:c"}, Data: json.RawMessage(`null`)},
		{Event: "y", TS: 1, Data: json.RawMessage(`"text"`)},
		{Event: "z", TS: 1, Data: json.RawMessage(`[]`)},
	} {
		draft := f.draft(e, time.Hour)
		draft.Except = []string{"L0SM9cOFvHcCIhw=", "bob", "channel:2"}[:i%4]
		entry, _, err := f.Append(f.Context(), room, draft)
		f.ok("append", err)
		want := hub.Entry{Event: e, Epoch: entry.Epoch, Except: draft.Except}
		want.Room, want.Seq = room, entry.Seq
		if e.ID == "" {
			want.ID = entry.ID
		}
		what := fmt.Sprint("entry ", i)
		f.sameEntry(what+", given", entry, want)
		found, err := f.shown(room, entry.ID)
		f.ok("find", err)
		f.sameEntry(what+", found", found, want)
		from, err := f.From(f.Context(), room, entry.Seq, 10)
		f.ok("from", err)
		before, err := f.Before(f.Context(), room, entry.Seq+1, 1)
		f.ok("before", err)
		if len(from) != 1 || len(before) != 1 {
			f.Fatalf("From gives %d entries, Before %d, want one", len(from), len(before))
		}
		f.sameEntry(what+", of From", from[0], want)
		f.sameEntry(what+", of Before", before[0], want)
	}
}

func generatedID(f *fixture) {
	room := f.room("r")
	var made []hub.Entry
	for range 3 {
		made = append(made, f.appended(room, f.event("", `{}`), time.Hour))
	}
	for _, want := range made {
		f.equal("id", want.ID, protocol.GeneratedID(want.Epoch, want.Seq))
		if protocol.CheckNewID(want.ID) == nil {
			f.Errorf("a client may take the id %s", want.ID)
		}
		got, err := f.shown(room, want.ID)
		f.ok("find", err)
		f.sameEntry("the entry", got, want)
	}
	named := f.appended(room, f.event(f.id("named"), `{}`), time.Hour)
	for _, id := range []string{
		fmt.Sprintf("%s:%d", named.Epoch, named.Seq), // has another id
		fmt.Sprintf("%s:%d", named.Epoch, named.Seq+1),
		fmt.Sprintf("%s:%d", named.Epoch, 0),
		fmt.Sprintf("%s:%d", named.Epoch, -1),
		fmt.Sprintf("%s:0%d", made[0].Epoch, made[0].Seq),
		fmt.Sprintf("%s:+%d", made[0].Epoch, made[0].Seq),
		fmt.Sprintf("other:%d", made[0].Seq),
		fmt.Sprintf(":%d", made[0].Seq),
		made[0].Epoch, made[0].Epoch + ":", "1", ":",
		made[0].Epoch + ":99999999999999999999999",
	} {
		_, err := f.shown(room, id)
		f.refused("find "+id, err, hub.ErrNotFound)
	}
	_, err := f.shown(f.room("r2"), made[0].ID)
	f.refused("find in another room", err, hub.ErrNotFound)
}

// checkAgain appends an event whose id is there already.
func (f *fixture) checkAgain(room, id string, want hub.Entry) {
	f.Helper()
	entry, appended, err := f.Append(f.Context(), room, f.draft(protocol.Event{Event: "other", ID: id, TS: 1, Data: json.RawMessage(`{"again":1}`)}, time.Hour))
	f.ok("append again", err)
	f.equal("appended", appended, false)
	f.sameEntry("the entry given again", entry, want)
}

func sameIDAgain(f *fixture) {
	room, id := f.room("r"), f.id("e")
	f.appended(room, f.event("", `0`), time.Hour)
	first := f.appended(room, f.event(id, `{"n":1}`), time.Hour)
	f.checkAgain(room, id, first)
	last := f.appended(room, f.event(id+"2", `{"n":2}`), time.Hour)
	f.advance(time.Minute)
	f.checkAgain(room, id, first)
	if got := len(f.allEntries(room)); got != 3 {
		f.Errorf("the log has %d entries, want 3", got)
	}
	if last.Seq <= first.Seq {
		f.Errorf("seq %d comes after %d", last.Seq, first.Seq)
	}
	// In another room the id means another event.
	other := f.appended(f.room("r2"), f.event(id, `{"n":3}`), time.Hour)
	f.checkAgain(f.room("r2"), id, other)
}

func idOutlivesEntry(f *fixture) {
	room, id := f.room("r"), f.id("e")
	first := f.appended(room, f.event(id, `{"n":1}`), time.Minute)
	f.advance(time.Minute - time.Second)
	f.equal("entries just before", len(f.allEntries(room)), 1)
	f.advance(2 * time.Second)
	f.equal("entries after the keep", len(f.allEntries(room)), 0)
	_, err := f.Find(f.Context(), room, f.named(id))
	f.refused("find after the keep", err, hub.ErrNotFound)
	f.checkAgain(room, id, first)
	f.advance(hub.IDMemory - time.Minute - 2*time.Second)
	f.checkAgain(room, id, first)
	f.equal("entries", len(f.allEntries(room)), 0)

	f.advance(2 * time.Second)
	second := f.appended(room, f.event(id, `{"n":2}`), time.Minute)
	if second.Seq <= first.Seq {
		f.Errorf("seq %d comes after %d", second.Seq, first.Seq)
	}
	found, err := f.Find(f.Context(), room, f.named(id))
	f.ok("find", err)
	f.sameEntry("the second entry of this id", found, second)
	f.checkAgain(room, id, second)
}

func idLivesAsLongAsEntry(f *fixture) {
	room, id := f.room("r"), f.id("e")
	first := f.appended(room, f.event(id, `{"n":1}`), 3*time.Hour)
	f.advance(3*time.Hour - time.Second)
	f.checkAgain(room, id, first)
	f.equal("entries", len(f.allEntries(room)), 1)
	f.advance(2 * time.Second)
	second := f.appended(room, f.event(id, `{"n":2}`), 3*time.Hour)
	f.equal("seqs", seqs(f.allEntries(room)), []int64{second.Seq})
}

func oneIDTogether(f *fixture) {
	room, id := f.room("r"), f.id("e")
	var written atomic.Int64
	entries := make([]hub.Entry, 8)
	together(len(entries), func(i int) {
		entry, appended, err := f.Append(f.Context(), room, f.draft(f.event(id, fmt.Sprint(i)), time.Hour))
		if err != nil {
			f.Errorf("append: %v", err)
		}
		if appended {
			written.Add(1)
		}
		entries[i] = entry
	})
	f.equal("appends that wrote", written.Load(), int64(1))
	all := f.allEntries(room)
	if len(all) != 1 {
		f.Fatalf("the log has %d entries, want 1", len(all))
	}
	for _, e := range entries {
		f.sameEntry("the entry given", e, all[0])
	}
}

func appendTogether(f *fixture) {
	room := f.room("r")
	var mu sync.Mutex
	var got []int64
	together(16, func(i int) {
		e := f.event("", `{}`)
		if i%2 == 0 {
			e.ID = f.id(fmt.Sprint("e", i))
		}
		entry, appended, err := f.Append(f.Context(), room, f.draft(e, time.Hour))
		if err != nil || !appended {
			f.Errorf("append: appended %t, error %v", appended, err)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, entry.Seq)
	})
	slices.Sort(got)
	f.equal("seqs that are different", len(slices.Compact(slices.Clone(got))), 16)
	f.equal("seqs in the log", seqs(f.allEntries(room)), got)
	if head := f.head(room); head.Seq < got[15] {
		f.Errorf("the newest seq is %d, the log has %d", head.Seq, got[15])
	}
}

func fromAscends(f *fixture) {
	room := f.room("r")
	var want []int64
	for range 9 {
		want = append(want, f.appended(room, f.event("", `{}`), time.Hour).Seq)
	}
	f.equal("all", seqs(f.allEntries(room)), want)
	for _, limit := range []int{1, 4, 9} {
		page, err := f.From(f.Context(), room, want[0], limit)
		f.ok("from", err)
		if len(page) == 0 || len(page) > limit {
			f.Fatalf("From with limit %d gives %d entries", limit, len(page))
		}
		f.equal(fmt.Sprint("the first ", limit), seqs(page), want[:len(page)])
	}
	page, err := f.From(f.Context(), room, want[6], 100)
	f.ok("from", err)
	f.equal("first of the last three", page[0].Seq, want[6])
	page, err = f.From(f.Context(), room, want[8]+1, 100)
	f.ok("from", err)
	f.equal("entries behind the end", len(page), 0)
	page, err = f.From(f.Context(), f.room("r2"), 0, 100)
	f.ok("from", err)
	f.equal("entries of a room without a log", len(page), 0)
}

func beforeDescends(f *fixture) {
	room := f.room("r")
	var want []int64
	for range 9 {
		want = append(want, f.appended(room, f.event("", `{}`), time.Hour).Seq)
	}
	slices.Reverse(want)
	f.equal("all", seqs(f.allBefore(room)), want)
	for _, limit := range []int{1, 4, 9} {
		page, err := f.Before(f.Context(), room, want[0]+1, limit)
		f.ok("before", err)
		if len(page) == 0 || len(page) > limit {
			f.Fatalf("Before with limit %d gives %d entries", limit, len(page))
		}
		f.equal(fmt.Sprint("the newest ", limit), seqs(page), want[:len(page)])
	}
	page, err := f.Before(f.Context(), room, want[6], 1)
	f.ok("before", err)
	f.equal("the one below", seqs(page), want[7:8])
	page, err = f.Before(f.Context(), room, want[8], 100)
	f.ok("before", err)
	f.equal("entries below the first", len(page), 0)
}

func pagesAreBounded(f *fixture) {
	const about = 100 << 10
	room := f.room("r")
	for _, kb := range []int{30, 30, 30, 30, 100, 100, 1, 60, 60, 1} {
		f.appended(room, f.event("", `"`+strings.Repeat("x", kb<<10)+`"`), time.Hour)
	}
	check := func(what string, page []hub.Entry, err error) {
		f.Helper()
		f.ok(what, err)
		size := 0
		for _, e := range page {
			size += len(e.Data)
		}
		if len(page) == 0 || len(page) > 1 && size > about {
			f.Errorf("%s gives %d entries of %d bytes", what, len(page), size)
		}
	}
	head := f.head(room)
	for seq := head.Seq - 9; seq <= head.Seq; seq++ {
		page, err := f.From(f.Context(), room, seq, 100)
		check(fmt.Sprint("From ", seq), page, err)
		page, err = f.Before(f.Context(), room, seq+1, 100)
		check(fmt.Sprint("Before ", seq+1), page, err)
	}
	f.equal("entries by From", len(f.allEntries(room)), 10)
	f.equal("entries by Before", len(f.allBefore(room)), 10)
}

func largeData(f *fixture) {
	room, id := f.room("r"), f.id("e")
	data := `{"content":"` + strings.Repeat("日本語 text \\n", 100<<10/17) + `"}`
	want := f.appended(room, f.event(id, data), time.Hour)
	f.equal("bytes given", len(want.Data), len(data))
	found, err := f.Find(f.Context(), room, f.named(id))
	f.ok("find", err)
	again, appended, err := f.Append(f.Context(), room, f.draft(f.event(id, data), time.Hour))
	f.ok("append again", err)
	f.equal("appended", appended, false)
	for what, e := range map[string]hub.Entry{"found": found, "given again": again, "in the log": f.allEntries(room)[0]} {
		if string(e.Data) != data {
			f.Errorf("the data %s is not what was appended: %d bytes, want %d", what, len(e.Data), len(data))
		}
	}
}

func entriesLapse(f *fixture) {
	room := f.room("r")
	old := f.appended(room, f.event(f.id("old"), `{}`), time.Hour)
	unnamed := f.appended(room, f.event("", `{}`), time.Hour)
	f.advance(30 * time.Minute)
	young := f.appended(room, f.event("", `{}`), time.Hour)
	f.advance(30*time.Minute - time.Second)
	f.equal("entries just before", len(f.allEntries(room)), 3)
	f.advance(2 * time.Second)
	f.equal("seqs of From", seqs(f.allEntries(room)), []int64{young.Seq})
	f.equal("seqs of Before", seqs(f.allBefore(room)), []int64{young.Seq})
	page, err := f.From(f.Context(), room, old.Seq, 1)
	f.ok("from", err)
	f.equal("one entry, past those that lapsed", seqs(page), []int64{young.Seq})
	for _, id := range []string{old.ID, unnamed.ID} {
		_, err = f.shown(room, id)
		f.refused("find "+id, err, hub.ErrNotFound)
	}
	f.ok("redact", f.Redact(f.Context(), room, old.Seq))
	f.advance(time.Hour)
	f.equal("entries in the end", len(f.allEntries(room))+len(f.allBefore(room)), 0)
	head := f.head(room)
	f.equal("the newest seq", head.Seq, young.Seq)
	f.equal("the epoch", head.Epoch, old.Epoch)
	f.equal("the seq that follows", f.appended(room, f.event("", ""), time.Hour).Seq, young.Seq+1)
}

func keepIsPerEntry(f *fixture) {
	room := f.room("r")
	var want []int64
	for i := range 6 {
		keep := time.Hour
		if i%3 != 0 {
			keep = 15 * time.Minute
		}
		if e := f.appended(room, f.event("", `{}`), keep); i%3 == 0 {
			want = append(want, e.Seq)
		}
	}
	f.advance(16 * time.Minute)
	f.equal("seqs", seqs(f.allEntries(room)), want)
	page, err := f.From(f.Context(), room, want[0], 2)
	f.ok("from", err)
	f.equal("two entries, past those that lapsed", seqs(page), want)
	page, err = f.Before(f.Context(), room, want[1], 1)
	f.ok("before", err)
	f.equal("one entry, past those that lapsed", seqs(page), want[:1])
}

func findUnknown(f *fixture) {
	room := f.room("r")
	_, err := f.Find(f.Context(), room, f.named(f.id("e")))
	f.refused("find in a room without a log", err, hub.ErrNotFound)
	f.appended(room, f.event(f.id("e"), ""), time.Hour)
	_, err = f.Find(f.Context(), room, f.named(f.id("e2")))
	f.refused("find of another id", err, hub.ErrNotFound)
	_, err = f.Find(f.Context(), f.room("r2"), f.named(f.id("e")))
	f.refused("find in another room", err, hub.ErrNotFound)
}

func headBeginsOneEpoch(f *fixture) {
	room := f.room("r")
	began := f.now()
	var heads [7]hub.Head
	together(6, func(i int) {
		h, err := f.Head(f.Context(), room, time.Time{})
		if err != nil {
			f.Errorf("head: %v", err)
		}
		heads[i] = h
	})
	f.advance(time.Hour)
	heads[6] = f.head(room)
	for _, h := range heads {
		if h.Epoch == "" || h.Epoch != heads[0].Epoch || h.Seq != 0 || h.Base != 0 {
			f.Errorf("got %+v, want an epoch, the same for all, with Seq and Base 0", h)
		}
		f.sameTime("Began", h.Began, began)
	}
	if err := protocol.CheckID(heads[0].Epoch + ":1"); err != nil || strings.Contains(heads[0].Epoch, ":") {
		f.Errorf("the epoch %q makes no good ids: %v", heads[0].Epoch, err)
	}
	f.equal("the epoch of an entry", f.appended(room, f.event("", ""), time.Hour).Epoch, heads[0].Epoch)

	// Append begins one as well.
	entry := f.appended(f.room("r2"), f.event("", ""), time.Hour)
	head := f.head(f.room("r2"))
	f.equal("where the log stands", head.Position, protocol.Position{Epoch: entry.Epoch, Seq: entry.Seq})
	f.sameTime("Began", head.Began, f.now())
}

func resetBeginsAnEpoch(f *fixture) {
	room := f.room("r")
	last := f.appended(room, f.event("", `{}`), time.Hour)
	epochs := map[string]bool{last.Epoch: true}
	for range 3 {
		last = f.appended(room, f.event("", `{}`), time.Hour)
		began := f.advance(time.Minute)
		f.ok("reset", f.Reset(f.Context(), room))
		f.advance(time.Minute)
		head := f.head(room)
		if epochs[head.Epoch] || head.Epoch == "" {
			f.Fatalf("the epoch is %q, and was one of %v", head.Epoch, epochs)
		}
		epochs[head.Epoch] = true
		f.equal("Base", head.Base, last.Seq)
		f.equal("Seq", head.Seq, last.Seq)
		f.sameTime("Began", head.Began, began)
		next := f.appended(room, f.event("", `{}`), time.Hour)
		f.equal("the seq that follows", next.Seq, last.Seq+1)
		f.equal("its epoch", next.Epoch, head.Epoch)
		f.equal("its id", next.ID, fmt.Sprintf("%s:%d", head.Epoch, next.Seq))
		f.equal("Base after it", f.head(room).Base, last.Seq)
	}
}

func resetKeepsEntries(f *fixture) {
	room := f.room("r")
	named := f.appended(room, f.event(f.id("e"), `{"n":1}`), time.Hour)
	unnamed := f.appended(room, f.event("", `{"n":2}`), time.Hour)
	f.ok("reset", f.Reset(f.Context(), room))
	young := f.appended(room, f.event("", `{"n":3}`), time.Hour)
	all := f.allEntries(room)
	if len(all) != 3 {
		f.Fatalf("the log has %d entries, want 3", len(all))
	}
	for i, want := range []hub.Entry{named, unnamed, young} {
		f.sameEntry("an entry of From", all[i], want)
		found, err := f.shown(room, want.ID)
		f.ok("find", err)
		f.sameEntry("an entry of Find", found, want)
	}
	f.equal("seqs of Before", seqs(f.allBefore(room)), []int64{young.Seq, unnamed.Seq, named.Seq})
	again := f.appended(room, f.event(named.ID, `{"n":1}`), time.Hour)
	f.equal("the epoch of the same again", again.Epoch, young.Epoch)
	f.checkAgain(room, named.ID, again)
	_, err := f.shown(room, fmt.Sprintf("%s:%d", young.Epoch, unnamed.Seq))
	f.refused("find of the new epoch with an old seq", err, hub.ErrNotFound)
}

func resetOfNothing(f *fixture) {
	room := f.room("r")
	f.ok("reset", f.Reset(f.Context(), room))
	first := f.head(room)
	f.ok("reset", f.Reset(f.Context(), room))
	second := f.head(room)
	if first.Epoch == "" || second.Epoch == "" || first.Epoch == second.Epoch {
		f.Errorf("epochs are %q and %q, want two", first.Epoch, second.Epoch)
	}
	f.equal("Seq", second.Seq, int64(0))
	f.equal("Base", second.Base, int64(0))
	f.equal("the first seq", f.appended(room, f.event("", ""), time.Hour).Seq, int64(1))
}

func resetWhileAppending(f *fixture) {
	room := f.room("r")
	old := f.head(room)
	together(13, func(i int) {
		if i == 6 {
			if err := f.Reset(f.Context(), room); err != nil {
				f.Errorf("reset: %v", err)
			}
			return
		}
		if _, _, err := f.Append(f.Context(), room, f.draft(f.event("", ""), time.Hour)); err != nil {
			f.Errorf("append: %v", err)
		}
	})
	head := f.head(room)
	all := f.allEntries(room)
	f.equal("entries", len(all), 12)
	for _, e := range all {
		want := head.Epoch
		if e.Seq <= head.Base {
			want = old.Epoch
		}
		f.equal(fmt.Sprintf("epoch of entry %d, with Base %d", e.Seq, head.Base), e.Epoch, want)
	}
}

// Holes is what a store under test may have besides. Without it, what is promised of holes cannot be tested: a store
// leaves them only by a crash or a lost race.
type Holes interface {
	// Hole counts seq up and writes no entry, as a writer that crashes in between. It gives the seq.
	Hole(ctx context.Context, room string) (int64, error)
}

// hole makes a hole, or ends the test.
func (f *fixture) hole(room string) int64 {
	f.Helper()
	s, can := f.Store.(Holes)
	if !can {
		f.Skip("the store cannot be told to leave a hole")
	}
	seq, err := s.Hole(f.Context(), room)
	f.ok("hole", err)
	return seq
}

func (f *fixture) voided(room string, seq int64, keep time.Duration, want bool) {
	f.Helper()
	got, err := f.Void(f.Context(), room, seq, keep)
	f.ok("void", err)
	f.equal(fmt.Sprint("Void ", seq), got, want)
}

func voidFillsAHole(f *fixture) {
	room := f.room("r")
	first := f.appended(room, f.event("", `1`), time.Hour)
	hole := f.hole(room)
	last := f.appended(room, f.event("", `3`), time.Hour)
	f.equal("seqs with a hole", seqs(f.allEntries(room)), []int64{first.Seq, last.Seq})
	head := f.head(room)

	f.voided(room, hole, time.Hour, true)
	want := hub.Entry{Event: protocol.Event{Room: room, Seq: hole, TS: f.now().UnixMilli()}, Void: true}
	f.advance(time.Minute)
	for range 2 {
		all, back := f.allEntries(room), f.allBefore(room)
		slices.Reverse(back)
		for what, got := range map[string][]hub.Entry{"From": all, "Before": back} {
			if len(got) != 3 {
				f.Fatalf("%s gives %d entries, want 3", what, len(got))
			}
			f.sameEntry(what+", the entry before", got[0], first)
			f.sameEntry(what+", the hole", got[1], want)
			f.sameEntry(what+", the entry after", got[2], last)
		}
		f.voided(room, hole, time.Hour, true) // and the same once more
	}
	_, err := f.shown(room, fmt.Sprintf("%s:%d", first.Epoch, hole))
	f.refused("find", err, hub.ErrNotFound)
	f.equal("where the log stands", utcHead(f.head(room)), utcHead(head))
	f.equal("the seq that follows", f.appended(room, f.event("", ""), time.Hour).Seq, last.Seq+1)

	newest := f.hole(room)
	f.voided(room, newest, time.Hour, true)
	f.equal("the seq after a filled hole", f.appended(room, f.event("", ""), time.Hour).Seq, newest+1)
}

func utcHead(h hub.Head) hub.Head {
	h.Began = utc(h.Began)
	return h
}

func voidLapses(f *fixture) {
	room := f.room("r")
	hole := f.hole(room)
	entry := f.appended(room, f.event("", `1`), time.Hour)
	f.voided(room, hole, time.Minute, true)
	f.advance(time.Minute - time.Second)
	f.equal("seqs just before", seqs(f.allEntries(room)), []int64{hole, entry.Seq})
	f.advance(2 * time.Second)
	f.equal("seqs after", seqs(f.allEntries(room)), []int64{entry.Seq})
}

func voidOfAnEntry(f *fixture) {
	room := f.room("r")
	for _, id := range []string{"", f.id("e")} {
		want := f.appended(room, f.event(id, `{"n":1}`), time.Hour)
		for range 2 {
			f.voided(room, want.Seq, time.Hour, false)
		}
		found, err := f.shown(room, want.ID)
		f.ok("find", err)
		f.sameEntry("the entry", found, want)
	}
	f.equal("entries", len(f.allEntries(room)), 2)
}

func voidWhileAppending(f *fixture) {
	room := f.room("r")
	f.appended(room, f.event("", ""), time.Hour)
	var mu sync.Mutex
	var written, voids []int64
	together(12, func(i int) {
		if i%3 != 0 {
			entry, appended, err := f.Append(f.Context(), room, f.draft(f.event("", fmt.Sprint(i)), time.Hour))
			if err != nil || !appended {
				f.Errorf("append: appended %t, error %v", appended, err)
			}
			mu.Lock()
			defer mu.Unlock()
			written = append(written, entry.Seq)
			return
		}
		head, err := f.Head(f.Context(), room, time.Time{})
		if err != nil {
			f.Errorf("head: %v", err)
			return
		}
		void, err := f.Void(f.Context(), room, head.Seq, time.Hour)
		if err != nil {
			f.Errorf("void: %v", err)
		}
		if void {
			mu.Lock()
			defer mu.Unlock()
			voids = append(voids, head.Seq)
		}
	})
	kept := map[int64]bool{}
	for _, e := range f.allEntries(room) {
		kept[e.Seq] = e.Void
	}
	for _, seq := range written {
		if void, there := kept[seq]; void || !there {
			f.Errorf("the entry %d is there: %t, void: %t", seq, there, void)
		}
	}
	for _, seq := range voids {
		if !kept[seq] {
			f.Errorf("the hole %d that was filled is none", seq)
		}
	}
	slices.Sort(written)
	f.equal("seqs of entries that are different", len(slices.Compact(written)), 8)
}

func redactReplacesData(f *fixture) {
	room := f.room("r")
	before := f.appended(room, f.event("", `{"n":1}`), time.Hour)
	want := f.appended(room, f.event(f.id("e"), `{"content":"secret"}`), time.Hour)
	after := f.appended(room, f.event("", `{"n":3}`), time.Hour)
	given := f.allEntries(room)[1]
	want.Data = json.RawMessage(`null`)
	for range 2 {
		f.ok("redact", f.Redact(f.Context(), room, want.Seq))
		all := f.allEntries(room)
		if len(all) != 3 {
			f.Fatalf("the log has %d entries, want 3", len(all))
		}
		f.sameEntry("the entry before", all[0], before)
		f.sameEntry("the redacted entry", all[1], want)
		f.sameEntry("the entry after", all[2], after)
	}
	found, err := f.shown(room, want.ID)
	f.ok("find", err)
	f.sameEntry("the redacted entry, found", found, want)
	f.checkAgain(room, want.ID, want)
	f.equal("the data that was given before", string(given.Data), `{"content":"secret"}`)
}

func redactMissing(f *fixture) {
	room := f.room("r")
	f.ok("redact in a room without a log", f.Redact(f.Context(), room, 1))
	f.equal("entries", len(f.allEntries(room)), 0)
	e := f.appended(room, f.event("", `{}`), time.Hour)
	f.ok("redact a later one", f.Redact(f.Context(), room, e.Seq+1))
	f.ok("redact none", f.Redact(f.Context(), room, 0))
	f.equal("seqs", seqs(f.allEntries(room)), []int64{e.Seq})
	next := f.appended(room, f.event("", `{"n":2}`), time.Hour)
	f.equal("seq of the next", next.Seq, e.Seq+1)
	f.sameEntry("the next", f.allEntries(room)[1], next)
}

func appendedEventIsACopy(f *fixture) {
	room := f.room("r")
	e := f.event(f.id("e"), `{"n":1}`)
	want := f.appended(room, f.event("", `{"n":1}`), time.Hour)
	f.appended(room, e, time.Hour)
	copy(e.Data, bytes.Repeat([]byte(" "), len(e.Data)))
	e.From.UserID, e.From.Name = "eve", "Eve"
	got := f.allEntries(room)[1]
	want.ID, want.Seq = got.ID, got.Seq
	f.sameEntry("the entry", got, want)
}

func (f *fixture) hold(room string, until time.Time) hub.Entry {
	f.Helper()
	e, _, err := f.Append(f.Context(), room, hub.Draft{Event: protocol.Event{Event: "e", TS: f.now().UnixMilli()}, Keep: time.Hour, Hold: until})
	f.ok("append", err)
	return e
}

func (f *fixture) pending(what string, got hub.Head, flushed int64, due time.Time) {
	f.Helper()
	f.equal(what+": flushed", got.Pending.Flushed, flushed)
	if got.Pending.Due.IsZero() != due.IsZero() || !due.IsZero() && got.Pending.Due.UnixMilli() != due.UnixMilli() {
		f.Errorf("%s is due at %v, want %v", what, got.Pending.Due, due)
	}
}

func pendingBegins(f *fixture) {
	room, first := f.room("a"), f.now().Add(time.Minute)
	e := f.hold(room, time.Time{})
	f.pending("without Hold", e.Counted, 0, time.Time{})
	f.equal("counted", e.Counted.Seq, int64(1))
	f.pending("the first that holds", f.hold(room, first).Counted, 1, first)
	f.pending("the second", f.hold(room, first.Add(time.Minute)).Counted, 1, first)
	e = f.hold(room, time.Time{})
	f.pending("one that does not hold", e.Counted, 1, first)
	f.equal("as many lately", e.Counted.Lately, 4)
	f.pending("the head", f.head(room), 1, first)
	f.advance(2 * time.Second)
	f.equal("as many two seconds later", f.hold(room, time.Time{}).Counted.Lately, 1)
	empty := f.room("b")
	f.pending("the first of a room", f.hold(empty, first).Counted, 0, first)
}

func pendChanges(f *fixture) {
	room, ctx := f.room("a"), f.Context()
	due := f.now().Add(time.Minute)
	f.hold(room, time.Time{})
	pend := func(what string, was, now hub.Pending, newest int64, want bool) {
		f.Helper()
		head, did, err := f.Pend(ctx, room, was, now, newest)
		f.ok("pend", err)
		f.equal(what, did, want)
		if head.Seq == 0 {
			f.Errorf("%s: it gives no head", what)
		}
	}
	mine := hub.Pending{Flushed: 1, Due: due}
	pend("what is not so", mine, hub.Pending{Flushed: 1, Due: due.Add(time.Hour)}, 0, false)
	pend("begin", hub.Pending{}, mine, 0, true)
	f.pending("begun", f.head(room), 1, due)
	pend("another begins", hub.Pending{}, hub.Pending{Flushed: 2, Due: due.Add(1)}, 0, false)
	f.hold(room, due.Add(time.Minute))
	pend("end, though more was counted", mine, hub.Pending{}, 1, false)
	f.pending("not ended", f.head(room), 1, due)
	next := hub.Pending{Flushed: 2, Due: due.Add(time.Second)}
	pend("move", mine, next, 0, true)
	pend("move again, as after a lost answer", mine, next, 0, f.moved(room, next))
	pend("end", next, hub.Pending{}, 2, true)
	f.pending("ended", f.head(room), 0, time.Time{})
}

// moved reports whether a store may say that a call did what is so already: one whose client repeats calls does.
func (f *fixture) moved(room string, now hub.Pending) bool {
	_, did, err := f.Pend(f.Context(), room, hub.Pending{Flushed: -1, Due: now.Due.Add(-time.Hour)}, now, 0)
	f.ok("pend", err)
	return did
}

func pendingIsReset(f *fixture) {
	room := f.room("a")
	f.hold(room, f.now().Add(time.Minute))
	f.ok("reset", f.Reset(f.Context(), room))
	f.pending("after Reset", f.head(room), 0, time.Time{})
}

// lapse is longer than any store keeps the counter of a room in which nothing was logged for so long, beyond the last keep.
const lapse = 40 * 24 * time.Hour

func roomBeginsAnew(f *fixture) {
	for name, first := range map[string]func(room string) string{
		"head":   func(room string) string { return f.head(room).Epoch },
		"append": func(room string) string { return f.appended(room, f.event(f.id("e"), `{"n":1}`), time.Minute).Epoch },
	} {
		room := f.room(name)
		f.hold(room, f.now().Add(time.Minute))
		old := f.appended(room, f.event(f.id("e"), `{"n":1}`), time.Hour)
		f.advance(lapse)
		epoch := first(room)
		head := f.head(room)
		if epoch == old.Epoch || epoch == "" || head.Epoch != epoch {
			f.Errorf("by %s: the epoch is %s, and in the head %s, and was %s", name, epoch, head.Epoch, old.Epoch)
		}
		f.pending("what was pending", head, 0, time.Time{})
		f.equal("the floor", head.Floor, int64(0))
		f.sameTime("when it began", head.Began, f.now())
		for _, e := range append(f.allEntries(room), f.allBefore(room)...) {
			if e.Epoch != epoch {
				f.Errorf("by %s: %d of %s is shown", name, e.Seq, e.Epoch)
			}
		}
		if name == "head" {
			_, err := f.Find(f.Context(), room, f.named(old.ID))
			f.refused("find of what was logged before", err, hub.ErrNotFound)
			again := f.appended(room, f.event(old.ID, `{"n":1}`), time.Hour)
			f.equal("the epoch of the same id", again.Epoch, epoch)
		}
		f.checkAgain(room, old.ID, f.allEntries(room)[0])
	}
}
