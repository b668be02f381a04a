//go:build unix

package runtimeapi

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestSlowBody: a body that comes byte by byte is cut off, and a process that waits for its next invocation is not.
func TestSlowBody(t *testing.T) {
	const limit = 100 * time.Millisecond
	cfg := golang("handle")
	cfg.BodyTime = limit
	f := open(t, cfg)
	p := f.newProcess()
	p.state, f.starting = starting, 1
	s, err := f.listen(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ask := func(request string) func(wait time.Duration) (string, error) {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := fmt.Fprintf(c, strings.ReplaceAll(request, "\n", "\r\n"), p.addr); err != nil {
			t.Fatal(err)
		}
		return func(wait time.Duration) (string, error) {
			_ = c.SetReadDeadline(time.Now().Add(wait))
			text, err := io.ReadAll(c)
			return string(text), err
		}
	}
	waiting := ask("GET /2018-06-01/runtime/invocation/next HTTP/1.1\nHost: %s\n\n")
	slow := ask("POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\nHost: %s\nContent-Length: 1000\n\na")
	if text, err := slow(patience); err != nil {
		t.Errorf("a slow body is waited for: %q, %v", text, err)
	}
	if text, err := waiting(3 * limit); err == nil || text != "" {
		t.Errorf("a process that waits for work is sent away: %q, %v", text, err)
	}
	f.mu.Lock()
	f.idle = nil
	f.mu.Unlock()
}
