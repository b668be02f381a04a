package apigateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/httpbinding"
)

// PostToConnection is made here, beside the service's client: a fan-out makes thousands of it, and all that the client does for each beyond
// the signature takes twice as long as the rest (BenchmarkPush).

// poster signs and sends PostToConnection.
type poster struct {
	base        url.URL // of the stage
	region      string
	credentials aws.CredentialsProvider
	anonymous   bool // requests are not signed
	signer      *v4.Signer
	lanes       *lanes
	err         error // why nothing can be sent
}

func newPoster(cfg aws.Config, endpoint string, l *lanes) *poster {
	p := &poster{region: cfg.Region, credentials: cfg.Credentials, signer: v4.NewSigner(), lanes: l}
	base, err := url.Parse(strings.TrimSuffix(endpoint, "/"))
	switch {
	case err != nil:
		p.err = fmt.Errorf("parse the management API's address: %w", err)
	case aws.IsCredentialsProvider(p.credentials, aws.AnonymousCredentials{}):
		p.base, p.anonymous = *base, true
	case p.credentials == nil:
		p.err = errors.New("there are no credentials to sign with")
	default:
		p.base = *base
	}
	return p
}

// reply is an answer that is no success.
type reply struct {
	status int
	code   string // of the API's error
	text   string
}

func (r *reply) Error() string {
	return strings.TrimSpace(fmt.Sprintf("API Gateway answered %d %s %s", r.status, r.code, r.text))
}

// post sends a frame whose hash is known. An answer other than 200 is a *reply.
func (p *poster) post(ctx context.Context, connection string, frame []byte, hash string) error {
	if p.err != nil {
		return p.err
	}
	at := p.base
	at.Path = p.base.Path + "/@connections/" + connection
	at.RawPath = p.base.EscapedPath() + "/@connections/" + httpbinding.EscapePath(connection, true)
	body := bytes.NewReader(frame)
	r := (&http.Request{
		Method: http.MethodPost, URL: &at, Host: at.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/octet-stream"}},
		Body:   io.NopCloser(body), ContentLength: int64(len(frame)),
		// A connection that API Gateway closes at this moment has not taken it: the transport sends it by another.
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(frame)), nil },
	}).WithContext(ctx)
	if !p.anonymous {
		secret, err := p.credentials.Retrieve(ctx)
		if err != nil {
			return fmt.Errorf("get credentials: %w", err)
		}
		if err := p.signer.SignHTTP(ctx, secret, r, hash, "execute-api", p.region, time.Now()); err != nil {
			return fmt.Errorf("sign request: %w", err)
		}
	}
	answer, err := p.lanes.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	const most = 4 << 10 // an error is far shorter
	text, err := io.ReadAll(io.LimitReader(answer.Body, most))
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &reply{answer.StatusCode, errorCode(answer.Header.Get("X-Amzn-Errortype"), text), strings.TrimSpace(string(text) + errorText(err))}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return " " + err.Error()
}

// errorCode finds the name of an error as the JSON protocol has it: in a header or in the body, with its namespace or what follows it.
func errorCode(header string, body []byte) string {
	code := header
	if code == "" {
		var named struct {
			Type string `json:"__type"`
			Code string `json:"code"`
		}
		_ = json.Unmarshal(body, &named)
		code = named.Type + named.Code
	}
	code, _, _ = strings.Cut(code, ":")
	return code[strings.LastIndexByte(code, '#')+1:]
}

// A cold pool would open as many connections at once as there are pushes, and a TLS handshake takes as much CPU as ten of them. So
// connections are in lanes of 16: one at first, and another for each second that they are used, for what the lanes before have no
// connection free.
const (
	laneWidth = 16
	laneEvery = time.Second
)

// lanes are the connections to one host.
type lanes struct {
	list  []*lane
	every time.Duration
	begun atomic.Int64 // Unix nanoseconds of the first call, 0: there was none
}

type lane struct {
	*http.Transport

	busy atomic.Int64
}

func newLanes(o Options) *lanes {
	l := &lanes{every: o.Grow}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLS != nil {
		secure = o.TLS.Clone()
	}
	secure.ClientSessionCache = tls.NewLRUClientSessionCache(0) // what was open before is open again for a tenth of the work
	for left := o.Connections; left > 0; left -= laneWidth {
		l.list = append(l.list, &lane{Transport: transport(min(left, laneWidth), secure)})
	}
	return l
}

// RoundTrip sends a request by a connection that is kept, if there is one free.
func (l *lanes) RoundTrip(r *http.Request) (*http.Response, error) {
	now := time.Now().UnixNano()
	l.begun.CompareAndSwap(0, now)
	open := min(len(l.list), 1+int((now-l.begun.Load())/int64(l.every)))
	in := l.list[open-1]
	for _, lane := range l.list[:open] {
		if lane.busy.Load() < laneWidth {
			in = lane
			break
		}
	}
	in.busy.Add(1)
	answer, err := in.RoundTrip(r)
	if err != nil {
		in.busy.Add(-1)
		return nil, err //nolint:wrapcheck // it is a transport
	}
	answer.Body = &held{answer.Body, in}
	return answer, nil
}

// held is the body of an answer, with which a connection is free again.
type held struct {
	io.ReadCloser

	in *lane // nil: it is free
}

// Close is [io.Closer].Close.
func (h *held) Close() error {
	if h.in != nil {
		h.in.busy.Add(-1)
		h.in = nil
	}
	return h.ReadCloser.Close() //nolint:wrapcheck // it is the body itself
}

// transport keeps as many connections as a lane has; the standard library's default keeps two and opens the others anew. A second
// HTTP/2 connection is never opened for one host, so HTTP/1.1 it is.
func transport(connections int, secure *tls.Config) *http.Transport {
	dialer := net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     secure,
		TLSHandshakeTimeout: 2 * time.Second,
		MaxIdleConns:        connections,
		MaxIdleConnsPerHost: connections,
		MaxConnsPerHost:     connections,
		IdleConnTimeout:     90 * time.Second,
	}
}
