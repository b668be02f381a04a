package body_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/local/body"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 100 * time.Millisecond

// serve starts a server that reads the body and answers after a time.
func serve(t *testing.T, answer time.Duration) string {
	t.Helper()
	s := httptest.NewServer(body.Within(limit, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case <-time.After(answer):
			_, _ = fmt.Fprintf(w, "%d", len(text))
		case <-r.Context().Done(): // as it would be if the server thought that the client has gone
			http.Error(w, "the client has gone", http.StatusInternalServerError)
		}
	})))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestSlowBody(t *testing.T) {
	for name, request := range map[string]string{
		"with a length":           "Content-Length: 1000\r\n\r\nabc",
		"in chunks":               "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"of which nothing comes":  "Content-Length: 1000\r\n\r\n",
		"that is asked for first": "Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, serve(t, 0))
			if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\n"+request); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			began := time.Now()
			got, err := io.ReadAll(c)
			if err != nil || !strings.Contains(string(got), " 400 Bad Request") || time.Since(began) < limit/2 {
				t.Errorf("after %s: %q, %v", time.Since(began), got, err)
			}
		})
	}
}

func TestSlowAnswer(t *testing.T) {
	c := dial(t, serve(t, 3*limit))
	in := bufio.NewReader(c)
	for _, request := range []string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"} {
		if _, err := io.WriteString(c, request); err != nil { // of the same connection
			t.Fatal(err)
		}
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
			t.Errorf("%.4s: %s %s", request, response.Status, text)
		}
		_ = response.Body.Close()
		<-time.After(2 * limit) // idle for longer than a body may take
	}
}
