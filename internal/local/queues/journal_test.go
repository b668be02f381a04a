package queues

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/store/rows/rowstest"
)

// contents is all that a restart must keep, in the order in which it may be received.
func contents(s *Service) string {
	var out strings.Builder
	for _, queue := range []string{"Jobs", "DeadJobs"} {
		q := s.find(queue)
		for _, m := range s.Waiting(queue) {
			for _, e := range q.backlog.entries.Items() {
				if e.ID == m.ID {
					fmt.Fprintln(&out, queue, m.Body, m.ID, m.SentAt.UnixNano(), m.FirstReceived.UnixNano(), m.Receives, m.Error, e.visibleAt.UnixNano())
				}
			}
		}
	}
	return out.String()
}

func bodies(messages []Message) string {
	var all []string
	for _, m := range messages {
		all = append(all, m.Body+" "+strconv.Itoa(m.Receives))
	}
	return strings.Join(all, ", ")
}

func flush(tb testing.TB, s *Service) {
	tb.Helper()
	if err := s.Save(); err != nil {
		tb.Fatal(err)
	}
}

// TestQueuesSurviveRestarts stops and starts a server again and again: what is delivered, and when, is as if it had never stopped.
func TestQueuesSurviveRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "queues.db")
		begin := time.Now()
		var delivered []string
		job := fn(func(_ context.Context, event []byte) ([]byte, error) {
			var failed []string
			for _, r := range tasks(t, event) {
				delivered = append(delivered, fmt.Sprintf("%s %s after %v", r.Body, r.Attributes["ApproximateReceiveCount"], time.Since(begin)))
				if r.Body == "bad" {
					failed = append(failed, fmt.Sprintf(`{"itemIdentifier":%q}`, r.MessageID))
				}
			}
			return []byte(`{"batchItemFailures":[` + strings.Join(failed, ",") + `]}`), nil
		})
		s := withFile(t, path, job, nil)
		sendTo(t, s, "Jobs", "late", 10*time.Minute)
		sendTo(t, s, "Jobs", "soon", 90*time.Second)
		sendTo(t, s, "Jobs", "bad", 0)
		sendTo(t, s, "Jobs", "good", 0)
		for range 12 {
			s.Start()
			elapse(59 * time.Second)
			synctest.Wait()
			closeNow(t, s)
			was := contents(s)
			s = withFile(t, path, job, nil)
			if is := contents(s); is != was {
				t.Fatalf("after a restart\n got %s\nwant %s", is, was)
			}
		}
		// "bad" is visible again a minute after each delivery; the restarts are at 59 s, 1 m 58 s, …
		want := "bad 1 after 0s, good 1 after 0s, bad 2 after 1m0s, soon 1 after 1m30s, bad 3 after 2m0s, late 1 after 10m0s"
		if got := strings.Join(delivered, ", "); got != want && got != strings.Replace(want, "bad 1 after 0s, good 1 after 0s", "good 1 after 0s, bad 1 after 0s", 1) {
			t.Errorf("delivered\n got %s\nwant %s", got, want)
		}
		if dead := s.DeadLetters("Jobs"); bodies(dead) != "bad 0" || dead[0].Error == "" || bodies(s.Waiting("Jobs")) != "" {
			t.Errorf("dead are %+v, waiting %+v", dead, s.Waiting("Jobs"))
		}
		closeNow(t, s)
	})
}

// TestQueuesSurviveAKill opens a copy of the file that a running server has written.
func TestQueuesSurviveAKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queues.db")
	inside, release := make(chan struct{}), make(chan struct{})
	s := withFile(t, path, fn(func(context.Context, []byte) ([]byte, error) {
		close(inside)
		<-release
		return nil, nil
	}), nil)
	s.Start()
	sendTo(t, s, "Jobs", "in hand", 0)
	receive(t, inside)
	sendTo(t, s, "Jobs", "waits", time.Minute)
	sendTo(t, s, "DeadJobs", "dead", 0)
	flush(t, s)
	sendTo(t, s, "Jobs", "of the last moment", time.Minute)
	killed := rowstest.Copy(t, path)

	job, events := collect(`{}`)
	next := withFile(t, killed, job, nil)
	if got := bodies(next.Waiting("Jobs")) + "; " + bodies(next.Waiting("DeadJobs")); got != "in hand 1, waits 0, of the last moment 0; dead 0" {
		t.Errorf("after a kill: got %s", got)
	}
	next.Start() // what nobody has settled comes at once, not after its visibility timeout
	if r := tasks(t, receive(t, events))[0]; r.Body != "in hand" || r.Attributes["ApproximateReceiveCount"] != "2" {
		t.Errorf("got %+v", r)
	}
	closeNow(t, next)

	// Close does not wait for a function longer than it is told; what is in hand then is in the file too.
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closeNow(t, s)
	}()
	if err := s.Save(); err != nil {
		t.Errorf("save: got %v", err)
	}
	s.cfg.Functions.Cancel()
	next = withFile(t, rowstest.Copy(t, path), job, nil)
	if got := bodies(next.Waiting("Jobs")); got != "in hand 1, waits 0, of the last moment 0" {
		t.Errorf("after a close that was cut short: got %s", got)
	}
	closeNow(t, next)
	close(release)
	<-closed
	next = withFile(t, path, job, nil)
	if got := bodies(next.Waiting("Jobs")); got != "in hand 1, waits 0, of the last moment 0" { // the delivery was cut off, so it has failed
		t.Errorf("after the function has returned: got %s", got)
	}
	closeNow(t, next)
}

// TestWhatWasSentOutlivesAKill sends, deletes and settles: what the API was answered is in the file, and the rest a second later.
func TestWhatWasSentOutlivesAKill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "queues.db")
		s := withFile(t, path, answers(`{}`), nil)
		check := func(want string) {
			t.Helper()
			twin := withFile(t, rowstest.Copy(t, path), answers(`{}`), nil)
			if got := bodies(twin.Waiting("Jobs")); got != want {
				t.Errorf("the file has %q, want %q", got, want)
			}
			closeNow(t, twin)
		}
		q := s.find("Jobs")
		sendTo(t, s, "Jobs", "x", 0)
		check("x 0")
		batch, _ := q.receive(1, time.Minute, 1)
		if err := q.remove(batch[0].receipt); err != nil {
			t.Fatal(err)
		}
		check("")
		sendTo(t, s, "Jobs", "y", 0)
		s.Start()
		synctest.Wait() // it has been delivered
		check("y 0")
		elapse(journalEvery)
		synctest.Wait()
		check("")
		closeNow(t, s)
	})
}

// TestDeadLetterIsAlwaysInOneQueue kills a server before, during and after a message is moved to the dead-letter queue.
func TestDeadLetterIsAlwaysInOneQueue(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queues.db")
	s := withFile(t, path, answers(`{}`), nil)
	check := func(want string) {
		t.Helper()
		flush(t, s)
		twin := withFile(t, rowstest.Copy(t, path), answers(`{}`), nil)
		if got := bodies(twin.Waiting("Jobs")) + "; " + bodies(twin.Waiting("DeadJobs")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		closeNow(t, twin)
	}
	moved := false
	s.cfg.Observe = func(e Event) {
		if e.Dead { // it is in neither queue now
			moved = true
			check("x 3; ")
		}
	}
	q := s.find("Jobs")
	if err := q.put(&entry{Message: Message{ID: "m1", Body: "x", SentAt: time.Now(), Receives: 3}}); err != nil {
		t.Fatal(err)
	}
	check("x 3; ")
	q.receive(10, time.Minute, 1)
	check("; x 0")
	if !moved {
		t.Error("nobody was told of a dead letter")
	}
	closeNow(t, s)
}

// TestLateFailureRevivesNothing has a delivery fail after another has done the message.
func TestLateFailureRevivesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "queues.db")
		var calls atomic.Int64
		job := fn(func(context.Context, []byte) ([]byte, error) {
			if calls.Add(1) == 1 {
				<-time.After(59 * time.Second) // the function's Timeout is 60 s, and so is the visibility timeout
				return nil, errors.New("late")
			}
			return nil, nil
		})
		s := withFile(t, path, job, nil)
		s.find("Jobs").spec.Visibility = 10 * time.Second
		s.Start()
		sendTo(t, s, "Jobs", "x", 0)
		elapse(2 * time.Minute)
		closeNow(t, s)
		s = withFile(t, path, job, nil)
		if got := bodies(s.Waiting("Jobs")); calls.Load() != 2 || got != "" {
			t.Errorf("after %d calls %q is waiting", calls.Load(), got)
		}
		closeNow(t, s)
	})
}

// TestQueueFileCannotBeWritten fills the disk for a while: what is sent is refused, what was sent is kept and delivered, and nothing is
// remembered of what is refused.
func TestQueueFileCannotBeWritten(t *testing.T) {
	t.Parallel()
	path, disk := filepath.Join(t.TempDir(), "queues.db"), &rowstest.Disk{}
	s, err := open(answers(`{}`), Config{File: path, Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	sendTo(t, s, "Jobs", "old", time.Minute)
	sendTo(t, s, "Jobs", "done", 0)
	disk.Fill(true)
	q := s.find("Jobs")
	for range 100 {
		var api *awserr.Error
		if err := s.Send(t.Context(), "Jobs", "refused", 0); !errors.As(err, &api) || api.Code != "ServiceUnavailable" || !strings.Contains(api.Message, path) {
			t.Fatalf("send to a full disk: got %v", err)
		}
	}
	if s.Err() == nil {
		t.Error("nothing says that nothing can be sent")
	}
	if got := bodies(s.Waiting("Jobs")); got != "done 0, old 0" || len(s.journal.dirty) != 1 {
		t.Errorf("waiting are %s, and %d are to be written", got, len(s.journal.dirty))
	}
	batch, _ := q.receive(2, time.Minute, 1)
	q.settle(batch, func(*entry) bool { return false }, nil)
	disk.Fill(false)
	sendTo(t, s, "Jobs", "new", 2*time.Minute)
	if err := s.Err(); err != nil {
		t.Errorf("there is room again, and still: %v", err)
	}
	twin := withFile(t, rowstest.Copy(t, path), answers(`{}`), nil)
	if got := bodies(twin.Waiting("Jobs")); got != "old 0, new 0" {
		t.Errorf("after a kill, waiting are %s", got)
	}
	closeNow(t, twin)
	closeNow(t, s)
}

// TestQueueFileUnderLoad sends from many goroutines while the file is written: what is not done at the end is there again, once.
func TestQueueFileUnderLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queues.db")
	s := withFile(t, path, answers(`{}`), nil)
	s.Start()
	const senders, each = 8, 250
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for n := range each {
				sendTo(t, s, "Jobs", fmt.Sprint(i, "-", n), time.Duration(n%2)*time.Minute)
				if n%50 == 0 {
					flush(t, s)
				}
			}
		})
	}
	wg.Wait()
	for s.Stats()["Jobs"].Done < senders*each/2 {
		<-time.After(time.Millisecond)
	}
	closeNow(t, s)
	was := contents(s)
	s = withFile(t, path, answers(`{}`), nil)
	if is, n := contents(s), len(s.Waiting("Jobs")); is != was || n != senders*each/2 {
		t.Errorf("%d messages are waiting, want %d as they were", n, senders*each/2)
	}
	closeNow(t, s)
}

func TestMessagesOfNoQueueAreKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queues.db")
	s := withFile(t, path, answers(`{}`), nil)
	for _, id := range []string{"m1", "m2"} {
		s.journal.mark("OldQueue", &entry{Message: Message{ID: id, Body: "x"}})
	}
	closeNow(t, s)
	for range 2 {
		var log bytes.Buffer
		s = withFile(t, path, answers(`{}`), slog.New(slog.NewTextHandler(&log, nil)))
		closeNow(t, s)
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "queue=OldQueue messages=2 file="+path) {
			t.Errorf("got log %s", got)
		}
	}
}

// TestQueueFileOfVersion1 opens what earlier versions have written.
func TestQueueFileOfVersion1(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queues.db")
	s := withFile(t, path, answers(`{}`), nil)
	sendTo(t, s, "Jobs", "x", time.Minute)
	closeNow(t, s)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("bellhop queues 1"))
		if err != nil {
			return err
		}
		err = tx.Bucket([]byte(journalBucket)).ForEach(b.Put)
		return errors.Join(err, tx.DeleteBucket([]byte(journalBucket)), tx.DeleteBucket([]byte("journal")))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = withFile(t, path, answers(`{}`), nil)
		if got := bodies(s.Waiting("Jobs")); got != "x 0" {
			t.Errorf("waiting are %s", got)
		}
		closeNow(t, s)
	}
}

func TestQueueFileRefused(t *testing.T) {
	t.Parallel()
	at := func(name string) string { return filepath.Join(t.TempDir(), name) }
	text := at("text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := at("empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	database := func(bucket, key, value string) string {
		path := at("data.db")
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte(bucket))
			if err != nil {
				return err
			}
			return b.Put([]byte(key), []byte(value))
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	used := at("used.db")
	s := withFile(t, used, answers(`{}`), nil)
	defer closeNow(t, s)
	for name, c := range map[string]struct{ path, want string }{
		"a file that is in use":         {used, "is in use by another process"},
		"a file that is no database":    {text, "is no queue file of Bellhop's, or is damaged"},
		"an empty file":                 {empty, "is damaged: it is empty"},
		"a database of another program": {database("theirs", "a", "b"), "belongs to another program"},
		"a newer version's":             {database("bellhop queues 3", "a", "b"), `written by a newer version, as "bellhop queues 3"`},
		"a message that is no JSON":     {database(journalBucket, "m1", "{"), `is damaged: row "m1" in bellhop queues 2: the message is malformed`},
		"a message of another id":       {database(journalBucket, "m1", "{}"), `is damaged: row "m1" in bellhop queues 2: the message is malformed`},
		"a directory":                   {t.TempDir(), "open queue file "},
		"a directory that is not there": {filepath.Join(t.TempDir(), "none", "q.db"), "no such file or directory"},
	} {
		_, err := open(answers(`{}`), Config{File: c.path})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// TestQueueFileSurvivesDamage flips bytes: a damaged file is refused, or cannot be written, and never ends the process.
func TestQueueFileSurvivesDamage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queues.db")
	s := withFile(t, path, answers(`{}`), nil)
	for i := range 100 {
		sendTo(t, s, "Jobs", strings.Repeat("x", i+1), time.Minute)
	}
	closeNow(t, s)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for at := 0; at < len(good); at += 1021 {
		bad := bytes.Clone(good)
		bad[at] ^= 0xff
		path := filepath.Join(t.TempDir(), "bad.db") // a new one: after a panic in bbolt its lock stays
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := open(answers(`{}`), Config{File: path})
		if err == nil {
			s.cfg.Functions.Close()
			err = s.Close()
		}
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), path) {
				t.Errorf("byte %d: the error %q does not name the file", at, err)
			}
		}
	}
	if refused == 0 {
		t.Error("no damage was found")
	}
}
