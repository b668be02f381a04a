package deployment

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrograms: a function carries nothing to AWS that only a laptop or a test runs. What it links, it loads at each cold start.
func TestPrograms(t *testing.T) {
	const module = "github.com/bellhop-rt/bellhop/"
	lookedAt(t, "functions", "internal", "app", "go.mod")
	list := exec.CommandContext(t.Context(), "go", "list", "-tags", "lambda.norpc", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "./functions/...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	programs := strings.Split(strings.TrimSpace(string(out)), "\n")
	if want := len(resources(t, "AWS::Serverless::Function")); len(programs) != want {
		t.Errorf("found %d programs, the template has %d", len(programs), want)
	}
	for _, program := range programs {
		name, deps, _ := strings.Cut(program, " ")
		ours := 0
		for dep := range strings.FieldsSeq(deps) {
			own, is := strings.CutPrefix(dep, module)
			if is {
				ours++
			}
			if why := foreign(own, is, dep); why != "" {
				t.Errorf("%s links %s: %s", path.Base(name), dep, why)
			}
		}
		if ours < 3 {
			t.Errorf("%s links only %d packages of ours", path.Base(name), ours)
		}
	}
}

// lookedAt tells `go test`, which does not see what another program reads, that a pass is not to be taken from its cache once one of
// these has changed.
func lookedAt(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		err := filepath.WalkDir(root+name, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// foreign says why a package is not for Lambda, and is empty if it may be.
func foreign(own string, is bool, dep string) string {
	under := func(folder string) bool { return own == folder || strings.HasPrefix(own, folder+"/") }
	switch {
	case is && (under("internal/local") || under("cmd") || under("web") || under("emulatortest")):
		return "it runs on a laptop"
	case is && (under("internal/check") || strings.HasSuffix(own, "test")), dep == "testing", strings.HasPrefix(dep, "testing/"):
		return "it only tests"
	case is && under("internal/store/bolt"), strings.HasPrefix(dep, "go.etcd.io/bbolt"):
		return "the store of a laptop"
	case strings.HasPrefix(dep, "github.com/santhosh-tekuri/jsonschema"):
		return "schemas would make every cold start slower"
	}
	return ""
}
