// Package queues is Amazon SQS for the queues of a template, with the event source mappings that empty them: standard queues that deliver
// at least once, in no order, in batches.
//
// A message that is sent waits until its delay is over. Whoever receives it, a function by its mapping or a program by the API, hides it
// for the visibility timeout; it is gone once it is deleted, and back if it is not. A function's answer decides for each message of its
// batch. After maxReceiveCount deliveries a message goes to the dead-letter queue.
//
// Messages are lost with the process, or kept in a file over a restart. The API is the JSON protocol that the SDKs of all languages speak;
// signatures are not checked.
package queues

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

// Config says what queues there are. Template and Functions are required.
type Config struct {
	Template  *template.Template
	Functions *invoke.Service
	// Retry is when a message whose delivery failed is tried again; by default when the queue's VisibilityTimeout is over, as on AWS.
	Retry time.Duration
	// File is where messages are kept over a restart; by default they are lost with the process. What was sent is in it before that is
	// answered; after kill -9 what was delivered in the last second may be delivered again. One process at a time may use it.
	File   string
	Sync   bool         // the File has it when the disk does, not when the kernel does
	Disk   rows.Disk    // where the File's journal is, for tests; nil: the operating system's
	Logger *slog.Logger // default discards
	// Observe is told what happens, from the goroutine where it happens: it must be quick and safe for concurrent use.
	Observe func(Event)
	Now     func() time.Time // default time.Now
}

// Event is a batch that was delivered to a function, or a message that went to the dead-letter queue.
type Event struct {
	Time     time.Time // when it began
	Duration time.Duration
	Queue    string // logical id
	Function string // logical id, of a batch
	Messages int    // in the batch
	Failed   int    // of these
	Dead     bool   // this is about a dead letter
	Body     []byte // of the dead letter
	Reason   string // why its last delivery failed
	Err      error  // of the batch
}

// Service holds the queues of one template. Its methods are safe for concurrent use; they name a queue by its logical id, name, URL or ARN.
type Service struct {
	cfg     Config
	queues  []*queue        // in the template's order
	journal *journal        // nil: in memory only
	base    context.Context // of what nobody asks for

	stopped chan struct{} // closed by Stop
	once    sync.Once
	loops   sync.WaitGroup
}

// New makes the queues, with what an earlier process left in the file. The error names the template's line, or the file.
func New(cfg Config) (*Service, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Service{cfg: cfg, base: cfg.Functions.Context(), stopped: make(chan struct{})}
	for i := range cfg.Template.Queues {
		q, err := s.newQueue(&cfg.Template.Queues[i])
		if err != nil {
			return nil, err
		}
		s.queues = append(s.queues, q)
	}
	for _, q := range s.queues {
		if q.spec.DeadLetters != "" {
			q.dead = s.find(q.spec.DeadLetters)
		}
	}
	if cfg.File == "" {
		return s, nil
	}
	var err error
	if s.journal, err = openJournal(cfg.File, cfg.Sync, cfg.Logger, cfg.Disk); err != nil {
		return nil, err
	}
	if err := s.restore(); err != nil {
		return nil, errors.Join(err, s.journal.file.Abandon())
	}
	return s, nil
}

// restore gives the queues what an earlier service left in the file, as it was. Only what had been received and not settled, because that
// process was killed, may be received again at once.
func (s *Service) restore() error {
	now := s.cfg.Now()
	strange := map[string]int{}
	err := s.journal.load(func(r journalRecord) {
		i := slices.IndexFunc(s.queues, func(q *queue) bool { return q.spec.ID == r.Queue })
		if i < 0 {
			strange[r.Queue]++
			return
		}
		if r.Held {
			r.VisibleAt = now
		}
		s.queues[i].backlog.add(&entry{Message: r.Message, visibleAt: r.VisibleAt})
	})
	if err != nil {
		return err
	}
	for _, q := range s.queues {
		q.backlog.journal = s.journal
	}
	for queue, n := range strange {
		s.cfg.Logger.WarnContext(s.base, "the template has no such queue any more; its messages stay in the queue file", "queue", queue, "messages", n, "file", s.cfg.File)
	}
	return nil
}

// Start lets the mappings deliver, and the file be written. Call it once.
func (s *Service) Start() {
	for _, q := range s.queues {
		if q.fn != nil {
			s.loops.Go(q.run)
		}
	}
	if s.journal != nil {
		s.journal.start()
	}
}

// Stop ends the deliveries and waits for those under way. Messages may still be sent.
func (s *Service) Stop() {
	s.once.Do(func() { close(s.stopped) })
	s.loops.Wait()
}

// Close stops and saves. Nothing may be sent any more.
func (s *Service) Close() error {
	s.Stop()
	return s.journal.close()
}

// Save writes to the file what it has not got yet: for who cannot wait for Close.
func (s *Service) Save() error { return s.journal.save() }

// Err is why nothing can be sent at the moment; nil: the file can be written, or there is none.
func (s *Service) Err() error {
	if s.journal == nil {
		return nil
	}
	return s.journal.file.Err()
}

// find gives nil for a queue that the template does not have.
func (s *Service) find(name string) *queue {
	spec := s.cfg.Template.Queue(name)
	if spec == nil {
		return nil
	}
	return s.queues[slices.IndexFunc(s.queues, func(q *queue) bool { return q.spec == spec })]
}

// Send puts a message into a queue, as SQS SendMessage does. body is 1 byte to 1 MiB; delay is 0 to 15 minutes, 0 meaning the queue's own
// DelaySeconds. Errors are *awserr.Error. When 256 MiB are waiting, it is one of these.
func (s *Service) Send(ctx context.Context, queue, body string, delay time.Duration) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("send to %s: %w", queue, err)
	}
	return s.SendMessage(queue, Message{Body: body, Trace: invoke.CauseOf(ctx).Lineage.Header()}, delay)
}

// SendMessage is Send of a body with attributes and a trace; its other fields are the queue's.
func (s *Service) SendMessage(queue string, m Message, delay time.Duration) error {
	q := s.find(queue)
	if q == nil {
		return errNoQueue(queue)
	}
	if delay == 0 {
		delay = q.spec.Delay
	}
	_, err := q.send(m, delay)
	return err
}

func errNoQueue(name string) error {
	return &awserr.Error{Status: http.StatusBadRequest, Code: codeNoQueue, Message: "The specified queue does not exist: " + name}
}

func errValue(message string) error {
	return &awserr.Error{Status: http.StatusBadRequest, Code: "InvalidParameterValue", Message: message}
}

// URL is the URL of a queue at a server whose own address is base, such as http://127.0.0.1:4000. It is empty for a queue that the
// template does not have.
func (s *Service) URL(base, queue string) string {
	q := s.cfg.Template.Queue(queue)
	if q == nil {
		return ""
	}
	return strings.TrimSuffix(base, "/") + "/" + s.cfg.Template.Account + "/" + q.Name
}

// DeadLetters lists what went to the dead-letter queue of a queue, oldest first; named a dead-letter queue, it lists that. A queue
// without one, or an unknown name, has none.
func (s *Service) DeadLetters(name string) []Message {
	q := s.find(name)
	if q == nil {
		return nil
	}
	if q.dead != nil {
		q = q.dead
	} else if !slices.ContainsFunc(s.queues, func(other *queue) bool { return other.dead == q }) {
		return nil
	}
	return slices.SortedFunc(slices.Values(q.messages()), func(a, b Message) int { return a.SentAt.Compare(b.SentAt) })
}

// Waiting lists what is in a queue, in the order in which it may be received: after Close, what is lost with the process unless there is
// a file.
func (s *Service) Waiting(name string) []Message {
	q := s.find(name)
	if q == nil {
		return nil
	}
	return q.messages()
}

// Stats are the totals of one queue, and what is in it.
type Stats struct {
	Waiting     int   `json:"waiting"` // visible, delayed or being retried
	Running     int   `json:"running"` // batches at the function
	Sent        int64 `json:"sent"`
	Done        int64 `json:"done"`
	Failed      int64 `json:"failed"`      // deliveries that will be retried
	DeadLetters int64 `json:"deadLetters"` // moved to the dead-letter queue
}

// Stats are the totals of all queues, by logical id.
func (s *Service) Stats() map[string]Stats {
	out := map[string]Stats{}
	for _, q := range s.queues {
		out[q.spec.ID] = q.stats()
	}
	return out
}

func (s *Service) observe(e Event) {
	if s.cfg.Observe != nil {
		e.Duration = s.cfg.Now().Sub(e.Time)
		s.cfg.Observe(e)
	}
}
