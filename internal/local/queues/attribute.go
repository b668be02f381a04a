package queues

import (
	"crypto/md5" //nolint:gosec // the checksum that SQS's clients check
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
)

// MessageAttribute is one attribute of a queue's message, as SQS's JSON protocol writes it. Type is String, Number or Binary, perhaps with
// a suffix of the application's own after a dot.
type MessageAttribute struct {
	Type   string  `json:"DataType"`
	String *string `json:"StringValue,omitempty"`
	Binary []byte  `json:"BinaryValue,omitempty"`
}

const maxAttributes = 10 // "Amazon SQS message quotas"

func (a MessageAttribute) value() string {
	if a.String != nil {
		return *a.String
	}
	return string(a.Binary)
}

func (a MessageAttribute) isBinary() bool { return strings.HasPrefix(a.Type, "Binary") }

// check tests what SQS tests of a message besides its size.
func (m *Message) check() error {
	for i, r := range m.Body {
		if !allowed(r) || r == '\ufffd' && !strings.HasPrefix(m.Body[i:], "\ufffd") {
			return &awserr.Error{
				Status: http.StatusBadRequest, Code: "InvalidMessageContents",
				Message: fmt.Sprintf("Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF: %#x", r),
			}
		}
	}
	if len(m.Attributes) > maxAttributes {
		return errValue("Number of message attributes exceeds the allowed maximum [10].")
	}
	for name, a := range m.Attributes {
		kind, _, _ := strings.Cut(a.Type, ".")
		switch {
		case kind != "String" && kind != "Number" && kind != "Binary":
			return errValue(fmt.Sprintf("The type of message (user) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", name))
		case a.value() == "" || a.isBinary() != (a.String == nil):
			return errValue(fmt.Sprintf("The message (user) attribute '%s' must contain a non-empty value of its type '%s'.", name, a.Type))
		}
	}
	return nil
}

// allowed are the characters that a message may have; see "SendMessage" in the Amazon SQS API reference.
func allowed(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000
}

func md5Hex(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// md5OfAttributes is the checksum of all attributes; see "Calculating the MD5 message digest for message attributes" in the Amazon SQS
// developer guide.
func md5OfAttributes(attributes map[string]MessageAttribute) string {
	var b []byte
	add := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s))) //nolint:gosec // at most 1 MiB
		b = append(b, s...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		add(name)
		add(a.Type)
		if a.isBinary() {
			b = append(b, 2)
		} else {
			b = append(b, 1)
		}
		add(a.value())
	}
	return md5Hex(b)
}
