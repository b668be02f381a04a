// Package servertest starts a server for a test, wherever its store is and its functions run, and has clients of both dialects for it.
package servertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/local/server"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// Patience is how long a test waits for what must come.
const Patience = 20 * time.Second

// Place is where a server's store is and its functions run.
type Place struct {
	Store socketio.Store

	stack *deployment // nil: a server is started
	api   func(tb testing.TB, c server.Config, b server.Bellhop) server.API
}

func inProcess(_ testing.TB, _ server.Config, b server.Bellhop) server.API { return b }

// On is a store, with the functions in this process.
func On(store socketio.Store) Place { return Place{Store: store, api: inProcess} }

// Bolt is an embedded store in memory, with the functions in this process.
func Bolt(tb testing.TB) Place {
	tb.Helper()
	OwnServer(tb)
	store, err := bolt.Open("", bolt.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	return On(store)
}

// Dynamo is a table in DynamoDB Local, with the functions in this process.
func Dynamo(tb testing.TB) Place {
	tb.Helper()
	OwnServer(tb)
	db := dynamotest.New(tb, "e2e")
	return On(dynamo.New(db.Client, db.Name, dynamo.Options{}))
}

// Deployed is a table in DynamoDB Local that the functions use as they are deployed: built, in processes of their own.
func Deployed(tb testing.TB) Place {
	tb.Helper()
	OwnServer(tb)
	return inProcesses(tb, func(t *template.Template, c server.Config) (*processes.Children, error) {
		dir, err := build()
		return &processes.Children{Template: t, Folder: sources(), Built: dir, Logger: c.Logger}, err
	})
}

// Own is Deployed with functions of an application's own, of a folder.
func Own(tb testing.TB, folder string) Place {
	tb.Helper()
	OwnServer(tb)
	dir := tb.TempDir()
	return inProcesses(tb, func(t *template.Template, c server.Config) (*processes.Children, error) {
		p := &processes.Children{Template: t, Folder: folder, Built: dir, Logger: c.Logger}
		return p, p.Build(tb.Context())
	})
}

func inProcesses(tb testing.TB, ready func(*template.Template, server.Config) (*processes.Children, error)) Place {
	tb.Helper()
	db := dynamotest.New(tb, "e2e")
	return Place{Store: dynamo.New(db.Client, db.Name, dynamo.Options{}), api: func(tb testing.TB, c server.Config, b server.Bellhop) server.API {
		tb.Helper()
		t, err := b.Template(c.Parameters)
		if err != nil {
			tb.Fatal(err)
		}
		children, err := ready(t, c)
		if err != nil {
			tb.Fatal(err)
		}
		children.Env = db.Env
		return server.Deployed{Bellhop: b, Functions: children}
	}}
}

// built says that build has been called.
var built atomic.Bool //nolint:gochecknoglobals // functions are built once for all tests of a package

// build compiles the functions.
var build = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // see built
	built.Store(true)
	dir, err := os.MkdirTemp("", "bellhop-functions-")
	if err != nil {
		return "", fmt.Errorf("build functions: %w", err)
	}
	t, err := server.Bellhop{}.Template(nil)
	if err != nil {
		return "", err
	}
	p := &processes.Children{Template: t, Folder: sources(), Built: dir, Logger: slog.New(slog.DiscardHandler)}
	return dir, p.Build(context.Background())
})

// sources is the folder of the module, seen from a package's tests.
func sources() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

// Main runs the tests of a package: a goroutine that is left over fails it, and what was built goes.
func Main(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.Cleanup(func(code int) {
			if built.Load() {
				if dir, err := build(); err == nil {
					_ = os.RemoveAll(dir)
				}
			}
			os.Exit(code)
		}))
}

// OnEveryStore runs a test at each place. Rooms and users of a test need names of their own only within it: every test has
// a new store. If a stack is named, that is the only place.
func OnEveryStore(t *testing.T, test func(t *testing.T, place Place)) {
	t.Helper()
	if d := deployed(t); d != nil {
		t.Run("stack", func(t *testing.T) { test(t, d.place(t)) })
		return
	}
	for _, p := range []struct {
		name string
		make func(testing.TB) Place
	}{{"bolt", Bolt}, {"dynamo", Dynamo}, {"processes", Deployed}} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p.make(t))
		})
	}
}

// Config is what a test may change of a server.
type Config struct {
	server.Config
	Bellhop server.Bellhop
}

// Unlimited lets a client do whatever it can.
func Unlimited(c *Config) {
	c.Parameters["RateLimit"], c.Parameters["RateBurst"] = "10000000", "10000000"
}

// Server is a server under test.
type Server struct {
	*server.Server
	tb    testing.TB
	stack *deployment // nil: it was started here
}

// Start runs a server at a place until the test ends. Lambda's guard against recursion holds in it, also for what the template allows.
func Start(tb testing.TB, p Place, change ...func(*Config)) *Server {
	tb.Helper()
	c := Config{
		Config: server.Config{
			Secret: []byte(token.DevelopmentSecret), Local: true, Logger: slog.New(slog.DiscardHandler),
			Parameters: map[string]string{"PresenceGrace": "300ms", "RateLimit": "1000", "RateBurst": "1000"},
		},
		Bellhop: server.Bellhop{Store: p.Store, Origins: []string{"http://localhost:*"}, Guarded: true},
	}
	for _, f := range change {
		f(&c)
	}
	if p.stack != nil {
		return p.stack.start(tb, c)
	}
	c.API = p.api(tb, c.Config, c.Bellhop)
	var listening net.ListenConfig
	listener, err := listening.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s, err := server.Start(tb.Context(), listener, c.Config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			tb.Errorf("stop: %v", err)
		}
	})
	return &Server{Server: s, tb: tb}
}

// EmitURL is where programs outside AWS emit.
func (s *Server) EmitURL() string {
	if s.stack != nil {
		return s.stack.Emit
	}
	return s.URL + "/emit"
}

// Path is that of the WebSocket API.
func (s *Server) Path() string {
	if s.stack != nil {
		return "/dev"
	}
	return s.Server.Path()
}

// Invoke runs a function.
func (s *Server) Invoke(name, payload string) []byte {
	s.tb.Helper()
	invoke := func(ctx context.Context, name string, payload []byte) ([]byte, error) {
		return s.Emulator().Functions.Invoke(ctx, name, payload)
	}
	if s.stack != nil {
		invoke = s.stack.invoke
	}
	out, err := invoke(s.tb.Context(), name, []byte(payload))
	if err != nil {
		s.tb.Fatal(err)
	}
	return out
}

// Token signs a token; who has no grants may do everything.
func (s *Server) Token(c token.Claims) string {
	s.tb.Helper()
	if c.Name == "" {
		c.Name = strings.ToUpper(c.User[:1]) + c.User[1:]
	}
	if c.Grants == nil {
		c.Grants = token.DevelopmentGrants()
	}
	signed, err := token.Sign([]byte(token.DevelopmentSecret), c)
	if err != nil {
		s.tb.Fatal(err)
	}
	return signed
}

// Handshake tries to connect and gives the status.
func (s *Server) Handshake(path string, header http.Header, subprotocols ...string) (*websocket.Conn, int) {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tb.Context(), Patience)
	defer cancel()
	//nolint:bodyclose // Dial's own comment: you never need to close it
	conn, response, err := websocket.Dial(ctx, strings.Replace(s.URL, "http", "ws", 1)+path, &websocket.DialOptions{
		Subprotocols: subprotocols, HTTPHeader: header,
	})
	if err != nil && response == nil {
		s.tb.Fatal(err)
	}
	return conn, response.StatusCode
}

// Emit sends a command as another program would.
func (s *Server) Emit(command map[string]any) map[string]any {
	s.tb.Helper()
	b, err := json.Marshal(command)
	if err != nil {
		s.tb.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(s.Invoke("emit", string(b)), &answer); err != nil {
		s.tb.Fatal(err)
	}
	return answer
}

// MustEmit is Emit of what has to work; it gives the answer's data.
func (s *Server) MustEmit(command map[string]any) map[string]any {
	s.tb.Helper()
	answer := s.Emit(command)
	if answer["ok"] != true {
		s.tb.Fatalf("%v: %v", command, answer)
	}
	return Object(answer, "data")
}

// Get asks the console for JSON.
func Get[T any](s *Server, path string) T {
	s.tb.Helper()
	status, body := s.Ask(http.MethodGet, "/_bellhop/"+path, "")
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil || status != http.StatusOK {
		s.tb.Fatalf("%s: %d %v %s", path, status, err, body)
	}
	return v
}

// Ask gives the status and the body of an answer, to a request with a header of names and values. One that is empty is left out.
func (s *Server) Ask(method, path, body string, header ...string) (int, string) {
	s.tb.Helper()
	req, err := http.NewRequestWithContext(s.tb.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.tb.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		switch {
		case header[i+1] == "":
		case header[i] == "Host":
			req.Host = header[i+1]
		default:
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.tb.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// Eventually waits until something holds.
func Eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	end := time.NewTimer(Patience)
	defer end.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-end.C:
			tb.Fatalf("waited in vain: %s", what)
		}
	}
}
