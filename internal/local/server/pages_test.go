package server_test

import (
	"net/http"
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
