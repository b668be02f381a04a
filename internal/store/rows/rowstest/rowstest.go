// Package rowstest has a disk for tests that is full when it is told so.
package rowstest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/store/rows"
)

// ErrFull is what a full disk answers.
var ErrFull = errors.New("no space left on this test's device")

// Disk is a disk that can be full. Its zero value has room.
type Disk struct {
	mu     sync.Mutex
	full   bool
	writes int
	syncs  int
}

// Fill takes all room, or gives it back.
func (d *Disk) Fill(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

// Full reports whether there is no room.
func (d *Disk) Full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.full
}

// Count gives how often something was written, and how often the disk was waited for.
func (d *Disk) Count() (writes, syncs int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes, d.syncs
}

// Create is [rows.Disk].Create: an empty file can be made on a full disk.
func (d *Disk) Create(path string) (rows.Handle, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600) //nolint:gosec // the path is a test's
	if err != nil {
		return nil, err
	}
	return &handle{file, d}, nil
}

type handle struct {
	*os.File
	disk *Disk
}

// WriteAt writes half of it on a full disk, as a real one may.
func (h *handle) WriteAt(b []byte, at int64) (int, error) {
	h.disk.mu.Lock()
	full := h.disk.full
	h.disk.writes++
	h.disk.mu.Unlock()
	if !full {
		return h.File.WriteAt(b, at)
	}
	n, err := h.File.WriteAt(b[:len(b)/2], at)
	return n, errors.Join(err, fmt.Errorf("write %s: %w", h.Name(), ErrFull))
}

// Sync counts.
func (h *handle) Sync() error {
	h.disk.mu.Lock()
	h.disk.syncs++
	h.disk.mu.Unlock()
	return h.File.Sync()
}

// Copy gives a copy of a file, with its journals, as a process that is killed would leave them now.
func Copy(tb testing.TB, path string) string {
	tb.Helper()
	twin := filepath.Join(tb.TempDir(), filepath.Base(path))
	for _, end := range []string{"", "-journal-old", "-journal"} {
		content, err := os.ReadFile(path + end) //nolint:gosec // the path is a test's
		if errors.Is(err, os.ErrNotExist) && end != "" {
			continue
		}
		if err == nil {
			err = os.WriteFile(twin+end, content, 0o600) //nolint:gosec // the path is a test's
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return twin
}
