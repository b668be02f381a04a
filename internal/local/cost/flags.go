package cost

import "time"

// Flags are those of `bellhop cost`. A load is described by any of the pointers.
type Flags struct {
	Users    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Users who are connected on a day. Default: 1000."`
	Hours    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Hours of a day that each is connected. Default: 8. For a recording: hours of a day that it goes on like this, 24."`
	Rooms    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Rooms in all. Default: 50. A room has USERS × JOINED / ROOMS members."`
	Messages *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Messages that each user sends in an hour. Default: 20."`
	Joined   *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Rooms that each user is in. Default: 1."`
	Presence *bool    `group:"A load, instead of a recording" help:"The rooms show who is there."`
	Typing   *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Typing signals that go with each message, to every other member. Default: 1; a client sends one for every 10 seconds of typing."`
	Bytes    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Size of a message's frame. Default: 300."`
	Days     *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Days of a month. Default: 30."`
	Active   *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Hours of a day that somebody moves the pointer over the page, or types: clients look closer then whether they are connected. Default: 1, a guess."`
	Hidden   *float64 `group:"A load, instead of a recording" placeholder:"SHARE" help:"Share of its time that a page is hidden, such as 0.5, with the option pauseHidden. Default: 0."`
	Hides    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Times a day that it is hidden. Default: 8."`
	Dialect  *Dialect `group:"A load, instead of a recording" placeholder:"NAME" help:"What clients speak: bellhop.v1, or socketio, whose heartbeats are paid for. Default: bellhop.v1."`
	LambdaMs *float64 `name:"lambda-ms" group:"A load, instead of a recording" placeholder:"N" help:"Milliseconds of an invocation without its pushes. Default: 25, a guess: five requests to DynamoDB."`
	PushMs   *float64 `name:"push-ms" group:"A load, instead of a recording" placeholder:"N" help:"Milliseconds of a push; 64 are on the way at the same time. Default: 10, a guess."`

	TypingUpTo *float64 `name:"typing-up-to" group:"The stack of a load" placeholder:"N" help:"Members up to which all of a room are told who types, and in larger ones those who talk: typing of RoomKinds. Default: 25."`
	Lazy       *float64 `group:"The stack of a load" placeholder:"SECONDS" help:"How long rooms of more than 25 may wait to be told who comes and goes, lazy of RoomKinds. Default: 60; 0 is not at all."`
	Monitoring *Level   `group:"The stack of a load" placeholder:"LEVEL" help:"The template's parameter: off, on or full. Default: on."`
	Metrics    *bool    `group:"The stack of a load" negatable:"" help:"Functions write metrics, the template's parameter. Default: they do."`
	Tracing    *bool    `group:"The stack of a load" help:"X-Ray traces invocations, Tracing=Active."`
	KMS        *bool    `name:"kms" group:"The stack of a load" help:"The table is encrypted by KMS, TableEncryption=kms."`

	StandsFor time.Duration `group:"A recording" placeholder:"TIME" help:"What the recorded run stands for, such as 24h, if it did in less time what users do in that."`
}

// Load is what the flags describe, and whether they describe any.
func (f Flags) Load() (l Load, described bool) {
	l = DefaultLoad()
	for to, from := range map[*float64]*float64{
		&l.Users: f.Users, &l.Rooms: f.Rooms, &l.Messages: f.Messages, &l.Joined: f.Joined, &l.Typing: f.Typing, &l.Bytes: f.Bytes, &l.Days: f.Days,
		&l.Active: f.Active, &l.Hidden: f.Hidden, &l.Hides: f.Hides, &l.LambdaMs: f.LambdaMs, &l.PushMs: f.PushMs, &l.TypingUpTo: f.TypingUpTo,
		&l.Lazy: f.Lazy,
	} {
		described = set(to, from) || described
	}
	described = set(&l.Dialect, f.Dialect) || described
	described = set(&l.Monitoring, f.Monitoring) || described
	for to, from := range map[*bool]*bool{&l.Presence: f.Presence, &l.Metrics: f.Metrics, &l.Tracing: f.Tracing, &l.KMS: f.KMS} {
		described = set(to, from) || described
	}
	set(&l.Hours, f.Hours) // of a recording too
	if f.Active == nil {
		l.Active = min(l.Active, l.Hours)
	}
	return l, described
}

// set reports whether there was something to set.
func set[T any](to, from *T) bool {
	if from != nil {
		*to = *from
	}
	return from != nil
}

// Pace is how a recording becomes a month.
func (f Flags) Pace() Pace {
	p := Pace{StandsFor: f.StandsFor}
	set(&p.Hours, f.Hours)
	return p
}
