package names

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"software.sslmate.com/src/go-pkcs12"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server that says what it was asked, behind a gate.
func serve(t *testing.T) (g *Gate, address string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if g, err = Open(address, "*.execute-api.*.amazonaws.com"); err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/taken" { // as a WebSocket is
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			taken := c.(*conn).Settled()
			_, _ = io.WriteString(taken, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ntaken")
			_ = taken.Close()
			return
		}
		_, _ = io.WriteString(w, r.Method+" "+r.Host+r.URL.Path)
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(g.Listener(l))
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-served
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(g.folder); !os.IsNotExist(err) {
			t.Errorf("its files are left: %v", err)
		}
	})
	return g, address
}

// client is a program that reads the variables that a function is given.
func client(t *testing.T, g *Gate) *http.Client {
	t.Helper()
	env := g.Environment(true)
	text, err := os.ReadFile(env["SSL_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	through, err := url.Parse(env["HTTPS_PROXY"])
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme == "http" || strings.Contains(env["NO_PROXY"], r.URL.Hostname()) {
			return nil, nil //nolint:nilnil // none
		}
		return through, nil
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func get(t *testing.T, c *http.Client, address string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

func TestNamesLeadHere(t *testing.T) {
	g, address := serve(t)
	c := client(t, g)
	_, port, _ := net.SplitHostPort(address)
	for _, base := range []string{
		"http://" + address, "https://" + address, "https://localhost:" + port, "https://abc123.execute-api.eu-west-1.amazonaws.com",
	} {
		host := base[strings.Index(base, "//")+2:]
		if got, err := get(t, c, base+"/dev"); err != nil || got != "GET "+host+"/dev" {
			t.Errorf("%s: got %q, %v", base, got, err)
		}
		if got, err := get(t, c, base+"/taken"); err != nil || got != "taken" {
			t.Errorf("%s, taken over: got %q, %v", base, got, err)
		}
	}
	if _, err := get(t, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}}, "https://"+address); err == nil {
		t.Error("who was not told of the authority trusts it")
	}
}

func TestOtherNamesGoWhereTheyWould(t *testing.T) {
	g, _ := serve(t)
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "elsewhere") }))
	defer elsewhere.Close()
	through, err := url.Parse(g.Environment(true)["HTTPS_PROXY"])
	if err != nil {
		t.Fatal(err)
	}
	tr := elsewhere.Client().Transport.(*http.Transport).Clone()
	tr.Proxy = http.ProxyURL(through)
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	if got, err := get(t, c, elsewhere.URL); err != nil || got != "elsewhere" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := get(t, c, "https://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "Bad Gateway") {
		t.Errorf("nobody there: got %v", err)
	}
	if got, err := get(t, http.DefaultClient, through.String()); err != nil || !strings.Contains(got, "by CONNECT") {
		t.Errorf("no tunnel: got %q, %v", got, err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestFilesForFunctions(t *testing.T) {
	g, _ := serve(t)
	env := g.Environment(false)
	if env["HTTPS_PROXY"] != "" || env["JAVA_TOOL_OPTIONS"] != "" {
		t.Errorf("without a proxy: got %v", env)
	}
	store, err := os.ReadFile(filepath.Join(g.folder, storeFile))
	if err != nil {
		t.Fatal(err)
	}
	list, err := pkcs12.DecodeTrustStore(store, password)
	if err != nil || len(list) == 0 || !list[0].Equal(g.root) {
		t.Errorf("Java trusts %d authorities, %v", len(list), err)
	}
}

// TestSlowBody: who asks the proxy for something else and never ends its body is not waited for, and a tunnel lives longer than that.
func TestSlowBody(t *testing.T) {
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "far") }))
	defer far.Close()
	const limit = 200 * time.Millisecond
	p, err := startProxy(far.Listener.Addr().String(), []string{"far.example"}, limit)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.close() }()
	dial := func(ask string) net.Conn {
		t.Helper()
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.address)
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
			err = c.SetDeadline(time.Now().Add(20 * time.Second))
		}
		if err == nil {
			_, err = io.WriteString(c, ask)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	tunnel := dial("CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n\r\n")
	slow := dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
	if _, err := io.ReadAll(slow); err != nil {
		t.Errorf("a body that does not come is waited for: %v", err)
	}
	answers := bufio.NewReader(tunnel)
	opened, err := http.ReadResponse(answers, &http.Request{Method: http.MethodConnect})
	if err != nil || opened.StatusCode != http.StatusOK {
		t.Fatalf("the tunnel: got %v, %v", opened, err)
	}
	_ = opened.Body.Close()
	_, err = io.WriteString(tunnel, "GET / HTTP/1.1\r\nHost: far\r\nConnection: close\r\n\r\n")
	text, readErr := io.ReadAll(answers)
	if err != nil || readErr != nil || !strings.HasSuffix(string(text), "far") {
		t.Errorf("through the tunnel, after more than %v: got %q, %v, %v", limit, text, err, readErr)
	}
}
