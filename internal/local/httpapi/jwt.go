package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// JWT authorizers do as "Control access to HTTP APIs with JWT authorizers in API Gateway" says: the signature by a key of the issuer, with
// RSA alone, then iss, aud or client_id, exp, nbf and iat, and one of the route's scopes.

// keySets are the keys of issuers, fetched when the first token of theirs comes.
type keySets struct {
	mu   sync.Mutex
	sets map[string]keyfunc.Keyfunc
}

const keysWait = 5 * time.Second

// of gives the keys of an issuer. Those are kept, and fetched again only for a key that is not among them.
func (k *keySets) of(ctx context.Context, issuer string) (keyfunc.Keyfunc, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if set := k.sets[issuer]; set != nil {
		return set, nil
	}
	ctx, cancel := context.WithTimeout(ctx, keysWait)
	defer cancel()
	var found struct {
		Keys string `json:"jwks_uri"`
	}
	if err := fetchJSON(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &found); err != nil {
		return nil, err
	}
	var raw json.RawMessage
	if err := fetchJSON(ctx, found.Keys, &raw); err != nil {
		return nil, err
	}
	set, err := keyfunc.NewJWKSetJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("read the keys of %s: %w", issuer, err)
	}
	if k.sets == nil {
		k.sets = map[string]keyfunc.Keyfunc{}
	}
	k.sets[issuer] = set
	return set, nil
}

// forget has the keys of an issuer fetched again.
func (k *keySets) forget(issuer string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.sets, issuer)
}

func fetchJSON(ctx context.Context, address string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("the issuer's keys: %w", err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("fetch the issuer's keys: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("fetch the issuer's keys: %s answers %s", address, res.Status)
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, res.Body, 1<<20)).Decode(into); err != nil {
		return fmt.Errorf("read the issuer's keys: %w", err)
	}
	return nil
}

// verify lets a token in. nil: the request may go on.
func (x *exchange) verify(a *authorizer, token string, unauthorized, forbidden answer) (*answer, error) {
	if scheme, rest, ok := strings.Cut(token, " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = rest
	}
	claims, err := x.claims(a, token)
	if err != nil {
		unauthorized.header.Set("WWW-Authenticate", "Bearer")
		return &unauthorized, err
	}
	texts := map[string]string{}
	for name, value := range claims {
		texts[name] = asText(value)
	}
	granted := strings.Fields(texts["scope"])
	if granted == nil {
		granted = strings.Fields(strings.Trim(texts["scp"], "[]"))
	}
	if len(a.spec.Scopes) > 0 && !slices.ContainsFunc(a.spec.Scopes, func(s string) bool { return slices.Contains(granted, s) }) {
		return &forbidden, fmt.Errorf("the token has none of the scopes %v", a.spec.Scopes)
	}
	x.authorizer = map[string]any{"claims": texts, "scopes": a.spec.Scopes}
	return nil, nil
}

// claims are those of a token that is good.
func (x *exchange) claims(a *authorizer, token string) (jwt.MapClaims, error) {
	issuer := a.spec.Issuer
	parse := func() (jwt.MapClaims, error) {
		set, err := x.srv.keys.of(x.r.Context(), issuer)
		if err != nil {
			return nil, err
		}
		claims := jwt.MapClaims{}
		_, err = jwt.NewParser(jwt.WithValidMethods([]string{"RS256", "RS384", "RS512"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
			jwt.WithIssuer(issuer), jwt.WithTimeFunc(x.srv.cfg.Now)).ParseWithClaims(token, claims, set.Keyfunc)
		return claims, err
	}
	claims, err := parse()
	if errors.Is(err, jwt.ErrTokenUnverifiable) || errors.Is(err, keyfunc.ErrKeyfunc) { // the issuer may have another key by now
		x.srv.keys.forget(issuer)
		claims, err = parse()
	}
	if err != nil {
		return nil, fmt.Errorf("the token: %w", err)
	}
	audience, err := claims.GetAudience()
	if err != nil || len(audience) == 0 {
		audience = []string{asText(claims["client_id"])}
	}
	if !slices.ContainsFunc(audience, func(one string) bool { return slices.Contains(a.spec.Audience, one) }) {
		return nil, fmt.Errorf("the token is for %v, not for one of %v", audience, a.spec.Audience)
	}
	return claims, nil
}

// asText is a claim as the event has it: a list in brackets, with spaces.
func asText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		var parts []string
		for _, one := range v {
			parts = append(parts, asText(one))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return fmt.Sprint(value)
}
