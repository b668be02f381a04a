package cost

import (
	"sync/atomic"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// lever is one of the settings that say what need not be pushed, or not at once.
type lever string

const (
	leverTyping   = lever(hub.SparedTyping)
	leverPause    = lever(hub.SparedPause)
	leverLazy     = lever("lazy")
	leverTogether = lever("coalesce")
)

// setting is a lever, the events that it is about, and what to change.
type setting struct {
	name   lever
	events []string
	change string
}

// levers are all of them, in the order of a report.
func levers() [4]setting {
	return [...]setting{
		{leverTyping, []string{protocol.UserTyping, protocol.UserStoppedTyping}, `"typing" of RoomKinds: up to how many members all are told who types; 0 is nobody`},
		{leverLazy, []string{protocol.UserOnline, protocol.UserOffline}, `"lazy" of RoomKinds: how long large rooms may wait to be told who comes and goes`},
		{leverTogether, nil, `"coalesce" of RoomKinds: how long events of a busy room may wait for each other`},
		{leverPause, nil, `pauseHidden of the client: how long a page may be hidden before nothing is pushed to it`},
	}
}

// Lever is what a setting has spared, of the messages that would have been pushed without it. What it took to spare them is in the bill.
type Lever struct {
	Name     string  `json:"name"`
	Messages float64 `json:"messages"`        // that were not pushed
	Spared   float64 `json:"spared"`          // dollars that they would have cost
	Spent    float64 `json:"spent,omitempty"` // dollars of the events that it is about
	Change   string  `json:"change"`
}

// spared counts messages by lever.
type spared [4]atomic.Int64

func (m *Meter) spare(which lever, messages int64) {
	for i, l := range levers() {
		if l.name == which {
			m.spared[i].Add(messages)
		}
	}
}

func (m *Meter) levers() []Lever {
	list := make([]Lever, len(m.spared))
	for i, l := range levers() {
		n := float64(m.spared[i].Load())
		list[i] = Lever{Name: string(l.name), Messages: n, Spared: Usage{MessagesOut: n}.Bill().Dollars, Change: l.change}
		for _, event := range l.events {
			list[i].Spent += m.events.spent(event).Bill().Dollars
		}
	}
	return list
}

// spent is what one row has used, if it is there.
func (t *table) spent(key string) Usage {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if row := t.rows[key]; row != nil {
		return row.Usage()
	}
	return Usage{}
}
