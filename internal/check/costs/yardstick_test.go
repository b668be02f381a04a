package costs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// yardstick is 1,000 users for 8 hours on 30 days, each in 3 rooms of 50 with presence, with 10 messages a day.
func yardstick() cost.Load {
	l := cost.DefaultLoad()
	l.Users, l.Rooms, l.Joined, l.Messages, l.Presence = 1000, 60, 3, 10.0/8, true
	return l
}

// day is the working day of a load at work: its clients do what the load says, at random times, and whatever they cause is counted by the
// part of the bill that it belongs to. Everybody is there at the same time, as the load has it: whoever goes home comes back some minutes
// later, at a time of the day that is everybody's own.
type day struct {
	*account
	load    cost.Load
	random  *rand.Rand
	began   time.Time
	events  []happening
	people  map[string]*person // by connection
	parts   map[string]cost.Usage
	counts  map[string]float64
	opened  int
	asked   int
	counted bool
}

// happening is something that is to be done at a time.
type happening struct {
	at time.Time
	do func()
}

// person is a user, with the connection of the moment.
type person struct {
	hub.Caller

	rooms  []string
	seen   map[string]protocol.Position // by room, what the client has
	listed bool                         // it knows who is there, by the present connection
	active []span                       // when the page is used
	away   bool                         // nothing is connected
	hidden time.Time                    // until when the page is
	paused bool                         // nothing is pushed but to the user's own room
	heard  []time.Time                  // frames, while it was looking
	opened []time.Time
	asked  []time.Time // actions, while the page was seen
}

type span struct{ from, to time.Time }

const workday = 8 * time.Hour

func newDay(t testing.TB, l cost.Load) *day {
	t.Helper()
	d := &day{
		account: newAccount(t, socketio.Options{}), load: l, random: rand.New(rand.NewPCG(1, 2)),
		people: map[string]*person{}, parts: map[string]cost.Usage{}, counts: map[string]float64{},
	}
	d.Worker = func(ctx context.Context, j hub.Job) error {
		part, err := d.partOf(ctx, j)
		if err != nil {
			return err
		}
		d.spend(part, deliverMB, 0, func() int { //nolint:contextcheck // the test's
			err = d.work(j)
			return 0
		})
		body, encodeErr := j.Encode()
		if encodeErr != nil {
			return encodeErr
		}
		d.add(part, cost.Usage{SQSRequests: float64(cost.Requests(len(body))) + 2})
		return err
	}
	return d
}

// partOf says what a job belongs to.
func (d *day) partOf(ctx context.Context, j hub.Job) (string, error) {
	switch j.Kind {
	case hub.JobAbsence:
	case hub.JobFlush: // of what waits, all is about presence here
		return cost.FlowPresence, nil
	default:
		return string(j.Kind), nil
	}
	here, err := d.Store.Here(ctx, j.Room, j.User)
	if err == nil && len(here.Connections()) > 0 {
		return cost.FlowGrace, nil
	}
	return cost.FlowPresence, err
}

func (d *day) add(part string, u cost.Usage) {
	if d.counted {
		d.parts[part] = d.parts[part].Plus(u)
	}
}

// spend runs one invocation, and counts it. Jobs stay in the queue until they are due.
func (d *day) spend(part string, mb float64, in int, do func() int) {
	d.TB.Helper()
	logged, now := d.logs.Len(), d.Clock.Now()
	d.heardBy(d.Network.Take(), now)
	began := d.meter.Usage()
	l := d.load
	if err := d.metrics.Flush(); err != nil {
		d.TB.Fatal(err)
	}
	reply := do()
	if err := d.metrics.Flush(); err != nil {
		d.TB.Fatal(err)
	}
	pushes := d.Network.Take()
	u := d.meter.Usage().Minus(began)
	ms := l.LambdaMs + math.Ceil(float64(len(pushes))/64)*l.PushMs
	u.LambdaRequests, u.LambdaGBSeconds = u.LambdaRequests+1, u.LambdaGBSeconds+ms/1000*mb/1024
	u.SQSRequests = 0 // counted when they are done
	for _, p := range pushes {
		u = u.Plus(sent(len(p.Frame)))
	}
	if in > 0 {
		u.MessagesIn += float64(cost.Messages(in))
	}
	if reply > 0 {
		u = u.Plus(sent(reply))
	}
	u.LogBytes = float64(d.logs.Len() - logged)
	d.add(part, u)
	if d.counted {
		d.counts[part]++
	}
	d.heardBy(pushes, now)
	if d.logs.Len() > 1<<20 {
		d.logs.Reset()
	}
}

// heardBy notes what clients hear: when, and up to where they have a room.
func (d *day) heardBy(pushes []hubtest.Push, at time.Time) {
	var (
		frame  []byte
		events []protocol.Event
	)
	for _, p := range pushes {
		who := d.people[p.Connection]
		if who == nil {
			continue
		}
		who.heard = append(who.heard, at)
		if len(frame) == 0 || &frame[0] != &p.Frame[0] { // one frame is for many
			frame, events = p.Frame, hubtest.Events(p.Frame)
		}
		for _, e := range events {
			if at, is := who.seen[e.Room]; is && e.Seq > at.Seq {
				at.Seq = e.Seq
				who.seen[e.Room] = at
			}
		}
	}
}

// at has something done at a time.
func (d *day) at(at time.Time, do func()) {
	i, _ := slices.BinarySearchFunc(d.events, at, func(h happening, at time.Time) int { return cmp.Or(h.at.Compare(at), -1) })
	d.events = slices.Insert(d.events, i, happening{at, do})
}

// by has a person do something at a time, or when it is back.
func (d *day) by(p *person, at time.Time, do func()) {
	d.at(at, func() {
		if p.away {
			d.by(p, at.Add(4*time.Minute), do)
			return
		}
		do()
	})
}

// run does what is to be done until a time, and the jobs that are due meanwhile.
func (d *day) run(until time.Time) {
	d.TB.Helper()
	for len(d.events) > 0 && !d.events[0].at.After(until) {
		next := d.events[0]
		d.events = d.events[1:]
		d.Pass(max(0, next.at.Sub(d.Clock.Now())))
		next.do()
	}
	d.Pass(max(0, until.Sub(d.Clock.Now())))
}

// open connects a person anew. first: for the first time of the day.
func (d *day) open(p *person) {
	d.opened++
	now := d.Clock.Now()
	p.Caller = hub.Caller{Connection: fmt.Sprintf("c-%09d=", d.opened), User: p.User, Name: p.User, Expires: now.Add(12 * time.Hour)}
	d.people[p.Connection] = p
	p.opened = append(p.opened, now)
	if p.paused, p.listed = false, false; now.Before(p.hidden) {
		d.pause(p)
	}
	d.spend(cost.FlowConnects, smallMB, 0, func() int { return 0 }) // the authorizer
	d.spend(cost.FlowConnects, smallMB, 0, func() int { return d.event(route.Connect(d.Hub, d.sockets, d.log), p.Caller, "") })
}

// enter joins all rooms, with one frame as the client does; with another what that had no space for.
func (d *day) enter(p *person, part string, since bool) {
	d.TB.Helper()
	type joining struct {
		Room   string             `json:"room"`
		Since  *protocol.Position `json:"since,omitempty"`
		Listed bool               `json:"listed,omitempty"`
	}
	var left []joining
	for _, room := range p.rooms {
		j := joining{Room: room}
		if since {
			at := p.seen[room]
			j.Since, j.Listed = &at, p.listed
		}
		left = append(left, j)
	}
	for len(left) > 0 {
		d.asked++
		frame, err := json.Marshal(map[string]any{"action": "join", "id": fmt.Sprint("j", d.asked), "rooms": left})
		if err != nil {
			d.TB.Fatal(err)
		}
		var answer struct {
			Data struct {
				Rooms []protocol.JoinResult `json:"rooms"`
			} `json:"data"`
		}
		d.spend(part, messageMB, len(frame), func() int {
			out := d.Receive(d.TB.Context(), p.Caller, frame)
			if err := json.Unmarshal(out, &answer); err != nil || len(answer.Data.Rooms) == 0 {
				d.TB.Fatalf("%s: %v", out, err)
			}
			return len(out)
		})
		p.heard = append(p.heard, d.Clock.Now())
		d.asks(p)
		var more []joining
		for i, r := range answer.Data.Rooms {
			if r.Room != left[i].Room || since && !r.Recovered {
				d.TB.Fatalf("%s was not recovered", left[i].Room)
			}
			at := protocol.Position{Epoch: r.Epoch, Seq: r.Seq}
			p.seen[r.Room] = at
			if r.More {
				more = append(more, joining{r.Room, &at, p.listed})
				d.Clock.Pass(time.Duration(r.WaitMs) * time.Millisecond)
			}
		}
		left = append(more, left[len(answer.Data.Rooms):]...)
	}
	p.listed = true
}

func (d *day) close(p *person, part string) {
	delete(d.people, p.Connection)
	d.leave(p.Caller, part)
}

// leave ends a connection.
func (d *day) leave(c hub.Caller, part string) {
	d.Network.Cut(c.Connection)
	d.spend(part, smallMB, 0, func() int { return d.event(route.Disconnect(d.Hub, d.sockets, d.log), c, "") })
}

// says is an action of a person's, with an answer or without.
func (d *day) says(p *person, part, frame string) {
	d.spend(part, messageMB, len(frame), func() int { return d.send(p.Caller, frame) })
	d.asks(p)
	if strings.Contains(frame, `"id"`) {
		p.heard = append(p.heard, d.Clock.Now())
	}
}

func (d *day) asks(p *person) {
	if now := d.Clock.Now(); !now.Before(p.hidden) {
		p.asked = append(p.asked, now)
	}
}

// live is one person's working day. It is a circle: at home the person leaves, and some minutes later comes as on the next day.
func (d *day) live(p *person, home time.Time) {
	within := func(offset time.Duration) time.Time { return d.began.Add(offset % workday) }
	d.at(home, func() {
		p.away = true
		d.close(p, cost.FlowConnects)
	})
	d.at(home.Add(3*time.Minute+time.Duration(d.random.Int64N(int64(4*time.Minute)))), func() {
		p.away = false
		d.open(p)
		d.enter(p, "arrivals", false)
	})
	for n := range 4 { // the client opens another connection before the gateway ends one after two hours
		d.at(within(home.Sub(d.began)+time.Duration(n+1)*114*time.Minute), func() {
			old := p.Caller
			delete(d.people, old.Connection)
			d.open(p)
			d.enter(p, cost.FlowJoins, true)
			d.at(d.Clock.Now().Add(10*time.Second), func() { d.leave(old, cost.FlowConnects) })
		})
	}
	stretch := time.Duration(float64(workday) / d.load.Hides)
	shift := time.Duration(d.random.Int64N(int64(stretch)))
	used := time.Duration(d.load.Active * float64(time.Hour) / d.load.Hides)
	for n := range int(d.load.Hides) {
		from := within(shift + time.Duration(n)*stretch)
		p.active = append(p.active, span{from, from.Add(used)})
		if d.load.Hidden > 0 {
			looks := time.Duration(float64(stretch) * (1 - d.load.Hidden))
			d.hide(p, within(shift+time.Duration(n)*stretch+looks), within(shift+time.Duration(n+1)*stretch))
		}
	}
	for n := range int(math.Round(d.load.Messages * d.load.Hours)) {
		at := p.active[n%len(p.active)].from.Add(time.Second + time.Duration(d.random.Int64N(int64(used))))
		d.by(p, at, func() { d.write(p, p.rooms[n%len(p.rooms)]) })
	}
}

// write is a message, with the signals that go before it.
func (d *day) write(p *person, room string) {
	now := d.Clock.Now()
	for n := range int(d.load.Typing) {
		d.by(p, now.Add(time.Duration(n)*10*time.Second), func() {
			d.says(p, cost.FlowTyping, `{"action":"signal","room":"`+room+`","event":"typing:start"}`)
		})
	}
	d.by(p, now.Add(time.Duration(d.load.Typing)*8*time.Second), func() {
		d.asked++
		d.says(p, cost.FlowMessages, message(fmt.Sprintf(`"id":"m%d",`, d.asked), room))
	})
}

// hide has the page hidden from a time to another.
func (d *day) hide(p *person, from, to time.Time) {
	if to.Before(from) {
		d.hide(p, from, d.began.Add(workday))
		from = d.began
	}
	d.at(from, func() {
		p.hidden = to
		d.pause(p)
	})
	d.by(p, to, func() {
		if p.paused {
			p.paused = false
			d.enter(p, cost.FlowPauses, true)
		}
	})
}

// pause asks for nothing any more, if the page is still hidden in a minute.
func (d *day) pause(p *person) {
	d.at(d.Clock.Now().Add(time.Minute), func() {
		if p.away || p.paused || !d.Clock.Now().Before(p.hidden) {
			return
		}
		d.asked++
		p.paused = true
		d.says(p, cost.FlowPauses, fmt.Sprintf(`{"action":"pause","id":"p%d"}`, d.asked))
	})
}

// pings are those that the client sends in a person's day, by its rule: after nine minutes without a frame, and after 40 s while somebody
// uses the page, which moves a pointer every ten seconds, or after it has asked for something while it was seen. A use after a longer silence
// asks at once.
func (d *day) pings(p *person) (n int) {
	const idle, quiet = 9 * time.Minute, 40 * time.Second
	slices.SortFunc(p.heard, time.Time.Compare)
	uses := slices.Clone(p.asked)
	for _, s := range p.active {
		uses = append(uses, s.from)
		for at := s.from.Add(time.Second); at.Before(s.to); at = at.Add(10 * time.Second) {
			uses = append(uses, at)
		}
	}
	slices.SortFunc(uses, time.Time.Compare)
	last, used, next := d.began, false, 0
	for _, at := range append(p.heard, d.began.Add(workday)) {
		for {
			due := last.Add(idle) // without a use
			if used {
				due = last.Add(quiet)
			} else if next < len(uses) && uses[next].Before(at) && uses[next].Before(due) {
				if since := uses[next].Sub(last); since < quiet { // it is asked about when it is longer
					used = true
					next++
					continue
				}
				due = uses[next] // it is asked about at once
				next++
			}
			if !due.Before(at) {
				break
			}
			last, used, n = due, false, n+1 // the pong
			for next < len(uses) && uses[next].Before(last) {
				next++
			}
		}
		for next < len(uses) && uses[next].Before(at) {
			used = true
			next++
		}
		last = at
	}
	return n
}

// work lets a day pass, and gives what each part of the bill has used.
func (d *day) pass() map[string]cost.Usage {
	l := d.load
	var people []*person
	for i := range int(l.Users) {
		p := &person{Caller: hub.Caller{User: fmt.Sprintf("user-%05d", i)}, seen: map[string]protocol.Position{}}
		for k := range int(l.Joined) { // each room gets as many members
			p.rooms = append(p.rooms, fmt.Sprintf("community:%d", (i+k*int(l.Rooms)/int(l.Joined))%int(l.Rooms)))
		}
		d.open(p)
		d.enter(p, "", false)
		people = append(people, p)
	}
	d.run(d.Clock.Now().Add(time.Minute))
	for _, p := range people {
		p.heard, p.asked, p.opened = nil, nil, nil
	}
	d.counted, d.began = true, d.Clock.Now()
	for _, p := range people {
		d.live(p, d.began.Add(time.Duration(d.random.Int64N(int64(workday)))))
	}
	for at := d.began; at.Before(d.began.Add(workday)); at = at.Add(5 * time.Minute) {
		d.at(at, d.sweep)
	}
	d.run(d.began.Add(workday + 10*time.Minute))
	for _, p := range people {
		n := float64(d.pings(p))
		d.add(cost.FlowPings, cost.Usage{MessagesIn: n, MessagesOut: n, BytesOut: n * 16})
	}
	d.counted, d.events = false, nil
	for _, p := range people {
		d.close(p, "")
	}
	d.run(d.Clock.Now().Add(5 * time.Minute))
	d.counted = true
	for range int((24*time.Hour - workday) / (5 * time.Minute)) { // of the night
		d.sweep()
	}
	d.add(cost.FlowMinutes, cost.Usage{ConnectionMinutes: l.Users * workday.Minutes()})
	return d.parts
}

// sweep is one of every five minutes. What it asks API Gateway takes as long as pushes do.
func (d *day) sweep() {
	var asked atomic.Int64
	d.Network.Fail(func(c hubtest.Call) error {
		if c.Frame == nil {
			asked.Add(1)
		}
		return nil
	})
	defer d.Network.Fail(nil)
	d.spend(cost.FlowSweeps, smallMB, 0, func() int {
		if _, err := route.Sweep(d.Hub, d.log).Invoke(d.TB.Context(), []byte("{}")); err != nil {
			d.TB.Fatal(err)
		}
		return 0
	})
	d.add(cost.FlowSweeps, cost.Usage{LambdaGBSeconds: math.Ceil(float64(asked.Load())/64) * d.load.PushMs / 1000 * smallMB / 1024})
}

// ledger is a month of such days by the flows of the model. What arrivals cost beyond other joins is what they are told with.
func (d *day) ledger() map[string]cost.Usage {
	parts := d.pass()
	join, came := parts[cost.FlowJoins].Times(1/d.counts[cost.FlowJoins]), parts["arrivals"]
	parts[cost.FlowJoins] = parts[cost.FlowJoins].Plus(join.Times(d.counts["arrivals"]))
	parts[cost.FlowPresence] = parts[cost.FlowPresence].Plus(came.Minus(join.Times(d.counts["arrivals"])))
	delete(parts, "arrivals")
	for part, u := range parts {
		parts[part] = u.Times(d.load.Days)
	}
	return parts
}

// TestYardstick holds the load model against a day of clients whose every use is counted: each part of the bill is within 5 %. The day is of
// a tenth of the users and rooms.
func TestYardstick(t *testing.T) {
	for name, hidden := range map[string]float64{"everybody looks": 0, "half is hidden": 0.5} {
		t.Run(name, func(t *testing.T) {
			l := yardstick()
			l.Hidden, l.Users, l.Rooms = hidden, l.Users/10, l.Rooms/10
			got, total, want := newDay(t, l).ledger(), 0.0, 0.0
			for _, f := range l.Flows() {
				measured, model := got[f.Name].Bill().Dollars, f.Usage.Bill().Dollars
				if f.Name == cost.FlowWatching { // which no client causes
					continue
				}
				total, want = total+measured, want+model
				t.Logf("%-12s measured $%.4f, the model says $%.4f (%+.1f %%)", f.Name, measured, model, 100*(model/measured-1))
				if math.Abs(model-measured) > 0.05*measured {
					t.Errorf("%s: measured $%.4f, the model says $%.4f\n%+v\n%+v", f.Name, measured, model, got[f.Name], f.Usage)
				}
				delete(got, f.Name)
			}
			t.Logf("%-12s measured $%.4f, the model says $%.4f", "all", total, want)
			for part, u := range got {
				t.Errorf("the model has no %s: $%.4f", part, u.Bill().Dollars)
			}
		})
	}
}
