package protocol

// Reason says why a connection or a room ends: the data of [SessionEnding] and [RoomClosed]. Like codes, reasons are part of
// the protocol; a program that ends something may give one of its own instead.
type Reason string

// The reasons that the server gives by itself.
const (
	ReasonExpired      Reason = "expired"
	ReasonDisconnected Reason = "disconnected"
	ReasonClosed       Reason = "closed"
)

// Reasons lists all of them.
func Reasons() []Reason { return []Reason{ReasonExpired, ReasonDisconnected, ReasonClosed} }

// Sentence says what the reason means.
func (r Reason) Sentence() string {
	switch r {
	case ReasonExpired:
		return "The token has expired; connect again with another."
	case ReasonDisconnected:
		return "A program has disconnected the user."
	case ReasonClosed:
		return "A program has closed the room."
	}
	return "A program has ended it, for a reason of its own."
}

// Retry reports whether a client may come back by itself.
func (r Reason) Retry() bool { return r == ReasonExpired }
