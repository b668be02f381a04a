package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/tail"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/token"
)

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

func (w *writer) dial(t *testing.T, p *servertest.Program) *websocket.Conn {
	t.Helper()
	signed, err := token.Sign([]byte(token.DevelopmentSecret), token.Claims{User: w.user, Grants: token.DevelopmentGrants()})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tail.Dial(t.Context(), p.URL+"/dev", signed)
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
func (w *writer) write(t *testing.T, p *servertest.Program, room string, joined func()) {
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

// commits is how often a file of bbolt was written: the larger transaction of its two meta pages, which are read behind the back of the
// program that has it open. See https://pkg.go.dev/go.etcd.io/bbolt/internal/common#Meta.
func commits(t *testing.T, file string) uint64 {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	newest := uint64(0)
	for page := range int64(2) {
		var txid [8]byte
		if _, err := f.ReadAt(txid[:], page*int64(os.Getpagesize())+64); err != nil {
			t.Fatal(err)
		}
		newest = max(newest, binary.NativeEndian.Uint64(txid[:]))
	}
	return newest
}

// TestKill kills a server without a warning while 200 clients publish, and starts another on its data. What was
// acknowledged before the store began its last flush is in the log, once; and since the last moment may be lost, nobody is
// told that nothing is.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the program")
	}
	const clients, rooms = 200, 20
	binary, data := servertest.Build(t), t.TempDir()
	launch := func() *servertest.Program {
		return servertest.Launch(t, binary, nil, "--data", data, "--quiet", "--parameter", "RateLimit=1000", "--parameter", "RateBurst=1000")
	}
	first := launch()
	room := func(i int) string { return fmt.Sprintf("channel:%d", i%rooms) }
	writers := make([]*writer, clients)
	var wg, joined sync.WaitGroup
	joined.Add(clients)
	for i := range writers {
		writers[i] = &writer{user: fmt.Sprintf("user%d", i), acked: map[string]time.Time{}}
		wg.Go(func() { writers[i].write(t, first, room(i), joined.Done) })
	}
	joined.Wait()
	// The flush after the next one begins later than now, and when a third has begun that one is over.
	file := filepath.Join(data, "bellhop.db")
	writes := func(n uint64) {
		begin := commits(t, file)
		servertest.Eventually(t, "the store is flushed", func() bool { return commits(t, file) >= begin+n })
	}
	writes(1)
	settled := time.Now()
	writes(2)
	first.Kill()
	wg.Wait()

	second := launch()
	logs := make([]map[string]int64, rooms)
	for i := range logs {
		logs[i] = logOf(t, second, room(i))
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
			case at.After(settled):
				lost++
			default:
				t.Errorf("%s was acknowledged two flushes before the end, and is lost", id)
			}
		}
	}
	t.Logf("%d acknowledged events are in the log, %d of the last moment are lost", kept, lost)
	if kept == 0 {
		t.Error("nothing was published")
	}
}

// logOf reads a room's whole log as another program would, and checks that every id is there once.
func logOf(t *testing.T, p *servertest.Program, room string) map[string]int64 {
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
