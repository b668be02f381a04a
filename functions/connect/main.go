// Connect records connections that open: the route $connect.
package main

import "github.com/bellhop-rt/bellhop/internal/lambda/setup"

func main() { setup.Main(setup.Connect) }
