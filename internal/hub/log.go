package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Maker is who chose the id of an event.
type Maker string

// The makers.
const (
	MakerNobody   Maker = ""         // the event is logged whenever it is appended
	MakerClient   Maker = "client"   // each user has ids of its own
	MakerProgram  Maker = "program"  // who emits
	MakerServer   Maker = "server"   // the hub: its ids are derived from what they announce
	MakerDelivery Maker = "delivery" // a queue, a bus or Lambda, which may bring a command without an id twice
)

// Key is under what an event is logged once in its room. Keys of different makers, or of different users, are different
// whatever the ids are: nobody can take the key that somebody else's event has or will have.
type Key struct {
	Maker Maker
	Owner string // whose id it is, where a maker has many: a client's user
	ID    string
}

// String gives a text that no other key has. No part of a key has a space in it.
func (k Key) String() string { return k.ID + " " + string(k.Maker) + " " + k.Owner }

// Announcements are the events that the server logs of itself, each once for what it announces.
func Announcements() []string {
	return []string{
		protocol.UserOnline, protocol.UserOffline, protocol.PresenceChanged, protocol.MessageDeleted, protocol.NotificationRead,
	}
}

// AnnouncementID is the id of an announcement: of a user's presence since then (and its version), of a message, of a notification.
func AnnouncementID(event string, of ...any) string {
	id := []string{map[string]string{
		protocol.UserOnline: "online", protocol.UserOffline: "offline", protocol.PresenceChanged: "changed",
		protocol.MessageDeleted: "deleted", protocol.NotificationRead: "read",
	}[event]}
	for _, part := range of {
		id = append(id, fmt.Sprint(part))
	}
	return strings.Join(id, ":")
}

// Draft is an event that is to be logged. Its Event has no Seq; its ID is what everybody sees, and one is made where it is
// empty.
type Draft struct {
	protocol.Event

	Except []string // connections, users and rooms that are not told of it
	out    []string // the same, with the members of the rooms instead

	Hold  time.Time // if the room has nothing pending, this event is from now on, until then; zero: the mark is not touched
	waits bool      // what is pending may have this event with it

	Key  Key
	Sum  string // of what the maker asked for: tells a repetition from another event under the same Key; empty: it may differ
	Keep time.Duration
}

// sumOf sums up what a maker asked for. JSON that differs only in its layout or in the order of its fields is the same.
func sumOf(e protocol.Event) string {
	h := sha256.New()
	h.Write([]byte(strconv.Quote(e.Event)))
	if e.From != nil {
		h.Write([]byte(strconv.Quote(e.From.UserID)))
	}
	data := []byte(e.Data)
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if d.Decode(&v) == nil {
		if plain, err := json.Marshal(v); err == nil {
			data = plain
		}
	}
	h.Write(data)
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil)[:12])
}

// Repeats reports whether an entry is what the draft asks for, and not another event under the same key.
func (d Draft) Repeats(e Entry) bool {
	switch {
	case d.Key.Maker == MakerServer:
		return d.Event.Event == e.Event.Event
	case d.Sum != "" && e.Sum != "":
		return d.Sum == e.Sum
	}
	sameAuthor := d.From == nil && e.From == nil || d.From != nil && e.From != nil && d.From.UserID == e.From.UserID
	return sameAuthor && d.Event.Event == e.Event.Event
}

// Entry is one logged event. Its Event has Room, Seq, ID and TS.
type Entry struct {
	protocol.Event

	Epoch  string
	Except []string // the Draft's
	Sum    string   // the Draft's; empty in entries of versions before there was one
	Void   bool     // no event: a hole that Void has filled; only Room, Seq and TS are set

	Counted Head // where the log stood when Append counted this; zero in what is read
}

// Head is where a room's log stands.
type Head struct {
	protocol.Position           // the newest seq given out
	Base              int64     // entries up to this seq are not shown any more: the room was closed since
	Began             time.Time // when the epoch did
	Keep              time.Duration
	Floor             int64     // the first seq that is kept for Keep; those before were kept for another time
	Recent            []Counted // the newest seqs given out, the newest first, as far as it is known when
	Pending           Pending
	Lately            int // entries counted within a second, at most 16; only in an Entry's Counted
}

// Pending is what of a room's log may not have been pushed yet. Zero: all of it is pushed by whoever logs it. Functions of before do
// not know it: they push what they log, and what was held back comes later.
type Pending struct {
	Flushed int64     // what follows this was held back
	Due     time.Time // when somebody is to push it; exact to the millisecond
}

// Counted is when a seq was given out.
type Counted struct {
	Seq int64
	At  time.Time
}

// ErrLapsed is that there was an entry which is no longer kept.
var ErrLapsed = errors.New("the entry has lapsed")

// ErrUnavailable is that a store, or whatever else is asked, could not be reached, or has refused for its load, for as long as there was
// time.
var ErrUnavailable = errors.New("not available")

// IDMemory is how long a key is remembered at least.
const IDMemory = 10 * time.Minute

// Log keeps the logged events of each room. Reads are strongly consistent and leave out entries older than their Keep,
// whose rows are there for some time more: an entry that has lapsed is never taken for a hole. A room whose log is empty
// may lose its head, and then begins another epoch.
//
// A store counts a seq, then remembers the key under it, and then writes the entry, and each of these only if nobody has done
// it yet. So a call that is cut off between them can be repeated by anybody: it finds what was counted, and goes on from
// there while that seq is young, or has it voided and counts another.
type Log interface {
	// Append counts seq up by one and writes the entry, with a protocol.GeneratedID when it has no ID. If the room
	// remembers the Key, which it does for IDMemory or the Keep, whichever is longer, and until Reset, nothing is written and that
	// entry is given with appended false, whatever it holds. Whoever has a Key asks Find first: that costs less, and knows
	// more where ids are fought over. A seq that was counted in vain is void when Append returns; only a crash leaves a hole.
	// ErrUnavailable.
	//
	// No entry is written later than two seconds after its seq was counted, as far as the context's deadline can say.
	Append(ctx context.Context, room string, d Draft) (entry Entry, appended bool, err error)
	// Find gives the entry under a draft's Key, or one that was logged for that draft before keys were told apart. It may be one
	// of before a Reset. ErrNotFound.
	Find(ctx context.Context, room string, d Draft) (Entry, error)
	// Named gives up to limit entries that are shown with an ID, whoever has made it. It may leave out some of before a Reset.
	Named(ctx context.Context, room, id string, limit int) ([]Entry, error)
	// From gives up to limit entries with seq at least first, ascending, of whatever epoch. It may give fewer, but
	// never none while there are some: together they have at most about 96 KB. Holes are simply not there; those
	// that Void has filled are, as such.
	From(ctx context.Context, room string, first int64, limit int) ([]Entry, error)
	// Before gives up to limit entries with seq below before, descending, otherwise like From.
	Before(ctx context.Context, room string, before int64, limit int) ([]Entry, error)
	// Void fills the hole at a seq that has been given out, so that nothing is ever written there. false: there is an
	// entry; ErrLapsed: there was one. It may be repeated.
	Void(ctx context.Context, room string, seq int64, keep time.Duration) (bool, error)
	// Head gives where the log stands, and begins an epoch in a room that has none. It stays there until a time at least.
	Head(ctx context.Context, room string, until time.Time) (Head, error)
	// Pend replaces what a room has pending, if that is was, and unless newest is 0, if no seq after that has been given out. It
	// gives the head as it is then. Of two calls with the same arguments both may be told that they did it.
	Pend(ctx context.Context, room string, was, now Pending, newest int64) (Head, bool, error)
	// Redact replaces the data of an entry by null. A missing one is no error.
	Redact(ctx context.Context, room string, seq int64) error
	// Reset begins a new epoch whose Base is the newest seq, in which nothing is pending; seq goes on counting.
	Reset(ctx context.Context, room string) error
}

// promises reports whether all that follows a position is still promised to be there.
func (h Head) promises(p protocol.Position) bool {
	return p.Epoch == h.Epoch && p.Seq >= h.Base && p.Seq <= h.Seq && p.Seq >= h.Floor-1
}

// countedBy gives a time by which a seq had been given out for certain; false: it is not known.
func (h Head) countedBy(seq int64) (time.Time, bool) {
	for _, c := range slices.Backward(h.Recent) {
		if c.Seq >= seq {
			return c.At, true
		}
	}
	return time.Time{}, false
}

// settled gives the newest seq that had been given out by a time.
func (h Head) settled(by time.Time) (int64, bool) {
	for _, c := range h.Recent {
		if !c.At.After(by) {
			return c.Seq, true
		}
	}
	return 0, false
}
