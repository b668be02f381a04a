//go:build ignore

// Derive writes template.yaml, or that of a release, as an emulator of AWS can take it. The template names folders, so the file it writes has to lie
// beside it.
//
//	go run scripts/derive.go -drop AWS::ApiGatewayV2::RouteResponse -env AWS_ENDPOINT_URL=http://127.0.0.1:4566 OUT.yaml
package main

import (
	"bytes"
	"flag"
	"log"
	"os"
	"runtime"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// list is a flag that may be repeated.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

// Set is [flag.Value].Set.
func (l *list) Set(v string) error {
	*l = append(*l, v)
	return nil
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("derive: ")
	var drop, env list
	flag.Var(&drop, "drop", "leave out resources of this `type`, and outputs that are about them")
	flag.Var(&env, "env", "give each function `NAME=VALUE` in its environment")
	api := flag.String("api", "", "the `URL` that the API has there, without the stage; ${WebSocketApi} in it is its id")
	code := flag.String("code", "", "the `DIR` that sam build has left the functions in")
	named := flag.Bool("named", false, "give functions and table their logical ids as names, as bellhop dev calls them")
	from := flag.String("from", "template.yaml", "the template `FILE`; that of a release names what sam deploy uploads")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: go run scripts/derive.go [flags] OUT.yaml")
	}
	text, err := os.ReadFile(*from)
	if err != nil {
		log.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		log.Fatal(err)
	}
	template := document.Content[0]
	put(of(template, "Globals", "Function"), "Architectures", sequence(architecture()))
	resources := of(template, "Resources")
	dropped := dropTypes(resources, drop)
	for i := 0; i < len(resources.Content); i += 2 {
		id, resource := resources.Content[i].Value, resources.Content[i+1]
		properties := of(resource, "Properties")
		switch of(resource, "Type").Value {
		case "AWS::Serverless::Function":
			for _, pair := range env {
				name, value, _ := strings.Cut(pair, "=")
				put(of(properties, "Environment", "Variables"), name, scalar(value))
			}
			if *named {
				put(properties, "FunctionName", scalar(id))
			}
			unscaled(properties)
			if *code != "" {
				put(properties, "CodeUri", scalar(*code+"/"+id))
				keep(resource, func(name string, _ *yaml.Node) bool { return name != "Metadata" }) // says how to build it
			}
		case "AWS::DynamoDB::Table":
			if *named {
				put(properties, "TableName", scalar(id))
			}
		}
	}
	if *api != "" {
		move(template, *api)
	}
	outputs := of(template, "Outputs")
	keep(outputs, func(_ string, output *yaml.Node) bool {
		return !slices.ContainsFunc(dropped, func(id string) bool { return refers(output, id) })
	})
	for _, id := range dropped {
		forget(resources, id)
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&document); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(flag.Arg(0), out.Bytes(), 0o600); err != nil {
		log.Fatal(err)
	}
}

// unscaled leaves out how many instances work off a queue: ministack takes the number of a parameter for a text, and delivers nothing.
func unscaled(properties *yaml.Node) {
	i := index(properties, "Events")
	if i < 0 {
		return
	}
	for event := range slices.Chunk(properties.Content[i+1].Content, 2) {
		keep(of(event[1], "Properties"), func(name string, _ *yaml.Node) bool { return name != "ScalingConfig" })
	}
}

// architecture is that of this machine, as Lambda calls it.
func architecture() string {
	if runtime.GOARCH == "amd64" {
		return "x86_64"
	}
	return runtime.GOARCH
}

// of follows keys through maps, and fails where one is missing.
func of(node *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		i := index(node, key)
		if i < 0 {
			log.Fatalf("template.yaml:%d has no %s", node.Line, key)
		}
		node = node.Content[i+1]
	}
	return node
}

func index(node *yaml.Node, key string) int {
	for i := 0; i < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// put sets a key of a map.
func put(node *yaml.Node, key string, value *yaml.Node) {
	if i := index(node, key); i >= 0 {
		node.Content[i+1] = value
		return
	}
	node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
}

func scalar(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

func sequence(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: []*yaml.Node{scalar(text)}}
}

// keep leaves out what does not fit of a map.
func keep(node *yaml.Node, fits func(name string, value *yaml.Node) bool) {
	var kept []*yaml.Node
	for pair := range slices.Chunk(node.Content, 2) {
		if fits(pair[0].Value, pair[1]) {
			kept = append(kept, pair...)
		}
	}
	node.Content = kept
}

// dropTypes takes resources out, and gives the names of those.
func dropTypes(resources *yaml.Node, types []string) []string {
	var dropped []string
	keep(resources, func(id string, resource *yaml.Node) bool {
		is := slices.Contains(types, of(resource, "Type").Value)
		if is {
			dropped = append(dropped, id)
		}
		return !is
	})
	return dropped
}

// move writes another address of the API wherever there is the one that it has on AWS. That of POST /emit is beside it, where an address
// has the id of its API in it, and the same otherwise.
func move(node *yaml.Node, to string) {
	const host = "://${WebSocketApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
	if node.Tag == "!Sub" {
		emit := to
		if beside := strings.Replace(to, "WebSocketApi", "EmitApi", 1); beside != to {
			emit = beside + "/$default"
		}
		node.Value = strings.Replace(node.Value, "https"+strings.Replace(host, "WebSocketApi", "EmitApi", 1), emit, 1)
		node.Value = strings.Replace(node.Value, "https"+host, to, 1)
		node.Value = strings.Replace(node.Value, "wss"+host, strings.Replace(to, "http", "ws", 1), 1)
	}
	for _, child := range node.Content {
		move(child, to)
	}
}

// refers reports whether something is about a resource.
func refers(node *yaml.Node, id string) bool {
	switch node.Tag {
	case "!Ref", "!GetAtt":
		name, _, _ := strings.Cut(node.Value, ".")
		return name == id
	case "!Sub":
		return strings.Contains(node.Value, "${"+id+"}")
	}
	return slices.ContainsFunc(node.Content, func(child *yaml.Node) bool { return refers(child, id) })
}

// forget writes a name in the place of a resource that is not there: the policies are about connections of an API.
func forget(node *yaml.Node, id string) {
	if node.Tag == "!Sub" {
		node.Value = strings.ReplaceAll(node.Value, "${"+id+"}", strings.ToLower(id))
	}
	for _, child := range node.Content {
		forget(child, id)
	}
}
