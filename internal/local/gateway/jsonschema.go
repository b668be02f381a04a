package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// schema is a JSON schema of draft 4, which is what API Gateway's models are. format is not checked; whether AWS does is UNCONFIRMED.
type schema struct {
	types      []string
	enum       []any
	ref        *schema // nothing else counts beside it
	properties map[string]*schema
	patterns   []patternSchema
	additional *schema // of properties that nothing else speaks of; nil: anything
	required   []string
	items      *schema
	tuple      []*schema
	rest       *schema // of items after the tuple; nil: anything
	unique     bool
	pattern    *regexp.Regexp
	min, max   *big.Rat
	openMin    bool // exclusiveMinimum
	openMax    bool
	multiple   *big.Rat
	counts     map[string]int // minLength and its like
	all        []*schema
	anyOf      []*schema
	one        []*schema
	not        *schema
	nothing    bool // additionalProperties: false
}

type patternSchema struct {
	name *regexp.Regexp
	of   *schema
}

// schemaCompiler resolves $ref.
type schemaCompiler struct {
	root   any
	models map[string]any // by name, for references to other models of the API
	done   map[string]*schema
	others map[string]*schema // by address of the model
}

func compileSchema(root any, models map[string]any) (*schema, error) {
	s, err := (&schemaCompiler{root: root, models: models, done: map[string]*schema{}, others: map[string]*schema{}}).compile(root)
	if err != nil {
		return nil, err
	}
	if s.endless(map[*schema]bool{}) {
		return nil, errors.New("the schema is defined by itself")
	}
	return s, nil
}

// endless finds a schema that would be checked against the same value again and again. To refer to itself for a part of the value is fine:
// values end.
func (s *schema) endless(seen map[*schema]bool) bool {
	if s == nil || seen[s] {
		return false
	}
	seen[s] = true
	if s.circular(map[*schema]bool{}) {
		return true
	}
	parts := slices.Concat(s.same(), s.tuple, []*schema{s.additional, s.items, s.rest}, slices.Collect(maps.Values(s.properties)))
	for _, p := range s.patterns {
		parts = append(parts, p.of)
	}
	return slices.ContainsFunc(parts, func(p *schema) bool { return p.endless(seen) })
}

func (s *schema) circular(above map[*schema]bool) bool {
	if above[s] {
		return true
	}
	above[s] = true
	defer delete(above, s)
	return slices.ContainsFunc(s.same(), func(p *schema) bool { return p.circular(above) })
}

// same are the schemas that are checked against the same value.
func (s *schema) same() []*schema {
	all := slices.Concat(s.all, s.anyOf, s.one)
	for _, p := range []*schema{s.ref, s.not} {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

func (c *schemaCompiler) compile(v any) (*schema, error) {
	s := &schema{}
	return s, c.fill(s, v)
}

func (c *schemaCompiler) fill(s *schema, v any) (err error) {
	m, ok := v.(map[string]any)
	if !ok {
		return errors.New("a schema is an object")
	}
	if ref, ok := m["$ref"].(string); ok {
		s.ref, err = c.reference(ref)
		return err
	}
	for _, keyword := range slices.Sorted(maps.Keys(m)) {
		if err := c.keyword(s, keyword, m[keyword]); err != nil {
			return fmt.Errorf("%s: %w", keyword, err)
		}
	}
	return nil
}

// reference follows "#/definitions/x", or the address of another model, whose last element is its name.
func (c *schemaCompiler) reference(ref string) (*schema, error) {
	path, local := strings.CutPrefix(ref, "#")
	target, done := c.root, c.done
	if !local {
		target = c.models[ref[strings.LastIndexByte(ref, '/')+1:]]
		path, done = "", c.others
	}
	if s := done[ref]; s != nil { // also one that is being compiled: schemas may refer to themselves
		return s, nil
	}
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if name == "" {
			continue
		}
		m, _ := target.(map[string]any)
		target = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	if target == nil {
		return nil, fmt.Errorf("%s leads to nothing", ref)
	}
	s := &schema{}
	done[ref] = s
	if !local { // its own references are to its own definitions
		other := &schemaCompiler{root: target, models: c.models, done: map[string]*schema{}, others: c.others}
		return s, other.fill(s, target)
	}
	return s, c.fill(s, target)
}

func (c *schemaCompiler) keyword(s *schema, name string, v any) (err error) {
	switch name {
	case "type":
		s.types, err = texts(v)
	case "enum":
		s.enum, _ = v.([]any)
	case "required":
		s.required, err = texts(v)
	case "properties":
		s.properties, err = c.named(v)
	case "patternProperties":
		err = c.patternProperties(s, v)
	case "additionalProperties":
		s.additional, err = c.additional(v)
	case "items":
		if _, ok := v.([]any); ok {
			s.tuple, err = c.list(v)
		} else {
			s.items, err = c.compile(v)
		}
	case "additionalItems":
		s.rest, err = c.additional(v)
	case "allOf":
		s.all, err = c.list(v)
	case "anyOf":
		s.anyOf, err = c.list(v)
	case "oneOf":
		s.one, err = c.list(v)
	case "not":
		s.not, err = c.compile(v)
	case "pattern":
		s.pattern, err = patternOf(v)
	case "uniqueItems":
		s.unique, _ = v.(bool)
	case "dependencies":
		err = errors.New("is not understood")
	default:
		err = s.number(name, v)
	}
	return err
}

// number reads the keywords that are about numbers; any others say nothing about a value.
func (s *schema) number(name string, v any) (err error) {
	switch name {
	case "minimum":
		s.min, err = rat(v)
	case "maximum":
		s.max, err = rat(v)
	case "exclusiveMinimum":
		s.openMin, _ = v.(bool)
	case "exclusiveMaximum":
		s.openMax, _ = v.(bool)
	case "multipleOf":
		if s.multiple, err = rat(v); err == nil && s.multiple.Sign() <= 0 {
			err = errors.New("must be more than 0")
		}
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
		var r *big.Rat
		if r, err = rat(v); err != nil {
			return err
		}
		if s.counts == nil {
			s.counts = map[string]int{}
		}
		s.counts[name] = int(r.Num().Int64())
	}
	return err
}

func (c *schemaCompiler) patternProperties(s *schema, v any) error {
	named, err := c.named(v)
	for _, name := range slices.Sorted(maps.Keys(named)) {
		re, bad := regexp.Compile(name)
		if bad != nil {
			return bad
		}
		s.patterns = append(s.patterns, patternSchema{re, named[name]})
	}
	return err
}

// additional reads true, false or a schema.
func (c *schemaCompiler) additional(v any) (*schema, error) {
	if allowed, ok := v.(bool); ok {
		if allowed {
			return nil, nil //nolint:nilnil // anything
		}
		return &schema{nothing: true}, nil
	}
	return c.compile(v)
}

func (c *schemaCompiler) named(v any) (map[string]*schema, error) {
	m, _ := v.(map[string]any)
	out := map[string]*schema{}
	for name, item := range m {
		s, err := c.compile(item)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = s
	}
	return out, nil
}

func (c *schemaCompiler) list(v any) (out []*schema, err error) {
	items, _ := v.([]any)
	for _, item := range items {
		s, err := c.compile(item)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func texts(v any) (out []string, err error) {
	if s, ok := v.(string); ok {
		return []string{s}, nil
	}
	items, _ := v.([]any)
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return nil, errors.New("is not text")
		}
		out = append(out, s)
	}
	return out, nil
}

func patternOf(v any) (*regexp.Regexp, error) {
	s, _ := v.(string)
	return regexp.Compile(s)
}

func rat(v any) (*big.Rat, error) {
	n, _ := v.(json.Number)
	if len(n) > 64 { // 1e999999999 would take all memory
		return nil, errors.New("is no number that can be checked")
	}
	if f, err := n.Float64(); err != nil || f > 1e100 || f < -1e100 || f != 0 && f < 1e-100 && f > -1e-100 {
		return nil, errors.New("is no number that can be checked")
	}
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		return nil, errors.New("is no number")
	}
	return r, nil
}
