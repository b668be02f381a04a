package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// waiting is a world in which rooms of more than two are large, and what is said in channels waits for a quarter of a second once they are
// busy.
func waiting(t *testing.T, change ...func(*hub.Config)) *hubtest.World {
	t.Helper()
	return hubtest.New(t, append([]func(*hub.Config){func(c *hub.Config) {
		c.Limits.Dots, c.Limits.Grace = 2, 10*time.Second
		c.Kinds = hub.DefaultKinds()
		channel := c.Kinds["channel"]
		channel.Coalesce = 250 * time.Millisecond
		c.Kinds["channel"] = channel
	}}, change...)...)
}

// full puts users in a room, works off what that leaves, and forgets what was pushed.
func full(w *hubtest.World, room string, users ...string) []hub.Caller {
	w.TB.Helper()
	var list []hub.Caller
	for _, user := range users {
		c := w.Open(user)
		w.Must(c, `{"action":"join","room":"`+room+`"}`)
		list = append(list, c)
	}
	w.Drain()
	w.Network.Take()
	return list
}

// frames are the names in each frame that a connection was pushed, joined by +.
func frames(w *hubtest.World, c hub.Caller) []string {
	var list []string
	for _, frame := range w.Network.TakeFrom(c.Connection) {
		var names []string
		for _, e := range hubtest.Events([]byte(frame)) {
			names = append(names, fmt.Sprint(e.Event, " ", e.Seq))
		}
		list = append(list, strings.Join(names, "+"))
	}
	return list
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestLazy(t *testing.T) {
	const room = "community:1"
	join := func(w *hubtest.World, user string) hub.Caller {
		c := w.Open(user)
		w.Must(c, `{"action":"join","room":"`+room+`"}`)
		return c
	}
	say := `{"action":"publish","room":"` + room + `","event":"message:new","data":1}`

	t.Run("who comes to a large room is told with the room's next event, in one frame", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana", "bob", "carla")
		join(w, "dan")
		same(t, "ana, before", frames(w, all[0]))
		w.Must(all[1], say)
		for _, c := range all {
			same(t, c.User, frames(w, c), "user:online 4+message:new 5")
		}
		w.Drain()
		same(t, "ana, when the job has come", frames(w, all[0]))
	})
	t.Run("or after a minute, all who came together", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana", "bob", "carla")
		join(w, "dan")
		w.Pass(30 * time.Second)
		join(w, "eve")
		w.Pass(29 * time.Second)
		same(t, "ana, before", frames(w, all[0]))
		w.Pass(2 * time.Second)
		same(t, "ana", frames(w, all[0]), "user:online 4+user:online 5")
		if n := w.Drain(); n > 1 {
			t.Errorf("%d jobs more, want one at most", n)
		}
		same(t, "ana, later", frames(w, all[0]))
	})
	t.Run("small rooms are told at once, and so are changes of status", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana")
		bob := join(w, "bob")
		same(t, "ana", frames(w, all[0]), "user:online 2")
		join(w, "carla")
		join(w, "dan")
		w.Network.Take()
		w.Must(bob, `{"action":"presence","room":"`+room+`","status":"away"}`)
		same(t, "ana of dan and bob", frames(w, all[0]), "user:online 3+user:online 4+presence:changed 5")
	})
	t.Run("who comes and goes is told in order, and who joins meanwhile has nothing twice", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana", "bob", "carla")
		dan := join(w, "dan")
		w.Must(dan, `{"action":"leave","room":"`+room+`"}`)
		w.Pass(5 * time.Second)
		eve := w.Open("eve")
		var got protocol.JoinResult
		if err := json.Unmarshal(w.Must(eve, `{"action":"join","room":"`+room+`"}`), &got); err != nil || got.Seq != 6 {
			t.Errorf("eve joins at %d, want 6, which has all that waits (%v)", got.Seq, err)
		}
		w.Drain()
		same(t, "ana", frames(w, all[0]), "user:online 4+user:offline 5+user:online 6")
		w.Must(all[0], say)
		same(t, "ana", frames(w, all[0]), "message:new 7")
	})
	t.Run("a room that is closed says nothing of who came before", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana", "bob", "carla")
		join(w, "dan")
		if answer := w.Emit(t.Context(), hub.CloseCommand{Room: room}); !answer.OK {
			t.Fatal(answer.Error)
		}
		w.Drain()
		if got := frames(w, all[0]); slices.ContainsFunc(got, func(f string) bool { return strings.Contains(f, "user:online 4") }) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("an announcement whose job was not left is told by whoever announces it again", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana", "bob", "carla")
		w.Queue.Fail = func(j hub.Job) error {
			if j.Kind == hub.JobFlush {
				return errors.New("no queue")
			}
			return nil
		}
		dan := w.Open("dan")
		if r := w.Ask(dan, `{"action":"join","room":"`+room+`"}`); r.OK {
			t.Error("the join succeeds, though nobody will be told")
		}
		w.Queue.Fail = nil
		w.Must(dan, `{"action":"join","room":"`+room+`"}`)
		w.Pass(61 * time.Second)
		same(t, "ana", frames(w, all[0]), "user:online 4")
	})
}

func TestCoalesce(t *testing.T) {
	const room = "channel:1"
	publish := func(w *hubtest.World, c hub.Caller, n int) {
		w.TB.Helper()
		w.Must(c, fmt.Sprintf(`{"action":"publish","id":"m%d","room":%q,"event":"message:new","data":%d}`, n, room, n))
	}
	// busy says three at once, which are pushed at once.
	busy := func(w *hubtest.World, c hub.Caller) {
		w.TB.Helper()
		for n := range 3 {
			publish(w, c, n+1)
		}
		w.Network.Take()
	}

	t.Run("what is said in a busy room goes out together, in order", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana", "bob")
		for n := range 8 {
			publish(w, all[0], n+1)
			w.Clock.Pass(20 * time.Millisecond)
		}
		same(t, "bob, at once", frames(w, all[1]), "message:new 1", "message:new 2", "message:new 3")
		w.Pass(time.Second)
		same(t, "bob, in a quarter of a second", frames(w, all[1]), "message:new 4+message:new 5+message:new 6+message:new 7+message:new 8")
		w.Pass(time.Minute)
		same(t, "bob, later", frames(w, all[1]))
		publish(w, all[0], 9)
		same(t, "bob, when the room is quiet again", frames(w, all[1]), "message:new 9")
	})
	t.Run("a paused member is pushed nothing, and who was kicked hears nothing", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana", "bob", "carla")
		busy(w, all[0])
		publish(w, all[0], 4)
		w.Must(all[1], `{"action":"pause"}`)
		if answer := w.Emit(t.Context(), hub.LeaveCommand{Selection: hub.Selection{User: "carla"}, Room: room}); !answer.OK {
			t.Fatal(answer.Error)
		}
		w.Drain()
		same(t, "ana", frames(w, all[0]), "message:new 4")
		same(t, "bob", frames(w, all[1]))
		if got := frames(w, all[2]); slices.Contains(got, "message:new 4") {
			t.Errorf("carla, who was taken out, got %q", got)
		}
		var r protocol.JoinResult
		if err := json.Unmarshal(w.Must(all[1], `{"action":"join","room":"channel:1","since":{"epoch":"`+epochOf(w, room)+`","seq":3}}`), &r); err != nil || len(r.Events) != 1 {
			t.Errorf("bob comes back to %+v (%v)", r, err)
		}
	})
	t.Run("an event for some takes what waits with it", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana", "bob")
		busy(w, all[0])
		publish(w, all[0], 4)
		c := hub.PublishCommand{Rooms: []string{room}, Event: protocol.MessageNew, Data: json.RawMessage(`5`), Except: []string{"bob"}}
		if answer := w.Emit(t.Context(), c); !answer.OK {
			t.Fatal(answer.Error)
		}
		same(t, "ana", frames(w, all[0]), "message:new 4+message:new 5")
		same(t, "bob", frames(w, all[1]), "message:new 4+room:skipped 5")
		w.Drain()
		same(t, "bob, later", frames(w, all[1]))
	})
	t.Run("a text that was deleted meanwhile is not pushed", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana", "bob")
		busy(w, all[0])
		w.Must(all[0], `{"action":"publish","id":"secret","room":"channel:1","event":"message:new","data":"secret"}`)
		w.Must(all[0], `{"action":"message:delete","channelId":"1","messageId":"secret"}`)
		w.Drain()
		for _, f := range w.Network.Frames(all[1].Connection) {
			if strings.Contains(string(f), `"data":"secret"`) {
				t.Errorf("bob got %s", f)
			}
		}
		if got := frames(w, all[1]); !slices.Equal(got, []string{"message:new 4+message:deleted 5"}) {
			t.Errorf("bob got %q", got)
		}
	})
	t.Run("a large room is served by its jobs", func(t *testing.T) {
		w := waiting(t, func(c *hub.Config) { c.Limits.Inline, c.Limits.Page = 2, 2 })
		all := full(w, room, "ana", "bob", "carla", "dan", "eve")
		for n := range 3 {
			publish(w, all[0], n+1)
		}
		w.Drain()
		w.Network.Take()
		w.Clock.Pass(100 * time.Millisecond)
		for n := range 3 {
			publish(w, all[0], n+4)
		}
		w.Drain()
		for _, c := range all {
			same(t, c.User, frames(w, c), "message:new 4+message:new 5+message:new 6")
		}
	})
	t.Run("a repetition only sees to it that it is pushed", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana", "bob")
		busy(w, all[0])
		publish(w, all[0], 4)
		publish(w, all[0], 4)
		same(t, "bob, before", frames(w, all[1]))
		w.Drain()
		same(t, "bob", frames(w, all[1]), "message:new 4")
	})
	t.Run("a flush that dies is done by the next job, and twice at the worst", func(t *testing.T) {
		dies := ""
		w := waiting(t, hubtest.Around(func(_ context.Context, name string, do func() error) error {
			if name == dies {
				dies = ""
				return errors.New("cut off")
			}
			return do()
		}))
		all := full(w, room, "ana", "bob")
		for _, call := range []string{"Head", "From", "Members", "Pend"} {
			w.Clock.Pass(time.Minute)
			first := w.Clock.Now().UnixMilli()
			for n := range 4 {
				w.Must(all[0], fmt.Sprintf(`{"action":"publish","id":"%s%d","room":%q,"event":"message:new","data":%d}`, call, n, room, first))
			}
			w.Network.Take()
			jobs := w.Queue.Take(hub.JobFlush)
			if len(jobs) != 2 {
				t.Fatalf("%s: %d jobs, want the flush and one that looks after it", call, len(jobs))
			}
			at := slices.IndexFunc(jobs, func(j hubtest.Queued) bool { return j.Delay == 0 })
			dies = call
			if w.Work(t.Context(), jobs[at].Job) == nil {
				t.Errorf("%s: the flush says that it did it", call)
			}
			w.Clock.To(jobs[1-at].Due)
			if err := w.Work(t.Context(), jobs[1-at].Job); err != nil {
				t.Errorf("%s: %v", call, err)
			}
			got := slices.Compact(frames(w, all[1]))
			if len(got) != 1 || strings.Contains(got[0], "+") {
				t.Errorf("%s: bob got %q, want the fourth message", call, got)
			}
			w.Drain()
			if got := frames(w, all[1]); len(got) != 0 {
				t.Errorf("%s: then bob got %q", call, got)
			}
		}
	})
	t.Run("whoever finds a flush abandoned takes it over", func(t *testing.T) {
		w := waiting(t)
		all := full(w, room, "ana", "bob")
		busy(w, all[0])
		publish(w, all[0], 4)
		w.Queue.Take() // and is lost
		w.Clock.Pass(3 * time.Second)
		publish(w, all[0], 5)
		same(t, "bob", frames(w, all[1]), "message:new 4+message:new 5")
	})
}

func epochOf(w *hubtest.World, room string) string {
	w.TB.Helper()
	head, err := w.Store.Head(w.TB.Context(), room, time.Time{})
	if err != nil {
		w.TB.Fatal(err)
	}
	return head.Epoch
}

func TestKindsThatWait(t *testing.T) {
	kinds, err := hub.ParseKinds([]byte(`{"user":{"owner":true,"keep":"720h"},"a":{"presence":true,"keep":"1h"},"b":{"presence":true,"keep":"1h","lazy":"0s"},"c":{"keep":"1h","coalesce":"250ms"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if a, b, c := kinds["a"], kinds["b"], kinds["c"]; a.Lazy != time.Minute || a.Coalesce != 0 || b.Lazy != 0 || c.Coalesce != 250*time.Millisecond || c.Lazy != 0 {
		t.Errorf("got %+v", kinds)
	}
	short, err := hub.ParseKinds([]byte(`{"user":{"owner":true,"keep":"720h"},"a":{"presence":true,"keep":"10m"}}`))
	if err != nil || short["a"].Lazy != 0 {
		t.Errorf("a log that is kept for 10 minutes: got %+v, %v", short["a"], err)
	}
	if _, err := hub.ParseKinds([]byte(`{"user":{"owner":true,"keep":"720h"},"a":{"keep":"10m","coalesce":"250ms"}}`)); err == nil || !strings.Contains(err.Error(), `needs a "keep"`) {
		t.Errorf("what waits is not kept: got %v", err)
	}
	for _, bad := range []string{`"lazy":"20m"`, `"lazy":"-1s"`, `"lazy":"soon"`, `"coalesce":"2s"`, `"coalesce":""`} {
		_, err := hub.ParseKinds([]byte(`{"user":{"owner":true,"keep":"720h"},"a":{"keep":"1h",` + bad + `}}`))
		if err == nil || !strings.Contains(err.Error(), "must be a duration of at most") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}
