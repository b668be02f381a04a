package simulation

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
	"github.com/bellhop-rt/bellhop/internal/store/rows/rowstest"
)

// settings are what a seed decides before anything happens.
type settings struct {
	limits       hub.Limits
	kinds        hub.Kinds
	sockets      socketio.Options
	users        int
	rooms        []string // those that clients choose from, and those of the users
	trouble      time.Duration
	actions      int
	inSteps      bool // the log appends in steps
	onDisk       bool // the store has a file, on a disk that is full now and then
	hooked       bool // the owner is asked who may join and publish
	quick, usual time.Duration
	shortTokens  float64
	otherKeeps   hub.Kinds // what a deployment changes; nil: nothing
}

// faults are the probabilities of what may go wrong, of each call or frame.
type faults struct {
	slow, stuck, freeze, crash, refuse, unknown      float64 // calls of the hub's
	lost                                             float64 // answers to calls of the log, which are done again
	throttle, postLost, postUnknown                  float64 // posts
	lateFrame, netLoss, noDisconnect, lateDisconnect float64 // the network
	lateJob, twice                                   float64 // queues and triggers
}

// plant is a bug to find.
type plant struct {
	pushesFirst    bool // an event is logged after it was pushed
	counts         bool // presence counts arrivals and departures
	joinsLate      bool // a member is written after the log was read
	remembersLater bool // an id is remembered after its event was written
	countsTwice    bool // a count does not know what was counted before it
	forgetsFloor   bool // it is not written down that what comes is kept for another time
	forgetsTokens  bool // members are not written down with the end of their tokens
	forgetsLeaves  bool // a row does not remember when its client asked to leave a room
	recoversAll    bool // recovery asks nobody whether the user may still join
	repeatsAll     bool // a repetition is not asked about
	forgetsNewer   bool // what is pending is taken for pushed, though more was logged meanwhile
	keepsRefused   bool // what the disk did not take is there when it has room again
	departsYoung   bool // the first 410 of a connection that is only just opening departs it

	// of Socket.IO
	opensOnce       bool // the open packet is pushed once, whether the connection is there or not
	beatsNever      bool // nobody pings
	losesPongs      bool // what a client answers to a ping is not taken note of
	losesSeq        bool // events do not say where in their room they are
	anybodysPID     bool // a session is anybody's who knows its private id
	recoversNothing bool // a client that is recovered is in its rooms, and is not pushed what it missed

	answersOther   bool // what one socket of a connection has asked for is answered to the other
	endsBoth       bool // the end of one socket of a connection is taken for that of the other
	losesAnswers   bool // an answer to a question is not kept, now and then
	anybodysAnswer bool // answers to questions are kept without who has given them
	mixesCalls     bool // what the application has answered to one call is the answer to the next

	arrivals int
}

// swallows: a push says that it worked, and did nothing.
func (p plant) swallows(inv *invocation, s *socket, frame []byte) bool {
	switch {
	case p.opensOnce:
		return frame[0] == '0' && s.server == opening
	case p.recoversNothing:
		return inv.name == s.id+" CONNECT" && bytes.HasPrefix(frame, []byte("42"))
	}
	return false
}

// seqOf finds the seq in an EVENT.
var seqOf = regexp.MustCompile(`"seq":[0-9]+,`)

// newWorld draws a world from its seed. Each fault is left out of half the worlds, so that those which need quiet around
// them are found too.
func newWorld(seed uint64, p plant, traced bool) *world {
	w := &world{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0xbe11)), start: time.Now(), live: map[int]*invocation{}, traced: traced, taken: map[string]bool{},
		stats: stats{faults: map[string]int{}}, disk: &rowstest.Disk{},
	}
	w.ledger = &ledger{w: w, rooms: map[string]*roomLedger{}, questions: newQuestions()}
	w.gateway = &gateway{w: w, sockets: map[string]*socket{}, frames: map[string]*inbound{}}
	w.queue = &queue{w: w}
	w.program = &program{w: w}
	w.owner = &owner{w: w, banned: map[string]time.Duration{}, muted: map[string]time.Duration{}, calls: map[string]string{}}
	w.settings = w.drawSettings()
	w.rates = w.drawFaults()
	w.onDisk = w.onDisk || p.keepsRefused
	w.inSteps = w.inSteps && !p.keepsRefused
	w.store = &store{w: w, plant: p}
	w.openStore()
	if w.inSteps || p.pushesFirst || p.remembersLater || p.countsTwice || p.forgetsFloor {
		w.store.log = &stepped{w: w, rooms: map[string]*steppedRoom{}}
	}
	w.newSandboxes(2)
	return w
}

// openStore has the store in a file, or in memory.
func (w *world) openStore() {
	path := ""
	if w.onDisk {
		folder, err := os.MkdirTemp("", "world")
		if err != nil {
			panic(err)
		}
		w.folder, path = folder, filepath.Join(folder, "data")
	}
	kept, err := bolt.Open(path, bolt.Options{Now: time.Now, FlushEvery: -1, Disk: w.disk, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	w.store.real = kept
}

// close ends what is outside of the world.
func (w *world) close() {
	if err := w.store.real.(*bolt.Store).Close(); err != nil {
		panic(err)
	}
	if w.folder != "" {
		_ = os.RemoveAll(w.folder)
	}
}

// fillDisk has no room on the disk for a while.
func (w *world) fillDisk() {
	if w.calm {
		return
	}
	w.stats.faults["disk full"]++
	w.logf("the disk is full")
	w.disk.Fill(true)
	w.after(w.between(10*time.Millisecond, 20*time.Second), w.emptyDisk)
}

func (w *world) emptyDisk() {
	w.logf("the disk has room")
	w.disk.Fill(false)
}

func (w *world) drawSettings() settings {
	s := settings{
		users: 3 + w.rng.IntN(4), actions: 30 + w.rng.IntN(50), trouble: w.between(2*time.Minute, 15*time.Minute),
		inSteps: w.chance(0.7), quick: time.Millisecond, usual: 10 * time.Millisecond,
		kinds: hub.Kinds{
			"user":      {Owner: true, Keep: 24 * time.Hour, Typing: hub.DefaultTyping},
			"channel":   {Keep: 24 * time.Hour, Typing: hub.DefaultTyping},
			"community": {Presence: true, Keep: time.Hour, Typing: hub.DefaultTyping},
		},
		limits: hub.Limits{Rate: 1000, Burst: 1000, Lifetime: 2 * time.Hour},
		rooms:  []string{"community:1"},
	}
	if w.chance(0.3) {
		s.usual = 100 * time.Millisecond
	}
	if w.chance(0.7) {
		s.rooms = append(s.rooms, "channel:1")
	}
	if w.chance(0.2) {
		s.rooms = append(s.rooms, "community:2")
	}
	if w.chance(0.5) {
		s.limits.Inline, s.limits.Page, s.limits.Shard = 2+w.rng.IntN(2), 2+w.rng.IntN(2), 3+w.rng.IntN(4)
	}
	if w.chance(0.2) {
		s.limits.Rate, s.limits.Burst = 10, 20
	}
	if w.chance(0.2) {
		s.limits.Lifetime = w.between(3*time.Minute, 8*time.Minute)
	}
	if w.chance(0.2) {
		s.kinds["channel"] = hub.Kind{Keep: time.Minute + w.between(0, 5*time.Minute), Typing: hub.DefaultTyping}
		// An end of presence is known to have been announced for as long as ids are remembered. A job may come as late as its
		// queue allows, so it has to be longer than that.
		s.kinds["community"] = hub.Kind{Presence: true, Keep: visibility*maxReceives + w.between(5*time.Minute, 30*time.Minute), Typing: hub.DefaultTyping}
	}
	if w.chance(0.6) {
		s.otherKeeps = maps.Clone(s.kinds)
		s.otherKeeps["channel"] = hub.Kind{Keep: time.Minute + w.between(0, time.Minute), Typing: hub.DefaultTyping}
		s.otherKeeps["community"] = hub.Kind{Presence: true, Keep: visibility*maxReceives + w.between(5*time.Minute, 10*time.Minute), Typing: hub.DefaultTyping}
		if w.chance(0.7) { // what was kept for a short time is to be kept for a long one
			s.kinds, s.otherKeeps = s.otherKeeps, s.kinds
		}
	}
	if w.chance(0.2) {
		s.shortTokens = 0.3
	}
	s.hooked = w.chance(0.3)
	s.onDisk = w.chance(0.2)
	s.sockets.Namespaces = []string{side}
	if w.chance(0.3) {
		s.sockets.KeepAlive = socketio.Noop
	}
	w.drawWaits(&s)
	return s
}

// drawWaits says what waits to be pushed with others, in rooms that are large and busy for this world.
func (w *world) drawWaits(s *settings) {
	s.limits.Dots, s.limits.Busy = 1+w.rng.IntN(3), 1+w.rng.IntN(2)
	lazy, coalesce := time.Duration(0), time.Duration(0)
	if w.chance(0.6) {
		lazy = w.between(time.Second, time.Minute)
	}
	if w.chance(0.6) {
		coalesce = w.between(50*time.Millisecond, time.Second)
	}
	for _, kinds := range []hub.Kinds{s.kinds, s.otherKeeps} {
		for _, name := range []string{"channel", "community"} {
			if k, is := kinds[name]; is && k.Keep >= hub.KeepToWait {
				k.Coalesce, k.Typing = coalesce, s.limits.Dots
				if k.Presence {
					k.Lazy = lazy
				}
				kinds[name] = k
			}
		}
	}
}

func (w *world) drawFaults() faults {
	p := func(most float64) float64 {
		if w.chance(0.5) {
			return 0
		}
		return most * w.rng.Float64()
	}
	return faults{
		slow: p(0.1), stuck: p(0.02), freeze: p(0.01), crash: p(0.02), refuse: p(0.03), unknown: p(0.03), lost: p(0.05),
		throttle: p(0.1), postLost: p(0.1), postUnknown: p(0.1),
		lateFrame: p(0.1), netLoss: p(0.2), noDisconnect: p(0.5), lateDisconnect: p(0.5), lateJob: p(0.3), twice: p(0.1),
	}
}

// How long the world has to heal: a job may have to be tried as often as its queue allows, 6 minutes apart, and a
// connection may be found gone only by the sweep after its silence.
const (
	sweepEvery = 5 * time.Minute
	asyncTries = 3
	healing    = 50 * time.Minute
	rest       = 10 * time.Minute // at its end, in which no connection has to end: nobody is on the way when all is checked
)

// play runs the world from its beginning to its judgement.
func (w *world) play() {
	w.cast()
	w.after(w.between(0, sweepEvery), w.sweep)
	if w.otherKeeps != nil {
		w.after(w.between(w.trouble/4, w.trouble), w.changeKeeps)
	}
	for n := 0; w.onDisk && n < 1+w.actions/10; n++ {
		w.after(w.between(0, w.trouble), w.fillDisk)
	}
	for left := w.actions; left > 0; {
		at := w.between(0, w.trouble)
		for range min(left, 1+w.rng.IntN(5)) { // what happens together is what goes wrong
			w.after(at+w.between(0, 200*time.Millisecond), w.act)
			left--
		}
	}
	w.run(w.trouble)
	w.calm = true
	w.disk.Fill(false)
	w.logf("calm")
	w.decide()
	w.run(w.trouble + healing - rest)
	for _, d := range w.devices {
		if d.isOpen {
			d.renew()
		}
	}
	w.run(w.trouble + healing)
	w.ledger.checkDelivered()
	w.program.publish(w.rooms, nil) // shows everybody what they have missed
	w.run(w.trouble + healing + 2*time.Minute)
	w.ledger.check()
	w.stop()
}

// cast makes the users and their devices.
func (w *world) cast() {
	names := []string{"ana", "bob", "carla", "dan", "eve", "finn"}
	for u := range w.users {
		user := names[u]
		for n := range 1 + w.rng.IntN(2) {
			d := &device{
				w: w, name: fmt.Sprintf("%s-%d", user, n+1), user: user, careless: w.chance(0.3), hasty: w.chance(0.4),
				rooms: map[string]*view{}, requests: map[string]*request{},
			}
			if w.chance(1.0 / 3) {
				d.socketIO = &socketIO{query: w.chance(0.3)}
			}
			d.view(protocol.UserRoom(user)).wanted = true
			for _, room := range w.rooms {
				d.view(room).wanted = w.chance(0.8)
			}
			w.devices = append(w.devices, d)
			w.after(w.between(0, 2*time.Second), d.goOnline)
		}
	}
	for u := range w.users {
		w.rooms = append(w.rooms, protocol.UserRoom(names[u]))
	}
}

// changeKeeps deploys the functions anew, one after the other, and perhaps takes it back some time later.
func (w *world) changeKeeps() {
	w.kinds, w.otherKeeps = w.otherKeeps, w.kinds
	w.logf("deploy: logs are kept for %v and %v", w.kinds["channel"].Keep, w.kinds["community"].Keep)
	for i := range w.sandboxes {
		kinds := w.kinds
		w.after(w.between(0, 5*time.Second), func() { w.deploy(i, kinds) })
	}
	if w.chance(0.8) && !w.calm {
		w.after(w.between(time.Minute, 6*time.Minute), w.changeKeeps)
	}
}

// forbid has a user do something in a room, and forbids it meanwhile.
func (w *world) forbid(d *device) {
	room := w.shared()
	if w.chance(0.5) {
		d.publish(room, protocol.MessageNew, fmt.Sprintf("%s.f%d", d.name, w.stats.acts), `{"last":"words"}`)
		w.after(w.between(0, 500*time.Millisecond), func() { w.owner.mute(d.user, room) })
		return
	}
	d.disconnect(false)
	w.after(w.between(0, 3*time.Second), func() { w.owner.ban(d.user, room) })
}

// shared are the rooms that are not of one user.
func (w *world) shared() string {
	for {
		if room := w.rooms[w.rng.IntN(len(w.rooms))]; protocol.RoomKind(room) != "user" {
			return room
		}
	}
}

// act does one of the things that happen.
func (w *world) act() {
	w.stats.acts++
	d := w.devices[w.rng.IntN(len(w.devices))]
	switch n := w.rng.IntN(100); {
	case n < 30:
		room := w.shared()
		w.program.n++
		data := fmt.Sprintf(`{"n":%d}`, w.program.n)
		d.publish(room, protocol.MessageNew, fmt.Sprintf("%s.m%d", d.name, w.program.n), data)
	case n < 33:
		d.squat(w.shared())
	case n < 35:
		d.deleteMessage()
	case n < 45:
		w.program.publish([]string{w.shared()}, []string{d.user})
	case n < 53:
		d.goOffline(w.chance(0.5))
		if w.chance(0.7) {
			w.after(w.between(0, 20*time.Second), d.goOnline)
		}
	case n < 63:
		d.goOnline()
	case n < 68: // the network goes, and the client finds out and comes back
		d.disconnect(false)
	case n < 70: // the network goes, and only API Gateway finds out
		if s := d.sock; s != nil {
			s.cut = true
			w.after(w.between(time.Second, time.Minute), func() { w.gateway.close(s, "network") })
		}
	case n < 80:
		v := d.view(w.shared())
		v.wanted = !v.wanted
		d.tend(v)
		for range w.rng.IntN(3) { // changes its mind
			w.after(w.between(0, 300*time.Millisecond), func() {
				v.wanted = !v.wanted
				d.tend(v)
			})
		}
	case n < 84:
		d.setStatus()
	case n < 86:
		d.comeTwice()
	case n < 90:
		d.type_(w.shared())
	case n < 92 && w.hooked:
		d.call()
	case n < 94:
		w.program.ask(hub.Selection{Rooms: []string{w.shared()}})
	case n < 96 && w.hooked:
		w.forbid(d)
	case n < 97:
		w.program.emit(hub.DisconnectCommand{Selection: hub.Selection{User: d.user}, Reason: "kicked"})
	default:
		w.sweepNow()
	}
}

func (d *device) setStatus() {
	if !d.isOpen {
		return
	}
	status := []string{"online", "away", "busy"}[d.w.rng.IntN(3)]
	d.ask("presence", fmt.Sprintf(`"status":%q`, status), "", func(*inbound) {}, func() {})
}

func (d *device) type_(room string) {
	if d.isOpen {
		d.w.gateway.send(d.sock, "signal", d.frame("signal", "", "", fmt.Sprintf(`"room":%q,"event":"typing:start"`, room)), false)
	}
}

// decide settles who stays.
func (w *world) decide() {
	for _, d := range w.devices {
		if w.chance(0.7) {
			d.goOnline()
		} else {
			d.goOffline(w.chance(0.5))
		}
	}
}

func (w *world) sweep() {
	w.after(sweepEvery, w.sweep)
	w.sweepNow()
	if w.fault("sweep twice", w.rates.twice) {
		w.after(w.between(0, 100*time.Millisecond), w.sweepNow)
	}
}

// sweepNow is an asynchronous invocation, which Lambda tries three times in all.
func (w *world) sweepNow() { w.trySweep(1) }

func (w *world) trySweep(try int) {
	w.invoke("sweep", sweepTimeout, try == asyncTries, func(ctx context.Context, box sandbox) { _, _ = box.hub.Sweep(ctx) }, func(ok bool) {
		if !ok && try < asyncTries {
			w.after(time.Duration(try)*time.Minute, func() { w.trySweep(try + 1) })
		}
	})
}
