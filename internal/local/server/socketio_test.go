package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// TestSocketIO: clients of both dialects share a room, and pings find a dead one, wherever the functions run.
func TestSocketIO(t *testing.T) {
	t.Parallel()
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place, func(c *servertest.Config) {
			c.Parameters["SocketPingInterval"], c.Parameters["SocketPingTimeout"] = "3s", "1s"
		})
		ana, bob := s.Socket("ana"), s.Connect("bob")
		bob.Must(map[string]any{"action": "join", "room": "channel:1"})
		ana.Write(`420["join:channel","1"]`)
		ana.Read(`430[{"ok":true`)
		ana.Write(`421["message:send",{"channelId":"1","content":"hi","id":"m1"}]`)
		ana.Read(`42["message:new",{"content":"hi","id":"`)
		if e := bob.Event("message:new", "channel:1"); servertest.Object(e, "from")["userId"] != "ana" {
			t.Errorf("bob got %v", e)
		}
		bob.Must(map[string]any{"action": "publish", "room": "channel:1", "event": "message:new", "data": map[string]any{"content": "hello"}})
		ana.Read(`42["message:new",{"content":"hello",`)
		for range 2 {
			ana.Read("2")
			ana.Write("3")
		}
		ana.Read("2") // and no answer from now on
		ana.Ended()
		servertest.Eventually(t, "ana has gone", func() bool {
			members, _ := s.MustEmit(map[string]any{"command": "members", "room": "channel:1"})["members"].([]any)
			return len(members) == 1
		})
	})
}

// TestHeartbeatsAreGuarded: 17 beats are more than Lambda lets a function lead to itself, wherever it runs: no job is a dead letter.
func TestHeartbeatsAreGuarded(t *testing.T) {
	t.Parallel()
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place, func(c *servertest.Config) {
			c.Parameters["SocketPingInterval"], c.Parameters["SocketPingTimeout"] = "1500ms", "1500ms"
		})
		if s.Server == nil {
			t.Skip("the stack's pings are four minutes apart")
		}
		ana := s.Socket("ana")
		for range 17 {
			ana.Read("2")
			ana.Write("3")
		}
		if dead := s.Emulator().Queues.DeadLetters("DeliverQueue"); len(dead) > 0 {
			t.Errorf("dead letters: %+v", dead)
		}
	})
}

// TestSocketIOIsRecovered: a client that was cut off is where it was, with what it missed, whether the server knows of the end of
// its connection by then or not.
func TestSocketIOIsRecovered(t *testing.T) {
	t.Parallel()
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place)
		for room, known := range map[string]bool{"channel:known": true, "channel:unknown": false} {
			t.Run(room, func(t *testing.T) {
				path := "/dev/?EIO=4&transport=websocket&token=" + s.Token(token.Claims{User: "ana"})
				ana := s.Engine(path)
				ana.Write("40")
				welcome := ana.Read("40{")
				_, rest, _ := strings.Cut(welcome, `"pid":"`)
				pid, _, _ := strings.Cut(rest, `"`)
				ana.Write(`420["join",{"room":"` + room + `"}]`)
				ana.Read("430[")
				if known {
					ana.Cut()
					servertest.Eventually(t, "ana has left the room", func() bool {
						members, _ := s.MustEmit(map[string]any{"command": "members", "room": room})["members"].([]any)
						return len(members) == 0
					})
				}
				s.MustEmit(map[string]any{"command": "publish", "rooms": []string{room}, "event": "news", "id": "n1", "data": 1})
				again := s.Engine(path)
				again.Write(`40{"pid":"` + pid + `"}`)
				again.Read(`42["news",1,{"room":"` + room + `","seq":1,"id":"n1"`)
				if got := again.Read("40{"); got != welcome {
					t.Errorf("welcomed by %s, before by %s", got, welcome)
				}
			})
		}
	})
}

// TestSocketIOIsOff: the owner decides whether clients of Socket.IO are let in, and by which token.
func TestSocketIOIsOff(t *testing.T) {
	t.Parallel()
	const without = "/dev/?EIO=4&transport=websocket"
	for value, want := range map[string]struct{ without, with int }{"on": {101, 101}, "token": {401, 101}, "off": {400, 400}} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, servertest.Bolt(t), func(c *servertest.Config) { c.Parameters["SocketClients"] = value })
			for path, want := range map[string]int{without: want.without, without + "&token=" + s.Token(token.Claims{User: "ana"}): want.with} {
				conn, got := s.Handshake(path, http.Header{})
				if conn != nil {
					_ = conn.CloseNow()
				}
				if got != want {
					t.Errorf("%.40s: got %d, want %d", path, got, want)
				}
			}
			s.Connect("bob").Must(map[string]any{"action": "join", "room": "channel:1"})
		})
	}
	t.Run("the refusal says so", func(t *testing.T) {
		t.Parallel()
		s := servertest.Start(t, servertest.Bolt(t), func(c *servertest.Config) { c.Parameters["SocketClients"] = "off" })
		answer := string(s.Invoke("ConnectFunction", `{"requestContext":{"eventType":"CONNECT","connectionId":"c","authorizer":{"codec":"socketio"}},"queryStringParameters":{"EIO":"4","transport":"websocket"}}`))
		if !strings.Contains(answer, "clients of Socket.IO are not let in here") {
			t.Errorf("got %s", answer)
		}
	})
}
