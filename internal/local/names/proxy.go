package names

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/body"
)

// proxy answers CONNECT (RFC 9110 §9.3.6) on the loopback. It sees names and bytes: who speaks TLS does so with the server at the end.
type proxy struct {
	address  string
	server   string
	names    []*regexp.Regexp
	web      *http.Server
	done     chan struct{}
	mu       sync.Mutex
	closed   bool
	tunnels  sync.WaitGroup
	sides    map[net.Conn]bool
	upstream func(*http.Request) (*url.URL, error) // the proxy of this machine, if it has one
}

const dialTime = 30 * time.Second

// startProxy gives each request a time in which its body must have come, of which it has no use.
func startProxy(server string, patterns []string, bodies time.Duration) (*proxy, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for functions: %w", err)
	}
	p := &proxy{address: l.Addr().String(), server: server, done: make(chan struct{}), sides: map[net.Conn]bool{}, upstream: http.ProxyFromEnvironment}
	for _, pattern := range patterns {
		p.names = append(p.names, regexp.MustCompile("(?i)^"+strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")+"$"))
	}
	p.web = &http.Server{Handler: body.Within(bodies, p), ReadHeaderTimeout: dialTime, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(p.done)
		_ = p.web.Serve(l)
	}()
	return p, nil
}

func (p *proxy) close() error {
	err := p.web.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.sides {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.tunnels.Wait()
	<-p.done
	return err
}

// ServeHTTP opens a tunnel.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "this proxy of bellhop dev opens tunnels for HTTPS, by CONNECT", http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), dialTime)
	defer cancel()
	far, err := p.dial(ctx, r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	near, rest, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = far.Close()
		return
	}
	_, err = near.Write([]byte("HTTP/1.1 200 Connection Established\r\n\r\n"))
	if n := rest.Reader.Buffered(); err == nil && n > 0 {
		early, _ := rest.Peek(n)
		_, err = far.Write(early)
	}
	if err != nil {
		_, _ = near.Close(), far.Close()
		return
	}
	p.join(near, far)
}

// dial connects to the server for a name that leads there, else to who has the name.
func (p *proxy) dial(ctx context.Context, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%s is no host and port", address)
	}
	var d net.Dialer
	for _, name := range p.names {
		if name.MatchString(host) {
			return d.DialContext(ctx, "tcp", p.server)
		}
	}
	through, err := p.upstream(&http.Request{URL: &url.URL{Scheme: "https", Host: address}})
	if err != nil || through == nil {
		return d.DialContext(ctx, "tcp", address)
	}
	far, err := d.DialContext(ctx, "tcp", through.Host)
	if err != nil {
		return nil, err
	}
	ask := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if password, ok := through.User.Password(); ok {
		ask.SetBasicAuth(through.User.Username(), password)
		ask.Header.Set("Proxy-Authorization", ask.Header.Get("Authorization"))
		ask.Header.Del("Authorization")
	}
	if err := ask.Write(far); err != nil {
		return nil, errors.Join(err, far.Close())
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(far, 1), ask) // what follows is not the proxy's
	if err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("the proxy %s answered %s", through.Host, answer.Status)
		}
	}
	if err != nil {
		return nil, errors.Join(err, far.Close())
	}
	return far, nil
}

// join carries bytes both ways until one side ends.
func (p *proxy) join(near, far net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_, _ = near.Close(), far.Close()
		return
	}
	p.sides[near], p.sides[far] = true, true
	p.tunnels.Go(func() {
		var ways sync.WaitGroup
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			ways.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				if half, ok := way[0].(interface{ CloseWrite() error }); ok {
					_ = half.CloseWrite()
				}
			})
		}
		ways.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		_, _ = near.Close(), far.Close()
		delete(p.sides, near)
		delete(p.sides, far)
	})
}
