package processes

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// open gives the functions of a template in a folder, as a command line may ask for them.
func open(t *testing.T, dir, text string, change func(*Children)) map[string]invoke.Function {
	t.Helper()
	tpl, err := template.Read([]byte(text), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &Children{Template: tpl, Folder: dir, Built: filepath.Join(t.TempDir(), "built"), Watch: true, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(p)
	}
	t.Cleanup(func() {
		if err := p.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	list, err := p.Functions(t.Context(), Here{Base: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func wantAnswer(t *testing.T, f invoke.Function, want string) {
	t.Helper()
	out, err := f.Invoke(t.Context(), []byte(`{}`))
	for late := time.Now().Add(5 * time.Second); (err != nil || string(out) != want) && time.Now().Before(late); { // a machine so busy that a look takes long looks less often
		out, err = f.Invoke(t.Context(), []byte(`{}`))
	}
	if err != nil || string(out) != want {
		t.Fatalf("got %s, %v, want %s", out, err, want)
	}
}

// environ is a handler that answers with a variable.
const environ = "exports.handler = async () => process.env.MOOD ?? null\n"

func TestEnvironmentOfOneFunction(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lay(t, dir, map[string]string{"index.js": environ})
	list := open(t, dir, `Resources:
  F: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler}}
  G: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler}}`, func(p *Children) {
		p.Env = map[string]string{"MOOD": "everybody's"}
		p.EnvOf = map[string]map[string]string{"G": {"MOOD": "its own"}}
	})
	wantAnswer(t, list["F"], `"everybody's"`)
	wantAnswer(t, list["G"], `"its own"`)
}

func TestNamesThatThereAreNot(t *testing.T) {
	t.Parallel()
	tpl, err := template.Read([]byte(sam("Timeout: 9")), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for want, p := range map[string]*Children{
		"--env Chat.…: the template has no function Chat":        {EnvOf: map[string]map[string]string{"Chat": {}}},
		"--inspect Chat: the template has no such function; all": {Inspect: []string{"Chat"}},
	} {
		p.Template, p.Logger = tpl, slog.New(slog.DiscardHandler)
		if _, err := p.Functions(t.Context(), Here{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// answers is a shell's function: it takes one call after the other from the Runtime API, as a runtime of Java or Ruby would.
const answers = `while true; do
  headers=$(mktemp)
  curl -sS -o /dev/null -D "$headers" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next" || exit 1
  id=$(tr -d '\r' <"$headers" | sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: //p')
  rm -f "$headers"
  curl -sS -o /dev/null -d "\"$(cat "$LAMBDA_TASK_ROOT/answer") $_HANDLER\"" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response"
done`

// TestRuntimeByCommand: what has no runtime here is run by a command, for all functions of a runtime or for one.
func TestRuntimeByCommand(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	lay(t, dir, map[string]string{"java/answer": "of java", "answer": "of an image"})
	list := open(t, dir, `Resources:
  F: {Type: AWS::Serverless::Function, Properties: {Runtime: java21, Handler: "example.Report::handle", CodeUri: java}}
  G: {Type: AWS::Serverless::Function, Properties: {PackageType: Image}}`, func(p *Children) {
		p.Runtimes = map[string]string{"java21": answers, "G": answers}
	})
	wantAnswer(t, list["F"], `"of java example.Report::handle"`)
	wantAnswer(t, list["G"], `"of an image "`)
}

// goMain is a function without aws-lambda-go, so that nothing is fetched; it answers with what a package of its module says.
const goMain = `package main

import (
	"net/http"
	"os"
	"strings"

	"example/words"
)

func main() {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		next, err := http.Get(base + "next")
		if err != nil {
			os.Exit(1)
		}
		id := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		if _, err := http.Post(base+id+"/response", "application/json", strings.NewReader("\""+words.Text+"\"")); err != nil {
			os.Exit(1)
		}
	}
}
`

// TestGoFromSource: go1.x and provided.al2023 are built from source, alone or by a Makefile, and again when a package of theirs changes.
func TestGoFromSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	words := func(text string) {
		lay(t, dir, map[string]string{"words/words.go": "package words\n\nconst Text = \"" + text + "\"\n"})
	}
	words("first")
	lay(t, dir, map[string]string{
		"go.mod": "module example\n\ngo 1.22\n", "cmd/old/main.go": goMain, "cmd/new/main.go": goMain, "cmd/made/main.go": goMain,
		"Makefile": "build-Made:\n\tgo build -o $(ARTIFACTS_DIR)/bootstrap ./cmd/made\n",
	})
	text := `Resources:
  Old: {Type: AWS::Serverless::Function, Properties: {Runtime: go1.x, Handler: old, CodeUri: cmd/old/}}
  New: {Type: AWS::Serverless::Function, Properties: {Runtime: provided.al2023, Handler: bootstrap, CodeUri: cmd/new/}}`
	if _, err := exec.LookPath("make"); err == nil {
		text += "\n  Made: {Type: AWS::Serverless::Function, Metadata: {BuildMethod: makefile}, Properties: {Runtime: provided.al2023, Handler: bootstrap, CodeUri: ./}}"
	}
	list := open(t, dir, text, nil)
	for _, f := range list {
		wantAnswer(t, f, `"first"`)
	}
	words("second")
	for _, f := range list {
		wantAnswer(t, f, `"second"`)
	}
	words("wrong\nline")
	for name, f := range list {
		var err error
		for late := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(late); {
			_, err = f.Invoke(t.Context(), []byte(`{}`))
		}
		if err == nil || !strings.Contains(err.Error(), "does not compile") || !strings.Contains(err.Error(), "words.go:3") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	words("mended")
	for _, f := range list {
		wantAnswer(t, f, `"mended"`)
	}
}

// TestBinaryThatIsReplaced: a bootstrap that somebody else has built is run anew when it is another.
func TestBinaryThatIsReplaced(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	put := func(text string) {
		t.Helper()
		file := filepath.Join(dir, "bin/bootstrap")
		lay(t, dir, map[string]string{"bin/answer": text, "bin/new": "#!/bin/sh\n# " + text + "\n" + strings.ReplaceAll(answers, "$(cat \"$LAMBDA_TASK_ROOT/answer\")", text)})
		if err := errors.Join(os.Chmod(filepath.Join(dir, "bin/new"), 0o700), os.Rename(filepath.Join(dir, "bin/new"), file)); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	list := open(t, dir, `Resources: {F: {Type: AWS::Serverless::Function, Properties: {Runtime: provided.al2023, Handler: x, CodeUri: bin}}}`, nil)
	wantAnswer(t, list["F"], `"one x"`)
	put("another")
	wantAnswer(t, list["F"], `"another x"`)
}

// TestStartIsNotCounted: what a function does before its first call has 10 seconds of its own, as on Lambda.
func TestStartIsNotCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lay(t, dir, map[string]string{"index.js": `const wait = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
wait(1500)
exports.handler = async (event) => { wait(event.wait ?? 0); return "ready" }`})
	tpl, err := template.Read([]byte(sam("Timeout: 1")), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	list := open(t, dir, sam("Timeout: 1"), nil)
	s, err := invoke.New(invoke.Config{Template: tpl, Code: list})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if out, err := s.Invoke(t.Context(), "F", []byte(`{}`)); err != nil || string(out) != `"ready"` {
		t.Errorf("got %s, %v", out, err)
	}
	begin := time.Now()
	if _, err := s.Invoke(t.Context(), "F", []byte(`{"wait":20000}`)); err == nil || err.Error() != "Task timed out after 1.00 seconds" {
		t.Errorf("after %v: got %v", time.Since(begin), err)
	}
}

// TestInspect: in a debugger a function has a port of its own, which says what it is, and no timeout.
func TestInspect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lay(t, dir, map[string]string{"index.js": `const inspector = require("node:inspector")
const wait = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
exports.handler = async () => { wait(1500); return inspector.url().split("/")[2] }`})
	told := make(chan string, 10)
	list := open(t, dir, `Resources:
  F: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, Timeout: 1}}
  G: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, Timeout: 1}}
  H: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, Timeout: 1}}`, func(p *Children) {
		p.Inspect, p.Tell = []string{"F", "H"}, func(function, text string) { told <- function + ": " + text }
	})
	for id, port := range map[string]string{"F": "9229", "H": "9230"} {
		wantAnswer(t, list[id], `"127.0.0.1:`+port+`"`)
		if got, want := <-told, id+": attach a debugger of Node.js to 127.0.0.1:"+port; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if k, ok := list["G"].(invoke.Timekeeper); !ok || k.KeepsTime() {
		t.Error("G is in no debugger, and has all the time there is")
	}
}
