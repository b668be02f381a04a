package emulator

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// template is a CloudFormation template whose intrinsic functions are resolved where they are read and nowhere else: what the emulator
// does not use may hold what it does not understand.
type template struct {
	pseudo     map[string]string
	parameters map[string]*yaml.Node // values
	conditions map[string]*yaml.Node
	mappings   *yaml.Node
	globals    *yaml.Node
	resources  []*resource // in the template's order, without those whose condition is false
	byID       map[string]*resource

	steps int // nodes resolved: a bound against alias bombs
}

const (
	maxResolveDepth = 64
	maxResolveSteps = 200_000
)

type resource struct {
	id        string
	kind      string
	line      int
	condition string
	props     *yaml.Node // mapping, nil if there are none
}

// templateError says where in the template something is wrong.
type templateError struct {
	line     int
	resource string // logical id, if known
	text     string
}

func (e *templateError) Error() string {
	if e.resource == "" {
		return fmt.Sprintf("template line %d: %s", e.line, e.text)
	}
	return fmt.Sprintf("template line %d: %s: %s", e.line, e.resource, e.text)
}

func (r *resource) errorf(format string, args ...any) error {
	return &templateError{line: r.line, resource: r.id, text: fmt.Sprintf(format, args...)}
}

func lineError(n *yaml.Node, format string, args ...any) error {
	return &templateError{line: n.Line, text: fmt.Sprintf(format, args...)}
}

func parseTemplate(data []byte, overrides map[string]string) (*template, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("template line 1: a template is a mapping with Resources")
	}
	root := doc.Content[0]
	t := &template{
		pseudo: map[string]string{
			"AWS::Region": "us-east-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
			"AWS::StackName": "local", "AWS::StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/local/local",
		},
		parameters: map[string]*yaml.Node{}, conditions: map[string]*yaml.Node{}, byID: map[string]*resource{},
		mappings: child(root, "Mappings"), globals: child(root, "Globals"),
	}
	if err := t.readParameters(child(root, "Parameters"), overrides); err != nil {
		return nil, err
	}
	for key, value := range pairs(child(root, "Conditions")) {
		t.conditions[key.Value] = value
	}
	if err := t.readResources(child(root, "Resources")); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *template) readParameters(n *yaml.Node, overrides map[string]string) error {
	for key, value := range pairs(n) {
		if v, ok := overrides[key.Value]; ok {
			t.parameters[key.Value] = text(v, key.Line)
		} else if d := child(value, "Default"); d != nil {
			t.parameters[key.Value] = text(d.Value, d.Line)
		} else {
			t.parameters[key.Value] = nil // an error where it is used
		}
	}
	for name, v := range overrides {
		if _, ok := t.pseudo[name]; ok {
			t.pseudo[name] = v
		} else if _, ok := t.parameters[name]; !ok {
			return fmt.Errorf("template: parameter %s is given but not declared", name)
		}
	}
	return nil
}

func (t *template) readResources(n *yaml.Node) error {
	for key, value := range pairs(n) {
		res := &resource{id: key.Value, line: key.Line, props: child(value, "Properties")}
		if kind := child(value, "Type"); kind != nil {
			res.kind = kind.Value
		}
		if c := child(value, "Condition"); c != nil {
			res.condition = c.Value
		}
		if t.byID[res.id] != nil {
			return res.errorf("a second resource of this name")
		}
		t.byID[res.id] = res
		t.resources = append(t.resources, res)
	}
	var kept []*resource
	for _, res := range t.resources {
		ok := true
		if res.condition != "" {
			var err error
			if ok, err = t.condition(text(res.condition, res.line), 0); err != nil {
				return err
			}
		}
		if ok {
			kept = append(kept, res)
		}
	}
	t.resources = kept
	return nil
}

// of yields the resources of one of the given types.
func (t *template) of(kinds ...string) iter.Seq[*resource] {
	return func(yield func(*resource) bool) {
		for _, res := range t.resources {
			if slices.Contains(kinds, res.kind) && !yield(res) {
				return
			}
		}
	}
}

// decode resolves the properties that into has fields for and decodes them. Properties it has no fields for are not looked at.
func (t *template) decode(res *resource, into any) error {
	err := t.decodeNode(res.props, into)
	if e, ok := errors.AsType[*templateError](err); ok && e.resource == "" {
		e.resource = res.id
	}
	return err
}

// decodeGlobals does the same with SAM's Globals section.
func (t *template) decodeGlobals(section string, into any) error {
	return t.decodeNode(child(t.globals, section), into)
}

func (t *template) decodeNode(n *yaml.Node, into any) error {
	if n == nil {
		return nil
	}
	wanted := fieldNames(reflect.TypeOf(into).Elem())
	picked := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line}
	for key, value := range pairs(n) {
		if !slices.Contains(wanted, key.Value) {
			continue
		}
		v, err := t.resolve(value, 0)
		if err != nil {
			return err
		}
		if v != nil {
			picked.Content = append(picked.Content, key, v)
		}
	}
	if err := picked.Decode(into); err != nil {
		return lineError(n, "%v", err)
	}
	return nil
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if option == "inline" {
			names = append(names, fieldNames(f.Type)...)
		} else if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// pairs yields the keys and values of a mapping, nothing for any other node.
func pairs(n *yaml.Node) func(yield func(k, v *yaml.Node) bool) {
	return func(yield func(k, v *yaml.Node) bool) {
		n := follow(n)
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

func child(n *yaml.Node, name string) *yaml.Node {
	for key, value := range pairs(n) {
		if key.Value == name {
			return follow(value)
		}
	}
	return nil
}

// follow goes from an alias to what it stands for.
func follow(n *yaml.Node) *yaml.Node {
	for range maxResolveDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}

// text makes a plain scalar, whose type is what its text looks like: parameters are all strings, and "30" must do for a number.
func text(value string, line int) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: value, Line: line}
}

// resolve returns n with every intrinsic function replaced by its value; nil stands for AWS::NoValue.
func (t *template) resolve(n *yaml.Node, depth int) (*yaml.Node, error) {
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
func (t *template) collection(n *yaml.Node, depth int) (*yaml.Node, error) {
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
func (t *template) scalar(n *yaml.Node) *yaml.Node {
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
func (t *template) call(name string, arg *yaml.Node, depth int) (*yaml.Node, error) {
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
		return text(value(v), v.Line), nil
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

// ref is the value of a parameter, a pseudo parameter, or what Ref gives for a resource.
func (t *template) ref(name string, at *yaml.Node) (*yaml.Node, error) {
	if name == "AWS::NoValue" {
		return nil, nil //nolint:nilnil // nil is AWS::NoValue
	}
	if v, ok := t.pseudo[name]; ok {
		return text(v, at.Line), nil
	}
	if v, ok := t.parameters[name]; ok {
		if v == nil {
			return nil, lineError(at, "parameter %s has no default and no value was given", name)
		}
		return text(v.Value, at.Line), nil
	}
	if res := t.byID[name]; res != nil {
		switch res.kind {
		case typeServerlessAPI, typeAPI:
			return text(apiIDOf(name), at.Line), nil
		case typeQueue:
			return text("https://sqs."+t.pseudo["AWS::Region"]+".amazonaws.com/"+t.pseudo["AWS::AccountId"]+"/"+name, at.Line), nil
		}
		return text(name, at.Line), nil
	}
	// SAM generates resources with the names of others at the front; whoever uses one finds out whether it exists.
	for id, res := range t.byID {
		if strings.HasPrefix(res.kind, "AWS::Serverless::") && strings.HasPrefix(name, id) {
			return text(name, at.Line), nil
		}
	}
	return nil, lineError(at, "Ref to %s, which is neither a parameter nor a resource", name)
}

func (t *template) getAtt(arg *yaml.Node, depth int) (*yaml.Node, error) {
	path := arg.Value
	if arg.Kind == yaml.SequenceNode {
		v, err := t.resolve(arg, depth)
		if err != nil {
			return nil, err
		}
		var parts []string
		for _, item := range v.Content {
			parts = append(parts, item.Value)
		}
		path = strings.Join(parts, ".")
	}
	id, attribute, ok := strings.Cut(path, ".")
	res := t.byID[id]
	if !ok || res == nil {
		return nil, lineError(arg, "GetAtt %s, which is no resource", path)
	}
	switch attribute {
	case "Arn":
		return text(t.arn(res), arg.Line), nil
	case "QueueName", "Name":
		return text(id, arg.Line), nil
	case "QueueUrl":
		return t.ref(id, arg)
	}
	return text(id+"."+attribute, arg.Line), nil
}

// arn makes an ARN that leads back to the resource: its last element is the logical id.
func (t *template) arn(res *resource) string {
	service, kind := "unknown", ""
	if parts := strings.Split(res.kind, "::"); len(parts) == 3 {
		service = strings.ToLower(parts[1])
		kind = strings.ToLower(parts[2]) + "/"
	}
	switch res.kind {
	case typeServerlessFunction, typeLambdaFunction:
		service, kind = "lambda", "function:"
	case typeQueue:
		kind = ""
	}
	return "arn:" + t.pseudo["AWS::Partition"] + ":" + service + ":" + t.pseudo["AWS::Region"] + ":" + t.pseudo["AWS::AccountId"] + ":" + kind + res.id
}

// sub replaces ${Name}, ${Resource.Attribute} and the variables of the long form; ${!X} is ${X}.
func (t *template) sub(arg *yaml.Node, depth int) (*yaml.Node, error) {
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
func (t *template) variable(name string, vars map[string]string, line, depth int) (string, error) {
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

func (t *template) findInMap(v *yaml.Node) (*yaml.Node, error) {
	n := t.mappings
	for _, key := range v.Content {
		if n = child(n, key.Value); n == nil {
			return nil, lineError(v, "FindInMap finds nothing at %s", key.Value)
		}
	}
	if n == nil {
		return nil, lineError(v, "the template has no Mappings")
	}
	return t.resolve(n, maxResolveDepth/2)
}

// condition evaluates a name from Conditions or a condition function.
func (t *template) condition(n *yaml.Node, depth int) (bool, error) {
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
func (t *template) combine(name string, arg *yaml.Node, depth int) (bool, error) {
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
