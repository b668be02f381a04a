package emulator

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// model is what the emulator knows of a template, whichever way it was written: SAM's AWS::Serverless::WebSocketApi, plain
// AWS::ApiGatewayV2 resources, or both together.
type model struct {
	api            string // logical id
	apiID          string
	line           int
	stage          string
	stageVariables map[string]string
	selection      string
	region         string
	account        string

	routes     []*routeSpec
	authorizer *authorizerSpec
	functions  []*functionSpec
	queues     []*queueSpec
	schedules  []*scheduleSpec
	warnings   []string
}

type functionSpec struct {
	id      string
	name    string // FunctionName, if given
	folder  string // last element of CodeUri
	arn     string
	timeout time.Duration
}

type integrationSpec struct {
	line     int
	function string // logical id
	timeout  time.Duration
	mock     *mock
}

type routeSpec struct {
	key         string
	line        int
	integration *integrationSpec
	twoWay      bool
	throttled   bool
	rate        float64
	burst       int
}

type authorizerSpec struct {
	line     int
	function string
	sources  []identitySource
}

type queueSpec struct {
	id          string
	name        string
	arn         string
	line        int
	visibility  time.Duration
	delay       time.Duration
	retention   time.Duration
	deadLetters string // logical id
	maxReceives int
	maxBody     int // bytes, with attributes

	function    string // logical id of the receiver
	mappingLine int
	batchSize   int
	concurrency int
	partial     bool
}

// physical is the name that AWS would know the queue by.
func (spec *queueSpec) physical() string { return cmp.Or(spec.name, spec.id) }

type scheduleSpec struct {
	id        string
	line      int
	function  string
	every     time.Duration
	scheduler bool // EventBridge Scheduler, not an EventBridge rule
	input     string
}

// connectARN is what an authorizer's policy must cover.
func (m *model) connectARN() string {
	return "arn:aws:execute-api:" + m.region + ":" + m.account + ":" + m.apiID + "/" + m.stage + "/$connect"
}

// apiIDOf makes an id like API Gateway's, always the same for a logical id.
func apiIDOf(logicalID string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(logicalID))
	s := strconv.FormatUint(h.Sum64(), 36)
	return ("a" + s + "000000000")[:10]
}

// reader fills a model from a template.
type reader struct {
	t   *template
	cfg Config
	m   *model

	functions map[string]*functionSpec
	queues    map[string]*queueSpec
}

// readModel reads the template in the order in which resources refer to each other.
func readModel(cfg Config) (*model, error) {
	t, err := parseTemplate(cfg.Template, cfg.Parameters)
	if err != nil {
		return nil, err
	}
	r := &reader{
		t: t, cfg: cfg,
		m:         &model{region: t.pseudo["AWS::Region"], account: t.pseudo["AWS::AccountId"]},
		functions: map[string]*functionSpec{}, queues: map[string]*queueSpec{},
	}
	for _, step := range []func() error{r.readFunctions, r.readQueues, r.readAPI, r.readEvents} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return r.m, nil
}

func (r *reader) warnf(line int, format string, args ...any) {
	r.m.warnings = append(r.m.warnings, fmt.Sprintf("template line %d: ", line)+fmt.Sprintf(format, args...))
}

const (
	typeServerlessFunction = "AWS::Serverless::Function"
	typeLambdaFunction     = "AWS::Lambda::Function"
	typeQueue              = "AWS::SQS::Queue"
	typeServerlessAPI      = "AWS::Serverless::WebSocketApi"
	typeAPI                = "AWS::ApiGatewayV2::Api"
	defaultFunctionTimeout = 3 // seconds, Lambda's default
)

type functionProps struct {
	FunctionName string    `yaml:"FunctionName"`
	CodeURI      yaml.Node `yaml:"CodeUri"`
	Timeout      int       `yaml:"Timeout"`
}

func (r *reader) readFunctions() error {
	var globals functionProps
	if err := r.t.decodeGlobals("Function", &globals); err != nil {
		return err
	}
	for res := range r.t.of(typeServerlessFunction, typeLambdaFunction) {
		p := functionProps{Timeout: defaultFunctionTimeout}
		if res.kind == typeServerlessFunction {
			p.CodeURI = globals.CodeURI
			p.Timeout = cmp.Or(globals.Timeout, p.Timeout)
		}
		if err := r.t.decode(res, &p); err != nil {
			return err
		}
		if p.Timeout < 1 || p.Timeout > 900 {
			return res.errorf("Timeout is %d, not 1 to 900 seconds", p.Timeout)
		}
		f := &functionSpec{
			id: res.id, name: p.FunctionName, arn: r.t.arn(res), folder: folderOf(p.CodeURI),
			timeout: time.Duration(p.Timeout) * time.Second,
		}
		r.functions[res.id] = f
		r.m.functions = append(r.m.functions, f)
	}
	return nil
}

// folderOf is the last element of a CodeUri, nothing if it is not a folder of its own.
func folderOf(uri yaml.Node) string {
	if uri.Kind != yaml.ScalarNode || strings.HasPrefix(uri.Value, "s3://") {
		return ""
	}
	path := strings.TrimRight(uri.Value, "/")
	folder := path[strings.LastIndexByte(path, '/')+1:]
	if folder == "." || folder == ".." {
		return ""
	}
	return folder
}

// functionOf finds the function that an ARN, an integration URI or a name leads to.
func (r *reader) functionOf(text string) (string, bool) {
	if _, after, ok := strings.Cut(text, ":function:"); ok {
		text = after
	}
	if i := strings.IndexAny(text, ":/"); i >= 0 {
		text = text[:i]
	}
	if f := r.functions[text]; f != nil {
		return f.id, true
	}
	for _, f := range r.m.functions {
		if f.name == text && text != "" {
			return f.id, true
		}
	}
	return "", false
}

type queueProps struct {
	QueueName  string `yaml:"QueueName"`
	Visibility *int   `yaml:"VisibilityTimeout"`
	Delay      int    `yaml:"DelaySeconds"`
	Retention  int    `yaml:"MessageRetentionPeriod"`
	MaxBody    int    `yaml:"MaximumMessageSize"`
	FIFO       bool   `yaml:"FifoQueue"`
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
		q := &queueSpec{
			id: res.id, name: p.QueueName, arn: r.t.arn(res), line: res.line, visibility: defaultVisibility,
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
			return fmt.Errorf("template line %d: %s: deadLetterTargetArn %s is no queue of this template", q.line, q.id, q.deadLetters)
		}
		q.deadLetters = target.id
	}
	return nil
}

func (r *reader) queueOf(arn string) (*queueSpec, bool) {
	q, ok := r.queues[arn[strings.LastIndexAny(arn, ":/")+1:]]
	return q, ok
}

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

// readEvents reads what else invokes functions: the Events of SAM functions, and event source mappings. Other kinds of events have
// nothing to do with WebSockets and are left out.
func (r *reader) readEvents() error {
	for _, res := range r.t.resources {
		var err error
		switch res.kind {
		case typeServerlessFunction:
			err = r.readFunctionEvents(res)
		case "AWS::Lambda::EventSourceMapping":
			err = r.readMapping(res)
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
			r.addSchedule(res, name, ev, e.Type == "ScheduleV2")
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

// addSchedule takes rate schedules; the others are only warned of, because a nightly job is no reason not to run the rest.
func (r *reader) addSchedule(res *resource, name string, ev scheduleEvent, scheduler bool) {
	if ev.State == "DISABLED" || ev.Enabled != nil && !*ev.Enabled {
		return
	}
	every, err := parseRate(ev.Schedule + ev.Expression)
	if err != nil {
		r.warnf(res.line, "%s event %s: %v; it does not run", res.id, name, err)
		return
	}
	r.m.schedules = append(r.m.schedules, &scheduleSpec{
		id: res.id + name, line: res.line, function: res.id, every: every, scheduler: scheduler, input: ev.Input,
	})
}

var errNoAPI = errors.New("the template has no WebSocket API: no AWS::Serverless::WebSocketApi and no AWS::ApiGatewayV2::Api with ProtocolType WEBSOCKET")
