package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// Lease keeps two servers on this machine, or on several, from one shared store: a server ends all sessions that it finds there when it
// begins, since their sockets can only be an earlier one's. It is a note in the store that is renewed while the server runs.
type Lease struct {
	Store    string // what is leased, for people
	TakeOver bool   // whoever has it
}

// A lease that is not renewed is over after leaseTime.
const (
	leaseNote  = "lease of bellhop dev"
	leaseTime  = 30 * time.Second
	leaseRenew = 10 * time.Second
)

var errTaken = errors.New("somebody else has the lease")

// holder is the note: who has the lease. No two are equal.
type holder struct {
	URL   string    `json:"url"`
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"` // as of the last renewal
}

func (h holder) String() string {
	return fmt.Sprintf("%s, process %d on %s since %s", h.URL, h.PID, h.Host, h.Since.Format(time.TimeOnly))
}

func (h holder) same(as holder) bool {
	return h.URL == as.URL && h.Host == as.Host && h.PID == as.PID && h.Since.Equal(as.Since)
}

// gone reports whether it is certain that the holder is no more: it was on this machine, and nobody listens there, or we do.
func (h holder) gone(ctx context.Context, mine holder) bool {
	if h.Host != mine.Host {
		return false
	}
	if h.URL == mine.URL {
		return true
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(h.URL, "http://"))
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = conn.Close()
	return false
}

// leased is a lease of a running server.
type leased struct {
	Lease
	notes socketio.Notes
	log   *slog.Logger
	mine  holder
	stop  chan struct{}
	loop  sync.WaitGroup
}

func newLease(l Lease, notes socketio.Notes, log *slog.Logger, url string) *leased {
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	return &leased{Lease: l, notes: notes, log: log, mine: holder{URL: url, Host: host, PID: os.Getpid(), Since: time.Now()}, stop: make(chan struct{})}
}

// take has the lease, or says who has it and what can be done.
func (l *leased) take(ctx context.Context) error {
	text, until, err := l.text()
	if err != nil {
		return err
	}
	free, err := l.notes.NoteOnce(ctx, leaseNote, text, until)
	if err != nil {
		return fmt.Errorf("take the lease of %s: %w", l.Store, err)
	}
	if !free {
		other, err := l.read(ctx)
		if err != nil && !errors.Is(err, hub.ErrNotFound) {
			return fmt.Errorf("read the lease of %s: %w", l.Store, err)
		}
		if err == nil && !l.TakeOver && !other.gone(ctx, l.mine) {
			return fmt.Errorf("another bellhop dev uses %s (%v), and its sessions would end: stop it first, or give --take-over; if it was killed, its lease is over at %s",
				l.Store, other, other.Until.Format(time.TimeOnly))
		}
		if err == nil {
			l.log.WarnContext(ctx, "taken over from another bellhop dev", "store", l.Store, "from", other.String())
		}
		if err := l.notes.Note(ctx, leaseNote, text, until); err != nil {
			return fmt.Errorf("take the lease of %s over: %w", l.Store, err)
		}
	}
	l.loop.Go(func() { l.keep(context.WithoutCancel(ctx)) })
	return nil
}

// text is the note as of now, which is good until then.
func (l *leased) text() (text []byte, until time.Time, err error) {
	now := l.mine
	now.Until = time.Now().Add(leaseTime)
	text, err = json.Marshal(now)
	return text, now.Until, err
}

func (l *leased) read(ctx context.Context) (holder, error) {
	text, err := l.notes.Noted(ctx, leaseNote)
	if err != nil {
		return holder{}, err
	}
	var h holder
	if err := json.Unmarshal(text, &h); err != nil {
		return holder{}, fmt.Errorf("decode: %w", err)
	}
	return h, nil
}

// keep renews the lease until it is released, or somebody else has it.
func (l *leased) keep(ctx context.Context) {
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		err := l.renew(ctx)
		if errors.Is(err, errTaken) {
			l.log.ErrorContext(ctx, "another bellhop dev has taken the store over, and ended the sessions here: stop one of the two", "store", l.Store, "error", err)
			return
		}
		if err != nil {
			l.log.WarnContext(ctx, "the lease is not renewed; it is tried again", "store", l.Store, "error", err)
		}
	}
}

func (l *leased) renew(ctx context.Context) error {
	other, err := l.read(ctx)
	switch {
	case err != nil && !errors.Is(err, hub.ErrNotFound): // not even after a pause of this machine's
		return err
	case err == nil && !other.same(l.mine):
		return fmt.Errorf("%w: %v", errTaken, other)
	}
	text, until, err := l.text()
	if err != nil {
		return err
	}
	return l.notes.Note(ctx, leaseNote, text, until)
}

// release gives the lease back, if it is still this server's.
func (l *leased) release(ctx context.Context) error {
	close(l.stop)
	l.loop.Wait()
	switch other, err := l.read(ctx); {
	case errors.Is(err, hub.ErrNotFound) || err == nil && !other.same(l.mine):
		return nil
	case err != nil:
		return fmt.Errorf("read the lease of %s: %w", l.Store, err)
	}
	if err := l.notes.Unnote(ctx, leaseNote); err != nil {
		return fmt.Errorf("give the lease of %s back: %w", l.Store, err)
	}
	return nil
}
