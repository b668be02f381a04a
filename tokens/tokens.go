// Package tokens makes the tokens that clients connect with, for servers that know who is logged in:
//
//	text, err := tokens.Sign(secret, tokens.Claims{
//		User: "ana", Name: "Ana",
//		Grants: tokens.Grants{"channel:*": {tokens.Join, tokens.Publish}},
//	})
//
// The secret is the one of the parameter JwtSecretArn, or of `bellhop dev --jwt-secret`. Who has key pairs instead signs with a
// library of JSON Web Tokens; docs/PROTOCOL.md has the claims.
package tokens

import (
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// What a grant allows in a room.
const (
	Join     = hub.GrantJoin     // enter, read, see and be seen
	Publish  = hub.GrantPublish  // speak and type
	Signal   = hub.GrantSignal   // type, without speaking
	Moderate = hub.GrantModerate // delete what others said
)

// Grants says what a token allows: names of rooms, or the beginning of some and a '*', to what is allowed there.
type Grants map[string][]string

// Claims are what a token says.
type Claims struct {
	User             string        // the user's id: 1 to 123 bytes, no spaces, '#' or '*'
	Name             string        // what others see; may be empty
	Grants           Grants        // nil: the parameter DefaultGrants applies; empty: nothing but the user's own room
	Issuer, Audience string        // where JwtIssuer and JwtAudience ask for them
	TTL              time.Duration // until it expires, in whole seconds; 0: an hour
}

// Sign makes an HS256 token. It refuses what the server would never accept: a secret shorter than 32 bytes, a malformed user id,
// malformed grants.
func Sign(secret []byte, c Claims) (string, error) {
	return token.Sign(secret, token.Claims{
		User: c.User, Name: c.Name, Grants: hub.Grants(c.Grants), Issuer: c.Issuer, Audience: c.Audience, TTL: c.TTL,
	})
}
