// Package functions runs Bellhop's functions with an application's own hooks linked in: nothing is invoked to ask them. Each function is
// a program of one's own, in the folder that the template's CodeUri names:
//
//	// functions/message/main.go
//	package main
//
//	func main() { functions.Message(rules.Handlers) }
//
// All seven are needed, since connections end in most of them; a function that asks no hooks takes none. examples/hooks-go has them.
// Deploy with the template of this module, and try it where functions/ is:
//
//	bellhop dev --functions process --dynamodb local
package functions

import (
	"github.com/bellhop-rt/bellhop/app"
	"github.com/bellhop-rt/bellhop/hooks"
	internal "github.com/bellhop-rt/bellhop/internal/hooks"
	"github.com/bellhop-rt/bellhop/internal/lambda/setup"
)

// Make gives an application's handlers. It is called once, at the start of a function.
type Make func(hooks.Setup) hooks.Handlers

// Authorize runs functions/authorize, which asks no hooks. Like all others, it does not return.
func Authorize() { setup.Main(setup.Authorize) }

// Connect runs functions/connect, which asks the hook connect.
func Connect(m Make) { run(setup.Connect, m) }

// Disconnect runs functions/disconnect, which tells the hook disconnect.
func Disconnect(m Make) { run(setup.Disconnect, m) }

// Message runs functions/message, which asks all hooks.
func Message(m Make) { run(setup.Message, m) }

// Emit runs functions/emit, which tells the hook disconnect.
func Emit(m Make) { run(setup.Emit, m) }

// Deliver runs functions/deliver, which tells the hook disconnect, and asks connect for clients of Socket.IO.
func Deliver(m Make) { run(setup.Deliver, m) }

// Sweep runs functions/sweep, which tells the hook disconnect.
func Sweep(m Make) { run(setup.Sweep, m) }

func run(f setup.Function, m Make) {
	setup.MainWith(f, func(s app.Setup) internal.Handlers { return internal.Linked(m(hooks.Setup(s))) })
}
