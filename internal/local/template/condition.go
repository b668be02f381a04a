package template

import (
	"errors"

	"go.yaml.in/yaml/v3"
)

// condition evaluates a name from Conditions or a condition function.
func (t *source) condition(n *yaml.Node, depth int) (bool, error) {
	if n = follow(n); n == nil || depth > maxResolveDepth {
		return false, errors.New("template: conditions go in a circle")
	}
	if t.steps++; t.steps > maxResolveSteps {
		return false, lineError(n, "the template is too large")
	}
	name, arg, ok := intrinsic(n)
	if !ok {
		if c := child(n, "Condition"); c != nil {
			n = c
		}
		def, known := t.conditions[n.Value]
		if !known {
			return false, lineError(n, "condition %q is not declared", n.Value)
		}
		return t.condition(def, depth+1)
	}
	if name == "Condition" {
		return t.condition(&yaml.Node{Kind: yaml.ScalarNode, Value: arg.Value, Line: arg.Line}, depth+1)
	}
	return t.combine(name, follow(arg), depth)
}

// combine evaluates a condition function.
func (t *source) combine(name string, arg *yaml.Node, depth int) (bool, error) {
	if arg == nil || arg.Kind != yaml.SequenceNode {
		return false, errors.New("template: a condition function needs a list")
	}
	items := arg.Content
	switch name {
	case "Equals":
		if len(items) != 2 {
			return false, lineError(arg, "Equals needs two values")
		}
		a, err := t.resolve(items[0], depth+1)
		if err != nil {
			return false, err
		}
		b, err := t.resolve(items[1], depth+1)
		return err == nil && value(a) == value(b), err
	case "Not":
		if len(items) != 1 {
			return false, lineError(arg, "Not needs one condition")
		}
		ok, err := t.condition(items[0], depth+1)
		return !ok, err
	case "And", "Or":
		for _, item := range items {
			ok, err := t.condition(item, depth+1)
			if err != nil || ok == (name == "Or") {
				return ok, err
			}
		}
		return name == "And", nil
	}
	return false, lineError(arg, "the condition function %s is not understood", name)
}
