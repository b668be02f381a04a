// Package openapi describes POST /emit as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1), whose schemas are made of the
// types of the hub's commands.
package openapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

type object = map[string]any

// says is what each command does.
func says() map[string]string {
	return map[string]string{
		"ask":         "Sends an event to clients of Socket.IO, and gives what they answer.",
		"close":       "Begins a new log in a room, and takes everybody out.",
		"connections": "Lists connections.",
		"disconnect":  "Closes connections.",
		"history":     "Reads a room's log.",
		"join":        "Puts connections into a room.",
		"leave":       "Takes connections out of a room.",
		"members":     "Lists the connections in a room.",
		"presence":    "Lists who is present in a room.",
		"publish":     "Logs an event in rooms and tells their members.",
		"stats":       "Counts what is open.",
	}
}

// needs are the fields that a command makes no sense without.
func needs() map[string][]string {
	return map[string][]string{
		"publish": {"event"}, "ask": {"event"}, "close": {"room"}, "history": {"room"}, "join": {"room"}, "leave": {"room"}, "members": {"room"},
		"presence": {"room"},
	}
}

// Document gives the document, as JSON. release is the program's.
func Document(release string) ([]byte, error) {
	schemas := object{
		"Answer": object{
			"type": "object", "required": []string{"ok"},
			"properties": object{
				"ok": object{"type": "boolean"}, "data": object{"description": "What the command gives, as far as it got."},
				"error": object{"$ref": "#/components/schemas/Error"},
			},
		},
		"Error": object{
			"type": "object", "required": []string{"code", "message", "retry"},
			"properties": object{
				"code": object{"type": "string", "enum": protocol.Codes()}, "message": object{"type": "string"},
				"retry":        object{"type": "boolean", "description": "The same request may work later."},
				"retryAfterMs": object{"type": "integer"},
			},
		},
	}
	var commands []object
	mapping := object{}
	for _, c := range hub.Commands() {
		name := hub.WhatOf(c).Command
		title := strings.ToUpper(name[:1]) + name[1:] + "Command"
		properties := object{"command": object{"const": name}}
		fields(reflect.TypeOf(c), properties)
		schemas[title] = object{
			"type": "object", "title": title, "description": says()[name], "additionalProperties": false,
			"required": slices.Concat([]string{"command"}, needs()[name]), "properties": properties,
		}
		at := "#/components/schemas/" + title
		commands, mapping[name] = append(commands, object{"$ref": at}), at
	}
	schemas["Command"] = object{"oneOf": commands, "discriminator": object{"propertyName": "command", "mapping": mapping}}
	one, answer := object{"$ref": "#/components/schemas/Command"}, object{"$ref": "#/components/schemas/Answer"}
	content := func(one object) object {
		return object{"application/json": object{"schema": object{"oneOf": []object{one, {"type": "array", "items": one}}}}}
	}
	responses := object{"200": object{"description": "It is done. A list is answered by a list.", "content": content(answer)}}
	for _, code := range protocol.Codes() {
		status := strconv.Itoa(route.StatusOf(code))
		names := string(code)
		if known, ok := responses[status].(object); ok {
			names = fmt.Sprint(known["description"], ", ", code)
		}
		responses[status] = object{"description": names, "content": object{"application/json": object{"schema": answer}}}
	}
	method, path, _ := strings.Cut(route.HTTPRoute, " ")
	text, err := json.Marshal(object{
		"openapi": "3.1.1",
		"info": object{
			"title": "Bellhop", "version": release, "license": object{"name": "MIT", "identifier": "MIT"},
			"description": "Emits from programs outside AWS, by a key of the parameter EmitKeys.",
		},
		"servers":  []object{{"url": "http://127.0.0.1:4000", "description": "bellhop dev"}, {"url": "https://{api}.execute-api.{region}.amazonaws.com", "description": "the output EmitUrl", "variables": object{"api": object{"default": "abc123"}, "region": object{"default": "eu-west-1"}}}},
		"security": []object{{"key": []string{}}},
		"paths": object{path: object{strings.ToLower(method): object{
			"operationId": "emit", "summary": "Does a command, or a list of them in order.",
			"parameters": []object{{
				"name": "Idempotency-Key", "in": "header", "description": "Has the events of a request logged once, however often it is sent.",
				"schema": object{"type": "string", "minLength": 1, "maxLength": 64},
			}},
			"requestBody": object{"required": true, "content": content(one)},
			"responses":   responses,
		}}},
		"components": object{"schemas": schemas, "securitySchemes": object{"key": object{"type": "http", "scheme": "bearer"}}},
	})
	if err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	return text, nil
}

// fields adds those of a type, as encoding/json has them.
func fields(t reflect.Type, to object) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			fields(f.Type, to)
		case f.IsExported() && name != "":
			to[name] = schema(f.Type)
		}
	}
}

func schema(t reflect.Type) object {
	switch t.Kind() {
	case reflect.Pointer:
		return schema(t.Elem())
	case reflect.Struct:
		properties := object{}
		fields(t, properties)
		return object{"type": "object", "properties": properties}
	case reflect.Slice:
		if t == reflect.TypeFor[json.RawMessage]() {
			return object{} // any JSON
		}
		return object{"type": "array", "items": schema(t.Elem())}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer", "minimum": 0}
	default:
		return object{"type": "string"}
	}
}
