package upgrade_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/token"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// server is a bellhop dev in a process of its own.
type server struct {
	tb   testing.TB
	cmd  *exec.Cmd
	http string // http://127.0.0.1:port
	ws   string // ws://127.0.0.1:port/dev

	mu     sync.Mutex
	said   []string
	serves chan string // where
	ended  chan struct{}
}

// dev starts bellhop dev in a folder and waits until it serves.
func dev(tb testing.TB, binary, folder string, flags ...string) *server {
	tb.Helper()
	s := launch(tb, binary, folder, flags...)
	s.ready()
	return s
}

// launch starts bellhop dev in a folder.
func launch(tb testing.TB, binary, folder string, flags ...string) *server {
	tb.Helper()
	s := &server{tb: tb, serves: make(chan string, 1), ended: make(chan struct{})}
	s.cmd = exec.CommandContext(context.WithoutCancel(tb.Context()), binary, append([]string{"dev", "--listen", "127.0.0.1:0"}, flags...)...)
	s.cmd.Dir = folder
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		s.listen(stderr)
	}()
	tb.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			s.kill()
		}
		if tb.Failed() {
			tb.Logf("%s said:\n%s", strings.Join(s.cmd.Args, " "), s.log())
		}
	})
	return s
}

// ready waits until the server serves.
func (s *server) ready() {
	s.tb.Helper()
	select {
	case s.ws = <-s.serves:
	case <-s.ended:
		s.tb.Fatalf("%s ended: %s", strings.Join(s.cmd.Args, " "), s.log())
	case <-time.After(3 * time.Minute): // it may build functions
		s.tb.Fatalf("%s does not serve: %s", strings.Join(s.cmd.Args, " "), s.log())
	}
	address, _, _ := strings.Cut(strings.TrimPrefix(s.ws, "ws://"), "/")
	s.http = "http://" + address
}

func (s *server) listen(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		s.mu.Lock()
		s.said = append(s.said, line)
		s.mu.Unlock()
		if label, at, found := strings.Cut(line, "ws://"); found && strings.TrimSpace(label) == "WebSocket" {
			s.serves <- "ws://" + strings.TrimSpace(at)
		}
	}
}

func (s *server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.said, "\n")
}

// stop interrupts the server, and fails unless it says that everything is saved.
func (s *server) stop() {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		s.tb.Fatal(err)
	}
	<-s.ended
	if err := s.cmd.Wait(); err != nil {
		s.tb.Fatalf("stop: %v: %s", err, s.log())
	}
	if !strings.Contains(s.log(), "stopped; everything is") {
		s.tb.Fatalf("it did not say that everything is saved: %s", s.log())
	}
}

// kill ends the server as a power cut would.
func (s *server) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.ended
	_ = s.cmd.Wait()
}

// object is a JSON object that was read.
type object = map[string]any

// invoke runs a function and gives what it answers.
func (s *server) invoke(function string, payload []byte) []byte {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.http+"/2015-03-31/functions/"+function+"/invocations", bytes.NewReader(payload))
	if err != nil {
		s.tb.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.tb.Fatalf("invoke %s: %d %s, %v", function, response.StatusCode, answer, err)
	}
	return answer
}

// emit invokes the emit function and gives the answer's data.
func (s *server) emit(command object) object {
	s.tb.Helper()
	payload, err := json.Marshal(command)
	if err != nil {
		s.tb.Fatal(err)
	}
	var answer struct {
		OK   bool
		Data object
	}
	text := s.invoke("emit", payload)
	if err := json.Unmarshal(text, &answer); err != nil || !answer.OK {
		s.tb.Fatalf("emit %s: %s", payload, text)
	}
	return answer.Data
}

// sign gives a token for everything.
func sign(tb testing.TB, user string) string {
	tb.Helper()
	signed, err := token.Sign([]byte(token.DevelopmentSecret), token.Claims{
		User: user, Name: strings.ToUpper(user[:1]) + user[1:], Grants: map[string][]string{"*": {"join", "publish", "moderate"}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

// tab is a client, as version 1 of the protocol describes one: nothing of today's code is in it.
type tab struct {
	tb     testing.TB
	conn   *websocket.Conn
	frames chan string // closed with the connection
	held   []string    // frames that a wait has passed over
	next   int
}

// dial opens a WebSocket.
func dial(tb testing.TB, url string, subprotocols ...string) *tab {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: subprotocols}) //nolint:bodyclose // Dial's own comment: you never need to close it
	if err != nil {
		tb.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	t := &tab{tb: tb, conn: conn, frames: make(chan string, 1024)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(t.frames)
		for {
			_, frame, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			t.frames <- string(frame)
		}
	}()
	tb.Cleanup(func() {
		_ = conn.CloseNow()
		<-done
	})
	return t
}

// connect opens a connection of a user's.
func (s *server) connect(user string) *tab {
	s.tb.Helper()
	return dial(s.tb, s.ws, "bellhop.v1", "bearer."+sign(s.tb, user))
}

func (t *tab) write(frame string) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := t.conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		t.tb.Fatalf("send %s: %v", frame, err)
	}
}

// read gives the first frame that fits, and keeps the others for later.
func (t *tab) read(what string, fits func(frame string) bool) string {
	t.tb.Helper()
	for i, f := range t.held {
		if fits(f) {
			t.held = append(t.held[:i:i], t.held[i+1:]...)
			return f
		}
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case f, open := <-t.frames:
			switch {
			case !open:
				t.tb.Fatalf("the connection ended while waiting for %s; held: %v", what, t.held)
			case fits(f):
				return f
			}
			t.held = append(t.held, f)
		case <-limit.C:
			t.tb.Fatalf("no %s came; held: %v", what, t.held)
		}
	}
}

// begins waits for a frame that begins so.
func (t *tab) begins(prefix string) string {
	t.tb.Helper()
	return t.read(prefix, func(f string) bool { return strings.HasPrefix(f, prefix) })
}

// ask sends an action and gives the data of its reply, which must be ok.
func (t *tab) ask(action object) object {
	t.tb.Helper()
	if action["id"] == nil {
		t.next++
		action["id"] = fmt.Sprint("r", t.next)
	}
	text, err := json.Marshal(action)
	if err != nil {
		t.tb.Fatal(err)
	}
	t.write(string(text))
	var reply struct {
		Reply string
		OK    bool
		Data  object
	}
	frame := t.read("reply to "+string(text), func(f string) bool {
		reply.Reply, reply.OK, reply.Data = "", false, nil
		return json.Unmarshal([]byte(f), &reply) == nil && reply.Reply == action["id"]
	})
	if !reply.OK {
		t.tb.Fatalf("%s: %s", text, frame)
	}
	return reply.Data
}

// event waits for an event, alone or in a batch, of which fits is true.
func (t *tab) event(name string, fits func(e object) bool) {
	t.tb.Helper()
	t.read(name, func(f string) bool {
		var frame struct {
			Event string
			Batch []object
		}
		var one object
		if json.Unmarshal([]byte(f), &frame) != nil || json.Unmarshal([]byte(f), &one) != nil {
			return false
		}
		return slices.ContainsFunc(append(frame.Batch, one), func(e object) bool { return e["event"] == name && fits(e) })
	})
}

// ofUser fits events about a user.
func ofUser(user string) func(object) bool {
	return func(e object) bool {
		data, _ := e["data"].(object)
		return data["userId"] == user
	}
}

func (t *tab) close() { _ = t.conn.Close(websocket.StatusNormalClosure, "") }
