// Emit does what other programs ask: invocations, the emit queue, EventBridge.
package main

import "github.com/bellhop-rt/bellhop/internal/lambda/setup"

func main() { setup.Main(setup.Emit) }
