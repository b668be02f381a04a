// Package vtl renders mapping templates in the Velocity Template Language, as API Gateway does. What the language has is at
// https://velocity.apache.org/engine/2.4/vtl-reference.html; what API Gateway puts into it is its user's: see "Mapping template and access
// logging variable reference for API Gateway".
//
// Understood are text, comments, references with properties, methods and indexes, #set, #if, #elseif, #else, #foreach, #break, #stop, and
// all operators. Macros and what would read other files are not: API Gateway documents neither. A template that asks for what is not here is
// an error with its line when it is read, as far as that can be seen then, and otherwise when it is rendered: rendering it wrongly would be
// worse.
//
// No Go library fits: the one there is (viant/velty) compiles templates against Go types, and what a template sees here is JSON.
package vtl

import (
	"fmt"
	"strings"
)

// Error is what is wrong in a template.
type Error struct {
	Line int // from 1
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

func errorf(line int, format string, args ...any) error {
	return &Error{Line: line, Text: fmt.Sprintf(format, args...)}
}

// Object is a value with methods and properties that are not those of Java's strings, numbers, lists and maps.
type Object interface {
	// Call runs a method. The error is for who writes the template.
	Call(method string, args []any) (any, error)
	// Get is a property; ok is false if there is none.
	Get(property string) (value any, ok bool)
}

// Template is a template that was read. It may be rendered from many goroutines at once.
type Template struct {
	body []node
}

// Methods are the methods that variables are known to have, by the variable's name without its dollar. Calls of other methods on these are
// errors when a template is read.
type Methods map[string][]string

// Parse reads a template. The error is an *[Error].
func Parse(text string, known Methods) (*Template, error) {
	p := &parser{text: text, known: known}
	body, err := p.block(0)
	if err != nil {
		return nil, err
	}
	return &Template{body: body}, nil
}

// maxOutput bounds what a template becomes: API Gateway's largest payload.
const maxOutput = 10 << 20

// Render gives the text. Variables are by name, without the dollar: nil, bool, int64, float64, string, *[List], *[Map] or an [Object]. They are
// not changed, but what they hold may be. The error is an *[Error].
func (t *Template) Render(variables map[string]any) (string, error) {
	r := &renderer{global: variables, local: map[string]any{}}
	if err := r.run(t.body); err != nil && err != errStop { //nolint:errorlint // it is that very value
		return "", err
	}
	return r.out.String(), nil
}

// node is a part of a template.
type node interface {
	render(r *renderer) error
}

// renderer is one rendering.
type renderer struct {
	global map[string]any
	local  map[string]any // what was set
	out    strings.Builder
}

func (r *renderer) run(body []node) error {
	for _, n := range body {
		if err := n.render(r); err != nil {
			return err
		}
		if r.out.Len() > maxOutput {
			return errorf(1, "the template becomes longer than %d bytes", maxOutput)
		}
	}
	return nil
}

func (r *renderer) variable(name string) (any, bool) {
	if v, ok := r.local[name]; ok {
		return v, true
	}
	v, ok := r.global[name]
	return v, ok
}
