package terminal

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/bellhop-rt/bellhop/internal/local/emulator"
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

// TestQuiet: who asks for problems only is told of them.
func TestQuiet(t *testing.T) {
	t.Parallel()
	failed := errors.New("timed out after 10 s")
	for _, c := range []struct {
		event emulator.Event
		want  string // "": nothing
	}{
		{emulator.Event{Kind: emulator.KindAuthorize, Status: 500, Err: failed}, "refused 500   timed out after 10 s"},
		{emulator.Event{Kind: emulator.KindConnect, Status: 502, Err: failed}, "handshake 502   timed out after 10 s"},
		{emulator.Event{Kind: emulator.KindMessage, Connection: "c=", Route: "join", Err: failed}, "timed out"},
		{emulator.Event{Kind: emulator.KindSchedule, Function: "Sweep", Err: failed}, "Sweep  timed out"},
		{emulator.Event{Kind: emulator.KindDead, Queue: "Jobs", Reason: "gone"}, "Jobs dead letter: gone"},
		{emulator.Event{Kind: emulator.KindAuthorize, Status: 401, Reason: "Unauthorized"}, ""},
		{emulator.Event{Kind: emulator.KindConnect, Status: 403, Err: errors.New("x is not the stage")}, ""},
		{emulator.Event{Kind: emulator.KindMessage, Connection: "c=", Route: "join"}, ""},
		{emulator.Event{Kind: emulator.KindPush, Connection: "c=", Status: 410, Err: errors.New("gone")}, ""},
	} {
		var b strings.Builder
		(&Log{w: &b, quiet: true}).Observe()(c.event)
		if got := b.String(); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%+v: got %q, want %q", c.event, got, c.want)
		}
	}
}

// TestHostileTexts: nothing that a client, or a function in a client's words, has chosen is obeyed by a terminal, or ends a line.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	const hostile = "\x1b]0;pwned\x07\x1b[2J\u009b31m\u202eevil\u2066\u200b\x7f\u2028\xff\r\nforged"
	kinds := []emulator.Kind{
		emulator.KindAuthorize, emulator.KindConnect, emulator.KindDisconnect, emulator.KindMessage, emulator.KindPush, emulator.KindInvoke,
		emulator.KindQueue, emulator.KindDead, emulator.KindBus, emulator.KindSchedule, "another",
	}
	var b strings.Builder
	l := &Log{w: &b}
	lines := 0
	for _, kind := range kinds {
		for _, status := range []int{101, 200, 410} {
			e := emulator.Event{Kind: kind, Status: status, Err: errors.New(hostile)}
			v := reflect.ValueOf(&e).Elem()
			for i := range v.NumField() {
				switch f := v.Field(i); {
				case v.Type().Field(i).Name == "Kind":
				case f.Kind() == reflect.String:
					f.SetString(hostile)
				case f.Type() == reflect.TypeFor[[]byte]():
					f.SetBytes([]byte(`{"data":"` + hostile + `"}`))
				}
			}
			before := b.Len()
			if l.event(e); b.Len() > before {
				lines++
			}
		}
	}
	l.Output()(hostile, runtimeapi.Line{Stream: "stdout", RequestID: hostile, Text: hostile})
	slog.New(l.Handler()).With("userId", hostile).WarnContext(context.Background(), hostile, "error", errors.New(hostile))
	lines += 2
	if got := strings.Count(b.String(), "\n"); got != lines || lines < len(kinds)*2 {
		t.Errorf("%d lines were printed as %d", lines, got)
	}
	if i := strings.IndexFunc(b.String(), func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }); i >= 0 {
		t.Errorf("%q in %q", b.String()[i:i+1], b.String())
	}
}
