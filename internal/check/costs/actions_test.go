package costs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// socketOpened is the opening of a client of Socket.IO that brings its token in the handshake, up to the answer to its CONNECT
// and the look of the reaper.
func socketOpened(t testing.TB) feature {
	t.Helper()
	a := newAccount(t, socketio.Options{KeepAlive: socketio.None})
	ana := a.caller("ana")
	f := a.spend("connect with Socket.IO", smallMB, 0, func() int { return a.event(route.Connect(a.Hub, a.sockets, a.log), ana, "socketio") })
	return f.plus(a.receive(ana, "40"))
}

// socketStranger is a socket that never shows a token, from its handshake until the reaper has closed it.
func socketStranger(t testing.TB) feature {
	t.Helper()
	a := newAccount(t, socketio.Options{})
	who := a.caller("stranger")
	f := a.spend("a socket that never shows a token, closed after 45 s", smallMB, 0, func() int { return a.event(route.Connect(a.Hub, a.sockets, a.log), who, "socketio") })
	f.usage.ConnectionMinutes++
	return f.plus(a.spend("its disconnect", smallMB, 0, func() int { return a.event(route.Disconnect(a.Hub, a.sockets, a.log), who, "socketio") }))
}

// socketPinged is a ping with its pong, of those that keep a client's connection open and find out when it is dead: of 24 in a row,
// since not every one costs the same.
func socketPinged(t testing.TB) feature {
	t.Helper()
	const pings = 24
	a := newAccount(t, socketio.Options{})
	ana := a.caller("ana")
	if err := a.work(hub.Job{Kind: "socket:open", Targets: []hub.Target{{Connection: ana.Connection}}}); err != nil {
		t.Fatal(err)
	}
	a.sockets.Receive(t.Context(), ana, []byte("40"))
	for _, reaper := range a.Queue.Take("socket:reap") { // which leaves the first beat
		a.Clock.To(reaper.Due)
		if err := a.work(reaper.Job); err != nil {
			t.Fatal(err)
		}
	}
	f, waiting := feature{name: "ping and pong of Socket.IO"}, a.Queue.Take()
	// part is an invocation whose jobs are done in their turn.
	part := func(mb float64, in int, do func() int) (u cost.Usage) {
		got := a.spend("", mb, in, func() int {
			reply := do()
			waiting = append(waiting, a.Queue.Take("socket:beat")...)
			return reply
		})
		f = f.plus(got)
		return got.usage
	}
	for n := 0; n < pings; {
		j := waiting[0]
		waiting = waiting[1:]
		if j.Job.Kind != "socket:beat" {
			continue
		}
		a.Clock.To(j.Due)
		f.usage.SQSRequests += float64(cost.Requests(len(j.Body))) + 2
		beat := part(deliverMB, 0, func() int {
			if err := a.work(j.Job); err != nil {
				t.Error(err)
			}
			return 0
		})
		if beat.MessagesOut > 0 {
			n++
			part(messageMB, 1, func() int { return len(a.sockets.Receive(t.Context(), ana, []byte("3"))) })
		}
	}
	f.usage, f.logs = f.usage.Times(1.0/pings), f.logs/pings
	return f
}

// features runs every kind of action.
func features(t testing.TB) []feature {
	t.Helper()
	a := newAccount(t, socketio.Options{})
	for room, n := range map[string]int{"channel:10": 9, "channel:200": 199, "community:10": 9} {
		a.join(room, n)
	}
	ana, list := a.caller("ana"), []feature{}
	add := func(f feature) { list = append(list, f) }
	authorizer := func(f feature) feature {
		f.usage = f.usage.Plus(a.invoke(smallMB, func() {}))
		return f
	}
	add(authorizer(a.spend("connect (authorizer, `$connect`)", smallMB, 0, func() int { return a.event(route.Connect(a.Hub, a.sockets, a.log), ana, "") })))
	add(authorizer(socketOpened(t)))
	add(authorizer(socketStranger(t)))
	add(authorizer(feature{name: "a refused handshake"}))
	add(feature{name: "connection minute", usage: cost.Usage{ConnectionMinutes: 1}})
	add(feature{name: "ping and pong", usage: cost.Usage{MessagesIn: 1, MessagesOut: 1, BytesOut: 16}})
	add(socketPinged(t))
	add(a.action("join a channel", ana, `{"action":"join","id":"1","room":"channel:10"}`))
	a.send(ana, `{"action":"join","id":"1","room":"channel:200"}`)
	add(a.action("publish with id, room of 10", ana, message(`"id":"m1",`, "channel:10")))
	add(a.action("the same id again", ana, message(`"id":"m1",`, "channel:10")))
	add(a.action("publish without id, room of 10", ana, message("", "channel:10")))
	add(a.action("publish with id, room of 200", ana, message(`"id":"m2",`, "channel:200")))
	add(perThousand(a, ana))
	add(a.action("typing signal, room of 10", ana, `{"action":"signal","room":"channel:10","event":"typing:start"}`))
	add(a.action("join a community of 10, first device", ana, `{"action":"join","id":"1","room":"community:10"}`))
	add(a.action("change of presence, room of 10", ana, `{"action":"presence","id":"1","room":"community:10","status":"away"}`))
	list = append(list, paused(t)...)
	for range 50 {
		a.send(ana, message("", "channel:10"))
	}
	add(a.action("history, 50 messages", ana, `{"action":"history","id":"1","room":"channel:10","limit":50}`))
	emit := a.spend("emit to a room of 10, by Invoke", messageMB, 0, func() int {
		answer := a.Emit(t.Context(), hub.PublishCommand{
			Rooms: []string{"channel:10"}, Event: protocol.MessageNew, ID: "e1", Data: json.RawMessage(`{"content":"hi"}`),
		})
		if !answer.OK {
			t.Errorf("emit: %v", answer.Error)
		}
		return 0
	})
	add(emit)
	emit.name, emit.usage.SQSRequests = "emit to a room of 10, by `EmitQueue`", 3
	add(emit)
	a.Clock.Pass(10 * time.Minute) // a connection that came just now leaves its row to the sweep
	add(a.action("leave a channel", ana, `{"action":"leave","id":"1","room":"channel:200"}`))
	add(a.spend("disconnect from a channel and a community of 10", smallMB, 0, func() int { return a.event(route.Disconnect(a.Hub, a.sockets, a.log), ana, "") }))
	bob := a.connected("bob")
	a.send(bob, `{"action":"join","id":"1","room":"channel:10"}`)
	a.Clock.Pass(10 * time.Minute)
	add(a.spend("disconnect from a channel", smallMB, 0, func() int { return a.event(route.Disconnect(a.Hub, a.sockets, a.log), bob, "") }))
	return append(list, sweeps(t)...)
}

// paused is a page that joins three rooms, is hidden, and comes back to what it has missed.
func paused(t testing.TB) []feature {
	t.Helper()
	a, rooms := newAccount(t, socketio.Options{}), []string{"community:1", "community:2", "community:3"}
	for _, room := range rooms {
		a.join(room, 9)
	}
	join := func(back bool) string {
		list := make([]string, len(rooms))
		for i, room := range rooms {
			list[i] = fmt.Sprintf(`{"room":%q}`, room)
			if head, err := a.Store.Head(t.Context(), room, time.Time{}); err != nil {
				t.Fatal(err)
			} else if back {
				list[i] = fmt.Sprintf(`{"room":%q,"since":{"epoch":%q,"seq":%d},"listed":true}`, room, head.Epoch, head.Seq-1)
			}
		}
		return `{"action":"join","id":"1","rooms":[` + strings.Join(list, ",") + `]}`
	}
	page, phone := a.connected("eve"), a.caller("eve")
	phone.Connection = "c-phone-000000="
	a.event(route.Connect(a.Hub, a.sockets, a.log), phone, "")
	a.send(phone, join(false)) // which announces the user
	list := []feature{a.action("join 3 communities of 10, further device", page, join(false))}
	a.Clock.Pass(10 * time.Minute)
	return append(list,
		a.action("pause in 3 communities", page, `{"action":"pause","id":"1"}`),
		a.action("back in 3 communities of 10, an event missed in each", page, join(true)),
	)
}

// perThousand is what the second thousand of a room's members beyond the first 200 adds to a publish.
func perThousand(a *account, c hub.Caller) feature {
	a.TB.Helper()
	room := func(members int) feature {
		name := "channel:" + strconv.Itoa(members)
		for i := range members - 1 {
			m := hub.Member{Connection: fmt.Sprintf("member-%08d=", i), User: fmt.Sprintf("user-%05d", i), Codec: protocol.Name, TTL: a.Clock.Now().Add(time.Hour)}
			if err := a.Store.AddMember(a.TB.Context(), name, m); err != nil {
				a.TB.Fatal(err)
			}
		}
		a.send(c, `{"action":"join","id":"1","room":"`+name+`"}`)
		return a.action("", c, message(`"id":"large",`, name))
	}
	less, more := room(1200), room(2200)
	return feature{"each 1,000 members more, by the queue", more.usage.Minus(less.usage), more.logs - less.logs}
}

// sweeps are a sweep of nothing, and what a thousand connections add.
func sweeps(t testing.TB) []feature {
	t.Helper()
	a := newAccount(t, socketio.Options{})
	sweep := func(name string) feature {
		return a.spend(name, smallMB, 0, func() int {
			if _, err := route.Sweep(a.Hub, a.log).Invoke(t.Context(), []byte("{}")); err != nil {
				t.Fatal(err)
			}
			return 0
		})
	}
	none := sweep("sweep, every 5 minutes")
	const thousands = 6.4 // a hundred for each partition
	for i := range int(1000 * thousands) {
		a.connected(fmt.Sprintf("user-%05d", i))
	}
	some := sweep("")
	return []feature{none, {"each 1,000 connections, in a sweep", some.usage.Minus(none.usage).Times(1 / thousands), 0}}
}
