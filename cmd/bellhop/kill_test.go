package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

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
	acked    map[string]int64 // the seq that the reply gave, by id
}

type reply struct {
	Reply string `json:"reply"`
	OK    bool   `json:"ok"`
	Error struct {
		Code protocol.Code `json:"code"`
	} `json:"error"`
	Data struct {
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
func (w *writer) write(t *testing.T, p *servertest.Program, room string, acked func()) {
	t.Helper()
	conn := w.dial(t, p)
	if conn == nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	r, err := ask(t.Context(), conn, "join", `{"action":"join","id":"join","room":"`+room+`"}`)
	for n := 0; err == nil; n++ {
		if !r.OK {
			t.Errorf("%s was refused", w.user)
			return
		}
		w.position = protocol.Position{Epoch: r.Data.Epoch, Seq: r.Data.Seq}
		if r.Data.ID != "" {
			w.acked[r.Data.ID] = r.Data.Seq
			acked()
		}
		id := fmt.Sprintf("%s-%d", w.user, n)
		r, err = ask(t.Context(), conn, id, fmt.Sprintf(`{"action":"publish","id":%q,"room":%q,"event":"message:new","data":{"n":%d}}`, id, room, n))
	}
}

// TestKill kills a server without a warning while 200 clients publish, and starts another on its data. What was acknowledged is in the
// log, once; and nobody is told that nothing is missing, since events may have been seen that were not acknowledged yet.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the program")
	}
	binary := servertest.Build(t)
	t.Run("without --sync", func(t *testing.T) { killed(t, binary) })
	t.Run("with --sync", func(t *testing.T) { killed(t, binary, "--sync") })
}

func killed(t *testing.T, binary string, flags ...string) {
	t.Helper()
	const clients, rooms, enough = 200, 20, 4000
	data := t.TempDir()
	launch := func() *servertest.Program {
		return servertest.Launch(t, binary, nil, append(flags, "--data", data, "--quiet", "--parameter", "RateLimit=1000", "--parameter", "RateBurst=1000")...)
	}
	first := launch()
	room := func(i int) string { return fmt.Sprintf("channel:%d", i%rooms) }
	writers := make([]*writer, clients)
	var wg sync.WaitGroup
	var acks atomic.Int64
	busy := make(chan struct{})
	for i := range writers {
		writers[i] = &writer{user: fmt.Sprintf("user%d", i), acked: map[string]int64{}}
		wg.Go(func() {
			writers[i].write(t, first, room(i), func() {
				if acks.Add(1) == enough {
					close(busy)
				}
			})
		})
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		wg.Wait()
	}()
	select {
	case <-busy: // and they go on
	case <-over:
		t.Fatalf("all have ended after %d acknowledgements", acks.Load())
	}
	first.Kill()
	<-over

	second := launch()
	logs := make([]map[string]int64, rooms)
	for i := range logs {
		logs[i] = logOf(t, second, room(i))
	}
	kept := 0
	for i, w := range writers {
		conn := w.dial(t, second)
		r, err := ask(t.Context(), conn, "join", fmt.Sprintf(`{"action":"join","id":"join","room":%q,"since":{"epoch":%q,"seq":%d}}`, room(i), w.position.Epoch, w.position.Seq))
		if err != nil || !r.OK || r.Data.Recovered || r.Data.Epoch == w.position.Epoch {
			t.Errorf("%s joins again: %+v, %v", w.user, r, err)
		}
		_ = conn.CloseNow()
		for id, seq := range w.acked {
			if logs[i%rooms][id] != seq {
				t.Errorf("%s was acknowledged as %d, and is %d in the log", id, seq, logs[i%rooms][id])
			}
			kept++
		}
	}
	t.Logf("%d acknowledged events are in the log", kept)
	if kept < enough {
		t.Error("less was acknowledged than was waited for")
	}
	second.Stop()
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
