package openapi_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/openapi"
)

// TestDocument: every command is described, and the schemas take what the function takes and refuse what it refuses.
func TestDocument(t *testing.T) {
	text, err := openapi.Document("v0")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("emit.json", document); err != nil {
		t.Fatal(err)
	}
	command, err := compiler.Compile("emit.json#/components/schemas/Command")
	if err != nil {
		t.Fatal(err)
	}
	var described struct {
		Components struct {
			Schemas map[string]struct {
				Description string
				Properties  map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(text, &described); err != nil {
		t.Fatal(err)
	}
	names := hub.CommandNames()
	if len(hub.Commands()) != len(names) {
		t.Errorf("%d commands are described, there are %d", len(hub.Commands()), len(names))
	}
	for i, c := range hub.Commands() {
		name := hub.WhatOf(c).Command
		if name != names[i] {
			t.Errorf("got %s, want %s", name, names[i])
		}
		if got := described.Components.Schemas[string(name[0]-32)+name[1:]+"Command"]; got.Description == "" || len(got.Properties) == 0 {
			t.Errorf("%s is not described", name)
		}
	}
	for text, want := range map[string]bool{
		`{"command":"publish","rooms":["channel:1"],"event":"n","data":{"a":[1]},"id":"m1","from":{"userId":"ana"}}`: true,
		`{"command":"publish","users":["ana"],"event":"n","data":null,"ephemeral":true,"except":["bob"]}`:            true,
		`{"command":"publish","all":true,"event":"n","id":"m1","after":"8"}`:                                         true,
		`{"command":"publish","all":"yes","event":"n"}`:                                                              false,
		`{"command":"disconnect","user":"ana","reason":"banned"}`:                                                    true,
		`{"command":"history","room":"channel:1","before":3,"limit":10}`:                                             true,
		`{"command":"stats"}`:                                           true,
		`{"command":"publish","rooms":["channel:1"]}`:                   false,
		`{"command":"publish","room":"channel:1","event":"n"}`:          false,
		`{"command":"publish","rooms":"channel:1","event":"n"}`:         false,
		`{"command":"shout"}`:                                           false,
		`{"command":"history","room":"channel:1","before":"yesterday"}`: false,
	} {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Validate(value); (err == nil) != want {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
