package main

import (
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// hostile is what a terminal would obey, or show in another order, or as an end of the line.
const hostile = "\x1b]0;pwned\x07\x1b[2J\u009b31m\u202eevil\u2066\u200b\x7f\u2028\r\nforged"

// printed gives what a command line prints on both outputs.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, errs := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = w, w
	text := make(chan string)
	go func() {
		all, _ := io.ReadAll(r)
		text <- string(all)
	}()
	run(t.Context(), args)
	os.Stdout, os.Stderr = out, errs
	_ = w.Close()
	return <-text
}

// TestHostileTexts: whatever clients choose, no command hands it to a terminal as it is.
func TestHostileTexts(t *testing.T) { //nolint:paralleltest // it takes the standard outputs
	s := servertest.Start(t, servertest.Bolt(t))
	eve := s.ConnectWith(s.Token(token.Claims{User: "eve", Name: hostile, Grants: token.DevelopmentGrants(), TTL: time.Hour}))
	data, err := json.Marshal(map[string]string{"content": hostile, hostile: hostile})
	if err != nil {
		t.Fatal(err)
	}
	raw := strings.NewReplacer(`\u007f`, "\x7f", `\u2028`, "\u2028").Replace(string(data)) // as JSON lets them be
	eve.Does(`{"action":"join","id":"1","room":"channel:a"}`)
	eve.Does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":` + raw + `}`)
	file := t.TempDir() + "/run.json"
	if err := s.Cost().WriteFile(file); err != nil {
		t.Fatal(err)
	}
	talk := func(ended <-chan struct{}) { // while tail watches, until it is disconnected
		for n := 1; ; n++ {
			select {
			case <-ended:
				return
			case <-time.After(50 * time.Millisecond):
			}
			s.Emit(map[string]any{"command": "publish", "rooms": []string{"channel:a"}, "event": "message:new", "data": hostile, "from": map[string]any{"userId": "eve", "name": hostile}})
			if n%20 == 0 {
				s.Emit(map[string]any{"command": "close", "room": "channel:a", "reason": hostile})
				s.Emit(map[string]any{"command": "disconnect", "user": "tail", "reason": hostile})
			}
		}
	}
	at := "--endpoint=" + s.URL
	own := []string{"emit, and no JSON", "a grant", "a command that is not", "a flag that is not"} // whoever calls it may have as many lines as they like
	for name, args := range map[string][]string{
		"tail":                  {"tail", at, "--room=channel:a", "--user=tail"},
		"trace":                 {"trace", at},
		"trace of an event":     {"trace", at, "m1"},
		"trace as JSON":         {"trace", at, "--json"},
		"trace of nothing":      {"trace", at, hostile},
		"stats":                 {"stats", at},
		"stats as JSON":         {"stats", at, "--json"},
		"cost":                  {"cost", at},
		"cost of a recording":   {"cost", file},
		"emit":                  {"emit", at, "--room=channel:a", "--event=message:new", "--id=" + hostile, "--data=" + raw},
		"emit to nowhere":       {"emit", at, "--room=" + hostile, "--event=" + hostile},
		"emit, and no JSON":     {"emit", at, "--room=channel:a", "--event=e", "--data=" + hostile},
		"check":                 {"check", strings.Replace(s.URL, "http", "ws", 1) + "/dev", "--token=" + hostile, "--rounds=1", "--crowd=0", "--patience=1s"},
		"check of nothing":      {"check", "ws://" + hostile},
		"token":                 {"token", "--user=" + hostile},
		"a grant":               {"token", "--user=eve", "--grant=" + hostile},
		"validate":              {"validate", "--parameter=RoomKinds=" + hostile},
		"bench":                 {"bench", "--endpoint=" + hostile},
		"a command that is not": {hostile},
		"a flag that is not":    {"tail", "--" + hostile},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "tail" {
				ended := make(chan struct{})
				defer close(ended)
				go talk(ended)
			}
			got := printed(t, args...)
			if got == "" {
				t.Error("nothing was printed")
			}
			for line := range strings.Lines(got) {
				line = strings.TrimSuffix(line, "\n")
				if !slices.Contains(own, name) && strings.HasPrefix(line, "forged") {
					t.Errorf("a line was forged: %q", line)
				}
				if i := strings.IndexFunc(line, func(r rune) bool { return r != '\t' && !unicode.IsGraphic(r) }); i >= 0 {
					t.Fatalf("%q at %d of %q", line[i:i+1], i, line)
				}
			}
			if name == "tail" && !strings.Contains(got, `\u001b]0;pwned`) {
				t.Errorf("what was said is not shown: %s", got)
			}
		})
	}
}
