// Authorize decides who may connect: the Lambda authorizer of $connect.
package main

import "github.com/bellhop-rt/bellhop/internal/lambda/setup"

func main() { setup.Main(setup.Authorize) }
