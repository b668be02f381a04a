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
		{`{"title":"x","description":"y"}`, `1 {} null`, ``},
	}
	other, _ := decodeNumbers([]byte(`{"$ref":"#/definitions/b","definitions":{"b":{"type":"boolean"}}}`))
	for _, tt := range tests {
		root, err := decodeNumbers([]byte(tt.schema))
		if err != nil {
			t.Fatal(err)
		}
		s, err := compileSchema(root, map[string]any{"Other": other})
		if err != nil {
			t.Errorf("%s: %v", tt.schema, err)
			continue
		}
		for values, want := range map[string]bool{tt.good: true, tt.bad: false} {
			for _, text := range slices.DeleteFunc(strings.Split(values, " "), func(s string) bool { return s == "" }) {
				v, err := decodeNumbers([]byte(text))
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				if err := s.check(v, "$"); (err == nil) != want {
					t.Errorf("%s: %s: got %v", tt.schema, text, err)
				}
			}
		}
	}
	for _, bad := range []string{`1`, `{"pattern":"("}`, `{"$ref":"#/definitions/x"}`, `{"type":[1]}`, `{"minimum":"x"}`, `{"multipleOf":0}`, `{"dependencies":{"a":["b"]}}`, `{"items":[1]}`, `{"properties":{"a":1}}`, `{"$ref":"#"}`, `{"properties":{"a":{"allOf":[{"$ref":"#/definitions/x"}]}},"definitions":{"x":{"not":{"$ref":"#/definitions/x"}}}}`} {
		root, _ := decodeNumbers([]byte(bad))
		if _, err := compileSchema(root, nil); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// FuzzSchema compiles arbitrary schemas, which may refer to each other, and checks arbitrary values.
func FuzzSchema(f *testing.F) {
	f.Add(`{"$ref":"models/Other"}`, `{"properties":{"a":{"$ref":"x/Root"}}}`, `{"a":{"a":1}}`)
	f.Add(`{"oneOf":[{"$ref":"#/definitions/a"}],"definitions":{"a":{"items":{"$ref":"#"}}}}`, `{"minimum":1e9}`, `[[[1,2]]]`)
	f.Fuzz(func(_ *testing.T, root, other, value string) {
		models := map[string]any{}
		models["Root"], _ = decodeNumbers([]byte(root))
		models["Other"], _ = decodeNumbers([]byte(other))
		v, err := decodeNumbers([]byte(value))
		if err != nil {
			return
		}
		if s, err := compileSchema(models["Root"], models); err == nil {
			_ = s.check(v, "$")
		}
	})
}
