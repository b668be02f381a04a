package terminal

import (
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
)

func TestWhatFunctionsWriteIsShown(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	show := (&Log{w: &b}).Output()
	show("Join", runtimeapi.Line{Stream: "stdout", RequestID: "1f2e3d4c-0000-4000-8000-000000000000", Text: "hello { a: 1 }"})
	show("Join", runtimeapi.Line{Stream: "stderr", Text: "    at handler (join.js:3:9)"})
	for i, want := range []string{" │ Join 1f2e3d4c  hello { a: 1 }", " │ Join      at handler (join.js:3:9)"} {
		if got := strings.Split(b.String(), "\n")[i]; !strings.HasSuffix(got, want) {
			t.Errorf("got %q, want %q at the end", got, want)
		}
	}
	for range 2 * linesASecond {
		show("Join", runtimeapi.Line{Text: "again"})
	}
	if lines := strings.Count(b.String(), "again"); lines >= 2*linesASecond {
		t.Errorf("got %d lines at once", lines)
	}
	if (&Log{quiet: true}).Output() != nil {
		t.Error("a quiet log shows them too")
	}
}
