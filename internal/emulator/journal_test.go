package emulator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kept is a server with a queue file, and the bodies that its job function gets.
func kept(tb testing.TB, path string, fail error) (*Server, <-chan string) {
	tb.Helper()
	got := make(chan string, 10)
	s, err := New(Config{
		Template: with("default"), NoSchedules: true, QueueFile: path, QueueRetry: time.Hour,
		Functions: functions(map[string]Function{"job": fn(func(_ context.Context, event []byte) ([]byte, error) {
			for _, r := range records(tb, event) {
				got <- r.Body + " " + r.Attributes["ApproximateReceiveCount"]
			}
			return nil, fail
		})}),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s, got
}

func TestQueuesSurviveARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queues.db")
	s, got := kept(t, path, errors.New("boom"))
	s.Start()
	send := func(body string, delay time.Duration) {
		t.Helper()
		if err := s.Send(t.Context(), "Jobs", body, delay); err != nil {
			t.Fatal(err)
		}
	}
	send("later", 10*time.Minute)
	send("failing", 0)
	if b := receive(t, got); b != "failing 1" {
		t.Fatalf("got %s", b)
	}
	closeNow(t, s)
	before := s.Waiting("Jobs")

	s, got = kept(t, path, nil)
	after := s.Waiting("Jobs")
	if len(before) != 2 || len(after) != 2 || after[0].Body != "failing" || after[0].Receives != 1 || after[0].Error != "boom" {
		t.Errorf("waiting were %+v, are %+v", before, after)
	}
	for _, m := range after {
		if b := before[1]; m.Body == b.Body && (m.ID != b.ID || !m.SentAt.Equal(b.SentAt)) {
			t.Errorf("got %+v, was %+v", m, b)
		}
	}
	s.Start()
	if b := receive(t, got); b != "failing 2" { // at once, and its count goes on
		t.Errorf("got %s", b)
	}
	closeNow(t, s)
	s, _ = kept(t, path, nil)
	if after = s.Waiting("Jobs"); len(after) != 1 || after[0].Body != "later" {
		t.Errorf("waiting are %+v", after)
	}
	closeNow(t, s)
}

// TestQueuesSurviveAKill opens a copy of the file that a running server has written.
func TestQueuesSurviveAKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queues.db")
	s, _ := kept(t, path, nil)
	if err := s.Send(t.Context(), "Jobs", "waits", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := s.journal.flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), "Jobs", "of the last second", time.Minute); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(killed, file, 0o600); err != nil {
		t.Fatal(err)
	}
	closeNow(t, s)
	s, _ = kept(t, killed, nil)
	if got := s.Waiting("Jobs"); len(got) != 1 || got[0].Body != "waits" {
		t.Errorf("got %+v", got)
	}
	closeNow(t, s)
}

func TestQueueFileRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	used := filepath.Join(dir, "used.db")
	s, _ := kept(t, used, nil)
	defer closeNow(t, s)
	foreign := filepath.Join(dir, "foreign.db")
	if err := os.WriteFile(foreign, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		used: "in use by another process", foreign: "open queue file", filepath.Join(dir, "none", "q.db"): "open queue file",
	} {
		_, err := New(Config{Template: with("default"), Functions: functions(nil), QueueFile: path})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}
