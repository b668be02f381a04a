// Package steps is [hub.Log].Append for a store that cannot do it in one step. It counts a seq, remembers the draft's key
// under it, and writes the entry there, each on the condition that nobody has done so yet. Anything may happen between two
// steps: the function ends, its answer is lost, another one appends the same, a reader voids the seq.
//
//   - Counting remembers for what it counted, for a while. So whoever appends under the same key at the same moment, or right after
//     a crash, or again because an answer was lost, gets the same seq, and does the steps that are still to be done.
//   - The key is remembered for longer by a row of its own. What that row says holds: a seq that was counted beside it is in vain.
//   - Where an entry cannot be written in time, its seq is voided, by conditions of the same kind: there is an entry or a void, never
//     both. Readers rely on that time, see the hub's voidAge.
//   - What is counted for a key after its seq came to nothing is counted for another name, made of both: so that is done once as well.
package steps

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

const (
	writeTime = 2 * time.Second // so long after it was counted an entry may be written, by whomever
	graceTime = time.Second     // for seeing to a seq whose entry could not be written in time
	tries     = 10
)

// Attempt is one Append.
type Attempt struct {
	Room  string
	Draft hub.Draft
	Key   string // the text of the draft's key; unique to the attempt if it has none
	Named bool   // it has one
	Gone  int64  // what was counted for the key before, and has come to nothing
	Token []byte // tells what this attempt has written from what others have; 8 bytes
}

// Counted is a seq that was given out for a key.
type Counted struct {
	Seq   int64
	At    time.Time // zero: not known
	Epoch string
	Base  int64    // of the room, when this was read
	Mine  bool     // it was given out to this attempt
	Head  hub.Head // where the log stood then, if it is Mine
}

// Place is what is at a seq.
type Place struct {
	State State
	Entry hub.Entry
	Mine  bool // it was written by this attempt
}

// State says what there may be at a seq.
type State int

// The states.
const (
	Empty     State = iota // nothing, or what has lapsed
	Void                   // a hole that was filled
	Kept                   // an entry
	Forgotten              // an entry whose key is no longer remembered
)

// Table is what the steps are made of. Every write of it knows what the same attempt has written before, since the store's client
// may repeat a call whose answer was lost.
type Table interface {
	// Now is the store's time.
	Now() time.Time
	// Count gives out the room's next seq, unless one was given out lately for the attempt's Key after what is Gone: then that.
	Count(ctx context.Context, a *Attempt) (Counted, error)
	// Look gives what is at a seq.
	Look(ctx context.Context, a *Attempt, seq int64) (Place, error)
	// Remember remembers the Key for a seq, unless it is remembered for another one, which is not Gone, nor of before the room was
	// closed, nor forgotten: then it gives that. Seq 0: it was remembered.
	Remember(ctx context.Context, a *Attempt, c Counted) (other Counted, err error)
	// Write writes the entry at a seq where there is none, and gives what is there then.
	Write(ctx context.Context, a *Attempt, c Counted) (Place, error)
	// Void is [hub.Log].Void.
	Void(ctx context.Context, room string, seq int64, keep time.Duration) (bool, error)
}

// Append is [hub.Log].Append.
func Append(ctx context.Context, t Table, room string, d hub.Draft) (hub.Entry, bool, error) {
	a := &Attempt{Room: room, Draft: d, Key: d.Key.String(), Named: d.Key.Maker != hub.MakerNobody, Token: make([]byte, 8)}
	_, _ = rand.Read(a.Token) // never fails
	if !a.Named {
		a.Key = rand.Text()
	}
	for range tries {
		c, err := t.Count(ctx, a)
		if err != nil {
			return hub.Entry{}, false, fmt.Errorf("count in %s: %w", room, err)
		}
		p, err := at(ctx, t, a, c)
		if err != nil && c.Mine {
			p, err = seeTo(ctx, t, a, c, err)
		}
		if err != nil {
			return hub.Entry{}, false, fmt.Errorf("log event %s in %s: %w", d.ID, room, err)
		}
		if p.State == Kept {
			if p.Mine {
				p.Entry.Counted = c.Head
			}
			return p.Entry, p.Mine, nil
		}
		a.Gone = max(a.Gone, c.Seq, p.Entry.Seq)
	}
	return hub.Entry{}, false, fmt.Errorf("log event %s in %s: %w: its seqs are void again and again", d.ID, room, hub.ErrUnavailable)
}

// at has the draft logged at a seq that was counted for it, or finds out where it is. Not Kept: it cannot be logged there.
func at(ctx context.Context, t Table, a *Attempt, c Counted) (Place, error) {
	if !c.Mine {
		if p, free, err := look(ctx, t, a, c); err != nil || !free {
			return p, err
		}
	}
	if a.Named {
		other, err := t.Remember(ctx, a, c)
		if err != nil {
			return Place{}, fmt.Errorf("remember: %w", err)
		}
		if other.Seq != 0 {
			return instead(ctx, t, a, c, other)
		}
	}
	return write(ctx, t, a, c)
}

// instead goes on with a seq that the key is remembered for, and not with the one that was counted for it.
func instead(ctx context.Context, t Table, a *Attempt, c, other Counted) (Place, error) {
	p, free, err := look(ctx, t, a, other)
	if err != nil {
		return p, err
	}
	if !free && p.State != Kept { // then the one that was counted takes its place
		a.Gone = other.Seq
		again, err := t.Remember(ctx, a, c)
		if err != nil {
			return p, fmt.Errorf("remember: %w", err)
		}
		if again.Seq == 0 {
			return write(ctx, t, a, c)
		}
	}
	if c.Mine {
		if _, err := t.Void(ctx, a.Room, c.Seq, a.Draft.Keep); err != nil {
			return Place{}, err
		}
	}
	if free {
		return write(ctx, t, a, other)
	}
	return p, nil
}

// look finds out what is at a seq that was counted by another attempt. free: its entry may still be written. A seq that is empty for
// too long is void then, whoever has voided it.
func look(ctx context.Context, t Table, a *Attempt, c Counted) (p Place, free bool, err error) {
	if c.Seq <= c.Base {
		return Place{}, false, nil
	}
	for {
		if p, err = t.Look(ctx, a, c.Seq); err != nil || p.State != Empty {
			return p, false, err
		}
		switch age := t.Now().Sub(c.At); {
		case age < writeTime/2:
			return p, true, nil
		case age >= max(a.Draft.Keep, hub.IDMemory): // it may have been there
			return p, false, nil
		}
		void, err := t.Void(ctx, a.Room, c.Seq, a.Draft.Keep)
		switch {
		case errors.Is(err, hub.ErrLapsed):
			return p, false, nil
		case err != nil, void:
			return Place{State: Void}, false, err
		}
	}
}

// write writes the entry, in the time that its seq has for that.
func write(ctx context.Context, t Table, a *Attempt, c Counted) (Place, error) {
	if !c.Mine {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.At.Add(writeTime).Sub(t.Now()))
		defer cancel()
	}
	p, err := t.Write(ctx, a, c)
	if err != nil {
		return p, fmt.Errorf("write: %w", err)
	}
	return p, nil
}

// seeTo makes sure of a seq whose entry could not be written, or not for certain, because of why: either it is there, or nothing ever
// will be. It has a little time of its own, since that of the call may be over.
func seeTo(ctx context.Context, t Table, a *Attempt, c Counted, why error) (Place, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	if void, err := t.Void(ctx, a.Room, c.Seq, a.Draft.Keep); err != nil || void {
		return Place{}, why
	}
	if p, err := t.Look(ctx, a, c.Seq); err == nil && p.State == Kept {
		return p, nil
	}
	return Place{}, why
}
