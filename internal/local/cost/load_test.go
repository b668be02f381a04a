package cost_test

import (
	"math"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/cost"
)

// thousand is 1,000 users for 8 hours on 30 days, in 3 of 60 rooms each, with 10 messages a day to 50 members: a scenario
// whose numbers were computed by hand for all of the services.
func thousand() cost.Load {
	return cost.Load{Users: 1000, Hours: 8, Days: 30, Rooms: 60, Joined: 3, Messages: 1.25, Bytes: 300, LambdaMs: 25, PushMs: 10}
}

func TestLoad(t *testing.T) {
	l := thousand()
	for what, n := range map[string][2]float64{
		"members":     {l.Members(), 50},
		"published":   {l.Published(), 0.3e6},
		"deliveries":  {l.Deliveries(), 15e6},
		"minutes":     {l.Minutes(), 14.4e6},
		"connections": {l.Connects(), 0.12e6}, // 4 a day, of 2 hours
	} {
		if !near(n[0], n[1]) {
			t.Errorf("%s: got %g, want %g", what, n[0], n[1])
		}
	}
	want := map[string]cost.Usage{
		"connected": {ConnectionMinutes: 14.4e6},
		// 3 functions; 25 ms of 256 MB each; 2 to open, 2 for its own row and 4 rooms to end.
		"connects": {LambdaRequests: 360e3, LambdaGBSeconds: 2250, WriteUnits: 120e3 * 8},
		"joins": {
			MessagesIn: 360e3, MessagesOut: 360e3, BytesOut: 360e3 * 300, LambdaRequests: 360e3, LambdaGBSeconds: 4500,
			WriteUnits: 720e3, ReadUnits: 1260e3,
		},
		// A reply each; 50 pushes are one round of 10 ms; 50 rows of 80 bytes are one read unit.
		"messages": {
			MessagesIn: 300e3, MessagesOut: 15.3e6, BytesOut: 15e6*300 + 300e3*150, LambdaRequests: 300e3,
			LambdaGBSeconds: 300e3 * 0.035 / 2, WriteUnits: 1.2e6, ReadUnits: 0.6e6,
		},
		"typing": {},
		"pings":  {MessagesIn: 1.6e6, MessagesOut: 1.6e6, BytesOut: 25.6e6},
		// 8,640 of them; a third of the users, 333 rows of 400 bytes beside the 64 partitions; 25 ms and a 30th of a second.
		"sweeps": {
			LambdaRequests: 8640, LambdaGBSeconds: 8640 * 0.059 / 4, ReadUnits: 8640 * (64 + 1000.0/3*400/4096),
		},
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
	// Minutes 3.60; messages in and out 0.72 + 15.60 + 3.20 = 19.52; Lambda 1.02864 M requests 0.2057 and 12,127.44 GB-s
	// 0.1617; 2.88 M WRU 1.8; 1.86 + 0.5530 + 0.2813 = 2.6942 M RRU 0.3368; 4,678.6 M bytes are 4.357 GB of 2^30, 0.3922.
	if got := l.Usage().Bill().Dollars; math.Abs(got-26.0164) > 0.001 {
		t.Errorf("got $%.4f, want $26.0164", got)
	}
}

func alike(a, b cost.Usage) bool {
	d := a.Minus(b).Plus(b.Minus(a))
	return math.Abs(d.MessagesIn+d.MessagesOut+d.ConnectionMinutes+d.LambdaRequests+d.LambdaGBSeconds+d.WriteUnits+d.ReadUnits+
		d.SQSRequests+d.EventBridgeEvents+d.BytesOut) < 1e-3
}

// TestLargeRoom: 1,500 members are 200 at once and two jobs; each reads its page of the members.
func TestLargeRoom(t *testing.T) {
	l := cost.Load{Users: 1500, Hours: 1, Days: 1, Rooms: 1, Joined: 1, Messages: 1, Typing: 1, Bytes: 2000, LambdaMs: 20, PushMs: 10}
	for _, f := range l.Flows() {
		switch f.Name {
		case "messages":
			want := cost.Usage{
				MessagesIn: 1500, MessagesOut: 1500*1500 + 1500, BytesOut: 1500*1500*2000 + 1500*150, SQSRequests: 1500 * 2 * 3,
				LambdaRequests: 1500 * 3,
				// 4 rounds of pushes in 512 MB, and 16 in each of two jobs of 1,024 MB.
				LambdaGBSeconds: 1500*0.060/2 + 3000*0.180,
				WriteUnits:      1500 * 5, ReadUnits: 1500 * (1 + 30),
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
		"AWS AppSync Events":         15.3 + 0.48 + 14.4*0.08,
		"AWS IoT Core":               15.3 + 0.48 + 14.4*0.08,
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
	} {
		l := cost.DefaultLoad()
		change(&l)
		if l.Check() == nil {
			t.Errorf("%s: got no error for %+v", name, l)
		}
	}
	if got := (cost.Load{}).Usage(); got.MessagesIn+got.MessagesOut+got.WriteUnits != 0 {
		t.Errorf("nobody: got %+v", got)
	}
}
