package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// httpProxy is an HTTP_PROXY integration: the message is the body of a request to a server, and what the server answers is the answer. It is
// a Function whose event is the request and whose result has the shape of a Lambda proxy response. See "Integrations for WebSocket APIs in
// API Gateway" and "Set up data mapping for WebSocket APIs".
//
// At $connect the client's headers and query string go along, which is why servers that know WebSockets refuse such a request unless
// integration.request.header.Sec-WebSocket-Version is mapped to something else. The headers of other routes, besides those that are
// mapped, are UNCONFIRMED.
type httpProxy struct {
	method string
	uri    string
	params []httpParam
	client *http.Client
}

// httpParam maps a value to a part of the request.
type httpParam struct {
	place string // header, querystring or path
	name  string
	value string // "context.connectionId", "route.request.body.x", "stageVariables.x", "'text'"
}

// httpRequest is the event.
type httpRequest struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

func newHTTPProxy(p template.Integration) (*httpProxy, error) {
	h := &httpProxy{method: p.Method, uri: p.URI, client: &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}, // nothing to be closed at the end
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if h.method == "" || h.method == "ANY" { // UNCONFIRMED: a frame has no method that could be passed on
		h.method = http.MethodPost
	}
	if u, err := url.Parse(strings.NewReplacer("{", "", "}", "").Replace(p.URI)); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("IntegrationUri %q is no http:// or https:// address", p.URI)
	}
	for _, target := range slices.Sorted(maps.Keys(p.RequestParameters)) {
		rest, ok := strings.CutPrefix(target, "integration.request.")
		place, name, named := strings.Cut(rest, ".")
		if !ok || !named || place != "header" && place != "querystring" && place != "path" {
			return nil, fmt.Errorf("RequestParameters: %q is not integration.request.header.X, .querystring.X or .path.X", target)
		}
		value := p.RequestParameters[target]
		if err := checkMapped(value); err != nil {
			return nil, fmt.Errorf("RequestParameters: %w", err)
		}
		h.params = append(h.params, httpParam{place: place, name: name, value: value})
	}
	return h, nil
}

func checkMapped(value string) error {
	if n := len(value); n >= 2 && value[0] == '\'' && value[n-1] == '\'' {
		return nil
	}
	if path, ok := strings.CutPrefix(value, "route.request.body"); ok {
		_, err := parsePath(path)
		return err
	}
	for _, prefix := range []string{"context.", "stageVariables.", "route.request.header.", "route.request.querystring."} {
		if strings.HasPrefix(value, prefix) {
			return nil
		}
	}
	return fmt.Errorf("%q is not emulated as a value", value)
}

// event makes the request. at is the handshake, nil for a message.
func (h *httpProxy) event(s scope, at *handshake) []byte {
	req := httpRequest{Method: h.method, Header: http.Header{}, Body: s.message}
	query := url.Values{}
	if at != nil {
		for _, header := range at.headers(false, nil) {
			req.Header[header.name] = header.values
		}
		delete(req.Header, "Host")
		maps.Copy(query, at.query)
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("X-Amzn-Apigateway-Api-Id", s.e.conn.srv.api().APIID)
	uri := h.uri
	for _, p := range h.params {
		value := s.mapped(p.value, at)
		switch p.place {
		case "header":
			for name := range req.Header { // the names of WebSocket headers are not in Go's canonical case
				if strings.EqualFold(name, p.name) {
					delete(req.Header, name)
				}
			}
			req.Header[p.name] = []string{value}
		case "querystring":
			query.Set(p.name, value)
		default:
			uri = strings.ReplaceAll(uri, "{"+p.name+"}", url.PathEscape(value))
		}
	}
	if len(query) > 0 {
		separator := "?"
		if strings.Contains(uri, "?") {
			separator = "&"
		}
		uri += separator + query.Encode()
	}
	req.URL = uri
	b, err := json.Marshal(req)
	if err != nil { // strings and bytes
		panic(err)
	}
	return b
}

func (s scope) mapped(value string, at *handshake) string {
	if n := len(value); n >= 2 && value[0] == '\'' {
		return value[1 : n-1]
	}
	if name, ok := strings.CutPrefix(value, "route.request.header."); ok {
		if at == nil {
			return ""
		}
		return at.r.Header.Get(name)
	}
	if name, ok := strings.CutPrefix(value, "route.request.querystring."); ok {
		if at == nil {
			return ""
		}
		return at.query.Get(name)
	}
	return string(s.append(nil, strings.TrimPrefix(value, "route.")))
}

func (h *httpProxy) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var in httpRequest
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, in.Method, in.URL, bytes.NewReader(in.Body))
	if err != nil {
		return nil, err
	}
	req.Header = in.Header
	res, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxMessage+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxMessage {
		return nil, errors.New("the server's answer is larger than 128 KB")
	}
	out := map[string]any{"statusCode": res.StatusCode, "body": string(body)}
	if protocol := res.Header.Get("Sec-WebSocket-Protocol"); protocol != "" {
		out["headers"] = map[string]string{"Sec-WebSocket-Protocol": protocol}
	}
	return json.Marshal(out)
}
