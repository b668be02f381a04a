package dynamo_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
)

// TestRestore goes back to a backup as RUNBOOK says: logs are there again, and are published to as before.
func TestRestore(t *testing.T) {
	t.Parallel()
	backup, use := dynamotest.New(t, "backup"), dynamotest.New(t, "use")
	old, now := dynamo.New(backup.Client, backup.Name, dynamo.Options{}), dynamo.New(use.Client, use.Name, dynamo.Options{})
	publish := func(s *dynamo.Store, room, id string) hub.Entry {
		t.Helper()
		e, _, err := s.Append(t.Context(), room, hub.Draft{
			Event: protocol.Event{Event: "e", ID: id, TS: time.Now().UnixMilli(), Data: json.RawMessage(`1`)},
			Key:   hub.Key{Maker: hub.MakerProgram, ID: id}, Sum: id, Keep: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	var before hub.Entry
	for i := range 5 {
		before = publish(old, "channel:lost", fmt.Sprint("m", i))
		publish(old, "channel:other", fmt.Sprint("m", i))
		publish(old, "channel:alive", fmt.Sprint("m", i))
	}
	if err := old.AddMember(t.Context(), "channel:lost", hub.Member{Connection: "c1=", User: "ana", Codec: protocol.Name, TTL: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	kept := publish(now, "channel:alive", "new")

	rows, err := dynamo.Restore(t.Context(), use.Client, backup.Name, use.Name, func(room string) bool { return !strings.HasSuffix(room, "other") })
	if err != nil || rows < 6 {
		t.Fatalf("restored %d rows, %v", rows, err)
	}
	entries, err := now.From(t.Context(), "channel:lost", 1, 100)
	if err != nil || len(entries) != 5 || entries[4].ID != "m4" {
		t.Errorf("the log is %+v, %v", entries, err)
	}
	next := publish(now, "channel:lost", "m5")
	if next.Seq != before.Seq+1 || next.Epoch == before.Epoch || next.Epoch == "" {
		t.Errorf("the next one is at %d of %s, before it %d of %s", next.Seq, next.Epoch, before.Seq, before.Epoch)
	}
	if again := publish(now, "channel:lost", "m4"); again.Seq != before.Seq {
		t.Errorf("an id from before the backup was logged again, at %d", again.Seq)
	}
	if page, err := now.Members(t.Context(), "channel:lost", 0, "", 10); err != nil || len(page.Members) != 0 {
		t.Errorf("members are %+v, %v", page.Members, err)
	}
	if head, err := now.Head(t.Context(), "channel:alive", time.Time{}); err != nil || head.Seq != kept.Seq || head.Epoch != kept.Epoch {
		t.Errorf("a room that has a log of its own is at %+v, %v; want %+v", head, err, kept)
	}
	if entries, err := now.From(t.Context(), "channel:other", 1, 100); err != nil || len(entries) != 0 {
		t.Errorf("a room that was not asked for has %+v, %v", entries, err)
	}
}
