// Function is the hooks of examples/hooks-go as an application function, for those who do not want them in Bellhop's own
// functions:
//
//	bellhop dev --hook publish=examples/hooks-go/function
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	hooksgo "github.com/bellhop-rt/bellhop/examples/hooks-go"
	"github.com/bellhop-rt/bellhop/hooks"
)

func main() { lambda.Start(hooksgo.Handlers(hooks.Setup{}).Answer) }
