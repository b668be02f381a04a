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

// lookup finds the value at path in one pass that also checks that all of data is JSON. raw is the value as written, nil if there is
// none; of members with the same name the last one counts. It accepts exactly what encoding/json accepts, without decoding anything.
func lookup(data []byte, path []step) (raw []byte, valid bool) {
	s := scanner{data: data}
	var stack [64]byte
	s.stack = stack[:0]
	s.space()
	raw, ok := s.find(path)
	if !ok {
		return nil, false
	}
	s.space()
	return raw, s.pos == len(data)
}

const maxNesting = 10000 // as in encoding/json

type scanner struct {
	data  []byte
	pos   int
	stack []byte // open brackets
}

func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) accept(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// find reads one value and returns the part of it that path leads to.
func (s *scanner) find(path []step) (raw []byte, ok bool) {
	switch {
	case len(path) == 0:
		start := s.pos
		ok = s.skip()
		return s.data[start:s.pos], ok
	case s.peek() == '{' && path[0].index < 0:
		return s.member(path)
	case s.peek() == '[' && path[0].index >= 0:
		return s.element(path)
	}
	return nil, s.skip()
}

func (s *scanner) member(path []step) (raw []byte, ok bool) {
	s.push('{')
	s.pos++
	s.space()
	if s.accept('}') {
		s.pop()
		return nil, true
	}
	for {
		key, ok := s.key()
		if !ok {
			return nil, false
		}
		if isName(key, path[0].name) {
			raw, ok = s.find(path[1:])
		} else {
			ok = s.skip()
		}
		if !ok {
			return nil, false
		}
		s.space()
		if s.accept('}') {
			s.pop()
			return raw, true
		}
		if !s.accept(',') {
			return nil, false
		}
		s.space()
	}
}

func (s *scanner) element(path []step) (raw []byte, ok bool) {
	s.push('[')
	s.pos++
	s.space()
	if s.accept(']') {
		s.pop()
		return nil, true
	}
	for i := 0; ; i++ {
		if i == path[0].index {
			raw, ok = s.find(path[1:])
		} else {
			ok = s.skip()
		}
		if !ok {
			return nil, false
		}
		s.space()
		if s.accept(']') {
			s.pop()
			return raw, true
		}
		if !s.accept(',') {
			return nil, false
		}
		s.space()
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

// key reads a member's name, with quotes, and the colon after it.
func (s *scanner) key() (raw []byte, ok bool) {
	start := s.pos
	if !s.str() {
		return nil, false
	}
	raw = s.data[start:s.pos]
	s.space()
	if !s.accept(':') {
		return nil, false
	}
	s.space()
	return raw, true
}

func (s *scanner) push(c byte) { s.stack = append(s.stack, c) }
func (s *scanner) pop()        { s.stack = s.stack[:len(s.stack)-1] }

// skip reads one value without recursion: a message of 10,000 brackets must not grow the reader's stack.
func (s *scanner) skip() bool {
	base := len(s.stack)
	for {
		opened, ok := s.open()
		if !ok {
			return false
		}
		if opened {
			continue
		}
		if more, ok := s.closeAll(base); !ok {
			return false
		} else if !more {
			return true
		}
	}
}

// open reads a scalar or an empty container, or the beginning of another one up to where its first value starts.
func (s *scanner) open() (opened, ok bool) {
	c := s.peek()
	if c != '{' && c != '[' {
		return false, s.scalar(c)
	}
	if len(s.stack) >= maxNesting {
		return false, false
	}
	s.pos++
	s.space()
	if s.accept(c + 2) { // in ASCII the closing bracket is two after the opening one
		return false, true
	}
	s.push(c)
	if c == '{' {
		_, ok = s.key()
		return true, ok
	}
	return true, true
}

// closeAll goes from the end of a value to the start of the next one; more is false if the container at base ended.
func (s *scanner) closeAll(base int) (more, ok bool) {
	for len(s.stack) > base {
		top := s.stack[len(s.stack)-1]
		s.space()
		switch {
		case s.accept(','):
			s.space()
			if top == '{' {
				_, ok = s.key()
				return true, ok
			}
			return true, true
		case s.accept(top + 2):
			s.pop()
		default:
			return false, false
		}
	}
	return false, true
}

func (s *scanner) scalar(c byte) bool {
	switch c {
	case '"':
		return s.str()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

func (s *scanner) word(w string) bool {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return false
	}
	s.pos += len(w)
	return true
}

func (s *scanner) str() bool {
	if !s.accept('"') {
		return false
	}
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		s.pos++
		switch {
		case c == '"':
			return true
		case c == '\\':
			if !s.escape() {
				return false
			}
		case c < 0x20:
			return false
		}
	}
	return false
}

func (s *scanner) escape() bool {
	c := s.peek()
	s.pos++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			c := s.peek()
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return false
			}
			s.pos++
		}
		return true
	}
	return false
}

func (s *scanner) number() bool {
	s.accept('-')
	if !s.accept('0') && !s.digits() {
		return false
	}
	if s.accept('.') && !s.digits() {
		return false
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if !s.accept('+') {
			s.accept('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}
