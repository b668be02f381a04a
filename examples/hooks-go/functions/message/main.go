// Message does what clients ask, and asks the hooks for it.
package main

import (
	hooksgo "github.com/bellhop-rt/bellhop/examples/hooks-go"
	"github.com/bellhop-rt/bellhop/hooks/functions"
)

func main() { functions.Message(hooksgo.Handlers) }
