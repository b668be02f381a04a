// Package awserr is the error of an AWS service: what is answered over HTTP, and what the methods of the emulated services return in its
// place. Each service has codes of its own and writes them to the wire in its own way.
package awserr

import (
	"errors"
	"net/http"
)

// Error is an AWS error.
type Error struct {
	Status  int
	Code    string // such as GoneException
	Message string
}

// Error is the code and, if there is one, the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// ErrorCode is the code by the name that AWS's own SDK uses (smithy.APIError).
func (e *Error) ErrorCode() string { return e.Code }

// Of is the AWS error that err is, else an internal one of the given code.
func Of(err error, internal string) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Status: http.StatusInternalServerError, Code: internal, Message: err.Error()}
}
