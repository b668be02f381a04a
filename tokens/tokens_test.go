package tokens_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bellhop-rt/bellhop/tokens"
)

const secret = "a secret of these tests, of 32 bytes or more"

func ExampleSign() {
	text, err := tokens.Sign([]byte(secret), tokens.Claims{
		User: "ana", Name: "Ana",
		Grants: tokens.Grants{"channel:*": {tokens.Join, tokens.Publish}},
	})
	fmt.Println(strings.Count(text, "."), err)
	// Output: 2 <nil>
}

// TestSign: another library reads what was signed. What is refused is a test of internal/token.
func TestSign(t *testing.T) {
	text, err := tokens.Sign([]byte(secret), tokens.Claims{User: "ana", Grants: tokens.Grants{}, Issuer: "app", Audience: "bellhop", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return []byte(secret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer("app"), jwt.WithAudience("bellhop"), jwt.WithExpirationRequired())
	if err != nil {
		t.Fatal(err)
	}
	claims := parsed.Claims.(jwt.MapClaims)
	if life := claims["exp"].(float64) - claims["iat"].(float64); claims["sub"] != "ana" || life != 60 || len(claims["grants"].(map[string]any)) != 0 {
		t.Errorf("got %v", claims)
	}
	for name, c := range map[string]tokens.Claims{
		"no user": {}, "a space": {User: "a b"}, "an unknown grant": {User: "ana", Grants: tokens.Grants{"*": {"read"}}},
	} {
		if text, err := tokens.Sign([]byte(secret), c); err == nil {
			t.Errorf("%s: got %s", name, text)
		}
	}
	if _, err := tokens.Sign([]byte("short"), tokens.Claims{User: "ana"}); err == nil || !strings.Contains(err.Error(), "32") {
		t.Errorf("a short secret: got %v", err)
	}
}
