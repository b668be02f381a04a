// Deliver does the jobs of the deliver queue: fan-out, retries, the end of a presence.
package main

import "github.com/bellhop-rt/bellhop/internal/lambda/setup"

func main() { setup.Main(setup.Deliver) }
