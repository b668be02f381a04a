package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// process is a bellhop dev of its own.
type process struct {
	cmd *exec.Cmd
	url string
}

// launch starts a built bellhop on a data directory.
func launch(t *testing.T, binary, data string) *process {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, "dev", "--listen", "127.0.0.1:0", "--data", data, "--quiet",
		"--parameter", "RateLimit=1000", "--parameter", "RateBurst=1000")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address := regexp.MustCompile(`http://(127\.0\.0\.1:\d+)/`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			p.url = "http://" + m[1]
			break
		}
	}
	if p.url == "" {
		t.Fatal("bellhop dev did not start")
	}
	go func() { // until the process ends
		for lines.Scan() {
		}
	}()
	return p
}

// writer is a client that publishes until its server is gone.
type writer struct {
	user     string
	position protocol.Position
	acked    map[string]time.Time // when the reply came, by id
}

type reply struct {
	Reply string `json:"reply"`
	OK    bool   `json:"ok"`
	Data  struct {
		Epoch     string `json:"epoch"`
		Seq       int64  `json:"seq"`
		ID        string `json:"id"`
		Recovered bool   `json:"recovered"`
		More      bool   `json:"more"`
		Events    []struct {
			Seq int64  `json:"seq"`
			ID  string `json:"id"`
		} `json:"events"`
	} `json:"data"`
}

func (w *writer) dial(t *testing.T, p *process) *websocket.Conn {
	t.Helper()
	signed, err := token.Sign([]byte(token.DevelopmentSecret), token.Claims{User: w.user, Grants: token.DevelopmentGrants()})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(t.Context(), p.url+"/dev", signed)
	if err != nil {
		t.Error(err)
	}
	return conn
}

// ask sends a frame and waits for its reply.
func ask(ctx context.Context, conn *websocket.Conn, id, frame string) (reply, error) {
	var r reply
	if err := conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		return r, err
	}
	for r.Reply != id {
		_, b, err := conn.Read(ctx)
		if err != nil {
			return r, err
		}
		r = reply{}
		if err := json.Unmarshal(b, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// write publishes one message after another until the connection ends.
func (w *writer) write(t *testing.T, p *process, room string, joined func()) {
	t.Helper()
	conn := w.dial(t, p)
	if conn == nil {
		joined()
		return
	}
	defer func() { _ = conn.CloseNow() }()
	r, err := ask(t.Context(), conn, "join", `{"action":"join","id":"join","room":"`+room+`"}`)
	joined()
	for n := 0; err == nil; n++ {
		if !r.OK {
			t.Errorf("%s was refused", w.user)
			return
		}
		w.position = protocol.Position{Epoch: r.Data.Epoch, Seq: r.Data.Seq}
		if r.Data.ID != "" {
			w.acked[r.Data.ID] = time.Now()
		}
		id := fmt.Sprintf("%s-%d", w.user, n)
		r, err = ask(t.Context(), conn, id, fmt.Sprintf(`{"action":"publish","id":%q,"room":%q,"event":"message:new","data":{"n":%d}}`, id, room, n))
	}
}

// TestKill kills a server without a warning while 200 clients publish, and starts another on its data. What was
// acknowledged more than the store's flush interval before the end is in the log, once; and since the last moment may be
// lost, nobody is told that nothing is.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the program")
	}
	const clients, rooms = 200, 20
	binary, data := filepath.Join(t.TempDir(), "bellhop"), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	first := launch(t, binary, data)
	room := func(i int) string { return fmt.Sprintf("channel:%d", i%rooms) }
	writers := make([]*writer, clients)
	var wg, joined sync.WaitGroup
	joined.Add(clients)
	for i := range writers {
		writers[i] = &writer{user: fmt.Sprintf("user%d", i), acked: map[string]time.Time{}}
		wg.Go(func() { writers[i].write(t, first, room(i), joined.Done) })
	}
	joined.Wait()
	<-time.After(3 * time.Second) // of publishing; there is nothing to wait for
	killed := time.Now()
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()

	second := launch(t, binary, data)
	logs := make([]map[string]int64, rooms)
	for i := range logs {
		logs[i] = second.log(t, room(i))
	}
	kept, lost := 0, 0
	for i, w := range writers {
		conn := w.dial(t, second)
		r, err := ask(t.Context(), conn, "join", fmt.Sprintf(`{"action":"join","id":"join","room":%q,"since":{"epoch":%q,"seq":%d}}`, room(i), w.position.Epoch, w.position.Seq))
		if err != nil || !r.OK || r.Data.Recovered || r.Data.Epoch == w.position.Epoch {
			t.Errorf("%s joins again: %+v, %v", w.user, r, err)
		}
		_ = conn.CloseNow()
		for id, at := range w.acked {
			switch seq := logs[i%rooms][id]; {
			case seq > 0:
				kept++
			case killed.Sub(at) < 2*time.Second: // the flush interval, and time for the flush
				lost++
			default:
				t.Errorf("%s was acknowledged %v before the end, and is lost", id, killed.Sub(at))
			}
		}
	}
	t.Logf("%d acknowledged events are in the log, %d of the last moment are lost", kept, lost)
	if kept == 0 {
		t.Error("nothing was published")
	}
}

// log reads a room's whole log as another program would, and checks that every id is there once.
func (p *process) log(t *testing.T, room string) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	w := writer{user: "reader"}
	conn := w.dial(t, p)
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	r, err := ask(t.Context(), conn, "join", `{"action":"join","id":"join","room":"`+room+`"}`)
	if err != nil || !r.OK {
		t.Fatalf("join: %+v, %v", r, err)
	}
	for before := int64(0); ; {
		r, err = ask(t.Context(), conn, "history", fmt.Sprintf(`{"action":"history","id":"history","room":%q,"before":%d,"limit":200}`, room, before))
		if err != nil || !r.OK {
			t.Fatalf("history: %+v, %v", r, err)
		}
		for _, e := range r.Data.Events {
			if found[e.ID] != 0 {
				t.Errorf("%s is in the log twice", e.ID)
			}
			found[e.ID] = e.Seq
		}
		if !r.Data.More {
			return found
		}
		before = r.Data.Events[0].Seq
	}
}
