package protocol

import (
	"errors"
	"fmt"
	"time"
)

// Code says why an action was refused. Codes are part of the protocol: none is ever renamed.
type Code string

// The codes, with their sentence and whether the same action may work later, in [Code.Sentence] and [Code.Retry].
const (
	CodeBadRequest      Code = "bad_request"
	CodeUnauthenticated Code = "unauthenticated"
	CodeForbidden       Code = "forbidden"
	CodeUnknownAction   Code = "unknown_action"
	CodeUnknownRoomKind Code = "unknown_room_kind"
	CodeNotInRoom       Code = "not_in_room"
	CodeTooManyRooms    Code = "too_many_rooms"
	CodeRateLimited     Code = "rate_limited"
	CodeTooLarge        Code = "too_large"
	CodeExpired         Code = "expired"
	CodeConflict        Code = "conflict"
	CodeUnavailable     Code = "unavailable"
	CodeInternal        Code = "internal"
)

// Codes lists all of them.
func Codes() []Code {
	return []Code{
		CodeBadRequest, CodeUnauthenticated, CodeForbidden, CodeUnknownAction, CodeUnknownRoomKind, CodeNotInRoom,
		CodeTooManyRooms, CodeRateLimited, CodeTooLarge, CodeExpired, CodeConflict, CodeUnavailable, CodeInternal,
	}
}

// Sentence says in general what the code means; an [Error] may say it more exactly.
func (c Code) Sentence() string {
	switch c {
	case CodeBadRequest:
		return "The request is malformed."
	case CodeUnauthenticated:
		return "The connection or its token is not known; connect again with a valid token."
	case CodeForbidden:
		return "The token does not grant this."
	case CodeUnknownAction:
		return "There is no such action."
	case CodeUnknownRoomKind:
		return "There is no such kind of room."
	case CodeNotInRoom:
		return "The connection has not joined this room."
	case CodeTooManyRooms:
		return "The connection is in as many rooms as it may be; leave one first."
	case CodeRateLimited:
		return "The connection sends too fast; wait and try again."
	case CodeTooLarge:
		return "The frame is too large."
	case CodeExpired:
		return "The token has expired; renew it with auth or connect again."
	case CodeConflict:
		return "The id is already used for something else."
	case CodeUnavailable:
		return "The service is busy; try again."
	case CodeInternal:
		return "Something went wrong on the server; try again."
	}
	return "Something went wrong."
}

// Retry reports whether the same action may work when it is simply sent again.
func (c Code) Retry() bool {
	switch c {
	case CodeRateLimited, CodeUnavailable, CodeInternal:
		return true
	default:
		return false
	}
}

// Error is a refusal that a client may see. Every other error is internal: logged, and shown as [CodeInternal].
type Error struct {
	Code       Code
	Message    string        // a sentence that says what to do
	RetryAfter time.Duration // with CodeRateLimited: when the action may work
}

// Error gives code and message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Is makes errors of one code match each other, whatever they say.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Refuse is a refusal with the code's own sentence.
func Refuse(c Code) *Error { return &Error{Code: c, Message: c.Sentence()} }

// Errorf is a refusal with a sentence of its own.
func Errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...)}
}

// Public gives what a client may see of an error: a refusal as it is, anything else as [CodeInternal].
func Public(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Refuse(CodeInternal)
}
