package text

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible gives a text in which nothing is left that a terminal obeys instead of showing it, or that makes a reader see another order than
// there is: control characters, line ends, directions of writing, invisible characters, bytes that are no text. Each is written as in
// JSON, so that JSON stays the same JSON. What others have chosen goes through this on its way to a terminal.
func Visible(s string) string {
	if isVisible(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			_, _ = fmt.Fprintf(&b, `\x%02x`, s[i])
		case shown(r):
			b.WriteRune(r)
		default:
			escape(&b, r)
		}
		i += size
	}
	return b.String()
}

func isVisible(s string) bool {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !shown(r) || r == utf8.RuneError && size == 1 {
			return false
		}
		i += size
	}
	return true
}

// shown reports whether a terminal shows a character, and does nothing else. The two joiners are a part of words and of emoji.
func shown(r rune) bool {
	const zwnj, zwj = '\u200c', '\u200d'
	return r >= ' ' && r < 0x7f || r > 0x7f && unicode.IsGraphic(r) || r == zwnj || r == zwj
}

func escape(b *strings.Builder, r rune) {
	switch short := strings.IndexRune("\n\r\t\b\f", r); {
	case short >= 0:
		b.WriteString(`\` + "nrtbf"[short:short+1])
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		_, _ = fmt.Fprintf(b, `\u%04x\u%04x`, high, low)
	default:
		_, _ = fmt.Fprintf(b, `\u%04x`, r)
	}
}

// Terminal is a writer in front of another: what it lets through is Visible, but for the ends of lines and tabs, which are the
// program's. A program that escapes what others have chosen by itself loses nothing by it, and one that forgets to is covered.
func Terminal(w io.Writer) io.Writer { return &terminal{w: w} }

type terminal struct {
	w    io.Writer
	rest []byte // of a character whose other bytes are yet to come
}

func (t *terminal) Write(p []byte) (int, error) {
	text := append(t.rest, p...)
	whole := len(text)
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if last := text[len(text)-i:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				whole -= i
			}
			break
		}
	}
	t.rest = append([]byte(nil), text[whole:]...)
	var b strings.Builder
	for piece := string(text[:whole]); piece != ""; {
		end := strings.IndexAny(piece, "\n\t")
		if end < 0 {
			b.WriteString(Visible(piece))
			break
		}
		b.WriteString(Visible(piece[:end]))
		b.WriteByte(piece[end])
		piece = piece[end+1:]
	}
	if _, err := io.WriteString(t.w, b.String()); err != nil {
		return 0, err
	}
	return len(p), nil
}
