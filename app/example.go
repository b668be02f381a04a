//go:build example

package app

import (
	hooksgo "github.com/bellhop-rt/bellhop/examples/hooks-go"
	"github.com/bellhop-rt/bellhop/internal/hooks"
)

// Handlers gives those of the example.
func Handlers(s Setup) hooks.Handlers { return hooksgo.Handlers(s.DynamoDB, s.Table) }
