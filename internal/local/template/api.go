package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// API is a WebSocket API with one of its stages, whichever way it was written: as SAM's AWS::Serverless::WebSocketApi, as plain
// AWS::ApiGatewayV2 resources, or as both together.
type API struct {
	ID         string // logical id
	APIID      string // what Ref gives: always the same for a logical id
	Line       int
	Stage      string
	Variables  map[string]string // StageVariables
	Selection  string            // RouteSelectionExpression
	Routes     []Route
	Authorizer *Authorizer // of $connect; nil if there is none
	IAM        bool        // $connect has to be signed
	Models     []Model
	Mappings   []string // paths of custom domains that lead here, without slashes around them
}

// DefaultStage is the name of a stage that is at the root.
const DefaultStage = "$default"

// Route is a route of a WebSocket API.
type Route struct {
	Key            string
	Line           int
	Integration    *Integration
	TwoWay         bool              // what the integration answers goes to the client
	Throttle       *Throttle         // nil: no limit
	Models         map[string]string // RequestModels: names or logical ids by what the selection gives
	ModelSelection string            // ModelSelectionExpression
}

// Throttle is a rate a second, and how many may come at once.
type Throttle struct {
	Rate  float64
	Burst int
}

// Integration is what is behind a route. A route that leads nowhere has one as well, without a type.
type Integration struct {
	ID                string // logical id, or a name that is made up for SAM's
	Line              int
	Type              string // IntegrationType
	Function          string // logical id, for AWS_PROXY; empty if the function is not in this template
	URI               string // with the stage's variables
	Method            string
	Timeout           time.Duration
	RequestTemplates  map[string]Text
	RequestParameters map[string]string
	Selection         string // TemplateSelectionExpression
	Passthrough       string // PassthroughBehavior
	Responses         []IntegrationResponse
}

// IntegrationResponse is what becomes of an integration's answer of some status.
type IntegrationResponse struct {
	ID        string
	Line      int
	Key       string // IntegrationResponseKey
	Templates map[string]Text
	Selection string // TemplateSelectionExpression
}

// Text is a text that has a language of its own, with the line where it begins.
type Text struct {
	Value string
	Line  int
}

// UnmarshalYAML keeps the line.
func (t *Text) UnmarshalYAML(n *yaml.Node) error {
	t.Line = n.Line
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 { // the text begins beneath its indicator
		t.Line++
	}
	return n.Decode(&t.Value)
}

// Authorizer is the REQUEST authorizer of an API.
type Authorizer struct {
	ID       string
	Line     int
	Function string   // logical id
	Sources  []string // IdentitySource
}

// Model is a JSON schema that messages may be checked against.
type Model struct {
	ID     string
	Name   string
	Line   int
	Schema string // JSON
}

// IntegrationTimeout is the most that an integration may take, and what it may take if the template says nothing. The larger limits of
// REST APIs do not exist for WebSocket APIs.
const IntegrationTimeout = 29 * time.Second

const (
	typeServerlessAPI = "AWS::Serverless::WebSocketApi"
	typeAPI           = "AWS::ApiGatewayV2::Api"
	typeStage         = "AWS::ApiGatewayV2::Stage"
)

// apiIDOf makes an id like API Gateway's, always the same for a logical id.
func apiIDOf(logicalID string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(logicalID))
	s := strconv.FormatUint(h.Sum64(), 36)
	return ("a" + s + "000000000")[:10]
}

// throttleProps are the throttle of a stage or a route.
type throttleProps struct {
	Rate  *float64 `yaml:"ThrottlingRateLimit"`
	Burst *int     `yaml:"ThrottlingBurstLimit"`
}

// stageProps are what a stage and SAM's API have in common.
type stageProps struct {
	StageName string                   `yaml:"StageName"`
	Variables map[string]string        `yaml:"StageVariables"`
	Default   *throttleProps           `yaml:"DefaultRouteSettings"`
	Routes    map[string]throttleProps `yaml:"RouteSettings"`
}

type apiProps struct {
	Protocol  string `yaml:"ProtocolType"`
	Selection string `yaml:"RouteSelectionExpression"`
}

type samAPIProps struct {
	stageProps `yaml:",inline"`
	apiProps   `yaml:",inline"`

	Domain   samDomain            `yaml:"Domain"`
	RouteMap map[string]*samRoute `yaml:"Routes"`
	Auth     *struct {
		Type    string   `yaml:"AuthType"`
		ARN     string   `yaml:"AuthArn"`
		Sources []string `yaml:"IdentitySource"`
	} `yaml:"Auth"`
}

type samRoute struct {
	routeProps `yaml:",inline"`

	FunctionARN string `yaml:"FunctionArn"`
	Timeout     int    `yaml:"IntegrationTimeout"`

	line int
}

// UnmarshalYAML also keeps the line.
func (r *samRoute) UnmarshalYAML(n *yaml.Node) error {
	type plain samRoute
	r.line = n.Line
	return n.Decode((*plain)(r))
}

// apiReader reads all that belongs to one API.
type apiReader struct {
	*reader

	res *resource
	api API
}

func (r *reader) readAPIs() error {
	for res := range r.of(typeServerlessAPI, typeAPI) {
		if res.kind == typeAPI {
			var p apiProps
			if err := r.decode(res, &p); err != nil {
				return err
			}
			if p.Protocol != "WEBSOCKET" {
				continue
			}
		}
		one := &apiReader{reader: r, res: res, api: API{ID: res.id, APIID: apiIDOf(res.id), Line: res.line, Stage: "default"}}
		if err := one.read(); err != nil {
			return err
		}
		r.out.APIs = append(r.out.APIs, one.api)
	}
	return nil
}

func (r *apiReader) read() error {
	var p samAPIProps
	var err error
	if r.res.kind == typeServerlessAPI {
		err = r.readSAM(&p)
	} else {
		err = r.decode(r.res, &p.apiProps)
	}
	if err != nil {
		return err
	}
	r.api.Selection = p.Selection
	r.api.Mappings = p.Domain.mappings()
	if err := r.readMappings(r.api.APIID, &r.api.Mappings); err != nil {
		return err
	}
	stage := p.stageProps
	if err := r.readStage(&stage); err != nil {
		return err
	}
	for _, step := range []func() error{
		r.readModels,
		func() error { return r.readSAMRoutes(p.RouteMap) },
		r.readRoutes,
		func() error { return r.throttleRoutes(stage) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// readSAM reads SAM's API but for its routes, which need the stage.
func (r *apiReader) readSAM(p *samAPIProps) error {
	if err := r.decodeGlobals("WebSocketApi", p); err != nil {
		return err
	}
	if err := r.decode(r.res, p); err != nil {
		return err
	}
	r.warnOf(r.res)
	if p.Auth == nil {
		return nil
	}
	switch p.Auth.Type {
	case "":
		if p.Auth.ARN != "" || len(p.Auth.Sources) > 0 { // SAM refuses it too; without a word the API would be open
			return r.res.errorf("Auth has no AuthType: an authorizer needs AuthType CUSTOM")
		}
	case "NONE":
	case "AWS_IAM":
		r.api.IAM = true
	case "CUSTOM":
		return r.setAuthorizer(r.res, p.Auth.ARN, p.Auth.Sources)
	default:
		return r.res.errorf("AuthType %s", p.Auth.Type)
	}
	return nil
}

func (r *apiReader) setAuthorizer(res *resource, arn string, sources []string) error {
	fn, ok := r.out.Function(arn)
	if !ok {
		return res.errorf("authorizer %q is no function of this template", arn)
	}
	r.api.Authorizer = &Authorizer{ID: res.id, Line: res.line, Function: fn.ID, Sources: sources}
	return nil
}

// mine reports whether a resource's ApiId is this API.
func (r *apiReader) mine(apiID string) bool { return apiID == r.api.APIID }

// readStage settles the stage that routes and integrations are read for.
func (r *apiReader) readStage(stage *stageProps) error {
	if r.res.kind == typeAPI {
		if err := r.findStage(stage); err != nil {
			return err
		}
	}
	for _, name := range []string{stage.StageName, r.stage} {
		if name != "" {
			r.api.Stage = name
		}
	}
	r.api.Variables = stage.Variables
	if r.api.Stage != DefaultStage && strings.Trim(r.api.Stage, stageLetters) != "" || len(r.api.Stage) > 128 {
		return atLine(r.api.Line, "stage %q may only have letters, digits, - and _, or be $default", r.api.Stage)
	}
	return nil
}

// findStage takes the stage of the API that is asked for, else its first.
func (r *apiReader) findStage(stage *stageProps) error {
	found := false
	for res := range r.of(typeStage) {
		var p struct {
			stageProps `yaml:",inline"`

			API        string `yaml:"ApiId"`
			AutoDeploy bool   `yaml:"AutoDeploy"`
			Deployment string `yaml:"DeploymentId"`
		}
		if err := r.decode(res, &p); err != nil {
			return err
		}
		if !r.mine(p.API) {
			continue
		}
		if !found || p.StageName == r.stage {
			*stage = p.stageProps
		}
		found = true
		if !p.AutoDeploy && p.Deployment == "" {
			r.warnf(res.line, "%s has neither AutoDeploy nor a DeploymentId: on AWS nothing is deployed to it", res.id)
		}
	}
	if !found {
		r.warnf(r.api.Line, "%s has no stage: on AWS nobody could connect; %q is made up", r.api.ID, r.api.Stage)
	}
	return nil
}

const stageLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// throttleRoutes applies the stage's limits: those of all routes, then each route's own.
func (r *apiReader) throttleRoutes(stage stageProps) error {
	if d := stage.Default; d != nil && (d.Rate == nil || d.Burst == nil) {
		r.warnf(r.api.Line, "DefaultRouteSettings without ThrottlingRateLimit and ThrottlingBurstLimit: some tools deploy them as 0, which refuses everything")
	}
	for i := range r.api.Routes {
		route := &r.api.Routes[i]
		if stage.Default != nil {
			route.throttle(*stage.Default)
		}
		if own, ok := stage.Routes[route.Key]; ok {
			route.throttle(own)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(stage.Routes)) {
		if !slices.ContainsFunc(r.api.Routes, func(route Route) bool { return route.Key == key }) {
			return atLine(r.api.Line, "RouteSettings for %s, which is no route", key)
		}
	}
	return nil
}

func (route *Route) throttle(p throttleProps) {
	if p.Rate != nil && p.Burst != nil {
		route.Throttle = &Throttle{*p.Rate, *p.Burst}
	}
}

func (r *apiReader) readModels() error {
	for res := range r.of("AWS::ApiGatewayV2::Model") {
		var p struct {
			API    string    `yaml:"ApiId"`
			Name   string    `yaml:"Name"`
			Schema yaml.Node `yaml:"Schema"`
		}
		if err := r.decode(res, &p); err != nil {
			return err
		}
		if !r.mine(p.API) {
			continue
		}
		text, err := jsonOf(&p.Schema)
		if err != nil {
			return res.errorf("Schema: %v", err)
		}
		r.api.Models = append(r.api.Models, Model{ID: res.id, Name: p.Name, Line: res.line, Schema: text})
	}
	return nil
}

// jsonOf is JSON that is written as text, or as a part of the template.
func jsonOf(n *yaml.Node) (string, error) {
	if n.Kind == yaml.ScalarNode {
		if !json.Valid([]byte(n.Value)) {
			return "", errors.New("is not JSON")
		}
		return n.Value, nil
	}
	var data any
	if err := n.Decode(&data); err != nil {
		return "", err
	}
	b, err := json.Marshal(data)
	return string(b), err
}

// integrationTimeout is 50 ms to 29 s.
func integrationTimeout(ms int) (time.Duration, error) {
	if ms == 0 {
		return IntegrationTimeout, nil
	}
	d := time.Duration(ms) * time.Millisecond
	if d < 50*time.Millisecond || d > IntegrationTimeout {
		return 0, fmt.Errorf("an integration timeout of %d ms is not 50 to 29,000", ms)
	}
	return d, nil
}
