package upgrade_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.etcd.io/bbolt"

	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
	"github.com/bellhop-rt/bellhop/internal/token"
)

var writing = flag.String("write", "", "commits, comma separated, whose fixtures are made")

// newest is the last of the commits, and the first that speaks Socket.IO.
const newest = "556b6f9"

// crowd is how many members make a room grow.
const crowd = 5_050

// story is what a version says about what it has stored.
type story struct {
	Commit    string            `json:"commit"`
	At        int64             `json:"at"`      // Unix milliseconds, when it ended: fixtures are read as of then
	Histories map[string]object `json:"history"` // by room: the data of the replies to history
	Presence  object            `json:"presence"`
	Members   map[string]object `json:"members"` // by room, while they are there
	Waiting   []string          `json:"waiting"` // whose absence is a job
	Sockets   []session         `json:"sockets,omitempty"`
}

// session is what a client of Socket.IO needs to be recovered.
type session struct {
	Namespace string `json:"namespace"`
	User      string `json:"user"`
	SID       string `json:"sid"`
	PID       string `json:"pid"`
	Offset    string `json:"offset"` // of the last event that it has seen
}

// parameters of the servers whose state is kept.
func parameters(commit string) []string {
	list := []string{"--parameter", "PresenceGrace=4s", "--parameter", "EventBusName=facts"}
	if commit == newest {
		list = append(list, "--parameter", "SocketNamespaces=/chat")
	}
	return list
}

func TestWrite(t *testing.T) {
	if *writing == "" {
		t.Skip("fixtures are made by -write COMMIT")
	}
	commits := strings.Split(*writing, ",")
	t.Run("files", func(t *testing.T) {
		for _, commit := range commits {
			t.Run(commit, func(t *testing.T) {
				t.Parallel()
				writeFiles(t, commit)
			})
		}
	})
	for _, commit := range commits {
		t.Run("items of "+commit, func(t *testing.T) { writeItems(t, commit) })
		if commit == newest {
			t.Run("jobs of "+commit, func(t *testing.T) { writeJobs(t, commit) })
			t.Run("commands of "+commit, func(t *testing.T) { writeCommands(t, commit) })
			t.Run("template of "+commit, func(t *testing.T) {
				writeJSON(t, fixtures(commit, "template.json"), readTemplate(t, filepath.Join(sources(t, commit), "template.yaml")))
			})
			t.Run("API of "+commit, func(t *testing.T) { writeAPI(t, commit) })
		}
	}
}

// fixtures is where those of a commit are.
func fixtures(commit, name string) string { return filepath.Join("testdata", commit, name) }

func writeFiles(t *testing.T, commit string) {
	if err := os.MkdirAll(fixtures(commit, ""), 0o750); err != nil {
		t.Fatal(err)
	}
	from := sources(t, commit)
	binary := program(t, from)
	for how, end := range map[string]func(*server){"stopped": (*server).stop, "killed": (*server).kill} {
		data := filepath.Join(t.TempDir(), "data")
		s := dev(t, binary, from, append(parameters(commit), "--data", data)...)
		s.grow("channel:large")
		s.forget()
		st := s.tell(commit)
		waitFor(2500 * time.Millisecond) // everything is flushed once a second
		st.At = time.Now().UnixMilli()
		end(s)
		for _, name := range []string{"bellhop", "queues"} {
			pack(t, filepath.Join(data, name+".db"), fixtures(commit, how+"."+name+".db.gz"))
		}
		writeJSON(t, fixtures(commit, how+".story.json"), st)
	}
}

func waitFor(d time.Duration) { <-time.After(d) }

// tell has clients and programs do one of everything, and leaves them connected.
func (s *server) tell(commit string) story {
	s.tb.Helper()
	st := story{Commit: commit, Histories: map[string]object{}, Members: map[string]object{}}
	ana, bob := s.connect("ana"), s.connect("bob")
	for _, c := range []*tab{ana, bob} {
		c.ask(object{"action": "join", "room": "community:1"})
		c.ask(object{"action": "join", "room": "channel:1"})
		c.ask(object{"action": "join", "room": "channel:large"})
	}
	ana.ask(object{"action": "publish", "id": "ana-1", "room": "channel:1", "event": "message:new", "data": object{"content": "<b>hi</b> & \u2028 привет"}})
	ana.write(`{"action":"publish","room":"channel:1","event":"message:new","data":{"content":"no id"}}`)
	bob.event("message:new", func(e object) bool { return e["id"] != "ana-1" && e["room"] == "channel:1" })
	bob.ask(object{"action": "publish", "id": "bob-1", "room": "channel:1", "event": "poll:vote", "data": []any{1, "two", nil}})
	bob.ask(object{"action": "message:send", "id": "bob-2", "channelId": "1", "content": "soon deleted"})
	bob.ask(object{"action": "message:delete", "channelId": "1", "messageId": "bob-2"})
	s.emit(object{"command": "publish", "rooms": []string{"channel:1", "channel:large"}, "event": "order:shipped", "id": "program-1", "data": object{"order": 1234}})
	s.emit(object{"command": "publish", "rooms": []string{"channel:1"}, "event": "message:new", "data": object{"content": "from a program"}, "from": object{"userId": "robot", "name": "Robot"}})
	s.emit(object{"command": "publish", "users": []string{"ana"}, "event": "notification:new", "id": "n1", "data": object{"title": "Hello"}})
	ana.ask(object{"action": "notification:read", "notificationId": "n1"})
	ana.ask(object{"action": "presence", "room": "community:1", "status": "away", "data": object{"mood": "calm"}})
	dave := s.connect("dave")
	dave.ask(object{"action": "join", "room": "community:1"})
	dave.close()
	ana.event("user:offline", ofUser("dave"))
	if commit == newest {
		st.Sockets = s.tellSockets()
	}
	cleo := s.connect("cleo")
	cleo.ask(object{"action": "join", "room": "community:1"})
	ana.event("user:online", ofUser("cleo"))
	for room, by := range map[string]*tab{"channel:1": ana, "community:1": ana, "user:ana": ana, "channel:large": bob} {
		st.Histories[room] = by.ask(object{"action": "history", "room": room, "limit": 100})
	}
	st.Presence = s.emit(object{"command": "presence", "room": "community:1"})
	for _, room := range []string{"channel:1", "user:ana", "channel:large"} {
		st.Members[room] = s.emit(object{"command": "members", "room": room})
	}
	cleo.close()
	st.Waiting = []string{"cleo"}
	return st
}

// grow has so many connections in a room that it gets a second shard.
func (s *server) grow(room string) {
	s.tb.Helper()
	crowded := make([]*tab, crowd)
	var wg sync.WaitGroup
	each := func(do func(i int)) {
		next := make(chan int)
		for range 16 {
			wg.Go(func() {
				for i := range next {
					do(i)
				}
			})
		}
		for i := range crowded {
			next <- i
		}
		close(next)
		wg.Wait()
	}
	each(func(i int) {
		crowded[i] = s.connect("crowd")
		crowded[i].ask(object{"action": "join", "room": room})
	})
	s.emit(object{"command": "publish", "rooms": []string{room}, "event": "message:new", "id": "all-1", "data": object{"content": "hi all"}})
	each(func(i int) { crowded[i].event("message:new", func(object) bool { return true }) })
	each(func(i int) { crowded[i].close() })
}

// forget has the rows of the crowd deleted.
func (s *server) forget() {
	s.tb.Helper()
	waitFor(2*time.Minute + time.Second) // only then rows of connections that are gone may be forgotten
	for left := crowd; left > 0; {
		var swept struct{ Connections int }
		if err := json.Unmarshal(s.invoke("sweep", []byte("{}")), &swept); err != nil {
			s.tb.Fatal(err)
		}
		left = swept.Connections
	}
}

// tellSockets has a client of Socket.IO in two namespaces, and one that was cut off.
func (s *server) tellSockets() (all []session) {
	s.tb.Helper()
	for _, user := range []string{"sia", "sol"} {
		c := dial(s.tb, s.ws+"?EIO=4&transport=websocket")
		c.begins("0{")
		for namespace, prefix := range map[string]string{"/": "", "/chat": "/chat,"} {
			c.write("40" + prefix + `{"token":"` + sign(s.tb, user) + `"}`)
			welcome := c.begins("40" + prefix + "{")
			one := session{Namespace: namespace, User: user}
			if err := json.Unmarshal([]byte(strings.TrimPrefix(welcome, "40"+prefix)), &one); err != nil {
				s.tb.Fatal(err)
			}
			c.write("42" + prefix + `0["join",{"room":"channel:2"}]`)
			c.begins("43" + prefix + `0[{"ok":true`)
			c.write("42" + prefix + `1["message:send",{"channelId":"2","content":"hi","id":"` + user + namespace[1:] + `"}]`)
			c.begins("43" + prefix + `1[{"ok":true`)
			mine := c.read("its own message", func(f string) bool {
				return strings.HasPrefix(f, "42"+prefix+`["message:new"`) && strings.Contains(f, `"id":"`+user+namespace[1:]+`"`)
			})
			var event []any
			if err := json.Unmarshal([]byte(strings.TrimPrefix(mine, "42"+prefix)), &event); err != nil {
				s.tb.Fatal(err)
			}
			one.Offset, _ = event[len(event)-1].(string)
			all = append(all, one)
		}
		if user == "sol" {
			_ = c.conn.CloseNow()
		}
	}
	s.emit(object{"command": "publish", "rooms": []string{"channel:2"}, "event": "news", "id": "missed", "data": 1})
	return all
}

// pack compacts a file of bbolt, and writes it with gzip.
func pack(tb testing.TB, from, to string) {
	tb.Helper()
	compact := filepath.Join(tb.TempDir(), "compact.db")
	src, err := bbolt.Open(from, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		tb.Fatal(err)
	}
	dst, err := bbolt.Open(compact, 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := bbolt.Compact(dst, src, 0); err != nil {
		tb.Fatal(err)
	}
	if err := src.Close(); err != nil {
		tb.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		tb.Fatal(err)
	}
	b, err := os.ReadFile(compact)
	if err != nil {
		tb.Fatal(err)
	}
	writeGzip(tb, to, b)
	_ = os.Remove(compact)
}

func writeGzip(tb testing.TB, to string, b []byte) {
	tb.Helper()
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	tb.Logf("%s: %d bytes", to, packed.Len())
	if packed.Len() > 50<<10 {
		tb.Errorf("%s has %d bytes", to, packed.Len())
	}
	if err := os.WriteFile(to, packed.Bytes(), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func writeJSON(tb testing.TB, to string, v any) {
	tb.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(to, b.Bytes(), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// writeItems runs a commit's functions in processes, behind the gateway of the commit that first can do so for all of them.
func writeItems(t *testing.T, commit string) {
	client := tables(t)
	from := sources(t, commit)
	secrets := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"Name":"secret","SecretString":%q}`, token.DevelopmentSecret)
	}))
	t.Cleanup(secrets.Close)
	gateway := program(t, sources(t, newest))
	flags := append(parameters(commit),
		"--template", filepath.Join(from, "template.yaml"), "--functions", "process", "--data", t.TempDir(), "--dynamodb", dynamotest.Need(t),
		"--parameter", "JwtSecretArn=arn:aws:secretsmanager:us-east-1:123456789012:secret:s", "--env", "AWS_ENDPOINT_URL_SECRETS_MANAGER="+secrets.URL,
	)
	before := tableNames(t, client)
	if commit == newest { // for a crowd, processes take too long
		s := dev(t, gateway, from, append(parameters(commit), "--dynamodb", dynamotest.Need(t))...)
		s.grow("channel:large")
		s.kill()
		waitFor(10 * time.Second) // what the database was asked for last
	}
	s := dev(t, gateway, from, flags...)
	var table string
	for name := range tableNames(t, client) {
		if !before[name] {
			table = name
		}
	}
	crowd := object{"S": "crowd"}
	for _, i := range scan(t, client, table) { // its rows would only lapse
		if u := plain(i); reflect.DeepEqual(u["user"], crowd) || reflect.DeepEqual(u["u"], crowd) {
			key := map[string]types.AttributeValue{"pk": i["pk"], "sk": i["sk"]}
			if _, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: key}); err != nil {
				t.Fatal(err)
			}
		}
	}
	st := s.tell(commit)
	st.At = time.Now().UnixMilli()
	var items []object
	for _, i := range scan(t, client, table) {
		items = append(items, plain(i))
	}
	s.stop()
	if _, err := client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &table}); err != nil {
		t.Fatal(err)
	}
	writeJSON(t, fixtures(commit, "items.json"), items)
	writeJSON(t, fixtures(commit, "items.story.json"), st)
}

// scan gives all items of a table.
func scan(t *testing.T, client *dynamodb.Client, table string) (items []map[string]types.AttributeValue) {
	t.Helper()
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, page.Items...)
	}
	return items
}

// writeJobs records one job of each kind on its way to the queue. Rooms with two members go through the queue here, half of all
// pushes are throttled, and a hook puts everybody into a room.
func writeJobs(t *testing.T, commit string) {
	var (
		mu     sync.Mutex
		jobs   = map[string]json.RawMessage{}
		target atomic.Pointer[url.URL]
	)
	kinds := []string{"fanout", "retry", "absence", "enter", "close", "socket:open", "socket:reap", "socket:beat"}
	queue := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var m struct {
			MessageBody string `json:"MessageBody"`
		}
		var job struct {
			Kind string `json:"kind"`
		}
		if json.Unmarshal(body, &m) == nil && json.Unmarshal([]byte(m.MessageBody), &job) == nil {
			mu.Lock()
			if jobs[job.Kind] == nil {
				jobs[job.Kind] = json.RawMessage(m.MessageBody)
			}
			mu.Unlock()
		}
		httputil.NewSingleHostReverseProxy(target.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(queue.Close)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"rooms":["community:1"]}`)
	}))
	t.Cleanup(hook.Close)
	from := sources(t, commit)
	s := dev(t, program(t, from), from,
		"--functions", "process", "--data", t.TempDir(), "--dynamodb", dynamotest.Need(t),
		"--env", "AWS_ENDPOINT_URL_SQS="+queue.URL, "--hook", "connect="+hook.URL, "--fault", "throttle=50%", "--seed", "1",
		"--parameter", "InlineLimit=1", "--parameter", "PresenceGrace=1s",
	)
	at, err := url.Parse(s.http)
	if err != nil {
		t.Fatal(err)
	}
	target.Store(at)
	for _, user := range []string{"ana", "bob"} {
		s.connect(user).ask(object{"action": "join", "room": "channel:1"})
	}
	dial(t, s.ws+"?EIO=4&transport=websocket").begins("0{")
	cleo := s.connect("cleo")
	cleo.ask(object{"action": "join", "room": "community:1"})
	cleo.close()
	for seq := 1; ; seq++ {
		s.emit(object{"command": "publish", "rooms": []string{"channel:1"}, "event": "message:new", "id": fmt.Sprint("m", seq), "data": object{"content": "<hi>"}, "except": []string{"robot"}, "from": object{"userId": "robot"}})
		if seq == 20 {
			s.emit(object{"command": "close", "room": "channel:1", "reason": "over"})
		}
		mu.Lock()
		missing := slices.DeleteFunc(slices.Clone(kinds), func(k string) bool { return jobs[k] != nil })
		mu.Unlock()
		if len(missing) == 0 {
			break
		}
		if seq > 100 {
			t.Fatalf("no %v jobs came", missing)
		}
		waitFor(100 * time.Millisecond)
	}
	s.stop()
	var list []json.RawMessage
	for _, k := range kinds {
		list = append(list, jobs[k])
	}
	writeJSON(t, fixtures(commit, "jobs.json"), list)
}

// writeCommands records what the package emitter makes of each of its methods.
func writeCommands(t *testing.T, commit string) {
	from := sources(t, commit)
	folder := filepath.Join(from, "commands")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/commands.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "main.go"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "go", "run", "./commands")
	run.Dir = from
	out, err := run.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	writeJSON(t, fixtures(commit, "commands.json"), list)
}

// tables is a client of the tests' DynamoDB.
func tables(tb testing.TB) *dynamodb.Client {
	tb.Helper()
	endpoint := dynamotest.Need(tb)
	cfg, err := config.LoadDefaultConfig(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return dynamo.NewClient(cfg, func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint })
}

func tableNames(tb testing.TB, client *dynamodb.Client) map[string]bool {
	tb.Helper()
	names := map[string]bool{}
	pages := dynamodb.NewListTablesPaginator(client, &dynamodb.ListTablesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		for _, n := range page.TableNames {
			names[n] = true
		}
	}
	return names
}

// plain is an item as DynamoDB's own JSON, {"pk":{"S":"…"}}.
func plain(item map[string]types.AttributeValue) object {
	out := object{}
	for name, v := range item {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			out[name] = object{"S": v.Value}
		case *types.AttributeValueMemberN:
			out[name] = object{"N": v.Value}
		case *types.AttributeValueMemberB:
			out[name] = object{"B": v.Value}
		case *types.AttributeValueMemberBOOL:
			out[name] = object{"BOOL": v.Value}
		case *types.AttributeValueMemberSS:
			out[name] = object{"SS": v.Value}
		case *types.AttributeValueMemberM:
			out[name] = object{"M": plain(v.Value)}
		case *types.AttributeValueMemberL:
			list := []object{}
			for _, x := range v.Value {
				list = append(list, plain(map[string]types.AttributeValue{"": x})[""].(object))
			}
			out[name] = object{"L": list}
		default:
			out[name] = object{"?": fmt.Sprintf("%T", v)}
		}
	}
	return out
}

// unpack gives the contents of a file that was packed.
func unpack(tb testing.TB, from string) []byte {
	tb.Helper()
	f, err := os.Open(from)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
