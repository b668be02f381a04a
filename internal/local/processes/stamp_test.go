package processes

import (
	"path/filepath"
	"testing"
)

// TestStampOfWhatIsMadeAgain: a folder that a compiler works in is no code, whatever happens there.
func TestStampOfWhatIsMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lay(t, dir, map[string]string{"src/main.rs": "", "target/CACHEDIR.TAG": "", "classes/Main.class": ""})
	before := look(dir)
	lay(t, dir, map[string]string{"target/debug/deps/main.o": "made"})
	if look(dir) != before {
		t.Error("an object file of Cargo's counts as a change")
	}
	lay(t, dir, map[string]string{"classes/Main.class": "made"})
	if look(dir) == before {
		t.Error("a class that was compiled does not count")
	}
}

// TestWhatIsBuiltIsNoCode: a folder for what is built may be in the middle of the code.
func TestWhatIsBuiltIsNoCode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lay(t, dir, map[string]string{"index.js": "exports.handler = async () => 1"})
	told := make(chan string, 10)
	list := open(t, dir, `Resources:
  Outer: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler}}
  Inner: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, InlineCode: "exports.handler = async () => 2"}}`, func(p *Children) {
		p.Built = filepath.Join(dir, "data", "functions")
		p.Tell = func(function, text string) { told <- function + ": " + text }
	})
	wantAnswer(t, list["Inner"], "2")
	wantAnswer(t, list["Outer"], "1")
	select {
	case text := <-told:
		t.Error(text)
	default:
	}
}

// TestAWarningIsNotRepeated: what is wrong with a function is said when it begins, not at each change of its code.
func TestAWarningIsNotRepeated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	warned := make(chan string, 10)
	list := open(t, dir, `Resources: {F: {Type: AWS::Serverless::Function, Properties: {Runtime: java21, Handler: x, CodeUri: src}}}`, func(p *Children) {
		p.Warn = func(_, text string) { warned <- text }
	})
	for _, text := range []string{"a", "bb", "ccc"} {
		lay(t, dir, map[string]string{"src/Main.java": text})
		if _, err := list["F"].Invoke(t.Context(), []byte(`{}`)); err == nil {
			t.Error("it runs")
		}
	}
	if n := len(warned); n != 1 {
		t.Errorf("warned %d times", n)
	}
}
