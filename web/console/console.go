// Package console is the page that `bellhop dev` serves at "/_bellhop/" for developers: who is connected and in which
// rooms, a live stream of what happens, what it would cost, what became of an event. What it shows comes from the paths
// beside the page. Its paths are relative, it has no inline code, and it asks no other host.
package console

import (
	"embed"
	"io/fs"
)

//go:embed index.html *.css *.js favicon.svg
var files embed.FS

// Files gives the page with index.html at the root.
func Files() fs.FS { return files }
