package survey

import (
	"archive/zip"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
)

var built = flag.String("built", "", "folder with what scripts/builders has made")

// TestMain ends what is left over.
func TestMain(m *testing.M) { servertest.Main(m) }

// lay copies a folder of testdata to where things may be built. A folder whose name ends in .zip becomes an archive.
func lay(t *testing.T, folder string) string {
	t.Helper()
	dir := t.TempDir()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		switch {
		case d.IsDir() && strings.HasSuffix(name, ".zip"):
			if err := pack(path, to); err != nil {
				return err
			}
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(to, 0o700)
		}
		text, err := os.ReadFile(path)
		if err := errors.Join(err, os.WriteFile(to, text, 0o600)); err != nil || strings.Contains(name, ".aws-sam") {
			return err
		}
		before := time.Now().Add(-time.Hour) // it was built
		return os.Chtimes(to, before, before)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func pack(folder, file string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	w := zip.NewWriter(out)
	return errors.Join(w.AddFS(os.DirFS(folder)), w.Close(), out.Close())
}

// table tries all templates of a folder, and gives the lines of the table without what is alike in every run.
func table(t *testing.T, folder string, flags ...string) []string {
	t.Helper()
	c := Config{Binary: servertest.Build(t), Flags: flags}
	files, err := Find(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []Result
	for _, file := range files {
		list, err := Try(t.Context(), c, folder, file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	var text strings.Builder
	if err := Print(&text, all); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", text.String())
	columns := regexp.MustCompile(`  +`)
	var lines []string
	for line := range strings.Lines(text.String()) {
		lines = append(lines, strings.Join(columns.Split(strings.TrimSpace(strings.ReplaceAll(line, folder, "")), -1), " | "))
	}
	return lines
}

func wantLines(t *testing.T, got, want []string) {
	t.Helper()
	for _, line := range want {
		if !slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, line) }) {
			t.Errorf("no line begins with\n%s", line)
		}
	}
}

// TestTemplatesAsBuildersLeaveThem tries a small template of each kind.
func TestTemplatesAsBuildersLeaveThem(t *testing.T) {
	t.Parallel()
	got := table(t, lay(t, "testdata/written"))
	wantLines(t, got, []string{
		"architect/sam.json WS | yes | yes | 1 of 1",
		"cdk/cdk.out/ChatStack.template.json Api | yes | yes | 2 of 2",
		"chalice/out/sam.json WebsocketAPI | yes | yes | 1 of 1",
		"foreign/template.yaml Api | yes | yes | 1 of 5",
		"integrations/template.yaml Api | yes | yes | 2 of 3 | machine: the service states is not emulated: say where one is, with --env AWS_ENDPOINT_URL_SFN=URL",
		"several/template.yaml Chat | yes | yes | 1 of 1",
		"several/template.yaml Feed | yes | yes | 1 of 1",
		"raw/template.yaml Api | yes | yes | 2 of 2",
		"sam-build/template.yaml Api | yes | yes | 1 of 1",
		"sam-package/template.yaml Api | yes | yes | 1 of 1",
		"serverless/.serverless/cloudformation-template-update-stack.json WebsocketsApi | yes | yes | 1 of 1",
		"serverless-yml/serverless.yml WebsocketsApi | yes | yes | 1 of 1",
		"websocketapi/template.yaml Chat | yes | yes | 2 of 2",
	})
	for _, why := range []string{"image: ", "container image", "java: ", "no runtime java21", "missing: ", "there is no /foreign/build", "other: ", "not in this template"} {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, "foreign/") && strings.Contains(line, why) }) {
			t.Errorf("nothing is said of %q", why)
		}
	}
}

// TestBuilders tries what the CDK, the Serverless Framework and Chalice themselves make.
func TestBuilders(t *testing.T) {
	if *built == "" {
		t.Skip("run it by scripts/builders DIR && go test ./internal/local/survey -run TestBuilders -built DIR")
	}
	wantLines(t, table(t, *built), []string{
		"cdk/cdk.out/ChatStack.template.json ApiF70053CD | yes | yes | 2 of 2",
		"chalice/out/sam.json WebsocketAPI | yes | yes | 1 of 1",
		"serverless/.serverless/cloudformation-template-update-stack.json WebsocketsApi | yes | yes | 2 of 2",
	})
}

// TestWhatFails says why a template does not start, or lets nobody in.
func TestWhatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const api = "Transform: AWS::Serverless-2016-10-31\nResources:\n  Api:\n    Type: AWS::Serverless::WebSocketApi\n    Properties:\n      RouteSelectionExpression: $request.body.action\n"
	const refuse = "  F: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, InlineCode: 'exports.handler = async () => ({ statusCode: 403 })'}}\n"
	for name, text := range map[string]string{
		"broken.yaml":  api + "      Routes: {}\n      StageName: a/b\n",
		"empty.yaml":   api + "      Routes: {}\n",
		"refuses.yaml": api + "      Routes:\n        $connect: {FunctionArn: !GetAtt F.Arn}\n        a: {FunctionArn: !GetAtt F.Arn}\n" + refuse,
		"other.yaml":   "Resources: {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantLines(t, table(t, dir), []string{
		"broken.yaml | no | - | 0 of 0 | broken.yaml:3: stage \"a/b\" may only",
		"empty.yaml Api | no | - | 0 of 0 | empty.yaml:3: Api: the API has no routes",
		"refuses.yaml Api | yes | 403 | 0 of 1 | the handshake is answered 403",
		"1 of 3 start, 0 let a client in, 0 of 1 frames are answered",
	})
}

func TestFrameFor(t *testing.T) {
	t.Parallel()
	for selection, want := range map[string]string{
		"$request.body.action":      `{"action":"send","body":"hello","data":"hello","message":"hello"}`,
		"${request.body.meta.kind}": `{"body":"hello","data":"hello","message":"hello","meta":{"kind":"send"}}`,
		"$default":                  `{"body":"hello","data":"hello","message":"hello"}`,
	} {
		if got := string(frameFor(selection, "send")); got != want {
			t.Errorf("%s: got %s, want %s", selection, got, want)
		}
	}
}
