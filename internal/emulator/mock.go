package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// mock is a MOCK integration: an answer without a function. Its request template says which status the "backend" had, the integration
// response that matches the status says what the client gets. Of the template language only $context and $input are understood.
type mock struct {
	status   int
	template []mockPart // of the matching integration response; nil if none matches
	matched  bool
}

// mockPart is literal text, a $context variable, or a part of $input.
type mockPart struct {
	literal string
	context string
	input   string // body, path or json
	path    []step
}

// answer renders the response.
func (m *mock) answer(e exchange, body []byte) (status int, out []byte, err error) {
	if !m.matched {
		return m.status, nil, fmt.Errorf("no integration response for status %d", m.status)
	}
	for _, p := range m.template {
		switch {
		case p.context != "":
			out = append(out, e.context(p.context)...)
		case p.input == "body":
			out = append(out, body...)
		case p.input != "":
			raw, _ := lookup(body, p.path)
			if p.input == "path" {
				out = appendText(out, raw)
			} else {
				out = append(out, raw...)
			}
		default:
			out = append(out, p.literal...)
		}
	}
	return m.status, out, nil
}

// context is a $context variable; see "WebSocket API mapping template reference for API Gateway".
func (e exchange) context(name string) string {
	c := e.conn
	switch name {
	case "connectionId":
		return c.id
	case "requestId", "extendedRequestId":
		return e.requestID
	case "routeKey":
		return e.route.key
	case "stage":
		return c.srv.model.stage
	case "apiId":
		return c.srv.model.apiID
	case "domainName":
		return c.domain
	case "eventType":
		return "MESSAGE"
	case "connectedAt":
		return strconv.FormatInt(c.connectedAt, 10)
	case "requestTimeEpoch":
		return strconv.FormatInt(e.at.UnixMilli(), 10)
	case "requestTime":
		return e.at.UTC().Format(clf)
	case "identity.sourceIp":
		return c.sourceIP
	case "identity.userAgent":
		return c.userAgent
	}
	if name, ok := strings.CutPrefix(name, "authorizer."); ok {
		raw, _ := lookup(c.authorizer, []step{{name: name, index: -1}})
		return string(appendText(nil, raw))
	}
	return ""
}

// parseMockTemplate reads a response template. Directives (#set, #if, …) and other variables are an error: rendering them wrongly would
// be worse.
func parseMockTemplate(text string) ([]mockPart, error) {
	if strings.Contains(text, "#set") || strings.Contains(text, "#if") || strings.Contains(text, "#foreach") || strings.Contains(text, "#end") {
		return nil, errors.New("the template uses directives, which are not emulated")
	}
	variable := regexp.MustCompile(`^\$!?(?:\{(context\.[\w.]+)\}|(context\.[\w.]*\w)|(input\.body)|input\.(path|json)\('\$([^']*)'\))`)
	var parts []mockPart
	for text != "" {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			return append(parts, mockPart{literal: text}), nil
		}
		if i > 0 {
			parts = append(parts, mockPart{literal: text[:i]})
			text = text[i:]
		}
		m := variable.FindStringSubmatch(text)
		switch {
		case m == nil:
			return nil, fmt.Errorf("the template uses %.40q, which is not emulated", text)
		case m[3] != "":
			parts = append(parts, mockPart{input: "body"})
		case m[4] != "":
			path, err := parsePath(m[5])
			if err != nil {
				return nil, err
			}
			parts = append(parts, mockPart{input: m[4], path: path})
		default:
			parts = append(parts, mockPart{context: strings.TrimPrefix(m[1]+m[2], "context.")})
		}
		text = text[len(m[0]):]
	}
	return parts, nil
}

// pickTemplate is the template that a TemplateSelectionExpression selects: the key of that name, else $default, else the only one.
func pickTemplate(templates map[string]string, expr string, status int) (string, bool) {
	key := strings.TrimPrefix(expr, `\`)
	if strings.HasPrefix(expr, "$") { // ${integration.response.statuscode} and its like
		key = strconv.Itoa(status)
	}
	for _, key := range []string{key, "$default"} {
		if text, ok := templates[key]; ok {
			return text, true
		}
	}
	if len(templates) == 1 {
		for _, text := range templates {
			return text, true
		}
	}
	return "", false
}

// mockStatus reads the status code out of a request template.
func mockStatus(templates map[string]string, expr string) (int, error) {
	text, ok := pickTemplate(templates, expr, 200)
	if !ok {
		return 200, nil
	}
	var v struct {
		StatusCode int `json:"statusCode"`
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return 0, fmt.Errorf("a request template of a MOCK integration must be JSON with a statusCode: %w", err)
	}
	if v.StatusCode < 200 || v.StatusCode > 599 {
		return 0, fmt.Errorf("statusCode %d in a request template", v.StatusCode)
	}
	return v.StatusCode, nil
}

// matchesStatus tests an IntegrationResponseKey: $default or a pattern between slashes.
func matchesStatus(key string, status int) (match, fallback bool, err error) {
	if key == "$default" {
		return false, true, nil
	}
	if len(key) < 3 || key[0] != '/' || key[len(key)-1] != '/' {
		return false, false, fmt.Errorf("IntegrationResponseKey %q is neither $default nor /pattern/", key)
	}
	re, err := regexp.Compile("^(?:" + key[1:len(key)-1] + ")$")
	if err != nil {
		return false, false, fmt.Errorf("IntegrationResponseKey: %w", err)
	}
	return re.MatchString(strconv.Itoa(status)), false, nil
}
