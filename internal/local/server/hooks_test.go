package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/local/tables"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// hooked starts a server with hooks as --hook names them.
func hooked(tb testing.TB, place servertest.Place, where map[string]string, change ...func(*servertest.Config)) *servertest.Server {
	tb.Helper()
	var list processes.Hooks
	config := processes.HookConfig{
		Env: tables.Environment(""), Built: func() (string, error) { return tb.TempDir(), nil }, Logger: slog.New(slog.DiscardHandler),
	}
	for hook, at := range where {
		if err := list.Open(tb.Context(), hub.Hook(hook), at, config); err != nil {
			tb.Fatal(err)
		}
	}
	return servertest.Start(tb, place, append(change, func(c *servertest.Config) { c.Bellhop.Hooks = list })...)
}

// TestHookExamples runs the examples in each language, asked by the functions in this process and in processes of their own.
func TestHookExamples(t *testing.T) {
	node, python, golang := "../../../examples/hooks-node", "../../../examples/hooks-python", "../../../examples/hooks-go/function"
	t.Run("node", func(t *testing.T) {
		eachWay(t, func(t *testing.T, place servertest.Place) {
			folder := t.TempDir()
			copyFiles(t, node, folder)
			s := hooked(t, place, map[string]string{"publish": folder, "join": folder, "connect": folder, "action": folder, "disconnect": folder})
			ana, eve := s.Connect("ana"), s.Connect("eve", "channel:lobby=join,publish")
			for _, c := range []*servertest.Client{ana, eve} {
				c.Must(map[string]any{"action": "join", "room": "channel:lobby"})
			}
			reply := ana.Must(map[string]any{"action": "join", "room": "channel:private-1"})
			if servertest.Object(reply, "state")["topic"] != "only for members" {
				t.Errorf("the reply is %v", reply)
			}
			if code := eve.Refused(map[string]any{"action": "join", "room": "channel:private-1"}); code != "forbidden" {
				t.Errorf("eve is refused with %s", code)
			}
			ana.Must(map[string]any{"action": "publish", "id": "m1", "room": "channel:lobby", "event": "message:new", "data": map[string]any{"content": "  hi  "}})
			if e := eve.Event("message:new", "channel:lobby"); servertest.Object(e, "data")["content"] != "hi" {
				t.Errorf("eve got %v", e)
			}
			saved, err := os.ReadFile(filepath.Join(folder, "messages.json"))
			if err != nil || !strings.Contains(string(saved), `"author": "ana"`) {
				t.Errorf("the application's database has %s, %v", saved, err)
			}
			if code := ana.Refused(map[string]any{"action": "publish", "id": "m2", "room": "channel:lobby", "event": "message:new", "data": map[string]any{"content": " "}}); code != "bad_request" {
				t.Errorf("an empty message is refused with %s", code)
			}
			if got := ana.Must(map[string]any{"action": "message:count", "room": "channel:lobby"}); got["count"] != 1.0 {
				t.Errorf("counted %v", got)
			}
			if code := ana.Refused(map[string]any{"action": "message:burn"}); code != "unknown_action" {
				t.Errorf("an unknown action is refused with %s", code)
			}
			members := s.MustEmit(map[string]any{"command": "members", "room": "channel:announcements"})
			if list, _ := members["members"].([]any); len(list) != 2 {
				t.Errorf("the automatic room has %v", members)
			}
			storeThenEmit(t, s, folder)
			if e := eve.Event("message:new", "channel:lobby"); servertest.Object(e, "data")["content"] != "stored first" || servertest.Object(e, "from")["userId"] != "bob" {
				t.Errorf("eve got %v", e)
			}
		})
	})
	t.Run("python", func(t *testing.T) {
		eachWay(t, func(t *testing.T, place servertest.Place) {
			s := hooked(t, place, map[string]string{"publish": python, "join": python, "action": python})
			ana := s.Connect("ana")
			reply := ana.Must(map[string]any{"action": "join", "room": "community:7"})
			if !strings.Contains(fmt.Sprint(reply["presence"]), "status:new here") {
				t.Errorf("the reply is %v", reply)
			}
			if code := ana.Refused(map[string]any{"action": "join", "room": "channel:closed"}); code != "forbidden" {
				t.Errorf("refused with %s", code)
			}
			ana.Must(map[string]any{"action": "publish", "room": "community:7", "event": "message:new", "data": map[string]any{"content": "hi :)"}})
			if e := ana.Event("message:new", "community:7"); servertest.Object(e, "data")["content"] != "hi 🙂" {
				t.Errorf("got %v", e)
			}
			if roll, _ := ana.Must(map[string]any{"action": "dice:roll", "data": map[string]any{"sides": 4}})["roll"].(float64); roll < 1 || roll > 4 {
				t.Errorf("rolled %v", roll)
			}
			if code := ana.Refused(map[string]any{"action": "dice:roll", "data": map[string]any{"sides": "x"}}); code != "bad_request" {
				t.Errorf("refused with %s", code)
			}
		})
	})
	t.Run("go", func(t *testing.T) {
		s := hooked(t, servertest.Bolt(t), map[string]string{"publish": golang})
		ana := s.Connect("ana")
		ana.Must(map[string]any{"action": "join", "room": "channel:1"})
		ana.Must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "data": map[string]any{"content": "oh heck"}})
		if e := ana.Event("message:new", "channel:1"); servertest.Object(e, "data")["content"] != "oh ****" {
			t.Errorf("got %v", e)
		}
		if code := ana.Refused(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "data": map[string]any{"content": "DO YOU HEAR ME"}}); code != "forbidden" {
			t.Errorf("refused with %s", code)
		}
	})
}

// TestHooksOfFunctionsOfOnesOwn runs the functions of examples/hooks-go, which have its handlers linked in.
func TestHooksOfFunctionsOfOnesOwn(t *testing.T) {
	s := servertest.Start(t, servertest.Own(t, "../../../examples/hooks-go"))
	ana := s.Connect("ana")
	ana.Must(map[string]any{"action": "join", "room": "channel:1"})
	if code := ana.Refused(map[string]any{"action": "join", "room": "channel:staff-1"}); code != "forbidden" {
		t.Errorf("at the staff's door: %s", code)
	}
	ana.Must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "data": map[string]any{"content": "oh heck"}})
	if e := ana.Event("message:new", "channel:1"); servertest.Object(e, "data")["content"] != "oh ****" {
		t.Errorf("got %v", e)
	}
	vote := map[string]any{"action": "poll:vote", "room": "channel:1", "data": map[string]any{"poll": "lunch", "option": "soup"}}
	if got := ana.Must(vote); fmt.Sprint(got["votes"]) != "map[soup:1]" {
		t.Errorf("the poll is %v", got)
	}
	if code := ana.Refused(map[string]any{"action": "poll:burn"}); code != "unknown_action" {
		t.Errorf("an action of nobody's is refused with %s", code)
	}
}

// eachWay is onEveryStore without the store that hooks do not care about.
func eachWay(t *testing.T, test func(t *testing.T, place servertest.Place)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) { test(t, servertest.Bolt(t)) })
	t.Run("processes", func(t *testing.T) {
		test(t, servertest.Deployed(t))
	})
}

func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// storeThenEmit is the flow of an application that stores a message and tells the room itself.
func storeThenEmit(t *testing.T, s *servertest.Server, folder string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "store-then-emit.mjs", "channel:lobby", "bob", "stored first")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "BELLHOP_ENDPOINT="+s.URL, "MESSAGES_FILE=messages.json")
	out, err := cmd.CombinedOutput()
	var result struct{ Seq int64 }
	if err != nil || json.Unmarshal(out, &result) != nil || result.Seq != 2 {
		t.Errorf("store-then-emit gives %v: %s", err, out)
	}
}

// TestHookFaults: whatever an application does wrong, clients get a clean error, and nobody else waits.
func TestHookFaults(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q hub.Question
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &q)
		switch q.Room {
		case "channel:slow":
			<-release
		case "channel:crash":
			panic(http.ErrAbortHandler)
		case "channel:throws":
			http.Error(w, "Traceback: secret.py line 3", http.StatusInternalServerError)
		case "channel:html":
			_, _ = io.WriteString(w, "<h1>hello</h1>")
		case "channel:huge":
			_, _ = io.WriteString(w, `{"data":"`+strings.Repeat("x", 1<<20)+`"}`)
		default:
			_, _ = io.WriteString(w, `{}`)
		}
	}))
	defer application.Close()
	defer close(release)
	s := hooked(t, servertest.Bolt(t), map[string]string{"join": application.URL, "publish": application.URL}, func(c *servertest.Config) {
		c.Parameters["HookOptions"] = `{"join":{"timeout":"5s"},"publish":{"timeout":"200ms"}}`
	})
	ana, bob := s.Connect("ana"), s.Connect("bob")
	ana.Send(map[string]any{"action": "join", "id": "slow", "room": "channel:slow"})
	began := time.Now()
	bob.Must(map[string]any{"action": "join", "room": "channel:fine"})
	ana.Must(map[string]any{"action": "join", "room": "channel:fine"})
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("a slow hook of one held up others for %s", took)
	}
	for _, room := range []string{"channel:crash", "channel:throws", "channel:html", "channel:huge"} {
		reply := bob.Ask(map[string]any{"action": "join", "room": room})
		text := fmt.Sprint(reply)
		if servertest.Object(reply, "error")["code"] != "unavailable" || servertest.Object(reply, "error")["retry"] != true || strings.Contains(text, "secret") {
			t.Errorf("%s gives %s", room, text)
		}
	}
	bob.Must(map[string]any{"action": "join", "room": "channel:fine"}) // closes the circuit's count
	if code := ana.Refused(map[string]any{"action": "publish", "room": "channel:nowhere", "event": "message:new"}); code != "not_in_room" {
		t.Errorf("refused with %s", code)
	}
	ana.Must(map[string]any{"action": "publish", "room": "channel:fine", "event": "message:new", "data": 1})
}

// TestHookAtInvokeAPI: a hook may be wherever there is a Lambda Invoke API, such as sam local start-lambda.
func TestHookAtInvokeAPI(t *testing.T) {
	t.Parallel()
	invokes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"room":"channel:throws"`) {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			_, _ = io.WriteString(w, `{"errorMessage":"boom","errorType":"Error"}`)
			return
		}
		_, _ = io.WriteString(w, `{"deny":{"message":"by `+r.URL.Path+`"}}`)
	}))
	defer invokes.Close()
	s := hooked(t, servertest.Bolt(t), map[string]string{"join": invokes.URL + "/2015-03-31/functions/Rules/invocations"})
	ana := s.Connect("ana")
	reply := ana.Ask(map[string]any{"action": "join", "room": "channel:1"})
	if servertest.Object(reply, "error")["message"] != "by /2015-03-31/functions/Rules/invocations" {
		t.Errorf("got %v", reply)
	}
	if code := ana.Refused(map[string]any{"action": "join", "room": "channel:throws"}); code != "unavailable" {
		t.Errorf("refused with %s", code)
	}
}

// TestConnectRefusedByHook: the handshake is answered with the application's no.
func TestConnectRefusedByHook(t *testing.T) {
	t.Parallel()
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"eve"`) {
			_, _ = io.WriteString(w, `{"deny":{"message":"banned"}}`)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer application.Close()
	s := hooked(t, servertest.Bolt(t), map[string]string{"connect": application.URL})
	for user, want := range map[string]int{"eve": http.StatusForbidden, "ana": http.StatusServiceUnavailable} {
		bearer := s.Token(token.Claims{User: user})
		if _, status := s.Handshake("/dev", nil, "bellhop.v1", "bearer."+bearer); status != want {
			t.Errorf("%s: status %d, want %d", user, status, want)
		}
	}
}
