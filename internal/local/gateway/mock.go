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
	requests  requests
	responses responses
}

func newMock(p template.Integration) (*mock, error) {
	for _, key := range slices.Sorted(maps.Keys(p.RequestTemplates)) {
		if text := p.RequestTemplates[key]; !strings.Contains(text.Value, "statusCode") {
			return &mock{}, &lineError{text.Line, errors.New("a request template of a MOCK integration must be JSON with a statusCode")}
		}
	}
	m := &mock{}
	var err error
	if m.requests, err = newRequests(p); err == nil {
		m.responses, err = newResponses(p)
	}
	return m, err
}

// backend is what the request comes to. Without any template it is the message itself, and the status is 200: AWS documents that for the
// default response no template is needed.
func (m *mock) backend(s scope) (status int, out []byte, err error) {
	out, mapped, err := m.requests.body(s)
	switch {
	case errors.Is(err, errUnsupportedMedia):
		return http.StatusUnsupportedMediaType, nil, err
	case err != nil:
		return 0, nil, err
	case !mapped:
		return http.StatusOK, out, nil
	}
	status, err = statusIn(out)
	return status, out, err
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
	s.input, s.status = backend, status
	out, err = m.responses.answer(s)
	return status, out, err
}
