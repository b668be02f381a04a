package gateway

import "net/http"

// Choices are about what AWS does where nobody has published it: each is UNCONFIRMED. The zero value is what this emulator does by default.
// Code that works with any of them leans on nothing that may be otherwise on AWS.
//
// What is not known and makes no difference to handlers and clients is not here, but marked UNCONFIRMED where it is decided.
type Choices struct {
	// ConnectTimeoutStatus is the status of a handshake whose $connect takes longer than its integration may; by default 502, as when
	// it throws. 504 is the other candidate.
	ConnectTimeoutStatus int
	// DeleteStatus is the status of DELETE @connections; by default 204, as AWS's model of the API says. A test against AWS saw 200.
	DeleteStatus int
	// AdmitWithoutStatus lets a client in whose $connect returned null, or no statusCode; by default that is 502.
	AdmitWithoutStatus bool
	// TypedAuthorizerContext leaves numbers and booleans of an authorizer's context what they are in events; by default they are text, as
	// in REST APIs.
	TypedAuthorizerContext bool
	// OneAtATime runs the messages of one connection one after the other; by default they run at once. The documentation promises no
	// order, and says nothing against one.
	OneAtATime bool
	// StrictRouteResponses answers the "Internal server error" frame when a function on a two-way route returns a status that is not 2xx;
	// by default its body is sent, as it was seen once.
	StrictRouteResponses bool
	// EmptyFrames sends an empty frame when a function on a two-way route returns no body; by default nothing is sent.
	EmptyFrames bool
	// PingsKeepAlive has ping frames count as activity, which puts off the idle timeout; by default only messages do.
	PingsKeepAlive bool
}

func (c *Choices) connectTimeout() int {
	if c.ConnectTimeoutStatus == 0 {
		return http.StatusBadGateway
	}
	return c.ConnectTimeoutStatus
}

func (c *Choices) deleted() int {
	if c.DeleteStatus == 0 {
		return http.StatusNoContent
	}
	return c.DeleteStatus
}

func (c *Choices) inFlight() int {
	if c.OneAtATime {
		return 1
	}
	return maxInFlight
}
