package emulator

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

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
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
