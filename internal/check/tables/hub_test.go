package tables

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/local/asyncapi"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// verifier knows one user, who may do nothing but what needs no grant.
type verifier struct{ who hub.Identity }

func (v verifier) Verify(context.Context, string) (hub.Identity, error) { return v.who, nil }

// answer sends a frame and gives what it is answered, by the reply or, as for signals, by a push.
func answer(w *hubtest.World, c hub.Caller, frame string) string {
	w.TB.Helper()
	if reply := w.Receive(w.TB.Context(), c, []byte(frame)); reply != nil {
		return string(reply)
	}
	for _, pushed := range w.Network.TakeFrom(c.Connection) {
		if strings.HasPrefix(pushed, `{"reply"`) {
			return pushed
		}
	}
	return ""
}

// asking is a row's example with an id, so that it is answered.
func asking(t *testing.T, row protocol.ActionRow) string {
	t.Helper()
	var frame map[string]json.RawMessage
	if err := json.Unmarshal([]byte(row.Example), &frame); err != nil {
		t.Fatalf("%s: %v", row.Name, err)
	}
	if frame["id"] == nil {
		frame["id"] = json.RawMessage(`"asked"`)
	}
	text, err := json.Marshal(frame)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestActions: the example of each row is answered as the row says to whoever has what it needs, and refused to who has not.
func TestActions(t *testing.T) {
	schemas, err := asyncapi.Compile()
	if err != nil {
		t.Fatal(err)
	}
	who := hub.Identity{User: "ana", Expires: time.Now().Add(1000 * 24 * time.Hour)}
	world := func(rooms ...string) (*hubtest.World, hub.Caller) {
		w := hubtest.New(t, func(c *hub.Config) { c.Verifier = verifier{who} })
		if len(rooms) == 0 {
			c := hub.Caller{Connection: "stranger", User: who.User, Expires: who.Expires}
			if err := w.Connect(t.Context(), c.Connection, who, protocol.Name); err != nil {
				t.Fatal(err)
			}
			return w, c
		}
		c := w.Open(who.User)
		for _, room := range rooms {
			w.Must(c, `{"action":"join","room":"`+room+`"}`)
		}
		return w, c
	}
	refusals := map[protocol.Need]protocol.Code{
		protocol.NeedMembership: protocol.CodeNotInRoom, protocol.NeedJoin: protocol.CodeForbidden, protocol.NeedPublish: protocol.CodeForbidden,
		protocol.NeedSignal: protocol.CodeForbidden,
	}
	for _, row := range protocol.Actions() {
		t.Run(row.Name, func(t *testing.T) {
			frame := asking(t, row)
			stranger, c := world()
			var got struct {
				OK    bool
				Error struct{ Code protocol.Code }
			}
			if err := json.Unmarshal([]byte(answer(stranger, c, frame)), &got); err != nil {
				t.Fatal(err)
			}
			if want := refusals[row.Needs]; got.Error.Code != want || got.OK != (want == "") {
				t.Errorf("%s: a stranger to whom nothing is granted gets %+v; the row says that it needs %q", row.Name, got, row.Needs)
			}

			w, c := world("channel:42", "community:7")
			if row.Op == protocol.OpDelete {
				w.Must(c, `{"action":"publish","id":"01J","room":"channel:42","event":"message:new","data":{"content":"hi"}}`)
			}
			reply := answer(w, c, frame)
			if row.Op == protocol.OpPing { // one without an id is answered by API Gateway alone, as template.yaml says
				if reply != `{"reply":"asked","ok":true}` {
					t.Errorf("%s: %s", row.Name, reply)
				}
				return
			}
			if err := schemas.Reply(row, []byte(reply)); err != nil {
				t.Errorf("%s: a member is answered by %s; the row says %s: %v", row.Name, reply, row.Reply, err)
			}
		})
	}
}

// TestEventsOfTheServer: no member can publish or signal an event that is not for members to send, whatever it is called, and
// none can signal what is logged.
func TestEventsOfTheServer(t *testing.T) {
	w := hubtest.New(t)
	ana, bob := w.Open("ana"), w.Open("bob")
	for _, c := range []hub.Caller{ana, bob} {
		w.Must(c, `{"action":"join","room":"channel:42"}`)
	}
	for i, row := range protocol.Events() {
		data := "{}"
		if row.Data != "" && !row.SocketIO {
			var e protocol.Event
			if err := json.Unmarshal([]byte(row.Example), &e); err != nil {
				t.Fatalf("%s: %v", row.Name, err)
			}
			data = string(e.Data)
		}
		for _, action := range []string{"publish", "signal"} {
			got := answer(w, ana, fmt.Sprintf(`{"action":%q,"id":"%s-%d","room":"channel:42","event":%q,"data":%s}`, action, action, i, row.Name, data))
			said := w.Network.TakeFrom(bob.Connection)
			w.Network.Take()
			forMembers := row.By&protocol.ByMembers != 0
			want := `"error":{"code":"forbidden","message":"only the server sends ` + row.Name + `"`
			switch {
			case forMembers && action == "publish":
				want = `"ok":true`
			case forMembers && row.Sort == protocol.Logged:
				want = `"error":{"code":"bad_request","message":"` + row.Name + ` is logged: publish it"`
			case forMembers:
				want = `"ok":true`
			}
			if !strings.Contains(got, want) {
				t.Errorf("%s: a member's %s is answered by %s, want %s", row.Name, action, got, want)
			}
			if !strings.Contains(want, `"ok":true`) && len(said) > 0 {
				t.Errorf("%s: the other member was told by a %s that was refused: %v", row.Name, action, said)
			}
		}
	}
}

// TestNames: whatever the service calls an event or an action has a row.
func TestNames(t *testing.T) {
	rows := map[string]bool{}
	for _, row := range protocol.Events() {
		rows[row.Name] = true
	}
	for _, row := range protocol.Actions() {
		rows[row.Name] = true
	}
	like := regexp.MustCompile(`^[a-z]+:[a-z-]+$`)
	seen := 0
	for _, folder := range []string{"protocol", "hub"} {
		files, err := filepath.Glob("../../" + folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for node := range ast.Preorder(file) {
				literal, is := node.(*ast.BasicLit)
				if !is || literal.Kind != token.STRING {
					continue
				}
				said, err := strconv.Unquote(literal.Value)
				if err != nil || !like.MatchString(said) {
					continue
				}
				if seen++; !rows[said] {
					t.Errorf("%s: %q has no row in the table of events, in internal/protocol/events.go, nor in that of actions", set.Position(literal.Pos()), said)
				}
			}
		}
	}
	if seen < len(rows) {
		t.Errorf("only %d names were found", seen)
	}
}
