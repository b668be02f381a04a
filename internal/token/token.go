// Package token turns a JWT into an identity and its grants, and mints the tokens of the development server.
//
// A token is trusted when it is signed with an algorithm of the allow-list, by the shared secret (HS256) or by a key of
// the key set (RS256, ES256, EdDSA); when issuer and audience are the configured ones; and while it has not expired. The
// algorithm chooses the key: HS256 is only ever checked against the secret, never against a public key
// (https://www.rfc-editor.org/rfc/rfc8725#section-2.1). Its claims:
//
//	sub       the user id, as protocol.CheckUser wants it
//	exp       when it expires; a token without it is refused
//	nbf, iat  not in the future; optional
//	name      the name that others see; optional
//	grants    {"channel:*":["join","publish"]}, or that as a text; without the claim Config.DefaultGrants apply
//
// Where an identity provider has other names for sub, name and grants, [Config] says them.
//
// No error and no log holds a token.
package token

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// The algorithms there are, as [Config] lists them.
const (
	hs256 = "HS256"
	rs256 = "RS256"
	es256 = "ES256"
	edDSA = "EdDSA"
)

const (
	minSecret     = 32          // bytes: https://www.rfc-editor.org/rfc/rfc7518#section-3.2
	maxToken      = 16 << 10    // bytes; API Gateway takes 10 KB of headers
	maxName       = 128         // bytes
	defaultLeeway = time.Minute // https://www.rfc-editor.org/rfc/rfc7519#section-4.1.5: "a few minutes" at most
)

// Config says which tokens are trusted. It needs a Secret, Secrets or a JWKSURL.
type Config struct {
	Secret []byte // shared secret of HS256, at least 32 bytes
	// Secrets reads the shared secrets as they are now, instead of Secret: the one that tokens are signed with first, then those that
	// were before it and are still trusted. It is asked again every 5 minutes, and after a minute at the earliest for a token that is
	// signed with none of them. It bounds its own time.
	Secrets func(ctx context.Context) ([][]byte, error)
	JWKSURL string // key set of the other algorithms; https, unless its host is this machine; the parameter JwksUrl has the same rule

	// Issuer and Audience are what the claims iss and aud must be; empty: not checked. A key set that signs tokens for
	// other systems too needs an Audience.
	Issuer, Audience string

	// Algorithms is the allow-list. Empty: HS256 if there is a Secret, and RS256, ES256 and EdDSA if there is a JWKSURL.
	Algorithms []string

	// UserClaim, NameClaim and GrantsClaim are the claims that hold the user id, the name and the grants; empty: sub, name, grants.
	UserClaim, NameClaim, GrantsClaim string

	DefaultGrants hub.Grants       // of tokens without that claim
	Leeway        time.Duration    // how far nbf and iat may be in the future; 0: a minute, negative: not at all
	Now           func() time.Time // nil: time.Now
	HTTPClient    *http.Client     // fetches the key set; nil: one that follows redirects to https only
}

// Verifier checks tokens. It is safe for concurrent use and has no goroutines: the key set is fetched while a token
// that needs it is being verified.
type Verifier struct {
	secrets       *secretSet      // nil: there is no secret
	keys          keyfunc.Keyfunc // nil: there is no key set
	algorithms    []string
	parser        *jwt.Parser
	defaultGrants hub.Grants
	now           func() time.Time

	userClaim, nameClaim, grantsClaim string
}

var _ hub.Verifier = (*Verifier)(nil)

// New gives the verifier of a configuration, or one line that says what to fix in it. It fetches the key set for the
// first time, for at most 3 s; a key-set server that is down is no error here but in [Verifier.Verify], which asks it
// again.
func New(ctx context.Context, c Config) (*Verifier, error) {
	algorithms, err := c.check()
	if err != nil {
		return nil, err
	}
	v := &Verifier{algorithms: algorithms, defaultGrants: c.DefaultGrants, now: c.Now}
	v.userClaim, v.nameClaim, v.grantsClaim = cmp.Or(c.UserClaim, "sub"), cmp.Or(c.NameClaim, "name"), cmp.Or(c.GrantsClaim, "grants")
	if v.now == nil {
		v.now = time.Now
	}
	if source := c.secrets(); source != nil {
		if v.secrets, err = newSecretSet(ctx, source, v.now); err != nil {
			return nil, err
		}
	}
	leeway := c.Leeway
	if leeway == 0 {
		leeway = defaultLeeway
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(algorithms),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(max(leeway, 0)),
		jwt.WithTimeFunc(v.now),
		jwt.WithStrictDecoding(),
	}
	if c.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.Issuer))
	}
	if c.Audience != "" {
		options = append(options, jwt.WithAudience(c.Audience))
	}
	v.parser = jwt.NewParser(options...)

	if c.JWKSURL != "" {
		set := newKeySet(c.JWKSURL, c.HTTPClient, v.now)
		if v.keys, err = keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: set}); err != nil {
			return nil, fmt.Errorf("use key set: %w", err)
		}
		_ = set.refresh(ctx) // Verify asks again, and then says what is wrong
	}
	return v, nil
}

// secrets is where the secrets come from; nil: there are none.
func (c Config) secrets() func(context.Context) ([][]byte, error) {
	if c.Secrets != nil || len(c.Secret) == 0 {
		return c.Secrets
	}
	return func(context.Context) ([][]byte, error) { return [][]byte{c.Secret}, nil }
}

// check gives the allow-list.
func (c Config) check() ([]string, error) {
	secret := c.secrets() != nil
	switch {
	case !secret && c.JWKSURL == "":
		return nil, errors.New("tokens: set a secret (HS256) or the URL of a JSON Web Key Set, there is neither")
	case len(c.Secret) != 0 && len(c.Secret) < minSecret:
		return nil, fmt.Errorf("tokens: the secret has %d bytes, HS256 needs at least %d: make one with `openssl rand -base64 48`", len(c.Secret), minSecret)
	}
	if c.JWKSURL != "" {
		if err := checkURL(c.JWKSURL); err != nil {
			return nil, err
		}
	}
	algorithms := c.Algorithms
	if len(algorithms) == 0 {
		if secret {
			algorithms = append(algorithms, hs256)
		}
		if c.JWKSURL != "" {
			algorithms = append(algorithms, rs256, es256, edDSA)
		}
	}
	for _, a := range algorithms {
		switch {
		case a == hs256 && !secret:
			return nil, errors.New("tokens: algorithm HS256 needs a secret; take it off the list or set one")
		case a == hs256:
		case a == rs256 || a == es256 || a == edDSA:
			if c.JWKSURL == "" {
				return nil, fmt.Errorf("tokens: algorithm %s needs the URL of a JSON Web Key Set; take it off the list or set one", a)
			}
		case strings.EqualFold(a, "none"):
			return nil, errors.New(`tokens: algorithm "none" would trust unsigned tokens; take it off the list`)
		default:
			return nil, fmt.Errorf("tokens: there is no algorithm %q; list some of HS256, RS256, ES256, EdDSA", a)
		}
	}
	return slices.Clone(algorithms), nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "http://") {
		return errors.New("tokens: the URL of the key set must be like https://example.com/.well-known/jwks.json")
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return fmt.Errorf("tokens: the URL of the key set must begin with https://, because whoever answers for %s could sign any token", u.Host)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Verify gives who a token names. A refusal is a [protocol.Error] of unauthenticated, or of expired for a token that is
// good but for its exp. Any other error is [hub.ErrUnavailable]: the keys could not be fetched, so that nothing is known about the
// token: try again later.
func (v *Verifier) Verify(ctx context.Context, token string) (hub.Identity, error) {
	if len(token) > maxToken {
		return hub.Identity{}, refuse("the token has more than %d bytes", maxToken)
	}
	var tried [][]byte // secrets
	c, t, err := v.parse(ctx, token, &tried)
	if err != nil && tried != nil && errors.Is(err, jwt.ErrTokenSignatureInvalid) && v.secrets.changed(ctx, tried) {
		c, t, err = v.parse(ctx, token, &tried)
	}
	if err != nil {
		return hub.Identity{}, v.refusal(t, c, err)
	}
	return v.identity(c)
}

// parse checks a token. tried are the secrets that its signature was checked with; nil: that took none.
func (v *Verifier) parse(ctx context.Context, token string, tried *[][]byte) (claims, *jwt.Token, error) {
	c := claims{}
	t, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) { return v.key(ctx, t, tried) })
	return c, t, err
}

// errCritical refuses tokens that demand an extension: https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11
var errCritical = errors.New("the token has a crit header")

// key gives what the signature is checked with. The parser has checked that the algorithm is on the list.
func (v *Verifier) key(ctx context.Context, t *jwt.Token, tried *[][]byte) (any, error) {
	if _, critical := t.Header["crit"]; critical {
		return nil, errCritical
	}
	if t.Method.Alg() == hs256 {
		list, err := v.secrets.trusted(ctx)
		if err != nil {
			return nil, err
		}
		*tried = list
		set := jwt.VerificationKeySet{}
		for _, one := range list {
			set.Keys = append(set.Keys, one)
		}
		return set, nil
	}
	return v.keys.KeyfuncCtx(ctx)(t)
}

// refusal says what is wrong without the library's words, which may quote the token. The first that fits wins: a token
// is only called expired when nothing else is wrong with it.
func (v *Verifier) refusal(t *jwt.Token, c claims, err error) error {
	if down, ok := errors.AsType[*keySetError](err); ok {
		return fmt.Errorf("%w: %w", hub.ErrUnavailable, down)
	}
	if down, ok := errors.AsType[*secretsError](err); ok {
		return fmt.Errorf("%w: %w", hub.ErrUnavailable, down)
	}
	if t != nil && t.Header["alg"] != nil && !slices.Contains(v.algorithms, algorithm(t)) {
		return refuse("the token must be signed with %s", strings.Join(v.algorithms, " or "))
	}
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return refuse("the token is not a well-formed JWT")
	case errors.Is(err, errCritical):
		return refuse("the token demands an extension (crit) that is not supported")
	case errors.Is(err, jwkset.ErrKeyNotFound):
		return refuse("the token is signed with a key that is not in the key set")
	case errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return refuse("the signature of the token does not fit")
	case len(c["exp"]) == 0:
		return refuse("the token has no expiry (exp)")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return refuse("the token comes from another issuer (iss)")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return refuse("the token is meant for another audience (aud)")
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return refuse("the token is not valid yet (nbf or iat)")
	case errors.Is(err, errClaim), errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return refuse("a claim of the token (exp, nbf, iat, iss, aud or sub) is missing or malformed")
	case errors.Is(err, jwt.ErrTokenExpired):
		return protocol.Refuse(protocol.CodeExpired)
	}
	return refuse("the token is not valid")
}

func algorithm(t *jwt.Token) string {
	alg, _ := t.Header["alg"].(string)
	return alg
}

func refuse(format string, args ...any) error {
	return protocol.Errorf(protocol.CodeUnauthenticated, format, args...)
}
