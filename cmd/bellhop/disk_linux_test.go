package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// limitFiles has the kernel refuse what a program writes to files beyond a size, as a full disk does: see setrlimit(2), RLIMIT_FSIZE.
func limitFiles(t *testing.T, p *servertest.Program, size uint64) {
	t.Helper()
	limit := syscall.Rlimit{Cur: size, Max: math.MaxUint64}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(p.Pid()), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
}

// speaker publishes one message after another, and knows what it was answered.
type speaker struct {
	writer
	t    *testing.T
	conn *websocket.Conn
	n    int
}

func speak(t *testing.T, p *servertest.Program) *speaker {
	t.Helper()
	s := &speaker{writer: writer{user: "ana", acked: map[string]int64{}}, t: t}
	s.conn = s.dial(t, p)
	if r, err := ask(t.Context(), s.conn, "join", `{"action":"join","id":"join","room":"channel:1"}`); err != nil || !r.OK {
		t.Fatalf("join: %+v, %v", r, err)
	}
	return s
}

// say publishes, and gives the code of the refusal.
func (s *speaker) say() protocol.Code {
	s.t.Helper()
	s.n++
	id := fmt.Sprint("m", s.n)
	r, err := ask(s.t.Context(), s.conn, id, fmt.Sprintf(`{"action":"publish","id":%q,"room":"channel:1","event":"message:new","data":{"content":%q}}`, id, strings.Repeat("x", 500)))
	if err != nil {
		s.t.Fatal(err)
	}
	if r.OK {
		s.acked[id] = r.Data.Seq
	}
	return r.Error.Code
}

func trouble(t *testing.T, p *servertest.Program) string {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, p.URL+"/_bellhop/overview", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var o console.Overview
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	return o.Trouble
}

// TestFullDisk fills the disk of a program that runs: what is acknowledged is kept, what cannot be kept is refused, everybody who looks is
// told, and when there is room again it goes on by itself.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the program")
	}
	binary := servertest.Build(t)
	for _, flags := range [][]string{nil, {"--sync"}} {
		for _, recovers := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v, recovers=%t", flags, recovers), func(t *testing.T) { fullDisk(t, binary, recovers, flags) })
		}
	}
}

func fullDisk(t *testing.T, binary string, recovers bool, flags []string) {
	t.Helper()
	data := t.TempDir()
	launch := func() *servertest.Program {
		return servertest.Launch(t, binary, nil, append(flags, "--data", data, "--quiet", "--parameter", "RateLimit=100000", "--parameter", "RateBurst=100000")...)
	}
	p := launch()
	ana := speak(t, p)
	for range 10 {
		if code := ana.say(); code != "" {
			t.Fatalf("refused: %s", code)
		}
	}
	limitFiles(t, p, 4096)
	refused := 0
	for refused < 20 {
		switch code := ana.say(); code {
		case "": // there was room for it
			if ana.n > 10_000 {
				t.Fatal("the disk does not get full")
			}
		case protocol.CodeUnavailable:
			refused++
		default:
			t.Fatalf("refused as %s, want %s", code, protocol.CodeUnavailable)
		}
	}
	if got := trouble(t, p); !strings.Contains(got, "bellhop.db") {
		t.Errorf("the console says %q", got)
	}
	if got := p.Printed(); strings.Count(got, "the disk does not take what is written") != 1 {
		t.Errorf("it printed %s", got)
	}
	if recovers {
		limitFiles(t, p, math.MaxUint64)
		if code := ana.say(); code != "" {
			t.Errorf("there is room again, and it is refused as %s", code)
		}
		if got := trouble(t, p); got != "" {
			t.Errorf("there is room again, and the console says %q", got)
		}
	}
	err := p.End()
	if saved := strings.Contains(p.Printed(), "everything is saved"); saved != (err == nil) || saved && !recovers {
		t.Errorf("it ended with %v, and printed %s", err, p.Printed())
	}
	p = launch()
	kept := logOf(t, p, "channel:1")
	for id, seq := range ana.acked {
		if kept[id] != seq {
			t.Errorf("%s was acknowledged as %d, and is %d in the log", id, seq, kept[id])
		}
	}
	t.Logf("%d acknowledged, %d in the log", len(ana.acked), len(kept))
	p.Stop()
}
