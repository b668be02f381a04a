package template

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Schedule invokes a function again and again.
type Schedule struct {
	ID         string
	Line       int
	Function   string // logical id
	Expression string // rate(5 minutes), cron(…)
	Scheduler  bool   // of EventBridge Scheduler; else it is a rule of EventBridge
	Input      string // JSON that the function gets instead of the event; empty: the event
}

// Rule is a rule of an event bus with one target.
type Rule struct {
	ID       string
	Line     int
	Bus      string         // name or ARN, empty for the default bus
	Pattern  map[string]any // as encoding/json decodes it
	Function string         // logical id
	Input    string         // JSON that the function gets instead of the event; empty: the event
}

type scheduleProps struct {
	Schedule   string `yaml:"Schedule"`
	Expression string `yaml:"ScheduleExpression"`
	Input      string `yaml:"Input"`
	Enabled    *bool  `yaml:"Enabled"`
	State      string `yaml:"State"`
}

type functionEvents struct {
	Events map[string]functionEvent `yaml:"Events"`
}

type functionEvent struct {
	Type       string    `yaml:"Type"`
	Properties yaml.Node `yaml:"Properties"`
}

// readEvents reads what else invokes functions: the Events of SAM functions, event source mappings, rules, schedules and subscriptions. Of
// other kinds of events it says that they do not come.
func (r *reader) readEvents() error {
	for _, res := range r.resources {
		var err error
		switch res.kind {
		case typeServerlessFunction:
			err = r.readFunctionEvents(res)
		case "AWS::Lambda::EventSourceMapping":
			err = r.readMapping(res)
		case "AWS::Events::Rule", "AWS::Scheduler::Schedule":
			err = r.readRule(res)
		case typeTopic, "AWS::SNS::Subscription":
			err = r.readSubscriptions(res)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) readFunctionEvents(res *resource) error {
	var p functionEvents
	if err := r.decode(res, &p); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Events)) {
		if err := r.readFunctionEvent(res, name, p.Events[name]); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) readFunctionEvent(res *resource, name string, e functionEvent) error {
	decode := func(into any) error {
		if err := e.Properties.Decode(into); err != nil {
			return res.errorf("event %s: %s", name, misfits(err))
		}
		return nil
	}
	switch e.Type {
	case "SQS":
		var p mappingProps
		if err := decode(&p); err != nil {
			return err
		}
		return r.mapQueue(res, res.id, p)
	case "DynamoDB":
		var p streamProps
		if err := decode(&p); err != nil {
			return err
		}
		return r.mapStream(res, res.id, p)
	case "SNS":
		return r.subscribeFunction(res, name, &e.Properties)
	case "Api", "HttpApi":
		p := httpEvent{res: res, rest: e.Type == "Api"}
		if err := decode(&p); err != nil {
			return err
		}
		r.http = append(r.http, p)
	case "Schedule", "ScheduleV2":
		var p scheduleProps
		if err := decode(&p); err != nil {
			return err
		}
		r.addSchedule(res, res.id+name, res.id, p, e.Type == "ScheduleV2")
	case "EventBridgeRule", "CloudWatchEvent":
		var p struct {
			Bus     string    `yaml:"EventBusName"`
			Pattern yaml.Node `yaml:"Pattern"`
			Input   string    `yaml:"Input"`
			Path    string    `yaml:"InputPath"`
		}
		if err := decode(&p); err != nil {
			return err
		}
		if p.Path != "" {
			r.warnf(res.line, "%s: InputPath of event %s is not emulated; the function gets the whole event", res.id, name)
		}
		r.addRule(Rule{ID: res.id + name, Line: res.line, Bus: p.Bus, Function: res.id, Input: p.Input}, p.Pattern)
	case "S3":
		r.warnf(res.line, "%s: %s", res.id, noBuckets)
	default:
		r.warnf(res.line, "%s: events of the type %s do not come", res.id, e.Type)
	}
	return nil
}

// noBuckets is what can be done about events of S3.
const noBuckets = "events of S3 do not come, since no buckets are here: say where an S3 is, with --env AWS_ENDPOINT_URL_S3=URL, and hand the function such an event yourself, " +
	"with aws lambda invoke --endpoint-url"

// readRule reads a rule of an event bus, or a schedule, that is a resource of its own.
func (r *reader) readRule(res *resource) error {
	type target struct {
		ARN         string    `yaml:"Arn"`
		Input       string    `yaml:"Input"`
		Path        string    `yaml:"InputPath"`
		Transformer yaml.Node `yaml:"InputTransformer"`
	}
	var p struct {
		scheduleProps `yaml:",inline"`

		Targets []target  `yaml:"Targets"`
		Target  *target   `yaml:"Target"`
		Pattern yaml.Node `yaml:"EventPattern"`
		Bus     string    `yaml:"EventBusName"`
	}
	if err := r.decode(res, &p); err != nil {
		return err
	}
	if p.Target != nil {
		p.Targets = append(p.Targets, *p.Target)
	}
	for _, t := range p.Targets {
		fn, ok := r.out.Function(t.ARN)
		if !ok {
			r.warnf(res.line, "%s: the target %s is no function of this template", res.id, t.ARN)
			continue
		}
		if t.Path != "" || !t.Transformer.IsZero() {
			r.warnf(res.line, "%s: InputPath and InputTransformer are not emulated; the function gets the whole event", res.id)
		}
		if !p.Pattern.IsZero() && p.State != "DISABLED" {
			r.addRule(Rule{ID: res.id, Line: res.line, Bus: p.Bus, Function: fn.ID, Input: t.Input}, p.Pattern)
		}
		if p.Expression == "" {
			continue
		}
		s := p.scheduleProps
		s.Input = t.Input
		r.addSchedule(res, res.id, fn.ID, s, p.Target != nil)
	}
	return nil
}

func (r *reader) addSchedule(res *resource, id, fn string, p scheduleProps, scheduler bool) {
	if p.State == "DISABLED" || p.Enabled != nil && !*p.Enabled {
		return
	}
	r.out.Schedules = append(r.out.Schedules, Schedule{
		ID: id, Line: res.line, Function: fn, Expression: p.Schedule + p.Expression, Scheduler: scheduler, Input: p.Input,
	})
}

func (r *reader) addRule(rule Rule, pattern yaml.Node) {
	var err error
	if rule.Pattern, err = asJSON(&pattern); err != nil {
		r.warnf(rule.Line, "%s: the event pattern: %v; its events do not come", rule.ID, err)
		return
	}
	r.out.Rules = append(r.out.Rules, rule)
}

// asJSON is an object as encoding/json decodes it, with its numbers and texts.
func asJSON(n *yaml.Node) (out map[string]any, err error) {
	if err := n.Decode(&out); err != nil {
		return nil, errors.New(misfits(err))
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	out = nil
	return out, json.Unmarshal(text, &out)
}
