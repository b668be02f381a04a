package hub_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

func TestJobVersions(t *testing.T) {
	job := hub.Job{
		Kind: hub.JobFanOut, Room: "channel:1", Event: &protocol.Event{Event: "e", Seq: 3, Data: json.RawMessage(`"<b>"`)},
		Targets: []hub.Target{{Connection: "c", User: "ana"}},
	}
	text, err := job.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); !strings.HasPrefix(got, `{"v":1,"kind":"fanout",`) || !strings.Contains(got, "<b>") || strings.HasSuffix(got, "\n") {
		t.Errorf("encoded as %s", got)
	}
	if back, err := hub.DecodeJob(text); err != nil || !reflect.DeepEqual(back, job) {
		t.Errorf("got %+v back, %v", back, err)
	}
	for name, c := range map[string]struct {
		text  string
		newer bool
	}{
		"a number that is not known":            {`{"v":2,"kind":"absence"}`, true},
		"a field that is not known":             {`{"kind":"absence","until":1}`, true},
		"a field of an event that is not known": {`{"kind":"retry","event":{"event":"e","until":1}}`, true},
		"no JSON":                               {`absence`, false},
		"a field of another type":               {`{"kind":"absence","user":1}`, false},
	} {
		if _, err := hub.DecodeJob([]byte(c.text)); err == nil || errors.Is(err, hub.ErrNewer) != c.newer {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestNewerConnection has a member whose connection was opened by a newer version, in a dialect that is not known here: it gets
// its events by the queue, from a function that knows how, and nobody else waits for that.
func TestNewerConnection(t *testing.T) {
	w := hubtest.New(t)
	ana := w.Open("ana")
	w.Must(ana, `{"action":"join","id":"j","room":"channel:1"}`)
	newer := hub.Member{Connection: "newer", User: "bob", Codec: "mqtt", TTL: w.Clock.Now().Add(time.Hour)}
	if err := w.Store.AddMember(t.Context(), "channel:1", newer); err != nil {
		t.Fatal(err)
	}
	w.Must(ana, `{"action":"publish","id":"p","room":"channel:1","event":"message:new","data":{}}`)
	if got := w.Network.Frames("newer"); len(got) > 0 {
		t.Errorf("it was sent %s", got)
	}
	if got := w.Network.Names(ana.Connection); len(got) != 1 {
		t.Errorf("ana got %v", got)
	}
	left := w.Queue.Take()
	if len(left) != 1 || left[0].Job.Kind != hub.JobRetry || !reflect.DeepEqual(left[0].Job.Targets, []hub.Target{{Connection: "newer", User: "bob", Codec: "mqtt"}}) {
		t.Errorf("the queue has %+v", left)
	}
}
