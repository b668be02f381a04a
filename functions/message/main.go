// Message does what clients ask: every route that a frame may take.
package main

import "github.com/bellhop-rt/bellhop/internal/lambda/setup"

func main() { setup.Main(setup.Message) }
