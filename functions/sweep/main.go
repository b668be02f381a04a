// Sweep puts right, on a schedule, what nobody noticed.
package main

import "github.com/bellhop-rt/bellhop/internal/lambda/setup"

func main() { setup.Main(setup.Sweep) }
