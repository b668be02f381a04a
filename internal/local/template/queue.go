package template

import (
	"slices"
	"strings"
	"time"
)

// Queue is an SQS queue.
type Queue struct {
	ID          string // logical id
	Name        string // QueueName, or the logical id
	ARN         string
	Line        int
	Visibility  time.Duration
	Delay       time.Duration
	Retention   time.Duration
	MaxBody     int      // bytes of a message, with its attributes
	DeadLetters string   // logical id of the dead-letter queue, if there is one
	MaxReceives int      // deliveries before a message goes there
	Mapping     *Mapping // nil: no function receives
}

// Mapping is the event source mapping that leads from a queue to a function.
type Mapping struct {
	Line        int
	Function    string // logical id
	BatchSize   int
	Concurrency int  // batches at once
	Partial     bool // the function reports which messages of a batch failed
}

type queueProps struct {
	Visibility *int `yaml:"VisibilityTimeout"`
	Delay      int  `yaml:"DelaySeconds"`
	Retention  int  `yaml:"MessageRetentionPeriod"`
	MaxBody    int  `yaml:"MaximumMessageSize"`
	FIFO       bool `yaml:"FifoQueue"`
	Redrive    *struct {
		Target      string `yaml:"deadLetterTargetArn"`
		MaxReceives int    `yaml:"maxReceiveCount"`
	} `yaml:"RedrivePolicy"`
}

const (
	defaultVisibility  = 30 * time.Second
	defaultRetention   = 4 * 24 * time.Hour
	defaultReceives    = 10
	defaultBatch       = 10
	defaultConcurrency = 10
	maxQueueBody       = 1 << 20 // "Amazon SQS message quotas"
)

func (r *reader) readQueues() error {
	for res := range r.of(typeQueue) {
		var p queueProps
		if err := r.decode(res, &p); err != nil {
			return err
		}
		name, err := r.nameOf(res)
		if err != nil {
			return err
		}
		if p.FIFO {
			r.warnf(res.line, "queue %s is FIFO; it is emulated without its order and deduplication", res.id)
		}
		q := Queue{ID: res.id, Name: name, ARN: r.arn(res, name), Line: res.line}
		p.apply(&q)
		r.out.Queues = append(r.out.Queues, q)
	}
	for i := range r.out.Queues { // references, now that all are known
		q := &r.out.Queues[i]
		if q.DeadLetters == "" {
			continue
		}
		target := r.out.Queue(q.DeadLetters)
		if target == nil {
			return atLine(q.Line, "%s: deadLetterTargetArn %s is no queue of this template", q.ID, q.DeadLetters)
		}
		q.DeadLetters = target.ID
	}
	return nil
}

// apply takes what the template says, and SQS's defaults where it says nothing.
func (p *queueProps) apply(q *Queue) {
	q.Visibility, q.Retention, q.MaxBody = defaultVisibility, defaultRetention, maxQueueBody
	q.Delay = time.Duration(p.Delay) * time.Second
	if p.MaxBody > 0 {
		q.MaxBody = min(p.MaxBody, maxQueueBody)
	}
	if p.Visibility != nil {
		q.Visibility = time.Duration(*p.Visibility) * time.Second
	}
	if p.Retention > 0 {
		q.Retention = time.Duration(p.Retention) * time.Second
	}
	if p.Redrive != nil {
		q.DeadLetters, q.MaxReceives = p.Redrive.Target, p.Redrive.MaxReceives
		if q.MaxReceives < 1 {
			q.MaxReceives = defaultReceives
		}
	}
}

// mappingProps are what a queue's mapping and a function's SQS event have in common.
type mappingProps struct {
	Queue         string   `yaml:"Queue"`
	BatchSize     int      `yaml:"BatchSize"`
	ResponseTypes []string `yaml:"FunctionResponseTypes"`
	Enabled       *bool    `yaml:"Enabled"`
	Scaling       struct {
		Concurrency int `yaml:"MaximumConcurrency"`
	} `yaml:"ScalingConfig"`
}

// readMapping reads an event source mapping that is a resource of its own.
func (r *reader) readMapping(res *resource) error {
	var p struct {
		streamProps `yaml:",inline"`

		Source   string `yaml:"EventSourceArn"`
		Function string `yaml:"FunctionName"`
	}
	if err := r.decode(res, &p); err != nil {
		return err
	}
	queue, stream := strings.Contains(p.Source, ":sqs:"), strings.Contains(p.Source, ":dynamodb:")
	if !queue && !stream {
		r.warnf(res.line, "%s: events from %s do not come; of event source mappings only those of queues and of tables' streams are emulated", res.id, p.Source)
		return nil
	}
	fn, ok := r.out.Function(p.Function)
	if !ok {
		return res.errorf("FunctionName %s is no function of this template", p.Function)
	}
	if stream {
		p.Stream = p.Source
		return r.mapStream(res, fn.ID, p.streamProps)
	}
	p.Queue = p.Source
	return r.mapQueue(res, fn.ID, p.mappingProps)
}

func (r *reader) mapQueue(res *resource, fn string, p mappingProps) error {
	if p.Enabled != nil && !*p.Enabled {
		return nil
	}
	q := r.out.Queue(p.Queue)
	if q == nil {
		return res.errorf("queue %s is not in this template", p.Queue)
	}
	if q.Mapping != nil && q.Mapping.Function != fn {
		return res.errorf("queue %s has two receivers, %s and %s", q.ID, q.Mapping.Function, fn)
	}
	if p.BatchSize < 0 || p.BatchSize > 10_000 {
		return res.errorf("BatchSize is %d", p.BatchSize)
	}
	if i := slices.IndexFunc(p.ResponseTypes, func(t string) bool { return t != "ReportBatchItemFailures" }); i >= 0 {
		return res.errorf("FunctionResponseTypes has %q", p.ResponseTypes[i])
	}
	m := &Mapping{Line: res.line, Function: fn, BatchSize: defaultBatch, Concurrency: defaultConcurrency, Partial: len(p.ResponseTypes) > 0}
	if p.BatchSize > 0 {
		m.BatchSize = p.BatchSize
	}
	if p.Scaling.Concurrency > 0 {
		m.Concurrency = min(p.Scaling.Concurrency, 1000)
	}
	q.Mapping = m
	return nil
}
