package processes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// packageManagers puts programs into PATH that do what npm and pip do with the arguments they get, without a registry, and note each run.
func packageManagers(t *testing.T) (runs func() string) {
	t.Helper()
	dir := t.TempDir()
	note := filepath.Join(dir, "runs")
	lay(t, dir, map[string]string{"npm": `#!/bin/sh
echo "npm $*" >>` + note + `
folder=$3
shift 6
for name; do
  mkdir -p "$folder/node_modules/$name"
  echo '{"main": "index.js"}' >"$folder/node_modules/$name/package.json"
  echo "exports.name = '$name'" >"$folder/node_modules/$name/index.js"
done
`})
	if err := os.Chmod(filepath.Join(dir, "npm"), 0o700); err != nil {
		t.Fatal(err)
	}
	first(t, dir)
	return func() string {
		text, _ := os.ReadFile(note)
		return string(text)
	}
}

// first puts a folder in front of PATH.
func first(t *testing.T, dir string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if path, ok := strings.CutPrefix(pair, "PATH="); ok {
			t.Setenv("PATH", dir+string(os.PathListSeparator)+path)
		}
	}
}

// TestSDKOfLambda: what Lambda's Node.js brings along is fetched once, for require and for import; what is installed is left alone.
func TestSDKOfLambda(t *testing.T) {
	runs := packageManagers(t)
	dir, cache := t.TempDir(), t.TempDir()
	lay(t, dir, map[string]string{
		"required/index.js":  `exports.handler = async () => require("@aws-sdk/client-dynamodb").name`,
		"imported/index.mjs": `import { name } from '@aws-sdk/client-sns'; export const handler = async () => name`,
		"own/index.js":       `exports.handler = async () => require("@aws-sdk/client-sqs").name`,
		"own/node_modules/@aws-sdk/client-sqs/package.json": `{"main": "index.js"}`,
		"own/node_modules/@aws-sdk/client-sqs/index.js":     `exports.name = "its own"`,
		"old/index.js":    `const { name } = require("aws-sdk"); exports.handler = async () => name`,
		"older/index.mjs": `import AWS from "aws-sdk"; export const handler = async () => AWS.name`,
	})
	text := `Resources:
  Before: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs16.x, Handler: index.handler, CodeUri: old}}
  Earlier: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs8.10, Handler: index.handler, CodeUri: older}}`
	for _, id := range []string{"Required", "Imported", "Own", "Old"} {
		text += "\n  " + id + `: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, CodeUri: ` + strings.ToLower(id) + `}}`
	}
	for range 2 { // the second start finds what the first one has fetched
		list := open(t, dir, text, func(p *Children) { p.Cache = cache })
		wantAnswer(t, list["Required"], `"@aws-sdk/client-dynamodb"`)
		wantAnswer(t, list["Imported"], `"@aws-sdk/client-sns"`)
		wantAnswer(t, list["Own"], `"its own"`)
		wantAnswer(t, list["Before"], `"aws-sdk"`)
		wantAnswer(t, list["Earlier"], `"aws-sdk"`)
		if _, err := list["Old"].Invoke(t.Context(), []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "Lambda brings version 3 of the AWS SDK along since nodejs18.x") {
			t.Errorf("version 2: got %v", err)
		}
	}
	if got := runs(); strings.Count(got, "npm ") != 3 || !strings.Contains(got, " aws-sdk\n") || !strings.Contains(got, " @aws-sdk/client-dynamodb\n") || !strings.Contains(got, " @aws-sdk/client-sns\n") {
		t.Errorf("npm ran as\n%s", got)
	}
}

// TestSDKThatCannotBeFetched: the hint says what to do, and nothing else suffers.
func TestSDKThatCannotBeFetched(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	lay(t, bin, map[string]string{"npm": "#!/bin/sh\necho no network >&2\nexit 1\n"})
	if err := os.Chmod(filepath.Join(bin, "npm"), 0o700); err != nil {
		t.Fatal(err)
	}
	first(t, bin)
	lay(t, dir, map[string]string{"index.js": `const { name } = require("@aws-sdk/client-dynamodb"); exports.handler = async () => name`})
	list := open(t, dir, sam("Timeout: 9"), func(p *Children) { p.Cache = t.TempDir() })
	if _, err := list["F"].Invoke(t.Context(), []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "run npm install --save-dev @aws-sdk/client-dynamodb beside the function") {
		t.Errorf("got %v", err)
	}
}

// TestBotoOfTheFunctionsPython: pyenv and its like choose python3 by the folder, so that is where boto3 is looked for.
func TestBotoOfTheFunctionsPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	dir, bin := t.TempDir(), t.TempDir()
	lay(t, bin, map[string]string{"python3": `#!/bin/sh
case "$1 $2" in
"-m pip") for folder; do if [ "$before" = --target ]; then break; fi; before=$folder; done; echo 'name = "fetched"' >"$folder/boto3.py"; exit ;;
"-c import importlib"*) [ ! -e other-python ]; exit ;;
esac
exec ` + python + ` "$@"
`})
	if err := os.Chmod(filepath.Join(bin, "python3"), 0o700); err != nil {
		t.Fatal(err)
	}
	first(t, bin)
	lay(t, dir, map[string]string{"other-python": "", "index.py": "def handler(event, context):\n    import boto3\n"})
	cache := t.TempDir()
	list := open(t, dir, `Resources: {F: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.13, Handler: index.handler}}}`, func(p *Children) { p.Cache = cache })
	wantAnswer(t, list["F"], `null`)
	if _, err := os.Stat(filepath.Join(cache, "python", "boto3.py")); err != nil {
		t.Errorf("it was not fetched: %v", err)
	}
}

// TestPythonLeavesNothingBehind: what Python compiles does not go into the users' folders.
func TestPythonLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lay(t, dir, map[string]string{"index.py": "import words\ndef handler(event, context):\n    return words.text\n", "words.py": "text = 'said'\n"})
	list := open(t, dir, `Resources: {F: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.13, Handler: index.handler}}}`, nil)
	wantAnswer(t, list["F"], `"said"`)
	if _, err := os.Stat(filepath.Join(dir, "__pycache__")); !os.IsNotExist(err) {
		t.Errorf("__pycache__ is left in the function's folder: %v", err)
	}
}
