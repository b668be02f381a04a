// Sweep finds connections that nobody noticed the end of.
package main

import (
	hooksgo "github.com/bellhop-rt/bellhop/examples/hooks-go"
	"github.com/bellhop-rt/bellhop/hooks/functions"
)

func main() { functions.Sweep(hooksgo.Handlers) }
