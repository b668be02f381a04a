package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/stack"
	"github.com/bellhop-rt/bellhop/internal/release"
)

func TestStats(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	ana, _ := s.Connect("ana"), s.Connect("ana")
	ana.Does(`{"action":"join","id":"1","room":"channel:a"}`)
	want := release.Name() + ` 2   connections
          1   users
          1   channel rooms, with 1 connections in them
          1   user rooms, with 2 connections in them`
	tidy := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	here := statsCommand{emitFlags: emitFlags{endpointFlag: endpointFlag{stack.Endpoint(s.URL)}}}
	var out bytes.Buffer
	if err := here.print(t.Context(), &out); err != nil || tidy(out.String()) != tidy(want) {
		t.Errorf("got %v\n%s", err, out.String())
	}
	out.Reset()
	here.JSON = true
	if err := here.print(t.Context(), &out); err != nil || !strings.Contains(tidy(out.String()), `"connections": 2, "users": 1`) {
		t.Errorf("JSON: got %v\n%s", err, out.String())
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_LAMBDA": s.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
	} {
		t.Setenv(name, value)
	}
	out.Reset()
	there := statsCommand{emitFlags: emitFlags{Function: "EmitFunction"}}
	if err := there.print(t.Context(), &out); err != nil || tidy(out.String()) != tidy(want) {
		t.Errorf("by the Invoke API: got %v\n%s", err, out.String())
	}
	nobody := statsCommand{emitFlags: emitFlags{endpointFlag: endpointFlag{"http://127.0.0.1:1"}}}
	if err := nobody.print(t.Context(), &out); err == nil || !strings.Contains(err.Error(), "is bellhop dev running?") {
		t.Errorf("nobody there: got %v", err)
	}
}

func TestEmitChecksData(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	emit := emitCommand{Rooms: []string{"channel:1"}, Event: "message:new", Data: `{"text":"hi"}`, Strict: true, emitFlags: emitFlags{endpointFlag: endpointFlag{stack.Endpoint(s.URL)}}}
	var out bytes.Buffer
	if err := emit.send(t.Context(), &out); err == nil || !strings.Contains(err.Error(), "data.content is missing") {
		t.Errorf("strict: got %v", err)
	}
	emit.Strict = false
	if err := emit.send(t.Context(), &out); err != nil || !strings.Contains(out.String(), `"seq":1`) {
		t.Errorf("got %v, %s", err, out.String())
	}
}

func TestEmitToAll(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	ana, bob := s.Connect("ana"), s.Connect("bob")
	emit := emitCommand{All: true, Event: "notice", Data: "1", ID: "n1", emitFlags: emitFlags{endpointFlag: endpointFlag{stack.Endpoint(s.URL)}}}
	var out bytes.Buffer
	if err := emit.send(t.Context(), &out); err != nil || out.String() != `{"id":"n1","reached":2}`+"\n" {
		t.Errorf("got %v, %s", err, out.String())
	}
	ana.Event("notice", "user:ana")
	bob.Event("notice", "user:bob")
	emit.Rooms = []string{"channel:1"}
	if err := emit.send(t.Context(), &out); err == nil || !strings.Contains(err.Error(), "--all alone") {
		t.Errorf("to all and a room: got %v", err)
	}
}

func TestProtocolPage(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	for path, want := range map[string]string{
		"/_bellhop/api":               `<article class="card" id="action_join">`,
		"/_bellhop/api/asyncapi.json": `"asyncapi": "3.0.0"`,
		"/_bellhop/api.css":           ".api",
	} {
		response, err := http.Get(s.URL + path) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v, want %s in\n%.500s", path, response.Status, err, want, body)
		}
	}
}
