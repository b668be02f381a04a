package template

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

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

// misfitting is what the YAML decoder says of a value that is not what is asked for: line 7: cannot unmarshal !!str `soon` into int.
var misfitting = regexp.MustCompile("line (\\d+): cannot unmarshal !!(\\w+)(?: `([^`]*)`)? into (\\S+)")

// misfit is an error about a value that does not fit, at its own line if that is known.
func misfit(line int, err error) error {
	if found := misfitting.FindStringSubmatch(err.Error()); found != nil {
		if own, err := strconv.Atoi(found[1]); err == nil && own > 0 {
			line = own
		}
	}
	return atLine(line, "%s", misfits(err))
}

// misfits says in words what the decoder says in names of types.
func misfits(err error) string {
	found := misfitting.FindStringSubmatch(err.Error())
	if found == nil {
		return err.Error()
	}
	value := found[3]
	if value == "" {
		value = map[string]string{"map": "an object", "seq": "a list"}[found[2]]
	}
	want := "text"
	switch kind := strings.TrimLeft(found[4], "*"); {
	case strings.HasPrefix(kind, "int"):
		want = "whole number"
	case strings.HasPrefix(kind, "float"):
		want = "number"
	case kind == "bool":
		return value + " is neither true nor false"
	case strings.HasPrefix(kind, "[]"):
		want = "list"
	case strings.ContainsAny(kind, ".{["):
		want = "object"
	}
	return value + " is no " + want
}
