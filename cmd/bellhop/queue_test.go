package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

// present are the users of a room after a server that ana has been at has stopped, and how many jobs it has left waiting.
func present(t *testing.T, queues string) (users []string, waiting int) {
	t.Helper()
	store := openBolt(t)
	var stopped *server
	t.Run("run", func(t *testing.T) {
		s := start(t, store, func(c *serverConfig) { c.QueueFile, c.Parameters["PresenceGrace"] = queues, "60s" })
		stopped = s.server
		s.connect("ana").must(map[string]any{"action": "join", "room": "community:1"})
	})
	rows, err := store.Present(t.Context(), "community:1", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		users = append(users, row.User)
	}
	return users, len(stopped.emulator.Waiting(deliverQueue))
}

// TestStop says when the jobs are done that wait at the end: there is nobody left to see it, but the store must be true.
func TestStop(t *testing.T) {
	t.Parallel()
	t.Run("without a file they are done at once", func(t *testing.T) {
		t.Parallel()
		if users, _ := present(t, ""); len(users) != 0 {
			t.Errorf("present are %v", users)
		}
	})
	t.Run("with a file they wait in it", func(t *testing.T) {
		t.Parallel()
		if users, waiting := present(t, filepath.Join(t.TempDir(), "queues.db")); len(users) != 1 || waiting == 0 {
			t.Errorf("present are %v, and %d jobs wait", users, waiting)
		}
	})
}

// TestAbsenceIsAnnouncedAfterARestart stops a server whose user has gone a moment before, and starts another on both files.
func TestAbsenceIsAnnouncedAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(name string, test func(s *running)) {
		store, err := bolt.Open(filepath.Join(dir, "bellhop.db"), bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			test(start(t, store, func(c *serverConfig) {
				c.QueueFile, c.Parameters["PresenceGrace"] = filepath.Join(dir, "queues.db"), "5s"
			}))
		})
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run("ana goes, and the server with her", func(s *running) {
		s.connect("ana").must(map[string]any{"action": "join", "room": "community:1"})
	})
	run("bob sees it at the next one", func(s *running) {
		bob := s.connect("bob")
		bob.must(map[string]any{"action": "join", "room": "community:1"})
		if e := bob.event("user:offline", "community:1"); object(e, "from")["userId"] != "ana" {
			t.Errorf("got %v", e)
		}
	})
}

// TestQueueFileOfDev says where the file is, what is said of a bad one, and that a start that fails gives it back.
func TestQueueFileOfDev(t *testing.T) {
	t.Parallel()
	if got := (devCommand{Memory: true, Data: "d"}).file("queues.db"); got != "" {
		t.Errorf("with --memory: got %s", got)
	}
	data := t.TempDir()
	file := filepath.Join(data, "queues.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	command := devCommand{Listen: "127.0.0.1:0", Data: data, Quiet: true}
	err := command.Run(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "queue file "+file+" is no queue file") {
		t.Errorf("a bad file: got %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if err := command.Run(ctx); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "in use") {
			t.Errorf("a start that is cancelled: got %v", err)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
