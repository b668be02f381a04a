package apigateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/bellhop-rt/bellhop/internal/aws/apigateway"
	"github.com/bellhop-rt/bellhop/internal/hub"
)

const id = "R1kmxc2VNj-CFIA="

// serve answers as the management API does, and gives a pusher for it.
func serve(tb testing.TB, o apigateway.Options, handle http.HandlerFunc) *apigateway.Pusher {
	tb.Helper()
	s := httptest.NewServer(handle)
	tb.Cleanup(s.Close)
	cfg := aws.Config{Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	return apigateway.New(cfg, s.URL+"/dev", o)
}

// refusing answers every call with an error as it is on the wire.
func refusing(status int, code, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-amzn-ErrorType", code)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestCalls(t *testing.T) {
	var got []string
	p := serve(t, apigateway.Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.EscapedPath()+" "+string(body))
		if !strings.Contains(r.Header.Get("Authorization"), "/execute-api/") {
			t.Errorf("not signed for execute-api: %q", r.Header.Get("Authorization"))
		}
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"connectedAt":"2025-02-03T01:46:33.523Z"}`)
		}
	})
	if err := p.Push(t.Context(), id, []byte(`{"event":"e"}`)); err != nil {
		t.Error(err)
	}
	if err := p.Close(t.Context(), id); err != nil {
		t.Error(err)
	}
	if alive, err := p.Alive(t.Context(), id); err != nil || !alive {
		t.Errorf("got %v, %v", alive, err)
	}
	path := "/dev/@connections/R1kmxc2VNj-CFIA%3D "
	want := []string{"POST " + path + `{"event":"e"}`, "DELETE " + path, "GET " + path}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		want   error // nil: another
		says   string
	}{
		"410 without a body": {refusing(410, "GoneException", ""), hub.ErrGone, ""},
		"400 malformed id":   {refusing(400, "BadRequestException", `{"message":"Invalid connectionId: x"}`), hub.ErrGone, ""},
		"400 anything else":  {refusing(400, "ValidationException", ""), nil, "post to connection"},
		"429":                {refusing(429, "LimitExceededException", ""), hub.ErrThrottled, ""},
		"413":                {refusing(413, "PayloadTooLargeException", `{"message":"too large"}`), hub.ErrTooLarge, ""},
		"403":                {refusing(403, "ForbiddenException", `{"message":"Forbidden"}`), nil, "execute-api:ManageConnections"},
		"500":                {refusing(500, "InternalServerErrorException", ""), nil, "post to connection " + id},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			p := serve(t, apigateway.Options{}, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				c.handle(w, r)
			})
			err := p.Push(t.Context(), id, []byte("{}"))
			if c.want != nil && !errors.Is(err, c.want) || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v %s", err, c.want, c.says)
			}
			if calls.Load() != 1 {
				t.Errorf("called %d times: retrying is the hub's", calls.Load())
			}
			alive, err := p.Alive(t.Context(), id)
			if gone := errors.Is(c.want, hub.ErrGone); alive || gone != (err == nil) {
				t.Errorf("alive: got %v, %v", alive, err)
			}
		})
	}
}

func TestACallThatHangsEnds(t *testing.T) {
	release := make(chan struct{})
	p := serve(t, apigateway.Options{Timeout: 50 * time.Millisecond}, func(http.ResponseWriter, *http.Request) { <-release })
	err := p.Push(t.Context(), id, []byte("{}"))
	close(release)
	if err == nil || errors.Is(err, hub.ErrGone) {
		t.Errorf("got %v", err)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	const parallel, rounds = 50, 4
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	cfg := aws.Config{Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	p := apigateway.New(cfg, s.URL+"/dev", apigateway.Options{})
	for range rounds {
		var wg sync.WaitGroup
		for range parallel {
			wg.Go(func() {
				if err := p.Push(t.Context(), id, []byte("{}")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	if n := opened.Load(); n > parallel {
		t.Errorf("%d connections for %d posts at a time", n, parallel)
	}
}

// TestSignature: API Gateway computes the signature of what it gets, and must come to the same one.
func TestSignature(t *testing.T) {
	secret := aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}
	p := serve(t, apigateway.Options{}, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil {
			t.Error(err)
		}
		again, _ := http.NewRequest(r.Method, "http://"+r.Host+r.URL.EscapedPath(), strings.NewReader(string(body))) //nolint:noctx // is not sent
		_, signed, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
		signed, _, _ = strings.Cut(signed, ",")
		for name := range strings.SplitSeq(signed, ";") {
			if value := r.Header.Get(name); value != "" {
				again.Header.Set(name, value)
			}
		}
		sum := sha256.Sum256(body)
		err = v4.NewSigner().SignHTTP(r.Context(), secret, again, hex.EncodeToString(sum[:]), "execute-api", "eu-west-1", at)
		if got, want := r.Header.Get("Authorization"), again.Header.Get("Authorization"); err != nil || got != want {
			t.Errorf("%s: got  %s\nwant %s, %v", body, got, want, err)
		}
		for _, name := range []string{"Amz-Sdk-Request", "Amz-Sdk-Invocation-Id"} {
			if r.Header.Get(name) != "" {
				t.Errorf("%s is sent, which is about retries", name)
			}
		}
	})
	push := p.Prepare([]byte(`{"event":"one"}`))
	for _, connection := range []string{id, "another="} {
		if err := push(t.Context(), connection); err != nil {
			t.Error(err)
		}
	}
	if err := p.Push(t.Context(), id, []byte(`{"event":"two"}`)); err != nil {
		t.Error(err)
	}
}

// TestAnonymous: as with the service's own client, such credentials sign nothing.
func TestAnonymous(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if signed := r.Header.Get("Authorization"); signed != "" {
			t.Errorf("it is signed: %s", signed)
		}
	}))
	defer s.Close()
	p := apigateway.New(aws.Config{Region: "eu-west-1", Credentials: aws.AnonymousCredentials{}}, s.URL+"/dev", apigateway.Options{})
	if err := p.Push(t.Context(), id, []byte(`{"event":"e"}`)); err != nil {
		t.Error(err)
	}
}

// TestColdPool: who pushes to many at once for the first time opens 16 connections, and more by and by.
func TestColdPool(t *testing.T) {
	var opened, busy, most atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		n := busy.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-time.After(2 * time.Millisecond)
		busy.Add(-1)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	const grow = 400 * time.Millisecond
	cfg := aws.Config{Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	p := apigateway.New(cfg, s.URL+"/dev", apigateway.Options{Grow: grow, Connections: 40, TLS: s.Client().Transport.(*http.Transport).TLSClientConfig})
	began := time.Now()
	burst := func() int64 {
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range 3 {
					if err := p.Push(t.Context(), id, []byte("{}")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		return opened.Load()
	}
	first := burst()
	if late := time.Since(began) > grow; first > 16 && !late || first < 2 {
		t.Errorf("a cold pool opens %d connections", first)
	}
	for range 3 {
		<-time.After(grow)
		burst()
	}
	if n := opened.Load(); n <= 16 || n > 40 || most.Load() > 40 {
		t.Errorf("a warm pool has %d connections of 40, at most %d busy", n, most.Load())
	}
	if t.Failed() {
		return
	}
	p.Alive(t.Context(), id) // the service's client uses them too
	if n := opened.Load(); n > 40 {
		t.Errorf("it opens others")
	}
}
