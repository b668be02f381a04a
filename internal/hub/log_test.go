package hub_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// said is what the log of channel:1 shows: "seq id user data".
func (w world) said(c hub.Caller) (list []string) {
	w.TB.Helper()
	var got protocol.HistoryResult
	if err := json.Unmarshal(w.Must(c, `{"action":"history","room":"channel:1","limit":200}`), &got); err != nil {
		w.TB.Fatal(err)
	}
	for _, e := range got.Events {
		user := "-"
		if e.From != nil {
			user = e.From.UserID
		}
		list = append(list, fmt.Sprintf("%d %s %s %s", e.Seq, e.ID, user, e.Data))
	}
	return list
}

func (w world) shows(c hub.Caller, want ...string) {
	w.TB.Helper()
	if got := w.said(c); !slices.Equal(got, want) {
		w.TB.Errorf("the log shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// emit is a publish of a program's to channel:1.
func (w world) emit(id, data string) hub.Answer {
	w.TB.Helper()
	return w.Emit(w.TB.Context(), hub.PublishCommand{Rooms: []string{"channel:1"}, Event: protocol.MessageNew, ID: id, Data: json.RawMessage(data)})
}

func (w world) says(c hub.Caller, id, data string) hubtest.Reply {
	w.TB.Helper()
	return w.Ask(c, fmt.Sprintf(`{"action":"publish","id":%q,"room":"channel:1","event":"message:new","data":%s}`, id, data))
}

// deletes asks for a deletion; more: further fields.
func (w world) deletes(c hub.Caller, id, more string) hubtest.Reply {
	w.TB.Helper()
	return w.Ask(c, fmt.Sprintf(`{"action":"message:delete","channelId":"1","messageId":%q%s}`, id, more))
}

func (w world) openMember(user string) hub.Caller {
	w.TB.Helper()
	c := w.Open(user)
	w.Must(c, `{"action":"join","room":"channel:1"}`)
	return c
}

// commoner may publish and not moderate.
func (w world) commoner(user string) hub.Caller {
	w.TB.Helper()
	c := hub.Caller{Connection: user + "-common", User: user, Expires: w.Clock.Now().Add(time.Hour)}
	who := hub.Identity{User: user, Grants: hub.Grants{"*": {hub.GrantJoin, hub.GrantPublish}}, Expires: c.Expires}
	if err := w.Connect(w.TB.Context(), c.Connection, who, protocol.Name); err != nil {
		w.TB.Fatal(err)
	}
	w.Must(c, `{"action":"join","room":"channel:1"}`)
	return c
}

func TestIDs(t *testing.T) {
	t.Run("two users and a program may have the same id for events of their own", func(t *testing.T) {
		w := newWorld(t)
		ana, bob := w.openMember("ana"), w.openMember("bob")
		for range 2 { // and the same again is the same
			for _, ok := range []bool{w.says(ana, "58", "1").OK, w.says(bob, "58", "2").OK, w.emit("58", "3").OK} {
				if !ok {
					t.Error("it is refused")
				}
			}
		}
		w.shows(ana, "1 58 ana 1", "2 58 bob 2", "3 58 - 3")
	})
	t.Run("the same author, the same id, something else is a conflict", func(t *testing.T) {
		w := newWorld(t)
		ana := w.openMember("ana")
		w.says(ana, "m1", `{"a":1,"b":[1,2]}`)
		w.emit("m1", `{"a":1,"b":[1,2]}`)
		if got := w.says(ana, "m1", ` {"b": [1, 2], "a": 1}`); !got.OK {
			t.Errorf("the same in another order: %s", got.Error.Code)
		}
		refuses(t, w.says(ana, "m1", `{"a":1,"b":[2,1]}`), protocol.CodeConflict)
		refuses(t, w.Ask(ana, `{"action":"publish","id":"m1","room":"channel:1","event":"other","data":{"a":1,"b":[1,2]}}`), protocol.CodeConflict)
		if got := w.emit("m1", `{"a":2}`); got.OK || got.Error.Code != protocol.CodeConflict {
			t.Errorf("a program: got %+v", got)
		}
		w.shows(ana, `1 m1 ana {"a":1,"b":[1,2]}`, `2 m1 - {"a":1,"b":[1,2]}`)
	})
	t.Run("what a hook or a deletion made of it is still the same event", func(t *testing.T) {
		w, _, _ := asking(t, hub.HookPublish, func(q hub.Question) (hub.Verdict, error) {
			return hub.Verdict{Data: json.RawMessage(`"changed"`)}, nil
		})
		ana := w.openMember("ana")
		w.says(ana, "m1", `"asked"`)
		if got := w.says(ana, "m1", `"asked"`); !got.OK {
			t.Errorf("again: %s", got.Error.Code)
		}
		refuses(t, w.says(ana, "m1", `"changed"`), protocol.CodeConflict)
		w.deletes(ana, "m1", "")
		if got := w.says(ana, "m1", `"asked"`); !got.OK {
			t.Errorf("after it was deleted: %s", got.Error.Code)
		}
	})
	t.Run("nobody may take an id of the form that is given to events without one", func(t *testing.T) {
		w := newWorld(t)
		ana := w.openMember("ana")
		refuses(t, w.says(ana, "abcdefghij:2", "1"), protocol.CodeBadRequest)
		if got := w.emit("abcdefghij:2", "1"); got.OK || got.Error.Code != protocol.CodeBadRequest {
			t.Errorf("a program: got %+v", got)
		}
	})
	t.Run("a delivery that comes twice is logged once", func(t *testing.T) {
		w := newWorld(t)
		ana := w.openMember("ana")
		c := hub.PublishCommand{Rooms: []string{"channel:1"}, Event: protocol.MessageNew, Data: json.RawMessage("1")}
		for _, delivery := range []string{"sqs:m1/0", "sqs:m1/0", "sqs:m1/1", "sqs:m1/0", ""} {
			if got := w.EmitOnce(t.Context(), c, delivery); !got.OK {
				t.Errorf("%q: %v", delivery, got.Error)
			}
		}
		if got := w.said(ana); len(got) != 3 {
			t.Errorf("the log shows %v, want one of each delivery and the one of none", got)
		}
	})
}

func TestDeletion(t *testing.T) {
	crowd := func(t *testing.T) (w world, ana, bob, mod hub.Caller) {
		t.Helper()
		w = newWorld(t)
		ana, bob, mod = w.commoner("ana"), w.commoner("bob"), w.openMember("mod")
		w.says(ana, "58", `"a"`)
		w.says(bob, "58", `"b"`)
		w.emit("58", `"p"`)
		w.Network.Take()
		return w, ana, bob, mod
	}
	deleted := func(w world, c hub.Caller) (list []string) {
		for _, e := range w.Network.Events(c.Connection) {
			if e.Event == protocol.MessageDeleted {
				list = append(list, e.ID+" "+string(e.Data))
			}
		}
		return list
	}
	tells := func(t *testing.T, w world, c hub.Caller, want ...string) {
		t.Helper()
		if got := deleted(w, c); !slices.Equal(got, want) {
			t.Errorf("%s heard %v, want %v", c.User, got, want)
		}
	}
	t.Run("everybody deletes their own, whoever has the id too", func(t *testing.T) {
		w, ana, bob, _ := crowd(t)
		for range 2 {
			if got := w.deletes(bob, "58", ""); !got.OK {
				t.Fatal(got.Error.Code)
			}
		}
		w.shows(ana, `1 58 ana "a"`, "2 58 bob null", `3 58 - "p"`, `4 deleted:58 bob {"messageId":"58","userId":"bob","seq":2}`)
		one := `deleted:58 {"messageId":"58","userId":"bob","seq":2}`
		tells(t, w, ana, one, one) // at the same seq
		refuses(t, w.deletes(bob, "58", `,"userId":"ana"`), protocol.CodeForbidden)
		w.says(bob, "59", "1")
		refuses(t, w.deletes(ana, "59", ""), protocol.CodeForbidden)
	})
	t.Run("a moderator deletes all of an id, so that none hides behind another", func(t *testing.T) {
		w, ana, _, mod := crowd(t)
		w.deletes(mod, "58", "")
		w.shows(ana, "1 58 ana null", "2 58 bob null", "3 58 - null", `4 deleted:58 mod {"messageId":"58","userId":"ana","seq":1}`,
			`5 deleted:58 mod {"messageId":"58","userId":"bob","seq":2}`, `6 deleted:58 mod {"messageId":"58","seq":3}`)
	})
	t.Run("or those of one author", func(t *testing.T) {
		w, ana, _, mod := crowd(t)
		w.deletes(mod, "58", `,"userId":"ana"`)
		w.shows(ana, "1 58 ana null", `2 58 bob "b"`, `3 58 - "p"`, `4 deleted:58 mod {"messageId":"58","userId":"ana","seq":1}`)
	})
	t.Run("a program too", func(t *testing.T) {
		w, ana, _, _ := crowd(t)
		a := w.Emit(t.Context(), hub.PublishCommand{
			Rooms: []string{"channel:1"}, Event: protocol.MessageDeleted, Data: json.RawMessage(`{"messageId":"58","userId":"bob"}`),
		})
		if !a.OK {
			t.Fatal(a.Error)
		}
		w.shows(ana, `1 58 ana "a"`, "2 58 bob null", `3 58 - "p"`, `4 deleted:58 - {"messageId":"58","userId":"bob","seq":2}`)
	})
	t.Run("a message that a program logged for a user is that user's to delete", func(t *testing.T) {
		w := newWorld(t)
		ana := w.commoner("ana")
		w.Emit(t.Context(), hub.PublishCommand{
			Rooms: []string{"channel:1"}, Event: protocol.MessageNew, ID: "58", Data: json.RawMessage("1"), From: &protocol.From{UserID: "ana"},
		})
		if got := w.deletes(ana, "58", ""); !got.OK {
			t.Error(got.Error.Code)
		}
		w.shows(ana, "1 58 ana null", `2 deleted:58 ana {"messageId":"58","userId":"ana","seq":1}`)
	})
	t.Run("and so is one that was logged without an id", func(t *testing.T) {
		w := newWorld(t)
		ana := w.commoner("ana")
		w.Receive(t.Context(), ana, []byte(`{"action":"publish","room":"channel:1","event":"message:new","data":1}`))
		id := strings.Fields(w.said(ana)[0])[1]
		if got := w.deletes(ana, id, ""); !got.OK {
			t.Error(got.Error.Code)
		}
		if got := w.said(ana)[0]; got != "1 "+id+" ana null" {
			t.Errorf("the log shows %s", got)
		}
	})
	t.Run("of a message that the log no longer has moderators and programs tell all the same, whatever else has its id", func(t *testing.T) {
		w := newWorld(t)
		ana, mod := w.commoner("ana"), w.openMember("mod")
		w.Must(ana, `{"action":"publish","id":"58","room":"channel:1","event":"poll","data":1}`)
		w.Network.Take()
		w.deletes(mod, "58", "")
		tells(t, w, ana, `deleted:58 {"messageId":"58"}`)
		refuses(t, w.deletes(ana, "58", ""), protocol.CodeForbidden)
	})
}

func TestPublishAfterClose(t *testing.T) {
	w := newWorld(t)
	ana := w.openMember("ana")
	first := w.publish(ana, "m1")
	again := func() protocol.PublishResult {
		t.Helper()
		return w.publish(ana, "m1")
	}
	if got := again(); got != first {
		t.Errorf("again: got %+v, want %+v", got, first)
	}
	if a := w.Emit(t.Context(), hub.CloseCommand{Room: "channel:1"}); !a.OK {
		t.Fatal(a.Error)
	}
	w.Clock.Pass(2 * time.Second)
	w.Must(ana, `{"action":"join","room":"channel:1"}`)
	w.Network.Take()
	second := again()
	if second.Epoch == first.Epoch || second.Seq != first.Seq+1 {
		t.Errorf("after the room was closed: got %+v, first %+v", second, first)
	}
	if got := again(); got != second {
		t.Errorf("and again: got %+v, want %+v", got, second)
	}
	if got := w.Network.Names(ana.Connection); count(got, protocol.MessageNew) == 0 {
		t.Errorf("ana heard %v", got)
	}
}

// TestUnspeakable: what could not be told to everybody is not logged.
func TestUnspeakable(t *testing.T) {
	w := newWorld(t)
	h, _ := socketio.Wire(w.Config, w.Notes, socketio.Options{Namespaces: []string{"/" + strings.Repeat("n", 60)}})
	w.Hub = h
	ana := w.openMember("ana")
	long := strings.Repeat("x", 130<<10)
	many := make([]string, 30_000)
	for i := range many {
		many[i] = fmt.Sprint("connection", i)
	}
	text := func(n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", n) + `"`) }
	for name, c := range map[string]hub.PublishCommand{
		"a name that is longer than a frame":       {Event: "e", From: &protocol.From{UserID: "ana", Name: long}},
		"data that is longer than a frame":         {Event: "e", Data: text(130 << 10)},
		"data and a name that are longer together": {Event: "e", Data: text(125 << 10), From: &protocol.From{UserID: "ana", Name: long[:4<<10]}},
		"more who are left out than a job can say": {Event: "e", Except: many},
		"a name that Socket.IO has for itself":     {Event: "disconnect"},
		"data that is not JSON":                    {Event: "e", Data: json.RawMessage("{")},
	} {
		c.Rooms = []string{"channel:1"}
		a := w.Emit(t.Context(), c)
		if a.OK || a.Error.Code != protocol.CodeTooLarge && a.Error.Code != protocol.CodeBadRequest {
			t.Errorf("%s: got %+v", name, a.Error)
		}
	}
	if got := w.said(ana); len(got) > 0 {
		t.Errorf("%d of them are logged", len(got))
	}
	if jobs := w.Queue.Take(hub.JobFanOut, hub.JobRetry); len(jobs) > 0 {
		t.Errorf("%d jobs are left", len(jobs))
	}
	if a := w.Emit(t.Context(), hub.PublishCommand{Rooms: []string{"channel:1"}, Event: "e", Data: text(125 << 10)}); !a.OK {
		t.Errorf("the longest that can be told: %v", a.Error)
	}
}

// TestKeepChanges: functions with another keep for a kind of rooms take over. Nobody is told that nothing is missing unless that is so,
// and nobody asks in vain.
func TestKeepChanges(t *testing.T) {
	for name, keeps := range map[string][2]time.Duration{
		"longer":  {time.Hour, 24 * time.Hour},
		"shorter": {24 * time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			with := func(keep time.Duration) *hub.Hub {
				c := w.Config
				c.Kinds = maps.Clone(hub.DefaultKinds())
				c.Kinds["channel"] = hub.Kind{Keep: keep}
				return hub.New(c)
			}
			before, after := with(keeps[0]), with(keeps[1])
			var entries []protocol.PublishResult
			publish := func(h *hub.Hub) {
				t.Helper()
				a := h.Emit(t.Context(), hub.PublishCommand{Rooms: []string{"channel:1"}, Event: "e", Data: json.RawMessage("1")})
				if !a.OK {
					t.Fatal(a.Error)
				}
				got := a.Data.(hub.EmitResult).Results[0]
				entries = append(entries, protocol.PublishResult{Epoch: got.Epoch, Seq: got.Seq})
			}
			for range 3 {
				publish(before)
			}
			w.Clock.Pass(30 * time.Minute)
			publish(after) // 4
			w.Clock.Pass(10 * time.Minute)
			publish(before) // a function of before that is still running
			publish(after)  // 6
			publish(after)
			join := func(since *protocol.Position) protocol.JoinResult {
				t.Helper()
				w.Hub = after
				frame := `{"action":"join","room":"channel:1"}`
				if since != nil {
					frame = fmt.Sprintf(`{"action":"join","room":"channel:1","since":{"epoch":%q,"seq":%d}}`, since.Epoch, since.Seq)
				}
				var got protocol.JoinResult
				if err := json.Unmarshal(w.Must(w.Open("ana"), frame), &got); err != nil {
					t.Fatal(err)
				}
				return got
			}
			for _, late := range []time.Duration{10 * time.Second, 40 * time.Minute, time.Hour, 30 * time.Hour} {
				w.Clock.Pass(late)
				for _, e := range entries {
					got := join(&protocol.Position{Epoch: e.Epoch, Seq: e.Seq})
					if got.Recovered && (got.More || len(got.Events) != int(7-e.Seq)) {
						t.Errorf("%v later, since %d: recovered with %d events, more %t", late, e.Seq, len(got.Events), got.More)
					}
					if got.More || got.Seq != 7 {
						t.Errorf("%v later, since %d: it has to ask again: %+v", late, e.Seq, got)
					}
					if promised := e.Seq >= 5 && late < time.Hour; promised && !got.Recovered {
						t.Errorf("%v later, since %d: it is not recovered", late, e.Seq)
					}
				}
				if got := join(nil); got.Seq != 7 || got.More {
					t.Errorf("%v later, without a position: %+v", late, got)
				}
			}
			if got := join(&protocol.Position{Epoch: entries[6].Epoch, Seq: 7}); !got.Recovered {
				t.Errorf("nothing came since: %+v", got)
			}
		})
	}
}
