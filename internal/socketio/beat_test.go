package socketio_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

func TestHeartbeat(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	w.open("ana", `{"token":"ana"}`)
	began := w.Clock.Now()
	w.work("socket:reap")
	for i := range 3 {
		if n, _ := w.work("socket:beat"); n != 1 || w.Clock.Now().Sub(began) != time.Duration(i+1)*240*time.Second {
			t.Fatalf("%d beats %s after the opening", n, w.Clock.Now().Sub(began))
		}
		if got := w.Network.TakeFrom("ana"); !slices.Equal(got, []string{"2"}) {
			t.Fatalf("got %q", got)
		}
		if got := w.send("ana", "3"); got != "6" {
			t.Fatalf("a pong is answered by %q", got)
		}
	}
	w.work("socket:beat")
	w.work("socket:beat") // the ping before was not answered
	if !w.Network.Closed("ana") {
		t.Error("a dead client is kept")
	}
	if n, _ := w.work("socket:beat"); n != 0 {
		t.Error("it beats on")
	}
}

// The answer to a ping may be here before the push of the ping has returned.
func TestFastPong(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	w.open("ana", `{"token":"ana"}`)
	w.Network.Fail(func(hubtest.Call) error {
		w.send("ana", "3")
		return nil
	})
	w.work("socket:reap")
	for range 3 {
		w.work("socket:beat")
	}
	if w.Network.Closed("ana") {
		t.Error("a client is too fast to live")
	}
}

// TestFailedPings: a ping that was not sent has no answer.
func TestFailedPings(t *testing.T) {
	w := newWorld(t, socketio.Options{})
	w.open("ana", `{"token":"ana"}`)
	w.work("socket:reap")
	w.Network.Fail(hubtest.Always(hub.ErrThrottled))
	w.work("socket:beat")
	w.Network.Fail(nil)
	w.work("socket:beat")
	if got := w.Network.TakeFrom("ana"); !slices.Equal(got, []string{"2"}) || w.Network.Closed("ana") {
		t.Errorf("after a ping that was throttled: %q, closed %v", got, w.Network.Closed("ana"))
	}

	w = newWorld(t, socketio.Options{PingInterval: time.Minute, PingTimeout: 3 * time.Minute})
	w.open("ana", `{"token":"ana"}`)
	w.work("socket:reap")
	w.work("socket:beat")
	if w.work("socket:beat"); !w.Network.Closed("ana") {
		t.Error("a dead client is kept, since its timeout is longer than the interval")
	}
}

// TestRecall: API Gateway closes a connection after two hours, which clients in Java do not notice. The last beat before that makes
// every client come back, and so does whatever else ends a connection whose client may come back.
func TestRecall(t *testing.T) {
	for _, mode := range []socketio.KeepAlive{socketio.Heartbeat, socketio.Noop} {
		w := newWorld(t, socketio.Options{KeepAlive: mode})
		began := w.Clock.Now()
		w.open("ana", `{"token":"ana"}`)
		w.work("socket:reap")
		var last []string
		for !w.Network.Closed("ana") {
			if n, _ := w.work("socket:beat"); n == 0 {
				t.Fatalf("%s: the beats end after %s", mode, w.Clock.Now().Sub(began))
			}
			if got := w.Network.TakeFrom("ana"); len(got) > 0 {
				last = got
			}
			w.send("ana", "3")
		}
		if age := w.Clock.Now().Sub(began); age < 105*time.Minute || age > 119*time.Minute {
			t.Errorf("%s: recalled after %s", mode, age)
		}
		if !slices.Equal(last, []string{`{"message":"This connection ends. Connect again."}`}) {
			t.Errorf("%s: before the close comes %q", mode, last)
		}
		w.work("socket:beat")
		if n, _ := w.work("socket:beat"); n != 0 {
			t.Errorf("%s: it beats on", mode)
		}
	}
	w := newWorld(t, socketio.Options{})
	w.open("ana", `{"token":"ana"}`)
	w.Clock.Pass(2 * time.Hour) // its token is good for one
	if _, err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := w.Network.TakeFrom("ana")
	if len(got) != 2 || !strings.Contains(got[0], `"expired"`) || !strings.HasPrefix(got[1], `{"message"`) || !w.Network.Closed("ana") {
		t.Errorf("when the token ends: %q, closed %t", got, w.Network.Closed("ana"))
	}
}

func TestKeepAliveModes(t *testing.T) {
	w := newWorld(t, socketio.Options{KeepAlive: socketio.Noop})
	w.open("ana", `{"token":"ana"}`)
	began := w.Clock.Now()
	w.work("socket:reap")
	if n, delay := w.work("socket:beat"); n != 1 || w.Clock.Now().Sub(began) != 9*time.Minute || !slices.Equal(w.Network.TakeFrom("ana"), []string{"6"}) {
		t.Errorf("noop: %d beats after %s", n, delay)
	}
	w.Network.Fail(hubtest.Always(hub.ErrGone))
	w.work("socket:beat")
	if n, _ := w.work("socket:beat"); n != 0 {
		t.Error("a connection that is gone has beats")
	}
	w = newWorld(t, socketio.Options{KeepAlive: socketio.None})
	w.open("ana", `{"token":"ana"}`)
	w.work("socket:reap")
	if n, _ := w.work("socket:beat"); n != 0 {
		t.Errorf("none: %d beats", n)
	}
}

// visit has a client of Socket.IO open for nearly two hours, whose every ping is answered, and gives how many pings there were in each
// quarter of an hour. on is told of each job, and may do it again.
func (w *world) visit(answer bool, on func(j hubtest.Queued)) (pings []int) {
	w.TB.Helper()
	w.open("ana", `{"token":"ana"}`)
	began := w.Clock.Now()
	pings = make([]int, 8)
	w.Worker = func(ctx context.Context, job hub.Job) error {
		if job.Kind == "socket:reap" {
			return w.sockets.Work(ctx, job)
		}
		if job.Kind != "socket:beat" {
			return nil
		}
		err := w.sockets.Work(ctx, job)
		if on != nil {
			on(hubtest.Queued{Job: job})
		}
		for range w.Network.TakeFrom("ana") {
			pings[min(int(w.Clock.Now().Sub(began)/(15*time.Minute)), len(pings)-1)]++
			if answer {
				w.send("ana", "3") //nolint:contextcheck // an invocation of its own
			}
		}
		return err
	}
	w.Pass(2*time.Hour - 5*time.Minute) // when it is recalled
	return pings
}

// TestGuardOfHeartbeats: Lambda stops what has led to itself 16 times, and no connection may end by it. hubtest's queue fails
// the test when a job would be stopped.
func TestGuardOfHeartbeats(t *testing.T) {
	for mode, want := range map[socketio.KeepAlive]int{socketio.Heartbeat: 28, socketio.Noop: 12} {
		w := newWorld(t, socketio.Options{KeepAlive: mode})
		longest := 0
		got := w.visit(mode == socketio.Heartbeat, func(hubtest.Queued) {
			for _, j := range w.Queue.Waiting() {
				longest = max(longest, j.Chain)
			}
		})
		sum := 0
		for _, n := range got {
			sum += n
		}
		if sum != want || w.Network.Closed("ana") || longest > 15 {
			t.Errorf("%s: %v pings in the quarters of two hours, want %d; closed %v; the longest chain has %d jobs", mode, got, want, w.Network.Closed("ana"), longest)
		}
	}
	t.Run("a client that answers no more is found in any place of a chain", func(t *testing.T) {
		for alive := range 14 {
			w := newWorld(t, socketio.Options{})
			w.open("ana", `{"token":"ana"}`)
			w.Worker = w.sockets.Work
			for range alive {
				if w.Pass(241 * time.Second); len(w.Network.TakeFrom("ana")) != 1 {
					t.Fatalf("no ping")
				}
				w.send("ana", "3")
			}
			if w.Pass(2 * 241 * time.Second); !w.Network.Closed("ana") {
				t.Errorf("after %d pongs a dead client is kept", alive)
			}
			if n := w.Pass(time.Hour); n > 1 {
				t.Errorf("after %d pongs a dead client has %d beats more", alive, n)
			}
		}
	})
}

// TestDoubledBeats: a queue may hand on a job twice, at once or later, and then there are two chains, but not for long.
func TestDoubledBeats(t *testing.T) {
	for name, later := range map[string]time.Duration{"at once": 0, "as the answer comes": 100 * time.Millisecond, "when a visibility is over": 6 * time.Minute} {
		for place := range 16 {
			w := newWorld(t, socketio.Options{})
			n := 0
			var pings []int
			again := func(j hubtest.Queued) {
				if n++; n != place+1 {
					return
				}
				if later == 0 {
					w.Clock.Pass(time.Nanosecond)
					if err := w.sockets.Work(t.Context(), j.Job); err != nil {
						t.Error(err)
					}
				} else if err := w.Queue.Enqueue(t.Context(), j.Job, later); err != nil {
					t.Error(err)
				}
			}
			pings = w.visit(true, again)
			if last := pings[len(pings)-2] + pings[len(pings)-1]; last < 6 || last > 7 || w.Network.Closed("ana") {
				t.Errorf("beat %d doubled %s: %v pings in the quarters of two hours, closed %v", place, name, pings, w.Network.Closed("ana"))
			}
		}
	}
}

// TestCutBeats: whatever call a beat is cut off at, or an answer that goes on with the heartbeat, a client that lives is kept, and is
// pinged on.
func TestCutBeats(t *testing.T) {
	run := func(t *testing.T, beat func(cut *cutting, n int), pong func(cut *cutting, n int)) {
		t.Helper()
		w := newWorld(t, socketio.Options{})
		cut := &cutting{Notes: w.Notes, Pusher: w.Network, Queue: w.Queue}
		config := w.Config
		config.Pusher, config.Queue = cut, cut
		_, w.sockets = socketio.Wire(config, cut, socketio.Options{})
		w.open("ana", `{"token":"ana"}`)
		began, pings, n := w.Clock.Now(), []time.Duration{}, 0
		w.Worker = func(ctx context.Context, job hub.Job) error {
			if job.Kind == "socket:reap" {
				return w.sockets.Work(ctx, job)
			}
			if job.Kind != "socket:beat" {
				return nil
			}
			n++
			beat(cut, n)
			err := w.sockets.Work(ctx, job)
			cut.after(-1)
			if err != nil {
				err = w.Queue.Enqueue(context.WithoutCancel(ctx), job, 6*time.Minute) // its visibility
			}
			for range w.Network.TakeFrom("ana") {
				pings = append(pings, w.Clock.Now().Sub(began))
				pong(cut, n)
				w.send("ana", "3") //nolint:contextcheck // an invocation of its own
				cut.after(-1)
			}
			return err
		}
		w.Pass(2*time.Hour - 5*time.Minute) // when it is recalled
		if last := len(pings) - 1; last < 25 || w.Network.Closed("ana") || pings[last] < 2*time.Hour-10*time.Minute {
			t.Errorf("closed %v, pings %v", w.Network.Closed("ana"), pings)
		}
	}
	none := func(*cutting, int) {}
	for place := range 14 {
		for calls := range 7 {
			t.Run(fmt.Sprintf("beat %d at call %d", place+1, calls+1), func(t *testing.T) {
				run(t, func(cut *cutting, n int) {
					if n == place+1 {
						cut.after(calls)
					}
				}, none)
			})
		}
		for _, calls := range []int{2, 3} { // after the note of the ping is deleted
			t.Run(fmt.Sprintf("answer to beat %d at call %d", place+1, calls+1), func(t *testing.T) {
				run(t, none, func(cut *cutting, n int) {
					if n == place+1 {
						cut.after(calls)
					}
				})
			})
		}
	}
}

// cutting fails every call after some.
type cutting struct {
	socketio.Notes
	hub.Pusher
	hub.Queue

	on   bool
	left int
}

var errCut = errors.New("cut off")

// after lets some calls through; less than 0: all.
func (c *cutting) after(calls int) { c.on, c.left = calls >= 0, calls }

func (c *cutting) next() error {
	if c.left--; c.on && c.left < 0 {
		return errCut
	}
	return nil
}

func (c *cutting) Note(ctx context.Context, name string, value []byte, ttl time.Time) error {
	if err := c.next(); err != nil {
		return err
	}
	return c.Notes.Note(ctx, name, value, ttl)
}

func (c *cutting) NoteOnce(ctx context.Context, name string, value []byte, ttl time.Time) (bool, error) {
	if err := c.next(); err != nil {
		return false, err
	}
	return c.Notes.NoteOnce(ctx, name, value, ttl)
}

func (c *cutting) NoteOver(ctx context.Context, name string, was, value []byte, ttl time.Time) (bool, error) {
	if err := c.next(); err != nil {
		return false, err
	}
	return c.Notes.NoteOver(ctx, name, was, value, ttl)
}

func (c *cutting) Noted(ctx context.Context, name string) ([]byte, error) {
	if err := c.next(); err != nil {
		return nil, err
	}
	return c.Notes.Noted(ctx, name)
}

func (c *cutting) Unnote(ctx context.Context, name string) error {
	if err := c.next(); err != nil {
		return err
	}
	return c.Notes.Unnote(ctx, name)
}

func (c *cutting) Push(ctx context.Context, connection string, frame []byte) error {
	if err := c.next(); err != nil {
		return err
	}
	return c.Pusher.Push(ctx, connection, frame)
}

func (c *cutting) Close(ctx context.Context, connection string) error {
	if err := c.next(); err != nil {
		return err
	}
	return c.Pusher.Close(ctx, connection)
}

func (c *cutting) Enqueue(ctx context.Context, job hub.Job, delay time.Duration) error {
	if err := c.next(); err != nil {
		return err
	}
	return c.Queue.Enqueue(ctx, job, delay)
}
