// Package asyncapi describes the wire protocol as an AsyncAPI 3.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0),
// for people and for generators of clients. It is made of the tables of internal/protocol and of definitions.yaml, which tests
// hold against what is really sent: here the golden frames, in internal/check/tables what the hub answers, and in
// internal/local/server every event over real sockets.
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

//go:embed definitions.yaml
var definitions []byte

// object is one of JSON.
type object = map[string]any

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

// name is a name as keys of AsyncAPI may be.
func name(text string) string { return strings.ReplaceAll(text, ":", "_") }

// Document gives the document as JSON, for a server at an address such as ws://127.0.0.1:4000/dev.
func Document(version string) ([]byte, error) {
	var all object
	if err := yaml.Unmarshal(definitions, &all); err != nil {
		return nil, fmt.Errorf("read definitions: %w", err)
	}
	b := builder{messages: object{}, operations: object{}, inChannel: object{}}
	for _, row := range protocol.Actions() {
		if err := b.action(row); err != nil {
			return nil, err
		}
	}
	for _, row := range events() {
		if err := b.event(row); err != nil {
			return nil, err
		}
	}
	b.others()
	all["event"] = frameOf(object{"type": "string"}, object{}, true)
	all["error"] = errorSchema()
	text, err := json.MarshalIndent(object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "Bellhop", "version": version, "license": object{"name": "MIT"},
			"description": fmt.Sprintf("Rooms, presence and notifications over one WebSocket: the protocol %s. One JSON text a frame; a client sends at most %d KB, a server %d KB.",
				protocol.Name, protocol.MaxClientFrame>>10, protocol.MaxServerFrame>>10),
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

func (b builder) message(key, title, summary string, payload object, examples ...string) {
	message := object{"name": title, "title": title, "summary": summary, "payload": payload}
	if len(examples) > 0 {
		message["examples"] = []any{object{"payload": json.RawMessage(examples[0])}}
	}
	b.messages[key], b.inChannel[key] = message, ref("messages", key)
}

func inChannel(key string) object { return object{"$ref": "#/channels/socket/messages/" + key} }

func (b builder) action(row protocol.ActionRow) error {
	var payload object
	if err := json.Unmarshal([]byte(row.Fields), &payload); err != nil {
		return fmt.Errorf("read fields of %s: %w", row.Name, err)
	}
	required, _ := payload["required"].([]any)
	properties, _ := payload["properties"].(object)
	all := object{"action": object{"const": row.Name}, "id": idSchema()}
	maps.Copy(all, properties)
	payload["type"], payload["required"], payload["properties"] = "object", append([]any{"action"}, required...), all
	key := "action_" + name(row.Name)
	b.message(key, row.Name, row.Says, payload, row.Example)
	answers := []any{inChannel("refused")}
	if row.Reply == "" {
		answers = []any{inChannel(protocol.Pong)}
	} else {
		reply := "reply_" + row.Reply
		b.message(reply, row.Reply, "The answer to an action that worked", object{
			"type": "object", "required": []string{"reply", "ok", "data"},
			"properties": object{"reply": object{"type": "string"}, "ok": object{"const": true}, "data": ref("schemas", row.Reply)},
		})
		answers = append([]any{inChannel(reply)}, answers...)
	}
	b.operations[name(row.Name)] = object{
		"action": "receive", "channel": object{"$ref": "#/channels/socket"}, "summary": row.Says, "messages": []any{inChannel(key)},
		"reply": object{"channel": object{"$ref": "#/channels/socket"}, "messages": answers},
	}
	return nil
}

// events are those of the table that this dialect has.
func events() []protocol.EventRow {
	return slices.DeleteFunc(protocol.Events(), func(row protocol.EventRow) bool { return row.SocketIO })
}

func (b builder) event(row protocol.EventRow) error {
	if row.Sort == protocol.Answer {
		b.message(row.Name, row.Name, row.Says, object{"type": "object", "required": []string{"event"}, "properties": object{"event": object{"const": row.Name}}}, row.Example)
		return nil
	}
	properties := object{}
	if row.Data != "" {
		var data object
		if err := json.Unmarshal([]byte(row.Data), &data); err != nil {
			return fmt.Errorf("read data of %s: %w", row.Name, err)
		}
		properties["data"] = data
	}
	key := eventKey(row.Name)
	b.message(key, row.Name, row.Says, frameOf(object{"const": row.Name}, properties, row.Sort == protocol.Logged), row.Example)
	b.send(key, row.Says)
	return nil
}

// eventKey names the message of an event that is not an answer.
func eventKey(event string) string { return "event_" + name(event) }

func (b builder) send(key, summary string) {
	b.operations["on_"+strings.TrimPrefix(key, "event_")] = object{
		"action": "send", "channel": object{"$ref": "#/channels/socket"}, "summary": summary, "messages": []any{inChannel(key)},
	}
}

// others are the frames that have no row in a table.
func (b builder) others() {
	taken, defined := []any{}, []any{}
	for _, row := range protocol.Actions() {
		taken = append(taken, row.Name)
	}
	for _, row := range events() {
		defined = append(defined, row.Name)
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
	b.message("event_other", "an event of your own", "Published by a client with a grant, signalled, or emitted by a program", frameOf(
		object{"type": "string", "not": object{"enum": defined}}, object{}, false))
	b.send("event_other", "An event of the application's own")
	b.message("refused", "refused", "Why an action was refused; reply is null when it had no id", object{
		"type": "object", "required": []string{"reply", "ok", "error"},
		"properties": object{"reply": object{"type": []string{"string", "null"}}, "ok": object{"const": false}, "error": ref("schemas", "error")},
	})
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
