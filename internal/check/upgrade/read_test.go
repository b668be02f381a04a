package upgrade_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

// commits are those whose state is in testdata.
func commits(tb testing.TB) []string {
	tb.Helper()
	folders, err := filepath.Glob("testdata/???????")
	if err != nil || len(folders) < 4 {
		tb.Fatalf("testdata has %v, %v", folders, err)
	}
	for i, f := range folders {
		folders[i] = filepath.Base(f)
	}
	return folders
}

// readJSON reads a fixture.
func readJSON(tb testing.TB, path string, into any) {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
}

// store is what both stores are.
type store interface {
	hub.Store
	socketio.Notes
}

// era is a hub of today on what a commit has stored, at the time when it was stored.
type era struct {
	*hubtest.World
	story  story
	opened []hub.Caller
}

// open connects a user of today.
func (e *era) open(user string) hub.Caller {
	c := e.Open(user)
	e.opened = append(e.opened, c)
	return c
}

// at opens a store as it was at the end of a story.
func at(t *testing.T, st story, open func(now func() time.Time) store) *era {
	t.Helper()
	now := time.UnixMilli(st.At)
	var s store
	w := hubtest.New(t, func(c *hub.Config) {
		s = open(func() time.Time { return now })
		c.Store, c.Limits.Grace = s, time.Second
	})
	w.Notes = s
	w.Clock.To(now)
	return &era{World: w, story: st}
}

// file opens a packed file of a commit's by the embedded store of today.
func file(t *testing.T, packed string) func(now func() time.Time) store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bellhop.db")
	if err := os.WriteFile(path, unpack(t, packed), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(now func() time.Time) store {
		s, err := bolt.Open(path, bolt.Options{Now: now, FlushEvery: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

// same compares two values as JSON.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := canonical(t, got), canonical(t, want); g != w {
		t.Errorf("%s\n got %s\nwant %s", what, g, w)
	}
}

func canonical(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	text, err = json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFiles opens what each commit has stored in a file.
func TestFiles(t *testing.T) {
	for _, commit := range commits(t) {
		t.Run(commit, func(t *testing.T) {
			t.Run("after a clean stop nothing is missing", func(t *testing.T) {
				var st story
				readJSON(t, fixtures(commit, "stopped.story.json"), &st)
				e := at(t, st, file(t, fixtures(commit, "stopped.bellhop.db.gz")))
				e.histories(t, true)
				e.idempotent(t)
				e.recovered(t)
				e.grown(t)
				e.absences(t, queued(t, fixtures(commit, "stopped.queues.db.gz")), "ana", "bob", "cleo")
				if len(st.Sockets) > 0 {
					e.sockets(t, true)
				}
			})
			t.Run("after kill -9 connections are there, and positions prove nothing", func(t *testing.T) {
				var st story
				readJSON(t, fixtures(commit, "killed.story.json"), &st)
				e := at(t, st, file(t, fixtures(commit, "killed.bellhop.db.gz")))
				e.members(t)
				e.presence(t)
				e.histories(t, false)
				e.unproven(t)
				e.grown(t)
				if len(st.Sockets) > 0 {
					e.sockets(t, false)
				}
				e.absences(t, queued(t, fixtures(commit, "killed.queues.db.gz")), "cleo")
				e.allDepart(t)
			})
		})
	}
}

// TestStart starts bellhop dev on the data directory of each commit. Most of what is in it lapses meanwhile.
func TestStart(t *testing.T) {
	binary := program(t, root)
	for _, commit := range commits(t) {
		for _, how := range []string{"stopped", "killed"} {
			t.Run(how+" by "+commit, func(t *testing.T) {
				data := t.TempDir()
				for _, name := range []string{"bellhop.db", "queues.db"} {
					if err := os.WriteFile(filepath.Join(data, name), unpack(t, fixtures(commit, how+"."+name+".gz")), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				for range 2 {
					s := dev(t, binary, data, "--data", data)
					s.connect("ana").ask(object{"action": "join", "room": "community:1"})
					s.stop()
				}
			})
		}
	}
}

// histories reads every log to its beginning. A new epoch is the only difference that a killed process makes.
func (e *era) histories(t *testing.T, sameEpoch bool) {
	t.Helper()
	by := map[string]hub.Caller{"ana": e.open("ana"), "bob": e.open("bob")}
	for room, want := range e.story.Histories {
		c := by["ana"]
		if !strings.HasPrefix(room, "user:") {
			e.join(t, c, room, nil)
		}
		var got object
		decode(t, e.Must(c, fmt.Sprintf(`{"action":"history","room":%q,"limit":100}`, room)), &got)
		got["events"] = first(got["events"], len(want["events"].([]any)))
		if !sameEpoch {
			if got["epoch"] == want["epoch"] {
				t.Errorf("%s still has epoch %v", room, want["epoch"])
			}
			want = maps.Clone(want)
			want["epoch"] = got["epoch"]
		}
		want = maps.Clone(want)
		want["seq"] = got["seq"] // ana and bob are online again
		same(t, room, got, want)
	}
}

// first are the oldest events of a list.
func first(events any, n int) any {
	list := events.([]any)
	return list[:min(n, len(list))]
}

func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func (e *era) join(t *testing.T, c hub.Caller, room string, since any) protocol.JoinResult {
	t.Helper()
	frame, err := json.Marshal(object{"action": "join", "room": room, "since": since})
	if err != nil {
		t.Fatal(err)
	}
	var got protocol.JoinResult
	decode(t, e.Must(c, string(frame)), &got)
	return got
}

// idempotent sends again what was sent: every id is found, and nothing is logged twice.
func (e *era) idempotent(t *testing.T) {
	t.Helper()
	ana, bob := e.open("ana"), e.open("bob")
	e.join(t, ana, "channel:1", nil)
	e.join(t, bob, "channel:1", nil)
	for _, again := range []struct {
		by    hub.Caller
		frame string
		id    string
	}{
		{ana, `{"action":"publish","id":"ana-1","room":"channel:1","event":"message:new","data":{"content":"<b>hi</b> & \u2028 привет"}}`, "ana-1"},
		{bob, `{"action":"publish","id":"bob-1","room":"channel:1","event":"poll:vote","data":[1,"two",null]}`, "bob-1"},
		{bob, `{"action":"message:delete","channelId":"1","messageId":"bob-2"}`, "deleted:bob-2"},
		{ana, `{"action":"notification:read","notificationId":"n1"}`, "read:n1"},
	} {
		var got protocol.PublishResult
		decode(t, e.Must(again.by, again.frame), &got)
		if want := e.seq(t, got.Room, again.id); got.Seq != want {
			t.Errorf("%s: seq %d, was %d", again.frame, got.Seq, want)
		}
	}
	for id, command := range map[string]string{
		"program-1": `{"command":"publish","rooms":["channel:1","channel:large"],"event":"order:shipped","id":"program-1","data":{"order":1234}}`,
		"n1":        `{"command":"publish","users":["ana"],"event":"notification:new","id":"n1","data":{"title":"Hello"}}`,
	} {
		var got hub.EmitResult
		e.emit(t, command, &got)
		for _, r := range got.Results {
			if want := e.seq(t, r.Room, id); r.Seq != want {
				t.Errorf("%s: seq %d in %s, was %d", command, r.Seq, r.Room, want)
			}
		}
	}
}

// seq is the place that an event had in a room.
func (e *era) seq(t *testing.T, room, id string) int64 {
	t.Helper()
	for _, event := range e.story.Histories[room]["events"].([]any) {
		if event.(object)["id"] == id {
			return int64(event.(object)["seq"].(float64))
		}
	}
	t.Fatalf("%s had no event %s", room, id)
	return 0
}

// emit does a command, as JSON, and decodes its data.
func (e *era) emit(t *testing.T, text string, into any) {
	t.Helper()
	c, err := hub.DecodeCommand([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	a := e.Emit(t.Context(), c)
	if !a.OK {
		t.Fatalf("%s: %+v", text, a.Error)
	}
	data, err := json.Marshal(a.Data)
	if err != nil {
		t.Fatal(err)
	}
	decode(t, data, into)
}

// recovered joins by positions of then, each of them, and gets the rest with the proof that it is all.
func (e *era) recovered(t *testing.T) {
	t.Helper()
	ana := e.open("ana")
	for room, was := range e.story.Histories {
		if strings.HasPrefix(room, "user:") {
			continue
		}
		events := was["events"].([]any)
		for seen := 1; seen <= len(events); seen++ {
			got := e.join(t, ana, room, object{"epoch": was["epoch"], "seq": seen})
			if !got.Recovered {
				t.Fatalf("%s since %d: not recovered", room, seen)
			}
			if missed := len(events) - seen; len(got.Events) < missed {
				t.Errorf("%s since %d: got %d events, missed %d", room, seen, len(got.Events), missed)
			} else {
				same(t, fmt.Sprintf("%s since %d", room, seen), got.Events[:missed], events[seen:])
			}
		}
	}
}

// unproven joins by positions of a process that was killed.
func (e *era) unproven(t *testing.T) {
	t.Helper()
	ana := e.open("ana")
	was := e.story.Histories["channel:1"]
	if got := e.join(t, ana, "channel:1", object{"epoch": was["epoch"], "seq": 3}); got.Recovered {
		t.Errorf("recovered from an epoch that may have had more: %+v", got)
	}
}

// grown rooms stay as they are: new members may be in any of the shards.
func (e *era) grown(t *testing.T) {
	t.Helper()
	if got, err := e.Store.Shards(t.Context(), "channel:large"); err != nil || got != 2 {
		t.Errorf("channel:large has %d shards, %v", got, err)
	}
}

// members are those of then, with their connections' rows.
func (e *era) members(t *testing.T) {
	t.Helper()
	for room, was := range e.story.Members {
		var got object
		e.emit(t, fmt.Sprintf(`{"command":"members","room":%q}`, room), &got)
		same(t, "members of "+room, got, was)
		for _, m := range was["members"].([]any) {
			id := m.(object)["connection"].(string)
			row, err := e.Store.Connection(t.Context(), id)
			if err != nil {
				t.Fatalf("connection %s: %v", id, err)
			}
			user := m.(object)["userId"].(string)
			if row.User != user || !row.In(room) || !row.In("user:"+user) || row.Closing ||
				!reflect.DeepEqual(row.Grants, hub.Grants{"*": {"join", "publish", "moderate"}}) || row.Name != strings.ToUpper(user[:1])+user[1:] {
				t.Errorf("connection %s is %+v", id, row)
			}
		}
	}
}

// presence is that of then.
func (e *era) presence(t *testing.T) {
	t.Helper()
	var got object
	e.emit(t, `{"command":"presence","room":"community:1"}`, &got)
	same(t, "presence", got, e.story.Presence)
}

// queued gives the jobs that a commit has left in its queue file.
func queued(t *testing.T, packed string) (jobs []hub.Job) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queues.db")
	if err := os.WriteFile(path, unpack(t, packed), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("bellhop queues 1")).ForEach(func(_, value []byte) error {
			var r struct {
				Message struct {
					Body string `json:"body"`
				} `json:"message"`
			}
			if err := json.Unmarshal(value, &r); err != nil {
				return err
			}
			job, err := hub.DecodeJob([]byte(r.Message.Body))
			jobs = append(jobs, job)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

// absences runs the jobs that ended presences: users who have not come back are announced, once.
func (e *era) absences(t *testing.T, jobs []hub.Job, users ...string) {
	t.Helper()
	for _, c := range e.opened { // the same users, who would still be there
		if err := e.Depart(t.Context(), c.Connection); err != nil {
			t.Fatal(err)
		}
	}
	e.Clock.Pass(time.Minute)
	var waiting []string
	jobs = slices.DeleteFunc(jobs, func(j hub.Job) bool { return socketio.Works(j.Kind) })
	for i := range 2 { // at least once
		for _, j := range jobs {
			if i == 0 {
				waiting = append(waiting, j.User)
			}
			if err := e.Work(t.Context(), j); err != nil {
				t.Errorf("%+v: %v", j, err)
			}
		}
	}
	slices.Sort(waiting)
	if !slices.Equal(waiting, users) {
		t.Fatalf("jobs are about %v, want %v", waiting, users)
	}
	entries, err := e.Store.From(t.Context(), "community:1", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Store.Here(t.Context(), "community:1", "cleo"); !errors.Is(err, hub.ErrNotFound) {
		t.Errorf("cleo is still present: %v", err)
	}
	offline := 0
	for _, entry := range entries {
		if entry.Event.Event == protocol.UserOffline && entry.From != nil && entry.From.UserID == "cleo" {
			offline++
		}
	}
	if offline != 1 {
		t.Errorf("cleo went offline %d times", offline)
	}
}

// allDepart takes every connection out of everything, as a server does when it starts.
func (e *era) allDepart(t *testing.T) {
	t.Helper()
	for partition := range hub.Partitions {
		rows, err := e.Store.Walk(t.Context(), partition, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if err := e.Depart(t.Context(), row.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	for room := range e.story.Members {
		for shard := range 2 {
			if page, err := e.Store.Members(t.Context(), room, shard, "", 10); err != nil || len(page.Members) > 0 {
				t.Errorf("%s has %+v, %v", room, page.Members, err)
			}
		}
	}
}

// trusting takes a token for the name of its user.
type trusting struct{ clock *hubtest.Clock }

func (v trusting) Verify(_ context.Context, token string) (hub.Identity, error) {
	return hub.Identity{User: token, Grants: hubtest.Everything(), Expires: v.clock.Now().Add(time.Hour)}, nil
}

// sockets has clients of Socket.IO come back by their private ids: recovered with what they missed, or as new ones.
func (e *era) sockets(t *testing.T, recovered bool) {
	t.Helper()
	c := e.Config
	c.Verifier = trusting{e.Clock}
	_, server := socketio.Wire(c, e.Notes, socketio.Options{Namespaces: []string{"/chat"}})
	for i, s := range e.story.Sockets {
		connection, prefix := fmt.Sprint("again", i), map[string]string{"/": "", "/chat": "/chat,"}[s.Namespace]
		auth, err := json.Marshal(object{"token": s.User, "pid": s.PID, "offset": s.Offset})
		if err != nil {
			t.Fatal(err)
		}
		e.Network.Take()
		answer := string(server.Receive(t.Context(), hub.Caller{Connection: connection}, []byte("40"+prefix+string(auth))))
		if !strings.HasPrefix(answer, "40"+prefix+`{"sid":`) {
			t.Errorf("%s in %s: %s", s.User, s.Namespace, answer)
		}
		if is := strings.Contains(answer, `"sid":"`+s.SID+`"`) && strings.Contains(answer, `"pid":"`+s.PID+`"`); is != recovered {
			t.Errorf("%s in %s: recovered %v: %s", s.User, s.Namespace, is, answer)
		}
		missed := strings.Join(e.Network.TakeFrom(connection), "\n")
		if is := strings.Contains(missed, `"id":"missed"`); is != recovered {
			t.Errorf("%s in %s was sent %s", s.User, s.Namespace, missed)
		}
	}
}
