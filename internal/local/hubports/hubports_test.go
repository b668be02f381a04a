package hubports

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/queues"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/store/rows/rowstest"
)

// TestEnqueueOnAFullDisk: a job that cannot be kept is refused as what may work another time.
func TestEnqueueOnAFullDisk(t *testing.T) {
	t.Parallel()
	jobs, err := template.Read([]byte("Resources: {Jobs: {Type: AWS::SQS::Queue}}"), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	functions, err := invoke.New(invoke.Config{Template: jobs})
	if err != nil {
		t.Fatal(err)
	}
	defer functions.Close()
	disk := &rowstest.Disk{}
	q, err := queues.New(queues.Config{Template: jobs, Functions: functions, File: filepath.Join(t.TempDir(), "queues.db"), Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	q.Start()
	ports := &AWS{Emulator: &emulator.Emulator{Queues: q}, Queue: "Jobs"}
	job := hub.Job{Kind: hub.JobFanOut, Room: "channel:1"}
	if err := ports.Enqueue(t.Context(), job, 0); err != nil {
		t.Fatal(err)
	}
	disk.Fill(true)
	if err := ports.Enqueue(t.Context(), job, 0); !errors.Is(err, hub.ErrUnavailable) {
		t.Errorf("got %v, want %v", err, hub.ErrUnavailable)
	}
	disk.Fill(false)
	if err := ports.Enqueue(t.Context(), job, 0); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}
