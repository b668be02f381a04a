package hub_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// everybody opens 40 users, ten of whom have two devices.
func everybody(w world) (first map[string]hub.Caller, second []hub.Caller) {
	first = map[string]hub.Caller{}
	for i := range 40 {
		user := fmt.Sprint("user", i)
		first[user] = w.Open(user)
		if i < 10 {
			second = append(second, w.Open(user))
		}
	}
	return first, second
}

func TestAll(t *testing.T) {
	t.Run("everybody gets it once, in as many commands as it takes, and a repetition logs nothing", func(t *testing.T) {
		w := newWorld(t, func(c *hub.Config) { c.Limits.Page = 3 })
		first, second := everybody(w)
		c := hub.PublishCommand{All: true, Event: "news", ID: "n1", Data: json.RawMessage(`1`), Except: []string{"user39"}}
		for range 2 {
			commands := 1
			for rest, more := hub.Command(c), true; more; commands++ {
				a := w.Emit(t.Context(), rest)
				if got, is := a.Data.(hub.AllResult); !a.OK || !is || len(got.Results) > 0 {
					t.Fatalf("got %+v, %v", a.Data, a.Error)
				}
				rest, more = hub.GoOn(rest, a)
			}
			if commands < 3 {
				t.Errorf("it took %d commands, with pages of 3", commands)
			}
		}
		for user, caller := range first {
			events := w.Network.Events(caller.Connection)
			want := 1
			if user == "user39" {
				want = 0
			}
			seen := map[int64]bool{}
			for _, e := range events {
				seen[e.Seq] = true
			}
			if len(seen) != want {
				t.Errorf("%s got %+v", user, events)
			}
		}
		for _, caller := range second {
			if n := count(w.Network.Names(caller.Connection), "news"); n == 0 {
				t.Error("a second device got nothing")
			}
		}
		for _, user := range []string{"user0", "user20"} {
			head, err := w.Store.Head(t.Context(), protocol.UserRoom(user), time.Time{})
			if err != nil || head.Seq != 1 {
				t.Errorf("the log of %s ends with %d, %v", user, head.Seq, err)
			}
		}
	})
	t.Run("an event that is not logged goes to each connection once", func(t *testing.T) {
		w := newWorld(t)
		first, second := everybody(w)
		gone := first["user7"]
		w.Network.Cut(gone.Connection)
		a := w.Emit(t.Context(), hub.PublishCommand{All: true, Event: "flash", Ephemeral: true, Except: []string{first["user8"].Connection, "user39"}})
		if got, is := a.Data.(hub.AllResult); !a.OK || !is || got.Reached != 47 || got.Next != "" {
			t.Fatalf("got %+v, %v", a.Data, a.Error)
		}
		for user, caller := range first {
			want := 1
			if user == "user7" || user == "user8" || user == "user39" {
				want = 0
			}
			if n := count(w.Network.Names(caller.Connection), "flash"); n != want {
				t.Errorf("%s got it %d times, want %d", user, n, want)
			}
		}
		for _, caller := range second {
			if n := count(w.Network.Names(caller.Connection), "flash"); n != 1 {
				t.Errorf("a second device got it %d times", n)
			}
		}
	})
	t.Run("whom it did not reach is said, and a repetition reaches them", func(t *testing.T) {
		w := newWorld(t)
		first, _ := everybody(w)
		w.Network.Fail(hubtest.Of(errors.New("boom"), first["user3"].Connection))
		c := hub.PublishCommand{All: true, Event: "flash", Ephemeral: true}
		a := w.Emit(t.Context(), c)
		if got, is := a.Data.(hub.AllResult); a.OK || !is || len(got.Results) != 1 || got.Results[0].Connection != first["user3"].Connection || got.Reached != 49 {
			t.Errorf("got %+v, %v", a.Data, a.Error)
		}
	})
	for name, c := range map[string]hub.PublishCommand{
		"no id":         {All: true, Event: "news"},
		"rooms as well": {All: true, Event: "news", ID: "1", Rooms: []string{"channel:1"}},
		"no such place": {All: true, Event: "news", ID: "1", After: "65"},
		"no place":      {All: true, Event: "news", ID: "1", After: "x"},
		"before it":     {All: true, Event: "news", ID: "1", After: "-1"},
		"no event":      {All: true, ID: "1"},
	} {
		if a := newWorld(t).Emit(t.Context(), c); a.OK || a.Error.Code != protocol.CodeBadRequest {
			t.Errorf("%s: got %+v", name, a)
		}
	}
}
