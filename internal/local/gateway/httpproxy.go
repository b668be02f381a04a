package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	request   request
	transport http.RoundTripper
}

// request is what makes requests out of messages: the properties that proxies and others have.
type request struct {
	method string
	uri    string
	params []httpParam
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
	if _, err := webAddress(p.URI); err != nil {
		return nil, err
	}
	r, err := newRequest(p)
	return &httpProxy{request: r, transport: newTransport()}, err
}

// newTransport follows no redirects, and leaves nothing to be closed at the end.
func newTransport() http.RoundTripper {
	return &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
}

func webAddress(uri string) (*url.URL, error) {
	u, err := url.Parse(strings.NewReplacer("{", "", "}", "").Replace(uri))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("IntegrationUri %q is no http:// or https:// address", uri)
	}
	return u, nil
}

func newRequest(p template.Integration) (request, error) {
	h := request{method: p.Method, uri: p.URI}
	if h.method == "" || h.method == "ANY" { // UNCONFIRMED: a frame has no method that could be passed on
		h.method = http.MethodPost
	}
	for _, target := range slices.Sorted(maps.Keys(p.RequestParameters)) {
		rest, ok := strings.CutPrefix(target, "integration.request.")
		place, name, named := strings.Cut(rest, ".")
		if !ok || !named || place != "header" && place != "querystring" && place != "path" {
			return h, fmt.Errorf("RequestParameters: %q is not integration.request.header.X, .querystring.X or .path.X", target)
		}
		value := p.RequestParameters[target]
		if err := checkMapped(value); err != nil {
			return h, fmt.Errorf("RequestParameters: %w", err)
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

// event makes the request of a proxy.
func (h *httpProxy) event(s scope) []byte {
	header, query := http.Header{}, url.Values{}
	if s.at != nil {
		for _, one := range s.at.headers(false, nil) {
			header[one.name] = one.values
		}
		delete(header, "Host")
		maps.Copy(query, s.at.query)
	} else {
		header.Set("Content-Type", "application/json")
	}
	return h.request.make(s, header, query, s.message)
}

// make is the event of a request, with the mapped parameters in it.
func (h *request) make(s scope, header http.Header, query url.Values, body []byte) []byte {
	req := httpRequest{Method: h.method, Header: header, Body: body}
	req.Header.Set("X-Amzn-Apigateway-Api-Id", s.e.conn.srv.api().APIID)
	uri := h.uri
	for _, p := range h.params {
		value := s.mapped(p.value)
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

func (s scope) mapped(value string) string {
	at := s.at
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
	res, err := send(ctx, h.transport, payload)
	if err != nil {
		return nil, err
	}
	if len(res.body) > maxMessage {
		return nil, errors.New("the server's answer is larger than 128 KB")
	}
	out := map[string]any{"statusCode": res.status, "body": string(res.body)}
	if protocol := res.header.Get("Sec-WebSocket-Protocol"); protocol != "" {
		out["headers"] = map[string]string{"Sec-WebSocket-Protocol": protocol}
	}
	return json.Marshal(out)
}
