package vtl

import (
	"math"
	"strings"
)

// expression is what has a value.
type expression interface {
	value(r *renderer) (any, error)
}

type literal struct{ of any }

func (l literal) value(*renderer) (any, error) { return l.of, nil }

// interpolated is a text in double quotes with references in it.
type interpolated struct{ body []node }

func (i *interpolated) value(r *renderer) (any, error) {
	inner := &renderer{global: r.global, local: r.local}
	err := inner.run(i.body)
	return inner.out.String(), err
}

type listing struct{ of []expression }

func (l *listing) value(r *renderer) (any, error) {
	out := &List{}
	for _, e := range l.of {
		v, err := e.value(r)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
	}
	return out, nil
}

// span is [1..5].
type span struct {
	line        int
	first, last expression
}

func (s *span) value(r *renderer) (any, error) {
	var ends [2]int64
	for i, e := range []expression{s.first, s.last} {
		v, err := e.value(r)
		if err != nil {
			return nil, err
		}
		n, ok := v.(int64)
		if !ok {
			return nil, errorf(s.line, "a range from or to %s", kindOf(v))
		}
		ends[i] = n
	}
	step := int64(1)
	if ends[1] < ends[0] {
		step = -1
	}
	out := &List{}
	for n := ends[0]; ; n += step {
		if len(out.Items) > maxLoop {
			return nil, errorf(s.line, "a range of more than %d numbers", maxLoop)
		}
		out.Items = append(out.Items, n)
		if n == ends[1] {
			return out, nil
		}
	}
}

type mapping struct{ keys, values []expression }

func (m *mapping) value(r *renderer) (any, error) {
	out := &Map{}
	for i := range m.keys {
		key, err := m.keys[i].value(r)
		if err != nil {
			return nil, err
		}
		v, err := m.values[i].value(r)
		if err != nil {
			return nil, err
		}
		out.Put(Text(key), v)
	}
	return out, nil
}

type not struct{ of expression }

func (n *not) value(r *renderer) (any, error) {
	v, err := n.of.value(r)
	return !truth(v), err
}

type operation struct {
	line        int
	operator    string
	left, right expression
}

func (o *operation) value(r *renderer) (any, error) {
	left, err := o.left.value(r)
	if err != nil {
		return nil, err
	}
	switch o.operator {
	case "&&", "and":
		if !truth(left) {
			return false, nil
		}
	case "||", "or":
		if truth(left) {
			return true, nil
		}
	}
	right, err := o.right.value(r)
	if err != nil {
		return nil, err
	}
	switch o.operator {
	case "&&", "and", "||", "or":
		return truth(right), nil
	case "==", "eq":
		return equal(left, right), nil
	case "!=", "ne":
		return !equal(left, right), nil
	case "<", "lt", "<=", "le", ">", "gt", ">=", "ge":
		return o.compare(left, right)
	}
	return o.calculate(left, right)
}

func (o *operation) compare(left, right any) (any, error) {
	a, ok := number(left)
	b, too := number(right)
	if !ok || !too {
		return nil, errorf(o.line, "%s compares %s with %s, and only numbers have an order", o.operator, kindOf(left), kindOf(right))
	}
	switch o.operator {
	case "<", "lt":
		return a < b, nil
	case "<=", "le":
		return a <= b, nil
	case ">", "gt":
		return a > b, nil
	}
	return a >= b, nil
}

// calculate is Velocity's arithmetic: whole numbers stay whole, + puts texts together, and what cannot be calculated is null.
func (o *operation) calculate(left, right any) (any, error) {
	if o.operator == "+" {
		_, isText := left.(string)
		if _, too := right.(string); isText || too {
			return Text(left) + Text(right), nil
		}
	}
	a, whole := left.(int64)
	b, too := right.(int64)
	if whole && too {
		switch o.operator {
		case "+":
			return a + b, nil
		case "-":
			return a - b, nil
		case "*":
			return a * b, nil
		}
		if b == 0 {
			return nil, nil //nolint:nilnil // as Velocity has it
		}
		if o.operator == "/" {
			return a / b, nil
		}
		return a % b, nil
	}
	x, ok := number(left)
	y, okay := number(right)
	if !ok || !okay {
		return nil, errorf(o.line, "%s with %s and %s", o.operator, kindOf(left), kindOf(right))
	}
	switch o.operator {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	}
	if y == 0 {
		return nil, nil //nolint:nilnil // as Velocity has it
	}
	if o.operator == "/" {
		return x / y, nil
	}
	return math.Mod(x, y), nil
}

// truth is what #if makes of a value: null, false, the empty text, zero and what is empty are false.
func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case int64:
		return v != 0
	case float64:
		return v != 0
	case *List:
		return len(v.Items) > 0
	case *Map:
		return len(v.keys) > 0
	}
	return true
}

// equal compares numbers by value and everything of different kinds by its text, as Velocity does.
func equal(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	x, ok := number(a)
	y, too := number(b)
	if ok && too {
		return x == y
	}
	return strings.Compare(Text(a), Text(b)) == 0
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
