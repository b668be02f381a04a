// Disconnect tells that a connection is gone.
package main

import (
	hooksgo "github.com/bellhop-rt/bellhop/examples/hooks-go"
	"github.com/bellhop-rt/bellhop/hooks/functions"
)

func main() { functions.Disconnect(hooksgo.Handlers) }
