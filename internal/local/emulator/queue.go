package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxQueueBody  = 1 << 20 // "Amazon SQS message quotas"
	maxQueueDelay = 15 * time.Minute
	maxQueueBytes = 256 << 20 // what the process keeps at most; SQS has no such bound
)

// queue is an SQS standard queue with the event source mapping that empties it, if there is one: at least once, in no order, in batches.
// A failed message comes back when its visibility timeout is over; after maxReceiveCount deliveries it goes to the dead-letter queue.
// When 256 MiB are waiting, Send fails.
type queue struct {
	srv  *Server
	spec *queueSpec
	fn   *function // nil: nobody receives
	dead *queue    // nil: retried until the retention period is over
	wake chan struct{}
	jobs chan struct{} // slots of batches in flight

	mu                        sync.Mutex
	backlog                   backlog
	sent, done, failed, deads int64
}

func (s *Server) bindQueues() error {
	for _, spec := range s.model.queues {
		q := &queue{srv: s, spec: spec, wake: make(chan struct{}, 1), jobs: make(chan struct{}, max(1, spec.concurrency))}
		q.backlog.queue, q.backlog.byID = spec.id, map[string]*entry{}
		if spec.function != "" {
			fn, err := s.need(spec.function, spec.mappingLine)
			if err != nil {
				return err
			}
			q.fn = fn
		}
		s.queues[spec.id] = q
	}
	for _, q := range s.queues {
		if q.spec.deadLetters != "" {
			q.dead = s.queues[q.spec.deadLetters]
		}
	}
	return nil
}

// restoreQueues gives the queues what an earlier server left in the file, as it was. Only what had been received and not settled, because
// that server was killed, may be received again at once.
func (s *Server) restoreQueues() error {
	now := s.cfg.Now()
	strange := map[string]int{}
	err := s.journal.load(func(r journalRecord) bool {
		q := s.queues[r.Queue]
		if q == nil {
			strange[r.Queue]++
			return false
		}
		if r.Held {
			r.VisibleAt = now
		}
		q.backlog.add(&entry{Message: r.Message, visibleAt: r.VisibleAt})
		return true
	})
	if err != nil {
		return err
	}
	for _, q := range s.queues {
		q.backlog.journal = s.journal
	}
	for queue, n := range strange {
		s.log.WarnContext(s.base, "the template has no such queue any more; its messages stay in the queue file", "queue", queue, "messages", n, "file", s.cfg.QueueFile)
	}
	return nil
}

// findQueue knows a queue by its logical id, name, URL or ARN.
func (s *Server) findQueue(name string) *queue {
	if q := s.queues[name]; q != nil {
		return q
	}
	name = name[strings.LastIndexAny(name, ":/")+1:]
	for _, q := range s.queues {
		if q.spec.id == name || q.spec.name == name && name != "" {
			return q
		}
	}
	return nil
}

// Send puts a message into a queue, as SQS SendMessage does. queue is a logical id of the template, or the queue's name, URL or ARN.
// body is 1 byte to 1 MiB; delay is 0 to 15 minutes, 0 meaning the queue's own DelaySeconds. Errors are *APIError.
func (s *Server) Send(ctx context.Context, queue, body string, delay time.Duration) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("send to %s: %w", queue, err)
	}
	q := s.findQueue(queue)
	if q == nil {
		return errNoQueue(queue)
	}
	if delay == 0 {
		delay = q.spec.delay
	}
	_, err := q.send(Message{Body: body}, delay)
	return err
}

func errNoQueue(name string) *APIError {
	return &APIError{Status: http.StatusBadRequest, Code: codeNoQueue, Message: "The specified queue does not exist: " + name}
}

func errQueueValue(message string) *APIError {
	return &APIError{Status: http.StatusBadRequest, Code: "InvalidParameterValue", Message: message}
}

// send puts a new message into the queue and returns its id.
func (q *queue) send(m Message, delay time.Duration) (id string, err error) {
	switch {
	case m.Body == "":
		return "", &APIError{Status: http.StatusBadRequest, Code: "MissingParameter", Message: "The request must contain the parameter MessageBody."}
	case m.size() > q.spec.maxBody:
		return "", errQueueValue(fmt.Sprintf("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.spec.maxBody))
	case delay < 0 || delay > maxQueueDelay:
		return "", errQueueValue(fmt.Sprintf("Value %v for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", delay.Seconds()))
	}
	if err := m.check(); err != nil {
		return "", err
	}
	now := q.srv.cfg.Now()
	m.ID, m.SentAt = newUUID(), now
	return m.ID, q.put(&entry{Message: m, visibleAt: now.Add(delay)})
}

// put adds a message and wakes the receiver.
func (q *queue) put(e *entry) error {
	q.mu.Lock()
	full := q.backlog.bytes+e.size() > maxQueueBytes
	if !full {
		q.backlog.add(e)
		q.sent++
	}
	q.mu.Unlock()
	if full {
		return &APIError{Status: http.StatusForbidden, Code: "OverLimit", Message: "the queue is full"}
	}
	q.signal()
	return nil
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
		case <-q.srv.stopPull:
			return
		}
		batch, wait := q.receive(q.spec.batchSize, q.spec.visibility, 1)
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
		case <-q.srv.stopPull:
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
		e := q.backlog.next()
		if e == nil || e.visibleAt.After(now) {
			break
		}
		if q.expired(e, now) {
			q.backlog.remove(e)
			continue
		}
		if q.dead != nil && e.Receives >= q.spec.maxReceives {
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
	if e := q.backlog.next(); e != nil {
		wait = e.visibleAt.Sub(now)
	}
	q.mu.Unlock()
	for _, e := range dead {
		q.bury(e)
	}
	return batch, wait
}

func (q *queue) expired(e *entry, now time.Time) bool {
	return now.Sub(e.SentAt) > q.spec.retention
}

// bury moves a message to the dead-letter queue.
func (q *queue) bury(e *entry) {
	now := q.srv.cfg.Now()
	q.srv.log.WarnContext(q.srv.base, "message moved to the dead-letter queue", "queue", q.spec.id, "messageId", e.ID, "error", e.Error)
	q.srv.observe(Event{Kind: KindDead, Time: now, Queue: q.spec.id, Bytes: len(e.Body), Data: []byte(e.Body), Reason: e.Error})
	m := e.Message
	m.Receives = 0
	if err := q.dead.put(&entry{Message: m, visibleAt: now}); err != nil {
		q.srv.journal.gone(e.ID)
		q.srv.log.ErrorContext(q.srv.base, "dead letter lost", "queue", q.spec.id, "messageId", e.ID, "error", err)
	}
}

// deliver runs the function for a batch and settles each message.
func (q *queue) deliver(batch []*entry) {
	s := q.srv
	begin := s.cfg.Now()
	q.mu.Lock()
	event := q.appendEvent(nil, batch)
	q.mu.Unlock()
	out, err := s.await(s.base, q.fn, event, q.fn.timeout)
	failed := map[string]bool{}
	all := err != nil
	if err == nil && q.spec.partial {
		failed, err = failures(out, batch)
		all = err != nil
	}
	bad := q.settle(batch, func(e *entry) bool { return all || failed[e.ID] }, err)
	if err == nil && bad > 0 {
		err = fmt.Errorf("%d of %d messages failed", bad, len(batch))
	}
	if err != nil {
		s.log.WarnContext(s.base, "queue batch failed", "queue", q.spec.id, "function", q.fn.id, "failed", bad, "error", err)
	}
	s.observe(Event{Kind: KindQueue, Time: begin, Queue: q.spec.id, Function: q.fn.id, Status: len(batch), Bytes: bad, Err: err})
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
		if retry := q.srv.cfg.QueueRetry; retry > 0 {
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

// appendEvent appends the event of a batch. The lock is held.
func (q *queue) appendEvent(b []byte, batch []*entry) []byte {
	b = append(b, `{"Records":[`...)
	for i, e := range batch {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"messageId":"`...)
		b = append(b, e.ID...)
		b = append(b, `","receiptHandle":"`...)
		b = append(b, e.receipt...)
		b = append(b, `","body":`...)
		b = appendString(b, e.Body)
		b = append(b, `,"attributes":{"ApproximateReceiveCount":"`...)
		b = strconv.AppendInt(b, int64(e.Receives), 10)
		b = append(b, `","SentTimestamp":"`...)
		b = strconv.AppendInt(b, e.SentAt.UnixMilli(), 10)
		b = append(b, `","SenderId":"`...)
		b = append(b, q.srv.model.account...)
		b = append(b, `","ApproximateFirstReceiveTimestamp":"`...)
		b = strconv.AppendInt(b, e.FirstReceived.UnixMilli(), 10)
		b = append(b, `"},"messageAttributes":{`...)
		b = appendMessageAttributes(b, e.Attributes)
		b = append(b, `},"md5OfBody":"`...)
		b = append(b, md5Hex([]byte(e.Body))...)
		if len(e.Attributes) > 0 {
			b = append(b, `","md5OfMessageAttributes":"`...)
			b = append(b, md5OfAttributes(e.Attributes)...)
		}
		b = append(b, `","eventSource":"aws:sqs","eventSourceARN":`...)
		b = appendString(b, q.spec.arn)
		b = append(b, `,"awsRegion":`...)
		b = appendString(b, q.srv.model.region)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

func (q *queue) stats() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return QueueStats{
		Waiting: len(q.backlog.entries.list), Running: len(q.jobs), Sent: q.sent, Done: q.done, Failed: q.failed, DeadLetters: q.deads,
	}
}
