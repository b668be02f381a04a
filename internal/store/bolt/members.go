package bolt

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

// members implements [hub.Members].
type members struct {
	disk
	now     func() time.Time
	mu      sync.RWMutex
	rooms   btree.Map[string, *memberRoom]
	changed changed[memberKey]
	grown   changed[string] // rooms whose number of shards changed
	marked  changed[string] // rooms whose occupied changed

	purged struct { // where purging goes on
		room  string
		shard int
		id    string
	}
}

// memberRoom is there while somebody is in the room. Once it has grown it stays: a connection that read the number of
// shards may be about to be added to the last of them.
type memberRoom struct {
	shards   int  // 0 counts as 1
	occupied bool // as [hub.Members].Occupy has marked it
	at       []btree.Map[string, member]
}

// member is a [hub.Member] without what its place says.
type member struct {
	user, codec string
	ttl         int64 // Unix nanoseconds
	expires     int64 // Unix seconds, 0: not known
	gen         int64
	mayPublish  bool
	maySignal   bool
	paused      bool
	removed     bool // the mark of one that was
}

type memberKey struct {
	room       string
	shard      int
	connection string
}

// maxShard bounds what a wrong shard can cost in memory.
const maxShard = 4096

func (r *memberRoom) empty() bool {
	for i := range r.at {
		if r.at[i].Len() > 0 {
			return false
		}
	}
	return r.shards <= 1 && !r.occupied
}

func (a *members) room(name string) *memberRoom {
	r, ok := a.rooms.Get(name)
	if !ok {
		r = &memberRoom{}
		a.rooms.Set(name, r)
	}
	return r
}

// AddMember writes a membership, unless there is a later one.
func (a *members) AddMember(ctx context.Context, room string, m hub.Member) error {
	if m.Shard < 0 || m.Shard >= maxShard {
		return fmt.Errorf("add %s to %s: there is no shard %d", m.Connection, room, m.Shard)
	}
	return a.change(ctx, &a.mu, func() error {
		if there, ok := a.member(room, m.Shard, m.Connection); ok && there.gen > m.Gen {
			return hub.ErrOvertaken
		}
		a.write(room, m)
		return nil
	})
}

// ChangeMember writes over a membership.
func (a *members) ChangeMember(ctx context.Context, room string, m hub.Member) error {
	return a.change(ctx, &a.mu, func() error {
		if there, ok := a.member(room, m.Shard, m.Connection); ok && there.gen == m.Gen && !there.removed {
			a.write(room, m)
			return nil
		}
		return hub.ErrOvertaken
	})
}

func (a *members) write(room string, m hub.Member) {
	row := member{
		user: m.User, codec: m.Codec, ttl: m.TTL.UnixNano(), gen: m.Gen, mayPublish: m.MayPublish, maySignal: m.MaySignal, paused: m.Paused,
	}
	if !m.Expires.IsZero() {
		row.expires = m.Expires.Unix()
	}
	a.willChange(room, m.Shard, m.Connection)
	a.set(room, m.Shard, m.Connection, row)
}

// willChange is called before a row is changed.
func (a *members) willChange(room string, shard int, connection string) {
	was, there := a.member(room, shard, connection)
	a.changed.change(memberKey{room, shard, connection}, func() {
		if there {
			a.set(room, shard, connection, was)
		} else {
			a.unset(room, shard, connection)
		}
	})
}

func (a *members) member(room string, shard int, connection string) (m member, there bool) {
	if r, ok := a.rooms.Get(room); ok && shard >= 0 && shard < len(r.at) {
		return r.at[shard].Get(connection)
	}
	return member{}, false
}

func (a *members) unset(room string, shard int, connection string) {
	if r, ok := a.rooms.Get(room); ok && shard < len(r.at) {
		r.at[shard].Delete(connection)
	}
	a.tidy(room)
}

// tidy forgets a room with nothing in it.
func (a *members) tidy(room string) {
	if r, ok := a.rooms.Get(room); ok && r.empty() {
		a.rooms.Delete(room)
	}
}

func (a *members) set(room string, shard int, connection string, m member) {
	r := a.room(room)
	for len(r.at) <= shard {
		r.at = append(r.at, btree.Map[string, member]{})
	}
	r.at[shard].Set(connection, m)
}

// RemoveMember deletes a membership, unless there is a later one.
func (a *members) RemoveMember(ctx context.Context, room string, shard int, connection string, gen int64, until time.Time) error {
	return a.change(ctx, &a.mu, func() error {
		a.remove(room, shard, connection, gen, until)
		return nil
	})
}

func (a *members) remove(room string, shard int, connection string, gen int64, until time.Time) {
	there, ok := a.member(room, shard, connection)
	switch {
	case shard < 0 || shard >= maxShard || ok && there.gen > gen || !ok && until.IsZero():
	case !until.IsZero():
		a.willChange(room, shard, connection)
		a.set(room, shard, connection, member{gen: gen, ttl: until.UnixNano(), removed: true})
	default:
		a.willChange(room, shard, connection)
		a.unset(room, shard, connection)
	}
}

// Members gives a page of members.
func (a *members) Members(ctx context.Context, room string, shard int, last string, limit int) (hub.MemberPage, error) {
	if err := ctx.Err(); err != nil {
		return hub.MemberPage{}, err
	}
	now := a.now().UnixNano()
	var page hub.MemberPage
	a.mu.RLock()
	defer a.mu.RUnlock()
	r, ok := a.rooms.Get(room)
	if shard == 0 && last == "" {
		page.Shards = 1
		if ok {
			page.Shards = max(1, r.shards)
		}
	}
	if !ok || shard < 0 || shard >= len(r.at) || limit <= 0 {
		return page, nil
	}
	tree := &r.at[shard]
	page.Members = make([]hub.Member, 0, min(limit, tree.Len()))
	tree.Ascend(after(last), func(id string, m member) bool {
		if m.ttl <= now || m.removed {
			return true
		}
		if len(page.Members) == limit {
			page.Next = page.Members[limit-1].Connection
			return false
		}
		one := hub.Member{
			Connection: id, User: m.user, Codec: m.codec, Shard: shard, Gen: m.gen, MayPublish: m.mayPublish, TTL: time.Unix(0, m.ttl),
			MaySignal: m.maySignal, Paused: m.paused,
		}
		if m.expires != 0 {
			one.Expires = time.Unix(m.expires, 0)
		}
		page.Members = append(page.Members, one)
		return true
	})
	return page, nil
}

// Shards gives the number of shards.
func (a *members) Shards(ctx context.Context, room string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	r, ok := a.rooms.Get(room)
	if !ok {
		return 1, nil
	}
	return max(1, r.shards), nil
}

// Grow doubles the number of shards.
func (a *members) Grow(ctx context.Context, room string, from int) error {
	return a.change(ctx, &a.mu, func() error {
		shards := 1
		if r, ok := a.rooms.Get(room); ok {
			shards = max(1, r.shards)
		}
		if from == shards && from*2 <= maxShard {
			r := a.room(room)
			was := r.shards
			a.grown.change(room, func() {
				a.room(room).shards = was
				a.tidy(room)
			})
			r.shards = from * 2
		}
		return nil
	})
}

// Occupy marks a room.
func (a *members) Occupy(ctx context.Context, room string) (bool, error) {
	return a.mark(ctx, room, true)
}

// Vacate takes the mark off.
func (a *members) Vacate(ctx context.Context, room string) (bool, error) {
	return a.mark(ctx, room, false)
}

func (a *members) mark(ctx context.Context, room string, occupied bool) (changed bool, err error) {
	err = a.change(ctx, &a.mu, func() error {
		r, ok := a.rooms.Get(room)
		if was := ok && r.occupied; was == occupied {
			return nil
		}
		changed = true
		a.marked.change(room, func() { a.occupy(room, !occupied) })
		a.occupy(room, occupied)
		return nil
	})
	return changed && err == nil, err
}

func (a *members) occupy(room string, occupied bool) {
	a.room(room).occupied = occupied
	a.tidy(room)
}

func (a *members) purge(most int) {
	now := a.now().UnixNano()
	a.mu.Lock()
	defer a.mu.Unlock()
	for most > 0 {
		name, r, found := at(&a.rooms, a.purged.room)
		if !found {
			a.purged.room, a.purged.shard, a.purged.id = "", 0, ""
			return
		}
		if name != a.purged.room {
			a.purged.room, a.purged.shard, a.purged.id = name, 0, ""
		}
		most -= 1 + a.purgeShard(name, r, now, most)
	}
}

// purgeShard looks through the shard where purging stopped, and gives how many rows it saw.
func (a *members) purgeShard(name string, r *memberRoom, now int64, most int) int {
	shard, seen := a.purged.shard, 0
	if shard < len(r.at) {
		var gone []string
		gone, a.purged.id, seen = lookThrough(&r.at[shard], a.purged.id, most, func(m member) bool { return m.ttl <= now })
		for _, id := range gone {
			a.changed.mark(memberKey{name, shard, id})
		}
		if a.purged.id == "" {
			a.purged.shard++
		}
	}
	if a.purged.shard >= len(r.at) {
		a.purged.room, a.purged.shard, a.purged.id = after(name), 0, ""
		if r.empty() {
			a.rooms.Delete(name)
		}
	}
	return seen
}

// memberRecord is the value under "room#shard#connection" in the bucket "members". The buckets "shards" and
// "occupied" have numbers and true under the names of rooms. Names of rooms have no '#' (protocol.CheckRoom).
type memberRecord struct {
	User       string `json:"user"`
	Codec      string `json:"codec,omitempty"`
	MayPublish bool   `json:"mayPublish,omitempty"`
	MaySignal  bool   `json:"maySignal,omitempty"`
	Paused     bool   `json:"paused,omitempty"`
	Gen        int64  `json:"gen,omitempty"`
	Removed    bool   `json:"removed,omitempty"`
	Expires    int64  `json:"expires,omitempty"` // Unix seconds
	TTL        millis `json:"ttl"`
}

func (a *members) save(file *rows.File) {
	a.file = file
	a.changed.track()
	a.grown.track()
	a.marked.track()
}

func (a *members) changes() ([]rows.Row, func()) {
	list, again := a.changed.collect(&a.mu, func(k memberKey) rows.Row {
		out := rows.Row{Bucket: "members", Key: k.room + "#" + strconv.Itoa(k.shard) + "#" + k.connection}
		r, ok := a.rooms.Get(k.room)
		if !ok || k.shard >= len(r.at) {
			return out
		}
		if m, ok := r.at[k.shard].Get(k.connection); ok {
			out.Value = memberRecord{
				User: m.user, Codec: m.codec, MayPublish: m.mayPublish, MaySignal: m.maySignal, Paused: m.paused, Gen: m.gen, Removed: m.removed, Expires: m.expires,
				TTL: toMillis(time.Unix(0, m.ttl)),
			}
		}
		return out
	})
	grown, growAgain := a.grown.collect(&a.mu, func(room string) rows.Row {
		out := rows.Row{Bucket: "shards", Key: room}
		if r, ok := a.rooms.Get(room); ok {
			out.Value = r.shards
		}
		return out
	})
	marked, markAgain := a.marked.collect(&a.mu, func(room string) rows.Row {
		out := rows.Row{Bucket: "occupied", Key: room}
		if r, ok := a.rooms.Get(room); ok && r.occupied {
			out.Value = true
		}
		return out
	})
	return slices.Concat(list, grown, marked), func() {
		again()
		growAgain()
		markAgain()
	}
}

func (a *members) buckets() []bucket {
	return []bucket{
		{"shards", func(room string, value []byte) error {
			return decode(value, &a.room(room).shards)
		}},
		{"occupied", func(room string, value []byte) error {
			return decode(value, &a.room(room).occupied)
		}},
		{"members", func(key string, value []byte) error {
			room, rest, _ := strings.Cut(key, "#")
			number, connection, found := strings.Cut(rest, "#")
			shard, err := strconv.Atoi(number)
			if !found || err != nil || shard < 0 || shard >= maxShard {
				return errBadKey
			}
			var r memberRecord
			if err := decode(value, &r); err != nil {
				return err
			}
			a.set(room, shard, connection, member{
				user: r.User, codec: intern(r.Codec), mayPublish: r.MayPublish, maySignal: r.MaySignal, paused: r.Paused, gen: r.Gen, removed: r.Removed, expires: r.Expires,
				ttl: r.TTL.time().UnixNano(),
			})
			return nil
		}},
	}
}
