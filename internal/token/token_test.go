package token_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	secret = []byte("a secret of at least thirty-two bytes")
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func clock() time.Time { return now }

func verifier(tb testing.TB, c token.Config) *token.Verifier {
	tb.Helper()
	if c.Now == nil {
		c.Now = clock
	}
	v, err := token.New(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// mint signs claims as they are, with any method, and with header entries beside alg and typ.
func mint(tb testing.TB, method jwt.SigningMethod, key any, header map[string]any, c jwt.MapClaims) string {
	tb.Helper()
	t := jwt.NewWithClaims(method, c)
	maps.Copy(t.Header, header)
	s, err := t.SignedString(key)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// good are claims that are accepted, with changes; a nil takes a claim away.
func good(changes jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "ana", "exp": now.Add(time.Hour).Unix(), "iss": "https://id.example", "aud": "chat"}
	for k, v := range changes {
		if v == nil {
			delete(c, k)
			continue
		}
		c[k] = v
	}
	return c
}

func code(err error) protocol.Code {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		config token.Config
		want   string // in the error; empty: none
	}{
		"a secret":                     {token.Config{Secret: secret}, ""},
		"the development secret":       {token.Config{Secret: []byte(token.DevelopmentSecret)}, ""},
		"neither":                      {token.Config{}, "there is neither"},
		"a short secret":               {token.Config{Secret: []byte("hunter2")}, "has 7 bytes"},
		"an unknown algorithm":         {token.Config{Secret: secret, Algorithms: []string{"ROT13"}}, `no algorithm "ROT13"`},
		"none":                         {token.Config{Secret: secret, Algorithms: []string{"HS256", "none"}}, `"none" would trust unsigned`},
		"None":                         {token.Config{Secret: secret, Algorithms: []string{"None"}}, `"none" would trust unsigned`},
		"HS256 with only a key set":    {token.Config{JWKSURL: "https://id.example/jwks", Algorithms: []string{"HS256"}}, "HS256 needs a secret"},
		"RS256 with only a secret":     {token.Config{Secret: secret, Algorithms: []string{"RS256"}}, "RS256 needs the URL"},
		"a key set without TLS":        {token.Config{JWKSURL: "http://id.example/jwks"}, "must begin with https://"},
		"a name like loopback's":       {token.Config{JWKSURL: "http://localhost.example/jwks"}, "must begin with https://"},
		"a key set that is no URL":     {token.Config{JWKSURL: "jwks.json"}, "must be like https://"},
		"a key set in a file":          {token.Config{JWKSURL: "file:///etc/jwks.json"}, "must be like https://"},
		"a key set on this machine":    {token.Config{JWKSURL: "http://127.0.0.1:1/jwks"}, ""},
		"a key set on this machine, 6": {token.Config{JWKSURL: "http://[::1]:1/jwks"}, ""},
		"a key set on localhost":       {token.Config{JWKSURL: "http://localhost:1/jwks"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tt.config.HTTPClient = &http.Client{Transport: down{}}
			_, err := token.New(t.Context(), tt.config)
			if tt.want == "" {
				if err != nil {
					t.Fatalf("got %v, want no error", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want one line with %q", err, tt.want)
			}
			if bytes.Contains([]byte(err.Error()), []byte("hunter2")) {
				t.Fatal("the error holds the secret")
			}
		})
	}
}

type down struct{}

func (down) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no network") }

func TestVerify(t *testing.T) {
	defaults := hub.Grants{"channel:*": {"join"}}
	v := verifier(t, token.Config{Secret: secret, Issuer: "https://id.example", Audience: "chat", DefaultGrants: defaults})

	for name, tt := range map[string]struct {
		changes jwt.MapClaims
		name    string
		grants  string // JSON
	}{
		"the default grants":        {nil, "", `{"channel:*":["join"]}`},
		"grants of its own":         {jwt.MapClaims{"grants": map[string]any{"channel:42": []string{"moderate"}}}, "", `{"channel:42":["moderate"]}`},
		"no grants at all":          {jwt.MapClaims{"grants": map[string]any{}}, "", `{}`},
		"a claim that only looks":   {jwt.MapClaims{"Grants": map[string]any{"*": []string{"moderate"}}, "SUB": "root"}, "", `{"channel:*":["join"]}`},
		"a name":                    {jwt.MapClaims{"name": " Ana\u0000 Ñ\n"}, "Ana Ñ", `{"channel:*":["join"]}`},
		"a name that is no string":  {jwt.MapClaims{"name": 7}, "", `{"channel:*":["join"]}`},
		"a name of 128 bytes":       {jwt.MapClaims{"name": "  " + strings.Repeat("a", 128)}, strings.Repeat("a", 128), `{"channel:*":["join"]}`},
		"a name of 129 bytes":       {jwt.MapClaims{"name": strings.Repeat("a", 129)}, "", `{"channel:*":["join"]}`},
		"one of several audiences":  {jwt.MapClaims{"aud": []string{"shop", "chat"}}, "", `{"channel:*":["join"]}`},
		"nbf and iat a little late": {jwt.MapClaims{"nbf": now.Unix() + 60, "iat": now.Unix() + 60}, "", `{"channel:*":["join"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := v.Verify(t.Context(), mint(t, jwt.SigningMethodHS256, secret, nil, good(tt.changes)))
			if err != nil {
				t.Fatal(err)
			}
			grants, err := json.Marshal(got.Grants)
			if err != nil {
				t.Fatal(err)
			}
			if got.User != "ana" || got.Name != tt.name || string(grants) != tt.grants || !got.Expires.Equal(now.Add(time.Hour)) {
				t.Errorf("got %+v, want ana, name %q, grants %s, expiry in an hour", got, tt.name, tt.grants)
			}
		})
	}

	t.Run("exp may have a fraction", func(t *testing.T) {
		got, err := v.Verify(t.Context(), mint(t, jwt.SigningMethodHS256, secret, nil, good(jwt.MapClaims{"exp": float64(now.Unix()) + 1.5})))
		if err != nil || got.Expires.Sub(now) < time.Second || got.Expires.Sub(now) > 2*time.Second {
			t.Fatalf("got %v, %v", got.Expires, err)
		}
	})
}

func TestRefusals(t *testing.T) {
	v := verifier(t, token.Config{Secret: secret, Issuer: "https://id.example", Audience: "chat"})
	valid := mint(t, jwt.SigningMethodHS256, secret, nil, good(nil))
	part := strings.Split(valid, ".")
	hs := func(changes jwt.MapClaims) string {
		return mint(t, jwt.SigningMethodHS256, secret, nil, good(changes))
	}
	admin := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"root","exp":99999999999,"iss":"https://id.example","aud":"chat"}`))
	last := "A"
	if strings.HasSuffix(valid, last) {
		last = "Q"
	}

	for name, tt := range map[string]struct {
		token string
		code  protocol.Code
		says  string
	}{
		"nothing":                     {"", protocol.CodeUnauthenticated, "well-formed"},
		"no JWT":                      {"swordfish", protocol.CodeUnauthenticated, "well-formed"},
		"two parts":                   {part[0] + "." + part[1], protocol.CodeUnauthenticated, "well-formed"},
		"four parts":                  {valid + ".x", protocol.CodeUnauthenticated, "well-formed"},
		"no base64":                   {part[0] + ".!." + part[2], protocol.CodeUnauthenticated, "well-formed"},
		"too long":                    {strings.Repeat("a", 16<<10+1), protocol.CodeUnauthenticated, "more than"},
		"claims that are no object":   {part[0] + ".W10." + part[2], protocol.CodeUnauthenticated, "well-formed"},
		"claims that are null":        {part[0] + ".bnVsbA." + part[2], protocol.CodeUnauthenticated, "signature"},
		"a tampered payload":          {part[0] + "." + admin + "." + part[2], protocol.CodeUnauthenticated, "signature"},
		"no signature":                {part[0] + "." + part[1] + ".", protocol.CodeUnauthenticated, "signature"},
		"a signature cut short":       {valid[:len(valid)-2], protocol.CodeUnauthenticated, ""},
		"a signature with other bits": {valid[:len(valid)-1] + last, protocol.CodeUnauthenticated, ""},
		"another secret": {
			mint(t, jwt.SigningMethodHS256, []byte("another secret of at least 32 bytes"), nil, good(nil)),
			protocol.CodeUnauthenticated, "signature",
		},
		"alg none":            {mint(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, good(nil)), protocol.CodeUnauthenticated, "signed with HS256"},
		"alg nOnE":            {mint(t, jwt.SigningMethodHS256, secret, map[string]any{"alg": "nOnE"}, good(nil)), protocol.CodeUnauthenticated, "signed with HS256"},
		"alg HS512":           {mint(t, jwt.SigningMethodHS512, secret, nil, good(nil)), protocol.CodeUnauthenticated, "signed with HS256"},
		"alg that is no name": {mint(t, jwt.SigningMethodHS256, secret, map[string]any{"alg": 5}, good(nil)), protocol.CodeUnauthenticated, "signed with HS256"},
		"crit":                {mint(t, jwt.SigningMethodHS256, secret, map[string]any{"crit": []string{"b64"}}, good(nil)), protocol.CodeUnauthenticated, "crit"},
		"expired":             {hs(jwt.MapClaims{"exp": now.Unix() - 60}), protocol.CodeExpired, "expired"},
		"expiring now":        {hs(jwt.MapClaims{"exp": now.Unix()}), protocol.CodeExpired, "expired"},
		"expired and of another issuer": {
			hs(jwt.MapClaims{"exp": now.Unix() - 60, "iss": "https://evil.example"}), protocol.CodeUnauthenticated, "issuer",
		},
		"no exp":            {hs(jwt.MapClaims{"exp": nil}), protocol.CodeUnauthenticated, "no expiry"},
		"exp null":          {mint(t, jwt.SigningMethodHS256, secret, nil, jwt.MapClaims{"sub": "ana", "exp": nil, "iss": "https://id.example", "aud": "chat"}), protocol.CodeUnauthenticated, "exp"},
		"exp in words":      {hs(jwt.MapClaims{"exp": "tomorrow"}), protocol.CodeUnauthenticated, "malformed"},
		"exp beyond time":   {hs(jwt.MapClaims{"exp": 1e15}), protocol.CodeUnauthenticated, "exp"},
		"nbf in the future": {hs(jwt.MapClaims{"nbf": now.Unix() + 61}), protocol.CodeUnauthenticated, "not valid yet"},
		"iat in the future": {hs(jwt.MapClaims{"iat": now.Unix() + 61}), protocol.CodeUnauthenticated, "not valid yet"},
		"nbf beyond time":   {hs(jwt.MapClaims{"nbf": 1e300}), protocol.CodeUnauthenticated, "malformed"},
		"iat beyond time":   {hs(jwt.MapClaims{"iat": 1e15}), protocol.CodeUnauthenticated, "malformed"},
		"iat before time":   {hs(jwt.MapClaims{"iat": -1e300}), protocol.CodeUnauthenticated, "malformed"},
		"exp far beyond it": {hs(jwt.MapClaims{"exp": 1e300}), protocol.CodeUnauthenticated, "malformed"},
		"nbf in words":      {hs(jwt.MapClaims{"nbf": "soon"}), protocol.CodeUnauthenticated, "malformed"},
		"another issuer":    {hs(jwt.MapClaims{"iss": "https://evil.example"}), protocol.CodeUnauthenticated, "issuer"},
		"no issuer":         {hs(jwt.MapClaims{"iss": nil}), protocol.CodeUnauthenticated, "missing"},
		"another audience":  {hs(jwt.MapClaims{"aud": "shop"}), protocol.CodeUnauthenticated, "audience"},
		"no audience":       {hs(jwt.MapClaims{"aud": nil}), protocol.CodeUnauthenticated, "missing"},
		"an audience that is no name": {
			hs(jwt.MapClaims{"aud": 7}), protocol.CodeUnauthenticated, "malformed",
		},
		"no sub":                 {hs(jwt.MapClaims{"sub": nil}), protocol.CodeUnauthenticated, "must name a user"},
		"sub is a number":        {hs(jwt.MapClaims{"sub": 42}), protocol.CodeUnauthenticated, "must name a user"},
		"sub has a wildcard":     {hs(jwt.MapClaims{"sub": "a*"}), protocol.CodeUnauthenticated, "must name a user"},
		"sub is too long":        {hs(jwt.MapClaims{"sub": strings.Repeat("a", 124)}), protocol.CodeUnauthenticated, "must name a user"},
		"grants are a list":      {hs(jwt.MapClaims{"grants": []string{"join"}}), protocol.CodeUnauthenticated, "grants"},
		"grants are null":        {mint(t, jwt.SigningMethodHS256, secret, nil, jwt.MapClaims{"sub": "ana", "exp": now.Unix() + 9, "iss": "https://id.example", "aud": "chat", "grants": nil}), protocol.CodeUnauthenticated, "null"},
		"grants allow the moon":  {hs(jwt.MapClaims{"grants": map[string]any{"channel:1": []string{"moon"}}}), protocol.CodeUnauthenticated, "moon"},
		"grants have a wild '*'": {hs(jwt.MapClaims{"grants": map[string]any{"*:1": []string{"join"}}}), protocol.CodeUnauthenticated, "may only stand at the end"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := v.Verify(t.Context(), tt.token)
			if code(err) != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, %v, want %s with %q", got, err, tt.code, tt.says)
			}
			if got.User != "" || got.Grants != nil {
				t.Errorf("got %+v beside the error", got)
			}
			for p := range strings.SplitSeq(tt.token, ".") {
				if len(p) > 8 && strings.Contains(err.Error(), p) {
					t.Error("the error holds a part of the token")
				}
			}
		})
	}
}

func TestNoLeeway(t *testing.T) {
	v := verifier(t, token.Config{Secret: secret, Leeway: -1})
	_, err := v.Verify(t.Context(), mint(t, jwt.SigningMethodHS256, secret, nil, good(jwt.MapClaims{"nbf": now.Unix() + 1})))
	if code(err) != protocol.CodeUnauthenticated {
		t.Fatalf("got %v, want unauthenticated", err)
	}
}

// key is one pair of each kind.
type key struct {
	method  jwt.SigningMethod
	private crypto.Signer
}

func rsaKey(tb testing.TB, bits int) key {
	tb.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		tb.Fatal(err)
	}
	return key{jwt.SigningMethodRS256, k}
}

func ecKey(tb testing.TB) key {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key{jwt.SigningMethodES256, k}
}

func edKey(tb testing.TB) key {
	tb.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key{jwt.SigningMethodEdDSA, k}
}

func TestSwappedAlgorithm(t *testing.T) {
	k := rsaKey(t, 2048)
	server := newServer(t)
	server.publish(t, map[string]key{"k1": k})
	der, err := x509.MarshalPKIXPublicKey(k.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})

	for name, v := range map[string]*token.Verifier{
		"key set only":       verifier(t, token.Config{JWKSURL: server.url}),
		"key set and secret": verifier(t, token.Config{JWKSURL: server.url, Secret: secret}),
	} {
		for form, public := range map[string][]byte{"PEM": text, "DER": der} {
			t.Run(name+", "+form, func(t *testing.T) {
				forged := mint(t, jwt.SigningMethodHS256, public, map[string]any{"kid": "k1"}, good(nil))
				if _, err := v.Verify(t.Context(), forged); code(err) != protocol.CodeUnauthenticated {
					t.Fatalf("got %v, want unauthenticated", err)
				}
			})
		}
	}
	t.Run("RS256 in the header of an HS256 token", func(t *testing.T) {
		v := verifier(t, token.Config{JWKSURL: server.url, Secret: secret})
		forged := mint(t, jwt.SigningMethodHS256, secret, map[string]any{"kid": "k1", "alg": "RS256"}, good(nil))
		if _, err := v.Verify(t.Context(), forged); code(err) != protocol.CodeUnauthenticated {
			t.Fatalf("got %v, want unauthenticated", err)
		}
	})
	t.Run("an allow-list without the key's algorithm", func(t *testing.T) {
		v := verifier(t, token.Config{JWKSURL: server.url, Algorithms: []string{"ES256"}})
		_, err := v.Verify(t.Context(), mint(t, k.method, k.private, map[string]any{"kid": "k1"}, good(nil)))
		if code(err) != protocol.CodeUnauthenticated || !strings.Contains(err.Error(), "ES256") {
			t.Fatalf("got %v, want unauthenticated", err)
		}
	})
}

// full is what signVerifier accepts.
func full() token.Claims {
	return token.Claims{
		User: "ana", Name: "Ana", Grants: hub.Grants{"channel:1": {"publish"}},
		Issuer: "me", Audience: "chat", IssuedAt: now, TTL: time.Minute,
	}
}

func signVerifier(tb testing.TB) *token.Verifier {
	tb.Helper()
	return verifier(tb, token.Config{Secret: secret, Issuer: "me", Audience: "chat", DefaultGrants: hub.Grants{"channel:*": {"join"}}})
}

func TestSign(t *testing.T) {
	s, err := token.Sign(secret, full())
	if err != nil {
		t.Fatal(err)
	}
	got, err := signVerifier(t).Verify(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if got.User != "ana" || got.Name != "Ana" || !got.Grants.Allow("channel:1", "publish") || got.Grants.Allow("channel:1", "join") {
		t.Errorf("got %+v", got)
	}
	if want := now.Add(time.Minute); !got.Expires.Equal(want) {
		t.Errorf("got expiry %v, want %v", got.Expires, want)
	}
}

func TestSignNilGrantsAreTheDefault(t *testing.T) {
	for want, grants := range map[bool]hub.Grants{true: nil, false: {}} {
		c := full()
		c.Grants = grants
		s, err := token.Sign(secret, c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := signVerifier(t).Verify(t.Context(), s)
		if err != nil || got.Grants.Allow("channel:1", "join") != want {
			t.Errorf("%v: got %+v, %v", grants, got, err)
		}
	}
}

func TestSignNegativeTTLHasExpired(t *testing.T) {
	c := full()
	c.TTL = -time.Second
	s, err := token.Sign(secret, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signVerifier(t).Verify(t.Context(), s); code(err) != protocol.CodeExpired {
		t.Errorf("got %v, want expired", err)
	}
}

func TestSignAnHourFromNowUnlessTold(t *testing.T) {
	v := verifier(t, token.Config{Secret: secret, Now: time.Now})
	s, err := token.Sign(secret, token.Claims{User: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Verify(t.Context(), s)
	if left := time.Until(got.Expires); err != nil || left < 59*time.Minute || left > time.Hour {
		t.Errorf("got %v, %v", left, err)
	}
}

func TestSignRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		secret []byte
		claims token.Claims
	}{
		"no user":          {secret, token.Claims{}},
		"a malformed user": {secret, token.Claims{User: "a b"}},
		"malformed grants": {secret, token.Claims{User: "ana", Grants: hub.Grants{"channel:1": {"fly"}}}},
		"a short secret":   {[]byte("hunter2"), full()},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := token.Sign(tt.secret, tt.claims); err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %s, %v, want an error", s, err)
			}
		})
	}
}

func TestFromRequest(t *testing.T) {
	for _, tt := range []struct {
		header, query, want string
	}{
		{"", "", ""},
		{"bellhop.v1", "", ""},
		{"bellhop.v1, bearer.a.b.c", "", "a.b.c"},
		{"bellhop.v1,bearer.a.b.c", "", "a.b.c"},
		{"  bearer.a.b.c  , bellhop.v1", "", "a.b.c"},
		{"bearer.a.b.c", "d.e.f", "a.b.c"},
		{"bellhop.v1", "d.e.f", "d.e.f"},
		{"bearer.", "d.e.f", "d.e.f"},
		{"bearer.", "", ""},
		{"Bearer.a.b.c", "", ""},
		{"bearer.a.b.c, bearer.d.e.f", "", "a.b.c"},
		{",,", "", ""},
	} {
		got, ok := token.FromRequest(tt.header, tt.query)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("FromRequest(%q, %q): got %q, %v, want %q", tt.header, tt.query, got, ok, tt.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	v := verifier(f, token.Config{Secret: secret, Issuer: "https://id.example"})
	f.Add(mint(f, jwt.SigningMethodHS256, secret, nil, good(nil)))
	f.Add(mint(f, jwt.SigningMethodHS256, secret, nil, good(jwt.MapClaims{"exp": "x"})))
	f.Add(mint(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, good(nil)))
	f.Add("eyJhbGciOiJIUzI1NiJ9.bnVsbA.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := v.Verify(t.Context(), text)
		if err == nil && protocol.CheckUser(id.User) != nil {
			t.Errorf("accepted user %q", id.User)
		}
		if err != nil && code(err) != protocol.CodeUnauthenticated && code(err) != protocol.CodeExpired {
			t.Errorf("got %v, want unauthenticated or expired", err)
		}
	})
}

// FuzzClaims signs whatever the payload is, so that the fuzzer gets behind the signature.
func FuzzClaims(f *testing.F) {
	v := verifier(f, token.Config{Secret: secret})
	for _, s := range []string{
		`{"sub":"ana","exp":99999999999}`, `{"sub":"ana","exp":1e300}`, `{"sub":"ana","exp":-1}`, `null`, `[]`,
		`{"sub":"ana","exp":1800000000,"grants":{"*":["join"]},"name":"\u0000"}`, `{"sub":"ana","exp":"NaN"}`,
	} {
		f.Add(s)
	}
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`))
	f.Fuzz(func(t *testing.T, payload string) {
		signing := head + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
		sig, err := jwt.SigningMethodHS256.Sign(signing, secret)
		if err != nil {
			t.Fatal(err)
		}
		id, err := v.Verify(t.Context(), signing+"."+base64.RawURLEncoding.EncodeToString(sig))
		switch {
		case err != nil:
			if code(err) != protocol.CodeUnauthenticated && code(err) != protocol.CodeExpired {
				t.Errorf("got %v, want unauthenticated or expired", err)
			}
		case protocol.CheckUser(id.User) != nil, !id.Expires.After(now), id.Expires.Year() > 9999, len(id.Name) > 128:
			t.Errorf("accepted %+v", id)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v := verifier(b, token.Config{Secret: secret, Issuer: "https://id.example", Audience: "chat"})
	s := mint(b, jwt.SigningMethodHS256, secret, nil, good(jwt.MapClaims{
		"name": "Ana", "grants": map[string]any{"channel:*": []string{"join", "publish"}, "community:*": []string{"join"}},
	}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}
