//go:build example

package app

import (
	hooksgo "github.com/bellhop-rt/bellhop/examples/hooks-go"
	public "github.com/bellhop-rt/bellhop/hooks"
	"github.com/bellhop-rt/bellhop/internal/hooks"
)

// Handlers gives those of the example.
func Handlers(s Setup) hooks.Handlers { return hooks.Linked(hooksgo.Handlers(public.Setup(s))) }
