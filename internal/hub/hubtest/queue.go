package hubtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// What SQS takes.
const (
	maxJob   = 256 << 10
	maxDelay = 15 * time.Minute
)

// Queue is a [hub.Queue] that keeps its jobs until a test does them. As they are data, a test hands them on in any order,
// twice, late, together or not at all:
//
//	jobs := w.Queue.Take()
//	slices.Reverse(jobs)
//	w.Clock.Pass(time.Minute)
//	errs := w.WorkAll(t.Context(), hubtest.Jobs(append(jobs, jobs...)))
//
// [World.Drain] and [World.Pass] do what a queue does on a good day.
type Queue struct {
	Clock *Clock // says when jobs are due
	// Fail says what happens to a job instead of being queued. nil: nothing does.
	Fail func(job hub.Job) error

	mu      sync.Mutex
	waiting []Queued
}

var _ hub.Queue = (*Queue)(nil)

// Queued is a job that waits.
type Queued struct {
	Job   hub.Job
	Body  []byte // of which Job was made again
	Delay time.Duration
	Due   time.Time
	Chain int // how many jobs there were in a row with this one
}

// maxChain is how many there may be: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html.
const maxChain = 16

type chainKey struct{}

// Chained gives the context that a job is done in, by which those that it leaves behind are counted.
func (j Queued) Chained(ctx context.Context) context.Context {
	return context.WithValue(ctx, chainKey{}, j.Chain)
}

// Enqueue keeps what is left of a job when it has been JSON. It refuses what SQS would.
func (q *Queue) Enqueue(ctx context.Context, job hub.Job, delay time.Duration) error {
	if q.Fail != nil {
		if err := q.Fail(job); err != nil {
			return err
		}
	}
	body, err := job.Encode()
	if err != nil {
		return err
	}
	if len(body) > maxJob || delay < 0 || delay > maxDelay {
		return fmt.Errorf("no queue takes %d bytes for in %v", len(body), delay)
	}
	before, _ := ctx.Value(chainKey{}).(int)
	queued := Queued{Body: body, Delay: delay, Due: q.Clock.Now().Add(delay), Chain: before + 1}
	if queued.Job, err = hub.DecodeJob(body); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, queued)
	return nil
}

// Take gives the jobs that wait, in the order in which they were queued, and forgets them. kinds: only these.
func (q *Queue) Take(kinds ...hub.JobKind) []Queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	var taken, left []Queued
	for _, j := range q.waiting {
		if len(kinds) == 0 || slices.Contains(kinds, j.Job.Kind) {
			taken = append(taken, j)
		} else {
			left = append(left, j)
		}
	}
	q.waiting = left
	return taken
}

// Waiting gives the jobs that wait, and leaves them there.
func (q *Queue) Waiting() []Queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.waiting)
}

// next takes the job that is due first, if it may.
func (q *Queue) next(may func(Queued) bool) (first Queued, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return Queued{}, false
	}
	at := 0
	for i, j := range q.waiting {
		if j.Due.Before(q.waiting[at].Due) {
			at = i
		}
	}
	if first = q.waiting[at]; !may(first) {
		return Queued{}, false
	}
	q.waiting = slices.Delete(q.waiting, at, at+1)
	return first, true
}

// Jobs are the jobs of a batch.
func Jobs(batch []Queued) []hub.Job {
	jobs := make([]hub.Job, len(batch))
	for i, j := range batch {
		jobs[i] = j.Job
	}
	return jobs
}
