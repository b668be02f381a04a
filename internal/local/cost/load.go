package cost

import (
	"errors"
	"fmt"
	"math"
)

// Load describes an application, to know what it would cost before it runs. Everybody in a room is taken to be there at the
// same time, so the bill is rather too high than too low.
type Load struct {
	Users    float64 // who are connected on a day
	Hours    float64 // of a day that each is
	Days     float64 // of a month
	Rooms    float64 // in all
	Joined   float64 // rooms that each user is in, beside the own
	Messages float64 // that each user sends in an hour
	Typing   float64 // signals that go with each message
	Bytes    float64 // of an event's frame
	LambdaMs float64 // that an invocation takes without its pushes
	PushMs   float64 // that a push takes; a publish has 64 at a time on the way
}

// What the load model knows of Bellhop. The DynamoDB units of each flow are those that TestBudgets of internal/store/dynamo finds.
const (
	lifetime     = 2.0     // hours, after which API Gateway closes a connection
	pingMinutes  = 9.0     // of silence, after which a client sends one: keepalive.ts of @bellhop/client
	inline       = 200.0   // members that a publish pushes to itself; others by the queue
	jobPage      = 1000.0  // members that one job is for
	parallel     = 64.0    // pushes at the same time
	sweepMinutes = 5.0     // between two sweeps
	sweepRead    = 10_000. // connections that a sweep is taken to look through in one second
	smallMB      = 256.0   // memory of authorize, connect, disconnect and sweep; see template.yaml
	messageMB    = 512.0
	deliverMB    = 1024.0
)

// Check reports what makes no sense.
func (l Load) Check() error {
	for name, n := range map[string]float64{
		"users": l.Users, "hours": l.Hours, "days": l.Days, "rooms": l.Rooms, "joined": l.Joined, "messages": l.Messages,
		"typing": l.Typing, "bytes": l.Bytes, "lambda-ms": l.LambdaMs, "push-ms": l.PushMs,
	} {
		if n < 0 || math.IsNaN(n) || math.IsInf(n, 0) {
			return fmt.Errorf("%s cannot be %g", name, n)
		}
	}
	switch {
	case l.Hours > 24:
		return fmt.Errorf("a day has no %g hours", l.Hours)
	case l.Days > 31:
		return fmt.Errorf("a month has no %g days", l.Days)
	case l.Rooms == 0 && l.Joined > 0:
		return errors.New("nobody can be in a room if there are none")
	case l.Joined > l.Rooms:
		return fmt.Errorf("a user cannot be in %g of %g rooms", l.Joined, l.Rooms)
	}
	return nil
}

// Members is how many users a room has.
func (l Load) Members() float64 {
	if l.Rooms == 0 {
		return 0
	}
	return l.Users * l.Joined / l.Rooms
}

// Published is how many messages are sent in a month. Who is in no room sends none.
func (l Load) Published() float64 {
	if l.Members() == 0 {
		return 0
	}
	return l.Users * l.Messages * l.Hours * l.Days
}

// Signals is how many typing signals are sent in a month.
func (l Load) Signals() float64 { return l.Published() * l.Typing }

// Deliveries is how many events reach somebody in a month: messages all members, signals all but the sender.
func (l Load) Deliveries() float64 {
	return l.Published()*l.Members() + l.Signals()*max(0, l.Members()-1)
}

// Minutes are the connection minutes of a month.
func (l Load) Minutes() float64 { return l.Users * l.Hours * 60 * l.Days }

// Connects is how often somebody connects in a month: at the start of the day and when two hours are over.
func (l Load) Connects() float64 { return l.Users * math.Ceil(l.Hours/lifetime) * l.Days }

// Flow is what one kind of action uses in a month.
type Flow struct {
	Name  string  `json:"name"`
	Count float64 `json:"count"`
	Usage Usage   `json:"usage"`
}

// gbSeconds is the time of invocations with a memory.
func gbSeconds(invocations, ms, mb float64) float64 {
	return invocations * math.Max(1, math.Ceil(ms)) / 1000 * mb / 1024
}

// readUnits are strongly consistent reads of rows of some size together.
func readUnits(rows, size float64) float64 { return math.Max(1, math.Ceil(rows*size/(4<<10))) }

// Flows are what the load uses in a month, by kind of action.
func (l Load) Flows() []Flow {
	messageUnits := math.Max(1, math.Ceil(l.Bytes/messageUnit))
	connects, joins, published, signals := l.Connects(), l.Connects()*l.Joined, l.Published(), l.Signals()
	flows := []Flow{
		{"connected", l.Minutes(), Usage{ConnectionMinutes: l.Minutes()}},
		// Authorizer, $connect, $disconnect. 2 units to write the connection and its own room; 1 to begin its end, 1 for
		// each room and 1 to forget it.
		{"connects", connects, Usage{
			LambdaRequests: 3 * connects, LambdaGBSeconds: gbSeconds(3*connects, l.LambdaMs, smallMB),
			WriteUnits: connects * (2 + 2 + 1 + l.Joined),
		}},
		{"joins", joins, Usage{
			MessagesIn: joins, MessagesOut: joins, BytesOut: joins * l.Bytes, LambdaRequests: joins,
			LambdaGBSeconds: gbSeconds(joins, l.LambdaMs, messageMB), WriteUnits: 2 * joins, ReadUnits: 3.5 * joins,
		}},
		l.publishes(published, messageUnits).named("messages"),
		l.signals(signals).named("typing"),
	}
	// A client that hears or says something sends no ping; it is taken to hear nothing. The answer is a message too, but
	// no function runs.
	pings := l.Minutes() / pingMinutes
	flows = append(flows, Flow{"pings", pings, Usage{MessagesIn: pings, MessagesOut: pings, BytesOut: pings * 16}})
	// Twelve an hour, day and night, whoever is there: each reads 64 partitions.
	sweeps := Month.Minutes() / sweepMinutes
	open := l.Users * l.Hours / 24
	return append(flows, Flow{"sweeps", sweeps, Usage{
		LambdaRequests: sweeps, LambdaGBSeconds: gbSeconds(sweeps, l.LambdaMs+1000*open/sweepRead, smallMB),
		ReadUnits: sweeps * (64 + open*connectionRow/(4<<10)),
	}})
}

func (f Flow) named(name string) Flow {
	f.Name = name
	return f
}

// fanOut is what it takes to push to the members of a room: at once to the first, the others by jobs. ms is the time that
// the pushes of the sender's own invocation take.
func (l Load) fanOut(n, to float64) (u Usage, ms float64) {
	first := math.Min(to, inline)
	ms = math.Ceil(first/parallel) * l.PushMs
	jobs := n * math.Ceil((to-first)/jobPage)
	u = Usage{MessagesOut: n * to, BytesOut: n * to * l.Bytes, ReadUnits: n * readUnits(l.Members(), memberRow)}
	u.SQSRequests = 3 * jobs // sent, received, deleted
	u.LambdaRequests = jobs
	u.LambdaGBSeconds = gbSeconds(jobs, l.LambdaMs+math.Ceil(math.Min(to-first, jobPage)/parallel)*l.PushMs, deliverMB)
	return u, ms
}

// publishes are messages with an id: the touch, the seq, the id and the entry; a look for the id before.
func (l Load) publishes(n, units float64) Flow {
	u, ms := l.fanOut(n, l.Members())
	u.MessagesOut *= units
	row := math.Max(1, math.Ceil(l.Bytes/1024))
	return Flow{Count: n, Usage: u.Plus(Usage{
		MessagesIn: n * units, MessagesOut: n, BytesOut: n * replyBytes,
		LambdaRequests: n, LambdaGBSeconds: gbSeconds(n, l.LambdaMs+ms, messageMB),
		WriteUnits: n * (3 + row), ReadUnits: n,
	})}
}

// replyBytes is about what the reply to a publish has.
const replyBytes = 150

// signals write nothing and are not answered.
func (l Load) signals(n float64) Flow {
	u, ms := l.fanOut(n, max(0, l.Members()-1))
	return Flow{Count: n, Usage: u.Plus(Usage{
		MessagesIn: n, LambdaRequests: n, LambdaGBSeconds: gbSeconds(n, l.LambdaMs+ms, messageMB),
	})}
}

// Usage is everything that the load uses in a month.
func (l Load) Usage() Usage {
	var u Usage
	for _, f := range l.Flows() {
		u = u.Plus(f.Usage)
	}
	return u
}

// DefaultLoad is what a load is where nothing is said.
func DefaultLoad() Load {
	return Load{
		Users: 1000, Hours: 8, Days: 30, Rooms: 50, Joined: 1, Messages: 20, Typing: 1, Bytes: 300,
		LambdaMs: 25, PushMs: 10,
	}
}

// Peak is how many connections are open at the same time.
func (l Load) Peak() float64 { return l.Users }

// perDay is a part of a month for each of its days.
func (l Load) perDay(n float64) float64 {
	if l.Days == 0 {
		return 0
	}
	return n / l.Days
}

// channelMinutes are those of rooms that somebody is in.
func (l Load) channelMinutes() float64 {
	if l.Joined == 0 {
		return 0
	}
	return l.Rooms * l.Hours * 60 * l.Days
}
