package gateway

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// FuzzFrames sends arbitrary bytes after a handshake: the connection may end in any way, the server must not.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("hello"))
	f.Add(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(`{"action":"echo"}`)))))
	f.Add(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame([]byte("x")))))
	f.Add(ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame([]byte{3, 232, 'x'}))))
	f.Add(append(ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(ws.OpText, false, []byte("a")))), 0x80, 0x80, 0, 0, 0, 0))
	s, err := setup{}.new()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { closeNow(s) })
	f.Fuzz(func(t *testing.T, data []byte) {
		c := pipe(t, s)
		_ = c.sock.SetDeadline(time.Now().Add(patience))
		done := make(chan struct{})
		go func() { // what the server says, up to its end
			defer close(done)
			buf := make([]byte, 4096)
			for {
				if _, err := c.sock.Read(buf); err != nil {
					return
				}
			}
		}()
		_, _ = c.sock.Write(data)
		c.sock.Close()
		<-done
	})
}

// FuzzHandshake sends arbitrary upgrade requests.
func FuzzHandshake(f *testing.F) {
	f.Add("/dev?a=b", "websocket", "dGhlIHNhbXBsZSBub25jZQ==", "x\r\ny")
	f.Add("/dev?a=%zz&;", "x", "", "\xff")
	s, err := setup{Template: with("default", "auth")}.new()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { closeNow(s) })
	f.Fuzz(func(t *testing.T, path, upgrade, key, value string) {
		near, far := net.Pipe()
		near.Close()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/dev", nil)
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
		r.RequestURI, r.RemoteAddr, r.Host = path, value, value
		r.Header = http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {upgrade}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {key},
			"Sec-Websocket-Protocol": {value}, "X": {value, value},
		}
		s.ServeHTTP(pipeWriter{httptest.NewRecorder(), far}, r)
	})
}

// FuzzResponse: what is read in a shorter way is what is read anyhow.
func FuzzResponse(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"body":"{\"reply\":\"é\\ud800\"}"}`))
	f.Add([]byte(`{"statusCode":200,"body":"a","body":"b"}`))
	f.Add([]byte(`{"statusCode":200,"body":"a","isBase64Encoded":true}`))
	f.Add([]byte(`{"statusCode":200,"body":null}`))
	f.Add([]byte(`{"statusCode":1e2,"body":"a"}`))
	f.Fuzz(func(t *testing.T, out []byte) {
		got, is := parsePlain(out)
		if !is {
			return
		}
		want, err := parseAny(out)
		if err != nil || got.status != want.status || string(got.body) != string(want.body) || want.protocol != "" {
			t.Errorf("%s: got %d %q, otherwise %d %q %v", out, got.status, got.body, want.status, want.body, err)
		}
	})
}
