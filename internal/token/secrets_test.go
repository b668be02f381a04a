package token_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bellhop-rt/bellhop/internal/token"
)

// vault has the secrets of now.
type vault struct {
	list  []string
	err   error
	reads int
}

func (v *vault) read(context.Context) ([][]byte, error) {
	v.reads++
	var list [][]byte
	for _, one := range v.list {
		list = append(list, []byte(one))
	}
	return list, v.err
}

func TestSecretRotation(t *testing.T) {
	t.Parallel()
	first, second, third := strings.Repeat("1", 32), strings.Repeat("2", 32), strings.Repeat("3", 32)
	at := now
	keys := &vault{list: []string{first}}
	v := verifier(t, token.Config{Secrets: keys.read, Now: func() time.Time { return at }})
	trusts := func(want bool, key, why string) {
		t.Helper()
		bearer := mint(t, jwt.SigningMethodHS256, []byte(key), nil, good(map[string]any{"exp": at.Add(time.Hour).Unix()}))
		_, err := v.Verify(t.Context(), bearer)
		if (err == nil) != want {
			t.Errorf("%s: got %v", why, err)
		}
		if !want && code(err) != "unauthenticated" {
			t.Errorf("%s: got %v, want a refusal", why, err)
		}
	}
	trusts(true, first, "the key of the start")
	trusts(false, second, "a key that there is not yet")
	keys.list = []string{second, first}
	at = at.Add(30 * time.Second)
	trusts(false, second, "the new key, half a minute after the last look")
	at = at.Add(time.Minute)
	reads := keys.reads
	trusts(true, second, "the new key, a minute later")
	trusts(true, first, "the old key beside the new one")
	if keys.reads != reads+1 {
		t.Errorf("the secrets were read %d times for it, want once", keys.reads-reads)
	}
	keys.list = []string{third, second}
	at = at.Add(5 * time.Minute)
	trusts(false, first, "a key that was taken away, 5 minutes later")
	trusts(true, second, "the one that is the old one now")

	keys.err = errors.New("the vault is closed")
	at = at.Add(6 * time.Minute)
	trusts(true, third, "a key from before the vault closed")
	at = at.Add(25 * time.Hour)
	bearer := mint(t, jwt.SigningMethodHS256, []byte(third), nil, good(map[string]any{"exp": at.Add(time.Hour).Unix()}))
	if _, err := v.Verify(t.Context(), bearer); err == nil || code(err) != "" || !strings.Contains(err.Error(), "the vault is closed") {
		t.Errorf("a day later: got %v, want that nothing is known", err)
	}
	keys.err = nil
	at = at.Add(10 * time.Second)
	if _, err := v.Verify(t.Context(), bearer); err != nil {
		t.Errorf("when it is open again: got %v", err)
	}
}

func TestSecretsAtTheStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keys vault
		want string
	}{
		"none can be read":         {vault{err: errors.New("the vault is closed")}, "the vault is closed"},
		"there is none":            {vault{}, "there is none"},
		"the new one is short":     {vault{list: []string{"short", strings.Repeat("1", 32)}}, "5 bytes"},
		"the old one is no longer": {vault{list: []string{strings.Repeat("1", 32), "short"}}, ""},
	} {
		_, err := token.New(t.Context(), token.Config{Secrets: c.keys.read, Now: clock})
		if got := err != nil; got != (c.want != "") || got && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
