package gateway

import (
	"slices"
	"strings"
	"testing"
)

// TestSchema checks models against values.
func TestSchema(t *testing.T) {
	tests := []struct{ schema, good, bad string }{
		{`{"type":"object","required":["a"]}`, `{"a":1} {"a":null,"b":2}`, `{} [] {"b":1} "a"`},
		{`{"type":["string","null"]}`, `"x" null`, `1 {} []`},
		{`{"type":"integer","minimum":1,"maximum":3}`, `1 3`, `0 4 1.5 "1"`},
		{`{"type":"number","minimum":1,"exclusiveMinimum":true,"maximum":2,"exclusiveMaximum":true}`, `1.1 1.9e0`, `1 2 1e999999`},
		{`{"multipleOf":0.1}`, `0.3 "x"`, `0.35`},
		{`{"enum":["a",1]}`, `"a" 1`, `"b" 2 null`},
		{`{"minLength":2,"maxLength":3}`, `"äö" "abc" 1`, `"a" "abcd"`},
		{`{"pattern":"^a"}`, `"ab"`, `"ba"`},
		{`{"items":{"type":"string"},"minItems":1,"maxItems":2,"uniqueItems":true}`, `["a"] ["a","b"]`, `[] [1] ["a","a"] ["a","b","c"]`},
		{`{"items":[{"type":"string"}],"additionalItems":false}`, `["a"] []`, `[1] ["a",2]`},
		{`{"properties":{"a":{"type":"string"}},"additionalProperties":false}`, `{"a":"x"} {}`, `{"a":1} {"b":1}`},
		{`{"patternProperties":{"^x":{"type":"number"}},"additionalProperties":{"type":"string"}}`, `{"x1":1,"b":"c"}`, `{"x1":"a"} {"b":1}`},
		{`{"minProperties":1,"maxProperties":1}`, `{"a":1}`, `{} {"a":1,"b":2}`},
		{`{"allOf":[{"type":"number"},{"minimum":2}]}`, `2`, `1 "x"`},
		{`{"anyOf":[{"type":"number"},{"type":"null"}]}`, `2 null`, `"x"`},
		{`{"oneOf":[{"minimum":2},{"maximum":3}]}`, `1 4`, `2`},
		{`{"not":{"type":"null"}}`, `1`, `null`},
		{`{"$ref":"#/definitions/t","definitions":{"t":{"type":"object","properties":{"next":{"$ref":"#/definitions/t"}},"required":["v"]}}}`, `{"v":1,"next":{"v":2}}`, `{"v":1,"next":{}}`},
		{`{"$ref":"https://apigateway.amazonaws.com/restapis/x/models/Other"}`, `true`, `1`},
		{`{"$ref":"#"}`, ``, `1 {}`}, // defined by itself: nothing fits
		{`{"dependencies":{"a":["b"]}}`, `{"a":1,"b":2} {} 1`, `{"a":1}`},
		{`{"properties":{"a":{"format":"ipv4"}}}`, `{"a":"x"}`, ``},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","id":"x","type":"number","minimum":1,"exclusiveMinimum":true}`, `2`, `1`}, // draft 4 all the same
		{`{"multipleOf":2,"minimum":1}`, `2`, `1e309 1e999999999 -1e999999999 1e-999999999`},
		{`{"title":"x","description":"y"}`, `1 {} null`, ``},
	}
	for _, tt := range tests {
		s, err := modelTexts{"Root": tt.schema, "Other": `{"$ref":"#/definitions/b","definitions":{"b":{"type":"boolean"}}}`}.compile("Root")
		if err != nil {
			t.Errorf("%s: %v", tt.schema, err)
			continue
		}
		for values, want := range map[string]bool{tt.good: true, tt.bad: false} {
			for _, text := range slices.DeleteFunc(strings.Split(values, " "), func(s string) bool { return s == "" }) {
				if err := validate(s, []byte(text)); (err == nil) != want {
					t.Errorf("%s: %s: got %v", tt.schema, text, err)
				}
			}
		}
	}
	for _, bad := range []string{`1`, `{"pattern":"("}`, `{"$ref":"#/definitions/x"}`, `{"type":[1]}`, `{"minimum":"x"}`, `{"multipleOf":0}`, `{"items":[1]}`, `{"properties":{"a":1}}`} {
		if _, err := (modelTexts{"Root": bad}).compile("Root"); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// FuzzSchema compiles arbitrary schemas, which may refer to each other, and checks arbitrary values.
func FuzzSchema(f *testing.F) {
	f.Add(`{"$ref":"models/Other"}`, `{"properties":{"a":{"$ref":"x/Root"}}}`, `{"a":{"a":1}}`)
	f.Add(`{"oneOf":[{"$ref":"#/definitions/a"}],"definitions":{"a":{"items":{"$ref":"#"}}}}`, `{"minimum":1e9}`, `[[[1,2]]]`)
	f.Fuzz(func(_ *testing.T, root, other, value string) {
		if s, err := (modelTexts{"Root": root, "Other": other}).compile("Root"); err == nil {
			_ = validate(s, []byte(value))
		}
	})
}
