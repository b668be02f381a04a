package tables

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop/internal/local/asyncapi"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

var write = flag.Bool("write", false, "write what is made of the tables anew")

// TestCopies makes again what is made of the tables: whatever stands between "table: name" and "end" in these files.
func TestCopies(t *testing.T) {
	types := schemasOf(t)
	for name, blocks := range map[string]map[string]func() string{
		"../../../docs/DEPLOY.md": {"parameters": func() string { return parameters(t) }},
		"../../../docs/PROTOCOL.md": {
			"actions": types.actions, "older": older, "events": types.events, "prefixes": prefixes, "reasons": reasons,
		},
		"../../../web/client/src/types.ts":          {"events": types.interfaceOfEvents, "codes": union},
		"../../../web/client/src/server/publish.ts": {"limits": limits},
	} {
		rewrite(t, name, func(text []byte) []byte {
			found := 0
			text = block().ReplaceAllFunc(text, func(got []byte) []byte {
				m := block().FindSubmatch(got)
				made := blocks[string(m[2])]
				if made == nil {
					t.Errorf("%s: nobody makes the table %s", name, m[2])
					return got
				}
				found++
				return slices.Concat(m[1], []byte(made()), m[4])
			})
			if found != len(blocks) {
				t.Errorf("%s has %d of %d tables", name, found, len(blocks))
			}
			return text
		})
	}
	rewrite(t, "../../protocol/testdata/server.json", golden)
}

// block is a table in Markdown or TypeScript, with what is before it, its name, itself, and what is after it.
func block() *regexp.Regexp {
	return regexp.MustCompile(`(?s)((?:<!--|//) table: ([a-z]+)(?: -->)?\n)(.*?)((?:<!--|//) end)`)
}

// rewrite compares a file with what becomes of it, line by line, and writes that if it is asked to.
func rewrite(t *testing.T, name string, becomes func(text []byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	made := becomes(bytes.Clone(text))
	if *write {
		if err := os.WriteFile(name, made, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	has, wants := lines(text), lines(made)
	for _, line := range wants {
		if !slices.Contains(has, line) {
			t.Errorf("%s has not the line\n%s\nmake docs writes it", name, line)
		}
	}
	for _, line := range has {
		if !slices.Contains(wants, line) {
			t.Errorf("%s has a line that no row makes\n%s\nmake docs takes it out", name, line)
		}
	}
	if !t.Failed() && !bytes.Equal(text, made) {
		t.Errorf("the lines of %s have another order; make docs writes it", name)
	}
}

// lines are those of a text, without the comma that ends all but the last of a list.
func lines(text []byte) []string {
	all := strings.Split(string(text), "\n")
	for i := range all {
		all[i] = strings.TrimSuffix(all[i], ",")
	}
	return all
}

// golden gives the golden frames of the server with those of events: each where it was, and new ones at the end.
func golden(text []byte) []byte {
	lines := strings.Split(strings.TrimSuffix(strings.TrimPrefix(string(text), "[\n"), "\n]\n"), ",\n")
	for _, row := range protocol.Events() {
		if row.Sort == protocol.Answer {
			continue
		}
		head := fmt.Sprintf("  {\"name\": %q, ", row.Name)
		line := head + "\"frame\": " + row.Example + "}"
		if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, head) }); i >= 0 {
			lines[i] = line
		} else {
			lines = append(lines, line)
		}
	}
	return []byte("[\n" + strings.Join(lines, ",\n") + "\n]\n")
}

// schema is what the tables say of one.
type schema struct {
	Ref        string            `json:"$ref"`
	Title      string            `json:"title"`
	Type       json.RawMessage   `json:"type"`
	Required   []string          `json:"required"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
}

// schemas are those that others refer to, by name.
type schemas map[string]schema

func schemasOf(t *testing.T) schemas {
	t.Helper()
	text, err := asyncapi.Document("0")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct{ Schemas schemas }
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	return document.Components.Schemas
}

func parse(text string) (s schema) {
	if text != "" {
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			panic(fmt.Sprintf("%s: %v", text, err)) // TestDocument of package asyncapi says which row's it is
		}
	}
	return s
}

// find follows a reference.
func (all schemas) find(s schema) schema {
	if s.Ref == "" {
		return s
	}
	return all[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
}

// fields are the names of an object's properties: those that it must have, in their order, and then the others with a "?".
func (all schemas) fields(s schema) (names []string) {
	s = all.find(s)
	for _, name := range s.Required {
		names = append(names, all.field(name, s.Properties[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if !slices.Contains(s.Required, name) {
			names = append(names, all.field(name+"?", s.Properties[name]))
		}
	}
	return names
}

// field is a name with the fields of what it refers to.
func (all schemas) field(name string, s schema) string {
	if inner := all.fields(s); s.Ref != "" && len(inner) > 0 {
		return name + " {" + strings.Join(inner, ", ") + "}"
	}
	return name
}

// code lists names as Markdown does.
func code(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "`" + strings.Join(names, "`, `") + "`"
}

// table is one in Markdown, whose first row is its head.
func table(rows ...[]string) string {
	var b strings.Builder
	for _, row := range slices.Insert(rows, 1, slices.Repeat([]string{"---"}, len(rows[0]))) {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String()
}

func (all schemas) actions() string {
	needs := map[protocol.Need]string{
		protocol.NeedNothing: "", protocol.NeedMembership: "membership", protocol.NeedJoin: "grant `join`",
		protocol.NeedPublish: "membership, grant `publish`",
	}
	rows := [][]string{{"client sends `action`", "what it does", "fields", "needs", "reply's `data`"}}
	for _, row := range protocol.Actions() {
		if !row.Routed() {
			continue
		}
		reply := code(all.fields(all[row.Reply]))
		if row.Reply == "" {
			reply = "none: `pong` answers"
		}
		rows = append(rows, []string{"`" + row.Name + "`", row.Says, code(all.fields(parse(row.Fields))), needs[row.Needs], reply})
	}
	return table(rows...)
}

// older are the names of actions beside those of bellhop.v1.
func older() string {
	var names []string
	for _, row := range protocol.Actions() {
		if !row.Routed() {
			names = append(names, row.Name)
		}
	}
	return wrap(code(names) + ".")
}

func (all schemas) events() string {
	rows := [][]string{{"event", "what it tells", "`data`", "sent by", "logged"}}
	for _, row := range protocol.Events() {
		var e protocol.Event
		_ = json.Unmarshal([]byte(row.Example), &e) // a frame of Socket.IO is none, and needs no room
		logged := map[protocol.Sort]string{protocol.Logged: "yes", protocol.Ephemeral: "no", protocol.Answer: "no: an answer"}[row.Sort]
		if protocol.RoomKind(e.Room) == "user" {
			logged += ", in `user:<id>`"
		}
		rows = append(rows, []string{"`" + row.Name + "`", row.Says, code(all.fields(parse(row.Data))), senders(row.By), logged})
	}
	rows = append(rows, []string{"any other name", "What the application says that it does", "the application's", "members, programs", "`publish`: yes, `signal`: no"})
	return table(rows...)
}

func senders(by protocol.Senders) string {
	var list []string
	for _, one := range []struct {
		by   protocol.Senders
		name string
	}{{protocol.ByMembers, "members"}, {protocol.ByServer, "the server"}, {protocol.ByPrograms, "programs"}} {
		if by&one.by != 0 {
			list = append(list, one.name)
		}
	}
	return strings.Join(list, ", ")
}

func prefixes() string {
	var names []string
	for _, prefix := range protocol.ReservedPrefixes() {
		names = append(names, prefix+":")
	}
	return wrap("Clients can publish and signal no event of this table that is not sent by members, and none whose name begins with " + code(names) + ". Programs can emit all.")
}

func reasons() string {
	rows := [][]string{{"`reason`", "meaning", "come back by yourself"}}
	for _, r := range protocol.Reasons() {
		rows = append(rows, []string{"`" + string(r) + "`", strings.TrimSuffix(r.Sentence(), "."), map[bool]string{true: "yes", false: "no"}[r.Retry()]})
	}
	return table(append(rows, []string{"any other", "A program's own", "no"})...)
}

// wrap lays a paragraph out.
func wrap(text string) string {
	var b strings.Builder
	width := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case width == 0:
		case width+1+len(word) > 120:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	return b.String() + "\n"
}

// interfaceOfEvents is the type of @bellhop/client with the data of each event that listeners hear.
func (all schemas) interfaceOfEvents() string {
	var b strings.Builder
	b.WriteString("export interface SystemEvents {\n")
	for _, row := range protocol.Events() {
		if row.Sort == protocol.Answer {
			continue
		}
		data := "undefined"
		if row.Data != "" {
			data = parse(row.Data).typescript()
		}
		fmt.Fprintf(&b, "  %q: %s;\n", row.Name, data)
	}
	return b.String() + "}\n"
}

// typescript is a schema as a type, by the name that it has there if it has one.
func (s schema) typescript() string {
	if named := s.Title + strings.TrimPrefix(s.Ref, "#/components/schemas/"); named != "" {
		return strings.ToUpper(named[:1]) + named[1:]
	}
	switch string(s.Type) {
	case `"string"`, `"boolean"`, `"number"`:
		return strings.Trim(string(s.Type), `"`)
	case `"integer"`:
		return "number"
	case `"array"`:
		return s.Items.typescript() + "[]"
	case `"object"`:
		var fields []string
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			mark := "?"
			if slices.Contains(s.Required, name) {
				mark = ""
			}
			fields = append(fields, name+mark+": "+s.Properties[name].typescript())
		}
		return "{ " + strings.Join(fields, "; ") + " }"
	}
	return "unknown"
}

func union() string {
	var names []string
	for _, c := range protocol.Codes() {
		names = append(names, `"`+string(c)+`"`)
	}
	return "export type ErrorCode =\n  | " + strings.Join(names, "\n  | ") + ";\n"
}

func limits() string {
	return fmt.Sprintf("const MAX_DATA = %d; // bytes: what the server takes, so that the frame fits into the %d KB of a connection\nconst MAX_TARGETS = %d; // of one command\n",
		protocol.MaxData, protocol.MaxServerFrame>>10, protocol.MaxTargets)
}

// parameters are those of template.yaml, in its order.
func parameters(t *testing.T) string {
	text, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Parameters yaml.Node `yaml:"Parameters"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	rows := [][]string{{"parameter", "what it is", "default"}}
	for i := 0; i+1 < len(template.Parameters.Content); i += 2 {
		var p struct {
			Description string   `yaml:"Description"`
			Default     string   `yaml:"Default"`
			Allowed     []string `yaml:"AllowedValues"`
		}
		if err := template.Parameters.Content[i+1].Decode(&p); err != nil {
			t.Fatal(err)
		}
		if n := len(p.Allowed); n > 0 && n < 6 {
			p.Description += ": " + strings.Join(p.Allowed, ", ")
		}
		if p.Default != "" {
			p.Default = code([]string{p.Default})
		}
		rows = append(rows, []string{code([]string{template.Parameters.Content[i].Value}), strings.ReplaceAll(p.Description, "*", `\*`), p.Default})
	}
	return table(rows...)
}

// TestManualKnowsEveryCode: PROTOCOL.md says of each what it means.
func TestManualKnowsEveryCode(t *testing.T) {
	text, err := os.ReadFile("../../../docs/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range protocol.Codes() {
		if !regexp.MustCompile("(?m)^\\|.*`" + string(c) + "`.*\\|.*\\|.*\\|$").Match(text) {
			t.Errorf("PROTOCOL.md has no row with the code %s", c)
		}
	}
}
