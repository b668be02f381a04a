package template

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parameter is a template's parameter with its value.
type parameter struct {
	name  string
	kind  string
	line  int
	value *yaml.Node // nil: it has none, which is an error where it is used
	ssm   bool       // the value is the name of what AWS would look up
}

// parameterRules are what a value must obey.
type parameterRules struct {
	Type        string   `yaml:"Type"`
	Allowed     []string `yaml:"AllowedValues"`
	Pattern     string   `yaml:"AllowedPattern"`
	MinLength   *int     `yaml:"MinLength"`
	MaxLength   *int     `yaml:"MaxLength"`
	MinValue    *float64 `yaml:"MinValue"`
	MaxValue    *float64 `yaml:"MaxValue"`
	Description string   `yaml:"ConstraintDescription"`
	NoEcho      bool     `yaml:"NoEcho"`
}

func (t *source) readParameters(n *yaml.Node, overrides map[string]string) error {
	for key, decl := range pairs(n) {
		p := &parameter{name: key.Value, line: key.Line}
		if err := t.readParameter(p, follow(decl), overrides); err != nil {
			return err
		}
		t.parameters[p.name] = p
	}
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if _, ok := t.pseudo[name]; ok {
			t.pseudo[name] = overrides[name]
		} else if t.parameters[name] == nil {
			return fmt.Errorf("template: parameter %s is given but not declared", name)
		}
	}
	return nil
}

func (t *source) readParameter(p *parameter, decl *yaml.Node, overrides map[string]string) error {
	var rules parameterRules
	if decl != nil && decl.Kind == yaml.MappingNode {
		plain, err := t.collection(decl, 0) // without quotes: MinLength: "3" is a number
		if err == nil {
			err = plain.Decode(&rules)
		}
		if err != nil {
			return lineError(decl, "parameter %s: %v", p.name, err)
		}
	}
	p.kind = rules.Type
	given, overridden := overrides[p.name]
	if d := child(decl, "Default"); overridden {
		p.value = text(given, p.line)
	} else if d != nil {
		p.value = text(d.Value, d.Line)
		p.ssm = strings.HasPrefix(p.kind, "AWS::SSM::Parameter::")
	} else if v, ok := rules.standIn(p.name); ok {
		t.warnf(p.line, "parameter %s has no default and no value was given: it is %q here; another one is --parameter %s=VALUE", p.name, v, p.name)
		p.value = text(v, p.line)
	}
	if p.value == nil || p.ssm {
		return nil
	}
	for _, v := range p.values() {
		if err := rules.check(v); err != nil {
			if rules.Description != "" {
				err = fmt.Errorf("%w: %s", err, rules.Description)
			}
			return lineError(p.value, "parameter %s: %v", p.name, err)
		}
	}
	if rules.Pattern != "" {
		if _, err := rules.pattern(); err != nil {
			t.warnf(p.line, "parameter %s: the AllowedPattern is not understood and not checked", p.name)
		}
	}
	return nil
}

func (p *parameter) isList() bool {
	return p.kind == "CommaDelimitedList" || strings.HasPrefix(p.kind, "List<")
}

// values are the items of a list, or the one value.
func (p *parameter) values() []string {
	if !p.isList() {
		return []string{p.value.Value}
	}
	var out []string
	for item := range strings.SplitSeq(p.value.Value, ",") {
		out = append(out, strings.TrimSpace(item))
	}
	return out
}

// node is what Ref gives.
func (p *parameter) node(line int) *yaml.Node {
	if !p.isList() {
		return text(p.value.Value, line)
	}
	out := &yaml.Node{Kind: yaml.SequenceNode, Line: line}
	for _, item := range p.values() {
		out.Content = append(out.Content, text(item, line))
	}
	return out
}

// pattern must match all of a value; the examples of the CloudFormation user guide are written so.
func (r parameterRules) pattern() (*regexp.Regexp, error) {
	return regexp.Compile("^(?:" + r.Pattern + ")$")
}

// standIn is a value for a parameter that has none, on which AWS would insist: its own name, if that may be. A secret has none, so that
// whatever needs it says so.
func (r parameterRules) standIn(name string) (string, bool) {
	v := name
	switch {
	case r.NoEcho:
		return "", false
	case len(r.Allowed) > 0:
		v = r.Allowed[0]
	case (r.Type == "Number" || r.Type == "List<Number>") && r.MinValue != nil:
		v = strconv.FormatFloat(*r.MinValue, 'f', -1, 64)
	case r.Type == "Number" || r.Type == "List<Number>":
		v = "1"
	}
	return v, r.check(v) == nil
}

func (r parameterRules) check(v string) error {
	if len(r.Allowed) > 0 && !slices.Contains(r.Allowed, v) {
		return fmt.Errorf("%q is not one of %s", v, strings.Join(r.Allowed, ", "))
	}
	if re, err := r.pattern(); err == nil && r.Pattern != "" && !re.MatchString(v) {
		return fmt.Errorf("%q does not match %s", v, r.Pattern)
	}
	if r.MinLength != nil && len(v) < *r.MinLength || r.MaxLength != nil && len(v) > *r.MaxLength {
		return fmt.Errorf("%q is too short or too long", v)
	}
	if r.Type != "Number" && r.Type != "List<Number>" {
		return nil
	}
	number, err := strconv.ParseFloat(v, 64)
	if err != nil {
		return fmt.Errorf("%q is no number", v)
	}
	if r.MinValue != nil && number < *r.MinValue || r.MaxValue != nil && number > *r.MaxValue {
		return fmt.Errorf("%s is too small or too large", v)
	}
	return nil
}
