package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// DevelopmentSecret signs the tokens of the development server. Everybody knows it, so whoever trusts it trusts
// everybody: nothing that can be reached from another machine may.
const DevelopmentSecret = "bellhop-for-development-only-everybody-knows-this-secret"

// DevelopmentGrants allow everything in every room, but for the rooms of other users.
func DevelopmentGrants() hub.Grants {
	return hub.Grants{"*": {hub.GrantJoin, hub.GrantPublish, hub.GrantModerate}}
}

// Bearer is what the entry of Sec-WebSocket-Protocol begins with that carries the token.
const Bearer = "bearer."

// FromRequest finds the token of a WebSocket handshake: the entry bearer.<jwt> of the header Sec-WebSocket-Protocol, a
// list like "bellhop.v1, bearer.eyJ…", or else the query parameter token. ok is false when there is neither. The header
// wins because URLs end up in access logs.
func FromRequest(subprotocols, query string) (token string, ok bool) {
	for entry := range strings.SplitSeq(subprotocols, ",") {
		if jwt, found := strings.CutPrefix(strings.TrimSpace(entry), Bearer); found && jwt != "" {
			return jwt, true
		}
	}
	return query, query != ""
}

// Claims is what [Sign] puts into a token.
type Claims struct {
	User, Name       string     // Name may be empty
	Grants           hub.Grants // nil: no claim, so that the default grants apply; empty: none
	Issuer, Audience string     // empty: no claim
	IssuedAt         time.Time  // zero: now
	TTL              time.Duration
}

// Sign mints an HS256 token that expires TTL after IssuedAt, counted in whole seconds. TTL 0 means an hour; a negative
// one makes a token that has expired. It refuses what [Verifier.Verify] would never accept: a secret shorter than 32
// bytes, a malformed user id, malformed grants.
func Sign(secret []byte, c Claims) (string, error) {
	if len(secret) < minSecret {
		return "", fmt.Errorf("sign token: the secret has %d bytes, HS256 needs at least %d", len(secret), minSecret)
	}
	if err := protocol.CheckUser(c.User); err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	if c.IssuedAt.IsZero() {
		c.IssuedAt = time.Now()
	}
	if c.TTL == 0 {
		c.TTL = time.Hour
	}
	m := jwt.MapClaims{"sub": c.User, "iat": c.IssuedAt.Unix(), "exp": c.IssuedAt.Add(c.TTL).Unix()}
	for name, value := range map[string]string{"name": c.Name, "iss": c.Issuer, "aud": c.Audience} {
		if value != "" {
			m[name] = value
		}
	}
	if c.Grants != nil {
		text, err := json.Marshal(c.Grants)
		if err != nil {
			return "", fmt.Errorf("sign token: %w", err)
		}
		if _, err := hub.ParseGrants(text); err != nil {
			return "", fmt.Errorf("sign token: %w", err)
		}
		m["grants"] = json.RawMessage(text)
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, m).SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed, nil
}

// Sentence is an error of [Sign], or a refusal, as a person reads it: without code and prefix. Any other is given in full.
func Sentence(err error) string {
	if refused, ok := errors.AsType[*protocol.Error](err); ok {
		return refused.Message
	}
	return strings.TrimPrefix(err.Error(), "sign token: ")
}
