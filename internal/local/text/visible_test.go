package text_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/text"
)

func TestVisible(t *testing.T) {
	for given, want := range map[string]string{
		"": "",
		"plain, ünïcode, 日本, 👍🏽 <&>\"\\": "plain, ünïcode, 日本, 👍🏽 <&>\"\\",
		"می\u200cخواهم 👩\u200d💻":         "می\u200cخواهم 👩\u200d💻",
		"\x1b[31mred\x07":                `\u001b[31mred\u0007`,
		"a\nb\rc\td\be\f":                `a\nb\rc\td\be\f`,
		"\u009b2J\x7f\x00":               `\u009b2J\u007f\u0000`,
		"\u202eabc\u2066\u200f\u061c":    `\u202eabc\u2066\u200f\u061c`,
		"\u200b\ufeff\u2028\u2029\u00ad": `\u200b\ufeff\u2028\u2029\u00ad`,
		"\U000e0041\U000e007f":           `\udb40\udc41\udb40\udc7f`,
		"\xff\xc3":                       `\xff\xc3`,
	} {
		if got := text.Visible(given); got != want {
			t.Errorf("%q: got %s, want %s", given, got, want)
		}
	}
}

// TestTerminal: however it is cut into pieces, a text comes out the same, and JSON means what it meant.
func TestTerminal(t *testing.T) {
	value := map[string]string{"a\u202e": "\u009b31m\x7f 👍 日本\u2028"}
	given, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	given = append([]byte("\t"), append(given, '\n')...)
	for size := 1; size <= len(given); size++ {
		var b strings.Builder
		w := text.Terminal(&b)
		for rest := given; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if n, err := w.Write(rest[:min(size, len(rest))]); err != nil || n != min(size, len(rest)) {
				t.Fatal(n, err)
			}
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(b.String()), &got); err != nil || got["a\u202e"] != value["a\u202e"] || strings.ContainsAny(b.String(), "\u202e\u009b\x7f\u2028") {
			t.Fatalf("in pieces of %d: %q, %v", size, b.String(), err)
		}
	}
}
