package template

import (
	"cmp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Reference is a Ref or Fn::GetAtt of a resource, whose value depends on where the resource is.
type Reference struct {
	Resource  string // logical id
	Type      string // such as AWS::DynamoDB::Table
	Name      string // the name that the template gives it, else the logical id
	Attribute string // of Fn::GetAtt, such as Arn; empty for Ref
}

// Resolver says what a reference is worth where the functions run: the name of a table that was made, the URL of a queue at a local
// endpoint. ok is false if it does not know; then the value is made up, as it would look on AWS.
type Resolver func(Reference) (value string, ok bool)

// ref is the value of a parameter, a pseudo parameter, or what Ref gives for a resource.
func (t *source) ref(name string, at *yaml.Node) (*yaml.Node, error) {
	if name == "AWS::NoValue" {
		return nil, nil //nolint:nilnil // nil is AWS::NoValue
	}
	if v, ok := t.pseudo[name]; ok {
		return text(v, at.Line), nil
	}
	if name == "AWS::NotificationARNs" {
		return &yaml.Node{Kind: yaml.SequenceNode, Line: at.Line}, nil
	}
	if p := t.parameters[name]; p != nil {
		if p.value == nil {
			return nil, lineError(at, "parameter %s has no default and no value was given: give --parameter %s=VALUE", name, name)
		}
		if p.ssm {
			t.warnf(at.Line, "parameter %s names a value of the SSM Parameter Store, which is unknown; %q stands for it unless the parameter is given", name, p.value.Value)
		}
		return p.node(at.Line), nil
	}
	if res := t.byID[name]; res != nil {
		v, err := t.refOf(res)
		return text(v, at.Line), err
	}
	if name == implicitREST || name == implicitHTTP {
		return text(apiIDOf(name), at.Line), nil
	}
	if strings.Contains(name, ".") { // SAM's !Ref Function.Alias and its like
		return t.attribute(name, at)
	}
	// SAM generates resources with the names of others at the front; whoever uses one finds out whether it exists.
	for id, res := range t.byID {
		if strings.HasPrefix(res.kind, "AWS::Serverless::") && strings.HasPrefix(name, id) {
			return text(name, at.Line), nil
		}
	}
	return nil, lineError(at, "Ref to %s, which is neither a parameter nor a resource", name)
}

// refOf is what Ref gives for a resource.
func (t *source) refOf(res *resource) (string, error) {
	name, err := t.nameOf(res)
	if err != nil {
		return "", err
	}
	if t.resolver != nil {
		if v, ok := t.resolver(Reference{Resource: res.id, Type: res.kind, Name: name}); ok {
			return v, nil
		}
	}
	switch res.kind {
	case typeServerlessAPI, typeAPI, typeServerlessREST, typeServerlessHTTP, typeREST:
		return apiIDOf(res.id), nil
	case typeQueue:
		return "https://sqs." + t.pseudo["AWS::Region"] + ".amazonaws.com/" + t.pseudo["AWS::AccountId"] + "/" + name, nil
	case typeTopic, "AWS::SecretsManager::Secret", "AWS::StepFunctions::StateMachine":
		return t.arn(res, name), nil
	case "AWS::Lambda::Alias", "AWS::Lambda::Version":
		var p struct {
			Function string `yaml:"FunctionName"`
			Name     string `yaml:"Name"`
		}
		err := t.decode(res, &p)
		if !strings.Contains(p.Function, ":function:") {
			p.Function = t.function(p.Function)
		}
		return p.Function + ":" + cmp.Or(p.Name, "1"), err
	}
	return name, nil
}

// nameOf is the name of a resource: the one that the template gives it, or its logical id. AWS would add to that what makes it unique.
func (t *source) nameOf(res *resource) (string, error) {
	var p struct {
		Function string `yaml:"FunctionName"`
		Table    string `yaml:"TableName"`
		Queue    string `yaml:"QueueName"`
		Bucket   string `yaml:"BucketName"`
		Topic    string `yaml:"TopicName"`
		Stage    string `yaml:"StageName"`
		Name     string `yaml:"Name"`
	}
	switch res.kind {
	case typeServerlessFunction, typeLambdaFunction, typeQueue, typeTable, typeSimpleTable, typeGlobalTable,
		"AWS::S3::Bucket", typeTopic, typeStage, "AWS::Events::EventBus", "AWS::SSM::Parameter":
	default:
		return res.id, nil
	}
	if t.naming++; t.naming > maxResolveDepth { // a name that refers to itself
		return "", res.errorf("its name is defined by itself")
	}
	defer func() { t.naming-- }()
	err := t.decode(res, &p)
	return cmp.Or(p.Function, p.Table, p.Queue, p.Bucket, p.Topic, p.Stage, p.Name, res.id), err
}

func (t *source) getAtt(arg *yaml.Node, depth int) (*yaml.Node, error) {
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
	return t.attribute(path, arg)
}

// attribute is the value of Resource.Attribute.
func (t *source) attribute(path string, at *yaml.Node) (*yaml.Node, error) {
	id, attribute, ok := strings.Cut(path, ".")
	res := t.byID[id]
	if !ok || res == nil {
		return nil, lineError(at, "GetAtt %s, which is no resource", path)
	}
	name, err := t.nameOf(res)
	if err != nil {
		return nil, err
	}
	if t.resolver != nil {
		if v, ok := t.resolver(Reference{Resource: id, Type: res.kind, Name: name, Attribute: attribute}); ok {
			return text(v, at.Line), nil
		}
	}
	isAPI := res.kind == typeServerlessAPI || res.kind == typeAPI
	switch {
	case attribute == "Arn", attribute == "TopicArn", attribute == "FunctionArn":
		return text(t.arn(res, name), at.Line), nil
	case attribute == "QueueName", attribute == "Name", attribute == "TopicName":
		return text(name, at.Line), nil
	case attribute == "QueueUrl":
		return t.ref(id, at)
	case res.kind == typeServerlessFunction && attribute == "Alias":
		return text(t.arn(res, name)+":live", at.Line), nil
	case res.kind == typeServerlessFunction && attribute == "Version":
		return text(t.arn(res, name)+":1", at.Line), nil
	case isAPI && attribute == "ApiId":
		return t.ref(id, at)
	case (isAPI || res.kind == typeServerlessHTTP) && attribute == "ApiEndpoint":
		scheme, err := t.schemeOf(res)
		if err != nil {
			return nil, err
		}
		return text(scheme+"://"+apiIDOf(id)+".execute-api."+t.pseudo["AWS::Region"]+"."+t.pseudo["AWS::URLSuffix"], at.Line), nil
	case attribute == "StreamArn", attribute == "LatestStreamLabel":
		return text(t.arn(res, name)+"/stream/local", at.Line), nil
	case strings.HasSuffix(attribute, "Id"), attribute == "UserName":
		return text(id, at.Line), nil
	}
	t.warnf(at.Line, "what GetAtt %s is worth is unknown; %q stands for it", path, path)
	return text(path, at.Line), nil
}

// schemeOf is how an API is asked.
func (t *source) schemeOf(res *resource) (string, error) {
	var p apiProps
	if err := t.decode(res, &p); err != nil {
		return "", err
	}
	if res.kind == typeServerlessHTTP || p.Protocol == "HTTP" {
		return "https", nil
	}
	return "wss", nil
}

// arn makes the ARN of a resource; its last element leads back to it.
func (t *source) arn(res *resource, name string) string {
	service, kind := "unknown", ""
	if parts := strings.Split(res.kind, "::"); len(parts) == 3 {
		service = strings.ToLower(parts[1])
		kind = strings.ToLower(parts[2]) + "/"
	}
	switch res.kind {
	case typeServerlessFunction, typeLambdaFunction:
		return t.function(name)
	case typeQueue, typeTopic:
		kind = ""
	case typeTable, typeSimpleTable, typeGlobalTable:
		service, kind = "dynamodb", "table/"
	case "AWS::S3::Bucket":
		return "arn:" + t.pseudo["AWS::Partition"] + ":s3:::" + name
	case "AWS::IAM::Role":
		return "arn:" + t.pseudo["AWS::Partition"] + ":iam::" + t.pseudo["AWS::AccountId"] + ":role/" + name
	case "AWS::SecretsManager::Secret":
		kind = "secret:"
	}
	return "arn:" + t.pseudo["AWS::Partition"] + ":" + service + ":" + t.pseudo["AWS::Region"] + ":" + t.pseudo["AWS::AccountId"] + ":" + kind + name
}

// function is the ARN of the function of a name.
func (t *source) function(name string) string {
	return "arn:" + t.pseudo["AWS::Partition"] + ":lambda:" + t.pseudo["AWS::Region"] + ":" + t.pseudo["AWS::AccountId"] + ":function:" + name
}
