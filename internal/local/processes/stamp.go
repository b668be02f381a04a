package processes

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Whether code has changed is looked for before each call, and by a slow poll for who does not call: names, sizes and times of the files
// in a function's folder. A watcher of the operating system (fsnotify) would tell of a change a moment after it, when the next call may
// have begun; it has to be given every folder, sees nothing of what a container or a network has mounted, and a folder that a builder
// replaces is lost to it. Looking costs what the folder's size is; large ones are looked at less often, see [stamps.of].

// stamp is what code looked like. Those of the same code are the same.
type stamp struct {
	sum    uint64
	newest string // the file that was changed last
}

// stamps remembers how folders looked.
type stamps struct {
	mu   sync.Mutex
	seen map[string]seen
}

type seen struct {
	stamp stamp
	until time.Time // it is not looked at again before
}

// A look that takes longer than quick is not repeated before restFactor times as long.
const (
	quick      = 5 * time.Millisecond
	restFactor = 10
)

// of looks at a folder or a file, but for what is ignored. What is not there has a stamp too.
func (s *stamps) of(root string) stamp {
	s.mu.Lock()
	defer s.mu.Unlock()
	begin := time.Now()
	if known, ok := s.seen[root]; ok && begin.Before(known.until) {
		return known.stamp
	}
	now := look(root)
	if s.seen == nil {
		s.seen = map[string]seen{}
	}
	if end := time.Now(); end.Sub(begin) > quick {
		s.seen[root] = seen{now, end.Add(restFactor * end.Sub(begin))}
	}
	return now
}

func look(root string) stamp {
	sum := fnv.New64a()
	out := stamp{}
	var last time.Time
	_ = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read has not changed
		}
		if d.IsDir() {
			if name != root && (ofTools(d.Name()) || isCache(name) || d.Name() == "node_modules" && !inLayer(root, name)) {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		_, _ = sum.Write([]byte(name))
		_, _ = sum.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(info.Size())), uint64(info.ModTime().UnixNano()))) //nolint:gosec // whatever they are
		if out.newest == "" || info.ModTime().After(last) {
			last, out.newest = info.ModTime(), d.Name()
		}
		return nil
	})
	out.sum = sum.Sum64()
	return out
}

// ofTools tells folders that tools leave beside code.
func ofTools(folder string) bool {
	return strings.HasPrefix(folder, ".") || folder == "__pycache__" || folder == "cdk.out"
}

// cacheTag is what makes a folder one of isCache: a file of this name that begins with this text.
const (
	cacheTag     = "CACHEDIR.TAG"
	cacheTagText = "Signature: 8a477f597d28d172789f06886806bc55\n# What bellhop dev has built of functions; see https://bford.info/cachedir/\n"
)

// markBuilt says of the folder where functions are built that it can be made again, so that what changes in it is no change of code, wherever it is.
func (p *Children) markBuilt() error {
	if p.Built == "" {
		return nil
	}
	err := os.MkdirAll(p.Built, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(p.Built, cacheTag), []byte(cacheTagText), 0o600)
	}
	if err != nil {
		return fmt.Errorf("make the folder of what is built: %w", err)
	}
	return nil
}

// isCache tells folders that say of themselves that they can be made again, such as Cargo's target; see "Cache Directory Tagging
// Specification".
func isCache(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, cacheTag))
	return err == nil
}

// inLayer tells packages that are a layer's content from those that are installed beside code, which are many, and change by a tool.
func inLayer(root, folder string) bool {
	within, err := filepath.Rel(root, folder)
	return err == nil && strings.HasPrefix(filepath.ToSlash(within), "nodejs/")
}

// stampOf looks at all that a function is made of.
func (p *Children) stampOf(ctx context.Context, r template.Function) stamp {
	roots := p.places(r)
	if r.InlineCode != "" {
		roots = nil
	}
	if source, err := p.source(ctx, r); err == nil && source != "" {
		roots = []string{source}
		if isGo(source, r) {
			roots = []string{moduleOf(source)}
		}
	}
	for _, l := range p.template().Layers {
		for _, id := range r.Layers {
			if l.ID == id {
				roots = append(roots, p.places(layerCode(l))...)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(p.Folder, samBuild)); err == nil {
		roots = append(roots, filepath.Join(p.Folder, samBuild))
	}
	sum := fnv.New64a()
	out := stamp{}
	for _, root := range roots {
		one := p.stamps.of(root)
		_, _ = sum.Write(binary.LittleEndian.AppendUint64([]byte(root), one.sum))
		if out.newest == "" {
			out.newest = one.newest
		}
	}
	out.sum = sum.Sum64()
	return out
}

// moduleOf is the folder of the module that a Go package is in, or the package's own.
func moduleOf(folder string) string {
	for dir := folder; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return folder
		}
	}
}
