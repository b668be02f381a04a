package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	secretsFresh  = 5 * time.Minute // older secrets are read again by the next token: a key that is taken away is gone by then
	secretsUsable = 24 * time.Hour  // and used meanwhile for so long, should they not be there to read
	secretsAgain  = time.Minute     // a signature that fits none has them read again, but not more often than this
)

// secretsError says that the secrets could not be read.
type secretsError struct{ err error }

// Error names the secrets.
func (e *secretsError) Error() string { return "read the secrets of tokens: " + e.err.Error() }

// Unwrap gives the cause.
func (e *secretsError) Unwrap() error { return e.err }

// secretSet are the secrets of HS256 that are trusted at the moment, the newest first. They are read while a token is verified, as the
// keys of a [keySet] are, so that a rotation needs no deployment.
type secretSet struct {
	source func(ctx context.Context) ([][]byte, error)
	now    func() time.Time

	mu     sync.Mutex // held while they are read, which takes no longer than the source allows
	list   [][]byte
	read   time.Time // the last success
	tried  time.Time
	failed error // why the last attempt failed
}

// newSecretSet reads the secrets for the first time.
func newSecretSet(ctx context.Context, source func(context.Context) ([][]byte, error), now func() time.Time) (*secretSet, error) {
	s := &secretSet{source: source, now: func() time.Time { return now().Round(0) }} // see newKeySet
	s.mu.Lock()
	defer s.mu.Unlock()
	return s, s.refresh(ctx)
}

// trusted gives the secrets, which may be read for it.
func (s *secretSet) trusted(ctx context.Context) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := s.now().Sub(s.read)
	if age < secretsFresh {
		return s.list, nil
	}
	if err := s.refresh(ctx); err != nil && age >= secretsUsable {
		return nil, err
	}
	return s.list, nil
}

// changed reads the secrets again, unless that was just done, and reports whether there is one that those who trusted the old list
// have not tried.
func (s *secretSet) changed(ctx context.Context, old [][]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.refresh(ctx) // those at hand are good enough
	return slices.ContainsFunc(s.list, func(one []byte) bool {
		return !slices.ContainsFunc(old, func(other []byte) bool { return bytes.Equal(one, other) })
	})
}

// refresh is called with mu held.
func (s *secretSet) refresh(ctx context.Context) error {
	now := s.now()
	wait := secretsAgain
	if s.failed != nil {
		wait = failAfter
	}
	if !s.tried.IsZero() && now.Sub(s.tried) < wait {
		return s.failed
	}
	list, err := s.source(ctx)
	if err == nil {
		list, err = long(list)
	}
	if err != nil {
		err = &secretsError{err}
		if ctx.Err() != nil { // the caller gave up
			return err
		}
	}
	s.tried, s.failed = now, err
	if err == nil {
		s.list, s.read = list, now
	}
	return err
}

// long leaves out secrets that are too short; the newest must not be.
func long(list [][]byte) ([][]byte, error) {
	if len(list) == 0 {
		return nil, errors.New("there is none")
	}
	if n := len(list[0]); n < minSecret {
		return nil, fmt.Errorf("tokens: the secret has %d bytes, HS256 needs at least %d: make one with `openssl rand -base64 48`", n, minSecret)
	}
	return slices.DeleteFunc(slices.Clone(list), func(one []byte) bool { return len(one) < minSecret }), nil
}
