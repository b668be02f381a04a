package cost_test

import (
	"math"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/cost"
)

// thousand is 1,000 users for 8 hours on 30 days, in 3 of 60 rooms each, with 10 messages a day to 50 members: a scenario
// whose numbers were computed by hand for all of the services.
func thousand() cost.Load {
	return cost.Load{Users: 1000, Hours: 8, Days: 30, Rooms: 60, Joined: 3, Messages: 1.25, Bytes: 300, LambdaMs: 25, PushMs: 10, TypingUpTo: 100}
}

func TestLoad(t *testing.T) {
	l := thousand()
	for what, n := range map[string][2]float64{
		"members":     {l.Members(), 50},
		"published":   {l.Published(), 0.3e6},
		"deliveries":  {l.Deliveries(), 15e6},
		"minutes":     {l.Minutes(), 14.4e6},
		"connections": {l.Connects(), 0.15e6}, // 5 a day, of nearly 2 hours
	} {
		if !near(n[0], n[1]) {
			t.Errorf("%s: got %g, want %g", what, n[0], n[1])
		}
	}
	want := map[string]cost.Usage{
		cost.FlowMinutes: {ConnectionMinutes: 14.4e6},
		// 3 functions; 25 ms of 256 MB each; 2 to open, 1 to begin the end, 4 rooms, 1 to forget.
		cost.FlowConnects: {LambdaRequests: 450e3, LambdaGBSeconds: 2812.5, WriteUnits: 150e3 * 8, LogBytes: 150e3 * (415 + 434)},
		// Three rooms in one frame, and in one write of the connection's row.
		cost.FlowJoins: {
			MessagesIn: 150e3, MessagesOut: 150e3, BytesOut: 450e3 * 150, LambdaRequests: 150e3, LambdaGBSeconds: 1875,
			WriteUnits: 600e3, ReadUnits: 825e3, LogBytes: 150e3 * 231,
		},
		// A reply each; 50 pushes are one round of 10 ms; 50 rows of 80 bytes, and two more, are two read units.
		cost.FlowMessages: {
			MessagesIn: 300e3, MessagesOut: 15.3e6, BytesOut: 15e6*300 + 300e3*150, LambdaRequests: 300e3,
			LambdaGBSeconds: 300e3 * 0.035 / 2, WriteUnits: 1.2e6, ReadUnits: 0.9e6, LogBytes: 300e3 * 367,
		},
		cost.FlowTyping: {}, cost.FlowPresence: {}, cost.FlowGrace: {}, cost.FlowPauses: {}, cost.FlowHeartbeats: {},
		// A user hears 3 rooms × 5,000 messages in 14,400 minutes: one in 57.6 s. Silences of 9 minutes are one in 13,000 of these; and
		// one for each connection.
		cost.FlowPings: {MessagesIn: 151_273, MessagesOut: 151_273, BytesOut: 151_273 * 16},
		// 8,640 of them; a third of the users, 333 rows of 460 bytes at half the price, beside the 64 partitions and the note of how far it
		// is; 25 ms, and 2 rounds of GetConnection for 94 of them.
		cost.FlowSweeps: {
			LambdaRequests: 8640, LambdaGBSeconds: 8640 * 0.045 / 4, WriteUnits: 8640, ReadUnits: 8640 * (33 + 1000.0/3*460/8192), LogBytes: 8640 * 425,
		},
		// Five for each of two queues, each of which asks every 20 s.
		cost.FlowWatching: {SQSRequests: 1.296e6},
	}
	for _, f := range l.Flows() {
		if got, w := f.Usage, want[f.Name]; !alike(got, w) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", f.Name, got, w)
		}
		delete(want, f.Name)
	}
	if len(want) > 0 {
		t.Errorf("no flow for %v", want)
	}
}

// TestOptions: what each option adds or takes away.
func TestOptions(t *testing.T) {
	base := thousand()
	base.Typing = 1
	change := func(do func(l *cost.Load)) (cost.Load, cost.Usage) {
		l := base
		do(&l)
		return l, l.Usage().Minus(base.Usage())
	}
	_, u := change(func(l *cost.Load) { l.Presence = true })
	// 90,000 arrivals are told 50 members and as many departures 49, each of which is a job.
	if got := u.MessagesOut; math.Abs(got-90e3*99) > 100e3 || u.SQSRequests != 3*90e3 {
		t.Errorf("presence: got %g messages and %g requests of SQS", got, u.SQSRequests)
	}
	// In ten minutes 3.5 messages come from about three of 49 others.
	l, _ := change(func(l *cost.Load) { l.TypingUpTo = 49 })
	if got := (base.Usage().MessagesOut - l.Usage().MessagesOut) / 300e3; got < 45.5 || got > 46 {
		t.Errorf("typing is told to those who talk: %g messages less for a signal", got)
	}
	if !strings.Contains(l.String(), "only those are told who talk, in rooms of more than 49") {
		t.Errorf("it is not said: %s", l)
	}
	for _, none := range []func(*cost.Load){
		func(l *cost.Load) { l.TypingUpTo = 0 },
		func(l *cost.Load) { l.TypingUpTo, l.Rooms, l.Joined = 49, 4, 1 }, // of 250
	} {
		l, _ = change(none)
		silent := l
		silent.Typing = 0
		if got := l.Usage().MessagesOut - silent.Usage().MessagesOut; got != 0 || !strings.Contains(l.String(), "nobody is told in rooms of more") {
			t.Errorf("typing is told to nobody: %g messages; %s", got, l)
		}
	}
	l, _ = change(func(l *cost.Load) { l.Hidden, l.Hides = 0.5, 4 })
	if got := base.Deliveries() / l.Deliveries(); got < 1.8 || got > 2 {
		t.Errorf("half is hidden: %g times as many deliveries before", got)
	}
	// Every four minutes a job that writes a note, a ping, a pong that deletes it, and its answer; for six of these a job and a note more; no pings of the
	// client's own, and four connections a day, not five, with a write of the connection's row for each of three rooms.
	_, u = change(func(l *cost.Load) { l.Dialect = cost.SocketIO })
	if beats := 3.6e6; math.Abs(u.SQSRequests-3*beats*7/6-6*120e3) > 1 || math.Abs(u.WriteUnits-(beats*13/6+3*120e3-30e3*8+120e3*6-150e3*4)) > 1 {
		t.Errorf("Socket.IO: got %g requests of SQS and %g write units", u.SQSRequests, u.WriteUnits)
	}
	_, u = change(func(l *cost.Load) { l.Monitoring, l.Metrics, l.Tracing, l.KMS = cost.WatchEverything, true, true, true })
	if u.AlarmMetrics != 27 || u.Dashboards != 1 || u.Metrics != 18 || u.KeyRequests != 60480 {
		t.Errorf("watched: got %+v", u)
	}
	if requests := base.Usage().LambdaRequests; u.Traces < 864e3 || u.Traces > requests {
		t.Errorf("%g traces of %g invocations", u.Traces, requests)
	}
}

// TestTier: a message above a billion in a month is cheaper.
func TestTier(t *testing.T) {
	if got := (cost.Usage{MessagesIn: 0.5e9, MessagesOut: 1.5e9}).Bill().Dollars; !near(got, 1800) {
		t.Errorf("two billion messages are $%g, want $1,800", got)
	}
	if got := (cost.Usage{MessagesOut: 1e9}).Bill().Dollars; !near(got, 1000) {
		t.Errorf("a billion messages are $%g, want $1,000", got)
	}
}

func alike(a, b cost.Usage) bool {
	d := a.Minus(b).Plus(b.Minus(a))
	return math.Abs(d.MessagesIn+d.MessagesOut+d.ConnectionMinutes+d.LambdaRequests+d.LambdaGBSeconds+d.WriteUnits+d.ReadUnits+
		d.SQSRequests+d.EventBridgeEvents+d.BytesOut+d.LogBytes+d.Metrics+d.AlarmMetrics+d.Dashboards+d.Traces+d.KeyRequests) < 100
}

// TestLargeRoom: 1,500 members are 200 at once and two jobs; each reads its page of the members.
func TestLargeRoom(t *testing.T) {
	l := cost.Load{
		Users: 1500, Hours: 1, Days: 1, Rooms: 1, Joined: 1, Messages: 1, Typing: 1, Bytes: 2000, LambdaMs: 20, PushMs: 10, TypingUpTo: 2000,
	}
	for _, f := range l.Flows() {
		switch f.Name {
		case "messages":
			want := cost.Usage{
				MessagesIn: 1500, MessagesOut: 1500*1500 + 1500, BytesOut: 1500*1500*2000 + 1500*150, SQSRequests: 1500 * 2 * 3,
				LambdaRequests: 1500 * 3,
				// 4 rounds of pushes in 512 MB, and 16 in each of two jobs of 1,024 MB.
				LambdaGBSeconds: 1500*0.060/2 + 3000*0.180,
				WriteUnits:      1500 * 5, ReadUnits: 1500 * (1 + 4 + 26), LogBytes: 1500*367 + 3000*276,
			}
			if !alike(f.Usage, want) {
				t.Errorf("messages:\ngot  %+v\nwant %+v", f.Usage, want)
			}
		case "typing":
			if f.Usage.MessagesOut != 1500*1499 || f.Usage.WriteUnits != 0 || f.Usage.MessagesIn != 1500 {
				t.Errorf("typing: got %+v", f.Usage)
			}
		}
	}
}

func TestPeers(t *testing.T) {
	want := map[string]float64{
		"Cloudflare Durable Objects": 5,
		"AWS AppSync Events":         15.3 + 0.6 + 14.4*0.08,
		"AWS IoT Core":               15.3 + 0.6 + 14.4*0.08,
		"Azure Web PubSub Standard":  48.3,
		"Supabase Realtime, Pro":     62.5,
		"Ably, per minute":           29 + 40 + 15 + 1,
		"Ably, per user":             29 + 50 + 12.4,
		"PubNub Starter":             98,
		"Pusher Channels":            99,
	}
	for _, p := range cost.Peers(thousand()) {
		if !near(p.Dollars, want[p.Name]) {
			t.Errorf("%s: got $%g, want $%g", p.Name, p.Dollars, want[p.Name])
		}
		if p.Source == "" || p.How == "" {
			t.Errorf("%s does not say where it is from", p.Name)
		}
		delete(want, p.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	large := thousand()
	large.Users = 10_000
	for _, p := range cost.Peers(large) {
		if p.Name == "Pusher Channels" && !p.Beyond {
			t.Errorf("10,000 connections: got %+v, want beyond the listed plans", p)
		}
	}
}

func TestNonsense(t *testing.T) {
	if err := cost.DefaultLoad().Check(); err != nil {
		t.Errorf("the default: %v", err)
	}
	for name, change := range map[string]func(*cost.Load){
		"negative":       func(l *cost.Load) { l.Users = -1 },
		"no number":      func(l *cost.Load) { l.Messages = math.NaN() },
		"long day":       func(l *cost.Load) { l.Hours = 25 },
		"long month":     func(l *cost.Load) { l.Days = 32 },
		"no rooms":       func(l *cost.Load) { l.Rooms = 0 },
		"too many rooms": func(l *cost.Load) { l.Joined = 51 },
		"more than all":  func(l *cost.Load) { l.Hidden = 1.5 },
		"used too long":  func(l *cost.Load) { l.Active = 9 },
		"no dialect":     func(l *cost.Load) { l.Dialect = "mqtt" },
	} {
		l := cost.DefaultLoad()
		change(&l)
		if l.Check() == nil {
			t.Errorf("%s: got no error for %+v", name, l)
		}
	}
	if got := (cost.Load{}).Usage(); got.MessagesIn+got.MessagesOut != 0 || got.WriteUnits != 8640 { // the sweep's
		t.Errorf("nobody: got %+v", got)
	}
}
