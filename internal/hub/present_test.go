package hub_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// presentPage is what an answer says of who is present.
type presentPage struct {
	Presence     []protocol.Occupant `json:"presence"`
	More         bool                `json:"more"`
	PresenceMore bool                `json:"presenceMore"`
}

func (p presentPage) last() string { return p.Presence[len(p.Presence)-1].UserID }

func TestPresencePages(t *testing.T) {
	w := newWorld(t)
	const room = "community:1"
	var want []string
	for i := range 160 {
		c := w.Open(fmt.Sprintf("user%03d", i))
		w.Must(c, `{"action":"join","room":"community:1"}`)
		w.Must(c, fmt.Sprintf(`{"action":"presence","room":"community:1","status":"away","data":{"mood":%q}}`, strings.Repeat("x", 690)))
		want = append(want, c.User)
	}
	zoe := w.Open("zoe") // by her id she would be the last one
	want = append(want, zoe.User)
	page := func(t *testing.T, data []byte) (p presentPage) {
		t.Helper()
		if err := json.Unmarshal(data, &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	ask := func(after string) []byte {
		return w.Must(zoe, fmt.Sprintf(`{"action":"presence","room":%q,"after":%q}`, room, after))
	}
	emit := func(after string) []byte {
		got := w.Emit(t.Context(), hub.PresenceCommand{Room: room, After: after})
		if got.Error != nil {
			t.Fatal(got.Error)
		}
		text, err := json.Marshal(got.Data)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}

	joined := page(t, w.Must(zoe, `{"action":"join","room":"community:1"}`))
	if !joined.PresenceMore || joined.More {
		t.Errorf("the reply to join does not say that its list is cut: presenceMore %v, more %v (of the log)", joined.PresenceMore, joined.More)
	}
	if joined.Presence[0].UserID != "zoe" {
		t.Errorf("the user who joins is not in a list that is cut")
	}
	for name, tt := range map[string]struct {
		first presentPage
		next  func(after string) []byte
		pages int
	}{
		"a join, and then readings": {joined, ask, 3},
		"readings":                  {page(t, ask("")), ask, 3},
		"a program's":               {page(t, emit("")), emit, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			pages, p := 0, tt.first
			for ; ; p = page(t, tt.next(p.last())) {
				for _, o := range p.Presence {
					got = append(got, o.UserID)
				}
				if pages++; !p.More && !p.PresenceMore {
					break
				}
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, want) {
				t.Errorf("got %d users in %d pages, want %d", len(got), pages, len(want))
			}
			if pages != tt.pages {
				t.Errorf("it took %d pages, want %d", pages, tt.pages)
			}
		})
	}
	t.Run("every page fits a frame", func(t *testing.T) {
		for after := ""; ; {
			text := ask(after)
			if len(text) > protocol.MaxServerFrame-1024 {
				t.Fatalf("a page has %d bytes", len(text))
			}
			p := page(t, text)
			if !p.More {
				return
			}
			after = p.last()
		}
	})
	t.Run("who is not a member reads nothing", func(t *testing.T) {
		for frame, code := range map[string]protocol.Code{
			`{"action":"presence","room":"community:1"}`:                   protocol.CodeNotInRoom,
			`{"action":"presence","room":"channel:1"}`:                     protocol.CodeBadRequest,
			`{"action":"presence","room":"community:1","after":"a b"}`:     protocol.CodeBadRequest,
			`{"action":"presence"}`:                                        protocol.CodeBadRequest,
			`{"action":"presence","room":"community:1","data":{"a":1}}`:    protocol.CodeBadRequest,
			`{"action":"presence","room":"community:1","status":""}`:       protocol.CodeNotInRoom,
			`{"action":"presence:update","communityId":"1","status":""}`:   protocol.CodeBadRequest,
			`{"action":"presence","room":"nonsense:1","after":"somebody"}`: protocol.CodeUnknownRoomKind,
		} {
			if got := w.Ask(w.Open("eve"), frame); got.OK || got.Error.Code != code {
				t.Errorf("%s: got %+v, want %s", frame, got, code)
			}
		}
	})
}
