package gateway

import (
	"bytes"
	"encoding/json"
)

// step is one element of a path into JSON: a member's name, or an array index when index is not negative.
type step struct {
	name  string
	index int
}

// lookup finds the value at path without decoding anything. raw is the value as written, nil if there is none; of members with the same
// name the last one counts. valid is false if data is not JSON.
func lookup(data []byte, path []step) (raw []byte, valid bool) {
	if !json.Valid(data) {
		return nil, false
	}
	raw = data[space(data):]
	for _, s := range path {
		if raw = child(raw, s); raw == nil {
			return nil, true
		}
	}
	return raw[:end(raw)], true
}

// child is the member or element of the value that valid JSON begins with, up to the end of the text, nil if there is none.
func child(data []byte, s step) (found []byte) {
	if isMember := s.index < 0; isMember && data[0] != '{' || !isMember && data[0] != '[' {
		return nil
	}
	for i, rest := 0, data[1+space(data[1:]):]; rest[0] != '}' && rest[0] != ']'; i++ {
		wanted := i == s.index
		if s.index < 0 {
			key := rest[:end(rest)]
			wanted = isName(key, s.name)
			rest = rest[len(key):]
			rest = rest[space(rest)+1:] // the colon
			rest = rest[space(rest):]
		}
		if wanted {
			found = rest
		}
		rest = rest[end(rest):]
		rest = rest[space(rest):]
		if rest[0] == ',' {
			rest = rest[1+space(rest[1:]):]
		}
	}
	return found
}

// space is how much white space there is.
func space(data []byte) (n int) {
	for n < len(data) && (data[n] == ' ' || data[n] == '\n' || data[n] == '\r' || data[n] == '\t') {
		n++
	}
	return n
}

// end is the length of the value that valid JSON begins with. It does not recurse: a message of 10,000 brackets must not grow the
// reader's stack.
func end(data []byte) (n int) {
	for depth := 0; ; {
		switch data[n] {
		case '{', '[':
			depth++
			n++
		case '}', ']':
			depth--
			n++
		case '"':
			n += text(data[n:])
		case ',', ':', ' ', '\n', '\r', '\t':
			n++
			continue // these end no value that began here
		default: // a number or a word
			if after := bytes.IndexAny(data[n:], ",]} \n\r\t"); after >= 0 {
				n += after
			} else {
				n = len(data)
			}
		}
		if depth == 0 {
			return n
		}
	}
}

// text is the length of a string with its quotes.
func text(data []byte) int {
	for n := 1; ; n++ {
		switch data[n] {
		case '\\':
			n++
		case '"':
			return n + 1
		}
	}
}

// isName compares a key as written with a name.
func isName(key []byte, name string) bool {
	if bytes.IndexByte(key, '\\') < 0 {
		return string(key[1:len(key)-1]) == name
	}
	return string(appendUnquoted(nil, key)) == name
}

// appendUnquoted appends the text of a JSON string.
func appendUnquoted(b, raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return append(b, raw[1:len(raw)-1]...)
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return append(b, raw...)
	}
	return append(b, text...)
}
