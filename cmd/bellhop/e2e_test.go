package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/hubports"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
	"github.com/bellhop-rt/bellhop/internal/token"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.Cleanup(func(code int) {
			if built.Load() {
				if dir, err := build(); err == nil {
					_ = os.RemoveAll(dir)
				}
			}
			os.Exit(code)
		}))
}

// onEveryStore runs a test on each store that Bellhop has. Rooms and users of a test need names of their own only
// within it: every test has a new store.
func onEveryStore(t *testing.T, test func(t *testing.T, store socketio.Store)) {
	t.Helper()
	t.Run("bolt", func(t *testing.T) {
		t.Parallel()
		test(t, openBolt(t))
	})
	t.Run("dynamo", func(t *testing.T) {
		t.Parallel()
		store, _ := openDynamo(t)
		test(t, store)
	})
	t.Run("processes", func(t *testing.T) {
		t.Parallel()
		store, env := openDynamo(t)
		test(t, deployed{store, env})
	})
}

// deployed is a store in DynamoDB Local that the functions use as they are deployed: built, in processes of their own.
type deployed struct {
	socketio.Store
	env map[string]string
}

// built says that build has been called.
var built atomic.Bool

// build compiles the functions once for all tests.
var build = sync.OnceValues(func() (string, error) {
	built.Store(true)
	dir, err := os.MkdirTemp("", "bellhop-functions-")
	if err != nil {
		return "", err
	}
	p, err := ownProcesses("../..", nil, nil)
	if err != nil {
		return "", err
	}
	p.Built, p.Logger = dir, slog.New(slog.DiscardHandler)
	return dir, p.build(context.Background())
})

func (d deployed) processes(tb testing.TB, c serverConfig) *processes {
	tb.Helper()
	dir, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	p, err := ownProcesses("../..", withHooks(c.Parameters, c.Hooks), c.Origins)
	if err != nil {
		tb.Fatal(err)
	}
	p.Built, p.Env, p.Logger = dir, d.env, c.Logger
	return p
}

func openBolt(tb testing.TB) socketio.Store {
	tb.Helper()
	store, err := bolt.Open("", bolt.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	return store
}

// openDynamo gives a store on a table of its own, and what a function's environment says of it.
func openDynamo(tb testing.TB) (socketio.Store, map[string]string) {
	tb.Helper()
	endpoint := os.Getenv("DYNAMODB_ENDPOINT") //nolint:forbidigo // where the tests' database is
	if endpoint == "" {
		if os.Getenv("CI") != "" { //nolint:forbidigo // nothing is left out there
			tb.Fatal("DYNAMODB_ENDPOINT is not set: run this by scripts/dynamodb-local")
		}
		tb.Skip("DYNAMODB_ENDPOINT is not set: run this by scripts/dynamodb-local")
	}
	cfg, err := config.LoadDefaultConfig(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	client := dynamo.NewClient(cfg, func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint })
	table := "e2e-" + rand.Text()
	if err := dynamo.CreateTable(tb.Context(), client, table); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &table})
		if err != nil {
			tb.Error(err)
		}
	})
	who, err := cfg.Credentials.Retrieve(tb.Context()) // DynamoDB Local has tables of its own for each
	if err != nil {
		tb.Fatal(err)
	}
	return dynamo.New(client, table, dynamo.Options{}), map[string]string{
		"TABLE_NAME": table, "AWS_ENDPOINT_URL_DYNAMODB": endpoint, "AWS_REGION": cfg.Region,
		"AWS_ACCESS_KEY_ID": who.AccessKeyID, "AWS_SECRET_ACCESS_KEY": who.SecretAccessKey,
	}
}

// TestEveryEvent drives each event of the protocol over real sockets. It fails when an event of the list is missing
// here.
func TestEveryEvent(t *testing.T) {
	t.Parallel()
	type scene struct {
		*running
		ana, bob *client
	}
	inChannel := func(s *scene) {
		for _, c := range []*client{s.ana, s.bob} {
			c.must(map[string]any{"action": "join", "room": "channel:42"})
		}
	}
	// Each check makes its event happen and gives what bob, or the one concerned, receives.
	checks := map[string]func(t *testing.T, s *scene) map[string]any{
		protocol.MessageNew: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			inChannel(s)
			reply := s.ana.must(map[string]any{"action": "message:send", "channelId": "42", "content": "hi", "id": "new1"})
			e := s.bob.event("message:new", "channel:42")
			if e["id"] != "new1" || e["seq"] != reply["seq"] || object(e, "data")["content"] != "hi" {
				t.Errorf("got %v, replied %v", e, reply)
			}
			return e
		},
		protocol.MessageDeleted: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			inChannel(s)
			s.ana.must(map[string]any{"action": "publish", "room": "channel:42", "event": "message:new", "data": map[string]any{"content": "oops"}, "id": "m1"})
			s.ana.must(map[string]any{"action": "message:delete", "channelId": "42", "messageId": "m1"})
			e := s.bob.event("message:deleted", "channel:42")
			if object(e, "data")["messageId"] != "m1" {
				t.Errorf("got %v", e)
			}
			history, _ := s.bob.must(map[string]any{"action": "history", "room": "channel:42"})["events"].([]any)
			if strings.Contains(fmt.Sprint(history), "oops") {
				t.Errorf("the log still tells: %v", history)
			}
			return e
		},
		protocol.UserTyping: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			inChannel(s)
			s.ana.send(map[string]any{"action": "typing:start", "channelId": "42", "userId": "mallory", "userName": "Mallory"})
			e := s.bob.event("user:typing", "channel:42")
			until, _ := object(e, "data")["until"].(float64)
			if left := time.Until(time.UnixMilli(int64(until))); left <= 0 || left > 5*time.Second {
				t.Errorf("typing until in %v", left)
			}
			if e["seq"] != nil {
				t.Errorf("typing was logged: %v", e)
			}
			s.ana.nothing("user:typing")
			return e
		},
		protocol.UserStoppedTyping: func(_ *testing.T, s *scene) map[string]any {
			inChannel(s)
			s.ana.send(map[string]any{"action": "signal", "room": "channel:42", "event": "typing:stop"})
			return s.bob.event("user:stopped-typing", "channel:42")
		},
		protocol.UserOnline: func(_ *testing.T, s *scene) map[string]any {
			s.bob.must(map[string]any{"action": "join", "room": "community:7"})
			s.bob.event("user:online", "community:7") // his own
			s.ana.must(map[string]any{"action": "join:community", "communityId": "7"})
			return s.bob.event("user:online", "community:7")
		},
		protocol.UserOffline: func(_ *testing.T, s *scene) map[string]any {
			s.bob.must(map[string]any{"action": "join", "room": "community:7"})
			s.ana.must(map[string]any{"action": "join", "room": "community:7"})
			_ = s.ana.conn.Close(websocket.StatusNormalClosure, "")
			return s.bob.event("user:offline", "community:7")
		},
		protocol.PresenceChanged: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			s.bob.must(map[string]any{"action": "join", "room": "community:7"})
			s.ana.must(map[string]any{"action": "join", "room": "community:7"})
			s.ana.must(map[string]any{"action": "presence:update", "status": "away", "data": map[string]any{"mood": "calm"}})
			e := s.bob.event("presence:changed", "community:7")
			if d := object(e, "data"); d["status"] != "away" || object(d, "data")["mood"] != "calm" || d["userId"] != "ana" {
				t.Errorf("got %v", e)
			}
			return e
		},
		protocol.NotificationNew: func(_ *testing.T, s *scene) map[string]any {
			s.mustEmit(map[string]any{"command": "publish", "users": []string{"bob"}, "event": "notification:new", "data": map[string]any{"title": "Hello"}, "from": map[string]any{"userId": "ana", "name": "Ana"}})
			return s.bob.event("notification:new", "user:bob")
		},
		protocol.NotificationRead: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			phone := s.connect("ana")
			phone.must(map[string]any{"action": "notification:read", "notificationId": "n1"})
			e := s.ana.event("notification:read", "user:ana")
			if object(e, "data")["notificationId"] != "n1" {
				t.Errorf("got %v", e)
			}
			return e
		},
		protocol.BuddyGoalCompleted: func(_ *testing.T, s *scene) map[string]any {
			s.mustEmit(map[string]any{"command": "publish", "users": []string{"bob"}, "event": "buddy:goal-completed", "data": map[string]any{"goal": "run"}, "from": map[string]any{"userId": "ana", "name": "Ana"}})
			return s.bob.event("buddy:goal-completed", "user:bob")
		},
		protocol.BuddyCheckIn: func(_ *testing.T, s *scene) map[string]any {
			s.mustEmit(map[string]any{"command": "publish", "users": []string{"bob"}, "event": "buddy:check-in", "data": map[string]any{}, "from": map[string]any{"userId": "ana", "name": "Ana"}})
			return s.bob.event("buddy:check-in", "user:bob")
		},
		protocol.RoomClosed: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			inChannel(s)
			s.mustEmit(map[string]any{"command": "close", "room": "channel:42", "reason": "archived"})
			e := s.bob.event("room:closed", "channel:42")
			if object(e, "data")["reason"] != "archived" {
				t.Errorf("got %v", e)
			}
			if code := s.ana.refused(map[string]any{"action": "publish", "room": "channel:42", "event": "message:new"}); code != "not_in_room" {
				t.Errorf("publishing to a closed room: %s", code)
			}
			return nil
		},
		protocol.SessionEnding: func(t *testing.T, s *scene) map[string]any {
			t.Helper()
			s.mustEmit(map[string]any{"command": "disconnect", "user": "bob", "reason": "kicked"})
			e := s.bob.event("session:ending", "")
			if object(e, "data")["reason"] != "kicked" {
				t.Errorf("got %v", e)
			}
			if code := s.bob.ending(); code != websocket.StatusNormalClosure {
				t.Errorf("closed with %d", code)
			}
			return nil
		},
	}
	for _, name := range protocol.SystemEvents() {
		if checks[name] == nil {
			t.Errorf("nothing checks %s", name)
		}
	}
	onEveryStore(t, func(t *testing.T, store socketio.Store) {
		for name, check := range checks {
			t.Run(name, func(t *testing.T) {
				s := &scene{running: start(t, store)}
				s.ana, s.bob = s.connect("ana"), s.connect("bob")
				e := check(t, s)
				if e == nil {
					return
				}
				if want := map[string]any{"userId": "ana", "name": "Ana"}; !reflect.DeepEqual(e["from"], want) {
					t.Errorf("%s is from %v, want %v", name, e["from"], want)
				}
			})
		}
	})
}

func TestJoin(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store socketio.Store) {
		s := start(t, store)
		ana, bob := s.connect("ana"), s.connect("bob")
		first := ana.must(map[string]any{"action": "join", "room": "channel:1"})
		if first["epoch"] == "" || first["seq"] != 0.0 || first["recovered"] != false {
			t.Fatalf("got %v", first)
		}
		bob.must(map[string]any{"action": "join", "room": "channel:1"})
		for i := range 5 {
			bob.must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "data": i})
		}
		back := ana.must(map[string]any{"action": "join", "room": "channel:1", "since": map[string]any{"epoch": first["epoch"], "seq": 2}})
		events, _ := back["events"].([]any)
		if len(events) != 3 || back["recovered"] != true || back["seq"] != 5.0 {
			t.Errorf("since 2 gives %v", back)
		}
		other := ana.must(map[string]any{"action": "join", "room": "channel:1", "since": map[string]any{"epoch": "nonsense", "seq": 2}})
		if other["recovered"] != false || other["seq"] != 5.0 || len(other["events"].([]any)) != 0 {
			t.Errorf("another epoch gives %v", other)
		}
		page := ana.must(map[string]any{"action": "history", "room": "channel:1", "before": 4, "limit": 2})
		got, _ := json.Marshal(page["events"])
		var seqs []struct{ Seq int }
		if err := json.Unmarshal(got, &seqs); err != nil || len(seqs) != 2 || seqs[0].Seq != 2 || seqs[1].Seq != 3 || page["more"] != true {
			t.Errorf("history before 4 gives %v", page)
		}
		community := ana.must(map[string]any{"action": "join", "room": "community:1"})
		if here, _ := community["presence"].([]any); len(here) != 1 || here[0].(map[string]any)["userId"] != "ana" {
			t.Errorf("presence is %v", community["presence"])
		}
		ana.must(map[string]any{"action": "leave", "room": "channel:1"})
		bob.must(map[string]any{"action": "publish", "room": "channel:1", "event": "after:leaving"})
		bob.event("after:leaving", "channel:1")
		ana.nothing("after:leaving")
	})
}

func TestIdempotentPublish(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store socketio.Store) {
		s := start(t, store)
		ana, bob := s.connect("ana"), s.connect("bob")
		for _, c := range []*client{ana, bob} {
			c.must(map[string]any{"action": "join", "room": "channel:1"})
		}
		frame := map[string]any{"action": "publish", "id": "once", "room": "channel:1", "event": "message:new", "data": 1}
		first, again := ana.must(frame), ana.must(frame)
		if !reflect.DeepEqual(first, again) {
			t.Errorf("got %v, then %v", first, again)
		}
		if code := bob.refused(frame); code != "conflict" {
			t.Errorf("another user's id: %s", code)
		}
		next := bob.must(map[string]any{"action": "publish", "id": "twice", "room": "channel:1", "event": "message:new", "data": 2})
		if next["seq"] != 2.0 {
			t.Errorf("a retry has used up a seq: %v", next)
		}
	})
}

func TestWhatUsersMayNotDo(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store socketio.Store) {
		s := start(t, store)
		ana := s.connect("ana")
		ana.must(map[string]any{"action": "join", "room": "channel:secret"})
		ana.must(map[string]any{"action": "publish", "room": "channel:secret", "event": "message:new", "id": "m1", "data": 1})
		eve := s.connect("eve", "channel:public=join", "channel:open=join,publish")
		eve.must(map[string]any{"action": "join", "room": "channel:public"})
		eve.must(map[string]any{"action": "join", "room": "channel:open"})
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
			"another user's token":               {map[string]any{"action": "auth", "token": s.token(token.Claims{User: "ana"})}, "forbidden"},
			"a wrong token":                      {map[string]any{"action": "auth", "token": "a.b.c"}, "unauthenticated"},
			"an unknown action":                  {map[string]any{"action": "dance"}, "unknown_action"},
		} {
			if got := eve.refused(c.frame); got != c.want {
				t.Errorf("%s: got %s, want %s", name, got, c.want)
			}
		}
		mallory := s.connect("mallory", "channel:*=join,publish")
		mallory.must(map[string]any{"action": "join", "room": "channel:secret"})
		if got := mallory.refused(map[string]any{"action": "message:delete", "channelId": "secret", "messageId": "m1"}); got != "forbidden" {
			t.Errorf("delete another's message: %s", got)
		}
		if got := mallory.refused(map[string]any{"action": "publish", "room": "channel:secret", "event": "message:deleted", "data": map[string]any{"messageId": "m1"}}); got != "forbidden" {
			t.Errorf("publish another's deletion: %s", got)
		}
		mallory.must(map[string]any{"action": "publish", "room": "channel:secret", "event": "message:new", "from": map[string]any{"userId": "ana"}, "data": 2})
		if e := ana.wait("mallory's message", func(f map[string]any) bool { return f["seq"] == 2.0 }); object(e, "from")["userId"] != "mallory" {
			t.Errorf("from is spoofed: %v", e)
		}
	})
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	s := start(t, openBolt(t))
	good := s.token(token.Claims{User: "ana"})
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
		"an expired token":           {"/dev", "", bearer(s.token(token.Claims{User: "ana", TTL: -time.Hour})), 401},
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
		conn, got := s.handshake(c.path, header, c.subprotocols...)
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
	onEveryStore(t, func(t *testing.T, store socketio.Store) {
		s := start(t, store, unlimited)
		ana := s.connectWith(s.token(token.Claims{User: "ana", TTL: 2 * time.Second}))
		ana.must(map[string]any{"action": "join", "room": "channel:1"})
		untilExpired(ana)
		for _, frame := range []map[string]any{
			{"action": "publish", "room": "channel:1", "event": "message:new"},
			{"action": "signal", "room": "channel:1", "event": "typing:start"},
			{"action": "join", "room": "channel:2"},
		} {
			if code := ana.refused(frame); code != "expired" {
				t.Errorf("%v: %s", frame, code)
			}
		}
		renewed := ana.must(map[string]any{"action": "auth", "token": s.token(token.Claims{User: "ana", TTL: 2 * time.Second})})
		if renewed["userId"] != "ana" {
			t.Errorf("got %v", renewed)
		}
		ana.must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new"})
		untilExpired(ana)
		if _, err := s.emulator.Invoke(t.Context(), "sweep", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		if e := ana.event("session:ending", ""); object(e, "data")["reason"] != "expired" {
			t.Errorf("got %v", e)
		}
		ana.ending()
	})
}

// untilExpired asks until the token is over.
func untilExpired(c *client) {
	for {
		f := c.ask(map[string]any{"action": "history", "room": "channel:1"})
		if e := object(f, "error"); e["code"] == "expired" {
			return
		}
	}
}

// TestDeadSocket is a receiver whose socket is gone without a $disconnect: the next push finds out.
func TestDeadSocket(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store socketio.Store) {
		s := start(t, store)
		ana := s.connect("ana")
		ghost := hub.Identity{User: "ghost", Grants: allGrants(), Expires: time.Now().Add(time.Hour)}
		ports := &hubports.AWS{Emulator: s.emulator, Queue: deliverQueue}
		past := hub.New(hub.Config{ // of a minute ago: the connection is not young any more
			Store: store, Pusher: ports, Queue: ports, Now: func() time.Time { return time.Now().Add(-time.Minute) }, Logger: slog.New(slog.DiscardHandler),
		})
		const id = "GhostGhostGhos0="
		if err := past.Connect(t.Context(), id, ghost, protocol.Name); err != nil {
			t.Fatal(err)
		}
		for _, room := range []string{"channel:1", "community:1"} {
			ana.must(map[string]any{"action": "join", "room": room})
			past.Receive(t.Context(), hub.Caller{Connection: id, User: "ghost"}, []byte(`{"action":"join","room":"`+room+`"}`))
		}
		ana.wait("the ghost's arrival", func(f map[string]any) bool {
			return f["event"] == "user:online" && object(f, "from")["userId"] == "ghost"
		})
		ana.must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "id": "m1"})
		ana.event("user:offline", "community:1")
		for _, room := range []string{"channel:1", "community:1", "user:ghost"} {
			members, err := json.Marshal(s.mustEmit(map[string]any{"command": "members", "room": room}))
			if err != nil || bytes.Contains(members, []byte("Ghost")) {
				t.Errorf("%s still has %s", room, members)
			}
		}
		if row, err := store.Connection(t.Context(), id); err == nil && !row.Closing { // it may be kept for the sweep
			t.Errorf("the connection's row is still there: %+v", row)
		}
	})
}

func TestGarbage(t *testing.T) {
	s := start(t, openBolt(t), func(c *serverConfig) { c.Parameters["RateLimit"], c.Parameters["RateBurst"] = "10", "20" })
	bystander := s.connect("bob")
	bystander.must(map[string]any{"action": "join", "room": "channel:1"})
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
			c2 := s.connect("eve")
			c2.sendText(c.frame)
			f := c2.wait("a refusal", func(f map[string]any) bool { _, is := f["reply"]; return is })
			if got := codeOf(t, f); !strings.Contains(c.code, got) {
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
			c2 := s.connect("eve")
			_ = c2.conn.Write(t.Context(), c.kind, c.data) // the server may hang up before it has read all
			if got := c2.ending(); got != c.want {
				t.Errorf("closed with %d, want %d", got, c.want)
			}
		})
	}
	t.Run("10,000 frames at once are refused and disturb nobody", func(t *testing.T) {
		flood := s.connect("eve")
		flood.must(map[string]any{"action": "join", "room": "channel:1"})
		for range 10_000 {
			flood.sendText(`{"action":"publish","room":"channel:1","event":"flood"}`)
		}
		f := flood.wait("a refusal", func(f map[string]any) bool { return f["ok"] == false })
		if e := object(f, "error"); e["code"] != "rate_limited" || e["retry"] != true || e["retryAfterMs"] == nil {
			t.Errorf("got %v", f)
		}
		bystander.must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new"})
		bystander.event("message:new", "channel:1")
	})
}

// TestEverybodySeesEverything is N clients that each publish M messages into one room: all see all, in order.
func TestEverybodySeesEverything(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store socketio.Store) {
		const clients, messages = 20, 10
		s := start(t, store)
		all := make([]*client, clients)
		for i := range all {
			all[i] = s.connect(fmt.Sprintf("user%d", i))
			all[i].must(map[string]any{"action": "join", "room": "channel:1"})
		}
		var wg sync.WaitGroup
		for i, c := range all {
			wg.Go(func() {
				for m := range messages {
					c.insist(map[string]any{"action": "publish", "id": fmt.Sprintf("%d-%d", i, m), "room": "channel:1", "event": "message:new", "data": m})
				}
			})
		}
		wg.Wait()
		for _, c := range all {
			seqs, ids := map[any]any{}, map[any]any{}
			for len(ids) < clients*messages {
				e := c.event("message:new", "channel:1")
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
	onEveryStore(t, func(t *testing.T, store socketio.Store) {
		s := start(t, store)
		ana, bob := s.connect("ana"), s.connect("bob")
		ana.must(map[string]any{"action": "join", "room": "community:1"})
		s.mustEmit(map[string]any{"command": "join", "user": "bob", "room": "community:1"})
		data := s.mustEmit(map[string]any{"command": "presence", "room": "community:1"})
		if here, _ := data["presence"].([]any); len(here) != 2 {
			t.Errorf("present are %v", data)
		}
		data = s.mustEmit(map[string]any{"command": "members", "room": "community:1"})
		if list, _ := data["members"].([]any); len(list) != 2 {
			t.Errorf("members are %v", data)
		}
		data = s.mustEmit(map[string]any{"command": "stats"})
		if data["connections"] != 2.0 || data["users"] != 2.0 || fmt.Sprint(data["rooms"], data["memberships"]) != "map[community:1 user:2] map[community:2 user:2]" {
			t.Errorf("stats are %v", data)
		}
		data = s.mustEmit(map[string]any{"command": "publish", "rooms": []string{"community:1"}, "users": []string{"ana"}, "event": "news", "id": "e1", "data": 1, "except": []string{"bob"}})
		if results, _ := data["results"].([]any); len(results) != 2 {
			t.Errorf("got %v", data)
		}
		ana.event("news", "community:1")
		ana.event("news", "user:ana")
		bob.nothing("news")
		s.mustEmit(map[string]any{"command": "publish", "rooms": []string{"community:1"}, "event": "flash", "ephemeral": true})
		if e := bob.event("flash", "community:1"); e["seq"] != nil {
			t.Errorf("an ephemeral event was logged: %v", e)
		}
		data = s.mustEmit(map[string]any{"command": "history", "room": "community:1"})
		if b, _ := json.Marshal(data["events"]); !bytes.Contains(b, []byte(`"news"`)) || bytes.Contains(b, []byte(`"flash"`)) {
			t.Errorf("history is %s", b)
		}
		s.mustEmit(map[string]any{"command": "leave", "user": "bob", "room": "community:1"})
		ana.event("user:offline", "community:1")
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
			if got := codeOf(t, s.emit(c.command)); got != c.want {
				t.Errorf("%s: got %s, want %s", name, got, c.want)
			}
		}
		if data := s.mustEmit(map[string]any{"command": "publish", "connections": []string{"R1kmxc2VNjMCFIA="}, "event": "e"}); data["results"].([]any)[0].(map[string]any)["gone"] != true {
			t.Errorf("a connection that is not there: %v", data)
		}
	})
}

func TestLimitOfRooms(t *testing.T) {
	t.Parallel()
	s := start(t, openBolt(t), func(c *serverConfig) { c.Parameters["MaxRooms"] = "5" })
	ana := s.connect("ana") // is in one room already
	for i := range 4 {
		ana.must(map[string]any{"action": "join", "room": fmt.Sprintf("channel:%d", i)})
	}
	if code := ana.refused(map[string]any{"action": "join", "room": "channel:5"}); code != "too_many_rooms" {
		t.Errorf("got %s", code)
	}
	ana.must(map[string]any{"action": "join", "room": "channel:0"}) // again
	ana.must(map[string]any{"action": "leave", "room": "channel:0"})
	ana.must(map[string]any{"action": "join", "room": "channel:5"})
}

// TestPages reads what bellhop dev serves beside the API.
func TestPages(t *testing.T) {
	t.Parallel()
	s := start(t, openBolt(t))
	ana := s.connect("ana")
	ana.must(map[string]any{"action": "join", "room": "channel:1"})
	get := func(path string, into any) {
		t.Helper()
		res, err := http.Get(s.url + path) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if err := json.NewDecoder(res.Body).Decode(into); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", path, res.StatusCode, err)
		}
	}
	var list []struct {
		ID, User string
		Rooms    []string
	}
	get("/_bellhop/connections", &list)
	if len(list) != 1 || list[0].User != "ana" || !reflect.DeepEqual(list[0].Rooms, []string{"channel:1", "user:ana"}) {
		t.Errorf("connections: %+v", list)
	}
	var stats struct{ Connections int }
	get("/_bellhop/stats", &stats)
	if stats.Connections != 1 {
		t.Errorf("stats: %+v", stats)
	}
	mint := func(host, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/_bellhop/token", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		return res.StatusCode
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
		if got := mint(c.host, c.body); got != c.want {
			t.Errorf("mint by %s for %s: got %d, want %d", c.host, c.body, got, c.want)
		}
	}
}

// TestForeignPages has a page of another site ask for what only programs and this machine's pages may.
func TestForeignPages(t *testing.T) {
	t.Parallel()
	s := start(t, openBolt(t))
	for origin, want := range map[string]int{
		"": http.StatusOK, "http://localhost:3000": http.StatusOK, s.url: http.StatusOK,
		"https://evil.example": http.StatusForbidden, "null": http.StatusForbidden, "http://127.0.0.1.evil.example": http.StatusForbidden,
	} {
		body := strings.NewReader(`{"command":"publish","rooms":["channel:1"],"event":"message:new"}`)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/2015-03-31/functions/emit/invocations", body)
		if err != nil {
			t.Fatal(err)
		}
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%q: got %d, want %d", origin, res.StatusCode, want)
		}
	}
}

// TestReboundName has a page of the web whose own name leads here use the management, invoke and queue paths.
func TestReboundName(t *testing.T) {
	t.Parallel()
	s := start(t, openBolt(t))
	for _, c := range []struct{ method, path, target, origin string }{
		{http.MethodPost, "/2015-03-31/functions/emit/invocations", "", "http://rebound.example.org"},
		{http.MethodPost, "/dev/@connections/AAAAAAAAAAAAAAA=", "", "http://rebound.example.org"},
		{http.MethodDelete, "/dev/@connections/AAAAAAAAAAAAAAA=", "", "http://rebound.example.org"},
		{http.MethodPost, "/", "AmazonSQS.ListQueues", "http://rebound.example.org"},
		{http.MethodPost, "/", "secretsmanager.GetSecretValue", "http://rebound.example.org"},
		{http.MethodGet, "/_bellhop/connections", "", ""}, // a page's own GET has no Origin
		{http.MethodGet, "/_bellhop/stats", "", ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, s.url+c.path, strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "rebound.example.org"
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		if c.target != "" {
			req.Header.Set("X-Amz-Target", c.target)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s %s: got %d, want 403", c.method, c.path, c.target, res.StatusCode)
		}
	}
}

// TestRestart stops a server and begins another on the same file: what was said is still there, and nobody is present
// who is not.
func TestRestart(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/bellhop.db"
	run := func(test func(s *running)) {
		store, err := bolt.Open(file, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Run("run", func(t *testing.T) { test(start(t, store)) })
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var position map[string]any
	run(func(s *running) {
		ana := s.connect("ana")
		ana.must(map[string]any{"action": "join", "room": "community:1"})
		ana.must(map[string]any{"action": "join", "room": "channel:1"})
		position = ana.must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "data": "kept"})
	})
	run(func(s *running) {
		bob := s.connect("bob")
		back := bob.must(map[string]any{"action": "join", "room": "channel:1", "since": map[string]any{"epoch": position["epoch"], "seq": 0}})
		if events, _ := back["events"].([]any); len(events) != 1 || back["recovered"] != true {
			t.Errorf("after a restart: %v", back)
		}
		here, _ := bob.must(map[string]any{"action": "join", "room": "community:1"})["presence"].([]any)
		if len(here) != 1 {
			t.Errorf("present after a restart: %v", here)
		}
	})
}

// TestSlowReceiver has a client that does not read: the others get everything all the same.
func TestSlowReceiver(t *testing.T) {
	t.Parallel()
	s := start(t, openBolt(t))
	ana, bob := s.connect("ana"), s.connect("bob")
	stuck, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://")) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stuck.Close() }()
	_, err = fmt.Fprintf(stuck, "GET /dev?token=%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", s.token(token.Claims{User: "stuck"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{ana, bob} {
		c.must(map[string]any{"action": "join", "room": "channel:1"})
	}
	for s.emulator.Stats().Connections < 3 {
		ana.sendText(`{"action":"ping"}`)
		ana.wait("pong", func(f map[string]any) bool { return f["event"] == "pong" })
	}
	s.mustEmit(map[string]any{"command": "join", "user": "stuck", "room": "channel:1"})
	large := strings.Repeat("x", 30_000)
	for i := range 60 {
		ana.must(map[string]any{"action": "publish", "id": fmt.Sprint(i), "room": "channel:1", "event": "message:new", "data": large})
	}
	for range 60 {
		bob.event("message:new", "channel:1")
	}
}
