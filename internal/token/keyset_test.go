package token_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// server is a key-set server whose keys and health can be changed.
type server struct {
	url     string
	fetches atomic.Int32
	broken  atomic.Bool

	mu   sync.Mutex
	body []byte
}

func newServer(tb testing.TB) *server {
	tb.Helper()
	s := &server{}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fetches.Add(1)
		if s.broken.Load() {
			http.Error(w, "out to lunch", http.StatusServiceUnavailable)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = w.Write(s.body)
	}))
	tb.Cleanup(h.Close)
	s.url = h.URL + "/jwks.json"
	return s
}

func (s *server) serve(body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = []byte(body)
}

// publish serves keys by their ids, and one key that is malformed.
func (s *server) publish(tb testing.TB, keys map[string]key) {
	tb.Helper()
	set := map[string][]any{"keys": {map[string]string{"kty": "RSA", "kid": "broken", "n": "!"}}}
	for id, k := range keys {
		set["keys"] = append(set["keys"], jwk(tb, id, k, ""))
	}
	body, err := json.Marshal(set)
	if err != nil {
		tb.Fatal(err)
	}
	s.serve(string(body))
}

func jwk(tb testing.TB, id string, k key, use jwkset.USE) jwkset.JWKMarshal {
	tb.Helper()
	j, err := jwkset.NewJWKFromKey(k.private.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: id, USE: use}})
	if err != nil {
		tb.Fatal(err)
	}
	return j.Marshal()
}

func (k key) mint(tb testing.TB, id string) string {
	tb.Helper()
	header := map[string]any{}
	if id != "" {
		header["kid"] = id
	}
	return mint(tb, k.method, k.private, header, good(nil))
}

func unavailable(err error) bool { return err != nil && code(err) == "" }

func (k key) lasting(tb testing.TB, id string) string {
	tb.Helper()
	return mint(tb, k.method, k.private, map[string]any{"kid": id}, good(jwt.MapClaims{"exp": now.Add(72 * time.Hour).Unix()}))
}

// must verifies a token that is good.
func must(tb testing.TB, v *token.Verifier, text string) {
	tb.Helper()
	if _, err := v.Verify(tb.Context(), text); err != nil {
		tb.Fatal(err)
	}
}

func TestKeySet(t *testing.T) {
	keys := map[string]key{"rsa": rsaKey(t, 2048), "ec": ecKey(t), "ed": edKey(t)}
	s := newServer(t)
	s.publish(t, keys)
	v := verifier(t, token.Config{JWKSURL: s.url, Issuer: "https://id.example", Audience: "chat"})

	for id, k := range keys {
		t.Run(k.method.Alg()+" is verified", func(t *testing.T) {
			got, err := v.Verify(t.Context(), k.mint(t, id))
			if err != nil || got.User != "ana" {
				t.Fatalf("got %+v, %v", got, err)
			}
		})
		t.Run(k.method.Alg()+" without a key id is verified", func(t *testing.T) {
			if _, err := v.Verify(t.Context(), k.mint(t, "")); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("another key under a known id is refused", func(t *testing.T) {
		for id, k := range map[string]key{"rsa": rsaKey(t, 2048), "ec": ecKey(t), "ed": edKey(t)} {
			if _, err := v.Verify(t.Context(), k.mint(t, id)); code(err) != protocol.CodeUnauthenticated {
				t.Errorf("%s: got %v, want unauthenticated", id, err)
			}
		}
	})
	t.Run("the id of a key for another algorithm is refused", func(t *testing.T) {
		if _, err := v.Verify(t.Context(), keys["ec"].mint(t, "rsa")); code(err) != protocol.CodeUnauthenticated {
			t.Errorf("got %v, want unauthenticated", err)
		}
	})
	t.Run("a key id that is no string is refused", func(t *testing.T) {
		bad := mint(t, jwt.SigningMethodEdDSA, keys["ed"].private, map[string]any{"kid": 7}, good(nil))
		if _, err := v.Verify(t.Context(), bad); code(err) != protocol.CodeUnauthenticated {
			t.Errorf("got %v, want unauthenticated", err)
		}
	})
	t.Run("an HS256 token is refused", func(t *testing.T) {
		if _, err := v.Verify(t.Context(), mint(t, jwt.SigningMethodHS256, secret, nil, good(nil))); code(err) != protocol.CodeUnauthenticated {
			t.Errorf("got %v, want unauthenticated", err)
		}
	})
	if got := s.fetches.Load(); got != 1 {
		t.Errorf("got %d fetches for known keys, want 1", got)
	}
}

func TestUnusableKeys(t *testing.T) {
	weak, secretive := rsaKey(t, 1024), ecKey(t)
	s := newServer(t)
	body, err := json.Marshal(map[string]any{"keys": []any{
		jwk(t, "weak", weak, ""), jwk(t, "enc", secretive, jwkset.UseEnc), jwk(t, "good", edKey(t), jwkset.UseSig),
		map[string]string{"kty": "oct", "kid": "oct", "k": "YSBzZWNyZXQgb2YgYXQgbGVhc3QgdGhpcnR5LXR3byBieXRlcw"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.serve(string(body))
	v := verifier(t, token.Config{JWKSURL: s.url})
	for id, k := range map[string]key{"weak": weak, "enc": secretive} {
		if _, err := v.Verify(t.Context(), k.mint(t, id)); code(err) != protocol.CodeUnauthenticated {
			t.Errorf("%s: got %v, want unauthenticated", id, err)
		}
	}
}

func TestRotation(t *testing.T) {
	older, newer := ecKey(t), ecKey(t)
	s, clock := newServer(t), hubtest.NewClock(now)
	s.publish(t, map[string]key{"k1": older})
	v := verifier(t, token.Config{JWKSURL: s.url, Now: clock.Now})
	if _, err := v.Verify(t.Context(), older.lasting(t, "k1")); err != nil {
		t.Fatal(err)
	}

	s.publish(t, map[string]key{"k2": newer})
	clock.Pass(time.Minute)
	t.Run("an unknown key id fetches the keys", func(t *testing.T) {
		must(t, v, newer.lasting(t, "k2"))
	})
	t.Run("a withdrawn key is refused", func(t *testing.T) {
		if _, err := v.Verify(t.Context(), older.lasting(t, "k1")); code(err) != protocol.CodeUnauthenticated || !strings.Contains(err.Error(), "not in the key set") {
			t.Fatalf("got %v, want unauthenticated", err)
		}
	})
	t.Run("a flood of unknown key ids does not become a flood of fetches", func(t *testing.T) {
		flood := func() int32 {
			before := s.fetches.Load()
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if _, err := v.Verify(t.Context(), newer.lasting(t, "k9")); code(err) != protocol.CodeUnauthenticated {
						t.Errorf("got %v, want unauthenticated", err)
					}
				})
			}
			all.Wait()
			return s.fetches.Load() - before
		}
		if got := flood(); got != 0 {
			t.Errorf("got %d fetches, want 0 within 10 s of the last", got)
		}
		clock.Pass(10 * time.Second)
		if got := flood(); got != 1 {
			t.Errorf("got %d fetches, want 1 after 10 s", got)
		}
	})
	t.Run("keys are fetched again after an hour", func(t *testing.T) {
		before := s.fetches.Load()
		clock.Pass(time.Hour)
		for range 3 {
			must(t, v, newer.lasting(t, "k2"))
		}
		if got := s.fetches.Load() - before; got != 1 {
			t.Errorf("got %d fetches, want 1", got)
		}
	})
}

func TestServerDown(t *testing.T) {
	k := edKey(t)
	s, clock := newServer(t), hubtest.NewClock(now)
	s.publish(t, map[string]key{"k1": k})
	s.broken.Store(true)
	v := verifier(t, token.Config{JWKSURL: s.url, Now: clock.Now})

	t.Run("nothing is known about a token", func(t *testing.T) {
		_, err := v.Verify(t.Context(), k.lasting(t, "k1"))
		if !unavailable(err) || !strings.Contains(err.Error(), s.url) || !strings.Contains(err.Error(), "503") {
			t.Fatalf("got %v, want a plain error with URL and status", err)
		}
		if strings.Contains(err.Error(), k.lasting(t, "k1")) {
			t.Error("the error holds the token")
		}
	})
	t.Run("it is asked again after 2 s, not before", func(t *testing.T) {
		before := s.fetches.Load()
		for range 5 {
			_, _ = v.Verify(t.Context(), k.lasting(t, "k1"))
		}
		if got := s.fetches.Load() - before; got != 0 {
			t.Errorf("got %d fetches, want 0", got)
		}
		s.broken.Store(false)
		clock.Pass(2 * time.Second)
		if _, err := v.Verify(t.Context(), k.lasting(t, "k1")); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("keys at hand are used for a day, and an unknown key id is no refusal", func(t *testing.T) {
		s.broken.Store(true)
		clock.Pass(23 * time.Hour)
		if _, err := v.Verify(t.Context(), k.lasting(t, "k1")); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), k.lasting(t, "k2")); !unavailable(err) {
			t.Fatalf("got %v, want a plain error", err)
		}
	})
	t.Run("and not for longer", func(t *testing.T) {
		clock.Pass(2 * time.Hour)
		if _, err := v.Verify(t.Context(), k.lasting(t, "k1")); !unavailable(err) {
			t.Fatalf("got %v, want a plain error", err)
		}
	})
	t.Run("HS256 does not need it", func(t *testing.T) {
		v := verifier(t, token.Config{JWKSURL: s.url, Secret: secret})
		if _, err := v.Verify(t.Context(), mint(t, jwt.SigningMethodHS256, secret, nil, good(nil))); err != nil {
			t.Fatal(err)
		}
	})
}

func TestServerAnswersNonsense(t *testing.T) {
	k := edKey(t)
	for name, body := range map[string]string{
		"HTML": "<html>", "no keys": `{"keys":[]}`, "a list": "[]", "keys that are no keys": `{"keys":[1,{"kty":"RSA"}]}`,
		"endless": `{"keys":["` + strings.Repeat("a", 2<<20),
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.serve(body)
			v := verifier(t, token.Config{JWKSURL: s.url})
			if _, err := v.Verify(t.Context(), k.mint(t, "k1")); !unavailable(err) {
				t.Fatalf("got %v, want a plain error", err)
			}
		})
	}
}

func TestServerHangs(t *testing.T) {
	asked, release := make(chan struct{}, 9), make(chan struct{})
	h := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(h.Close)
	t.Cleanup(func() { close(release) })
	k := edKey(t)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	v, err := token.New(gone, token.Config{JWKSURL: h.URL, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 3 { // one fetches, the others wait for it
		all.Go(func() {
			if _, err := v.Verify(ctx, k.mint(t, "k1")); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want canceled", err)
			}
		})
	}
	<-asked
	cancel()
	all.Wait()
}

func TestRedirectToPlainHTTP(t *testing.T) {
	h := httptest.NewServer(http.RedirectHandler("http://id.example/jwks.json", http.StatusFound))
	t.Cleanup(h.Close)
	v := verifier(t, token.Config{JWKSURL: h.URL})
	if _, err := v.Verify(t.Context(), edKey(t).mint(t, "k1")); !unavailable(err) || !strings.Contains(err.Error(), "https://") {
		t.Fatalf("got %v, want a plain error about https", err)
	}
}
