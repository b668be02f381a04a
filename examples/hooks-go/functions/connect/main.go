// Connect asks whether a connection may open.
package main

import (
	hooksgo "github.com/bellhop-rt/bellhop/examples/hooks-go"
	"github.com/bellhop-rt/bellhop/hooks/functions"
)

func main() { functions.Connect(hooksgo.Handlers) }
