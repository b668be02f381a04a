package gateway

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// mock is a MOCK integration: an answer without a function. What its request template renders to is the answer of the "backend" and has
// the status in it; the integration response of that status makes what the client gets of it. So $input is the message in the one and the
// rendered request in the other (UNCONFIRMED for WebSocket APIs; REST APIs behave so).
type mock struct {
	requests    templates
	passthrough string // PassthroughBehavior
	responses   []mockResponse
}

// mockResponse is an integration response.
type mockResponse struct {
	match     *regexp.Regexp // nil: $default
	templates templates
}

var errUnsupportedMedia = errors.New("no request template for the message, and PassthroughBehavior lets none pass")

func newMock(p template.Integration) (*mock, error) {
	for _, key := range slices.Sorted(maps.Keys(p.RequestTemplates)) {
		if !strings.Contains(p.RequestTemplates[key], "statusCode") {
			return &mock{}, errors.New("a request template of a MOCK integration must be JSON with a statusCode")
		}
	}
	requests, err := newTemplates(p.RequestTemplates, p.Selection)
	m := &mock{requests: requests, passthrough: p.Passthrough}
	if err != nil {
		return m, err
	}
	for _, res := range p.Responses {
		match, err := parseResponseKey(res.Key)
		if err != nil {
			return m, fmt.Errorf("%s: %w", res.ID, err)
		}
		templates, err := newTemplates(res.Templates, res.Selection)
		if err != nil {
			return m, fmt.Errorf("%s: %w", res.ID, err)
		}
		m.responses = append(m.responses, mockResponse{match, templates})
	}
	return m, nil
}

// backend is what the request comes to. Without any template it is the message itself, and the status is 200: AWS documents that for the
// default response no template is needed.
func (m *mock) backend(s scope) (status int, out []byte, err error) {
	if r, ok := m.requests.pick(s); ok {
		out = r.render(s)
		status, err = statusIn(out)
		return status, out, err
	}
	if m.passthrough == "NEVER" || m.passthrough == "WHEN_NO_TEMPLATES" && len(m.requests.byKey) > 0 {
		return http.StatusUnsupportedMediaType, nil, errUnsupportedMedia
	}
	return http.StatusOK, s.message, nil
}

// statusIn finds the status in what a request template rendered to, which need not be quite JSON.
func statusIn(text []byte) (int, error) {
	m := regexp.MustCompile(`['"]?statusCode['"]?\s*:\s*['"]?(\d+)`).FindSubmatch(text)
	if m == nil {
		return 0, errors.New("the request template of the MOCK integration has no statusCode")
	}
	status, err := strconv.Atoi(string(m[1]))
	if err != nil || status < 200 || status > 599 {
		return 0, fmt.Errorf("statusCode %s in the request template of the MOCK integration", m[1])
	}
	return status, nil
}

// answer renders the response.
func (m *mock) answer(e exchange, body []byte) (status int, out []byte, err error) {
	s := scope{e: e, message: body, input: body}
	status, backend, err := m.backend(s)
	if err != nil || !e.route.twoWay { // nobody hears of the response
		return status, nil, err
	}
	res := m.response(status)
	if res == nil {
		return status, nil, fmt.Errorf("no integration response for status %d", status)
	}
	s.input, s.status = backend, status
	if r, ok := res.templates.pick(s); ok {
		return status, r.render(s), nil
	}
	if len(res.templates.byKey) == 0 { // passed through as it is
		return status, backend, nil
	}
	return status, nil, nil
}

// response is the integration response of a status: a pattern beats $default.
func (m *mock) response(status int) *mockResponse {
	var fallback *mockResponse
	for i := range m.responses {
		switch r := &m.responses[i]; {
		case r.match == nil:
			fallback = r
		case r.match.MatchString(strconv.Itoa(status)):
			return r
		}
	}
	return fallback
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
