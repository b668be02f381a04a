// Package demo is the page that `bellhop dev` serves at "/": chat, typing, presence, notifications and buddy activity in
// plain HTML, CSS and JavaScript modules, to look at and to copy from. connection.js is the wire protocol, app.js the page.
//
// All its paths are relative. It loads nothing from elsewhere and has no inline code, so it works under the strict policy
// "default-src 'self'; connect-src 'self' ws: wss:".
package demo

import (
	"embed"
	"io/fs"
)

//go:embed index.html style.css app.js connection.js favicon.svg
var files embed.FS

// Files gives the page with index.html at the root.
func Files() fs.FS { return files }
