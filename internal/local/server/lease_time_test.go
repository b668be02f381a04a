package server

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

// held is a lease on a store, of a server elsewhere unless host is empty.
func held(store *bolt.Store, host, url string, log io.Writer) *leased {
	l := newLease(Lease{Store: "the table x"}, store, slog.New(slog.NewTextHandler(log, nil)), url)
	if host != "" {
		l.mine.Host = host
	}
	return l
}

// Written is a log that is read and begun anew while others write.
type Written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *Written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

// Take gives what was written, and begins anew.
func (w *Written) Take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.text.Reset()
	return w.text.String()
}

// killed ends a server that gives nothing back.
func (l *leased) killed() {
	close(l.stop)
	l.loop.Wait()
}

func memory(t *testing.T) *bolt.Store {
	t.Helper()
	store, err := bolt.Open("", bolt.Options{FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func TestLeaseInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, log, ctx := memory(t), &Written{}, t.Context()
		first, second := held(store, "there", "http://127.0.0.1:1", log), held(store, "here", "http://127.0.0.1:1", log)
		if err := first.take(ctx); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * leaseTime)
		if err := second.take(ctx); err == nil || !strings.Contains(err.Error(), "on there since") {
			t.Errorf("a lease that is renewed: got %v", err)
		}
		first.killed()
		if err := second.take(ctx); err == nil {
			t.Error("a lease is free before its time is over")
		}
		<-time.After(leaseTime)
		if err := second.take(ctx); err != nil {
			t.Errorf("a lease that nobody renews: got %v", err)
		}

		third := held(store, "elsewhere", "http://127.0.0.1:1", log)
		third.TakeOver = true
		if err := third.take(ctx); err != nil {
			t.Fatal(err)
		}
		log.Take()
		<-time.After(leaseRenew)
		synctest.Wait()
		if got := log.Take(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "ended the sessions here") || !strings.Contains(got, "on elsewhere") {
			t.Errorf("whose lease was taken is told %q", got)
		}
		if err := second.release(ctx); err != nil {
			t.Error(err)
		}
		if err := held(store, "a fourth", "http://127.0.0.1:1", log).take(ctx); err == nil {
			t.Error("a lease was given back by who did not have it any more")
		}
		if err := third.release(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestLeaseOfADeadServer: who was killed on this machine need not be waited for.
func TestLeaseOfADeadServer(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	alive := "http://" + listener.Addr().String()
	for name, c := range map[string]struct {
		url, next string
		free      bool
	}{
		"it still listens":             {alive, "http://127.0.0.1:2", false},
		"nobody listens there":         {"http://127.0.0.1:1", "http://127.0.0.1:2", true},
		"its address is the next ones": {alive, alive, true},
	} {
		store, log := memory(t), &bytes.Buffer{}
		dead := held(store, "", c.url, log)
		if err := dead.take(context.Background()); err != nil {
			t.Fatal(err)
		}
		dead.killed()
		next := held(store, "", c.next, log)
		if err := next.take(t.Context()); err == nil != c.free {
			t.Errorf("%s: got %v", name, err)
		}
		if err := next.release(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
