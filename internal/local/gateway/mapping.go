package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/local/vtl"
)

// templates are the mapping templates of a request or a response, and how one of them is chosen.
type templates struct {
	byKey     map[string]mappingTemplate
	selection expression // nil: $default
}

// mappingTemplate is one that was read, with the line where it begins.
type mappingTemplate struct {
	*vtl.Template

	key  string
	line int
}

// lineError is an error about a line of the template that the API comes from.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

// at says of a mapping template's error which template it is about, and where it is in the API's.
func (t mappingTemplate) at(err error) error {
	line := t.line
	if wrong, ok := errors.AsType[*vtl.Error](err); ok {
		line += wrong.Line - 1
	}
	return &lineError{line, fmt.Errorf("the mapping template %s: %w", t.key, err)}
}

func newTemplates(texts map[string]template.Text, selection string) (t templates, err error) {
	t.byKey = map[string]mappingTemplate{}
	known := vtl.Methods{"util": vtl.UtilMethods(), "input": inputMethods()}
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		one := mappingTemplate{key: key, line: texts[key].Line}
		if one.Template, err = vtl.Parse(texts[key].Value, known); err != nil {
			return t, one.at(err)
		}
		t.byKey[key] = one
	}
	if selection == "" {
		return t, nil
	}
	if t.selection, err = parseExpression(selection); err != nil {
		return t, fmt.Errorf("TemplateSelectionExpression %w", err)
	}
	for _, p := range t.selection {
		if p.name == "" {
			continue
		}
		if err := understood(p.name); err != nil {
			return t, fmt.Errorf("TemplateSelectionExpression %w", err)
		}
	}
	return t, nil
}

// pick chooses: the template of the selected key, else $default, else the only one there is, because many templates have one under a
// content type, as REST APIs do (UNCONFIRMED).
func (t templates) pick(s scope) (mappingTemplate, bool) {
	for _, key := range []string{s.key(t.selection), "$default"} {
		if r, ok := t.byKey[key]; ok {
			return r, true
		}
	}
	if len(t.byKey) == 1 {
		for _, r := range t.byKey {
			return r, true
		}
	}
	return mappingTemplate{}, false
}

// render gives the text that a template becomes.
func (t mappingTemplate) render(s scope) ([]byte, error) {
	variables := map[string]any{
		"input": input{s}, "util": vtl.Util{}, "context": &contextVariable{scope: s}, "stageVariables": s.stageVariables(),
	}
	text, err := t.Render(variables)
	if err != nil {
		return nil, t.at(err)
	}
	return []byte(text), nil
}

func (s scope) stageVariables() *vtl.Map {
	m := vtl.NewMap()
	all := s.e.conn.srv.api().Variables
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m.Put(name, all[name])
	}
	return m
}

// input is the variable $input; see "$input variables" in the "Mapping template and access logging variable reference for API Gateway".
type input struct{ scope scope }

func inputMethods() []string { return []string{"json", "path", "params"} }

// Get is the body.
func (in input) Get(property string) (any, bool) {
	if property == "body" {
		return string(in.scope.input), true
	}
	return nil, false
}

// Call runs a method. What is not there is an empty text.
func (in input) Call(method string, args []any) (any, error) {
	text := ""
	if len(args) > 0 {
		text = vtl.Text(args[0])
	}
	switch {
	case method == "params" && len(args) == 0:
		return in.params(), nil
	case len(args) != 1:
		return nil, fmt.Errorf("%s takes one argument", method)
	case method == "params":
		return in.param(text), nil
	}
	path, ok := strings.CutPrefix(text, "$")
	if !ok {
		return nil, fmt.Errorf("the path %s does not begin with $", text)
	}
	steps, err := parsePath(path)
	if err != nil {
		return nil, err
	}
	raw, _ := lookup(in.scope.input, steps)
	switch {
	case len(raw) == 0:
		return "", nil
	case method == "json":
		return string(raw), nil
	}
	v, err := vtl.Decode(raw)
	if v == nil && err == nil {
		return "", nil
	}
	return v, err
}

// params are what came with the handshake: a message has none.
func (in input) params() *vtl.Map {
	header, query := vtl.NewMap(), vtl.NewMap()
	if at := in.scope.at; at != nil {
		for _, h := range at.headers(false, at.names) {
			header.Put(h.name, h.values[len(h.values)-1])
		}
		for _, name := range slices.Sorted(maps.Keys(at.query)) {
			query.Put(name, last(at.query, name))
		}
	}
	return vtl.NewMap("path", vtl.NewMap(), "querystring", query, "header", header)
}

// param is one of the query string, else a header.
func (in input) param(name string) string {
	at := in.scope.at
	switch {
	case at == nil:
		return ""
	case at.query.Has(name):
		return last(at.query, name)
	}
	return at.r.Header.Get(name)
}

func last(query url.Values, name string) string { return query[name][len(query[name])-1] }

// contextVariable is $context, or a part of it: "identity.".
type contextVariable struct {
	scope   scope
	prefix  string
	message string // the messageId, once it was asked for
}

// Get is a variable. One that there is not is an empty text.
func (c *contextVariable) Get(property string) (any, bool) {
	name := c.prefix + property
	switch name {
	case "identity", "authorizer", "error":
		return &contextVariable{scope: c.scope, prefix: name + "."}, true
	case "messageId":
		if c.message == "" && c.scope.e.eventType() == "MESSAGE" {
			c.message = newID()
		}
		return c.message, true
	case "requestTimeEpoch":
		return c.scope.e.at.UnixMilli(), true
	case "connectedAt":
		return c.scope.e.conn.connectedAt, true
	case "status":
		return int64(c.scope.status), true
	}
	return c.scope.e.context(name), true
}

// Call is Get by the method of that name.
func (c *contextVariable) Call(method string, args []any) (any, error) {
	if method != "get" || len(args) != 1 {
		return nil, fmt.Errorf("the method %s is not emulated", method)
	}
	v, _ := c.Get(vtl.Text(args[0]))
	return v, nil
}

// String is how $context.authorizer is written: as JSON (UNCONFIRMED).
func (c *contextVariable) String() string {
	if c.prefix == "authorizer." && json.Valid(c.scope.e.conn.authorizer) {
		return string(c.scope.e.conn.authorizer)
	}
	return ""
}
