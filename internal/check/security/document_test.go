package security

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocument: every test that SECURITY.md names is there, and every row of what could be tried names one.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../../docs/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]*)`")
	known := map[string]map[string]bool{} // by folder
	named := 0
	claims := false // the table has a column for tests
	for at, line := range strings.Split(string(text), "\n") {
		found := name.FindAllStringSubmatch(line, -1)
		switch {
		case !strings.HasPrefix(line, "|"):
			claims = false
		case strings.HasSuffix(line, "| shown by |"):
			claims = true
		case claims && len(found) == 0 && !strings.HasPrefix(line, "|---"):
			t.Errorf("SECURITY.md:%d: no test shows that: %s", at+1, line)
		}
		for _, match := range found {
			named++
			folder, test := match[1], match[2]
			if known[folder] == nil {
				known[folder] = functions(t, filepath.Join("../../..", folder))
			}
			if !known[folder][test] {
				t.Errorf("SECURITY.md:%d: there is no %s in %s", at+1, test, folder)
			}
		}
	}
	if named < 40 {
		t.Errorf("found only %d tests named", named)
	}
}

// functions gives what the tests of a folder define.
func functions(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, is := d.(*ast.FuncDecl); is && f.Recv == nil {
				all[f.Name.Name] = true
			}
		}
	}
	return all
}
