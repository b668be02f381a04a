package cost_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
)

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-9*max(1, math.Abs(want)) }

func TestUnits(t *testing.T) {
	for size, want := range map[int]int64{0: 1, 1: 1, 32 << 10: 1, 32<<10 + 1: 2, 128 << 10: 4} {
		if got := cost.Messages(size); got != want {
			t.Errorf("%d bytes: got %d messages, want %d", size, got, want)
		}
	}
	for size, want := range map[int]int64{1: 1, 64 << 10: 1, 64<<10 + 1: 2, 256 << 10: 4} {
		if got := cost.Requests(size); got != want {
			t.Errorf("%d bytes: got %d requests, want %d", size, got, want)
		}
	}
	for took, want := range map[time.Duration]int64{0: 512, time.Microsecond: 512, time.Millisecond: 512, 1001 * time.Microsecond: 1024} {
		if got := cost.LambdaMBms(took, 512); got != want {
			t.Errorf("%s with 512 MB: got %d MB ms, want %d", took, got, want)
		}
	}
}

// TestBill is computed by hand from the list prices.
func TestBill(t *testing.T) {
	u := cost.Usage{
		MessagesIn: 2e6, MessagesOut: 3e6, ConnectionMinutes: 4e6, LambdaRequests: 5e6, LambdaGBSeconds: 1e6,
		WriteUnits: 2e6, ReadUnits: 8e6, SQSRequests: 3e6, EventBridgeEvents: 1e6, BytesOut: 200 << 30,
	}
	want := map[cost.Item]float64{
		cost.ItemMessages: 5, cost.ItemMinutes: 1, cost.ItemLambdaRequests: 1, cost.ItemLambdaGBSeconds: 13.3334,
		cost.ItemWriteUnits: 1.25, cost.ItemReadUnits: 1, cost.ItemSQS: 1.2, cost.ItemEventBridge: 1, cost.ItemDataOut: 18,
	}
	bill := u.BillOfMonth()
	for _, l := range bill.Lines {
		if !near(l.Dollars, want[l.Item]) {
			t.Errorf("%s: got $%g, want $%g", l.Item, l.Dollars, want[l.Item])
		}
		delete(want, l.Item)
	}
	if len(want) > 0 {
		t.Errorf("not on the bill: %v", want)
	}
	if !near(bill.Dollars, 42.7834) {
		t.Errorf("got $%g in all, want $42.7834", bill.Dollars)
	}
	// 1 M requests $0.20, 400,000 GB-s $5.33336, 1 M of SQS $0.40, 100 GB $9.
	if !near(bill.Free, 0.2+5.33336+0.4+9) {
		t.Errorf("got $%g free, want $14.93336", bill.Free)
	}
	if got := (cost.Usage{LambdaRequests: 10}).BillOfMonth(); got.Free != got.Dollars {
		t.Errorf("ten requests: got $%g of $%g free, want all", got.Free, got.Dollars)
	}
}

func TestEveryPriceSaysWhereItIsFrom(t *testing.T) {
	for _, p := range cost.Prices() {
		if p.Dollars <= 0 || p.Per <= 0 || p.What == "" || !strings.HasPrefix(p.Source, "https://aws.amazon.com/") || p.Read == "" {
			t.Errorf("%+v is not complete", p)
		}
	}
}

func TestConnectionMinutes(t *testing.T) {
	c := hubtest.NewClock(time.Unix(1000, 0))
	m := &cost.Meter{Now: c.Now}
	m.Start()
	m.Belongs("a", "ana")
	m.Opened("a")
	m.Opened("b") // nobody's
	m.Belongs("refused", "eve")
	c.Pass(90 * time.Second)
	m.Closed("a")
	m.Closed("a") // twice is once
	m.Closed("refused")
	c.Pass(30 * time.Second)
	r := m.Report()
	if !near(r.Usage.ConnectionMinutes, 1.5+2) {
		t.Errorf("got %g minutes, want 3.5", r.Usage.ConnectionMinutes)
	}
	if len(r.Users.Top) != 1 || r.Users.Top[0].Name != "ana" || !near(r.Users.Top[0].Usage.ConnectionMinutes, 1.5) {
		t.Errorf("got %+v, want ana with 1.5 minutes", r.Users.Top)
	}
	if !near(r.Users.Others.ConnectionMinutes, 2) {
		t.Errorf("got %g minutes of others, want 2", r.Users.Others.ConnectionMinutes)
	}
	if m.Owner("a") != "" || m.Owner("refused") != "" {
		t.Error("closed connections are remembered")
	}
	c.Pass(time.Minute)
	if got := m.Report().Usage.ConnectionMinutes; !near(got, 4.5) {
		t.Errorf("a minute later: got %g minutes, want 4.5", got)
	}
}

func TestStartBeginsFromZero(t *testing.T) {
	c := hubtest.NewClock(time.Unix(1000, 0))
	m := &cost.Meter{Now: c.Now}
	m.Opened("a")
	m.Add(cost.Delta{MessagesIn: 5})
	m.Room("channel:1").Add(cost.Delta{MessagesIn: 5})
	c.Pass(time.Hour)
	m.Start()
	c.Pass(time.Minute)
	r := m.Report()
	if r.Usage != (cost.Usage{ConnectionMinutes: 1}) || len(r.Rooms.Top) != 0 || r.Seconds != 60 {
		t.Errorf("got %+v, want the minute since", r)
	}
}

func TestProjection(t *testing.T) {
	c := hubtest.NewClock(time.Unix(1000, 0))
	m := &cost.Meter{Now: c.Now}
	m.Start()
	m.Add(cost.Delta{MessagesIn: 100})
	c.Pass(time.Hour)
	r := m.Report()
	// 100 an hour are 72,000 in 30 days: $0.072.
	if !near(r.Month.Dollars, 0.072) {
		t.Errorf("got $%g a month, want $0.072", r.Month.Dollars)
	}
	if got := r.InAMonth(cost.Pace{Hours: 8}).MessagesIn; !near(got, 24_000) {
		t.Errorf("8 hours a day: got %g messages, want 24,000", got)
	}
	// An hour that stands for a day is 30 times as much a month; but connections are open as long as they are.
	r.Usage.ConnectionMinutes = 60
	if got := r.InAMonth(cost.Pace{StandsFor: 24 * time.Hour}); !near(got.MessagesIn, 3000) || !near(got.ConnectionMinutes, 30*24*60) {
		t.Errorf("an hour stands for a day: got %+v", got)
	}
	for _, p := range []cost.Pace{{Hours: 25}, {StandsFor: -1}, {StandsFor: 31 * 24 * time.Hour}, {Hours: 8, StandsFor: time.Hour}} {
		if p.Check() == nil {
			t.Errorf("%+v makes sense", p)
		}
	}
	if got := (cost.Report{}).InAMonth(cost.Pace{}); got != (cost.Usage{}) {
		t.Errorf("no time passed: got %+v", got)
	}
}

// TestManyRooms: a meter knows a bounded number of rooms, and what it has forgotten is among the others.
func TestManyRooms(t *testing.T) {
	m := &cost.Meter{}
	use := func(g, i int, d cost.Delta) {
		m.Add(d)
		m.Room(fmt.Sprintf("channel:%d-%d", g, i)).Add(d)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		use(g, 0, cost.Delta{MessagesOut: 1000})
	}
	for g := range 4 {
		wg.Go(func() {
			for i := range 1999 {
				use(g, i+1, cost.Delta{MessagesOut: 1})
			}
		})
	}
	wg.Wait()
	r := m.Report()
	if got := r.Usage.MessagesOut; got != 4*(1999+1000) {
		t.Errorf("got %g messages in all, want 11,996", got)
	}
	if len(r.Rooms.Top) != 20 {
		t.Fatalf("got %d rooms, want the top 20", len(r.Rooms.Top))
	}
	sum := r.Rooms.Others.MessagesOut
	for i, s := range r.Rooms.Top {
		sum += s.Usage.MessagesOut
		if i < 4 && s.Usage.MessagesOut != 1000 {
			t.Errorf("place %d: got %s with %g messages, want one of the four with 1,000", i, s.Name, s.Usage.MessagesOut)
		}
	}
	if sum != r.Usage.MessagesOut {
		t.Errorf("rooms and others are %g messages, the total is %g", sum, r.Usage.MessagesOut)
	}
	if most, others := r.Rooms.Top[0].Dollars, r.Rooms.OthersDollars; !near(most, 0.001) || others <= 0 {
		t.Errorf("got $%g and $%g, want $0.001 and something", most, others)
	}
}

func TestVisit(t *testing.T) {
	m := &cost.Meter{}
	ctx, v := m.Visit(context.Background(), "MessageFunction")
	if cost.VisitOf(ctx) != v || cost.VisitOf(t.Context()) != nil {
		t.Error("VisitOf gives another visit")
	}
	v.About("", "ana", "join", true)
	v.About("channel:1", "bob", "user:online", false)
	v.About("channel:2", "", "presence", true)
	v.From("c1")
	v.From("c2")
	if v.Client() != "c1" {
		t.Errorf("got client %s, want c1", v.Client())
	}
	v.End(cost.Delta{LambdaRequests: 1}, cost.Delta{MessagesIn: 2})
	r := m.Report()
	if r.Usage != (cost.Usage{LambdaRequests: 1}) {
		t.Errorf("got %+v in all, want the request: the messages are counted elsewhere", r.Usage)
	}
	for what, got := range map[string]cost.Shares{"channel:1": r.Rooms, "ana": r.Users, "user:online": r.Events} {
		if len(got.Top) != 1 || got.Top[0].Name != what || got.Top[0].Usage != (cost.Usage{LambdaRequests: 1, MessagesIn: 2}) {
			t.Errorf("got %+v, want a request and two messages of %s", got.Top, what)
		}
	}
	var none *cost.Visit
	none.About("a", "b", "c", false)
	none.From("x")
	if none.Client() != "" {
		t.Error("no visit has a client")
	}
}
