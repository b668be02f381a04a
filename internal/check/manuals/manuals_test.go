package manuals

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

const root = "../../.."

// manual is a Markdown file, without its blocks of code: lines of these are empty.
type manual struct {
	path  string // from root
	lines []string
}

// manuals are all there are in the repository.
func manuals(t *testing.T) []manual {
	t.Helper()
	var all []manual
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != root && (name == "node_modules" || name[0] == '.') {
			return filepath.SkipDir
		}
		if entry.IsDir() || filepath.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		from, err := filepath.Rel(root, path)
		all = append(all, manual{filepath.ToSlash(from), prose(string(text))})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 8 {
		t.Errorf("found only %d manuals", len(all))
	}
	return all
}

func prose(text string) []string {
	lines := strings.Split(text, "\n")
	code := false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if code || fence {
			lines[i] = ""
		}
		code = code != fence
	}
	return lines
}

var (
	link    = regexp.MustCompile(`\]\(<?([^()\s<>]*)>?(?:\s+"[^"]*")?\)|^\s*\[[^\]]+\]:\s+(\S+)|(?:href|src)="([^"]*)"`)
	span    = regexp.MustCompile("`[^`]*`")
	heading = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*$`)
	linked  = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	named   = regexp.MustCompile(`(?:id|name)="([^"]+)"`)
	line    = regexp.MustCompile(`^L(\d+)(?:-L(\d+))?$`)
)

// links are the targets in one line of prose.
func links(text string) []string {
	var targets []string
	for _, match := range link.FindAllStringSubmatch(span.ReplaceAllString(text, ""), -1) {
		targets = append(targets, match[1]+match[2]+match[3])
	}
	return targets
}

// anchors are the places of a Markdown file, as GitHub names them.
func anchors(lines []string) map[string]bool {
	all, times := map[string]bool{}, map[string]int{}
	for _, text := range lines {
		for _, match := range named.FindAllStringSubmatch(text, -1) {
			all[match[1]] = true
		}
		match := heading.FindStringSubmatch(text)
		if match == nil {
			continue
		}
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, linked.ReplaceAllString(match[1], "$1"))
		times[slug]++
		if n := times[slug]; n > 1 {
			slug += "-" + strconv.Itoa(n-1)
		}
		all[slug] = true
	}
	return all
}

// broken says what is wrong with the target of a link, and is empty if nothing is.
func broken(m manual, target string) string {
	if target == "" {
		return "it leads nowhere"
	}
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return "" // another's
	}
	file, anchor, _ := strings.Cut(target, "#")
	path := filepath.Join(filepath.Dir(m.path), filepath.FromSlash(file))
	if file == "" {
		path = m.path
	}
	if !filepath.IsLocal(path) {
		return "it leaves the repository"
	}
	entry, err := os.Stat(filepath.Join(root, path))
	switch {
	case err != nil:
		return "there is no " + path
	case anchor == "":
		return ""
	case entry.IsDir():
		return "a folder has no #" + anchor
	}
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return err.Error()
	}
	if filepath.Ext(path) == ".md" {
		if !anchors(prose(string(text)))[anchor] {
			return path + " has no #" + anchor
		}
		return ""
	}
	match := line.FindStringSubmatch(anchor)
	for _, number := range match {
		if n, err := strconv.Atoi(number); err == nil && n > strings.Count(string(text), "\n") {
			return path + " has no line " + number
		}
	}
	if match == nil {
		return path + " has lines, but no #" + anchor
	}
	return ""
}

// TestLinks: every link to a file of the repository leads to it, and to the place in it.
func TestLinks(t *testing.T) {
	found := 0
	for _, m := range manuals(t) {
		for i, text := range m.lines {
			for _, target := range links(text) {
				found++
				if why := broken(m, target); why != "" {
					t.Errorf("%s:%d: (%s): %s", m.path, i+1, target, why)
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("found only %d links", found)
	}
}

// TestPaths: a path in code type that begins with a folder of the repository is one.
func TestPaths(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, entry := range entries {
		if entry.IsDir() && entry.Name()[0] != '.' {
			folders = append(folders, entry.Name())
		}
	}
	path := regexp.MustCompile(`^[\w./-]+$`)
	symbol := regexp.MustCompile(`\.[A-Z]\w*$`) // internal/hub.New
	found := 0
	for _, m := range manuals(t) {
		for i, text := range m.lines {
			for _, code := range span.FindAllString(text, -1) {
				code = strings.Trim(code, "`")
				folder, _, is := strings.Cut(code, "/")
				if !is || !path.MatchString(code) || !slices.Contains(folders, folder) {
					continue
				}
				found++
				if _, err := os.Stat(filepath.Join(root, symbol.ReplaceAllString(code, ""))); err != nil {
					t.Errorf("%s:%d: there is no %s", m.path, i+1, code)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("found only %d paths", found)
	}
}

// TestBroken: what these tests find, and what they let pass.
func TestBroken(t *testing.T) {
	m := manual{path: "docs/COSTS.md"}
	for target, want := range map[string]string{
		"":                                  "nowhere",
		"#":                                 "",
		"https://example.org/#x":            "",
		"../README.md":                      "",
		"../README.md#install":              "",
		"../README.md#five":                 "no #five",
		"../READ.md":                        "there is no READ.md",
		"README.md":                         "there is no docs/README.md",
		"../internal/hub":                   "",
		"../internal/hub#hub":               "a folder",
		"../../elsewhere":                   "leaves the repository",
		"../go.mod#L1-L2":                   "",
		"../go.mod#L9999":                   "no line 9999",
		"../go.mod#module":                  "no #module",
		"#1-the-formula":                    "",
		"SECURITY.md#what-is-not-protected": "no #what-is-not",
	} {
		if got := broken(m, target); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("(%s): got %q, want %q", target, got, want)
		}
	}
	for text, want := range map[string]string{
		"see [a](b.md) and ![c](d.png \"e\")": "b.md d.png",
		"`[a](b)` is code":                    "",
		"[a]: b.md":                           "b.md",
		`<a href="b.md">`:                     "b.md",
		"[`code`](b.md)":                      "b.md",
		"[empty]()":                           "",
	} {
		if got := strings.Join(links(text), " "); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	if got := links("[empty]()"); len(got) != 1 {
		t.Errorf("a link without a target is passed over: %q", got)
	}
	list := anchors([]string{"# A `b`, [c](d)!", "## Twice", "## Twice", `<a id="mine"></a>`})
	for _, want := range []string{"a-b-c", "twice", "twice-1", "mine"} {
		if !list[want] {
			t.Errorf("no #%s in %v", want, list)
		}
	}
}
