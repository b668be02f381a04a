package template

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// source is the text of a template, whose intrinsic functions are resolved where they are read and nowhere else: what nobody reads may hold
// what nobody understands.
type source struct {
	file       string
	pseudo     map[string]string
	parameters map[string]*parameter
	conditions map[string]*yaml.Node
	mappings   *yaml.Node
	globals    *yaml.Node
	resources  []*resource // in the template's order, without those whose condition is false
	byID       map[string]*resource

	resolver Resolver // asked first what a resource's Ref or attribute is; may be nil
	warnings []*Error
	said     map[Error]bool

	steps  int // nodes resolved: a bound against alias bombs
	naming int // names being resolved inside each other
}

const (
	typeServerlessFunction = "AWS::Serverless::Function"
	typeLambdaFunction     = "AWS::Lambda::Function"
	typeQueue              = "AWS::SQS::Queue"
)

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
	metadata  *yaml.Node
	dependsOn *yaml.Node
}

func parse(root *yaml.Node, o Options) (*source, error) {
	if root == nil || root.Kind != yaml.MappingNode {
		return nil, errors.New("template line 1: a template is a mapping with Resources")
	}
	var twice []again
	lastCounts(root, &twice)
	t := &source{
		file: o.File,
		pseudo: map[string]string{
			"AWS::Region": "us-east-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
			"AWS::StackName": "local", "AWS::StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/local/local",
		},
		parameters: map[string]*parameter{}, conditions: map[string]*yaml.Node{}, byID: map[string]*resource{},
		said:     map[Error]bool{},
		mappings: child(root, "Mappings"), globals: child(root, "Globals"),
	}
	for _, key := range twice {
		t.warnf(key.line, "%s is written a second time, after line %d: this one counts", key.name, key.before)
	}
	if err := t.readParameters(child(root, "Parameters"), o.Parameters); err != nil {
		return nil, err
	}
	for key, value := range pairs(child(root, "Conditions")) {
		t.conditions[key.Value] = value
	}
	t.checkTransforms(child(root, "Transform"))
	if err := t.readResources(child(root, "Resources")); err != nil {
		return nil, err
	}
	return t, t.check(root)
}

func (t *source) warnf(line int, format string, args ...any) {
	w := &Error{File: t.file, Line: line, Text: fmt.Sprintf(format, args...)}
	if !t.said[*w] { // what is resolved twice is said once
		t.said[*w] = true
		t.warnings = append(t.warnings, w)
	}
}

// checkTransforms names the macros that will not run. SAM is read as it is, and of AWS::LanguageExtensions the functions are understood.
func (t *source) checkTransforms(n *yaml.Node) {
	names := []*yaml.Node{n}
	if n != nil && n.Kind == yaml.SequenceNode {
		names = n.Content
	}
	for _, name := range names {
		if name != nil && name.Value != "AWS::Serverless-2016-10-31" && name.Value != "AWS::LanguageExtensions" {
			t.warnf(name.Line, "the transform %s is not run", cmp.Or(value(name), "of this form"))
		}
	}
}

func (t *source) readResources(n *yaml.Node) error {
	for key, value := range pairs(n) {
		if strings.HasPrefix(key.Value, "Fn::") {
			t.warnf(key.Line, "%s is not run: the resources that it would make are missing", key.Value)
			continue
		}
		res := &resource{
			id: key.Value, line: key.Line, props: child(value, "Properties"), metadata: child(value, "Metadata"), dependsOn: child(value, "DependsOn"),
		}
		if kind := child(value, "Type"); kind != nil {
			res.kind = kind.Value
		}
		if c := child(value, "Condition"); c != nil {
			res.condition = c.Value
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
func (t *source) of(kinds ...string) iter.Seq[*resource] {
	return func(yield func(*resource) bool) {
		for _, res := range t.resources {
			if slices.Contains(kinds, res.kind) && !yield(res) {
				return
			}
		}
	}
}

// decode resolves the properties that into has fields for and decodes them. Properties it has no fields for are not looked at.
func (t *source) decode(res *resource, into any) error {
	err := t.decodeNode(res.props, into)
	if e, ok := errors.AsType[*Error](err); ok && e.Resource == "" {
		e.Resource = res.id
	}
	return err
}

// decodeGlobals does the same with SAM's Globals section.
func (t *source) decodeGlobals(section string, into any) error {
	return t.decodeNode(child(t.globals, section), into)
}

func (t *source) decodeNode(n *yaml.Node, into any) error {
	if n == nil {
		return nil
	}
	if _, _, ok := intrinsic(n); ok { // all properties at once, by Fn::If
		var err error
		if n, err = t.resolve(n, 0); err != nil || n == nil {
			return err
		}
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
		return misfit(n.Line, err)
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
