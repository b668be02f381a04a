package sigv4

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// TestVerify: what AWS's own SDK signs is taken, and nothing that is changed after that.
func TestVerify(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	users := Users{Secrets: map[string]string{"AKID": "secret"}}
	for name, c := range map[string]struct {
		inQuery bool
		as      aws.Credentials
		service string
		change  func(*http.Request)
		later   time.Duration
		body    string
		want    string // in the error; empty: it is taken
	}{
		"in headers":            {},
		"with a body":           {body: "hello"},
		"in the query string":   {inQuery: true},
		"another region's":      {later: time.Minute},
		"a header was changed":  {change: func(r *http.Request) { r.Header.Set("X-Amz-Meta", "other") }, want: "does not match"},
		"the path was changed":  {change: func(r *http.Request) { r.URL.Path = "/prod" }, want: "does not match"},
		"the query was changed": {change: func(r *http.Request) { r.URL.RawQuery += "&b=2" }, want: "does not match"},
		"the host was changed":  {change: func(r *http.Request) { r.Host = "other" }, want: "does not match"},
		"of the query, changed": {inQuery: true, change: func(r *http.Request) { r.URL.RawQuery += "&b=2" }, want: "does not match"},
		"another secret":        {as: aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "other"}, want: "does not match"},
		"another key":           {as: aws.Credentials{AccessKeyID: "WHO", SecretAccessKey: "secret"}, want: "none that was given: WHO"},
		"another service":       {service: "sqs", want: "for the service sqs"},
		"too late":              {later: 6 * time.Minute, want: "expired"},
		"too early":             {later: -6 * time.Minute, want: "expired"},
		"the query, too late":   {inQuery: true, later: 6 * time.Minute, want: "expired"},
		"not signed":            {change: func(r *http.Request) { r.Header.Del("Authorization") }, want: "is not signed"},
		"no date":               {change: func(r *http.Request) { r.Header.Del("X-Amz-Date") }, want: "is no date"},
		"half a credential":     {change: func(r *http.Request) { r.Header.Set("Authorization", algorithm+" Credential=AKID/x") }, want: "is not key/date"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:4000/dev/a%20b?z=1&a=%2Fx+y&a=1", bytes.NewReader([]byte(c.body)))
			r.Header.Set("X-Amz-Meta", "  two   words ")
			as, of := c.as, c.service
			if as.AccessKeyID == "" {
				as = aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", SessionToken: "token"}
			}
			if of == "" {
				of = service
			}
			var err error
			if c.inQuery {
				var signed string
				query := r.URL.Query()
				query.Set("X-Amz-Expires", "300")
				r.URL.RawQuery = query.Encode()
				if signed, _, err = v4.NewSigner().PresignHTTP(t.Context(), as, r, sum([]byte(c.body)), of, "eu-west-1", at); err == nil {
					header := r.Header
					r = httptest.NewRequestWithContext(t.Context(), http.MethodGet, signed, http.NoBody)
					r.Header = header
				}
			} else {
				err = v4.NewSigner().SignHTTP(t.Context(), as, r, sum([]byte(c.body)), of, "eu-west-1", at)
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(r)
			}
			who, err := users.Verify(r, []byte(c.body), at.Add(c.later))
			switch {
			case c.want == "" && (err != nil || who.AccessKey != "AKID"):
				t.Errorf("got %v, %v", who, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, %v, want %q", who, err, c.want)
			}
		})
	}
	unsigned := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/dev", http.NoBody)
	if who, err := (Users{Anybody: "ana"}).Verify(unsigned, nil, at); err != nil || who.Name != "ana" || who.AccessKey != "" {
		t.Errorf("anybody: got %v, %v", who, err)
	}
	if _, err := users.Verify(unsigned, nil, at); !errors.Is(err, ErrUnsigned) {
		t.Errorf("nobody is let in without a signature: got %v", err)
	}
	if _, err := (Users{}).Verify(unsigned, nil, at); !errors.Is(err, ErrNobody) {
		t.Errorf("nobody: got %v", err)
	}
}
