package server_test

import (
	"path/filepath"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

// present are the users of a room after a server that ana has been at has stopped, and how many jobs it has left waiting.
func present(t *testing.T, queues string) (users []string, waiting int) {
	t.Helper()
	place := servertest.Bolt(t)
	var stopped *servertest.Server
	t.Run("run", func(t *testing.T) {
		s := servertest.Start(t, place, func(c *servertest.Config) { c.Bellhop.QueueFile, c.Parameters["PresenceGrace"] = queues, "60s" })
		stopped = s
		s.Connect("ana").Must(map[string]any{"action": "join", "room": "community:1"})
	})
	rows, err := place.Store.Present(t.Context(), "community:1", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if !row.Since.IsZero() { // otherwise it only keeps marks
			users = append(users, row.User)
		}
	}
	return users, len(stopped.Emulator().Queues.Waiting("DeliverQueue"))
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
	run := func(name string, test func(s *servertest.Server)) {
		store, err := bolt.Open(filepath.Join(dir, "bellhop.db"), bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			test(servertest.Start(t, servertest.On(store), func(c *servertest.Config) {
				c.Bellhop.QueueFile, c.Parameters["PresenceGrace"] = filepath.Join(dir, "queues.db"), "5s"
			}))
		})
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run("ana goes, and the server with her", func(s *servertest.Server) {
		s.Connect("ana").Must(map[string]any{"action": "join", "room": "community:1"})
	})
	run("bob sees it at the next one", func(s *servertest.Server) {
		bob := s.Connect("bob")
		bob.Must(map[string]any{"action": "join", "room": "community:1"})
		if e := bob.Event("user:offline", "community:1"); servertest.Object(e, "from")["userId"] != "ana" {
			t.Errorf("got %v", e)
		}
	})
}

// TestFailedJobsComeBackSoon: a command of a newer version fails here every time. It is tried again within seconds, not when the
// queue's VisibilityTimeout of six minutes is over.
func TestFailedJobsComeBackSoon(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(testing.TB) servertest.Place{"in this process": servertest.Bolt, "in processes": servertest.Deployed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, place(t))
			if err := s.Emulator().Queues.Send(t.Context(), "EmitQueue", `{"v":99,"command":"stats"}`, 0); err != nil {
				t.Fatal(err)
			}
			servertest.Eventually(t, "the command is tried a second time", func() bool {
				waiting := s.Emulator().Queues.Waiting("EmitQueue")
				return len(waiting) == 1 && waiting[0].Receives > 1
			})
		})
	}
}
