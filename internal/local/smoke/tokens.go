package smoke

import (
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/stack"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// signed are tokens that are made as they are needed, of whoever it should be.
type signed struct {
	secret           []byte
	issuer, audience string
}

// Token is part of [Tokens].
func (s signed) Token(user string) (bearer, of string, err error) {
	bearer, err = token.Sign(s.secret, token.Claims{
		User: user, Name: "bellhop check", Issuer: s.issuer, Audience: s.audience, TTL: time.Hour,
		Grants: hub.Grants{"*": {hub.GrantJoin, hub.GrantPublish}},
	})
	return bearer, user, err
}

// given are tokens of somebody else's making, of as many users as there are.
type given struct {
	tokens, users []string
	taken         map[string]int // whom each user of the check is
}

// Given takes tokens that somebody else has made. Whoever asks for another user than all before gets the next, and after the last
// the first again.
func Given(tokens []string) (Tokens, error) {
	g := &given{tokens: tokens, taken: map[string]int{}}
	for _, text := range tokens {
		var claims jwt.RegisteredClaims
		if _, _, err := jwt.NewParser().ParseUnverified(text, &claims); err != nil || claims.Subject == "" {
			return nil, errors.New("a --token is no JWT with the claim sub")
		}
		g.users = append(g.users, claims.Subject)
	}
	return g, nil
}

// Token is part of [Tokens].
func (g *given) Token(user string) (bearer, of string, err error) {
	i, known := g.taken[user]
	if !known {
		i = len(g.taken) % len(g.tokens)
		g.taken[user] = i
	}
	return g.tokens[i], g.users[i], nil
}

// Signed makes tokens with the secret of a stack, as its parameters want them.
func Signed(s *stack.Stack, secret []byte) Tokens {
	return signed{secret, s.Parameters["JwtIssuer"], s.Parameters["JwtAudience"]}
}
