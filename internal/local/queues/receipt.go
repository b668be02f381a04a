package queues

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
)

// newReceipt makes a receipt handle: the message's id and something that differs from one delivery to the next.
func newReceipt(id string) string {
	return base64.URLEncoding.EncodeToString([]byte(id + "#" + uuid.NewString()))
}

// received finds the message of a receipt handle. It is nil if the message is gone or was received again since: SQS takes the request then
// but may do nothing, and here it does nothing.
func (q *queue) received(receipt string) (*entry, error) {
	raw, err := base64.URLEncoding.DecodeString(receipt)
	id, _, ok := strings.Cut(string(raw), "#")
	if err != nil || !ok {
		return nil, &awserr.Error{Status: http.StatusNotFound, Code: "ReceiptHandleIsInvalid", Message: "The input receipt handle is invalid."}
	}
	e := q.backlog.byID[id]
	if e == nil || e.receipt != receipt {
		return nil, nil //nolint:nilnil // nothing to do and nothing wrong
	}
	return e, nil
}

// remove is DeleteMessage.
func (q *queue) remove(receipt string) error {
	return q.srv.journal.saved(func() error {
		q.mu.Lock()
		defer q.mu.Unlock()
		e, err := q.received(receipt)
		if e != nil {
			q.backlog.remove(e)
			q.done++
		}
		return err
	})
}

// ChangeVisibility is ChangeMessageVisibility, for functions in this process: it hides a message that was received from a queue, by its
// logical id, for so long from now.
func (s *Service) ChangeVisibility(queue, receipt string, after time.Duration) error {
	q := s.find(queue)
	if q == nil {
		return errNoQueue(queue)
	}
	n := int(after / time.Second)
	return q.changeVisibility(receipt, &n)
}

// changeVisibility is ChangeMessageVisibility.
func (q *queue) changeVisibility(receipt string, visibility *int) error {
	if visibility == nil || *visibility < 0 || seconds(*visibility) > maxVisibility {
		return errValue("VisibilityTimeout must be 0 to 43200 seconds")
	}
	err := q.srv.journal.saved(func() error {
		q.mu.Lock()
		defer q.mu.Unlock()
		e, err := q.received(receipt)
		if e != nil {
			q.backlog.hide(e, q.srv.cfg.Now().Add(seconds(*visibility)))
		}
		return err
	})
	q.signal()
	return err
}

// purge is PurgeQueue. What is being delivered is gone as well when it fails.
func (q *queue) purge() error {
	return q.srv.journal.saved(func() error {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, e := range q.backlog.entries.Items() {
			q.backlog.remove(e)
		}
		return nil
	})
}

// depth counts the messages by what they wait for.
func (q *queue) depth() (visible, inFlight, delayed int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.srv.cfg.Now()
	for _, e := range q.backlog.entries.Items() {
		switch {
		case !e.visibleAt.After(now):
			visible++
		case e.Receives > 0:
			inFlight++
		default:
			delayed++
		}
	}
	return visible, inFlight, delayed
}

// poll receives for somebody outside: at once, or as soon as there is something within wait.
func (q *queue) poll(done <-chan struct{}, most int, visibility, wait time.Duration) []*entry {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	look := time.NewTicker(pollEvery)
	defer look.Stop()
	for {
		if batch, _ := q.receive(most, visibility, 0); len(batch) > 0 || wait <= 0 {
			return batch
		}
		select {
		case <-look.C: // a queue wakes one receiver, and that is its function
		case <-deadline.C:
			wait = 0
		case <-done:
			return nil
		case <-q.srv.stopped:
			return nil
		}
	}
}

const (
	pollEvery     = 50 * time.Millisecond
	maxVisibility = 12 * time.Hour
)
