package console_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// page is a connection of the console's client, as its page opens one.
type page struct {
	t    *testing.T
	conn *websocket.Conn
}

// openPage opens one with a header; conn is nil if it was refused with the status.
func openPage(t *testing.T, s *servertest.Server, header http.Header) (p page, status int) {
	t.Helper()
	conn, response, err := websocket.Dial(t.Context(), strings.Replace(s.URL, "http", "ws", 1)+"/_bellhop/client/socket", &websocket.DialOptions{HTTPHeader: header}) //nolint:bodyclose // Dial's own comment: you never need to close it
	if err != nil {
		if response == nil {
			t.Fatal(err)
		}
		return p, response.StatusCode
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	return page{t, conn}, http.StatusSwitchingProtocols
}

func own(s *servertest.Server) http.Header { return http.Header{"Origin": {s.URL}} }

// say sends one thing, with whatever it is about.
func (p page) say(name string, value any) {
	p.t.Helper()
	text, err := json.Marshal(map[string]any{name: value})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), servertest.Patience)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageText, text); err != nil {
		p.t.Fatal(err)
	}
}

// hear waits for one thing, and gives what it is about.
func (p page) hear(name string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), servertest.Patience)
	defer cancel()
	_, text, err := p.conn.Read(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(text, &got); err != nil || got[name] == nil {
		p.t.Fatalf("got %s, want %s", text, name)
	}
	return string(got[name])
}

func (p page) ends() error {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), servertest.Patience)
	defer cancel()
	_, text, err := p.conn.Read(ctx)
	if err == nil {
		p.t.Fatalf("got %s, want an end", text)
	}
	return err
}

func TestClient(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	offered := servertest.Get[console.Client](s, "client")
	if len(offered.APIs) != 1 || offered.APIs[0].Path != "/dev" || offered.APIs[0].Selection != "$request.body.action" {
		t.Fatalf("got %+v", offered)
	}
	api := offered.APIs[0]
	i := slices.IndexFunc(api.Routes, func(r console.ClientRoute) bool { return r.Key == "join" })
	if i < 0 || !api.Routes[i].Answers || !strings.Contains(api.Routes[i].Example, `"room":"channel:42"`) {
		t.Errorf("got %+v, want the route join with a frame that does something", api.Routes)
	}
	if slices.ContainsFunc(api.Routes, func(r console.ClientRoute) bool { return strings.HasPrefix(r.Key, "$c") || r.Example == "" }) {
		t.Errorf("got %+v, want routes that frames can be sent to, each with a frame", api.Routes)
	}
	bearer := s.Token(token.Claims{User: "ana", Grants: token.DevelopmentGrants()})
	connect := func(change func(map[string]any)) page {
		t.Helper()
		p, status := openPage(t, s, own(s))
		if p.conn == nil {
			t.Fatalf("refused with %d", status)
		}
		ask := map[string]any{"api": api.ID, "subprotocols": []string{"bellhop.v1", "bearer." + bearer}}
		change(ask)
		p.say("connect", ask)
		return p
	}
	nothing := func(map[string]any) {}

	t.Run("connects, sends, hears and closes", func(t *testing.T) {
		p, q := connect(nothing), connect(nothing)
		if got := p.hear("open"); !strings.Contains(got, `"bellhop.v1"`) {
			t.Errorf("got %s, want the subprotocol", got)
		}
		q.hear("open")
		q.say("send", `{"action":"join","id":"q","room":"channel:c"}`)
		q.hear("frame")
		p.say("send", `{"action":"join","id":"p","room":"channel:c"}`)
		if got := p.hear("frame"); !strings.Contains(got, `\"ok\":true`) {
			t.Errorf("got %s", got)
		}
		p.say("send", `{"action":"publish","id":"e","room":"channel:c","event":"message:new","data":1}`)
		if got := q.hear("frame"); !strings.Contains(got, "message:new") {
			t.Errorf("the other got %s", got)
		}
		q.say("close", map[string]any{"code": 4001, "reason": "enough"})
		if got := q.hear("closed"); !strings.Contains(got, `"code":4001`) {
			t.Errorf("got %s", got)
		}
		if got := websocket.CloseStatus(q.ends()); got != websocket.StatusNormalClosure {
			t.Errorf("the page's own connection ended with %d", got)
		}
		servertest.Eventually(t, "one is gone", func() bool { return len(s.Emulator().Connections()) == 1 })
		_ = p.conn.Close(websocket.StatusNormalClosure, "")
		servertest.Eventually(t, "both are gone", func() bool { return len(s.Emulator().Connections()) == 0 })
	})
	t.Run("tells how the API closes, and why a handshake is refused", func(t *testing.T) {
		p := connect(nothing)
		p.hear("open")
		p.say("send", strings.Repeat("x", 33<<10))
		if got := p.hear("closed"); !strings.Contains(got, `"code":1009`) {
			t.Errorf("a frame that is too large: got %s", got)
		}
		p = connect(func(ask map[string]any) { delete(ask, "subprotocols") })
		if got := p.hear("refused"); !strings.Contains(got, `"status":401`) || !strings.Contains(got, "Unauthorized") {
			t.Errorf("got %s", got)
		}
		p = connect(func(ask map[string]any) {
			delete(ask, "subprotocols")
			ask["query"] = "token=" + bearer
			ask["headers"] = [][2]string{{"User-Agent", "a client"}, {"X-Own", "1"}}
		})
		p.hear("open")
		if got := servertest.Get[console.Overview](s, "overview?q=ana"); got.Matching != 1 || got.Connections[0].UserAgent != "a client" {
			t.Errorf("with a token in the query and a name of its own: got %+v", got)
		}
	})
	t.Run("connects to nothing but what is served, as it may", func(t *testing.T) {
		for what, change := range map[string]func(map[string]any){
			"no API other.example": func(ask map[string]any) { ask["api"] = "other.example" },
			"the header Host":      func(ask map[string]any) { ask["headers"] = [][2]string{{"Host", "other.example"}} },
			"the header Upgrade":   func(ask map[string]any) { ask["headers"] = [][2]string{{"Upgrade", "h2c"}} },
			"field of their own":   func(ask map[string]any) { ask["headers"] = [][2]string{{"sec-websocket-protocol", "x"}} },
			"invalid header":       func(ask map[string]any) { ask["headers"] = [][2]string{{"X", "a\r\nHost: other.example"}} },
			"at most 50 headers":   func(ask map[string]any) { ask["headers"] = make([][2]string, 51) },
			"at most 16384":        func(ask map[string]any) { ask["headers"] = [][2]string{{"X", strings.Repeat("x", 17<<10)}} },
			"the query":            func(ask map[string]any) { ask["query"] = "a=%zz" },
			`"status":414`:         func(ask map[string]any) { ask["query"] = strings.Repeat("x", 5000) },
		} {
			if got := connect(change).hear("refused"); !strings.Contains(got, what) {
				t.Errorf("got %s, want %s", got, what)
			}
		}
		if n := len(s.Emulator().Connections()); n > 1 {
			t.Errorf("%d connections are open", n)
		}
	})
	t.Run("ends when the page says what is not understood", func(t *testing.T) {
		p, _ := openPage(t, s, own(s))
		p.say("send", "x")
		if err := p.ends(); websocket.CloseStatus(err) != websocket.StatusPolicyViolation || !strings.Contains(err.Error(), "first") {
			t.Errorf("got %v", err)
		}
		p = connect(nothing)
		p.hear("open")
		p.say("close", map[string]any{"code": 1005})
		if err := p.ends(); !strings.Contains(err.Error(), "3000 to 4999") {
			t.Errorf("got %v", err)
		}
	})
}

// TestClientIsForItsPage: a page of another site is refused, and so is what gives no origin, another name that leads here, and one too many.
func TestClientIsForItsPage(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	for what, header := range map[string]http.Header{
		"another site":          {"Origin": {"https://other.example"}},
		"another server's page": {"Origin": {"http://127.0.0.1:1"}},
		"no origin":             {},
		"another name":          {"Origin": {"http://other.example"}, "Host": {"other.example"}},
	} {
		if _, status := openPage(t, s, header); status != http.StatusForbidden {
			t.Errorf("%s: got %d, want 403", what, status)
		}
	}
	var pages []page
	for range 100 {
		p, status := openPage(t, s, own(s))
		if p.conn == nil {
			t.Fatalf("refused with %d", status)
		}
		pages = append(pages, p)
	}
	if _, status := openPage(t, s, own(s)); status != http.StatusServiceUnavailable {
		t.Errorf("one too many: got %d, want 503", status)
	}
	_ = pages[0].conn.Close(websocket.StatusNormalClosure, "")
	servertest.Eventually(t, "there is space again", func() bool {
		_, status := openPage(t, s, own(s))
		return status == http.StatusSwitchingProtocols
	})
}
