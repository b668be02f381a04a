package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// A page cannot give a WebSocket headers, nor read why a handshake was refused. So the console's client is here: for each of its
// connections the page opens a WebSocket to /_bellhop/client/socket, says in the first message what to connect with, and the server
// connects to the API that it serves. When the page's socket ends, so does that connection.
//
//	page:   {"connect":{"api":"Chat","query":"room=42","headers":[["Authorization","Bearer …"]],"subprotocols":["chat"]}}
//	server: {"open":{"protocol":"chat"}} or {"refused":{"status":403,"body":"…","error":"…"}}, which is the last
//	page:   {"send":"{\"action\":\"hello\"}"}, {"close":{"code":1000,"reason":"…"}}
//	server: {"frame":"…"} or {"binary":"…"}, and at the end {"closed":{"code":1001,"reason":"Going away"}}
//
// It connects to nothing but the APIs of this server: the page names one of them, and the address is that which the page itself came by.

// The bounds of the client. A frame may be larger than the API takes, so that one can see what happens then.
const (
	clientConnections = 100
	clientMessage     = 1 << 20 // bytes of a page's message, and of a frame from the API
	clientHeaders     = 50
	clientHeaderBytes = 16 << 10
	clientPatience    = 10 * time.Second // for the page to say what it wants, and to take what it is told
	clientHandshake   = 60 * time.Second // more than an authorizer and $connect may take
)

// Client is what the client of the console can connect to.
type Client struct {
	APIs []ClientAPI `json:"apis"`
}

// ClientAPI is a WebSocket API that is served.
type ClientAPI struct {
	ID        string        `json:"id"` // logical id
	Path      string        `json:"path"`
	Selection string        `json:"selection"` // RouteSelectionExpression
	Routes    []ClientRoute `json:"routes"`
	Headers   []string      `json:"headers"` // names that its authorizer asks for
	Query     []string      `json:"query"`
	// Subprotocols are those of Bellhop's own clients.
	Subprotocols []string `json:"subprotocols"`
}

// ClientRoute is a route that a frame can be sent to.
type ClientRoute struct {
	Key     string `json:"key"`
	Answers bool   `json:"answers"` // what its integration returns goes to the client
	Example string `json:"example"` // a frame; empty: the selection expression leads none there
}

func (c *Console) serveClient(w http.ResponseWriter, _ *http.Request) {
	out := Client{APIs: []ClientAPI{}}
	for _, s := range c.emulator.Served() {
		api := ClientAPI{ID: s.API.ID, Path: s.Path, Selection: s.API.Selection, Routes: []ClientRoute{}, Headers: []string{}, Query: []string{}, Subprotocols: []string{}}
		if c.api.own() {
			api.Subprotocols = []string{protocol.Name}
		}
		for _, route := range s.API.Routes {
			if route.Key != "$connect" && route.Key != "$disconnect" {
				example := cmp.Or(c.api.example(route.Key), string(gateway.Example(s.API, route)))
				api.Routes = append(api.Routes, ClientRoute{Key: route.Key, Answers: route.TwoWay, Example: example})
			}
		}
		if s.API.Authorizer != nil {
			api.Headers, api.Query = sources(s.API.Authorizer)
		}
		out.APIs = append(out.APIs, api)
	}
	JSON(w, http.StatusOK, out)
}

// sources are the identity sources that a client can give.
func sources(a *template.Authorizer) (headers, query []string) {
	headers, query = []string{}, []string{}
	for _, source := range a.Sources {
		if name, ok := strings.CutPrefix(source, "route.request.header."); ok {
			headers = append(headers, name)
		}
		if name, ok := strings.CutPrefix(source, "route.request.querystring."); ok {
			query = append(query, name)
		}
	}
	return headers, query
}

const clientSocket = "GET /_bellhop/client/socket"

// ask is a message of the page; one of its fields is set.
type ask struct {
	Connect *connectAsk `json:"connect"`
	Send    *string     `json:"send"`
	Close   *closing    `json:"close"`
}

// connectAsk is what to connect with.
type connectAsk struct {
	API          string      `json:"api"`
	Query        string      `json:"query"`
	Headers      [][2]string `json:"headers"`
	Subprotocols []string    `json:"subprotocols"`
}

// closing is how a connection ends.
type closing struct {
	Code   websocket.StatusCode `json:"code"`
	Reason string               `json:"reason"`
}

// refusal is why there is no connection.
type refusal struct {
	Status int    `json:"status,omitempty"` // of the handshake; 0: it was not even begun
	Body   string `json:"body,omitempty"`
	Error  string `json:"error,omitempty"`
}

// clients are the connections of pages.
type clients struct {
	ctx context.Context //nolint:containedctx // ends when the console does
	end context.CancelFunc

	mu      sync.Mutex
	open    int
	ending  bool
	running sync.WaitGroup
}

func newClients() *clients {
	ctx, end := context.WithCancel(context.Background())
	return &clients{ctx: ctx, end: end}
}

// enter counts one in, unless there are too many, or the console ends.
func (c *clients) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending || c.open >= clientConnections {
		return false
	}
	c.open++
	c.running.Add(1)
	return true
}

func (c *clients) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	c.running.Done()
}

// close ends all of them.
func (c *clients) close() {
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	c.end()
	c.running.Wait()
}

// serveSocket is one connection of a page's client, from beginning to end.
func (c *Console) serveSocket(w http.ResponseWriter, r *http.Request) {
	if OfAnotherSite(r, c.local) || r.Header.Get("Origin") == "" {
		Refuse(w, http.StatusForbidden, "this is for the console's own page")
		return
	}
	if !c.clients.enter() {
		Refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("the console holds %d connections already: close some", clientConnections))
		return
	}
	defer c.clients.leave()
	page, err := websocket.Accept(w, r, nil) // of the same origin only
	if err != nil {
		return // it has been answered
	}
	page.SetReadLimit(clientMessage)
	ctx, cancel := context.WithCancel(c.clients.ctx) // not the request's, which is over once the socket is taken
	defer cancel()
	if err := c.converse(ctx, clientPage{page, r}); err != nil { //nolint:contextcheck // see ctx
		_ = page.Close(websocket.StatusPolicyViolation, firstBytes(err.Error(), maxReason))
		return
	}
	_ = page.Close(websocket.StatusNormalClosure, "")
}

const maxReason = 123 // bytes; RFC 6455 section 5.5

func firstBytes(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// clientPage is the page's side.
type clientPage struct {
	socket *websocket.Conn
	r      *http.Request
}

// tell sends the page one thing.
func (p clientPage) tell(ctx context.Context, name string, value any) error {
	text, err := json.Marshal(map[string]any{name: value})
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, clientPatience)
	defer cancel()
	return p.socket.Write(ctx, websocket.MessageText, text)
}

// hear reads what the page says.
func (p clientPage) hear(ctx context.Context) (a ask, err error) {
	_, text, err := p.socket.Read(ctx)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("send JSON: %w", err)
	}
	return a, nil
}

// converse connects, and carries what both sides say until one of them ends. The error is for the page.
func (c *Console) converse(ctx context.Context, p clientPage) error {
	first, cancel := context.WithTimeout(ctx, clientPatience)
	a, err := p.hear(first)
	cancel()
	if err != nil {
		return err
	}
	if a.Connect == nil {
		return errors.New(`send {"connect":{"api":"…"}} first`)
	}
	api, refused := c.dial(ctx, p.r, *a.Connect)
	if refused != nil {
		return p.tell(ctx, "refused", refused)
	}
	defer func() { _ = api.CloseNow() }()
	if err := p.tell(ctx, "open", map[string]string{"protocol": api.Subprotocol()}); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	said := make(chan error, 1)
	go func() {
		said <- p.listen(ctx, api)
		stop()
	}()
	err = p.retell(ctx, api)
	if ctx.Err() == nil {
		_ = p.socket.Close(websocket.StatusNormalClosure, "") // which listen hears of
	}
	stop()
	return errors.Join(err, <-said)
}

// retell tells the page what comes from the API, and how it ends.
func (p clientPage) retell(ctx context.Context, api *websocket.Conn) error {
	for {
		kind, frame, err := api.Read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the page has gone
		case err != nil:
			end := closing{Code: websocket.StatusAbnormalClosure, Reason: "the connection was lost"}
			if closed, ok := errors.AsType[websocket.CloseError](err); ok {
				end = closing{closed.Code, closed.Reason}
			}
			return p.tell(ctx, "closed", end)
		}
		name := "frame"
		if kind == websocket.MessageBinary {
			name = "binary"
		}
		if err := p.tell(ctx, name, strings.ToValidUTF8(string(frame), "�")); err != nil {
			return nil //nolint:nilerr // the page has gone
		}
	}
}

// listen does what the page says, until it has gone or what it says is wrong.
func (p clientPage) listen(ctx context.Context, api *websocket.Conn) error {
	for {
		a, err := p.hear(ctx)
		if err != nil && (ctx.Err() != nil || websocket.CloseStatus(err) != -1 || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)) { // the page has gone
			_ = api.Close(websocket.StatusGoingAway, "")
			return nil //nolint:nilerr // see above
		}
		switch {
		case err != nil:
			return err
		case a.Send != nil:
			err = api.Write(ctx, websocket.MessageText, []byte(*a.Send))
		case a.Close != nil:
			if code := a.Close.Code; code != websocket.StatusNormalClosure && (code < 3000 || code > 4999) {
				return errors.New("a client may close with the code 1000, or with 3000 to 4999")
			}
			_ = api.Close(a.Close.Code, firstBytes(a.Close.Reason, maxReason)) // retell hears the answer
		default:
			return errors.New("send one of send and close")
		}
		if err != nil {
			return nil //nolint:nilerr // retell says how it has ended
		}
	}
}

// dial connects to an API of this server.
func (c *Console) dial(ctx context.Context, r *http.Request, a connectAsk) (*websocket.Conn, *refusal) {
	served := c.emulator.Served()
	i := slices.IndexFunc(served, func(s emulator.Served) bool { return s.API.ID == a.API })
	if i < 0 {
		return nil, &refusal{Error: "no API " + a.API + " is served here"}
	}
	here, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return nil, &refusal{Error: "this server does not know its own address"}
	}
	header, err := a.header(r)
	if err != nil {
		return nil, &refusal{Error: err.Error()}
	}
	query := strings.TrimPrefix(a.Query, "?")
	if _, err := url.ParseQuery(query); err != nil {
		return nil, &refusal{Error: "the query is not right: " + err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, clientHandshake)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { // wherever its name leads: this server
			return (&net.Dialer{}).DialContext(ctx, here.Network(), here.String())
		},
	}
	to := url.URL{Scheme: "http", Host: r.Host, Path: served[i].Path, RawQuery: query}
	conn, response, err := websocket.Dial(ctx, to.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: asBrowsersSpell{transport}}, HTTPHeader: header, Subprotocols: a.Subprotocols, CompressionMode: websocket.CompressionDisabled,
	})
	if err == nil {
		conn.SetReadLimit(clientMessage)
		return conn, nil
	}
	if response == nil {
		return nil, &refusal{Error: err.Error()}
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body) // Dial gives its first kilobyte
	return nil, &refusal{Status: response.StatusCode, Body: string(body)}
}

// asBrowsersSpell writes the names of the handshake's headers as browsers do: functions get them as they are written.
type asBrowsersSpell struct{ *http.Transport }

// RoundTrip is [http.RoundTripper].
func (t asBrowsersSpell) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range r.Header {
		if rest, ok := strings.CutPrefix(name, "Sec-Websocket-"); ok {
			delete(r.Header, name)
			r.Header["Sec-WebSocket-"+rest] = values
		}
	}
	return t.Transport.RoundTrip(r)
}

// header is what the page wants to send, with the names as they are written, and the browser's own name unless it says another.
func (a connectAsk) header(r *http.Request) (http.Header, error) {
	if len(a.Headers) > clientHeaders {
		return nil, fmt.Errorf("at most %d headers", clientHeaders)
	}
	header, size := http.Header{}, 0
	for _, pair := range a.Headers {
		name, value := pair[0], pair[1]
		size += len(name) + len(value)
		switch lower := strings.ToLower(name); {
		case lower == "sec-websocket-protocol":
			return nil, errors.New("subprotocols have a field of their own")
		case slices.Contains([]string{"host", "connection", "upgrade", "content-length", "transfer-encoding"}, lower) || strings.HasPrefix(lower, "sec-websocket-"):
			return nil, fmt.Errorf("the header %s belongs to the connection itself, and cannot be given", name)
		}
		header[name] = append(header[name], value)
	}
	if size > clientHeaderBytes {
		return nil, fmt.Errorf("the headers have %d bytes; at most %d", size, clientHeaderBytes)
	}
	if !slices.ContainsFunc(a.Headers, func(pair [2]string) bool { return strings.EqualFold(pair[0], "User-Agent") }) {
		header.Set("User-Agent", r.UserAgent())
	}
	return header, nil
}
