package cost

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

const (
	maxKeys = 1024 // rooms, users or event names that are counted one by one; see [table]
	topKeys = 20   // of those, how many a report names
)

// Delta is something that was used just now.
type Delta struct {
	MessagesIn, MessagesOut int64 // in units of 32 KB; see Messages
	BytesOut                int64
	LambdaRequests          int64
	LambdaMBms              int64 // megabytes of memory times milliseconds
	WriteUnits              int64
	ReadHalves              int64 // read units times two, since an eventually consistent read is half of one
	SQSRequests             int64
	EventBridgeEvents       int64
	ConnectionMs            int64
}

// LambdaMBms is what an invocation is billed: its time rounded up to a millisecond, times its memory. See
// https://aws.amazon.com/blogs/aws/new-for-aws-lambda-1ms-billing-granularity-adds-cost-savings/.
func LambdaMBms(took time.Duration, memoryMB int) int64 {
	return int64(memoryMB) * max(1, int64((took+time.Millisecond-1)/time.Millisecond))
}

// Tally is a sum of deltas. It is safe for concurrent use.
type Tally struct {
	in, out, bytes, requests, mbms, writes, halves, sqs, bridge, ms atomic.Int64
}

// Add counts. A nil tally counts nothing.
func (t *Tally) Add(d Delta) {
	if t == nil {
		return
	}
	add(&t.in, d.MessagesIn)
	add(&t.out, d.MessagesOut)
	add(&t.bytes, d.BytesOut)
	add(&t.requests, d.LambdaRequests)
	add(&t.mbms, d.LambdaMBms)
	add(&t.writes, d.WriteUnits)
	add(&t.halves, d.ReadHalves)
	add(&t.sqs, d.SQSRequests)
	add(&t.bridge, d.EventBridgeEvents)
	add(&t.ms, d.ConnectionMs)
}

// add spares the others a cache line that does not change.
func add(to *atomic.Int64, n int64) {
	if n != 0 {
		to.Add(n)
	}
}

func (t *Tally) zero() {
	for _, n := range []*atomic.Int64{&t.in, &t.out, &t.bytes, &t.requests, &t.mbms, &t.writes, &t.halves, &t.sqs, &t.bridge, &t.ms} {
		n.Store(0)
	}
}

// Usage is the sum so far.
func (t *Tally) Usage() Usage {
	return Usage{
		MessagesIn: float64(t.in.Load()), MessagesOut: float64(t.out.Load()), BytesOut: float64(t.bytes.Load()),
		ConnectionMinutes: float64(t.ms.Load()) / 60_000,
		LambdaRequests:    float64(t.requests.Load()), LambdaGBSeconds: float64(t.mbms.Load()) / 1024 / 1000,
		WriteUnits: float64(t.writes.Load()), ReadUnits: float64(t.halves.Load()) / 2,
		SQSRequests: float64(t.sqs.Load()), EventBridgeEvents: float64(t.bridge.Load()),
	}
}

// table has a tally for each of at most maxKeys names. When it is full, the cheaper half is dropped: what those used is still
// in the meter's total, and a report shows it among the others. One of them that comes again is counted from zero.
type table struct {
	mu   sync.RWMutex
	rows map[string]*Tally
}

func (t *table) tally(key string) *Tally {
	if key == "" {
		return nil
	}
	t.mu.RLock()
	row := t.rows[key]
	t.mu.RUnlock()
	if row != nil {
		return row
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if row := t.rows[key]; row != nil {
		return row
	}
	if t.rows == nil {
		t.rows = map[string]*Tally{}
	}
	if len(t.rows) >= maxKeys {
		for _, r := range t.ranked()[maxKeys/2:] {
			delete(t.rows, r.Name)
		}
	}
	row = &Tally{}
	t.rows[key] = row
	return row
}

func (t *table) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.rows)
}

// ranked lists the rows, the most expensive first. The lock is held.
func (t *table) ranked() []Share {
	list := make([]Share, 0, len(t.rows))
	for name, row := range t.rows {
		u := row.Usage()
		list = append(list, Share{Name: name, Usage: u, Dollars: u.Bill().Dollars})
	}
	slices.SortFunc(list, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Dollars, a.Dollars), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// shares gives the most expensive rows and all others as one, so that they add up to total.
func (t *table) shares(total Usage) Shares {
	t.mu.RLock()
	list := t.ranked()
	t.mu.RUnlock()
	rest := total
	for i, s := range list {
		if i == topKeys {
			break
		}
		rest = rest.Minus(s.Usage)
	}
	s := Shares{Top: list[:min(topKeys, len(list))], Others: rest}
	s.OthersDollars = rest.Bill().Dollars
	return s
}

// Share is what one room, user or event name used.
type Share struct {
	Name    string  `json:"name"`
	Usage   Usage   `json:"usage"`
	Dollars float64 `json:"dollars"`
}

// Shares divide a total.
type Shares struct {
	Top           []Share `json:"top"`
	Others        Usage   `json:"others"` // smaller ones, and what belongs to none: authorizers, the sweep
	OthersDollars float64 `json:"othersDollars"`
}

// Meter counts what a running Bellhop uses. Its zero value is ready; it is safe for concurrent use, and its memory is
// bounded but for what it knows of each open connection.
type Meter struct {
	hub.NoObserver

	Now      func() time.Time // nil: time.Now
	DynamoDB string           // how its units are counted; empty: Estimated

	total Tally

	rooms, users, events table
	spared               spared

	mu    sync.Mutex
	began time.Time
	open  map[string]opened // by connection
}

type opened struct {
	at   time.Time
	user string
}

func (m *Meter) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

// Start begins to count from zero. What is counted at the same time may be lost.
func (m *Meter) Start() {
	m.total.zero()
	m.rooms.clear()
	m.users.clear()
	m.events.clear()
	for i := range m.spared {
		m.spared[i].Store(0)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.began = m.now()
	for id, o := range m.open {
		if !o.at.IsZero() {
			o.at = m.began
			m.open[id] = o
		}
	}
}

// Add counts in the total only.
func (m *Meter) Add(d Delta) { m.total.Add(d) }

// Usage is the count so far, without the minutes of open connections.
func (m *Meter) Usage() Usage { return m.total.Usage() }

// Room is the tally of a room, nil for none. What is added to it has to be added to the meter as well.
func (m *Meter) Room(room string) *Tally { return m.rooms.tally(room) }

// User is the tally of the user who caused something.
func (m *Meter) User(user string) *Tally { return m.users.tally(user) }

// Event is the tally of an event name, or of an action that is none.
func (m *Meter) Event(name string) *Tally { return m.events.tally(name) }

// Opened begins the minutes of a connection. Belongs says whose it is.
func (m *Meter) Opened(connection string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		m.open = map[string]opened{}
	}
	o := m.open[connection]
	o.at = m.now()
	m.open[connection] = o
}

// Belongs says whose a connection is. It may come before Opened, as $connect does.
func (m *Meter) Belongs(connection, user string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		m.open = map[string]opened{}
	}
	o := m.open[connection]
	o.user = user
	m.open[connection] = o
}

// Owner is whose an open connection is, as far as it is known.
func (m *Meter) Owner(connection string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open[connection].user
}

// Closed ends the minutes of a connection, if it was ever open.
func (m *Meter) Closed(connection string) {
	m.mu.Lock()
	o := m.open[connection]
	delete(m.open, connection)
	m.mu.Unlock()
	if o.at.IsZero() {
		return
	}
	d := Delta{ConnectionMs: m.now().Sub(o.at).Milliseconds()}
	m.total.Add(d)
	m.User(o.user).Add(d)
}

// settle moves the minutes of the open connections to the tallies, so that a report has them.
func (m *Meter) settle() {
	m.mu.Lock()
	now := m.now()
	spent := map[string]int64{}
	for id, o := range m.open {
		if o.at.IsZero() {
			continue
		}
		ms := now.Sub(o.at).Milliseconds()
		spent[o.user] += ms
		o.at = o.at.Add(time.Duration(ms) * time.Millisecond)
		m.open[id] = o
	}
	m.mu.Unlock()
	for _, user := range slices.Sorted(maps.Keys(spent)) {
		d := Delta{ConnectionMs: spent[user]}
		m.total.Add(d)
		m.User(user).Add(d)
	}
}

// Report is what a meter has counted, as JSON: GET /_bellhop/cost, and the file of `bellhop dev --record`.
type Report struct {
	Began    time.Time `json:"began"`
	Seconds  float64   `json:"seconds"`
	Region   string    `json:"region"`
	DynamoDB string    `json:"dynamodb"` // how its units were counted
	Usage    Usage     `json:"usage"`
	Bill     Bill      `json:"bill"`
	Month    Bill      `json:"month"` // if it went on like this for 30 days, day and night
	Rooms    Shares    `json:"rooms"`
	Users    Shares    `json:"users"` // by who caused it: the sender, not the receivers
	Events   Shares    `json:"events"`
	Levers   []Lever   `json:"levers"`
	Notes    []string  `json:"notes"`
}

// Month is what a month has here.
const Month = 30 * 24 * time.Hour

// Pace says how what was used becomes a month of 30 days.
type Pace struct {
	Hours     float64       // of each day that it goes on like this; 0: 24
	StandsFor time.Duration // what the run stands for, where it did in less time what users do in that; 0: it was no faster than they are
}

// Check reports what makes no sense.
func (p Pace) Check() error {
	switch {
	case p.Hours < 0 || p.Hours > 24:
		return fmt.Errorf("a day has no %g hours", p.Hours)
	case p.StandsFor < 0 || p.StandsFor > Month:
		return fmt.Errorf("a run cannot stand for %s: give the time that its users would take, such as 24h", p.StandsFor)
	case p.StandsFor > 0 && p.Hours > 0:
		return errors.New("a run that stands for a time says how a day is: give no hours")
	}
	return nil
}

// String says it in words.
func (p Pace) String() string {
	if p.StandsFor > 0 {
		return fmt.Sprintf("where this was what happens in %s", p.StandsFor)
	}
	return fmt.Sprintf("if it goes on like this for %g hours of each of 30 days", cmp.Or(p.Hours, 24))
}

// InAMonth is the usage of a month at a pace. Of a run that stands for a longer time, connections are open for as much longer.
func (r Report) InAMonth(p Pace) Usage {
	if r.Seconds <= 0 {
		return Usage{}
	}
	asIs := Month.Seconds() / r.Seconds
	if p.StandsFor == 0 {
		return r.Usage.Times(asIs * cmp.Or(p.Hours, 24) / 24)
	}
	u := r.Usage.Times(Month.Seconds() / p.StandsFor.Seconds())
	u.ConnectionMinutes = r.Usage.ConnectionMinutes * asIs
	return u
}

// Report is the count so far.
func (m *Meter) Report() Report {
	m.settle()
	m.mu.Lock()
	if m.began.IsZero() {
		m.began = m.now()
	}
	began := m.began
	m.mu.Unlock()
	u := m.total.Usage()
	r := Report{
		Began: began.UTC(), Seconds: m.now().Sub(began).Seconds(), Region: Region, DynamoDB: cmp.Or(m.DynamoDB, Estimated),
		Usage: u, Bill: u.Bill(), Rooms: m.rooms.shares(u), Users: m.users.shares(u), Events: m.events.shares(u),
	}
	r.Levers, r.Notes = m.levers(), notes(r.DynamoDB)
	r.Month = r.InAMonth(Pace{}).BillOfMonth()
	return r
}

// How the units of DynamoDB are counted.
const (
	Estimated  = "estimated"
	NotCounted = "not counted"
)

// notes say what the numbers of a report are not.
func notes(dynamoDB string) []string {
	units := "DynamoDB units are an estimate: they are counted call by call as internal/store/dynamo makes its requests, from the size of what is written and read, not by DynamoDB."
	if dynamoDB == NotCounted {
		units = "DynamoDB units are not counted, nor are the jobs and rooms of functions that run in processes of their own: what those do is not seen from here."
	}
	return []string{
		units,
		"Lambda time is what the functions took on this machine, each rounded up to a millisecond. On AWS every request to DynamoDB and every push is a round trip more.",
		"Not counted: logs, storage, what watches a stack, the requests with which Lambda asks an empty queue for work.",
	}
}
