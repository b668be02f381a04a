package gateway

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// What integrations that are no proxies have in common: the request is mapped on its way to the backend, and the answer on its way back. See
// "Set up data mapping for WebSocket APIs in API Gateway".

// requests makes the body of a request to the backend.
type requests struct {
	templates   templates
	passthrough string // PassthroughBehavior
}

var errUnsupportedMedia = errors.New("no request template for the message, and PassthroughBehavior lets none pass")

func newRequests(p template.Integration) (requests, error) {
	t, err := newTemplates(p.RequestTemplates, p.Selection)
	return requests{t, p.Passthrough}, err
}

// body is what a template makes of the message, or the message itself if none is for it and it may pass.
func (r requests) body(s scope) (body []byte, mapped bool, err error) {
	if t, ok := r.templates.pick(s); ok {
		body, err = t.render(s)
		return body, true, err
	}
	if r.passthrough == "NEVER" || r.passthrough == "WHEN_NO_TEMPLATES" && len(r.templates.byKey) > 0 {
		return nil, false, errUnsupportedMedia
	}
	return s.message, false, nil
}

// responses are the integration responses.
type responses []integrationResponse

// integrationResponse is one of them.
type integrationResponse struct {
	match     *regexp.Regexp // nil: $default
	templates templates
}

func newResponses(p template.Integration) (list responses, err error) {
	for _, res := range p.Responses {
		one := integrationResponse{}
		if one.match, err = parseResponseKey(res.Key); err == nil {
			one.templates, err = newTemplates(res.Templates, res.Selection)
		}
		if err != nil {
			if _, ok := errors.AsType[*lineError](err); ok {
				return nil, err
			}
			return nil, &lineError{res.Line, fmt.Errorf("%s: %w", res.ID, err)}
		}
		list = append(list, one)
	}
	return list, nil
}

// parseResponseKey reads an IntegrationResponseKey: $default, which is nil here, or a pattern between slashes.
func parseResponseKey(key string) (*regexp.Regexp, error) {
	if key == "$default" {
		return nil, nil //nolint:nilnil // said in the comment
	}
	re, err := regexp.Compile("^(?:" + key[1:len(key)-1] + ")$")
	if err != nil {
		return nil, fmt.Errorf("IntegrationResponseKey: %w", err)
	}
	return re, nil
}

// of is the integration response of a status, nil if there is none: a pattern beats $default.
func (l responses) of(status int) *integrationResponse {
	var fallback *integrationResponse
	for i := range l {
		switch r := &l[i]; {
		case r.match == nil:
			fallback = r
		case r.match.MatchString(strconv.Itoa(status)):
			return r
		}
	}
	return fallback
}

// answer is what the client of a two-way route gets of the backend's answer, which is the scope's input and status.
func (l responses) answer(s scope) ([]byte, error) {
	res := l.of(s.status)
	if res == nil {
		return nil, fmt.Errorf("no integration response for status %d", s.status)
	}
	if t, ok := res.templates.pick(s); ok {
		return t.render(s)
	}
	if len(res.templates.byKey) == 0 { // passed through as it is
		return s.input, nil
	}
	return nil, nil
}
