package serverless

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// The variables of the Framework: ${source:address}, with others after commas that stand in for one without a value, and inside of each other.
// See "Variables" in the Framework's documentation. What CloudFormation's Fn::Sub calls by ${Name} or ${AWS::Name} is left as it is.

const (
	maxDepth = 64
	maxSteps = 200_000
)

// variable is one without those that may stand in for it: its source, its argument, and its address after one or without.
var variable = regexp.MustCompile(`^([a-z][A-Za-z]*)(?:\(([^)]*)\)(?::(.*))?|:([^:].*|))$`)

// variables resolves those of one document.
type variables struct {
	file  string // the document
	root  *yaml.Node
	given map[string]string // ${opt:…} and ${param:…}
	env   map[string]string
	stage string

	files    map[string]*yaml.Node
	warnings []template.Error
	steps    int
}

func (v *variables) errorf(line int, format string, args ...any) error {
	return &template.Error{File: v.file, Line: line, Text: fmt.Sprintf(format, args...)}
}

func (v *variables) warnf(line int, format string, args ...any) {
	v.warnings = append(v.warnings, template.Error{File: v.file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// resolve is a copy of a node without variables; nil is nothing: what has no value.
func (v *variables) resolve(n *yaml.Node, depth int) (*yaml.Node, error) {
	if n == nil {
		return nil, nil //nolint:nilnil // said in the comment
	}
	if v.steps++; depth > maxDepth || v.steps > maxSteps {
		return nil, v.errorf(n.Line, "the variables lead to each other without an end")
	}
	switch n.Kind {
	case yaml.AliasNode:
		return v.resolve(n.Alias, depth+1)
	case yaml.ScalarNode:
		return v.scalar(n, depth)
	case yaml.DocumentNode:
		return v.resolve(n.Content[0], depth+1)
	case yaml.SequenceNode:
		out := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Line: n.Line}
		for _, item := range n.Content {
			one, err := v.resolve(item, depth+1)
			if err != nil {
				return nil, err
			}
			if one != nil {
				out.Content = append(out.Content, one)
			}
		}
		return out, nil
	case yaml.MappingNode:
		return v.mapping(n, depth)
	}
	return n, nil
}

func (v *variables) mapping(n *yaml.Node, depth int) (*yaml.Node, error) {
	out := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Line: n.Line}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, err := v.resolve(n.Content[i], depth+1)
		if err != nil {
			return nil, err
		}
		value, err := v.resolve(n.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		if key == nil || value == nil {
			continue
		}
		if key.Value == "<<" {
			merged = append(merged, value)
			continue
		}
		out.Content = append(out.Content, key, value)
	}
	for len(merged) > 0 {
		one := merged[0]
		merged = merged[1:]
		if one.Kind == yaml.SequenceNode {
			merged = append(merged, one.Content...)
			continue
		}
		for i := 0; i+1 < len(one.Content); i += 2 {
			if child(out, one.Content[i].Value) == nil {
				out.Content = append(out.Content, one.Content[i], one.Content[i+1])
			}
		}
	}
	return out, nil
}

// scalar puts the values of variables into a text. One that is all of it may be anything.
func (v *variables) scalar(n *yaml.Node, depth int) (*yaml.Node, error) {
	var text strings.Builder
	rest, found := n.Value, false
	for {
		begin := strings.Index(rest, "${")
		if begin < 0 {
			break
		}
		end := closing(rest[begin:])
		if end < 0 {
			break
		}
		inner := rest[begin+2 : begin+end]
		if !variable.MatchString(strings.TrimSpace(alternatives(inner)[0])) {
			text.WriteString(rest[:begin+2]) // of Fn::Sub; what is inside of it may be one
			rest = rest[begin+2:]
			continue
		}
		value, err := v.lookup(inner, n.Line, depth+1)
		if err != nil {
			return nil, err
		}
		found = true
		if text.Len() == 0 && begin == 0 && begin+end+1 == len(rest) && (n.Tag == "" || strings.HasPrefix(n.Tag, "!!")) {
			return value, nil
		}
		text.WriteString(rest[:begin])
		if value != nil && value.Kind != yaml.ScalarNode {
			return nil, v.errorf(n.Line, "${%s} is no text, and is in the middle of one", inner)
		}
		if value != nil {
			text.WriteString(value.Value)
		}
		rest = rest[begin+end+1:]
	}
	if !found {
		return n, nil
	}
	out := *n
	out.Value = text.String() + rest
	return &out, nil
}

// closing is where the brace closes that a text begins with after a $.
func closing(text string) int {
	depth := 0
	for i, c := range text {
		switch c {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// alternatives splits at the commas that are in no quotes, brackets or variables.
func alternatives(text string) (list []string) {
	depth, begin, quote := 0, 0, rune(0)
	for i, c := range text {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '(' || c == '{':
			depth++
		case c == ')' || c == '}':
			depth--
		case c == ',' && depth == 0:
			list, begin = append(list, text[begin:i]), i+1
		}
	}
	return append(list, text[begin:])
}

// lookup is the first of a variable's alternatives that has a value; nil: none has.
func (v *variables) lookup(inner string, line, depth int) (*yaml.Node, error) {
	list := alternatives(inner)
	for i, one := range list {
		one = strings.TrimSpace(one)
		if len(one) > 1 && (one[0] == '\'' || one[0] == '"') && one[len(one)-1] == one[0] {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: one[1 : len(one)-1], Line: line}, nil
		}
		name, err := v.scalar(&yaml.Node{Kind: yaml.ScalarNode, Value: one, Line: line}, depth+1) // it may be a variable, or have one inside of it
		if err != nil {
			return nil, err
		}
		if name == nil {
			continue
		}
		match := variable.FindStringSubmatch(name.Value)
		if match == nil {
			if name.Value != "null" {
				return name, nil
			}
			continue
		}
		value, err := v.value(source{match[1], match[2], strings.TrimSpace(match[3] + match[4]), line, i == len(list)-1}, depth+1)
		if err != nil || value != nil {
			return value, err
		}
	}
	return nil, nil //nolint:nilnil // said in the comment
}

// source is one alternative of a variable.
type source struct {
	kind, argument, address string
	line                    int
	last                    bool // nothing stands in for it
}

// value is nil if it has none.
func (v *variables) value(s source, depth int) (*yaml.Node, error) {
	text := func(value string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: value, Line: s.line}
	}
	missing := func(how string) (*yaml.Node, error) {
		if s.last {
			v.warnf(s.line, "${%s:%s} has no value and is left out: %s", s.kind, s.address, how)
		}
		return nil, nil //nolint:nilnil // said in the comment
	}
	switch s.kind {
	case "self":
		return v.here(s, depth)
	case "opt", "param":
		if value, err := v.parameter(s, depth); err != nil || value != nil {
			return value, err
		}
		if s.address == "stage" && s.kind == "opt" {
			return missing("give --stage")
		}
		return missing("give --parameter " + s.address + "=VALUE")
	case "env":
		if value, ok := v.env[s.address]; ok {
			return text(value), nil
		}
		return missing("set it in the environment")
	case "file":
		return v.included(s, depth)
	case "sls":
		return text(map[string]string{"stage": v.stage, "instanceId": "local"}[s.address]), nil
	case "aws":
		return text(map[string]string{"accountId": "123456789012", "region": v.region()}[s.address]), nil
	case "strToBool":
		on, err := strconv.ParseBool(s.argument)
		if err != nil {
			return nil, v.errorf(s.line, "strToBool: %s is neither true nor false", s.argument)
		}
		return text(strconv.FormatBool(on)), nil
	case "cf", "ssm", "s3":
		if !s.last {
			return nil, nil //nolint:nilnil // what stands in for it is known
		}
		v.warnf(s.line, "what ${%s:%s} is worth is only known on AWS; %q stands for it", s.kind, s.address, s.address)
		return text(s.address), nil
	}
	return nil, v.errorf(s.line, "${%s:…} is a variable of a plugin, which is not run; let the Framework read it: %s", s.kind, packaging)
}

// here is what the document has at an address.
func (v *variables) here(s source, depth int) (*yaml.Node, error) {
	value, err := v.walk(v.root, s.address, depth)
	if err == nil && value == nil {
		value = v.byDefault(s)
	}
	if err == nil && value == nil && s.last {
		err = v.errorf(s.line, "${self:%s} leads to nothing in %s", s.address, filepath.Base(v.file))
	}
	return value, err
}

// parameter is what was given under a name, or what the document has of a parameter, for the stage or for all.
func (v *variables) parameter(s source, depth int) (*yaml.Node, error) {
	if value, ok := v.given[s.address]; ok {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: value, Line: s.line}, nil
	}
	if s.kind != "param" {
		return nil, nil //nolint:nilnil // said in the comment
	}
	for _, of := range []string{v.stage, "default"} {
		if value, err := v.walk(v.root, "params."+of+"."+s.address, depth); err != nil || value != nil {
			return value, err
		}
	}
	return nil, nil //nolint:nilnil // said in the comment
}

// byDefault are what the Framework takes for what is not there.
func (v *variables) byDefault(s source) *yaml.Node {
	value := map[string]string{"provider.stage": v.stage, "provider.region": v.region()}[s.address]
	if name := child(v.root, "service"); s.address == "service.name" && name != nil {
		value = name.Value
	}
	if value == "" {
		return nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: value, Line: s.line}
}

func (v *variables) region() string { return cmp.Or(v.given["region"], "us-east-1") }

// walk follows an address such as custom.tables.0; nil: it leads to nothing.
func (v *variables) walk(n *yaml.Node, address string, depth int) (*yaml.Node, error) {
	for name := range strings.SplitSeq(address, ".") {
		if n != nil && n.Kind == yaml.ScalarNode {
			var err error
			if n, err = v.resolve(n, depth+1); err != nil {
				return nil, err
			}
		}
		for n != nil && n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		switch {
		case n == nil:
			return nil, nil //nolint:nilnil // said in the comment
		case name == "":
		case n.Kind == yaml.SequenceNode:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(n.Content) {
				return nil, nil //nolint:nilnil // said in the comment
			}
			n = n.Content[i]
		default:
			n = child(n, name)
		}
	}
	return v.resolve(n, depth+1)
}

// included is what is in another file, or at an address of it.
func (v *variables) included(s source, depth int) (*yaml.Node, error) {
	name := strings.TrimSpace(s.argument)
	path := filepath.Join(filepath.Dir(v.file), filepath.FromSlash(name))
	if filepath.IsAbs(name) {
		path = name
	}
	root, known := v.files[path]
	if !known {
		data, err := os.ReadFile(path) //nolint:gosec // the document is the caller's
		if err != nil {
			if s.last {
				return nil, v.errorf(s.line, "${file(%s)}: %v", name, err)
			}
			return nil, nil //nolint:nilnil // what stands in for it is there
		}
		switch filepath.Ext(path) {
		case ".yml", ".yaml", ".json":
			root = &yaml.Node{}
			if err := yaml.Unmarshal(data, root); err != nil {
				return nil, v.errorf(s.line, "${file(%s)}: %v", name, err)
			}
			if root.Kind == yaml.DocumentNode {
				root = root.Content[0]
			}
			place(root, s.line, 0)
		case ".js", ".ts", ".cjs", ".mjs":
			return nil, v.errorf(s.line, "${file(%s)} is a program, which is not run; let the Framework read it: %s", name, packaging)
		default:
			root = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(data), Line: s.line}
		}
		v.files[path] = root
	}
	if root.Kind == 0 { // an empty file
		return nil, nil //nolint:nilnil // said in the comment
	}
	return v.walk(root, s.address, depth)
}

// place gives all nodes of another file the line where it is called for: there is one file that messages are about.
func place(n *yaml.Node, line, depth int) {
	if n == nil || depth > maxDepth {
		return
	}
	n.Line = line
	for _, inner := range n.Content {
		place(inner, line, depth+1)
	}
}

// child is the value of a mapping's key.
func child(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}
