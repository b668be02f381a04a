package hubtest_test

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
)

func TestQueue(t *testing.T) {
	clock := hubtest.NewClock(time.Unix(1000, 0))
	q := &hubtest.Queue{Clock: clock}
	add := func(room string, delay time.Duration) error {
		return q.Enqueue(t.Context(), hub.Job{Kind: hub.JobFanOut, Room: room}, delay)
	}
	for _, delay := range []time.Duration{20 * time.Second, 0, 10 * time.Second} {
		if err := add(delay.String(), delay); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("it refuses what SQS would", func(t *testing.T) {
		for room, delay := range map[string]time.Duration{"early": -1, "late": 15*time.Minute + 1, strings.Repeat("x", 256<<10): 0} {
			if add(room, delay) == nil {
				t.Errorf("%.10s in %s is taken", room, delay)
			}
		}
	})
	t.Run("what waits can be looked at, and taken by kind", func(t *testing.T) {
		if got := q.Take(hub.JobRetry); len(got) != 0 {
			t.Errorf("got %d jobs of another kind", len(got))
		}
		waiting := q.Waiting()
		if len(waiting) != 3 || waiting[0].Due != time.Unix(1020, 0) || waiting[0].Delay != 20*time.Second {
			t.Errorf("waiting are %+v", waiting)
		}
		if got := hubtest.Jobs(q.Take(hub.JobFanOut)); len(got) != 3 || got[2].Room != "10s" || len(q.Waiting()) != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestWorld(t *testing.T) {
	w := hubtest.New(t)
	var order []string
	begun := w.Clock.Now()
	w.Worker = func(ctx context.Context, j hub.Job) error {
		order = append(order, j.Room+" after "+w.Clock.Now().Sub(begun).String())
		if j.Room == "first" {
			return w.Queue.Enqueue(ctx, hub.Job{Room: "left behind"}, time.Second)
		}
		return nil
	}
	for room, delay := range map[string]time.Duration{"later": 2 * time.Second, "first": 0, "last": time.Minute} {
		if err := w.Queue.Enqueue(t.Context(), hub.Job{Room: room}, delay); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.Pass(3 * time.Second); n != 3 || !slices.Equal(order, []string{"first after 0s", "left behind after 1s", "later after 2s"}) {
		t.Errorf("in 3 s %d jobs: %v", n, order)
	}
	if n := w.Drain(); n != 1 || order[3] != "last after 1m0s" || w.Clock.Now() != begun.Add(time.Minute) {
		t.Errorf("then %d jobs: %v", n, order)
	}
}

func TestNetwork(t *testing.T) {
	n, ctx := hubtest.NewNetwork(), t.Context()
	frame := []byte(`{"event":"one"}`)
	push := func(connection string, want error) {
		t.Helper()
		if err := n.Push(ctx, connection, frame); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", connection, err, want)
		}
	}
	t.Run("a call fails without effect, unless only its answer is lost", func(t *testing.T) {
		n.Fail(hubtest.Of(hub.ErrThrottled, "slow"))
		push("slow", hub.ErrThrottled)
		push("ana", nil)
		n.Fail(hubtest.Always(hubtest.ErrLost))
		push("lost", hubtest.ErrLost)
		n.Fail(hubtest.First(1, hub.ErrTooLarge))
		push("ana", hub.ErrTooLarge)
		push("ana", nil)
		n.Fail(nil)
		for connection, want := range map[string]int{"slow": 0, "ana": 2, "lost": 1} {
			if got := len(n.Names(connection)); got != want {
				t.Errorf("%s got %d frames, want %d", connection, got, want)
			}
		}
	})
	t.Run("what was pushed stays as it was", func(t *testing.T) {
		frame[len(frame)-3] = 'x'
		if got := n.Names("ana"); !slices.Equal(got, []string{"one", "one"}) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("who is closed or cut is gone", func(t *testing.T) {
		if err := n.Close(ctx, "ana"); err != nil {
			t.Fatal(err)
		}
		n.Cut("lost")
		for _, connection := range []string{"ana", "lost"} {
			push(connection, hub.ErrGone)
			if alive, err := n.Alive(ctx, connection); alive || err != nil {
				t.Errorf("%s is alive: %v", connection, err)
			}
		}
		if alive, err := n.Alive(ctx, "slow"); !alive || err != nil || n.Closed("slow") {
			t.Errorf("slow is closed: %v", err)
		}
	})
	t.Run("frames are taken once", func(t *testing.T) {
		if got := n.TakeFrom("ana"); len(got) != 2 || len(n.TakeFrom("ana")) != 0 {
			t.Errorf("got %q", got)
		}
		if got := n.Take(); len(got) != 1 || got[0].Connection != "lost" || len(n.Take()) != 0 {
			t.Errorf("got %v", got)
		}
	})
}

func TestEvents(t *testing.T) {
	for frame, want := range map[string]string{
		`{"event":"e","room":"channel:1","seq":3}`:                          "e 3",
		`{"batch":[{"event":"a","seq":1},{"event":"b","seq":2}]}`:           "a 1,b 2",
		`{"reply":"1","ok":true}`:                                           "",
		`42["e",{"x":1},{"room":"channel:1","seq":3,"id":"m1"},"ep:3:c:1"]`: "e 3",
		`42/chat,["e",null,{"seq":4}]`:                                      "e 4",
		`430[{"ok":true}]`:                                                  "",
		`2`:                                                                 "",
		``:                                                                  "",
	} {
		var got []string
		for _, e := range hubtest.Events([]byte(frame)) {
			got = append(got, fmt.Sprint(e.Event, " ", e.Seq))
		}
		if strings.Join(got, ",") != want {
			t.Errorf("%s: got %q, want %q", frame, got, want)
		}
	}
}
