// Package console is the page that `bellhop dev` serves at "/_bellhop/" for developers: the open connections and the
// numbers, as connections and stats beside the page give them. Its paths are relative and it has no inline code.
package console

import (
	"embed"
	"io/fs"
)

//go:embed index.html style.css console.js
var files embed.FS

// Files gives the page with index.html at the root.
func Files() fs.FS { return files }
