package gateway

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRouteSelectionExpression(t *testing.T) {
	tests := []struct {
		name, expr, body, want string
	}{
		{"a member", `$request.body.action`, `{"action":"join"}`, "join"},
		{"in braces", `${request.body.action}`, `{"action":"join"}`, "join"},
		{"the last of two members", `$request.body.action`, `{"action":"a","action":"b"}`, "b"},
		{"an escaped name", `$request.body.action`, `{"\u0061ction":"join"}`, "join"},
		{"an escaped value", `$request.body.action`, `{"action":"jo\u0069n"}`, "join"},
		{"a nested member", `$request.body.a.b`, `{"a":{"c":1,"b":"x"}}`, "x"},
		{"brackets", `$request.body['a'][1]`, `{"a":["x","y"]}`, "y"},
		{"a pair", `${request.body.a}/${request.body.b}`, `{"a":"x","b":"y"}`, "x/y"},
		{"a missing member is empty", `join-${request.body.a}`, `{}`, "join-"},
		{"a member of text is missing", `$request.body.a.b`, `{"a":"x"}`, ""},
		{"a number", `$request.body.a`, `{"a":1.50}`, "1.50"},
		{"a boolean", `$request.body.a`, `{"a":true}`, "true"},
		{"null", `$request.body.a`, `{"a":null}`, ""},
		{"an array", `$request.body.a`, `{"a":["x", 2,["y"]]}`, "[x, 2, [y]]"},
		{"an object", `$request.body.a`, `{"a":{"b":1}}`, `{"b":1}`},
		{"not an object", `$request.body.a`, `"x"`, ""},
		{"literal text", `fixed`, `hello`, "fixed"},
		{"the escaped dollar", `\$default`, `hello`, "$default"},
		{"no JSON", `$request.body.a`, `hello`, "NOT JSON"},
		{"no JSON after the member", `$request.body.a`, `{"a":"x"} x`, "NOT JSON"},
		{"empty", `$request.body.a`, ``, "NOT JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sel, err := parseSelector(tt.expr)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := sel.appendKey(nil, []byte(tt.body))
			if !ok {
				got = []byte("NOT JSON")
			}
			if string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRouteSelectionExpressionsThatAreRefused(t *testing.T) {
	for _, expr := range []string{"", "$request.header.x", "${request.body.a", "a-$request.body.b", "$request.body.", "$request.body.a[", "$request.body.a[x]", "$request.bodyx"} {
		if sel, err := parseSelector(expr); err == nil {
			t.Errorf("%q: got %v", expr, sel)
		}
	}
}

func TestScannerDoesNotRecurse(t *testing.T) {
	path := []step{{name: "a", index: -1}}
	if _, valid := lookup([]byte(`{"b":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`}`), path); !valid {
		t.Error("9,000 brackets are JSON")
	}
	if _, valid := lookup([]byte(strings.Repeat(`{"a":`, 100_000)), path); valid {
		t.Error("100,000 braces are not")
	}
}

// FuzzLookup compares the scanner with encoding/json.
func FuzzLookup(f *testing.F) {
	for _, seed := range []string{
		`{"a":"x"}`, `{"a":{"b":[1,2,{"c":null}]},"a":1e5}`, `[]`, `"\ud83d"`, `{"a":-0.1E+2}`, `{"a" : 01}`, `{"a":"\x"}`, `{"a":tru}`,
		`{"\u0061":1}`, ` { } `, `{"a":1,}`, "{\"a\":\"\x01\"}", `{"a":1}}`, `-`, `[1 2]`, `{"a":{"a":{"a":{}}}}`, "{\"a\xff\":1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, valid := lookup(data, []step{{name: "a", index: -1}})
		if want := json.Valid(data); valid != want {
			t.Fatalf("%q: valid %v, encoding/json says %v", data, valid, want)
		}
		if !valid {
			return
		}
		var m map[string]json.RawMessage
		if json.Unmarshal(data, &m) != nil {
			m = nil
		}
		if want := m["a"]; string(raw) != string(want) {
			t.Errorf("%q: got %q, want %q", data, raw, want)
		}
		sel, _ := parseSelector("${request.body.a}/${request.body[0]}")
		if _, ok := sel.appendKey(nil, data); !ok {
			t.Errorf("%q: no key", data)
		}
	})
}
