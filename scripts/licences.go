//go:build ignore

// Licences fails, with the module's name, when something that Bellhop is made of has a licence that is not on the list:
// the Go modules in the functions, the command and the packages emitter and tokens, and the npm packages in the client and the page.
// What only tests and tools use is not looked at. npm packages must also be pinned by the hash of what was looked at; Go
// modules always are, by go.sum.
//
//	go run scripts/licences.go
//
// It also writes what of that goes with every copy: the texts of the licences, and a bill of materials in the format of CycloneDX.
//
//	go run scripts/licences.go -notices NOTICES -bom bellhop.cdx.json -version v1.2.3
package main

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

var made = []string{"./functions/...", "./cmd/...", "./emitter/...", "./tokens/..."}

func main() {
	log.SetFlags(0)
	log.SetPrefix("licences: ")
	notices := flag.String("notices", "", "write the licences' texts to this `file`")
	bom := flag.String("bom", "", "write a bill of materials to this `file`")
	version := flag.String("version", "", "of Bellhop, in the bill")
	flag.Parse()
	if err := run(*notices, *bom, *version); err != nil {
		log.Fatal(err)
	}
}

func run(notices, bom, version string) error {
	if notices == "" && bom == "" {
		if err := goModules(made...); err != nil {
			return err
		}
	}
	npm, err := npmPackages("web/package-lock.json", "client", "demo")
	if err != nil {
		return err
	}
	if len(npm) < 3 {
		return fmt.Errorf("found only %d npm packages", len(npm))
	}
	if notices == "" && bom == "" {
		return nil
	}
	parts, err := linked()
	if err != nil {
		return err
	}
	for _, p := range npm {
		if err := p.read(p.folder); err != nil {
			return err
		}
		parts = append(parts, p)
	}
	return errors.Join(writeNotices(notices, parts), writeBill(bom, version, parts))
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

// npmPackages looks at what the workspaces need when they run, however deep, and gives those packages.
func npmPackages(lock string, workspaces ...string) ([]*part, error) {
	text, err := os.ReadFile(lock)
	if err != nil {
		return nil, err
	}
	var file struct {
		Packages map[string]entry `json:"packages"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", lock, err)
	}
	seen := map[string]bool{}
	var parts []*part
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
		case !slices.Contains(workspaces, path):
			name := path[strings.LastIndex(path, "node_modules/")+len("node_modules/"):]
			parts = append(parts, &part{
				name: name, version: p.Version, licence: p.License, url: "pkg:npm/" + strings.Replace(name, "@", "%40", 1) + "@" + p.Version,
				sum: p.Integrity, folder: filepath.Join(filepath.Dir(lock), filepath.FromSlash(path)),
			})
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
			return nil, err
		}
	}
	if len(failed) > 0 {
		return nil, fmt.Errorf("%s: %s", lock, strings.Join(failed, "; "))
	}
	return parts, nil
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

// part is something that Bellhop is made of.
type part struct {
	name, version, licence string
	url                    string // https://github.com/package-url/purl-spec
	sum                    string // "h1:…" as in go.sum, or as in a lock file of npm
	folder                 string
	texts                  []string // of its licences
}

// read takes the licences that lie in a folder.
func (p *part) read(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := strings.ToUpper(entry.Name())
		is := slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS"}, func(begin string) bool { return strings.HasPrefix(name, begin) })
		if extension := filepath.Ext(name); !is || entry.IsDir() || !slices.Contains([]string{"", ".MD", ".TXT"}, extension) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return err
		}
		if trimmed := strings.TrimSpace(string(text)); !slices.Contains(p.texts, trimmed) {
			p.texts = append(p.texts, trimmed)
		}
	}
	return nil
}

// linked are the modules of Go in the programs of any system, and the language itself.
func linked() ([]*part, error) {
	root := runtime.GOROOT()
	language := &part{
		name: "std", version: strings.TrimPrefix(runtime.Version(), "go"), licence: "BSD-3-Clause",
		url: "pkg:golang/std@" + strings.TrimPrefix(runtime.Version(), "go"), folder: root,
	}
	if err := language.read(root); err != nil {
		return nil, err
	}
	sums, err := sums()
	if err != nil {
		return nil, err
	}
	ids, err := identifiers()
	if err != nil {
		return nil, err
	}
	modules := map[string]*part{}
	looked := map[string]bool{}
	for _, system := range []string{"linux", "darwin", "windows"} {
		list := exec.Command("go", append([]string{"list", "-deps", "-json=Dir,Module"}, made...)...)
		list.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		list.Stderr = os.Stderr
		text, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		for decoder := json.NewDecoder(bytes.NewReader(text)); ; {
			var pkg struct {
				Dir    string
				Module *struct {
					Path, Version, Dir string
					Main               bool
				}
			}
			if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			m := pkg.Module
			if m == nil || m.Main {
				continue
			}
			p := modules[m.Path]
			if p == nil {
				p = &part{name: m.Path, version: m.Version, url: "pkg:golang/" + m.Path + "@" + url.PathEscape(m.Version), sum: sums[m.Path+" "+m.Version], licence: ids[m.Path], folder: m.Dir}
				for _, name := range slices.Sorted(maps.Keys(ids)) { // called by a package, where only that is linked
					if strings.HasPrefix(name, m.Path+"/") {
						p.licence = cmp.Or(p.licence, ids[name])
					}
				}
				modules[m.Path] = p
			}
			for at := pkg.Dir; !looked[at]; at = filepath.Dir(at) { // some copy code of others into a folder of theirs
				looked[at] = true
				if err := p.read(at); err != nil {
					return nil, err
				}
				if at == m.Dir {
					break
				}
			}
		}
	}
	parts := []*part{language}
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		parts = append(parts, modules[path])
	}
	return parts, nil
}

// sums are the hashes of go.sum by "module version".
func sums() (map[string]string, error) {
	text, err := os.ReadFile("go.sum")
	sums := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 {
			sums[f[0]+" "+f[1]] = f[2]
		}
	}
	return sums, err
}

// identifiers are the licences of packages as go-licenses reads them. What only another system
// links is known by its text alone.
func identifiers() (map[string]string, error) {
	report := exec.Command("go", append([]string{"run", tool, "report", "--template=scripts/licences.tmpl"}, made...)...)
	var told bytes.Buffer
	report.Stderr = &told
	text, err := report.Output()
	if err != nil {
		return nil, fmt.Errorf("go-licenses: %w\n%s", err, told.Bytes())
	}
	ids := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, id, is := strings.Cut(strings.TrimSpace(line), ","); is {
			ids[name] = id
		}
	}
	return ids, nil
}

// writeNotices writes the licences' texts, each after the names of those that it is of.
func writeNotices(to string, parts []*part) error {
	if to == "" {
		return nil
	}
	var out strings.Builder
	out.WriteString("Bellhop is made of its own code, whose licence is in LICENSE, and of these.\n")
	for _, p := range parts {
		if len(p.texts) == 0 {
			return fmt.Errorf("%s %s has no text of a licence in %s", p.name, p.version, p.folder)
		}
		fmt.Fprintf(&out, "\n%s\n%s %s\n\n%s\n", strings.Repeat("=", 80), p.name, p.version, strings.Join(p.texts, "\n\n"))
	}
	return os.WriteFile(to, []byte(out.String()), 0o644)
}

// component is a part in https://cyclonedx.org/docs/1.6/json/.
type component struct {
	Type     string    `json:"type"`
	Ref      string    `json:"bom-ref,omitempty"`
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Hashes   []hash    `json:"hashes,omitempty"`
	Licences []licence `json:"licenses,omitempty"`
	PURL     string    `json:"purl"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type licence struct {
	License map[string]string `json:"license"`
}

// writeBill writes the bill of materials. There is no time and no serial number in it, so that the same source has the same.
func writeBill(to, version string, parts []*part) error {
	if to == "" {
		return nil
	}
	describe := func(kind, name, version, url, id string, hashes []hash) component {
		c := component{Type: kind, Ref: url, Name: name, Version: version, PURL: url, Hashes: hashes}
		if id != "" {
			c.Licences = []licence{{map[string]string{"id": id}}}
		}
		return c
	}
	bill := struct {
		Format   string `json:"bomFormat"`
		Spec     string `json:"specVersion"`
		Version  int    `json:"version"`
		Metadata struct {
			Component component `json:"component"`
		} `json:"metadata"`
		Components []component `json:"components"`
	}{Format: "CycloneDX", Spec: "1.6", Version: 1}
	const ours = "github.com/bellhop-rt/bellhop"
	bill.Metadata.Component = describe("application", ours, version, "pkg:golang/"+ours+"@"+url.PathEscape(version), "MIT", nil)
	for _, p := range parts {
		hashes, err := p.hashes()
		if err != nil {
			return err
		}
		bill.Components = append(bill.Components, describe("library", p.name, p.version, p.url, p.licence, hashes))
	}
	text, err := json.MarshalIndent(bill, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(to, append(text, '\n'), 0o644)
}

// hashes writes a sum in hexadecimal: go.sum has SHA-256 of a list of the module's files, as other bills have it too.
func (p *part) hashes() ([]hash, error) {
	for prefix, algorithm := range map[string]string{"h1:": "SHA-256", "sha512-": "SHA-512"} {
		if text, is := strings.CutPrefix(p.sum, prefix); is {
			sum, err := base64.StdEncoding.DecodeString(text)
			return []hash{{algorithm, hex.EncodeToString(sum)}}, err
		}
	}
	if p.name == "std" {
		return nil, nil
	}
	return nil, fmt.Errorf("%s %s has the sum %q, which is not known", p.name, p.version, p.sum)
}
