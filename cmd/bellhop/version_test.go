package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVersionOfARelease: it is said as scripts/release builds the program, also where Go knows nothing of a repository.
func TestVersionOfARelease(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "bellhop")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags", "-X main.stamped=v1.2.3-4-gabcdef0", "-o", program, ".")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	text, err := exec.CommandContext(t.Context(), program, "version").Output()
	if err != nil || !strings.HasPrefix(string(text), "v1.2.3-4-gabcdef0 go1.") {
		t.Errorf("got %s, %v", text, err)
	}
}
