package server_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/server"
)

// TestLease starts a second server on the store of a first one.
func TestLease(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, place servertest.Place) {
		begin := func(takeOver bool, log *server.Written) (*server.Server, error) {
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			b := server.Bellhop{Store: place.Store, Lease: &server.Lease{Store: "the table x", TakeOver: takeOver}}
			return server.Start(t.Context(), listener, server.Config{
				API: b, Secret: []byte(strings.Repeat("s", 32)), Local: true, Logger: slog.New(slog.NewTextHandler(log, nil)),
			})
		}
		log := &server.Written{}
		end := func(s *server.Server) {
			t.Helper()
			if err := s.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
		first := servertest.Start(t, place, func(c *servertest.Config) { c.Bellhop.Lease = &server.Lease{Store: "the table x"} })
		ana := first.Connect("ana")
		ana.Must(map[string]any{"action": "join", "room": "channel:1"})
		if second, err := begin(false, log); err == nil {
			t.Error("a second server began")
			end(second)
		} else if !strings.Contains(err.Error(), "another bellhop dev uses the table x ("+first.URL) || !strings.Contains(err.Error(), "--take-over") {
			t.Errorf("got %v", err)
		}
		ana.Must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "data": "still here"})

		second, err := begin(true, log)
		if err != nil {
			t.Fatal(err)
		}
		if got := log.Take(); !strings.Contains(got, "taken over") || !strings.Contains(got, first.URL) {
			t.Errorf("got log %s", got)
		}
		if third, err := begin(false, log); err == nil {
			t.Error("a third server began")
			end(third)
		}
		end(second)
		third, err := begin(false, log) // what was given back is free
		if err != nil {
			t.Fatal(err)
		}
		end(third)
	})
}

// onStores is servertest.OnEveryStore for what takes servers of its own.
func onStores(t *testing.T, test func(t *testing.T, place servertest.Place)) {
	t.Helper()
	t.Run("bolt", func(t *testing.T) {
		t.Parallel()
		test(t, servertest.Bolt(t))
	})
	t.Run("dynamo", func(t *testing.T) {
		t.Parallel()
		test(t, servertest.Dynamo(t))
	})
}
