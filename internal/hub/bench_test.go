package hub_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

// BenchmarkPublish is one frame of a client, from its bytes to its reply, in rooms of different size: decode, touch, log,
// encode, and a push to each member, all of them inline.
func BenchmarkPublish(b *testing.B) {
	for _, members := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			store, err := bolt.Open("", bolt.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			h := hub.New(hub.Config{
				Store: store, Pusher: hubtest.Nowhere{}, Queue: hubtest.Nowhere{}, Limits: hub.Limits{Rate: 1e8, Burst: 1e8, Inline: 1000},
			})
			var c hub.Caller
			for i := range members {
				c = hub.Caller{Connection: fmt.Sprintf("c%d", i), User: fmt.Sprintf("user%d", i), Expires: time.Now().Add(time.Hour)}
				who := hub.Identity{User: c.User, Grants: hubtest.Everything(), Expires: c.Expires}
				if err := h.Connect(b.Context(), c.Connection, who, protocol.Name); err != nil {
					b.Fatal(err)
				}
				h.Receive(b.Context(), c, []byte(`{"action":"join","room":"channel:1"}`))
			}
			frame := []byte(`{"action":"publish","room":"channel:1","event":"message:new","data":{"content":"Good morning, everybody"}}`)
			b.ReportAllocs()
			for b.Loop() {
				if reply := h.Receive(b.Context(), c, frame); reply != nil {
					b.Fatalf("%s", reply)
				}
			}
			b.ReportMetric(float64(members)*float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
		})
	}
}
