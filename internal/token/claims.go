package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// claims are a token's claims by their exact names. A struct would not do: encoding/json matches its fields whatever
// their case, so that a harmless "Sub" or "GRANTS" of another system would count.
type claims map[string]json.RawMessage

var errClaim = errors.New("malformed claim")

// claim decodes one claim; one that is missing is the zero value.
func claim[T any](c claims, name string) (v T, err error) {
	if raw, ok := c[name]; ok {
		if err := json.Unmarshal(raw, &v); err != nil {
			return v, fmt.Errorf("%w %s", errClaim, name)
		}
	}
	return v, nil
}

// lastSecond is the end of the year 9999. What is far beyond it would be taken for a time long ago, since it does not fit.
const lastSecond = 253402300799

// date decodes a claim that is a time; one that is missing is nil.
func (c claims) date(name string) (*jwt.NumericDate, error) {
	n, err := claim[json.Number](c, name)
	if err != nil || n == "" {
		return nil, err
	}
	if seconds, err := n.Float64(); err != nil || math.Abs(seconds) > lastSecond {
		return nil, fmt.Errorf("%w %s", errClaim, name)
	}
	return claim[*jwt.NumericDate](c, name)
}

func (c claims) GetExpirationTime() (*jwt.NumericDate, error) {
	return c.date("exp")
}

func (c claims) GetIssuedAt() (*jwt.NumericDate, error) { return c.date("iat") }

func (c claims) GetNotBefore() (*jwt.NumericDate, error) { return c.date("nbf") }

func (c claims) GetIssuer() (string, error) { return claim[string](c, "iss") }

func (c claims) GetSubject() (string, error) { return claim[string](c, "sub") }

func (c claims) GetAudience() (jwt.ClaimStrings, error) { return claim[jwt.ClaimStrings](c, "aud") }

// identity reads what the signed claims say.
func (v *Verifier) identity(c claims) (hub.Identity, error) {
	exp, err := c.GetExpirationTime()
	if err != nil || exp == nil {
		return hub.Identity{}, refuse("the expiry of the token (exp) must be a time in seconds")
	}
	if !exp.After(v.now()) { // the leeway is for clocks that are behind; nothing outlives its token
		return hub.Identity{}, protocol.Refuse(protocol.CodeExpired)
	}
	user, err := claim[string](c, v.userClaim)
	if err != nil || protocol.CheckUser(user) != nil {
		return hub.Identity{}, refuse("the token must name a user (%s): 1 to 123 bytes, no spaces, '#' or '*'", v.userClaim)
	}
	grants, err := v.grants(c)
	if err != nil {
		return hub.Identity{}, err
	}
	return hub.Identity{User: user, Name: c.name(v.nameClaim), Grants: grants, Expires: exp.In(time.UTC)}, nil
}

func (v *Verifier) grants(c claims) (hub.Grants, error) {
	raw, ok := c[v.grantsClaim]
	if !ok {
		return v.defaultGrants, nil
	}
	if text, err := claim[string](c, v.grantsClaim); err == nil && text != "" { // some providers have claims of text alone
		raw = json.RawMessage(text)
	}
	g, err := hub.ParseGrants(raw)
	if err != nil {
		return nil, refuse("the claim %s is malformed: %s", v.grantsClaim, err.Error())
	}
	if g == nil { // null: nothing, or the default? the issuer has to say
		return nil, refuse("the claim %s must be an object, not null", v.grantsClaim)
	}
	return g, nil
}

// name is empty when the claim is missing, no string or too long: a bad name is no reason to lock a user out.
func (c claims) name(of string) string {
	name, err := claim[string](c, of)
	if err != nil {
		return ""
	}
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, name))
	if len(name) > maxName {
		return ""
	}
	return name
}
