package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/bellhop-rt/bellhop/internal/local/text"
)

// stamped is the version that scripts/release builds, which is known to it alone where Go was told to leave out the repository's
// state (-buildvcs=false).
var stamped string //nolint:gochecknoglobals // set by -ldflags -X

type versionCommand struct{}

// Run prints which source the program was built from.
func (versionCommand) Run() error {
	_, err := fmt.Fprintln(text.Terminal(os.Stdout), version())
	return err
}

// version is that of the module, or of the commit: "v1.2.0 go1.26.8 linux/amd64". Go knows both, unless scripts/release has said it.
func version() string {
	return fmt.Sprintf("%s %s %s/%s", release(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// release is the first word of version.
func release() string {
	if stamped != "" {
		return stamped
	}
	name := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		name = info.Main.Version
		if name == "(devel)" || name == "" {
			name = commit(info.Settings)
		}
	}
	return name
}

func commit(settings []debug.BuildSetting) string {
	name, changed := "devel", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			name = "devel-" + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+changes"
		}
	}
	return name + changed
}
