package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

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

// TestHookFlags: what cannot work is said at the start.
func TestHookFlags(t *testing.T) {
	for where, want := range map[string]string{
		"leave=http://127.0.0.1:1": "no such hook",
		"join=nowhere":             "neither a URL",
		"join=testdata":            "has none of index.mjs",
	} {
		name, value, _ := strings.Cut(where, "=")
		dev := devCommand{Hook: map[string]string{name: value}, Data: t.TempDir()}
		if _, err := dev.hooks(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--hook %s gives %v, want %q", where, err, want)
		}
	}
	dev := devCommand{Parameter: map[string]string{"JoinHook": "arn:aws:lambda:a"}}
	if _, err := dev.hooks(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--hook join=") {
		t.Errorf("a function on AWS gives %v", err)
	}
}
