package security

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// issuer makes tokens as the owner's identity provider does.
type issuer struct {
	method      jwt.SigningMethod
	key, other  any // a key that is trusted, and one that is not
	secret      string
	environment map[string]string // what the functions have to be told over the template
}

func byKey(tb testing.TB) issuer {
	tb.Helper()
	secret := "secret-" + rand.Text() + rand.Text()
	return issuer{method: jwt.SigningMethodHS256, key: []byte(secret), other: []byte(rand.Text() + rand.Text()), secret: secret}
}

func byKeySet(tb testing.TB) issuer {
	tb.Helper()
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		return key
	}
	key := newKey()
	public, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		tb.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	set := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","kid":"1","x":%q,"y":%q}]}`, encode(public[1:33]), encode(public[33:]))
	}))
	tb.Cleanup(set.Close)
	return issuer{method: jwt.SigningMethodES256, key: key, other: newKey(), environment: map[string]string{"JWKS_URL": set.URL}}
}

// sign makes a token that expires so many seconds after an hour from now.
func (i issuer) sign(tb testing.TB, user string, seconds int) string {
	tb.Helper()
	return i.signWith(tb, i.key, user, seconds, map[string][]string{"channel:*": {"join", "publish"}, "community:*": {"join"}})
}

// forge makes a token that is good but for its signature.
func (i issuer) forge(tb testing.TB, user string) string {
	tb.Helper()
	return i.signWith(tb, i.other, user, 0, map[string][]string{"channel:*": {"join", "publish", "moderate"}})
}

func (i issuer) signWith(tb testing.TB, key any, user string, seconds int, grants map[string][]string) string {
	tb.Helper()
	now := time.Now()
	t := jwt.NewWithClaims(i.method, jwt.MapClaims{
		"sub": user, "name": user, "iat": now.Add(-3 * time.Hour).Unix(), "exp": now.Add(time.Hour).Unix() + int64(seconds), "jti": rand.Text(),
		"grants": grants,
	})
	t.Header["kid"] = "1"
	signed, err := t.SignedString(key)
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

// noneOf fails the test if a text holds one of the secrets, or a part of a token among them. The head of tokens is no
// secret, but has no business in a text either.
func noneOf(tb testing.TB, where, text string, secrets []string) {
	tb.Helper()
	if text == "" {
		tb.Errorf("%s: there is nothing to search", where)
	}
	for _, s := range secrets {
		for part := range strings.SplitSeq(s, ".") {
			if at := strings.Index(text, part); len(part) > 16 && at >= 0 {
				tb.Errorf("%s: %q is in …%s…", where, s, text[max(0, at-100):min(len(text), at+100)])
				return
			}
		}
	}
}
