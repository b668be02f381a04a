package packet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// goldenPacket is packet.Packet as the golden frames write it.
type goldenPacket struct {
	Engine    string          `json:"engine"`
	Type      string          `json:"type"`
	Namespace string          `json:"namespace"`
	ID        *uint64         `json:"id"`
	Data      json.RawMessage `json:"data"`
}

func (p goldenPacket) packet() packet.Packet {
	out := packet.Packet{Engine: packet.Engine(p.Engine[0]), Namespace: p.Namespace, ID: p.ID, Data: p.Data}
	if p.Type != "" {
		out.Type = packet.Type(p.Type[0])
	}
	return out
}

type goldenFrame struct {
	Name   string        `json:"name"`
	See    string        `json:"see"`
	Text   string        `json:"text"`
	Packet *goldenPacket `json:"packet"`
	Again  string        `json:"again"` // what the packet is encoded to, if not Text
	Error  string        `json:"error"`
}

type goldenAction struct {
	Event json.RawMessage `json:"event"`
	Same  json.RawMessage `json:"same"`
	Error protocol.Code   `json:"error"`
	ID    string          `json:"id"`
}

func golden[T any](tb testing.TB, file string) []T {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	var list []T
	if err := json.Unmarshal(text, &list); err != nil {
		tb.Fatal(err)
	}
	if len(list) == 0 {
		tb.Fatalf("%s is empty", file)
	}
	return list
}

func refusals() map[string]error {
	return map[string]error{
		"ErrTooLarge": packet.ErrTooLarge, "ErrUTF8": packet.ErrUTF8, "ErrEmpty": packet.ErrEmpty,
		"ErrEngine": packet.ErrEngine, "ErrOpen": packet.ErrOpen, "ErrBinary": packet.ErrBinary,
		"ErrType": packet.ErrType, "ErrID": packet.ErrID, "ErrConnect": packet.ErrConnect,
		"ErrDisconnect": packet.ErrDisconnect, "ErrEvent": packet.ErrEvent, "ErrReserved": packet.ErrReserved,
		"ErrAck": packet.ErrAck, "ErrConnectError": packet.ErrConnectError,
	}
}

func TestDecode(t *testing.T) {
	seen := map[string]bool{"ErrTooLarge": true, "ErrUTF8": true} // TestDecodeRefusesWhatJSONCannotWrite
	for _, g := range golden[goldenFrame](t, "testdata/frames.json") {
		t.Run(g.Name, func(t *testing.T) {
			got, err := packet.Decode([]byte(g.Text))
			if g.Error != "" {
				if want := refusals()[g.Error]; want == nil || !errors.Is(err, want) {
					t.Fatalf("got error %v, want %s (%s)", err, g.Error, g.See)
				}
			} else if err != nil {
				t.Fatalf("%v (%s)", err, g.See)
			}
			seen[g.Error] = true
			if g.Packet == nil {
				return
			}
			if want := g.Packet.packet(); !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %+v\nwant %+v (%s)", got, want, g.See)
			}
			if g.Error != "" {
				return
			}
			want := g.Text
			if g.Again != "" {
				want = g.Again
			}
			if again := string(packet.Encode(got)); again != want {
				t.Errorf("encoded to %s, want %s", again, want)
			}
		})
	}
	for name := range refusals() {
		if !seen[name] {
			t.Errorf("no golden frame is refused with %s", name)
		}
	}
}

func TestDecodeRefusesWhatJSONCannotWrite(t *testing.T) {
	event := func(size int) []byte {
		return []byte(`42["e","` + strings.Repeat("x", size-len(`42["e",""]`)) + `"]`)
	}
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"just 32 KB":               {event(protocol.MaxClientFrame), nil},
		"one byte more":            {event(protocol.MaxClientFrame + 1), packet.ErrTooLarge},
		"invalid UTF-8":            {[]byte("42[\"\xff\"]"), packet.ErrUTF8},
		"no frame":                 {nil, packet.ErrEmpty},
		"a byte below the types":   {[]byte("4/"), packet.ErrType},
		"30,000 levels of JSON":    {[]byte(`42["e",` + strings.Repeat("[", 15_000) + strings.Repeat("]", 15_000) + `]`), packet.ErrEvent},
		"a name that never ends":   {[]byte(`42["e\"]`), packet.ErrEvent},
		"an id of 30,000 digits":   {[]byte("42" + strings.Repeat("9", 30_000)), packet.ErrID},
		"30,000 zeros, which is 0": {[]byte("42" + strings.Repeat("0", 30_000) + `["e"]`), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := packet.Decode(c.frame); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestAppend holds to what the server of socket.io 4.8.4 was seen to write.
func TestAppend(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for name, c := range map[string]struct{ got, want string }{
		"open, EIO Handshake": {
			string(packet.AppendOpen(nil, packet.Handshake{SID: "a/b=", PingInterval: 4 * time.Minute, PingTimeout: 1500 * time.Millisecond, MaxPayload: 32768})),
			`0{"sid":"a/b=","upgrades":[],"pingInterval":240000,"pingTimeout":1500,"maxPayload":32768}`,
		},
		"ping":                    {string(packet.Ping.Frame()), `2`},
		"noop":                    {string(packet.Noop.Frame()), `6`},
		"connect":                 {string(packet.AppendConnect(nil, "/", "s1", "")), `40{"sid":"s1"}`},
		"connect, recoverable":    {string(packet.AppendConnect(nil, "/", "s1", "p1")), `40{"sid":"s1","pid":"p1"}`},
		"connect in a namespace":  {string(packet.AppendConnect(nil, "/custom", "s1", "")), `40/custom,{"sid":"s1"}`},
		"connect error":           {string(packet.AppendConnectError(nil, "/random", "Invalid namespace", nil)), `44/random,{"message":"Invalid namespace"}`},
		"connect error with data": {string(packet.AppendConnectError(nil, "/", "no <b>", raw(`{"code":401}`))), `44{"message":"no <b>","data":{"code":401}}`},
		"disconnect":              {string(packet.AppendDisconnect(nil, "/")), `41`},
		"disconnect, a namespace": {string(packet.AppendDisconnect(nil, "/admin")), `41/admin,`},
		"event":                   {string(packet.AppendEvent(nil, "/", nil, "foo")), `42["foo"]`},
		"event with arguments":    {string(packet.AppendEvent(nil, "/", nil, "foo", raw(`1`), raw(`{"a":[]}`))), `42["foo",1,{"a":[]}]`},
		"event that wants an ack": {string(packet.AppendEvent(nil, "/admin", new(uint64(0)), "foo")), `42/admin,0["foo"]`},
		"ack with nothing":        {string(packet.AppendAck(nil, "/", 12)), `4312[]`},
		"ack with arguments":      {string(packet.AppendAck(nil, "/admin", 13, raw(`"bar"`), raw(`null`))), `43/admin,13["bar",null]`},
		"it appends":              {string(packet.AppendDisconnect([]byte("before"), "/")), `before41`},
		"strings as JavaScript writes them": {
			string(packet.AppendEvent(nil, "/", nil, "\"\\/\b\f\n\r\t\x00\x1f\x7f\u2028<&>ü😀")),
			`42["\"\\/\b\f\n\r\t\u0000\u001f` + "\x7f\u2028<&>ü😀" + `"]`,
		},
		"what is not UTF-8": {string(packet.AppendEvent(nil, "/", nil, "a\xffb")), `42["a` + "\ufffd" + `b"]`},
	} {
		t.Run(name, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("got  %s\nwant %s", c.got, c.want)
			}
		})
	}
}

func decodeEvent(tb testing.TB, head string, event []byte) packet.Packet {
	tb.Helper()
	p, err := packet.Decode(append([]byte(head), event...))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// TestAction: golden events are the actions that they say they are. Each row of the table of actions has one whose fields come
// one by one.
func TestAction(t *testing.T) {
	shown := map[string]bool{"ping": true} // it has no fields
	for _, g := range golden[goldenAction](t, "testdata/actions.json") {
		t.Run(string(g.Event), func(t *testing.T) {
			got, err := packet.Action(decodeEvent(t, "427", g.Event))
			if g.Error != "" {
				if e, ok := errors.AsType[*protocol.Error](err); !ok || e.Code != g.Error || e.Message == "" {
					t.Fatalf("got error %v, want %s with a message", err, g.Error)
				}
				if got.ID != g.ID {
					t.Fatalf("got id %q, want %q", got.ID, g.ID)
				}
				return
			}
			want, wantErr := protocol.JSON{}.Decode(g.Same)
			if wantErr != nil && !errors.Is(wantErr, protocol.Refuse(protocol.CodeUnknownAction)) {
				t.Fatal(wantErr)
			}
			if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Errorf("got  %+v, %v\nwant %+v, %v", got, err, want, wantErr)
			}
			var args []any
			if err := json.Unmarshal(g.Event, &args); err != nil {
				t.Fatal(err)
			}
			if name, is := args[0].(string); is && len(args) > 1 {
				if _, isObject := args[1].(map[string]any); !isObject {
					shown[name] = true
				}
			}
		})
	}
	for _, row := range protocol.Actions() {
		if !shown[row.Name] {
			t.Errorf("%s: testdata/actions.json does not show its fields one by one", row.Name)
		}
	}
}

// TestActionOfEveryFrame emits every golden frame of bellhop.v1: the frame is the object, its action the name.
func TestActionOfEveryFrame(t *testing.T) {
	emitted := 0
	for _, g := range golden[struct {
		Name  string
		Frame json.RawMessage
	}](t, "../../protocol/testdata/client.json") {
		var f struct{ Action string }
		if json.Unmarshal(g.Frame, &f) != nil || f.Action == "" {
			continue
		}
		emitted++
		t.Run(g.Name, func(t *testing.T) {
			name, err := json.Marshal(f.Action)
			if err != nil {
				t.Fatal(err)
			}
			want, wantErr := protocol.JSON{}.Decode(g.Frame)
			p, err := packet.Decode(packet.AppendEvent(nil, "/", new(uint64(7)), f.Action, g.Frame))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, gotErr := packet.Action(p)
			if !reflect.DeepEqual(got, want) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
				t.Errorf("got  %+v, %v\nwant %+v, %v", got, gotErr, want, wantErr)
			}
		})
	}
	if emitted < 40 {
		t.Errorf("only %d frames could be emitted", emitted)
	}
}

func TestActionIsOfEventsOnly(t *testing.T) {
	for _, frame := range []string{`2`, `40{}`, `41`, `431["join",{"room":"channel:42"}]`} {
		p, err := packet.Decode([]byte(frame))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := packet.Action(p); !errors.Is(err, protocol.Refuse(protocol.CodeBadRequest)) {
			t.Errorf("%s: got %v", frame, err)
		}
	}
}

func message() protocol.Event {
	return protocol.Event{
		Event: "message:new", Room: "channel:42", Seq: 58, ID: "01J", TS: 1732341000123,
		From: &protocol.From{UserID: "ana", Name: "Ana <3"}, Data: json.RawMessage(`{"content":"hi <b>"}`),
	}
}

func TestEncodeEvent(t *testing.T) {
	typing := protocol.Event{Event: "user:stopped-typing", Room: "channel:42", From: &protocol.From{UserID: "ana"}}
	const hi = `["message:new",{"content":"hi <b>","id":"01J","userId":"ana","userName":"Ana <3","channelId":"42"},{"room":"channel:42","seq":58,"id":"01J","from":{"userId":"ana","name":"Ana <3"},"ts":1732341000123`
	const added = `,"added":["id","userId","userName","channelId"]}`
	said, text, empty, deleted := message(), message(), message(), message()
	said.Data, text.Data, empty.Data, deleted.Data = json.RawMessage(` {"id":7,"content":"x","userId":null} `), json.RawMessage(`"hi"`), json.RawMessage(`{ }`), nil
	const about = `{"room":"channel:42","seq":58,"id":"01J","from":{"userId":"ana","name":"Ana <3"},"ts":1732341000123`
	for name, c := range map[string]struct {
		namespace string
		event     protocol.Event
		recovery  packet.Recovery
		want      string
	}{
		"logged":           {"/", message(), packet.Recovery{}, `42` + hi + added + `]`},
		"in a namespace":   {"/admin", message(), packet.Recovery{}, `42/admin,` + hi + added + `]`},
		"with an epoch":    {"/", message(), packet.Recovery{Epoch: "k3"}, `42` + hi + `,"epoch":"k3"` + added + `]`},
		"with an offset":   {"/", message(), packet.Recovery{Epoch: "k3", Offset: "o9"}, `42` + hi + `,"epoch":"k3"` + added + `,"o9"]`},
		"nothing to say":   {"/", typing, packet.Recovery{}, `42["user:stopped-typing",{"userId":"ana","userName":"ana","channelId":"42"},{"room":"channel:42","from":{"userId":"ana"},"added":["userId","userName","channelId"]}]`},
		"says it itself":   {"/", said, packet.Recovery{}, `42["message:new",{"id":7,"content":"x","userId":null,"userName":"Ana <3","channelId":"42"},` + about + `,"added":["userName","channelId"]}]`},
		"is a text":        {"/", text, packet.Recovery{}, `42["message:new","hi",` + about + `}]`},
		"is empty":         {"/", empty, packet.Recovery{}, `42["message:new",{ "id":"01J","userId":"ana","userName":"Ana <3","channelId":"42"},` + about + added + `]`},
		"is deleted":       {"/", deleted, packet.Recovery{}, `42["message:new",null,` + about + `}]`},
		"without a room":   {"/", protocol.Event{Event: "session:ending", Data: json.RawMessage(`{"reason":"expired"}`)}, packet.Recovery{}, `42["session:ending",{"reason":"expired"},{}]`},
		"data is a string": {"/", protocol.Event{Event: "e", Room: "channel:42", Data: json.RawMessage(`"s"`)}, packet.Recovery{}, `42["e","s",{"room":"channel:42"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := packet.EncodeEvent(c.namespace, c.event, c.recovery)
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
			if _, err := packet.Decode(got); err != nil {
				t.Errorf("a client would refuse it: %v", err)
			}
			back, err := packet.DecodeEvent(got)
			if name == "is empty" || name == "says it itself" { // but for white space
				back.Data, c.event.Data = bytes.TrimSpace(back.Data), bytes.TrimSpace(bytes.ReplaceAll(c.event.Data, []byte("{ }"), nil))
			}
			if err != nil || !reflect.DeepEqual(back, c.event) {
				t.Errorf("read back: got %+v, %v, want %+v", back, err, c.event)
			}
		})
	}
	for _, row := range protocol.Events() {
		if _, err := packet.EncodeEvent("/", protocol.Event{Event: row.Name}, packet.Recovery{}); err != nil {
			t.Error(err)
		}
	}
}

func TestDecodeEventOfOtherFrames(t *testing.T) {
	for _, frame := range []string{"", "2", "40{}", `42["e"]`, `42["e",1]`, `430[{"ok":true}]`, `42["e",1,"x"]`, `{"event":"e"}`, "42[1,2,{}]"} {
		if e, err := packet.DecodeEvent([]byte(frame)); err == nil {
			t.Errorf("%s: got %+v", frame, e)
		}
	}
}

func TestEncodeEventRefusesWhatClientsCannotTake(t *testing.T) {
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		if got, err := packet.EncodeEvent("/", protocol.Event{Event: name}, packet.Recovery{}); !errors.Is(err, packet.ErrReserved) {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
	if got, err := packet.EncodeEvent("/", protocol.Event{Event: "e", Data: json.RawMessage(`1],[`)}, packet.Recovery{}); err == nil {
		t.Errorf("data that is not JSON: got %s", got)
	}
}

func TestEncodeReply(t *testing.T) {
	for name, c := range map[string]struct {
		namespace string
		id        uint64
		reply     protocol.Reply
		want      string
	}{
		"it worked": {
			"/", 0,
			protocol.Reply{ID: "r1", Data: protocol.RoomResult{Room: "channel:42"}},
			`430[{"ok":true,"data":{"room":"channel:42"}}]`,
		},
		"nothing to say": {"/admin", 7, protocol.Reply{}, `43/admin,7[{"ok":true}]`},
		"refused": {
			"/", 12,
			protocol.Reply{ID: "r1", Err: protocol.Refuse(protocol.CodeForbidden)},
			`4312[{"ok":false,"error":{"code":"forbidden","message":"The token does not grant this.","retry":false}}]`,
		},
		"too fast": {
			"/", 12,
			protocol.Reply{Data: 1, Err: &protocol.Error{Code: protocol.CodeRateLimited, Message: "Wait.", RetryAfter: 400 * time.Millisecond}},
			`4312[{"ok":false,"error":{"code":"rate_limited","message":"Wait.","retry":true,"retryAfterMs":400}}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := packet.EncodeReply(c.namespace, c.id, c.reply)
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
	if got, err := packet.EncodeReply("/", 1, protocol.Reply{Data: func() {}}); err == nil {
		t.Errorf("data that is not JSON: got %s", got)
	}
}

// FuzzDecode holds that a frame is refused with a sentence or decoded to what encodes to the same packet, and that every
// event is an action or refused as one.
func FuzzDecode(f *testing.F) {
	for _, g := range golden[goldenFrame](f, "testdata/frames.json") {
		f.Add([]byte(g.Text))
	}
	for _, g := range golden[goldenAction](f, "testdata/actions.json") {
		f.Add(append([]byte("421"), g.Event...))
	}
	known := map[error]bool{}
	for _, err := range refusals() {
		known[err] = true
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, err := packet.Decode(frame)
		if err != nil {
			if !known[err] {
				t.Fatalf("an error of no name: %v", err)
			}
			return
		}
		if p.Data != nil && !json.Valid(p.Data) || p.Engine == packet.Message && !strings.HasPrefix(p.Namespace, "/") {
			t.Fatalf("decoded out of bounds: %+v", p)
		}
		again, err := packet.Decode(packet.Encode(p))
		if err != nil || !reflect.DeepEqual(again, p) {
			if len(frame) >= protocol.MaxClientFrame && errors.Is(err, packet.ErrTooLarge) {
				return // a comma that was missing
			}
			t.Fatalf("decoded again: %+v, %v\nwant %+v", again, err, p)
		}
		if p.Type != packet.Event {
			return
		}
		args := p.Args()
		if len(args) == 0 || !bytes.Equal(args[0], bytes.TrimSpace(args[0])) {
			t.Fatalf("the arguments are %q", args)
		}
		if a, err := packet.Action(p); err != nil {
			if _, ok := errors.AsType[*protocol.Error](err); !ok {
				t.Fatalf("an error without a code: %v", err)
			}
		} else if a.Op < protocol.OpJoin || a.Data != nil && !json.Valid(a.Data) {
			t.Fatalf("an action out of bounds: %+v", a)
		}
	})
}

// FuzzEncodeEvent holds that whatever an event is called and from wherever it comes, its frame is one that clients take,
// with the same words in it.
func FuzzEncodeEvent(f *testing.F) {
	f.Add("/", "message:new", "channel:42", "o9", []byte(`{"content":"hi"}`))
	f.Add("/a", "\u2028\"\\\x00", "<b>", "", []byte(nil))
	f.Fuzz(func(t *testing.T, namespace, name, room, offset string, data []byte) {
		namespace = "/" + strings.Trim(strings.ToValidUTF8(strings.ReplaceAll(namespace, ",", ""), ""), "/")
		name, offset = strings.ToValidUTF8(name, ""), strings.ToValidUTF8(offset, "")
		frame, err := packet.EncodeEvent(namespace, protocol.Event{Event: name, Room: room, Data: data}, packet.Recovery{Offset: offset})
		if err != nil {
			if !packet.Reserved(name) && (data == nil || json.Valid(data)) {
				t.Fatal(err)
			}
			return
		}
		p, err := packet.Decode(frame)
		if errors.Is(err, packet.ErrTooLarge) || errors.Is(err, packet.ErrUTF8) { // the data's
			return
		}
		if err != nil || p.Namespace != namespace || p.ID != nil {
			t.Fatalf("%s: %+v, %v", frame, p, err)
		}
		args := p.Args()
		want := 3
		if offset != "" {
			want = 4
		}
		var gotName, gotOffset string
		if len(args) != want || json.Unmarshal(args[0], &gotName) != nil || gotName != name {
			t.Fatalf("%s: %q", frame, args)
		}
		if want == 4 && (json.Unmarshal(args[3], &gotOffset) != nil || gotOffset != offset) {
			t.Fatalf("%s: offset %q", frame, gotOffset)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for name, frame := range map[string]string{
		"pong":  `3`,
		"event": `42["message:send",{"channelId":"42","content":"Good morning, everybody","id":"01JD0000000000000000000000"}]`,
		"ack":   `42/chat,17["message:send",{"channelId":"42","content":"Good morning, everybody","id":"01JD0000000000000000000000"}]`,
	} {
		b.Run(name, func(b *testing.B) {
			frame := []byte(frame)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := packet.Decode(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAction(b *testing.B) {
	p := decodeEvent(b, "42", []byte(`["message:send",{"channelId":"42","content":"Good morning, everybody","id":"01JD0000000000000000000000"}]`))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := packet.Action(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	args := []json.RawMessage{json.RawMessage(`{"content":"Good morning, everybody"}`), json.RawMessage(`{"room":"channel:42","seq":58}`)}
	frame := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		frame = packet.AppendEvent(frame[:0], "/", nil, "message:new", args...)
	}
}

func BenchmarkEncodeEvent(b *testing.B) {
	e := message()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := packet.EncodeEvent("/", e, packet.Recovery{Epoch: "k3", Offset: "o9"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeReply(b *testing.B) {
	r := protocol.Reply{Data: protocol.PublishResult{Room: "channel:42", Epoch: "k3", Seq: 58, ID: "01J", TS: 1732341000123}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := packet.EncodeReply("/", 17, r); err != nil {
			b.Fatal(err)
		}
	}
}
