package cost

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/hub"
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

	Presence   bool    // the rooms show who is there
	Lazy       float64 // seconds that arrivals and departures of large rooms may wait: "lazy" of RoomKinds
	TypingUpTo float64 // members of a room up to which all are told who types, and in larger ones those who talk: "typing" of RoomKinds
	Active     float64 // hours of a day that somebody moves the pointer over the page, or types
	Hidden     float64 // share of the connected time that the page is hidden, where the client has pauseHidden
	Hides      float64 // times a day that it is, if Hidden, and that somebody begins to use it, if Active
	Dialect    Dialect
	Monitoring Level // of the template's parameter
	Metrics    bool  // functions write them
	Tracing    bool  // by X-Ray
	KMS        bool  // the table is encrypted with a key of KMS
}

// Dialect is what the clients speak.
type Dialect string

// The dialects.
const (
	Bellhop  Dialect = "bellhop.v1"
	SocketIO Dialect = "socketio"
)

// Level is how much of a stack is watched.
type Level string

// The levels of the template's parameter Monitoring.
const (
	WatchNothing    Level = "off"
	WatchBasics     Level = "on"
	WatchEverything Level = "full"
)

// DefaultLoad is what a load is where nothing is said.
func DefaultLoad() Load {
	return Load{
		Users: 1000, Hours: 8, Days: 30, Rooms: 50, Joined: 1, Messages: 20, Typing: 1, Bytes: 300,
		LambdaMs: 25, PushMs: 10, TypingUpTo: hub.DefaultTyping, Lazy: hub.DefaultLazy.Seconds(), Active: 1, Hides: 8, Dialect: Bellhop, Monitoring: WatchBasics, Metrics: true,
	}
}

// Check reports what makes no sense.
func (l Load) Check() error {
	for name, n := range map[string]float64{
		"users": l.Users, "hours": l.Hours, "days": l.Days, "rooms": l.Rooms, "joined": l.Joined, "messages": l.Messages,
		"typing": l.Typing, "bytes": l.Bytes, "lambda-ms": l.LambdaMs, "push-ms": l.PushMs, "typing-up-to": l.TypingUpTo, "active": l.Active,
		"hidden": l.Hidden, "hides": l.Hides, "lazy": l.Lazy,
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
	case l.Hidden > 1:
		return fmt.Errorf("hidden is a share, such as 0.5, not %g", l.Hidden)
	case l.Active > l.Hours:
		return fmt.Errorf("a page that is open for %g hours of a day cannot be used for %g", l.Hours, l.Active)
	case l.Dialect != "" && l.Dialect != Bellhop && l.Dialect != SocketIO:
		return fmt.Errorf("the dialect is %s or %s, not %s", Bellhop, SocketIO, l.Dialect)
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

// crowded reports whether the rooms are so large that only those who talk there are told who types.
func (l Load) crowded() bool { return l.Members() > l.TypingUpTo }

// told is how many others are told of a signal that somebody types: those who look, or who have written something of late.
func (l Load) told() float64 {
	others := max(0, l.Members()-1)
	switch {
	case !l.crowded():
		return l.among(others+1) - 1
	case l.TypingUpTo == 0, l.Members() > inline, l.channelMinutes() == 0:
		return 0
	}
	written := l.Published() / l.channelMinutes() * talkMinutes
	return others * (1 - math.Exp(-min(written, talkEntries)/l.Members()))
}

// Arrivals is how often a month somebody comes to a room where that is told; as often somebody goes.
func (l Load) Arrivals() float64 {
	if !l.Presence {
		return 0
	}
	return l.Users * l.Days * l.Joined
}

// Deliveries is how many events reach somebody in a month who looks: messages and arrivals all members, signals and departures all others.
func (l Load) Deliveries() float64 {
	n := l.Members()
	return l.among(n)*(l.Published()+l.Arrivals()) + l.told()*l.Signals() + (l.among(n)-1)*l.Arrivals()
}

// among is how many of n look, of whom one does.
func (l Load) among(n float64) float64 {
	if n < 1 {
		return n
	}
	return 1 + (n-1)*(1-l.paused())
}

// paused is the share of the connected time in which nothing is pushed to a page. It is hidden for a minute before.
func (l Load) paused() float64 {
	if l.Hidden == 0 || l.Hours == 0 {
		return 0
	}
	return max(0, l.Hidden-l.Hides/60/l.Hours)
}

// Minutes are the connection minutes of a month.
func (l Load) Minutes() float64 { return l.Users * l.Hours * 60 * l.Days }

// Connects is how often somebody connects in a month: at the start of the day and when two hours are over, or nearly.
func (l Load) Connects() float64 {
	each := relief
	if l.Dialect == SocketIO {
		each = lifetime
	}
	return l.Users * math.Ceil(l.Hours/each) * l.Days
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

// String says it in a few lines.
func (l Load) String() string {
	var b strings.Builder
	n := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	fmt.Fprintf(&b, "A month of %s users, each %s hours on %s days; %s rooms, %s for each user, %s members in a room;\n",
		n(l.Users), n(l.Hours), n(l.Days), n(l.Rooms), n(l.Joined), Amount(l.Members()))
	fmt.Fprintf(&b, "%s messages of %s bytes an hour from each user, with %s typing signals for each message", n(l.Messages), n(l.Bytes), n(l.Typing))
	if l.crowded() && l.Signals() > 0 && l.Members() > 1 {
		who := "only those are told who talk,"
		if l.told() == 0 {
			who = "nobody is told"
		}
		fmt.Fprintf(&b, ", of which %s in rooms of more than %s", who, n(l.TypingUpTo))
	}
	fmt.Fprintf(&b, ";\npages used for %s hours of a day", n(l.Active))
	if l.Hidden > 0 {
		fmt.Fprintf(&b, ", and hidden for %s %% of the time, %s times a day", n(100*l.Hidden), n(l.Hides))
	}
	if l.Presence {
		b.WriteString("; the rooms show who is there")
	}
	if l.Dialect == SocketIO {
		b.WriteString("; the clients speak Socket.IO")
	}
	b.WriteString(".\n")
	return b.String()
}
