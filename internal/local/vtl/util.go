package vtl

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Util is API Gateway's $util; see "$util variables" in the "Mapping template and access logging variable reference for API Gateway".
type Util struct{}

// UtilMethods are the methods of [Util].
func UtilMethods() []string {
	return []string{"escapeJavaScript", "parseJson", "urlEncode", "urlDecode", "base64Encode", "base64Decode"}
}

// Get is nothing: $util has methods only.
func (Util) Get(string) (any, bool) { return nil, false }

// Call runs a method.
func (Util) Call(method string, args []any) (any, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%s takes one argument", method)
	}
	if args[0] == nil {
		return nil, nil //nolint:nilnil // UNCONFIRMED
	}
	s := Text(args[0])
	switch method {
	case "escapeJavaScript":
		return escapeJavaScript(s), nil
	case "parseJson":
		return Decode([]byte(s))
	case "urlEncode":
		return url.QueryEscape(s), nil
	case "urlDecode":
		return url.QueryUnescape(s)
	case "base64Encode":
		return base64.StdEncoding.EncodeToString([]byte(s)), nil
	case "base64Decode":
		b, err := base64.StdEncoding.DecodeString(s)
		return string(b), err
	}
	return nil, errors.New("not emulated")
}

// escapeJavaScript is that of Apache Commons Text: both quotes, the slash and all that is not printable in ASCII. The apostrophe's
// backslash is no JSON, which is why templates take it out again.
func escapeJavaScript(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '"', '\'', '\\', '/':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			escapeRune(&b, r)
		}
	}
	return b.String()
}

func escapeRune(b *strings.Builder, r rune) {
	switch {
	case r >= 0x20 && r < 0x7f:
		b.WriteRune(r)
	case r > 0xffff:
		r -= 0x10000
		fmt.Fprintf(b, `\u%04X\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
	default:
		fmt.Fprintf(b, `\u%04X`, r)
	}
}
