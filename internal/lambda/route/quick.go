package route

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// quick reads what there is to read of a frame's event, which has five times as much, in a third of the time that encoding/json takes: a
// server on one machine spent an eighth of its time there. It is false for whatever it is not made for, which encoding/json then
// reads: an event with headers, a member of another type, a text with \u. It takes the syntax of what it passes over on trust: events come
// from API Gateway, or what stands in for it.
func (e *webSocketEvent) quick(payload []byte) bool {
	return members(payload, func(name, value []byte) bool {
		switch string(name) {
		case "headers", "queryStringParameters":
			return string(value) == "null"
		case "body":
			return text(value, &e.Body)
		case "requestContext":
			return members(value, e.context)
		}
		return true
	})
}

func (e *webSocketEvent) context(name, value []byte) bool {
	c := &e.Context
	switch string(name) {
	case "eventType":
		return text(value, &c.EventType)
	case "connectionId":
		return text(value, &c.ConnectionID)
	case "disconnectStatusCode":
		n, err := strconv.Atoi(string(value))
		c.StatusCode = n
		return err == nil
	case "disconnectReason":
		return text(value, &c.Reason)
	case "requestTimeEpoch":
		n, err := strconv.ParseInt(string(value), 10, 64)
		c.Time = n
		return err == nil
	case "authorizer":
		return members(value, e.authorizer)
	}
	return true
}

func (e *webSocketEvent) authorizer(name, value []byte) bool {
	a := &e.Context.Authorizer
	switch string(name) {
	case "user":
		return text(value, &a.User)
	case "name":
		return text(value, &a.Name)
	case "grants":
		return text(value, &a.Grants)
	case "expires":
		return text(value, &a.Expires)
	case "codec":
		return text(value, &a.Codec)
	}
	return true
}

// space takes white space off.
func space(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// members gives the members of an object to take, until it is false. It is false too for a text that is not one object.
func members(b []byte, take func(name, value []byte) bool) bool {
	if b = space(b); len(b) == 0 || b[0] != '{' {
		return false
	}
	b = space(b[1:])
	if len(b) > 0 && b[0] == '}' {
		return len(space(b[1:])) == 0
	}
	for {
		name, value, rest := member(b)
		if value == nil || !take(name, value) || len(rest) == 0 {
			return false
		}
		if rest[0] == '}' {
			return len(space(rest[1:])) == 0
		}
		if rest[0] != ',' {
			return false
		}
		b = space(rest[1:])
	}
}

// member is what an object begins with, after its brace or a comma. No value: it begins with something else.
func member(b []byte) (name, value, rest []byte) {
	name = quoted(b)
	if name == nil || bytes.IndexByte(name, '\\') >= 0 {
		return nil, nil, nil
	}
	rest = space(b[len(name):])
	if len(rest) == 0 || rest[0] != ':' {
		return nil, nil, nil
	}
	rest = space(rest[1:])
	value = next(rest)
	return name[1 : len(name)-1], value, space(rest[len(value):])
}

// next is the value that a text begins with; nil: there is none.
func next(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	switch b[0] {
	case '"':
		return quoted(b)
	case '{', '[':
		return nested(b)
	}
	end := bytes.IndexAny(b, ",}] \t\r\n")
	if end <= 0 {
		return nil
	}
	return b[:end]
}

// quoted is the text in quotes that b begins with, quotes and all; nil: there is none.
func quoted(b []byte) []byte {
	if len(b) == 0 || b[0] != '"' {
		return nil
	}
	for end := 1; end < len(b); end++ {
		switch b[end] {
		case '\\':
			end++
		case '"':
			return b[:end+1]
		}
	}
	return nil
}

// nested is the object or list that b begins with.
func nested(b []byte) []byte {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			inside := quoted(b[i:])
			if inside == nil {
				return nil
			}
			i += len(inside) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return b[:i+1]
			}
		}
	}
	return nil
}

// text decodes a text in quotes.
func text(value []byte, to *string) bool {
	if len(value) < 2 || value[0] != '"' || !utf8.Valid(value) {
		return false
	}
	value = value[1 : len(value)-1]
	var out strings.Builder
	out.Grow(len(value))
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c < ' ' {
			return false
		}
		if c == '\\' {
			i++
			letter := strings.IndexByte(`"\/bfnrt`, value[i])
			if letter < 0 {
				return false
			}
			c = "\"\\/\b\f\n\r\t"[letter]
		}
		out.WriteByte(c)
	}
	*to = out.String()
	return true
}

// decode reads an event.
func decode(payload []byte, event any) error {
	if e, is := event.(*webSocketEvent); is {
		if e.quick(payload) {
			return nil
		}
		*e = webSocketEvent{}
	}
	return json.Unmarshal(payload, event)
}
