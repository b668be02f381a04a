package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
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
	Listed bool               `json:"listed"`
	Rooms  []protocol.Joining `json:"rooms"`
	Status string             `json:"status"`
	After  string             `json:"after"`
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
		"delete": protocol.OpDelete, "read": protocol.OpRead, "pause": protocol.OpPause, "present": protocol.OpPresent,
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
				Op: ops()[w.Op], Name: w.Name, ID: w.ID, Room: w.Room, Event: w.Event, Data: w.Data, Since: w.Since, Listed: w.Listed, Rooms: w.Rooms, Status: w.Status, After: w.After,
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

// replies builds every golden reply out of values.
func replies(tb testing.TB) map[string][]byte {
	tb.Helper()
	const ts = 1732341000123
	first := protocol.Event{
		Event: "message:new", Room: "channel:42", Seq: 57, ID: "01J", TS: ts,
		From: &protocol.From{UserID: "ana", Name: "Ana"}, Data: json.RawMessage(`{"content":"hi"}`),
	}
	none := []protocol.Event{}
	frames := map[string][]byte{}
	for name, r := range map[string]protocol.Reply{
		"joined":                         {ID: "r1", Data: protocol.JoinResult{Room: "channel:42", Epoch: "k3", Seq: 57, Recovered: true, Events: []protocol.Event{first}}},
		"joined with presence":           {ID: "r1", Data: protocol.JoinResult{Room: "community:7", Epoch: "k3", Seq: 3, Events: none, Presence: []protocol.Occupant{{UserID: "ana", Name: "Ana", Status: "online", Since: ts, Version: 1}}}},
		"joined, and others are present": {ID: "r1", Data: protocol.JoinResult{Room: "community:7", Epoch: "k3", Seq: 3, Events: none, Presence: []protocol.Occupant{{UserID: "ana", Status: "online", Since: ts}}, PresenceMore: true}},
		"who is present":                 {ID: "r6", Data: protocol.PresentResult{Room: "community:7", Presence: []protocol.Occupant{{UserID: "cleo", Status: "online", Since: ts}}, More: true}},
		"joined, and there is more":      {ID: "r1", Data: protocol.JoinResult{Room: "channel:42", Epoch: "k3", Seq: 57, Recovered: true, More: true, Events: none}},
		"left":                           {ID: "r2", Data: protocol.RoomResult{Room: "channel:42"}},
		"published":                      {ID: "01J", Data: protocol.PublishResult{Room: "channel:42", Epoch: "k3", Seq: 58, ID: "01J", TS: ts}},
		"status set":                     {ID: "r5", Data: protocol.PresenceResult{Rooms: []string{"community:7"}, Status: "away"}},
		"history":                        {ID: "r3", Data: protocol.HistoryResult{Room: "channel:42", Epoch: "k3", Seq: 58, Events: none}},
		"renewed":                        {ID: "r7", Data: protocol.AuthResult{UserID: "ana", Expires: 1732344600000}},

		"renewed, by a version that says which": {ID: "r7", Data: protocol.AuthResult{UserID: "ana", Expires: 1732344600000, Version: "v0.1.0"}},
		"refused":                               {ID: "r1", Err: protocol.Refuse(protocol.CodeForbidden)},
		"refused without an id":                 {Err: protocol.Refuse(protocol.CodeBadRequest)},
		"too fast":                              {ID: "r1", Err: &protocol.Error{Code: protocol.CodeRateLimited, Message: protocol.CodeRateLimited.Sentence(), RetryAfter: 400 * time.Millisecond}},
	} {
		b, err := protocol.JSON{}.EncodeReply(r)
		if err != nil {
			tb.Fatal(err)
		}
		frames[name] = b
	}
	return frames
}

// TestEncode: golden server frames are the replies that are built here, and the examples of the table of events.
func TestEncode(t *testing.T) {
	built := replies(t)
	for _, row := range protocol.Events() {
		if row.Sort == protocol.Answer {
			continue
		}
		var e protocol.Event
		if err := json.Unmarshal([]byte(row.Example), &e); err != nil {
			t.Errorf("%s: its example is no frame: %v", row.Name, err)
			continue
		}
		got, err := protocol.JSON{}.EncodeEvent(e)
		if err != nil || string(got) != row.Example {
			t.Errorf("%s: its example is encoded as\n%s, %v; it says\n%s", row.Name, got, err, row.Example)
		}
		built[row.Name] = got
		if row.Name != protocol.UserOnline && row.Name != protocol.PresenceChanged {
			continue
		}
		var o protocol.Occupant
		if err := json.Unmarshal(e.Data, &o); err != nil {
			t.Fatal(err)
		}
		if data, err := json.Marshal(o); err != nil || string(data) != string(e.Data) {
			t.Errorf("%s: as an Occupant its data is %s, %v", row.Name, data, err)
		}
	}
	for _, g := range golden[struct {
		Name  string          `json:"name"`
		Frame json.RawMessage `json:"frame"`
	}](t, "server.json") {
		if got, want := string(built[g.Name]), string(g.Frame); got != want {
			t.Errorf("%s: got\n%s, the golden frame is\n%s", g.Name, got, want)
		}
		delete(built, g.Name)
	}
	for name := range built {
		t.Errorf("%s has no golden frame: make docs writes those of events", name)
	}
}

// TestEvents: each row of the table says all that it has to, and nothing that contradicts itself.
func TestEvents(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range protocol.Events() {
		if seen[row.Name] {
			t.Errorf("%s has two rows", row.Name)
		}
		seen[row.Name] = true
		if err := protocol.CheckEvent(row.Name); err != nil {
			t.Errorf("%s: %v", row.Name, err)
		}
		if row.Says == "" || strings.HasSuffix(row.Says, ".") || row.By == 0 || row.Sort == 0 {
			t.Errorf("%s: something of its row is missing, or its sentence has a full stop: %+v", row.Name, row)
		}
		if row.SocketIO {
			continue
		}
		var e protocol.Event
		if err := json.Unmarshal([]byte(row.Example), &e); err != nil || e.Event != row.Name {
			t.Errorf("%s: its example is %s", row.Name, row.Example)
		}
		if logged := e.Seq > 0 && e.ID != "" && e.TS > 0 && e.Room != ""; logged != (row.Sort == protocol.Logged) {
			t.Errorf("%s: it is logged, and its example is not, or the other way round", row.Name)
		}
		if (e.Data != nil) != (row.Data != "") {
			t.Errorf("%s: its example or its schema has data, and not both", row.Name)
		}
	}
}

// TestActions: each row of the table is an action of the codec's, which needs what the row says it needs.
func TestActions(t *testing.T) {
	examples, named := map[string]string{}, map[string]bool{}
	for _, f := range golden[clientFrame](t, "client.json") {
		var named struct{ Action string }
		if f.Action != nil && json.Unmarshal(f.Frame, &named) == nil && f.Action.Op != "other" {
			examples[string(f.Frame)] = named.Action
		}
	}
	decode := func(fields map[string]json.RawMessage) (protocol.Action, error) {
		frame, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return protocol.JSON{}.Decode(frame)
	}
	for _, row := range protocol.Actions() {
		if named[row.Name] {
			t.Errorf("%s has two rows", row.Name)
		}
		named[row.Name] = true
		if row.Says == "" || strings.HasSuffix(row.Says, ".") {
			t.Errorf("%s: it does not say what it does, or says it with a full stop", row.Name)
		}
		if examples[row.Example] != row.Name {
			t.Errorf("%s: its example %s is no golden frame of client.json", row.Name, row.Example)
		}
		var frame map[string]json.RawMessage
		var fields struct{ Required []string }
		if err := errors.Join(json.Unmarshal([]byte(row.Example), &frame), json.Unmarshal([]byte(row.Fields), &fields)); err != nil {
			t.Errorf("%s: %v", row.Name, err)
			continue
		}
		if got, err := decode(frame); err != nil || got.Op != row.Op {
			t.Errorf("%s: its example is decoded as %+v, %v", row.Name, got, err)
		}
		for _, field := range fields.Required {
			lacking := maps.Clone(frame)
			delete(lacking, field)
			if _, err := decode(lacking); !errors.Is(err, protocol.Refuse(protocol.CodeBadRequest)) {
				t.Errorf("%s: without its required field %s: got %v", row.Name, field, err)
			}
		}
	}
	for frame, name := range examples {
		if !named[name] {
			t.Errorf("%s has no row: %s", name, frame)
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
		"user:anything": true, "presence:x": true, "notification:x": true, "buddy:x": true, "room:x": true, "session:x": true,
		"poll:opened": false, "user": false, "username:x": false, "typing:start": false, "": false,
	} {
		if got := protocol.Reserved(event); got != want {
			t.Errorf("Reserved(%q) = %v", event, got)
		}
	}
	for _, row := range protocol.Events() {
		if got, want := protocol.Reserved(row.Name), row.Name != protocol.MessageNew && row.Name != protocol.MessageDeleted; got != want {
			t.Errorf("Reserved(%q) = %v", row.Name, got)
		}
	}
}

func TestCheckNewID(t *testing.T) {
	for id, want := range map[string]bool{
		"abcdefghij:7": false, "a2c4e6g3i7:70": false, protocol.GeneratedID("abcdefghij", 7): false,
		"": true, "abcdefghij": true, "abcdefghij:": true, "abcdefghij:7:8": true, "abcdefghij:7x8": true, "abcdefgh!j:7": true,
		"abcdefghi:7": true, "abcdefghijk:7": true, "abcdefghi1:7": true, "Abcdefghij:7": true,
	} {
		if err := protocol.CheckNewID(id); (err == nil) != want {
			t.Errorf("%q: got %v", id, err)
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
		if a.Op < protocol.OpJoin || a.Op > protocol.OpPresent || a.Room != "" && protocol.CheckRoom(a.Room) != nil {
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

// TestDecodeEvents reads back what is written for one member of a room.
func TestDecodeEvents(t *testing.T) {
	list := []protocol.Event{
		{Event: protocol.MessageNew, Room: "channel:1", Seq: 58, ID: "01J", TS: 5, From: &protocol.From{UserID: "ana"}, Data: json.RawMessage(`{"id":"no","room":"x:1"}`)},
		{Event: protocol.UserTyping, Room: "channel:1", From: &protocol.From{UserID: "bob"}},
	}
	frames := make([][]byte, len(list))
	for i, e := range list {
		frame, err := protocol.JSON{}.EncodeEvent(e)
		if err != nil {
			t.Fatal(err)
		}
		frames[i] = frame
		if got, err := (protocol.JSON{}).DecodeEvents(frame); err != nil || !reflect.DeepEqual(got, list[i:i+1]) {
			t.Errorf("%s: got %+v, %v", frame, got, err)
		}
	}
	if got, err := (protocol.JSON{}).DecodeEvents(protocol.JSON{}.EncodeBatch(frames)[0]); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("a batch: got %+v, %v", got, err)
	}
	if got, err := (protocol.JSON{}).DecodeEvents([]byte(`{"reply":"r1","ok":true}`)); err != nil || len(got) != 0 {
		t.Errorf("a reply: got %+v, %v", got, err)
	}
	for _, frame := range []string{`42["e",1,{}]`, `{"batch":[`, `{"batch":[1]}`, `[]`} {
		if got, err := (protocol.JSON{}).DecodeEvents([]byte(frame)); err == nil {
			t.Errorf("%s: got %+v", frame, got)
		}
	}
}

// TestJoinersInNames: Persian and Indic words, and many emoji, have characters that join or part others and are not seen themselves.
func TestJoinersInNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"می\u200cخواهم": true, "क्\u200dष": true, "👩\u200d💻": true, "family-👨\u200d👩\u200d👧": true,
		"\u200dana": false, "ana\u200d": false, "a\u200c\u200cb": false, "ana\u200b": false, "a\u202eb": false, "a\ufeffb": false, "ana\u200dbob": false, "ana\u200c1": false,
	} {
		if got := protocol.CheckUser(name) == nil && protocol.CheckRoom("channel:"+name) == nil; got != ok {
			t.Errorf("%+q is allowed: %t, want %t", name, got, ok)
		}
	}
}
