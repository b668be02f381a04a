package hub

import (
	"maps"
	"slices"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// What is what a command is about, for whoever has to say whether it may be done.
type What struct {
	Command                   string
	Rooms, Users, Connections []string // names and ids that it goes to or asks about
	Event                     string   // what is published or asked; empty: nothing is
	From                      string   // the user in whose name; empty: nobody's
}

// Everybody is in the place of the users' ids in [What] for what goes to all of them. It is no user's id that a scope of some would fit.
const Everybody = "*"

// Commands are all there are, each empty, in the order of their names.
func Commands() []Command {
	return []Command{
		AskCommand{},
		CloseCommand{},
		ConnectionsCommand{},
		DisconnectCommand{},
		HistoryCommand{},
		JoinCommand{},
		LeaveCommand{},
		MembersCommand{},
		PresenceCommand{},
		PublishCommand{},
		StatsCommand{},
	}
}

// CommandNames are those of all commands, in order.
func CommandNames() []string { return slices.Sorted(maps.Keys(decoders())) }

// WhatOf says what a command is about.
func WhatOf(c Command) What {
	w := What{Command: c.name()}
	choose := func(s Selection, rooms ...string) What {
		w.Rooms = slices.Concat(s.Rooms, rooms)
		w.Users, w.Connections = with(s.Users, s.User), with(s.Connections, s.Connection)
		return w
	}
	switch c := c.(type) {
	case PublishCommand:
		w.Rooms, w.Users, w.Connections, w.Event, w.From = c.Rooms, c.Users, c.Connections, c.Event, author(c.From)
		if c.All {
			w.Users = with(w.Users, Everybody)
		}
	case PresenceCommand:
		w.Rooms = []string{c.Room}
	case MembersCommand:
		w.Rooms = []string{c.Room}
	case HistoryCommand:
		w.Rooms = []string{c.Room}
	case CloseCommand:
		w.Rooms = []string{c.Room}
	case ConnectionsCommand:
		return choose(c.Selection)
	case DisconnectCommand:
		return choose(c.Selection)
	case JoinCommand:
		return choose(c.Selection, c.Room)
	case LeaveCommand:
		return choose(c.Selection, c.Room)
	case AskCommand:
		w.Event, w.From = c.Event, author(c.From)
		return choose(c.Selection)
	}
	return w
}

func with(names []string, one string) []string {
	if one == "" {
		return names
	}
	return slices.Concat(names, []string{one})
}

func author(from *protocol.From) string {
	if from == nil {
		return ""
	}
	return from.UserID
}
