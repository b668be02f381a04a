// Package release says which release a program is of: the command, and every function.
package release

import "runtime/debug"

// Next is the release that this source becomes; the packages of npm have the same number.
const Next = "v0.1.0"

// stamped is the version that scripts/release.go and scripts/deploy build, which is known to them alone where Go was told to leave
// out the repository's state (-buildvcs=false).
var stamped string //nolint:gochecknoglobals // set by -ldflags -X

// Name is what was stamped, else the version that Go knows: the one `go install` got, or that of the commit, as
// "v0.0.0-20261201093000-2f0c4b1a9d3e+dirty". Where Go knows none it is "v0.1.0-devel".
func Name() string {
	info, _ := debug.ReadBuildInfo()
	return name(stamped, info)
}

func name(stamped string, info *debug.BuildInfo) string {
	switch {
	case stamped != "":
		return stamped
	case info == nil, info.Main.Version == "", info.Main.Version == "(devel)":
		return Next + "-devel"
	}
	return info.Main.Version
}
