// Authorize decides who may connect; it asks no hooks.
package main

import "github.com/bellhop-rt/bellhop/hooks/functions"

func main() { functions.Authorize() }
