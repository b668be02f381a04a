package manuals

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/format"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/token"
)

var write = flag.Bool("write", false, "write docs/CLI.md anew")

// block is a block of code in a manual.
type block struct {
	manual   string // from root
	line     int    // of its first line
	language string
	text     string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.manual, b.line) }

// blocks are all there are in the manuals.
func blocks(t *testing.T) (all []block) {
	t.Helper()
	for _, m := range manuals(t) {
		text, err := os.ReadFile(filepath.Join(root, m.path))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, blocksOf(m.path, string(text))...)
	}
	if len(all) < 40 {
		t.Errorf("found only %d blocks", len(all))
	}
	return all
}

func blocksOf(manual, text string) (all []block) {
	var open *block
	steps := 0 // the line where MIGRATION.md begins to change an application
	for i, line := range strings.Split(text, "\n") {
		language, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		if manual == "docs/MIGRATION.md" && strings.HasPrefix(line, "## Step by step") {
			steps = i
		}
		switch {
		case fence && open == nil:
			if steps > 0 {
				language = "step " + language
			}
			open = &block{manual: manual, line: i + 2, language: language}
		case fence:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	return all
}

// world is what blocks run in.
type world struct {
	bellhop *servertest.Program
	dir     string
	env     []string
	values  *strings.Replacer // for what stands for a value of the reader's own
}

func newWorld(t *testing.T) *world {
	t.Helper()
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	built := servertest.Build(t)
	w := &world{bellhop: servertest.Launch(t, built, nil, "--memory", "--parameter", "EventBusName=app"), dir: dir}
	for _, name := range []string{"bellhop", "make", "aws", "go", "npm", "node", "npx", "sam", "tar", "unzip", "sha256sum"} {
		if err := os.Symlink(filepath.Join(absolute, "internal/check/manuals/testdata/stand-in"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	python := filepath.Join(absolute, ".tools/venv/bin/python") // that of scripts/sam-tools has the AWS SDK
	if _, err := os.Stat(python); err != nil {
		python = "python3"
	}
	w.env = append(os.Environ(),
		"PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), //nolint:forbidigo // of what a block runs
		"ROOT="+absolute, "SCRATCH="+dir, "SERVER="+w.bellhop.URL, "BELLHOP="+built,
		"PYTHON="+python, "GO="+look("go"), "NODE="+look("node"), "MAKE="+look("make"), "MAKEFLAGS=", "COLUMNS=100",
		"BELLHOP_ENDPOINT="+w.bellhop.URL, "MESSAGES_FILE="+filepath.Join(dir, "messages.json"), "BELLHOP_JWT_SECRET=",
		"AWS_ENDPOINT_URL_LAMBDA="+w.bellhop.URL, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "EMIT_FUNCTION=EmitFunction",
	)
	w.values = strings.NewReplacer(
		"http://127.0.0.1:4000", w.bellhop.URL, "ws://127.0.0.1:4000", strings.Replace(w.bellhop.URL, "http", "ws", 1),
		".bin/bellhop", "bellhop", "scripts/deploy-local", "true", "cd web &&", "", "arn:…", "arn:aws:lambda:eu-west-1:123456789012:function:rules",
		"../your-app/template.yaml", "cmd/bellhop/testdata/chat/template.yaml", "--template FILE", "--template cmd/bellhop/testdata/chat/template.yaml",
		"<id>", w.connection(t), "<stack>", "bellhop", "<its id>", "11111111-2222-3333-4444-555555555555", "--restore-date-time …", "--restore-date-time 2026-12-01T06:00:00Z",
		"<EmitFunctionName>", "bellhop-emit", "<SweepFunction>", "bellhop-sweep", "<TableName>", "bellhop-table", "<DeliverDeadLetterQueueName>", "bellhop-dead",
	)
	return w
}

func look(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return "false"
	}
	return path
}

// connection opens one for as long as the test runs, and gives its id.
func (w *world) connection(t *testing.T) string {
	t.Helper()
	signed, err := token.Sign([]byte(token.DevelopmentSecret), token.Claims{User: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := websocket.Dial(t.Context(), strings.Replace(w.bellhop.URL, "http", "ws", 1)+"/dev", &websocket.DialOptions{Subprotocols: []string{"bellhop.v1", token.Bearer + signed}}) //nolint:bodyclose // it has none
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	var all []struct{ ID string }
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.bellhop.URL+"/_bellhop/connections", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err == nil {
		err = errors.Join(json.NewDecoder(response.Body).Decode(&all), response.Body.Close())
	}
	if err != nil || len(all) != 1 {
		t.Fatalf("there are %d connections: %v", len(all), err)
	}
	return all[0].ID
}

// notLookedAt is how a stand-in ends that lacks what it needs.
const notLookedAt = 77

// run gives what a program prints. Without what it needs it is skipped, but in the CI.
func (w *world) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir, command.Env = root, w.env
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	err := command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == notLookedAt && os.Getenv("CI") == "" { //nolint:forbidigo // there, nothing is left out
		t.Skip("the AWS SDK for Python is not here: scripts/sam-tools true fetches it")
	}
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out.Bytes(), problems.Bytes())
	}
	return out.String()
}

// shell runs a block of a shell, which stops at what fails. Programs that this repository does not have are stood in for.
func (w *world) shell(t *testing.T, b block) {
	t.Helper()
	text := w.values.Replace(b.text)
	if left := regexp.MustCompile(`<[A-Za-z ]+>|…`).FindString(regexp.MustCompile(`(?m)#.*$`).ReplaceAllString(text, "")); left != "" {
		t.Fatalf("nobody says what %s stands for", left)
	}
	out := w.run(t, "bash", "-euo", "pipefail", "-c", text)
	for in, want := range map[string]string{`action: "publish"`: `"reply":"m1","ok":true`, "bellhop emit --": `"seq":`, "/emit ": `"ok":true`} {
		if strings.Contains(text, in) && !strings.Contains(out, want) {
			t.Errorf("%q is not in what it prints:\n%s", want, out)
		}
	}
}

func parses(t *testing.T, text string, decode func([]byte, any) error) {
	t.Helper()
	var v any
	if err := decode([]byte(text), &v); err != nil {
		t.Error(err)
	}
}

// program runs a block of Go as the program that it is; one of Lambda's is built.
func (w *world) program(t *testing.T, b block) {
	t.Helper()
	if _, err := format.Source([]byte(b.text)); err != nil {
		t.Fatal(err)
	}
	file, overlay := filepath.Join(w.dir, "block.go"), filepath.Join(w.dir, "overlay.json")
	at, err := filepath.Abs(filepath.Join(root, "internal/check/manuals/testdata/block/main.go"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{at: file}})
	if err := errors.Join(err, os.WriteFile(file, []byte(b.text), 0o600), os.WriteFile(overlay, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.text, "/hooks/functions\"") {
		w.run(t, look("go"), "build", "-o", os.DevNull, "-overlay", overlay, filepath.Dir(at))
		return
	}
	w.run(t, look("go"), "run", "-overlay", overlay, filepath.Dir(at))
}

// settings has SAM read a block of samconfig.toml, and bellhop validate its parameters.
func (w *world) settings(t *testing.T, b block) {
	t.Helper()
	dir, has := t.TempDir(), "JwksUrl.*https://.*/jwks.json"
	if strings.Contains(b.text, "HookOptions") {
		has = "HookOptions.*action"
	}
	if err := os.WriteFile(filepath.Join(dir, "samconfig.toml"), []byte("[dev.deploy.parameters]\n"+b.text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(t, "bash", "-euo", "pipefail", "-c", `"$PYTHON" -c "import samcli" 2>/dev/null || exit 77
		cd "$1"; "$PYTHON" "$ROOT/scripts/samconfig.py" dev parameter_overrides >parameters.json; grep -q "$2" parameters.json
		"$BELLHOP" validate --parameters parameters.json`, "-", dir, has)
}

// TestBlocks: every block of code is run, or what it says is looked at as far as that can be done without AWS. Those of TypeScript and
// JavaScript are left to web/client/test/core/manuals.test.ts. With -v it lists each block and how it is checked.
func TestBlocks(t *testing.T) {
	w := newWorld(t)
	checks := map[string]struct {
		how   string
		check func(t *testing.T, b block)
	}{
		"sh":   {"run, with stand-ins for make, npm and AWS", w.shell},
		"json": {"parsed", func(t *testing.T, b block) { parses(t, b.text, json.Unmarshal) }},
		"jsonc": {"parsed line by line", func(t *testing.T, b block) {
			for line := range strings.Lines(b.text) {
				parses(t, line, json.Unmarshal)
			}
		}},
		"yaml": {"parsed", func(t *testing.T, b block) { parses(t, b.text, yaml.Unmarshal) }},
		"go":   {"run", w.program},
		"python": {"run", func(t *testing.T, b block) {
			w.run(t, "bash", "-c", `"$PYTHON" -c "import boto3" 2>/dev/null || exit 77; "$PYTHON" -c "$1"`, "-", b.text)
		}},
		"ts": {"type-checked by manuals.test.ts", nil}, "tsx": {"type-checked by manuals.test.ts", nil}, "js": {"type-checked by manuals.test.ts", nil},
		"typescript": {"compiled and synthesized by scripts/test-release", nil}, "hcl": {"parsed by scripts/test-release", nil},
		"toml": {"read by SAM's parser, and its parameters validated", w.settings},
		"html": {"loaded by package.test.ts, as dist/browser.js", nil},
		"text": {"a picture", nil},
	}
	for _, b := range blocks(t) {
		t.Run(b.String(), func(t *testing.T) {
			if step, is := strings.CutPrefix(b.language, "step "); is {
				t.Log(step + ": done to a real application, which is used then, by web/e2e/next.test.mjs")
				return
			}
			c, known := checks[b.language]
			if !known {
				t.Fatalf("nobody looks at a block of %q", b.language)
			}
			t.Log(b.language + ": " + c.how)
			if c.check != nil {
				c.check(t, b)
			}
		})
	}
}

// TestCommands: a command in code type within a sentence is one, with the flags that it has.
func TestCommands(t *testing.T) {
	w := newWorld(t)
	w.env = append(w.env, "ONLY_LOOK=yes")
	command := regexp.MustCompile("^`(bellhop|make|aws|go|npm|node) [^`…]+`$")
	found := 0
	for _, m := range manuals(t) {
		for i, text := range m.lines {
			for _, code := range span.FindAllString(text, -1) {
				if !command.MatchString(code) {
					continue
				}
				found++
				t.Run(fmt.Sprintf("%s:%d", m.path, i+1), func(t *testing.T) {
					t.Log(code)
					w.run(t, "bash", "-euo", "pipefail", "-c", w.values.Replace(strings.Trim(code, "`")))
				})
			}
		}
	}
	if found < 30 {
		t.Errorf("found only %d commands", found)
	}
}

// TestHelp: CLI.md has what each command says of itself. `make docs` writes it.
func TestHelp(t *testing.T) {
	built := servertest.Build(t)
	help := func(args ...string) string {
		command := exec.CommandContext(t.Context(), built, append(args, "--help")...)
		command.Env = append(os.Environ(), "COLUMNS=100")
		text, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		return "```text\n" + strings.TrimSpace(string(text)) + "\n```\n"
	}
	all := help()
	page := "# The command line\n\n`make docs` writes this page, from what `bellhop --help` and each command say.\n\n" + all
	for _, name := range regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(all[strings.Index(all, "Commands:"):], -1) {
		page += "\n## bellhop " + name[1] + "\n\n" + help(name[1])
	}
	const file = root + "/docs/CLI.md"
	if *write {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != page {
		t.Errorf("docs/CLI.md is not what the commands say (%v); make docs writes it", err)
	}
}

// TestReadmeIsShort: it is what somebody reads who has to choose.
func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n > 150 {
		t.Errorf("README.md has %d lines, 150 at most", n)
	}
}
