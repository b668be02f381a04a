package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// action is protocol.Action as the golden frames write it.
type action struct {
	Op     string             `json:"op"`
	Name   string             `json:"name"`
	ID     string             `json:"id"`
	Room   string             `json:"room"`
	Event  string             `json:"event"`
	Data   json.RawMessage    `json:"data"`
	Since  *protocol.Position `json:"since"`
	Status string             `json:"status"`
	Before int64              `json:"before"`
	Limit  int                `json:"limit"`
	Token  string             `json:"token"`
	Target string             `json:"target"`
}

type clientFrame struct {
	Name   string          `json:"name"`
	Frame  json.RawMessage `json:"frame"`
	Text   *string         `json:"text"`
	Action *action         `json:"action"`
	Error  protocol.Code   `json:"error"`
	ID     string          `json:"id"`
}

func (f clientFrame) bytes() []byte {
	if f.Text != nil {
		return []byte(*f.Text)
	}
	return f.Frame
}

func ops() map[string]protocol.Op {
	return map[string]protocol.Op{
		"join": protocol.OpJoin, "leave": protocol.OpLeave, "publish": protocol.OpPublish, "signal": protocol.OpSignal,
		"presence": protocol.OpPresence, "history": protocol.OpHistory, "auth": protocol.OpAuth, "ping": protocol.OpPing,
		"delete": protocol.OpDelete, "read": protocol.OpRead,
		"other": protocol.OpOther,
	}
}

func golden[T any](tb testing.TB, file string) []T {
	tb.Helper()
	text, err := os.ReadFile("testdata/" + file)
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

func TestDecode(t *testing.T) {
	seen := map[protocol.Op]bool{}
	for _, f := range golden[clientFrame](t, "client.json") {
		t.Run(f.Name, func(t *testing.T) {
			got, err := protocol.JSON{}.Decode(f.bytes())
			if f.Error != "" {
				e, ok := errors.AsType[*protocol.Error](err)
				if !ok || e.Code != f.Error || e.Message == "" {
					t.Fatalf("got error %v, want %s with a message", err, f.Error)
				}
				if got.ID != f.ID {
					t.Fatalf("got id %q, want %q", got.ID, f.ID)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w := f.Action
			want := protocol.Action{
				Op: ops()[w.Op], Name: w.Name, ID: w.ID, Room: w.Room, Event: w.Event, Data: w.Data, Since: w.Since, Status: w.Status,
				Before: w.Before, Limit: w.Limit, Token: w.Token, Target: w.Target,
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			seen[got.Op] = true
		})
	}
	for name, op := range ops() {
		if !seen[op] {
			t.Errorf("no golden frame decodes to %s", name)
		}
	}
}

func TestDecodeRefusesWhatIsTooMuch(t *testing.T) {
	frame := func(room, event, id string) []byte {
		b, err := json.Marshal(map[string]string{"action": "publish", "id": id, "room": room, "event": event})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	long := strings.Repeat("x", 200)
	for name, c := range map[string]struct {
		frame []byte
		want  protocol.Code
	}{
		"a frame over 32 KB":    {append(frame("channel:42", "e", "1"), bytes.Repeat([]byte(" "), protocol.MaxClientFrame)...), protocol.CodeTooLarge},
		"a long room":           {frame("channel:"+long, "e", "1"), protocol.CodeBadRequest},
		"a long event":          {frame("channel:42", long, "1"), protocol.CodeBadRequest},
		"a long id":             {frame("channel:42", "e", long), protocol.CodeBadRequest},
		"invalid UTF-8":         {[]byte("{\"action\":\"ping\",\"id\":\"\xff\"}"), protocol.CodeBadRequest},
		"30,000 levels of JSON": {[]byte(`{"action":"publish","room":"channel:42","event":"e","data":` + strings.Repeat("[", 15_000) + strings.Repeat("]", 15_000) + `}`), protocol.CodeBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := protocol.JSON{}.Decode(c.frame)
			if !errors.Is(err, protocol.Refuse(c.want)) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// serverFrames builds every golden server frame out of values.
func serverFrames(tb testing.TB) map[string][]byte {
	tb.Helper()
	const ts = 1732341000123
	ana := &protocol.From{UserID: "ana", Name: "Ana"}
	data := func(s string) json.RawMessage { return json.RawMessage(s) }
	occupant := func(status, data string, version int) json.RawMessage {
		o := protocol.Occupant{UserID: "ana", Name: "Ana", Status: status, Since: ts, Version: version}
		if data != "" {
			o.Data = json.RawMessage(data)
		}
		b, err := json.Marshal(o)
		if err != nil {
			tb.Fatal(err)
		}
		return b
	}
	first := protocol.Event{Event: "message:new", Room: "channel:42", Seq: 57, ID: "01J", TS: ts, From: ana, Data: data(`{"content":"hi"}`)}
	none := []protocol.Event{}
	replies := map[string]protocol.Reply{
		"joined":                    {ID: "r1", Data: protocol.JoinResult{Room: "channel:42", Epoch: "k3", Seq: 57, Recovered: true, Events: []protocol.Event{first}}},
		"joined with presence":      {ID: "r1", Data: protocol.JoinResult{Room: "community:7", Epoch: "k3", Seq: 3, Events: none, Presence: []protocol.Occupant{{UserID: "ana", Name: "Ana", Status: "online", Since: ts, Version: 1}}}},
		"joined, and there is more": {ID: "r1", Data: protocol.JoinResult{Room: "channel:42", Epoch: "k3", Seq: 57, Recovered: true, More: true, Events: none}},
		"left":                      {ID: "r2", Data: protocol.RoomResult{Room: "channel:42"}},
		"published":                 {ID: "01J", Data: protocol.PublishResult{Room: "channel:42", Epoch: "k3", Seq: 58, ID: "01J", TS: ts}},
		"status set":                {ID: "r5", Data: protocol.PresenceResult{Rooms: []string{"community:7"}, Status: "away"}},
		"history":                   {ID: "r3", Data: protocol.HistoryResult{Room: "channel:42", Epoch: "k3", Seq: 58, Events: none}},
		"renewed":                   {ID: "r7", Data: protocol.AuthResult{UserID: "ana", Expires: 1732344600000}},
		"refused":                   {ID: "r1", Err: protocol.Refuse(protocol.CodeForbidden)},
		"refused without an id":     {Err: protocol.Refuse(protocol.CodeBadRequest)},
		"too fast":                  {ID: "r1", Err: &protocol.Error{Code: protocol.CodeRateLimited, Message: protocol.CodeRateLimited.Sentence(), RetryAfter: 400 * time.Millisecond}},
	}
	events := []protocol.Event{
		{Event: "message:new", Room: "channel:42", Seq: 58, ID: "01J", TS: ts, From: ana, Data: data(`{"content":"hi <b>"}`)},
		{Event: "message:deleted", Room: "channel:42", Seq: 59, ID: "deleted:01J", TS: ts, From: ana, Data: data(`{"messageId":"01J"}`)},
		{Event: "user:typing", Room: "channel:42", From: ana, Data: data(`{"until":1732341004000}`)},
		{Event: "user:stopped-typing", Room: "channel:42", From: ana},
		{Event: "user:online", Room: "community:7", Seq: 1, ID: "online:ana:1732341000123", TS: ts, From: ana, Data: occupant("online", "", 1)},
		{Event: "user:offline", Room: "community:7", Seq: 2, ID: "offline:ana:1732341000123", TS: ts + 10_000, From: ana, Data: data(`{"userId":"ana","name":"Ana"}`)},
		{Event: "presence:changed", Room: "community:7", Seq: 3, ID: "changed:ana:1732341000123:2", TS: ts + 10_000, From: ana, Data: occupant("away", `{"mood":"calm"}`, 2)},
		{Event: "notification:new", Room: "user:ana", Seq: 4, ID: "n1", TS: ts, Data: data(`{"title":"Hello"}`)},
		{Event: "notification:read", Room: "user:ana", Seq: 5, ID: "read:n1", TS: ts, From: ana, Data: data(`{"notificationId":"n1"}`)},
		{Event: "buddy:goal-completed", Room: "user:ana", Seq: 6, ID: "g1", TS: ts, Data: data(`{"goal":"run"}`)},
		{Event: "buddy:check-in", Room: "user:ana", Seq: 7, ID: "c1", TS: ts, Data: data(`{"note":"day 3"}`)},
		{Event: "room:closed", Room: "channel:42", Data: data(`{"reason":"archived"}`)},
		{Event: "session:ending", TS: ts, Data: data(`{"reason":"expired"}`)},
	}
	frames := map[string][]byte{}
	for name, r := range replies {
		b, err := protocol.JSON{}.EncodeReply(r)
		if err != nil {
			tb.Fatal(err)
		}
		frames[name] = b
	}
	for _, e := range events {
		b, err := protocol.JSON{}.EncodeEvent(e)
		if err != nil {
			tb.Fatal(err)
		}
		frames[e.Event] = b
	}
	return frames
}

func TestEncode(t *testing.T) {
	built := serverFrames(t)
	for _, g := range golden[struct {
		Name  string          `json:"name"`
		Frame json.RawMessage `json:"frame"`
	}](t, "server.json") {
		t.Run(g.Name, func(t *testing.T) {
			if got, want := string(built[g.Name]), string(g.Frame); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
		delete(built, g.Name)
	}
	for name := range built {
		t.Errorf("%q has no golden frame", name)
	}
}

func TestEverySystemEventHasAGoldenFrame(t *testing.T) {
	built := serverFrames(t)
	for _, name := range protocol.SystemEvents() {
		if built[name] == nil {
			t.Errorf("%s has none", name)
		}
	}
}

func TestCodes(t *testing.T) {
	unknown := protocol.Code("nonsense").Sentence()
	for _, c := range protocol.Codes() {
		if c.Sentence() == unknown || !strings.HasSuffix(c.Sentence(), ".") {
			t.Errorf("%s has no sentence", c)
		}
	}
	retry := slices.DeleteFunc(protocol.Codes(), func(c protocol.Code) bool { return !c.Retry() })
	if want := []protocol.Code{protocol.CodeRateLimited, protocol.CodeUnavailable, protocol.CodeInternal}; !slices.Equal(retry, want) {
		t.Errorf("got retry for %v, want %v", retry, want)
	}
	if got := protocol.Public(errors.New("dynamodb said: secret")); got.Code != protocol.CodeInternal || strings.Contains(got.Message, "secret") {
		t.Errorf("an internal error shows itself: %v", got)
	}
}

func TestReserved(t *testing.T) {
	for event, want := range map[string]bool{
		"user:typing": true, "presence:changed": true, "notification:new": true, "buddy:check-in": true, "room:closed": true,
		"session:ending": true, "user:anything": true, "message:new": false, "poll:opened": false, "user": false, "username:x": false,
	} {
		if got := protocol.Reserved(event); got != want {
			t.Errorf("Reserved(%q) = %v", event, got)
		}
	}
}

func TestEncodeBatch(t *testing.T) {
	frame := func(n int) []byte { return []byte(`"` + strings.Repeat("x", n-2) + `"`) }
	for name, c := range map[string]struct{ sizes, want []int }{ // want: frames in each
		"one frame stays as it is":    {[]int{100}, []int{1}},
		"two go together":             {[]int{100, 200}, []int{2}},
		"just 32 KB":                  {[]int{16 << 10, 16<<10 - 13}, []int{2}},
		"one byte more":               {[]int{16 << 10, 16<<10 - 12}, []int{1, 1}},
		"a large one alone, in order": {[]int{10, 40 << 10, 10, 10}, []int{1, 1, 2}},
		"as few as possible":          {[]int{10 << 10, 10 << 10, 10 << 10, 10 << 10}, []int{3, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var in [][]byte
			for _, n := range c.sizes {
				in = append(in, frame(n))
			}
			var got []int
			var all []string
			for _, out := range (protocol.JSON{}).EncodeBatch(in) {
				var b struct{ Batch []json.RawMessage }
				if json.Unmarshal(out, &b) != nil {
					b.Batch = []json.RawMessage{out}
				} else if len(out) > protocol.MaxBatch {
					t.Errorf("a batch has %d bytes", len(out))
				}
				got = append(got, len(b.Batch))
				for _, f := range b.Batch {
					all = append(all, string(f))
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			for i := range in {
				if all[i] != string(in[i]) {
					t.Errorf("frame %d is not what it was", i)
				}
			}
		})
	}
}

// FuzzDecode holds that nothing a client sends does more than be decoded or refused, and that what was decoded is in
// bounds.
func FuzzDecode(f *testing.F) {
	for _, g := range golden[clientFrame](f, "client.json") {
		f.Add(g.bytes())
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		a, err := protocol.JSON{}.Decode(frame)
		if err != nil {
			if _, ok := errors.AsType[*protocol.Error](err); !ok {
				t.Fatalf("an error without a code: %v", err)
			}
			if _, err := (protocol.JSON{}).EncodeReply(protocol.Reply{ID: a.ID, Err: protocol.Public(err)}); err != nil {
				t.Fatal(err)
			}
			return
		}
		if a.Op < protocol.OpJoin || a.Op > protocol.OpOther || a.Room != "" && protocol.CheckRoom(a.Room) != nil {
			t.Fatalf("decoded out of bounds: %+v", a)
		}
		if a.Data != nil && !json.Valid(a.Data) {
			t.Fatalf("data is not JSON: %q", a.Data)
		}
		if protocol.CheckID(a.ID) != nil || a.Before < 0 || a.Limit < 0 || a.Since != nil && a.Since.Seq < 0 {
			t.Fatalf("decoded out of bounds: %+v", a)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	frame := []byte(`{"action":"publish","id":"01JD0000000000000000000000","room":"channel:42","event":"message:new","data":{"content":"Good morning, everybody"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (protocol.JSON{}).Decode(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeEvent(b *testing.B) {
	e := protocol.Event{
		Event: "message:new", Room: "channel:42", Seq: 58, ID: "01JD0000000000000000000000", TS: 1732341000123,
		From: &protocol.From{UserID: "ana", Name: "Ana"}, Data: json.RawMessage(`{"content":"Good morning, everybody"}`),
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (protocol.JSON{}).EncodeEvent(e); err != nil {
			b.Fatal(err)
		}
	}
}
