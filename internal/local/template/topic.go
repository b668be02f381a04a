package template

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const typeTopic = "AWS::SNS::Topic"

// Topic is an SNS topic.
type Topic struct {
	ID   string // logical id
	Name string // TopicName, or the logical id
	ARN  string
}

// Subscription leads from a topic to a function or to a queue.
type Subscription struct {
	ID       string // of the resource, or of the function and its event
	Line     int
	Topic    string         // logical id
	Function string         // logical id; empty: a queue
	Queue    string         // logical id
	Filter   map[string]any // FilterPolicy, as encoding/json decodes it; nil: everything comes
	OfBody   bool           // the filter is of the message, not of its attributes
	Raw      bool           // a queue gets the message as it is, not in SNS's envelope
}

type subscriptionProps struct {
	Topic    string    `yaml:"TopicArn"`
	Protocol string    `yaml:"Protocol"`
	Endpoint string    `yaml:"Endpoint"`
	Filter   yaml.Node `yaml:"FilterPolicy"`
	Scope    string    `yaml:"FilterPolicyScope"`
	Raw      bool      `yaml:"RawMessageDelivery"`
}

func (r *reader) readTopics() error {
	for res := range r.of(typeTopic) {
		name, err := r.nameOf(res)
		if err != nil {
			return err
		}
		r.out.Topics = append(r.out.Topics, Topic{ID: res.id, Name: name, ARN: r.arn(res, name)})
	}
	return nil
}

// Topic is the topic of a logical id, name or ARN, nil if there is none.
func (t *Template) Topic(name string) *Topic {
	name = name[strings.LastIndexByte(name, ':')+1:]
	for _, is := range []func(Topic) bool{
		func(o Topic) bool { return o.ID == name },
		func(o Topic) bool { return o.Name == name },
	} {
		if i := slices.IndexFunc(t.Topics, is); i >= 0 {
			return &t.Topics[i]
		}
	}
	return nil
}

// readSubscriptions reads those that are resources, or a topic's own.
func (r *reader) readSubscriptions(res *resource) error {
	if res.kind != typeTopic {
		var p subscriptionProps
		if err := r.decode(res, &p); err != nil {
			return err
		}
		return r.subscribe(res, res.id, p)
	}
	var p struct {
		List []subscriptionProps `yaml:"Subscription"`
	}
	if err := r.decode(res, &p); err != nil {
		return err
	}
	for _, s := range p.List {
		s.Topic = res.id
		if err := r.subscribe(res, res.id, s); err != nil {
			return err
		}
	}
	return nil
}

// subscribeFunction reads an event of the type SNS.
func (r *reader) subscribeFunction(res *resource, name string, n *yaml.Node) error {
	var p struct {
		Topic  string    `yaml:"Topic"`
		Filter yaml.Node `yaml:"FilterPolicy"`
		Scope  string    `yaml:"FilterPolicyScope"`
		Queue  yaml.Node `yaml:"SqsSubscription"`
	}
	if err := n.Decode(&p); err != nil {
		return res.errorf("event %s: %s", name, misfits(err))
	}
	if !p.Queue.IsZero() && p.Queue.Value != "false" {
		r.warnf(res.line, "%s: the queue of SqsSubscription of event %s is left out; its messages do not come", res.id, name)
		return nil
	}
	return r.subscribe(res, res.id+name, subscriptionProps{Topic: p.Topic, Protocol: "lambda", Endpoint: res.id, Filter: p.Filter, Scope: p.Scope})
}

// subscribe adds a subscription. One that leads out of the template is a warning.
func (r *reader) subscribe(res *resource, id string, p subscriptionProps) error {
	topic := r.out.Topic(p.Topic)
	if topic == nil {
		r.warnf(res.line, "%s: the topic %s is not in this template; its messages do not come", id, p.Topic)
		return nil
	}
	s := Subscription{ID: id, Line: res.line, Topic: topic.ID, OfBody: p.Scope == "MessageBody", Raw: p.Raw}
	switch p.Protocol {
	case "lambda":
		if fn, ok := r.out.Function(p.Endpoint); ok {
			s.Function = fn.ID
		}
	case "sqs":
		if q := r.out.Queue(p.Endpoint); q != nil {
			s.Queue = q.ID
		}
	default:
		r.warnf(res.line, "%s: of the topic %s nothing is delivered by %s, only to functions and queues", id, topic.ID, p.Protocol)
		return nil
	}
	if s.Function == "" && s.Queue == "" {
		r.warnf(res.line, "%s: the endpoint %s is not in this template; nothing is delivered there", id, p.Endpoint)
		return nil
	}
	if !p.Filter.IsZero() {
		var err error
		if s.Filter, err = asJSON(&p.Filter); err != nil {
			return res.errorf("FilterPolicy: %v", err)
		}
	}
	r.out.Subscriptions = append(r.out.Subscriptions, s)
	return nil
}
