package gateway

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
)

// newID makes an id in API Gateway's alphabet: 16 characters of URL-safe base64 that end in "=". Connections, requests and messages
// all have such ids; tests and clients must not assume the length, a 20 character sample exists.
func newID() string {
	var b [11]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime crashes instead
	return base64.URLEncoding.EncodeToString(b[:])
}

// wellFormed reports whether API Gateway would take id for a connection id: malformed ones are 400 instead of 410.
func wellFormed(id string) bool {
	if len(id) < 12 || len(id) > 64 {
		return false
	}
	_, err := base64.URLEncoding.DecodeString(id)
	return err == nil
}

func newTrace(unix int64) string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	for i := range 4 {
		b[i] = byte(unix >> (24 - 8*i)) //nolint:gosec // the low byte of a shifted time is meant
	}
	h := hex.EncodeToString(b[:])
	return "Root=1-" + h[:8] + "-" + h[8:]
}
