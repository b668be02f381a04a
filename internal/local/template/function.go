package template

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Function is a Lambda function: what is needed to run it somewhere. Its environment is [Template.Environment].
type Function struct {
	ID   string // logical id
	Name string // FunctionName, or the logical id
	ARN  string
	Line int

	// Of these, at most one says where the code is; none is the template's own folder. CodeURI is a path relative to the template, as
	// written: a folder, or a .zip.
	CodeURI    string
	InlineCode string
	Image      bool   // a container image
	Remote     string // code in S3, which is not here: s3://bucket/key
	Asset      string // where the CDK left what it puts there: a path relative to the template
	Folder     string // last element of CodeURI, empty if that is no folder of its own
	// BuildMethod is the metadata's: how sam build makes the code, such as makefile; mostly empty.
	BuildMethod string
	// Layers are logical ids of [Template.Layers], and ARNs of what is not in the template.
	Layers []string

	Handler  string
	Runtime  string // such as provided.al2023, nodejs22.x; empty for an image
	MemoryMB int
	Timeout  time.Duration
	// Concurrency is ReservedConcurrentExecutions: how many invocations run at once. Nil is no limit of its own, 0 is none at all.
	Concurrency *int
	Recursive   bool // RecursiveLoop is Allow: it may lead to itself more than 16 times in a row
}

type functionProps struct {
	FunctionName string    `yaml:"FunctionName"`
	CodeURI      yaml.Node `yaml:"CodeUri"`
	Code         yaml.Node `yaml:"Code"`
	InlineCode   string    `yaml:"InlineCode"`
	ImageURI     string    `yaml:"ImageUri"`
	PackageType  string    `yaml:"PackageType"`
	Handler      string    `yaml:"Handler"`
	Runtime      string    `yaml:"Runtime"`
	Memory       int       `yaml:"MemorySize"`
	Timeout      int       `yaml:"Timeout"`
	Concurrency  *int      `yaml:"ReservedConcurrentExecutions"`
	Layers       []string  `yaml:"Layers"`
	Recursive    string    `yaml:"RecursiveLoop"`
}

// Lambda's defaults.
const (
	defaultFunctionTimeout = 3 // seconds
	defaultFunctionMemory  = 128
)

// "Memory" of "Lambda quotas", in MB.
const (
	minMemory = 128
	maxMemory = 10240
)

func (r *reader) readFunctions() error {
	var globals functionProps
	if err := r.decodeGlobals("Function", &globals); err != nil {
		return err
	}
	for res := range r.of(typeServerlessFunction, typeLambdaFunction) {
		f, err := r.readFunction(res, globals)
		if err != nil {
			return err
		}
		r.out.Functions = append(r.out.Functions, f)
	}
	return nil
}

func (r *reader) readFunction(res *resource, globals functionProps) (f Function, err error) {
	var p functionProps
	if res.kind == typeServerlessFunction {
		p = globals
	}
	p.Layers = nil
	if err := r.decode(res, &p); err != nil {
		return f, err
	}
	if res.kind == typeServerlessFunction { // of Globals' layers nothing is replaced
		p.Layers = slices.Concat(globals.Layers, p.Layers)
	}
	image := p.ImageURI != "" || p.PackageType == "Image"
	if p.InlineCode != "" || image { // in the place of Globals' folder
		p.CodeURI = yaml.Node{}
	}
	p.Timeout, p.Memory = cmp.Or(p.Timeout, defaultFunctionTimeout), cmp.Or(p.Memory, defaultFunctionMemory)
	if p.Timeout < 1 || p.Timeout > 900 {
		return f, res.errorf("Timeout is %d, not 1 to 900 seconds", p.Timeout)
	}
	if p.Memory < minMemory || p.Memory > maxMemory {
		return f, res.errorf("MemorySize is %d, not %d to %d MB", p.Memory, minMemory, maxMemory)
	}
	if n := child(child(res.props, "Environment"), "Variables"); n != nil && n.Kind != yaml.MappingNode {
		return f, &Error{Line: n.Line, Resource: res.id, Text: "Variables of Environment is no object"}
	}
	if p.Recursive != "" && p.Recursive != "Allow" && p.Recursive != "Terminate" {
		return f, res.errorf("RecursiveLoop is %q, not Allow or Terminate", p.Recursive)
	}
	name, err := r.nameOf(res)
	if err != nil {
		return f, err
	}
	f = Function{
		ID: res.id, Name: name, ARN: r.arn(res, name), Line: res.line,
		InlineCode: p.InlineCode, Image: image, Asset: value(child(res.metadata, "aws:asset:path")),
		Handler: p.Handler, Runtime: p.Runtime,
		BuildMethod: value(child(res.metadata, "BuildMethod")), Layers: p.Layers,
		MemoryMB: p.Memory, Timeout: time.Duration(p.Timeout) * time.Second, Concurrency: p.Concurrency,
		Recursive: p.Recursive == "Allow",
	}
	f.locate(&p.CodeURI)
	f.locate(&p.Code)
	f.Folder = folderOf(f.CodeURI)
	r.warnOf(res)
	return f, nil
}

// locate reads a CodeUri or Code in any of its forms.
func (f *Function) locate(n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		if strings.HasPrefix(n.Value, "s3://") {
			f.Remote = n.Value
		} else {
			f.CodeURI = n.Value
		}
	case yaml.MappingNode:
		get := func(names ...string) string {
			for _, name := range names {
				if c := child(n, name); c != nil {
					return c.Value
				}
			}
			return ""
		}
		f.InlineCode = cmp.Or(f.InlineCode, get("ZipFile"))
		f.Image = f.Image || get("ImageUri") != ""
		if bucket := get("S3Bucket", "Bucket"); bucket != "" {
			f.Remote = "s3://" + bucket + "/" + get("S3Key", "Key")
		}
	default: // not given
	}
}

// folderOf is the last element of a CodeUri, nothing if it is not a folder of its own.
func folderOf(uri string) string {
	path := strings.TrimRight(uri, "/")
	folder := path[strings.LastIndexByte(path, '/')+1:]
	if folder == "." || folder == ".." {
		return ""
	}
	return folder
}

// Environment is the environment of a function, by logical id: Globals first, then its own variables. What its values refer to is asked of
// resolve, which may be nil. The warnings name the values that are made up because nobody knows them.
func (t *Template) Environment(function string, resolve Resolver) (vars map[string]string, warnings []*Error, err error) {
	res := t.source.byID[function]
	if res == nil || res.kind != typeServerlessFunction && res.kind != typeLambdaFunction {
		return nil, nil, &Error{Line: 1, Resource: function, Text: "is no function of the template"}
	}
	own := *t.source // its own counters: this may be called from many goroutines
	own.resolver, own.steps, own.warnings, own.said = resolve, 0, nil, map[Error]bool{}
	vars = map[string]string{}
	type props struct {
		Environment struct {
			Variables map[string]yaml.Node `yaml:"Variables"`
		} `yaml:"Environment"`
	}
	var global, local props
	if res.kind == typeServerlessFunction {
		if err := own.decodeGlobals("Function", &global); err != nil {
			return nil, nil, t.inFile(err)
		}
	}
	if err := own.decode(res, &local); err != nil {
		return nil, nil, t.inFile(err)
	}
	for _, p := range []props{global, local} {
		for name, v := range p.Environment.Variables {
			if v.Kind != yaml.ScalarNode {
				return nil, nil, res.errorf("the environment variable %s is not text", name)
			}
			vars[name] = v.Value
		}
	}
	for name, v := range vars {
		if strings.Contains(v, "{{resolve:") {
			own.warnf(res.line, "%s: %s has a dynamic reference, which is left as it is", function, name)
		}
	}
	slices.SortFunc(own.warnings, func(a, b *Error) int { return cmp.Or(a.Line-b.Line, strings.Compare(a.Text, b.Text)) })
	return vars, own.warnings, nil
}
