package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it; it protects nothing
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/spelling"
)

// handshake is an upgrade request that is held until the authorizer and $connect have answered; see "Manage connected users and client
// apps: $connect and $disconnect routes".
type handshake struct {
	conn      *conn
	r         *http.Request
	query     url.Values
	names     map[string]string // of headers, see spelling
	requestID string
	trace     string
	port      string
	scheme    string
	protocol  string // what $connect chose
	principal string // whom the authorizer named
}

func (s *Server) handshake(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		http.Error(w, "closing", http.StatusServiceUnavailable)
		return
	}
	if status := checkUpgrade(w, r); status != 0 {
		s.handlers.Done()
		s.counters.refused.Add(1)
		w.WriteHeader(status)
		s.observe(Event{Kind: KindConnect, Time: s.cfg.Now(), Status: status})
		return
	}
	h := s.newHandshake(r)
	begin := s.cfg.Now()
	// A client that gives up while it waits does not stop the functions: it is then connected and lost, with a $disconnect.
	status, err := h.admit(context.WithoutCancel(r.Context()))
	if status == 0 {
		if err = h.upgrade(w); err == nil { //nolint:contextcheck // the connection outlives its request
			status = http.StatusSwitchingProtocols
		} else {
			status = http.StatusInternalServerError
			h.conn.begin(closing{code: codeAbnormal, reason: reasonLost})
			s.runDisconnect(h.conn) //nolint:contextcheck // it runs whoever is still there
		}
	}
	s.observe(Event{Kind: KindConnect, Time: begin, Connection: h.conn.id, Route: "$connect", Status: status, Err: err})
	if status == http.StatusSwitchingProtocols {
		return
	}
	s.handlers.Done()
	s.counters.refused.Add(1)
	h.refuse(w, status)
}

// checkUpgrade says why a request is no WebSocket handshake, 0 if it is one. What AWS answers to a plain GET is UNCONFIRMED.
func checkUpgrade(w http.ResponseWriter, r *http.Request) int {
	switch {
	case len("wss://")+len(r.Host)+len(r.RequestURI) > maxURL:
		return http.StatusRequestURITooLong
	case r.Method != http.MethodGet || !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket"):
		w.Header().Set("Upgrade", "websocket")
		return http.StatusUpgradeRequired
	case r.Header.Get("Sec-Websocket-Version") != "13":
		w.Header().Set("Sec-Websocket-Version", "13")
		return http.StatusBadRequest
	}
	if key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key")); err != nil || len(key) != 16 {
		return http.StatusBadRequest
	}
	return 0
}

func hasToken(h http.Header, name, token string) bool {
	for _, v := range h[name] {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

func (s *Server) newHandshake(r *http.Request) *handshake {
	now := s.cfg.Now()
	remote := strings.Clone(r.RemoteAddr) // cloned: the strings of a request share one buffer, which would stay alive with the connection
	ip, _, err := net.SplitHostPort(remote)
	if err != nil {
		ip = remote
	}
	c := &conn{
		srv: s, id: newID(), connectedAt: now.UnixMilli(), remote: remote, sourceIP: ip, userAgent: r.UserAgent(), domain: s.cfg.DomainName,
		ended: make(chan struct{}),
	}
	if c.domain == "" {
		c.domain = r.Host
	}
	c.userAgent, c.domain = strings.Clone(c.userAgent), strings.Clone(c.domain)
	c.identity = appendIdentity(make([]byte, 0, 48+len(c.userAgent)), r, ip)
	h := &handshake{conn: c, r: r, requestID: newID(), trace: newTrace(now.Unix()), names: spelling.Of(r), scheme: "http"}
	if r.URL.RawQuery != "" {
		h.query = r.URL.Query()
	}
	if r.TLS != nil {
		h.scheme = "https"
	}
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		_, h.port, _ = net.SplitHostPort(addr.String())
	}
	return h
}

// admit asks the throttle, the authorizer and $connect. A status other than 0 is the answer to the client.
func (h *handshake) admit(ctx context.Context) (status int, err error) {
	s := h.conn.srv
	now := s.cfg.Now()
	p := s.plan.Load()
	if p.connect != nil && !p.connect.allow(now) {
		s.counters.throttled.Add(1)
		return http.StatusTooManyRequests, nil
	}
	if p.api.IAM {
		if status := h.verify(now, p.template.Account); status != 0 {
			return status, nil
		}
	}
	if p.authorizer != nil {
		if status, err := h.authorize(ctx, now); status != 0 {
			return status, err
		}
	}
	if p.connect == nil { // the integration for $connect is optional
		return 0, nil
	}
	return h.askConnect(ctx, p.connect)
}

// askConnect asks the integration of $connect.
func (h *handshake) askConnect(ctx context.Context, r *route) (status int, err error) {
	s := h.conn.srv
	if r.broken != "" {
		return http.StatusInternalServerError, errors.New(r.broken)
	}
	e := exchange{conn: h.conn, route: r, requestID: h.requestID, at: s.cfg.Now()}
	if r.mock != nil {
		status, _, err := r.mock.backend(scope{e: e, at: h})
		if status == 0 {
			status = http.StatusInternalServerError
		}
		return passOn(status), err
	}
	var payload []byte
	switch {
	case r.http != nil:
		payload = r.http.event(scope{e: e, at: h})
	case r.service != nil:
		if payload, err = r.service.event(scope{e: e, at: h}); errors.Is(err, errUnsupportedMedia) {
			return http.StatusUnsupportedMediaType, err
		} else if err != nil {
			return http.StatusInternalServerError, err
		}
	default:
		payload = h.appendConnect(make([]byte, 0, 2048), e.at)
	}
	why := invoke.Cause{By: invoke.ByConnect, Connection: h.conn.id, Principal: h.principal}
	out, err := s.cfg.Functions.Await(invoke.For(ctx, why), r.fn, payload, r.timeout)
	if errors.Is(err, invoke.ErrNotInTime) {
		return s.cfg.Choices.connectTimeout(), err
	}
	if err != nil {
		return http.StatusBadGateway, err
	}
	if s.cfg.Choices.AdmitWithoutStatus && statusOf(out) == 0 && json.Valid(out) {
		return 0, nil
	}
	res, err := parseProxyResponse(out)
	if err != nil {
		return http.StatusBadGateway, err
	}
	h.protocol = res.protocol
	return passOn(res.status), nil
}

// passOn turns what $connect returned into the handshake's status: any success connects, anything else is what the client gets.
func passOn(status int) int {
	if status >= 200 && status < 300 {
		return 0
	}
	return status
}

// refuse answers a handshake that failed. The body is UNCONFIRMED; what $connect returned as body is not passed on, so that nobody
// comes to lean on it.
func (h *handshake) refuse(w http.ResponseWriter, status int) {
	message := http.StatusText(status)
	if status == http.StatusInternalServerError {
		message = frameInternal
	}
	b := append([]byte(`{"message": `), appendString(nil, message)...)
	b = append(b, `, "connectionId":"`...)
	b = append(b, h.conn.id...)
	b = append(b, `", "requestId":"`...)
	b = append(b, h.requestID...)
	b = append(b, `"}`...)
	requestID(w, h.requestID)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// upgrade takes the socket from net/http, with nothing of net/http's left behind, and starts the connection. The 101 is the first thing
// in the outgoing queue, so the id can be posted to from here on and no post can overtake it.
func (h *handshake) upgrade(w http.ResponseWriter) error {
	sock, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	sock = spelling.Bare(sock)
	_ = sock.SetDeadline(time.Time{})
	c, s := h.conn, h.conn.srv
	c.sock, c.raw = sock, rawConn(sock)
	c.flusher = s.flushers[int(s.turn.Add(1))%len(s.flushers)]
	c.in = bufio.NewReaderSize(sock, inputSize)
	if n := rw.Reader.Buffered(); n > 0 { // a client that did not wait for the 101
		early, _ := rw.Peek(n)
		c.in.Reset(io.MultiReader(bytes.NewReader(bytes.Clone(early)), sock))
	}
	c.lastActive.Store(c.connectedAt)
	// The order matters: posts go behind the 101, and who has read the 101 can be posted to.
	c.out.hold(&Frame{wire: appendAccept(make([]byte, 0, 192), h.r.Header.Get("Sec-Websocket-Key"), h.protocol)})
	c.ordinal = s.counters.opened.Add(1)
	s.conns.put(c)
	c.flusher.add(c)
	if s.isStopping() { // Close may have gone through the connections before this one was among them
		c.shut(closing{code: codeGoingAway, reason: reasonGoingAway})
	}
	go c.run()
	return nil
}

func appendAccept(b []byte, key, protocol string) []byte {
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see the import
	b = base64.StdEncoding.AppendEncode(b, sum[:])
	if protocol != "" {
		b = append(b, "\r\nSec-WebSocket-Protocol: "...)
		b = append(b, strings.NewReplacer("\r", "", "\n", "").Replace(protocol)...)
	}
	return append(b, "\r\n\r\n"...)
}

// runDisconnect runs $disconnect, best effort as on AWS: nobody learns of an error but the log.
func (s *Server) runDisconnect(c *conn) {
	begin := s.cfg.Now()
	ev := Event{
		Kind: KindDisconnect, Time: begin, Connection: c.id, Route: "$disconnect", Status: c.end.code, Reason: c.end.reason,
	}
	if f := &s.cfg.Faults; f.DropDisconnect > 0 && f.draw(drawDisconnect, c.ordinal, 0) < f.DropDisconnect {
		ev.Err = errDropped
	} else if r := s.plan.Load().disconnect; r != nil && r.fn != nil {
		ev.Function = r.fn.ID
		e := exchange{conn: c, route: r, requestID: newID(), at: begin}
		ev.Err = s.leave(e)
	}
	s.observe(ev)
}

// leave runs what is behind $disconnect.
func (s *Server) leave(e exchange) (err error) {
	var payload []byte
	switch r := e.route; {
	case r.http != nil:
		payload = r.http.event(scope{e: e})
	case r.service != nil:
		if payload, err = r.service.event(scope{e: e}); err != nil {
			return err
		}
	default:
		payload = e.conn.appendDisconnect(make([]byte, 0, 1024), e.requestID, e.at)
	}
	why := invoke.Cause{By: invoke.ByDisconnect, Connection: e.conn.id}
	out, err := s.cfg.Functions.Await(invoke.For(context.Background(), why), e.route.fn, payload, e.route.timeout)
	if err == nil && e.route.service != nil && passOn(statusOf(out)) != 0 {
		err = fmt.Errorf("%s answers %.300s", e.route.service.name, out)
	}
	return err
}
