package cost

import "math"

// What the model knows of Bellhop. The DynamoDB units of each flow are those that TestBudgets of internal/store/dynamo finds, as far as
// DynamoDB Local counts them; TestYardstick of internal/check/costs holds all of it against a day of clients.
const (
	lifetime     = 2.0     // hours, after which API Gateway closes a connection
	relief       = 1.9     // after which a client's next one takes its place: websocket.ts of @bellhop/client
	idleMinutes  = 9.0     // without a frame, after which a client sends a ping: liveness.ts of @bellhop/client
	quietMinutes = 2.0 / 3 // the same while somebody uses the page, or after the client has asked for something
	beatMinutes  = 4.0     // between two pings of Socket.IO
	inline       = 200.0   // members that a publish pushes to itself; others by the queue
	jobPage      = 1000.0  // members that one job is for
	talkMinutes  = 10.0    // that who has written something talks
	talkEntries  = 25.0    // of the log that are read to find them
	dots         = 25.0    // members up to which who comes and goes is told at once
	parallel     = 64.0    // pushes at the same time
	together     = 50.0    // rooms of one frame of a client's
	sweepMinutes = 5.0     // between two sweeps
	sweepOverlap = 1.0     // minutes that each looks back behind the one before
	firstSilence = 11.0    // minutes without an action, after which it asks for a connection; and after 22, 44 and 88
	smallMB      = 256.0   // memory of authorize, connect, disconnect and sweep; see template.yaml
	messageMB    = 512.0
	deliverMB    = 1024.0

	replyBytes    = 150.0 // what the reply to a publish has
	occupantBytes = 95.0  // what a user takes in the reply of a join
	signalBytes   = 126.0
	presenceBytes = 238.0
	replyFull     = 112 << 10 // bytes, beyond which another room of a join has to wait for the next frame

	// What an invocation writes to the log: its metrics, and a line or none.
	connectLog, closeLog, joinLog, messageLog, signalLog, jobLog, sweepLog = 415.0, 434.0, 231.0, 367.0, 288.0, 276.0, 425.0
	tellLog                                                                = 60.0 // for an arrival that a join tells

	ownMetrics   = 18.0              // that functions write in a busy stack
	basicAlarms  = 10.0              // metrics that alarms look at
	fullAlarms   = 27.0              //
	pollers      = 2 * 5.0           // of two queues
	pollSeconds  = 20.0              // that each waits for messages
	traceRate    = 0.05              // of the invocations beyond one a second
	keyCallers   = 7.0               // functions, each of which DynamoDB asks KMS for
	keyMinutes   = 5.0               // at most so often
	monthMinutes = 30 * 24 * 60.0    //
	monthSeconds = 60 * monthMinutes //
)

// Flow is what one kind of action uses in a month.
type Flow struct {
	Name  string  `json:"name"`
	Count float64 `json:"count"`
	Usage Usage   `json:"usage"`
}

// The flows, in the order of Flows.
const (
	FlowMinutes    = "connected"
	FlowConnects   = "connects"
	FlowJoins      = "joins"
	FlowMessages   = "messages"
	FlowTyping     = "typing"
	FlowPresence   = "presence"
	FlowGrace      = "grace jobs"
	FlowPauses     = "pauses"
	FlowPings      = "pings"
	FlowHeartbeats = "heartbeats"
	FlowSweeps     = "sweeps"
	FlowWatching   = "watching"
)

// Flows are what the load uses in a month, by kind of action. Some have nothing.
func (l Load) Flows() []Flow {
	return []Flow{
		{FlowMinutes, l.Minutes(), Usage{ConnectionMinutes: l.Minutes()}},
		l.connects(), l.joins(), l.messages(), l.typing(), l.presence(), l.grace(), l.pauses(), l.pings(), l.heartbeats(), l.sweeps(), l.watching(),
	}
}

// Usage is everything that the load uses in a month.
func (l Load) Usage() Usage {
	var u Usage
	for _, f := range l.Flows() {
		u = u.Plus(f.Usage)
	}
	return u
}

// invoked is invocations of ms milliseconds with a memory, that log some bytes.
func invoked(n, ms, mb, logBytes float64) Usage {
	return Usage{LambdaRequests: n, LambdaGBSeconds: n * math.Max(1, math.Ceil(ms)) / 1000 * mb / 1024, LogBytes: n * logBytes}
}

// readUnits are a strongly consistent read of rows of some size together.
func readUnits(rows, size float64) float64 { return math.Max(1, math.Ceil(rows*size/(4<<10))) }

// units are the 32 KB that a frame is billed as.
func units(size float64) float64 { return math.Max(1, math.Ceil(size/messageUnit)) }

// one is 1 if something is so.
func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// connects are authorizer, $connect and $disconnect. 2 write units are for the connection and its own room, 3 to begin its end, leave its
// own room and forget it, and 1 for each other room; with presence 1 more, and a read.
func (l Load) connects() Flow {
	n, shown := l.Connects(), one(l.Presence)*l.Joined
	u := invoked(2*n, l.LambdaMs, smallMB, connectLog/2).Plus(invoked(n, l.LambdaMs, smallMB, closeLog))
	u = u.Plus(Usage{WriteUnits: n * (5 + l.Joined + shown), ReadUnits: n * shown})
	if l.Dialect == SocketIO {
		// The open packet and the look of the reaper are jobs; CONNECT is a message, answered by one.
		u = u.Plus(Usage{MessagesIn: n, MessagesOut: 2 * n, BytesOut: 250 * n, SQSRequests: 6 * n, WriteUnits: 3 * n, ReadUnits: 2 * n})
		u = u.Plus(invoked(2*n, l.LambdaMs, deliverMB, 0)).Plus(invoked(n, l.LambdaMs, messageMB, 0))
	}
	return Flow{FlowConnects, n, u}
}

// entered is what n joins of all of a user's rooms use, each with missed events. A frame is a write unit, and so is a room, and one with
// presence 2. back: the connection was in the rooms before, so that its presence is written and who is there is known.
func (l Load) entered(n, missed float64, back bool) Usage {
	if l.Joined == 0 {
		return Usage{}
	}
	shown, anew := one(l.Presence), one(!back)
	room := replyBytes + missed*l.Bytes + shown*anew*occupantBytes*l.Members()
	frames := math.Ceil(l.Joined / math.Min(together, math.Max(1, math.Floor(replyFull/room))))
	if l.Dialect == SocketIO { // whose applications join one by one
		frames = l.Joined
	}
	u := invoked(n*frames, l.LambdaMs, messageMB, joinLog)
	reads := 1 + anew/2 + one(missed > 0)*readUnits(missed, entryRow+l.Bytes/2) + shown*(1+anew*readUnits(l.Members(), hereRow))
	return u.Plus(Usage{
		MessagesIn: n * frames, MessagesOut: n * frames * units(room*l.Joined/frames), BytesOut: n * l.Joined * room,
		WriteUnits: n * (frames + l.Joined*(1+shown*anew)), ReadUnits: n * (frames + l.Joined*reads),
	})
}

func (l Load) joins() Flow {
	behind := (l.Connects() - l.Users*l.Days) * l.paused() / 2 // of hidden pages that were cut, half of which have missed nothing, or all
	u := l.entered(l.Connects()-behind, 0, false)
	if behind > 0 {
		u = u.Plus(l.entered(behind, l.missed(), false))
	}
	return Flow{FlowJoins, l.Connects() * l.Joined, u}
}

// missed is how many events of each room a hidden page is not pushed before it is seen again.
func (l Load) missed() float64 {
	heard, _ := l.heard()
	return heard * l.Hours * 60 * l.paused() / l.Hides / math.Max(1, l.Joined)
}

// fanOut is what it takes to push n events to some of a room's members: at once to the first, the others by jobs. ms is the time that the
// pushes of the sender's own invocation take.
func (l Load) fanOut(n, to, size float64) (u Usage, ms float64) {
	first := math.Min(to, inline)
	ms = math.Ceil(first/parallel) * l.PushMs
	beyond := math.Max(0, l.Members()-inline)
	jobs := n * math.Ceil(beyond/jobPage)
	if to == 0 {
		beyond, jobs = 0, 0
	}
	u = Usage{MessagesOut: n * to * units(size), BytesOut: n * to * size, ReadUnits: n * readUnits(math.Min(l.Members(), inline)+2, memberRow)}
	if beyond > 0 {
		u.ReadUnits += n * readUnits(beyond+2, memberRow)
	}
	u.SQSRequests = 3 * jobs // sent, received, deleted
	return u.Plus(invoked(jobs, l.LambdaMs+math.Ceil(math.Min(to-first, jobPage)/parallel)*l.PushMs, deliverMB, jobLog)), ms
}

// messages have an id: the touch, the seq with the id, the id's own row and the entry; a look for the id before.
func (l Load) messages() Flow {
	n := l.Published()
	u, ms := l.fanOut(n, l.among(l.Members()), l.Bytes)
	row := math.Max(1, math.Ceil(l.Bytes/1024))
	return Flow{FlowMessages, n, u.Plus(invoked(n, l.LambdaMs+ms, messageMB, messageLog)).Plus(Usage{
		MessagesIn: n * units(l.Bytes), MessagesOut: n, BytesOut: n * replyBytes, WriteUnits: n * (3 + row), ReadUnits: n,
	})}
}

// typing signals write nothing and are not answered.
func (l Load) typing() Flow {
	n := l.Signals()
	u, ms := l.fanOut(n, l.told(), signalBytes)
	if l.told() > 0 && l.crowded() {
		u.ReadUnits += n * readUnits(talkEntries, entryRow+l.Bytes/2)
	}
	return Flow{FlowTyping, n, u.Plus(invoked(n, l.LambdaMs+ms, messageMB, signalLog)).Plus(Usage{MessagesIn: n})}
}

// presence is what arrivals and departures are told with. An arrival is told by the join: 4 write units more. A departure is a job: 5.
func (l Load) presence() Flow {
	n := l.Arrivals()
	all := l.among(l.Members())
	pushes, flushes := l.waits()
	come, ms := l.fanOut(n*pushes, all, presenceBytes/pushes)
	gone, _ := l.fanOut(n*pushes, max(0, all-1), presenceBytes/pushes)
	u := come.Plus(gone).Plus(Usage{WriteUnits: 9 * n, ReadUnits: 5 * n, SQSRequests: 3 * n, LogBytes: n * tellLog})
	u = u.Plus(invoked(n, l.LambdaMs, deliverMB, jobLog))
	if flushes == 0 {
		u.LambdaGBSeconds += n * ms / 1000 * (messageMB + deliverMB) / 1024
		return Flow{FlowPresence, 2 * n, u}
	}
	// What waits is looked at before, read when it is pushed, and the mark is taken away; a job comes for each first of them.
	first := 2 * n * flushes
	u = u.Plus(invoked(first, l.LambdaMs, deliverMB, jobLog)).Plus(Usage{
		SQSRequests: 3 * first, LambdaGBSeconds: 2 * n * pushes * ms / 1000 * deliverMB / 1024, WriteUnits: first,
		ReadUnits: 2*n*readUnits(dots+3, memberRow) + first + 2*n*(flushes+0)*readUnits(1, entryRow),
	})
	return Flow{FlowPresence, 2 * n, u}
}

// waits is how many pushes and how many flushes there are for each arrival or departure of a large room. The first of some waits until a
// message comes, or the time is over; what comes meanwhile goes along. With a message nothing more is pushed.
func (l Load) waits() (pushes, flushes float64) {
	if l.Lazy == 0 || l.Members() <= dots || l.Arrivals() == 0 {
		return 1, 0
	}
	minutes := l.Hours * 60 * l.Days
	messages, others, most := l.Published()/l.Rooms/minutes, 2*l.Arrivals()/l.Rooms/minutes, l.Lazy/60
	alone, waited := math.Exp(-messages*most), most
	if messages > 0 {
		waited = (1 - alone) / messages
	}
	each := 1 / (1 + others*waited)
	return max(alone*each, 1e-9), each
}

// grace is the jobs that find a user back who was cut after two hours. Clients of bellhop.v1 have another connection by then.
func (l Load) grace() Flow {
	if !l.Presence || l.Dialect != SocketIO {
		return Flow{Name: FlowGrace}
	}
	n := (l.Connects() - l.Users*l.Days) * l.Joined
	return Flow{FlowGrace, n, invoked(n, l.LambdaMs, deliverMB, jobLog).Plus(Usage{SQSRequests: 3 * n, ReadUnits: n})}
}

// pauses are those of hidden pages, and the joins with which they come back.
func (l Load) pauses() Flow {
	if l.paused() == 0 {
		return Flow{Name: FlowPauses}
	}
	n := l.Users * l.Days * l.Hides
	asked := n + (l.Connects()-l.Users*l.Days)*l.Hidden // once more after two hours
	u := invoked(asked, l.LambdaMs, messageMB, 0).Plus(l.entered(n, l.missed(), true))
	return Flow{FlowPauses, n, u.Plus(Usage{MessagesIn: asked, MessagesOut: asked, BytesOut: asked * replyBytes, WriteUnits: asked * (1 + l.Joined)})}
}

// heard is how many events a minute a connection hears that looks, and in how many frames. Typing comes with messages, and breaks no other
// silence.
func (l Load) heard() (events, frames float64) {
	if l.Minutes() == 0 || l.Rooms == 0 {
		return 0, 0
	}
	pushes, _ := l.waits()
	each := l.Joined / l.channelMinutes()
	return each * (l.Published() + 2*l.Arrivals()), each * (l.Published() + 2*l.Arrivals()*pushes)
}

// silences is how many silences of a length there are in a minute in which events come at random, each ended by a ping.
func silences(events, length float64) float64 {
	if events*length < 1e-9 {
		return 1 / length
	}
	return events * math.Exp(-events*length) / (1 - math.Exp(-events*length))
}

// pings are what clients find out with whether their connection is alive: after a while in which they heard nothing, which is short while
// somebody uses the page and once after each time that a page which is seen has asked for something. The answer is a message too, but no function runs.
func (l Load) pings() Flow {
	if l.Dialect == SocketIO || l.Hours == 0 {
		return Flow{Name: FlowPings}
	}
	used := l.Active / l.Hours
	looking := math.Max(0, 1-used-l.paused())
	_, heard := l.heard()
	n := l.Minutes() * (used*silences(heard, quietMinutes) + looking*silences(heard, idleMinutes))
	n += l.Connects() * (1 - l.paused()) // which ask for rooms
	cycles := l.Users * l.Days * l.Hides
	if l.Active > 0 { // the use's last silence is asked about when it is over, of which a third would have been within it
		n += cycles * 2 / 3
	}
	switch {
	case l.paused() > 0: // which comes back with a join
		n += cycles * math.Floor(l.paused()*l.Hours*60/l.Hides/idleMinutes)
	case l.Active > 0: // a silence that was longer is asked about when the use begins
		n += cycles * math.Exp(-heard*quietMinutes)
	}
	return Flow{FlowPings, n, Usage{MessagesIn: n, MessagesOut: n, BytesOut: n * 16}}
}

// heartbeats are those of Socket.IO: a job that pushes a ping and notes it, and a pong that is answered and unnotes it. Every sixth
// pong begins another row of jobs, which has a note, and the old one has a job more.
func (l Load) heartbeats() Flow {
	if l.Dialect != SocketIO {
		return Flow{Name: FlowHeartbeats}
	}
	n := l.Minutes() / beatMinutes
	rows := n / 6
	u := invoked(n, l.LambdaMs+l.PushMs, deliverMB, 0).Plus(invoked(rows, l.LambdaMs, deliverMB, 0)).Plus(invoked(n, l.LambdaMs, messageMB, 0))
	return Flow{FlowHeartbeats, n, u.Plus(Usage{
		MessagesIn: n, MessagesOut: 2 * n, BytesOut: 2 * n, SQSRequests: 3 * (n + rows), WriteUnits: 2*n + rows, ReadUnits: 2*n + 3*rows,
	})}
}

// sweeps are twelve an hour, day and night, whoever is there: each looks through 64 partitions, for half the price of a consistent read,
// and reads and writes how far it is. It looks at the presence of connections that did something since the last one, and asks API
// Gateway for those that have become silent for 11, 22, 44 or 88 minutes. It is not known that AWS bills for that; it takes time.
func (l Load) sweeps() Flow {
	n := monthMinutes / sweepMinutes
	open := l.Users * l.Hours / 24 * l.Days / 30
	since := sweepMinutes + sweepOverlap
	asked := 0.0
	for silence := firstSilence; silence < lifetime*60; silence *= 2 {
		asked += since * l.actions() * l.silent(silence)
	}
	ms := l.LambdaMs + math.Ceil(open*asked/parallel)*l.PushMs
	u := invoked(n, ms, smallMB, sweepLog)
	return Flow{FlowSweeps, n, u.Plus(Usage{
		ReadUnits:  n * (1 + 32 + open*(connectionRow+20*l.Joined)/(8<<10) + open*(1-l.silent(since))*one(l.Presence)*l.Joined),
		WriteUnits: n,
	})}
}

// actions are how many come from a connection in a minute. Pings are none.
func (l Load) actions() float64 {
	a := l.Connects()*lifetime*60 + 1 // minutes of all connections
	actions := l.Connects() + l.Published() + one(l.paused() > 0)*2*l.Users*l.Days*l.Hides
	return actions / math.Min(a, l.Minutes()+1)
}

// silent is the share of connections from which no action has come for some minutes.
func (l Load) silent(minutes float64) float64 {
	if l.Hours == 0 {
		return 0
	}
	return math.Exp(-minutes * l.actions())
}

// watching is what is there to see how the rest does, and the requests with which Lambda asks two queues for work.
func (l Load) watching() Flow {
	u := Usage{SQSRequests: pollers * monthSeconds / pollSeconds, Metrics: one(l.Metrics) * ownMetrics}
	switch l.Monitoring {
	case WatchBasics:
		u.AlarmMetrics, u.Dashboards = basicAlarms, 1
	case WatchEverything:
		u.AlarmMetrics, u.Dashboards = fullAlarms, 1
	case WatchNothing:
	}
	if l.Tracing {
		requests := 0.0
		for _, f := range []Flow{l.connects(), l.joins(), l.messages(), l.typing(), l.presence(), l.grace(), l.pauses(), l.heartbeats(), l.sweeps()} {
			requests += f.Usage.LambdaRequests
		}
		first := math.Min(requests, l.Hours*l.Days*3600)
		u.Traces = first + traceRate*(requests-first)
	}
	if l.KMS {
		u.KeyRequests = keyCallers * monthMinutes / keyMinutes
	}
	return Flow{FlowWatching, 1, u}
}
