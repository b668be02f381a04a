package gateway

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// expression is a selection expression of any kind: text and variables in turn; see "WebSocket selection expressions".
type expression []expressionPart

// expressionPart is literal text, or the name of a variable without its dollar.
type expressionPart struct {
	literal string
	name    string
}

// parseExpression reads one variable ("$request.body.action"), or text with variables in braces and escaped dollars.
func parseExpression(expr string) (expression, error) {
	if expr == "" {
		return nil, errors.New("is empty")
	}
	if strings.HasPrefix(expr, "$") && !strings.HasPrefix(expr, "${") {
		return expression{{name: expr[1:]}}, nil
	}
	var out expression
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			out = append(out, expressionPart{literal: literal.String()})
			literal.Reset()
		}
	}
	for expr != "" {
		switch {
		case strings.HasPrefix(expr, `\$`):
			literal.WriteByte('$')
			expr = expr[2:]
		case strings.HasPrefix(expr, "${"):
			name, rest, ok := strings.Cut(expr[2:], "}")
			if !ok {
				return nil, errors.New("has a ${ without }")
			}
			flush()
			out = append(out, expressionPart{name: name})
			expr = rest
		case expr[0] == '$':
			return nil, fmt.Errorf("has a variable without braces among other text: %q", expr)
		default:
			literal.WriteByte(expr[0])
			expr = expr[1:]
		}
	}
	flush()
	return out, nil
}

// scope is what variables can be about.
type scope struct {
	e       exchange
	message []byte     // what the client sent: $request.body
	input   []byte     // $input: the message in a request template, the backend's answer in a response template
	status  int        // of that answer
	at      *handshake // $connect's; nil for everything else
}

// understood tests a variable before anybody depends on it.
func understood(name string) error {
	for _, prefix := range []string{"request.body", "integration.response.body"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			_, err := parsePath(rest)
			return err
		}
	}
	if name == statusVariable || strings.HasPrefix(name, "context.") || strings.HasPrefix(name, "stageVariables.") {
		return nil
	}
	return fmt.Errorf("uses $%s, which is not emulated", name)
}

const statusVariable = "integration.response.statuscode"

// append appends the value of a variable.
func (s scope) append(b []byte, name string) []byte {
	if name == statusVariable {
		return strconv.AppendInt(b, int64(s.status), 10)
	}
	if rest, ok := strings.CutPrefix(name, "context."); ok {
		return append(b, s.e.context(rest)...)
	}
	if rest, ok := strings.CutPrefix(name, "stageVariables."); ok {
		return append(b, s.e.conn.srv.api().Variables[rest]...)
	}
	data := s.message
	rest, ok := strings.CutPrefix(name, "request.body")
	if !ok {
		data, rest = s.input, strings.TrimPrefix(name, "integration.response.body")
	}
	path, err := parsePath(rest)
	if err != nil { // understood has refused it
		return b
	}
	raw, _ := lookup(data, path)
	return appendText(b, raw)
}

func (s scope) key(expr expression) string {
	var b []byte
	for _, p := range expr {
		if p.name == "" {
			b = append(b, p.literal...)
		} else {
			b = s.append(b, p.name)
		}
	}
	return string(b)
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
		return c.srv.api().Stage
	case "apiId":
		return c.srv.api().APIID
	case "domainName":
		return c.domain
	case "eventType":
		return e.eventType()
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

func (e exchange) eventType() string {
	switch e.route.key {
	case "$connect":
		return "CONNECT"
	case "$disconnect":
		return "DISCONNECT"
	}
	return "MESSAGE"
}
