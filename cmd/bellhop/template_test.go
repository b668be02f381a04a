package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
)

// TestForeignTemplate serves an application that knows nothing of Bellhop, as another program would start it.
func TestForeignTemplate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := devCommand{
		Listen: "127.0.0.1:0", Data: dir, Quiet: true, Template: "testdata/chat/template.yaml", ReadyFile: filepath.Join(dir, "ready.json"),
		Parameter: map[string]string{"Greeting": "good day"},
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	var ready struct{ HTTP, WebSocket string }
	servertest.Eventually(t, "it is ready, or has ended", func() bool {
		text, err := os.ReadFile(c.ReadyFile)
		return err == nil && json.Unmarshal(text, &ready) == nil || len(ended) > 0
	})
	if ready.HTTP == "" {
		t.Fatalf("ended: %v", <-ended)
	}
	//nolint:bodyclose // Dial's own comment: you never need to close it
	conn, _, err := websocket.Dial(ctx, ready.WebSocket, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"action":"anything"}`)); err != nil {
		t.Fatal(err)
	}
	wait, cancel := context.WithTimeout(ctx, servertest.Patience)
	defer cancel()
	_, text, err := conn.Read(wait)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Echo, Greeting, Queue string }
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if got.Echo != `{"action":"anything"}` || got.Greeting != "good day" || !strings.HasPrefix(got.Queue, ready.HTTP+"/") {
		t.Errorf("got %+v", got)
	}
	_ = conn.Close(websocket.StatusNormalClosure, "")
	stop()
	if err := <-ended; err != nil {
		t.Errorf("at the end: %v", err)
	}
	if _, err := os.Stat(c.ReadyFile); !os.IsNotExist(err) {
		t.Errorf("the ready file is left: %v", err)
	}
}

func TestForeignTemplateErrors(t *testing.T) {
	t.Parallel()
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "template.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, c := range map[string]struct {
		command devCommand
		want    string
	}{
		"no YAML":              {devCommand{Template: write("a: [")}, "template.yaml"},
		"no file":              {devCommand{Template: "nowhere.yaml"}, "look for a template: stat nowhere.yaml"},
		"an empty folder":      {devCommand{Template: t.TempDir()}, "there is none of template.yaml"},
		"no API":               {devCommand{Template: write("Resources: {}")}, "WebSocket API"},
		"a way there is not":   {devCommand{Template: "testdata/chat/template.yaml", Functions: "docker"}, "--functions is process or endpoint=URL"},
		"a fault there is not": {devCommand{Fault: []string{"fire=1%"}}, "--fault"},
		"processes and bolt":   {devCommand{Functions: "process"}, "--dynamodb"},
		"a database there is not": {devCommand{
			Template: write("Resources: {T: {Type: AWS::DynamoDB::Table, Properties: {AttributeDefinitions: [{AttributeName: a, AttributeType: S}], KeySchema: [{AttributeName: a, KeyType: HASH}], BillingMode: PAY_PER_REQUEST}}}"),
			DynamoDB: "http://127.0.0.1:1",
		}, "--dynamodb http://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.command.Listen, c.command.Data, c.command.Quiet = "127.0.0.1:0", t.TempDir(), true
			err := c.command.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something of %q", err, c.want)
			}
		})
	}
}
