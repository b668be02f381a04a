package vtl

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// sample are the variables of testdata/Render.java.
func sample() map[string]any {
	return map[string]any{
		"name": "Ana", "quoted": "it's \"so\" / \\ \n é 😀", "n": int64(3), "f": 1.5, "big": 12345678.0, "none": "", "yes": true,
		"list": &List{[]any{"a", "b", "c"}}, "map": NewMap("a", int64(1), "b", "two"), "util": Util{},
	}
}

// TestLikeVelocity renders what Apache Velocity has rendered; scripts/velocity writes the outputs.
func TestLikeVelocity(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ Template, Output string }
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		parsed, err := Parse(c.Template, nil)
		if err != nil {
			t.Errorf("%s: %v", c.Template, err)
			continue
		}
		got, err := parsed.Render(sample())
		if err != nil || got != c.Output {
			t.Errorf("%s\ngot  %q, %v\nwant %q", c.Template, got, err, c.Output)
		}
	}
}

func TestErrorsNameTheirLine(t *testing.T) {
	t.Parallel()
	known := Methods{"util": UtilMethods()}
	for template, want := range map[string]string{
		"a\n#macro(x)y#end":                     "line 2: #macro is not emulated",
		"a\n#if($x)\nb":                         "line 3: #end is missing",
		"#end":                                  "line 1: #end without #if or #foreach",
		"#if(1)#else#elseif(2)#end":             "line 1: #elseif after #else",
		"\n\n#set($a 1)":                        "line 3: = is missing",
		"#set(1 = 2)":                           "line 1: #set sets no reference",
		"#foreach($x of $list)#end":             "line 1: in is missing",
		"#foreach(x in $list)#end":              "line 1: #foreach needs ($name in list)",
		"#if(\"open)#end":                       "line 1: a text without its closing \"",
		"${name":                                "line 1: ${name without }",
		"#* open":                               "line 1: a comment without *#",
		"\n$util.qr($x)":                        "line 2: $util.qr() is not emulated",
		"#set($x = \"\n$util.qr()\")":           "line 2: $util.qr() is not emulated",
		"#set($x = )":                           `line 1: ")" is no expression`,
		strings.Repeat("#if(1)", 200):           "line 1: the template is nested too deeply",
		"#set($x = " + strings.Repeat("(", 500): "line 1: the template is nested too deeply",
	} {
		_, err := Parse(template, known)
		if err == nil || err.Error() != want {
			t.Errorf("%.40q: got %v, want %s", template, err, want)
		}
	}
	for template, want := range map[string]string{
		"\n$name.chars()":               "line 2: $name.chars(): the method chars of a text is not emulated",
		"$name.substring(9)":            "line 1: $name.substring(9): there is no 9",
		"$name.replaceAll('(?=x)','')":  "line 1: $name.replaceAll('(?=x)',''): the pattern",
		"#foreach($x in $name)#end":     "line 1: #foreach over a text, which is no list",
		"#foreach($x in [1..2000])#end": "line 1: a range of more than 1000 numbers",
		"#if($name < 3)#end":            "line 1: < compares a text with a number, and only numbers have an order",
		"#set($x = $yes * 2)":           "line 1: * with a boolean and a number",
		"#set($name.x = 2)":             "line 1: #set($name.x): a text has no members",
		"$list.get(3)":                  "line 1: $list.get(3): there is no 3",
		"$util.parseJson('{')":          "line 1: $util.parseJson('{'): ",
	} {
		parsed, err := Parse(template, known)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		if _, err := parsed.Render(sample()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", template, err, want)
		}
	}
}

func TestUtil(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		`$util.urlEncode("a b&c=é")`:                                    "a+b%26c%3D%C3%A9",
		`$util.urlDecode("a+b%26")`:                                     "a b&",
		`$util.base64Encode("hi")$util.base64Decode("aGk=")`:            "aGk=hi",
		`$util.parseJson('{"b":{"x":[1,2.5,true,null]},"a":"z"}')`:      "{b={x=[1, 2.5, true, null]}, a=z}",
		`#set($o = $util.parseJson('{"a":{"b":"c"}}'))$o.a.b $o.a['b']`: "c c",
	} {
		parsed, err := Parse(template, nil)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		if got, err := parsed.Render(sample()); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", template, got, err, want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"$a", "#if($n == 3)x#end", "#foreach($x in [1..3])$x#end", "#set($a = {\"b\": [1, 2.5]})$a.b[0]", `\$a \\#set`, "${!a.b('$c')}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text, nil)
		if err != nil {
			return
		}
		_, _ = parsed.Render(sample())
	})
}
