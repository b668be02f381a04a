package storetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

func noted() []promise {
	return []promise{
		{"a note comes back as it was last written, until it is deleted", noteComesBack},
		{"a note lapses", noteLapses},
		{"of many who note once one does", noteOnce},
		{"a note is written over another only while that is there", noteOver},
		{"of many who write over a note one does", noteOverAtOnce},
	}
}

func noteComesBack(f *fixture) {
	ctx, ttl := f.Context(), f.now().Add(time.Hour)
	name := f.id("a/b#c")
	_, err := f.Noted(ctx, name)
	f.refused("a note that nobody wrote", err, hub.ErrNotFound)
	for _, text := range []string{"one", "\x00\xff"} {
		f.ok("note", f.Note(ctx, name, []byte(text), ttl))
		got, err := f.Noted(ctx, name)
		f.ok("noted", err)
		f.equal("value", string(got), text)
	}
	f.ok("note nothing", f.Note(ctx, name, nil, ttl))
	did, err := f.NoteOnce(ctx, f.id("once"), nil, ttl)
	f.ok("note nothing once", err)
	f.equal("noting nothing once", did, true)
	got, err := f.Noted(ctx, name)
	f.ok("noted nothing", err)
	f.equal("value of nothing", len(got), 0)
	for range 2 {
		f.ok("unnote", f.Unnote(ctx, name))
	}
	_, err = f.Noted(ctx, name)
	f.refused("a deleted note", err, hub.ErrNotFound)
}

func noteLapses(f *fixture) {
	ctx, name := f.Context(), f.id("n")
	f.ok("note", f.Note(ctx, name, []byte("x"), f.now().Add(time.Minute)))
	f.advance(2 * time.Minute)
	_, err := f.Noted(ctx, name)
	f.refused("a lapsed note", err, hub.ErrNotFound)
	did, err := f.NoteOnce(ctx, name, []byte("y"), f.now().Add(time.Minute))
	f.ok("note once", err)
	f.equal("noting once over a lapsed note", did, true)
}

func noteOnce(f *fixture) {
	name, ttl := f.id("n"), f.now().Add(time.Hour)
	var wrote atomic.Int64
	together(8, func(int) {
		did, err := f.NoteOnce(f.Context(), name, []byte("x"), ttl)
		if err != nil {
			f.Errorf("note once: %v", err)
		}
		if did {
			wrote.Add(1)
		}
	})
	f.equal("how many wrote", wrote.Load(), int64(1))
}

func noteOver(f *fixture) {
	ctx, name, ttl := f.Context(), f.id("n"), f.now().Add(time.Minute)
	over := func(what, was, text string, want bool) {
		f.Helper()
		did, err := f.NoteOver(ctx, name, []byte(was), []byte(text), ttl)
		f.ok(what, err)
		f.equal(what, did, want)
	}
	over("over no note", "", "a", false)
	f.ok("note", f.Note(ctx, name, []byte("a"), ttl))
	over("over another note", "x", "b", false)
	over("over the note", "a", "b", true)
	over("again, its answer was lost", "a", "b", true)
	over("over the note of before", "a", "c", false)
	got, err := f.Noted(ctx, name)
	f.ok("noted", err)
	f.equal("value", string(got), "b")
	f.advance(2 * time.Minute)
	over("over a lapsed note", "b", "c", false)
	over("again, when it has lapsed", "a", "b", false)
}

func noteOverAtOnce(f *fixture) {
	name, ttl := f.id("n"), f.now().Add(time.Hour)
	f.ok("note", f.Note(f.Context(), name, []byte("x"), ttl))
	var wrote atomic.Int64
	together(8, func(i int) {
		did, err := f.NoteOver(f.Context(), name, []byte("x"), fmt.Append(nil, i), ttl)
		if err != nil {
			f.Errorf("note over: %v", err)
		}
		if did {
			wrote.Add(1)
		}
	})
	f.equal("how many wrote", wrote.Load(), int64(1))
}
