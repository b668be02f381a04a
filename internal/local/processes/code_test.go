package processes

import (
	"archive/zip"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// handler is a function that says where it was found.
func handler(where string) string {
	return "exports.handler = async () => ({ where: '" + where + "' })\n"
}

// lay writes files into a folder; the content of one whose name ends in .zip is an index.js in it.
func lay(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".zip") {
			pack(t, file, map[string]string{"lib/": "", "index.js": text})
			continue
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func pack(t *testing.T, file string, files map[string]string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	for name, text := range files {
		entry, err := w.Create(name)
		if err == nil {
			_, err = entry.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// functions are those of a template in a folder.
func functions(t *testing.T, dir, text string) map[string]invoke.Function {
	t.Helper()
	tpl, err := template.Read([]byte(text), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &Children{Template: tpl, Folder: dir, Built: filepath.Join(t.TempDir(), "built"), Logger: slog.New(slog.DiscardHandler)}
	if err := p.Build(t.Context()); err != nil {
		t.Log(err) // asked of the function itself
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

// sam is a template with one function, F.
func sam(properties string) string {
	return `Resources: {F: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, ` + properties + `}}}`
}

func TestCodeIsFoundWhereBuildersLeaveIt(t *testing.T) {
	t.Parallel()
	absolute := t.TempDir()
	lay(t, absolute, map[string]string{"index.js": handler("absolute")})
	for name, c := range map[string]struct {
		template string
		files    map[string]string
		want     string
	}{
		"a folder":              {sam(`CodeUri: src/`), map[string]string{"src/index.js": handler("src")}, "src"},
		"an absolute folder":    {sam(`CodeUri: ` + absolute), nil, "absolute"},
		"no CodeUri":            {sam(`Timeout: 9`), map[string]string{"index.js": handler("beside the template")}, "beside the template"},
		"an empty CodeUri":      {sam(`CodeUri: ""`), map[string]string{"index.js": handler("beside the template")}, "beside the template"},
		"a zip":                 {sam(`CodeUri: ./deployment.zip`), map[string]string{"deployment.zip": handler("zip")}, "zip"},
		"one file":              {sam(`CodeUri: src/index.js`), map[string]string{"src/index.js": handler("file")}, "file"},
		"an asset of the CDK":   {cdk("asset.1b2c"), map[string]string{"asset.1b2c/index.js": handler("asset")}, "asset"},
		"a zipped one":          {cdk("asset.1b2c.zip"), map[string]string{"asset.1b2c.zip": handler("zipped asset")}, "zipped asset"},
		"one without metadata":  {cdk(""), map[string]string{"asset.1b2c/index.js": handler("by its key")}, "by its key"},
		"inline code":           {`{"Resources":{"F":{"Type":"AWS::Lambda::Function","Properties":{"Runtime":"nodejs22.x","Handler":"index.handler","Code":{"ZipFile":"exports.handler = async () => ({ where: 'inline' })"}}}}}`, nil, "inline"},
		"Serverless's artifact": {serverless, map[string]string{"chat.zip": handler("artifact")}, "artifact"},
		"what sam build made of code that was packaged": {
			sam(`CodeUri: "s3://bucket/0123456789abcdef"`),
			map[string]string{samBuild: sam(`CodeUri: F`), ".aws-sam/build/F/index.js": handler("built")},
			"built",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			lay(t, dir, c.files)
			out, err := functions(t, dir, c.template)["F"].Invoke(t.Context(), []byte(`{}`))
			if want := `{"where":"` + c.want + `"}`; err != nil || string(out) != want {
				t.Errorf("got %s, %v, want %s", out, err, want)
			}
		})
	}
}

// cdk is a stack as the CDK writes it.
func cdk(path string) string {
	metadata := ""
	if path != "" {
		metadata = `,"Metadata":{"aws:asset:path":"` + path + `","aws:asset:is-bundled":false,"aws:asset:property":"Code"}`
	}
	return `{"Resources":{"F":{"Type":"AWS::Lambda::Function","Properties":{"Runtime":"nodejs22.x","Handler":"index.handler","Code":{
		"S3Bucket":{"Fn::Sub":"cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"},"S3Key":"1b2c.zip"}}` + metadata + `}}}`
}

// serverless is what the Serverless Framework leaves in .serverless.
const serverless = `{"Resources":{"ServerlessDeploymentBucket":{"Type":"AWS::S3::Bucket"},"F":{"Type":"AWS::Lambda::Function","Properties":{
	"Runtime":"nodejs22.x","Handler":"index.handler","Code":{"S3Bucket":{"Ref":"ServerlessDeploymentBucket"},
	"S3Key":"serverless/chat/dev/1700000000000-2023-11-14T22:13:20.000Z/chat.zip"}}}}}`

func TestSamBuildIsUsedIfItIsNewer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		age  time.Duration // of the source, against the build
		want string
	}{
		"built after the last change":  {time.Hour, "built"},
		"changed since it was built":   {-time.Hour, "source"},
		"built of a source of no date": {0, "built"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			lay(t, dir, map[string]string{
				"src/index.js": handler("source"), samBuild: sam(`CodeUri: Shared`), ".aws-sam/build/Shared/index.js": handler("built"),
			})
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for file, when := range map[string]time.Time{"src/index.js": at.Add(-c.age), samBuild: at} {
				if err := os.Chtimes(filepath.Join(dir, file), when, when); err != nil {
					t.Fatal(err)
				}
			}
			out, err := functions(t, dir, sam(`CodeUri: src/`))["F"].Invoke(t.Context(), []byte(`{}`))
			if want := `{"where":"` + c.want + `"}`; err != nil || string(out) != want {
				t.Errorf("got %s, %v, want %s", out, err, want)
			}
		})
	}
}

func TestWhatCannotRunFailsAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ properties, want string }{
		"an image":           {`PackageType: Image`, "its code is a container image, which is not started here: say what runs it, with --runtime F=COMMAND, or run it elsewhere, with --functions endpoint=URL"},
		"no runtime":         {`Runtime: "", CodeUri: src/`, "the template gives it no Runtime: AWS refuses a function without one, such as nodejs22.x"},
		"TypeScript":         {`Handler: handlers/chat.say, CodeUri: typed/`, "its handler is TypeScript, "},
		"a foreign runtime":  {`Runtime: java21, CodeUri: src/`, "there is no runtime java21 here: say what runs it, with --runtime java21=COMMAND, or run it elsewhere, with --functions endpoint=URL"},
		"a folder not there": {`CodeUri: lost/`, "there is no "},
		"code in a bucket":   {`CodeUri: "s3://bucket/chat.zip"`, "its code is in s3://bucket/chat.zip, and there is none of "},
		"no zip":             {`CodeUri: broken.zip`, "not a valid zip file"},
		"Go that is wrong":   {`Runtime: provided.al2023, CodeUri: wrong/`, "it does not compile: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			lay(t, dir, map[string]string{"wrong/main.go": "package main\nfunc main() { nothing() }\n", "wrong/go.mod": "module wrong\n", "typed/handlers/chat.ts": "export const say = async (): Promise<number> => 1", "other/index.js": handler("other")})
			if err := os.WriteFile(filepath.Join(dir, "broken.zip"), []byte("no archive"), 0o600); err != nil {
				t.Fatal(err)
			}
			runtime := "Runtime: nodejs22.x, "
			if strings.HasPrefix(c.properties, "Runtime") {
				runtime = ""
			}
			if !strings.HasPrefix(c.properties, "Handler") {
				runtime += "Handler: index.handler, "
			}
			list := functions(t, dir, `Resources:
  F: {Type: AWS::Serverless::Function, Properties: {`+runtime+c.properties+`}}
  Other: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.handler, CodeUri: other/}}`)
			_, err := list["F"].Invoke(t.Context(), []byte(`{}`))
			if err == nil || !strings.HasPrefix(err.Error(), "function F (line 2) does not run here: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something of %q", err, c.want)
			}
			wantType(t, err, "Runtime.InvalidEntrypoint")
			if out, err := list["Other"].Invoke(t.Context(), []byte(`{}`)); err != nil || string(out) != `{"where":"other"}` {
				t.Errorf("the other: got %s, %v", out, err)
			}
		})
	}
}

func TestUnzipStaysInItsFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "code.zip")
	pack(t, file, map[string]string{"../outside.js": "1"})
	if err := unzip(file, filepath.Join(dir, "in")); err == nil {
		t.Error("a name that leaves the folder was taken")
	}
	if _, err := os.Stat(filepath.Join(dir, "outside.js")); !os.IsNotExist(err) {
		t.Errorf("it was written: %v", err)
	}
}

func TestWhatAFunctionWritesIsHandedOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lay(t, dir, map[string]string{"index.js": "exports.handler = async () => {\n  console.log('hello')\n  throw new TypeError('no such room')\n}\n"})
	tpl, err := template.Read([]byte(sam(`Timeout: 9`)), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	type said struct {
		function string
		line     runtimeapi.Line
	}
	lines := make(chan said, 100)
	p := &Children{
		Template: tpl, Folder: dir, Logger: slog.New(slog.DiscardHandler),
		Output: func(function string, line runtimeapi.Line) { lines <- said{function, line} },
	}
	list, err := p.Functions(t.Context(), Here{Base: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list["F"].Invoke(t.Context(), []byte(`{}`)); err == nil || err.Error() != "no such room" {
		t.Errorf("got %v", err)
	}
	if err := p.Close(t.Context()); err != nil { // what it wrote has come then
		t.Fatal(err)
	}
	close(lines)
	missing := []string{"hello", "TypeError: no such room", "index.js:3:"}
	for got := range lines {
		missing = slices.DeleteFunc(missing, func(text string) bool { return strings.Contains(got.line.Text, text) })
		if got.function != "F" {
			t.Errorf("got %+v", got)
		}
	}
	if len(missing) > 0 {
		t.Errorf("%q was not handed on", missing)
	}
}

// wantType looks at what callers see as errorType.
func wantType(t *testing.T, err error, want string) {
	t.Helper()
	named, ok := errors.AsType[interface {
		error
		ErrorType() string
	}](err)
	if !ok || named.ErrorType() != want {
		t.Errorf("the errorType of %v is not %s", err, want)
	}
}

func TestEndpointThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	tpl, err := template.Read([]byte(sam(`Timeout: 9`)), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	for name, c := range map[string]struct{ url, want string }{
		"nothing there":    {"http://127.0.0.1:1", "connection refused (does it run?)"},
		"no Invoke API":    {elsewhere.URL, "answered 404 Not Found"},
		"an address amiss": {"http://[::1", "missing ']' in host"},
		"no scheme at all": {"127.0.0.1:3001", "first path segment in URL cannot contain colon"},
	} {
		list, err := Endpoint{Template: tpl, URL: c.url}.Functions(t.Context(), Here{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = list["F"].Invoke(t.Context(), []byte(`{}`))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want something of %q", name, err, c.want)
		}
		wantType(t, err, "Sandbox.Failure")
	}
	elsewhere.Close()
}
