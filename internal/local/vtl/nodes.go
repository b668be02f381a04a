package vtl

import (
	"errors"
	"maps"
	"strings"
)

// text is written as it is.
type text string

func (t text) render(r *renderer) error {
	r.out.WriteString(string(t))
	return nil
}

// reference is $name with what follows it.
type reference struct {
	line   int
	name   string
	quiet  bool
	steps  []step
	source string
}

// step is one property or method of a reference.
type step interface {
	of(r *renderer, v any) (any, error)
}

type property struct{ name string }

type method struct {
	name string
	args []expression
}

func (p *property) of(_ *renderer, v any) (any, error) { return propertyOf(v, p.name) }

func (m *method) of(r *renderer, v any) (any, error) {
	args := make([]any, len(m.args))
	for i, a := range m.args {
		var err error
		if args[i], err = a.value(r); err != nil {
			return nil, err
		}
	}
	return call(v, m.name, args)
}

// value is nil if the reference leads nowhere.
func (f *reference) value(r *renderer) (any, error) {
	v, _ := r.variable(f.name)
	for _, s := range f.steps {
		if v == nil {
			return nil, nil //nolint:nilnil // null is a value
		}
		var err error
		if v, err = s.of(r, v); err != nil {
			if _, ok := errors.AsType[*Error](err); ok {
				return nil, err
			}
			return nil, errorf(f.line, "%s: %v", f.source, err)
		}
	}
	return v, nil
}

// render writes the value. A reference that leads nowhere is left as it is written, unless it is quiet.
func (f *reference) render(r *renderer) error {
	v, err := f.value(r)
	switch {
	case err != nil:
		return err
	case v != nil:
		r.out.WriteString(Text(v))
	case !f.quiet:
		r.out.WriteString(f.source)
	}
	return nil
}

// quote is a reference behind backslashes. They quote it only if it leads somewhere.
type quote struct {
	slashes int
	ref     *reference
}

func (q *quote) render(r *renderer) error {
	v, err := q.ref.value(r)
	if err != nil {
		return err
	}
	n := q.slashes
	if v != nil {
		n /= 2
	}
	r.out.WriteString(strings.Repeat(`\`, n))
	if q.slashes%2 == 1 { // else the reference comes next
		r.out.WriteString(q.ref.source)
	}
	return nil
}

// set gives a variable, or a member of one, a value.
type set struct {
	line  int
	ref   *reference
	value expression
}

func (s *set) render(r *renderer) error {
	v, err := s.value.value(r)
	if err != nil {
		return err
	}
	if len(s.ref.steps) == 0 {
		r.local[s.ref.name] = v
		return nil
	}
	last := len(s.ref.steps) - 1
	owner := &reference{line: s.line, name: s.ref.name, steps: s.ref.steps[:last], source: s.ref.source}
	into, err := owner.value(r)
	if err != nil {
		return err
	}
	var key any
	switch step := s.ref.steps[last].(type) {
	case *property:
		key = step.name
	case *method:
		if step.name != "get" || len(step.args) != 1 {
			return errorf(s.line, "#set cannot set %s", s.ref.source)
		}
		if key, err = step.args[0].value(r); err != nil {
			return err
		}
	}
	if err := put(into, key, v); err != nil {
		return errorf(s.line, "#set(%s): %v", s.ref.source, err)
	}
	return nil
}

// branches are #if, #elseif and #else.
type branches struct{ list []branch }

type branch struct {
	when expression // nil: #else
	body []node
}

func (b *branches) render(r *renderer) error {
	for _, one := range b.list {
		if one.when != nil {
			v, err := one.when.value(r)
			if err != nil {
				return err
			}
			if !truth(v) {
				continue
			}
		}
		return r.run(one.body)
	}
	return nil
}

// jump is #break or #stop.
type jump string

var (
	errBreak = errors.New("#break outside of #foreach")
	errStop  = errors.New("stop")
)

func (j jump) render(*renderer) error {
	if j == "break" {
		return errBreak
	}
	return errStop
}

// maxLoop is how often a #foreach goes round: API Gateway's quota.
const maxLoop = 1000

type foreach struct {
	line            int
	item            string
	list            expression
	body, otherwise []node
}

func (f *foreach) render(r *renderer) error {
	v, err := f.list.value(r)
	if err != nil {
		return err
	}
	items, ok := itemsOf(v)
	if !ok {
		return errorf(f.line, "#foreach over %s, which is no list", kindOf(v))
	}
	if len(items) > maxLoop {
		return errorf(f.line, "#foreach goes round %d times, and API Gateway allows %d", len(items), maxLoop)
	}
	if len(items) == 0 {
		return r.run(f.otherwise)
	}
	before := maps.Clone(r.local)
	defer func() {
		for _, name := range []string{f.item, "foreach", "velocityCount"} {
			if v, ok := before[name]; ok {
				r.local[name] = v
			} else {
				delete(r.local, name)
			}
		}
	}()
	for i, item := range items {
		r.local[f.item], r.local["velocityCount"] = item, int64(i+1)
		r.local["foreach"] = NewMap("index", int64(i), "count", int64(i+1), "hasNext", i+1 < len(items), "first", i == 0, "last", i+1 == len(items))
		if err := r.run(f.body); errors.Is(err, errBreak) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}
