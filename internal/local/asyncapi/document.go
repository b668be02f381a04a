// Package asyncapi describes the wire protocol as an AsyncAPI 3.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0),
// for people and for generators of clients. What a frame may hold is in schemas.yaml; its tests hold that against
// internal/protocol and against what the hub really sends, so the two cannot part.
package asyncapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

//go:embed schemas.yaml
var schemas []byte

// definitions is schemas.yaml.
type definitions struct {
	Definitions map[string]any    `yaml:"definitions"`
	Actions     map[string]action `yaml:"actions"`
	Events      map[string]event  `yaml:"events"`
}

type action struct {
	Does       string         `yaml:"does"`
	Required   []string       `yaml:"required"`
	Properties map[string]any `yaml:"properties"`
	Reply      string         `yaml:"reply"` // name of a definition; empty: pong
}

type event struct {
	Says   string `yaml:"says"`
	Logged bool   `yaml:"logged"`
	Data   any    `yaml:"data"` // nil: it has none
}

func read() (definitions, error) {
	var d definitions
	if err := yaml.Unmarshal(schemas, &d); err != nil {
		return d, fmt.Errorf("read schemas: %w", err)
	}
	return d, nil
}

// object is one of JSON.
type object = map[string]any

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

// name is a name as keys of AsyncAPI may be.
func name(text string) string { return strings.ReplaceAll(text, ":", "_") }

// Document gives the document as JSON, for a server at an address such as ws://127.0.0.1:4000/dev.
func Document(version string) ([]byte, error) {
	d, err := read()
	if err != nil {
		return nil, err
	}
	b := builder{messages: object{}, operations: object{}, inChannel: object{}}
	for _, n := range slices.Sorted(maps.Keys(d.Actions)) {
		b.action(n, d.Actions[n])
	}
	for _, n := range slices.Sorted(maps.Keys(d.Events)) {
		b.event(n, d.Events[n])
	}
	b.others(d)
	all := d.Definitions
	all["event"] = frameOf(object{"type": "string"}, object{}, true)
	all["error"] = errorSchema()
	text, err := json.MarshalIndent(object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "Bellhop", "version": version, "license": object{"name": "MIT"},
			"description": "Rooms, presence and notifications over one WebSocket: the protocol " + protocol.Name + ". One JSON text a frame; a client sends at most 32 KB, a server 128 KB.",
		},
		"defaultContentType": "application/json",
		"servers": object{
			"aws":   object{"host": "{api}.execute-api.{region}.amazonaws.com", "pathname": "/{stage}", "protocol": "wss", "description": "Your stack: the output WebSocketUrl", "variables": object{"api": object{}, "region": object{}, "stage": object{"default": "dev"}}, "security": []any{ref("securitySchemes", "subprotocol"), ref("securitySchemes", "query")}},
			"local": object{"host": "127.0.0.1:4000", "pathname": "/dev", "protocol": "ws", "description": "bellhop dev", "security": []any{ref("securitySchemes", "subprotocol"), ref("securitySchemes", "query")}},
		},
		"channels":   object{"socket": object{"address": "/", "description": "One connection: everything goes over it, in either direction", "messages": b.inChannel}},
		"operations": b.operations,
		"components": object{
			"messages": b.messages, "schemas": all,
			"securitySchemes": object{
				"subprotocol": object{"type": "httpApiKey", "in": "header", "name": "Sec-WebSocket-Protocol", "description": `A JWT, offered beside the protocol: new WebSocket(url, ["bellhop.v1", "bearer.<jwt>"])`},
				"query":       object{"type": "httpApiKey", "in": "query", "name": "token", "description": "A JWT; second best, since URLs are logged"},
			},
		},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	return append(text, '\n'), nil
}

type builder struct {
	messages, operations, inChannel object
}

func (b builder) message(key, title, summary string, payload object) {
	b.messages[key] = object{"name": title, "title": title, "summary": summary, "payload": payload}
	b.inChannel[key] = ref("messages", key)
}

func inChannel(key string) object { return object{"$ref": "#/channels/socket/messages/" + key} }

func (b builder) action(title string, a action) {
	key := "action_" + name(title)
	properties := object{"action": object{"const": title}, "id": idSchema()}
	maps.Copy(properties, a.Properties)
	b.message(key, title, a.Does, object{"type": "object", "required": append([]string{"action"}, a.Required...), "properties": properties})
	answers := []any{inChannel("refused")}
	if a.Reply == "" {
		answers = []any{inChannel("pong")}
	} else {
		reply := "reply_" + a.Reply
		b.message(reply, a.Reply, "The answer to an action that worked", object{
			"type": "object", "required": []string{"reply", "ok", "data"},
			"properties": object{"reply": object{"type": "string"}, "ok": object{"const": true}, "data": ref("schemas", a.Reply)},
		})
		answers = append([]any{inChannel(reply)}, answers...)
	}
	b.operations[name(title)] = object{
		"action": "receive", "channel": object{"$ref": "#/channels/socket"}, "summary": a.Does, "messages": []any{inChannel(key)},
		"reply": object{"channel": object{"$ref": "#/channels/socket"}, "messages": answers},
	}
}

func (b builder) event(title string, e event) {
	key := "event_" + name(title)
	properties := object{}
	if e.Data != nil {
		properties["data"] = e.Data
	}
	b.message(key, title, e.Says, frameOf(object{"const": title}, properties, e.Logged))
	b.send(key, e.Says)
}

func (b builder) send(key, summary string) {
	b.operations["on_"+strings.TrimPrefix(key, "event_")] = object{
		"action": "send", "channel": object{"$ref": "#/channels/socket"}, "summary": summary, "messages": []any{inChannel(key)},
	}
}

// others are the frames that have no name in schemas.yaml.
func (b builder) others(d definitions) {
	taken := []any{}
	for _, n := range slices.Sorted(maps.Keys(d.Actions)) {
		taken = append(taken, n)
	}
	b.message("action_other", "an action of your own", "Asks the application's hook for actions", object{
		"type": "object", "required": []string{"action"},
		"properties": object{
			"action": object{"type": "string", "minLength": 1, "maxLength": 64, "not": object{"enum": taken}},
			"id":     idSchema(), "room": ref("schemas", "room"), "data": object{},
		},
	})
	b.message("reply_other", "the answer of your own action", "What the application's hook has answered", object{
		"type": "object", "required": []string{"reply", "ok"},
		"properties": object{"reply": object{"type": "string"}, "ok": object{"const": true}, "data": object{}},
	})
	b.operations["other"] = object{
		"action": "receive", "channel": object{"$ref": "#/channels/socket"}, "summary": "An action of the application's own", "messages": []any{inChannel("action_other")},
		"reply": object{"channel": object{"$ref": "#/channels/socket"}, "messages": []any{inChannel("reply_other"), inChannel("refused")}},
	}
	names := []any{}
	for _, n := range protocol.SystemEvents() {
		names = append(names, n)
	}
	b.message("event_other", "an event of your own", "Published by a client with a grant, signalled, or emitted by a program", frameOf(
		object{"type": "string", "not": object{"enum": append(names, "pong")}}, object{}, false))
	b.send("event_other", "An event of the application's own")
	b.message("refused", "refused", "Why an action was refused; reply is null when it had no id", object{
		"type": "object", "required": []string{"reply", "ok", "error"},
		"properties": object{"reply": object{"type": []string{"string", "null"}}, "ok": object{"const": false}, "error": ref("schemas", "error")},
	})
	b.message("pong", "pong", "The answer to ping", object{"type": "object", "required": []string{"event"}, "properties": object{"event": object{"const": "pong"}}})
	b.message("batch", "batch", "Several frames in one, in order, of 32 KB at most", object{
		"type": "object", "required": []string{"batch"}, "properties": object{"batch": object{"type": "array", "minItems": 2, "items": object{"type": "object"}}},
	})
	b.send("batch", "Several frames in one")
}

func idSchema() object {
	return object{"type": "string", "maxLength": 128, "description": "Asks for a reply"}
}

// frameOf is the schema of an event's frame.
func frameOf(named, properties object, logged bool) object {
	all := object{
		"event": named, "room": ref("schemas", "room"), "from": ref("schemas", "from"), "data": object{},
		"seq": object{"type": "integer", "minimum": 1, "description": "Place in the room's log; ephemeral events have none"},
		"id":  object{"type": "string"},
		"ts":  object{"type": "integer", "description": "Unix milliseconds"},
	}
	maps.Copy(all, properties)
	required := []string{"event"}
	if logged {
		required = []string{"event", "room", "seq", "id", "ts"}
	}
	return object{"type": "object", "required": required, "properties": all}
}

func errorSchema() object {
	codes, sentences := []any{}, make([]string, 0, len(protocol.Codes()))
	for _, c := range protocol.Codes() {
		codes = append(codes, string(c))
		sentences = append(sentences, string(c)+": "+c.Sentence())
	}
	return object{
		"type": "object", "required": []string{"code", "message", "retry"},
		"properties": object{
			"code":         object{"type": "string", "enum": codes, "description": strings.Join(sentences, "\n")},
			"message":      object{"type": "string"},
			"retry":        object{"type": "boolean", "description": "The same action may work later"},
			"retryAfterMs": object{"type": "integer"},
		},
	}
}
