// Deliver delivers to large rooms.
package main

import (
	hooksgo "github.com/bellhop-rt/bellhop/examples/hooks-go"
	"github.com/bellhop-rt/bellhop/hooks/functions"
)

func main() { functions.Deliver(hooksgo.Handlers) }
