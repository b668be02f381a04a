package manuals

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestWorkflows: what runs elsewhere runs what is here: targets of the Makefile, with files that exist.
func TestWorkflows(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, ".github/*/*.yml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("found %v, %v", files, err)
	}
	targets := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var workflow struct {
			Jobs map[string]struct {
				Steps []struct {
					Run  string
					With map[string]string
				}
			}
		}
		if err := yaml.Unmarshal(text, &workflow); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, job := range workflow.Jobs {
			for _, step := range job.Steps {
				for _, target := range regexp.MustCompile(`\bmake (\w+)`).FindAllStringSubmatch(step.Run, -1) {
					if targets++; !regexp.MustCompile(`(?m)^` + target[1] + `:`).Match(makefile) {
						t.Errorf("%s: there is no make %s", file, target[1])
					}
				}
				for _, name := range []string{"go-version-file", "cache-dependency-path"} {
					if path := step.With[name]; path != "" {
						if _, err := os.Stat(filepath.Join(root, path)); err != nil {
							t.Errorf("%s: %s: %v", file, name, err)
						}
					}
				}
			}
		}
	}
	if targets < 2 {
		t.Errorf("found only %d targets", targets)
	}
}
