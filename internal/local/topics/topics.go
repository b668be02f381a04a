// Package topics is Amazon SNS for a template: what is published to a topic goes to the functions and the queues that subscribe to it, to
// functions as asynchronous invocations, with Lambda's retries. Other subscribers, such as addresses of mail, are there only in the template's warnings.
package topics

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/awsquery"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Config says what topics and subscriptions there are. Template, Functions and Send are required.
type Config struct {
	Template  *template.Template
	Functions *invoke.Service
	// Send puts a message into a queue of a logical id. It has the attributes of a raw message, and how functions have led to it.
	Send func(queue, body string, attributes map[string]awsquery.Attribute, l invoke.Lineage) error
	// Check finds what Matches does not know in a filter, and Matches decides by one whether a message comes, both as patterns of events;
	// nil: filters are not looked at.
	Check   func(pattern map[string]any) error
	Matches func(pattern, fields map[string]any) bool
	Logger  *slog.Logger // default discards
	// Observe is told what is published, from the goroutine where it happens: it must be quick and safe for concurrent use.
	Observe func(Seen)
	Now     func() time.Time // default time.Now
}

// Seen is a message that was published.
type Seen struct {
	Time    time.Time
	Topic   string // logical id
	Message []byte
	Reached int // how many subscriptions it was for
}

// Service holds the topics of one template. Its methods are safe for concurrent use.
type Service struct {
	cfg  Config
	subs []template.Subscription // those that are understood
}

// New takes the subscriptions whose filters are understood, and has the template warn of the others.
func New(cfg Config) *Service {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Service{cfg: cfg}
	for _, sub := range cfg.Template.Subscriptions {
		if cfg.Check != nil {
			if err := cfg.Check(sub.Filter); err != nil {
				cfg.Template.Warnf(sub.Line, "%s: FilterPolicy: %v; its messages do not come", sub.ID, err)
				continue
			}
		}
		s.subs = append(s.subs, sub)
	}
	return s
}

// Message is what a program publishes.
type Message struct {
	Topic      string // logical id, name or ARN
	Subject    string
	Body       string
	Structured bool // the body is an object with a text by protocol, "default" among them
	Attributes map[string]awsquery.Attribute
	Lineage    invoke.Lineage // how functions have led to it
}

// maxBytes of a message with its attributes: "Publish" in the Amazon SNS API reference.
const maxBytes = 256 << 10

// Publish hands a message to all who subscribe to its topic, and gives its id. Errors are *awserr.Error.
func (s *Service) Publish(m Message) (id string, err error) {
	topic := s.cfg.Template.Topic(m.Topic)
	if topic == nil {
		return "", &awserr.Error{Status: http.StatusNotFound, Code: "NotFound", Message: "Topic does not exist: the template has no topic " + m.Topic}
	}
	texts, err := m.texts()
	if err != nil {
		return "", err
	}
	id = uuid.NewString()
	now := s.cfg.Now()
	reached := 0
	for _, sub := range s.subs {
		if sub.Topic != topic.ID || !s.wants(sub, m) {
			continue
		}
		reached++
		d := delivery{id: id, at: now, topic: topic, sub: sub, Message: m}
		if err := s.deliver(d, texts); err != nil {
			s.cfg.Logger.WarnContext(s.cfg.Functions.Context(), "a topic does not deliver", "topic", topic.ID, "subscription", sub.ID, "error", err)
		}
	}
	if s.cfg.Observe != nil {
		s.cfg.Observe(Seen{Time: now, Topic: topic.ID, Message: []byte(m.Body), Reached: reached})
	}
	return id, nil
}

// texts are what each protocol gets, by its name; "default" is for the others.
func (m *Message) texts() (map[string]string, error) {
	size := len(m.Body)
	for name, a := range m.Attributes {
		size += len(name) + len(a.Type) + len(a.Binary)
		if a.String != nil {
			size += len(*a.String)
		}
	}
	switch {
	case m.Body == "":
		return nil, errParameter("Empty message")
	case size > maxBytes:
		return nil, errParameter("Message too long")
	case !m.Structured:
		return map[string]string{"default": m.Body}, nil
	}
	var texts map[string]string
	if err := json.Unmarshal([]byte(m.Body), &texts); err != nil {
		return nil, errParameter("Message Structure - JSON message body failed to parse")
	}
	if texts["default"] == "" {
		return nil, errParameter("Message Structure - No default entry in JSON message body")
	}
	return texts, nil
}

func errParameter(why string) error {
	return &awserr.Error{Status: http.StatusBadRequest, Code: "InvalidParameter", Message: "Invalid parameter: " + why}
}

// wants reports whether a subscription's filter lets a message through.
func (s *Service) wants(sub template.Subscription, m Message) bool {
	if sub.Filter == nil || s.cfg.Matches == nil {
		return true
	}
	fields := map[string]any{}
	if sub.OfBody {
		return json.Unmarshal([]byte(m.Body), &fields) == nil && s.cfg.Matches(sub.Filter, fields)
	}
	for name, a := range m.Attributes {
		if a.String == nil {
			continue // binary ones are not compared
		}
		fields[name] = *a.String
		if a.Type == "Number" || a.Type == "String.Array" {
			var value any
			if json.Unmarshal([]byte(*a.String), &value) == nil {
				fields[name] = value
			}
		}
	}
	return s.cfg.Matches(sub.Filter, fields)
}

// delivery is a message on its way to a subscriber.
type delivery struct {
	Message

	id    string
	at    time.Time
	topic *template.Topic
	sub   template.Subscription
}

func (s *Service) deliver(d delivery, texts map[string]string) error {
	protocol := "lambda"
	if d.sub.Queue != "" {
		protocol = "sqs"
	}
	d.Body = cmp.Or(texts[protocol], texts["default"])
	if d.sub.Raw && d.sub.Queue != "" {
		return s.cfg.Send(d.sub.Queue, d.Body, d.Attributes, d.Lineage)
	}
	what := d.record()
	if d.sub.Queue != "" {
		what = d.envelope()
	}
	text, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if d.sub.Queue != "" {
		return s.cfg.Send(d.sub.Queue, string(text), nil, d.Lineage)
	}
	return s.cfg.Functions.InvokeAsync(d.sub.Function, d.Lineage, text)
}

// notification is a message as subscribers get it: "Parsing Amazon SNS message formats" in the Amazon SNS developer guide. Functions and queues
// have three of its names in another spelling.
type notification struct {
	Type       string               `json:"Type"`
	ID         string               `json:"MessageId"`
	Topic      string               `json:"TopicArn"`
	Subject    *string              `json:"Subject"`
	Message    string               `json:"Message"`
	Timestamp  string               `json:"Timestamp"`
	Version    string               `json:"SignatureVersion"`
	Signature  string               `json:"Signature"`
	Attributes map[string]attribute `json:"MessageAttributes,omitempty"`
}

type attribute struct {
	Type  string `json:"Type"`
	Value string `json:"Value"`
}

// unsigned stands where a signature would be, which nobody here can make.
const unsigned = "UNSIGNED"

func (d *delivery) notification() notification {
	n := notification{
		Type: "Notification", ID: d.id, Topic: d.topic.ARN, Message: d.Body, Timestamp: d.at.UTC().Format("2006-01-02T15:04:05.000Z"),
		Version: "1", Signature: unsigned,
	}
	if d.Subject != "" {
		n.Subject = &d.Subject
	}
	for name, a := range d.Attributes {
		if n.Attributes == nil {
			n.Attributes = map[string]attribute{}
		}
		n.Attributes[name] = attribute{a.Type, a.Text()}
	}
	return n
}

// subscription is the ARN of the subscription.
func (d *delivery) subscription() string {
	return d.topic.ARN + ":" + uuid.NewSHA1(uuid.NameSpaceOID, []byte(d.sub.ID)).String()
}

// record is the event of a function: "Invoking Lambda functions with Amazon SNS notifications" in the AWS Lambda developer guide.
func (d *delivery) record() any {
	n := d.notification()
	if n.Attributes == nil {
		n.Attributes = map[string]attribute{}
	}
	type sns struct {
		notification

		Attributes  map[string]attribute `json:"MessageAttributes"` // there even if there are none
		Certificate string               `json:"SigningCertUrl"`
		Unsubscribe string               `json:"UnsubscribeUrl"`
	}
	type record struct {
		Source       string `json:"EventSource"`
		Version      string `json:"EventVersion"`
		Subscription string `json:"EventSubscriptionArn"`
		SNS          sns    `json:"Sns"`
	}
	arn := d.subscription()
	return map[string]any{"Records": []record{{
		Source: "aws:sns", Version: "1.0", Subscription: arn,
		SNS: sns{notification: n, Attributes: n.Attributes, Certificate: d.url("SimpleNotificationService.pem"), Unsubscribe: d.url("?Action=Unsubscribe&SubscriptionArn=" + arn)},
	}}}
}

// envelope is the body of a queue's message.
func (d *delivery) envelope() any {
	type envelope struct {
		notification

		Subject     *string `json:"Subject,omitempty"`
		Certificate string  `json:"SigningCertURL"`
		Unsubscribe string  `json:"UnsubscribeURL"`
	}
	n := d.notification()
	return envelope{
		notification: n, Subject: n.Subject, Certificate: d.url("SimpleNotificationService.pem"), Unsubscribe: d.url("?Action=Unsubscribe&SubscriptionArn=" + d.subscription()),
	}
}

func (d *delivery) url(rest string) string {
	region := "us-east-1"
	if parts := strings.Split(d.topic.ARN, ":"); len(parts) > 3 {
		region = parts[3]
	}
	return "https://sns." + region + ".amazonaws.com/" + rest
}
