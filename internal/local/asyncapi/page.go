package asyncapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

//go:embed page.html
var page string

type section struct {
	ID, Title, Intro string
	Items            []item
}

type item struct {
	ID, Name, Note, Summary, Reply string
	Fields                         []field
}

type field struct {
	Name, Type, Link, Text string
	Required               bool
}

// Page writes the document as a page of HTML, for a server that has the console's style.css beside it.
func Page(w io.Writer, version string) error {
	text, err := Document(version)
	if err != nil {
		return err
	}
	var d struct {
		Components struct {
			Messages map[string]struct {
				Title   string `json:"title"`
				Summary string `json:"summary"`
				Payload schema `json:"payload"`
			} `json:"messages"`
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	replies, logged := map[string]string{}, map[string]bool{}
	for _, row := range protocol.Actions() {
		replies[row.Name] = row.Reply
	}
	for _, row := range events() {
		logged[row.Name] = row.Sort == protocol.Logged
	}
	sections := []section{
		{ID: "actions", Title: "Actions", Intro: "What a client sends. id asks for a reply."},
		{ID: "events", Title: "Events", Intro: "What a server sends. Logged events have room, seq, id and ts."},
		{ID: "frames", Title: "Other frames", Intro: "Replies, refusals, and several frames in one."},
		{ID: "schemas", Title: "Schemas", Intro: "What frames are made of."},
	}
	for _, key := range slices.Sorted(maps.Keys(d.Components.Messages)) {
		m := d.Components.Messages[key]
		i := item{ID: key, Name: m.Title, Summary: m.Summary + ".", Fields: m.Payload.fields()}
		at := 2
		switch {
		case strings.HasPrefix(key, "action_"):
			at, i.Reply = 0, replies[m.Title]
		case strings.HasPrefix(key, "event_"):
			at = 1
			if logged[m.Title] {
				i.Note = "logged"
			}
		}
		sections[at].Items = append(sections[at].Items, i)
	}
	for _, key := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		s := d.Components.Schemas[key]
		i := item{ID: "schema-" + key, Name: key, Summary: s.Description, Fields: s.fields()}
		if len(i.Fields) == 0 {
			i.Note = s.kind()
		}
		sections[3].Items = append(sections[3].Items, i)
	}
	t, err := template.New("page").Parse(page)
	if err != nil {
		return fmt.Errorf("parse page: %w", err)
	}
	if err := t.Execute(w, struct {
		Version  string
		Sections []section
	}{version, sections}); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// schema is what the page shows of one.
type schema struct {
	Ref         string            `json:"$ref"`
	Type        json.RawMessage   `json:"type"`
	Const       any               `json:"const"`
	Enum        []any             `json:"enum"`
	Description string            `json:"description"`
	Required    []string          `json:"required"`
	Properties  map[string]schema `json:"properties"`
	Items       *schema           `json:"items"`
}

func (s schema) link() string {
	if s.Items != nil {
		return s.Items.link()
	}
	return strings.TrimPrefix(s.Ref, "#/components/schemas/")
}

// kind is a type in a few words: "list of event", "string or null".
func (s schema) kind() string {
	switch {
	case s.Ref != "":
		return s.link()
	case s.Const != nil:
		return fmt.Sprintf("%q", fmt.Sprint(s.Const))
	case s.Items != nil:
		return "list of " + s.Items.kind()
	case s.Type == nil:
		return "any"
	}
	var many []string
	if json.Unmarshal(s.Type, &many) == nil {
		return strings.Join(many, " or ")
	}
	return strings.Trim(string(s.Type), `"`)
}

func (s schema) fields() []field {
	var list []field
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		list = append(list, field{Name: name, Type: p.kind(), Link: p.link(), Text: p.Description, Required: slices.Contains(s.Required, name)})
	}
	slices.SortStableFunc(list, func(a, b field) int { // what must be there comes first
		switch {
		case a.Required == b.Required:
			return 0
		case a.Required:
			return -1
		}
		return 1
	})
	return list
}
