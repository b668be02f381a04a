package hub_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// TestMemberPages: a program gets every member of a room of several shards once, a page at a time.
func TestMemberPages(t *testing.T) {
	w := newWorld(t, func(c *hub.Config) { c.Limits.Inline, c.Limits.Page, c.Limits.Shard = 20, 30, 25 })
	const room = "channel:1"
	var want []string
	for i := range 200 {
		c := w.Open(fmt.Sprintf("user%03d", i))
		w.Must(c, `{"action":"join","room":"channel:1"}`)
		if want = append(want, c.Connection); i%20 == 19 {
			w.publish(c, fmt.Sprintf("m%d", i))
			w.Drain()
		}
	}
	if n, err := w.Store.Shards(t.Context(), room); err != nil || n < 2 {
		t.Fatalf("the room has %d shards, %v", n, err)
	}
	ask := func(after string) (page struct {
		Members []struct{ Connection, UserID string }
		More    bool
		Next    string
	}, refused *protocol.Error,
	) {
		got := w.Emit(t.Context(), hub.MembersCommand{Room: room, After: after})
		text, err := json.Marshal(got.Data)
		if err == nil && got.Error == nil {
			err = json.Unmarshal(text, &page)
		}
		if err != nil {
			t.Fatal(err)
		}
		return page, got.Error
	}
	var got []string
	for after, pages := "", 0; ; pages++ {
		page, refused := ask(after)
		if refused != nil || pages > 20 || page.More != (page.Next != "") || len(page.Members) > 30 {
			t.Fatalf("after %q: %d members, more %v, next %q, %v", after, len(page.Members), page.More, page.Next, refused)
		}
		for _, m := range page.Members {
			got = append(got, m.Connection)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %d members, want %d, each once", len(got), len(want))
	}
	for _, after := range []string{"x", "1", "1/2", "2/2:c", "-1/2:c", "0/9999:c", "0/1:a b"} {
		if _, refused := ask(after); refused == nil || refused.Code != protocol.CodeBadRequest {
			t.Errorf("after %q: got %v", after, refused)
		}
	}
}
