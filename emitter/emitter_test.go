package emitter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/emitter"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

func code(err error) string {
	if e, ok := errors.AsType[*emitter.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestCommands(t *testing.T) {
	ana := &emitter.From{UserID: "ana", Name: "Ana"}
	for name, tt := range map[string]struct {
		call func(context.Context, *emitter.Emitter) error
		want string
	}{
		"publish, everything": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.Publish(ctx, emitter.Publish{
				Rooms: []string{"channel:1", "channel:2"}, Users: []string{"bob"}, Connections: []string{"L0SM9cOFvHcCIhw="},
				Event: "quiz:over", Data: json.RawMessage(`{"a": "<b>"}`), ID: "q1", Except: []string{"eve"}, From: ana,
			})
			return err
		}, `{"command":"publish","rooms":["channel:1","channel:2"],"users":["bob"],"connections":["L0SM9cOFvHcCIhw="],"event":"quiz:over","data":{"a":"<b>"},"id":"q1","except":["eve"],"from":{"userId":"ana","name":"Ana"}}`},
		"publish, ephemeral, without data": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.Publish(ctx, emitter.Publish{Rooms: []string{"channel:1"}, Event: "cursor", Ephemeral: true})
			return err
		}, `{"command":"publish","rooms":["channel:1"],"event":"cursor","ephemeral":true}`},
		"NewMessage": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.NewMessage(ctx, "42", emitter.Message{ID: "m1", From: ana, Content: "hi & bye", Fields: map[string]any{"replyTo": "m0"}, Except: []string{"eve"}})
			return err
		}, `{"command":"publish","rooms":["channel:42"],"event":"message:new","data":{"content":"hi & bye","replyTo":"m0"},"id":"m1","except":["eve"],"from":{"userId":"ana","name":"Ana"}}`},
		"NewMessage, empty": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.NewMessage(ctx, "42", emitter.Message{Content: ""})
			return err
		}, `{"command":"publish","rooms":["channel:42"],"event":"message:new","data":{"content":""},"id":"id-1"}`},
		"NewMessage, structured": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.NewMessage(ctx, "42", emitter.Message{Content: map[string]any{"text": "hi"}})
			return err
		}, `{"command":"publish","rooms":["channel:42"],"event":"message:new","data":{"content":{"text":"hi"}},"id":"id-1"}`},
		"MessageDeleted": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.MessageDeleted(ctx, "42", "m1")
			return err
		}, `{"command":"publish","rooms":["channel:42"],"event":"message:deleted","data":{"messageId":"m1"},"id":"id-1"}`},
		"NewNotification": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.NewNotification(ctx, "ana", emitter.Notification{Type: "mention", Title: "Bob mentioned you", Fields: map[string]any{"link": "/c/42"}})
			return err
		}, `{"command":"publish","users":["ana"],"event":"notification:new","data":{"link":"/c/42","title":"Bob mentioned you","type":"mention"},"id":"id-1"}`},
		"NewNotifications": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.NewNotifications(ctx, []string{"ana", "bob"}, emitter.Notification{ID: "n1", From: ana, Body: "b"})
			return err
		}, `{"command":"publish","users":["ana","bob"],"event":"notification:new","data":{"body":"b"},"id":"n1","from":{"userId":"ana","name":"Ana"}}`},
		"PresenceChanged": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.PresenceChanged(ctx, "7", emitter.PresenceChange{UserID: "ana", Status: "away", Data: map[string]any{"until": 5}})
			return err
		}, `{"command":"publish","rooms":["community:7"],"event":"presence:changed","data":{"data":{"until":5},"status":"away","userId":"ana"},"id":"id-1"}`},
		"PresenceChanged, with a name": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.PresenceChanged(ctx, "7", emitter.PresenceChange{ID: "p1", UserID: "ana", Name: "Ana", Status: "busy"})
			return err
		}, `{"command":"publish","rooms":["community:7"],"event":"presence:changed","data":{"name":"Ana","status":"busy","userId":"ana"},"id":"p1"}`},
		"BuddyGoalCompleted": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.BuddyGoalCompleted(ctx, []string{"bob", "eve"}, emitter.Goal{From: ana, GoalID: "g1", Title: "Run 5 km", Fields: map[string]any{"streak": 3}})
			return err
		}, `{"command":"publish","users":["bob","eve"],"event":"buddy:goal-completed","data":{"goalId":"g1","streak":3,"title":"Run 5 km"},"id":"id-1","from":{"userId":"ana","name":"Ana"}}`},
		"BuddyCheckIn": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.BuddyCheckIn(ctx, []string{"bob"}, emitter.CheckIn{ID: "c1", From: &emitter.From{UserID: "ana"}, Note: "day 3"})
			return err
		}, `{"command":"publish","users":["bob"],"event":"buddy:check-in","data":{"note":"day 3"},"id":"c1","from":{"userId":"ana"}}`},
		"Presence": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.Presence(ctx, "community:7")
			return err
		}, `{"command":"presence","room":"community:7"}`},
		"Members": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.Members(ctx, "channel:42")
			return err
		}, `{"command":"members","room":"channel:42"}`},
		"FetchSockets": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.In("channel:1").Except("user:ana").FetchSockets(ctx)
			return err
		}, `{"command":"connections","rooms":["channel:1"],"except":["user:ana"]}`},
		"SocketsJoin": {func(ctx context.Context, e *emitter.Emitter) error {
			return e.In("channel:1").To("channel:2").SocketsJoin(ctx, "channel:3")
		}, `{"command":"join","room":"channel:3","rooms":["channel:1","channel:2"]}`},
		"SocketsLeave": {func(ctx context.Context, e *emitter.Emitter) error {
			return e.Sockets("c1").SocketsLeave(ctx, "channel:3")
		}, `{"command":"leave","room":"channel:3","connections":["c1"]}`},
		"DisconnectSockets": {func(ctx context.Context, e *emitter.Emitter) error {
			return e.To("channel:1").DisconnectSockets(ctx, "over")
		}, `{"command":"disconnect","rooms":["channel:1"],"reason":"over"}`},
		"EmitWithAck": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.To("user:ana").Timeout(2*time.Second).EmitWithAck(ctx, "sure?", map[string]int{"n": 1})
			return err
		}, `{"command":"ask","rooms":["user:ana"],"event":"sure?","data":{"n":1},"timeoutMs":2000}`},
		"Stats": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.Stats(ctx)
			return err
		}, `{"command":"stats"}`},
		"History": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.History(ctx, "channel:42", 120, 50)
			return err
		}, `{"command":"history","room":"channel:42","before":120,"limit":50}`},
		"History, newest": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.History(ctx, "channel:42", 0, 0)
			return err
		}, `{"command":"history","room":"channel:42"}`},
		"Disconnect a user": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.Disconnect(ctx, emitter.Disconnect{User: "eve", Reason: "banned"})
			return err
		}, `{"command":"disconnect","user":"eve","reason":"banned"}`},
		"Disconnect a connection": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.Disconnect(ctx, emitter.Disconnect{Connection: "L0SM9cOFvHcCIhw="})
			return err
		}, `{"command":"disconnect","connection":"L0SM9cOFvHcCIhw="}`},
		"Join": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.Join(ctx, "ana", "channel:42")
			return err
		}, `{"command":"join","room":"channel:42","user":"ana"}`},
		"Leave": {func(ctx context.Context, e *emitter.Emitter) error {
			_, err := e.Leave(ctx, "ana", "channel:42")
			return err
		}, `{"command":"leave","room":"channel:42","user":"ana"}`},
		"Close": {func(ctx context.Context, e *emitter.Emitter) error {
			return e.Close(ctx, "channel:42", "archived")
		}, `{"command":"close","room":"channel:42","reason":"archived"}`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTestFunction(t)
			for _, c := range []string{"presence", "members", "history", "stats", "connections", "ask", "disconnect", "join", "leave", "close"} {
				f.answers[c] = `{"ok":true,"data":{}}`
			}
			if err := tt.call(t.Context(), f.emitter()); err != nil {
				t.Fatal(err)
			}
			if got := f.sent(); len(got) != 1 || got[0] != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if got, want := f.paths[0], "POST /2015-03-31/functions/emit/invocations"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	f := newTestFunction(t)
	e := f.emitter()
	f.answers["presence"] = `{"ok":true,"data":{"room":"community:7","presence":[{"userId":"ana","name":"Ana","status":"away","data":{"a":1},"since":5}]}}`
	f.answers["members"] = `{"ok":true,"data":{"room":"channel:42","members":[{"connection":"c1","userId":"ana"},{"connection":"c2","userId":"ana"}]}}`
	f.answers["history"] = `{"ok":true,"data":{"room":"channel:42","epoch":"e1","seq":9,"events":[{"event":"message:new","room":"channel:42","seq":8,"id":"m8","ts":5,"from":{"userId":"ana"},"data":{"content":"hi"}}],"more":true}}`
	f.answers["disconnect"] = `{"ok":true,"data":{"disconnected":3}}`
	f.answers["join"] = `{"ok":true,"data":{"connections":2}}`
	f.answers["leave"] = `{"ok":true,"data":{"connections":1}}`
	f.answers["close"] = `{"ok":false,"error":{"code":"unknown_room_kind","message":"There is no such kind of room.","retry":false}}`

	same := func(name string, got, want any, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
	presence, err := e.Presence(t.Context(), "community:7")
	same("presence", presence, []emitter.Occupant{{UserID: "ana", Name: "Ana", Status: "away", Data: json.RawMessage(`{"a":1}`), Since: 5}}, err)
	members, err := e.Members(t.Context(), "channel:42")
	same("members", members, []emitter.Member{{Connection: "c1", UserID: "ana"}, {Connection: "c2", UserID: "ana"}}, err)
	history, err := e.History(t.Context(), "channel:42", 0, 1)
	same("history", history, emitter.History{
		Room: "channel:42", Epoch: "e1", Seq: 9, More: true,
		Events: []emitter.Event{{
			Event: "message:new", Room: "channel:42", Seq: 8, ID: "m8", TS: 5,
			From: &emitter.From{UserID: "ana"}, Data: json.RawMessage(`{"content":"hi"}`),
		}},
	}, err)
	disconnected, err := e.Disconnect(t.Context(), emitter.Disconnect{User: "eve"})
	same("disconnect", disconnected, 3, err)
	joined, err := e.Join(t.Context(), "ana", "channel:42")
	same("join", joined, 2, err)
	left, err := e.Leave(t.Context(), "ana", "channel:42")
	same("leave", left, 1, err)
	if err := e.Close(t.Context(), "cave:1", ""); code(err) != "unknown_room_kind" || !strings.Contains(err.Error(), "no such kind") {
		t.Errorf("close: got %v, want unknown_room_kind", err)
	}
}

func TestPublishResult(t *testing.T) {
	f := newTestFunction(t)
	f.refuse["cave:1"] = `{"code":"unknown_room_kind","message":"no caves","retry":false}`
	f.refuse["c2"] = `{"code":"unavailable","message":"busy","retry":true}`
	res, err := f.emitter().Publish(t.Context(), emitter.Publish{
		Rooms: []string{"channel:1", "cave:1"}, Users: []string{"ana"}, Connections: []string{"c1", "c2"}, Event: "quiz:over",
	})
	if code(err) != "unknown_room_kind" || !errors.Is(res.Err, err) {
		t.Errorf("got %v, want the first failure", err)
	}
	want := []emitter.Result{
		{Room: "channel:1", Epoch: "e1", Seq: 7, ID: "id-1", TS: 1732341000123},
		{Room: "cave:1", Error: &emitter.Error{Code: "unknown_room_kind", Message: "no caves"}},
		{Room: "user:ana", Epoch: "e1", Seq: 7, ID: "id-1", TS: 1732341000123},
		{Connection: "c1"},
		{Connection: "c2", Error: &emitter.Error{Code: "unavailable", Message: "busy", Retry: true}},
	}
	if res.ID != "id-1" || !reflect.DeepEqual(res.Results, want) {
		t.Errorf("got %+v, want %+v", res, want)
	}
}

func TestIDs(t *testing.T) {
	f := newTestFunction(t)
	e := emitter.New(emitter.HTTP(f.URL, f.Client()))
	p := emitter.Publish{Rooms: []string{"channel:1"}, Event: "quiz:over"}
	seen := map[string]bool{}
	for range 100 {
		res, err := e.Publish(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if len(res.ID) != 26 || seen[res.ID] || protocol.CheckID(res.ID) != nil || res.Results[0].ID != res.ID {
			t.Fatalf("got %+v, want a new id of 26 characters", res)
		}
		seen[res.ID] = true
	}
	p.Ephemeral = true
	if res, err := e.Publish(t.Context(), p); err != nil || res.ID != "" {
		t.Errorf("got %q, %v for an ephemeral event, want no id", res.ID, err)
	}
}

func TestRefusedBeforeSending(t *testing.T) {
	f := newTestFunction(t)
	e := f.emitter()
	publish := func(p emitter.Publish) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := e.Publish(ctx, p)
			return err
		}
	}
	one := []string{"channel:1"}
	for name, tt := range map[string]struct {
		call func(context.Context) error
		code string
		says string
	}{
		"no target":        {publish(emitter.Publish{Event: "a"}), "bad_request", "needs a target"},
		"an empty target":  {publish(emitter.Publish{Event: "a", Users: []string{""}}), "bad_request", "target of a publish is empty"},
		"no event":         {publish(emitter.Publish{Rooms: one}), "bad_request", "event name"},
		"a channel":        {publish(emitter.Publish{Rooms: one, Event: "a", Data: make(chan int)}), "bad_request", "as JSON"},
		"broken JSON":      {publish(emitter.Publish{Rooms: one, Event: "a", Data: json.RawMessage("{")}), "bad_request", "as JSON"},
		"127 KB":           {publish(emitter.Publish{Rooms: one, Event: "a", Data: strings.Repeat("a", 127<<10)}), "too_large", "at most 129024"},
		"a crowd excepted": {publish(emitter.Publish{Rooms: one, Event: "a", Except: slices.Repeat([]string{"somebody"}, 30000)}), "too_large", "except"},
		"a message to no channel": {func(ctx context.Context) error {
			_, err := e.NewMessage(ctx, "", emitter.Message{Content: "hi"})
			return err
		}, "bad_request", "needs a channel"},
		"a message without content": {func(ctx context.Context) error {
			_, err := e.NewMessage(ctx, "1", emitter.Message{})
			return err
		}, "bad_request", "content"},
		"content twice": {func(ctx context.Context) error {
			_, err := e.NewMessage(ctx, "1", emitter.Message{Content: "a", Fields: map[string]any{"content": "b"}})
			return err
		}, "bad_request", `"content"`},
		"a title twice": {func(ctx context.Context) error {
			_, err := e.NewNotification(ctx, "ana", emitter.Notification{Fields: map[string]any{"title": "b"}})
			return err
		}, "bad_request", `"title"`},
		"a goal's title twice": {func(ctx context.Context) error {
			_, err := e.BuddyGoalCompleted(ctx, []string{"ana"}, emitter.Goal{Fields: map[string]any{"title": "b"}})
			return err
		}, "bad_request", `"title"`},
		"a note twice": {func(ctx context.Context) error {
			_, err := e.BuddyCheckIn(ctx, []string{"ana"}, emitter.CheckIn{Fields: map[string]any{"note": "b"}})
			return err
		}, "bad_request", `"note"`},
		"a notification to nobody": {func(ctx context.Context) error {
			_, err := e.NewNotification(ctx, "", emitter.Notification{})
			return err
		}, "bad_request", "empty"},
		"no message to delete": {func(ctx context.Context) error {
			_, err := e.MessageDeleted(ctx, "1", "")
			return err
		}, "bad_request", "its id"},
		"no status": {func(ctx context.Context) error {
			_, err := e.PresenceChanged(ctx, "1", emitter.PresenceChange{UserID: "ana"})
			return err
		}, "bad_request", "status"},
		"presence of nothing": {func(ctx context.Context) error {
			_, err := e.Presence(ctx, "")
			return err
		}, "bad_request", "room"},
		"members of nothing": {func(ctx context.Context) error {
			_, err := e.Members(ctx, "")
			return err
		}, "bad_request", "room"},
		"history before the beginning": {func(ctx context.Context) error {
			_, err := e.History(ctx, "channel:1", -1, 0)
			return err
		}, "bad_request", "negative"},
		"disconnecting nobody": {func(ctx context.Context) error {
			_, err := e.Disconnect(ctx, emitter.Disconnect{})
			return err
		}, "bad_request", "not both"},
		"disconnecting two": {func(ctx context.Context) error {
			_, err := e.Disconnect(ctx, emitter.Disconnect{User: "a", Connection: "b"})
			return err
		}, "bad_request", "not both"},
		"joining nowhere": {func(ctx context.Context) error {
			_, err := e.Join(ctx, "ana", "")
			return err
		}, "bad_request", "join needs"},
		"closing nothing": {func(ctx context.Context) error { return e.Close(ctx, "", "") }, "bad_request", "close needs"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.call(t.Context())
			if code(err) != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %s with %q", err, tt.code, tt.says)
			}
		})
	}
	if got := f.sent(); len(got) != 0 {
		t.Errorf("sent %s", got)
	}
}

// flat gives the single commands of all payloads.
func flat(tb testing.TB, payloads []string) (all []wire) {
	tb.Helper()
	for _, p := range payloads {
		var many []wire
		if strings.HasPrefix(p, "{") {
			p = "[" + p + "]"
		}
		if err := json.Unmarshal([]byte(p), &many); err != nil {
			tb.Fatal(err)
		}
		all = append(all, many...)
	}
	return all
}

func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return all
}

func TestSplitAfter1000Targets(t *testing.T) {
	for n, want := range map[int][]int{1000: {1000}, 1001: {1000, 1}, 2700: {1000, 1000, 700}} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			f := newTestFunction(t)
			res, err := f.emitter().NewNotifications(t.Context(), names("u", n), emitter.Notification{Title: "hi"})
			if err != nil {
				t.Fatal(err)
			}
			var users []string
			var sizes []int
			ids := map[string]bool{}
			for _, c := range flat(t, f.sent()) {
				sizes, users, ids[c.ID] = append(sizes, len(c.Users)), append(users, c.Users...), true
			}
			if len(ids) != 1 || !ids[res.ID] {
				t.Errorf("got ids %v, want only %q", ids, res.ID)
			}
			if len(f.sent()) != 1 || !slices.Equal(sizes, want) || !slices.Equal(users, names("u", n)) {
				t.Errorf("got %d requests with %v users, want 1 with %v", len(f.sent()), sizes, want)
			}
			if len(res.Results) != n || res.Results[n-1].Room != fmt.Sprintf("user:u%d", n-1) {
				t.Errorf("got %d results, want one for each of %d users, in order", len(res.Results), n)
			}
		})
	}
}

func TestSplitKeepsTheOrderOfMixedTargets(t *testing.T) {
	f := newTestFunction(t)
	if _, err := f.emitter().Publish(t.Context(), emitter.Publish{
		Rooms: names("channel:", 999), Users: names("u", 3), Connections: names("c", 2), Event: "a",
	}); err != nil {
		t.Fatal(err)
	}
	got := flat(t, f.sent())
	if len(got) != 2 || len(got[0].Rooms) != 999 || len(got[0].Users) != 1 || len(got[1].Users) != 2 || len(got[1].Connections) != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestSplitAfter200KB(t *testing.T) {
	f := newTestFunction(t)
	long := make([]string, 1000)
	for i := range long {
		long[i] = fmt.Sprintf("channel:%0500d", i)
	}
	if _, err := f.emitter().Publish(t.Context(), emitter.Publish{Rooms: long, Event: "a", Data: strings.Repeat("<", 125<<10)}); err != nil {
		t.Fatal(err)
	}
	rooms := 0
	for _, c := range flat(t, f.sent()) {
		rooms += len(c.Rooms)
	}
	if rooms != 1000 {
		t.Errorf("got %d rooms, want 1000", rooms)
	}
	for i, p := range f.sent() {
		if len(p) > 200<<10 || i < len(f.sent())-1 && len(p) < 190<<10 {
			t.Errorf("request %d has %d bytes", i, len(p))
		}
	}
}

// channels is one publish for each of 23 channels.
func channels() []emitter.Publish {
	ps := make([]emitter.Publish, 23)
	for i := range ps {
		ps[i] = emitter.Publish{Rooms: []string{fmt.Sprintf("channel:%d", i)}, Event: "a", ID: fmt.Sprint(i)}
	}
	return ps
}

func TestPublishAllPutsTenIntoOneRequest(t *testing.T) {
	f := newTestFunction(t)
	f.refuse["channel:21"] = `{"code":"unavailable","message":"busy","retry":true}`
	res, err := f.emitter().PublishAll(t.Context(), channels()...)
	if code(err) != "unavailable" || !strings.Contains(err.Error(), "publish 22 of 23") {
		t.Errorf("got %v, want the error of the 22nd", err)
	}
	if got := len(f.sent()); got != 3 {
		t.Errorf("got %d requests, want 3", got)
	}
	for i, c := range flat(t, f.sent()) {
		if c.ID != fmt.Sprint(i) {
			t.Errorf("command %d is %s", i, c.ID)
		}
	}
	for i, r := range res {
		if r.ID != fmt.Sprint(i) || len(r.Results) != 1 || r.Results[0].Room != fmt.Sprintf("channel:%d", i) || (r.Err != nil) != (i == 21) {
			t.Errorf("result %d is %+v", i, r)
		}
	}
}

func TestPublishAllSendsNothingWhenOneIsMalformed(t *testing.T) {
	f := newTestFunction(t)
	res, err := f.emitter().PublishAll(t.Context(), channels()[0], emitter.Publish{})
	if res != nil || code(err) != "bad_request" || !strings.Contains(err.Error(), "2 of 2") || len(f.sent()) != 0 {
		t.Errorf("got %v, %v, sent %v", res, err, f.sent())
	}
}

func TestPublishAllStopsAtARequestThatFails(t *testing.T) {
	f := newTestFunction(t)
	f.fail(func(w http.ResponseWriter) { http.Error(w, "nope", http.StatusBadGateway) })
	res, err := f.emitter().PublishAll(t.Context(), channels()...)
	if err == nil || len(f.sent()) != 1 {
		t.Fatalf("got %v after %d requests", err, len(f.sent()))
	}
	for i, r := range res {
		if r.Err == nil || strings.Contains(r.Err.Error(), "not sent") != (i >= 10) || r.ID == "" {
			t.Errorf("result %d is %+v", i, r)
		}
	}
}

func TestPublishAllOfNothing(t *testing.T) {
	if res, err := newTestFunction(t).emitter().PublishAll(t.Context()); err != nil || len(res) != 0 {
		t.Errorf("got %v, %v", res, err)
	}
}

func TestHTTPFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		how  func(http.ResponseWriter)
		many bool
		want string
	}{
		"404":         {func(w http.ResponseWriter) { http.Error(w, `{"Message":"Function not found"}`, http.StatusNotFound) }, false, "Function not found"},
		"an error":    {crash(`{"errorMessage":"no table","errorType":"errorString"}`), false, "function emit failed (Unhandled): errorString: no table"},
		"a crash":     {crash(`oh`), false, `function emit failed (Unhandled): "oh"`},
		"nothing":     {func(http.ResponseWriter) {}, false, "answered nothing"},
		"nonsense":    {write(`null`), false, "what no emit function does"},
		"HTML":        {write(`<html>`), false, "what no emit function does"},
		"wrong data":  {write(`{"ok":true,"data":[]}`), false, "read the answer's data"},
		"too few":     {write(`[{"ok":true}]`), true, "gave 1 answers to 2 commands"},
		"only one":    {write(`{"ok":true}`), true, "gave one answer to 2 commands"},
		"one refusal": {write(`{"ok":false,"error":{"code":"internal","message":"m","retry":true}}`), true, "internal: m"},
		"many, nonsense": {
			write(`"x"`), true, "what no emit function does",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTestFunction(t)
			f.fail(tt.how)
			p := emitter.Publish{Rooms: []string{"channel:1"}, Event: "a"}
			ps := []emitter.Publish{p}
			if tt.many {
				ps = append(ps, p)
			}
			res, err := f.emitter().PublishAll(t.Context(), ps...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if res[0].ID != "id-1" {
				t.Errorf("got id %q, want the one to repeat it with", res[0].ID)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		f := newFunction()
		e := emitter.New(emitter.HTTP(f.URL+"/", nil))
		f.Close()
		if _, err := e.Presence(t.Context(), "community:7"); err == nil || code(err) != "" {
			t.Errorf("got %v, want a plain error", err)
		}
	})
	t.Run("no URL", func(t *testing.T) {
		if err := emitter.New(emitter.HTTP(":", nil)).Close(t.Context(), "channel:1", ""); err == nil {
			t.Error("got no error")
		}
	})
}

func crash(body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		_, _ = io.WriteString(w, body)
	}
}

func write(body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { _, _ = io.WriteString(w, body) }
}

// careless is a transport that breaks its promises.
type careless struct{ out []emitter.Outcome }

func (careless) Answers() bool                                               { return true }
func (c careless) Send(context.Context, []json.RawMessage) []emitter.Outcome { return c.out }

func TestCarelessTransport(t *testing.T) {
	for _, c := range []careless{{nil}, {make([]emitter.Outcome, 1)}, {make([]emitter.Outcome, 2)}} {
		if _, err := emitter.New(c).Presence(t.Context(), "community:7"); err == nil {
			t.Errorf("%v: got no error", c)
		}
	}
}

// The names are written down twice, because this package is for other programs and shares nothing with ours.
func TestNamesAreTheProtocols(t *testing.T) {
	f := newTestFunction(t)
	e := f.emitter()
	_, _ = e.NewMessage(t.Context(), "1", emitter.Message{Content: ""})
	_, _ = e.MessageDeleted(t.Context(), "1", "m")
	_, _ = e.NewNotification(t.Context(), "a", emitter.Notification{})
	_, _ = e.PresenceChanged(t.Context(), "1", emitter.PresenceChange{UserID: "a", Status: "b"})
	_, _ = e.BuddyGoalCompleted(t.Context(), []string{"a"}, emitter.Goal{})
	_, _ = e.BuddyCheckIn(t.Context(), []string{"a"}, emitter.CheckIn{})
	want := []string{
		protocol.MessageNew, protocol.MessageDeleted, protocol.NotificationNew, protocol.PresenceChanged,
		protocol.BuddyGoalCompleted, protocol.BuddyCheckIn,
	}
	for i, p := range f.sent() {
		if !strings.Contains(p, `"event":"`+want[i]+`"`) {
			t.Errorf("got %s, want %s", p, want[i])
		}
	}
	if len(f.sent()) != len(want) {
		t.Errorf("got %d commands, want %d", len(f.sent()), len(want))
	}
}

// pages answers as a function whose rooms do not fit into one answer.
type pages struct{ asked []string }

func (*pages) Answers() bool { return true }

func (p *pages) Send(_ context.Context, commands []json.RawMessage) []emitter.Outcome {
	var out []emitter.Outcome
	for _, text := range commands {
		var c struct {
			Command, After string
			Before         int64
		}
		answer := `{"ok":false,"error":{"code":"bad_request","message":"no such command","retry":false}}`
		if err := json.Unmarshal(text, &c); err == nil {
			p.asked = append(p.asked, c.Command)
			answer = map[string]string{
				"members ":      `{"ok":true,"data":{"members":[{"connection":"c1","userId":"ana"},{"connection":"c2","userId":"bob"}],"more":true,"next":"0/1:c2"}}`,
				"members0/1:c2": `{"ok":true,"data":{"members":[{"connection":"c3","userId":"cleo"}],"more":false}}`,
				"history0":      `{"ok":true,"data":{"events":[{"event":"n","seq":3,"ts":1732341000123},{"event":"n","seq":4}],"more":true}}`,
				"history3":      `{"ok":true,"data":{"events":[{"event":"n","seq":1},{"event":"n","seq":2}],"more":false}}`,
			}[c.Command+map[string]string{"members": c.After + map[bool]string{true: " "}[c.After == ""], "history": strconv.FormatInt(c.Before, 10)}[c.Command]]
		}
		out = append(out, emitter.Outcome{Answer: json.RawMessage(answer)})
	}
	return out
}

func TestPages(t *testing.T) {
	p := &pages{}
	e := emitter.New(p)
	members, err := e.Members(t.Context(), "channel:1")
	if err != nil || len(members) != 3 || members[2].UserID != "cleo" {
		t.Errorf("got %v, %v", members, err)
	}
	for m, err := range e.EachMember(t.Context(), "channel:1") {
		if err != nil || m.Connection != "c1" {
			t.Errorf("got %v, %v", m, err)
		}
		break
	}
	if len(p.asked) != 3 {
		t.Errorf("asked %v: who needs one page asks for one", p.asked)
	}
	var seqs []int64
	for event, err := range e.EachEvent(t.Context(), "channel:1") {
		if err != nil {
			t.Fatal(err)
		}
		if event.Seq == 3 && !event.Time().Equal(time.Date(2024, 11, 23, 5, 50, 0, 123e6, time.UTC)) {
			t.Errorf("got %v", event.Time())
		}
		seqs = append(seqs, event.Seq)
	}
	if !slices.Equal(seqs, []int64{4, 3, 2, 1}) {
		t.Errorf("got %v, want the newest first", seqs)
	}
	for _, err := range e.EachMember(t.Context(), "") {
		if !errors.Is(err, emitter.ErrBadRequest) {
			t.Errorf("got %v", err)
		}
	}
}

func TestErrorsByCode(t *testing.T) {
	f := newTestFunction(t)
	f.refuse["channel:1"] = `{"code":"conflict","message":"taken","retry":false}`
	f.refuse["channel:2"] = `{"code":"rate_limited","message":"slowly","retry":true,"retryAfterMs":400}`
	_, err := f.emitter().Publish(t.Context(), emitter.Publish{Rooms: []string{"channel:1"}, Event: "n"})
	if !errors.Is(err, emitter.ErrConflict) || errors.Is(err, emitter.ErrForbidden) {
		t.Errorf("got %v, which is to be a conflict", err)
	}
	results, err := f.emitter().PublishAll(t.Context(), emitter.Publish{Rooms: []string{"channel:3"}, Event: "n"}, emitter.Publish{Rooms: []string{"channel:2"}, Event: "n"})
	if !errors.Is(err, emitter.ErrRateLimited) || len(results) != 2 {
		t.Errorf("got %v: what is wrapped is found too", err)
	}
	if refused, ok := errors.AsType[*emitter.Error](err); !ok || refused.RetryAfter() != 400*time.Millisecond {
		t.Errorf("got %+v", refused)
	}
}

func TestOptions(t *testing.T) {
	f := newTestFunction(t)
	e := emitter.NewWith(emitter.HTTP(f.URL, nil), emitter.Options{NewID: func() string { return "mine" }})
	if got, err := e.Publish(t.Context(), emitter.Publish{Rooms: []string{"channel:1"}, Event: "n"}); err != nil || got.ID != "mine" {
		t.Errorf("got %v, %v", got, err)
	}
	if id := emitter.NewWith(emitter.HTTP(f.URL, nil), emitter.Options{}).NewID(); len(id) != 26 {
		t.Errorf("got %q", id)
	}
}

func TestPublishToAll(t *testing.T) {
	f := newTestFunction(t)
	e := f.emitter()
	res, err := e.Publish(t.Context(), emitter.Publish{All: true, Event: "news", Data: 1, Except: []string{"bob"}})
	if err != nil || res.ID != "id-1" || res.Reached != 1234 || len(res.Results) != 0 {
		t.Errorf("got %+v, %v", res, err)
	}
	want := `{"command":"publish","event":"news","data":1,"id":"id-1","all":true,"except":["bob"]`
	if got := f.sent(); !slices.Equal(got, []string{want + "}", want + `,"after":"8"}`}) {
		t.Errorf("sent %s", got)
	}
	t.Run("also after a command that did not reach somebody, which is said", func(t *testing.T) {
		f := newTestFunction(t)
		f.fail(func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"ok":false,"error":{"code":"internal","message":"boom","retry":true},"data":{"reached":1,"results":[{"room":"user:eve"}],"next":"8"}}`)
		})
		res, err := f.emitter().Publish(t.Context(), emitter.Publish{All: true, Event: "news"})
		if code(err) != "internal" || len(res.Results) != 1 || res.Reached < 2 || len(f.sent()) != 2 {
			t.Errorf("got %+v, %v, and sent %s", res, err, f.sent())
		}
	})
	for name, p := range map[string]emitter.Publish{
		"targets as well": {All: true, Rooms: []string{"channel:1"}, Event: "a"},
		"too large":       {All: true, Event: "a", Except: names("u", 50_000)},
	} {
		if _, err := e.Publish(t.Context(), p); code(err) == "" || len(f.sent()) != 2 {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
