//go:build ignore

// Licences fails, with the module's name, when something that Bellhop is made of has a licence that is not on the list:
// the Go modules in the functions, the command and the packages emitter and tokens, and the npm packages in the client and the page.
// What only tests and tools use is not looked at. npm packages must also be pinned by the hash of what was looked at; Go
// modules always are, by go.sum.
//
//	go run scripts/licences.go
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// allowed are SPDX identifiers, https://spdx.org/licenses/. All of them let the code be used under Bellhop's own licence;
// MPL-2.0 as long as its files are not changed.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// known are licences that npm's lock file does not tell, since the package says them in an older form. They were read there.
var known = map[string]string{
	"xmlhttprequest-ssl 2.1.2": "MIT", // for polling, which is not in the page
}

const tool = "github.com/google/go-licenses@v1.6.0"

func main() {
	log.SetFlags(0)
	log.SetPrefix("licences: ")
	if err := goModules("./functions/...", "./cmd/...", "./emitter/...", "./tokens/..."); err != nil {
		log.Fatal(err)
	}
	n, err := npmPackages("web/package-lock.json", "client", "demo")
	if err != nil {
		log.Fatal(err)
	}
	if n < 3 {
		log.Fatalf("found only %d npm packages", n)
	}
}

func goModules(packages ...string) error {
	args := append([]string{"run", tool, "check", "--allowed_licenses=" + strings.Join(allowed, ",")}, packages...)
	text, err := exec.Command("go", args...).CombinedOutput()
	if err != nil { // only then: it also tells of every assembler file that it passes over
		return fmt.Errorf("Go modules: %w\n%s", err, text)
	}
	return nil
}

// entry is a package in a lock file of npm, https://docs.npmjs.com/cli/configuring-npm/package-lock-json.
type entry struct {
	Version      string            `json:"version"`
	License      string            `json:"license"`
	Integrity    string            `json:"integrity"`
	Resolved     string            `json:"resolved"`
	Link         bool              `json:"link"`
	Dependencies map[string]string `json:"dependencies"`
	Optional     map[string]string `json:"optionalDependencies"`
}

// npmPackages looks at what the workspaces need when they run, however deep, and gives how many packages that are.
func npmPackages(lock string, workspaces ...string) (int, error) {
	text, err := os.ReadFile(lock)
	if err != nil {
		return 0, err
	}
	var file struct {
		Packages map[string]entry `json:"packages"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return 0, fmt.Errorf("%s: %w", lock, err)
	}
	seen := map[string]bool{}
	var failed []string
	var visit func(path string) error
	visit = func(path string) error {
		if seen[path] {
			return nil
		}
		seen[path] = true
		p, is := file.Packages[path]
		if p.License == "" {
			p.License = known[strings.TrimPrefix(path, "node_modules/")+" "+p.Version]
		}
		switch {
		case !is:
			return fmt.Errorf("%s: there is no %s", lock, path)
		case p.Link:
			return visit(p.Resolved)
		case !slices.Contains(workspaces, path) && !permitted(p.License):
			failed = append(failed, fmt.Sprintf("%s %s has the licence %q", path, p.Version, p.License))
		case !slices.Contains(workspaces, path) && p.Integrity == "":
			failed = append(failed, fmt.Sprintf("%s %s is not pinned by a hash", path, p.Version))
		}
		for _, list := range []map[string]string{p.Dependencies, p.Optional} {
			for name := range list {
				found, err := find(file.Packages, path, name)
				if err == nil {
					err = visit(found)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, w := range workspaces {
		if err := visit(w); err != nil {
			return 0, err
		}
	}
	if len(failed) > 0 {
		return 0, fmt.Errorf("%s: %s", lock, strings.Join(failed, "; "))
	}
	return len(seen), nil
}

// find is Node's search: beside the package that wants it, and then further up.
func find(packages map[string]entry, from, name string) (string, error) {
	for at := from; ; {
		path := strings.TrimPrefix(at+"/node_modules/"+name, "/")
		if _, is := packages[path]; is {
			return path, nil
		}
		if at == "" {
			return "", fmt.Errorf("%s needs %s, which is not there", from, name)
		}
		at = at[:max(0, strings.LastIndex(at, "/"))]
	}
}

// permitted also takes a choice of licences, such as "(MIT OR GPL-2.0)", if one of them is on the list.
func permitted(license string) bool {
	for choice := range strings.SplitSeq(strings.Trim(license, "()"), " OR ") {
		if slices.Contains(allowed, choice) {
			return true
		}
	}
	return false
}
