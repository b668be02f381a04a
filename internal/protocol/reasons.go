package protocol

// Reason says why a connection or a room ends: the data of [SessionEnding] and [RoomClosed]. Like codes, reasons are part of
// the protocol; a program that ends something may give one of its own instead.
type Reason string

// The reasons that the server gives by itself.
const (
	ReasonExpired      Reason = "expired"
	ReasonDisconnected Reason = "disconnected"
	ReasonClosed       Reason = "closed"
	ReasonForbidden    Reason = "forbidden"
	ReasonRemoved      Reason = "removed"
)

// Reasons lists all of them.
func Reasons() []Reason {
	return []Reason{ReasonExpired, ReasonDisconnected, ReasonClosed, ReasonForbidden, ReasonRemoved}
}

// Sentence says what the reason means.
func (r Reason) Sentence() string {
	switch r {
	case ReasonExpired:
		return "The token has expired; connect again with another."
	case ReasonDisconnected:
		return "A program has disconnected the user."
	case ReasonClosed:
		return "A program has closed the room."
	case ReasonForbidden:
		return "The connection's new token does not grant the room."
	case ReasonRemoved:
		return "A program has taken the connection out of the room."
	}
	return "A program has ended it, for a reason of its own."
}

// Retry reports whether a client may come back by itself.
func (r Reason) Retry() bool { return r == ReasonExpired }
