package queues

import (
	"cmp"
	"time"

	"github.com/tidwall/btree"
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
	// Trace is X-Ray's header of whoever sent it, with how functions have led to that.
	Trace string `json:"trace,omitempty"`
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
}

func (e *entry) before(other *entry) bool {
	return cmp.Or(e.visibleAt.Compare(other.visibleAt), cmp.Compare(e.ID, other.ID)) < 0
}

// backlog is the messages of one queue, ordered by when they may be received next. It is all that a queue keeps.
type backlog struct {
	queue   string   // logical id
	journal *journal // nil: in memory only
	entries *btree.BTreeG[*entry]
	byID    map[string]*entry
	bytes   int
}

func newBacklog(queue string) backlog {
	return backlog{queue: queue, entries: btree.NewBTreeGOptions((*entry).before, btree.Options{NoLocks: true}), byID: map[string]*entry{}}
}

func (b *backlog) add(e *entry) {
	b.insert(e)
	b.journal.mark(b.queue, e)
}

// insert adds an entry that the file has.
func (b *backlog) insert(e *entry) {
	b.entries.Set(e)
	b.byID[e.ID] = e
	b.bytes += e.size()
}

func (b *backlog) remove(e *entry) {
	if b.byID[e.ID] == e {
		b.take(e)
		b.journal.gone(e.ID)
	}
}

// take removes an entry that goes to another queue. Until it is there the file has it here: no flush may find it nowhere.
func (b *backlog) take(e *entry) {
	b.entries.Delete(e)
	delete(b.byID, e.ID)
	b.bytes -= e.size()
}

func (b *backlog) hide(e *entry, until time.Time) {
	if b.byID[e.ID] == e {
		b.entries.Delete(e)
		e.visibleAt = until
		b.entries.Set(e)
		b.journal.mark(b.queue, e)
	}
}
