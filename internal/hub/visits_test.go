package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

var (
	seeds = flag.Int("seeds", 150, "runs of TestVisits")
	from  = flag.Int("from", 1, "the first seed of TestVisits")
)

// faults decides by seed, step and what is called, and not by the order of concurrent calls, which calls of the store fail:
// before they do anything, or after.
type faults struct {
	hub.Store
	seed uint64
	step *int
	on   *bool
}

var errFault = errors.New("the function was cut off")

func (f faults) pick(call, key string) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, f.seed, "/", *f.step, "/", call, "/", key)
	return h.Sum64() % 100
}

func (f faults) call(name, key string, do func() error) error {
	if !*f.on {
		return do()
	}
	switch p := f.pick(name, key); {
	case p < 3:
		return errFault
	case p < 6:
		_ = do()
		return errFault
	}
	return do()
}

func (f faults) Touch(ctx context.Context, id string, t hub.Touch) (row hub.Connection, err error) {
	err = f.call("touch", id, func() (err error) { row, err = f.Store.Touch(ctx, id, t); return err })
	return row, err
}

func (f faults) Enter(ctx context.Context, id, room string, shard int, t hub.Touch) (row hub.Connection, err error) {
	err = f.call("enter", id+room, func() (err error) { row, err = f.Store.Enter(ctx, id, room, shard, t); return err })
	return row, err
}

func (f faults) Exit(ctx context.Context, id, room string, now time.Time) error {
	return f.call("exit", id+room, func() error { return f.Store.Exit(ctx, id, room, now) })
}

func (f faults) AddMember(ctx context.Context, room string, m hub.Member) error {
	return f.call("add", room+m.Connection, func() error { return f.Store.AddMember(ctx, room, m) })
}

func (f faults) RemoveMember(ctx context.Context, room string, shard int, c string) error {
	return f.call("remove", room+c, func() error { return f.Store.RemoveMember(ctx, room, shard, c) })
}

func (f faults) Members(ctx context.Context, room string, shard int, after string, limit int) (page hub.MemberPage, err error) {
	err = f.call("members", room+after, func() (err error) { page, err = f.Store.Members(ctx, room, shard, after, limit); return err })
	return page, err
}

func (f faults) Append(ctx context.Context, room string, e protocol.Event, keep time.Duration) (entry hub.Entry, is bool, err error) {
	err = f.call("append", room+e.ID, func() (err error) { entry, is, err = f.Store.Append(ctx, room, e, keep); return err })
	return entry, is, err
}

func (f faults) Arrive(ctx context.Context, room, user, name, c string, now, ttl time.Time) (here hub.Here, err error) {
	err = f.call("arrive", room+c, func() (err error) { here, err = f.Store.Arrive(ctx, room, user, name, c, now, ttl); return err })
	return here, err
}

func (f faults) Depart(ctx context.Context, room, user, c string, now time.Time) (here hub.Here, err error) {
	err = f.call("depart", room+c, func() (err error) { here, err = f.Store.Depart(ctx, room, user, c, now); return err })
	return here, err
}

func (f faults) Announced(ctx context.Context, room, user string, since time.Time, version int) error {
	return f.call("announced", room+user, func() error { return f.Store.Announced(ctx, room, user, since, version) })
}

func (f faults) BeginEnd(ctx context.Context, room, user string, since, left time.Time) (here hub.Here, err error) {
	err = f.call("beginEnd", room+user, func() (err error) { here, err = f.Store.BeginEnd(ctx, room, user, since, left); return err })
	return here, err
}

func (f faults) End(ctx context.Context, room, user string, since time.Time) error {
	return f.call("end", room+user, func() error { return f.Store.End(ctx, room, user, since) })
}

func (f faults) Forget(ctx context.Context, id string) error {
	return f.call("forget", id, func() error { return f.Store.Forget(ctx, id) })
}

// visitor is a client that keeps the rules: it drops by seq, asks again when it sees a gap, and retries what was not answered.
type visitor struct {
	user   string
	caller hub.Caller
	open   bool
	at     map[string]*place
}

// place is what a visitor knows of a room.
type place struct {
	protocol.Position
	began int64             // the position that it began from: what came before is not its business
	seen  map[int64]string  // ids by seq
	here  map[string]string // statuses by user
	late  []protocol.Event  // events behind a gap
}

// visits is one run.
type visits struct {
	*world
	t        *testing.T
	rng      *rand.Rand
	step     int
	faulty   bool
	visitors []*visitor
	acked    map[string]string // ids to rooms
	jobs     []delayed
}

func newVisits(t *testing.T, seed int) *visits {
	t.Helper()
	v := &visits{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 0)), faulty: true, acked: map[string]string{}}
	v.world = newWorld(t, func(c *hub.Config) {
		c.Store = faults{c.Store, uint64(seed), &v.step, &v.faulty}
		if seed%3 == 0 {
			c.Limits.Inline, c.Limits.Page, c.Limits.Shard = 2, 2, 4
		}
	})
	v.net.fail = func(connection string) error {
		for _, c := range v.visitors {
			if c.caller.Connection == connection && c.open {
				if v.faulty && (faults{seed: uint64(seed), step: &v.step}).pick("push", connection) < 5 {
					return hub.ErrThrottled
				}
				return nil
			}
		}
		return hub.ErrGone
	}
	for i := range 6 {
		v.visitors = append(v.visitors, &visitor{user: []string{"ana", "bob", "carla"}[i/2], at: map[string]*place{}})
	}
	return v
}

var rooms = []string{"channel:1", "community:1"}

// act is one random step.
func (v *visits) act() {
	v.step++
	c := v.visitors[v.rng.IntN(len(v.visitors))]
	room := rooms[v.rng.IntN(len(rooms))]
	switch n := v.rng.IntN(100); {
	case !c.open:
		v.reconnect(c)
	case n < 25:
		v.enter(c, room)
	case n < 55:
		v.say(c, room)
	case n < 62 && c.at[room] != nil:
		v.ask(c, `{"action":"presence","status":"`+[]string{"online", "away", "busy"}[v.rng.IntN(3)]+`"}`)
	case n < 67 && c.at[room] != nil:
		if v.ask(c, `{"action":"leave","room":"`+room+`"}`).OK {
			delete(c.at, room)
		}
	case n < 75:
		c.open = false // lost; whether anybody is told is another matter
		if v.rng.IntN(2) == 0 {
			_ = v.Depart(v.t.Context(), c.caller.Connection)
		}
	case n < 80:
		_, _ = v.Sweep(v.t.Context())
	case n < 85:
		v.pass(time.Duration(v.rng.IntN(15)) * time.Second)
	default:
		v.runJobs(true)
	}
	v.read()
}

func (v *visits) reconnect(c *visitor) {
	v.count++
	c.caller = hub.Caller{Connection: fmt.Sprintf("%s-%d", c.user, v.count), User: c.user, Expires: v.now().Add(24 * time.Hour)}
	who := hub.Identity{User: c.user, Grants: everything(), Expires: c.caller.Expires}
	if v.Connect(v.t.Context(), c.caller.Connection, who, protocol.Name) != nil {
		return
	}
	c.open = true
	v.pass(11 * time.Second) // it is not young any more
	for room := range c.at {
		v.enter(c, room)
	}
}

// ask sends an action, and again until it is answered while nothing fails for ever.
func (v *visits) ask(c *visitor, frame string) reply {
	for range 30 {
		v.step++
		if r := v.world.ask(c.caller, frame); r.OK || r.Error.Code != protocol.CodeInternal {
			if r.Error.Code == protocol.CodeUnauthenticated {
				c.open = false
			}
			return r
		}
	}
	v.t.Fatalf("%s does not come to an end", frame)
	return reply{}
}

// enter joins a room, from the position that the visitor has.
func (v *visits) enter(c *visitor, room string) {
	for more := true; more; {
		frame := `{"action":"join","room":"` + room + `"}`
		p := c.at[room]
		if p != nil {
			frame = fmt.Sprintf(`{"action":"join","room":%q,"since":{"epoch":%q,"seq":%d}}`, room, p.Epoch, p.Seq)
		}
		r := v.ask(c, frame)
		if !r.OK {
			return
		}
		var got protocol.JoinResult
		if err := json.Unmarshal(r.Data, &got); err != nil {
			v.t.Fatal(err)
		}
		if p == nil || !got.Recovered {
			p = &place{began: got.Seq, seen: map[int64]string{}, here: map[string]string{}}
			p.Position = protocol.Position{Epoch: got.Epoch, Seq: got.Seq}
			c.at[room] = p
		}
		for _, e := range got.Events {
			p.take(e)
		}
		p.Seq = max(p.Seq, got.Seq)
		if more = got.More; !more && got.Presence != nil {
			p.here = map[string]string{}
			for _, o := range got.Presence {
				p.here[o.UserID] = o.Status
			}
		}
		p.catchUp()
	}
}

// take sees an event that is next.
func (p *place) take(e protocol.Event) {
	p.Seq, p.seen[e.Seq] = e.Seq, e.ID
	var o protocol.Occupant
	switch e.Event {
	case protocol.UserOnline, protocol.PresenceChanged:
		if json.Unmarshal(e.Data, &o) == nil {
			p.here[o.UserID] = o.Status
		}
	case protocol.UserOffline:
		delete(p.here, e.From.UserID)
	}
}

// catchUp takes the events that were behind a gap, as far as they are next.
func (p *place) catchUp() {
	slices.SortFunc(p.late, func(a, b protocol.Event) int { return int(a.Seq - b.Seq) })
	for len(p.late) > 0 && p.late[0].Seq <= p.Seq+1 {
		if p.late[0].Seq == p.Seq+1 {
			p.take(p.late[0])
		}
		p.late = p.late[1:]
	}
}

func (v *visits) say(c *visitor, room string) {
	if c.at[room] == nil {
		return
	}
	v.count++
	id := fmt.Sprintf("m%d", v.count)
	frame := fmt.Sprintf(`{"action":"publish","id":%q,"room":%q,"event":"message:new","data":1}`, id, room)
	for range 30 {
		v.step++
		var r reply
		if err := json.Unmarshal(v.Receive(v.t.Context(), c.caller, []byte(frame)), &r); err != nil {
			v.t.Fatal(err)
		}
		if r.OK {
			v.acked[id] = room
		}
		if r.OK || r.Error.Code != protocol.CodeInternal {
			return
		}
	}
}

// read has every visitor look at the frames that came, in a random order.
func (v *visits) read() {
	for _, c := range v.visitors {
		v.net.mu.Lock()
		frames := v.net.frames[c.caller.Connection]
		v.net.frames[c.caller.Connection] = nil
		v.net.mu.Unlock()
		v.rng.Shuffle(len(frames), func(i, k int) { frames[i], frames[k] = frames[k], frames[i] })
		for _, f := range frames {
			var got struct {
				protocol.Event
				Batch []protocol.Event `json:"batch"`
			}
			if err := json.Unmarshal(f, &got); err != nil {
				v.t.Fatal(err)
			}
			for _, e := range append(got.Batch, got.Event) {
				if p := c.at[e.Room]; c.open && p != nil && e.Seq > p.Seq {
					p.late = append(p.late, e)
				}
			}
		}
		for room, p := range c.at {
			if p.catchUp(); len(p.late) > 0 && c.open {
				v.enter(c, room) // a gap
			}
		}
	}
}

// runJobs runs what is due, some of it twice or in another order; what fails comes back.
func (v *visits) runJobs(twice bool) {
	v.jobs = append(v.jobs, v.queue.take()...)
	v.rng.Shuffle(len(v.jobs), func(i, k int) { v.jobs[i], v.jobs[k] = v.jobs[k], v.jobs[i] })
	jobs := v.jobs
	v.jobs = nil
	for _, j := range jobs {
		v.step++
		v.pass(j.delay / 4)
		if v.Work(v.t.Context(), j.job) != nil || twice && v.rng.IntN(5) == 0 {
			v.jobs = append(v.jobs, delayed{job: j.job})
		}
	}
}

// settle ends the faults and lets everything come to rest.
func (v *visits) settle() {
	v.faulty = false
	for range 3 {
		for range 20 {
			v.step++
			v.pass(time.Second)
			v.runJobs(false)
			v.read()
		}
		v.pass(12 * time.Minute)
		if _, err := v.Sweep(v.t.Context()); err != nil {
			v.t.Fatal(err)
		}
	}
	for range 40 {
		v.runJobs(false)
	}
	for _, c := range v.visitors {
		for room := range c.at {
			if c.open {
				v.enter(c, room)
			}
		}
	}
	v.read()
}

func (v *visits) check() {
	truth := map[string]map[string]bool{}
	for _, room := range rooms {
		truth[room] = map[string]bool{}
	}
	for _, c := range v.visitors {
		for room := range c.at {
			if c.open {
				truth[room][c.user] = true
			}
		}
	}
	for _, room := range rooms {
		v.checkRoom(room, truth[room])
	}
}

func (v *visits) checkRoom(room string, truth map[string]bool) {
	entries, err := v.Store.From(v.t.Context(), room, 1, 100_000)
	if err != nil {
		v.t.Fatal(err)
	}
	ids, turns := map[string]bool{}, map[string]string{}
	for _, e := range entries {
		if ids[e.ID] {
			v.t.Errorf("%s has %s twice", room, e.ID)
		}
		ids[e.ID] = true
		if e.Event.Event == protocol.UserOnline || e.Event.Event == protocol.UserOffline {
			if turns[e.From.UserID] == e.Event.Event || turns[e.From.UserID] == "" && e.Event.Event == protocol.UserOffline {
				v.t.Errorf("%s: %s of %s comes after %q", room, e.Event.Event, e.From.UserID, turns[e.From.UserID])
			}
			turns[e.From.UserID] = e.Event.Event
		}
	}
	for id, in := range v.acked {
		if in == room && !ids[id] {
			v.t.Errorf("%s was acknowledged and is not in the log of %s", id, room)
		}
	}
	for _, c := range v.visitors {
		p := c.at[room]
		if p == nil || !c.open {
			continue
		}
		for _, e := range entries {
			if e.Seq > p.began && !e.Void && p.seen[e.Seq] != e.ID {
				v.t.Errorf("%s, who began at %d, has not seen %d of %s: %s", c.caller.Connection, p.began, e.Seq, room, e.ID)
			}
		}
		if room == "community:1" && len(p.here) != len(truth) {
			v.t.Errorf("%s believes %v to be present, truth is %v", c.caller.Connection, p.here, truth)
		}
	}
	if room != "community:1" {
		return
	}
	here, err := v.Store.Present(v.t.Context(), room, "", 100)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, h := range here {
		if !truth[h.User] || !h.Left.IsZero() {
			v.t.Errorf("the store has %+v, truth is %v", h, truth)
		}
	}
	if len(here) != len(truth) {
		v.t.Errorf("the store has %d present, truth is %v", len(here), truth)
	}
}

// TestVisits is people coming and going while functions are cut off at every other call, jobs come twice and in any order,
// connections are lost without a word, and frames overtake each other. Afterwards everybody who is still there must have
// seen every event once, and presence must be true: in the log, in the store, and in the eyes of every client.
//
// go test ./internal/hub -run TestVisits -seeds 10000
func TestVisits(t *testing.T) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for seed := *from; seed < *from+*seeds; seed++ {
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			v := newVisits(t, seed)
			for range 120 {
				v.act()
			}
			v.settle()
			v.check()
		})
		if !ok {
			t.Fatalf("again: go test ./internal/hub -run TestVisits -from %d -seeds 1", seed)
		}
	}
}
