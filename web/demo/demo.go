// Package demo is the page that `bellhop dev` serves at "/": chat, typing, presence, notifications and buddy activity,
// written with the React hooks of @bellhop/client, to look at and to copy from.
//
// All its paths are relative. It loads nothing from elsewhere and has no inline code, so it works under the strict policy
// "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; frame-ancestors 'self'".
package demo

import (
	"embed"
	"io/fs"
)

// What Vite builds is never committed; dist itself is, so that this compiles without Node.
//
//go:embed all:dist unbuilt
var files embed.FS

// Files gives the page with index.html at the root: as it was built when this program was compiled, or a page that says
// how to build it.
func Files() fs.FS { return pick(files) }

func pick(folders fs.FS) fs.FS {
	folder := "dist/page"
	if _, err := fs.Stat(folders, folder+"/index.html"); err != nil {
		folder = "unbuilt"
	}
	page, err := fs.Sub(folders, folder)
	if err != nil {
		panic(err) // both are valid paths
	}
	return page
}
