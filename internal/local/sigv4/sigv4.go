// Package sigv4 verifies AWS's signatures of version 4, in the headers of a request or in its query string, as API Gateway does for routes
// with AWS_IAM: "Create a signed AWS API request" in the IAM user guide. The region of a signature is not looked at: on this machine a client
// signs for whatever its own is.
package sigv4

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Identity is who signed.
type Identity struct {
	AccessKey string // empty: nobody had to
	Name      string
}

// Users say who may sign.
type Users struct {
	Secrets map[string]string // secret access keys by access key id
	Anybody string            // who does not sign at all is let in under this name; empty: is not
}

// Anyone is the id in [ParseUsers] of who does not sign.
const Anyone = "anybody"

// ParseUsers reads access keys as a command line has them: secrets by id, and of [Anyone] the name under which everybody is let in.
func ParseUsers(list map[string]string) Users {
	u := Users{Secrets: map[string]string{}}
	for id, secret := range list {
		if id == Anyone {
			u.Anybody = secret
		} else {
			u.Secrets[id] = secret
		}
	}
	return u
}

// Given reports whether anybody may.
func (u Users) Given() bool { return len(u.Secrets) > 0 || u.Anybody != "" }

// ErrNobody is that no access key was given, so that nobody can sign.
var ErrNobody = errors.New("AWS_IAM lets nobody in without access keys: give bellhop dev --iam KEY=SECRET for each, or --iam anybody=NAME to let in everybody under a name")

// Fields are what events have of who signed, by the names of requestContext.identity. A user of IAM is named by the access key, and its id
// (caller and user) is that, too: on AWS it is another one.
func (i Identity) Fields(account string) map[string]string {
	out := map[string]string{
		"accountId": account, "caller": i.Name, "user": i.Name, "userArn": "arn:aws:iam::" + account + ":user/" + i.Name,
	}
	if i.AccessKey != "" {
		out["accessKey"] = i.AccessKey
	}
	return out
}

const (
	algorithm = "AWS4-HMAC-SHA256"
	service   = "execute-api"
	dateForm  = "20060102T150405Z"
	skew      = 5 * time.Minute
	longest   = 7 * 24 * time.Hour // of X-Amz-Expires
)

// Errors of requests that are not signed as they should be. What they say is for who develops; AWS says less.
var (
	ErrUnsigned = errors.New("the request is not signed: neither an Authorization header of " + algorithm + " nor X-Amz-Signature in the query string")
	ErrUnknown  = errors.New("the access key is none that was given")
	ErrMismatch = errors.New("the signature does not match: the secret key is another one, or what was signed is not what was sent")
)

// signature is one that a request has, in either place.
type signature struct {
	inQuery       bool
	key           string
	scope         []string // date, region, service, aws4_request
	headers       []string
	value, date   string
	signed, until time.Time
}

// Verify says who signed a request with this body.
func (u Users) Verify(r *http.Request, body []byte, now time.Time) (Identity, error) {
	if !u.Given() {
		return Identity{}, ErrNobody
	}
	s, err := read(r)
	if errors.Is(err, ErrUnsigned) && u.Anybody != "" {
		return Identity{Name: u.Anybody}, nil
	}
	if err != nil {
		return Identity{}, err
	}
	secret, ok := u.Secrets[s.key]
	switch {
	case !ok:
		return Identity{}, fmt.Errorf("%w: %s", ErrUnknown, s.key)
	case s.scope[2] != service:
		return Identity{}, fmt.Errorf("the signature is for the service %s, not for %s", s.scope[2], service)
	case !slices.Contains(s.headers, "host"):
		return Identity{}, errors.New("the header host is not among those that are signed")
	case now.Before(s.signed.Add(-skew)) || now.After(s.until):
		return Identity{}, fmt.Errorf("the signature is of %s and it is %s here: it has expired, or a clock is wrong", s.signed.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	for _, hash := range s.hashes(r, body) {
		for _, path := range []string{encode(cmp.Or(r.URL.EscapedPath(), "/"), true), cmp.Or(r.URL.EscapedPath(), "/")} { // S3's way is not the others'
			if hmac.Equal([]byte(s.of(r, secret, path, hash)), []byte(s.value)) {
				return Identity{AccessKey: s.key, Name: s.key}, nil
			}
		}
	}
	return Identity{}, ErrMismatch
}

// read finds the signature.
func read(r *http.Request) (s signature, err error) {
	query := r.URL.Query()
	var credential, names string
	if rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm); ok {
		for part := range strings.SplitSeq(rest, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch name {
			case "Credential":
				credential = value
			case "SignedHeaders":
				names = value
			case "Signature":
				s.value = value
			}
		}
		s.date = r.Header.Get("X-Amz-Date")
	} else if query.Get("X-Amz-Algorithm") == algorithm {
		s.inQuery = true
		credential, names, s.value, s.date = query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature"), query.Get("X-Amz-Date")
	} else {
		return s, ErrUnsigned
	}
	parts := strings.Split(credential, "/")
	if len(parts) < 5 || parts[len(parts)-1] != "aws4_request" {
		return s, fmt.Errorf("the credential %q is not key/date/region/service/aws4_request", credential)
	}
	s.key, s.scope = strings.Join(parts[:len(parts)-4], "/"), parts[len(parts)-4:]
	s.headers = strings.Split(strings.ToLower(names), ";")
	if s.signed, err = time.Parse(dateForm, s.date); err != nil {
		return s, fmt.Errorf("X-Amz-Date %q is no date such as 20060102T150405Z", s.date)
	}
	if !strings.HasPrefix(s.date, s.scope[0]) {
		return s, fmt.Errorf("the credential is of %s, and X-Amz-Date is %s", s.scope[0], s.date)
	}
	s.until = s.signed.Add(skew)
	if s.inQuery {
		seconds, err := strconv.Atoi(cmp.Or(query.Get("X-Amz-Expires"), "300"))
		if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > longest {
			return s, fmt.Errorf("X-Amz-Expires %q is not 1 to 604800 seconds", query.Get("X-Amz-Expires"))
		}
		s.until = s.signed.Add(time.Duration(seconds) * time.Second)
	}
	return s, nil
}

// hashes are what may stand for the body. In a query string it may be said to be unsigned.
func (s signature) hashes(r *http.Request, body []byte) []string {
	own := sum(body)
	if said := r.Header.Get("X-Amz-Content-Sha256"); said != "" && !s.inQuery {
		if said != own {
			return nil // signed, and not what was sent
		}
		return []string{own}
	}
	if s.inQuery {
		return []string{own, "UNSIGNED-PAYLOAD"}
	}
	return []string{own}
}

// of is the signature as it should be.
func (s signature) of(r *http.Request, secret, path, hash string) string {
	var headers strings.Builder
	for _, name := range s.headers {
		headers.WriteString(name + ":" + headerOf(r, name) + "\n")
	}
	canonical := strings.Join([]string{r.Method, path, s.query(r), headers.String(), strings.Join(s.headers, ";"), hash}, "\n")
	text := strings.Join([]string{algorithm, s.date, strings.Join(s.scope, "/"), sum([]byte(canonical))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range s.scope {
		key = keyed(key, part)
	}
	return hex.EncodeToString(keyed(key, text))
}

func headerOf(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	var values []string
	for _, value := range r.Header.Values(name) {
		values = append(values, strings.Join(strings.Fields(value), " "))
	}
	return strings.Join(values, ",")
}

// query is the query string in order, without the signature.
func (s signature) query(r *http.Request) string {
	var list []string
	for name, values := range r.URL.Query() {
		if name == "X-Amz-Signature" && s.inQuery {
			continue
		}
		for _, value := range values {
			list = append(list, encode(name, false)+"="+encode(value, false))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "&")
}

// encode is percent-encoding as AWS wants it.
func encode(text string, path bool) string {
	out := strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	if path {
		out = strings.ReplaceAll(out, "%2F", "/")
	}
	return out
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
