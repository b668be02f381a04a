package socketio_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// depthOf gives how deep JSON is nested, as encoding/json reads it.
func depthOf(t *testing.T, text string) (deepest int) {
	t.Helper()
	d, depth := json.NewDecoder(bytes.NewReader([]byte(text))), 0
	for {
		token, err := d.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
			deepest = max(deepest, depth)
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
}

func deep(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// TestDepthOfFrames: what anybody is told has 64 levels at most, in every dialect, and data that has more is refused from whomever.
func TestDepthOfFrames(t *testing.T) {
	const levels = 64
	w := newWorld(t, socketio.Options{})
	w.open("ana", `{"token":"ana"}`)
	_, pid := parts(t, w.open("bob", `{"token":"bob"}`))
	for _, c := range []string{"ana", "bob"} {
		w.send(c, `42["join:channel","1"]`)
	}
	who, _ := w.Verify(t.Context(), "cyd")
	who.Grants = hub.Grants{"*": {hub.GrantJoin, hub.GrantPublish}}
	cyd := hub.Caller{Connection: "cyd", User: "cyd", Expires: who.Expires}
	if err := w.Connect(t.Context(), "cyd", who, protocol.Name); err != nil {
		t.Fatal(err)
	}
	joined := w.Must(cyd, `{"action":"join","room":"channel:1"}`)
	var at protocol.Position
	if err := json.Unmarshal(joined, &at); err != nil {
		t.Fatal(err)
	}
	publish := `{"action":"publish","id":"m%d","room":"channel:1","event":"x","data":%s}`
	for _, data := range []string{deep(protocol.MaxDepth), deep(protocol.MaxDepth)} {
		w.Must(cyd, fmt.Sprintf(publish, len(data)%7, data))
	}
	has(t, "over Socket.IO", w.send("ana", fmt.Sprintf(`420["publish","channel:1","x",%s]`, deep(protocol.MaxDepth))), `"ok":true`)
	w.Must(cyd, `{"action":"join","room":"community:1"}`)
	w.Must(cyd, fmt.Sprintf(`{"action":"presence","status":"away","data":%s}`, deep(protocol.MaxDepth)))

	var told []string
	told = append(told,
		string(w.Must(cyd, fmt.Sprintf(`{"action":"join","rooms":[{"room":"channel:1","since":{"epoch":%q,"seq":%d}},{"room":"community:1"}]}`, at.Epoch, at.Seq))),
		w.send("ana", fmt.Sprintf(`421["join",{"rooms":[{"room":"channel:1","since":{"epoch":%q,"seq":%d}},{"room":"community:1"}]}]`, at.Epoch, at.Seq)),
		w.send("ana", `422["history","channel:1"]`), string(w.Must(cyd, `{"action":"history","room":"channel:1"}`)),
	)
	w.open("bob2", fmt.Sprintf(`{"token":"bob","pid":%q}`, pid))
	for _, c := range []string{"ana", "bob", "bob2", "cyd"} {
		told = append(told, w.Network.TakeFrom(c)...)
	}
	deepest := 0
	for _, text := range told {
		deepest = max(deepest, depthOf(t, strings.TrimLeft(text, "0123456789")))
	}
	if deepest+2 < protocol.MaxDepth+8 || deepest > levels { // Must leaves the outermost level out
		t.Errorf("what is told has %d levels, want %d at most; is the deepest of them here?", deepest, levels)
	}

	over := deep(protocol.MaxDepth + 1)
	has(t, "of a client of Socket.IO", w.send("ana", fmt.Sprintf(`423["publish","channel:1","x",%s]`, over)), `"code":"bad_request"`)
	has(t, "in fields of its own", w.send("ana", fmt.Sprintf(`424["publish",{"room":"channel:1","event":"x","data":%s}]`, over)), `"code":"bad_request"`)
	for _, c := range []string{
		`{"command":"publish","rooms":["channel:1"],"event":"x","data":%s}`,
		`{"command":"publish","rooms":["channel:1"],"event":"x","data":%s,"ephemeral":true}`,
		`{"command":"publish","connections":["cyd"],"event":"x","data":%s}`,
		`{"command":"ask","rooms":["channel:1"],"event":"x","data":%s,"timeoutMs":1}`,
	} {
		command, err := hub.DecodeCommand(fmt.Appendf(nil, c, over))
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Emit(t.Context(), command); got.OK || got.Error.Code != protocol.CodeBadRequest {
			t.Errorf("%.60s: got %+v", c, got)
		}
	}
	w.waiting = func() {
		w.waiting = nil
		for _, f := range w.Network.TakeFrom("ana") {
			if id, _, found := strings.Cut(strings.TrimPrefix(f, "42"), `["deep?"`); found {
				w.send("ana", "43"+id+over)
			}
		}
	}
	got := w.Emit(t.Context(), hub.AskCommand{Selection: hub.Selection{User: "ana"}, Event: "deep?", TimeoutMs: 50})
	if a, is := got.Data.(hub.Answers); !is || len(a.Answers) != 0 || w.waiting != nil || w.Network.Closed("ana") {
		t.Errorf("an answer that is nested deeper gives %+v, closed %t", got, w.Network.Closed("ana"))
	}
}
