package asyncapi

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

func compiled(t *testing.T) *Schemas {
	t.Helper()
	s, err := Compile()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func golden[T any](t *testing.T, file string) []T {
	t.Helper()
	text, err := os.ReadFile("../../protocol/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var list []T
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestDocument: the document has every row of the tables, with an example that fits, and every code.
func TestDocument(t *testing.T) {
	s := compiled(t)
	text, err := Document("1")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct {
			Messages, Schemas map[string]any
		}
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	for _, row := range protocol.Actions() {
		if document.Components.Messages["action_"+name(row.Name)] == nil {
			t.Errorf("%s: the document has no such action", row.Name)
		}
		if row.Reply != "" && document.Components.Schemas[row.Reply] == nil {
			t.Errorf("%s: definitions.yaml has no %s, which is its reply", row.Name, row.Reply)
		}
		if err := s.Action([]byte(row.Example)); err != nil {
			t.Errorf("%s: its example %s does not fit its fields: %v", row.Name, row.Example, err)
		}
	}
	for _, row := range events() {
		if err := s.Sent([]byte(row.Example)); err != nil {
			t.Errorf("%s: its example %s does not fit: %v", row.Name, row.Example, err)
		}
		if row.Sort == protocol.Answer {
			continue
		}
		if document.Components.Messages[eventKey(row.Name)] == nil {
			t.Errorf("%s: the document has no such event", row.Name)
		}
		if err := s.Sent([]byte(`{"event":"` + row.Name + `","data":7}`)); row.Data != "" && err == nil {
			t.Errorf("%s: any data fits", row.Name)
		}
	}
	for _, code := range protocol.Codes() {
		if !bytes.Contains(text, []byte(`"`+code+`"`)) {
			t.Errorf("the document has no code %s", code)
		}
	}
}

// TestClientFrames: what the codec takes fits the document, and what it refuses for its shape does not.
func TestClientFrames(t *testing.T) {
	s := compiled(t)
	taken, refused := 0, 0
	for _, f := range golden[struct {
		Name  string
		Frame json.RawMessage
		Error protocol.Code
	}](t, "client.json") {
		if f.Frame == nil {
			continue
		}
		err := s.Action(f.Frame)
		switch {
		case f.Error == "":
			if taken++; err != nil {
				t.Errorf("%s: %s: %v", f.Name, f.Frame, err)
			}
		case f.Error == protocol.CodeBadRequest && err != nil:
			refused++
		}
	}
	if taken < 20 || refused < 10 {
		t.Errorf("%d frames fit and %d do not", taken, refused)
	}
}

// TestServerFrames: every frame of the golden ones is one of the document's, and not every text is.
func TestServerFrames(t *testing.T) {
	s := compiled(t)
	for _, f := range golden[struct {
		Name  string
		Frame json.RawMessage
	}](t, "server.json") {
		if err := s.Sent(f.Frame); err != nil {
			t.Errorf("%s: no message of the document is like %s: %v", f.Name, f.Frame, err)
		}
	}
	for _, frame := range []string{
		`{"hello":1}`, `{"event":"user:typing","data":{}}`, `{"event":"message:new","data":{"content":"hi"}}`, `{"reply":"r1","ok":false}`,
		`{"batch":[{"event":"pong"},{"event":"user:typing","data":{}}]}`, `{"batch":[{"event":"pong"}]}`,
	} {
		if s.Sent([]byte(frame)) == nil {
			t.Errorf("%s is taken for a frame of the server's", frame)
		}
	}
}

func TestData(t *testing.T) {
	s := compiled(t)
	for _, c := range []struct{ event, data, want string }{
		{"message:new", `{"content":"hi","more":1}`, ""},
		{"message:new", `{}`, "data.content is missing"},
		{"message:new", `"hi"`, "data must be null or object, not string"},
		{"message:new", ``, "data.content is missing"},
		{"message:deleted", `{"messageId":7}`, "data.messageId must be string, not number"},
		{"presence:changed", `{"userId":"ana","status":""}`, "data.status"},
		{"notification:new", `{"title":"Hello","url":"/"}`, ""},
		{"user:stopped-typing", ``, ""},
		{"mine", `[1]`, ""},
	} {
		err := s.Data(c.event, json.RawMessage(c.data))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s %s: got %v, want %q", c.event, c.data, err, c.want)
		}
	}
}
