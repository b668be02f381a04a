package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
)

const (
	fetchTimeout = 3 * time.Second
	maxKeySet    = 1 << 20 // bytes

	keysFresh  = time.Hour        // older keys are fetched again by the next token
	keysUsable = 24 * time.Hour   // while the key server is down, they are used for as long as this
	againAfter = 10 * time.Second // an unknown key id fetches the keys again, but not more often than this
	failAfter  = 2 * time.Second  // after a failure, this soon
)

// keySetError says that the keys could not be fetched.
type keySetError struct {
	url string
	err error
}

func (e *keySetError) Error() string { return "fetch key set " + e.url + ": " + e.err.Error() }

func (e *keySetError) Unwrap() error { return e.err }

// keySet is a jwkset.Storage that fetches its keys while they are being asked for. The storage that jwkset has for URLs
// refreshes in a goroutine, which would neither run while Lambda has frozen the process nor be joined.
type keySet struct {
	*jwkset.MemoryJWKSet

	url    string
	client *http.Client
	now    func() time.Time

	busy chan struct{} // holds a value while one goroutine fetches; a channel, so that those who wait can give up

	mu      sync.Mutex
	fetched time.Time // the last success
	tried   time.Time // the last attempt
	failed  error     // why the last attempt failed
}

func newKeySet(u string, client *http.Client, now func() time.Time) *keySet {
	if client == nil {
		client = &http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 5 {
				return errors.New("more than 5 redirects")
			}
			return checkURL(r.URL.String())
		}}
	}
	return &keySet{
		MemoryJWKSet: jwkset.NewMemoryStorage(), url: u, client: client, busy: make(chan struct{}, 1),
		now: func() time.Time { return now().Round(0) }, // the monotonic clock stands still while Lambda freezes the process
	}
}

// KeyRead gives the key with an id, after another fetch if it is not there.
func (s *keySet) KeyRead(ctx context.Context, id string) (jwkset.JWK, error) {
	if err := s.freshen(ctx); err != nil {
		return jwkset.JWK{}, err
	}
	key, err := s.MemoryJWKSet.KeyRead(ctx, id)
	if !errors.Is(err, jwkset.ErrKeyNotFound) {
		return key, err
	}
	if err := s.refresh(ctx); err != nil {
		return jwkset.JWK{}, err
	}
	return s.MemoryJWKSet.KeyRead(ctx, id)
}

// KeyReadAll gives all keys, for tokens that do not say which they are signed with.
func (s *keySet) KeyReadAll(ctx context.Context) ([]jwkset.JWK, error) {
	if err := s.freshen(ctx); err != nil {
		return nil, err
	}
	return s.MemoryJWKSet.KeyReadAll(ctx)
}

// freshen fetches keys that are old. Only keys that are too old to use make it wait for another goroutine's fetch, or
// fail.
func (s *keySet) freshen(ctx context.Context) error {
	s.mu.Lock()
	age := s.now().Sub(s.fetched)
	s.mu.Unlock()
	switch {
	case age < keysFresh:
		return nil
	case age >= keysUsable:
		return s.refresh(ctx)
	}
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
		_ = s.refreshAlone(ctx) // the keys at hand are good enough
	default:
	}
	return nil
}

// refresh fetches the keys, unless that was just done; then it gives the result of that.
func (s *keySet) refresh(ctx context.Context) error {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
		return s.refreshAlone(ctx)
	case <-ctx.Done():
		return &keySetError{s.redacted(), ctx.Err()}
	}
}

// refreshAlone is refresh for the goroutine that has put the value into busy.
func (s *keySet) refreshAlone(ctx context.Context) error {
	now := s.now()
	s.mu.Lock()
	wait, tried, failed := againAfter, s.tried, s.failed
	s.mu.Unlock()
	if failed != nil {
		wait = failAfter
	}
	if !tried.IsZero() && now.Sub(tried) < wait {
		return failed
	}
	keys, err := s.fetch(ctx)
	if err == nil {
		err = s.KeyReplaceAll(ctx, keys)
	}
	if err != nil {
		err = &keySetError{s.redacted(), err}
		if ctx.Err() != nil { // the caller gave up, which says nothing about the server
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.failed = now, err
	if err == nil {
		s.fetched = now
	}
	return err
}

func (s *keySet) fetch(ctx context.Context) ([]jwkset.JWK, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	r.Close = true // the next fetch is an hour away
	resp, err := s.client.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which the caller adds
		}
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet))
	if err != nil {
		return nil, err
	}
	return parseKeys(body)
}

// parseKeys leaves out what is not for us: keys of other algorithms, for encryption, too weak, or malformed. One such
// key must not make the others unusable.
func parseKeys(body []byte) ([]jwkset.JWK, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("answered no JSON Web Key Set")
	}
	var keys []jwkset.JWK
	for _, raw := range set.Keys {
		key, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err == nil && usable(key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("answered %d keys, none of which can check RS256, ES256 or EdDSA", len(set.Keys))
	}
	return keys, nil
}

func usable(key jwkset.JWK) bool {
	if use := key.Marshal().USE; use != "" && use != jwkset.UseSig {
		return false
	}
	switch k := key.Key().(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048 // https://www.rfc-editor.org/rfc/rfc7518#section-3.3
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize == 256
	case ed25519.PublicKey:
		return true
	}
	return false
}

func (s *keySet) redacted() string {
	u, err := url.Parse(s.url)
	if err != nil {
		return "of tokens"
	}
	return u.Redacted()
}
