package template

import (
	"cmp"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Error says where in a template something is wrong, or asks for what is not done here.
type Error struct {
	File     string // empty if only the text is known
	Line     int
	Resource string // logical id, if known
	Text     string
}

// Error is one line: file:12: Resource: what is wrong.
func (e *Error) Error() string {
	at := fmt.Sprintf("template line %d: ", e.Line)
	if e.File != "" {
		at = fmt.Sprintf("%s:%d: ", e.File, e.Line)
	}
	if e.Resource != "" {
		at += e.Resource + ": "
	}
	return at + e.Text
}

// inFile names the file in an error that is about a template.
func inFile(err error, file string) error {
	if e, ok := errors.AsType[*Error](err); ok {
		e.File = cmp.Or(e.File, file)
		return err
	}
	if err != nil && file != "" { // an error without a line
		return fmt.Errorf("%s: %w", file, err)
	}
	return err
}

func (r *resource) errorf(format string, args ...any) error {
	return &Error{Line: r.line, Resource: r.id, Text: fmt.Sprintf(format, args...)}
}

func lineError(n *yaml.Node, format string, args ...any) error {
	return atLine(n.Line, format, args...)
}

func atLine(line int, format string, args ...any) error {
	return &Error{Line: line, Text: fmt.Sprintf(format, args...)}
}
