package protocol

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest names, in bytes.
const (
	maxRoom   = 128
	maxEvent  = 64
	maxID     = 128
	maxStatus = 32
	maxUser   = maxRoom - len("user:")
)

// RoomKind gives the kind of a room name: "channel" of "channel:42".
func RoomKind(room string) string {
	kind, _, _ := strings.Cut(room, ":")
	return kind
}

// UserRoom is the room of everything that is for one user alone.
func UserRoom(user string) string { return "user:" + user }

// CheckRoom refuses what is not "kind:id". A room name is at most 128 bytes of visible characters without '#' and '*';
// its kind is lower-case letters, digits and '-'.
func CheckRoom(room string) error {
	kind, id, _ := strings.Cut(room, ":")
	if kind == "" || id == "" || len(room) > maxRoom || strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || !visible(id) {
		return Errorf(CodeBadRequest, `room must be "kind:id", such as "channel:42": at most %d bytes, no spaces, '#' or '*'`, maxRoom)
	}
	return nil
}

// CheckUser refuses user ids that cannot name a room of their own.
func CheckUser(user string) error {
	if user == "" || len(user) > maxUser || !visible(user) {
		return Errorf(CodeBadRequest, "a user id must have 1 to %d bytes, no spaces, '#' or '*'", maxUser)
	}
	return nil
}

// CheckAfter refuses what is no user id, but for none.
func CheckAfter(user string) error {
	if user == "" {
		return nil
	}
	return CheckUser(user)
}

// CheckEvent refuses event names that are empty, too long or not visible characters, and those that Socket.IO keeps for its
// clients' own: one such event would cut off everybody in the room who speaks that dialect.
func CheckEvent(event string) error {
	switch event {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return Errorf(CodeBadRequest, "an event must not be called %s: clients of Socket.IO have that name for themselves", event)
	}
	if event == "" || len(event) > maxEvent || !visible(event) {
		return Errorf(CodeBadRequest, "event must be a name of 1 to %d bytes without spaces, '#' or '*'", maxEvent)
	}
	return nil
}

// CheckID refuses ids of actions and events that are too long or not visible characters. The empty id is fine.
func CheckID(id string) error {
	if len(id) > maxID || id != "" && !visible(id) {
		return Errorf(CodeBadRequest, "id must be a string of at most %d bytes without spaces, '#' or '*'", maxID)
	}
	return nil
}

// GeneratedID is the id of a logged event that was published without one.
func GeneratedID(epoch string, seq int64) string { return epoch + ":" + strconv.FormatInt(seq, 10) }

// generated reports whether an id fits what GeneratedID makes of the epochs of all stores: 10 characters of base 32.
func generated(id string) bool {
	epoch, seq, _ := strings.Cut(id, ":")
	return len(epoch) == 10 && strings.Trim(epoch, "abcdefghijklmnopqrstuvwxyz234567") == "" &&
		seq != "" && strings.Trim(seq, "0123456789") == ""
}

// CheckNewID is CheckID for an event that is about to be published. It refuses ids of the form that GeneratedID makes:
// whoever takes one could stand in for an event that has none yet.
func CheckNewID(id string) error {
	if generated(id) {
		return Errorf(CodeBadRequest, "ids like %q are the server's own; use another", id)
	}
	return CheckID(id)
}

// CheckStatus refuses statuses that are empty or too long.
func CheckStatus(status string) error {
	if status == "" || len(status) > maxStatus || !utf8.ValidString(status) {
		return Errorf(CodeBadRequest, `status must be a string of 1 to %d bytes, such as "online", "away" or "busy"`, maxStatus)
	}
	return nil
}

func visible(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	runes := []rune(s)
	for i, r := range runes {
		switch {
		case r == zwnj || r == zwj:
			if i == 0 || i == len(runes)-1 || !joinable(runes[i-1]) || !joinable(runes[i+1]) {
				return false
			}
		case r == '#' || r == '*' || unicode.IsSpace(r) || !unicode.IsGraphic(r):
			return false
		}
	}
	return true
}

// Characters that part or join others. They are not seen themselves, but words of Persian and of Indian languages, and many
// emoji, are not written without.
const (
	zwnj = '\u200c'
	zwj  = '\u200d'
)

// joinable reports whether a character may stand beside such a one. Between others, Latin letters among them, it would only make two
// names look the same.
func joinable(r rune) bool {
	return r > unicode.MaxLatin1 && !unicode.Is(unicode.Latin, r) && unicode.In(r, unicode.L, unicode.M, unicode.So, unicode.Sk)
}
