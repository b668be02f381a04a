// Disconnect takes closed connections out of everything: the route $disconnect.
package main

import "github.com/bellhop-rt/bellhop/internal/lambda/setup"

func main() { setup.Main(setup.Disconnect) }
