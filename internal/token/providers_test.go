package token_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bellhop-rt/bellhop/internal/token"
)

// TestProviders: tokens as identity providers make them, with the parameters that docs/TOKENS.md gives for each.
func TestProviders(t *testing.T) {
	k := rsaKey(t, 2048)
	s := newServer(t)
	s.publish(t, map[string]key{"k1": k})
	const cognito = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123"
	times := func(c jwt.MapClaims) jwt.MapClaims {
		c["iat"], c["exp"] = now.Unix(), now.Add(time.Hour).Unix()
		return c
	}
	for name, p := range map[string]struct {
		config     token.Config
		claims     jwt.MapClaims
		user, call string
	}{
		"Cognito, an ID token": {
			token.Config{Issuer: cognito, Audience: "client1", UserClaim: "cognito:username", GrantsClaim: "bellhop:grants"},
			jwt.MapClaims{
				"sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": []string{"staff"}, "email_verified": true, "iss": cognito,
				"cognito:username": "ana", "aud": "client1", "event_id": "e", "token_use": "id", "auth_time": now.Unix(), "name": "Ana", "email": "ana@example.org",
				"bellhop:grants": `{"channel:*":["join"]}`, // a trigger of the first version adds texts alone
			},
			"ana", "Ana",
		},
		"Auth0, an access token": {
			token.Config{Issuer: "https://app.eu.auth0.com/", Audience: "https://chat.example.org", NameClaim: "https://chat.example.org/name", GrantsClaim: "https://chat.example.org/grants"},
			jwt.MapClaims{
				"iss": "https://app.eu.auth0.com/", "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "aud": []string{"https://chat.example.org", "https://app.eu.auth0.com/userinfo"},
				"azp": "client1", "scope": "openid profile", "https://chat.example.org/name": "Ana",
				"https://chat.example.org/grants": map[string][]string{"channel:*": {"join"}},
			},
			"auth0|5f7c8ec7c33c6c004bbafe82", "Ana",
		},
		"Clerk, a token of a template": {
			token.Config{Issuer: "https://clerk.example.org", Audience: "bellhop"},
			jwt.MapClaims{
				"azp": "https://example.org", "iss": "https://clerk.example.org", "nbf": now.Add(-5 * time.Second).Unix(), "sub": "user_123", "aud": "bellhop",
				"jti": "j", "name": "Ana", "grants": map[string][]string{"channel:*": {"join"}},
			},
			"user_123", "Ana",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p.config.JWKSURL = s.url
			v := verifier(t, p.config)
			text := mint(t, k.method, k.private, map[string]any{"kid": "k1"}, times(p.claims))
			who, err := v.Verify(t.Context(), text)
			if err != nil || who.User != p.user || who.Name != p.call || !who.Grants.Allow("channel:1", "join") || who.Grants.Allow("channel:1", "publish") {
				t.Errorf("got %+v, %v", who, err)
			}
			p.claims["aud"] = "other"
			if _, err := v.Verify(t.Context(), mint(t, k.method, k.private, map[string]any{"kid": "k1"}, p.claims)); code(err) != "unauthenticated" {
				t.Errorf("a token for another application: %v", err)
			}
		})
	}
}

// TestClaimNames: only the claims that are named count.
func TestClaimNames(t *testing.T) {
	v := verifier(t, token.Config{Secret: secret, UserClaim: "uid", NameClaim: "nick", GrantsClaim: "may"})
	text := func(c jwt.MapClaims) string { return mint(t, jwt.SigningMethodHS256, secret, nil, good(c)) }
	who, err := v.Verify(t.Context(), text(jwt.MapClaims{"uid": "bob", "nick": "Bob", "name": "Ana", "grants": map[string][]string{"channel:*": {"join"}}}))
	if err != nil || who.User != "bob" || who.Name != "Bob" || who.Grants.Allow("channel:1", "join") {
		t.Errorf("got %+v, %v", who, err)
	}
	for name, c := range map[string]jwt.MapClaims{
		"the user under another name": {}, "a user that is no text": {"uid": 7}, "grants that are no grants": {"uid": "bob", "may": "all"},
		"a text of null": {"uid": "bob", "may": "null"}, "an empty text": {"uid": "bob", "may": ""},
	} {
		if who, err := v.Verify(t.Context(), text(c)); code(err) != "unauthenticated" {
			t.Errorf("%s: got %+v, %v", name, who, err)
		}
	}
}
