package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/bellhop-rt/bellhop/internal/local/text"
	"github.com/bellhop-rt/bellhop/internal/release"
)

type versionCommand struct{}

// Run prints which source the program was built from.
func (versionCommand) Run() error {
	_, err := fmt.Fprintln(text.Terminal(os.Stdout), version())
	return err
}

// version is the release with what it was built by and for: "v1.2.0 go1.26.8 linux/amd64".
func version() string {
	return fmt.Sprintf("%s %s %s/%s", release.Name(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
