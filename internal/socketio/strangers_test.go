package socketio_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/around"
)

// TestStrangers: a socket that never shows a good token has one frame pushed to it, leaves two jobs, has nothing written, whatever it
// sends, and is closed in time.
func TestStrangers(t *testing.T) {
	for name, c := range map[string]struct {
		frames []string
		soon   bool // it is closed before its time is up
	}{
		"says nothing":                     {nil, false},
		"answers pings that nobody sent":   {slices.Repeat([]string{"3"}, 10), false},
		"pings":                            {slices.Repeat([]string{"2", "6", "5"}, 5), false},
		"shows a bad token":                {[]string{`40{"token":"bad"}`}, false},
		"shows bad tokens again and again": {slices.Repeat([]string{`40{"token":"bad"}`}, 4), true},
		"shows none, again and again":      {slices.Repeat([]string{"40"}, 4), true},
		"wants namespaces that are none":   {slices.Repeat([]string{`40/nowhere,{"token":"ana"}`}, 4), true},
		"sends an event":                   {[]string{`420["join:channel","1"]`}, true},
		"answers what nobody asked":        {[]string{`430["x"]`}, true},
		"leaves where it is not":           {[]string{`41`}, true},
		"floods":                           {slices.Repeat([]string{"2"}, 100), true},
		"sends what is no packet":          {[]string{"nonsense"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var calls []string
			w := &world{}
			count := func(_ context.Context, call *around.Call, do func() error) error {
				calls = append(calls, call.Name)
				return do()
			}
			w.World = hubtest.New(t, func(c *hub.Config) { c.Verifier, c.Limits = w, hub.Limits{} }) // limits as they are by default
			w.Config.Store = around.New(w.Config.Store, count)
			w.Hub, w.sockets = socketio.Wire(w.Config, around.NewNotes(w.Notes, count), socketio.Options{})
			if err := w.sockets.Open(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
			jobs, pushed := 1, 0
			w.work("socket:open")
			for _, frame := range c.frames {
				if w.Network.Closed("c") {
					break
				}
				w.send("c", frame)
			}
			if got := w.Network.Closed("c"); got != c.soon {
				t.Errorf("closed before its time is up: %t", got)
			}
			pushed += len(w.Network.TakeFrom("c"))
			began := w.Clock.Now()
			for len(w.Queue.Waiting()) > 0 {
				jobs += len(w.Queue.Waiting())
				if n, _ := w.work("socket:reap"); n == 0 {
					t.Fatalf("other jobs wait: %v", w.Queue.Waiting())
				}
			}
			if !w.Network.Closed("c") || w.Clock.Now().Sub(began) > 45*time.Second {
				t.Errorf("closed %t, after %s", w.Network.Closed("c"), w.Clock.Now().Sub(began))
			}
			if err := w.sockets.Closed(t.Context(), "c"); err != nil { // the disconnect route
				t.Fatal(err)
			}
			writes := slices.DeleteFunc(slices.Clone(calls), func(call string) bool { return call == "Connection" || call == "Noted" })
			if jobs != 2 || pushed != 1 || len(writes) > 0 {
				t.Errorf("%d jobs, %d pushes, %d writes: %s", jobs, pushed, len(writes), strings.Join(writes, ", "))
			}
		})
	}
	t.Run("whoever shows one later is not held up", func(t *testing.T) {
		w := newWorld(t, socketio.Options{})
		has(t, "a bad token", w.open("c", `{"token":"bad"}`), "44{")
		has(t, "a good one", w.send("c", fmt.Sprintf(`40{"token":%q}`, "ana")), `40{"sid":`)
	})
}
