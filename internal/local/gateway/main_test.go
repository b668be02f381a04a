package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/spelling"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// fn makes a Function of a func.
type fn func(ctx context.Context, payload []byte) ([]byte, error)

func (f fn) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return f(ctx, payload) }

// answers always returns the same.
func answers(out string) fn {
	return func(context.Context, []byte) ([]byte, error) { return []byte(out), nil }
}

// throws always fails.
func throws(err error) fn {
	return func(context.Context, []byte) ([]byte, error) { return nil, err }
}

const ok = `{"statusCode":200}`

// with is the chat template with some of its optional lines switched on: a route of every sort.
func with(features ...string) string {
	text, err := os.ReadFile("../template/testdata/chat.yaml")
	if err != nil {
		panic(err)
	}
	for _, f := range features {
		text = bytes.ReplaceAll(text, []byte("#"+f+" "), nil)
	}
	return string(text)
}

// functions are the five of the chat template, all of which answer 200, with some replaced.
func functions(replace map[string]invoke.Function) map[string]invoke.Function {
	out := map[string]invoke.Function{
		"authorize": fn(allow), "connect": answers(ok), "disconnect": answers(ok), "message": answers(ok), "job": answers(`{}`),
	}
	maps.Copy(out, replace)
	return out
}

// allow is an authorizer that lets everybody in.
func allow(_ context.Context, event []byte) ([]byte, error) {
	var e struct {
		MethodARN string `json:"methodArn"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"principalId":"ana","policyDocument":{"Version":"2012-10-17","Statement":[{"Action":"execute-api:Invoke","Effect":"Allow","Resource":%q}]},"context":{"name":"Ana","age":7,"admin":true}}`, e.MethodARN), nil
}

// setup says what a test serves: a Config, with what its required fields are made of.
type setup struct {
	Template  string                     // the chat template if empty
	Functions map[string]invoke.Function // those of the chat template if nil

	DomainName    string
	OutgoingQueue int
	Faults        Faults
	Choices       Choices
	Observe       func(Event)
	Services      func(string) http.RoundTripper
}

func (c setup) new() (*Server, error) {
	if c.Template == "" {
		c.Template = with("default")
	}
	if c.Functions == nil {
		c.Functions = functions(nil)
	}
	t, err := template.Read([]byte(c.Template), template.Options{File: "chat.yaml"})
	if err != nil {
		return nil, err
	}
	code, err := invoke.New(invoke.Config{Template: t, Code: c.Functions})
	if err != nil {
		return nil, err
	}
	s, err := New(Config{
		Template: t, Functions: code, DomainName: c.DomainName, OutgoingQueue: c.OutgoingQueue, Faults: c.Faults, Choices: c.Choices, Observe: c.Observe, Services: c.Services,
	})
	if err != nil {
		code.Close()
	}
	return s, err
}

// said is what the template of a server is warned of.
func said(s *Server) string {
	var b strings.Builder
	for _, w := range s.cfg.Template.Warnings {
		b.WriteString(w.Error() + "\n")
	}
	return b.String()
}

// closeNow ends a server and its functions.
func closeNow(s *Server) {
	s.cfg.Functions.Stop()
	s.Close()
	s.cfg.Functions.Close()
}

type fixture struct {
	*Server
	ws  string // ws://…/dev
	url string // http://…
}

// serve starts a server on a socket of its own.
func serve(tb testing.TB, c setup) *fixture {
	tb.Helper()
	s, err := c.new()
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	srv := httptest.NewUnstartedServer(s)
	srv.Listener = spelling.Keep(srv.Config, srv.Listener)
	srv.Start()
	tb.Cleanup(func() {
		closeNow(s)
		srv.Close()
	})
	return &fixture{Server: s, url: srv.URL, ws: "ws" + strings.TrimPrefix(srv.URL, "http") + "/" + s.Stage()}
}

// connect opens a socket to the server.
func (f *fixture) connect(tb testing.TB) net.Conn {
	tb.Helper()
	sock, err := new(net.Dialer).DialContext(tb.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { sock.Close() })
	return sock
}

// client is a WebSocket client that can also break the rules.
type client struct {
	tb   testing.TB
	sock net.Conn
	in   *bufio.Reader
}

// dial sends an upgrade request and returns what came back; the client is nil unless that was a 101.
func (f *fixture) dial(tb testing.TB, path string, header http.Header) (*client, answer) {
	tb.Helper()
	sock := f.connect(tb)
	_ = sock.SetDeadline(time.Now().Add(patience))
	req := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n", path, strings.TrimPrefix(f.url, "http://"))
	all := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	maps.Copy(all, header)
	var b strings.Builder
	_ = all.Write(&b)
	headers := strings.ReplaceAll(b.String(), "Sec-Websocket-", "Sec-WebSocket-") // as browsers write them
	if _, err := sock.Write([]byte(req + headers + "\r\n")); err != nil {
		tb.Fatal(err)
	}
	c := &client{tb: tb, sock: sock, in: bufio.NewReader(sock)}
	got := c.answer()
	if got.status != http.StatusSwitchingProtocols {
		return nil, got
	}
	return c, got
}

// answer reads what the handshake got.
func (c *client) answer() answer {
	c.tb.Helper()
	res, err := http.ReadResponse(c.in, &http.Request{Method: http.MethodGet})
	if err != nil {
		c.tb.Fatal(err)
	}
	res.Body.Close()
	return answer{res.StatusCode, res.Header}
}

// answer is the head of an HTTP response.
type answer struct {
	status int
	header http.Header
}

// open is dial for tests that need a connection.
func (f *fixture) open(tb testing.TB) *client {
	tb.Helper()
	c, res := f.dial(tb, "/"+f.Stage(), nil)
	if c == nil {
		tb.Fatalf("handshake: got %d", res.status)
	}
	return c
}

// openID is open that also returns the connection's id.
func (f *fixture) openID(tb testing.TB) (*client, string) {
	tb.Helper()
	before := map[string]bool{}
	for _, c := range f.Connections() {
		before[c.ID] = true
	}
	c := f.open(tb)
	for _, info := range f.Connections() {
		if !before[info.ID] {
			return c, info.ID
		}
	}
	tb.Fatal("the connection is not listed")
	return nil, ""
}

func (c *client) write(f ws.Frame) {
	c.tb.Helper()
	if err := ws.WriteFrame(c.sock, f); err != nil {
		c.tb.Fatal(err)
	}
}

func (c *client) send(text string) {
	c.tb.Helper()
	c.write(ws.MaskFrame(ws.NewTextFrame([]byte(text))))
}

// frame reads one frame.
func (c *client) frame() ws.Frame {
	c.tb.Helper()
	h, err := ws.ReadHeader(c.in)
	if err != nil {
		c.tb.Fatalf("read frame: %v", err)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	if _, err := io.ReadFull(c.in, f.Payload); err != nil {
		c.tb.Fatalf("read frame: %v", err)
	}
	return f
}

func (c *client) wantText(want string) {
	c.tb.Helper()
	f := c.frame()
	if got := string(f.Payload); f.Header.OpCode != ws.OpText || got != want {
		c.tb.Fatalf("got opcode %d %q, want text %q", f.Header.OpCode, got, want)
	}
}

// wantClose reads on to the close frame, whatever comes before it, and answers it.
func (c *client) wantClose(code int, reason string) {
	c.tb.Helper()
	for {
		f := c.frame()
		if f.Header.OpCode != ws.OpClose {
			continue
		}
		gotCode, gotReason := ws.ParseCloseFrameData(f.Payload)
		if int(gotCode) != code || reason != "" && gotReason != reason {
			c.tb.Fatalf("got close %d %q, want %d %q", gotCode, gotReason, code, reason)
		}
		_ = ws.WriteFrame(c.sock, ws.MaskFrame(ws.NewCloseFrame(f.Payload)))
		return
	}
}

// receive waits for a value.
func receive[T any](tb testing.TB, ch <-chan T) T {
	tb.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		tb.Fatal("nothing came")
		panic("unreachable")
	}
}

// collect returns a Function that hands its events to a channel and answers with out.
func collect(out string) (fn, <-chan []byte) {
	ch := make(chan []byte, 100)
	return func(_ context.Context, event []byte) ([]byte, error) {
		ch <- event
		return []byte(out), nil
	}, ch
}
