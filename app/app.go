//go:build !example

package app

import "github.com/bellhop-rt/bellhop/internal/hooks"

// Handlers gives the hooks that are written in Go. Here is where yours go.
func Handlers(Setup) hooks.Handlers { return hooks.Handlers{} }
