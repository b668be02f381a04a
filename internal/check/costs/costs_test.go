package costs

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/bellhop-rt/bellhop/internal/aws/metrics"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
	"github.com/bellhop-rt/bellhop/internal/store/storetest"
)

// page is the document whose tables are made here.
const page = "../../../docs/COSTS.md"

var write = flag.Bool("write", false, "write the tables of COSTS.md anew")

// TestCosts makes the tables of COSTS.md again: from the price list, from the load model of `bellhop cost`, and by running
// each action through the hub on a store that is metered.
func TestCosts(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]func(testing.TB) [][]string{
		"prices": priceTable, "units": unitTable, "broadcast": broadcastTable, "months": monthTable, "peers": peerTable,
		"budget": budgetTable, "knobs": knobTable, "load": rateTable, "quotas": quotaTable,
	}
	marked := regexp.MustCompile(`(?s)<!-- table: ([a-z]+) -->\n(.*?)<!-- end -->`)
	found := 0
	text = marked.ReplaceAllFunc(text, func(block []byte) []byte {
		m := marked.FindSubmatch(block)
		name, got := string(m[1]), string(m[2])
		table, ok := tables[name]
		if !ok {
			t.Errorf("nobody makes the table %q", name)
			return block
		}
		found++
		want := markdown(table(t))
		if got != want && !*write {
			t.Errorf("the table %q is not what it should be; make docs writes it:\n%s", name, want)
		}
		return []byte("<!-- table: " + name + " -->\n" + want + "<!-- end -->")
	})
	if found != len(tables) {
		t.Errorf("COSTS.md has %d of %d tables", found, len(tables))
	}
	if *write {
		if err := os.WriteFile(page, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// markdown is a table whose first row is its head. All columns but the first are numbers, unless the head begins with a *.
func markdown(rows [][]string) string {
	var b strings.Builder
	rule := make([]string, len(rows[0]))
	for i, head := range rows[0] {
		rule[i] = "--:"
		if name, isText := strings.CutPrefix(head, "*"); isText || i == 0 {
			rows[0][i], rule[i] = name, "---"
		}
	}
	for _, row := range slices.Insert(rows, 1, rule) {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String()
}

// dollars has whole dollars from 100 on.
func dollars(d float64) string {
	if d >= 100 {
		return "$" + thousands(d)
	}
	return fmt.Sprintf("$%.2f", d)
}

// thousands is a rounded number with commas.
func thousands(n float64) string {
	s := strconv.FormatFloat(math.Round(n), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short has one digit after the point at most.
func short(n float64) string {
	if n >= 100 {
		return thousands(n)
	}
	return strings.TrimSuffix(strconv.FormatFloat(n, 'f', 1, 64), ".0")
}

func priceTable(testing.TB) [][]string {
	rows := [][]string{{"what", "price", "for", "free each month", "*where and when it was read", "*AWS's page"}}
	for _, p := range cost.Prices() {
		page := strings.TrimSuffix(strings.TrimPrefix(p.Source, "https://"), "/")
		free := "0"
		if p.Free > 0 {
			free = thousands(p.Free)
		}
		rows = append(rows, []string{
			p.What, "$" + strconv.FormatFloat(p.Dollars, 'f', -1, 64), thousands(p.Per), free, p.Read, "[" + page + "](" + p.Source + ")",
		})
	}
	return rows
}

// Memory of the functions; see template.yaml.
const (
	smallMB   = 256.0
	messageMB = 512.0
	deliverMB = 1024.0
)

// account is a Bellhop whose every use is counted.
type account struct {
	t       testing.TB
	h       *hub.Hub
	sockets *socketio.Server
	store   hub.Store
	meter   *cost.Meter
	metrics *metrics.Meter
	logs    *bytes.Buffer
	log     *slog.Logger
	pushed  atomic.Int64 // messages of 32 KB
	pushes  atomic.Int64
	bytes   atomic.Int64

	mu   sync.Mutex
	jobs []hub.Job
	time time.Time // stands still while something runs, so that what is logged has the same size each time
}

func (a *account) now() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.time
}

// pass moves the time on.
func (a *account) pass(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.time = a.time.Add(d)
}

func (a *account) Push(_ context.Context, _ string, frame []byte) error {
	a.pushes.Add(1)
	a.pushed.Add(cost.Messages(len(frame)))
	a.bytes.Add(int64(len(frame)))
	return nil
}

func (a *account) Close(context.Context, string) error         { return nil }
func (a *account) Alive(context.Context, string) (bool, error) { return true, nil }

// Enqueue moves the time on to when the job is due.
func (a *account) Enqueue(_ context.Context, j hub.Job, delay time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.jobs = append(a.jobs, j)
	a.time = a.time.Add(delay)
	return nil
}

func newAccount(t testing.TB, o socketio.Options) *account {
	t.Helper()
	a := &account{t: t, meter: &cost.Meter{}, logs: &bytes.Buffer{}, time: time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC)}
	store, err := bolt.Open("", bolt.Options{Now: a.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	a.store = store
	a.metrics = metrics.New("bellhop", a.logs, a.now)
	// Lambda's logger adds the id of the request to each line.
	noTime := &slog.HandlerOptions{ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
		if attr.Key == slog.TimeKey {
			return slog.String(slog.TimeKey, "2026-11-23T21:00:00.000000000Z")
		}
		return attr
	}}
	a.log = slog.New(slog.NewJSONHandler(a.logs, noTime)).With("requestId", "8f507cfc-xmpl-4697-b07a-ac58fc914c95")
	a.h, a.sockets = socketio.Wire(hub.Config{
		Store: cost.Store{Store: store, Meter: a.meter}, Pusher: a, Queue: a, Meter: a.metrics, Now: a.now, Logger: a.log,
		Limits: hub.Limits{Rate: 10_000, Burst: 10_000},
	}, o)
	return a
}

// feature is what one action uses, and what it writes to the log.
type feature struct {
	name  string
	usage cost.Usage
	logs  float64
}

func (f feature) plus(other feature) feature {
	return feature{f.name, f.usage.Plus(other.usage), f.logs + other.logs}
}

// spend runs one invocation and the jobs that it leaves behind, each an invocation of its own. in is the size of the
// client's frame, 0 for none; do gives the size of the reply.
func (a *account) spend(name string, mb float64, in int, do func() int) feature {
	a.t.Helper()
	a.pass(time.Second)
	if err := a.metrics.Flush(); err != nil { // what was not counted here
		a.t.Fatal(err)
	}
	before := a.meter.Report().Usage
	a.logs.Reset()
	a.pushed.Store(0)
	a.bytes.Store(0)
	var u cost.Usage
	if in > 0 {
		u.MessagesIn = float64(cost.Messages(in))
	}
	reply := 0
	u = u.Plus(a.invoke(mb, func() { reply = do() }))
	if reply > 0 {
		u.MessagesOut, u.BytesOut = float64(cost.Messages(reply)), float64(reply)
	}
	for len(a.jobs) > 0 {
		j := a.jobs[0]
		a.jobs = a.jobs[1:]
		body, err := json.Marshal(j)
		if err != nil {
			a.t.Fatal(err)
		}
		u = u.Plus(a.invoke(deliverMB, func() {
			if err := a.work(j); err != nil {
				a.t.Errorf("%s: %v", name, err)
			}
		}))
		u.SQSRequests += float64(cost.Requests(len(body))) + 2 // sent, received, deleted
	}
	u.MessagesOut += float64(a.pushed.Load())
	u.BytesOut += float64(a.bytes.Load())
	return feature{name, u.Plus(a.meter.Report().Usage.Minus(before)), float64(a.logs.Len())}
}

func (a *account) work(j hub.Job) error {
	if socketio.Works(j.Kind) {
		return a.sockets.Work(a.t.Context(), j)
	}
	return a.h.Work(a.t.Context(), j)
}

// invoke counts an invocation, with the times that `bellhop cost` assumes.
func (a *account) invoke(mb float64, do func()) cost.Usage {
	a.t.Helper()
	a.pushes.Store(0)
	do()
	if err := a.metrics.Flush(); err != nil {
		a.t.Fatal(err)
	}
	l := cost.DefaultLoad()
	ms := l.LambdaMs + math.Ceil(float64(a.pushes.Load())/64)*l.PushMs
	return cost.Usage{LambdaRequests: 1, LambdaGBSeconds: ms / 1000 * mb / 1024}
}

// caller is a connection of its own user, with all rights.
func (a *account) caller(user string) hub.Caller {
	return hub.Caller{Connection: fmt.Sprintf("c-%s-000000=", user), User: user, Name: user, Expires: a.now().Add(2 * time.Hour)}
}

// connected is caller after $connect.
func (a *account) connected(user string) hub.Caller {
	a.t.Helper()
	c := a.caller(user)
	a.event(route.Connect(a.h, a.sockets, a.log), c, "")
	return c
}

// event invokes a function with the part of API Gateway's event that it reads.
func (a *account) event(f lambda.Handler, c hub.Caller, codec string) int {
	a.t.Helper()
	query := map[string]string{"EIO": "4", "transport": "websocket"} // which the other dialect does not look at
	payload, err := json.Marshal(map[string]any{"queryStringParameters": query, "requestContext": map[string]any{
		"connectionId": c.Connection, "disconnectStatusCode": 1001, "disconnectReason": "Going away",
		"authorizer": map[string]string{
			"codec": codec, "user": c.User, "name": c.Name, "grants": `{"*":["join","publish"]}`, "expires": strconv.FormatInt(c.Expires.Unix(), 10),
		},
	}})
	if err != nil {
		a.t.Fatal(err)
	}
	if out, err := f.Invoke(a.t.Context(), payload); err != nil || !bytes.Contains(out, []byte("200")) {
		a.t.Fatalf("%s: %v", out, err)
	}
	return 0
}

// action is what a client sends, counted.
func (a *account) action(name string, c hub.Caller, frame string) feature {
	a.t.Helper()
	return a.spend(name, messageMB, len(frame), func() int { return a.send(c, frame) })
}

// receive is a packet of a client of Socket.IO, counted.
func (a *account) receive(c hub.Caller, frame string) feature {
	a.t.Helper()
	return a.spend("", messageMB, len(frame), func() int { return len(a.sockets.Receive(a.t.Context(), c, []byte(frame))) })
}

// send gives the size of the reply.
func (a *account) send(c hub.Caller, frame string) int {
	a.t.Helper()
	out := a.h.Receive(a.t.Context(), c, []byte(frame))
	var r struct {
		OK bool `json:"ok"`
	}
	if err := json.Unmarshal(out, &r); len(out) > 0 && (err != nil || !r.OK) {
		a.t.Fatalf("%s: %s", frame, out)
	}
	return len(out)
}

// join puts n users of their own in a room, and works off what that leaves.
func (a *account) join(room string, n int) {
	a.t.Helper()
	for i := range n {
		a.send(a.connected(fmt.Sprintf("%s-%05d", room, i)), `{"action":"join","id":"1","room":"`+room+`"}`)
	}
	a.jobs = nil
}

// message is a publish of which a frame of about 300 bytes is made.
func message(id, room string) string {
	return `{"action":"publish",` + id + `"room":"` + room + `","event":"message:new","data":{"content":"` + strings.Repeat("x", 150) + `"}}`
}

// socketOpened is the opening of a client of Socket.IO that brings its token in the handshake, up to the answer to its CONNECT
// and the look of the reaper.
func socketOpened(t testing.TB) feature {
	t.Helper()
	a := newAccount(t, socketio.Options{KeepAlive: socketio.None})
	ana := a.caller("ana")
	f := a.spend("connect with Socket.IO", smallMB, 0, func() int { return a.event(route.Connect(a.h, a.sockets, a.log), ana, "socketio") })
	return f.plus(a.receive(ana, "40"))
}

// socketPinged is one beat, of those that keep a client's connection open and find out when it is dead.
func socketPinged(t testing.TB) feature {
	t.Helper()
	a := newAccount(t, socketio.Options{})
	ana := a.caller("ana")
	beat := hub.Job{Kind: "socket:beat", Targets: []hub.Target{{Connection: ana.Connection}}}
	f := a.spend("ping and pong of Socket.IO", deliverMB, 0, func() int {
		if err := a.work(beat); err != nil {
			t.Error(err)
		}
		a.jobs = nil // the next beat is paid for in its turn
		return 0
	})
	f.usage.SQSRequests += 3
	return f.plus(a.receive(ana, "3"))
}

// features runs every kind of action.
func features(t testing.TB) []feature {
	t.Helper()
	a := newAccount(t, socketio.Options{})
	for room, n := range map[string]int{"channel:10": 9, "channel:200": 199, "community:10": 9} {
		a.join(room, n)
	}
	ana, list := a.caller("ana"), []feature{}
	add := func(f feature) { list = append(list, f) }
	authorizer := func(f feature) feature {
		f.usage = f.usage.Plus(a.invoke(smallMB, func() {}))
		return f
	}
	add(authorizer(a.spend("connect (authorizer, `$connect`)", smallMB, 0, func() int { return a.event(route.Connect(a.h, a.sockets, a.log), ana, "") })))
	add(authorizer(socketOpened(t)))
	add(feature{name: "connection minute", usage: cost.Usage{ConnectionMinutes: 1}})
	add(feature{name: "ping and pong", usage: cost.Usage{MessagesIn: 1, MessagesOut: 1, BytesOut: 16}})
	add(socketPinged(t))
	add(a.action("join a channel", ana, `{"action":"join","id":"1","room":"channel:10"}`))
	a.send(ana, `{"action":"join","id":"1","room":"channel:200"}`)
	add(a.action("publish with id, room of 10", ana, message(`"id":"m1",`, "channel:10")))
	add(a.action("the same id again", ana, message(`"id":"m1",`, "channel:10")))
	add(a.action("publish without id, room of 10", ana, message("", "channel:10")))
	add(a.action("publish with id, room of 200", ana, message(`"id":"m2",`, "channel:200")))
	add(perThousand(a, ana))
	add(a.action("typing signal, room of 10", ana, `{"action":"signal","room":"channel:10","event":"typing:start"}`))
	add(a.action("join a community of 10, first device", ana, `{"action":"join","id":"1","room":"community:10"}`))
	add(a.action("change of presence, room of 10", ana, `{"action":"presence","id":"1","room":"community:10","status":"away"}`))
	for range 50 {
		a.send(ana, message("", "channel:10"))
	}
	add(a.action("history, 50 messages", ana, `{"action":"history","id":"1","room":"channel:10","limit":50}`))
	emit := a.spend("emit to a room of 10, by Invoke", messageMB, 0, func() int {
		answer := a.h.Emit(t.Context(), hub.Command{
			Command: "publish", Rooms: []string{"channel:10"}, Event: protocol.MessageNew, ID: "e1", Data: json.RawMessage(`{"content":"hi"}`),
		})
		if !answer.OK {
			t.Errorf("emit: %v", answer.Error)
		}
		return 0
	})
	add(emit)
	emit.name, emit.usage.SQSRequests = "emit to a room of 10, by `EmitQueue`", 3
	add(emit)
	a.pass(10 * time.Minute) // a connection that came just now leaves its row to the sweep
	add(a.action("leave a channel", ana, `{"action":"leave","id":"1","room":"channel:200"}`))
	add(a.spend("disconnect from a channel and a community of 10", smallMB, 0, func() int { return a.event(route.Disconnect(a.sockets, a.log), ana, "") }))
	bob := a.connected("bob")
	a.send(bob, `{"action":"join","id":"1","room":"channel:10"}`)
	a.pass(10 * time.Minute)
	add(a.spend("disconnect from a channel", smallMB, 0, func() int { return a.event(route.Disconnect(a.sockets, a.log), bob, "") }))
	return append(list, sweeps(t)...)
}

// perThousand is what the second thousand of a room's members beyond the first 200 adds to a publish.
func perThousand(a *account, c hub.Caller) feature {
	a.t.Helper()
	room := func(members int) feature {
		name := "channel:" + strconv.Itoa(members)
		for i := range members - 1 {
			m := hub.Member{Connection: fmt.Sprintf("member-%08d=", i), User: fmt.Sprintf("user-%05d", i), Codec: protocol.Name, TTL: a.now().Add(time.Hour)}
			if err := a.store.AddMember(a.t.Context(), name, m); err != nil {
				a.t.Fatal(err)
			}
		}
		a.send(c, `{"action":"join","id":"1","room":"`+name+`"}`)
		return a.action("", c, message(`"id":"large",`, name))
	}
	less, more := room(1200), room(2200)
	return feature{"each 1,000 members more, by the queue", more.usage.Minus(less.usage), more.logs - less.logs}
}

// sweeps are a sweep of nothing, and what a thousand connections add.
func sweeps(t testing.TB) []feature {
	t.Helper()
	a := newAccount(t, socketio.Options{})
	sweep := func(name string) feature {
		return a.spend(name, smallMB, 0, func() int {
			if _, err := route.Sweep(a.h, a.log).Invoke(t.Context(), []byte("{}")); err != nil {
				t.Fatal(err)
			}
			return 0
		})
	}
	none := sweep("sweep, every 5 minutes")
	const thousands = 6.4 // a hundred for each partition
	for i := range int(1000 * thousands) {
		a.connected(fmt.Sprintf("user-%05d", i))
	}
	some := sweep("")
	return []feature{none, {"each 1,000 connections, in a sweep", some.usage.Minus(none.usage).Times(1 / thousands), 0}}
}

func unitTable(t testing.TB) [][]string {
	t.Helper()
	rows := [][]string{{"one …", "messages in", "out", "λ", "WRU", "RRU", "SQS", "log bytes", "$ for 1 M"}}
	for _, f := range features(t) {
		u := f.usage
		rows = append(rows, []string{
			f.name, short(u.MessagesIn), short(u.MessagesOut), short(u.LambdaRequests), short(u.WriteUnits), short(u.ReadUnits),
			short(u.SQSRequests), thousands(math.Round(f.logs/50) * 50), dollars(1e6 * u.Bill().Dollars),
		})
	}
	return rows
}

// broadcastTable publishes one event into rooms that have grown as large.
func broadcastTable(t testing.TB) [][]string {
	t.Helper()
	rows := [][]string{{"members", "jobs", "messages out", "RRU", "WRU", "$", "least seconds at 10,000/s", "most events/s at 10,000/s"}}
	for _, n := range []int{10, 100, 1000, 10_000, 100_000} {
		store, err := bolt.Open("", bolt.Options{FlushEvery: -1})
		if err != nil {
			t.Fatal(err)
		}
		meter := &cost.Meter{}
		f := storetest.FanOut(t, cost.Store{Store: store, Meter: meter}, n, meter.Start)
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		u := meter.Report().Usage
		used := cost.Usage{
			MessagesOut: float64(f.Posts), BytesOut: 300 * float64(f.Posts), LambdaRequests: float64(1 + f.Jobs), SQSRequests: 3 * float64(f.Jobs),
			LambdaGBSeconds: (0.035*messageMB + 0.185*deliverMB*float64(f.Jobs)) / 1024, // pages of 1,000 are 16 rounds of pushes
			WriteUnits:      u.WriteUnits, ReadUnits: u.ReadUnits,
		}
		seconds := float64(n) / accountRate
		rows = append(rows, []string{
			thousands(float64(n)), thousands(float64(f.Jobs)), thousands(used.MessagesOut), short(used.ReadUnits), short(used.WriteUnits),
			fmt.Sprintf("$%.5f", used.Bill().Dollars), strconv.FormatFloat(seconds, 'f', -1, 64), short(1 / seconds),
		})
	}
	return rows
}

// crowds are the sizes of the examples.
func crowds() []float64 { return []float64{100, 1000, 10_000, 100_000, 1_000_000} }

// load is what `bellhop cost` assumes, for a number of users, with 20 members in a room.
func load(users float64) cost.Load {
	l := cost.DefaultLoad()
	l.Users, l.Rooms = users, users/20
	return l
}

func crowdHead(first string) [][]string {
	head := []string{first}
	for _, n := range crowds() {
		head = append(head, thousands(n))
	}
	return [][]string{head}
}

func monthTable(testing.TB) [][]string {
	rows := crowdHead("users")
	for i, p := range cost.Prices() {
		row := []string{p.What}
		used := 0.0
		for _, n := range crowds() {
			line := load(n).Usage().Bill().Lines[i]
			used += line.Quantity
			row = append(row, dollars(line.Dollars))
		}
		if used > 0 {
			rows = append(rows, row)
		}
	}
	sum, free := []string{"**a month**"}, []string{"of that in the free amounts"}
	deliveries := []string{"deliveries, M"}
	second := []string{"deliveries/s, if spread over the 8 hours"}
	for _, n := range crowds() {
		l := load(n)
		b := l.Usage().BillOfMonth()
		sum, free = append(sum, "**"+dollars(b.Dollars)+"**"), append(free, dollars(b.Free))
		deliveries = append(deliveries, short(l.Deliveries()/1e6))
		second = append(second, short(l.Deliveries()/(l.Days*l.Hours*3600)))
	}
	return append(rows, sum, free, deliveries, second)
}

func peerTable(testing.TB) [][]string {
	rows := crowdHead("service, for the same load")
	own := []string{"**Bellhop on AWS**"}
	for _, n := range crowds() {
		own = append(own, "**"+dollars(load(n).Usage().Bill().Dollars)+"**")
	}
	rows = append(rows, own)
	for i, p := range cost.Peers(load(1000)) {
		row := []string{p.Name}
		if !p.Confirmed {
			row[0] += " ?"
		}
		for _, n := range crowds() {
			peer := cost.Peers(load(n))[i]
			price := dollars(peer.Dollars)
			if peer.Beyond {
				price = "by quote"
			}
			row = append(row, price)
		}
		rows = append(rows, row)
	}
	return rows
}

// budgetTable finds from how many users on a load costs more than an amount.
func budgetTable(testing.TB) [][]string {
	rooms := []float64{2, 20, 100, 500}
	head := []string{"a month"}
	for _, n := range rooms {
		head = append(head, "rooms of "+thousands(n))
	}
	rows := [][]string{head}
	for _, budget := range []float64{100, 300, 1000, 3000} {
		row := []string{dollars(budget)}
		for _, members := range rooms {
			bill := func(users float64) float64 {
				l := cost.DefaultLoad()
				l.Users, l.Rooms = users, users/members
				return l.Usage().Bill().Dollars
			}
			low, high := 0.0, 10e6
			for range 60 {
				if mid := (low + high) / 2; bill(mid) < budget {
					low = mid
				} else {
					high = mid
				}
			}
			step := math.Pow(10, math.Floor(math.Log10(high))-1)
			if high < members {
				row = append(row, "one room costs more")
				continue
			}
			row = append(row, thousands(math.Round(high/step)*step))
		}
		rows = append(rows, row)
	}
	return rows
}

func knobTable(testing.TB) [][]string {
	base := load(1000).Usage()
	rows := [][]string{{"1,000 users, one thing changed", "messages, M", "λ, M", "WRU, M", "$ a month", "change"}}
	add := func(name string, change func(*cost.Load)) {
		l := load(1000)
		change(&l)
		u := l.Usage()
		d := u.Bill().Dollars
		rows = append(rows, []string{
			name, short((u.MessagesIn + u.MessagesOut) / 1e6), short(u.LambdaRequests / 1e6), short(u.WriteUnits / 1e6), dollars(d),
			fmt.Sprintf("%+.0f %%", 100*(d/base.Bill().Dollars-1)),
		})
	}
	add("as `bellhop cost` assumes: 8 hours, rooms of 20, 20 messages an hour", func(*cost.Load) {})
	add("no typing signals", func(l *cost.Load) { l.Typing = 0 })
	add("three typing signals a message (9 seconds of typing)", func(l *cost.Load) { l.Typing = 3 })
	add("rooms of 5", func(l *cost.Load) { l.Rooms = l.Users / 5 })
	add("rooms of 100", func(l *cost.Load) { l.Rooms = l.Users / 100 })
	add("one room of 1,000, by the queue", func(l *cost.Load) { l.Rooms = 1 })
	add("each in 5 rooms of 20", func(l *cost.Load) { l.Joined, l.Rooms = 5, l.Users*5/20 })
	add("no messages: connected, joined, pinging", func(l *cost.Load) { l.Messages = 0 })
	add("2 messages an hour", func(l *cost.Load) { l.Messages = 2 })
	add("connected 24 hours, the same messages", func(l *cost.Load) { l.Hours, l.Messages = 24, l.Messages*8/24 })
	add("frames of 3 KB", func(l *cost.Load) { l.Bytes = 3000 })
	add("Lambda and pushes take four times as long", func(l *cost.Load) { l.LambdaMs, l.PushMs = 4*l.LambdaMs, 4*l.PushMs })
	return rows
}

// Quotas of an account in a Region unless raised, of API Gateway and DynamoDB; COSTS.md has their pages.
const (
	accountRate = 10_000.0 // requests a second
	connectRate = 500.0    // connections a second
	lifetime    = 7200.0   // seconds of a connection
)

// rateTable is arithmetic with the quotas.
func rateTable(testing.TB) [][]string {
	rows := [][]string{{
		"open connections", "reconnects/s, spread over 2 h", "joins/s of it, 3 rooms each", "all back at once, at 500/s",
		"pings/s", "one event to all, at 10,000/s", "publishes/s in rooms of 20, at 10,000/s",
	}}
	for _, n := range crowds() {
		rows = append(rows, []string{
			thousands(n), short(n / lifetime), short(3 * n / lifetime), duration(n / connectRate), short(n / 540), duration(n / accountRate),
			short((accountRate - n/540 - 4*n/lifetime) / 21),
		})
	}
	return rows
}

// quotaTable finds how many users of the example use up a quota.
func quotaTable(testing.TB) [][]string {
	const users = 1000.0
	l := load(users)
	u := l.Usage()
	each := func(inAMonth float64) float64 { return inAMonth / (l.Days * l.Hours * 3600 * users) }
	actions := each(l.Published() + l.Signals())
	rows := [][]string{{"quota, for an account and Region", "default", "one user takes", "used up at, evenly spread", "with a peak of 3 times that", "*raise it at"}}
	for _, q := range []struct {
		name    string
		most    float64
		unit    string
		perUser float64
		where   string
	}{
		{"requests: frames in, posts out", accountRate, "/s", each(u.MessagesIn + l.Deliveries()), "Service Quotas, API Gateway: throttle rate"},
		{"new connections", connectRate, "/s", 1 / lifetime, "Service Quotas, API Gateway: new connections per second"},
		{"`ThrottleRate` of the route `publish`", 1000, "/s", each(l.Published()), "the template's parameter"},
		{"`ThrottleRate` of the route `ping`", 1000, "/s", 1.0 / (9 * 60), "the template's parameter"},
		{"Lambda, at the same time", 1000, "", actions * (l.LambdaMs + l.PushMs) / 1000, "Service Quotas, Lambda: concurrent executions"},
		{"DynamoDB, a new table: WRU", 4000, "/s", each(u.WriteUnits), "the table's warm throughput"},
		{"DynamoDB, a new table: RRU", 12_000, "/s", each(u.ReadUnits), "the table's warm throughput"},
		{"DynamoDB, any table: WRU", 40_000, "/s", each(u.WriteUnits), "Service Quotas, DynamoDB: table-level write throughput"},
	} {
		two := func(n float64) string {
			step := math.Pow(10, math.Floor(math.Log10(n))-1)
			return thousands(math.Floor(n/step) * step)
		}
		rows = append(rows, []string{
			q.name, thousands(q.most) + q.unit, strconv.FormatFloat(q.perUser, 'g', 2, 64) + q.unit, two(q.most / q.perUser), two(q.most / q.perUser / 3), q.where,
		})
	}
	return rows
}

// duration is seconds as people read them.
func duration(seconds float64) string {
	switch {
	case seconds < 1:
		return "under 1 s"
	case seconds < 120:
		return fmt.Sprintf("%.0f s", seconds)
	}
	return fmt.Sprintf("%.0f min", seconds/60)
}
