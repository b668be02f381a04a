package template

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// resolve returns n with every intrinsic function replaced by its value; nil stands for AWS::NoValue.
func (t *source) resolve(n *yaml.Node, depth int) (*yaml.Node, error) {
	if n = follow(n); n == nil {
		return nil, errors.New("template: aliases go in a circle")
	}
	if t.steps++; depth > maxResolveDepth || t.steps > maxResolveSteps {
		return nil, lineError(n, "the template is nested too deeply or too large")
	}
	if name, arg, ok := intrinsic(n); ok {
		return t.call(name, arg, depth+1)
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return t.scalar(n), nil
	case yaml.MappingNode, yaml.SequenceNode:
		return t.collection(n, depth)
	default:
		return nil, lineError(n, "this cannot be read")
	}
}

// collection resolves the values of a mapping or sequence.
func (t *source) collection(n *yaml.Node, depth int) (*yaml.Node, error) {
	out := &yaml.Node{Kind: n.Kind, Line: n.Line}
	isMap := n.Kind == yaml.MappingNode
	for i, item := range n.Content {
		if isMap && i%2 == 0 {
			continue
		}
		v, err := t.resolve(item, depth+1)
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		if isMap {
			out.Content = append(out.Content, n.Content[i-1])
		}
		out.Content = append(out.Content, v)
	}
	return out, nil
}

// scalar drops quotes and tags, but a quoted null or empty text stays text.
func (t *source) scalar(n *yaml.Node) *yaml.Node {
	out := text(n.Value, n.Line)
	if n.Tag == "!!str" && (n.Value == "" || n.Value == "~" || strings.EqualFold(n.Value, "null")) {
		out.Tag = n.Tag
	}
	return out
}

// intrinsic recognizes a function in its short form (!Ref X) and its long form ({Ref: X}).
func intrinsic(n *yaml.Node) (name string, arg *yaml.Node, ok bool) {
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") && len(n.Tag) > 1 {
		bare := *n
		bare.Tag = ""
		return n.Tag[1:], &bare, true
	}
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
		key := n.Content[0].Value
		if fn, ok := strings.CutPrefix(key, "Fn::"); ok {
			return fn, n.Content[1], true
		}
		if key == "Ref" {
			return key, n.Content[1], true
		}
	}
	return "", nil, false
}

// call runs one intrinsic function.
func (t *source) call(name string, arg *yaml.Node, depth int) (*yaml.Node, error) {
	if arg = follow(arg); arg == nil {
		return nil, errors.New("template: aliases go in a circle")
	}
	switch name {
	case "Ref":
		return t.ref(arg.Value, arg)
	case "GetAtt":
		return t.getAtt(arg, depth)
	case "Sub":
		return t.sub(arg, depth)
	case "If":
		if arg.Kind != yaml.SequenceNode || len(arg.Content) != 3 {
			return nil, lineError(arg, "If needs a condition and two values")
		}
		ok, err := t.condition(arg.Content[0], depth)
		if err != nil {
			return nil, err
		}
		if ok {
			return t.resolve(arg.Content[1], depth)
		}
		return t.resolve(arg.Content[2], depth)
	case "ImportValue":
		v, err := t.resolve(arg, depth)
		if err != nil {
			return nil, err
		}
		t.warnf(arg.Line, "the value that another stack exports as %s is unknown; %q stands for it", value(v), "import:"+value(v))
		return text("import:"+value(v), arg.Line), nil
	}
	v, err := t.resolve(arg, depth)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, lineError(arg, "%s of AWS::NoValue", name)
	}
	switch name {
	case "Join":
		return join(v)
	case "Select":
		return selectItem(v)
	case "Split":
		return split(v)
	case "FindInMap":
		return t.findInMap(v)
	case "Base64":
		return text(base64.StdEncoding.EncodeToString([]byte(value(v))), v.Line), nil
	case "GetAZs":
		return t.zones(v), nil
	case "Length":
		return text(strconv.Itoa(len(v.Content)), v.Line), nil
	case "ToJsonString":
		return toJSON(v)
	case "Condition", "Equals", "And", "Or", "Not":
		ok, err := t.condition(&yaml.Node{Kind: arg.Kind, Tag: "!" + name, Value: arg.Value, Content: arg.Content, Line: arg.Line}, depth)
		return text(strconv.FormatBool(ok), arg.Line), err
	}
	return nil, lineError(arg, "the function %s is not understood here", name)
}

func value(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	return n.Value
}

// sub replaces ${Name}, ${Resource.Attribute} and the variables of the long form; ${!X} is ${X}.
func (t *source) sub(arg *yaml.Node, depth int) (*yaml.Node, error) {
	format, vars := arg.Value, map[string]string{}
	if arg.Kind == yaml.SequenceNode {
		if len(arg.Content) != 2 {
			return nil, lineError(arg, "Sub needs a text and variables")
		}
		format = arg.Content[0].Value
		for key, v := range pairs(arg.Content[1]) {
			v, err := t.resolve(v, depth)
			if err != nil {
				return nil, err
			}
			vars[key.Value] = value(v)
		}
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(format, "${")
		out.WriteString(before)
		if !found {
			return text(out.String(), arg.Line), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, lineError(arg, "Sub has a ${ without }")
		}
		format = after
		v, err := t.variable(strings.TrimSpace(name), vars, arg.Line, depth)
		if err != nil {
			return nil, err
		}
		out.WriteString(v)
	}
}

// variable is the value of one ${name} in a Sub.
func (t *source) variable(name string, vars map[string]string, line, depth int) (string, error) {
	if literal, ok := strings.CutPrefix(name, "!"); ok {
		return "${" + literal + "}", nil
	}
	if v, ok := vars[name]; ok {
		return v, nil
	}
	n := text(name, line)
	var err error
	if strings.Contains(name, ".") {
		n, err = t.getAtt(n, depth)
	} else {
		n, err = t.ref(name, n)
	}
	return value(n), err
}

func join(v *yaml.Node) (*yaml.Node, error) {
	if len(v.Content) != 2 {
		return nil, lineError(v, "Join needs a separator and a list")
	}
	var parts []string
	for _, item := range v.Content[1].Content {
		parts = append(parts, item.Value)
	}
	return text(strings.Join(parts, v.Content[0].Value), v.Line), nil
}

func selectItem(v *yaml.Node) (*yaml.Node, error) {
	if len(v.Content) != 2 {
		return nil, lineError(v, "Select needs an index and a list")
	}
	items := v.Content[1].Content
	i, err := strconv.Atoi(v.Content[0].Value)
	if err != nil || i < 0 || i >= len(items) {
		return nil, lineError(v, "Select has no item %s", v.Content[0].Value)
	}
	return items[i], nil
}

func split(v *yaml.Node) (*yaml.Node, error) {
	if len(v.Content) != 2 || v.Content[0].Value == "" {
		return nil, lineError(v, "Split needs a separator and a text")
	}
	out := &yaml.Node{Kind: yaml.SequenceNode, Line: v.Line}
	for part := range strings.SplitSeq(v.Content[1].Value, v.Content[0].Value) {
		out.Content = append(out.Content, text(part, v.Line))
	}
	return out, nil
}

// findInMap looks a value up. A mapping {DefaultValue: X} at the end says what to take if there is none.
func (t *source) findInMap(v *yaml.Node) (*yaml.Node, error) {
	keys := v.Content
	var fallback *yaml.Node
	if n := len(keys); n > 0 && keys[n-1].Kind == yaml.MappingNode {
		keys, fallback = keys[:n-1], child(keys[n-1], "DefaultValue")
	}
	n := t.mappings
	for _, key := range keys {
		if n = child(n, key.Value); n == nil {
			if fallback != nil {
				return fallback, nil
			}
			return nil, lineError(v, "FindInMap finds nothing at %s", key.Value)
		}
	}
	if n == nil {
		return nil, lineError(v, "the template has no Mappings")
	}
	return t.resolve(n, maxResolveDepth/2)
}

// zones makes up the availability zones of a region.
func (t *source) zones(region *yaml.Node) *yaml.Node {
	out := &yaml.Node{Kind: yaml.SequenceNode, Line: region.Line}
	for _, zone := range []string{"a", "b", "c"} {
		out.Content = append(out.Content, text(cmp.Or(region.Value, t.pseudo["AWS::Region"])+zone, region.Line))
	}
	return out
}

func toJSON(v *yaml.Node) (*yaml.Node, error) {
	var data any
	if err := v.Decode(&data); err != nil {
		return nil, lineError(v, "ToJsonString: %v", err)
	}
	out, err := json.Marshal(data)
	if err != nil {
		return nil, lineError(v, "ToJsonString: %v", err)
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(out), Line: v.Line}, nil
}
