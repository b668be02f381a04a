package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/aws/apigateway"
	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/local/asyncapi"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/release"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
	"github.com/bellhop-rt/bellhop/internal/token"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// TestEveryEvent drives each event of the protocol over real sockets. It fails when an event of the list is missing
// here.
func TestEveryEvent(t *testing.T) {
	t.Parallel()
	type scene struct {
		*servertest.Server
		ana, bob *servertest.Client
	}
	inChannel := func(s *scene) {
		for _, c := range []*servertest.Client{s.ana, s.bob} {
			c.Must(map[string]any{"action": "join", "room": "channel:42"})
		}
	}
	// Each check makes its event happen and gives what bob, or the one concerned, receives.
	checks := map[string]func(t *testing.T, s *scene) map[string]any{
		protocol.MessageNew: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			inChannel(s)
			reply := s.ana.Must(map[string]any{"action": "message:send", "channelId": "42", "content": "hi", "id": "new1"})
			e := s.bob.Event("message:new", "channel:42")
			if e["id"] != "new1" || e["seq"] != reply["seq"] || servertest.Object(e, "data")["content"] != "hi" {
				t.Errorf("got %v, replied %v", e, reply)
			}
			return e
		},
		protocol.MessageDeleted: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			inChannel(s)
			s.ana.Must(map[string]any{"action": "publish", "room": "channel:42", "event": "message:new", "data": map[string]any{"content": "oops"}, "id": "m1"})
			s.ana.Must(map[string]any{"action": "message:delete", "channelId": "42", "messageId": "m1"})
			e := s.bob.Event("message:deleted", "channel:42")
			if servertest.Object(e, "data")["messageId"] != "m1" {
				t.Errorf("got %v", e)
			}
			history, _ := s.bob.Must(map[string]any{"action": "history", "room": "channel:42"})["events"].([]any)
			if strings.Contains(fmt.Sprint(history), "oops") {
				t.Errorf("the log still tells: %v", history)
			}
			return e
		},
		protocol.UserTyping: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			inChannel(s)
			s.ana.Send(map[string]any{"action": "typing:start", "channelId": "42", "userId": "mallory", "userName": "Mallory"})
			e := s.bob.Event("user:typing", "channel:42")
			until, _ := servertest.Object(e, "data")["until"].(float64)
			if left := time.Until(time.UnixMilli(int64(until))); left <= 0 || left > 12*time.Second {
				t.Errorf("typing until in %v", left)
			}
			if e["seq"] != nil {
				t.Errorf("typing was logged: %v", e)
			}
			s.ana.Nothing("user:typing")
			return e
		},
		protocol.UserStoppedTyping: func(_ *testing.T, s *scene) map[string]any {
			inChannel(s)
			s.ana.Send(map[string]any{"action": "signal", "room": "channel:42", "event": "typing:stop"})
			return s.bob.Event("user:stopped-typing", "channel:42")
		},
		protocol.UserOnline: func(_ *testing.T, s *scene) map[string]any {
			s.bob.Must(map[string]any{"action": "join", "room": "community:7"})
			s.bob.Event("user:online", "community:7") // his own
			s.ana.Must(map[string]any{"action": "join:community", "communityId": "7"})
			return s.bob.Event("user:online", "community:7")
		},
		protocol.UserOffline: func(_ *testing.T, s *scene) map[string]any {
			s.bob.Must(map[string]any{"action": "join", "room": "community:7"})
			s.ana.Must(map[string]any{"action": "join", "room": "community:7"})
			_ = s.ana.Conn.Close(websocket.StatusNormalClosure, "")
			return s.bob.Event("user:offline", "community:7")
		},
		protocol.PresenceChanged: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			s.bob.Must(map[string]any{"action": "join", "room": "community:7"})
			s.ana.Must(map[string]any{"action": "join", "room": "community:7"})
			s.ana.Must(map[string]any{"action": "presence:update", "status": "away", "data": map[string]any{"mood": "calm"}})
			e := s.bob.Event("presence:changed", "community:7")
			if d := servertest.Object(e, "data"); d["status"] != "away" || servertest.Object(d, "data")["mood"] != "calm" || d["userId"] != "ana" {
				t.Errorf("got %v", e)
			}
			return e
		},
		protocol.NotificationNew: func(_ *testing.T, s *scene) map[string]any {
			s.MustEmit(map[string]any{"command": "publish", "users": []string{"bob"}, "event": "notification:new", "data": map[string]any{"title": "Hello"}, "from": map[string]any{"userId": "ana", "name": "Ana"}})
			return s.bob.Event("notification:new", "user:bob")
		},
		protocol.NotificationRead: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			phone := s.Connect("ana")
			phone.Must(map[string]any{"action": "notification:read", "notificationId": "n1"})
			e := s.ana.Event("notification:read", "user:ana")
			if servertest.Object(e, "data")["notificationId"] != "n1" {
				t.Errorf("got %v", e)
			}
			return e
		},
		protocol.BuddyGoalCompleted: func(_ *testing.T, s *scene) map[string]any {
			s.MustEmit(map[string]any{"command": "publish", "users": []string{"bob"}, "event": "buddy:goal-completed", "data": map[string]any{"goal": "run"}, "from": map[string]any{"userId": "ana", "name": "Ana"}})
			return s.bob.Event("buddy:goal-completed", "user:bob")
		},
		protocol.BuddyCheckIn: func(_ *testing.T, s *scene) map[string]any {
			s.MustEmit(map[string]any{"command": "publish", "users": []string{"bob"}, "event": "buddy:check-in", "data": map[string]any{}, "from": map[string]any{"userId": "ana", "name": "Ana"}})
			return s.bob.Event("buddy:check-in", "user:bob")
		},
		protocol.RoomClosed: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			inChannel(s)
			s.MustEmit(map[string]any{"command": "close", "room": "channel:42", "reason": "archived"})
			e := s.bob.Event("room:closed", "channel:42")
			if servertest.Object(e, "data")["reason"] != "archived" {
				t.Errorf("got %v", e)
			}
			if code := s.ana.Refused(map[string]any{"action": "publish", "room": "channel:42", "event": "message:new"}); code != "not_in_room" {
				t.Errorf("publishing to a closed room: %s", code)
			}
			return e
		},
		protocol.RoomSkipped: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			inChannel(s)
			s.MustEmit(map[string]any{"command": "publish", "rooms": []string{"channel:42"}, "event": "message:new", "data": map[string]any{"content": "x"}, "except": []string{"bob"}})
			seq := s.ana.Event("message:new", "channel:42")["seq"]
			e := s.bob.Event("room:skipped", "channel:42")
			if e["seq"] != seq || e["data"] != nil || e["id"] != nil {
				t.Errorf("got %v, want seq %v", e, seq)
			}
			return e
		},
		protocol.SessionEnding: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			s.MustEmit(map[string]any{"command": "disconnect", "user": "bob", "reason": "kicked"})
			e := s.bob.Event("session:ending", "")
			if servertest.Object(e, "data")["reason"] != "kicked" {
				t.Errorf("got %v", e)
			}
			if code := s.bob.Ending(); code != websocket.StatusNormalClosure {
				t.Errorf("closed with %d", code)
			}
			return e
		},
		protocol.Pong: func(_ *testing.T, s *scene) map[string]any {
			s.bob.Send(map[string]any{"action": "ping"})
			return s.bob.Event("pong", "")
		},
		protocol.Refused: func(_ *testing.T, s *scene) map[string]any {
			eve := s.Socket("eve")
			eve.Write(`42["publish",{"room":"channel:42","event":"refused"}]`)
			row, _ := protocol.EventNamed(protocol.Refused)
			eve.Read(row.Example)
			return nil
		},
	}
	schemas, err := asyncapi.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range protocol.Events() {
		if checks[row.Name] == nil {
			t.Errorf("%s: nothing here makes it happen, over real sockets", row.Name)
		}
	}
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		for name, check := range checks {
			t.Run(name, func(t *testing.T) {
				s := &scene{Server: servertest.Start(t, place)}
				s.ana, s.bob = s.Connect("ana"), s.Connect("bob")
				e := check(t, s)
				if e == nil { // of Socket.IO
					return
				}
				frame, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				if err := schemas.Sent(frame); err != nil {
					t.Errorf("%s is not what the protocol's document says: %v", frame, err)
				}
				row, _ := protocol.EventNamed(name)
				if want := map[string]any{"userId": "ana", "name": "Ana"}; !reflect.DeepEqual(e["from"], want) && (e["from"] != nil || strings.Contains(row.Example, `"from"`)) {
					t.Errorf("%s is from %v, want %v", name, e["from"], want)
				}
			})
		}
	})
}

func TestJoin(t *testing.T) {
	t.Parallel()
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place)
		ana, bob := s.Connect("ana"), s.Connect("bob")
		first := ana.Must(map[string]any{"action": "join", "room": "channel:1"})
		if first["epoch"] == "" || first["seq"] != 0.0 || first["recovered"] != false {
			t.Fatalf("got %v", first)
		}
		bob.Must(map[string]any{"action": "join", "room": "channel:1"})
		for i := range 5 {
			bob.Must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "data": i})
		}
		back := ana.Must(map[string]any{"action": "join", "room": "channel:1", "since": map[string]any{"epoch": first["epoch"], "seq": 2}})
		events, _ := back["events"].([]any)
		if len(events) != 3 || back["recovered"] != true || back["seq"] != 5.0 {
			t.Errorf("since 2 gives %v", back)
		}
		other := ana.Must(map[string]any{"action": "join", "room": "channel:1", "since": map[string]any{"epoch": "nonsense", "seq": 2}})
		if other["recovered"] != false || other["seq"] != 5.0 || len(other["events"].([]any)) != 0 {
			t.Errorf("another epoch gives %v", other)
		}
		page := ana.Must(map[string]any{"action": "history", "room": "channel:1", "before": 4, "limit": 2})
		got, _ := json.Marshal(page["events"])
		var seqs []struct{ Seq int }
		if err := json.Unmarshal(got, &seqs); err != nil || len(seqs) != 2 || seqs[0].Seq != 2 || seqs[1].Seq != 3 || page["more"] != true {
			t.Errorf("history before 4 gives %v", page)
		}
		community := ana.Must(map[string]any{"action": "join", "room": "community:1"})
		if here, _ := community["presence"].([]any); len(here) != 1 || here[0].(map[string]any)["userId"] != "ana" {
			t.Errorf("presence is %v", community["presence"])
		}
		ana.Must(map[string]any{"action": "leave", "room": "channel:1"})
		bob.Must(map[string]any{"action": "publish", "room": "channel:1", "event": "after:leaving"})
		bob.Event("after:leaving", "channel:1")
		ana.Nothing("after:leaving")
	})
}

func TestIdempotentPublish(t *testing.T) {
	t.Parallel()
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place)
		ana, bob := s.Connect("ana"), s.Connect("bob")
		for _, c := range []*servertest.Client{ana, bob} {
			c.Must(map[string]any{"action": "join", "room": "channel:1"})
		}
		frame := map[string]any{"action": "publish", "id": "once", "room": "channel:1", "event": "message:new", "data": 1}
		first, again := ana.Must(frame), ana.Must(frame)
		if !reflect.DeepEqual(first, again) {
			t.Errorf("got %v, then %v", first, again)
		}
		if own := bob.Must(frame); own["seq"] != 2.0 || own["id"] != "once" {
			t.Errorf("another user's event with this id, after a retry: got %v", own)
		}
		frame["data"] = 2
		if code := ana.Refused(frame); code != "conflict" {
			t.Errorf("other data under the same id: %s", code)
		}
		next := bob.Must(map[string]any{"action": "publish", "id": "twice", "room": "channel:1", "event": "message:new", "data": 2})
		if next["seq"] != 3.0 {
			t.Errorf("what was refused has used up a seq: %v", next)
		}
	})
}

func TestWhatUsersMayNotDo(t *testing.T) {
	t.Parallel()
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place)
		ana := s.Connect("ana")
		ana.Must(map[string]any{"action": "join", "room": "channel:secret"})
		ana.Must(map[string]any{"action": "publish", "room": "channel:secret", "event": "message:new", "id": "m1", "data": 1})
		eve := s.Connect("eve", "channel:public=join", "channel:open=join,publish")
		eve.Must(map[string]any{"action": "join", "room": "channel:public"})
		eve.Must(map[string]any{"action": "join", "room": "channel:open"})
		for name, c := range map[string]struct {
			frame map[string]any
			want  string
		}{
			"join another user's room":           {map[string]any{"action": "join", "room": "user:ana"}, "forbidden"},
			"join another user's room, old name": {map[string]any{"action": "join:user", "userId": "ana"}, "forbidden"},
			"join a room that exists":            {map[string]any{"action": "join", "room": "channel:secret"}, "forbidden"},
			"join a room that does not":          {map[string]any{"action": "join", "room": "channel:nothing"}, "forbidden"},
			"join an unknown kind":               {map[string]any{"action": "join", "room": "castle:1"}, "unknown_room_kind"},
			"publish without a grant":            {map[string]any{"action": "publish", "room": "channel:public", "event": "message:new"}, "forbidden"},
			"publish to a room that exists":      {map[string]any{"action": "publish", "room": "channel:secret", "event": "message:new"}, "forbidden"},
			"publish to a room that does not":    {map[string]any{"action": "publish", "room": "channel:nothing", "event": "message:new"}, "forbidden"},
			"publish to one's own room":          {map[string]any{"action": "publish", "room": "user:eve", "event": "message:new"}, "forbidden"},
			"publish to another user's room":     {map[string]any{"action": "publish", "room": "user:ana", "event": "notification"}, "forbidden"},
			"signal without a grant":             {map[string]any{"action": "signal", "room": "channel:public", "event": "cursor"}, "forbidden"},
			"signal to a room that exists":       {map[string]any{"action": "signal", "room": "channel:secret", "event": "typing:start"}, "forbidden"},
			"read the history of another room":   {map[string]any{"action": "history", "room": "channel:secret"}, "not_in_room"},
			"read a history that is not there":   {map[string]any{"action": "history", "room": "channel:nothing"}, "not_in_room"},
			"a server's event":                   {map[string]any{"action": "publish", "room": "channel:open", "event": "notification:new"}, "forbidden"},
			"a server's prefix":                  {map[string]any{"action": "publish", "room": "channel:open", "event": "user:anything"}, "forbidden"},
			"a server's signal":                  {map[string]any{"action": "signal", "room": "channel:open", "event": "session:ending"}, "forbidden"},
			"an unlogged message":                {map[string]any{"action": "signal", "room": "channel:open", "event": "message:new"}, "bad_request"},
			"delete in another room":             {map[string]any{"action": "message:delete", "channelId": "secret", "messageId": "m1"}, "not_in_room"},
			"presence in a channel":              {map[string]any{"action": "presence", "room": "channel:open", "status": "away"}, "bad_request"},
			"presence in a room not joined":      {map[string]any{"action": "presence", "room": "community:1", "status": "away"}, "not_in_room"},
			"another user's token":               {map[string]any{"action": "auth", "token": s.Token(token.Claims{User: "ana"})}, "forbidden"},
			"a wrong token":                      {map[string]any{"action": "auth", "token": "a.b.c"}, "unauthenticated"},
			"an unknown action":                  {map[string]any{"action": "dance"}, "unknown_action"},
		} {
			if got := eve.Refused(c.frame); got != c.want {
				t.Errorf("%s: got %s, want %s", name, got, c.want)
			}
		}
		mallory := s.Connect("mallory", "channel:*=join,publish")
		mallory.Must(map[string]any{"action": "join", "room": "channel:secret"})
		if got := mallory.Refused(map[string]any{"action": "message:delete", "channelId": "secret", "messageId": "m1"}); got != "forbidden" {
			t.Errorf("delete another's message: %s", got)
		}
		if got := mallory.Refused(map[string]any{"action": "publish", "room": "channel:secret", "event": "message:deleted", "data": map[string]any{"messageId": "m1"}}); got != "forbidden" {
			t.Errorf("publish another's deletion: %s", got)
		}
		mallory.Must(map[string]any{"action": "publish", "room": "channel:secret", "event": "message:new", "from": map[string]any{"userId": "ana"}, "data": 2})
		if e := ana.Wait("mallory's message", func(f map[string]any) bool { return f["seq"] == 2.0 }); servertest.Object(e, "from")["userId"] != "mallory" {
			t.Errorf("from is spoofed: %v", e)
		}
	})
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Bolt(t))
	good := s.Token(token.Claims{User: "ana"})
	parts := strings.Split(good, ".")
	other, err := token.Sign([]byte("another-secret-that-is-long-enough-00"), token.Claims{User: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	bearer := func(jwt string) []string { return []string{"bellhop.v1", "bearer." + jwt} }
	none := "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + parts[1] + "."
	for name, c := range map[string]struct {
		path         string
		origin       string
		subprotocols []string
		want         int
	}{
		"by subprotocol":             {"/dev", "", bearer(good), 101},
		"by query":                   {"/dev?token=" + good, "", nil, 101},
		"by query and subprotocol":   {"/dev?token=" + good, "", []string{"bellhop.v1"}, 101},
		"a slash at the end":         {"/dev/", "", bearer(good), 101},
		"a good origin":              {"/dev", "http://localhost:3000", bearer(good), 101},
		"a wrong origin":             {"/dev", "https://evil.example", bearer(good), 403},
		"an origin that begins well": {"/dev", "http://localhost:3000.evil.example", bearer(good), 403},
		"no token":                   {"/dev", "", []string{"bellhop.v1"}, 401},
		"no token at all":            {"/dev", "", nil, 401},
		"an expired token":           {"/dev", "", bearer(s.Token(token.Claims{User: "ana", TTL: -time.Hour})), 401},
		"a wrong signature":          {"/dev", "", bearer(other), 401},
		"alg none":                   {"/dev", "", bearer(none), 401},
		"a changed payload":          {"/dev", "", bearer(parts[0] + "." + parts[1] + "x." + parts[2]), 401},
		"garbage":                    {"/dev", "", bearer("garbage"), 401},
		"another subprotocol":        {"/dev", "", []string{"graphql-ws", "bearer." + good}, 400},
	} {
		header := http.Header{}
		if c.origin != "" {
			header.Set("Origin", c.origin)
		}
		conn, got := s.Handshake(c.path, header, c.subprotocols...)
		if conn != nil {
			_ = conn.Close(websocket.StatusNormalClosure, "")
		}
		if got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}

func TestExpiredToken(t *testing.T) {
	t.Parallel()
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place, servertest.Unlimited)
		ana := s.ConnectWith(s.Token(token.Claims{User: "ana", TTL: 2 * time.Second}))
		ana.Must(map[string]any{"action": "join", "room": "channel:1"})
		untilExpired(ana)
		for _, frame := range []map[string]any{
			{"action": "publish", "room": "channel:1", "event": "message:new"},
			{"action": "signal", "room": "channel:1", "event": "typing:start"},
			{"action": "join", "room": "channel:2"},
		} {
			if code := ana.Refused(frame); code != "expired" {
				t.Errorf("%v: %s", frame, code)
			}
		}
		renewed := ana.Must(map[string]any{"action": "auth", "token": s.Token(token.Claims{User: "ana", TTL: 2 * time.Second})})
		if renewed["userId"] != "ana" || !isVersion(renewed["version"]) {
			t.Errorf("got %v", renewed)
		}
		ana.Must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new"})
		untilExpired(ana)
		s.Invoke("sweep", "{}")
		if e := ana.Event("session:ending", ""); servertest.Object(e, "data")["reason"] != "expired" {
			t.Errorf("got %v", e)
		}
		ana.Ending()
	})
}

// untilExpired asks until the token is over.
func untilExpired(c *servertest.Client) {
	for {
		f := c.Ask(map[string]any{"action": "history", "room": "channel:1"})
		if e := servertest.Object(f, "error"); e["code"] == "expired" {
			return
		}
	}
}

// TestDeadSocket is a receiver whose socket is gone without a $disconnect: the next push finds out.
func TestDeadSocket(t *testing.T) {
	t.Parallel()
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place)
		ana := s.Connect("ana")
		ghost := hub.Identity{User: "ghost", Grants: token.DevelopmentGrants(), Expires: time.Now().Add(time.Hour)}
		past := hub.New(hub.Config{ // of a minute ago: the connection is not young any more
			Store: place.Store, Now: func() time.Time { return time.Now().Add(-time.Minute) },
			Pusher: apigateway.New(aws.Config{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}}, s.URL+s.Path(), apigateway.Options{}),
			Queue:  &hubtest.Queue{Clock: hubtest.NewClock(time.Now())}, // for what it cannot push on a busy machine
		})
		const id = "GhostGhostGhos0="
		if err := past.Connect(t.Context(), id, ghost, protocol.Name); err != nil {
			t.Fatal(err)
		}
		for _, room := range []string{"channel:1", "community:1"} {
			ana.Must(map[string]any{"action": "join", "room": room})
			past.Receive(t.Context(), hub.Caller{Connection: id, User: "ghost"}, []byte(`{"action":"join","room":"`+room+`"}`))
		}
		ana.Wait("the ghost's arrival", func(f map[string]any) bool {
			return f["event"] == "user:online" && servertest.Object(f, "from")["userId"] == "ghost"
		})
		ana.Must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "id": "m1"})
		ana.Event("user:offline", "community:1")
		for _, room := range []string{"channel:1", "community:1", "user:ghost"} {
			members, err := json.Marshal(s.MustEmit(map[string]any{"command": "members", "room": room}))
			if err != nil || bytes.Contains(members, []byte("Ghost")) {
				t.Errorf("%s still has %s", room, members)
			}
		}
		if row, err := place.Store.Connection(t.Context(), id); err == nil && !row.Closing { // it may be kept for the sweep
			t.Errorf("the connection's row is still there: %+v", row)
		}
	})
}

func TestGarbage(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t), func(c *servertest.Config) { c.Parameters["RateLimit"], c.Parameters["RateBurst"] = "10", "20" })
	bystander := s.Connect("bob")
	bystander.Must(map[string]any{"action": "join", "room": "channel:1"})
	for name, c := range map[string]struct {
		frame string
		code  string
	}{
		"no JSON":                {"hello", "bad_request"},
		"an empty object":        {"{}", "bad_request"},
		"wrong types":            {`{"action":"join","room":["channel:1"]}`, "bad_request"},
		"an action of no type":   {`{"action":{"a":1}}`, "unknown_action bad_request"},
		"15,000 levels":          {`{"action":"publish","room":"channel:1","event":"e","data":` + strings.Repeat("[", 15_000) + strings.Repeat("]", 15_000) + `}`, "bad_request"},
		"$connect":               {`{"action":"$connect"}`, "unknown_action"},
		"a wrong room":           {`{"action":"join","room":"channel:a b"}`, "bad_request"},
		"a message from nowhere": {`{"action":"publish","room":"channel:9","event":"message:new"}`, "not_in_room"},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := s.Connect("eve")
			c2.SendText(c.frame)
			f := c2.Wait("a refusal", func(f map[string]any) bool { _, is := f["reply"]; return is })
			if got := servertest.CodeOf(t, f); !strings.Contains(c.code, got) {
				t.Errorf("got %s, want %s", got, c.code)
			}
		})
	}
	for name, c := range map[string]struct {
		kind websocket.MessageType
		data []byte
		want websocket.StatusCode
	}{
		"1 MB in one frame": {websocket.MessageText, bytes.Repeat([]byte("x"), 1<<20), websocket.StatusMessageTooBig},
		"a binary frame":    {websocket.MessageBinary, []byte{1, 2, 3}, websocket.StatusUnsupportedData},
		"invalid UTF-8":     {websocket.MessageText, []byte("{\"action\":\"\xff\"}"), websocket.StatusInvalidFramePayloadData},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := s.Connect("eve")
			_ = c2.Conn.Write(t.Context(), c.kind, c.data) // the server may hang up before it has read all
			if got := c2.Ending(); got != c.want {
				t.Errorf("closed with %d, want %d", got, c.want)
			}
		})
	}
	t.Run("10,000 frames at once are refused and disturb nobody", func(t *testing.T) {
		flood := s.Connect("eve")
		flood.Must(map[string]any{"action": "join", "room": "channel:1"})
		for range 10_000 {
			flood.SendText(`{"action":"publish","room":"channel:1","event":"flood"}`)
		}
		f := flood.Wait("a refusal", func(f map[string]any) bool { return f["ok"] == false })
		if e := servertest.Object(f, "error"); e["code"] != "rate_limited" || e["retry"] != true || e["retryAfterMs"] == nil {
			t.Errorf("got %v", f)
		}
		bystander.Must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new"})
		bystander.Event("message:new", "channel:1")
	})
}

// TestEverybodySeesEverything is N clients that each publish M messages into one room: all see all, in order.
func TestEverybodySeesEverything(t *testing.T) {
	t.Parallel()
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		const clients, messages = 20, 10
		s := servertest.Start(t, place)
		all := make([]*servertest.Client, clients)
		for i := range all {
			all[i] = s.Connect(fmt.Sprintf("user%d", i))
			all[i].Must(map[string]any{"action": "join", "room": "channel:1"})
		}
		var wg sync.WaitGroup
		for i, c := range all {
			wg.Go(func() {
				for m := range messages {
					c.Insist(map[string]any{"action": "publish", "id": fmt.Sprintf("%d-%d", i, m), "room": "channel:1", "event": "message:new", "data": m})
				}
			})
		}
		wg.Wait()
		for _, c := range all {
			seqs, ids := map[any]any{}, map[any]any{}
			for len(ids) < clients*messages {
				e := c.Event("message:new", "channel:1")
				if seqs[e["seq"]] != nil && seqs[e["seq"]] != e["id"] || ids[e["id"]] != nil && ids[e["id"]] != e["seq"] {
					t.Fatalf("%v is not what it was: %v, %v", e, seqs[e["seq"]], ids[e["id"]])
				}
				seqs[e["seq"]], ids[e["id"]] = e["id"], e["seq"]
			}
		}
	})
}

func TestEmitCommands(t *testing.T) {
	t.Parallel()
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place)
		ana, bob := s.Connect("ana"), s.Connect("bob")
		ana.Must(map[string]any{"action": "join", "room": "community:1"})
		s.MustEmit(map[string]any{"command": "join", "user": "bob", "room": "community:1"})
		data := s.MustEmit(map[string]any{"command": "presence", "room": "community:1"})
		if here, _ := data["presence"].([]any); len(here) != 2 {
			t.Errorf("present are %v", data)
		}
		data = s.MustEmit(map[string]any{"command": "members", "room": "community:1"})
		if list, _ := data["members"].([]any); len(list) != 2 {
			t.Errorf("members are %v", data)
		}
		data = s.MustEmit(map[string]any{"command": "stats"})
		if !isVersion(data["version"]) || data["connections"] != 2.0 || data["users"] != 2.0 || fmt.Sprint(data["rooms"], data["memberships"]) != "map[community:1 user:2] map[community:2 user:2]" {
			t.Errorf("stats are %v", data)
		}
		data = s.MustEmit(map[string]any{"command": "publish", "rooms": []string{"community:1"}, "users": []string{"ana"}, "event": "news", "id": "e1", "data": 1, "except": []string{"bob"}})
		if results, _ := data["results"].([]any); len(results) != 2 {
			t.Errorf("got %v", data)
		}
		ana.Event("news", "community:1")
		ana.Event("news", "user:ana")
		bob.Nothing("news")
		s.MustEmit(map[string]any{"command": "publish", "rooms": []string{"community:1"}, "event": "flash", "ephemeral": true})
		if e := bob.Event("flash", "community:1"); e["seq"] != nil {
			t.Errorf("an ephemeral event was logged: %v", e)
		}
		data = s.MustEmit(map[string]any{"command": "history", "room": "community:1"})
		if b, _ := json.Marshal(data["events"]); !bytes.Contains(b, []byte(`"news"`)) || bytes.Contains(b, []byte(`"flash"`)) {
			t.Errorf("history is %s", b)
		}
		s.MustEmit(map[string]any{"command": "leave", "user": "bob", "room": "community:1"})
		ana.Event("user:offline", "community:1")
		for name, c := range map[string]struct {
			command map[string]any
			want    string
		}{
			"no command":        {map[string]any{}, "bad_request"},
			"an unknown one":    {map[string]any{"command": "dance"}, "unknown_action"},
			"an unknown field":  {map[string]any{"command": "publish", "roms": []string{"channel:1"}}, "bad_request"},
			"no target":         {map[string]any{"command": "publish", "event": "e"}, "bad_request"},
			"no event":          {map[string]any{"command": "publish", "rooms": []string{"channel:1"}}, "bad_request"},
			"an unknown kind":   {map[string]any{"command": "publish", "rooms": []string{"castle:1"}, "event": "e"}, "unknown_room_kind"},
			"too much data":     {map[string]any{"command": "publish", "rooms": []string{"channel:1"}, "event": "e", "data": strings.Repeat("x", 128<<10)}, "too_large"},
			"whom to kick":      {map[string]any{"command": "disconnect"}, "bad_request"},
			"somebody's room":   {map[string]any{"command": "join", "user": "bob", "room": "user:ana"}, "forbidden"},
			"no presence there": {map[string]any{"command": "presence", "room": "channel:1"}, "bad_request"},
		} {
			if got := servertest.CodeOf(t, s.Emit(c.command)); got != c.want {
				t.Errorf("%s: got %s, want %s", name, got, c.want)
			}
		}
		if data := s.MustEmit(map[string]any{"command": "publish", "connections": []string{"R1kmxc2VNjMCFIA="}, "event": "e"}); data["results"].([]any)[0].(map[string]any)["gone"] != true {
			t.Errorf("a connection that is not there: %v", data)
		}
	})
}

func TestLimitOfRooms(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Bolt(t), func(c *servertest.Config) { c.Parameters["MaxRooms"] = "5" })
	ana := s.Connect("ana") // is in one room already
	for i := range 4 {
		ana.Must(map[string]any{"action": "join", "room": fmt.Sprintf("channel:%d", i)})
	}
	if code := ana.Refused(map[string]any{"action": "join", "room": "channel:5"}); code != "too_many_rooms" {
		t.Errorf("got %s", code)
	}
	ana.Must(map[string]any{"action": "join", "room": "channel:0"}) // again
	ana.Must(map[string]any{"action": "leave", "room": "channel:0"})
	ana.Must(map[string]any{"action": "join", "room": "channel:5"})
}

// TestPages reads what bellhop dev serves beside the API.
func TestPages(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Bolt(t))
	ana := s.Connect("ana")
	ana.Must(map[string]any{"action": "join", "room": "channel:1"})
	list := servertest.Get[[]console.Connection](s, "connections")
	if len(list) != 1 || list[0].User != "ana" || !reflect.DeepEqual(list[0].Rooms, []string{"channel:1", "user:ana"}) {
		t.Errorf("connections: %+v", list)
	}
	stats := servertest.Get[emulator.Stats](s, "stats")
	if stats.Connections != 1 {
		t.Errorf("stats: %+v", stats)
	}
	for _, c := range []struct {
		host, body string
		want       int
	}{
		{"127.0.0.1:4000", `{"user":"ana","name":"Ana"}`, 200},
		{"localhost", `{"user":"ana"}`, 200},
		{"evil.example:4000", `{"user":"ana"}`, 403},
		{"127.0.0.1", `{"user":"a b"}`, 400},
		{"127.0.0.1", `nonsense`, 400},
	} {
		if got, _ := s.Ask(http.MethodPost, "/_bellhop/token", c.body, "Host", c.host); got != c.want {
			t.Errorf("mint by %s for %s: got %d, want %d", c.host, c.body, got, c.want)
		}
	}
}

// TestForeignPages has a page of another site ask for what only programs and this machine's pages may.
func TestForeignPages(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Bolt(t))
	for origin, want := range map[string]int{
		"": http.StatusOK, "http://localhost:3000": http.StatusOK, s.URL: http.StatusOK,
		"https://evil.example": http.StatusForbidden, "null": http.StatusForbidden, "http://127.0.0.1.evil.example": http.StatusForbidden,
	} {
		const command = `{"command":"publish","rooms":["channel:1"],"event":"message:new"}`
		got, _ := s.Ask(http.MethodPost, "/2015-03-31/functions/emit/invocations", command, "Origin", origin)
		if got != want {
			t.Errorf("%q: got %d, want %d", origin, got, want)
		}
	}
}

// TestReboundName has a page of the web whose own name leads here use the management, invoke and queue paths.
func TestReboundName(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Bolt(t))
	for _, c := range []struct{ method, path, target, origin string }{
		{http.MethodPost, "/2015-03-31/functions/emit/invocations", "", "http://rebound.example.org"},
		{http.MethodPost, "/dev/@connections/AAAAAAAAAAAAAAA=", "", "http://rebound.example.org"},
		{http.MethodDelete, "/dev/@connections/AAAAAAAAAAAAAAA=", "", "http://rebound.example.org"},
		{http.MethodPost, "/", "AmazonSQS.ListQueues", "http://rebound.example.org"},
		{http.MethodPost, "/", "secretsmanager.GetSecretValue", "http://rebound.example.org"},
		{http.MethodGet, "/_bellhop/connections", "", ""}, // a page's own GET has no Origin
		{http.MethodGet, "/_bellhop/stats", "", ""},
	} {
		got, _ := s.Ask(c.method, c.path, "{}", "Host", "rebound.example.org", "Origin", c.origin, "X-Amz-Target", c.target)
		if got != http.StatusForbidden {
			t.Errorf("%s %s %s: got %d, want 403", c.method, c.path, c.target, got)
		}
	}
}

// TestRestart stops a server and begins another on the same file: what was said is still there, and nobody is present
// who is not.
func TestRestart(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/bellhop.db"
	run := func(test func(s *servertest.Server)) {
		store, err := bolt.Open(file, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Run("run", func(t *testing.T) { test(servertest.Start(t, servertest.On(store))) })
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var position map[string]any
	run(func(s *servertest.Server) {
		ana := s.Connect("ana")
		ana.Must(map[string]any{"action": "join", "room": "community:1"})
		ana.Must(map[string]any{"action": "join", "room": "channel:1"})
		position = ana.Must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "data": "kept"})
	})
	run(func(s *servertest.Server) {
		bob := s.Connect("bob")
		back := bob.Must(map[string]any{"action": "join", "room": "channel:1", "since": map[string]any{"epoch": position["epoch"], "seq": 0}})
		if events, _ := back["events"].([]any); len(events) != 1 || back["recovered"] != true {
			t.Errorf("after a restart: %v", back)
		}
		here, _ := bob.Must(map[string]any{"action": "join", "room": "community:1"})["presence"].([]any)
		if len(here) != 1 {
			t.Errorf("present after a restart: %v", here)
		}
	})
}

// TestSlowReceiver has a client that does not read: the others get everything all the same.
func TestSlowReceiver(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Bolt(t))
	ana, bob := s.Connect("ana"), s.Connect("bob")
	stuck, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://")) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stuck.Close() }()
	_, err = fmt.Fprintf(stuck, "GET /dev?token=%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", s.Token(token.Claims{User: "stuck"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*servertest.Client{ana, bob} {
		c.Must(map[string]any{"action": "join", "room": "channel:1"})
	}
	for s.Emulator().Stats().Connections < 3 {
		ana.SendText(`{"action":"ping"}`)
		ana.Wait("pong", func(f map[string]any) bool { return f["event"] == "pong" })
	}
	s.MustEmit(map[string]any{"command": "join", "user": "stuck", "room": "channel:1"})
	large := strings.Repeat("x", 30_000)
	for i := range 60 {
		ana.Must(map[string]any{"action": "publish", "id": fmt.Sprint(i), "room": "channel:1", "event": "message:new", "data": large})
	}
	for range 60 {
		bob.Event("message:new", "channel:1")
	}
}

// TestWhoClosesIsOfflineAtOnce: the code of the close frame says whether a client has left, or its page, which may be reloading.
func TestWhoClosesIsOfflineAtOnce(t *testing.T) {
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place, func(c *servertest.Config) { c.Parameters["PresenceGrace"] = "10m" })
		bob := s.Connect("bob")
		bob.Must(map[string]any{"action": "join", "room": "community:1"})
		for user, code := range map[string]websocket.StatusCode{"reloader": websocket.StatusGoingAway, "leaver": websocket.StatusNormalClosure} {
			c := s.Connect(user)
			c.Must(map[string]any{"action": "join", "room": "community:1"})
			_ = c.Conn.Close(code, "")
		}
		if e := bob.Event("user:offline", "community:1"); servertest.Object(e, "data")["userId"] != "leaver" {
			t.Errorf("bob heard %v", e)
		}
		servertest.Eventually(t, "end of both connections", func() bool {
			members, _ := s.MustEmit(map[string]any{"command": "members", "room": "community:1"})["members"].([]any)
			return len(members) == 1
		})
		present, _ := json.Marshal(s.MustEmit(map[string]any{"command": "presence", "room": "community:1"}))
		if !strings.Contains(string(present), `"reloader"`) || strings.Contains(string(present), `"leaver"`) {
			t.Errorf("present are %s", present)
		}
	})
}

// isVersion reports whether a server says which release it is of. What is deployed may be built in another way than this test is.
func isVersion(of any) bool {
	text, _ := of.(string)
	return text == release.Name() || strings.HasPrefix(text, "v")
}
