package server_test

import (
	_ "embed"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/apikey"
	"github.com/bellhop-rt/bellhop/internal/check/servertest"
)

// emitKeys are those that a stack has too which these tests run at.
//
//go:embed testdata/emitkeys.json
var emitKeys string

// post asks POST /emit.
func post(t *testing.T, s *servertest.Server, key, once, body string) (status int, header http.Header, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.EmitURL(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if once != "" {
		r.Header.Set("Idempotency-Key", once)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

// TestEmitByHTTP: a program without credentials of AWS emits with a key, within its scope, and once.
func TestEmitByHTTP(t *testing.T) { servertest.OnEveryStore(t, emitByHTTP) }

func emitByHTTP(t *testing.T, place servertest.Place) {
	const text = "bellhop_shop_for-tests"
	s := servertest.Start(t, place, func(c *servertest.Config) { c.Parameters["EmitKeys"] = strings.TrimSpace(emitKeys) })
	ana := s.Connect("ana")
	ana.Must(map[string]any{"action": "join", "room": "channel:1"})
	const publish = `{"command":"publish","rooms":["channel:1"],"event":"order:paid","data":{"n":1}}`
	for range 3 {
		if status, header, got := post(t, s, text, "order-1", publish); status != http.StatusOK || !strings.Contains(got, `"seq":1`) || header.Get("Content-Type") != "application/json" {
			t.Fatalf("got %d %s", status, got)
		}
	}
	if got := ana.Event("order:paid", "channel:1"); got["seq"] != 1.0 {
		t.Errorf("heard %v", got)
	}
	if _, _, got := post(t, s, text, "order-2", publish); !strings.Contains(got, `"seq":2`) {
		t.Errorf("another request: got %s", got)
	}
	if status, _, got := post(t, s, text, "", "["+publish+","+publish+"]"); status != http.StatusOK || strings.Count(got, `"ok":true`) != 2 || !strings.Contains(got, `"seq":4`) {
		t.Errorf("a list: got %d %s", status, got)
	}
	for _, tt := range []struct {
		name, key, once, body string
		status                int
		code                  string
	}{
		{"no key", "", "", publish, 401, "unauthenticated"},
		{"another key", text + "x", "", publish, 401, "unauthenticated"},
		{"the development key, since keys are given", apikey.Development, "", publish, 401, "unauthenticated"},
		{"another room", text, "", `{"command":"publish","rooms":["community:1"],"event":"n"}`, 403, "forbidden"},
		{"a list with one command that is not in its scope", text, "", "[" + publish + `,{"command":"stats"}]`, 403, "forbidden"},
		{"a command that is not in its scope", text, "", `{"command":"disconnect","user":"ana"}`, 403, "forbidden"},
		{"no command", text, "", `{"command":"shout"}`, 400, "unknown_action"},
		{"no JSON", text, "", `hello`, 400, "bad_request"},
		{"a key of idempotency that is too long", text, strings.Repeat("x", 65), publish, 400, "bad_request"},
		{"an id that is taken", text, "", `{"command":"publish","rooms":["channel:1"],"event":"n","id":"m1","data":2}`, 409, "conflict"},
	} {
		if tt.status == 409 {
			post(t, s, text, "", `{"command":"publish","rooms":["channel:1"],"event":"n","id":"m1","data":1}`)
		}
		status, header, got := post(t, s, tt.key, tt.once, tt.body)
		if status != tt.status || !strings.Contains(got, `"code":"`+tt.code+`"`) || (status == 401) != (header.Get("WWW-Authenticate") == "Bearer") {
			t.Errorf("%s: got %d %s", tt.name, status, got)
		}
	}
	if status, _, got := post(t, s, text, "", `{"command":"history","room":"channel:1"}`); status != http.StatusOK || strings.Count(got, "order:paid") != 4 {
		t.Errorf("nothing that was refused is in the log: got %d %s", status, got)
	}
}

// TestDevelopmentKey: without keys of one's own there is one on a laptop, and none where other machines reach the server.
func TestDevelopmentKey(t *testing.T) {
	for local, want := range map[bool]int{true: 200, false: 401} {
		s := servertest.Start(t, servertest.Bolt(t), func(c *servertest.Config) { c.Local = local })
		if status, _, got := post(t, s, apikey.Development, "", `{"command":"publish","users":["ana"],"event":"n"}`); status != want {
			t.Errorf("local %v: got %d %s", local, status, got)
		}
	}
}
