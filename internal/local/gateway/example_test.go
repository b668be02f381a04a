package gateway

import (
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

func TestExample(t *testing.T) {
	t.Parallel()
	model := template.Model{ID: "SendModel", Name: "Send", Schema: `{"type":"object","properties":{"to":{"type":"string","minLength":7},"n":{"type":"integer","minimum":3},"tags":{"type":"array","items":{"enum":["a","b"]}},"on":{"type":"boolean"},"action":{"type":"string"}}}`}
	for _, c := range []struct{ selection, route, want string }{
		{"$request.body.action", "send", `{"action":"send","data":"hello","message":"hello"}`},
		{"${request.body.meta.kind}", "send", `{"data":"hello","message":"hello","meta":{"kind":"send"}}`},
		{"${request.body.service}/${request.body.action}", "chat/send", `{"action":"send","data":"hello","message":"hello","service":"chat"}`},
		{"$request.body['a'][1]", "send", `{"a":[null,"send"],"data":"hello","message":"hello"}`},
		{"$request.body.data", "send", `{"data":"send","message":"hello"}`},
		{"$request.body.action", "$default", `{"action":"anything-else","data":"hello","message":"hello"}`},
		{"v1.${request.body.action}", "v2.send", ""},
		{`\$default`, "send", ""},
		{"$request.header.x", "send", ""},
		{"$request.body.action", "modelled", `{"action":"modelled","n":3,"on":true,"tags":["a"],"to":"hellooo"}`},
	} {
		api := template.API{Selection: c.selection, Models: []template.Model{model}, Routes: []template.Route{{Key: "anything"}}}
		route := template.Route{Key: c.route}
		if c.route == "modelled" {
			route.Models = map[string]string{"$default": "Send"}
		}
		if got := string(Example(&api, route)); got != c.want {
			t.Errorf("%s for %s: got %s, want %s", c.selection, c.route, got, c.want)
		}
	}
}

// FuzzExample: whatever a template says, what is offered leads where it should.
func FuzzExample(f *testing.F) {
	f.Add("${request.body.a}/${request.body.b}", "x/y", `{"type":"object"}`)
	f.Add("$request.body[3].a", "x", `{"type":["array"],"items":{"minLength":1e99}}`)
	f.Fuzz(func(t *testing.T, selection, key, schema string) {
		api := template.API{Selection: selection, Models: []template.Model{{Name: "M", Schema: schema}}}
		text := Example(&api, template.Route{Key: key, Models: map[string]string{"$default": "M"}})
		if text == nil || key == "$default" {
			return
		}
		sel, err := parseSelector(selection)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := sel.appendKey(nil, text); !ok || string(got) != key {
			t.Errorf("%s leads to %q, not to %q", text, got, key)
		}
	})
}
