package gateway

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The events are written by hand, in the key order of real traffic: the structs of aws-lambda-go have keys that AWS does not send for
// WebSocket APIs and lose some that it does, and a message event is on the path of every message.

const clf = "02/Jan/2006:15:04:05 +0000"

// contextFields are what differs between the requestContext of one event and the next.
type contextFields struct {
	route     string
	eventType string
	messageID string   // MESSAGE only
	end       *closing // DISCONNECT only
	requestID string
	at        time.Time
}

// appendContext appends the requestContext object.
func (c *conn) appendContext(b []byte, f contextFields) []byte {
	b = append(b, `{"routeKey":`...)
	b = appendString(b, f.route)
	if c.authorizer != nil {
		b = append(b, `,"authorizer":`...)
		b = append(b, c.authorizer...)
	}
	if f.messageID != "" {
		b = append(b, `,"messageId":"`...)
		b = append(b, f.messageID...)
		b = append(b, '"')
	}
	if f.end != nil {
		b = append(b, `,"disconnectStatusCode":`...)
		b = strconv.AppendInt(b, int64(f.end.code), 10)
	}
	b = append(b, `,"eventType":"`...)
	b = append(b, f.eventType...)
	b = append(b, `","extendedRequestId":"`...)
	b = append(b, f.requestID...)
	b = append(b, `","requestTime":"`...)
	b = f.at.UTC().AppendFormat(b, clf)
	b = append(b, `","messageDirection":"IN"`...)
	if f.end != nil {
		b = append(b, `,"disconnectReason":`...)
		b = appendString(b, f.end.reason)
	}
	b = append(b, `,"stage":`...)
	b = appendString(b, c.srv.api().Stage)
	b = append(b, `,"connectedAt":`...)
	b = strconv.AppendInt(b, c.connectedAt, 10)
	b = append(b, `,"requestTimeEpoch":`...)
	b = strconv.AppendInt(b, f.at.UnixMilli(), 10)
	b = append(b, `,"identity":`...)
	b = append(b, c.identity...)
	b = append(b, `,"requestId":"`...)
	b = append(b, f.requestID...)
	b = append(b, `","domainName":`...)
	b = appendString(b, c.domain)
	b = append(b, `,"connectionId":"`...)
	b = append(b, c.id...)
	b = append(b, `","apiId":`...)
	b = appendString(b, c.srv.api().APIID)
	return append(b, '}')
}

// appendMessage appends a MESSAGE event: no headers and no query string, those were at $connect.
func (c *conn) appendMessage(b []byte, route, requestID string, at time.Time, body []byte) []byte {
	if b == nil {
		b = make([]byte, 0, 640+len(c.authorizer)+len(c.identity)+len(c.domain)+len(body)+len(body)/8)
	}
	b = append(b, `{"requestContext":`...)
	b = c.appendContext(b, contextFields{route: route, eventType: "MESSAGE", messageID: newID(), requestID: requestID, at: at})
	b = append(b, `,"body":`...)
	b = appendString(b, body)
	return append(b, `,"isBase64Encoded":false}`...)
}

// appendDisconnect appends a DISCONNECT event. Its headers are these four and nothing of the handshake's.
func (c *conn) appendDisconnect(b []byte, requestID string, at time.Time) []byte {
	host := appendString(nil, c.domain)
	b = append(b, `{"headers":{"Host":`...)
	b = append(b, host...)
	b = append(b, `,"x-api-key":"","X-Forwarded-For":"","x-restapi":""},"multiValueHeaders":{"Host":[`...)
	b = append(b, host...)
	b = append(b, `],"x-api-key":[""],"X-Forwarded-For":[""],"x-restapi":[""]},"requestContext":`...)
	b = c.appendContext(b, contextFields{route: "$disconnect", eventType: "DISCONNECT", end: &c.end, requestID: requestID, at: at})
	return append(b, `,"isBase64Encoded":false}`...)
}

// appendConnect appends a CONNECT event.
func (h *handshake) appendConnect(b []byte, at time.Time) []byte {
	s := h.conn.srv
	b = append(b, '{')
	b = appendHeaders(b, h.headers(false, h.names))
	if len(h.query) > 0 { // without a query string the keys are absent, not null
		b = append(b, ',')
		b = appendQuery(b, h.query)
	}
	if len(s.api().Variables) > 0 {
		b = append(b, `,"stageVariables":`...)
		b = appendStrings(b, s.api().Variables)
	}
	b = append(b, `,"requestContext":`...)
	b = h.conn.appendContext(b, contextFields{route: "$connect", eventType: "CONNECT", requestID: h.requestID, at: at})
	return append(b, `,"isBase64Encoded":false}`...)
}

// appendAuthorize appends the event of a REQUEST authorizer; see "Create an API Gateway Lambda REQUEST authorizer" for WebSocket APIs.
func (h *handshake) appendAuthorize(b []byte, at time.Time) []byte {
	s := h.conn.srv
	b = append(b, `{"type":"REQUEST","methodArn":`...)
	b = appendString(b, s.plan.Load().arn)
	b = append(b, ',')
	b = appendHeaders(b, h.headers(true, h.names))
	b = append(b, ',')
	b = appendQuery(b, h.query)
	b = append(b, `,"stageVariables":`...)
	b = appendStrings(b, s.api().Variables)
	b = append(b, `,"requestContext":`...)
	b = h.conn.appendContext(b, contextFields{route: "$connect", eventType: "CONNECT", requestID: h.requestID, at: at})
	return append(b, '}')
}

// headers are those of the upgrade request as AWS passes them on: Connection and Upgrade only to the authorizer. Those of names are
// called so, the others by their canonical names.
func (h *handshake) headers(authorizer bool, names map[string]string) []header {
	out := make([]header, 0, len(h.r.Header)+6)
	for name, values := range h.r.Header {
		if hop := name == "Connection" || name == "Upgrade"; hop && !authorizer || name == "X-Forwarded-For" || name == "X-Amzn-Trace-Id" {
			continue
		}
		if own := names[name]; own != "" {
			name = own
		} else if rest, ok := strings.CutPrefix(name, "Sec-Websocket-"); ok {
			name = "Sec-WebSocket-" + rest
		}
		out = append(out, header{name, values})
	}
	if authorizer {
		out = append(out, header{"content-length", []string{"0"}})
	}
	forwarded := append(slices.Clone(h.r.Header["X-Forwarded-For"]), h.conn.sourceIP)
	out = append(out,
		header{"Host", []string{h.r.Host}},
		header{"X-Amzn-Trace-Id", []string{h.trace}},
		header{"X-Forwarded-For", []string{strings.Join(forwarded, ", ")}},
		header{"X-Forwarded-Port", []string{h.port}},
		header{"X-Forwarded-Proto", []string{h.scheme}},
	)
	slices.SortFunc(out, func(a, b header) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(out, func(a, b header) bool { return a.name == b.name })
}

type header struct {
	name   string
	values []string
}

func appendHeaders(b []byte, headers []header) []byte {
	b = append(b, `"headers":{`...)
	for i, h := range headers {
		b = appendKey(b, i, h.name)
		b = appendString(b, h.values[len(h.values)-1])
	}
	b = append(b, `},"multiValueHeaders":{`...)
	for i, h := range headers {
		b = appendKey(b, i, h.name)
		b = appendArray(b, h.values)
	}
	return append(b, '}')
}

func appendQuery(b []byte, q url.Values) []byte {
	names := slices.Sorted(maps.Keys(q))
	b = append(b, `"queryStringParameters":{`...)
	for i, name := range names {
		b = appendKey(b, i, name)
		b = appendString(b, q[name][len(q[name])-1])
	}
	b = append(b, `},"multiValueQueryStringParameters":{`...)
	for i, name := range names {
		b = appendKey(b, i, name)
		b = appendArray(b, q[name])
	}
	return append(b, '}')
}

func appendStrings(b []byte, m map[string]string) []byte {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(m)) {
		b = appendKey(b, i, name)
		b = appendString(b, m[name])
	}
	return append(b, '}')
}

func appendKey(b []byte, i int, name string) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	b = appendString(b, name)
	return append(b, ':')
}

func appendArray(b []byte, values []string) []byte {
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, v)
	}
	return append(b, ']')
}

// appendString appends text as a JSON string, escaping no more than JSON must. Bytes that are not UTF-8 become U+FFFD.
func appendString[T string | []byte](b []byte, text T) []byte {
	const hexDigits = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
			if r == utf8.RuneError && n == 1 {
				b = append(b, text[start:i]...)
				b = append(b, "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, text[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	b = append(b, text[start:]...)
	return append(b, '"')
}

func appendIdentity(b []byte, r *http.Request, sourceIP string) []byte {
	b = append(b, '{')
	if ua := r.UserAgent(); ua != "" { // absent, not empty, when the client sent none
		b = append(b, `"userAgent":`...)
		b = appendString(b, ua)
		b = append(b, ',')
	}
	b = append(b, `"sourceIp":`...)
	b = appendString(b, sourceIP)
	return append(b, '}')
}
