package emulator

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// eventSource is what a queue's mapping and a function's SQS event have in common.
type eventSource struct {
	Queue         string   `yaml:"Queue"`
	BatchSize     int      `yaml:"BatchSize"`
	ResponseTypes []string `yaml:"FunctionResponseTypes"`
	Enabled       *bool    `yaml:"Enabled"`
	Scaling       struct {
		Concurrency int `yaml:"MaximumConcurrency"`
	} `yaml:"ScalingConfig"`
}

type scheduleEvent struct {
	Schedule   string `yaml:"Schedule"`
	Expression string `yaml:"ScheduleExpression"`
	Input      string `yaml:"Input"`
	Enabled    *bool  `yaml:"Enabled"`
	State      string `yaml:"State"`
}

type functionEvents struct {
	Events map[string]struct {
		Type       string    `yaml:"Type"`
		Properties yaml.Node `yaml:"Properties"`
	} `yaml:"Events"`
}

// readEvents reads what else invokes functions: the Events of SAM functions, event source mappings, and schedules. Of other kinds of
// events it says that they do not come.
func (r *reader) readEvents() error {
	for _, res := range r.t.resources {
		var err error
		switch res.kind {
		case typeServerlessFunction:
			err = r.readFunctionEvents(res)
		case "AWS::Lambda::EventSourceMapping":
			err = r.readMapping(res)
		case "AWS::Events::Rule", "AWS::Scheduler::Schedule":
			err = r.readRule(res)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) readFunctionEvents(res *resource) error {
	var p functionEvents
	if err := r.t.decode(res, &p); err != nil {
		return err
	}
	for _, name := range sortedKeys(p.Events) {
		e := p.Events[name]
		switch e.Type {
		case "SQS":
			var src eventSource
			if err := e.Properties.Decode(&src); err != nil {
				return res.errorf("event %s: %v", name, err)
			}
			if err := r.mapQueue(res, res.id, src); err != nil {
				return err
			}
		case "Schedule", "ScheduleV2":
			var ev scheduleEvent
			if err := e.Properties.Decode(&ev); err != nil {
				return res.errorf("event %s: %v", name, err)
			}
			r.addSchedule(res, res.id+name, res.id, ev, e.Type == "ScheduleV2")
		case "EventBridgeRule", "CloudWatchEvent":
			var ev struct {
				Bus     string    `yaml:"EventBusName"`
				Pattern yaml.Node `yaml:"Pattern"`
				Input   string    `yaml:"Input"`
				Path    string    `yaml:"InputPath"`
			}
			if err := e.Properties.Decode(&ev); err != nil {
				return res.errorf("event %s: %v", name, err)
			}
			if ev.Path != "" {
				r.warnf(res.line, "%s: InputPath of event %s is not emulated; the function gets the whole event", res.id, name)
			}
			r.addRule(res.line, res.id+name, ev.Bus, res.id, ev.Input, ev.Pattern)
		default:
			r.warnf(res.line, "%s: events of the type %s do not come", res.id, e.Type)
		}
	}
	return nil
}

func (r *reader) readMapping(res *resource) error {
	var p struct {
		eventSource `yaml:",inline"`

		Source   string `yaml:"EventSourceArn"`
		Function string `yaml:"FunctionName"`
	}
	if err := r.t.decode(res, &p); err != nil {
		return err
	}
	if !strings.Contains(p.Source, ":sqs:") {
		r.warnf(res.line, "%s: events from %s do not come; of event source mappings only those of queues are emulated", res.id, p.Source)
		return nil
	}
	fn, ok := r.functionOf(p.Function)
	if !ok {
		return res.errorf("FunctionName %s is no function of this template", p.Function)
	}
	p.Queue = p.Source
	return r.mapQueue(res, fn, p.eventSource)
}

func (r *reader) mapQueue(res *resource, fn string, src eventSource) error {
	if src.Enabled != nil && !*src.Enabled {
		return nil
	}
	q, ok := r.queueOf(src.Queue)
	if !ok {
		return res.errorf("queue %s is not in this template", src.Queue)
	}
	if q.function != "" && q.function != fn {
		return res.errorf("queue %s has two receivers, %s and %s", q.id, q.function, fn)
	}
	if src.BatchSize < 0 || src.BatchSize > 10_000 {
		return res.errorf("BatchSize is %d", src.BatchSize)
	}
	q.function, q.mappingLine = fn, res.line
	if src.BatchSize > 0 {
		q.batchSize = src.BatchSize
	}
	if src.Scaling.Concurrency > 0 {
		q.concurrency = min(src.Scaling.Concurrency, 1000)
	}
	for _, t := range src.ResponseTypes {
		if t != "ReportBatchItemFailures" {
			return res.errorf("FunctionResponseTypes has %q", t)
		}
		q.partial = true
	}
	return nil
}

// readRule reads a rule of an event bus, or a schedule, that is a resource of its own.
func (r *reader) readRule(res *resource) error {
	type target struct {
		ARN         string    `yaml:"Arn"`
		Input       string    `yaml:"Input"`
		Path        string    `yaml:"InputPath"`
		Transformer yaml.Node `yaml:"InputTransformer"`
	}
	var p struct {
		scheduleEvent `yaml:",inline"`

		Targets []target  `yaml:"Targets"`
		Target  *target   `yaml:"Target"`
		Pattern yaml.Node `yaml:"EventPattern"`
		Bus     string    `yaml:"EventBusName"`
	}
	if err := r.t.decode(res, &p); err != nil {
		return err
	}
	if p.Target != nil {
		p.Targets = append(p.Targets, *p.Target)
	}
	for _, t := range p.Targets {
		fn, ok := r.functionOf(t.ARN)
		if !ok {
			r.warnf(res.line, "%s: the target %s is no function of this template", res.id, t.ARN)
			continue
		}
		if t.Path != "" || !t.Transformer.IsZero() {
			r.warnf(res.line, "%s: InputPath and InputTransformer are not emulated; the function gets the whole event", res.id)
		}
		if !p.Pattern.IsZero() && p.State != "DISABLED" {
			r.addRule(res.line, res.id, p.Bus, fn, t.Input, p.Pattern)
		}
		if p.Expression == "" {
			continue
		}
		ev := p.scheduleEvent
		ev.Input = t.Input
		r.addSchedule(res, res.id, fn, ev, p.Target != nil)
	}
	return nil
}

// addSchedule takes rate schedules; the others are only warned of, because a nightly job is no reason not to run the rest.
func (r *reader) addSchedule(res *resource, id, fn string, ev scheduleEvent, scheduler bool) {
	if ev.State == "DISABLED" || ev.Enabled != nil && !*ev.Enabled {
		return
	}
	every, err := parseRate(ev.Schedule + ev.Expression)
	if err != nil {
		r.warnf(res.line, "%s: %v; it does not run", id, err)
		return
	}
	r.m.schedules = append(r.m.schedules, &scheduleSpec{
		id: id, line: res.line, function: fn, every: every, scheduler: scheduler, input: ev.Input,
	})
}
