package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world adds what the tests of this package say often.
type world struct{ *hubtest.World }

func newWorld(tb testing.TB, change ...func(*hub.Config)) world {
	tb.Helper()
	return world{hubtest.New(tb, change...)}
}

// publish is a message in channel:1.
func (w world) publish(c hub.Caller, id string) protocol.PublishResult {
	w.TB.Helper()
	var got struct {
		OK   bool
		Data protocol.PublishResult
	}
	frame := fmt.Sprintf(`{"action":"publish","id":%q,"room":"channel:1","event":"message:new","data":1}`, id)
	out := w.Receive(w.TB.Context(), c, []byte(frame))
	if err := json.Unmarshal(out, &got); err != nil || !got.OK {
		w.TB.Fatalf("publish: %s %v", out, err)
	}
	return got.Data
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

func TestPresence(t *testing.T) {
	join := `{"action":"join","room":"community:1"}`
	t.Run("a second device is no second arrival, and its going no departure", func(t *testing.T) {
		w := newWorld(t)
		bob, laptop, phone := w.Open("bob"), w.Open("ana"), w.Open("ana")
		for _, c := range []hub.Caller{bob, laptop, phone} {
			w.Must(c, join)
		}
		if err := w.Depart(t.Context(), laptop.Connection); err != nil {
			t.Fatal(err)
		}
		w.Drain()
		if got, want := w.Network.Names(bob.Connection), []string{"user:online", "user:online"}; !slices.Equal(got, want) {
			t.Errorf("bob saw %v, want %v", got, want)
		}
		if err := w.Depart(t.Context(), phone.Connection); err != nil {
			t.Fatal(err)
		}
		w.Drain()
		if n := count(w.Network.Names(bob.Connection), "user:offline"); n != 1 {
			t.Errorf("bob saw %d departures, want 1", n)
		}
	})
	t.Run("who is back within the grace was never away", func(t *testing.T) {
		w := newWorld(t)
		bob, ana := w.Open("bob"), w.Open("ana")
		w.Must(bob, join)
		w.Must(ana, join)
		if err := w.Depart(t.Context(), ana.Connection); err != nil {
			t.Fatal(err)
		}
		w.Pass(9 * time.Second)
		w.Must(w.Open("ana"), join)
		w.Drain()
		if got, want := w.Network.Names(bob.Connection), []string{"user:online", "user:online"}; !slices.Equal(got, want) {
			t.Errorf("bob saw %v, want %v", got, want)
		}
	})
	t.Run("each absence has a grace of its own: the job of an earlier one ends nothing", func(t *testing.T) {
		w := newWorld(t)
		bob := w.Open("bob")
		w.Must(bob, join)
		for _, pause := range []time.Duration{5 * time.Second, 9 * time.Second} {
			ana := w.Open("ana")
			w.Must(ana, join)
			if err := w.Depart(t.Context(), ana.Connection); err != nil {
				t.Fatal(err)
			}
			w.Pass(pause) // the first grace ends in the middle of the second
		}
		if n := count(w.Network.Names(bob.Connection), "user:offline"); n != 0 {
			t.Errorf("ana is offline after 9 s of 10")
		}
		w.Pass(2 * time.Second)
		if n := count(w.Network.Names(bob.Connection), "user:offline"); n != 1 {
			t.Errorf("bob saw %d ends, want 1", n)
		}
	})
	t.Run("the job of an earlier presence ends none that is in its own grace", func(t *testing.T) {
		w := newWorld(t)
		bob, ana := w.Open("bob"), w.Open("ana")
		w.Must(bob, join)
		w.Must(ana, join)
		if err := w.Depart(t.Context(), ana.Connection); err != nil {
			t.Fatal(err)
		}
		jobs := w.Queue.Waiting()
		w.Pass(time.Minute)
		ana = w.Open("ana")
		w.Must(ana, join)
		if err := w.Depart(t.Context(), ana.Connection); err != nil {
			t.Fatal(err)
		}
		w.Network.Take()
		for _, j := range jobs {
			if j.Job.Kind != hub.JobAbsence {
				continue
			}
			if err := w.Work(t.Context(), j.Job); err != nil { // the queue brings it again
				t.Fatal(err)
			}
		}
		if got := w.Network.Names(bob.Connection); len(got) != 0 {
			t.Errorf("bob saw %v", got)
		}
	})
	t.Run("who leaves, or closes the connection, is offline at once; who is cut off, after the grace", func(t *testing.T) {
		for how, end := range map[string]struct {
			do   func(w world, c hub.Caller) error
			want int // departures that bob has seen after a second, of the one that there is in the end
		}{
			"leave": {func(w world, c hub.Caller) error { w.Must(c, `{"action":"leave","room":"community:1"}`); return nil }, 1},
			"close": {func(w world, c hub.Caller) error { return w.DepartForGood(t.Context(), c.Connection) }, 1},
			"cut":   {func(w world, c hub.Caller) error { return w.Depart(t.Context(), c.Connection) }, 0},
		} {
			w := newWorld(t)
			bob, ana := w.Open("bob"), w.Open("ana")
			w.Must(bob, join)
			w.Must(ana, join)
			if err := end.do(w, ana); err != nil {
				t.Fatal(err)
			}
			w.Pass(time.Second)
			if n := count(w.Network.Names(bob.Connection), "user:offline"); n != end.want {
				t.Errorf("%s: after a second bob has seen %d departures, want %d", how, n, end.want)
			}
			w.Pass(10 * time.Second)
			if n := count(w.Network.Names(bob.Connection), "user:offline"); n != 1 {
				t.Errorf("%s: bob has seen %d departures", how, n)
			}
		}
	})
	t.Run("who leaves and joins at once was never away", func(t *testing.T) {
		w := newWorld(t)
		bob, ana := w.Open("bob"), w.Open("ana")
		for _, c := range []hub.Caller{bob, ana} {
			w.Must(c, join)
		}
		w.Must(ana, `{"action":"leave","room":"community:1"}`)
		w.Must(ana, join)
		w.Pass(time.Minute)
		if got := w.Network.Names(bob.Connection); count(got, "user:offline") != 0 || count(got, "user:online") != 2 {
			t.Errorf("bob heard %v", got)
		}
	})
	t.Run("a departure that is run twice tells once", func(t *testing.T) {
		w := newWorld(t)
		bob, ana := w.Open("bob"), w.Open("ana")
		w.Must(bob, join)
		w.Must(ana, join)
		for range 2 {
			if err := w.Depart(t.Context(), ana.Connection); err != nil {
				t.Fatal(err)
			}
		}
		jobs := w.Queue.Take()
		w.Clock.Pass(10 * time.Second)
		for _, j := range append(jobs, jobs...) {
			if err := w.Work(t.Context(), j.Job); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(w.Network.Names(bob.Connection), "user:offline"); n != 1 {
			t.Errorf("bob saw %d departures, want 1", n)
		}
	})
	t.Run("an end that was lost is made good by the next who joins", func(t *testing.T) {
		w := newWorld(t)
		bob, ana := w.Open("bob"), w.Open("ana")
		w.Must(bob, join)
		w.Must(ana, join)
		if err := w.Depart(t.Context(), ana.Connection); err != nil {
			t.Fatal(err)
		}
		w.Queue.Take() // and lose it
		w.Clock.Pass(10 * time.Minute)
		carla := w.Open("carla")
		if data := w.Must(carla, join); !bytes.Contains(data, []byte(`"ana"`)) {
			t.Errorf("ana, whose end nobody has heard of, is not present: %s", data)
		}
		w.Drain()
		for _, c := range []hub.Caller{bob, carla} {
			if n := count(w.Network.Names(c.Connection), "user:offline"); n != 1 {
				t.Errorf("%s saw %d departures, want 1", c.Connection, n)
			}
		}
		if data := w.Must(w.Open("dora"), join); bytes.Contains(data, []byte(`"ana"`)) {
			t.Errorf("ana is still present: %s", data)
		}
	})
	t.Run("who was overdue and comes back is known to those who joined meanwhile", func(t *testing.T) {
		w := newWorld(t)
		ana := w.Open("ana")
		w.Must(ana, join)
		if err := w.Depart(t.Context(), ana.Connection); err != nil {
			t.Fatal(err)
		}
		w.Queue.Take() // and lose it
		w.Clock.Pass(10 * time.Minute)
		carla := w.Open("carla")
		data := w.Must(carla, join)
		w.Must(w.Open("ana"), join)
		w.Drain()
		told := count(w.Network.Names(carla.Connection), "user:online") - count(w.Network.Names(carla.Connection), "user:offline")
		if shown := bytes.Count(data, []byte(`"ana"`)); shown+told != 1+1 { // carla herself came online too
			t.Errorf("carla was shown ana %d times, and told %d arrivals more than departures", shown, told)
		}
	})
	t.Run("many overdue presences are ended by many readers, a few each", func(t *testing.T) {
		w := newWorld(t)
		for i := range 30 {
			stuck := w.Open(fmt.Sprintf("u%02d", i))
			w.Must(stuck, join)
			if err := w.Depart(t.Context(), stuck.Connection); err != nil {
				t.Fatal(err)
			}
		}
		w.Queue.Take()
		w.Clock.Pass(10 * time.Minute)
		for i := range 5 {
			w.Must(w.Open(fmt.Sprintf("reader%d", i)), join)
			jobs := len(w.Queue.Take())
			if want := []int{10, 10, 10, 0, 0}[i]; jobs != want {
				t.Errorf("reader %d left %d jobs, want %d", i, jobs, want)
			}
		}
	})
	t.Run("a status that comes after its room was left brings nobody back", func(t *testing.T) {
		w := newWorld(t)
		ana := w.Open("ana")
		w.Must(ana, `{"action":"join","room":"community:1"}`)
		was, err := w.Store.Here(t.Context(), "community:1", "ana")
		if err != nil {
			t.Fatal(err)
		}
		left := was
		left.Stays, left.Left = nil, w.Clock.Now()
		if _, err := w.Store.SetHere(t.Context(), "community:1", was, left); err != nil { // as far as a leave has got
			t.Fatal(err)
		}
		if got := w.Ask(ana, `{"action":"presence","room":"community:1","status":"away"}`); got.OK || got.Error.Code != protocol.CodeNotInRoom {
			t.Errorf("got %+v", got)
		}
		if got := string(w.Must(ana, `{"action":"presence","status":"away"}`)); got != `{"rooms":[],"status":"away"}` {
			t.Errorf("got %s", got)
		}
		if here, err := w.Store.Here(t.Context(), "community:1", "ana"); err != nil || len(here.Connections()) != 0 {
			t.Errorf("got %+v, %v", here, err)
		}
	})
	t.Run("the status one has already is no change", func(t *testing.T) {
		w := newWorld(t)
		ana := w.Open("ana")
		w.Must(ana, join)
		for _, status := range []string{"away", "away", "busy"} {
			w.Must(ana, `{"action":"presence","status":"`+status+`"}`)
		}
		if n := count(w.Network.Names(ana.Connection), "presence:changed"); n != 2 {
			t.Errorf("got %d changes, want 2", n)
		}
	})
}

// hurried is a context with a deadline by the clock of a test.
type hurried struct {
	context.Context

	at time.Time
}

func (h hurried) Deadline() (time.Time, bool) { return h.at, true }

func TestDelivery(t *testing.T) {
	t.Run("a large room is served by a job for each shard, each member once", func(t *testing.T) {
		const members = 700
		w := newWorld(t, func(c *hub.Config) { c.Limits.Inline, c.Limits.Page = 50, 100 })
		all := make([]hub.Caller, members)
		for i := range all {
			all[i] = w.Open(fmt.Sprintf("user%d", i))
			w.Must(all[i], `{"action":"join","room":"channel:1"}`)
		}
		w.publish(all[0], "m1")
		jobs := w.Drain()
		if jobs != 1 { // 50 inline, then the others of the only shard
			t.Errorf("got %d jobs, want 1", jobs)
		}
		for _, c := range all {
			if n := count(w.Network.Names(c.Connection), "message:new"); n != 1 {
				t.Fatalf("%s got it %d times", c.Connection, n)
			}
		}
	})
	t.Run("events that wait for the same members come in one frame, in order", func(t *testing.T) {
		w := newWorld(t, func(c *hub.Config) { c.Limits.Inline = 1 })
		ana, bob := w.Open("ana"), w.Open("bob")
		for _, c := range []hub.Caller{ana, bob} {
			w.Must(c, `{"action":"join","room":"channel:1"}`)
		}
		for i := range 5 {
			w.publish(ana, fmt.Sprint("m", i))
		}
		jobs := hubtest.Jobs(w.Queue.Take())
		slices.Reverse(jobs)
		for _, err := range w.WorkAll(t.Context(), jobs) {
			if err != nil {
				t.Error(err)
			}
		}
		var got struct{ Batch []protocol.Event }
		if frames := w.Network.Frames(bob.Connection); len(frames) != 1 || json.Unmarshal(frames[0], &got) != nil {
			t.Fatalf("bob got %d frames: %s", len(frames), frames)
		}
		for i, e := range got.Batch {
			if e.Seq != int64(i+1) {
				t.Errorf("event %d has seq %d", i, e.Seq)
			}
		}
		if len(got.Batch) != 5 {
			t.Errorf("got %d events", len(got.Batch))
		}
	})
	t.Run("a full shard makes the room grow, and nobody is lost", func(t *testing.T) {
		w := newWorld(t, func(c *hub.Config) { c.Limits.Inline, c.Limits.Page, c.Limits.Shard = 10, 10, 40 })
		var all []hub.Caller
		for i := range 100 {
			c := w.Open(fmt.Sprintf("user%d", i))
			w.Must(c, `{"action":"join","room":"channel:1"}`)
			w.publish(c, fmt.Sprint("m", i))
			w.Drain()
			all = append(all, c)
		}
		if n, err := w.Store.Shards(t.Context(), "channel:1"); err != nil || n < 2 {
			t.Errorf("got %d shards, %v", n, err)
		}
		for i, c := range all {
			if got, want := count(w.Network.Names(c.Connection), "message:new"), len(all)-i; got != want {
				t.Errorf("%s got %d messages, want %d", c.Connection, got, want)
			}
		}
	})
	t.Run("a gone connection is forgotten, its room is not, and the sender is told that all is well", func(t *testing.T) {
		w := newWorld(t)
		ana, bob := w.Open("ana"), w.Open("bob")
		for _, c := range []hub.Caller{ana, bob} {
			w.Must(c, `{"action":"join","room":"channel:1"}`)
		}
		w.Clock.Pass(2 * time.Minute)
		tries := 0
		w.Network.Fail(func(c hubtest.Call) error {
			if c.Connection != bob.Connection {
				return nil
			}
			tries++
			return hub.ErrGone
		})
		w.publish(ana, "m1")
		if _, err := w.Store.Connection(t.Context(), bob.Connection); !errors.Is(err, hub.ErrNotFound) {
			t.Errorf("bob's row: %v", err)
		}
		w.publish(ana, "m2")
		if tries != 1 {
			t.Errorf("bob was pushed to %d times, want 1", tries)
		}
		if n := count(w.Network.Names(ana.Connection), "message:new"); n != 2 {
			t.Errorf("ana got %d messages, want 2", n)
		}
	})
	t.Run("a connection that is only just opening survives its first 410", func(t *testing.T) {
		w := newWorld(t)
		ana, bob := w.Open("ana"), w.Open("bob")
		for _, c := range []hub.Caller{ana, bob} {
			w.Must(c, `{"action":"join","room":"channel:1"}`)
		}
		w.Network.Fail(hubtest.Always(hub.ErrGone))
		w.publish(ana, "m1")
		w.Network.Fail(nil)
		w.publish(ana, "m2")
		if n := count(w.Network.Names(bob.Connection), "message:new"); n != 1 {
			t.Errorf("bob got %d messages, want 1", n)
		}
	})
	t.Run("who is throttled gets a logged event later, and an ephemeral one never", func(t *testing.T) {
		w := newWorld(t)
		ana, bob := w.Open("ana"), w.Open("bob")
		for _, c := range []hub.Caller{ana, bob} {
			w.Must(c, `{"action":"join","room":"channel:1"}`)
		}
		w.Network.Fail(hubtest.Of(hub.ErrThrottled, bob.Connection))
		w.Receive(t.Context(), ana, []byte(`{"action":"typing:start","channelId":"1"}`))
		w.publish(ana, "m1")
		w.Network.Fail(nil)
		if jobs := w.Drain(); jobs != 1 {
			t.Errorf("got %d jobs, want 1", jobs)
		}
		if got, want := w.Network.Names(bob.Connection), []string{"message:new"}; !slices.Equal(got, want) {
			t.Errorf("bob got %v, want %v", got, want)
		}
	})
	t.Run("a push whose answer was lost comes again, at the same place of the log", func(t *testing.T) {
		w := newWorld(t)
		ana, bob := w.Open("ana"), w.Open("bob")
		for _, c := range []hub.Caller{ana, bob} {
			w.Must(c, `{"action":"join","room":"channel:1"}`)
		}
		w.Network.Fail(hubtest.Of(hubtest.ErrLost, bob.Connection))
		w.publish(ana, "m1")
		w.Network.Fail(nil)
		if jobs := w.Drain(); jobs != 1 {
			t.Errorf("got %d jobs, want 1", jobs)
		}
		got := w.Network.Events(bob.Connection)
		if len(got) != 2 || got[0].Seq != 1 || got[1].Seq != 1 || got[0].ID != "m1" || got[1].ID != "m1" {
			t.Errorf("bob got %+v, want m1 twice", got)
		}
		if n := count(w.Network.Names(ana.Connection), "message:new"); n != 1 {
			t.Errorf("ana got it %d times, want 1", n)
		}
	})
	t.Run("what the queue did not take is not acknowledged, and sent again it reaches all", func(t *testing.T) {
		w := newWorld(t, func(c *hub.Config) { c.Limits.Inline = 1 })
		all := []hub.Caller{w.Open("ana"), w.Open("bob"), w.Open("cyd")}
		for _, c := range all {
			w.Must(c, `{"action":"join","room":"channel:1"}`)
		}
		publish := `{"action":"publish","id":"m1","room":"channel:1","event":"message:new","data":1}`
		w.Queue.Fail = func(hub.Job) error { return errors.New("the queue is down") }
		if r := w.Ask(all[0], publish); r.OK || !r.Error.Code.Retry() {
			t.Errorf("got %+v, want to be told to try again", r)
		}
		w.Queue.Fail = nil
		w.Must(all[0], publish)
		w.Drain()
		for _, c := range all {
			events := w.Network.Events(c.Connection)
			if len(events) == 0 || slices.ContainsFunc(events, func(e protocol.Event) bool { return e.Seq != 1 || e.ID != "m1" }) {
				t.Errorf("%s got %+v, want m1 and nothing else", c.Connection, events)
			}
		}
	})
	t.Run("what there is no time for is left to the queue", func(t *testing.T) {
		w := newWorld(t)
		ana, bob := w.Open("ana"), w.Open("bob")
		for _, c := range []hub.Caller{ana, bob} {
			w.Must(c, `{"action":"join","room":"channel:1"}`)
		}
		ctx := hurried{t.Context(), w.Clock.Now().Add(time.Second)}
		e := protocol.Event{Event: "message:new", Room: "channel:1", Seq: 1, ID: "m1"}
		if err := w.Work(ctx, hub.Job{Kind: hub.JobFanOut, Room: "channel:1", Event: &e}); err != nil {
			t.Fatal(err)
		}
		if n := len(w.Network.Names(bob.Connection)); n != 0 {
			t.Errorf("bob got %d events with no time left", n)
		}
		w.Drain()
		if n := count(w.Network.Names(bob.Connection), "message:new"); n != 1 {
			t.Errorf("bob got it %d times, want 1", n)
		}
	})
	t.Run("what several jobs have no time for is left to the queue by each", func(t *testing.T) {
		w := newWorld(t, func(c *hub.Config) { c.Limits.Page = 2 })
		var all []hub.Caller
		for _, user := range []string{"ana", "bob", "carla", "dan", "eve"} {
			all = append(all, w.Open(user))
			w.Must(all[len(all)-1], `{"action":"join","room":"channel:1"}`)
		}
		var jobs []hub.Job
		for n := range int64(3) {
			e := protocol.Event{Event: "message:new", Room: "channel:1", Seq: n + 1, ID: fmt.Sprint("m", n)}
			jobs = append(jobs, hub.Job{Kind: hub.JobFanOut, Room: "channel:1", Event: &e})
		}
		for _, err := range w.WorkAll(hurried{t.Context(), w.Clock.Now().Add(5 * time.Second)}, jobs) {
			if err != nil {
				t.Fatal(err)
			}
		}
		w.Drain()
		for _, c := range all {
			if n := count(w.Network.Names(c.Connection), "message:new"); n != len(jobs) {
				t.Errorf("%s got %d of %d events", c.User, n, len(jobs))
			}
		}
	})
	t.Run("what never gets through ends as a dead letter", func(t *testing.T) {
		w := newWorld(t)
		ana := w.Open("ana")
		w.Must(ana, `{"action":"join","room":"channel:1"}`)
		w.Network.Fail(hubtest.Always(errors.New("a broken cable")))
		w.publish(ana, "m1")
		for try := range 6 {
			jobs := w.Queue.Take()
			if len(jobs) != 1 {
				t.Fatalf("try %d: got %d jobs", try, len(jobs))
			}
			err := w.Work(t.Context(), jobs[0].Job)
			if err != nil {
				if try < 4 {
					t.Errorf("gave up at try %d", try)
				}
				return
			}
		}
		t.Error("it is tried for ever")
	})
}

// cutOff lets a hub fail before or after its nth call, and at all that follow, as a function does that is cut off there.
func cutOff(at int, after bool) hubtest.Step {
	var mu sync.Mutex
	return func(_ context.Context, _ string, do func() error) error {
		mu.Lock()
		at--
		now, dead := at == 0, at < 0
		mu.Unlock()
		if dead || now && !after {
			return errCrash
		}
		if err := do(); err != nil || !now {
			return err
		}
		return errCrash
	}
}

var errCrash = errors.New("the function was cut off")

// TestCrashes cuts a user's whole visit off at every call of the store, before and after it, lets the client retry and
// the sweep run, and looks at what others saw in the end.
func TestCrashes(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := 1; at <= 60; at++ {
			t.Run(fmt.Sprintf("after %v call %d", after, at), func(t *testing.T) {
				w := newWorld(t)
				bob, ana := w.Open("bob"), w.Open("ana")
				w.Must(bob, `{"action":"join","room":"community:1"}`)
				broken := w.Config
				hubtest.Around(cutOff(at, after))(&broken)
				visit := func(h *hub.Hub) {
					for _, frame := range []string{
						`{"action":"join","id":"1","room":"community:1"}`,
						`{"action":"publish","id":"m1","room":"community:1","event":"message:new","data":1}`,
					} {
						h.Receive(t.Context(), ana, []byte(frame))
					}
				}
				leave := func(h *hub.Hub) {
					_ = h.Depart(t.Context(), ana.Connection)
					jobs := w.Queue.Take()
					w.Clock.Pass(11 * time.Second)
					for _, j := range jobs {
						if h.Work(t.Context(), j.Job) != nil {
							_ = w.Queue.Enqueue(t.Context(), j.Job, 0) // as SQS does
						}
					}
				}
				h := hub.New(broken)
				visit(h)
				visit(w.Hub) // the client tries again
				leave(h)
				w.Network.Fail(hubtest.Of(hub.ErrGone, ana.Connection))
				w.Clock.Pass(20 * time.Minute) // within the connections' hour
				if _, err := w.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.Drain()
				saw := w.Network.Names(bob.Connection)
				seqs := map[int64]string{}
				for _, e := range w.Network.Events(bob.Connection) {
					if e.Seq > 0 {
						seqs[e.Seq] = e.Event + e.From.UserID
					}
				}
				for _, want := range []string{"message:newana", "user:onlineana", "user:offlineana"} {
					n := 0
					for _, got := range seqs {
						if got == want {
							n++
						}
					}
					if n != 1 {
						t.Errorf("bob saw %s %d times, of %v", want, n, saw)
					}
				}
				here, err := w.Store.Present(t.Context(), "community:1", "", 10)
				if err != nil || len(here) != 1 || here[0].User != "bob" {
					t.Errorf("present: %+v, %v", here, err)
				}
				page, err := w.Store.Members(t.Context(), "community:1", 0, "", 10)
				if err != nil || len(page.Members) != 1 {
					t.Errorf("members: %+v, %v", page, err)
				}
				if _, err := w.Store.Connection(t.Context(), ana.Connection); !errors.Is(err, hub.ErrNotFound) {
					t.Errorf("ana's connection is still known: %v", err)
				}
			})
		}
	}
}

// TestJoinRacesDepart departs a connection while it joins: no membership may be left behind.
func TestJoinRacesDepart(t *testing.T) {
	for i := range 200 {
		w := newWorld(t)
		ana := w.Open("ana")
		var wg sync.WaitGroup
		wg.Go(func() { w.Receive(t.Context(), ana, []byte(`{"action":"join","id":"1","room":"community:1"}`)) })
		wg.Go(func() {
			if err := w.Depart(t.Context(), ana.Connection); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		w.Drain()
		w.Clock.Pass(3 * time.Minute) // until the marks are over
		page, err := w.Store.Members(t.Context(), "community:1", 0, "", 10)
		if err != nil || len(page.Members) != 0 {
			t.Fatalf("round %d: members %+v, %v", i, page, err)
		}
		if here, err := w.Store.Present(t.Context(), "community:1", "", 10); err != nil || len(here) != 0 {
			t.Fatalf("round %d: present %+v, %v", i, here, err)
		}
	}
}

// TestJoinOfAClosingConnection: its departure has got as far as its memberships, and is cut off before the row goes.
func TestJoinOfAClosingConnection(t *testing.T) {
	var closes func()
	w := newWorld(t, hubtest.Around(func(_ context.Context, name string, do func() error) error {
		switch {
		case name == "Forget":
			return errors.New("cut off")
		case name == "AddMember" && closes != nil:
			run := closes
			closes = nil
			run()
		}
		return do()
	}))
	ana := w.Open("ana")
	closes = func() {
		if err := w.Depart(t.Context(), ana.Connection); err == nil {
			t.Error("the departure was not cut off")
		}
	}
	if got := w.Ask(ana, `{"action":"join","room":"channel:1"}`); got.OK || got.Error.Code != protocol.CodeUnauthenticated {
		t.Errorf("got %+v, want %s", got, protocol.CodeUnauthenticated)
	}
}

// since joins channel:1 again, from a position on.
func (w world) since(t *testing.T, c hub.Caller, p protocol.Position) (got protocol.JoinResult) {
	t.Helper()
	data := w.Must(c, fmt.Sprintf(`{"action":"join","room":"channel:1","since":{"epoch":%q,"seq":%d}}`, p.Epoch, p.Seq))
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestResume(t *testing.T) {
	since := func(w world, c hub.Caller, p protocol.Position) protocol.JoinResult { return w.since(t, c, p) }
	begin := func(t *testing.T) (world, hub.Caller, protocol.Position) {
		t.Helper()
		w := newWorld(t)
		ana := w.Open("ana")
		w.Must(ana, `{"action":"join","room":"channel:1"}`)
		first := w.publish(ana, "m1")
		return w, ana, protocol.Position{Epoch: first.Epoch, Seq: first.Seq}
	}
	t.Run("a long absence comes in pages without a gap", func(t *testing.T) {
		w, ana, at := begin(t)
		data, err := json.Marshal(strings.Repeat("x", 10_000))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			frame := fmt.Sprintf(`{"action":"publish","id":"l%d","room":"channel:1","event":"message:new","data":%s}`, i, data)
			w.Receive(t.Context(), ana, []byte(frame))
			w.Clock.Pass(10 * time.Millisecond)
		}
		pages := 0
		for more := true; more; pages++ {
			got := since(w, ana, at)
			if !got.Recovered {
				t.Fatalf("page %d is not recovered", pages)
			}
			for _, e := range got.Events {
				if e.Seq != at.Seq+1 {
					t.Fatalf("after %d comes %d", at.Seq, e.Seq)
				}
				at.Seq = e.Seq
			}
			at, more = protocol.Position{Epoch: got.Epoch, Seq: got.Seq}, got.More
		}
		if at.Seq != 31 || pages < 4 {
			t.Errorf("got to %d in %d pages", at.Seq, pages)
		}
	})
	t.Run("events too large to be read together are not forgotten", func(t *testing.T) {
		w, ana, at := begin(t)
		for i := range 3 {
			a := w.Emit(t.Context(), hub.PublishCommand{Rooms: []string{"channel:1"}, Event: "large", ID: fmt.Sprint("l", i), Data: json.RawMessage(`"` + strings.Repeat("x", 100<<10) + `"`)})
			if !a.OK {
				t.Fatal(a.Error)
			}
		}
		for want := range int64(3) {
			got := since(w, ana, at)
			if !got.Recovered || len(got.Events) != 1 || got.Seq != at.Seq+1 || got.More != (want < 2) {
				t.Fatalf("since %d: recovered %v, %d events to %d, more %v", at.Seq, got.Recovered, len(got.Events), got.Seq, got.More)
			}
			at.Seq = got.Seq
		}
	})
	t.Run("a log that no longer reaches back says so", func(t *testing.T) {
		w, ana, at := begin(t)
		w.publish(ana, "m2")
		w.Clock.Pass(25 * time.Hour)
		bob := w.Open("bob")
		w.Must(bob, `{"action":"join","room":"channel:1"}`)
		w.publish(bob, "m3")
		w.Clock.Pass(10 * time.Second)
		if got := since(w, bob, at); got.Recovered || len(got.Events) != 0 || got.Seq != 3 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a room that was closed has another epoch", func(t *testing.T) {
		w, ana, at := begin(t)
		if a := w.Emit(t.Context(), hub.CloseCommand{Room: "channel:1"}); !a.OK {
			t.Fatal(a.Error)
		}
		got := since(w, ana, at)
		if got.Recovered || got.Epoch == at.Epoch {
			t.Errorf("got %+v", got)
		}
		if h := w.Must(ana, `{"action":"history","room":"channel:1"}`); !bytes.Contains(h, []byte(`"events":[]`)) {
			t.Errorf("history: %s", h)
		}
	})
	t.Run("a position ahead of the log is not believed", func(t *testing.T) {
		w, ana, at := begin(t)
		if got := since(w, ana, protocol.Position{Epoch: at.Epoch, Seq: 99}); got.Recovered || got.Seq != 1 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a young hole stops the reply and says how long to wait, an old one does not", func(t *testing.T) {
		w := newWorld(t, func(c *hub.Config) { c.Store = holed{c.Store, 3, c.Now()} })
		ana := w.Open("ana")
		w.Must(ana, `{"action":"join","room":"channel:1"}`)
		first := w.publish(ana, "m1")
		at := protocol.Position{Epoch: first.Epoch, Seq: first.Seq}
		for i := range 4 {
			w.publish(ana, fmt.Sprint("n", i))
		}
		if got := since(w, ana, at); !got.Recovered || got.Seq != 2 || len(got.Events) != 1 || !got.More {
			t.Errorf("young: got %+v", got)
		}
		at.Seq = 2
		if got := since(w, ana, at); !got.Recovered || got.Seq != 2 || len(got.Events) != 0 || !got.More || got.WaitMs < 1000 || got.WaitMs > 2001 {
			t.Errorf("young, right before it: got %+v", got)
		}
		var fresh protocol.JoinResult
		if err := json.Unmarshal(w.Must(ana, `{"action":"join","room":"channel:1"}`), &fresh); err != nil || fresh.Seq != 2 || !fresh.More || fresh.WaitMs < 1000 {
			t.Errorf("young, without a position: got %+v %v", fresh, err)
		}
		w.Clock.Pass(1001 * time.Millisecond)
		at.Seq = 1
		if got := since(w, ana, at); !got.Recovered || got.Seq != 5 || len(got.Events) != 3 || got.More {
			t.Errorf("old: got %+v", got)
		}
	})
}

// holed is a store whose log lacks one seq, as after a crash between counting and writing. It knows when it counted: all at once.
type holed struct {
	hub.Store
	missing int64
	at      time.Time
}

func (h holed) Head(ctx context.Context, room string, until time.Time) (hub.Head, error) {
	head, err := h.Store.Head(ctx, room, until)
	head.Recent = nil
	for seq := head.Seq; seq > 0; seq-- {
		head.Recent = append(head.Recent, hub.Counted{Seq: seq, At: h.at})
	}
	return head, err
}

func (h holed) without(list []hub.Entry, err error) ([]hub.Entry, error) {
	return slices.DeleteFunc(list, func(e hub.Entry) bool { return e.Seq == h.missing }), err
}

func (h holed) From(ctx context.Context, room string, first int64, limit int) ([]hub.Entry, error) {
	return h.without(h.Store.From(ctx, room, first, limit))
}

func (h holed) Void(context.Context, string, int64, time.Duration) (bool, error) { return true, nil }

func (h holed) Before(ctx context.Context, room string, before int64, limit int) ([]hub.Entry, error) {
	return h.without(h.Store.Before(ctx, room, before, limit))
}

func TestExceptHoldsForARetry(t *testing.T) {
	w := newWorld(t)
	ana, bob := w.Open("ana"), w.Open("bob")
	for _, c := range []hub.Caller{ana, bob} {
		w.Must(c, `{"action":"join","room":"channel:1"}`)
	}
	for range 2 {
		a := w.Emit(t.Context(), hub.PublishCommand{Rooms: []string{"channel:1"}, Event: "news", ID: "n1", Except: []string{"bob"}})
		if !a.OK {
			t.Fatal(a.Error)
		}
	}
	if a, b := count(w.Network.Names(ana.Connection), "news"), count(w.Network.Names(bob.Connection), "news"); a != 2 || b != 0 {
		t.Errorf("ana got it %d times, bob %d times", a, b)
	}
}

// TestExcept: who is left out of a logged event is neither told of it later, when the log is read for what was missed, nor takes it for
// lost.
func TestExcept(t *testing.T) {
	w := newWorld(t, func(c *hub.Config) { c.Limits.Inline = 2 }) // and in a job
	var callers []hub.Caller
	for _, user := range []string{"ana", "bob", "eve", "fay"} {
		callers = append(callers, w.Open(user))
		w.Must(callers[len(callers)-1], `{"action":"join","room":"channel:1"}`)
	}
	w.Must(callers[3], `{"action":"join","room":"channel:2"}`)
	start, err := w.Store.Head(t.Context(), "channel:1", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []hub.PublishCommand{
		{Event: "secret", Except: []string{"bob", "user:eve", "channel:2"}}, {Event: "news"}, {Event: "typed", Ephemeral: true, Except: []string{"bob"}},
	} {
		event.Rooms = []string{"channel:1"}
		if a := w.Emit(t.Context(), event); !a.OK {
			t.Fatal(a.Error)
		}
	}
	w.Drain()
	w.Must(callers[1], `{"action":"leave","room":"channel:1"}`)
	for i, want := range [][]string{{"secret", "news", "typed"}, {"room:skipped", "news"}, {"room:skipped", "news", "typed"}, {"room:skipped", "news", "typed"}} {
		if got := w.Network.Names(callers[i].Connection); !slices.Equal(got, want) {
			t.Errorf("%d heard %v, want %v", i, got, want)
		}
		missed := w.since(t, callers[i], start.Position)
		var names []string
		for _, e := range missed.Events {
			names = append(names, e.Event)
		}
		if wants := map[bool][]string{true: {"secret", "news"}, false: {"news"}}[i == 0]; !slices.Equal(names, wants) || !missed.Recovered || missed.Seq != start.Seq+2 {
			t.Errorf("%d missed %v, recovered %t up to %d, want %v", i, names, missed.Recovered, missed.Seq, wants)
		}
	}
}

func TestRateLimit(t *testing.T) {
	w := newWorld(t, func(c *hub.Config) { c.Limits = hub.Limits{} })
	ana := w.Open("ana")
	w.Must(ana, `{"action":"join","room":"channel:1"}`)
	ok := 0
	for range 50 {
		if w.Ask(ana, `{"action":"history","room":"channel:1"}`).OK {
			ok++
		}
	}
	if ok != 19 { // and the join
		t.Errorf("%d of a burst of 20 came through", ok+1)
	}
	w.Clock.Pass(time.Second)
	for ok = 0; w.Ask(ana, `{"action":"history","room":"channel:1"}`).OK; {
		ok++
	}
	if ok != 10 {
		t.Errorf("%d came through after a second, want 10", ok)
	}
	other := hub.New(w.Config) // another process, which has not seen the burst
	out := other.Receive(t.Context(), ana, []byte(`{"action":"history","id":"x","room":"channel:1"}`))
	if !bytes.Contains(out, []byte(`"rate_limited"`)) || !bytes.Contains(out, []byte(`"retryAfterMs"`)) {
		t.Errorf("another process says %s", out)
	}
}

// TestMalformedFramesAreCharged: what is no action costs an answer all the same.
func TestMalformedFramesAreCharged(t *testing.T) {
	w := newWorld(t, func(c *hub.Config) { c.Limits = hub.Limits{} })
	ana := w.Open("ana")
	limited := 0
	for range 50 {
		if bytes.Contains(w.Receive(t.Context(), ana, []byte(`{"action":`)), []byte(`"rate_limited"`)) {
			limited++
		}
	}
	if limited != 30 {
		t.Errorf("of 50 malformed frames %d were too many, want all but a burst of 20", limited)
	}
	if got := w.Ask(ana, `{"action":"history","room":"user:ana"}`); got.OK || got.Error.Code != protocol.CodeRateLimited {
		t.Errorf("an action after them gives %+v", got)
	}
}

// TestPresenceEverywhere: a status for all rooms costs as much as one for each.
func TestPresenceEverywhere(t *testing.T) {
	w := newWorld(t, func(c *hub.Config) { c.Limits = hub.Limits{} })
	ana := w.Open("ana")
	for i := range 40 {
		w.Clock.Pass(time.Second)
		w.Must(ana, fmt.Sprintf(`{"action":"join","room":"community:%d"}`, i))
	}
	w.Clock.Pass(time.Minute)
	w.Network.Take()
	frames := 0
	for i := range 20 {
		if w.Ask(ana, fmt.Sprintf(`{"action":"presence","status":"s%d"}`, i)).OK {
			frames++
		}
	}
	if n := count(w.Network.Names(ana.Connection), "presence:changed"); frames != 1 || n != 40 {
		t.Errorf("%d of 20 frames came through, and told %d changes; want 1 and 40", frames, n)
	}
	other := hub.New(w.Config) // another process
	if out := other.Receive(t.Context(), ana, []byte(`{"action":"presence","id":"x","status":"away"}`)); !bytes.Contains(out, []byte(`"rate_limited"`)) {
		t.Errorf("another process says %s", out)
	}
	w.Clock.Pass(2100 * time.Millisecond) // 40 actions less the burst, at 10 a second
	if got := w.Ask(ana, `{"action":"presence","room":"community:1","status":"away"}`); !got.OK {
		t.Errorf("after they are paid for: %+v", got)
	}
}

func TestGrants(t *testing.T) {
	g, err := hub.ParseGrants([]byte(`{"channel:*":["join","publish"],"channel:42":["moderate"],"community:7":["join"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		room, what string
		want       bool
	}{
		{"channel:1", "join", true},
		{"channel:1", "moderate", false},
		{"channel:42", "moderate", true},
		{"channel:42", "publish", true},
		{"channel:421", "moderate", false},
		{"community:7", "join", true},
		{"community:70", "join", false},
		{"user:ana", "join", false},
	} {
		if got := g.Allow(c.room, c.what); got != c.want {
			t.Errorf("%s in %s: %v", c.what, c.room, got)
		}
	}
	for _, text := range []string{`[]`, `{"a*b":["join"]}`, `{"channel:*":["fly"]}`, `{"channel:*":"join"}`, `nonsense`} {
		if _, err := hub.ParseGrants([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func TestKinds(t *testing.T) {
	if _, err := hub.ParseKinds([]byte(`{"user":{"owner":true,"keep":"720h"},"team":{"presence":true,"keep":"2h","typing":0}}`)); err != nil {
		t.Error(err)
	}
	for _, text := range []string{
		`{}`, `nonsense`, `{"user":{"owner":true,"keep":"soon"}}`, `{"user":{"owner":true,"keep":"1s"}}`, `{"user":{"keep":"1h"}}`,
		`{"user":{"owner":true,"keep":"1h"},"Team":{"keep":"1h"}}`, `{"user":{"owner":true,"keep":"1h","colour":"red"}}`,
		`{"user":{"owner":true,"keep":"1h","typing":-1}}`,
	} {
		if _, err := hub.ParseKinds([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

// TestSelect: commands that act on many connections name them in every way, each once.
func TestSelect(t *testing.T) {
	w := newWorld(t, func(c *hub.Config) { c.Limits.Page = 300 })
	ana, bob, cyd := w.Open("ana"), w.Open("bob"), w.Open("cyd")
	for _, in := range []struct {
		c    hub.Caller
		room string
	}{{ana, "1"}, {ana, "2"}, {bob, "1"}, {cyd, "2"}} {
		w.Must(in.c, `{"action":"join:channel","channelId":"`+in.room+`"}`)
	}
	for _, s := range []struct {
		of   hub.Selection
		want string
	}{
		{hub.Selection{Rooms: []string{"channel:1", "channel:2"}}, "ana-1 bob-2 cyd-3"},
		{hub.Selection{Rooms: []string{"channel:1"}, Users: []string{"cyd", "nobody"}, Connections: []string{"gone", "ana-1"}}, "ana-1 bob-2 cyd-3"},
		{hub.Selection{Rooms: []string{"channel:1", "channel:2"}, Except: []string{"channel:2"}}, "bob-2"},
		{hub.Selection{Rooms: []string{"channel:1", "channel:2"}, Except: []string{"ana", "bob-2", "user:cyd"}}, ""},
	} {
		a := w.Emit(t.Context(), hub.ConnectionsCommand{Selection: s.of})
		var ids []string
		data, _ := a.Data.(map[string]any)
		list, _ := data["connections"].([]hub.Described)
		for _, c := range list {
			ids = append(ids, c.Connection)
		}
		if got := strings.Join(ids, " "); !a.OK || got != s.want {
			t.Errorf("%+v: got %s, %v, want %s", s.of, got, a.Error, s.want)
		}
	}
	for _, bad := range []hub.Selection{{}, {Rooms: []string{"nonsense"}}, {Rooms: []string{"planet:1"}}, {Users: []string{"a b"}}} {
		if a := w.Emit(t.Context(), hub.ConnectionsCommand{Selection: bad}); a.OK || a.Error.Code.Retry() {
			t.Errorf("%+v: got %v", bad, a.Error)
		}
	}
	w.Emit(t.Context(), hub.PublishCommand{Rooms: []string{"channel:1"}, Event: "x", Except: []string{"channel:2"}})
	if a, b := w.Network.Names(ana.Connection), w.Network.Names(bob.Connection); !slices.Equal(a, []string{protocol.RoomSkipped}) || len(b) != 1 {
		t.Errorf("a room is not left out: ana got %v, bob %v", a, b)
	}
	for i := range hub.SelectLimit + 1 {
		who := hub.Identity{User: "many", Grants: hubtest.Everything(), Expires: w.Clock.Now().Add(time.Hour)}
		if err := w.Connect(t.Context(), fmt.Sprintf("m%04d", i), who, protocol.Name); err != nil {
			t.Fatal(err)
		}
	}
	if a := w.Emit(t.Context(), hub.ConnectionsCommand{Selection: hub.Selection{Users: []string{"many"}}}); a.OK || a.Error.Code != protocol.CodeBadRequest {
		t.Errorf("too many give %v", a.Error)
	}
}

// TestLeaveAndJoinSwapped: a leave and a join that were sent one after the other, and are done the other way round.
func TestLeaveAndJoinSwapped(t *testing.T) {
	w := newWorld(t)
	ana := w.Open("ana")
	ana.At = w.Clock.Now().Add(time.Second)
	w.Must(ana, `{"action":"join","room":"community:1"}`)
	w.Clock.Pass(time.Minute)
	left, joined := ana, ana
	left.At, joined.At = w.Clock.Now().Add(-2*time.Millisecond), w.Clock.Now()
	w.Must(joined, `{"action":"join","room":"community:1"}`)
	w.Must(left, `{"action":"leave","room":"community:1"}`)
	w.announce(t)
	if n := count(w.Network.Names(ana.Connection), "message:new"); n != 1 {
		t.Errorf("ana heard %d messages, want 1", n)
	}
	left.At = joined.At // as far as milliseconds tell
	w.Must(left, `{"action":"leave","room":"community:1"}`)
	w.announce(t)
	if n := count(w.Network.Names(ana.Connection), "message:new"); n != 2 {
		t.Errorf("ana heard %d messages, want 2", n)
	}
	left.At = joined.At.Add(time.Millisecond)
	w.Must(left, `{"action":"leave","room":"community:1"}`)
	w.announce(t)
	if n := count(w.Network.Names(ana.Connection), "message:new"); n != 2 {
		t.Errorf("after she left ana heard %d messages, want 2", n)
	}
}

// TestJoinMeetsLeave: a join is done whole while the leave that was sent before it has read the row and not changed it.
func TestJoinMeetsLeave(t *testing.T) {
	var meanwhile func()
	w := newWorld(t, hubtest.Around(func(_ context.Context, name string, do func() error) error {
		if name == "Change" && meanwhile != nil {
			join := meanwhile
			meanwhile = nil
			join()
		}
		return do()
	}))
	ana := w.Open("ana")
	ana.At = w.Clock.Now()
	w.Must(ana, `{"action":"join","room":"community:1"}`)
	w.Clock.Pass(time.Minute)
	ana.At = w.Clock.Now()
	meanwhile = func() { w.Must(ana, `{"action":"join","room":"community:1"}`) }
	w.Must(ana, `{"action":"leave","room":"community:1"}`)
	w.announce(t)
	if n := count(w.Network.Names(ana.Connection), "message:new"); n != 1 {
		t.Errorf("ana heard %d messages, want 1", n)
	}
}

// announce has a program say something in the community.
func (w world) announce(t *testing.T) {
	t.Helper()
	if a := w.Emit(t.Context(), hub.PublishCommand{Rooms: []string{"community:1"}, Event: "message:new"}); !a.OK {
		t.Fatal(a.Error)
	}
}

// TestDepartAll: a server that begins again departs whom it held before. Those who come back within the grace are still
// present, and the others are offline after it.
func TestDepartAll(t *testing.T) {
	w := newWorld(t, func(c *hub.Config) { c.Limits.Page = 3 }) // several pages of some partitions
	for i := range 300 {
		w.Must(w.Open(fmt.Sprintf("user%d", i)), `{"action":"join","room":"community:1"}`)
	}
	w.Queue.Take()
	again := hub.New(w.Config)
	if err := again.DepartAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	for partition := range hub.Partitions {
		rows, err := w.Store.Walk(t.Context(), partition, "", 10)
		if err != nil || len(rows) > 0 {
			t.Fatalf("partition %d has %+v, %v", partition, rows, err)
		}
	}
	page, err := w.Store.Members(t.Context(), "community:1", 0, "", 10)
	if err != nil || len(page.Members) > 0 {
		t.Errorf("members: %+v, %v", page, err)
	}
	w.Must(w.Open("user7"), `{"action":"join","room":"community:1"}`)
	w.Drain()
	here, err := w.Store.Present(t.Context(), "community:1", "", 1000)
	here = slices.DeleteFunc(here, func(h hub.Here) bool { return h.Since.IsZero() })
	if err != nil || len(here) != 1 || here[0].User != "user7" {
		t.Errorf("present: %+v, %v", here, err)
	}
}

// once is a network for which frames are prepared.
type once struct {
	*hubtest.Network
	mu       sync.Mutex
	prepared []string
}

func (o *once) Prepare(frame []byte) func(context.Context, string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.prepared = append(o.prepared, string(frame))
	return func(ctx context.Context, connection string) error { return o.Push(ctx, connection, frame) }
}

// TestPrepared: what goes to many is made ready once, and is tried again as it is.
func TestPrepared(t *testing.T) {
	o := &once{Network: hubtest.NewNetwork()}
	w := newWorld(t, func(c *hub.Config) { c.Pusher = o })
	var all []hub.Caller
	for i := range 20 {
		c := w.Open(fmt.Sprintf("user%d", i))
		w.Must(c, `{"action":"join","room":"channel:1"}`)
		all = append(all, c)
	}
	o.Fail(hubtest.First(2, hub.ErrThrottled))
	w.publish(all[0], "m1")
	for _, c := range all {
		if got := o.Names(c.Connection); !slices.Equal(got, []string{"message:new"}) {
			t.Errorf("%s got %v", c.User, got)
		}
	}
	if len(o.prepared) != 1 || !strings.Contains(o.prepared[0], `"id":"m1"`) {
		t.Errorf("prepared %q, want the one frame", o.prepared)
	}
}

// deliveries remembers what observers are told of pushes and jobs.
type deliveries struct {
	hub.NoObserver
	mu     sync.Mutex
	pushed []string
}

func (d *deliveries) Pushed(_ context.Context, got hub.Delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, to := range got.To {
		d.pushed = append(d.pushed, fmt.Sprintf("%s to %s: %v", got.Events[0].Event, to.User, to.Err))
	}
}

// TestObservedEnd: the end of a session is told like every event, whether it came or not.
func TestObservedEnd(t *testing.T) {
	d := &deliveries{}
	w := newWorld(t, func(c *hub.Config) { c.Observers = []hub.Observer{d} })
	w.Open("ana")
	bob := w.Open("bob")
	w.Network.Fail(hubtest.Of(hub.ErrThrottled, bob.Connection))
	for _, user := range []string{"ana", "bob"} {
		w.Emit(t.Context(), hub.DisconnectCommand{Selection: hub.Selection{User: user}, Reason: "kicked"})
	}
	if want := []string{"session:ending to ana: <nil>", "session:ending to bob: " + hub.ErrThrottled.Error()}; !slices.Equal(d.pushed, want) {
		t.Errorf("got  %q\nwant %q", d.pushed, want)
	}
}
