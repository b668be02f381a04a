package emulator

import (
	"strings"
	"time"
)

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
	defaultVisibility = 30 * time.Second
	defaultRetention  = 4 * 24 * time.Hour
	defaultReceives   = 10
)

func (r *reader) readQueues() error {
	for res := range r.t.of(typeQueue) {
		var p queueProps
		if err := r.t.decode(res, &p); err != nil {
			return err
		}
		name, err := r.t.nameOf(res)
		if err != nil {
			return err
		}
		q := &queueSpec{
			id: res.id, name: name, arn: r.t.arn(res, name), line: res.line, visibility: defaultVisibility,
			delay: time.Duration(p.Delay) * time.Second, retention: defaultRetention, batchSize: 10, concurrency: defaultQueueTasks,
			maxBody: maxQueueBody,
		}
		if p.MaxBody > 0 {
			q.maxBody = min(p.MaxBody, maxQueueBody)
		}
		if p.Visibility != nil {
			q.visibility = time.Duration(*p.Visibility) * time.Second
		}
		if p.Retention > 0 {
			q.retention = time.Duration(p.Retention) * time.Second
		}
		if p.FIFO {
			r.warnf(res.line, "queue %s is FIFO; it is emulated without its order and deduplication", res.id)
		}
		if p.Redrive != nil {
			q.deadLetters, q.maxReceives = p.Redrive.Target, p.Redrive.MaxReceives
			if q.maxReceives < 1 {
				q.maxReceives = defaultReceives
			}
		}
		r.queues[res.id] = q
		r.m.queues = append(r.m.queues, q)
	}
	return r.linkDeadLetters()
}

func (r *reader) linkDeadLetters() error {
	for _, q := range r.m.queues {
		if q.deadLetters == "" {
			continue
		}
		target, ok := r.queueOf(q.deadLetters)
		if !ok {
			return atLine(q.line, "%s: deadLetterTargetArn %s is no queue of this template", q.id, q.deadLetters)
		}
		q.deadLetters = target.id
	}
	return nil
}

func (r *reader) queueOf(arn string) (*queueSpec, bool) {
	name := arn[strings.LastIndexAny(arn, ":/")+1:]
	if q, ok := r.queues[name]; ok {
		return q, true
	}
	for _, q := range r.m.queues {
		if q.name == name {
			return q, true
		}
	}
	return nil, false
}
