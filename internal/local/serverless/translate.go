package serverless

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// service is a document that becomes a template.
type service struct {
	variables

	name     string
	regionOf string

	out       *yaml.Node // Resources
	others    *yaml.Node // the template's other sections
	functions map[string]bool
	sockets   map[string]bool // what the WebSocket API has already, by logical id
}

// The Framework's logical ids; see lib/plugins/aws/lib/naming.js of its sources.
const (
	websocketAPI = "WebsocketsApi"
	restAPI      = "ApiGatewayRestApi"
	httpAPI      = "HttpApi"
)

func normal(name string) string {
	name = strings.NewReplacer("-", "Dash", "_", "Underscore").Replace(name)
	if name == "" {
		return name
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func functionID(name string) string { return normal(name) + "LambdaFunction" }

var noLetter = regexp.MustCompile(`[^0-9A-Za-z]`)

func routeID(route string) string {
	route = strings.NewReplacer("$", "S", "-", "Dash", "_", "Underscore").Replace(route)
	return normal(noLetter.ReplaceAllString(route, "")) + "WebsocketsRoute"
}

// Nodes of what is made. The line is that of what it is made for; a scalar is of the type that it looks like.

func scalar(line int, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: value, Line: line}
}

func mapping(line int) *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Line: line} }

// with adds pairs of names and values, which are nodes or texts; those without a value are left out.
func with(n *yaml.Node, pairs ...any) *yaml.Node {
	for pair := range slices.Chunk(pairs, 2) {
		var value *yaml.Node
		switch v := pair[1].(type) {
		case *yaml.Node:
			value = v
		case string:
			if v != "" {
				value = scalar(n.Line, v)
			}
		}
		if value != nil {
			n.Content = append(n.Content, scalar(n.Line, pair[0].(string)), value) //nolint:forcetypeassert // a program's own names
		}
	}
	return n
}

func ref(line int, id string) *yaml.Node { return with(mapping(line), "Ref", id) }

func sub(line int, text string) *yaml.Node { return with(mapping(line), "Fn::Sub", text) }

// add makes a resource. One that the document has counts, with what it leaves out, as the Framework merges them.
func (s *service) add(line int, id, kind string, properties *yaml.Node) {
	there := child(s.out, id)
	if there == nil {
		s.out.Content = append(s.out.Content, scalar(line, id), with(mapping(line), "Type", kind, "Properties", properties))
		return
	}
	own := child(there, "Properties")
	if own == nil {
		with(there, "Properties", properties)
		return
	}
	for i := 0; i+1 < len(properties.Content); i += 2 {
		if child(own, properties.Content[i].Value) == nil {
			own.Content = append(own.Content, properties.Content[i], properties.Content[i+1])
		}
	}
}

// translate makes the template.
func (s *service) translate() (*yaml.Node, error) {
	s.out, s.others, s.sockets = mapping(1), mapping(1), map[string]bool{}
	s.functions = map[string]bool{}
	if err := s.stageAndRegion(); err != nil {
		return nil, err
	}
	for _, step := range []func() error{s.readEnvironment, s.readName, s.readResources, s.readLayers, s.readFunctions} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return with(s.others, "Resources", s.out), nil
}

func (s *service) readName() error {
	n := child(s.root, "service")
	if n != nil && n.Kind == yaml.MappingNode { // as version 1 had it, where ${self:service} is its name all the same
		name := child(n, "name")
		if name == nil {
			return s.errorf(n.Line, "service has no name")
		}
		*n = *name
	}
	name, err := s.resolve(n, 0)
	if err != nil {
		return err
	}
	if name == nil || name.Kind != yaml.ScalarNode {
		return s.errorf(1, "there is no service: its name is missing")
	}
	s.name = name.Value
	return nil
}

// list is a section that may be a mapping or a list of them.
func (s *service) list(section string) ([]*yaml.Node, error) {
	n, err := s.resolve(child(s.root, section), 0)
	switch {
	case err != nil || n == nil || n.Kind == yaml.ScalarNode && n.Value == "":
		return nil, err
	case n.Kind == yaml.SequenceNode:
		return n.Content, nil
	case n.Kind == yaml.MappingNode:
		return []*yaml.Node{n}, nil
	}
	return nil, s.errorf(n.Line, "%s is no mapping", section)
}

// readResources takes what the document has in CloudFormation's words.
func (s *service) readResources() error {
	list, err := s.list("resources")
	if err != nil {
		return err
	}
	for _, part := range list {
		if part.Kind != yaml.MappingNode {
			return s.errorf(part.Line, "this part of resources is no mapping")
		}
		for i := 0; i+1 < len(part.Content); i += 2 {
			key, value := part.Content[i], part.Content[i+1]
			switch key.Value {
			case "Resources":
				s.out.Content = append(s.out.Content, value.Content...)
			case "Parameters", "Mappings", "Conditions":
				if section := child(s.others, key.Value); section != nil {
					section.Content = append(section.Content, value.Content...)
				} else {
					with(s.others, key.Value, value)
				}
			case "extensions":
				s.warnf(key.Line, "extensions of what the Framework makes are left out")
			default: // outputs, a description
			}
		}
	}
	return nil
}

func (s *service) readLayers() error {
	list, err := s.list("layers")
	if err != nil {
		return err
	}
	for _, part := range list {
		for i := 0; i+1 < len(part.Content); i += 2 {
			name, layer := part.Content[i], part.Content[i+1]
			uri := child(child(layer, "package"), "artifact")
			if uri == nil {
				uri = child(layer, "path")
			}
			s.add(name.Line, normal(name.Value)+"LambdaLayer", "AWS::Serverless::LayerVersion", with(mapping(name.Line), "ContentUri", uri))
		}
	}
	return nil
}

func (s *service) readFunctions() error {
	list, err := s.list("functions")
	if err != nil {
		return err
	}
	provider := mapping(1)
	for _, name := range []string{"runtime", "environment", "timeout", "memorySize", "layers", "websocketsApiRouteSelectionExpression", "websocketApiRouteSelectionExpression", "websocketsApiName", "httpApi"} {
		n, err := s.resolve(child(child(s.root, "provider"), name), 0)
		if err != nil {
			return err
		}
		with(provider, name, n)
	}
	artifact, err := s.resolve(child(child(s.root, "package"), "artifact"), 0)
	if err != nil {
		return err
	}
	for _, part := range list {
		for i := 0; i+1 < len(part.Content); i += 2 {
			s.functions[part.Content[i].Value] = true
		}
	}
	for _, part := range list {
		for i := 0; i+1 < len(part.Content); i += 2 {
			if err := s.readFunction(function{part.Content[i].Value, part.Content[i].Line, part.Content[i+1], provider, artifact}); err != nil {
				return err
			}
		}
	}
	return nil
}

// function is one of the document, and what it takes from others.
type function struct {
	name               string
	line               int
	n                  *yaml.Node
	provider, artifact *yaml.Node
}

func (f *function) get(name string) *yaml.Node {
	if n := child(f.n, name); n != nil {
		return n
	}
	return child(f.provider, name)
}

func (f *function) text(name string) string {
	if n := f.get(name); n != nil {
		return n.Value
	}
	return ""
}

func (s *service) readFunction(f function) error {
	if f.n.Kind != yaml.MappingNode {
		return s.errorf(f.line, "the function %s is no mapping", f.name)
	}
	if child(f.n, "handler") == nil && child(f.n, "image") == nil {
		return s.errorf(f.line, "the function %s has neither a handler nor an image", f.name)
	}
	p := mapping(f.line)
	with(p,
		"FunctionName", cmp.Or(f.own("name"), s.name+"-"+s.stage+"-"+f.name), "Timeout", cmp.Or(f.text("timeout"), "6"),
		"MemorySize", cmp.Or(f.text("memorySize"), "1024"), "ReservedConcurrentExecutions", child(f.n, "reservedConcurrency"), "Layers", f.get("layers"))
	if child(f.n, "image") != nil {
		with(p, "PackageType", "Image")
	} else {
		artifact := child(child(f.n, "package"), "artifact")
		if artifact == nil {
			artifact = f.artifact
		}
		if artifact == nil {
			artifact = scalar(f.line, ".")
		}
		with(p, "Handler", f.own("handler"), "Runtime", cmp.Or(f.text("runtime"), "nodejs20.x"), "CodeUri", artifact)
	}
	environment := mapping(f.line)
	for _, from := range []*yaml.Node{child(f.provider, "environment"), child(f.n, "environment")} {
		if err := s.environment(environment, from); err != nil {
			return err
		}
	}
	with(p, "Environment", with(mapping(f.line), "Variables", environment))
	if n := child(f.n, "url"); n != nil {
		with(p, "FunctionUrlConfig", mapping(n.Line))
	}
	events := mapping(f.line)
	if n := child(f.n, "events"); n != nil {
		for i, e := range n.Content {
			if err := s.readEvent(f, events, i, e); err != nil {
				return err
			}
		}
	}
	s.add(f.line, functionID(f.name), "AWS::Serverless::Function", with(p, "Events", events))
	return nil
}

func (f *function) own(name string) string {
	if n := child(f.n, name); n != nil {
		return n.Value
	}
	return ""
}

// environment adds variables; those of a function are in the place of the provider's.
func (s *service) environment(into, from *yaml.Node) error {
	if from == nil || from.Kind == yaml.ScalarNode && from.Tag == "!!null" {
		return nil
	}
	if from.Kind != yaml.MappingNode {
		return s.errorf(from.Line, "environment is no mapping")
	}
	for i := 0; i+1 < len(from.Content); i += 2 {
		key, value := from.Content[i], from.Content[i+1]
		var kept []*yaml.Node
		for j := 0; j+1 < len(into.Content); j += 2 {
			if into.Content[j].Value != key.Value {
				kept = append(kept, into.Content[j], into.Content[j+1])
			}
		}
		if into.Content = kept; value.Tag != "!!null" {
			into.Content = append(into.Content, key, value)
		}
	}
	return nil
}

// readEvent takes one of a function's events: a text, or a mapping of its kind.
func (s *service) readEvent(f function, events *yaml.Node, i int, e *yaml.Node) error {
	if e.Kind == yaml.ScalarNode { // of its own kind without settings, such as alexaSkill
		e = with(mapping(e.Line), e.Value, mapping(e.Line))
	}
	if e.Kind != yaml.MappingNode || len(e.Content) != 2 {
		return s.errorf(e.Line, "an event of %s is not one kind with its settings beneath it: is something indented too little?", f.name)
	}
	kind, p := e.Content[0].Value, e.Content[1]
	line := e.Content[0].Line
	event := func(kind string, properties *yaml.Node) {
		with(events, kind+strconv.Itoa(i), with(mapping(line), "Type", kind, "Properties", properties))
	}
	switch kind {
	case "websocket":
		return s.readWebSocket(f, line, p)
	case "http", "httpApi":
		return s.readHTTP(f, line, kind == "http", p, event)
	case "schedule":
		rates := either(p, "rate")
		if rates.Kind != yaml.SequenceNode {
			rates = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{rates}}
		}
		for j, rate := range rates.Content {
			input, err := s.asJSON(child(p, "input"))
			if err != nil {
				return err
			}
			with(events, "Schedule"+strconv.Itoa(i)+"x"+strconv.Itoa(j), with(mapping(line), "Type", "Schedule", "Properties",
				with(mapping(line), "Schedule", rate, "Enabled", child(p, "enabled"), "Input", input)))
		}
	case "sqs":
		event("SQS", with(mapping(line), "Queue", either(p, "arn"), "BatchSize", child(p, "batchSize"), "Enabled", child(p, "enabled"), "FunctionResponseTypes", partial(line, child(p, "functionResponseType"))))
	case "sns":
		event("SNS", with(mapping(line), "Topic", s.topic(line, p), "FilterPolicy", child(p, "filterPolicy"), "FilterPolicyScope", child(p, "filterPolicyScope")))
	case "stream":
		return s.readStream(line, p, event)
	case "eventBridge":
		input, err := s.asJSON(child(p, "input"))
		if err != nil {
			return err
		}
		if schedule := child(p, "schedule"); schedule != nil {
			event("Schedule", with(mapping(line), "Schedule", schedule, "Input", input))
			return nil
		}
		event("EventBridgeRule", with(mapping(line), "EventBusName", child(p, "eventBus"), "Pattern", child(p, "pattern"), "Input", input))
	case "s3":
		event("S3", mapping(line)) // the template says what can be done
	default:
		event(kind, mapping(line)) // the template says that they do not come
	}
	return nil
}

// either is what a setting says that may be written alone, or as one of several.
func either(p *yaml.Node, name string) *yaml.Node {
	if n := child(p, name); n != nil {
		return n
	}
	return p
}

func partial(line int, n *yaml.Node) *yaml.Node {
	if n == nil {
		return nil
	}
	return &yaml.Node{Kind: yaml.SequenceNode, Line: line, Content: []*yaml.Node{n}}
}

// asJSON is a value as a text of JSON; nil: there is none.
func (s *service) asJSON(n *yaml.Node) (*yaml.Node, error) {
	if n == nil || n.Kind == yaml.ScalarNode {
		return n, nil
	}
	var value any
	err := n.Decode(&value)
	if err != nil {
		return nil, s.errorf(n.Line, "this is no JSON: %v", err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, s.errorf(n.Line, "this is no JSON: %v", err)
	}
	return scalar(n.Line, string(text)), nil
}

// topic is that of an event, which is made if only its name is given.
func (s *service) topic(line int, p *yaml.Node) *yaml.Node {
	arn, name := either(p, "arn"), child(p, "topicName")
	if p.Kind == yaml.ScalarNode && !strings.HasPrefix(p.Value, "arn:") && (p.Tag == "" || strings.HasPrefix(p.Tag, "!!")) {
		name = p
	} else if child(p, "arn") != nil || name == nil {
		return arn
	}
	id := "SNSTopic" + normal(noLetter.ReplaceAllString(name.Value, ""))
	s.add(line, id, "AWS::SNS::Topic", with(mapping(line), "TopicName", name.Value))
	return ref(line, id)
}

func (s *service) readStream(line int, p *yaml.Node, event func(string, *yaml.Node)) error {
	kind := "DynamoDB"
	if n := child(p, "type"); n != nil && n.Value != "dynamodb" {
		kind = "Kinesis" // the template says that they do not come
	}
	out := with(mapping(line), "Stream", either(p, "arn"), "BatchSize", child(p, "batchSize"), "StartingPosition", child(p, "startingPosition"),
		"MaximumRetryAttempts", child(p, "maximumRetryAttempts"), "Enabled", child(p, "enabled"), "FunctionResponseTypes", partial(line, child(p, "functionResponseType")))
	if n := child(p, "filterPatterns"); n != nil {
		filters := &yaml.Node{Kind: yaml.SequenceNode, Line: line}
		for _, one := range n.Content {
			pattern, err := s.asJSON(one)
			if err != nil {
				return err
			}
			filters.Content = append(filters.Content, with(mapping(line), "Pattern", pattern))
		}
		with(out, "FilterCriteria", with(mapping(line), "Filters", filters))
	}
	event(kind, out)
	return nil
}
