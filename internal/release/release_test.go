package release

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop"
)

func TestName(t *testing.T) {
	of := func(version string) *debug.BuildInfo { return &debug.BuildInfo{Main: debug.Module{Version: version}} }
	for what, test := range map[string]struct {
		stamped string
		info    *debug.BuildInfo
		want    string
	}{
		"stamped":                 {"v1.2.3", of("v1.0.0"), "v1.2.3"},
		"installed by go install": {"", of("v1.2.3"), "v1.2.3"},
		"a clone":                 {"", of("v0.0.0-20261201093000-2f0c4b1a9d3e"), "v0.0.0-20261201093000-2f0c4b1a9d3e"},
		"-buildvcs=false":         {"", of("(devel)"), Next + "-devel"},
		"another builder":         {"", nil, Next + "-devel"},
	} {
		if got := name(test.stamped, test.info); got != test.want {
			t.Errorf("%s: got %s, want %s", what, got, test.want)
		}
	}
}

// TestPackages: what npm gets has the number of the next release.
func TestPackages(t *testing.T) {
	for _, folder := range []string{"web/client", "web/command", "infra/cdk"} {
		text, err := os.ReadFile(filepath.Join("../..", folder, "package.json"))
		if err != nil {
			t.Fatal(err)
		}
		var manifest struct{ Version string }
		if err := json.Unmarshal(text, &manifest); err != nil || "v"+manifest.Version != Next {
			t.Errorf("%s has the version %s, want %s without its v: %v", folder, manifest.Version, Next, err)
		}
	}
}

// TestStamp: -X reaches the variable where Go knows nothing of a repository.
func TestStamp(t *testing.T) {
	program := filepath.Join(t.TempDir(), "bellhop")
	flags := []string{"-buildvcs=false", "-ldflags", "-X github.com/bellhop-rt/bellhop/internal/release.stamped=v1.2.3-4-gabcdef0"}
	build := exec.CommandContext(t.Context(), "go", append(append([]string{"build"}, flags...), "-o", program, "../../cmd/bellhop")...)
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	text, err := exec.CommandContext(t.Context(), program, "--version").Output()
	if want := "v1.2.3-4-gabcdef0 go1."; err != nil || len(text) < len(want) || string(text[:len(want)]) != want {
		t.Errorf("got %s, %v, want %s…", text, err, want)
	}
}

// TestOutput: a stack says its version; scripts/release.go and scripts/deploy look for this line.
func TestOutput(t *testing.T) {
	if want := "  Version:\n    Description: Which Bellhop this is\n    Value: " + Next + "-devel #"; !strings.Contains(string(bellhop.Template), want) {
		t.Errorf("template.yaml has not the output\n%s", want)
	}
}
