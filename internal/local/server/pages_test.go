package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
)

// TestHeadersOfPages: what protects our pages is not on what AWS would answer.
func TestHeadersOfPages(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Bolt(t))
	const policy = "Content-Security-Policy"
	for _, c := range []struct {
		name, method, path, upgrade string
		status                      int
		protected                   bool
	}{
		{"a page", http.MethodGet, "/_bellhop/", "", http.StatusOK, true},
		{"the WebSocket without a token", http.MethodGet, "/dev", "websocket", http.StatusUnauthorized, false},
		{"a stage that there is not", http.MethodGet, "/prod", "websocket", http.StatusForbidden, false},
		{"no stage", http.MethodGet, "/", "websocket", http.StatusForbidden, false},
		{"what is no page", http.MethodPost, "/nowhere", "", http.StatusMethodNotAllowed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.upgrade != "" {
				r.Header = http.Header{
					"Connection": {"Upgrade"}, "Upgrade": {c.upgrade}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
				}
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != c.status || (response.Header.Get(policy) != "") != c.protected {
				t.Errorf("got %s and %q", response.Status, response.Header.Get(policy))
			}
		})
	}
}

// TestPollingIsRefused: pages of other sites may read why, and so may who only looks at the status; nothing of what was asked gets into
// the head of the answer.
func TestPollingIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Bolt(t))
	const polling, origin = "/socket.io/?EIO=4&transport=polling", "https://app.example"
	ask := func(t *testing.T, method, path string, head http.Header) (status string, header http.Header, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = head
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.Status, response.Header, string(text)
	}
	cross := func(t *testing.T, h http.Header) {
		t.Helper()
		if h.Get("Access-Control-Allow-Origin") != origin || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") != "Origin" {
			t.Errorf("got %v", h)
		}
	}
	t.Run("with the sentence in the answer and in the status", func(t *testing.T) {
		t.Parallel()
		status, header, body := ask(t, http.MethodGet, polling, http.Header{"Origin": {origin}})
		cross(t, header)
		const sentence = "this server has no polling"
		if !strings.HasPrefix(status, "400 "+sentence) || !strings.Contains(body, `"message":"`+sentence) {
			t.Errorf("got %q and %s", status, body)
		}
	})
	t.Run("those who ask before may", func(t *testing.T) {
		t.Parallel()
		status, header, _ := ask(t, http.MethodOptions, polling, http.Header{
			"Origin": {origin}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization,x-app"}, "Access-Control-Request-Private-Network": {"true"},
		})
		cross(t, header)
		if !strings.HasPrefix(status, "204") || header.Get("Access-Control-Allow-Headers") != "authorization,x-app" || header.Get("Access-Control-Allow-Private-Network") != "true" {
			t.Errorf("got %s and %v", status, header)
		}
	})
	t.Run("other paths are not theirs", func(t *testing.T) {
		t.Parallel()
		status, header, _ := ask(t, http.MethodOptions, "/_bellhop/token", http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}})
		if !strings.HasPrefix(status, "403") || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("got %s and %v", status, header)
		}
	})
	t.Run("what was asked is no header", func(t *testing.T) {
		t.Parallel()
		status, header, body := ask(t, http.MethodGet, "/socket.io/?EIO=%0d%0aX-A:%20b", http.Header{})
		if !strings.Contains(status, "not EIO=??X-A: b") || header.Get("X-A") != "" || !strings.Contains(body, `EIO=\r\nX-A`) {
			t.Errorf("got %q, %v and %s", status, header, body)
		}
	})
}
