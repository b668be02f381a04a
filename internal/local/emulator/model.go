package emulator

import (
	"errors"
	"hash/fnv"
	"strconv"
	"time"
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
	functions  []*FunctionResource
	queues     []*queueSpec
	schedules  []*scheduleSpec
	rules      []*busRule
}

// integrationSpec is what is behind a route. A route that leads nowhere has one as well, with reason saying why nothing can answer.
type integrationSpec struct {
	line     int
	id       string // logical id, of the route's own if it is SAM's
	kind     string // IntegrationType
	function string // logical id
	timeout  time.Duration
	mock     *mock
	http     *httpProxy
	reason   string
}

type routeSpec struct {
	key         string
	line        int
	integration *integrationSpec
	models      *requestModels // nil: nothing is checked
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
	name        string // QueueName, or the logical id
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

	functions map[string]*FunctionResource
	queues    map[string]*queueSpec
	schemas   map[string]*schema // of the API's models, by logical id and by name
}

// newReader reads what does not belong to an API, in the order in which resources refer to each other.
func newReader(cfg Config) (*reader, error) {
	t, err := parseTemplate(cfg.Template, cfg.Parameters)
	if err != nil {
		return nil, err
	}
	r := &reader{
		t: t, cfg: cfg,
		m:         &model{region: t.pseudo["AWS::Region"], account: t.pseudo["AWS::AccountId"]},
		functions: map[string]*FunctionResource{}, queues: map[string]*queueSpec{},
	}
	for _, step := range []func() error{r.readFunctions, r.readQueues, r.readEvents} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	r.warnOfResources()
	return r, nil
}

// readModel reads what one server needs.
func readModel(cfg Config) (*model, []*TemplateError, error) {
	r, err := newReader(cfg)
	if err != nil {
		return nil, nil, err
	}
	api, err := r.chooseAPI()
	if err != nil {
		return nil, nil, err
	}
	if err := r.readAPI(api); err != nil {
		return nil, nil, err
	}
	return r.m, r.t.warnings, nil
}

const (
	typeServerlessFunction = "AWS::Serverless::Function"
	typeLambdaFunction     = "AWS::Lambda::Function"
	typeQueue              = "AWS::SQS::Queue"
	typeServerlessAPI      = "AWS::Serverless::WebSocketApi"
	typeAPI                = "AWS::ApiGatewayV2::Api"
	typeStage              = "AWS::ApiGatewayV2::Stage"
)

func (r *reader) warnf(line int, format string, args ...any) { r.t.warnf(line, format, args...) }

var errNoAPI = errors.New("the template has no WebSocket API: no AWS::Serverless::WebSocketApi and no AWS::ApiGatewayV2::Api with ProtocolType WEBSOCKET")
