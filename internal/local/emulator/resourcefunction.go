package emulator

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// FunctionResource is a Lambda function of a template: what is needed to run it somewhere. Its environment is [Template.Environment].
type FunctionResource struct {
	ID   string // logical id
	Name string // FunctionName, or the logical id
	ARN  string
	Line int

	// Of these, one says where the code is. CodeURI is a path relative to the template, as written: a folder, or a .zip.
	CodeURI    string
	InlineCode string
	ImageURI   string
	Remote     string // code in S3, which the emulator has not got: s3://bucket/key

	Handler      string
	Runtime      string // such as provided.al2023, nodejs22.x; empty for an image
	Architecture string // x86_64 or arm64
	BuildMethod  string // Metadata.BuildMethod, such as go1.x or makefile
	Layers       []string
	MemoryMB     int
	Timeout      time.Duration
	// Concurrency is ReservedConcurrentExecutions: how many invocations run at once. Nil is no limit of its own, 0 is none at all.
	Concurrency *int

	folder string // last element of CodeURI
	res    *resource
}

type functionProps struct {
	FunctionName string    `yaml:"FunctionName"`
	CodeURI      yaml.Node `yaml:"CodeUri"`
	Code         yaml.Node `yaml:"Code"`
	InlineCode   string    `yaml:"InlineCode"`
	ImageURI     string    `yaml:"ImageUri"`
	Handler      string    `yaml:"Handler"`
	Runtime      string    `yaml:"Runtime"`
	Architecture []string  `yaml:"Architectures"`
	Layers       []string  `yaml:"Layers"`
	Memory       int       `yaml:"MemorySize"`
	Timeout      int       `yaml:"Timeout"`
	Concurrency  *int      `yaml:"ReservedConcurrentExecutions"`
}

// Lambda's defaults.
const (
	defaultFunctionTimeout = 3 // seconds
	defaultFunctionMemory  = 128
	defaultArchitecture    = "x86_64"
)

func (r *reader) readFunctions() error {
	var globals functionProps
	if err := r.t.decodeGlobals("Function", &globals); err != nil {
		return err
	}
	for res := range r.t.of(typeServerlessFunction, typeLambdaFunction) {
		f, err := r.readFunction(res, globals)
		if err != nil {
			return err
		}
		r.functions[res.id] = f
		r.m.functions = append(r.m.functions, f)
	}
	return nil
}

func (r *reader) readFunction(res *resource, globals functionProps) (*FunctionResource, error) {
	var p functionProps
	if err := r.t.decode(res, &p); err != nil {
		return nil, err
	}
	if res.kind == typeServerlessFunction {
		p.inherit(globals)
	}
	p.Timeout, p.Memory = cmp.Or(p.Timeout, defaultFunctionTimeout), cmp.Or(p.Memory, defaultFunctionMemory)
	if p.Timeout < 1 || p.Timeout > 900 {
		return nil, res.errorf("Timeout is %d, not 1 to 900 seconds", p.Timeout)
	}
	name, err := r.t.nameOf(res)
	if err != nil {
		return nil, err
	}
	f := &FunctionResource{
		ID: res.id, Name: name, ARN: r.t.arn(res, name), Line: res.line,
		InlineCode: p.InlineCode, ImageURI: p.ImageURI,
		Handler: p.Handler, Runtime: p.Runtime, Architecture: defaultArchitecture, Layers: p.Layers,
		MemoryMB: p.Memory, Timeout: time.Duration(p.Timeout) * time.Second, Concurrency: p.Concurrency,
		res: res,
	}
	if len(p.Architecture) > 0 {
		f.Architecture = p.Architecture[0]
	}
	if b := child(res.metadata, "BuildMethod"); b != nil {
		f.BuildMethod = b.Value
	}
	f.locate(&p.CodeURI)
	f.locate(&p.Code)
	f.folder = folderOf(f.CodeURI)
	r.warnOf(res)
	return f, nil
}

// inherit takes what Globals says where the function itself says nothing. Layers are added together, as SAM does.
func (p *functionProps) inherit(g functionProps) {
	if p.CodeURI.IsZero() && p.InlineCode == "" && p.ImageURI == "" {
		p.CodeURI = g.CodeURI
	}
	p.Handler, p.Runtime = cmp.Or(p.Handler, g.Handler), cmp.Or(p.Runtime, g.Runtime)
	p.Memory, p.Timeout = cmp.Or(p.Memory, g.Memory), cmp.Or(p.Timeout, g.Timeout)
	p.Concurrency = cmp.Or(p.Concurrency, g.Concurrency)
	if len(p.Architecture) == 0 {
		p.Architecture = g.Architecture
	}
	p.Layers = slices.Concat(g.Layers, p.Layers)
}

// locate reads a CodeUri or Code in any of its forms.
func (f *FunctionResource) locate(n *yaml.Node) {
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
		f.ImageURI = cmp.Or(f.ImageURI, get("ImageUri"))
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

// functionOf finds the function that an ARN, an integration URI or a name leads to.
func (r *reader) functionOf(text string) (string, bool) {
	if _, after, ok := strings.Cut(text, ":function:"); ok {
		text = after
	}
	if i := strings.IndexAny(text, ":/"); i >= 0 {
		text = text[:i]
	}
	if f := r.functions[text]; f != nil {
		return f.ID, true
	}
	for _, f := range r.m.functions {
		if f.Name == text {
			return f.ID, true
		}
	}
	return "", false
}

// Environment is the environment of a function, by logical id: Globals first, then its own variables. What its values refer to is asked of
// resolve, which may be nil. The warnings name the values that are made up because nobody knows them.
func (t *Template) Environment(function string, resolve Resolver) (vars map[string]string, warnings []*TemplateError, err error) {
	res := t.t.byID[function]
	if res == nil || res.kind != typeServerlessFunction && res.kind != typeLambdaFunction {
		return nil, nil, &TemplateError{Line: 1, Resource: function, Text: "is no function of the template"}
	}
	own := *t.t // its own counters: this may be called from many goroutines
	own.resolver, own.steps, own.warnings, own.said = resolve, 0, nil, map[TemplateError]bool{}
	vars = map[string]string{}
	type props struct {
		Environment struct {
			Variables map[string]yaml.Node `yaml:"Variables"`
		} `yaml:"Environment"`
	}
	var global, local props
	if res.kind == typeServerlessFunction {
		if err := own.decodeGlobals("Function", &global); err != nil {
			return nil, nil, inFile(err, t.file)
		}
	}
	if err := own.decode(res, &local); err != nil {
		return nil, nil, inFile(err, t.file)
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
	slices.SortFunc(own.warnings, func(a, b *TemplateError) int { return cmp.Or(a.Line-b.Line, strings.Compare(a.Text, b.Text)) })
	return vars, own.named(t.file), nil
}
