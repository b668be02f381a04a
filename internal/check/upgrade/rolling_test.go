package upgrade_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
)

// version is which of the two versions a function is run of.
type version string

const (
	then version = "then" // of the newest commit that has fixtures
	now  version = "now"  // of this tree
)

func (v version) other() version {
	if v == then {
		return now
	}
	return then
}

// fleet is a gateway whose functions are of two versions, on one table and one queue. Which of them runs, a test decides for
// each function, as a deployment does while it goes on.
type fleet struct {
	*server
	versions map[version]*server

	mu     sync.Mutex
	chosen map[string]version // by function
	swap   bool               // each invocation is for the other version than the one before
	ran    map[string]int     // invocations, by function and version
}

// roll builds and starts everything: a gateway that invokes functions at an address of this test's, and a server for each
// version that runs them in processes.
func roll(t *testing.T) *fleet {
	t.Helper()
	endpoint := dynamotest.Need(t)
	commit := newest
	old := sources(t, commit)
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	binaries := map[version]string{then: program(t, old), now: program(t, root)}
	f := &fleet{versions: map[version]*server{}, chosen: map[string]version{}, ran: map[string]int{}}
	invoke := httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(invoke.Close)
	parameters := []string{"--parameter", "PresenceGrace=1s", "--parameter", "InlineLimit=1", "--parameter", "SocketNamespaces=/chat", "--parameter", "RateBurst=1000"}
	f.server = dev(t, binaries[now], here, append(parameters,
		"--template", filepath.Join(here, "template.yaml"), "--functions", "endpoint="+invoke.URL,
		"--parameter", "JwtSecretArn=arn:aws:secretsmanager:us-east-1:123456789012:secret:s")...)
	table := dynamotest.New(t, "rolling")
	env := []string{
		"--env", "TABLE_NAME=" + table.Name, "--env", "MANAGEMENT_ENDPOINT=" + f.http + "/dev",
		"--env", "AWS_ENDPOINT_URL_SQS=" + f.http, "--env", "DELIVER_QUEUE_URL=" + f.queue("DeliverQueue"),
	}
	for v, folder := range map[version]string{then: old, now: here} {
		flags := append(append([]string{"--functions", "process", "--dynamodb", endpoint, "--data", t.TempDir()}, parameters...), env...)
		f.versions[v] = launch(t, binaries[v], folder, flags...)
	}
	for _, s := range f.versions {
		s.ready()
	}
	return f
}

// queue gives the URL of a queue of the template.
func (f *fleet) queue(name string) string {
	f.tb.Helper()
	request, err := http.NewRequestWithContext(f.tb.Context(), http.MethodPost, f.http, strings.NewReader("{}"))
	if err != nil {
		f.tb.Fatal(err)
	}
	request.Header.Set("X-Amz-Target", "AmazonSQS.ListQueues")
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		f.tb.Fatal(err)
	}
	defer response.Body.Close()
	var list struct{ QueueUrls []string }
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		f.tb.Fatal(err)
	}
	for _, url := range list.QueueUrls {
		if strings.HasSuffix(url, name) {
			return url
		}
	}
	f.tb.Fatalf("there is no queue %s: %v", name, list.QueueUrls)
	return ""
}

// run says of which version functions are from now on.
func (f *fleet) run(v version, functions ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range functions {
		f.chosen[name] = v
	}
}

// all are the functions that clients and programs need.
func all() []string {
	return []string{"authorize", "connect", "disconnect", "message", "emit", "deliver", "sweep"}
}

// choose gives the version that runs an invocation.
func (f *fleet) choose(function string) *server {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, set := f.chosen[function]
	if !set {
		v = now
	}
	if f.swap {
		f.chosen[function] = v.other()
	}
	f.ran[function+" "+string(v)]++
	return f.versions[v]
}

// serve is the Invoke API: it passes an invocation on to a version.
func (f *fleet) serve(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/2015-03-31/functions/"), "/")
	function := strings.ToLower(strings.TrimSuffix(name[strings.LastIndex(name, "-")+1:], "Function"))
	to := f.choose(function).http + "/2015-03-31/functions/" + function + "/invocations"
	request, err := http.NewRequestWithContext(r.Context(), r.Method, to, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	maps.Copy(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, response.Body)
}

// TestRolling is a deployment that goes on: functions of the newest commit that has fixtures and of this tree work on one table,
// and clients, who speak the protocol of then, do not notice.
func TestRolling(t *testing.T) {
	f := roll(t)
	for _, a := range []version{then, now} {
		b := a.other()
		room := func(kind string) string { return kind + ":" + string(a) }
		t.Run(fmt.Sprintf("what %s began %s goes on with", a, b), func(t *testing.T) {
			f.tb = t
			f.run(a, all()...)
			ana := f.connect("ana")
			ana.ask(object{"action": "join", "room": room("community")})
			ana.ask(object{"action": "join", "room": room("channel")})

			f.run(b, "authorize", "connect", "message")
			bob := f.connect("bob")
			bob.ask(object{"action": "join", "room": room("community")})
			ana.event("user:online", ofUser("bob"))
			at := bob.ask(object{"action": "join", "room": room("channel")})
			bob.ask(object{"action": "publish", "id": "m1", "room": room("channel"), "event": "message:new", "data": object{"content": "a job of " + b + ", done by " + a}})
			ana.event("message:new", ofID("m1"))
			bob.event("message:new", ofID("m1"))

			f.run(a, "message")
			f.run(b, "deliver")
			ana.ask(object{"action": "publish", "id": "m2", "room": room("channel"), "event": "message:new", "data": object{"content": "the other way round"}})
			ana.event("message:new", ofID("m2"))
			bob.event("message:new", ofID("m2"))
			bob.write(fmt.Sprintf(`{"action":"signal","room":%q,"event":"typing:start"}`, room("channel")))
			ana.event("user:typing", func(object) bool { return true })

			publish := object{"command": "publish", "rooms": []string{room("channel")}, "event": "order:shipped", "id": "p1", "data": 1}
			f.run(a, "emit")
			first := f.emit(publish)
			f.run(b, "emit")
			same(t, "a publish that is sent again to the other version", f.emit(publish), first)
			bob.event("order:shipped", ofID("p1"))

			f.run(b, "message")
			ana.ask(object{"action": "presence", "room": room("community"), "status": "away"})
			bob.event("presence:changed", ofUser("ana"))
			f.run(a, "message")
			bob.ask(object{"action": "message:delete", "channelId": string(a), "messageId": "m1"})
			ana.event("message:deleted", func(e object) bool { return e["room"] == room("channel") })
			f.run(b, "message")
			bob.ask(object{"action": "auth", "token": sign(t, "bob")})

			f.run(a, "disconnect")
			f.run(b, "deliver")
			bob.close()
			ana.event("user:offline", ofUser("bob"))
			f.run(a, "message", "connect")
			again := f.connect("bob")
			got := again.ask(object{"action": "join", "room": room("channel"), "since": object{"epoch": at["epoch"], "seq": at["seq"]}})
			if got["recovered"] != true || len(got["events"].([]any)) != 4 {
				t.Errorf("since %v bob got %v", at, got)
			}
			history := object{"action": "history", "room": room("channel")}
			by := again.ask(history)
			f.run(b, "message")
			same(t, "the history by the other version", again.ask(history), by)

			f.invoke("sweep", []byte("{}"))
			f.run(b, "sweep")
			f.invoke("sweep", []byte("{}"))
			f.run(a, "deliver")
			f.emit(object{"command": "close", "room": room("channel")})
			ana.event("room:closed", func(object) bool { return true })
			again.event("room:closed", func(object) bool { return true })
		})
		t.Run(fmt.Sprintf("a session of Socket.IO that %s began %s goes on with", a, b), func(t *testing.T) {
			f.tb = t
			f.run(a, all()...)
			c := dial(t, f.ws+"?EIO=4&transport=websocket")
			c.begins("0{")
			f.run(b, "message")
			c.write(`40/chat,{"token":"` + sign(t, "sia") + `"}`)
			var s session
			decode(t, []byte(strings.TrimPrefix(c.begins("40/chat,{"), "40/chat,")), &s)
			f.run(a, "message")
			c.write(`42/chat,0["join",{"room":"` + room("channel") + `"}]`)
			c.begins(`43/chat,0[{"ok":true`)
			f.run(b, "emit", "deliver")
			f.emit(object{"command": "publish", "rooms": []string{room("channel")}, "event": "news", "id": "n1", "data": 1})
			var event []any
			decode(t, []byte(strings.TrimPrefix(c.begins(`42/chat,["news",1`), "42/chat,")), &event)
			f.run(b, "message")
			c.write(`42/chat,1["message:send",{"channelId":"` + string(a) + `","content":"hi","id":"sia1"}]`)
			c.begins(`43/chat,1[{"ok":true`)
			f.run(b, "disconnect")
			_ = c.conn.CloseNow()
			f.run(b, "emit")
			f.emit(object{"command": "publish", "rooms": []string{room("channel")}, "event": "news", "id": "n2", "data": 2})
			f.run(a, "message", "connect")
			c = dial(t, f.ws+"?EIO=4&transport=websocket")
			c.begins("0{")
			c.write(fmt.Sprintf(`40/chat,{"token":%q,"pid":%q,"offset":%q}`, sign(t, "sia"), s.PID, event[len(event)-1]))
			c.begins(`42/chat,["news",2`)
			if welcome := c.begins("40/chat,{"); !strings.Contains(welcome, s.SID) {
				t.Errorf("not recovered: %s, was %s", welcome, s.SID)
			}
		})
	}
	t.Run("each invocation by the other version, all see all in order", func(t *testing.T) {
		f.tb = t
		f.mu.Lock()
		f.swap = true
		f.mu.Unlock()
		const users, each = 4, 10
		var clients []*tab
		for i := range users {
			c := f.connect(fmt.Sprint("user", i))
			c.ask(object{"action": "join", "room": "channel:all"})
			clients = append(clients, c)
		}
		for i, c := range clients {
			for n := range each {
				c.ask(object{"action": "publish", "id": fmt.Sprintf("%d-%d", i, n), "room": "channel:all", "event": "message:new", "data": n})
			}
		}
		for _, c := range clients {
			for i := range users {
				for n := range each {
					c.event("message:new", ofID(fmt.Sprintf("%d-%d", i, n)))
				}
			}
		}
		got := clients[0].ask(object{"action": "history", "room": "channel:all", "limit": 100})
		for i, e := range got["events"].([]any) {
			if seq := int(e.(object)["seq"].(float64)); seq != i+1 {
				t.Errorf("event %d has seq %d", i, seq)
			}
		}
		if n := len(got["events"].([]any)); n != users*each {
			t.Errorf("%d events are logged", n)
		}
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, function := range all() {
		for _, v := range []version{then, now} {
			if f.ran[function+" "+string(v)] == 0 {
				t.Errorf("the function %s of %s never ran", function, v)
			}
		}
	}
}

// ofID fits the event with an id.
func ofID(id string) func(object) bool { return func(e object) bool { return e["id"] == id } }
