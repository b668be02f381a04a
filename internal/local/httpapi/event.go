package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/spelling"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// clf is how API Gateway writes times.
const clf = "02/Jan/2006:15:04:05 -0700"

// event is what the function gets.
func (x *exchange) event() ([]byte, error) {
	event := x.oneZero()
	if x.route.spec.Payload == "2.0" {
		event = x.twoZero()
	}
	text, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	return text, nil
}

// oneZero is the event of payload format 1.0, and that of REST APIs, which is the same without its version.
func (x *exchange) oneZero() map[string]any {
	headers, query := x.headers(), x.r.URL.Query()
	body, encoded := x.payload()
	event := map[string]any{
		"resource": x.resource(), "path": x.whole(), "httpMethod": x.r.Method,
		"headers": last(headers), "multiValueHeaders": headers,
		"queryStringParameters": orNull(last(query)), "multiValueQueryStringParameters": orNull(query),
		"pathParameters": orNull(x.values), "stageVariables": orNull(x.api.spec.Variables),
		"body": body, "isBase64Encoded": encoded,
	}
	domain, prefix := x.domain()
	context := map[string]any{
		"accountId": x.api.owner, "apiId": x.api.spec.APIID, "domainName": domain, "domainPrefix": prefix,
		"extendedRequestId": x.id, "requestId": x.id, "httpMethod": x.r.Method, "identity": x.identity(),
		"path": x.stagePath(), "protocol": x.r.Proto, "resourceId": x.route.spec.Key(), "resourcePath": x.resource(),
		"requestTime": x.at.UTC().Format(clf), "requestTimeEpoch": x.at.UnixMilli(), "stage": x.api.spec.Stage,
	}
	if x.authorizer != nil {
		context["authorizer"] = x.authorizer
	}
	event["requestContext"] = context
	if !x.api.spec.REST {
		event["version"] = "1.0"
	}
	return event
}

// twoZero is the event of payload format 2.0. What is not there is absent.
func (x *exchange) twoZero() map[string]any {
	headers, query := x.headers(), x.r.URL.Query()
	delete(headers, "cookie")
	domain, prefix := x.domain()
	path := x.whole()
	if x.mapped { // "rawPath doesn't provide the API mapping value"
		path = x.decoded(x.path)
	}
	context := map[string]any{
		"accountId": x.api.owner, "apiId": x.api.spec.APIID, "domainName": domain, "domainPrefix": prefix,
		"http": map[string]any{
			"method": x.r.Method, "path": path, "protocol": x.r.Proto, "sourceIp": x.sourceIP(), "userAgent": x.r.UserAgent(),
		},
		"requestId": x.id, "routeKey": x.route.spec.Key(), "stage": x.api.spec.Stage,
		"time": x.at.UTC().Format(clf), "timeEpoch": x.at.UnixMilli(),
	}
	if x.authorizer != nil {
		kind := "lambda"
		if x.route.allowing.spec.Kind == template.AuthJWT {
			kind = "jwt"
		}
		context["authorizer"] = map[string]any{kind: x.authorizer}
	}
	if x.as != nil {
		context["authorizer"] = map[string]any{"iam": map[string]any{
			"accessKey": x.as["accessKey"], "accountId": x.as["accountId"], "callerId": x.as["caller"], "cognitoIdentity": nil,
			"principalOrgId": nil, "userArn": x.as["userArn"], "userId": x.as["user"],
		}}
	}
	event := map[string]any{
		"version": "2.0", "routeKey": x.route.spec.Key(), "rawPath": path, "rawQueryString": x.r.URL.RawQuery,
		"headers": joined(headers), "requestContext": context, "isBase64Encoded": false,
	}
	if body, encoded := x.payload(); body != nil {
		event["body"], event["isBase64Encoded"] = body, encoded
	}
	var cookies []string
	for _, line := range x.r.Header["Cookie"] {
		for cookie := range strings.SplitSeq(line, ";") {
			cookies = append(cookies, strings.TrimSpace(cookie))
		}
	}
	if len(cookies) > 0 {
		event["cookies"] = cookies
	}
	for name, of := range map[string]map[string]string{
		"queryStringParameters": joined(query), "pathParameters": x.values, "stageVariables": x.api.spec.Variables,
	} {
		if len(of) > 0 {
			event[name] = of
		}
	}
	return event
}

// resource is the route's path.
func (x *exchange) resource() string {
	if x.route.spec.Path == "" {
		return "$default"
	}
	return x.route.spec.Path
}

// whole is the path of the event. That of an HTTP API has its stage in it, unless that is $default, and is decoded; that of a REST API has
// not and is not. Both have what a custom domain has put before it.
func (x *exchange) whole() string {
	switch {
	case x.mapped:
		return x.decoded(x.prefix + x.path)
	case x.api.spec.REST:
		return x.path
	}
	return x.decoded(x.api.root() + x.path)
}

// stagePath is the path of the request's context, which always has the stage.
func (x *exchange) stagePath() string {
	if x.mapped {
		return x.decoded(x.prefix + x.path)
	}
	return x.decoded(x.api.root() + x.path)
}

func (x *exchange) decoded(path string) string {
	if x.api.spec.REST {
		return path
	}
	if text, err := url.PathUnescape(path); err == nil {
		return text
	}
	return path
}

func (x *exchange) domain() (name, prefix string) {
	name = x.srv.cfg.DomainName
	if name == "" {
		name = x.r.Host
	}
	prefix, _, _ = strings.Cut(name, ".")
	return name, prefix
}

func (x *exchange) sourceIP() string {
	ip, _, err := net.SplitHostPort(x.r.RemoteAddr)
	if err != nil {
		return x.r.RemoteAddr
	}
	return ip
}

// identity is who asks: for most only where from.
func (x *exchange) identity() map[string]any {
	out := map[string]any{"sourceIp": x.sourceIP(), "userAgent": x.r.UserAgent()}
	for _, name := range []string{
		"accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType", "cognitoIdentityId",
		"cognitoIdentityPoolId", "principalOrgId", "user", "userArn",
	} {
		out[name] = nil
	}
	for name, value := range x.as {
		out[name] = value
	}
	return out
}

// headers are those of the request: of a REST API as the client wrote their names, of an HTTP API in small letters.
func (x *exchange) headers() map[string][]string {
	out := map[string][]string{}
	names := spelling.Of(x.r)
	put := func(name string, values []string) {
		if !x.api.spec.REST {
			name = strings.ToLower(name)
		}
		out[name] = values
	}
	for name, values := range x.r.Header {
		if name == "Connection" || name == "X-Forwarded-For" {
			continue
		}
		if own := names[name]; own != "" {
			name = own
		}
		put(name, values)
	}
	forwarded := append(slices.Clone(x.r.Header["X-Forwarded-For"]), x.sourceIP())
	put("Host", []string{x.r.Host})
	put("X-Forwarded-For", []string{strings.Join(forwarded, ", ")})
	put("X-Forwarded-Proto", []string{map[bool]string{true: "https", false: "http"}[x.r.TLS != nil]})
	if addr, ok := x.r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if _, port, err := net.SplitHostPort(addr.String()); err == nil {
			put("X-Forwarded-Port", []string{port})
		}
	}
	return out
}

// payload is the body as the event has it; nil: there is none.
func (x *exchange) payload() (body any, encoded bool) {
	switch {
	case len(x.body) == 0:
		return nil, false
	case x.binary():
		return base64.StdEncoding.EncodeToString(x.body), true
	}
	return string(x.body), false
}

// binary reports whether the body is encoded. A REST API says by BinaryMediaTypes what is; for an HTTP API all is but a few types, even
// without one, and forms.
func (x *exchange) binary() bool {
	kind, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if x.api.spec.REST {
		return err == nil && x.api.isBinary(kind)
	}
	switch {
	case err != nil:
		return true
	case strings.HasPrefix(kind, "text/"):
		return false
	}
	return !slices.Contains([]string{"application/json", "application/xml", "application/javascript"}, kind)
}

func (a *api) isBinary(kind string) bool {
	return slices.ContainsFunc(a.spec.Binary, func(binary string) bool {
		binary = strings.ToLower(binary)
		prefix, each := strings.CutSuffix(binary, "/*")
		return binary == kind || binary == "*/*" || each && strings.HasPrefix(kind, prefix+"/")
	})
}

// last has the last of several values.
func last(all map[string][]string) map[string]string {
	out := make(map[string]string, len(all))
	for name, values := range all {
		out[name] = values[len(values)-1]
	}
	return out
}

// joined has all values with commas between them.
func joined(all map[string][]string) map[string]string {
	out := make(map[string]string, len(all))
	for name, values := range all {
		out[name] = strings.Join(values, ",")
	}
	return out
}

// orNull is null in the place of nothing.
func orNull[M ~map[string]V, V any](m M) any {
	if len(m) == 0 {
		return nil
	}
	return m
}
