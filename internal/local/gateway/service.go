package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// service is an AWS or HTTP integration: a request to an AWS service or to a server, made by a request template, whose answer becomes the
// client's by an integration response. CredentialsArn is not looked at: whoever may use this emulator may do everything. See "Integrations
// for WebSocket APIs in API Gateway".
type service struct {
	name      string // of the AWS service, or the server's host
	request   request
	requests  requests
	responses responses
	header    http.Header // what the service's protocol asks for
	transport http.RoundTripper
}

// protocol is how an AWS service is told which of its actions is wanted.
type protocol struct {
	target  string // the prefix of X-Amz-Target, of a service that takes JSON
	json    string // and its version
	version string // else the API's, as a parameter
}

// protocolOf is the protocol of an AWS service; see its API reference. Others are told their action as most are, by the parameter Action.
func protocolOf(service string) protocol {
	switch service {
	case "dynamodb":
		return protocol{target: "DynamoDB_20120810.", json: "1.0"}
	case "states":
		return protocol{target: "AWSStepFunctions.", json: "1.0"}
	case "events":
		return protocol{target: "AWSEvents.", json: "1.1"}
	case "kinesis":
		return protocol{target: "Kinesis_20131202.", json: "1.1"}
	case "firehose":
		return protocol{target: "Firehose_20150804.", json: "1.1"}
	case "logs":
		return protocol{target: "Logs_20140328.", json: "1.1"}
	case "ssm":
		return protocol{target: "AmazonSSM.", json: "1.1"}
	case "secretsmanager":
		return protocol{target: "secretsmanager.", json: "1.1"}
	case "sqs":
		return protocol{version: "2012-11-05"}
	case "sns":
		return protocol{version: "2010-03-31"}
	}
	return protocol{}
}

// ServiceOf is the AWS service that an IntegrationUri leads to, such as sqs, and what it asks there: "path/…" or "action/…". See "uri" of the
// Integration in the API Gateway API reference.
func ServiceOf(uri string) (service, rest string, err error) {
	// arn:aws:apigateway:{region}:{subdomain.service|service}:path|action/{rest}
	parts := strings.SplitN(uri, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "apigateway" || !strings.HasPrefix(parts[5], "path/") && !strings.HasPrefix(parts[5], "action/") {
		return "", "", fmt.Errorf("the IntegrationUri %q is not arn:aws:apigateway:{region}:{service}:path/… or :action/…", uri)
	}
	return parts[4][strings.LastIndexByte(parts[4], '.')+1:], parts[5], nil
}

// newService makes an integration of type AWS. A service that nobody knows the way to is an error.
func (s *Server) newService(t *template.Template, p template.Integration) (*service, error) {
	name, rest, err := ServiceOf(p.URI)
	if err != nil {
		return nil, err
	}
	out, err := newCustom(p)
	if err != nil {
		return nil, err
	}
	out.name, out.header = name, http.Header{"Content-Type": {"application/json"}}
	base := "https://" + name + "." + t.Region + ".amazonaws.com/"
	path, isPath := strings.CutPrefix(rest, "path/")
	if isPath {
		out.request.uri = base + strings.TrimPrefix(path, "/")
	} else {
		action := strings.TrimPrefix(rest, "action/")
		switch how := protocolOf(name); {
		case how.target != "":
			out.request.uri = base
			out.header = http.Header{"Content-Type": {"application/x-amz-json-" + how.json}, "X-Amz-Target": {how.target + action}}
		case how.version != "":
			out.request.uri = base + "?" + url.Values{"Action": {action}, "Version": {how.version}}.Encode()
		default:
			out.request.uri = base + "?Action=" + url.QueryEscape(action)
		}
	}
	if s.cfg.Services != nil {
		out.transport = s.cfg.Services(name)
	}
	if out.transport == nil {
		return nil, fmt.Errorf("the service %s is not emulated: say where one is, with --env AWS_ENDPOINT_URL_%s=URL", name, EndpointVariable(name))
	}
	return out, nil
}

// EndpointVariable is what the AWS SDKs call a service in the names of their environment variables, AWS_ENDPOINT_URL_{…}.
func EndpointVariable(service string) string {
	switch service {
	case "states":
		return "SFN"
	case "events":
		return "EVENTBRIDGE"
	case "secretsmanager":
		return "SECRETS_MANAGER"
	case "logs":
		return "CLOUDWATCH_LOGS"
	}
	return strings.ToUpper(strings.NewReplacer("-", "_").Replace(service))
}

// newHTTP makes an integration of type HTTP.
func newHTTP(p template.Integration) (*service, error) {
	u, err := webAddress(p.URI)
	if err != nil {
		return nil, err
	}
	out, err := newCustom(p)
	if err != nil {
		return nil, err
	}
	out.name, out.request.uri, out.transport = u.Host, p.URI, newTransport()
	out.header = http.Header{"Content-Type": {"application/json"}}
	return out, nil
}

func newCustom(p template.Integration) (out *service, err error) {
	out = &service{}
	if out.request, err = newRequest(p); err == nil {
		if out.requests, err = newRequests(p); err == nil {
			out.responses, err = newResponses(p)
		}
	}
	return out, err
}

// event makes the request. The error is that of a template, or errUnsupportedMedia.
func (v *service) event(s scope) ([]byte, error) {
	s.input = s.message
	body, _, err := v.requests.body(s)
	if err != nil {
		return nil, err
	}
	return v.request.make(s, v.header.Clone(), url.Values{}, body), nil
}

// Invoke sends the request. What a Lambda function throws is an error, as it is for a proxy integration (UNCONFIRMED).
func (v *service) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	res, err := send(ctx, v.transport, payload)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.name, err)
	}
	if res.header.Get("X-Amz-Function-Error") != "" {
		var thrown struct {
			Message string `json:"errorMessage"`
		}
		if json.Unmarshal(res.body, &thrown) == nil && thrown.Message != "" {
			return nil, errors.New(thrown.Message)
		}
		return nil, fmt.Errorf("the function failed: %.200s", res.body)
	}
	return json.Marshal(map[string]any{"statusCode": res.status, "body": string(res.body)})
}

// backendAnswer is what a backend answers.
type backendAnswer struct {
	status int
	header http.Header
	body   []byte
}

// send does what the event of a request says.
func send(ctx context.Context, transport http.RoundTripper, event []byte) (backendAnswer, error) {
	var in httpRequest
	if err := json.Unmarshal(event, &in); err != nil {
		return backendAnswer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, in.Method, in.URL, bytes.NewReader(in.Body))
	if err != nil {
		return backendAnswer{}, err
	}
	req.Header = in.Header
	res, err := transport.RoundTrip(req)
	if err != nil {
		return backendAnswer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	const most = 10 << 20 // API Gateway's largest payload
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err == nil && len(body) > most {
		err = errors.New("the answer is larger than 10 MB")
	}
	return backendAnswer{res.StatusCode, res.Header, body}, err
}

// completeService sends what a service's answer means for the client: on a one-way route nothing, whatever it was.
func (e exchange) completeService(res proxyResponse) {
	if !e.route.twoWay {
		var refused error
		if passOn(res.status) != 0 {
			refused = fmt.Errorf("%s answers %d: %.300s", e.route.service.name, res.status, res.body)
		}
		e.to.done(e, res.status, refused)
		return
	}
	out, err := e.route.service.responses.answer(scope{e: e, input: res.body, status: res.status})
	if err != nil {
		e.fail(frameInternal, fmt.Errorf("%s answers %d: %w", e.route.service.name, res.status, err))
		return
	}
	if len(out) > 0 {
		e.send(out)
	}
	e.to.done(e, res.status, nil)
}
