package costs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
	"github.com/bellhop-rt/bellhop/internal/store/storetest"
)

func priceTable(testing.TB) [][]string {
	rows := [][]string{{"what", "price", "for", "free each month", "*where and when it was read", "*AWS's page"}}
	for _, p := range cost.Prices() {
		page := strings.TrimSuffix(strings.TrimPrefix(p.Source, "https://"), "/")
		free := "0"
		if p.Free > 0 {
			free = thousands(p.Free)
		}
		price := "$" + strconv.FormatFloat(p.Dollars, 'f', -1, 64)
		if p.Above > 0 {
			price += ", above " + thousands(p.Above) + " $" + strconv.FormatFloat(p.Then, 'f', -1, 64)
		}
		rows = append(rows, []string{
			p.What, price, thousands(p.Per), free, p.Read, "[" + page + "](" + p.Source + ")",
		})
	}
	return rows
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
		f := storetest.FanOut(t, cost.NewStore(store, meter), n, meter.Start)
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
	add("three typing signals a message (30 seconds of typing)", func(l *cost.Load) { l.Typing = 3 })
	add("the rooms show who is there", func(l *cost.Load) { l.Presence = true })
	add("pages are hidden half of the time, 8 times a day", func(l *cost.Load) { l.Hidden = 0.5 })
	add("pages are used for 4 of the 8 hours, not for 1", func(l *cost.Load) { l.Active = 4 })
	add("the clients speak Socket.IO", func(l *cost.Load) { l.Dialect = cost.SocketIO })
	add("rooms of 5", func(l *cost.Load) { l.Rooms = l.Users / 5 })
	add("rooms of 100", func(l *cost.Load) { l.Rooms = l.Users / 100 })
	add("one room of 1,000, by the queue, without typing", func(l *cost.Load) { l.Rooms = 1 })
	add("each in 5 rooms of 20", func(l *cost.Load) { l.Joined, l.Rooms = 5, l.Users*5/20 })
	add("rooms of 100, all told who types", func(l *cost.Load) { l.Rooms, l.TypingUpTo = l.Users/100, 100 })
	add("no messages: connected, joined, pinging", func(l *cost.Load) { l.Messages = 0 })
	add("2 messages an hour", func(l *cost.Load) { l.Messages = 2 })
	add("connected 24 hours, the same messages", func(l *cost.Load) { l.Hours, l.Messages = 24, l.Messages*8/24 })
	add("every alarm, X-Ray and KMS", func(l *cost.Load) { l.Monitoring, l.Tracing, l.KMS = cost.WatchEverything, true, true })
	add("nothing is watched", func(l *cost.Load) { l.Monitoring, l.Metrics = cost.WatchNothing, false })
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
		"open connections", "reconnects/s, spread over 2 h", "rooms joined/s, 3 each", "all back at once, at 500/s",
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

// partTable is the yardstick by its parts, as it is and with changes.
func partTable(testing.TB) [][]string {
	base := yardstick()
	variants := []struct {
		name   string
		change func(*cost.Load)
	}{
		{"everybody looks", func(*cost.Load) {}},
		{"hidden half of the time", func(l *cost.Load) { l.Hidden = 0.5 }},
		{"all 50 told who types", func(l *cost.Load) { l.TypingUpTo = 50 }},
		{"Socket.IO, everybody looks", func(l *cost.Load) { l.Dialect = cost.SocketIO }},
	}
	rows := [][]string{{"part"}}
	sum := []string{"**in all**"}
	for i, f := range base.Flows() {
		rows = append(rows, []string{f.Name})
		for _, v := range variants {
			l := base
			v.change(&l)
			rows[i+1] = append(rows[i+1], dollars(l.Flows()[i].Usage.Bill().Dollars))
		}
	}
	for _, v := range variants {
		l := base
		v.change(&l)
		rows[0], sum = append(rows[0], v.name), append(sum, "**"+dollars(l.Usage().Bill().Dollars)+"**")
	}
	return append(rows, sum)
}

// coalesceTable is what a million events of a room cost, pushed one by one and in frames of a quarter of a second. Below four a second
// a room is not busy, and nothing waits.
func coalesceTable(t testing.TB) [][]string {
	t.Helper()
	const window = 0.25
	rows := [][]string{{"a million events", "members", "in one frame", "$ one by one", "$ coalesced", "saved", "later by, in the middle"}}
	for _, members := range []float64{5, 50, 500} {
		l := cost.DefaultLoad()
		l.Users, l.Rooms = members, 1
		one := cost.Usage{}
		for _, f := range l.Flows() {
			if f.Name == cost.FlowMessages {
				one = f.Usage.Times(1e6 / f.Count)
			}
		}
		for _, rate := range []float64{1, 10, 100} {
			together := 1 + rate*window
			frames := 1e6 / together
			all, later := one, "0.12 s, and the queue"
			if rate < 4 {
				together, later = 1, "0"
			} else {
				jobs := math.Ceil(math.Max(0, members-200)/1000) * frames
				all.MessagesOut -= 1e6*members - frames*members
				all.WriteUnits += 2 * frames // begun, and ended
				all.SQSRequests += 6*frames + 3*jobs - 3*math.Ceil(math.Max(0, members-200)/1000)*1e6
				all.LambdaRequests += 2 * frames
				all.LambdaGBSeconds += frames * ((2*l.LambdaMs+l.PushMs)/1000 + window)
				all.ReadUnits += 5 * frames
			}
			before, after := one.Bill().Dollars, all.Bill().Dollars
			rows = append(rows, []string{
				short(rate) + " a second", short(members), short(together), dollars(before), dollars(after), fmt.Sprintf("%.0f %%", 100*(1-after/before)), later,
			})
		}
	}
	return rows
}
