package token_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// TestSignCases: what is signed is accepted, and what would not be is refused. The same cases are the test of signToken in @bellhop/client.
func TestSignCases(t *testing.T) {
	text, err := os.ReadFile("testdata/sign.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, Secret, Refused string
		Claims                struct {
			User, Name, Issuer, Audience string
			Grants                       hub.Grants
		}
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 20 {
		t.Errorf("found only %d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			secret := []byte("a secret of these tests, of 32 bytes or more")
			if c.Secret != "" {
				secret = []byte(c.Secret)
			}
			signed, err := token.Sign(secret, token.Claims{
				User: c.Claims.User, Name: c.Claims.Name, Issuer: c.Claims.Issuer, Audience: c.Claims.Audience, Grants: c.Claims.Grants,
			})
			if c.Refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.Refused) {
					t.Fatalf("got %v, want %q", err, c.Refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			v, err := token.New(t.Context(), token.Config{Secret: secret, Issuer: c.Claims.Issuer, Audience: c.Claims.Audience})
			if err != nil {
				t.Fatal(err)
			}
			got, err := v.Verify(t.Context(), signed)
			if err != nil || got.User != c.Claims.User || got.Name != c.Claims.Name || len(got.Grants) != len(c.Claims.Grants) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
