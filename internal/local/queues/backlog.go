package queues

import (
	"container/heap"
	"time"
)

// Message is what a queue holds.
type Message struct {
	ID            string    `json:"messageId"`
	Body          string    `json:"body"`
	SentAt        time.Time `json:"sentAt"`
	FirstReceived time.Time `json:"firstReceived,omitzero"`
	Receives      int       `json:"receives"`
	// Attributes are the message attributes that the sender gave.
	Attributes map[string]MessageAttribute `json:"attributes,omitempty"`
	// Error is why the last delivery failed.
	Error string `json:"error,omitempty"`
}

// size is what SQS counts: the body, and the names, types and values of the attributes.
func (m *Message) size() int {
	n := len(m.Body)
	for name, a := range m.Attributes {
		n += len(name) + len(a.Type) + len(a.value())
	}
	return n
}

// entry is a message in a backlog.
type entry struct {
	Message
	receipt   string // of the last delivery
	visibleAt time.Time
	holders   int // deliveries that have received and not settled it
	place     int // in the heap, -1 when it is out
}

// backlog is the messages of one queue, ordered by when they may be received next. It is all that a queue keeps.
type backlog struct {
	queue   string   // logical id
	journal *journal // nil: in memory only
	entries byVisibility
	byID    map[string]*entry
	bytes   int
}

func (b *backlog) add(e *entry) {
	heap.Push(&b.entries, e)
	b.byID[e.ID] = e
	b.bytes += e.size()
	b.journal.mark(b.queue, e)
}

func (b *backlog) remove(e *entry) {
	if e.place >= 0 {
		b.take(e)
		b.journal.gone(e.ID)
	}
}

// take removes an entry that goes to another queue. Until it is there the file has it here: no flush may find it nowhere.
func (b *backlog) take(e *entry) {
	heap.Remove(&b.entries, e.place)
	delete(b.byID, e.ID)
	b.bytes -= e.size()
}

func (b *backlog) hide(e *entry, until time.Time) {
	if e.place >= 0 {
		e.visibleAt = until
		heap.Fix(&b.entries, e.place)
		b.journal.mark(b.queue, e)
	}
}

// next is the entry that is visible first, nil if there is none.
func (b *backlog) next() *entry {
	if len(b.entries.list) == 0 {
		return nil
	}
	return b.entries.list[0]
}

// byVisibility is a heap of entries.
type byVisibility struct{ list []*entry }

// Len is heap.Interface's.
func (h *byVisibility) Len() int { return len(h.list) }

// Less is heap.Interface's.
func (h *byVisibility) Less(i, j int) bool { return h.list[i].visibleAt.Before(h.list[j].visibleAt) }

// Swap is heap.Interface's.
func (h *byVisibility) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].place, h.list[j].place = i, j
}

// Push is heap.Interface's.
func (h *byVisibility) Push(x any) {
	e := x.(*entry) // only add pushes
	e.place = len(h.list)
	h.list = append(h.list, e)
}

// Pop is heap.Interface's.
func (h *byVisibility) Pop() any {
	last := len(h.list) - 1
	e := h.list[last]
	h.list[last] = nil
	h.list = h.list[:last]
	e.place = -1
	return e
}
