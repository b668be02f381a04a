package queues

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

const (
	maxInvocation = 15 * time.Minute // of a function, which keeps its own time
	maxDelay      = 15 * time.Minute // "Amazon SQS message quotas"
	maxBytes      = 256 << 20        // what a queue keeps at most; SQS has no such bound
)

// queue is one queue and the mapping that empties it, if there is one.
type queue struct {
	srv  *Service
	spec *template.Queue
	fn   *invoke.Target // nil: no function receives
	dead *queue         // nil: retried until the retention period is over
	wake chan struct{}
	jobs chan struct{} // slots of batches in flight

	mu                        sync.Mutex
	backlog                   backlog
	sent, done, failed, deads int64
}

func (s *Service) newQueue(spec *template.Queue) (*queue, error) {
	q := &queue{srv: s, spec: spec, wake: make(chan struct{}, 1), backlog: newBacklog(spec.ID)}
	m := spec.Mapping
	if m == nil {
		return q, nil
	}
	q.jobs = make(chan struct{}, m.Concurrency)
	var err error
	q.fn, err = s.cfg.Functions.Need(m.Function, m.Line)
	return q, err
}

// send puts a new message into the queue and returns its id.
func (q *queue) send(m Message, delay time.Duration) (id string, err error) {
	switch {
	case m.Body == "":
		return "", &awserr.Error{Status: http.StatusBadRequest, Code: "MissingParameter", Message: "The request must contain the parameter MessageBody."}
	case m.size() > q.spec.MaxBody:
		return "", errValue(fmt.Sprintf("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.spec.MaxBody))
	case delay < 0 || delay > maxDelay:
		return "", errValue(fmt.Sprintf("Value %v for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", delay.Seconds()))
	}
	if err := m.check(); err != nil {
		return "", err
	}
	now := q.srv.cfg.Now()
	m.ID, m.SentAt = uuid.NewString(), now
	e := &entry{Message: m, visibleAt: now.Add(delay)}
	err = q.srv.journal.saved(func() error {
		q.mu.Lock()
		defer q.mu.Unlock()
		if err := q.room(e); err != nil {
			return err
		}
		q.srv.journal.sends(q.spec.ID, e)
		return nil
	})
	if err == nil {
		q.admit(e, q.backlog.insert)
	}
	return m.ID, err
}

// room refuses a message that is too much.
func (q *queue) room(e *entry) error {
	if q.backlog.bytes+e.size() > maxBytes {
		return &awserr.Error{Status: http.StatusForbidden, Code: "OverLimit", Message: "the queue is full"}
	}
	return nil
}

// put adds a message of another queue.
func (q *queue) put(e *entry) error {
	q.mu.Lock()
	err := q.room(e)
	q.mu.Unlock()
	if err == nil {
		q.admit(e, q.backlog.add)
	}
	return err
}

// admit adds a message and wakes the receiver.
func (q *queue) admit(e *entry, add func(*entry)) {
	q.mu.Lock()
	add(e)
	q.sent++
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // it is awake or will be
	}
}

// run delivers until the queues are stopped, then waits for its batches. One timer serves all delays.
func (q *queue) run() {
	var batches sync.WaitGroup
	defer batches.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case q.jobs <- struct{}{}: // a slot first: a message must not be received before somebody can work on it
		case <-q.srv.stopped:
			return
		}
		batch, wait := q.receive(q.spec.Mapping.BatchSize, q.spec.Visibility, 1)
		if len(batch) > 0 {
			batches.Go(func() {
				defer func() { <-q.jobs }()
				q.deliver(batch)
			})
			continue
		}
		<-q.jobs
		timer.Reset(wait)
		select {
		case <-q.wake:
		case <-timer.C:
		case <-q.srv.stopped:
			return
		}
	}
}

// receive takes a batch, or says how long nothing will be visible. Received messages stay in the backlog, hidden. holders is 1 if the
// receiver is in this process: what it has not settled is received again at once when the process is killed.
func (q *queue) receive(most int, visibility time.Duration, holders int) (batch []*entry, wait time.Duration) {
	now := q.srv.cfg.Now()
	var dead []*entry
	q.mu.Lock()
	for len(batch) < most {
		e, ok := q.backlog.entries.Min()
		if !ok || e.visibleAt.After(now) {
			break
		}
		if q.expired(e, now) {
			q.backlog.remove(e)
			continue
		}
		if holders > 0 && len(batch) > 0 && invoke.LineageOf(e.Trace) != invoke.LineageOf(batch[0].Trace) {
			break // an invocation has one lineage, and nobody has said whose it would be
		}
		if q.dead != nil && e.Receives >= q.spec.MaxReceives {
			q.backlog.take(e)
			q.deads++
			dead = append(dead, e)
			continue
		}
		e.Receives++
		e.holders += holders
		e.receipt = newReceipt(e.ID)
		if e.FirstReceived.IsZero() {
			e.FirstReceived = now
		}
		q.backlog.hide(e, now.Add(visibility))
		batch = append(batch, e)
	}
	wait = time.Hour
	if e, ok := q.backlog.entries.Min(); ok {
		wait = e.visibleAt.Sub(now)
	}
	q.mu.Unlock()
	for _, e := range dead {
		q.bury(e)
	}
	return batch, wait
}

func (q *queue) expired(e *entry, now time.Time) bool {
	return now.Sub(e.SentAt) > q.spec.Retention
}

// bury moves a message to the dead-letter queue.
func (q *queue) bury(e *entry) {
	now := q.srv.cfg.Now()
	log := q.srv.cfg.Logger.With("queue", q.spec.ID, "messageId", e.ID)
	log.WarnContext(q.srv.base, "message moved to the dead-letter queue", "error", e.Error)
	q.srv.observe(Event{Dead: true, Time: now, Queue: q.spec.ID, Body: []byte(e.Body), Reason: e.Error})
	m := e.Message
	m.Receives = 0
	if err := q.dead.put(&entry{Message: m, visibleAt: now}); err != nil {
		q.srv.journal.gone(e.ID)
		log.ErrorContext(q.srv.base, "dead letter lost", "error", err)
	}
}

// deliver runs the function for a batch and settles each message.
func (q *queue) deliver(batch []*entry) {
	s := q.srv
	begin := s.cfg.Now()
	q.mu.Lock()
	event, err := q.event(batch)
	q.mu.Unlock()
	var out []byte
	if err == nil {
		out, err = s.cfg.Functions.Await(invoke.For(s.base, invoke.Cause{By: invoke.ByQueue, Lineage: invoke.LineageOf(batch[0].Trace)}), q.fn, event, maxInvocation)
	}
	failed := map[string]bool{}
	all := err != nil
	if err == nil && q.spec.Mapping.Partial {
		failed, err = failures(out, batch)
		all = err != nil
	}
	bad := q.settle(batch, func(e *entry) bool { return all || failed[e.ID] }, err)
	if err == nil && bad > 0 {
		err = fmt.Errorf("%d of %d messages failed", bad, len(batch))
	}
	if err != nil {
		s.cfg.Logger.WarnContext(s.base, "queue batch failed", "queue", q.spec.ID, "function", q.fn.ID, "failed", bad, "error", err)
	}
	s.observe(Event{Time: begin, Queue: q.spec.ID, Function: q.fn.ID, Messages: len(batch), Failed: bad, Err: err})
}

// settle deletes what is done and leaves the rest for its retry.
func (q *queue) settle(batch []*entry, failed func(*entry) bool, err error) (bad int) {
	reason := "reported in batchItemFailures"
	if err != nil {
		reason = err.Error()
	}
	now := q.srv.cfg.Now()
	q.mu.Lock()
	for _, e := range batch {
		e.holders--
		if !failed(e) {
			q.backlog.remove(e)
			q.done++
			continue
		}
		bad++
		q.failed++
		e.Error = reason
		until := e.visibleAt
		if errors.Is(err, invoke.ErrRecursive) && q.dead != nil { // on AWS it fails as often as others; here it is shown at once
			e.Receives, until = q.spec.MaxReceives, now
		}
		if retry := q.srv.cfg.Retry; retry > 0 {
			until = now.Add(retry)
		}
		q.backlog.hide(e, until)
	}
	q.mu.Unlock()
	if bad > 0 {
		q.signal()
	}
	return bad
}

// failures reads a partial batch response; see "Implementing partial batch responses" in the Lambda developer guide: an empty or null
// list is success, an item that names no message of the batch fails the whole batch.
func failures(out []byte, batch []*entry) (map[string]bool, error) {
	if len(out) == 0 {
		return nil, nil
	}
	var res struct {
		Failures []struct {
			ID *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(out, &res); err != nil {
		return nil, fmt.Errorf("malformed batch response: %w", err)
	}
	failed := map[string]bool{}
	for _, f := range res.Failures {
		if f.ID == nil || !slices.ContainsFunc(batch, func(e *entry) bool { return e.ID == *f.ID }) {
			return nil, errors.New("malformed batch response: batchItemFailures names no message of the batch")
		}
		failed[*f.ID] = true
	}
	return failed, nil
}

// messages lists what is in the queue, in the order in which it may be received.
func (q *queue) messages() []Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := []Message{}
	for _, e := range q.backlog.entries.Items() {
		out = append(out, e.Message)
	}
	return out
}

func (q *queue) stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Stats{
		Waiting: q.backlog.entries.Len(), Running: len(q.jobs), Sent: q.sent, Done: q.done, Failed: q.failed, DeadLetters: q.deads,
	}
}
