package security

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// TestServerIDs: whoever takes an id that the server derives, before or after the server does, suppresses nothing and is told of no
// conflict: not another user, nor a program. Each announcement that the hub can make is here.
func TestServerIDs(t *testing.T) {
	type stage struct {
		*hubtest.World
		ana, eve, car hub.Caller
		since         int64 // of ana's presence
	}
	room := func(event string) string {
		if event == protocol.NotificationRead {
			return protocol.UserRoom("ana")
		}
		return "community:1"
	}
	cases := map[string]struct {
		of   func(s *stage) []any // what the id names
		make func(s *stage)       // has the server announce it
	}{
		protocol.UserOnline: {
			of:   func(s *stage) []any { return []any{"ana", s.Clock.Now().UnixMilli()} }, // she comes at a moment that is no secret
			make: func(s *stage) { s.Must(s.ana, `{"action":"join","room":"community:1"}`) },
		},
		protocol.PresenceChanged: {
			of:   func(s *stage) []any { return []any{"ana", s.since, 2} },
			make: func(s *stage) { s.Must(s.ana, `{"action":"presence","room":"community:1","status":"busy"}`) },
		},
		protocol.UserOffline: {
			of: func(s *stage) []any { return []any{"ana", s.since} },
			make: func(s *stage) {
				if err := s.Depart(t.Context(), s.ana.Connection); err != nil {
					t.Fatal(err)
				}
				s.Drain()
			},
		},
		protocol.MessageDeleted: {
			of: func(*stage) []any { return []any{"m1"} },
			make: func(s *stage) {
				s.Must(s.ana, `{"action":"publish","room":"community:1","event":"message:deleted","data":{"messageId":"m1"}}`)
			},
		},
		protocol.NotificationRead: {
			of:   func(*stage) []any { return []any{"n1"} },
			make: func(s *stage) { s.Must(s.ana, `{"action":"notification:read","notificationId":"n1"}`) },
		},
	}
	if got := len(cases); got != len(hub.Announcements()) {
		t.Errorf("%d announcements are tried, the hub makes %v", got, hub.Announcements())
	}
	for _, event := range hub.Announcements() {
		c, known := cases[event]
		if !known {
			t.Errorf("%s is not tried", event)
			continue
		}
		for _, when := range []string{"before", "after"} {
			t.Run(event+", taken "+when, func(t *testing.T) {
				w := hubtest.New(t)
				s := &stage{World: w, ana: w.Open("ana"), eve: w.Open("eve"), car: w.Open("car")}
				for _, who := range []hub.Caller{s.eve, s.car} {
					w.Must(who, `{"action":"join","room":"community:1"}`)
				}
				if event != protocol.UserOnline {
					s.since = w.Clock.Now().UnixMilli()
					w.Must(s.ana, `{"action":"join","room":"community:1"}`)
				}
				w.Must(s.eve, `{"action":"publish","id":"m1","room":"community:1","event":"message:new","data":1}`)
				id := hub.AnnouncementID(event, c.of(s)...)
				if strings.Trim(id[:strings.Index(id, ":")], "abcdefghijklmnopqrstuvwxyz") != "" || strings.HasPrefix(id, ":") {
					t.Errorf("the id %q does not say what is announced", id)
				}
				take := func() {
					t.Helper()
					if event != protocol.NotificationRead { // nobody else may publish there
						r := w.Ask(s.eve, fmt.Sprintf(`{"action":"publish","id":%q,"room":"community:1","event":"message:new","data":"mine"}`, id))
						if !r.OK {
							t.Errorf("a user is refused: %s", r.Error.Code)
						}
					} else if r := w.Ask(s.ana, fmt.Sprintf(`{"action":"publish","id":%q,"room":"user:ana","event":"e"}`, id)); !r.OK {
						t.Errorf("she herself is refused: %s", r.Error.Code)
					}
					for _, name := range []string{"e", event} { // programs may use the server's names
						if event == protocol.MessageDeleted && name == event {
							continue // that is a deletion
						}
						a := w.Emit(t.Context(), hub.PublishCommand{Rooms: []string{room(event)}, Event: name, ID: id, Data: json.RawMessage(`"mine"`)})
						if name == "e" && !a.OK {
							t.Errorf("a program is refused: %v", a.Error)
						}
					}
				}
				announced := func() (n int) {
					t.Helper()
					var got protocol.HistoryResult
					a := w.Emit(t.Context(), hub.HistoryCommand{Room: room(event), Limit: 200})
					got = a.Data.(protocol.HistoryResult)
					for _, e := range got.Events {
						if e.Event == event && e.ID == id && string(e.Data) != `"mine"` {
							n++
						}
					}
					return n
				}
				if when == "before" {
					take()
				}
				w.Network.Take()
				c.make(s)
				listener := s.car
				if event == protocol.NotificationRead {
					listener = s.ana
				}
				if !slices.ContainsFunc(w.Network.Events(listener.Connection), func(e protocol.Event) bool { return e.Event == event && e.ID == id }) {
					t.Errorf("%s has not heard %s", listener.User, id)
				}
				if when == "after" {
					take()
				}
				if n := announced(); n != 1 {
					t.Errorf("it is announced %d times", n)
				}
				w.Clock.Pass(time.Minute)
				if r := w.Ask(w.Open("ana"), `{"action":"join","room":"community:1"}`); !r.OK {
					t.Errorf("she is locked out: %s", r.Error.Code)
				}
			})
		}
	}
}
