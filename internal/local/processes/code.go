package processes

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// elsewhere is what can be done about a function that does not run here.
const elsewhere = "say what runs it, with --runtime %s=COMMAND, or run it elsewhere, with --functions endpoint=URL"

// maxUnzipped is Lambda's quota for a function's code, with room for what only a laptop has.
const maxUnzipped = 1 << 30

// samBuild is where `sam build` leaves a template whose CodeUri names what it has built.
const samBuild = ".aws-sam/build/template.yaml"

// source finds what a builder has left of a function's code: a folder, or an archive. What it is and where depends on the builder:
//
//   - SAM, Chalice and Architect name a folder or a .zip in CodeUri; `sam build` leaves folders of its own, which are taken if they are
//     newer than that.
//   - The CDK uploads what the template's metadata names: a folder asset.{hash} or a file beside the template in cdk.out.
//   - The Serverless Framework uploads a .zip that is beside the template in .serverless.
//
// The error says what is missing.
func (p *Children) source(ctx context.Context, r template.Function) (string, error) {
	command := p.command(r) != ""
	switch {
	case r.Image && command:
		return p.Folder, nil
	case r.Image:
		return "", fmt.Errorf("its code is a container image, which is not started here: "+elsewhere, r.ID)
	case !command && r.Runtime == "":
		return "", errors.New("the template gives it no Runtime: AWS refuses a function without one, such as nodejs22.x")
	case !command && !runtimeapi.Runs(r.Runtime):
		return "", fmt.Errorf("there is no runtime %s here: "+elsewhere, r.Runtime, r.Runtime)
	case r.InlineCode != "":
		return "", nil
	}
	tried := p.places(r)
	for _, place := range tried {
		if _, err := os.Stat(place); err == nil {
			if r.Remote == "" {
				return p.newer(ctx, r, place), nil
			}
			return place, nil
		}
	}
	if built := p.samFolders(ctx)[r.ID]; built != "" {
		return built, nil
	}
	if r.Remote != "" {
		return "", fmt.Errorf("its code is in %s, and there is none of %s: build it again, and give the template that is beside what was built", r.Remote, strings.Join(tried, ", "))
	}
	return "", fmt.Errorf("there is no %s", tried[0])
}

// places are the paths where code may be, the likeliest first.
func (p *Children) places(r template.Function) (list []string) {
	add := func(name string) {
		name = filepath.FromSlash(name)
		if !filepath.IsAbs(name) {
			name = filepath.Join(p.Folder, name)
		}
		list = append(list, name)
	}
	if r.Asset != "" {
		add(r.Asset)
	}
	if r.Remote == "" {
		if r.Asset == "" {
			add(r.CodeURI)
		}
		return list
	}
	name := path.Base(r.Remote)
	add(name)
	add("asset." + strings.TrimSuffix(name, ".zip"))
	add("asset." + name)
	return list
}

// newer is what `sam build` made of a source since that was last changed, or the source.
func (p *Children) newer(ctx context.Context, r template.Function, source string) string {
	built := p.samFolders(ctx)[r.ID]
	if built == "" || isGo(source, r) { // Go is built for this machine
		return source
	}
	info, err := os.Stat(filepath.Join(p.Folder, samBuild))
	if err != nil || changed(source).After(info.ModTime()) {
		p.warnOnce(ctx, r.ID, source+" is newer than what sam build has made of it, and is run as it is")
		return source
	}
	p.warnOnce(ctx, r.ID, "what sam build has made is run, "+built+", and not its source")
	return built
}

// samBuilt are the folders that `sam build` has made, by function or layer. Several functions may have one together.
type samBuilt struct {
	stamp   stamp
	folders map[string]string
}

func (p *Children) samFolders(ctx context.Context) map[string]string {
	file := filepath.Join(p.Folder, samBuild)
	now := p.stamps.of(file)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sam.folders != nil && p.sam.stamp.sum == now.sum {
		return p.sam.folders
	}
	p.sam = samBuilt{now, map[string]string{}}
	t, err := template.ReadFile(file, template.Options{Parameters: p.Parameters})
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			p.Logger.WarnContext(ctx, "what sam build has made is not used", "error", err)
		}
		return p.sam.folders
	}
	add := func(id, uri string) {
		folder := filepath.Join(filepath.Dir(file), filepath.FromSlash(uri))
		if info, err := os.Stat(folder); uri != "" && err == nil && info.IsDir() {
			p.sam.folders[id] = folder
		}
	}
	for _, f := range t.Functions {
		add(f.ID, f.CodeURI)
	}
	for _, l := range t.Layers {
		add(l.ID, l.URI)
	}
	return p.sam.folders
}

// changed is when the last file of a folder was written, but for what tools leave there.
func changed(folder string) (last time.Time) {
	_ = filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read has not changed
		}
		if d.IsDir() {
			if name != folder && (ofTools(d.Name()) || d.Name() == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if info, err := d.Info(); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
		return nil
	})
	return last
}

// code gives the folder that a function runs in, and builds what is to be built. A function that is built here becomes a bootstrap,
// whatever its runtime was. again: it has changed.
func (p *Children) code(ctx context.Context, r *template.Function, again bool) (string, error) {
	source, err := p.source(ctx, *r)
	if err != nil {
		return "", err
	}
	if r.InlineCode != "" {
		return p.keepInline(*r)
	}
	info, err := os.Stat(source)
	switch {
	case err != nil:
		return "", fmt.Errorf("look at its code: %w", err)
	case info.IsDir() && isBuilt(source, *r):
		if err := p.ensureBuilt(ctx, *r, source, again); err != nil {
			return "", fmt.Errorf("it %w: %w", ErrNotBuilt, err)
		}
		if isGo(source, *r) {
			r.Runtime = "provided"
		}
		return p.built(*r), nil
	case info.IsDir():
		return source, p.checkTypeScript(*r, source)
	case strings.HasSuffix(source, ".zip"):
		return p.built(*r), unzip(source, p.built(*r))
	}
	return filepath.Dir(source), nil // one file
}

// checkTypeScript says of a handler for Node.js that it has to be built first, if there is nothing else of it.
func (p *Children) checkTypeScript(r template.Function, folder string) error {
	if !strings.HasPrefix(r.Runtime, "nodejs") || p.command(r) != "" {
		return nil
	}
	module, _, _ := strings.Cut(path.Base(r.Handler), ".")
	module = filepath.Join(folder, filepath.FromSlash(path.Dir(r.Handler)), module)
	for _, built := range []string{".js", ".mjs", ".cjs", ""} {
		if _, err := os.Stat(module + built); err == nil {
			return nil
		}
	}
	for _, ext := range []string{".ts", ".mts", ".cts", ".tsx"} {
		if _, err := os.Stat(module + ext); err == nil {
			return fmt.Errorf("its handler is TypeScript, %s, which has to be built first: `sam build` and `npx serverless package` leave what is run then, and with other builders CodeUri names it", module+ext)
		}
	}
	return nil
}

func (p *Children) keepInline(r template.Function) (string, error) {
	dir, name := p.built(r), "index.py"
	if strings.HasPrefix(r.Runtime, "nodejs") {
		name = "index.js"
	}
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), []byte(r.InlineCode), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("keep its inline code: %w", err)
	}
	return dir, nil
}

// unzip makes a folder of an archive, in the place of what was there when all of it is there. Nothing is written outside of the folder, whatever the archive's
// names and links say.
func unzip(file, folder string) error {
	archive, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer func() { _ = archive.Close() }()
	fresh, old := folder+".new", folder+".old"
	if err := errors.Join(os.RemoveAll(fresh), os.RemoveAll(old), os.MkdirAll(fresh, 0o700)); err != nil {
		return fmt.Errorf("make the folder for %s: %w", file, err)
	}
	root, err := os.OpenRoot(fresh)
	if err != nil {
		return fmt.Errorf("open the folder for %s: %w", file, err)
	}
	defer func() { _ = root.Close() }()
	left := int64(maxUnzipped)
	for _, entry := range archive.File {
		n, err := extract(root, entry, left)
		if err != nil {
			return fmt.Errorf("unzip %s: %s: %w", file, entry.Name, err)
		}
		left -= n
	}
	if err := os.Rename(folder, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unzip %s: %w", file, err)
	}
	return errors.Join(os.Rename(fresh, folder), os.RemoveAll(old))
}

var errTooLarge = errors.New("the archive unpacks to more than 1 GB")

// extract writes one entry of at most limit bytes, and gives its size.
func extract(root *os.Root, entry *zip.File, limit int64) (int64, error) {
	name := filepath.FromSlash(strings.TrimSuffix(entry.Name, "/"))
	if entry.FileInfo().IsDir() {
		return 0, root.MkdirAll(name, 0o700)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return 0, err
	}
	in, err := entry.Open()
	if err != nil {
		return 0, err
	}
	defer func() { _ = in.Close() }()
	if entry.Mode()&fs.ModeSymlink != 0 {
		target, err := io.ReadAll(io.LimitReader(in, 4096))
		if err != nil {
			return 0, err
		}
		return 0, root.Symlink(string(target), name)
	}
	out, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, entry.Mode().Perm()|0o600)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, io.LimitReader(in, limit+1))
	if n > limit {
		err = errors.Join(err, errTooLarge)
	}
	return n, errors.Join(err, out.Close())
}
