package server_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
)

// TestSlowBodies: whoever sends a body byte by byte is sent away by every API of this machine, and nobody else.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	s := servertest.Start(t, servertest.Bolt(t), func(c *servertest.Config) { c.BodyTime = limit })
	ana := s.Connect("ana")
	ana.Must(map[string]any{"action": "join", "room": "channel:1"})
	id := servertest.Get[[]struct {
		ID string `json:"id"`
	}](s, "connections")[0].ID
	for name, request := range map[string]string{
		"the management API": "POST /dev/@connections/" + strings.ReplaceAll(id, "=", "%3D"),
		"Invoke":             "POST /2015-03-31/functions/emit/invocations",
		"SQS":                "POST / X-Amz-Target: AmazonSQS.SendMessage",
		"EventBridge":        "POST / X-Amz-Target: AWSEvents.PutEvents",
		"tokens":             "POST /_bellhop/token",
		"faults":             "POST /_bellhop/replay",
		"a page":             "POST /",
		"nothing there":      "PUT /_bellhop/nothing",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			verb, rest, _ := strings.Cut(request, " ")
			path, header, _ := strings.Cut(rest, " ")
			if header != "" {
				header += "\r\n"
			}
			_, err = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: 100000\r\n\r\n{", verb, path, strings.TrimPrefix(s.URL, "http://"), header)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { // a byte now and then keeps no request alive
				for tick := time.NewTicker(limit / 10); ; {
					select {
					case <-tick.C:
						_, _ = io.WriteString(c, " ")
					case <-ended:
						tick.Stop()
						return
					}
				}
			}()
			defer close(ended)
			_ = c.SetReadDeadline(time.Now().Add(20 * limit))
			if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("the connection is still open: %v", err)
			}
		})
	}
	t.Run("a WebSocket stays, and so does a long answer", func(t *testing.T) {
		t.Parallel()
		<-time.After(3 * limit)
		ana.Must(map[string]any{"action": "publish", "room": "channel:1", "event": "e"})
		answer := s.MustEmit(map[string]any{"command": "ask", "connections": []string{id}, "event": "e", "timeoutMs": 3 * limit.Milliseconds()})
		if len(answer["missing"].([]any)) != 1 {
			t.Errorf("got %v", answer)
		}
	})
}
