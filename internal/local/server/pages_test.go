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
	ask := func(t *testing.T, method, path string, head http.Header) (*http.Response, string) {
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
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, string(body)
	}
	cross := func(t *testing.T, response *http.Response) {
		t.Helper()
		if h := response.Header; h.Get("Access-Control-Allow-Origin") != origin || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") != "Origin" {
			t.Errorf("got %v", h)
		}
	}
	t.Run("with the sentence in the answer and in the status", func(t *testing.T) {
		t.Parallel()
		response, body := ask(t, http.MethodGet, polling, http.Header{"Origin": {origin}})
		cross(t, response)
		const sentence = "this server has no polling"
		if response.StatusCode != http.StatusBadRequest || !strings.HasPrefix(response.Status, "400 "+sentence) || !strings.Contains(body, `"message":"`+sentence) {
			t.Errorf("got %q and %s", response.Status, body)
		}
	})
	t.Run("those who ask before may", func(t *testing.T) {
		t.Parallel()
		response, _ := ask(t, http.MethodOptions, polling, http.Header{
			"Origin": {origin}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization,x-app"}, "Access-Control-Request-Private-Network": {"true"},
		})
		cross(t, response)
		h := response.Header
		if response.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Headers") != "authorization,x-app" || h.Get("Access-Control-Allow-Private-Network") != "true" {
			t.Errorf("got %s and %v", response.Status, h)
		}
	})
	t.Run("other paths are not theirs", func(t *testing.T) {
		t.Parallel()
		response, _ := ask(t, http.MethodOptions, "/_bellhop/token", http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}})
		if response.StatusCode != http.StatusForbidden || response.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("got %s and %v", response.Status, response.Header)
		}
	})
	t.Run("what was asked is no header", func(t *testing.T) {
		t.Parallel()
		response, body := ask(t, http.MethodGet, "/socket.io/?EIO=%0d%0aX-A:%20b", http.Header{})
		if !strings.Contains(response.Status, "not EIO=??X-A: b") || response.Header.Get("X-A") != "" || !strings.Contains(body, `EIO=\r\nX-A`) {
			t.Errorf("got %q, %v and %s", response.Status, response.Header, body)
		}
	})
}
