package storetest

import (
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

func noted() []promise {
	return []promise{
		{"a note comes back as it was last written, until it is deleted", noteComesBack},
		{"a note lapses", noteLapses},
		{"of many who note once one does", noteOnce},
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
