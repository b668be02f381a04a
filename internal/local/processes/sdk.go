package processes

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Lambda's runtimes of Node.js and Python bring an AWS SDK along, and code that is written for them leaves it out of its packages; see
// "Runtime-included SDK versions". What a function uses and has not is fetched once, by the package manager of its language.

// sdkTime is how long a fetch may take.
const sdkTime = 5 * time.Minute

// sdk gives the folder of what the runtime of a function brings along; empty: nothing.
func (p *Children) sdk(ctx context.Context, r template.Function, dir string) string {
	if p.Cache == "" || p.command(r) != "" {
		return ""
	}
	var folder string
	var err error
	switch {
	case strings.HasPrefix(r.Runtime, "nodejs"):
		known := sdkPackage
		folder = filepath.Join(p.Cache, "node")
		if sdk2Runtimes.MatchString(r.Runtime) { // in a folder of its own, where no later runtime finds it
			known, folder = sdk2Package, filepath.Join(p.Cache, "node-sdk2")
		}
		err = p.fetch(ctx, r, missingPackages(known, dir, folder), folder, "npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error")
	case strings.HasPrefix(r.Runtime, "python"):
		folder = filepath.Join(p.Cache, "python")
		err = p.fetch(ctx, r, missingBoto(ctx, dir, folder), folder, "python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder)
	}
	if err != nil {
		p.warnOnce(ctx, r.ID, err.Error())
	}
	return folder
}

// fetch has a package manager put packages into a folder.
func (p *Children) fetch(ctx context.Context, r template.Function, packages []string, folder string, command ...string) error {
	if len(packages) == 0 {
		return nil
	}
	p.fetches.Lock()
	defer p.fetches.Unlock()
	p.tellf(r.ID, "it uses %s, which Lambda brings along: fetching that once, into %s", strings.Join(packages, ", "), folder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder for AWS's SDK: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sdkTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], packages...)...) //nolint:gosec // one of the two above
	cmd.Dir = folder
	cmd.WaitDelay = time.Second
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s could not fetch %s: %w\n%s", command[0], strings.Join(packages, ", "), err, strings.TrimSpace(string(text)))
	}
	return nil
}

const importing = `(?:\bfrom|\bimport|\brequire\(|\bimport\()\s*['"]`

// What code imports or requires: a package of version 3, which nodejs18.x and later bring along, or version 2, which those before do.
var (
	sdkPackage   = regexp.MustCompile(importing + `(@(?:aws-sdk|smithy)/[a-z0-9-]+)`)
	sdk2Package  = regexp.MustCompile(importing + `(aws-sdk)['"/]`)
	sdk2Runtimes = regexp.MustCompile(`^nodejs([0-9]|1[0-6])?(\.|$)`)
)

// missingPackages are those of the known ones that code in a folder names and neither it nor the cache has.
func missingPackages(known *regexp.Regexp, dir, cache string) (list []string) {
	eachSource(dir, []string{".js", ".mjs", ".cjs"}, func(text []byte) {
		for _, found := range known.FindAllSubmatch(text, -1) {
			name := string(found[1])
			if !slices.Contains(list, name) && !installed(dir, name) && !installed(cache, name) {
				list = append(list, name)
			}
		}
	})
	slices.Sort(list)
	return list
}

// installed looks for a package as Node.js does: in node_modules of a folder and of those that it is in.
func installed(dir, name string) bool {
	for {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", filepath.FromSlash(name), "package.json")); err == nil { //nolint:gosec // the names are of letters and hyphens
			return true
		}
		above := filepath.Dir(dir)
		if above == dir {
			return false
		}
		dir = above
	}
}

// botoImport is code that uses Python's SDK.
var botoImport = regexp.MustCompile(`(?m)^\s*(?:import|from)\s+(?:boto3|botocore)\b`)

// missingBoto is boto3, if code in a folder uses it and python3 does not find it.
func missingBoto(ctx context.Context, dir, cache string) []string {
	used := false
	eachSource(dir, []string{".py"}, func(text []byte) { used = used || botoImport.Match(text) })
	if !used {
		return nil
	}
	look := exec.CommandContext(ctx, "python3", "-c", "import importlib.util, sys; sys.path[:0] = sys.argv[1:]; sys.exit(importlib.util.find_spec('boto3') is None)", dir, cache) //nolint:gosec // its words are ours
	look.Dir = dir                                                                                                                                                                // as the function: pyenv and its like choose python3 by the folder
	if look.Run() == nil {
		return nil
	}
	return []string{"boto3"}
}

// eachSource reads the sources of a function, but for installed packages and what is too large to be written by hand.
func eachSource(dir string, endings []string, read func(text []byte)) {
	const most = 1 << 20
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // what cannot be read names nothing
		case d.IsDir() && name != dir && (ofTools(d.Name()) || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || !slices.Contains(endings, filepath.Ext(name)):
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > most {
			return nil //nolint:nilerr // as above
		}
		if text, err := os.ReadFile(name); err == nil { //nolint:gosec // the folder is the function's
			read(text)
		}
		return nil
	})
}
