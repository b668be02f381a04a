package interleaving

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
)

// tokens is a verifier whose tokens are what they grant.
type tokens struct {
	now  func() time.Time
	user string
}

func (v tokens) Verify(_ context.Context, token string) (hub.Identity, error) {
	who := hub.Identity{User: v.user, Expires: v.now().Add(12 * time.Hour)}
	if token == "all" {
		who.Grants = hubtest.Everything()
	}
	return who, nil
}

// visit is ana's connection in a room of bob's.
type visit struct {
	*hubtest.World
	room   string
	ana    hub.Caller
	shared bool // the store has the rows of other visits too, so that nothing may sweep it
}

func (v *visit) frame(h *hub.Hub, text string) {
	h.Receive(v.TB.Context(), v.ana, []byte(strings.ReplaceAll(text, "ROOM", v.room)))
}

// actions are what may meet.
func actions() map[string]func(v *visit, h *hub.Hub) {
	return map[string]func(v *visit, h *hub.Hub){
		"join":    func(v *visit, h *hub.Hub) { v.frame(h, `{"action":"join","id":"1","room":"ROOM"}`) },
		"leave":   func(v *visit, h *hub.Hub) { v.frame(h, `{"action":"leave","id":"2","room":"ROOM"}`) },
		"status":  func(v *visit, h *hub.Hub) { v.frame(h, `{"action":"presence","id":"3","room":"ROOM","status":"away"}`) },
		"renewal": func(v *visit, h *hub.Hub) { v.frame(h, `{"action":"auth","id":"4","token":"none"}`) },
		"emit join": func(v *visit, h *hub.Hub) {
			h.Emit(v.TB.Context(), hub.JoinCommand{Selection: hub.Selection{User: v.ana.User}, Room: v.room})
		},
		"emit leave": func(v *visit, h *hub.Hub) {
			h.Emit(v.TB.Context(), hub.LeaveCommand{Selection: hub.Selection{User: v.ana.User}, Room: v.room})
		},
		"close":      func(v *visit, h *hub.Hub) { h.Emit(v.TB.Context(), hub.CloseCommand{Room: v.room}) },
		"disconnect": func(v *visit, h *hub.Hub) { _ = h.Depart(v.TB.Context(), v.ana.Connection) },
		"kick": func(v *visit, h *hub.Hub) {
			h.Emit(v.TB.Context(), hub.DisconnectCommand{Selection: hub.Selection{User: v.ana.User}})
		},
		"sweep": func(v *visit, h *hub.Hub) { _, _ = h.Sweep(v.TB.Context()) },
	}
}

// begin gives a world in which bob is in the room, and ana is or is not.
func begin(t *testing.T, store func(now func() time.Time) hub.Store, inside bool) *visit {
	t.Helper()
	name := strings.ToLower(rand.Text()[:10])
	v := &visit{room: "community:" + name, shared: store != nil}
	v.World = hubtest.New(t, func(c *hub.Config) {
		c.Verifier = tokens{c.Now, "ana" + name}
		c.Limits.Silence = time.Hour
		if store != nil {
			c.Store = store(c.Now)
		}
	})
	v.Clock.To(time.Now().Truncate(time.Second))
	bob := v.Open("bob" + name)
	v.ana = v.Open("ana" + name)
	v.Must(bob, `{"action":"join","room":"`+v.room+`"}`)
	if inside {
		v.Must(v.ana, `{"action":"join","room":"`+v.room+`"}`)
	}
	return v
}

// settle lets everything end that was begun.
func (v *visit) settle() {
	for range 3 {
		v.Drain()
		v.Clock.Pass(5 * time.Minute)
		if v.shared {
			continue
		}
		if _, err := v.Sweep(v.TB.Context()); err != nil {
			v.TB.Error(err)
		}
	}
	v.Drain()
}

// wrong says what does not agree; empty: all does. in: whether the row has ana in the room.
func (v *visit) wrong() (what string, in bool) {
	ctx := v.TB.Context()
	row, err := v.Store.Connection(ctx, v.ana.Connection)
	if err != nil && !errors.Is(err, hub.ErrNotFound) {
		return err.Error(), false
	}
	in = err == nil && !row.Closing && row.In(v.room)
	var list []string
	if len(row.Leaving) > 0 {
		list = append(list, fmt.Sprintf("it is still leaving %v", row.Leaving))
	}
	page, err := v.Store.Members(ctx, v.room, 0, "", 100)
	at := slices.IndexFunc(page.Members, func(m hub.Member) bool { return m.Connection == v.ana.Connection })
	switch {
	case err != nil:
		list = append(list, err.Error())
	case at >= 0 != in:
		list = append(list, fmt.Sprintf("the row says in %v, there is a membership: %v", in, at >= 0))
	case in && page.Members[at].Gen != row.Gens[v.room]:
		list = append(list, "the membership is of another generation")
	}
	here, err := v.Store.Here(ctx, v.room, v.ana.User)
	present := err == nil && !here.Since.IsZero()
	if err != nil && !errors.Is(err, hub.ErrNotFound) || present != in {
		list = append(list, fmt.Sprintf("the row says in %v, there is a presence: %v %v", in, present, err))
	}
	if told := v.told(); told != in {
		list = append(list, fmt.Sprintf("the row says in %v, others have heard: %v", in, told))
	}
	return strings.Join(list, "; "), in
}

// told is whether ana is present by the events in the log.
func (v *visit) told() (is bool) {
	entries, err := v.Store.From(v.TB.Context(), v.room, 1, 1000)
	if err != nil {
		v.TB.Fatal(err)
	}
	for _, e := range entries {
		if e.From == nil || e.From.UserID != v.ana.User {
			continue
		}
		switch e.Event.Event {
		case protocol.UserOnline:
			is = true
		case protocol.UserOffline:
			is = false
		}
	}
	return is
}

var errDied = errors.New("the function was cut off")

// A way is what happens at one numbered call of the first action: meet runs the second one.
type way func(at int, meet func()) hubtest.Step

func counted(at int, then func(do func() error) error, after error) hubtest.Step {
	var calls atomic.Int64
	return func(_ context.Context, _ string, do func() error) error {
		switch n := int(calls.Add(1)); {
		case n == at:
			return then(do)
		case n > at && after != nil:
			return after
		}
		return do()
	}
}

func ways() map[string]way {
	return map[string]way{
		"meets": func(at int, meet func()) hubtest.Step {
			return counted(at, func(do func() error) error { meet(); return do() }, nil)
		},
		"dies before": func(at int, meet func()) hubtest.Step {
			return counted(at, func(func() error) error { meet(); return errDied }, errDied)
		},
		"dies after": func(at int, meet func()) hubtest.Step {
			return counted(at, func(do func() error) error {
				err := do()
				meet()
				return errors.Join(err, errDied)
			}, errDied)
		},
		"loses the answer": func(at int, meet func()) hubtest.Step {
			return counted(at, func(do func() error) error {
				if err := do(); err != nil {
					return err
				}
				meet()
				return hubtest.ErrLost
			}, nil)
		},
	}
}

// try runs first with second at one of its calls. more: first has made so many calls.
func try(t *testing.T, store func(now func() time.Time) hub.Store, inside bool, first, second string, how way, again bool, at int) (more bool) {
	t.Helper()
	v := begin(t, store, inside)
	met := false
	c := v.Config
	all := actions()
	hubtest.Around(how(at, func() {
		met = true
		all[second](v, v.Hub)
	}))(&c)
	other := hub.New(c)
	all[first](v, other)
	if !met {
		return false
	}
	if again { // whoever got no answer asks once more
		all[first](v, v.Hub)
	}
	v.settle()
	what, in := v.wrong()
	pair := first + second
	switch {
	case what != "":
	case strings.Contains(pair, "renewal") && in && !strings.Contains(pair, "emit join"):
		what = "it is in a room that its token does not grant"
	case (strings.Contains(pair, "disconnect") || strings.Contains(pair, "kick")) && in:
		what = "it is in a room though it is gone"
	}
	if what == "" {
		if err := v.Depart(t.Context(), v.ana.Connection); err != nil {
			t.Fatal(err)
		}
		v.settle()
		if what, in = v.wrong(); in {
			what = "it is in the room after it was departed"
		}
	}
	if what != "" {
		t.Errorf("%s (inside %v), %s at call %d: %s", first, inside, second, at, what)
	}
	return true
}

// TestPairs is every pair of actions at every call, in every way.
func TestPairs(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(actions()))
	if raced {
		names = []string{"disconnect", "join", "leave"}
	}
	for name, how := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pairs(t, nil, names, how, name != "meets")
		})
	}
}

func pairs(t *testing.T, store func(now func() time.Time) hub.Store, names []string, how way, again bool) {
	t.Helper()
	for _, first := range names {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			for _, second := range names {
				for _, inside := range []bool{false, true} {
					for at := 1; try(t, store, inside, first, second, how, again, at) && at < 100; at++ {
					}
				}
			}
		})
	}
}

// TestPairsOnDynamoDB is the same where writes are conditional requests.
func TestPairsOnDynamoDB(t *testing.T) {
	t.Parallel()
	table := dynamotest.New(t, "interleaving")
	names := []string{"disconnect", "emit leave", "join", "leave", "renewal"}
	if raced {
		names = []string{"join", "leave"}
	}
	pairs(t, func(now func() time.Time) hub.Store {
		return dynamo.New(table.Client, table.Name, dynamo.Options{Now: now})
	}, names, ways()["meets"], false)
}
