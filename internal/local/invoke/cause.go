package invoke

import "context"

// Trigger is who runs a function.
type Trigger string

// The triggers. Who asks the Invoke API is none of them, nor is a rule or a schedule, which do no more than that.
const (
	ByAuthorizer Trigger = "authorizer" // of a handshake
	ByConnect    Trigger = "connect"
	ByMessage    Trigger = "message"
	ByDisconnect Trigger = "disconnect"
	ByQueue      Trigger = "queue"
	ByStream     Trigger = "stream"
)

// Cause is what a function runs for, as those know it who watch; the function itself has it in its event.
type Cause struct {
	By         Trigger
	Connection string // of the gateway's
	Route      string // of a message
	Principal  string // whom the authorizer named; of ByConnect

	Lineage Lineage // how functions have led to this
}

type causeKey struct{}

// For gives a context with which [Service.Await] runs a function for a cause.
func For(ctx context.Context, c Cause) context.Context {
	return context.WithValue(ctx, causeKey{}, c)
}

// CauseOf gives the cause of the invocation that a context is of.
func CauseOf(ctx context.Context) Cause {
	c, _ := ctx.Value(causeKey{}).(Cause)
	return c
}
