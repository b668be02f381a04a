package cost_test

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// TestStoreAgreesWithDynamoDB does what TestBudgets of internal/store/dynamo does, where DynamoDB's own accounting says what each
// flow uses; the numbers here are from there. Reads are more in two cases: half a unit where a room's shards would be cached,
// and one for each query that finds nothing, which DynamoDB Local gives away. They are one less for a join, since the room was quiet.
func TestStoreAgreesWithDynamoDB(t *testing.T) {
	meter := &cost.Meter{}
	w := hubtest.New(t, func(c *hub.Config) { c.Store = cost.NewStore(c.Store.(socketio.Store), meter) })
	ctx := t.Context()
	all := hub.Grants{"*": {hub.GrantJoin, hub.GrantPublish}}
	connect := func(user string) hub.Caller {
		c := hub.Caller{Connection: rand.Text(), User: user, Expires: w.Clock.Now().Add(time.Hour)}
		if err := w.Connect(ctx, c.Connection, hub.Identity{User: user, Grants: all, Expires: c.Expires}, protocol.Name); err != nil {
			t.Fatal(err)
		}
		return c
	}
	send := func(c hub.Caller, frame string) {
		t.Helper()
		out := w.Receive(ctx, c, []byte(frame))
		var r struct{ OK bool }
		if err := json.Unmarshal(out, &r); len(out) > 0 && (err != nil || !r.OK) {
			t.Fatalf("%s: %s", frame, out)
		}
	}
	spent := func(what string, write, read float64, do func()) {
		t.Helper()
		before := meter.Report().Usage
		do()
		got := meter.Report().Usage.Minus(before)
		if got.WriteUnits != write || got.ReadUnits != read {
			t.Errorf("%s: got %g write units and %g read units, want %g and %g", what, got.WriteUnits, got.ReadUnits, write, read)
		}
	}
	bob := connect("bob")
	for _, room := range []string{"channel:1", "community:1"} {
		send(bob, `{"action":"join","id":"1","room":"`+room+`"}`)
	}
	var ana hub.Caller
	spent("connect", 2, 0, func() { ana = connect("ana") })
	spent("join a channel", 2, 2+0.5, func() { send(ana, `{"action":"join","id":"1","room":"channel:1"}`) })
	spent("publish with an id", 4, 1+1, func() { send(ana, `{"action":"publish","id":"m1","room":"channel:1","event":"message:new","data":1}`) })
	spent("publish with an id, again", 1, 4, func() { send(ana, `{"action":"publish","id":"m1","room":"channel:1","event":"message:new","data":1}`) })
	spent("publish without an id", 3, 1, func() { send(ana, `{"action":"publish","room":"channel:1","event":"message:new","data":1}`) })
	spent("typing", 0, 1, func() { send(ana, `{"action":"typing:start","channelId":"1"}`) })
	send(ana, `{"action":"join","id":"1","room":"community:1"}`)
	phone := connect("ana")
	spent("join a community", 3, 4+0.5, func() { send(phone, `{"action":"join","id":"1","room":"community:1"}`) })
	spent("leave a community", 4, 2, func() { send(phone, `{"action":"leave","id":"1","room":"community:1"}`) })
	spent("leave a channel", 3, 1, func() { send(ana, `{"action":"leave","id":"1","room":"channel:1"}`) })
	send(ana, `{"action":"join","id":"1","room":"channel:1"}`)
	spent("disconnect from 3 rooms", 6, 1, func() {
		if err := w.Depart(ctx, ana.Connection); err != nil {
			t.Fatal(err)
		}
	})
	send(bob, `{"action":"join","id":"1","room":"channel:2"}`)
	// 3,160 bytes are 4 units; the id is 1, the seq 1, the touch 1.
	spent("publish 3 KB", 7, 1+1, func() {
		send(bob, `{"action":"publish","id":"m2","room":"channel:2","event":"message:new","data":"`+strings.Repeat("x", 3000)+`"}`)
	})
}
